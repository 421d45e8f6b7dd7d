"""Does a recorded session come out the same once more? And what were its states, row by row?

A recorded session holds its first choices and its event log, from which everything follows: it is
made again here, in this thread, and its rows are compared by their digests. Full states are not
stored in runs; they are made again in the same way.
"""

import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from core import schema
from core.catalogue import BadInput
from core.experiment import Experiment
from core.runs import Run
from workbench.beginning import Begin
from workbench.lanes import Lane
from workbench.session import Session
from workbench.taping import KIND, Tape

LIMIT = 2**30
"""Bytes of states that are given at once."""

Digests = dict[int, str]
"""Digest of the rows of each lane, by its number."""


def log_of(run: Run) -> dict[str, Any]:
    """The session log that a run was recorded with, as `Session.log` gives it.

    Raises:
        BadInput: if the run is no recorded session.
    """
    about = run.manifest["about"]
    if about.get("kind") != KIND:
        raise BadInput(f"run: {run.name}; no recorded session: it has no event log to replay")
    log = {
        "experiment": run.manifest["experiment"],
        "events": run.events(),
        "taken": _taken(run),
    }
    return log | ({"begin": about["begin"]} if about.get("begin") else {})


def replay(run: Run) -> Digests:
    """Make a recorded session again; returns the digests of its lanes, as `Run.digest` gives them.

    Of a lane that was recorded late, or whose run is damaged, the rows that the run holds count.

    Raises:
        BadInput: if the run is no recorded session.
    """
    return {lane: again for lane, _, again in replayed(run)}


def replayed(run: Run) -> list[tuple[int, str, str]]:
    """Make a recorded session again and compare: (lane, digest as recorded, digest of the replay).

    A digest is "" where only the other side has the lane.

    Raises:
        BadInput: if the run is no recorded session.
    """
    log = log_of(run)
    with tempfile.TemporaryDirectory(prefix="relaxoscope-") as folder, _one_thread():
        path = Path(folder) / "again"
        session = _Again(log, align=bool(run.manifest["about"].get("align", True)))
        session.make(Tape(path, log, align=session.align))
        again = Run(path)
        found = []
        for lane in sorted({*run.lanes, *again.lanes}):
            steps = _held(run, lane)
            digests = [_digest(one, lane, steps) for one in (run, again)]
            found.append((lane, digests[0], digests[1]))
        again.close()
    return found


def states_of(
    source: Session | Run | Mapping[str, Any],
    lane: int,
    *,
    steps: Sequence[int] | None = None,
    limit: int = LIMIT,
) -> dict[str, NDArray[Any]]:
    """Full states of the rows of a lane, made again by replay.

    A session that is alive is asked between two of its steps, and then goes on as if nothing had
    been; this waits for the answer. A run or a log is replayed in this thread.

    Args:
        source: a session, a recorded session, or the log of one.
        lane: number of its lane.
        steps: numbers of the rows; by default all that the lane holds.
        limit: most bytes that the answer may have.

    Returns: `step` (rows,), and `state_k` (rows, B, units) of each state k.

    Raises:
        BadInput: if there is no such lane or row, the answer would be too large, or the run is no
            recorded session.
    """
    if isinstance(source, Session):
        return _asked(source, lambda: _states(source, lane, steps, limit))
    if isinstance(source, Run):
        rows = source.dataset(lane)
        held = rows["step"].values.tolist() if "step" in rows.coords else []
        log, steps = log_of(source), held if steps is None else steps
        align = bool(source.manifest["about"].get("align", True))
    else:
        log, align = source, True
    with _one_thread():
        session = _Again(log, align=align)
        session.make()
        return _states(session, lane, steps, limit)


class _Again(Session):
    """A session that is made again in this thread, and recorded as it goes along if it is to be."""

    def __init__(self, log: Mapping[str, Any], *, align: bool) -> None:
        begin = Begin.from_dict(log["begin"]) if log.get("begin") else None
        super().__init__(Experiment.from_dict(log["experiment"]), begin=begin, align=align)
        self.repeat(log["events"], log["taken"])

    def make(self, tape: Tape | None = None) -> None:
        """Do all that the log tells; the tape takes what the lanes would not hold for long."""
        self._tape = tape
        self._prepare()
        if tape is not None:
            tape.write(self.lanes, self.events, self.taken)
            tape.close(self.lanes, self.taken)
            self._tape = None

    def _drain(self) -> None:
        super()._drain()
        if self._tape is not None:
            self._tape.write(self.lanes, self.events, self.taken)


def _taken(run: Run) -> int:
    """Steps that the session had taken when its last row was stored."""
    said = run.said
    own = 0
    for number, info in run.lanes.items():
        steps = run.dataset(number).coords
        first = -1 if info.forked_at is None else info.forked_at
        own += int((steps["step"].values > first).sum()) if "step" in steps else 0
    return int(said.get("taken", 0)) + max(0, own - int(said.get("recorded", 0)))


def _held(run: Run, lane: int) -> NDArray[Any] | None:
    """Numbers of a lane's rows where not all of them are there, else None."""
    if lane not in run.lanes:
        return None
    coords = run.dataset(lane, verify=True).coords
    if not (run.recovered or "thinned" in run.lanes[lane].attrs):
        return None
    return coords["step"].values if "step" in coords else np.zeros(0, int)


def _digest(run: Run, lane: int, steps: NDArray[Any] | None) -> str:
    """Of the rows of a lane, or of some of them."""
    if lane not in run.lanes:
        return ""
    if steps is None:
        return run.digest(lane)
    data = run.dataset(lane)
    data = data.isel(step=np.flatnonzero(np.isin(data["step"].values, steps)))
    names = [str(name) for name in data.variables if data[name].dims[:1] == ("step",)]
    return schema.digest({name: data[name].values for name in names})


@contextmanager
def _one_thread() -> Iterator[None]:
    """As many threads of torch as the worker of a session has: sums depend on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _asked(session: Session, look: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a session's worker found; looked for here where it has none."""
    worker = session._thread
    if worker is None or worker is threading.current_thread():
        return look()
    answer: Future[dict[str, Any]] = Future()

    def ask() -> None:
        try:
            answer.set_result(look())
        except Exception as error:
            answer.set_exception(error)

    session.aside(ask)
    while True:
        try:
            return answer.result(timeout=0.5)
        except TimeoutError:
            if answer.done() or worker.is_alive():
                continue
            raise BadInput("states: the session has ended") from None


def _states(
    session: Session, number: int, steps: Sequence[int] | None, limit: int
) -> dict[str, NDArray[Any]]:
    """Go to each row and back to where the session stood."""
    lanes = {one.id: one for one in session.lanes}
    if number not in lanes:
        raise BadInput(f"lane: {number}; one of {', '.join(map(str, lanes)) or 'none yet'}")
    lane = lanes[number]
    live, relaxation = cast(Lane, session.lane), session._relaxation
    session._park()
    assert lane.parked is not None and live.parked is not None
    held = lane.trace.tail(len(lane.trace))["step"]
    rows = held.tolist() if steps is None else sorted(set(steps))
    last = lane.parked.row
    for row in rows:
        if not 0 <= row <= last:
            raise BadInput(f"step: {row}; a row 0..{last} of lane {number}")
    layout, B = lane.trace.layout, lane.training.batches.size
    item = lane.training.network.example.element_size()
    size = len(rows) * B * sum(layout.sizes) * item
    if size > limit:
        came, most = f"{size / 2**20:,.0f} MiB", f"{limit / 2**20:,.0f} MiB"
        raise BadInput(f"states: {len(rows)} rows are {came}; at most {most}: ask for fewer rows")
    found: list[list[NDArray[Any]]] = [[] for _ in layout.sizes]
    try:
        for states in session._walk(lane, rows):
            for k, h in enumerate(states):
                found[k].append(h.detach().flatten(1).cpu().numpy().copy())
    finally:
        session._return(live, live.parked, relaxation)
    named = {f"state_{k}": np.stack(one) for k, one in enumerate(found) if one}
    return {"step": np.array(rows), **named}
