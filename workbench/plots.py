"""What do the live plots look like? Figures with axes, legends and marks, built once.

Figures that share the step axis share one x range. What moves with each row is drawn between their
axes in the browser; see frames.py.
"""

from typing import Any

import numpy as np
from bokeh.models import (
    BasicTicker,
    ColorBar,
    ColumnDataSource,
    CustomJSTickFormatter,
    Label,
    LinearColorMapper,
    Range1d,
    WheelZoomTool,
)

from workbench.axes import (
    COMPARISONS,
    ENERGY_LIMITS,
    POWERS,
    PRECISION_LIMITS,
    PREDICTED,
    ROW_AXIS,
    TOTAL_LIMITS,
)
from workbench.blank import blank, name_layers
from workbench.colour_bar import colour_bar
from workbench.look import FONT, palette, shades

TITLES = {
    "heat": "energy of each layer",
    "errors": "RMS error of each layer",
    "depth": "energy by depth",
    "total": "total energy F and residual",
    "alignment": COMPARISONS["alignment"][0],
    "images": "images",
    "imbalance": "imbalance",
    "precision": "precision Π of each layer",
}
"""What stands above each plot before there is anything to say."""

HEAD = 24
"""Room above each plot for what is said of it, in pixels; see page.css."""


class Plots:
    """All live plots, empty."""

    def __init__(self, theme: str) -> None:
        """Build every figure, empty.

        Args:
            theme: "light" or "dark".
        """
        self.look = palette(theme)
        self.titles = dict(TITLES)
        self.x = _interval(-0.5, 20.5)
        low, high = ENERGY_LIMITS
        self.energy_axis = _interval(low, high + 0.03 * (high - low))
        self.heat = self._build_heat()
        self.precision = self._build_precision()
        self.total = self._build_total()
        self.imbalance = self._build_imbalance()
        self.errors = self._build_lines("errors", (-8.0, 1.0), POWERS)
        self.alignment = self._build_lines("alignment", *COMPARISONS["alignment"][1:])
        self._without = self._note(self.alignment, "no loss, no backprop", 0)
        self._without.visible = False
        self.depth = self._build_depth()
        self.images = self._figure("images", _interval(0, 1), x_range=_interval(0, 1))
        self.images.axis.visible = self.images.grid.visible = False

    @property
    def figures(self) -> dict[str, Any]:
        """Every figure by its name."""
        names = "heat precision total imbalance errors alignment depth images".split()
        return {name: getattr(self, name) for name in names}

    def _figure(self, name: str, y_range: Range1d, **options: Any) -> Any:
        own = {"y_range": y_range, "min_height": 110, **options}
        plot = blank(name, self.look, None, **own)
        plot.min_border_top = HEAD
        plot.min_border_right = 12
        plot.min_border_bottom = 24
        return plot

    def _on_steps(self, name: str, y_range: Range1d, *, label: bool = False) -> Any:
        """A figure over the shared step axis."""
        plot = self._figure(name, y_range, x_range=self.x)
        plot.min_border_left, plot.min_border_right = 54, 48
        plot.xaxis.axis_label = ROW_AXIS.format("batch") if label else None
        plot.xaxis.formatter = CustomJSTickFormatter(code="return tick % 1 ? '' : String(tick)")
        zoom = WheelZoomTool(dimensions="width", modifiers="ctrl")
        plot.add_tools(zoom)
        plot.toolbar.active_scroll = zoom
        return plot

    def _build_heat(self) -> Any:
        look = self.look
        plot = self._on_steps("heat", _interval(0.5, 10.5))
        self._mapper = self._shaded(plot, look.energy, ENERGY_LIMITS)
        return plot

    def _shaded(self, plot: Any, colours: str, limits: tuple[float, float]) -> LinearColorMapper:
        """The scale of a strip of layers by rows, with its bar."""
        low, high = limits
        mapper = LinearColorMapper(
            palette=shades(colours), low=low, high=high, nan_color=self.look.unreached
        )
        plot.grid.visible = False
        plot.yaxis.axis_label = "layer ℓ"
        name_layers(plot.yaxis, ())
        plot.add_layout(self._bar(mapper, POWERS), "right")
        return mapper

    def _bar(self, mapper: LinearColorMapper, ticks: str) -> ColorBar:
        ticker = BasicTicker(min_interval=1, desired_num_ticks=5)
        return colour_bar(mapper, self.look, ticker, ticks, width=8, label_standoff=4)

    def _build_precision(self) -> Any:
        plot = self._on_steps("precision", _interval(0.5, 10.5), label=True)
        self._precisions = self._shaded(plot, self.look.precision, PRECISION_LIMITS)
        return plot

    def _build_total(self) -> Any:
        look = self.look
        plot = self._on_steps("total", _interval(*TOTAL_LIMITS))
        plot.yaxis.formatter = CustomJSTickFormatter(code=POWERS)
        plot.yaxis.ticker = BasicTicker(min_interval=1)
        named = ColumnDataSource({"x": [np.nan], "y": [np.nan]})  # lines of the legend only
        for label, line in {
            "ΣE": {"color": look.muted, "line_width": 1.2},
            "F": {"color": look.ink, "line_width": 2},
            "residual": {"color": look.accent, "line_width": 1.6, "line_dash": "5 3"},
        }.items():
            plot.line("x", "y", source=named, legend_label=label, **line)
        self._legend(plot, "top_right", "horizontal")
        self._rest_total = ColumnDataSource({"x": [], "y": []})
        plot.line(
            "x",
            "y",
            source=self._rest_total,
            color=look.accent,
            line_dash="8 3 2 3",
            line_width=1.4,
            legend_label="F*",
        )
        self._rest_named = plot.legend[0].items[-1]
        self._rest_named.visible = False
        return plot

    def _legend(self, plot: Any, place: str, orientation: str) -> None:
        legend = plot.legend
        legend.location, legend.orientation = place, orientation
        legend.background_fill_alpha = 0.6
        legend.background_fill_color = self.look.background
        legend.border_line_color = None
        legend.label_text_color = self.look.muted
        legend.label_text_font = FONT
        legend.label_text_font_size = "11px"
        legend.padding = legend.margin = 2
        legend.glyph_height = 12

    def _build_imbalance(self) -> Any:
        plot = self._on_steps("imbalance", _interval(0, 16), label=True)
        plot.yaxis.axis_label = "decades"
        self._why = self._note(plot, "fewer than two layers reached", 8)
        return plot

    def _note(self, plot: Any, text: str, y: float) -> Label:
        """Words in the place of curves that are not there."""
        note = Label(
            x=0,
            y=y,
            text=text,
            text_color=self.look.muted,
            text_font=FONT,
            text_font_size="12px",
            x_offset=8,
        )
        plot.add_layout(note)
        return note

    def _build_lines(self, name: str, limits: tuple[float, float], ticks: str) -> Any:
        """A figure of a curve for each layer."""
        plot = self._on_steps(name, _interval(*limits))
        plot.yaxis.formatter = CustomJSTickFormatter(code=ticks)
        if ticks is POWERS:
            plot.yaxis.ticker = BasicTicker(min_interval=1)
        return plot

    def _build_depth(self) -> Any:
        look = self.look
        plot = self._figure("depth", self.energy_axis, x_range=_interval(0.4, 10.6))
        plot.yaxis.formatter = CustomJSTickFormatter(code=POWERS)
        plot.yaxis.ticker = BasicTicker(min_interval=1)
        plot.xaxis.axis_label = "layer ℓ: input side left, output right"
        name_layers(plot.xaxis, ())
        self._predicted: dict[str, tuple[Any, ColumnDataSource, Any]] = {}
        for name, (text, dash) in PREDICTED.items():
            source = ColumnDataSource({"layer": [], "energy": []})
            drawn = plot.line(
                "layer",
                "energy",
                source=source,
                color=look.accent,
                line_dash=dash,
                line_width=1.6,
                legend_label=text,
                visible=False,
            )
            named = plot.legend[0].items[-1]
            self._predicted[name] = drawn, source, named
        self._legend(plot, "top_left", "vertical")
        plot.legend.visible = False
        return plot


def _interval(start: float, end: float) -> Any:
    """A range of an axis."""
    return Range1d(start=start, end=end)
