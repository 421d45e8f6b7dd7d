"""Which parts of a run are there, and which of them are a lane's? What all readers ask first."""

import threading
from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from core.catalogue import BadInput
from core.layout import Layout
from core.runs.errors import Damaged
from core.runs.lock import is_held
from core.runs.rows import Rows, Stretch, add, stretches
from core.runs.source import Part, Source
from core.runs.store import WHOLE_STREAM, Count

NUMBER = {"rows": "step", "frames": "frame_row", WHOLE_STREAM: "step"}
"""The array that numbers the rows of a stream."""

OF_LANES = ("lane", "rows", "frames", "batches", "samples", "recipes", "weights")
"""Streams whose parts belong to a lane."""


@dataclass(frozen=True)
class LaneInfo:
    """One lane of a run.

    Args:
        number: of the lane.
        layout: what its rows are about.
        title: how it differs from its parent.
        parent: the lane that it came from.
        forked_at: the last of the parent's rows that is also its own; None for none.
        attrs: what belongs to the lane.
    """

    number: int
    layout: Layout
    title: str
    parent: int | None
    forked_at: int | None
    attrs: Mapping[str, Any]


class Parts:
    """The parts of a run, as far as they were stored when they were last read."""

    def __init__(self, path: Path) -> None:
        """Read them.

        Raises:
            Damaged: if nothing can be read.
        """
        self.path = path
        self.guard = threading.RLock()
        self.held: list[Part] = []
        self._streams: dict[str, list[Part]] = {}
        self.bad: set[int] = set()
        self.trouble: list[str] = []
        self._source = Source(path)
        self._read()

    def refresh(self) -> bool:
        """Look for what was stored since; whether there is more."""
        with self.guard:
            before = self.newest
            if not is_held(self.path) or self._source.trouble or self._source.frozen:
                self._open_again()  # its log may have been folded into the file
            self._read()
            return self.newest > before

    def _open_again(self) -> None:
        again = Source(self.path)
        self._source.close()
        self._source = again

    def _read(self) -> None:
        try:  # first: parts that are stored meanwhile are more than was counted, never fewer
            self.counted, self.uncounted = self._source.acknowledged(), ""
        except ValueError as failed:
            self.counted = Count()
            self.uncounted = f"{failed}: whether rows were lost at the end is not known"
        found = self._source.parts(self.newest)
        self.held = [*self.held, *found.parts]
        for part in found.parts:
            self._streams.setdefault(part.stream, []).append(part)
        self.bad |= set(found.bad)
        self.complain(*found.trouble)

    def complain(self, *sentences: str) -> None:
        """Remember what is wrong with the store, each sentence once."""
        self.trouble = list(dict.fromkeys([*self.trouble, *sentences]))

    @property
    def newest(self) -> int:
        """Number of the newest part, 0 where there is none."""
        return self.held[-1].id if self.held else 0

    def of(self, stream: str, lane: int | None = None) -> list[Part]:
        """Parts of a stream, of one lane or of all, in the order in which they were stored."""
        found = self._streams.get(stream, [])
        return [part for part in found if lane is None or part.lane == lane]

    def good(self, stream: str, lane: int) -> list[Part]:
        """The same without those that were seen to be damaged."""
        return [part for part in self.of(stream, lane) if part.id not in self.bad]

    def stored_with(self, part: Part, stream: str) -> Part | None:
        """The part of a stream and lane that was stored right behind another, if it is good."""
        at = bisect(self.held, part.id, key=lambda one: one.id)
        if at == len(self.held) or self.held[at].id in self.bad:
            return None
        next_ = self.held[at]
        alike = (next_.id, next_.stream, next_.lane) == (part.id + 1, stream, part.lane)
        return next_ if alike else None

    def value(self, part: Part, name: str) -> NDArray[Any]:
        """One array of a part.

        Raises:
            Damaged: if it is not as it was written.
        """
        try:
            return self._source.value(part, name)
        except Damaged:
            with self.guard:
                if not (self._source.frozen and is_held(self.path)):
                    raise
                self._open_again()  # somebody began to go on with the run: the file moves
            return self._source.value(part, name)

    def close(self) -> None:
        """Let go of the files; safe to call twice."""
        self._source.close()

    # Lanes ---------------------------------------------------------------------------------------

    @property
    def lanes(self) -> dict[int, LaneInfo]:
        """Lanes by number."""
        found = {}
        for part in self.of("lane"):
            said = part.more
            found[part.lane] = LaneInfo(
                part.lane,
                Layout.from_dict(said["layout"]),
                said["title"],
                said["parent"],
                said["forked_at"],
                said["attrs"],
            )
        return found

    def lane(self, number: int | None = None) -> LaneInfo:
        """A lane, by default the one that was last written.

        Raises:
            BadInput: if there is none of that number.
        """
        lanes = self.lanes
        if number is None:
            rows = [part.lane for part in self.of("rows") if part.lane in lanes]
            number = rows[-1] if rows else max(lanes, default=0)
        if number not in lanes:
            known = ", ".join(map(str, sorted(lanes))) or "there is none yet"
            raise BadInput(f"lane: {number}; one of run {self.path.name}: {known}")
        return lanes[number]

    @property
    def given_lanes(self) -> int:
        """How many numbers of lanes were given, those of lanes that are lost included."""
        seen = [part.lane for name in OF_LANES for part in self.of(name)]
        return max([*seen, *self.counted.last], default=-1) + 1

    @property
    def given_events(self) -> int:
        """How many numbers of events were given, those of lost ones before others included."""
        return max((part.last for part in self.of("events")), default=-1) + 1

    def line(self, lane: int) -> list[tuple[int, int | None]]:
        """A lane's ancestors and itself, each with the last of its rows that counts."""
        lanes = self.lanes
        found: list[tuple[int, int | None]] = [(lane, None)]
        while (info := lanes.get(lane)) is not None:
            if info.parent is None or info.forked_at is None:
                break
            lane = info.parent
            if lane not in lanes or any(lane == one for one, _ in found):
                break
            found.insert(0, (lane, info.forked_at))
        return found

    def own(self, lane: int, stream: str, until: int | None = None) -> list[Stretch]:
        """What of a lane's own parts counts, up to a number."""
        cuts = [(part, first) for one, part, first in self.counted.cuts if one == lane]
        rows = self.of("rows", lane)
        # All others give way to rows, and rows to those that were there and are damaged.
        cuts += [(p.id, p.first) for p in rows if stream != "rows" or p.id in self.bad]
        return stretches(self.good(stream, lane), NUMBER[stream], until, cuts)

    def stretches(self, lane: int, stream: str) -> list[Stretch]:
        """What of the parts of a lane and its ancestors counts, each number once."""
        with self.guard:
            found: list[Stretch] = []
            for one, until in self.line(lane):
                for held in self.own(one, stream, until):
                    add(found, NUMBER[stream], held)
            return found

    def rows(self, lane: int, stream: str = "rows") -> Rows:
        """The rows, the frames, or the rows of whole relaxations, of a lane."""
        return Rows(self.stretches(lane, stream), self.value)


def last_batch_until(parts: Parts, lane: int, until: int | None) -> int | None:
    """The last batch of a lane that began up to a row; None for all of them, -1 for none."""
    if until is None:
        return None
    held = parts.own(lane, "rows", until)
    return int(held[-1].numbers("batch")[-1]) if held else -1
