"""What is on the Compare page? Its figures, tables and heads, for what is compared now.

Figures are built anew only when what is compared changes; otherwise new rows go into those that are
there.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np
import panel as pn
from bokeh.models import TextInput

from workbench import compare_words as words
from workbench import comparing as c
from workbench.compare_plots import Canvas, Followed
from workbench.compare_profile import Profile
from workbench.compare_scene import LETTERS, Line, points
from workbench.compare_work import NOT_RECORDED, Apart, Pair, Shown

if TYPE_CHECKING:
    from workbench.compare_page import ComparePage


class Board:
    """Everything that shows what is compared."""

    def __init__(self, page: "ComparePage", heard: TextInput, again: Any) -> None:
        """Begin without figures, but that over depth.

        Args:
            page: with the places where all is shown.
            heard: told where somebody clicks.
            again: the button that asks for states by replay.
        """
        self.page, self.heard, self._again = page, heard, again
        self.x = Followed()
        self.profile = Profile(page.look)
        self.points: dict[str, Any] = {}
        self.on_select: Callable[[], None] = lambda: None
        self._built: Any = None
        self._canvas: Canvas | None = None
        self._profiled: Canvas | None = None
        self._shown: Shown | None = None
        self._over_depth = pn.pane.Bokeh(self.profile.view, sizing_mode="stretch_width")

    @property
    def stands(self) -> bool:
        """Whether there are figures."""
        return self._built is not None

    def draw(
        self,
        shown: Shown,
        replay_refused: str,
        at: float | None,
        zoom: tuple[float, float] | None,
    ) -> None:
        """Show a comparison.

        New figures get their limits and cursor before they are put in their places: on a busy
        connection changes of a model may else be heard before the model itself.

        Args:
            shown: what was computed.
            replay_refused: why states could not be made again, where that was tried.
            at: place of the cursor, None for the newest rows.
            zoom: from where to where on the axis from now on; None to leave it.
        """
        self._shown = shown
        if shown.span is not None:
            low, high = shown.span
            room = 0.015 * (high - low) or 0.5
            self.x.fit(low - room, high + room, force=not self.stands)
        built = (_built(shown), replay_refused)
        if built != self._built:
            made = self._build(shown, replay_refused)
            self._built = built
        else:
            made = {}
            self._renew(shown)
        self._fit_limits(shown)
        if zoom is not None and shown.span is not None:
            self.x.range.update(start=zoom[0], end=zoom[1])
        self.place_cursor(at)
        for name, objects in made.items():
            self.page.bodies[name][:] = objects
        self._tell_heads(shown)
        self.page.views["experiments"].object = words.experiments(shown)
        self.show_rows()

    def _build(self, shown: Shown, replay_refused: str) -> dict[str, list[Any]]:
        """New figures for what is compared now, by the place into which they go."""
        choices = shown.choices
        bodies: dict[str, list[Any]] = {"profile": [self._over_depth]}
        canvas = self._canvas = Canvas(self.page.look, choices.x, self.x, self.heard)
        for name, (drawn, reasons) in (("curve", shown.curve), ("other", shown.other)):
            label, unit, log = c.CURVES[getattr(choices, name)]
            text = f"{label} ({unit})" if unit else label
            held = [canvas.curves(name, text, log, drawn)] if drawn else []
            bodies[name] = [*held, *self._reasons(reasons)]
        bodies["maps"] = [self._row_of_maps(canvas, shown)]
        quantity = c.QUANTITIES[choices.map]
        if isinstance(shown.pair, Pair):
            bodies["difference"] = [canvas.difference(f"{quantity.over} ℓ", shown.pair)]
            bodies["cloud"] = [canvas.cloud(quantity.drawn, shown.pair)]
            # It is called outside of the document's lock: the table waits for the next turn.
            canvas.linked.param.watch(lambda _: self.page.later(self.on_select), "selection_expr")
        else:
            for name in ("difference", "cloud"):
                bodies[name] = [self.page.html(words.why(shown.pair))]
        if isinstance(shown.apart, Apart):
            apart = shown.apart
            label = f"distance of states, {choices.distance}"
            bodies["distances"] = [canvas.distances(label, _of_states(apart))]
        else:
            reason = shown.apart + (f": {replay_refused}" if replay_refused else "")
            held = [self.page.html(words.why(reason))]
            can = shown.apart.endswith(NOT_RECORDED) and not replay_refused
            bodies["distances"] = [*held, *([self._again] if can else [])]
        return bodies

    def _row_of_maps(self, canvas: Canvas, shown: Shown) -> Any:
        """The maps side by side, each under the name of its lane."""
        quantity = c.QUANTITIES[shown.choices.map]
        found = []
        for one in shown.maps:
            name = f"{LETTERS[one.lane]}: {shown.lanes[one.lane].lane.title}"
            head = self.page.html(words.title(name))
            if one.why:
                body = self.page.html(words.why(one.why))
            else:
                given = one, shown.limits, quantity.log
                title = f"{quantity.over} ℓ"
                body = canvas.map(f"map {one.lane}", title, one.values.shape[0], given)
            found.append(pn.Column(head, body, sizing_mode="stretch_width", margin=0))
        return pn.Row(*found, sizing_mode="stretch_width", margin=0)

    def _reasons(self, reasons: dict[int, str]) -> list[Any]:
        lines = [f"{LETTERS[k]}: {why}" for k, why in reasons.items()]
        return [self.page.html(words.why("; ".join(lines)))] if lines else []

    def _renew(self, shown: Shown) -> None:
        """More rows, or other ones, in the figures that are there."""
        canvas = self._canvas
        assert canvas is not None
        for name, (drawn, _) in (("curve", shown.curve), ("other", shown.other)):
            if drawn:
                canvas.show(name, drawn)
        for one in shown.maps:
            if not one.why:
                log = c.QUANTITIES[shown.choices.map].log
                canvas.show(f"map {one.lane}", (one, shown.limits, log))
        if isinstance(shown.pair, Pair):
            canvas.show("difference", shown.pair)
            canvas.show("cloud", shown.pair)
        if isinstance(shown.apart, Apart):
            canvas.show("distances", _of_states(shown.apart))

    def _fit_limits(self, shown: Shown) -> None:
        canvas = self._canvas
        assert canvas is not None
        for name, (drawn, _) in (("curve", shown.curve), ("other", shown.other)):
            if drawn:
                canvas.fit(name, _extents(drawn))
        if isinstance(shown.apart, Apart):
            canvas.fit("distances", [shown.apart.logs])
        parted = shown.pair.parted_x if isinstance(shown.pair, Pair) else None
        canvas.place_parting(parted)

    def _tell_heads(self, shown: Shown) -> None:
        heads, choices = self.page.heads, shown.choices
        quantity = c.QUANTITIES[choices.map]
        heads["curve"].object = words.title(c.CURVES[choices.curve][0])
        heads["other"].object = words.title(c.CURVES[choices.other][0])
        more = len(shown.lanes) - len(shown.maps)
        rest = f"the first {len(shown.maps)} lanes; {more} more are not drawn" if more > 0 else ""
        heads["maps"].object = words.title(
            f"{quantity.label}, on the same colours" if shown.maps else "", rest
        )
        said = [one for one in (words.parting(shown), words.tinted(shown)) if one]
        heads["difference"].object = words.title(quantity.difference, " · ".join(said))
        heads["cloud"].object = words.title(f"{quantity.label}: A against B")
        note = shown.apart.note if isinstance(shown.apart, Apart) else ""
        heads["distances"].object = words.title("distance of the states of A and B", note)

    def place_cursor(self, at: float | None) -> None:
        """Where the cursor stands, and what is read there; None for the newest rows."""
        shown = self._shown
        if shown is None or self._canvas is None:
            return
        self.page.views["lanes"].object = words.lanes(shown, at, self.page.look.name)
        newest = shown.span[1] if shown.span is not None else None
        self._canvas.place_cursor(newest if at is None else at)
        fresh = self._profiled is not self._canvas
        self._profiled = self._canvas
        self.profile.draw(shown, at, force=fresh)
        quantity = c.QUANTITIES[shown.choices.map]
        over = f"{quantity.label} over depth"
        self.page.heads["profile"].object = words.title(over, "at the cursor")

    def show_rows(self) -> None:
        """The table of what is selected in the difference or in A against B."""
        shown, canvas = self._shown, self._canvas
        if shown is None or canvas is None or not isinstance(shown.pair, Pair):
            self.points = {}
            why = shown.pair if shown is not None and isinstance(shown.pair, str) else ""
            text = words.title("A against B, row by row") + words.why(why) if why else ""
            self.page.views["rows"].object = text
            return
        self.points = points(shown.pair)
        self.page.views["rows"].object = words.table(self.points, self.selected, shown)

    @property
    def selected(self) -> Sequence[int]:
        """Positions of the points that are selected; all where nothing is."""
        count = len(self.points.get("x", ()))
        if self._canvas is None or self._canvas.linked.selection_expr is None:
            return range(count)
        held = {name: self.points[name] for name in ("x", "layer", "A", "B", "difference")}
        of = hv.Dataset(held | {"row": np.arange(count)}, ["row"], list(held))
        kept: Any = of.select(self._canvas.linked.selection_expr)
        return kept["row"].astype(int)

    def deselect(self) -> None:
        """Select nothing."""
        if self._canvas is not None:
            self._canvas.linked.selection_expr = None


def _of_states(apart: Apart) -> tuple[Any, Any, Any]:
    return apart.x, apart.logs, apart.found.state


def _extents(drawn: Sequence[Line]) -> list[Any]:
    """All values that a plot of curves has to hold."""
    found = [one.y for one in drawn]
    return found + [edge for one in drawn for edge in (one.low, one.high) if edge is not None]


def _built(shown: Shown) -> Any:
    """What figures are built for: while it is the same, new rows go into those that are there."""
    pair, apart, choices = shown.pair, shown.apart, shown.choices
    return (
        choices.changed(zoom=None, at=None, part=0.0),
        [one.lane.key for one in shown.lanes],
        [[(one.label, one.low is None) for one in held] for held, _ in (shown.curve, shown.other)],
        [held for _, held in (shown.curve, shown.other)],
        [(one.lane, one.why, one.values.shape[0]) for one in shown.maps],
        pair if isinstance(pair, str) else len(pair.found.layer),
        apart if isinstance(apart, str) else apart.found.state.tolist(),
    )
