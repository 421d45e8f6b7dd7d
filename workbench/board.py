"""How is a frame drawn? The live plots: built once, their sources replaced in place.

Figures that share the step axis share one x range and one cursor. Nothing here knows the session: a
board takes a `Scene` and draws it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.core.properties import value
from bokeh.core.property.descriptors import UnsetValueError
from bokeh.events import Tap
from bokeh.models import (
    BasicTicker,
    ColorBar,
    ColumnDataSource,
    CustomJSTickFormatter,
    FixedTicker,
    HoverTool,
    Label,
    LinearColorMapper,
    Range1d,
    Span,
    Title,
)
from bokeh.plotting import figure
from matplotlib import colormaps
from matplotlib.colors import to_hex

from workbench.look import layer_colours, palette

if TYPE_CHECKING:
    from workbench.scene import Curves, Scene

ENERGY_LIMITS = (-10.0, 1.0)
"""First limits of log10 energy: fixed until the fit button asks for others."""

TOTAL_LIMITS = (-7.0, 2.0)
"""First limits of log10 of total energy and residual."""

POWERS = (
    "return '10' + String(tick).replace(/[-0-9]/g, c => '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'['-0123456789'.indexOf(c)])"
)
"""Ticks of a logarithm as powers of ten."""

PLAIN = "return Math.abs(tick) < 1e-9 ? '0' : String(+tick.toPrecision(3)).replace('-', '−')"


def shades(name: str, n: int = 256) -> list[str]:
    """A matplotlib colour map as hex colours."""
    return [to_hex(c) for c in colormaps[name](np.linspace(0, 1, n))]


class Board:
    """All live plots of one lane and its ghost."""

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
        self._layers = 0
        self._colours: list[str] = []
        self.x = _interval(-0.5, 20.5)
        self.energy_axis = _interval(*ENERGY_LIMITS)
        self._cursors: list[Span] = []
        self._last: Scene | None = None
        self._marks_drawn: Any = None
        self._marked: list[Any] = []
        self._marks = ColumnDataSource({"x": [], "text": [], "align": [], "level": []})
        self._updates = ColumnDataSource({"x": []})
        self.heat = self._build_heat()
        self.precision = self._build_precision()
        self.total = self._build_total()
        self.imbalance = self._build_imbalance()
        self.errors = self._build_lines("errors", "RMS error of each layer", (-8.0, 1.0), POWERS)
        self.alignment = self._build_lines(
            "alignment", "cosine to backprop, if stopped here", (-1.05, 1.05), PLAIN
        )
        self.depth = self._build_depth()
        self.images = self._build_images()

    @property
    def figures(self) -> dict[str, Any]:
        """Every figure by its name."""
        names = "heat precision total imbalance errors alignment depth images".split()
        return {name: getattr(self, name) for name in names}

    # Drawing -------------------------------------------------------------------------------------

    def draw(self, scene: "Scene") -> None:
        """Show a scene: replace what changed and move the cursor."""
        layers = scene.curves.energy.shape[1]
        if layers != self._layers:
            self._give_layers(layers)
        last = self._last
        moved = last is None or not _same_rows(last, scene)
        if moved:
            self._draw_rows(scene)
        self._draw_cursor(scene)
        self._last = scene

    def fit(self) -> None:
        """Set the energy limits to the decades that the rows in sight reach."""
        if self._last is None:
            return
        found = _log(self._last.curves.energy)
        if not np.isfinite(found).any():
            return
        low, high = np.floor(np.nanmin(found)), np.ceil(np.nanmax(found))
        self._limit(float(low), float(max(high, low + 1)))
        c = self._last.curves
        totals = np.concatenate([_log(c.total), _log(c.residual)])
        for plot, values in ((self.errors, _log(c.error)), (self.total, totals)):
            if np.isfinite(values).any():
                bottom, top = np.floor(np.nanmin(values)), np.ceil(np.nanmax(values))
                plot.y_range.update(start=float(bottom), end=float(max(top, bottom + 1)) + 0.2)

    def _limit(self, low: float, high: float) -> None:
        self._mapper.update(low=low, high=high)
        self.energy_axis.update(start=low, end=high)

    def _draw_rows(self, scene: "Scene") -> None:
        c = scene.curves
        first, last = int(c.step[0]), int(c.step[-1])
        end = max(last, first + 10, *scene.updates)
        self.x.update(start=first - 0.5, end=end + 0.5 + 0.02 * (end - first))
        layers = c.energy.shape[1]
        place = {"x": [first - 0.5], "y": [0.5], "dw": [last - first + 1], "dh": [layers]}
        self._heat.data = {"image": [_grid(_log(c.energy), c.step)], **place}
        self._precision.data = {"image": [_grid(_log(c.precision), c.step)], **place}
        self._totals.data = {
            "step": c.step,
            "total": _log(c.total),
            "bare": _log(c.raw.sum(1)),
            "residual": _log(c.residual),
        }
        self._imbalance.data = {"step": c.step, "imbalance": c.imbalance}
        self._error_lines.data = self._lines(c, _log(c.error))
        aligned = c.alignment if c.alignment.size else np.full(c.energy.shape, np.nan)
        self._alignment_lines.data = self._lines(c, aligned)
        self._draw_ghost(scene.ghost)
        self._draw_marks(scene)

    def _draw_ghost(self, ghost: "Curves | None") -> None:
        if ghost is None:
            for source in (self._ghost_totals, self._ghost_imbalance):
                source.data = {name: [] for name in source.column_names}
            for source in (self._error_ghosts, self._alignment_ghosts):
                source.data = {"xs": [], "ys": []}
            return
        self._ghost_totals.data = {
            "step": ghost.step,
            "total": _log(ghost.total),
            "residual": _log(ghost.residual),
        }
        self._ghost_imbalance.data = {"step": ghost.step, "imbalance": ghost.imbalance}
        for source, values in (
            (self._error_ghosts, _log(ghost.error)),
            (self._alignment_ghosts, ghost.alignment),
        ):
            columns = list(values.T)
            source.data = {"xs": [ghost.step] * len(columns), "ys": columns}

    def _draw_marks(self, scene: "Scene") -> None:
        drawn = (scene.changes, scene.updates)
        if drawn == self._marks_drawn:
            return
        self._marks_drawn = drawn
        middle = (self.x.start + self.x.end) / 2
        left = [row < middle for row, _ in scene.changes]
        self._marks.data = {
            "x": [row - 0.5 for row, _ in scene.changes],
            "text": [f" {text.replace('->', '→')} " for _, text in scene.changes],
            "align": ["left" if one else "right" for one in left],
            "level": [self._layers + 0.42 - 0.9 * (k % 3) for k in range(len(left))],
        }
        self._updates.data = {"x": [row + 0.5 for row in scene.updates]}

    def _draw_cursor(self, scene: "Scene") -> None:
        c, at = scene.curves, scene.at
        for span in self._cursors:
            span.location = scene.cursor
        here = [c.step[at]]
        self._total_dots.data = {
            "x": here * 2,
            "y": [_log(c.total[at]), _log(c.residual[at])],
            "colour": [self.look.ink, self.look.accent],
        }
        self._imbalance_dots.data = {
            "x": here,
            "y": [c.imbalance[at]],
            "colour": [self.look.ink],
        }
        layers_here = here * c.energy.shape[1]
        self._error_dots.data = {"x": layers_here, "y": _log(c.error[at]), "colour": self._colours}
        cosines = c.alignment[at] if c.alignment.size else np.full(len(layers_here), np.nan)
        self._alignment_dots.data = {"x": layers_here, "y": cosines, "colour": self._colours}
        layers = np.arange(1, c.energy.shape[1] + 1)
        reached = c.reached[at]
        energy = _log(c.energy[at])
        self._profile.data = {
            "layer": layers[reached],
            "energy": energy[reached],
            "colour": np.array(self._colours)[reached],
        }
        missing = layers[~reached]
        self._missing.data = {
            "layer": missing,
            "energy": [self.energy_axis.start + 0.3] * len(missing),
        }
        ghost = scene.ghost
        if ghost is not None and len(ghost.step):
            near = int(np.abs(ghost.step - scene.cursor).argmin())
            seen = ghost.reached[near]
            behind: dict[str, Any] = {
                "layer": layers[seen],
                "energy": _log(ghost.energy[near])[seen],
            }
        else:
            behind = {"layer": [], "energy": []}
        self._ghost_profile.data = behind
        self._say(scene)
        self._draw_images(scene)

    def _say(self, scene: "Scene") -> None:
        """The numbers under the cursor, in the titles."""
        c, at = scene.curves, scene.at
        count, layers = int(c.reached[at].sum()), c.energy.shape[1]
        t = int(c.t[at])
        self._heat_title.text = f"energy of each layer  ·  step {t}, batch {int(c.batch[at])}"
        self._total_title.text = (
            f"total F {_short(c.total[at])} nat  ·  residual {_short(c.residual[at])}"
        )
        found = c.imbalance[at]
        self._why.visible = not np.isfinite(c.imbalance).any()
        self._why.x = int(c.step[0])
        decades = f"{found:.2f} decades" if np.isfinite(found) else "undefined"
        self._imbalance_title.text = f"imbalance {decades}  ·  {count} of {layers} reached"
        slope, r2 = scene.slope
        fit = f"slope {slope:+.2f}, R² {r2:.2f}" if np.isfinite(slope) else "no slope yet"
        self._depth_title.text = f"energy by depth  ·  {fit}"

    def _draw_images(self, scene: "Scene") -> None:
        pictures, texts, title = _tiles(scene)
        names = list(pictures)
        count = max((len(p) for p in pictures.values()), default=0)
        if not count:
            self._pictures.data = {name: [] for name in self._pictures.column_names}
            return
        height, width = next(iter(pictures.values())).shape[1:]
        across = self._across(count, len(names))
        rows = len(names) * -(-count // across)
        sheet = np.full((rows * height, across * width), np.nan)
        for k, name in enumerate(names):
            for i, one in enumerate(pictures[name]):
                top = (len(names) * (i // across) + k) * height
                left = (i % across) * width
                sheet[top : top + height, left : left + width] = one
        sheet = np.flipud(sheet).astype(np.float32)
        if not _same_picture(self._pictures, sheet):
            self._pictures.data = {
                "image": [sheet],
                "x": [0],
                "y": [0],
                "dw": [across],
                "dh": [rows],
            }
        self._square(across, rows)
        placed = {
            "x": [i % across + 0.04 for i in range(len(texts))],
            "y": [rows - len(names) * (i // across) - 0.03 for i in range(len(texts))],
            "text": texts,
        }
        if dict(self._texts.data) != placed:
            self._texts.data = placed
        self._images_title.text = title

    def _room(self) -> tuple[float, float]:
        """Size of the plot of images in the browser, (1, 1) before it has told."""
        try:
            return self.images.inner_width or 1, self.images.inner_height or 1
        except UnsetValueError:
            return 1, 1

    def _resized(self, attr: str, old: Any, new: Any) -> None:
        if self._last is not None:
            self._draw_images(self._last)

    def _across(self, count: int, stacked: int) -> int:
        """How many pictures side by side make them largest."""
        wide, high = self._room()
        return max(
            range(1, count + 1),
            key=lambda n: (min(wide / n, high / (stacked * -(-count // n))), -n),
        )

    def _square(self, across: int, rows: int) -> None:
        """Ranges in which a picture's pixels are square, as far as the browser told its size."""
        wide, high = self._room()
        unit = min(wide / across, high / rows)
        spare_x, spare_y = wide / unit - across, high / unit - rows
        self.images.x_range.update(start=-spare_x / 2, end=across + spare_x / 2)
        self.images.y_range.update(start=-spare_y / 2, end=rows + spare_y / 2)

    def _lines(self, c: "Curves", values: Any) -> dict[str, Any]:
        columns = list(values.T)
        return {
            "xs": [c.step] * len(columns),
            "ys": columns,
            "colour": self._colours,
            "layer": list(range(1, len(columns) + 1)),
        }

    # Building ------------------------------------------------------------------------------------

    def _give_layers(self, layers: int) -> None:
        """Axes and colours for another number of layers."""
        self._layers = layers
        self._colours = layer_colours(layers, self.look.name)
        self._last = None
        every = max(1, round(layers / 10))
        ticks = list(range(1, layers + 1, every))
        for plot in (self.heat, self.precision):
            plot.y_range.update(start=0.5, end=layers + 0.5)
            plot.yaxis.ticker = FixedTicker(ticks=ticks)
        self.depth.x_range.update(start=0.4, end=layers + 0.6)
        self.depth.xaxis.ticker = FixedTicker(ticks=ticks)

    def _figure(self, name: str, y_range: Range1d, title: Title, **options: Any) -> Any:
        look = self.look
        plot = figure(
            name=name,
            y_range=y_range,
            title=title,
            tools="",
            toolbar_location=None,
            sizing_mode="stretch_both",
            min_width=150,
            min_height=110,
            background_fill_color=look.background,
            border_fill_color=look.background,
            outline_line_color=None,
            output_backend="canvas",
            lod_threshold=None,
            **options,
        )
        plot.min_border_top = 2
        plot.min_border_right = 12
        plot.min_border_bottom = 24
        plot.grid.grid_line_color = look.grid
        plot.grid.grid_line_alpha = 0.6
        axes = plot.axis
        axes.axis_line_color = look.grid
        axes.major_tick_line_color = look.grid
        axes.minor_tick_line_color = None
        axes.major_label_text_color = look.muted
        axes.axis_label_text_color = look.muted
        axes.major_label_text_font = axes.axis_label_text_font = FONT
        axes.major_label_text_font_size = axes.axis_label_text_font_size = "11px"
        axes.axis_label_text_font_style = "normal"
        axes.axis_label_standoff = 2
        return plot

    def _title(self, text: str) -> Title:
        return Title(
            text=text,
            text_color=self.look.ink,
            text_font=FONT,
            text_font_size="12px",
            text_font_style="normal",
            standoff=4,
        )

    def _on_steps(self, name: str, y_range: Range1d, title: Title, *, label: bool = False) -> Any:
        """A figure over the shared step axis, with the cursor and the marks."""
        plot = self._figure(name, y_range, title, x_range=self.x)
        plot.min_border_left, plot.min_border_right = 54, 48
        plot.xaxis.axis_label = "row (t runs from 0 in each batch)" if label else None
        plot.xaxis.formatter = CustomJSTickFormatter(code="return tick % 1 ? '' : String(tick)")
        cursor = Span(dimension="height", location=0, line_color=self.look.ink, line_width=1.2)
        plot.add_layout(cursor)
        self._cursors.append(cursor)
        plot.on_event(Tap, self._tapped)
        return plot

    def _mark(self, plot: Any) -> None:
        """Changes of the recipe and weight updates, over everything else."""
        plot.vspan(
            x="x", source=self._updates, line_color=self.look.muted, line_dash="2 3", line_width=1
        )
        plot.vspan(x="x", source=self._marks, line_color=self.look.accent, line_width=1.4)

    def _build_heat(self) -> Any:
        look = self.look
        self._heat_title = self._title("energy of each layer")
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
        return plot

    def _bar(self, mapper: LinearColorMapper, ticks: str) -> ColorBar:
        return ColorBar(
            color_mapper=mapper,
            width=8,
            padding=4,
            label_standoff=4,
            background_fill_alpha=0,
            major_label_text_color=self.look.muted,
            major_label_text_font=FONT,
            major_label_text_font_size="10px",
            bar_line_color=None,
            major_tick_line_color=None,
            ticker=BasicTicker(min_interval=1, desired_num_ticks=5),
            formatter=CustomJSTickFormatter(code=ticks),
        )

    def _build_precision(self) -> Any:
        look = self.look
        plot = self._on_steps(
            "precision", _interval(0.5, 10.5), self._title("precision Π of each layer"), label=True
        )
        mapper = LinearColorMapper(
            palette=shades(look.precision), low=-4, high=0, nan_color=look.unreached
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
        self._total_title = self._title("total energy F and residual")
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
            legend_label="E, unweighted",
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
        self._legend(plot)
        self._total_dots = self._dots(plot)
        return plot

    def _dots(self, plot: Any) -> ColumnDataSource:
        """A dot on each curve at the cursor."""
        source = ColumnDataSource({"x": [], "y": [], "colour": []})
        plot.scatter("x", "y", source=source, color="colour", size=6, line_color=None)
        return source

    def _legend(self, plot: Any) -> None:
        legend = plot.legend
        legend.location = "top_right"
        legend.orientation = "horizontal"
        legend.background_fill_alpha = 0.6
        legend.background_fill_color = self.look.background
        legend.border_line_color = None
        legend.label_text_color = self.look.muted
        legend.label_text_font = FONT
        legend.label_text_font_size = "11px"
        legend.padding = legend.margin = 2
        legend.glyph_height = 12

    def _build_imbalance(self) -> Any:
        self._imbalance_title = self._title("imbalance")
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
        self._why = Label(
            x=0,
            y=8,
            text="fewer than two layers reached",
            text_color=self.look.muted,
            text_font=FONT,
            text_font_size="12px",
            x_offset=8,
        )
        plot.add_layout(self._why)
        return plot

    def _build_lines(self, name: str, title: str, limits: tuple[float, float], ticks: str) -> Any:
        plot = self._on_steps(name, _interval(*limits), self._title(title))
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
        self._depth_title = self._title("energy by depth")
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
        return plot

    def _build_images(self) -> Any:
        look = self.look
        self._images_title = self._title("images")
        plot = self._figure(
            "images",
            _interval(-0.25, 2.25),
            self._images_title,
            x_range=_interval(0, 4),
            match_aspect=False,
        )
        plot.axis.visible = False
        plot.grid.visible = False
        plot.on_change("inner_width", self._resized)
        plot.on_change("inner_height", self._resized)
        self._gray = LinearColorMapper(
            palette=shades(look.image), low=-1, high=1, nan_color=look.background
        )
        self._pictures = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        self._texts = ColumnDataSource({"x": [], "y": [], "text": []})
        plot.image("image", "x", "y", "dw", "dh", source=self._pictures, color_mapper=self._gray)
        plot.text(
            "x",
            "y",
            "text",
            source=self._texts,
            text_color="#ffffff",
            text_font=value(FONT),
            text_font_size="11px",
            text_baseline="top",
            background_fill_color="#000000",
            background_fill_alpha=0.55,
        )
        return plot

    def pixels(self, low: float, high: float) -> None:
        """The range of grey."""
        self._gray.update(low=low, high=high)

    def _tapped(self, event: Any) -> None:
        if event.x is not None:
            self._seek(max(0, round(event.x)))


FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"


def _interval(start: float, end: float) -> Any:
    """A range of an axis."""
    return Range1d(start=start, end=end)


def _log(values: Any) -> Any:
    """log10, nan where there is nothing to take it of."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log10(np.asarray(values, dtype=float))
    return np.where(np.isfinite(found), found, np.nan).astype(np.float32)


def _grid(values: Any, step: Any) -> Any:
    """(n, L) as an image of one column per row number, also where rows were thinned."""
    first, last = int(step[0]), int(step[-1])
    if last - first + 1 == len(step):
        return np.ascontiguousarray(values.T)
    at = np.searchsorted(step, np.arange(first, last + 1), side="right") - 1
    return np.ascontiguousarray(values[at].T)


def _same_rows(a: "Scene", b: "Scene") -> bool:
    """Whether two scenes draw the same rows."""
    return (
        a.lane == b.lane
        and len(a.curves.step) == len(b.curves.step)
        and int(a.curves.step[-1]) == int(b.curves.step[-1])
        and int(a.curves.step[0]) == int(b.curves.step[0])
        and (a.ghost is None) == (b.ghost is None)
        and a.changes == b.changes
    )


def _same_picture(source: ColumnDataSource, sheet: Any) -> bool:
    held = source.data["image"]
    return len(held) == 1 and np.array_equal(held[0], sheet, equal_nan=True)


def _tiles(scene: "Scene") -> tuple[dict[str, Any], list[str], str]:
    """Rows of pictures, a text for each sample, and the title."""
    pictures = scene.images
    names = [n for n in ("input", "prediction", "swept", "image") if n in pictures]
    if "image" in pictures:
        names = ["image"]
    chosen = {name: pictures[name] for name in names}
    texts = [f" {label} " for label in scene.labels]
    if len(scene.probability):
        guess = scene.probability.argmax(1)
        sure = scene.probability.max(1)
        texts = [
            f" {label} → {g}  {p:.2f} "
            for label, g, p in zip(scene.labels, guess, sure, strict=False)
        ]
        right = int((guess == scene.labels[: len(guess)]).sum())
        return chosen, texts, f"images: label → class of μ, {right} of {len(guess)} agree"
    if "swept" in chosen:
        mse = scene.errors
        return (
            chosen,
            texts,
            f"input, μ (MSE {_short(mse['prediction'])}), sweep (MSE {_short(mse['swept'])})",
        )
    if "image" in chosen:
        return chosen, texts, "h₀, the free image, for each clamped label"
    return chosen, texts, "images"


def _short(value: float) -> str:
    return f"{value:.3g}" if np.isfinite(value) else "not finite"
