"""Which lanes are there, and where do two of them part? A tab: a list and three strips.

A is the live lane, B the one behind it.
"""

import html
import time
from dataclasses import replace
from itertools import combinations
from typing import Any

import panel as pn

from core.catalogue import BadInput
from workbench.compare_choices import Choices
from workbench.compare_lanes import SESSION
from workbench.formula import svg
from workbench.lanes_list import of_session
from workbench.lanes_parting import (
    PART,
    Beside,
    Parting,
    Side,
    amount_of,
    beside,
    furthest,
    parting,
)
from workbench.lanes_plot import LanesPlot
from workbench.lanes_strips import strips
from workbench.look import short
from workbench.watched_tab import linked_lanes

EVERY, SHARE, LATEST = 0.2, 0.15, 1.0
"""Seconds between two looks, at least; of the page's time that they may take; and at most."""

ABOUT = (
    "A press on a lane goes on in it, B lets it stand behind the live one. Nothing is deleted: "
    "undo goes back to the lane and row from which the live lane came. "
)

COMPARED = (
    "Rows are compared where batch, phase and t are the same; layers count where their energies "
    "differ by more than rounding can make:"
)

FORMULA = r"\max_\ell \; |E_\ell^A - E_\ell^B| \, / \, \max(E_\ell^A, E_\ell^B) > p"

BEHIND = "A and the lane behind"
"""What stands side by side unless two phases do."""

ALONE = "One lane so far: rewind and relax on, restart, or change the init, and there are two."


class LanesTab:
    """The lanes, how far apart two of them are, and the three strips."""

    def __init__(self, page: Any, sheet: str) -> None:
        """Build it for a page whose session, or run, is ready."""
        self._page = page
        self.parted: int | None = None
        self._at = 0.0
        self._key: Any = None
        self._of: Any = None
        self._held: tuple[Side | None, Beside | None, str] = (None, None, "")
        small = {"stylesheets": [sheet], "margin": (4, 3)}
        words = {"stylesheets": [sheet], "sizing_mode": "stretch_width", "margin": (2, 4)}
        do, watches = page.do, page.address.watches

        def button(label: str, about: str, act: Any, *, off: bool = watches) -> Any:
            made = pn.widgets.Button(label=label, description=about, disabled=off, **small)
            made.on_click(lambda _: do(act))
            return made

        self._list = pn.pane.HTML("", **words | {"styles": LIST})
        self._amount = pn.widgets.TextInput(
            label="part by more than %", value=f"{100 * PART:g}", width=120, **small
        )
        self._amount.param.watch(self._hasten, "value")
        self._pair = pn.widgets.Select(
            label="side by side", options={BEHIND: ()}, value=(), width=176, **small
        )
        self._pair.param.watch(self._hasten, "value")
        self._go = pn.widgets.Button(
            label="go there", disabled=True, stylesheets=[sheet], margin=(22, 3, 4, 3)
        )
        self._go.on_click(lambda _: self._seek(self.parted))
        self._refused = pn.pane.HTML("", **words)
        self._said = pn.pane.HTML("", **words)
        self._plot = LanesPlot(page.look, self._seek)
        figures = (self._plot.a, self._plot.b, self._plot.ratio)
        self._panes = [
            pn.pane.Bokeh(one, sizing_mode="stretch_width", margin=(2, 0)) for one in figures
        ]
        self._more = pn.pane.HTML("", **words)
        told = COMPARED if watches else ABOUT + COMPARED
        about = f'<div class="formula">{svg(FORMULA, page.look.ink, 9.5)}</div>'
        self.view = pn.Column(
            pn.Row(
                button("undo", "back to the lane and row it came from  [u]", lambda s: s.undo()),
                button("redo", "forward again  [shift u]", lambda s: s.redo()),
                button("lane before", "the lane one number down  [", lambda s: s.next_lane(-1)),
                button("lane after", "the lane one number up  ]", lambda s: s.next_lane()),
                button("swap A and B", "A becomes B  [x]", lambda s: s.swap(), off=False),
                sizing_mode="stretch_width",
            ),
            self._list,
            pn.Row(self._pair, self._amount, self._go, sizing_mode="stretch_width"),
            self._said,
            self._refused,
            *self._panes,
            self._more,
            pn.pane.HTML(f"<small>{told}</small>{about}", **words),
            sizing_mode="stretch_width",
        )

    # What is shown -------------------------------------------------------------------------------

    def follow(self, *, draws: bool = True) -> None:
        """Show the lanes as they stand; called at every beat while it is open.

        Args:
            draws: whether the browser keeps up with what is drawn.
        """
        session, now = self._page.session, time.monotonic()
        place = session.showing
        if place is None or not draws or now < self._at:
            return
        rows = [len(one.trace) for one in (place.lane, place.ghost) if one is not None]
        behind = None if place.ghost is None else place.ghost.id
        self._offer(place)
        of = place.lane.id, behind, *rows, session.changes, self._pair.value
        key = of, place.cursor, place.lanes, self._amount.value, self._page.board.limits
        key = *key, self._page.sight.naming
        if key == self._key:
            return
        self._key = key
        begun = time.perf_counter()
        self._show_list(session)
        if of != self._of:
            self._of, self._held = of, _held(place, self._pair.value)
        self._compare(place)
        self._at = now + max(EVERY, min((time.perf_counter() - begun) / SHARE, LATEST))

    def _hasten(self, event: Any) -> None:
        """Look at the next beat: here may be no lock of the document."""
        self._at = 0.0

    def _offer(self, place: Any) -> None:
        """Offer the phases of the live lane, two by two, where it has several."""
        names = [name for name, _ in getattr(place.lane, "plan", ())]
        options = {BEHIND: ()} | {f"phases {a}, {b}": (a, b) for a, b in combinations(names, 2)}
        if options != self._pair.options:
            kept = self._pair.value if self._pair.value in options.values() else ()
            self._pair.param.update(options=options, value=kept)

    def _show_list(self, session: Any) -> None:
        watches = self._page.address.watches
        look = self._page.look
        text = linked_lanes(session, look.name) if watches else of_session(session)
        if text != self._list.object:
            self._list.object = text

    def _named(self) -> tuple[Side | None, Beside | None, str]:
        """What is held, with layers called as they are here."""
        a, found, why = self._held
        if a is not None:
            a = replace(a, names=self._page.sight.call(a.names))
        if a is not None and found is not None:
            found = replace(found, a=replace(found.a, names=a.names))
        return a, found, why

    def _compare(self, place: Any) -> None:
        """The sentence and the strips."""
        a, found, why = self._named()
        refused, first, said = "", None, f"<small>{html.escape(why)}</small>"
        try:
            amount = amount_of(self._amount.value)
            if found is not None:
                first = parting(found, amount)
                said = sentence(found, first, amount)
        except BadInput as wrong:
            refused, said = str(wrong), ""
        parted = None if first is None else first.row
        if parted != self.parted:
            self.parted = parted
            self._page.redraw()  # the readout holds it
        self._go.disabled = first is None
        self._say(said, refused, "" if found is None else self._elsewhere(found))
        if a is None:
            for pane in self._panes:
                pane.visible = False
        else:
            self._draw(a, found, place.cursor)

    def _draw(self, a: Side, found: Beside | None, cursor: int) -> None:
        plot = self._plot
        shown = strips(a, found, cursor)
        titles = [f"A: lane {a.lane}{a.told}, log₁₀ E in nat"]
        if found is not None:
            same = "batch and t" if found.b.told else "batch, phase and t"
            titles += [f"B: lane {found.b.lane}{found.b.told}, at the same {same} as A"]
            titles += ["log₁₀ E_A / E_B, grey where either is not reached or only rounding"]
        for title, text in zip(plot.titles, titles, strict=False):
            title.text = text
        for pane, strip in zip(self._panes, (shown.a, shown.b, shown.ratio), strict=True):
            pane.visible = strip is not None
        pair = a.lane, None if found is None else found.b.lane
        plot.draw(shown, a.names, self._page.board.limits, pair)
        plot.point(cursor, self.parted)

    def _say(self, said: str, refused: str, more: str) -> None:
        refused = f'<p class="refused">{html.escape(refused)}</p>' if refused else ""
        for pane, text in ((self._said, said), (self._refused, refused), (self._more, more)):
            if pane.object != text:
                pane.object = text

    def _elsewhere(self, found: Beside) -> str:
        """A link to all that can be compared of the two, as HTML."""
        if found.b.told:
            return ""
        address = self._page.address
        name = address.run if address.watches else f"{SESSION}{address.session}"
        pair = tuple(f"{name}:{one.lane}" for one in (found.a, found.b))
        to = html.escape(Choices(run=pair).address(self._page.look.name))
        return (
            f'<small><a href="{to}" target="_blank">A and B on the Compare page</a>: '
            "states, forces, precisions, more lanes</small>"
        )

    def _seek(self, row: int | None) -> None:
        if row is not None:
            self._page.do(lambda s: s.seek(min(row, s.row)))


def _held(place: Any, pair: tuple[str, ...]) -> tuple[Side | None, Beside | None, str]:
    """All rows of A, both sides beside each other, and why they are not.

    Args:
        place: what is shown.
        pair: two phases of the live lane; () for all rows of two lanes.
    """
    a = None
    try:
        a = Side.of(place.lane)
        if pair:
            there = [one for one in pair if one in a.phases]
            if len(there) < len(pair):
                return a, None, f"phase {pair[len(there)]} has not begun"
            a, b = (a.only(one) for one in pair)
            return a, beside(a, b), ""
        if place.ghost is None:
            return a, None, ALONE
        return a, beside(a, Side.of(place.ghost)), ""
    except BadInput as missing:
        return a, None, str(missing)


LIST = {"max-height": "210px", "overflow-y": "auto"}
"""A long list is scrolled."""


def sentence(found: Beside, first: Parting | None, amount: float) -> str:
    """Where two lanes part, as HTML.

    Args:
        found: A and B.
        first: where they part, or None.
        amount: by more than which relative amount.
    """
    count = len(found.at_a)
    if not count:
        return "<p>A and B have no row of the same batch, phase and t.</p>"
    p = f"{100 * amount:g} %"
    if first is not None:
        return (
            f"<p>A and B part by more than {p} first at <b>row {first.row}</b>: "
            f"{html.escape(_at(found, first))}</p>"
        )
    rows = "the one common row" if count == 1 else f"{count:,} common rows"
    most = furthest(found)
    if most is None:
        return f"<p>A and B do not part: no more than rounding in {rows}.</p>"
    return (
        f"<p>A and B never part by more than {p} in {rows}; furthest at row {most.row}: "
        f"{html.escape(_at(found, most))}</p>"
    )


def _at(found: Beside, one: Parting) -> str:
    """Where it is and how far they are apart there."""
    a, b = (short(energy) for energy in one.energies)
    other = "" if one.other == one.row else f" (row {one.other} of B)"
    apart = "" if one.by == float("inf") else f", {short(100 * one.by)} % apart"
    phase = f"{one.phase}, " if one.phase else ""
    return (
        f"batch {one.batch}, {phase}t = {one.t}{other}, layer {found.a.names[one.layer]}: "
        f"E is {a} in A and {b} nat in B{apart}"
    )
