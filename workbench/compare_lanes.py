"""Which lanes can be compared, and which of their rows are drawn?

A lane is named as in the page's address: `NAME` or `NAME:lane` of a run in the store, `~ID:lane` of
a session that is alive in this server. A long lane is never read whole: so many rows are taken as a
plot can show, evenly, and it is said which.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from core.catalogue import BadInput
from core.schema import INDEX
from workbench.compare_axes import BATCHES, SMM, TITLES, batch_ends, places
from workbench.compare_states import recorded_states

MOST_ROWS = 1200
"""Rows of a lane that are drawn: a plot has fewer pixels across."""

MOST_OFFERED = 200
"""Newest runs that are offered."""

BUDGET = 96 * 2**20
"""Bytes of one lane's variables that are read for drawing."""

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


class RunLane(Lane):
    """A lane of a run in the store."""

    def __init__(self, run: Any, number: int, key: str) -> None:
        """Take a `core.runs.run.Run` and the number of a lane."""
        info = run.lanes[number]
        several = f" · lane {number}" if len(run.lanes) > 1 else ""
        told = f": {info.title}" if several and info.title else ""
        title = (run.notes.title or run.name) + several + told
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
        return self.state == "live" and self.run.refresh()

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
    for path in found()[:MOST_OFFERED]:
        try:
            run = Run(path)
            lanes = [RunLane(run, k, _key(run, k)) for k in run.lanes]
        except (BadInput, Damaged, OSError):
            continue  # the Runs page tells what is wrong with it
        offers += [Offer(one.key, one.title, one.experiment) for one in lanes]
    return offers


def _key(run: Any, number: int) -> str:
    return run.name if len(run.lanes) == 1 else f"{run.name}:{number}"


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


# Rows that are drawn -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Thinning:
    """Which rows of long lanes are drawn, the same of all, so that they can be compared.

    Args:
        by: "" for all, "batch" for last rows of batches, or "step".
        every: how many batches or steps lie between two rows.
    """

    by: str = ""
    every: int = 1

    def sentence(self, rows: int) -> str:
        """What is drawn of so many rows; "" where it is all."""
        if not self.by:
            return ""
        counted = {1: ""}.get(self.every, f"{_ordinal(self.every)} ")
        what = f"every {counted}step"
        if self.by == "batch":
            what = f"the last row of every {counted}batch"
        return f"{rows:,} rows: {what} is drawn; zoom in for more"

    def kept(self, rows: xr.Dataset) -> NDArray[np.bool_]:
        """Which rows stay, (rows,); the newest always."""
        if not self.by:
            return np.ones(rows.sizes["step"], bool)
        if self.by == "batch":
            stay = batch_ends(rows) & (rows["batch"].values % self.every == 0)
        else:
            stay = rows["step"].values % self.every == 0
        stay[-1:] = True
        return stay


def thinning(lanes: Sequence[xr.Dataset], most: int = MOST_ROWS) -> Thinning:
    """How rows are thinned so that no lane has many more than `most`.

    Several batches are thinned to their last rows, which the weights see: rows in between are at
    another t each, and would be a curve of nothing.
    """
    if all(one.sizes["step"] <= most for one in lanes):
        return Thinning()
    ends = [int(batch_ends(one).sum()) for one in lanes]
    if max(ends) > 2:
        return Thinning("batch", _round(max(ends) / most))
    return Thinning("step", _round(max(one.sizes["step"] for one in lanes) / most))


def _round(ratio: float) -> int:
    """The next 1, 2, 5, 10, 20, ..., so that a growing lane keeps its rows for long."""
    for power in range(12):
        for digit in (1, 2, 5):
            if digit * 10**power >= ratio:
                return digit * 10**power
    return int(ratio)


def _ordinal(n: int) -> str:
    return f"{n:,}{'nd' if n == 2 else 'th'}"


@dataclass(frozen=True)
class Drawn:
    """What is drawn of a lane.

    Args:
        lane: it comes from.
        trace: the rows that are drawn, in memory.
        x: where each of them stands on the axis, (rows,); nan where it has no place.
        why: it cannot stand on the axis, or "".
        number: of each of them in the lane, (rows,), also where batches are the axis.
        rows: how many there are in all.
        extent: from the first to the last place of all its rows, or None.
        reasons: why the lane cannot stand on an axis, by axis.
        states: numbers of the states that it holds in full.
        lazy: the same rows with all variables, which are read when they are looked at.
    """

    lane: Lane
    trace: xr.Dataset
    x: NDArray[np.float64]
    why: str
    number: NDArray[np.int64]
    rows: int
    extent: tuple[float, float] | None
    reasons: Mapping[str, str] = field(default_factory=dict)
    states: Sequence[int] = ()
    lazy: xr.Dataset = field(default_factory=xr.Dataset)


def drawn(
    lanes: Sequence[Lane],
    axis: str,
    names: Sequence[str],
    window: tuple[float, float] | None = None,
) -> tuple[list[Drawn], Thinning]:
    """The rows of several lanes that are drawn against an axis, read from where they are.

    Args:
        lanes: that are compared.
        axis: one of `TITLES`.
        names: variables that are drawn; what a lane does not have is left out.
        window: from where to where on the axis; None for the whole.
    """
    found = []
    for lane in lanes:
        trace = _rows_of(lane)
        reasons = _reasons(lane, trace)
        why = reasons.get(axis, "")
        x = trace["step"].values.astype(float) if why else _places(lane, trace, axis)
        found.append((lane, trace, x, why, reasons))
    inside = [_inside(x, window) for _, _, x, _, _ in found]
    most = min([MOST_ROWS, *(_room(trace, names) for _, trace, *_ in found)])
    bare = [trace.drop_vars(list(trace.data_vars)) for _, trace, *_ in found]
    near = [one.isel(step=np.flatnonzero(at)) for one, at in zip(bare, inside, strict=True)]
    rule = thinning(near, most)
    made = []
    for (lane, trace, x, why, reasons), at, part in zip(found, inside, near, strict=True):
        chosen = np.flatnonzero(at)[rule.kept(part)]
        held = [name for name in dict.fromkeys(names) if name in trace]
        lazy = trace.isel(step=chosen)
        number = lazy["step"].values
        if axis == BATCHES:
            lazy = lazy.assign_coords(step=lazy["batch"].values)
        rows, states = lazy[held].load(), recorded_states(trace)
        total = trace.sizes["step"]
        span = _extent(x)
        made.append(Drawn(lane, rows, x[chosen], why, number, total, span, reasons, states, lazy))
    return made, rule


def _rows_of(lane: Lane) -> xr.Dataset:
    """All rows of a lane; one that has none yet has a `step` all the same."""
    trace = lane.trace()
    if "step" in trace.coords:
        return trace
    none: dict[str, Any] = {name: ("step", np.zeros(0, int)) for name in INDEX[1:]}
    return trace.assign_coords(none | {"step": np.zeros(0, int)})


def _reasons(lane: Lane, trace: xr.Dataset) -> dict[str, str]:
    """Why a lane cannot stand on an axis, for those on which it cannot."""
    reasons = {}
    for axis in TITLES:
        try:
            _places(lane, trace, axis)
        except BadInput as refused:
            reasons[axis] = str(refused)
    return reasons


def _places(lane: Lane, trace: xr.Dataset, axis: str) -> NDArray[np.float64]:
    recipes = json.loads(trace.attrs.get("recipes", "[]"))
    batches = lane.batches() if axis == SMM and lane.experiment is None else None
    return places(trace, axis, experiment=lane.experiment, recipes=recipes, batches=batches)


def _extent(x: NDArray[np.float64]) -> tuple[float, float] | None:
    held = x[np.isfinite(x)]
    return (float(held[0]), float(held[-1])) if len(held) else None


def _inside(x: NDArray[np.float64], window: tuple[float, float] | None) -> NDArray[np.bool_]:
    """Which rows are in a window, with half as much again on each side to move to."""
    if window is None:
        return np.isfinite(x)
    margin = (window[1] - window[0]) / 2
    with np.errstate(invalid="ignore"):
        return (x >= window[0] - margin) & (x <= window[1] + margin)


def _room(trace: xr.Dataset, names: Sequence[str]) -> int:
    """How many rows fit into the budget."""
    rows = max(trace.sizes.get("step", 1), 1)
    each = sum(8 * trace[name].size / rows for name in names if name in trace)
    return max(2, int(BUDGET / each)) if each else MOST_ROWS
