"""What opens on demand? Every choice with its dials, the export, and the log of the session."""

import html
import io
from typing import Any

import panel as pn

from workbench.axes import COMPARISONS
from workbench.command import command
from workbench.dials import KINDS, Kind
from workbench.presets import presets
from workbench.scalars import OF_THE_RUN, TERMS_OF_F, Scalars, heading
from workbench.selftest_tab import SelfTestTab
from workbench.theory_tab import TheoryTab

TABS = ("choices", "theory", "export", "log", "self-test")

LONGEST = 160
"""Letters of a line of the log."""

RECIPE = ("init", "precision", "dynamics", "learning")
"""Kinds above the terms of the recipe; the others stand below."""


class Drawer:
    """Tabs at the side of the plots, which stay in sight."""

    def __init__(self, page: Any, sheet: str) -> None:
        """Build it for a page whose session is ready."""
        self._page, self._sheet = page, sheet
        self.is_open = False
        self._log_shown = -1
        self._kinds = {kind: Kind(kind, self._send, page.look, sheet) for kind in KINDS}
        self._scalars = [
            Scalars(TERMS_OF_F, self._send, sheet, "Free energy and stopping"),
            Scalars(OF_THE_RUN, self._send, sheet, "The run"),
        ]
        self._per = pn.widgets.Select(
            label="imbalance compares",
            options={"layers": "layer", "units": "unit"},
            sizing_mode="stretch_width",
        )
        self._per.param.watch(self._measured, "value")
        self._compared = pn.widgets.Select(
            label="panel in the middle",
            options={text[0]: n for n, text in COMPARISONS.items()},
            sizing_mode="stretch_width",
        )
        self._compared.param.watch(self._measured, "value")
        self._about = pn.pane.HTML("", sizing_mode="stretch_width")
        back = pn.widgets.Button(label="back to this preset", sizing_mode="stretch_width")
        back.on_click(lambda _: page.bar.reset())
        choices = pn.Column(
            self._about,
            back,
            *[self._kinds[kind].view for kind in RECIPE],
            self._scalars[0].view,
            *[one.view for kind, one in self._kinds.items() if kind not in RECIPE],
            self._scalars[1].view,
            heading("The plots", sheet),
            self._per,
            self._compared,
            sizing_mode="stretch_width",
        )
        self.theory = TheoryTab(page, sheet)
        self._selftest = SelfTestTab(page, sheet)
        self._log = pn.pane.HTML(sizing_mode="stretch_width")
        parts = (choices, self.theory.view, self._export(), self._log, self._selftest.view)
        self._tabs = pn.Tabs(
            *zip(TABS, parts, strict=True), sizing_mode="stretch_width", dynamic=False
        )
        self._tabs.param.watch(self._turned_to, "active")
        self.view = pn.Column(self._tabs, sizing_mode="stretch_width", margin=0)
        for kind in self._kinds.values():
            kind.show(page.session.wanted)
        for one in self.view.select(lambda part: hasattr(part, "stylesheets")):
            one.stylesheets = [*one.stylesheets, sheet]

    def toggle(self, tab: str) -> None:
        """Open at a tab; close where that tab is open."""
        at = TABS.index(tab)
        if self.is_open and self._tabs.active == at:
            self.is_open = False
        else:
            self.is_open = True
            self._tabs.active = at

    @property
    def tab(self) -> str:
        """Which tab is open, "" where none is."""
        return TABS[self._tabs.active] if self.is_open else ""

    def close(self) -> None:
        """The page has gone."""
        self._selftest.close()

    def show(self, session: Any) -> None:
        """Set every choice to the session's newest."""
        if not self.is_open:
            return
        preset = presets()[self._page.bar.preset]
        self._about.object = f"<small>{html.escape(preset.about)}</small>"
        for kind in self._kinds.values():
            kind.show(session.wanted)
            kind.complain(session.message)
        for group in self._scalars:
            group.show(session.wanted, session.course)
            group.complain(session.message)
        if self.tab == "theory":
            self._page.theorist.on = True
        self.theory.show(self._page.theorist.newest)
        self._selftest.show()
        if len(session.events) != self._log_shown:
            self._log_shown = len(session.events)
            self._log.object = _events(session)
            experiment = session.lane.experiment if session.lane else session.wanted
            batch = int(session.lane.trace.row(session.cursor)["batch"]) if session.lane else 0
            self._command.object = f"<pre>{html.escape(command(experiment, batch))}</pre>"

    def _send(self, choices: dict[str, Any]) -> None:
        self._page.session.change(**choices)

    def _measured(self, event: Any) -> None:
        self._page.measure(self._per.value, self._compared.value)

    def _turned_to(self, event: Any) -> None:
        self._page.redraw()

    def _export(self) -> Any:
        from workbench.views import views

        names = {module.TITLE: name for name, module in views().items()}
        self._view = pn.widgets.Select(label="view", options=names, sizing_mode="stretch_width")
        self._bundle = pn.widgets.FileDownload(
            callback=self._zip,
            filename="relaxoscope-energy_time.zip",
            label="figure, data and recipe (zip)",
            button_type="primary",
            embed=False,
            auto=True,
            sizing_mode="stretch_width",
        )
        self._view.param.watch(self._named, "value")
        self._refused = pn.pane.HTML(sizing_mode="stretch_width")
        about = pn.pane.HTML(
            "<small>PDF, SVG and PNG of the view at the cursor, its data as NetCDF and CSV, the "
            "complete recipe and the event log.</small>",
            sizing_mode="stretch_width",
        )
        self._command = pn.pane.HTML(sizing_mode="stretch_width")
        copied = pn.widgets.Button(label="copy as command", sizing_mode="stretch_width")
        copied.js_on_click(
            args={"pane": self._command},
            code="""
const text = new DOMParser().parseFromString(pane.text, 'text/html');
const inner = text.querySelector('pre') || new DOMParser().parseFromString(
  text.body.textContent, 'text/html').querySelector('pre');
navigator.clipboard.writeText(inner.textContent);""",
        )
        return pn.Column(
            self._view,
            self._bundle,
            about,
            self._refused,
            copied,
            self._command,
            sizing_mode="stretch_width",
        )

    def _named(self, event: Any) -> None:
        self._bundle.filename = f"relaxoscope-{event.new}.zip"

    def _zip(self) -> io.BytesIO:
        """The bundle of the chosen view at the cursor."""
        from workbench import figures
        from workbench.measures import with_samples

        session = self._page.session
        lane = session.lane
        trace = with_samples(lane.trace.dataset(), lane.trace.batches)
        newest = int(trace["step"].values[-1])  # while it plays, the cursor runs ahead of the trace
        try:
            held = figures.bytes_of(self._view.value, trace, min(session.cursor, newest))
        except ValueError as refused:
            self._refused.object = f'<p class="refused">{html.escape(str(refused))}</p>'
            raise
        self._refused.object = ""
        return io.BytesIO(held)


def _events(session: Any) -> str:
    """The event log, newest first."""
    rows = []
    for event in reversed(session.events[-200:]):
        args = ", ".join(f"{k} {_brief(v)}" for k, v in event["args"].items())
        args = args if len(args) <= LONGEST else f"{args[:LONGEST]} …"
        rows.append(
            f"<li>lane {event['lane']}, row {event['row']}: {html.escape(event['command'])} "
            f"{html.escape(args)}</li>"
        )
    return f"<ul>{''.join(rows)}</ul>" if rows else "<p>nothing has been asked yet</p>"


def _brief(value: Any) -> str:
    if isinstance(value, dict):
        dials = [f"{k} {v}" for k, v in value.items() if k != "name"]
        return " ".join([str(value.get("name")), *dials])
    return str(value)
