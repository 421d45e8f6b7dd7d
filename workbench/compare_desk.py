"""What happens on the Compare page? Choices are heard, asked for, and shown when they are there."""

from typing import TYPE_CHECKING, Any

import numpy as np
import panel as pn
from bokeh.models import TextInput

from workbench import compare_words as words
from workbench.compare_board import Board
from workbench.compare_choices import MOST_LANES, read
from workbench.compare_lanes import expanded
from workbench.compare_panel import Dials
from workbench.compare_rows import MOST_ROWS
from workbench.compare_scene import LETTERS, row_at
from workbench.compare_work import Pair, Shown
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
        self.page = page
        self.choices, self._refused = read(asked)
        run, left = expanded(self.choices.run, MOST_LANES)
        self.choices, self._left_out = self.choices.changed(run=run), left
        self._zoom = self.choices.zoom  # to be shown when there is something to see
        self.dials = Dials(sheet, self.change)
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
        self._clear.on_click(lambda _: page.later(self._deselect))
        self._again = pn.widgets.Button(label="make the states again by replay", width=230, **style)
        self._again.on_click(lambda _: self._replay())
        page.side[:] = [self.dials.view]
        page.bar[:] = [self._fit, self._anew, self._clear]
        self.board = Board(page, heard, self._again)
        self.board.on_select = self._select
        heard.on_change("value", lambda attr, old, new: page.later(lambda: self._hear(new)))
        for end in ("start", "end"):
            self.board.x.range.on_change(end, self._moved)
        self.worker = Worker(lambda: page.later(self.show))
        self.worker.start()
        self._ask(offers=True)

    def end(self) -> None:
        """The page has gone."""
        self.worker.end()

    # What a person does --------------------------------------------------------------------------

    def change(self, **choices: Any) -> None:
        """Take other choices, and ask for what they show."""
        if "run" in choices:
            choices["run"], self._left_out = expanded(choices["run"], MOST_LANES)
        if choices.get("x", self.choices.x) != self.choices.x:
            self._at_step = self._step_at_cursor()
            choices |= {"zoom": None}
        if "run" in choices and not set(choices["run"]) & set(self.choices.run):
            choices |= {"zoom": None, "at": None}
        if "zoom" in choices:
            self._zoom = None
            self.board.x.free()
        if "run" in choices:
            self.worker.replay_refused = ""
        self.choices = self.choices.changed(**choices)
        self._refused = []
        self._ask()

    def fit(self) -> None:
        """Show the whole range again."""
        self.change(zoom=None)

    def _ask(self, *, again: bool = False, offers: bool = False) -> None:
        self.worker.ask(self.choices.changed(at=None), again=again, offers=offers)

    def _replay(self) -> None:
        self._again.disabled = True
        self._ask(again=True)

    def _hear(self, new: str) -> None:
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
        self.board.place_cursor(at)
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
        if self._settling is None and self.board.stands:
            self._settling = self.page.soon(self._settled)

    def _settled(self) -> None:
        self._settling = None
        x = self.board.x
        zoom = x.shown if x.zoomed else None
        if zoom != self.choices.zoom:
            self.choices = self.choices.changed(zoom=zoom)
            if self._shown is not None and any(one.rows > MOST_ROWS for one in self._shown.lanes):
                self._ask()  # of a long lane other rows are drawn now
            self._say()

    # Showing -------------------------------------------------------------------------------------

    def show(self) -> None:
        """What the worker has found, unless something else was asked for since."""
        shown = self.worker.newest
        self._again.disabled = False
        wanted = self.choices.changed(at=None, zoom=None)
        if shown is not None and shown.choices.changed(at=None, zoom=None) == wanted:
            self._shown = shown
            self._draw(shown)
        self.dials.show(self.choices, self.worker.offers, self._shown)
        self._say()

    def _select(self) -> None:
        self.board.show_rows()
        self._say()

    def _deselect(self) -> None:
        self.board.deselect()
        self._select()

    def _draw(self, shown: Shown) -> None:
        if self._at_step is not None:
            self._keep_step(shown)
        self.board.draw(shown, self.worker.replay_refused, self.choices.at, self._zoom)
        if shown.span is not None:
            self._zoom = None

    def _keep_step(self, shown: Shown) -> None:
        """The axis has changed: the cursor stays at its row."""
        one = shown.lanes[0] if shown.lanes else None
        self.choices = self.choices.changed(at=None)
        if one is not None and not one.why and len(one.number):
            row = int(np.abs(one.number - (self._at_step or 0)).argmin())
            if np.isfinite(one.x[row]):
                self.choices = self.choices.changed(at=float(one.x[row]))
        self._at_step = None

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
            told += self._left_out
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
            "selected": len(self.board.selected),
            "points": len(self.board.points.get("x", ())),
        }
