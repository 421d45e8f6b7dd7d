"""How is a grid drawn? A colour for each cell, its number in it, a frame where one stands."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.core.properties import value
from bokeh.models import (
    BasicTicker,
    ColumnDataSource,
    CustomJSTickFormatter,
    FixedTicker,
    LinearColorMapper,
    Range1d,
)

from workbench.axes import PLAIN, POWERS
from workbench.blank import blank, title_line
from workbench.colour_bar import colour_bar
from workbench.grid import MEASURES, Cell, Grid
from workbench.look import FONT, Palette, shades, short

if TYPE_CHECKING:
    from workbench.grid_sweep import SweptGrid

LOGARITHMIC = ("total", "residual")
"""Measures whose decades are drawn."""

NOTHING = "nothing was relaxed yet"

DIVERGING = ("cosine",)
"""Measures about zero."""


class GridPlot:
    """A measure of all cells that are there; built once."""

    def __init__(self, look: Palette, choose: Callable[[int, int], None]) -> None:
        """Build it, empty.

        Args:
            look: colours.
            choose: told which cell was tapped.
        """
        self._look, self._choose = look, choose
        self._title = title_line(look, NOTHING)
        self._x, self._y = Range1d(start=-0.5, end=3.5), Range1d(start=-0.5, end=3.5)
        self._mapper = LinearColorMapper(
            palette=shades(look.energy), low=0.0, high=1.0, nan_color=look.unreached
        )
        self.cells = ColumnDataSource({"x": [], "y": [], "value": [], "said": [], "ink": []})
        self._frame = ColumnDataSource({"x": [], "y": []})
        self.figure = plot = blank("grid", look, self._title, x_range=self._x, y_range=self._y)
        plot.update(sizing_mode="stretch_width", height=300, min_border_left=58)
        plot.grid.visible = False
        plot.rect(
            "x",
            "y",
            1,
            1,
            source=self.cells,
            line_color=look.background,
            fill_color={"field": "value", "transform": self._mapper},
        )
        plot.text(
            "x",
            "y",
            "said",
            source=self.cells,
            text_color="ink",
            text_align="center",
            text_baseline="middle",
            text_font=value(FONT),
            text_font_size="11px",
        )
        plot.rect(
            "x",
            "y",
            1,
            1,
            source=self._frame,
            fill_color=None,
            line_color=look.accent,
            line_width=2,
        )
        plot.on_event("tap", self._tapped)
        self._bar = colour_bar(
            self._mapper, look, BasicTicker(desired_num_ticks=5), PLAIN, width=8, label_standoff=4
        )
        plot.add_layout(self._bar, "right")

    def draw(
        self, grid: "Grid | SweptGrid", measure: str, titles: Mapping[str, str] = MEASURES
    ) -> None:
        """Show what is there of a grid.

        Args:
            grid: relaxed here, or read from a sweep.
            measure: a name that its cells have values of.
            titles: of measures.
        """
        self._ticks(self.figure.xaxis, grid.x.name, grid.x.values)
        self._ticks(self.figure.yaxis, grid.y.name, grid.y.values)
        self._x.end, self._y.end = len(grid.x.values) - 0.5, len(grid.y.values) - 0.5
        places = sorted(grid.cells)
        raw = [grid.cells[place].values.get(measure, math.nan) for place in places]
        logs = measure in LOGARITHMIC and _spans_decades(raw)
        drawn = np.array([_decades(v) if logs else v for v in raw], dtype=float)
        drawn = np.where(np.isfinite(drawn), drawn, np.nan)
        self._scale(drawn, measure)
        mapper: Any = self._mapper
        middle = (mapper.low + mapper.high) / 2
        light = "#000000" if measure not in DIVERGING else self._look.ink
        inks = [
            self._look.ink
            if math.isnan(v) or measure in DIVERGING
            else (light if v > middle else "#ffffff")
            for v in drawn
        ]
        self.cells.data = {
            "x": [i for i, _ in places],
            "y": [j for _, j in places],
            "value": drawn,
            "said": [_said(grid.cells[p], v) for p, v in zip(places, raw, strict=True)],
            "ink": inks,
        }
        bar: Any = self._bar
        bar.formatter = CustomJSTickFormatter(code=POWERS if logs else PLAIN)
        self._title.text = f"{titles[measure]}, {len(places)} of {grid.size} cells"

    def clear(self) -> None:
        """Show no cell."""
        self.cells.data = {"x": [], "y": [], "value": [], "said": [], "ink": []}
        self._title.text = NOTHING

    def frame(self, place: tuple[int, int] | None) -> None:
        """Set one cell apart."""
        at = [] if place is None else [place]
        self._frame.data = {"x": [i for i, _ in at], "y": [j for _, j in at]}

    def _scale(self, drawn: Any, measure: str) -> None:
        found = drawn[np.isfinite(drawn)]
        low, high = (float(found.min()), float(found.max())) if len(found) else (0.0, 1.0)
        if measure in DIVERGING:
            low, high = -1.0, 1.0
        self._mapper.update(
            low=low, high=high if high > low else low + 1.0, palette=shades(self._name(measure))
        )

    def _name(self, measure: str) -> str:
        return self._look.diverging if measure in DIVERGING else self._look.energy

    @staticmethod
    def _ticks(axis: Any, name: str, values: tuple[Any, ...]) -> None:
        axis.axis_label = name
        axis.ticker = FixedTicker(ticks=list(range(len(values))))
        axis.major_label_overrides = {k: _tick(value) for k, value in enumerate(values)}

    def _tapped(self, event: Any) -> None:
        if event.x is not None and event.y is not None:
            self._choose(round(event.x), round(event.y))


def _spans_decades(values: list[float]) -> bool:
    """Whether the largest is ten times the least; fewer have no two powers of ten on the bar."""
    found = [one for one in values if math.isfinite(one) and one > 0]
    return bool(found) and max(found) >= 10 * min(found)


def _tick(value: Any) -> str:
    """A value of an axis; those of entries are names."""
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _decades(value: float) -> float:
    return math.log10(value) if value > 0 else math.nan


def _said(cell: Cell, value: float) -> str:
    """What stands in a cell."""
    if cell.why:
        return cell.word
    return "–" if math.isnan(value) else short(value).replace("-", "−")
