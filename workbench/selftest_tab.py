"""Does this machine compute what the papers say? The self-test in a tab, beside the session."""

import html
import threading
from collections.abc import Callable
from typing import Any

import panel as pn

from core import selftest

ABOUT = (
    "Small networks whose answers are known from mathematics or from a paper, relaxed on this "
    "machine's {device}. The session goes on meanwhile."
)


class Run:
    """One run of the self-test in a thread of its own."""

    def __init__(self, device: str, wake: Callable[[], None]) -> None:
        """Begin.

        Args:
            device: on which to compute.
            wake: called after each result, from the thread.
        """
        self.results: list[selftest.Result] = []
        self.count = len(selftest.cases())
        self.refused = ""
        self.stopped = False
        self._device, self._wake = device, wake
        self.thread = threading.Thread(target=self._work, name="selftest", daemon=True)
        self.thread.start()

    @property
    def going(self) -> bool:
        """Whether results are still to come."""
        whole = len(self.results) == self.count
        return not (self.stopped or self.refused or whole)

    def stop(self) -> None:
        """End after the case that is running."""
        self.stopped = True

    def _work(self) -> None:
        import torch

        torch.set_num_threads(1)
        try:
            for result in selftest.results(self._device):
                if self.stopped:
                    return
                self.results = [*self.results, result]
                self._wake()
        except Exception as error:  # the tab must say it, whatever it is
            self.refused = str(error)
            self._wake()


class SelfTestTab:
    """A button, a line of progress and a table."""

    def __init__(self, page: Any, sheet: str) -> None:
        """Build it for a page whose session is ready."""
        self._page = page
        self._run: Run | None = None
        self._shown = (-1, False)
        words = {"stylesheets": [sheet], "sizing_mode": "stretch_width"}
        self._about = pn.pane.HTML("", **words)
        self._button = pn.widgets.Button(
            label="run the self-test", stylesheets=[sheet], sizing_mode="stretch_width"
        )
        self._button.on_click(lambda _: self._pressed())
        self._table = pn.pane.HTML("", **words)
        self.view = pn.Column(self._about, self._button, self._table, sizing_mode="stretch_width")

    @property
    def _device(self) -> str:
        """That of the session; of a run that is watched without an experiment, the processor."""
        wanted = self._page.session.wanted
        return "cpu" if wanted is None else wanted.device

    def show(self) -> None:
        """Show the results so far."""
        device = self._device
        self._about.object = f"<small>{html.escape(ABOUT.format(device=device))}</small>"
        run = self._run
        if run is None or (len(run.results), run.going) == self._shown:
            return
        self._shown = len(run.results), run.going
        self._button.label = "stop" if run.going else "run it again"
        self._table.object = table(run)

    def close(self) -> None:
        """End a run that is going."""
        if self._run is not None:
            self._run.stop()

    def _pressed(self) -> None:
        if self._run is not None and self._run.going:
            self._run.stop()
        else:
            self._run = Run(self._device, self._page.wake)
        self._shown = (-1, False)
        self._page.redraw()


def table(run: Run) -> str:
    """Progress and results as HTML, failures first."""
    done, passed = len(run.results), sum(one.passed for one in run.results)
    share = round(100 * done / max(run.count, 1))
    said = f"{passed} of {done} passed" + (f", {run.count - done} to come" if run.going else "")
    if run.refused:
        said = run.refused
    elif run.stopped:
        said += f"; stopped before the other {run.count - done}"
    ordered = sorted(run.results, key=lambda one: one.passed)
    rows = "".join(_row(one) for one in ordered)
    return (
        f'<div class="bar"><div style="width:{share}%"></div></div>'
        f'<p role="status">{html.escape(said)}</p>'
        "<table><thead><tr><th>case</th><th>expected</th><th>found</th><th>passed</th></tr>"
        f"</thead><tbody>{rows}</tbody></table>"
    )


def _row(one: selftest.Result) -> str:
    cells = "".join(f"<td>{html.escape(c)}</td>" for c in (one.name, one.expected, one.found))
    mark = "yes" if one.passed else "<b>no</b>"
    about = html.escape(one.what)
    return (
        f"<tr>{cells}<td>{mark}</td></tr>"
        f'<tr class="what"><td></td><td colspan="3"><small>{about}</small></td></tr>'
    )
