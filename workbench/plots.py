"""What do the live plots look like? Figures, axes and empty sources, built once.

Figures that share the step axis share one x range and one cursor.
"""

from collections.abc import Callable
from typing import Any

from bokeh.core.properties import value
from bokeh.events import Tap
from bokeh.models import (
    BasicTicker,
    ColorBar,
    ColumnDataSource,
    CustomJSTickFormatter,
    HoverTool,
    Label,
    LinearColorMapper,
    Range1d,
    Span,
    Title,
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
from workbench.blank import blank, title_line
from workbench.colour_bar import colour_bar
from workbench.look import FONT, palette, shades
from workbench.pictures import Pictures


class Plots:
    """All live plots, empty."""

    _error_lines: ColumnDataSource
    _error_ghosts: ColumnDataSource
    _error_dots: ColumnDataSource
    _alignment_lines: ColumnDataSource
    _alignment_ghosts: ColumnDataSource
    _alignment_dots: ColumnDataSource

    def __init__(self, theme: str, seek: Callable[[int], None]) -> None:
        """Build every figure, empty.

        Args:
            theme: "light" or "dark".
            seek: called with a row number when a step axis is tapped.
        """
        self.look = palette(theme)
        self._seek = seek
        self.x = _interval(-0.5, 20.5)
        self.energy_axis = _interval(*ENERGY_LIMITS)
        self._cursors: list[Span] = []
        self._marks = ColumnDataSource({"x": [], "text": [], "align": [], "level": []})
        self._updates = ColumnDataSource({"x": []})
        self._phases = ColumnDataSource({"x": [], "text": [], "align": [], "up": []})
        self.heat = self._build_heat()
        self.precision = self._build_precision()
        self.total = self._build_total()
        self.imbalance = self._build_imbalance()
        self.errors = self._build_lines("errors", "RMS error of each layer", (-8.0, 1.0), POWERS)
        self.alignment = self._build_lines("alignment", *COMPARISONS["alignment"])
        self._without = self._note(self.alignment, "no loss, no backprop", 0)
        self._without.visible = False
        self.depth = self._build_depth()
        title = title_line(self.look, "images")
        self.images = self._figure("images", _interval(-0.25, 2.25), title, x_range=_interval(0, 4))
        self.pictures = Pictures(self.images, title, self.look.accent)

    @property
    def figures(self) -> dict[str, Any]:
        """Every figure by its name."""
        names = "heat precision total imbalance errors alignment depth images".split()
        return {name: getattr(self, name) for name in names}

    def _figure(self, name: str, y_range: Range1d, title: Title, **options: Any) -> Any:
        own = {"y_range": y_range, "min_height": 110, **options}
        plot = blank(name, self.look, title, **own)
        plot.min_border_right = 12
        plot.min_border_bottom = 24
        return plot

    def _on_steps(self, name: str, y_range: Range1d, title: Title, *, label: bool = False) -> Any:
        """A figure over the shared step axis, with the cursor and the marks."""
        plot = self._figure(name, y_range, title, x_range=self.x)
        plot.min_border_left, plot.min_border_right = 54, 48
        plot.xaxis.axis_label = ROW_AXIS.format("batch") if label else None
        plot.xaxis.formatter = CustomJSTickFormatter(code="return tick % 1 ? '' : String(tick)")
        cursor = Span(dimension="height", location=0, line_color=self.look.ink, line_width=1.2)
        plot.add_layout(cursor)
        self._cursors.append(cursor)
        plot.on_event(Tap, self._tapped)
        return plot

    def _mark(self, plot: Any) -> None:
        """Beginnings of phases, weight updates and changes of the recipe, over everything else."""
        plot.vspan(
            x="x", source=self._phases, line_color=self.look.muted, line_width=1, line_alpha=0.6
        )
        plot.vspan(
            x="x", source=self._updates, line_color=self.look.muted, line_dash="2 3", line_width=1
        )
        plot.vspan(x="x", source=self._marks, line_color=self.look.accent, line_width=1.4)

    def _build_heat(self) -> Any:
        look = self.look
        self._heat_title = title_line(self.look, "energy of each layer")
        plot = self._on_steps("heat", _interval(0.5, 10.5), self._heat_title)
        low, high = ENERGY_LIMITS
        self._mapper = LinearColorMapper(
            palette=shades(look.energy), low=low, high=high, nan_color=look.unreached
        )
        self._heat = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        plot.image("image", "x", "y", "dw", "dh", source=self._heat, color_mapper=self._mapper)
        plot.grid.visible = False
        plot.yaxis.axis_label = "layer ℓ"
        plot.add_layout(self._bar(self._mapper, POWERS), "right")
        self._mark(plot)
        plot.text(
            x="x",
            y="level",
            text="text",
            source=self._marks,
            text_color=look.accent,
            text_font=value(FONT),
            text_font_size="11px",
            text_baseline="top",
            text_align="align",
            background_fill_color=look.background,
            background_fill_alpha=0.85,
        )
        plot.text(
            x="x",
            y=0.5,
            text="text",
            y_offset="up",
            text_align="align",
            source=self._phases,
            text_color=look.ink,
            text_font=value(FONT),
            text_font_size="11px",
            text_baseline="bottom",
            background_fill_color=look.background,
            background_fill_alpha=0.85,
        )
        return plot

    def _bar(self, mapper: LinearColorMapper, ticks: str) -> ColorBar:
        ticker = BasicTicker(min_interval=1, desired_num_ticks=5)
        return colour_bar(mapper, self.look, ticker, ticks, width=8, label_standoff=4)

    def _build_precision(self) -> Any:
        look = self.look
        plot = self._on_steps(
            "precision",
            _interval(0.5, 10.5),
            title_line(self.look, "precision Π of each layer"),
            label=True,
        )
        low, high = PRECISION_LIMITS
        mapper = self._precisions = LinearColorMapper(
            palette=shades(look.precision), low=low, high=high, nan_color=look.unreached
        )
        self._precision = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        plot.image("image", "x", "y", "dw", "dh", source=self._precision, color_mapper=mapper)
        plot.grid.visible = False
        plot.yaxis.axis_label = "layer ℓ"
        plot.add_layout(self._bar(mapper, POWERS), "right")
        self._mark(plot)
        return plot

    def _build_total(self) -> Any:
        look = self.look
        self._total_title = title_line(self.look, "total energy F and residual")
        plot = self._on_steps("total", _interval(*TOTAL_LIMITS), self._total_title)
        plot.yaxis.formatter = CustomJSTickFormatter(code=POWERS)
        plot.yaxis.ticker = BasicTicker(min_interval=1)
        self._totals = ColumnDataSource({"step": [], "total": [], "bare": [], "residual": []})
        self._ghost_totals = ColumnDataSource({"step": [], "total": [], "residual": []})
        self._mark(plot)
        for name, dash in (("total", "solid"), ("residual", "5 3")):
            plot.line(
                "step",
                name,
                source=self._ghost_totals,
                color=look.ghost,
                line_dash=dash,
                line_width=1.5,
            )
        plot.line(
            "step",
            "bare",
            source=self._totals,
            color=look.muted,
            line_width=1.2,
            legend_label="ΣE",
        )
        plot.line(
            "step", "total", source=self._totals, color=look.ink, line_width=2, legend_label="F"
        )
        plot.line(
            "step",
            "residual",
            source=self._totals,
            color=look.accent,
            line_width=1.6,
            line_dash="5 3",
            legend_label="residual",
        )
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
        self._total_dots = self._dots(plot)
        return plot

    def _dots(self, plot: Any) -> ColumnDataSource:
        """A dot on each curve at the cursor."""
        source = ColumnDataSource({"x": [], "y": [], "colour": []})
        plot.scatter("x", "y", source=source, color="colour", size=6, line_color=None)
        return source

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
        self._imbalance_title = title_line(self.look, "imbalance")
        plot = self._on_steps("imbalance", _interval(0, 16), self._imbalance_title, label=True)
        plot.yaxis.axis_label = "decades"
        self._imbalance = ColumnDataSource({"step": [], "imbalance": []})
        self._ghost_imbalance = ColumnDataSource({"step": [], "imbalance": []})
        self._mark(plot)
        plot.line(
            "step", "imbalance", source=self._ghost_imbalance, color=self.look.ghost, line_width=1.5
        )
        plot.line("step", "imbalance", source=self._imbalance, color=self.look.ink, line_width=2)
        self._imbalance_dots = self._dots(plot)
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

    def _build_lines(self, name: str, title: str, limits: tuple[float, float], ticks: str) -> Any:
        plot = self._on_steps(name, _interval(*limits), title_line(self.look, title))
        plot.yaxis.formatter = CustomJSTickFormatter(code=ticks)
        if ticks is POWERS:
            plot.yaxis.ticker = BasicTicker(min_interval=1)
        ghosts = ColumnDataSource({"xs": [], "ys": []})
        lines = ColumnDataSource({"xs": [], "ys": [], "colour": [], "layer": []})
        self._mark(plot)
        plot.multi_line(
            "xs", "ys", source=ghosts, line_color=self.look.ghost, line_width=1, line_alpha=0.5
        )
        drawn = plot.multi_line("xs", "ys", source=lines, line_color="colour", line_width=1.7)
        plot.add_tools(HoverTool(renderers=[drawn], tooltips=[("layer", "@layer")]))
        key = "error" if name == "errors" else name
        setattr(self, f"_{key}_lines", lines)
        setattr(self, f"_{key}_ghosts", ghosts)
        setattr(self, f"_{key}_dots", self._dots(plot))
        return plot

    def _build_depth(self) -> Any:
        look = self.look
        self._depth_title = title_line(self.look, "energy by depth")
        self._depth_title.update(offset=-34)  # it is the longest title over the narrowest plot
        plot = self._figure(
            "depth", self.energy_axis, self._depth_title, x_range=_interval(0.4, 10.6)
        )
        plot.yaxis.formatter = CustomJSTickFormatter(code=POWERS)
        plot.yaxis.ticker = BasicTicker(min_interval=1)
        plot.xaxis.axis_label = "layer ℓ: input side left, output right"
        self._ghost_profile = ColumnDataSource({"layer": [], "energy": []})
        self._profile = ColumnDataSource({"layer": [], "energy": [], "colour": []})
        self._missing = ColumnDataSource({"layer": [], "energy": []})
        plot.line("layer", "energy", source=self._ghost_profile, color=look.ghost, line_width=1.5)
        plot.scatter("layer", "energy", source=self._ghost_profile, color=look.ghost, size=5)
        plot.line("layer", "energy", source=self._profile, color=look.muted, line_width=1)
        plot.scatter(
            "layer", "energy", source=self._profile, color="colour", size=10, line_color=None
        )
        plot.scatter(
            "layer",
            "energy",
            source=self._missing,
            marker="x",
            size=7,
            line_color=look.muted,
        )
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

    def _tapped(self, event: Any) -> None:
        if event.x is not None:
            self._seek(max(0, round(event.x)))


def _interval(start: float, end: float) -> Any:
    """A range of an axis."""
    return Range1d(start=start, end=end)
