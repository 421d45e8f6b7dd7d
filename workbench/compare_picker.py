"""Which lanes are compared? Those that were picked, in order, each to be moved up or taken out."""

import html
from collections.abc import Callable, Sequence
from typing import Any

import panel as pn

from workbench.compare_choices import MOST_LANES
from workbench.compare_lanes import Offer
from workbench.compare_plots import key
from workbench.compare_scene import LETTERS


class Picker:
    """A field that finds lanes, and the list of those that were picked."""

    def __init__(self, sheet: str, picked: Callable[[tuple[str, ...]], None]) -> None:
        """Build it without a lane.

        Args:
            sheet: style sheet of widgets.
            picked: called with names of lanes, A first.
        """
        self._picked, self._sheet = picked, sheet
        self._shown: Any = None
        self._run: tuple[str, ...] = ()
        self._found: dict[str, str] = {}
        self.search = pn.widgets.AutocompleteInput(
            label="add a run or a lane", placeholder="click, or type to search", options=[],
            restrict=True, min_characters=0, search_strategy="includes", case_sensitive=False,
            stylesheets=[sheet], sizing_mode="stretch_width", margin=(2, 4),
        )  # fmt: skip
        self.search.param.watch(self._add, "value")
        self._list = pn.Column(sizing_mode="stretch_width", margin=(2, 4))
        self.view = pn.Column(self.search, self._list, sizing_mode="stretch_width", margin=0)

    def show(self, run: Sequence[str], offers: Sequence[Offer]) -> None:
        """Show what was picked, and offer the rest."""
        labels = {one.key: _label(one, offers) for one in offers}
        now = tuple(run), labels
        if now == self._shown:
            return
        self._shown, self._run = now, tuple(run)
        self._found = {label: key for key, label in labels.items() if key not in run}
        self.search.options = list(self._found)
        self.search.disabled = len(run) >= MOST_LANES
        self._list[:] = [self._row(k, one, labels.get(one, one)) for k, one in enumerate(run)]

    def _row(self, k: int, lane: str, label: str) -> Any:
        style: dict[str, Any] = {"stylesheets": [self._sheet], "margin": (0, 0, 0, 2), "width": 28}
        up = pn.widgets.Button(label="↑", disabled=k == 0, **style)
        out = pn.widgets.Button(label="×", **style)
        up.on_click(lambda _: self._move_up(k))
        out.on_click(lambda _: self._picked(tuple(one for one in self._run if one != lane)))
        said = f"{key(k)}<b>{LETTERS[k]}</b> {html.escape(label)}"
        words = pn.pane.HTML(
            said, stylesheets=[self._sheet], sizing_mode="stretch_width", margin=(5, 0)
        )
        return pn.Row(words, up, out, sizing_mode="stretch_width", margin=0)

    def _move_up(self, k: int) -> None:
        run = list(self._run)
        run[k - 1], run[k] = run[k], run[k - 1]
        self._picked(tuple(run))

    def _add(self, event: Any) -> None:
        lane = self._found.get(event.new)
        if lane is not None:
            self.search.value = ""
            self._picked((*self._run, lane))


def _label(one: Offer, offers: Sequence[Offer]) -> str:
    """Its title, with its name where another lane has the same title."""
    alike = sum(other.title == one.title for other in offers) > 1
    return f"{one.title} ({one.key})" if alike else one.title
