"""How are the values of a layer spread? A histogram of what the maps show, for one sample."""

from typing import Any

import numpy as np
from bokeh.models import Range1d, Span
from numpy.typing import ArrayLike

from workbench.blank import blank, histogram, title_line
from workbench.look import Palette, short

BINS = 40


class Histogram:
    """Units by value; built once, its range grows and shrinks only when it is asked to fit."""

    def __init__(self, look: Palette) -> None:
        """Build it, empty."""
        self._title = title_line(look)
        self._x, self._y = Range1d(start=-1.0, end=1.0), Range1d(start=0.0, end=1.0)
        self._shown, self._range = "", (-1.0, 1.0)
        self.figure = plot = blank("histogram", look, self._title, x_range=self._x, y_range=self._y)
        plot.update(sizing_mode="stretch_width", height=130, min_border_left=40)
        self.bars = histogram(plot, fill_color=look.muted, line_color=None)
        zero: Any = Span(location=0, dimension="height", line_color=look.accent, line_width=1)
        plot.add_layout(zero)
        plot.yaxis.axis_label = "units"

    def draw(self, values: ArrayLike, name: str, *, anew: bool = False) -> None:
        """Show the values of all units of a layer.

        Args:
            values: of any shape.
            name: of what they are.
            anew: whether the range shall fit these values, and not those before, too.
        """
        found = np.asarray(values, dtype=float).ravel()
        found = found[np.isfinite(found)]
        if anew or name != self._shown:
            self._shown, low, high = name, np.inf, -np.inf
        else:
            low, high = self._range
        if len(found):
            low, high = min(low, float(found.min())), max(high, float(found.max()))
        if not high > low:
            middle = low if np.isfinite(low) else 0.0
            low, high = middle - 0.5, middle + 0.5
        self._range = low, high
        counts, edges = np.histogram(found, BINS, (low, high))
        self._x.update(start=low, end=high)
        self._y.end = 1.08 * max(1, int(counts.max()))
        self.bars.data = {"left": edges[:-1], "right": edges[1:], "top": counts}
        spread = f", mean {short(found.mean())}, sd {short(found.std())}" if len(found) else ""
        self._title.text = f"{name}: {len(found)} units{spread}"
