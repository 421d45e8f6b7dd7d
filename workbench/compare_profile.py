"""How does a quantity lie over depth at the cursor? One curve a lane, in a figure that stays."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, CustomJSTickFormatter
from bokeh.plotting import figure

from workbench import comparing as c
from workbench.compare_plots import DECADES, HEIGHT, Followed, colour, dash, style
from workbench.compare_scene import mixed_depths, profile, row_at
from workbench.compare_work import Shown
from workbench.look import Palette

LAYER, SHARE = "layer ℓ: input side left, output right", "share of depth: 1 is the output"


class Profile:
    """The figure, and its limits."""

    def __init__(self, look: Palette) -> None:
        """Build the figure without a curve."""
        self._x, self._y = Followed(), Followed()
        self.view: Any = figure(
            height=HEIGHT, sizing_mode="stretch_width", x_range=self._x.range,
            y_range=self._y.range, toolbar_location=None, tools="pan,reset",
        )  # fmt: skip
        self._source = ColumnDataSource({"xs": [], "ys": [], "colour": [], "dash": []})
        self._dots = ColumnDataSource({"x": [], "y": [], "colour": []})
        self.view.multi_line(
            "xs", "ys", source=self._source, color="colour", line_dash="dash", line_width=1.6
        )
        self.view.scatter("x", "y", source=self._dots, color="colour", size=6)
        style(self.view, look)
        self._plain = self.view.left[0].formatter
        self._logs = CustomJSTickFormatter(code=DECADES)

    def draw(self, shown: Shown, cursor: float | None, *, force: bool = False) -> int:
        """The profiles of all lanes at the cursor; how many there are.

        Args:
            shown: what is compared.
            cursor: its place on the axis, None for the newest rows.
            force: whether the limits are fitted also where somebody has moved them.
        """
        name = shown.choices.map
        shares = mixed_depths(shown.lanes)
        xs: list[Any] = []
        ys: list[Any] = []
        lanes: list[int] = []
        for k, one in enumerate(shown.lanes):
            row = None if one.why or c.absent(one.trace, name) else row_at(one, cursor)
            if row is not None:
                number, share, values = profile(one, name, row)
                xs.append(share if shares else number.astype(float))
                ys.append(values)
                lanes.append(k)
        self._source.data = {
            "xs": xs,
            "ys": ys,
            "colour": [colour(k) for k in lanes],
            "dash": [dash(k) for k in lanes],
        }
        owners = [colour(k) for k, x in zip(lanes, xs, strict=True) for _ in x]
        flat: Sequence[Any] = [np.concatenate(held) if held else [] for held in (xs, ys)]
        self._dots.data = {"x": flat[0], "y": flat[1], "colour": owners}
        quantity = c.QUANTITIES[name]
        self.view.xaxis.axis_label = SHARE if shares else LAYER
        unit = f" ({quantity.unit})" if quantity.unit else ""
        self.view.yaxis.axis_label = quantity.label + unit
        self.view.yaxis.formatter = self._logs if quantity.log else self._plain
        self._fit(flat, force)
        return len(xs)

    def _fit(self, flat: Sequence[Any], force: bool) -> None:
        for limits, values in ((self._x, flat[0]), (self._y, flat[1])):
            held = np.asarray(values, float)
            held = held[np.isfinite(held)]
            if held.size:
                room = 0.06 * float(held.max() - held.min()) or 0.5
                limits.fit(float(held.min()) - room, float(held.max()) + room, force=force)
