"""How is a network drawn? One figure, built once; its sources are replaced when numbers change.

A row is a state, as in the map of energies; a ring is free, a disc clamped. A wire is as wide as
the precision of the layer that it predicts, a bar as long as the logarithm of a layer's energy.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from bokeh.core.properties import field, value
from bokeh.events import DoubleTap, Tap
from bokeh.models import ColumnDataSource, HoverTool, Range1d
from numpy.typing import NDArray

from workbench.axes import ENERGY_LIMITS, PRECISION_LIMITS
from workbench.blank import blank, title_line
from workbench.look import FONT, Palette, layer_colours, short
from workbench.network_layout import RELAY, Drawing, State
from workbench.network_now import Ends, Now

WIDE = 436
"""Pixels of the whole drawing."""

NUMBERS = 126
"""Pixels of the numbers at the right."""

LANE, LANES = 22, 110
"""Pixels from lane to lane, at most; of all lanes, at most."""

EDGE = 12
"""Pixels to the left of the first lane, and behind the last."""

NAME = 7.2
"""Pixels of a letter of a name."""

LETTER = 5.6
"""Pixels of a letter of other words."""

TALL, HIGHEST = 38.0, 12_000
"""Pixels of a row, and of all rows, at most: browsers draw no canvas much larger."""

ROOMY = 28
"""Pixels of a row that has room for two lines of words."""

WIRES = (1.0, 4.0)
"""Pixels of a wire of the lowest precision that is drawn, and of a precision of 1."""

BAR = 5
"""Pixels of the height of a bar."""

RING = 13
"""Pixels of a state, at most."""

GEOMETRY = ("xs", "ys", "colour", "dash")


class NetworkPlot:
    """States, wires and the numbers of one row."""

    def __init__(self, look: Palette, choose: Callable[[int], None]) -> None:
        """Build it, empty.

        Args:
            look: colours.
            choose: called with the index of a state that is tapped.
        """
        self._look, self._choose = look, choose
        self._drawing: Drawing | None = None
        self._colours: list[str] = []
        self._shown: Any = None
        self._held: Any = None
        ranges = {"x_range": Range1d(start=0, end=WIDE), "y_range": Range1d(start=-0.5, end=0.5)}
        self.figure = plot = blank("network", look, title_line(look), **ranges)
        plot.title.visible = plot.axis.visible = plot.grid.visible = False
        plot.update(sizing_mode=None, width=None, height=None, frame_width=WIDE, frame_height=40)
        plot.update(min_border=0, min_border_top=0)
        self.chosen = _empty("y")
        self.wires = _empty(*GEOMETRY, "width", "alpha")
        self.heads = _empty("x", "y", "angle", "colour")
        self.states = _empty(
            *("x", "y", "line", "fill", "alpha", "size", "name_x", "words_x", "above", "below"),
            *("name", "about", "words", "all"),
        )
        self.numbers = _empty("y", "above", "below", "precision", "colour", "energy", "bar", "ink")
        self._build(plot)
        for event in (Tap, DoubleTap):  # two quick clicks on two states are one of the latter
            plot.on_event(event, self._tapped)

    def _build(self, plot: Any) -> None:
        """Put every glyph on the figure."""
        look = self._look
        plot.rect(
            x=WIDE / 2,
            y="y",
            width=WIDE - 2,
            height=0.96,
            source=self.chosen,
            fill_color=look.accent,
            fill_alpha=0.1,
            line_color=look.accent,
            border_radius=5,
        )
        plot.multi_line(
            "xs",
            "ys",
            source=self.wires,
            line_color="colour",
            line_width="width",
            line_alpha="alpha",
            line_dash=field("dash"),
            line_cap="butt",
            line_join="round",
        )
        plot.scatter("x", "y", source=self.heads, marker="triangle", size=9, angle="angle")
        plot.renderers[-1].glyph.update(fill_color=field("colour"), line_color=None)
        drawn = plot.scatter(
            "x",
            "y",
            source=self.states,
            size="size",
            fill_color="fill",
            fill_alpha="alpha",
            line_color="line",
            line_width=2,
        )
        plot.add_tools(HoverTool(renderers=[drawn], tooltips="@name: @all"))
        self._write(plot, "name", "name_x", "above", look.ink, "12px", text_font_style="bold")
        self._write(plot, "about", "words_x", "above", look.ink, "11px")
        self._write(plot, "words", "name_x", "below", look.muted, "10.5px")
        left, right = WIDE - NUMBERS, WIDE - 4
        bars: dict[str, Any] = {"left": left, "source": self.numbers, "line_color": None}
        self._bars = [
            plot.hbar(y="below", right=right, fill_color=look.grid, **bars),
            plot.hbar(y="below", right="bar", fill_color="ink", **bars),
        ]
        for name, x, align in (("precision", left, "left"), ("energy", right, "right")):
            plot.text(
                x=x,
                y="above",
                text=name,
                source=self.numbers,
                text_color="colour" if name == "precision" else look.ink,
                text_font=value(FONT),
                text_font_size="11px",
                text_align=align,
                text_baseline="middle",
            )

    def _write(
        self, plot: Any, text: str, x: str, y: str, ink: str, size: str, **more: Any
    ) -> None:
        """Words of the states."""
        plot.text(
            x=x,
            y=y,
            text=text,
            source=self.states,
            text_color=ink,
            text_font=value(FONT),
            text_font_size=size,
            text_baseline="middle",
            **more,
        )

    # What is drawn -------------------------------------------------------------------------------

    def lay_out(self, drawing: Drawing) -> None:
        """Draw another network; numbers follow."""
        self._drawing, self._shown, self._held = drawing, None, None
        states, layers = drawing.states, sum(one.layer > 0 for one in drawing.states)
        given = layer_colours(layers, self._look.name)
        self._colours = [self._colour(one, given) for one in states]
        count = len(states)
        tall = min(TALL, HIGHEST / count)
        self.figure.y_range.update(start=-0.5, end=count - 0.5)
        self.figure.update(
            frame_height=max(40, round(tall * count)),
            html_attributes={"role": "img", "aria-label": f"Network: {drawing.sentence}"},
        )
        place = _Place(drawing)
        self._draw_wires(drawing, place)
        self._draw_states(states, place, tall)
        self.numbers.data = {name: [] for name in self.numbers.column_names}

    def _colour(self, one: State, layers: Sequence[str]) -> str:
        """That of its layer, as on all plots; relays and roots have none."""
        if one.layer:
            return layers[one.layer - 1]
        return self._look.muted if RELAY in one.roles else self._look.ink

    def _draw_wires(self, drawing: Drawing, place: "_Place") -> None:
        wires, states = drawing.wires, drawing.states
        self.wires.data = {
            "xs": [[place.x(lane) for lane, _ in one.path] for one in wires],
            "ys": [[row for _, row in one.path] for one in wires],
            "colour": [self._colours[one.child] for one in wires],
            "dash": [_dash(states[one.child], back=one.back) for one in wires],
            "width": [1.5] * len(wires),
            "alpha": [0.9] * len(wires),
        }
        up = sorted({one.child for one in wires if not one.back})
        back = sorted({one.child for one in wires if one.back})
        self.heads.data = {
            "x": [place.x(states[i].lane) for i in up]
            + [place.x(states[i].lane) - place.ring / 2 - 4 for i in back],
            "y": [i - place.reach for i in up] + [self._enters(drawing, i) for i in back],
            "angle": [0.0] * len(up) + [-np.pi / 2] * len(back),
            "colour": [self._colours[i] for i in (*up, *back)],
        }

    @staticmethod
    def _enters(drawing: Drawing, child: int) -> float:
        """The height at which a wire that goes back enters a state."""
        return next(one.path[-1][1] for one in drawing.wires if one.child == child and one.back)

    def _draw_states(self, states: Sequence[State], place: "_Place", tall: float) -> None:
        roomy, count = tall >= ROOMY, len(states)
        rows = [one.index for one in states]
        above = [row + 8.5 / tall for row in rows] if roomy else rows
        letters = (WIDE - NUMBERS - 8 - place.words) / LETTER
        self.states.data = {
            "x": [place.x(one.lane) for one in states],
            "y": rows,
            "line": self._colours,
            "fill": [self._look.background] * count,
            "alpha": [1.0] * count,
            "size": [place.ring * (0.6 if RELAY in one.roles else 1.0) for one in states],
            "name_x": [place.words] * count,
            "words_x": [place.words + place.names] * count,
            "above": above,
            "below": [row - 8.5 / tall for row in rows],
            "name": [_cut(one.name, place.names / NAME) for one in states],
            "about": [
                _cut(about(one, roomy=roomy), letters - place.names / LETTER) for one in states
            ],
            "words": [_cut(one.words, letters) if roomy else "" for one in states],
            "all": [told(one) for one in states],
        }
        for bar in self._bars:
            bar.visible, bar.glyph.height = roomy, BAR / tall

    def mark(self, index: int | None) -> None:
        """Frame the state that is chosen."""
        self.chosen.data = {"y": [] if index is None else [index]}

    def hold(self, ends: Ends | None) -> None:
        """Fill the states that are clamped, and half fill those that are held in part."""
        if ends is None or self._drawing is None or ends is self._held:
            return
        self._held = ends
        ground = self._look.background
        pairs = list(enumerate(self._colours))
        is_full = [i in ends.clamped or i in ends.held for i, _ in pairs]
        fills = [c if full else ground for (_, c), full in zip(pairs, is_full, strict=True)]
        alphas = [0.45 if i in ends.held else 1.0 for i, _ in pairs]
        if fills != self.states.data["fill"] or alphas != self.states.data["alpha"]:
            rows = slice(len(fills))
            self.states.patch({"fill": [(rows, fills)], "alpha": [(rows, alphas)]})

    def show(self, now: Now) -> None:
        """Show the numbers of a row."""
        drawing = self._drawing
        key = now.row, now.batch, now.precision.tobytes(), now.energy.tobytes()
        if drawing is None or key == self._shown:
            return
        self._shown = key
        layers = [one for one in drawing.states if one.layer]
        rows = np.array([one.index for one in layers])
        placed = self.states.data
        left, right = WIDE - NUMBERS, WIDE - 4
        low, high = ENERGY_LIMITS
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.clip((np.log10(now.energy) - low) / (high - low), 0.02, 1)
        share = np.where(now.reached | now.noise, share, 0.0)
        noise, look = now.noise, self._look
        self.numbers.data = {
            "y": rows,
            "above": [placed["above"][i] for i in rows],
            "below": [placed["below"][i] for i in rows],
            "precision": [f"Π {_brief(float(one))}" for one in now.precision],
            "colour": [look.accent if one else look.muted for one in now.highest],
            "energy": [energy(now, k) for k in range(len(layers))],
            "bar": left + (right - left) * share,
            "ink": [
                look.ghost if bad else self._colours[i] for bad, i in zip(noise, rows, strict=True)
            ],
        }
        self._widen(drawing, now)

    def _widen(self, drawing: Drawing, now: Now) -> None:
        """Wires as wide as precisions."""
        states, wide = drawing.states, widths(now.precision)
        found = [
            wide[states[one.child].layer - 1] if states[one.child].layer else WIRES[0]
            for one in drawing.wires
        ]
        if found != self.wires.data["width"]:
            self.wires.patch({"width": [(slice(len(found)), found)]})

    def _tapped(self, event: Any) -> None:
        if event.y is not None and self._drawing is not None:
            self._choose(min(max(round(event.y), 0), len(self._drawing.states) - 1))


class _Place:
    """Where lanes and words are, in pixels from the left."""

    def __init__(self, drawing: Drawing) -> None:
        first, last = drawing.lanes
        self._first = first
        self._gap = min(LANE, LANES / max(1, last - first))
        tall = min(TALL, HIGHEST / len(drawing.states))
        self.ring = min(RING, 0.5 * tall, 0.9 * self._gap)
        self.reach = (self.ring / 2 + 4.5) / tall
        self.words = self.x(last) + EDGE + 4
        longest = max(len(one.name) for one in drawing.states)
        self.names = min(110.0, NAME * longest + 10)

    def x(self, lane: float) -> float:
        """Pixels of a lane."""
        return EDGE + (lane - self._first) * self._gap


def widths(precision: NDArray[Any]) -> list[float]:
    """Pixels of wires: by the logarithm of the precision; thinnest where it is 0."""
    low, _ = PRECISION_LIMITS
    with np.errstate(divide="ignore"):
        share = np.clip((np.log10(precision) - low) / -low, 0.0, 1.4)
    share = np.where(np.isfinite(share), share, 0.0)
    return [float(one) for one in WIRES[0] + (WIRES[1] - WIRES[0]) * share]


def energy(now: Now, k: int) -> str:
    """The energy of a layer, in nats; one that the error has not reached has none."""
    if now.reached[k] or now.noise[k]:
        return short(float(now.energy[k]))
    return "not finite" if not np.isfinite(now.energy[k]) else "not reached"


def about(one: State, *, roomy: bool = True) -> str:
    """Shape, roles and parameters of a state, and what predicts it where there is one line only."""
    found = [*one.roles, one.size]
    found += [f"{one.parameters:,} parameters"] if one.parameters else []
    found += [] if roomy or not one.words else [one.words]
    return " · ".join(found)


def told(one: State) -> str:
    """All that is known of a state."""
    return about(one) + (f" · {one.words}" if one.words else "")


def _dash(child: State, *, back: bool) -> str:
    """Wires that go back are dashed, those of a delay dotted."""
    return "dashed" if back else "dotted" if RELAY in child.roles else "solid"


def _brief(number: float) -> str:
    return short(number).replace("e-0", "e-").replace("e+0", "e")


def _cut(text: str, letters: float) -> str:
    """A text that fits into so many letters."""
    return text if len(text) <= letters else f"{text[: max(1, int(letters) - 1)]}…"


def _empty(*names: str) -> ColumnDataSource:
    return ColumnDataSource({name: [] for name in names})
