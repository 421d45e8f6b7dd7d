"""How is the front of a poke drawn? How far each layer's energy is from its course without it."""

import numpy as np
from bokeh.models import (
    BasicTicker,
    ColumnDataSource,
    CustomJSTickFormatter,
    LinearColorMapper,
    Range1d,
)

from workbench.axes import POWERS
from workbench.blank import blank, name_layers, title_line
from workbench.colour_bar import colour_bar
from workbench.look import Palette, shades
from workbench.poking import Course

LONGEST = 120
"""Steps that are drawn."""

FEWEST = 10
"""Steps for which there is room at least."""

LOWEST = -6.0
"""Decade of the smallest change that has a colour of its own, unless the front is below."""

HIGHEST = 6.0
"""Decade of the largest one, at most."""


class PokePlot:
    """Changes over steps and layers as colours, a dot where the front arrives in a layer."""

    def __init__(self, look: Palette) -> None:
        """Build it, empty."""
        self._title = title_line(look, "change of each energy")
        self._x, self._y = Range1d(start=-0.5, end=FEWEST + 0.5), Range1d(start=0.5, end=10.5)
        self._mapper = LinearColorMapper(
            palette=shades(look.energy), low=LOWEST, high=0.0, nan_color=look.unreached
        )
        self._cells = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        self._front = ColumnDataSource({"x": [], "y": []})
        self._names: list[str] = []
        self.figure = plot = blank("poke", look, self._title, x_range=self._x, y_range=self._y)
        plot.update(sizing_mode="stretch_width", height=190, min_border_left=46)
        plot.grid.visible = False
        plot.image("image", "x", "y", "dw", "dh", source=self._cells, color_mapper=self._mapper)
        plot.line("x", "y", source=self._front, color=look.accent, line_width=1.4)
        plot.scatter("x", "y", source=self._front, color=look.accent, size=5, line_color=None)
        plot.xaxis.axis_label = "steps after the poke"
        plot.xaxis.formatter = CustomJSTickFormatter(code="return tick % 1 ? '' : String(tick)")
        plot.yaxis.axis_label = "layer ℓ"
        ticker = BasicTicker(min_interval=1, desired_num_ticks=4)
        bar = colour_bar(self._mapper, look, ticker, POWERS, width=8, label_standoff=4)
        plot.add_layout(bar, "right")

    def draw(self, course: Course, names: list[str], front: float) -> None:
        """Show what followed a poke.

        Args:
            course: the changes.
            names: of the layers.
            front: relative change that counts as the front.
        """
        self._name(names)
        seen = course.steps <= LONGEST
        steps, change = course.steps[seen], course.change[seen]
        last = int(steps[-1])
        with np.errstate(divide="ignore"):
            logs = np.where(change > 0, np.log10(change), np.nan).astype(np.float32)
        rows = np.searchsorted(steps, np.arange(last + 1), side="right") - 1
        found = logs[np.isfinite(logs)]
        self._mapper.low = min(LOWEST, float(np.floor(np.log10(front))))
        self._mapper.high = float(np.clip(np.ceil(found.max(initial=0.0)), 0, HIGHEST))
        self._cells.data = {
            "image": [np.ascontiguousarray(logs[np.maximum(rows, 0)].T)],
            "x": [-0.5],
            "y": [0.5],
            "dw": [last + 1],
            "dh": [len(names)],
        }
        there = [(k, at) for k, at in enumerate(course.arrival, start=1) if at is not None]
        there = [one for one in there if one[1] <= last]
        self._front.data = {"x": [at for _, at in there], "y": [k for k, _ in there]}
        self._x.end = max(last, FEWEST) + 0.5
        against = "its energy before" if course.beside is None else "the course without it"
        self._title.text = f"change of each energy against {against}"

    def clear(self) -> None:
        """Show nothing."""
        self._cells.data = {name: [] for name in self._cells.column_names}
        self._front.data = {"x": [], "y": []}
        self._title.text = "change of each energy"

    def _name(self, names: list[str]) -> None:
        """Give the axis other layers."""
        if names == self._names:
            return
        self._names = names
        self._y.end = len(names) + 0.5
        name_layers(self.figure.yaxis, names)
