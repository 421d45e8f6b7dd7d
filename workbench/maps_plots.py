"""How are maps drawn on the page? Three figures, built once, whose sources are replaced."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from bokeh.events import Tap
from bokeh.models import (
    ColorBar,
    ColumnDataSource,
    FixedTicker,
    LinearColorMapper,
    Range1d,
)
from numpy.typing import NDArray

from workbench.blank import blank, title_line
from workbench.colour_bar import colour_bar
from workbench.look import CLEAR, Palette, shades, short
from workbench.maps import SHOWN, Maps
from workbench.maps_draw import Scale, Tiles, fading, largest
from workbench.maps_field import Unit
from workbench.pictures import pixels

WIDE, HIGH = 424, 250
"""Pixels of the sheet of channels, at most."""

SIDE = 204
"""Pixels of a map over the image."""

EDGE = 11
"""Pixels beside a figure, for the ends of its scale."""

LEAST = 16
"""Pixels of the sheet's height, at least."""

SHORT = """const size = Math.abs(tick);
return size && (size < 1e-3 || size >= 1e4) ? tick.toExponential(0) : String(tick);"""
"""Round numbers in few letters."""

DIM = 0.5
"""How bright the image is drawn, so that what lies over it stands out."""


class MapsPlots:
    """The channels of a layer, its error over places, and what one unit reads."""

    def __init__(self, look: Palette, choose: Callable[[Unit], None]) -> None:
        """Build the figures, empty.

        Args:
            look: colours.
            choose: called with the unit that is tapped.
        """
        self._look, self._choose = look, choose
        self._maps: Maps | None = None
        self._tiles: Tiles | None = None
        self._scale, self._spread_scale = Scale(), Scale()
        self._fading, self._opaque = fading(look.energy), shades(look.energy)
        self._mapper = self._colours(shades(look.diverging), look.background)
        self.channels = self._figure("maps", WIDE, HIGH)
        self._bar = self._add_bar(self.channels, self._mapper)
        self._sheet = _empty("image", "x", "y", "dw", "dh")
        self._grid = _empty("x0", "y0", "x1", "y1")
        self._chosen = _empty("left", "right", "bottom", "top")
        places = {name: name for name in ("image", "x", "y", "dw", "dh")}
        self.channels.image(**places, source=self._sheet, color_mapper=self._mapper)
        self.channels.segment(
            **{name: name for name in self._grid.column_names},
            source=self._grid,
            line_color=look.ghost,
            line_width=1,
        )
        self._frame(self.channels, self._chosen, 2.0)
        self.channels.on_event(Tap, self._tapped)
        self.spread, self._spread = self._overlay("spread")
        self.spread.on_event(Tap, self._tapped_place)
        self.field, self._field = self._overlay("field")

    def draw(self, maps: Maps, shows: str, *, anew: bool = False) -> None:
        """Show a layer.

        Args:
            maps: what was looked at.
            shows: which of `SHOWN` the channels are of.
            anew: whether the scales begin anew with these values.
        """
        self._maps = maps
        self._draw_channels(maps, shows, anew)
        self._draw_spread(maps, anew)
        self._draw_field(maps)

    # Building ------------------------------------------------------------------------------------

    def _figure(self, name: str, width: int, height: int) -> Any:
        title = title_line(self._look)
        ranges = {"x_range": Range1d(start=0, end=1), "y_range": Range1d(start=0, end=1)}
        plot = blank(name, self._look, title, **ranges)
        plot.update(sizing_mode=None, width=None, height=None)
        plot.update(frame_width=width, frame_height=height)
        plot.update(min_border_left=EDGE, min_border_right=EDGE, min_border_bottom=2)
        plot.axis.visible = plot.grid.visible = False
        return plot

    def _colours(self, palette: list[str], missing: str) -> LinearColorMapper:
        return LinearColorMapper(palette=palette, low=-1, high=1, nan_color=missing)

    def _add_bar(self, plot: Any, mapper: LinearColorMapper) -> ColorBar:
        """A scale below a figure, with its ends and middle named."""
        under = {"orientation": "horizontal", "height": 7, "margin": 0, "label_standoff": 2}
        bar = colour_bar(mapper, self._look, FixedTicker(ticks=[]), SHORT, **under)
        plot.add_layout(bar, "below")
        return bar

    def _frame(self, plot: Any, source: ColumnDataSource, width: float) -> None:
        """A rectangle around what is chosen."""
        plot.quad(
            **{name: name for name in source.column_names},
            source=source,
            fill_alpha=0,
            line_color=self._look.accent,
            line_width=width,
        )

    def _overlay(self, name: str) -> tuple[Any, dict[str, Any]]:
        """A figure with an image, a map over it and a frame."""
        plot = self._figure(name, SIDE, SIDE)
        plot.title.text_font_size = "11px"
        over = self._colours(self._fading, CLEAR)
        opaque = self._colours(self._opaque, CLEAR)
        bar = self._add_bar(plot, opaque)
        sources = {part: _empty("image", "x", "y", "dw", "dh") for part in ("image", "over")}
        places = {one: one for one in ("image", "x", "y", "dw", "dh")}
        plot.image_rgba(**places, source=sources["image"])
        plot.image(**places, source=sources["over"], color_mapper=over)
        frame = _empty("left", "right", "bottom", "top")
        self._frame(plot, frame, 1.6)
        return plot, {**sources, "mappers": (over, opaque), "bar": bar, "frame": frame}

    # Drawing -------------------------------------------------------------------------------------

    def _draw_channels(self, maps: Maps, shows: str, anew: bool) -> None:
        values = maps.values.get(shows)
        plot, name = self.channels, SHOWN[shows][0]
        if values is None:
            self._tiles = None
            self._bar.visible = False
            for source in (self._sheet, self._grid, self._chosen):
                _clear(source)
            plot.title.text = f"layer {maps.name} is clamped: no force moves it"
            return
        tiles = Tiles.of(values.shape, (WIDE, HIGH))
        of = maps.lane, maps.wanted.layer, maps.wanted.sample, shows
        limit = self._scale.limit(of, values, anew=anew)
        _scale(self._bar, [self._mapper], -limit, limit)
        _put(self._sheet, tiles.sheet(values), tiles.width, tiles.height)
        high = round(min(HIGH, max(WIDE * tiles.height / tiles.width, LEAST)))
        plot.frame_height = high
        _square(plot, tiles.width, tiles.height, WIDE / high)
        if tiles != self._tiles:
            self._tiles = tiles
            self._grid.data = _lines(tiles)
        corner = tiles.corner(maps.unit)
        self._chosen.data = _rectangle(
            None if corner is None else (corner[1], corner[1] + 1, corner[0], corner[0] + 1),
            tiles.height,
        )
        said = [f"{name} of layer {maps.name}", _size(maps, tiles), _peak(values)]
        plot.title.text = "  ·  ".join(said)

    def _draw_spread(self, maps: Maps, anew: bool) -> None:
        parts, spread = self._spread, maps.spread
        wide, high = _backdrop(self.spread, parts, maps)
        if spread is None:
            _hide(parts)
            self.spread.title.text = f"layer {maps.name} has no places"
            return
        of = maps.lane, maps.wanted.layer, maps.wanted.sample
        limit = self._spread_scale.limit(of, spread, anew=anew)
        _scale(parts["bar"], parts["mappers"], 0, limit)
        _put(parts["over"], spread, wide, high)
        rows, columns = spread.shape
        _, r, c = maps.unit
        box = _scaled((r, r + 1, c, c + 1), (rows, columns), (high, wide))
        parts["frame"].data = _rectangle(box, high)
        self.spread.title.text = f"RMS of e at each of {_size_of(spread)} places"

    def _draw_field(self, maps: Maps) -> None:
        parts, read = self._field, maps.read
        if read.heat is None:
            _hide(parts)
            _backdrop(self.field, parts, maps)
            self.field.title.text = "nothing to differentiate by"
            return
        _scale(parts["bar"], parts["mappers"], 0, Scale().limit(None, read.heat))
        parts["mappers"][0].palette = self._fading if read.places else self._opaque
        if not read.places:
            line = max(8, math.isqrt(len(read.heat) - 1) + 1)
            tiles = Tiles.of((len(read.heat), 1, 1), (SIDE, SIDE), line=line)
            _clear(parts["image"])
            _clear(parts["frame"])
            _put(parts["over"], tiles.sheet(read.heat[..., None]), tiles.width, tiles.height)
            _square(self.field, tiles.width, tiles.height, 1)
            self.field.title.text = f"reads {maps.source}: {len(read.heat)} units without places"
            return
        wide, high = _backdrop(self.field, parts, maps)
        _put(parts["over"], read.heat, wide, high)
        box = read.box and _scaled(read.box, read.heat.shape, (high, wide))
        parts["frame"].data = _rectangle(box, high)
        extent = "" if read.box is None else f", {_extent(read.box)} of {_size_of(read.heat)}"
        flat = "" if read.heat.any() else "; flat here"
        self.field.title.text = f"reads {maps.source}{extent}{flat}"

    # Choosing ------------------------------------------------------------------------------------

    def _tapped(self, event: Any) -> None:
        if self._tiles is None or event.x is None:
            return
        unit = self._tiles.unit_at(event.x, self._tiles.height - event.y)
        if unit is not None:
            self._choose(unit)

    def _tapped_place(self, event: Any) -> None:
        """Another place of the same channel."""
        maps = self._maps
        if maps is None or maps.spread is None or event.x is None:
            return
        rows, columns = maps.spread.shape
        high, wide = _room(maps)
        row = math.floor((high - event.y) * rows / high)
        column = math.floor(event.x * columns / wide)
        if 0 <= row < rows and 0 <= column < columns:
            self._choose((maps.unit[0], row, column))


def _empty(*names: str) -> ColumnDataSource:
    return ColumnDataSource({name: [] for name in names})


def _clear(source: ColumnDataSource) -> None:
    if len(source.data[source.column_names[0]]):
        source.data = {name: [] for name in source.column_names}


def _hide(parts: dict[str, Any]) -> None:
    """Leave only the image."""
    _clear(parts["over"])
    _clear(parts["frame"])
    parts["bar"].visible = False


def _put(source: ColumnDataSource, sheet: NDArray[Any], wide: float, high: float) -> None:
    """One picture whose first row is on top."""
    image = np.ascontiguousarray(np.flipud(sheet))
    source.data = {"image": [image], "x": [0], "y": [0], "dw": [wide], "dh": [high]}


def _square(plot: Any, wide: float, high: float, shape: float) -> None:
    """Ranges in which cells are square in a frame of this width by height, from the top left."""
    across, down = max(wide, high * shape), max(high, wide / shape)
    plot.x_range.update(start=0, end=across)
    plot.y_range.update(start=high - down, end=high)


def _lines(tiles: Tiles) -> dict[str, Any]:
    """Lines between tiles."""
    wide, high = tiles.width, tiles.height
    columns = [k * tiles.columns for k in range(1, tiles.across)]
    rows = [k * tiles.rows for k in range(1, tiles.down)]
    return {
        "x0": [*columns, *[0] * len(rows)],
        "x1": [*columns, *[wide] * len(rows)],
        "y0": [*[0] * len(columns), *rows],
        "y1": [*[high] * len(columns), *rows],
    }


def _rectangle(box: Any, high: float) -> dict[str, Any]:
    """A frame around (first row, row behind the last, first column, column behind it), or none."""
    if box is None:
        return {"left": [], "right": [], "bottom": [], "top": []}
    top, bottom, left, right = box
    return {"left": [left], "right": [right], "bottom": [high - bottom], "top": [high - top]}


def _scaled(box: Any, from_: tuple[int, ...], to: tuple[float, float]) -> tuple[float, ...]:
    """A box of places of one size in those of another, both (rows, columns)."""
    down, across = to[0] / from_[0], to[1] / from_[1]
    return box[0] * down, box[1] * down, box[2] * across, box[3] * across


def _room(maps: Maps) -> tuple[float, float]:
    """Height and width over which maps lie: the image's, or those of the layer itself."""
    shown = maps.image if maps.image is not None else next(iter(maps.values.values()))
    return shown.shape[1], shown.shape[2]


def _backdrop(plot: Any, parts: dict[str, Any], maps: Maps) -> tuple[float, float]:
    """Draw the image below the maps, if it is another; returns its width and height."""
    high, wide = _room(maps)
    _square(plot, wide, high, 1)
    if maps.image is None:
        _clear(parts["image"])
        return wide, high
    image = pixels(maps.image, *maps.pixels, dim=DIM)
    held = parts["image"].data["image"]
    if not (len(held) and np.array_equal(np.flipud(held[0]), image)):
        _put(parts["image"], image, wide, high)
    return wide, high


def _scale(bar: ColorBar, mappers: Any, low: float, high: float) -> None:
    """Set the ends of a scale and name them."""
    for one in mappers:
        one.update(low=low, high=high)
    bar.ticker.ticks = [low, (low + high) / 2, high]  # type: ignore[attr-defined]
    bar.visible = True


def _size(maps: Maps, tiles: Tiles) -> str:
    """How many channels of which size, or how many units."""
    shape = next(iter(maps.values.values())).shape
    if not maps.has_places:
        return f"{shape[0] * shape[1] * shape[2]} units, no places"
    drawn = "" if tiles.channels == shape[0] else f"{tiles.channels} of "
    return f"{drawn}{shape[0]} channels of {shape[1]} × {shape[2]}"


def _peak(values: NDArray[Any]) -> str:
    """The largest magnitude, or why there is none."""
    lost = int((~np.isfinite(values)).sum())
    if lost:
        return f"{lost} not finite"
    peak = largest(values)
    return f"largest {short(peak)}" if peak else "all zero"


def _size_of(heat: NDArray[Any]) -> str:
    return f"{heat.shape[0]} × {heat.shape[1]}"


def _extent(box: Any) -> str:
    return f"{box[1] - box[0]} × {box[3] - box[2]}"
