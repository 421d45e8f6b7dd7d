"""How does a session become a run? All lanes from their beginning, then every row as it comes.

A recording only watches. It is no command: it changes no lane, and a session that its log brings
back does not write the run once more. What is handed over waits here until the command that made it
has succeeded, so that the run holds what the session holds.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from core.recorder import Chunk
from core.runs import shelf
from core.runs.writer import FINISHED, Writer
from core.schema import CLOCK
from core.snapshot import Weights
from workbench.lanes import Lane

AT_ONCE = 256
"""Rows of one part of the run, where many are stored at once."""

KIND = "session"
"""What the manifest of such a run says that it is."""


NAMED = ("data", "fingerprint", "engine", "level", "device")
"""What the manifest says of the first lane."""


class Sparing:
    """Lets every number through, then every second, fourth ...: each time as many bytes more."""

    def __init__(self, room: int) -> None:
        """Let through numbers for `room` bytes at every stride."""
        self.room, self.used, self.stride = room, 0, 1

    def takes(self, number: int, size: int) -> bool:
        """Whether this number, of so many bytes, is kept."""
        if number % self.stride:
            return False
        self.used += size
        if self.used >= self.room:
            self.used, self.stride = 0, 2 * self.stride
        return True


WEIGHTS, SAMPLES, FRAMES = 128 * 2**20, 32 * 2**20, 256 * 2**20
"""Bytes of weights, samples of batches, and images of rows before they are kept more sparingly."""


class Tape:
    """The lanes of one session on their way into a run."""

    def __init__(
        self, path: Path, log: Mapping[str, Any], *, align: bool, lane: Lane | None = None
    ) -> None:
        """Make the run.

        Args:
            path: of its directory.
            log: of the session: first choices, and the run that it began from, if any.
            align: whether the session records each layer's cosine to the backprop update.
            lane: the first one, whose data and engine the manifest names.

        Raises:
            BadInput: if the name is illegal or taken.
            OSError: if the run cannot be written.
        """
        said = {"kind": KIND, "align": align, "begin": log.get("begin")}
        if lane is not None:
            said |= {k: v for k, v in lane.trace.attrs.items() if k in NAMED}
        self._writer = Writer(path, experiment=log["experiment"], about=said)
        self.name = path.name
        self.rows = 0
        self._waiting: list[tuple[Lane, Chunk, float | None]] = []
        self._weights: dict[tuple[int, int], Weights] = {}
        self._lanes = 0
        self._started = False
        self._strides: dict[int, tuple[int, int]] = {}
        self._events = 0
        self._recipes: dict[int, list[dict[str, Any]]] = {}
        self._last: dict[int, int] = {}
        self._begun: dict[int, tuple[int, float]] = {}
        self._spare = {"weights": Sparing(WEIGHTS), "samples": Sparing(SAMPLES)}
        self._frames = Sparing(FRAMES)

    # What is handed over -------------------------------------------------------------------------

    def take_all(self, lanes: list[Lane], live: Lane | None, accuracy: float | None) -> None:
        """Take what is in memory of lanes that are there already."""
        for lane in lanes:
            for mark in lane.marks:
                if (mark.row, mark.batch) in lane.starts:
                    self.keep(lane, mark.batch, mark.snapshot.weights)
            # From the fork on: that row may have been measured again under other choices.
            for part in _parts(lane.trace.chunk((lane.forked_at or 0) - 1)):
                self.take(lane, part, accuracy if lane is live else None)

    def take(self, lane: Lane, chunk: Chunk, accuracy: float | None = None) -> None:
        """Take rows that were measured.

        Args:
            lane: whose rows they are.
            chunk: the rows, in the order of their numbers.
            accuracy: on test samples by the weights with which its newest batch began.
        """
        self._waiting.append((lane, chunk, accuracy))

    def keep(self, lane: Lane, batch: int, weights: Weights) -> None:
        """Take the weights with which a batch begins."""
        self._weights[lane.id, batch] = weights

    @property
    def waits(self) -> bool:
        """Whether rows wait to be stored."""
        return bool(self._waiting)

    def forget(self) -> None:
        """Let go what a command handed over that failed."""
        self._waiting.clear()

    # What is stored ------------------------------------------------------------------------------

    def write(self, lanes: list[Lane], events: list[dict[str, Any]], taken: int) -> None:
        """Store what waits.

        Args:
            lanes: of the session, in order.
            events: its log so far.
            taken: steps so far.

        Raises:
            OSError: if the disk refuses.
        """
        for lane in lanes[self._lanes :]:
            self._open(lane)
        while self._waiting:
            self._append(*self._waiting[0])
            del self._waiting[0]
        if len(events) > self._events or not self._started:
            self._writer.events(events[self._events :])
            self._events = len(events)
            self._say(taken)
        self._started = True

    def close(self, lanes: list[Lane], taken: int, trouble: str = "") -> None:
        """Say how far the session came, and let go of the run.

        Args:
            lanes: of the session, in order.
            taken: steps so far.
            trouble: why the recording ends early; nothing more is stored then.

        Raises:
            OSError: if the disk refuses.
        """
        how = f"failed: {trouble}" if trouble else FINISHED
        try:
            if not trouble:
                self._say(taken)
                for lane in lanes[: self._lanes]:
                    if lane.id in self._begun:
                        batch, since = self._begun[lane.id]
                        self._writer.batch(lane.id, batch, seconds=lane.seconds - since)
        finally:
            self._writer.close(how)

    def _say(self, taken: int) -> None:
        """Steps taken when so many rows were stored; rows that come later count from there."""
        self._writer.say(taken=taken, recorded=self.rows)

    def _open(self, lane: Lane) -> None:
        trace = lane.trace
        attrs = {k: v for k, v in trace.attrs.items() if k not in ("theory", "rises")}
        attrs |= self._late(lane)
        number = self._writer.lane(
            trace.layout,
            title=lane.title,
            parent=lane.parent,
            forked_at=lane.forked_at,
            attrs=attrs,
        )
        assert number == lane.id, "a run has the lanes of its session"
        self._lanes += 1
        self._note_recipes(lane)
        self._last[lane.id] = -1 if lane.forked_at is None else lane.forked_at

    def _late(self, lane: Lane) -> dict[str, Any]:
        """What of a lane had been let go before the recording began, for its attributes."""
        if lane.forked_at is not None and lane.parent in self._strides:
            batch, step = self._strides[lane.parent]  # its first rows are those of the parent
        elif self._started:
            batch = step = 1
        else:
            batch, step = lane.trace.batch_stride, lane.trace.step_stride
        self._strides[lane.id] = batch, step
        said = []
        if batch > 1:
            said.append(f"of older batches one in {batch}")
        if step > 1:
            said.append(f"of older steps one in {step}")
        if not said:
            return {}
        line = f"recorded late: {' and '.join(said)} was still there"
        return {"batch_stride": batch, "step_stride": step, "thinned": line}

    def _note_recipes(self, lane: Lane) -> None:
        if self._recipes.get(lane.id) != lane.trace.recipes:
            self._recipes[lane.id] = list(lane.trace.recipes)
            self._writer.recipes(lane.id, self._recipes[lane.id])

    def _append(self, lane: Lane, chunk: Chunk, accuracy: float | None) -> None:
        """Store rows of one lane, and what is known of the batches that begin among them."""
        self._note_recipes(lane)
        steps = chunk.rows["step"]
        first, last = int(steps[0]), int(steps[-1])
        begins = [one for one in _recent(lane.starts, 0, first) if one[0] <= last]
        for _, batch in begins:
            self._sample(lane, batch)
        self._writer.append(lane.id, Chunk(chunk.rows, self._spared(chunk.frames)))
        self.rows += int((steps > self._last[lane.id]).sum())
        self._last[lane.id] = last
        self._clock(lane, first)
        scores = dict(_recent(lane.scores, 0, begins[0][1])) if begins else {}
        if begins and accuracy is not None:
            scores.setdefault(lane.starts[-1][1], accuracy)
        for row, batch in begins:
            self._batch(lane, batch, float(chunk.rows[CLOCK][np.searchsorted(steps, row)]))
            if batch in scores:
                self._writer.batch(lane.id, batch, accuracy=scores[batch])
            self._store_weights(lane, batch)

    def _batch(self, lane: Lane, batch: int, seconds: float) -> None:
        """A batch begins: what the one before took is known."""
        before = self._begun.get(lane.id)
        if before is not None and before[0] != batch:
            self._writer.batch(lane.id, before[0], seconds=seconds - before[1])
        self._begun[lane.id] = batch, seconds

    def _clock(self, lane: Lane, first: int) -> None:
        """When the batch began in whose midst the first own row of a fork stands."""
        if lane.id not in self._begun:
            before = [one for one in lane.starts if one[0] < first]
            if before:
                row, batch = before[-1]
                self._begun[lane.id] = batch, lane.seconds_at(row)

    def _sample(self, lane: Lane, batch: int) -> None:
        sample = lane.trace.batches.get(batch)
        if sample is None:  # an old batch of a trace that was thinned
            return
        size = sample.images.nbytes + sample.labels.nbytes
        if batch == lane.starts[0][1] or self._spare["samples"].takes(batch, size):
            self._writer.sample(lane.id, batch, sample)

    def _store_weights(self, lane: Lane, batch: int) -> None:
        weights = self._weights.pop((lane.id, batch), None)
        if weights is None:
            return
        size = sum(one.nbytes for one in weights.values.values())
        if batch == lane.starts[0][1] or self._spare["weights"].takes(batch, size):
            self._writer.weights(lane.id, batch, weights.values)

    def _spared(self, frames: dict[str, Any]) -> dict[str, Any]:
        """The frames that are kept."""
        if not frames:
            return {}
        size = sum(one[0].nbytes for one in frames.values())
        kept = [n for n, row in enumerate(frames["frame_row"]) if self._frames.takes(row, size)]
        return {name: values[kept] for name, values in frames.items()} if kept else {}


def now() -> str:
    """The time of day in a name."""
    return time.strftime("%Y%m%d-%H%M%S")


def free_name() -> str:
    """A name for a run that nobody has named, by the time of day."""
    name = f"session-{now()}"
    taken = {path.name for path in shelf.folder().glob(f"{name}*")}
    return next(n for n in (name, *(f"{name}-{k}" for k in range(2, 10_000))) if n not in taken)


def _parts(chunk: Chunk) -> list[Chunk]:
    """The same rows and frames in handy parts."""
    if not chunk.rows:
        return []
    steps = chunk.rows["step"]
    found = []
    for first in range(0, len(steps), AT_ONCE):
        rows = {name: values[first : first + AT_ONCE] for name, values in chunk.rows.items()}
        frames = {}
        if chunk.frames:
            at = chunk.frames["frame_row"]
            end = steps[first + AT_ONCE] if first + AT_ONCE < len(steps) else np.inf
            seen = (at >= (steps[first] if first else -1)) & (at < end)
            frames = {k: v[seen] for k, v in chunk.frames.items()} if seen.any() else {}
        found.append(Chunk(rows, frames))
    return found


def _recent(pairs: list[tuple[int, Any]], column: int, first: int) -> list[tuple[int, Any]]:
    """The last pairs of a list in order, those whose entry is not below `first`."""
    at = len(pairs)
    while at and pairs[at - 1][column] >= first:
        at -= 1
    return pairs[at:]
