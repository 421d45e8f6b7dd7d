"""How is the course of a run drawn? Figures that are built once and get other numbers.

Axes are those of the data, in whole decades where they are logarithms, and stay where a person has
put them. A quantity that is not there is greyed, with the reason in its place.
"""

import math
from typing import Any

import numpy as np
from bokeh.events import DoubleTap
from bokeh.models import (
    BasicTicker,
    ColorBar,
    ColumnDataSource,
    CustomJSTickFormatter,
    HoverTool,
    Label,
    LinearColorMapper,
    Range1d,
    Title,
)

from workbench.axes import PLAIN, POWERS
from workbench.blank import blank, title_line
from workbench.colour_bar import colour_bar
from workbench.look import FONT, Palette, layer_colours, palette, shades
from workbench.runs_course import WIDTH, Course, Curve
from workbench.runs_relaxation import Relaxed

SPAN = 16
"""Most decades of a logarithmic axis; what lies lower is drawn at its foot."""

POINTS = 1_000
"""Most points of all layers' lines together are this many times `LINES`."""

LINES = 16

MOVES = "xpan,xwheel_zoom"

FEW = 30
"""Up to so many batches each one gets a dot."""

CURVES = {
    "accuracy": ("accuracy on test data", PLAIN, False),
    "energy": ("energy of layers (nat)", POWERS, True),
    "imbalance": ("imbalance (decades)", PLAIN, False),
    "update_norm": ("norm of weight updates", POWERS, True),
    "update_alignment": ("cosine of updates to backprop's", PLAIN, False),
    "smm": ("SMM of a batch", PLAIN, False),
    "seconds": ("seconds of a batch", PLAIN, False),
}
"""Title, ticks, and whether the axis is logarithmic."""

LEAST = {"accuracy": (0.0, 1.0), "update_alignment": (-1.05, 1.05), "imbalance": (0.0, 1.0)}
"""What an axis shows at least, or, for a bounded quantity, always."""

SHOWN = {"mean": "mean", "least": "least", "largest": "largest"}
"""What the map of energies may show of each block of rows."""


class Plots:
    """A map of energies, and one figure for each curve."""

    def __init__(self, theme: str) -> None:
        """Build every figure, empty."""
        self.look, self._theme = palette(theme), theme
        self.batches = Range(self.look)
        self.heat = Heat(self.look)
        self.lines = {name: Lines(name, self.batches.axis, theme) for name in CURVES}
        for one in self.lines.values():
            one.figure.on_event(DoubleTap, lambda _: self.batches.free())
        for name in ("update_alignment", "smm", "seconds"):
            self.lines[name].figure.xaxis.axis_label = "batch"

    @property
    def figures(self) -> dict[str, Any]:
        """Every figure by its name."""
        return {"heat": self.heat.figure} | {n: one.figure for n, one in self.lines.items()}

    def draw(self, course: Course, row: str, shown: str, relaxed: Relaxed | None = None) -> None:
        """Show a course.

        Args:
            course: of a lane.
            row: which rows the energies are of, in words.
            shown: a key of `SHOWN`.
            relaxed: the batch whose map takes the place of that of all rows.
        """
        curves = course.curves.values()
        numbers = [one.batch for one in curves if len(one.batch)]
        ends = [min(one[0] for one in numbers), max(one[-1] for one in numbers)] if numbers else []
        self.batches.hold(*ends) if ends else self.batches.hold(0, 1)
        for name, lines in self.lines.items():
            note = f", {row}" if name in ("energy", "imbalance") else ""
            lines.draw(course.curves.get(name), course.why.get(name, ""), note)
        self.heat.draw(course, shown, relaxed)

    def free(self) -> None:
        """Let the axis of batches follow the data again."""
        self.batches.free()


class Range:
    """The shared axis of batches: follows the data until a person moves it."""

    def __init__(self, look: Palette) -> None:
        """Begin at nothing."""
        self.axis: Any = Range1d(start=-0.5, end=1.5)
        self._set = (-0.5, 1.5)

    def hold(self, first: float, last: float) -> None:
        """Show these batches, with room that the end need not move each time."""
        moved = (self.axis.start, self.axis.end) != self._set
        room = max(0.5, 0.02 * (last - first))
        wanted = (float(first) - room, float(last) + room)
        if not moved and wanted != self._set:
            self._set = wanted
            self.axis.update(start=wanted[0], end=wanted[1])

    def free(self) -> None:
        """Forget that a person has moved it."""
        self.axis.update(start=self._set[0], end=self._set[1])


class Lines:
    """One figure over batches: one line, or one for each layer."""

    def __init__(self, name: str, axis: Any, theme: str) -> None:
        """Build it, empty."""
        self.name, self._theme, look = name, theme, palette(theme)
        self._look = look
        text, ticks, self.logarithmic = CURVES[name]
        self._text = text
        self._title = title_line(look, text)
        self._y: Any = Range1d(start=0.0, end=1.0)
        self.figure = plot = dressed(name, look, self._title, x_range=axis, y_range=self._y)
        plot.yaxis.formatter = CustomJSTickFormatter(code=ticks)
        if self.logarithmic:
            plot.yaxis.ticker = BasicTicker(min_interval=1, desired_num_ticks=4)
        else:
            plot.yaxis.ticker = BasicTicker(desired_num_ticks=4)
        self._lines = ColumnDataSource({"xs": [], "ys": [], "colour": [], "layer": []})
        self._dots = ColumnDataSource({"x": [], "y": [], "colour": []})
        drawn = plot.multi_line("xs", "ys", source=self._lines, line_color="colour", line_width=1.6)
        plot.scatter("x", "y", source=self._dots, color="colour", size=4, line_color=None)
        plot.add_tools(HoverTool(renderers=[drawn], tooltips=[("", "@layer"), ("batch", "$x{0}")]))
        self._why = Why(plot, look)
        self.points = 0
        self.why = ""

    def draw(self, curve: Curve | None, why: str, note: str = "") -> None:
        """Show a curve, or why there is none."""
        self.why = why if curve is None or not curve.finite else ""
        self._why.say(self.why)
        if curve is None or not curve.finite:
            self._empty()
            return
        x, values = sparse(curve.batch, curve.values.astype(float))
        several = values.ndim == 2
        values = values if several else values[:, None]
        if self.logarithmic:
            values = np.log10(np.where(values > 0, values, np.nan))
        foot = self._limit(values)
        values = np.where(values < foot, foot, values)
        at_foot = f", foot ≤ {power(foot)}" if foot > -math.inf else ""
        self._title.text = self._text + note + at_foot
        L = values.shape[1]
        colours = layer_colours(L, self._theme) if several else [self._look.ink]
        names = [f"layer {layer + 1}" if several else self._text for layer in range(L)]
        if several and self.name == "accuracy":
            colours, names = [self._look.ink, self._look.muted], ["top 1", "top 5"]
            self._title.text += ", top 1 and top 5"
        self._lines.data = {
            "xs": [x] * L,
            "ys": [values[:, layer] for layer in range(L)],
            "colour": colours,
            "layer": names,
        }
        dots = len(x) <= FEW
        self._dots.data = {
            "x": np.tile(x, L) if dots else [],
            "y": values.T.ravel() if dots else [],
            "colour": [one for one in colours for _ in x] if dots else [],
        }
        self.points = int(np.isfinite(values).sum())

    def _empty(self) -> None:
        self._title.text = self._text
        self.points = 0
        if len(self._lines.data["xs"]):
            self._lines.data = {"xs": [], "ys": [], "colour": [], "layer": []}
            self._dots.data = {"x": [], "y": [], "colour": []}

    def _limit(self, values: np.ndarray) -> float:
        """Set the axis to the data; returns its foot where something lies lower."""
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
        foot = -math.inf
        if self.logarithmic:
            low, high = math.floor(low), math.floor(high) + 1
            if low < high - SPAN:
                low = foot = high - SPAN
            room = 0.0
        else:
            least = LEAST.get(self.name, (0.0, high))
            low, high = min(low, least[0]), max(high, least[1])
            room = 0.04 * ((high - low) or 1.0)
        self._y.update(start=low - room, end=high + room)
        return foot


class Why:
    """Greys a figure and says why there is nothing in it."""

    def __init__(self, plot: Any, look: Palette) -> None:
        """Begin with a figure that has something in it."""
        self._plot, self._look = plot, look
        self._text = ""
        self._label = Label(
            x=8,
            y=8,
            x_units="screen",
            y_units="screen",
            text="",
            text_color=look.muted,
            text_font=FONT,
            text_font_size="12px",
            visible=False,
        )
        plot.add_layout(self._label)

    def say(self, text: str) -> None:
        """Give the reason, or "" where there is something to see."""
        if text == self._text:
            return
        self._text = text
        plot, look = self._plot, self._look
        self._label.update(text=text, visible=bool(text))
        ground = look.page if text else look.background
        plot.update(background_fill_color=ground, border_fill_color=ground)
        plot.title.text_color = look.muted if text else look.ink
        for part in (*plot.axis, *plot.grid):
            part.visible = not text


class Heat:
    """The energies of all rows, layer by block of rows."""

    def __init__(self, look: Palette) -> None:
        """Build it, empty."""
        self._look = look
        self._title = title_line(look, "energy of each layer (nat)")
        self._x: Any = Range1d(start=0, end=1)
        self._y: Any = Range1d(start=0.5, end=1.5)
        self.figure = plot = dressed(
            "heat", look, self._title, x_range=self._x, y_range=self._y, tools="xpan"
        )
        plot.grid.grid_line_color = None
        plot.xaxis.axis_label = "row"
        plot.yaxis.ticker = BasicTicker(min_interval=1, desired_num_ticks=5)
        self._mapper = LinearColorMapper(
            palette=shades(look.energy), low=-10, high=1, nan_color=look.unreached
        )
        names = ("image", "least", "mean", "largest", "x", "y", "dw", "dh")
        self._nothing: Any = {name: [] for name in names}
        self._source = ColumnDataSource(self._nothing)
        drawn = plot.image(
            "image", "x", "y", "dw", "dh", source=self._source, color_mapper=self._mapper
        )
        words = [("row", "$x{0}"), ("layer", "$y{0}")]
        words += [(name, f"@{name}") for name in SHOWN]
        plot.add_tools(HoverTool(renderers=[drawn], tooltips=words))
        plot.add_layout(_bar(self._mapper, look), "right")
        self._why = Why(plot, look)
        self.why = ""
        self.blocks = 0

    def draw(self, course: Course, shown: str, relaxed: Relaxed | None = None) -> None:
        """Show the energies of a course, least, mean or largest of each block, or one batch."""
        whole = course.whole if relaxed is None else relaxed.whole
        self.why = course.why.get("whole", "" if whole is not None else "no row yet")
        label = "row" if relaxed is None else f"step of batch {relaxed.batch:,}"
        if self.figure.xaxis.axis_label != label:
            self.figure.xaxis.axis_label = label
        self._why.say(self.why)
        if whole is None:
            self.blocks = 0
            self._title.text = "energy of each layer (nat)"
            if len(self._source.data["x"]):
                self._source.data = self._nothing
            return
        L = whole.mean.shape[1]
        first, end = float(whole.step[0]), float(whole.ends[-1])
        drawn = whole.pictured(WIDTH)
        images = {name: [getattr(drawn, name).T.astype(np.float32)] for name in SHOWN}
        logs = _logs(getattr(drawn, shown))
        finite = logs[np.isfinite(logs)]
        low, high = (float(finite.min()), float(finite.max())) if len(finite) else (-10.0, 1.0)
        low, high = math.floor(low), math.floor(high) + 1
        self._mapper.update(low=max(low, high - SPAN), high=high)
        self._source.data = {
            "image": [np.ascontiguousarray(logs.T, dtype=np.float32)],
            **images,
            "x": [first - 0.5],
            "y": [0.5],
            "dw": [end - first],
            "dh": [L],
        }
        self._x.update(start=first - 0.5, end=end - 0.5)
        self._y.update(start=0.5, end=L + 0.5)
        self.blocks = len(drawn.step)
        if relaxed is not None:
            self._title.text = relaxed.title
            return
        most = max(int(whole.count.max()), math.ceil(drawn.count.max()))
        of = f"{SHOWN[shown]} of blocks of up to {most} rows" if most > 1 else "every row"
        self._title.text = f"energy of each layer (nat), {of}"


def dressed(
    name: str, look: Palette, title: Title, x_range: Any, y_range: Any, tools: str = MOVES
) -> Any:
    """An empty figure in the colours of the page."""
    plot = blank(name, look, title, x_range=x_range, y_range=y_range, tools=tools)
    plot.min_border_left = 52
    plot.min_border_right = 14
    plot.xaxis.ticker = BasicTicker(desired_num_ticks=5, min_interval=1)
    plot.xaxis.formatter = CustomJSTickFormatter(code="return tick % 1 ? '' : String(tick)")
    return plot


def sparse(x: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """So few points that they can be drawn: evenly chosen, the last one always."""
    layers = values.shape[1] if values.ndim == 2 else 1
    most = max(2, POINTS * LINES // max(layers, LINES))
    if len(x) <= most:
        return x, values
    at = np.unique(np.linspace(0, len(x) - 1, most).round().astype(int))
    return x[at], values[at]


def power(exponent: float) -> str:
    """A power of ten in plain letters."""
    return "10" + f"{exponent:.0f}".translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _logs(energy: np.ndarray) -> np.ndarray:
    """log10, nan where there is none."""
    values = np.asarray(energy, dtype=float)
    there = np.isfinite(values) & (values > 0)
    return np.where(there, np.log10(np.where(there, values, 1.0)), np.nan)


def _bar(mapper: LinearColorMapper, look: Palette) -> ColorBar:
    ticker = BasicTicker(min_interval=1, desired_num_ticks=4)
    return colour_bar(mapper, look, ticker, POWERS, width=8, label_standoff=4)
