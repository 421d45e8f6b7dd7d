"""How are two lanes drawn under each other? Three strips with one axis, one cursor, one line."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
from bokeh.events import Tap
from bokeh.models import (
    BasicTicker,
    ColumnDataSource,
    CustomJSHover,
    CustomJSTickFormatter,
    HoverTool,
    LinearColorMapper,
    Range1d,
    Span,
)

from workbench.axes import ENERGY_LIMITS, PLAIN, POWERS, ROW_AXIS
from workbench.blank import blank, name_layers, title_line
from workbench.colour_bar import colour_bar
from workbench.lanes_strips import Strip, Strips
from workbench.look import CLEAR, Palette, shades

TALL = 118
"""Pixels of a strip; the last one has the label of the axis below it."""

FEWEST = 10
"""Rows for which there is room at least."""

LEAST = 0.01
"""Decades at the ends of the scale of ratios, at least."""

COLUMNS = ("image", "x", "y", "dw", "dh")

ENERGIES = (("E_A",), ("E_B",), ("E_A", "E_B"))
"""What is read at a cell of each strip."""

RATIO = 2
"""Which of them is that of the ratio."""


class LanesPlot:
    """The strips of A, of B, and of their ratio."""

    def __init__(self, look: Palette, seek: Callable[[int], None]) -> None:
        """Build them, empty.

        Args:
            look: colours.
            seek: called with the number of a row that is tapped.
        """
        self._look, self._seek = look, seek
        self._names: tuple[str, ...] = ()
        self._pair: Any = None
        self._x = Range1d(start=-0.5, end=FEWEST + 0.5)
        self._y = Range1d(start=0.5, end=10.5)
        self._ratios = LinearColorMapper(
            palette=shades(look.diverging), low=-LEAST, high=LEAST, nan_color=CLEAR
        )
        low, high = ENERGY_LIMITS
        self._energies = LinearColorMapper(
            palette=shades(look.energy), low=low, high=high, nan_color=CLEAR
        )
        self.titles = tuple(title_line(look) for _ in range(3))
        self._values = tuple(_source(*names) for names in ENERGIES)
        self._kinds = tuple(_source() for _ in range(3))
        self._layer = CustomJSHover(code="return ''")
        self._cursors: list[Span] = []
        self._lines: list[Span] = []
        self.a = self._build(0, "lanes-a", self._energies)
        self.b = self._build(1, "lanes-b", self._energies)
        self.ratio = self._build(2, "lanes-ratio", self._ratios)
        self.ratio.update(height=TALL + 16)
        self.ratio.xaxis.axis_label = ROW_AXIS.format("batch")

    def _build(self, k: int, name: str, mapper: LinearColorMapper) -> Any:
        look = self._look
        plot = blank(name, look, self.titles[k], x_range=self._x, y_range=self._y)
        plot.update(sizing_mode="stretch_width", height=TALL)
        plot.update(min_border_left=46, min_border_right=46)
        plot.grid.visible = False
        places = {one: one for one in COLUMNS}
        drawn = plot.image(**places, source=self._values[k], color_mapper=mapper)
        greys = [look.unreached, look.ghost]
        kinds = LinearColorMapper(palette=greys, low=0, high=1, nan_color=CLEAR)
        plot.image(**places, source=self._kinds[k], color_mapper=kinds)
        told = [("row", "$x{0}"), ("layer", "$y{custom}")]
        told += [(one, f"@{one}{{0.00e+0}} nat") for one in ENERGIES[k]]
        told += [("log₁₀ A/B", "@image{0.0000}")] if k == RATIO else []
        named: dict[str, Any] = {"$y": self._layer}
        plot.add_tools(HoverTool(renderers=[drawn], tooltips=told, formatters=named))
        plot.xaxis.formatter = CustomJSTickFormatter(code="return tick % 1 ? '' : String(tick)")
        plot.yaxis.axis_label = "layer ℓ"
        ticker = BasicTicker(min_interval=0 if k == RATIO else 1, desired_num_ticks=3)
        ticks = PLAIN if k == RATIO else POWERS
        plot.add_layout(colour_bar(mapper, look, ticker, ticks, width=8, label_standoff=4), "right")
        cursor = Span(dimension="height", location=0, line_color=look.ink, line_width=1.2)
        line = Span(dimension="height", line_color=look.accent, line_width=1.6, line_dash="4 3")
        line.visible = False
        for span in (line, cursor):
            plot.add_layout(span)
        self._cursors.append(cursor)
        self._lines.append(line)
        plot.on_event(Tap, self._tapped)
        return plot

    def draw(
        self, shown: Strips, names: tuple[str, ...], limits: tuple[float, float], pair: Any
    ) -> None:
        """Show strips.

        Args:
            shown: what they are of.
            names: of the layers.
            limits: of the colours of log10 E.
            pair: which lanes these are; another one gets a scale of ratios of its own.
        """
        self._name(names)
        self._energies.update(low=limits[0], high=limits[1])
        self._x.update(start=shown.first, end=max(shown.last, shown.first + FEWEST + 1))
        place = {"x": [shown.first], "y": [0.5]}
        place |= {"dw": [shown.last - shown.first], "dh": [len(names)]}
        for k, one in enumerate((shown.a, shown.b, shown.ratio)):
            self._draw(k, one, place)
        least = LEAST if pair != self._pair else float(np.asarray(self._ratios.high))
        self._pair = pair
        high = max(least, _limit(shown.ratio))
        self._ratios.update(low=-high, high=high)

    def _draw(self, k: int, strip: Strip | None, place: dict[str, Any]) -> None:
        if strip is None:
            for source in (self._values[k], self._kinds[k]):
                source.data = {name: [] for name in source.column_names}
            return
        told = {name: [one] for name, one in zip(ENERGIES[k], strip.energies, strict=True)}
        self._values[k].data = {"image": [strip.values], **told, **place}
        self._kinds[k].data = {"image": [strip.kinds], **place}

    def point(self, cursor: int, parted: int | None) -> None:
        """Put the cursor at a row, and the line before the row at which lanes part."""
        for span in self._cursors:
            span.location = cursor
        for line in self._lines:
            line.visible = parted is not None
            if parted is not None:
                line.location = parted - 0.5

    def _name(self, names: tuple[str, ...]) -> None:
        """Give the axes other layers."""
        if names == self._names:
            return
        self._names = names
        self._y.end = len(names) + 0.5
        self._layer.code = f"return {json.dumps(names)}[Math.round(value) - 1] ?? ''"
        for plot in (self.a, self.b, self.ratio):
            name_layers(plot.yaxis, names, 5)

    def _tapped(self, event: Any) -> None:
        if event.x is not None:
            self._seek(max(0, round(event.x)))


def _source(*more: str) -> ColumnDataSource:
    return ColumnDataSource({name: [] for name in (*COLUMNS, *more)})


def _limit(ratio: Strip | None) -> float:
    """The first of 1, 2, 5, 10, ... hundredths of a decade that is not below any ratio."""
    if ratio is None or not np.isfinite(ratio.values).any():
        return LEAST
    most = float(np.nanmax(np.abs(ratio.values)))
    steps = [digit * 10.0**power for power in range(-2, 3) for digit in (1, 2, 5)]
    return next((one for one in steps if one >= most), steps[-1])
