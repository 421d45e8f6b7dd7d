"""How is a state poked, and what follows? A tab of the drawer: what to do, the front, a table."""

import html
import time
from collections.abc import Mapping
from typing import Any

import panel as pn

from core.catalogue import BadInput
from core.poke import CLAMP, HOW, NOISE, RELEASE, SHIFT, places, targets
from workbench.formula import svg
from workbench.look import short
from workbench.naming import in_poke
from workbench.poke_plot import PokePlot
from workbench.poking import BACK, FRONT, WITHOUT, Course, behind, course, fits, held, lack

EVERY = 0.15
"""Seconds between two looks, at least."""

ABOUT = (
    "Acts on the row under the cursor, between two steps; at an old row it starts a new lane. A "
    "clamped state is clamped to what it is put to, as an occluded image. A clamp holds until it "
    "is released or the batch ends."
)

BESIDE = (
    "E′ and F′ are of lane {lane}, which goes on without the poke. The front is in a layer from "
    "the first step at which its energy differs by more than ε of E′. A change is over from the "
    "step on at which it stays within {back:g} % of its largest; the recovery time is that of "
    "|F − F′|:"
)

ALONE = (
    "No lane goes on without the poke, so energies are compared with those before it: a change is "
    "over from the step on at which it stays within {back:g} % of them; the recovery time is that "
    "of {whose}. Where the front is cannot be told from what would have moved anyway:"
)

ARRIVES = r"t_\ell = \min \{ k : |E_\ell - E_\ell'|^{(k)} > \epsilon \, E_\ell'^{(k)} \}"

RECOVERS = r"T = \min \{ k : |F - F'|^{(j)} \leq p \; \max_i |F - F'|^{(i)}, \; j \geq k \}"

RETURNS = r"T = \min \{ k : |E^{(j)} - E^{before}| \leq p \; E^{before}, \; j \geq k \}"

AMOUNT = {NOISE: "std. deviation", SHIFT: "add", CLAMP: "hold at"}
"""What the amount is called."""


class PokeTab:
    """What is done to which units, and what followed the last poke of the lane."""

    def __init__(self, page: Any, sheet: str) -> None:
        """Build it for a page whose session is ready."""
        self._page = page
        self._shown: Any = None
        self._aimed: int | None = None
        self._at = 0.0
        small = {"stylesheets": [sheet], "margin": (4, 4)}
        words = {"stylesheets": [sheet], "sizing_mode": "stretch_width", "margin": (2, 4)}

        def typed(label: str, value: str, width: int, hint: str = "") -> Any:
            return pn.widgets.TextInput(
                label=label, value=value, placeholder=hint, width=width, **small
            )

        self._layer = pn.widgets.Select(label="state", options={}, width=132, **small)
        self._how = pn.widgets.Select(
            label="how", options=[one for one in HOW if one != RELEASE], width=82, **small
        )
        self._amount = typed(AMOUNT[NOISE], "0.5", 96)
        self._sample = typed("in sample", "", 66, "all")
        self._rows = typed("in rows", "", 74, "all")
        self._columns = typed("in columns", "", 74, "all")
        self._poke = pn.widgets.Button(label="poke", width=72, **small)
        self._poke.button_type = "primary"
        self._release = pn.widgets.Button(label="release", disabled=True, width=140, **small)
        self._back = typed("over within %", f"{100 * BACK:g}", 90)
        self._front = typed("front above ε", f"{FRONT:g}", 90)
        self._without = pn.widgets.Button(
            label=WITHOUT, width=200, stylesheets=[sheet], margin=(22, 4, 4, 4)
        )
        self._refused = pn.pane.HTML("", **words)
        self._said = pn.pane.HTML("", **words)
        self._why = pn.pane.HTML("", **words)
        self._table = pn.pane.HTML("", **words)
        self._plot = PokePlot(page.look)
        self._layer.param.watch(self._turned, "value")
        self._how.param.watch(self._turned, "value")
        self._poke.on_click(self._pressed)
        self._release.on_click(self._let_go)
        self._without.on_click(self._compare)
        foot = pn.Spacer(sizing_mode="stretch_width")
        self.view = pn.Column(
            pn.Row(self._layer, self._how, self._amount, sizing_mode="stretch_width"),
            pn.Row(self._sample, self._rows, self._columns, sizing_mode="stretch_width"),
            pn.Row(self._poke, self._release, foot, sizing_mode="stretch_width"),
            self._refused,
            pn.pane.HTML(f"<small>{ABOUT}</small>", **words),
            self._said,
            pn.pane.Bokeh(self._plot.figure, sizing_mode="stretch_width"),
            pn.Row(self._back, self._front, self._without, sizing_mode="stretch_width"),
            self._table,
            self._why,
            sizing_mode="stretch_width",
        )

    # What is shown -------------------------------------------------------------------------------

    def follow(self, *, draws: bool = True) -> None:
        """Show what has followed the last poke; called at every beat while it is open.

        Args:
            draws: whether the browser keeps up with what is drawn.
        """
        session, now = self._page.session, time.monotonic()
        place = session.showing
        if place is None or not draws or now - self._at < EVERY:
            return
        lane = place.lane
        bounds = self._back.value, self._front.value
        there = tuple(len(one.trace) for one in session.lanes)
        self._aim()
        key = (*place.place, place.ghost, there, len(lane.pokes), bounds, self._page.sight.naming)
        if key == self._shown:
            return
        self._shown, self._at = key, now
        self._offer(lane)
        holding = held(lane, place.cursor)
        self._release.disabled = not holding
        called = self._page.sight.told(lane.trace.names)
        self._release.label = f"release {', '.join(called[one] for one in holding)}".strip()
        try:
            back, front = fits(*(_number(one) for one in bounds))
        except BadInput as refused:
            self._why.object = f'<p class="refused">{html.escape(str(refused))}</p>'
            return
        found = course(lane, behind(place.ghost, session.lanes), front=front, back=back)
        wants = lack(lane, session.lanes, found)
        self._without.disabled = not wants.args
        self._without.label = wants.label
        self._draw(lane, found, front, back, wants.why)

    def _draw(self, lane: Any, found: Course | None, front: float, back: float, note: str) -> None:
        network = lane.training.network
        sight = self._page.sight
        names = list(sight.call([network.nodes[i].name or str(i) for i in network.layers]))
        if found is None:
            self._plot.clear()
            self._say("<div class='said'><span>nothing was poked in this lane</span></div>", "", "")
            return
        self._plot.draw(found, names, front)
        found_in = sight.told(lane.trace.names)
        reasons = words(found, back, note, self._page.look.ink, found_in)
        self._say(told(found, found_in), table(found, names), reasons)

    def _say(self, said: str, table: str, why: str) -> None:
        for pane, text in ((self._said, said), (self._table, table), (self._why, why)):
            if pane.object != text:
                pane.object = text

    def _offer(self, lane: Any) -> None:
        """Offer the states that there are, and the places of the one that is chosen."""
        network, shape = lane.training.network, lane.training.images.shape
        called = self._page.sight.told(lane.trace.names)
        known = targets(network).items()
        options = {_named(called[name], network, i, shape): name for name, i in known}
        if options != self._layer.options:
            kept = self._layer.value if self._layer.value in options.values() else None
            middle = network.nodes[network.layers[len(network.layers) // 2 - 1]].name
            self._layer.param.update(options=options, value=kept or middle)
        self._turned(None)

    def _aim(self) -> None:
        """Aim at the sample that is chosen, as soon as it is."""
        chosen = self._page.sight.sample
        if chosen != self._aimed:
            self._aimed = chosen
            self._sample.value = "" if chosen is None else str(chosen)

    def choose(self, name: str) -> None:
        """Let a state be the one that is poked, by its name."""
        self._offer(self._page.session.showing.lane)
        self._layer.value = name

    def _turned(self, event: Any) -> None:
        """Only what the choice takes can be typed."""
        lane, how = self._page.session.lane, self._how.value
        known = targets(lane.training.network)
        i = known.get(self._layer.value)
        if i is None:
            return
        over = places(lane.training.network, i, lane.training.images.shape)
        for one in (self._rows, self._columns):
            one.disabled = over is None
        self._amount.disabled = how not in AMOUNT
        self._amount.label = AMOUNT.get(how, "amount")
        self._amount.placeholder = "where it is" if how == CLAMP else ""

    # What is asked -------------------------------------------------------------------------------

    def _pressed(self, event: Any) -> None:
        try:
            given: dict[str, Any] = {"layer": self._layer.value, "how": self._how.value}
            if self._how.value in AMOUNT and self._amount.value.strip():
                given["amount"] = _number(self._amount.value)
            if self._sample.value.strip():
                given["sample"] = _count(self._sample.value, "sample")
            region = self._region()
            if region is not None:
                given["region"] = region
            self._page.session.poke(**given)
        except BadInput as refused:
            self._refused.object = f'<p class="refused">{html.escape(str(refused))}</p>'
        else:
            self._refused.object = ""

    def _region(self) -> list[int] | None:
        """The rows and columns that were typed; all where one of them is open."""
        lane = self._page.session.lane
        i = targets(lane.training.network)[self._layer.value]
        shape = places(lane.training.network, i, lane.training.images.shape)
        texts = self._rows.value.strip(), self._columns.value.strip()
        if shape is None or not any(texts):
            return None
        found: list[int] = []
        for name, text, size in zip(("rows", "columns"), texts, shape[1:], strict=True):
            found += _between(text, name) if text else [0, size - 1]
        return found

    def _let_go(self, event: Any) -> None:
        place = self._page.session.showing
        for layer in held(place.lane, place.cursor):
            self._page.do(lambda s, layer=layer: s.poke(layer=layer, how=RELEASE))

    def _compare(self, event: Any) -> None:
        """Have the course without the poke, in a lane beside it."""
        self._page.do(lambda s: s.without_poke())


class NoPoke:
    """In the place of pokes, which need states that can be changed."""

    def __init__(self, page: Any, sheet: str) -> None:
        """Say why."""
        self.view = pn.pane.HTML(
            "<p>A recorded run cannot be poked: it keeps no states.</p>"
            f'<p class="refused">{html.escape(page.session.why)}</p>',
            sizing_mode="stretch_width",
        )

    def follow(self, *, draws: bool = True) -> None:
        """There is never anything new."""


def told(found: Course, called: Mapping[str, str]) -> str:
    """The poke and its recovery in two lines, as HTML.

    Args:
        found: what followed.
        called: what all states are called, by their names.
    """
    poked, last = found.poked, int(found.steps[-1])
    line = in_poke(poked.poke.sentence(), called)
    recovery = f"not within {last} steps" if found.recovery is None else f"{found.recovery} steps"
    return (
        f'<div class="said"><span>{html.escape(line)}</span> <b>row {poked.row}</b></div>'
        f'<div class="said"><span>recovery time</span> <b id="recovery">{recovery}</b></div>'
    )


def table(found: Course, names: list[str]) -> str:
    """One line a layer, as HTML, the output on top as in the plots."""
    rows = ""
    for k in reversed(range(len(names))):
        arrival = "?" if found.beside is None else _step(found.arrival[k])
        most, now = found.change[:, k].max(), found.change[-1, k]
        cells = (names[k], arrival, _share(most), _share(now), _step(found.back[k]))
        rows += "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
    heads = ("layer", "front at step", "largest change", "change now", "over at step")
    head = "".join(f"<th>{one}</th>" for one in heads)
    style = (
        "<style>.course th, .course td { width: auto !important; padding: 1px 6px 1px 0; }</style>"
    )
    return (
        f'{style}<table class="course"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    )


def words(found: Course, back: float, note: str, ink: str, called: Mapping[str, str]) -> str:
    """What the numbers mean, in words and formulas, as HTML."""
    if found.beside is None:
        whose = (
            f"the energy of state {called[found.poked.poke.layer]}, of a root that of its readers"
        )
        said, formulas = ALONE.format(back=100 * back, whose=whose), (RETURNS,)
    else:
        said, formulas = BESIDE.format(lane=found.beside, back=100 * back), (ARRIVES, RECOVERS)
    shown = "".join(f'<div class="formula">{svg(one, ink, 9.5)}</div>' for one in formulas)
    lacks = f"<p><small>{html.escape(note)}</small></p>" if note else ""
    return f"{lacks}<div><small>{html.escape(said)}</small></div>{shown}"


def _step(at: int | None) -> str:
    return "–" if at is None else str(at)


def _share(change: float) -> str:
    """A change by the energy without the poke: in per cent up to tenfold."""
    if change == 0:
        return "0"
    if change == float("inf"):
        return "from 0"
    return f"{short(100 * change)} %" if change < 10 else f"{short(change)} E′"


def _named(name: str, network: Any, i: int, pixels: tuple[int, ...]) -> str:
    """A state in the menu."""
    shape = places(network, i, pixels) or network.nodes[i].shape
    size = " × ".join(str(n) for n in shape)
    what = f"{size} units" if len(shape) == 1 else size
    return f"{name}: {'image ' if i == network.image else ''}{what}"


def _number(text: str) -> Any:
    """A number as it was typed, or the text where it is none."""
    try:
        return float(text)
    except ValueError:
        return text.strip() or "nothing"


def _count(text: str, name: str) -> int:
    """An integer from 0.

    Raises:
        BadInput: if it is none.
    """
    if not text.strip().isdecimal():
        raise BadInput(f"poke.{name}: {text.strip()}; an integer from 0, or nothing for all")
    return int(text)


def _between(text: str, name: str) -> list[int]:
    """First and last of some rows or columns.

    Raises:
        BadInput: if it is neither a number nor two with dots between.
    """
    parts = [part.strip() for part in text.replace("-", "..").split("..")]
    if not 1 <= len(parts) <= 2 or not all(part.isdecimal() for part in parts):
        raise BadInput(
            f"poke.{name}: {text}; one number or first..last, from 0, or nothing for all"
        )
    return [int(parts[0]), int(parts[-1])]
