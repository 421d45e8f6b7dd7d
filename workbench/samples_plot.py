"""How are samples drawn? Layers by samples as colours, and how one layer's energies are spread."""

from collections.abc import Callable
from typing import Any

import numpy as np
from bokeh.models import (
    BasicTicker,
    ColumnDataSource,
    CustomJSTickFormatter,
    FixedTicker,
    LinearColorMapper,
    Range1d,
)

from workbench.axes import ENERGY_LIMITS, POWERS
from workbench.blank import blank, histogram, name_layers, title_line
from workbench.colour_bar import colour_bar
from workbench.look import Palette, shades
from workbench.samples import CLASS, Samples, borders

BINS = 2
"""Of the histogram, in each decade."""


class SamplesPlot:
    """Two figures, built once."""

    def __init__(self, look: Palette, choose: Callable[[int, int], None]) -> None:
        """Build them, empty.

        Args:
            look: colours.
            choose: told the number of the sample and of the layer, from 1, that were tapped.
        """
        self._look, self._choose = look, choose
        self._order: Any = np.zeros(0, int)
        self._layers = 0
        self._title = title_line(look, "energy of each sample and layer")
        low, high = ENERGY_LIMITS
        self._x, self._y = Range1d(start=0, end=10), Range1d(start=0.5, end=10.5)
        self._mapper = LinearColorMapper(
            palette=shades(look.energy), low=low, high=high, nan_color=look.unreached
        )
        self.cells = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        self._lines = ColumnDataSource({"x": [], "y0": [], "y1": []})
        self._frame = ColumnDataSource({"x": [], "y": [], "h": []})
        self.figure = plot = blank("samples", look, self._title, x_range=self._x, y_range=self._y)
        plot.update(sizing_mode="stretch_width", height=250, min_border_left=46)
        plot.grid.visible = False
        plot.image("image", "x", "y", "dw", "dh", source=self.cells, color_mapper=self._mapper)
        plot.segment("x", "y0", "x", "y1", source=self._lines, color=look.background, line_width=1)
        plot.rect("x", "y", 1, "h", source=self._frame, fill_color=None, line_color=look.accent)
        plot.xaxis.axis_label = "sample"
        plot.yaxis.axis_label = "layer ℓ"
        plot.on_event("tap", self._tapped)
        ticker = BasicTicker(min_interval=1, desired_num_ticks=4)
        bar = colour_bar(self._mapper, look, ticker, POWERS, width=8, label_standoff=4)
        plot.add_layout(bar, "right")
        self._spread_title = title_line(look)
        self._z = Range1d(start=low, end=high)
        self._count = Range1d(start=0, end=1)
        self.spread = blank(
            "spread", look, self._spread_title, x_range=self._z, y_range=self._count
        )
        self.spread.update(sizing_mode="stretch_width", height=150, min_border_left=46)
        self.bars = histogram(self.spread, fill_color=look.accent, line_color=look.background)
        self.spread.xaxis.axis_label = "energy of a sample, nat"
        self.spread.yaxis.axis_label = "samples"
        self.spread.xaxis.ticker = BasicTicker(min_interval=1)
        self.spread.xaxis.formatter = CustomJSTickFormatter(code=POWERS)

    def draw(self, found: Samples, order: str, layer: int, sample: int | None) -> None:
        """Show a row.

        Args:
            found: the samples.
            order: one of `ORDERS`.
            layer: whose histogram is drawn, from 1.
            sample: that is set apart, None for none.
        """
        self._order = found.order(order)
        L, B = found.energy.shape
        with np.errstate(divide="ignore"):
            logs = np.log10(found.energy[:, self._order]).astype(np.float32)
        self._layers = L
        self._x.end, self._y.end = B, L + 0.5
        seen = logs[np.isfinite(logs)]
        if len(seen):
            low, high = float(np.floor(seen.min())), float(np.ceil(seen.max()))
            self._mapper.update(low=low, high=max(high, low + 1))
        self.cells.data = {
            "image": [np.ascontiguousarray(logs)],
            "x": [0],
            "y": [0.5],
            "dw": [B],
            "dh": [L],
        }
        self._axes(found, order)
        at = np.flatnonzero(self._order == (-1 if sample is None else sample))
        self._frame.data = {
            "x": (at + 0.5).tolist(),
            "y": [(L + 1) / 2] * len(at),
            "h": [L] * len(at),
        }
        self._bars(found, layer)

    def _axes(self, found: Samples, order: str) -> None:
        plot: Any = self.figure
        L, B = found.energy.shape
        name_layers(plot.yaxis, found.names)
        classes = borders(found.labels[self._order]) if order == CLASS else []
        cuts = [first for _, first, _ in classes[1:]]
        self._lines.data = {"x": cuts, "y0": [0.5] * len(cuts), "y1": [L + 0.5] * len(cuts)}
        if classes:
            middles = {(first + end) / 2: str(label) for label, first, end in classes}
            plot.xaxis.ticker = FixedTicker(ticks=list(middles))
            plot.xaxis.major_label_overrides = middles
            plot.xaxis.axis_label = "class"
        else:
            ticks = np.unique(np.linspace(0, B - 1, min(B, 10)).round().astype(int)).tolist()
            plot.xaxis.ticker = FixedTicker(ticks=[k + 0.5 for k in ticks])
            plot.xaxis.major_label_overrides = {k + 0.5: str(self._order[k]) for k in ticks}
            plot.xaxis.axis_label = "sample"

    def _bars(self, found: Samples, layer: int) -> None:
        values = found.energy[layer - 1]
        logs = np.log10(values[values > 0])
        self._spread_title.text = (
            f"layer {found.names[layer - 1]}: {len(logs)} of {len(values)} samples reached"
        )
        if not len(logs):
            self.bars.data = {"left": [], "right": [], "top": []}
            return
        low, high = np.floor(logs.min()), np.ceil(logs.max() + 1e-9)
        edges = np.linspace(low, high, int(BINS * (high - low)) + 1)
        counts, _ = np.histogram(logs, edges)
        self._z.update(start=float(low), end=float(high))
        self._count.end = 1.1 * float(counts.max())
        self.bars.data = {"left": edges[:-1], "right": edges[1:], "top": counts}

    def _tapped(self, event: Any) -> None:
        if event.x is None or event.y is None:
            return
        k, layer = int(np.floor(event.x)), round(event.y)
        if 0 <= k < len(self._order) and 1 <= layer <= self._layers:
            self._choose(int(self._order[k]), layer)
