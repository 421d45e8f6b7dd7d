"""What does a tour say now? A line over the plots: the sentence of the stage, and the way on."""

import html
import math
from typing import Any

import panel as pn

from workbench.touring import begin, measured
from workbench.tours import MEASURED, Stage, Tour, tours

FITS = 0.05
"""Relative difference up to which a number at the cursor is that of the sentence."""


class TourBanner:
    """The stage of a tour, with buttons to the next and the one before; hidden without a tour."""

    def __init__(self, page: Any, sheet: str) -> None:
        """Build it, hidden."""
        self._page = page
        self._tour: Tour | None = None
        self._at = 0
        small = {"stylesheets": [sheet], "margin": (2, 4)}
        self._text = pn.pane.HTML("", stylesheets=[sheet], sizing_mode="stretch_width", margin=0)
        self._back = pn.widgets.Button(label="back", width=60, **small)
        self._on = pn.widgets.Button(label="next", color="primary", width=70, **small)
        end = pn.widgets.Button(label="end the tour", width=100, **small)
        self._back.on_click(lambda _: self._go(self._at - 1))
        self._on.on_click(lambda _: self._go(self._at + 1))
        end.on_click(lambda _: self._end())
        self.view = pn.Row(
            self._text, self._back, self._on, end, sizing_mode="stretch_width", margin=0
        )
        self.view.visible = False

    @property
    def place(self) -> str:
        """The tour and the number of its stage from 1, "" without one."""
        return f"{self._tour.name}.{self._at + 1}" if self._tour else ""

    def open(self, place: str) -> None:
        """Show a tour, from its first stage or that of `place`; what there is not is left out.

        A session that nobody has used goes through the stage.
        """
        name, _, number = place.partition(".")
        found = tours().get(name)
        if found is None:
            return
        self._tour, at = found, int(number) - 1 if number.isdecimal() else 0
        self._at = min(max(at, 0), len(found.stages) - 1)
        self._show()
        if not self._page.session.events:
            self._page.do(lambda s: begin(s, self.stage))

    @property
    def stage(self) -> Stage:
        """The stage that is shown."""
        assert self._tour is not None
        return self._tour.stages[self._at]

    def follow(self, session: Any, drawn: Any) -> None:
        """Say the numbers at the cursor."""
        if self._tour is not None and drawn is not None:
            self._say(measured(session, drawn))

    def _go(self, at: int) -> None:
        assert self._tour is not None
        if 0 <= at < len(self._tour.stages):
            self._at = at
            self._show()
            self._page.bar.compare_with(self.stage.preset)
            self._page.do(lambda s: begin(s, self.stage))

    def _show(self) -> None:
        assert self._tour is not None
        self._back.disabled = self._at == 0
        self._on.disabled = self._at == len(self._tour.stages) - 1
        self.view.visible = True
        self._say({})

    def _end(self) -> None:
        self._tour = None
        self.view.visible = False

    def _say(self, now: dict[str, float]) -> None:
        assert self._tour is not None
        stage, many = self.stage, len(self._tour.stages)
        told = [_told(name, now.get(name, math.nan), stage.numbers[name]) for name in stage.numbers]
        text = (
            f"<b>{html.escape(self._tour.title)}</b> <small>{self._at + 1} of {many}, "
            f"{html.escape(self._tour.source)}</small><br>{html.escape(stage.sentence)}"
            f"<br><small>at the cursor: {' · '.join(told)}</small>"
        )
        if text != self._text.object:
            self._text.object = text


def _told(name: str, now: float, printed: float) -> str:
    """A number at the cursor, set apart where it is not the sentence's."""
    said = MEASURED[name].format(now) if math.isfinite(now) else f"no {name}"
    same = math.isfinite(now) and abs(now - printed) <= FITS * abs(printed)
    return html.escape(said) if same else f"<i>{html.escape(said)}</i>"
