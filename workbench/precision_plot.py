"""How is a table of precisions drawn? One picture, built once; its cells are replaced in place."""

from collections.abc import Callable
from typing import Any

import numpy as np
from bokeh.core.properties import value
from bokeh.events import SelectionGeometry, Tap
from bokeh.models import (
    BasicTicker,
    BoxSelectTool,
    ColumnDataSource,
    CustomJSTickFormatter,
    HoverTool,
    LinearColorMapper,
    Range1d,
    Span,
)
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from workbench.axes import POWERS, PRECISION_LIMITS
from workbench.blank import blank, name_layers, title_line
from workbench.colour_bar import colour_bar
from workbench.look import FONT, Palette, shades, short
from workbench.precision_draft import Block
from workbench.precision_place import Place
from workbench.precision_table import Sheet, columns_of, ratios

PRECISION, RATIO = "precision", "ratio"

WIDE = 364
"""Pixels of all steps."""

LEFT, RIGHT, BELOW = 38, 46, 38
"""Pixels beside the cells."""

LETTER = 5.4
"""Pixels of a digit in a cell; a point needs half of it."""

TALL = (12, 19)
"""Pixels of a layer, at least where there is room, and at most."""

HIGHEST = 290
"""Pixels of all layers, at most."""


class PrecisionPlot:
    """Cells of steps by layers, with what is chosen and where the relaxation stands."""

    def __init__(self, look: Palette, choose: Callable[[Block], None]) -> None:
        """Build it, empty.

        Args:
            look: colours.
            choose: called with the block of cells that is tapped or dragged over.
        """
        self._look, self._choose = look, choose
        self._shape = (1, 1)
        self._drawn: Any = None
        self._title = title_line(look)
        self._palettes = {PRECISION: shades(look.precision), RATIO: shades(look.diverging)}
        low, high = PRECISION_LIMITS
        self.mapper = LinearColorMapper(
            palette=self._palettes[PRECISION], low=low, high=high, nan_color=look.unreached
        )
        box = BoxSelectTool(renderers=[])
        box.overlay.update(fill_color=look.accent, fill_alpha=0.15, line_color=look.accent)  # type: ignore[attr-defined]
        ranges = {"x_range": Range1d(start=-0.5, end=0.5), "y_range": Range1d(start=0.5, end=1.5)}
        self.figure = plot = blank(
            "table", look, self._title, tools=[box], active_drag=box, **ranges
        )
        plot.update(sizing_mode=None, width=None, height=None)
        plot.update(frame_width=WIDE, frame_height=HIGHEST // 2)
        plot.update(min_border_left=LEFT, min_border_right=RIGHT, min_border_bottom=BELOW)
        plot.grid.visible = False
        plot.xaxis.axis_label = "step t"
        plot.xaxis.ticker = BasicTicker(min_interval=1)
        plot.yaxis.axis_label = "layer ℓ"
        self.cells = _empty("image", "precision", "formula", "x", "y", "dw", "dh")
        self.numbers = _empty("x", "y", "text", "colour")
        self.chosen = _empty("left", "right", "bottom", "top")
        places = {name: name for name in ("image", "x", "y", "dw", "dh")}
        drawn = plot.image(**places, source=self.cells, color_mapper=self.mapper)
        told = [("Π", "@precision{0.[000000]}"), ("formula", "@formula{0.[000000]}")]
        plot.add_tools(HoverTool(renderers=[drawn], tooltips=told))
        ticker = BasicTicker(min_interval=1, desired_num_ticks=5)
        plot.add_layout(
            colour_bar(self.mapper, look, ticker, POWERS, width=8, label_standoff=4), "right"
        )
        plot.text(
            x="x",
            y="y",
            text="text",
            source=self.numbers,
            text_color="colour",
            text_font=value(FONT),
            text_font_size="9px",
            text_align="center",
            text_baseline="middle",
        )
        self.held = self._span(look.ghost, "2 2")
        self.now = self._span(look.accent, "solid")
        plot.quad(
            **{name: name for name in self.chosen.column_names},
            source=self.chosen,
            fill_alpha=0,
            line_color=look.accent,
            line_width=2,
        )
        plot.on_event(Tap, self._tapped)
        plot.on_event(SelectionGeometry, self._boxed)

    def _span(self, colour: str, dash: str) -> Span:
        span = Span(dimension="height", location=-1, line_color=colour, line_dash=dash)
        span.visible = False
        self.figure.add_layout(span)
        return span

    def draw(self, sheet: Sheet, place: Place, shows: str, limits: tuple[float, float]) -> None:
        """Show a table.

        Args:
            sheet: the table.
            place: its layers.
            shows: the precisions, or their ratio to the formula's.
            limits: of the colours of log10 precision, at least.
        """
        now = sheet, place.depth, place.names, shows, limits
        if self._drawn is not None and all(
            a is b or (not isinstance(a, Sheet) and a == b)
            for a, b in zip(now, self._drawn, strict=True)
        ):
            return
        self._drawn = now
        column = columns_of(place.depth)
        values, formula = sheet.values[:, column], sheet.formula[:, column]
        if values.shape != self._shape:
            self._give_room(*values.shape)
        self._name(place.names)
        logs = ratios(values, formula) if shows == RATIO else _log(values)
        low, high = self._scale(shows, logs, limits)
        T, layers = values.shape
        self.cells.data = {
            "image": [_sheet(np.clip(logs, low, high))],
            "precision": [_sheet(values)],
            "formula": [_sheet(formula)],
            "x": [-0.5],
            "y": [0.5],
            "dw": [T + 1],
            "dh": [layers],
        }
        self._title.text = {
            PRECISION: "precision Π of each layer at each step",
            RATIO: f"precision by that of {sheet.title}",
        }[shows]
        self._number(values, formula, logs, shows, (low, high))

    def frame(self, block: Block | None) -> None:
        """Frame the cells that are chosen."""
        found: dict[str, Any] = {"left": [], "right": [], "bottom": [], "top": []}
        if block is not None:
            t0, t1, l0, l1 = block
            found = {"left": [t0 - 0.5], "right": [t1 + 0.5]}
            found |= {"bottom": [l0 + 0.5], "top": [l1 + 1.5]}
        if dict(self.chosen.data) != found:
            self.chosen.data = found

    def stand(self, t: int | None) -> None:
        """Mark the step at which the relaxation stands; past the end it is the last one."""
        there = t is not None
        at = min(t or 0, self._shape[0])
        if (self.now.visible, self.now.location) != (there, at):
            self.now.update(visible=there, location=at)

    def _give_room(self, T: int, layers: int) -> None:
        """Axes and size for another shape."""
        self._shape = T, layers
        self.figure.x_range.update(start=-0.5, end=T + 0.5)
        self.figure.y_range.update(start=0.5, end=layers + 0.5)
        self.held.update(visible=True, location=T - 0.5)
        self.figure.frame_height = round(min(HIGHEST, max(90, TALL[1] * layers)))
        self.figure.xaxis.formatter = CustomJSTickFormatter(
            code=f"return tick % 1 || tick < 0 || tick > {T} ? '' : String(tick)"
        )

    def _name(self, names: tuple[str, ...]) -> None:
        """Layers by their names, as on the plots."""
        name_layers(self.figure.yaxis, names, self.figure.frame_height / TALL[0])

    def _scale(
        self, shows: str, logs: NDArray[Any], limits: tuple[float, float]
    ) -> tuple[float, float]:
        """Colours of the plot of precisions, or of ratios about one."""
        finite = logs[np.isfinite(logs)]
        if shows == RATIO:
            high = max(1.0, float(np.ceil(np.abs(finite).max()))) if finite.size else 1.0
            low = -high
        else:
            low, high = limits
            if finite.size:
                low = min(low, float(np.floor(finite.min())))
                high = max(high, float(np.ceil(finite.max())))
        self.mapper.update(palette=self._palettes[shows], low=low, high=high)
        return low, high

    def _number(
        self,
        values: NDArray[Any],
        formula: NDArray[Any],
        logs: NDArray[Any],
        shows: str,
        limits: tuple[float, float],
    ) -> None:
        """Write numbers into the cells that have room for them."""
        T, layers = values.shape
        wide, (low, high) = WIDE / (T + 1), limits
        found: dict[str, Any] = {"x": [], "y": [], "text": [], "colour": []}
        if self.figure.frame_height / layers >= TALL[0] and wide >= 2 * LETTER:
            with np.errstate(divide="ignore", invalid="ignore"):
                shown = values if shows == PRECISION else np.where(logs == 0, 1.0, values / formula)
            at = (np.clip(np.nan_to_num(logs, nan=low), low, high) - low) / (high - low)
            dark = _is_dark(self._palettes[shows])[np.rint(255 * at).astype(int)]
            for t, layer in np.ndindex(values.shape):
                text = _brief(float(shown[t, layer]))
                if _room(text) > wide or (shows == RATIO and not logs[t, layer]):
                    continue
                found["x"].append(t)
                found["y"].append(layer + 1)
                found["text"].append(text)
                void = shows == PRECISION and not values[t, layer]
                ink = "#ffffff" if dark[t, layer] else "#000000"
                found["colour"].append(self._look.muted if void else ink)
        if dict(self.numbers.data) != found:
            self.numbers.data = found

    def _tapped(self, event: Any) -> None:
        if event.x is not None and event.y is not None:
            self._pick(event.x, event.x, event.y, event.y)

    def _boxed(self, event: Any) -> None:
        """A block that was dragged over."""
        box = event.geometry
        if event.final and box.get("type") == "rect":
            self._pick(box["x0"], box["x1"], box["y0"], box["y1"])

    def _pick(self, x0: float, x1: float, y0: float, y1: float) -> None:
        """Choose the cells between two corners; the held step stands for the last one."""
        T, layers = self._shape
        (x0, x1), (y0, y1) = sorted((x0, x1)), sorted((y0, y1))
        if x1 < -0.5 or x0 > T + 0.5 or y1 < 0.5 or y0 > layers + 0.5:
            return
        steps = [min(max(round(x), 0), T - 1) for x in (x0, x1)]
        tall = [min(max(round(y), 1), layers) - 1 for y in (y0, y1)]
        self._choose((steps[0], steps[1], tall[0], tall[1]))


def _empty(*names: str) -> ColumnDataSource:
    return ColumnDataSource({name: [] for name in names})


def _sheet(values: NDArray[Any]) -> NDArray[Any]:
    """(T, L) as an image of layers by steps; its last step is held."""
    return np.ascontiguousarray(np.vstack([values, values[-1:]]).T.astype(np.float32))


def _log(values: NDArray[Any]) -> NDArray[Any]:
    """log10; nan where a layer is switched off."""
    with np.errstate(divide="ignore"):
        found = np.log10(values)
    return np.where(np.isfinite(found), found, np.nan)


def _brief(number: float) -> str:
    """A number for a narrow cell."""
    if not np.isfinite(number):
        return "∞"
    text = short(number).replace("e-0", "e-").replace("e+0", "e")
    return text.removeprefix("0") if text.startswith("0.") else text


def _room(text: str) -> float:
    """Pixels that a text needs."""
    return LETTER * (len(text) - 0.5 * text.count(".")) + 2


def _is_dark(palette: list[str]) -> NDArray[np.bool_]:
    """On which colours white letters are read better than black ones."""
    rgb = np.array([to_rgb(one) for one in palette])
    return rgb @ (0.299, 0.587, 0.114) < 0.5
