"""Which lanes can be compared? Those of runs in the store, and of sessions that are alive.

A lane is named as in the page's address: `NAME` or `NAME:lane` of a run in the store, which is
`SWEEP/NAME` where it belongs to a sweep, `~ID:lane` of a session of this server.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import xarray as xr

from core.catalogue import BadInput
from workbench.runs_shelf import WRITTEN
from workbench.sweeps import found as sweeps

MOST_OFFERED = 200
"""Newest runs that are offered."""

SESSION = "~"
"""Begins the name of a session, which no run's name does."""


@dataclass(frozen=True)
class Offer:
    """A lane that can be chosen.

    Args:
        key: as in the address.
        title: that is shown.
        experiment: behind it, or None.
    """

    key: str
    title: str
    experiment: Mapping[str, Any] | None


class Lane:
    """A lane that is open: what is known of it, and its rows so far."""

    def __init__(self, key: str, title: str, experiment: Mapping[str, Any] | None) -> None:
        """Name it; a subclass says where its rows are."""
        self.key, self.title, self.experiment = key, title, experiment

    @property
    def state(self) -> str:
        """How it stands: "live", "finished" and the like."""
        raise NotImplementedError

    @property
    def note(self) -> str:
        """What is missing or damaged, in a sentence."""
        return ""

    def refresh(self) -> bool:
        """Whether there are more rows than before."""
        raise NotImplementedError

    def trace(self) -> xr.Dataset:
        """All rows so far; values may be read only when they are asked for."""
        raise NotImplementedError

    def batches(self) -> xr.Dataset | None:
        """What is known of whole batches."""
        return None

    @property
    def source(self) -> Any:
        """What it is a lane of, and its number there: for replaying it."""
        raise NotImplementedError

    @property
    def once(self) -> str:
        """Why its states cannot be made again by replay; "" where they can."""
        return ""


class RunLane(Lane):
    """A lane of a run in the store."""

    def __init__(self, run: Any, number: int, key: str) -> None:
        """Take a `core.runs.run.Run` and the number of a lane."""
        info = run.lanes[number]
        several = f" · lane {number}" if len(run.lanes) > 1 else ""
        told = f": {info.title}" if several and info.title else ""
        own = run.name
        if "/" in key:  # a point of a sweep, whose name ends in a hash
            own = f"{key.partition('/')[0]}: {run.name.rpartition('-')[0]}"
        title = (run.notes.title or own) + several + told
        super().__init__(key, title, info.attrs.get("experiment") or run.manifest.get("experiment"))
        if isinstance(self.experiment, str):
            self.experiment = json.loads(self.experiment)
        self.run, self.number = run, number

    @property
    def state(self) -> str:
        """Of the run."""
        return self.run.state

    @property
    def note(self) -> str:
        """What was recovered."""
        return self.run.recovered

    def refresh(self) -> bool:
        """Look whether its writer has stored more."""
        return self.state in WRITTEN and self.run.refresh()

    def trace(self) -> xr.Dataset:
        """From the store, by chunks where it is large."""
        return self.run.dataset(self.number)

    def batches(self) -> xr.Dataset | None:
        """From the store."""
        return self.run.batches(self.number)

    @property
    def source(self) -> Any:
        """The run and the number of the lane."""
        return self.run, self.number

    @property
    def once(self) -> str:
        """A run that is no recorded session has no event log."""
        from workbench.replaying import log_of  # here, because it loads the session

        try:
            log_of(self.run)
        except BadInput as refused:
            return str(refused)
        return ""


class SessionLane(Lane):
    """A lane of a session that is alive."""

    def __init__(self, session: Any, number: int, key: str) -> None:
        """Take a `workbench.session.Session` and the id of a lane."""
        lane = next(one for one in session.lanes if one.id == number)
        name = key.partition(":")[0].removeprefix(SESSION)[:6]
        told = f": {lane.title}" if lane.title else ""
        title = f"session {name} · lane {number}{told}"
        super().__init__(key, title, lane.choices[0][1].to_dict())
        self.session, self.lane = session, lane
        self._rows = -1

    @property
    def state(self) -> str:
        """It may go on at any time."""
        return "live"

    def refresh(self) -> bool:
        """Whether rows came, or were measured anew."""
        now = self.lane.trace.row(2**62)
        rows = (len(self.lane.trace), -1 if now is None else int(now["step"]))
        grown, self._rows = rows != self._rows, rows
        return grown

    def trace(self) -> xr.Dataset:
        """The rows that the session holds."""
        return self.lane.trace.dataset()

    @property
    def source(self) -> Any:
        """The session and the id of the lane."""
        return self.session, self.lane.id


def offered() -> list[Offer]:
    """Lanes of the sessions that are alive and of the newest runs; runs that cannot be read not."""
    from core.runs.errors import Damaged
    from core.runs.run import Run
    from core.runs.shelf import found
    from workbench import registry

    offers = []
    for name, session in registry.sessions().items():
        for lane in session.lanes:
            one = SessionLane(session, lane.id, f"{SESSION}{name}:{lane.id}")
            offers.append(Offer(one.key, one.title, one.experiment))
    swept = sweeps()
    offers += [Offer(one.name, f"sweep {one.name}, its points", None) for one in swept]
    points = ((f"{one.name}/{path.name}", path) for one in swept for path in sorted(found(one)))
    runs = ((path.name, path) for path in found())
    for name, path in chain(islice(runs, MOST_OFFERED), islice(points, MOST_OFFERED)):
        try:
            run = Run(path)
            lanes = [RunLane(run, k, _key(run, name, k)) for k in run.lanes]
        except (BadInput, Damaged, OSError):
            continue  # the Runs page tells what is wrong with it
        offers += [Offer(one.key, one.title, one.experiment) for one in lanes]
    return offers


def expanded(keys: Sequence[str], most: int) -> tuple[tuple[str, ...], list[str]]:
    """Names of lanes in which each sweep is named by its points, and what had to be left out.

    Args:
        keys: as in the address; that of a sweep is the name of its folder.
        most: lanes at once.
    """
    from core.runs.shelf import found

    known = {one.name: one for one in sweeps()} if keys else {}
    names: list[str] = []
    for key in keys:
        if key in known:
            names += [f"{key}/{path.name}" for path in sorted(found(known[key]))]
        else:
            names.append(key)
    whole = tuple(dict.fromkeys(names))
    left = [f"run: {len(whole)} lanes; the first {most} are shown"] if len(whole) > most else []
    return whole[:most], left


def _key(run: Any, name: str, number: int) -> str:
    return name if len(run.lanes) == 1 else f"{name}:{number}"


def opened(key: str) -> Lane:
    """The lane of that name.

    Raises:
        BadInput: if there is none; the nearest is offered.
        Damaged: if nothing of the run can be read.
    """
    from core.runs.run import Run
    from core.runs.shelf import run_named
    from workbench import registry

    name, _, number = key.partition(":")
    if number and not number.isdecimal():
        raise BadInput(f"run: {key!r}; NAME, or NAME:lane with a number")
    if name.startswith(SESSION):
        session = registry.sessions().get(name.removeprefix(SESSION))
        if session is None:
            raise BadInput(f"run: {name}; this session is not alive, record it to keep its lanes")
        lanes = [one.id for one in session.lanes]
        if not lanes:
            raise BadInput(f"run: {name}; this session has no lane yet")
        if number and int(number) not in lanes:
            raise BadInput(f"lane: {number}; {name} has {', '.join(map(str, lanes))}")
        return SessionLane(session, int(number) if number else lanes[-1], key)
    run = Run(run_named(name))
    return RunLane(run, run.lane(int(number) if number else None).number, key)
