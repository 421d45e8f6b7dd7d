"""What was logged and is not stored yet? It waits where it was computed, for a part of a second."""

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import schema
from core.recorder import Chunk
from core.runs.arrays import Taken, landed
from core.runs.counting import NAMES, Row
from core.runs.legal import Shapes
from core.runs.writer import Writer
from core.trace import Sample

BEAT = 0.25
"""Seconds after which what waits is stored with the next call."""

MOST_ROWS, MOST_BYTES = 4096, 64 * 2**20
"""What may wait at most."""


@dataclass(slots=True)
class Entry:
    """Rows that were logged together.

    Args:
        rows: what each says about itself.
        values: variable -> (R, ...), or (...) where it is one row.
        single: whether it is one row, without an axis for rows.
    """

    rows: list[Row]
    values: dict[str, Taken]
    single: bool


@dataclass
class _Waiting:
    rows: list[Entry] = field(default_factory=list)
    frames: list[tuple[int, dict[str, Taken]]] = field(default_factory=list)
    batches: dict[int, dict[str, Taken]] = field(default_factory=dict)
    samples: dict[int, tuple[NDArray[Any], NDArray[Any]]] = field(default_factory=dict)
    count: int = 0
    bytes: int = 0


class Buffer:
    """Holds what was logged and gives it to the writer in large parts."""

    def __init__(self, writer: Writer, lane: int, shapes: Shapes) -> None:
        """Begin empty.

        Args:
            writer: of the run.
            lane: its number.
            shapes: of what is logged.
        """
        self.writer, self.lane, self.shapes = writer, lane, shapes
        self.process = os.getpid()
        self._waiting = _Waiting()
        self._last: Entry | None = None
        self._frame: tuple[int, dict[str, Taken]] = -1, {}
        self._stored_at = time.monotonic()

    def rows(self, entry: Entry) -> None:
        """Hold rows."""
        waiting = self._waiting
        waiting.rows.append(entry)
        waiting.count += len(entry.rows)
        self._last = entry
        self._held(entry.values.values())

    def frame(self, values: dict[str, Taken]) -> None:
        """Hold images of the newest row, which is stored with them, again if it was before."""
        assert self._last is not None
        waiting, row = self._waiting, self._last.rows[-1][0]
        if not waiting.rows:
            waiting.rows.append(self._last)
            waiting.count += len(self._last.rows)
        if self._frame[0] == row:  # a frame that is stored again is stored whole
            values = self._frame[1] | values
        if waiting.frames and waiting.frames[-1][0] == row:
            waiting.frames.pop()
        self._frame = row, values
        waiting.frames.append(self._frame)
        self._held(values.values())

    def batch(self, number: int, values: dict[str, Taken]) -> None:
        """Hold what is known of a batch."""
        self._waiting.batches.setdefault(number, {}).update(values)
        self._held(())

    def sample(self, number: int, labels: NDArray[Any], images: NDArray[Any]) -> None:
        """Hold what a batch showed."""
        self._waiting.samples[number] = labels, images
        self._held(())

    def _held(self, values: Iterable[Taken]) -> None:
        """Store what waits where that is due."""
        waiting = self._waiting
        waiting.bytes += sum(int(one.nbytes) for one in values)
        full = waiting.count >= MOST_ROWS or waiting.bytes >= MOST_BYTES
        if full or time.monotonic() - self._stored_at >= BEAT:
            self.flush()

    def flush(self) -> None:
        """Store all that waits; what is refused goes on waiting.

        Raises:
            NotWritten: if the disk refuses.
        """
        waiting, self._stored_at = self._waiting, time.monotonic()
        if waiting.rows:
            self.writer.append(self.lane, self._chunk(waiting))
            waiting.rows, waiting.frames = [], []
            waiting.count = waiting.bytes = 0
        if waiting.batches:
            numbers, values = self._of_batches(waiting.batches)
            self.writer.batches(self.lane, numbers, **values)
            waiting.batches = {}
        for number in list(waiting.samples):
            labels, images = waiting.samples[number]
            self.writer.sample(self.lane, number, Sample(labels, images))
            del waiting.samples[number]
        self._stored_at = time.monotonic()

    def _chunk(self, waiting: _Waiting) -> Chunk:
        entries = waiting.rows
        said = zip(*(row for entry in entries for row in entry.rows), strict=True)
        rows = {name: np.array(column) for name, column in zip(NAMES, said, strict=True)}
        if np.isnan(rows[schema.CLOCK]).all():
            del rows[schema.CLOCK]
        for name in dict.fromkeys(name for entry in entries for name in entry.values):
            rows[name] = self._variable(name, entries, waiting.count)
        frames: dict[str, NDArray[Any]] = {}
        for name in dict.fromkeys(name for _, values in waiting.frames for name in values):
            frames[name] = self._placed(
                name,
                {k: values[name] for k, (_, values) in enumerate(waiting.frames) if name in values},
                len(waiting.frames),
            )
        if frames:
            frames["frame_row"] = np.array([row for row, _ in waiting.frames])
        return Chunk(rows, frames)

    def _variable(self, name: str, entries: list[Entry], count: int) -> NDArray[Any]:
        """A variable of all rows that wait, (count, ...), nan in those that have none."""
        singles, several, at = {}, {}, 0
        for entry in entries:
            if name in entry.values:
                (singles if entry.single else several)[at] = entry.values[name]
            at += len(entry.rows)
        if len(singles) == len(entries) or not several:
            return self._placed(name, singles, count)
        parts = {k: self.shapes.fitted(name, landed(name, [v])[0]) for k, v in several.items()}
        kinds = [part.dtype for part in parts.values()]
        if singles:
            alone = self._placed(name, singles, count)
            kinds.append(alone.dtype)
            out = alone.astype(np.result_type(*kinds))
        else:
            shape = next(iter(parts.values())).shape[1:]
            out = np.full((count, *shape), np.nan, np.result_type(*kinds))
        for k, part in parts.items():
            out[k : k + len(part)] = part
        return out

    def _placed(self, name: str, values: Mapping[int, Taken], count: int) -> NDArray[Any]:
        """Values at their positions, (count, ...); those of one shape come to the host together."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for k, one in values.items():
            groups.setdefault(tuple(one.shape), []).append(k)
        parts = [
            (at, self.shapes.fitted(name, landed(name, [values[k] for k in at])))
            for at in groups.values()
        ]
        if len(parts) == 1 and len(values) == count:
            return parts[0][1]
        kind = np.result_type(*(part.dtype for _, part in parts))
        out = np.full((count, *parts[0][1].shape[1:]), np.nan, kind)
        for at, part in parts:
            out[at] = part
        return out

    def _of_batches(
        self, held: Mapping[int, Mapping[str, Taken]]
    ) -> tuple[list[int], dict[str, NDArray[Any]]]:
        """What is known of batches in order, nan where it is not."""
        numbers = sorted(held)
        found: dict[str, NDArray[Any]] = {}
        for name in dict.fromkeys(name for values in held.values() for name in values):
            at = [k for k, number in enumerate(numbers) if name in held[number]]
            part = landed(f"batch.{name}", [held[numbers[k]][name] for k in at])
            out = np.full((len(numbers), *part.shape[1:]), np.nan)
            out[at] = part
            found[name] = out
        return numbers, found

    def close(self, error: BaseException | None = None, how: str | None = None) -> None:
        """Store what waits and end the run: as an error says, or as it is said."""
        try:
            self.flush()
        finally:
            if how is not None:
                self.writer.close(how)
            else:
                self.writer.__exit__(None if error is None else type(error), error, None)
