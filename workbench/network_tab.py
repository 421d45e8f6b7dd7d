"""What is it that relaxes? A tab of the drawer: the equation in force, and the network drawn.

A click on a state chooses it here, in the maps and for pokes.
"""

import html
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import panel as pn

from workbench.axes import ENERGY_LIMITS
from workbench.look import short
from workbench.looking import Surveyor
from workbench.network_equation import equation, said
from workbench.network_layout import AUXILIARY, RELAY, Drawing, State, drawing
from workbench.network_now import Ends, Now, asked, now_of, place_of
from workbench.network_plot import NetworkPlot, energy

EVERY = 0.2
"""Seconds between two looks at the numbers, at least."""

ABOUT = (
    "Wires are predictions, from the state that is read up to the one predicted, as wide as its "
    "precision Π; errors pull the other way. A full disc is clamped, a ring free. A bar is the "
    "energy in nats, from 10<sup>{:g}</sup> to 10<sup>{:g}</sup>. Click a state: maps and poke "
    "have it too.".format(*ENERGY_LIMITS)
)


STAYS = {"position": "sticky", "top": "0", "z-index": "2"}
"""What is said of a state stays in sight while a tall drawing is scrolled."""


class NetworkTab:
    """The equation, the state that is chosen, and the drawing."""

    def __init__(
        self,
        page: Any,
        sheet: str,
        look: Callable[[int], None],
        poke: Callable[[str], None],
    ) -> None:
        """Build it for a page whose session is ready.

        Args:
            page: with the session.
            sheet: CSS of the parts.
            look: called with the number of a layer that is chosen.
            poke: called with the name of a state that is chosen and can be poked.
        """
        self._page, self._look = page, page.look
        self._look_into, self._poke_it = look, poke
        self._surveyor = Surveyor(page.session, asked)
        self._network: Any = None
        self._naming = ""
        self._drawing: Drawing | None = None
        self._now: Now | None = None
        self._key: Any = None
        self._at = 0.0
        self._setting = False
        words = {"stylesheets": [sheet], "sizing_mode": "stretch_width", "margin": (2, 4)}
        small = {"stylesheets": [sheet], "margin": (2, 4)}
        self._equation = pn.pane.HTML("<p>looking</p>", **words)
        self._acting = pn.pane.HTML("", **words)
        self._state = pn.widgets.Select(label="chosen", options={}, width=150, **small)
        self._state.param.watch(self._selected, "value")
        self._maps, self._poke = (
            pn.widgets.Button(
                label=label, width=110, stylesheets=[sheet], margin=(20, 4, 2, 4), disabled=True
            )
            for label in ("look into it", "poke it")
        )
        self._maps.on_click(lambda _: page.toggle_drawer("maps"))
        self._poke.on_click(lambda _: page.toggle_drawer("poke"))
        self._said = pn.pane.HTML("", **words)
        self._plot = NetworkPlot(page.look, self._tapped)
        self._of = pn.pane.HTML("", **words)
        self.view = pn.Column(
            self._equation,
            self._acting,
            pn.Column(
                pn.Row(self._state, self._maps, self._poke, sizing_mode="stretch_width"),
                self._said,
                sizing_mode="stretch_width",
                styles={**STAYS, "background": page.look.page},
            ),
            pn.pane.Bokeh(self._plot.figure, margin=(2, 0)),
            self._of,
            pn.pane.HTML(f"<small>{ABOUT}</small>", **words),
            sizing_mode="stretch_width",
        )

    # What is shown -------------------------------------------------------------------------------

    def follow(self, *, draws: bool = True) -> None:
        """Show the row under the cursor; called at every beat while it is open.

        Args:
            draws: whether the browser keeps up with what is drawn.
        """
        showing, clock = self._page.session.showing, time.monotonic()
        if showing is None or not draws or clock - self._at < EVERY:
            return
        ends = self._surveyor.newest
        key = (*showing.place, len(showing.lane.choices), len(showing.lane.pokes), id(ends))
        network = showing.lane.training.network
        naming = self._page.sight.naming
        if key == self._key and network is self._network and naming == self._naming:
            return
        now = now_of(showing)
        if now is None:
            return
        self._key, self._at, self._now = key, clock, now
        if network is not self._network or naming != self._naming:
            self._naming = naming
            self._give(network)
        self._ask(showing, now)
        known = ends if ends is not None and ends.of[0] == showing.lane.id else None
        self._plot.show(now)
        self._plot.hold(known)
        names = [one.name for one in self._states if one.layer]
        chosen = showing.lane.choices_at(showing.cursor)[0]
        self._say(self._equation, equation(chosen, now, known, self._look))
        self._say(self._acting, said(chosen, now, known, names))
        self._tell()

    def _ask(self, showing: Any, now: Now) -> None:
        """Have the worker tell what is clamped and nudged, wherever that may have changed."""
        place, ends = place_of(showing.lane, showing.cursor, now.phase), self._surveyor.newest
        if ends is None or ends.of != place:
            self._surveyor.follow()
            self._key = None  # so that it is asked again until the answer fits

    @property
    def _states(self) -> tuple[State, ...]:
        return () if self._drawing is None else self._drawing.states

    @property
    def chosen(self) -> State | None:
        """The state that is chosen."""
        at = self._state.value
        return None if at is None or at >= len(self._states) else self._states[at]

    def _give(self, network: Any) -> None:
        """Draw another network; one that looks the same keeps what is chosen."""
        self._network, made = network, self._named(drawing(network))
        if made == self._drawing:
            return
        self._drawing = made
        self._plot.lay_out(made)
        self._say(self._of, f"<small>{html.escape(made.sentence)}</small>")
        self._setting = True
        try:
            options = {_named(one): one.index for one in reversed(made.states)}
            self._state.param.update(options=options, value=made.states[-1].index)
        finally:
            self._setting = False
        self._mark()

    def _named(self, made: Drawing) -> Drawing:
        """A drawing with states called as they are here."""
        told = self._page.sight.call([one.name for one in made.states])
        states = (replace(one, name=name) for one, name in zip(made.states, told, strict=True))
        return replace(made, states=tuple(states))

    def _tell(self) -> None:
        """The line of the state that is chosen."""
        one, ends = self.chosen, self._surveyor.newest
        if one is not None and self._now is not None:
            self._say(self._said, told(one, self._states, self._wires, self._now, ends))

    @property
    def _wires(self) -> tuple[tuple[int, int], ...]:
        found = () if self._drawing is None else self._drawing.wires
        return tuple((wire.parent, wire.child) for wire in found)

    @staticmethod
    def _say(pane: Any, text: str) -> None:
        if pane.object != text:
            pane.object = text

    # What is asked -------------------------------------------------------------------------------

    def _tapped(self, index: int) -> None:
        self._state.value = index

    def _selected(self, event: Any) -> None:
        one = self.chosen
        if self._setting or one is None:
            return
        self._mark()
        if one.layer:
            self._look_into(one.layer)
        if RELAY not in one.roles:
            self._poke_it(self._network.nodes[one.index].name or str(one.index))
        self._tell()

    def _mark(self) -> None:
        one = self.chosen
        self._plot.mark(None if one is None else one.index)
        self._maps.disabled = one is None or not one.layer
        self._poke.disabled = one is None or RELAY in one.roles


class NoNetwork:
    """In the place of the drawing, which needs the network."""

    def __init__(self, page: Any, sheet: str) -> None:
        """Say why."""
        self.view = pn.pane.HTML(
            "<p>A recorded run keeps names and sizes of its layers, but no network that could be "
            f'drawn.</p><p class="refused">{html.escape(page.session.why)}</p>',
            sizing_mode="stretch_width",
        )

    def follow(self, *, draws: bool = True) -> None:
        """There is never anything new."""


def told(
    one: State,
    states: tuple[State, ...],
    wires: tuple[tuple[int, int], ...],
    now: Now,
    ends: Ends | None,
) -> str:
    """A state at a row, as HTML: its place in the network, then its numbers.

    Args:
        one: the state.
        states: all of them.
        wires: pairs of a state that is read and the one that reads it.
        now: the row.
        ends: what is clamped; None where that is not known yet.
    """
    reads = [states[p].name for p, c in wires if c == one.index]
    readers = [states[c].name for p, c in wires if p == one.index]
    parts = [_named(one), *one.roles, one.size]
    parts += [one.words] if one.words else []
    parts += [f"{one.parameters:,} parameters"] if one.parameters else []
    parts += [f"reads {', '.join(reads)}"] if reads else []
    parts += [f"read by {', '.join(readers)}"] if readers else []
    place = html.escape(" · ".join(parts))
    return f"<div>{place}</div><div>{' · '.join(_numbers(one, now, ends))}</div>"


def _numbers(one: State, now: Now, ends: Ends | None) -> list[str]:
    """What changes from row to row."""
    found = [] if ends is None else [f"<b>{_freedom(one, ends)}</b>"]
    if not one.layer:
        return [*found, "no energy of its own"]
    k = one.layer - 1
    said = energy(now, k)
    unit = " nat" if now.reached[k] or now.noise[k] else ""
    found.append(f"E <b>{said}</b>{unit}")
    if now.noise[k]:
        found.append("below the rounding floor")
    elif now.reached[k]:
        found.append(f"RMS error <b>{short(float(now.error[k]))}</b>")
    found.append(f"Π <b>{short(float(now.precision[k]))}</b>")
    return [*found, "1 / α times the schedule's"] if AUXILIARY in one.roles else found


def _freedom(one: State, ends: Ends) -> str:
    """Whether a state moves."""
    if one.index in ends.clamped:
        return "clamped"
    if one.index in ends.held:
        return f"{short(100 * ends.held[one.index])} % held"
    return "a delay" if RELAY in one.roles else "free"


def _named(one: State) -> str:
    return f"layer {one.name}" if one.layer else f"state {one.name}"
