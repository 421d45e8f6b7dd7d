"""What does the address of the Relax page ask for? A session, a preset, a run or its batch.

`session=ID` is a session of one's own, made if there is none; `run=NAME` with or without `lane=K`
is watched; `run=NAME&batch=N` begins a session with the weights of that batch, `preset=NAME` one
with its choices, `tour=NAME` one at the first stage of a tour, `state=...` one that repeats
another, with its layout; see `workbench.links`.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    from workbench.links import State

Layout = Mapping[str, str]


@dataclass(frozen=True)
class Address:
    """The arguments of the page's address, as text.

    Args:
        session: a legal id.
        run: name of a run, "" for none.
        lane: number of a lane of it, "" for the last.
        batch: number of a batch of it, "" where it is watched.
        preset: name of a preset, "" for none.
        state: a packed session, "" for none.
        tour: name of a tour, "" for none.
    """

    session: str
    run: str = ""
    lane: str = ""
    batch: str = ""
    preset: str = ""
    state: str = ""
    tour: str = ""

    @classmethod
    def of(cls, asked: Mapping[str, list[str]], secret: str) -> "Address":
        """What is asked for.

        Args:
            asked: the arguments, all values of each name.
            secret: from which an id is made where none that is legal was asked for; a document
                that is built anew for its socket shares it.
        """
        first = {name: values[0].strip() for name, values in asked.items() if values}
        session = first.get("session", "")
        if not re.fullmatch(r"[A-Za-z0-9_-]{8,32}", session):
            session = hashlib.sha256(secret.encode()).hexdigest()[:16]
        names = ("run", "lane", "batch", "preset", "state", "tour")
        return cls(session, *(first.get(name, "") for name in names))

    @property
    def watches(self) -> bool:
        """Whether a run is to be watched, and nothing to be relaxed."""
        return bool(self.run) and not self.batch

    def opened(self, key: int, wake: Callable[[], None]) -> tuple[Any, Callable[[], None], Layout]:
        """What is asked for, begun; what is to be called when the page has gone; the layout.

        Args:
            key: names the page among those of a session.
            wake: called when there is something to show, from any thread.

        Raises:
            BadInput: if there is no such run, lane, batch, preset or tour, or the state is none.
            OSError: if it cannot be read.
        """
        lane = _number("lane", self.lane)
        if self.watches:
            from workbench.watched import Watched

            watched = Watched(self.run, lane, wake=wake)
            watched.start()
            return watched, watched.close, {}
        from workbench import registry

        state = self._asked(lane)
        log = None if state is None else state.log
        session = registry.attach(self.session, key, wake, log)
        layout = {} if state is None else state.layout
        return session, lambda: registry.release(self.session, key), layout

    def _asked(self, lane: int | None) -> "State | None":
        """What a new session begins with; None for the plain choices."""
        from core.experiment import Experiment
        from workbench.links import Log, State, unpacked

        if self.state:
            return unpacked(self.state)
        if self.run:
            from core.runs.shelf import run_named
            from workbench.beginning import Begin

            batch = _number("batch", self.batch)
            assert batch is not None
            begin = Begin.at(run_named(self.run), lane, batch)
            return State(Log(begin.experiment(), begin=begin))
        if self.preset:
            from core.catalogue import BadInput, unknown
            from workbench.presets import named, whole

            if self.preset not in named():
                raise BadInput(f"preset: {unknown(self.preset, named())}")
            return State(Log(Experiment(**whole(self.preset))), {"preset": self.preset})
        if self.tour:
            from core.catalogue import BadInput, unknown
            from workbench.tours import tours

            if self.tour not in tours():
                raise BadInput(f"tour: {unknown(self.tour, tours())}")
            stage = tours()[self.tour].stages[0]
            return State(Log(stage.experiment), {"preset": stage.preset, "tour": self.tour})
        return None


def link(page: str, theme: str = "", **arguments: Any) -> str:
    """The address of a page, relative to the app's.

    Args:
        page: its name.
        theme: "light" or "dark"; "" for that of whoever opens it.
        **arguments: more of it.
    """
    return "?" + urlencode({"page": page, **arguments, **({"theme": theme} if theme else {})})


def _number(name: str, text: str) -> int | None:
    """The number that an argument holds, None where it is absent."""
    from core.catalogue import BadInput, shown

    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise BadInput(f"{name}: {shown(text)}; an integer of 0 or more")
    return int(text)
