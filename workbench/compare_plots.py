"""How is a comparison drawn? HoloViews figures with one step axis, one cursor, and linked brushing.

The figures of a `Canvas` are built once for what is compared; new rows are piped into them, so that
zoom, cursor and selection stay. The line under the pointer moves in the browser alone.
"""

from collections.abc import Callable, Sequence
from typing import Any

import holoviews as hv
import numpy as np
import panel as pn
from bokeh.models import BasicTicker, CustomJS, CustomJSTickFormatter, Range1d, Span, TextInput
from holoviews.selection import link_selections
from holoviews.streams import Pipe

from workbench import comparing as c
from workbench.compare_axes import TITLES
from workbench.compare_scene import Line, Map, Pair, points
from workbench.look import CLEAR, FONT, OKABE_ITO, Palette, layer_colours, shades

HEIGHT = 232
"""Pixels of a plot."""

DASHES = ("solid", "dashed", "dotdash", "dotted")
"""After all colours were used the next style of line begins."""

STROKES = {"solid": "", "dashed": "6 4", "dotdash": "2 4 6 4", "dotted": "2 4"}
"""The same in SVG."""

DECADES = """
const sup = n => String(n).replace(/[-0-9]/g, c => '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'['-0123456789'.indexOf(c)]);
if (Number.isInteger(tick)) return '10' + sup(tick);
return ticks.filter(Number.isInteger).length > 1 ? '' : String(+(10 ** tick).toPrecision(2));"""
"""Ticks of a logarithm: powers of ten, and plain numbers where fewer than two are in sight."""

PLACES = """
const a = Math.abs(tick), short = n => String(+n.toPrecision(6)).replace('-', '−');
return a >= 1e6 ? short(tick / 1e6) + ' M' : a >= 1e4 ? short(tick / 1e3) + ' k' : short(tick);"""
"""Ticks of the shared axis."""

TINT = "73"
"""Opacity of what only one lane has, as the end of a colour."""

HOVER = "for (const one of spans) one.setv({location: cb_obj.x}, {sync: false});"
LEAVE = "for (const one of spans) one.setv({location: null}, {sync: false});"
TAP = "heard.value = 'at ' + cb_obj.x + ' ' + Date.now();"

if not hv.Store.renderers:
    hv.extension("bokeh")


def colour(k: int) -> str:
    """Of a lane by its position."""
    return OKABE_ITO[k % len(OKABE_ITO)]


def dash(k: int) -> str:
    """The style of a lane's line: with its colour no two of 24 are alike."""
    return DASHES[(k + k // len(OKABE_ITO)) % len(DASHES)]


def key(k: int) -> str:
    """A stroke as the lane's lines are drawn."""
    strokes = STROKES[dash(k)]
    return (
        f'<svg class="key" viewBox="0 0 30 10"><line x1="0" y1="5" x2="30" y2="5" '
        f'stroke="{colour(k)}" stroke-width="3" stroke-dasharray="{strokes}"/></svg>'
    )


class Followed:
    """A range that grows with its data until somebody zooms."""

    def __init__(self) -> None:
        """Begin without data."""
        self.range = Range1d(start=0.0, end=1.0)
        self._full = (0.0, 1.0)

    @property
    def shown(self) -> tuple[float, float]:
        """From where to where it shows."""
        limits: Any = self.range
        return float(limits.start), float(limits.end)

    @property
    def zoomed(self) -> bool:
        """Whether it shows something else than all."""
        shown, full = self.shown, self._full
        slack = 1e-6 * max(abs(full[1] - full[0]), 1e-12)
        return any(abs(a - b) > slack for a, b in zip(shown, full, strict=True))

    def free(self) -> None:
        """Show all again."""
        self.range.update(start=self._full[0], end=self._full[1])

    def fit(self, low: float, high: float, *, force: bool = False) -> None:
        """Take over what there is to see; the view moves along unless somebody has zoomed."""
        if not (np.isfinite(low) and np.isfinite(high)):
            return
        low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
        stays = self.zoomed and not force
        self._full = (low, high)
        self.range.update(reset_start=low, reset_end=high)
        if not stays:
            self.range.update(start=low, end=high)


class Canvas:
    """The plots of one choice of lanes and quantities."""

    def __init__(self, look: Palette, axis: str, x: Followed, heard: TextInput) -> None:
        """Begin without a plot.

        Args:
            look: the colours.
            axis: one of `compare_axes.TITLES`.
            x: the range of the axis, which outlives this canvas.
            heard: told "at PLACE" when somebody clicks.
        """
        self.look, self.axis, self.x, self.heard = look, axis, x, heard
        line: dict[str, Any] = {"dimension": "height", "level": "overlay"}
        self._hovers = [Span(line_color=look.muted, line_width=1, **line) for _ in range(16)]
        self._cursors = [Span(line_color=look.accent, line_width=1.5, **line) for _ in range(16)]
        self._partings = [
            Span(line_color=look.ink, line_width=1.2, line_dash="4 4", **line) for _ in range(16)
        ]
        self._used = 0
        self._pipes: dict[str, Pipe] = {}
        self._limits: dict[str, Followed] = {}
        self.linked = link_selections.instance(
            selected_color=None, unselected_alpha=0.15, cross_filter_mode="overwrite"
        )

    # Building ------------------------------------------------------------------------------------

    def curves(self, name: str, label: str, log: bool, shown: Sequence[Line]) -> Any:
        """A pane with curves and bands of `comparing.CURVES`."""
        limits = self._limits[name] = Followed()
        hook = self._hook(limits, label, log)
        return self._pane(name, lambda data: self._curves(data, hook), shown)

    def map(self, name: str, title: str, height: int, shown: Any) -> Any:
        """A pane with the map of one lane; `shown` is the map and the limits of its colours."""
        hook = self._hook(self._layers(name, height), title, layers=True)
        return self._pane(name, lambda data: self._map(data, hook), shown)

    def difference(self, title: str, shown: Pair) -> Any:
        """A pane with the map of A - B."""
        limits = self._layers("difference", len(shown.found.layer))
        hook = self._hook(limits, title, layers=True)
        stream = self._pipes["difference"] = Pipe(data=shown)
        held = self.linked(
            hv.DynamicMap(lambda data: self._difference(data, hook), streams=[stream])
        )
        tints = hv.DynamicMap(self._tints, streams=[stream])
        return self._as_pane(held * tints)

    def cloud(self, label: str, shown: Pair) -> Any:
        """A pane with A against B, one point a row and layer."""
        stream = self._pipes["cloud"] = Pipe(data=shown)
        held = self.linked(hv.DynamicMap(lambda data: self._cloud(data, label), streams=[stream]))
        equal = hv.Slope(1, 0).opts(color=self.look.muted, line_width=1, line_dash="dashed")
        return self._as_pane(held * equal)

    def distances(self, label: str, shown: Any) -> Any:
        """A pane with the distance of each state; `shown` is (x, log10 distance, states)."""
        limits = self._limits["distances"] = Followed()
        hook = self._hook(limits, label, log=True)
        return self._pane("distances", lambda data: self._distances(data, hook), shown)

    def _pane(self, name: str, draw: Callable[[Any], Any], shown: Any) -> Any:
        stream = self._pipes[name] = Pipe(data=shown)
        return self._as_pane(hv.DynamicMap(draw, streams=[stream]))

    def _as_pane(self, drawn: Any) -> Any:
        return pn.pane.HoloViews(
            drawn, linked_axes=False, sizing_mode="stretch_width", height=HEIGHT, margin=0
        )

    def _layers(self, name: str, height: int) -> Followed:
        limits = self._limits[name] = Followed()
        limits.fit(0.5, height + 0.5)
        return limits

    # Showing -------------------------------------------------------------------------------------

    def show(self, name: str, shown: Any) -> None:
        """Draw new rows in a plot."""
        self._pipes[name].send(shown)

    def fit(self, name: str, values: Sequence[Any]) -> None:
        """Let the upper and lower limit of a plot follow these values."""
        finite = [one[np.isfinite(one)] for one in map(np.asarray, values)]
        held = np.concatenate([one for one in finite if one.size] or [np.zeros(0)])
        if held.size:
            low, high = float(held.min()), float(held.max())
            room = 0.06 * (high - low) or 0.5
            self._limits[name].fit(low - room, high + room)

    def place_cursor(self, x: float | None) -> None:
        """Where the cursor stands in every plot."""
        for one in self._cursors[: self._used]:
            one.location = x

    def place_parting(self, x: float | None) -> None:
        """Where A and B part, in every plot."""
        for one in self._partings[: self._used]:
            one.location = x

    # Elements ------------------------------------------------------------------------------------

    def _curves(self, shown: Sequence[Line], hook: Any) -> Any:
        drawn: list[Any] = []
        for one in shown:
            own = colour(one.lane)
            if one.low is not None and one.high is not None:
                band = hv.Polygons(_bands(one.x, one.low, one.high), ["x", "y"])
                drawn.append(band.opts(color=own, alpha=0.22, line_width=0))
            kept = np.isfinite(one.x)
            curve = hv.Curve((one.x[kept], one.y[kept]), "x", "y", label=one.label)
            drawn.append(curve.opts(color=own, line_dash=dash(one.lane), line_width=1.8))
        if not drawn:
            drawn = [hv.Curve(([], []), "x", "y")]
        bands = any(one.low is not None for one in shown)  # they have long names
        return hv.Overlay(drawn).opts(
            responsive=True, height=HEIGHT, apply_ranges=False, hooks=[hook], show_title=False,
            show_legend=True, legend_position="top", legend_cols=1 if bands else 6,
            toolbar=None, active_tools=["xbox_zoom"],
            default_tools=["xpan", "xbox_zoom", "xwheel_zoom", "reset"],
        )  # fmt: skip

    def _map(self, data: tuple[Map, tuple[float, float], bool], hook: Any) -> Any:
        look, (shown, limits, log) = self.look, data
        values = np.where(shown.gaps, limits[0] - 1e6, shown.values)
        return _image(values[:, :, None], shown.bounds, ["value"]).opts(
            cmap=shades(look.energy), clim=limits,
            clipping_colors={"NaN": look.unreached, "min": CLEAR},
            colorbar=True, clabel=" ", colorbar_opts=self._bar(log), responsive=True, height=HEIGHT,
            apply_ranges=False, hooks=[hook], toolbar=None, active_tools=["xbox_zoom"],
            default_tools=["xpan", "xbox_zoom", "xwheel_zoom", "reset"],
        )  # fmt: skip

    def _difference(self, shown: Pair, hook: Any) -> Any:
        look, grid = self.look, shown.grid
        size = shown.found.reach or 1.0
        held = np.dstack([grid.laid(one) for one in (shown.found.values, shown.a, shown.b)])
        return _image(held, grid.bounds, ["difference", "A", "B"]).opts(
            cmap=shades(look.diverging), clim=(-size, size),
            clipping_colors={"NaN": CLEAR}, colorbar=True, clabel=" ",
            colorbar_opts=self._bar(False), responsive=True, height=HEIGHT, apply_ranges=False,
            hooks=[hook], toolbar="right", active_tools=["box_select"], tools=["box_select"],
            default_tools=["xpan", "xbox_zoom", "xwheel_zoom", "reset"],
        )  # fmt: skip

    def _tints(self, data: Pair) -> Any:
        """Layers that only A or only B has reached, in the colours of these; or neither."""
        kinds = (c.ONLY_A, c.ONLY_B, c.NEITHER)
        only = np.select([data.found.there == one for one in kinds], [0.0, 1.0, 2.0], -1.0)
        only = np.nan_to_num(data.grid.laid(only), nan=-1.0)
        return _image(only[:, :, None], data.grid.bounds, ["only"]).opts(
            cmap=[colour(0) + TINT, colour(1) + TINT, self.look.unreached], clim=(-0.5, 2.5),
            apply_ranges=False,
            clipping_colors={"min": CLEAR},
        )  # fmt: skip

    def _cloud(self, data: Pair, label: str) -> Any:
        look = self.look
        held = points(data)
        layers = data.found.layer
        cloud = hv.Points(held, ["A", "B"], ["x", "layer", "difference"])
        return cloud.opts(
            color="layer", cmap=layer_colours(max(len(layers), 2), look.name), size=5,
            clim=(float(layers.min()), float(layers.max() + (len(layers) == 1))),
            responsive=True, height=HEIGHT, hooks=[self._plain_hook], xlabel=f"A: {label}",
            ylabel=f"B: {label}", toolbar="right", tools=["box_select"], line_color=None,
            default_tools=["pan", "wheel_zoom", "reset"], active_tools=["box_select"],
            framewise=True,
        )  # fmt: skip

    def _distances(self, data: tuple[Any, Any, Any], hook: Any) -> Any:
        x, logs, states = data
        colours = layer_colours(len(states), self.look.name)
        drawn = [
            hv.Curve((x, logs[:, k]), "x", "y", label=f"h{state}").opts(
                color=colours[k], line_width=1.6
            )
            for k, state in enumerate(states)
        ]
        return hv.Overlay(drawn).opts(
            responsive=True, height=HEIGHT, apply_ranges=False, hooks=[hook], toolbar=None,
            show_legend=len(states) <= 12, legend_position="right",
            active_tools=["xbox_zoom"],
            default_tools=["xpan", "xbox_zoom", "xwheel_zoom", "reset"],
        )  # fmt: skip

    def _bar(self, log: bool) -> dict[str, Any]:
        look = self.look
        shown = {"formatter": CustomJSTickFormatter(code=DECADES)} if log else {}
        return shown | {
            "width": 8, "padding": 4, "label_standoff": 4, "background_fill_alpha": 0,
            "major_label_text_color": look.muted, "major_label_text_font": FONT,
            "major_label_text_font_size": "10.5px", "bar_line_color": None,
            "major_tick_line_color": None, "ticker": BasicTicker(desired_num_ticks=5),
        }  # fmt: skip

    # Looks and links -----------------------------------------------------------------------------

    def _hook(
        self, limits: Followed, title: str, log: bool = False, *, layers: bool = False
    ) -> Any:
        """Gives a figure the shared axis, the cursor and the look, once."""
        k = self._used
        self._used += 1
        spans = [self._hovers[k], self._cursors[k], self._partings[k]]

        def dress(plot: Any, element: Any) -> None:
            figure = plot.state
            if figure.x_range is self.x.range:
                return
            figure.x_range, figure.y_range = self.x.range, limits.range
            for span in spans:
                figure.add_layout(span)
            args = {"spans": self._hovers}
            figure.js_on_event("mousemove", CustomJS(args=args, code=HOVER))
            figure.js_on_event("mouseleave", CustomJS(args=args, code=LEAVE))
            figure.js_on_event("tap", CustomJS(args={"heard": self.heard}, code=TAP))
            style(figure, self.look)
            figure.xaxis.axis_label = TITLES[self.axis]
            figure.xaxis.formatter = CustomJSTickFormatter(code=PLACES)
            figure.yaxis.axis_label = title
            if layers:
                figure.grid.visible = False
                figure.yaxis.ticker = BasicTicker(min_interval=1, mantissas=[1, 2, 5])
            if log:
                figure.yaxis.formatter = CustomJSTickFormatter(code=DECADES)

        return dress

    def _plain_hook(self, plot: Any, element: Any) -> None:
        figure = plot.state
        style(figure, self.look)
        for axis in (figure.xaxis, figure.yaxis):
            axis.formatter = CustomJSTickFormatter(code="return String(tick).replace('-', '−')")


def _image(values: Any, bounds: tuple[float, float, float, float], names: list[str]) -> Any:
    """An image of (L, W, names), layer 1 at the bottom."""
    return hv.Image(values[::-1], bounds=bounds, kdims=["x", "layer"], vdims=names)


def _bands(x: Any, low: Any, high: Any) -> list[dict[str, Any]]:
    """A polygon for each stretch of rows that have a band; none bridges a gap."""
    there = np.isfinite(x) & np.isfinite(low) & np.isfinite(high)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], there.view(np.int8), [0]))))
    found = []
    for first, end in edges.reshape(-1, 2):
        part = slice(first, end)
        if end - first >= 2:
            across = np.concatenate([x[part], x[part][::-1]])
            found.append({"x": across, "y": np.concatenate([low[part], high[part][::-1]])})
    return found


def style(figure: Any, look: Palette) -> None:
    """The project's look."""
    figure.update(
        background_fill_color=look.background,
        border_fill_color=look.background,
        outline_line_color=None,
        min_border=4,
    )
    for axis in [*figure.xaxis, *figure.yaxis]:
        axis.update(
            axis_line_color=look.grid, major_tick_line_color=look.grid, minor_tick_line_color=None,
            major_label_text_color=look.muted, major_label_text_font=FONT,
            major_label_text_font_size="10.5px", axis_label_text_color=look.muted,
            axis_label_text_font=FONT, axis_label_text_font_size="12px",
            axis_label_text_font_style="normal", axis_label_standoff=4,
        )  # fmt: skip
    for grid in figure.grid:
        grid.grid_line_color = look.grid
    for legend in figure.legend:
        legend.update(
            background_fill_color=look.background, background_fill_alpha=0.7,
            border_line_color=None, label_text_color=look.ink, label_text_font=FONT,
            label_text_font_size="10.5px", padding=2, margin=2, glyph_height=12, spacing=0,
        )  # fmt: skip
