"""What happens on the Compare page? Choices are heard, asked for, and shown when they are there."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np
import panel as pn
from bokeh.models import TextInput

from workbench import compare_words as words
from workbench import comparing as c
from workbench.compare_choices import Choices, read
from workbench.compare_lanes import MOST_ROWS
from workbench.compare_panel import Dials
from workbench.compare_plots import Canvas, Followed
from workbench.compare_profile import Profile
from workbench.compare_scene import LETTERS, Line, points, row_at
from workbench.compare_work import Apart, Pair, Shown
from workbench.compare_worker import Worker

if TYPE_CHECKING:
    from workbench.compare_page import ComparePage


class Desk:
    """The choices of one page, and what is drawn of them."""

    def __init__(
        self,
        page: "ComparePage",
        asked: dict[str, list[str]],
        heard: TextInput,
        sheet: str,
    ) -> None:
        """Take up what the address asks for.

        Args:
            page: that shows it.
            asked: the arguments of its address.
            heard: by which the browser speaks.
            sheet: style sheet of widgets.
        """
        self.page, self.heard = page, heard
        self.choices, self._refused = read(asked)
        self._zoom = self.choices.zoom  # to be shown when there is something to see
        self.x = Followed()
        self.profile = Profile(page.look)
        self.dials = Dials(sheet, self.change)
        self._built: Any = None
        self._canvas: Canvas | None = None
        self._points: dict[str, Any] = {}
        self._shown: Shown | None = None
        self._at_step: int | None = None
        self._settling: Any = None
        self._frame = 0
        style: dict[str, Any] = {"stylesheets": [sheet], "margin": (0, 3)}
        self._fit = pn.widgets.Button(label="whole range", width=100, **style)
        self._fit.on_click(lambda _: self.fit())
        self._anew = pn.widgets.Button(label="look for new runs", width=130, **style)
        self._anew.on_click(lambda _: self._ask(offers=True))
        self._clear = pn.widgets.Button(label="select nothing", width=110, **style)
        self._clear.on_click(lambda _: self._deselect())
        self._again = pn.widgets.Button(label="make the states again by replay", width=230, **style)
        self._again.on_click(lambda _: self._replay())
        page.side[:] = [self.dials.view]
        page.bar[:] = [self._fit, self._anew, self._clear]
        page.bodies["profile"][:] = [pn.pane.Bokeh(self.profile.view, sizing_mode="stretch_width")]
        heard.on_change("value", self._hear)
        for end in ("start", "end"):
            self.x.range.on_change(end, self._moved)
        self.worker = Worker(lambda: page.later(self.show))
        self.worker.start()
        self._ask(offers=True)

    def end(self) -> None:
        """The page has gone."""
        self.worker.end()

    # What a person does --------------------------------------------------------------------------

    def change(self, **choices: Any) -> None:
        """Take other choices, and ask for what they show."""
        if choices.get("x", self.choices.x) != self.choices.x:
            self._at_step = self._step_at_cursor()
            choices |= {"zoom": None}
            self._zoom = None
        if "run" in choices and not set(choices["run"]) & set(self.choices.run):
            choices |= {"zoom": None, "at": None}
            self._zoom = None
        self.choices = self.choices.changed(**choices)
        self._refused = []
        self._ask()

    def fit(self) -> None:
        """Show the whole range again."""
        self._zoom = None
        self.choices = self.choices.changed(zoom=None)
        self.x.fit(self.x.range.reset_start, self.x.range.reset_end, force=True)  # type: ignore[arg-type]
        self._ask()

    def _ask(self, *, again: bool = False, offers: bool = False) -> None:
        self.worker.ask(self._loaded(), again=again, offers=offers)

    def _loaded(self) -> Choices:
        """The choices as far as rows depend on them: short lanes are read whole."""
        long = self._shown is None or any(one.rows > MOST_ROWS for one in self._shown.lanes)
        return self.choices.changed(at=None, zoom=self.choices.zoom if long else None)

    def _replay(self) -> None:
        self._again.disabled = True
        self._ask(again=True)

    def _hear(self, attr: str, old: str, new: str) -> None:
        word, *rest = new.split()
        shown = self._shown
        if shown is None or not shown.lanes:
            return
        if word == "at":
            self._place(self._nearest(float(rest[0])))
        elif word == "key" and rest[0] == "fit":
            self.fit()
        elif word == "key":
            self._step(rest[0], int(rest[1]))

    def _step(self, name: str, by: int) -> None:
        """Move the cursor by rows of A."""
        places = self._places()
        if not places.size:
            return
        at = self.choices.at
        now = places.size - 1 if at is None else int(np.abs(places - at).argmin())
        to = {"right": now + by, "left": now - by, "home": 0, "end": places.size}[name]
        last = to >= places.size - 1
        self._place(None if last else float(places[max(to, 0)]))

    def _places(self) -> Any:
        """Where the rows stand by which the cursor moves: those of the first lane that has any."""
        for one in self._shown.lanes if self._shown is not None else ():
            held = one.x[np.isfinite(one.x)]
            if held.size and not one.why:
                return held
        return np.zeros(0)

    def _nearest(self, x: float) -> float | None:
        places = self._places()
        return float(places[np.abs(places - x).argmin()]) if places.size else None

    def _place(self, at: float | None) -> None:
        self.choices = self.choices.changed(at=at)
        self._show_cursor()
        self._say()

    def _step_at_cursor(self) -> int | None:
        """Number of the row of the first lane at the cursor, where it was put somewhere."""
        if self.choices.at is None or self._shown is None or not self._shown.lanes:
            return None
        one = self._shown.lanes[0]
        row = row_at(one, self.choices.at)
        return None if row is None else int(one.number[row])

    def _moved(self, attr: str, old: Any, new: Any) -> None:
        """The axis was zoomed or moved: wait until it rests."""
        if self._settling is None and self._built is not None:
            self._settling = self.page.soon(self._settled)

    def _settled(self) -> None:
        self._settling = None
        zoom = self.x.shown if self.x.zoomed else None
        if zoom != self.choices.zoom:
            self.choices = self.choices.changed(zoom=zoom)
            before = self._shown.choices.zoom if self._shown is not None else None
            if self._loaded().zoom != before:
                self._ask()
            self._say()

    def _deselect(self) -> None:
        if self._canvas is not None:
            self._canvas.linked.selection_expr = None
            self._show_rows()

    # Showing -------------------------------------------------------------------------------------

    def show(self) -> None:
        """What the worker has found."""
        shown = self.worker.newest
        self._again.disabled = False
        if shown is not None and shown.choices == self._loaded():
            self._shown = shown
            self._draw(shown)
        elif shown is not None and self._shown is None:
            self._shown = shown  # how long the lanes are was not known when it was asked for
            self._ask()
        self.dials.show(self.choices, self.worker.offers, self._shown)
        self._say()

    def _draw(self, shown: Shown) -> None:
        if shown.span is not None:
            low, high = shown.span
            room = 0.015 * (high - low) or 0.5
            self.x.fit(low - room, high + room, force=self._built is None)
        if self._zoom is not None and shown.span is not None:
            self.x.range.update(start=self._zoom[0], end=self._zoom[1])
            self._zoom = None
        if self._at_step is not None:
            self._keep_step(shown)
        built = _built(shown)
        if built != self._built:
            self._build(shown)
            self._built = built
        else:
            self._renew(shown)
        self._fit_limits(shown)
        self._tell_heads(shown)
        self._show_cursor(force=built != self._built)
        self.page.views["experiments"].object = words.experiments(shown)
        self._show_rows()

    def _keep_step(self, shown: Shown) -> None:
        """The axis has changed: the cursor stays at its row."""
        one = shown.lanes[0] if shown.lanes else None
        self.choices = self.choices.changed(at=None)
        if one is not None and not one.why and len(one.number):
            row = int(np.abs(one.number - (self._at_step or 0)).argmin())
            if np.isfinite(one.x[row]):
                self.choices = self.choices.changed(at=float(one.x[row]))
        self._at_step = None

    def _build(self, shown: Shown) -> None:
        """New figures for what is compared now."""
        choices, bodies = shown.choices, self.page.bodies
        canvas = self._canvas = Canvas(self.page.look, choices.x, self.x, self.heard)
        for name, (drawn, reasons) in (("curve", shown.curve), ("other", shown.other)):
            label, unit, log = c.CURVES[getattr(choices, name)]
            text = f"{label} ({unit})" if unit else label
            held = [canvas.curves(name, text, log, drawn)] if drawn else []
            bodies[name][:] = [*held, *self._reasons(reasons)]
        bodies["maps"][:] = [self._row_of_maps(canvas, shown)]
        quantity = c.QUANTITIES[choices.map]
        if isinstance(shown.pair, Pair):
            bodies["difference"][:] = [canvas.difference(f"{quantity.over} ℓ", shown.pair)]
            bodies["cloud"][:] = [canvas.cloud(quantity.drawn, shown.pair)]
            canvas.linked.param.watch(lambda _: self._show_rows(), "selection_expr")
        else:
            for name in ("difference", "cloud"):
                bodies[name][:] = [self.page.html(words.why(shown.pair))]
        if isinstance(shown.apart, Apart):
            apart = shown.apart
            label = f"distance of states, {choices.distance}"
            bodies["distances"][:] = [canvas.distances(label, _of_states(apart))]
        else:
            replay = self.worker.replay_refused
            reason = shown.apart + (f"; nor can they be made again: {replay}" if replay else "")
            held = [self.page.html(words.why(reason))]
            can = "not recorded" in shown.apart and not replay
            bodies["distances"][:] = [*held, *([self._again] if can else [])]

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
        parted = words.parting(shown)
        heads["difference"].object = words.title(quantity.difference, parted)
        heads["cloud"].object = words.title(f"{quantity.label}: A against B")
        note = shown.apart.note if isinstance(shown.apart, Apart) else ""
        heads["distances"].object = words.title("distance of the states of A and B", note)

    def _show_cursor(self, *, force: bool = False) -> None:
        shown = self._shown
        if shown is None or self._canvas is None:
            return
        at = self.choices.at
        self.page.views["lanes"].object = words.lanes(shown, at, self.page.look.name)
        newest = shown.span[1] if shown.span is not None else None
        self._canvas.place_cursor(newest if at is None else at)
        self.profile.draw(shown, at, force=force)
        quantity = c.QUANTITIES[shown.choices.map]
        over = f"{quantity.label} over depth"
        self.page.heads["profile"].object = words.title(over, "at the cursor")

    def _show_rows(self) -> None:
        """The table of what is selected in the difference or in A against B."""
        shown, canvas = self._shown, self._canvas
        if shown is None or canvas is None or not isinstance(shown.pair, Pair):
            self._points = {}
            self.page.views["rows"].object = ""
            return
        self._points = points(shown.pair)
        self.page.views["rows"].object = words.table(self._points, self.selected, shown)
        self._say()

    @property
    def selected(self) -> Sequence[int]:
        """Positions of the points that are selected; all where nothing is."""
        count = len(self._points.get("x", ()))
        if self._canvas is None or self._canvas.linked.selection_expr is None:
            return range(count)
        held = {name: self._points[name] for name in ("x", "layer", "A", "B", "difference")}
        of = hv.Dataset(held | {"row": np.arange(count)}, ["row"], list(held))
        kept: Any = of.select(self._canvas.linked.selection_expr)
        return kept["row"].astype(int)

    def _say(self) -> None:
        """Tell the browser what is shown."""
        shown = self._shown
        self._frame += 1
        refused = list(self._refused)
        told = []
        if shown is not None:
            refused += list(shown.refused.values())
            told += [shown.rule.sentence(max((one.rows for one in shown.lanes), default=0))]
            told += list(shown.pair.notes) if isinstance(shown.pair, Pair) else []
        if self.worker.trouble:
            refused.append(self.worker.trouble)
        said: dict[str, Any] = {
            "page": "compare",
            "ready": shown is not None,
            "frame": self._frame,
            "address": self.choices.address(self.page.look.name),
            "message": " · ".join(refused or [one for one in told if one]),
            "refused": bool(refused),
            "run": list(self.choices.run),
            "at": self.choices.at,
            "zoom": self.choices.zoom,
            "offers": [one.key for one in self.worker.offers],
            "groups": len(self.dials.groups),
        }
        if shown is not None:
            said |= self._said_of(shown)
        self.page.say(said)

    def _said_of(self, shown: Shown) -> dict[str, Any]:
        pair, apart = shown.pair, shown.apart
        return {
            "lanes": [one.lane.title for one in shown.lanes],
            "rows": [one.rows for one in shown.lanes],
            "drawn": [len(one.x) for one in shown.lanes],
            "curves": [one.label for one in shown.curve[0]],
            "why": {LETTERS[k]: why for k, why in shown.curve[1].items()},
            "maps": [list(one.values.shape) for one in shown.maps],
            "parting": words.parting(shown),
            "difference": pair if isinstance(pair, str) else "drawn",
            "distances": apart if isinstance(apart, str) else len(apart.found.state),
            "selected": len(self.selected),
            "points": len(self._points.get("x", ())),
        }


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
