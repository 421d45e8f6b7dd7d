"""What has a run stored so far of one lane? Its rows in a trace, read while they are written.

Variables may come and go from row to row in a program's own log: what a row has not is nan. Only
what is drawn is held, within a budget, so that a run of any length can be looked at.
"""

import json
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core import schema
from core.recorder import IMAGES, Chunk
from core.trace import Trace
from workbench.curves import COMPARED, Gaps
from workbench.plan import Plan

if TYPE_CHECKING:
    from core.runs.run import LaneInfo, Run

DRAWN = ("energy", "error", "precision", "cost", "force", "activity", "probability", *COMPARED)
"""Variables of rows that the page shows."""

PICTURES = (*IMAGES, *(f"{name}_mse" for name in IMAGES), "frame_row")
"""Variables of frames that the page shows."""

BUDGET = 96 * 2**20
"""Bytes of the rows of one lane; what is more is thinned."""

FEWEST, MOST = 2_000, 400_000
"""Rows that are held before they are thinned, at least and at most."""

GROUP = 2048
"""Rows that are taken over at once."""

ASIDE_EVERY = 1.0
"""Seconds between two looks at what is known of batches, which is read whole."""


class WatchedLane:
    """A lane of a run, as far as it was read: what the page needs to draw it as one of a session.

    Attributes:
        id: its number in the run.
        title: how it differs from its parent.
        choices: the experiment as plain data, empty where none is known.
        trace: the rows.
        newest: number of the newest row, -1 while there is none.
        gaps: rows that were lost.
        plan: name and T of each phase of a batch; empty where no T was recorded.
        kept: batches whose first weights were kept.
        scores: test accuracy by the number of the batch.
        diverged: why it could not go on, or None.
        logged: names of all variables that were recorded.
    """

    def __init__(
        self, info: "LaneInfo", choices: Mapping[str, Any] | None = None, budget: int = BUDGET
    ) -> None:
        """Begin before the first row.

        Args:
            info: what the run says about the lane.
            choices: the experiment of the run, for a lane that names none of its own.
            budget: bytes of rows that are held.
        """
        self._info, self._budget = info, budget
        self.id, self.title = info.number, info.title
        self.choices = _experiment(info.attrs.get("experiment") or choices)
        self.kept: list[int] = []
        self.scores: dict[int, float] = {}
        self.diverged: str | None = None
        self.logged: set[str] = set()
        self._aside_at = -ASIDE_EVERY
        self._blanks: dict[str, dict[str, NDArray]] = {"rows": {}, "frames": {}}
        self._begin()

    def _begin(self) -> None:
        """Before the first row."""
        self.trace = self._empty(FEWEST)
        self.newest = -1
        self.gaps: Gaps = ()
        self.plan: Plan = ()
        self._mark = self._stride = 0
        self._any = {"rows": False, "frames": False}

    def read(self, run: "Run") -> Iterator[int]:
        """Take over what was stored since the last call; gives how many rows, time and again.

        Where a variable comes up that no row had so far, it is nan in those, which are read again.
        """
        while True:
            try:
                yield from self._read(run)
            except _New:
                kept = self.trace
                self._begin()
                self.trace.recipes, self.trace.batches = kept.recipes, kept.batches
            else:
                return

    def read_aside(self, run: "Run") -> None:
        """What is known beside the rows: recipes, what batches showed and scored, kept weights."""
        self.trace.recipes = run.recipes(self.id)
        if time.monotonic() - self._aside_at < ASIDE_EVERY:
            return
        self._aside_at = time.monotonic()
        rows = self.trace.tail(len(self.trace))
        there = set(np.unique(rows["batch"]).tolist()) if rows else set()
        if not there <= self.trace.batches.keys():
            self.trace.batches = {k: v for k, v in run.samples(self.id).items() if k in there}
        logged = run.batches(self.id)
        if "accuracy" in logged:
            pairs = zip(logged["batch"].values, logged["accuracy"].values, strict=True)
            self.scores = {int(k): float(score) for k, score in pairs if np.isfinite(score)}
        self.kept = sorted(self._kept(run, rows))

    def _kept(self, run: "Run", rows: Mapping[str, NDArray[Any]]) -> set[int]:
        """Batches of this lane whose first weights were kept, in it or in those it came from."""
        info, until, found = self._info, np.inf, set[int]()
        while rows:
            there = rows["batch"][rows["step"] <= until]
            found |= set(run.kept(info.number)) & set(there.tolist())
            if info.parent is None or info.forked_at is None:
                break
            info, until = run.lane(info.parent), info.forked_at
        return found

    @property
    def steps(self) -> NDArray[np.integer]:
        """Numbers of the rows that are held, in order."""
        held = self.trace.tail(len(self.trace))
        return held["step"] if held else np.zeros(0, int)

    @property
    def known(self) -> set[str]:
        """Names of the variables that an export holds: logged, or following from what was."""
        shown = {"label", "input"} if self.trace.batches else set()
        shown |= {"frame"} if self.logged.intersection(PICTURES) else set()
        return self.logged | set(schema.derivable(self.trace.layout, self.logged)) | shown

    @property
    def pixels(self) -> tuple[float, float]:
        """The pixels that are black and white: the range of what one batch showed."""
        images = [one.images for one in list(self.trace.batches.values())[:1] if one.images.size]
        if not images:
            return 0.0, 1.0
        low, high = float(np.min(images[0])), float(np.max(images[0]))
        return (low, high) if low < high else (low, low + 1.0)

    def _read(self, run: "Run") -> Iterator[int]:
        held: list[Chunk] = []
        mark, count = self._mark, 0
        for at, chunk in run.chunks(self.id, after=self._mark):
            drawn = self._drawn(chunk)
            if held and not (count < GROUP and _follows(held[-1], drawn)):
                yield self._take(_joined(held))
                held, count = [], 0
            held.append(drawn)
            mark, count = at, count + drawn.count
        if held:
            yield self._take(_joined(held))
        self._mark = mark

    def _drawn(self, chunk: Chunk) -> Chunk:
        """Of a chunk, what the page shows: in each the variables of all that came before."""
        kept = {"rows": (*schema.INDEX, *DRAWN), "frames": PICTURES}
        self.logged |= {*chunk.rows, *chunk.frames} - {*schema.INDEX, schema.CLOCK, "frame_row"}
        parts = {}
        for part, names in kept.items():
            held = {k: v for k, v in getattr(chunk, part).items() if k in names}
            blanks = self._blanks[part]
            if held:
                new = held.keys() - blanks.keys()
                blanks |= {name: held[name][:0] for name in new}
                if new and self._any[part]:
                    raise _New
                self._any[part] = True
                count = len(next(iter(held.values())))
                held |= {n: _blank(v, count) for n, v in blanks.items() if n not in held}
            parts[part] = held
        return Chunk(**parts)

    def _take(self, chunk: Chunk) -> int:
        """Append rows; one with an old number takes the place of that row and of all later ones."""
        step = chunk.rows["step"]
        if not len(self.trace):
            self.trace = self._empty(_limit(chunk, self._budget))
        if self.newest >= int(step[0]):
            self._forget_from(int(step[0]))
        self._note_gaps(step)
        self.trace.append(chunk)
        self.newest = int(step[-1])
        self.plan = plan_of(self.trace.tail(GROUP))
        return len(step)

    def _empty(self, limit: int) -> Trace:
        attrs = {"theory": {}, "rises": "", **self._info.attrs}
        return Trace(self._info.layout, attrs=attrs, limit=limit)

    def _forget_from(self, row: int) -> None:
        old, self.trace = self.trace, self._empty(self.trace.limit)
        self.trace.recipes, self.trace.batches = old.recipes, old.batches
        if int(old.tail(len(old))["step"][0]) < row:
            old.copy_until(row - 1, self.trace)
        self.gaps = tuple(gap for gap in self.gaps if gap[1] < row)
        held = self.trace.tail(1)
        self.newest = int(held["step"][0]) if held else -1

    def _note_gaps(self, step: NDArray[np.integer]) -> None:
        """Jumps larger than the smallest one are rows that are not there."""
        if self._info.attrs.get("thinned"):
            return
        before = [self.newest] if self.newest >= 0 else []
        numbers = np.array([*before, *step])
        jumps = np.diff(numbers)
        if not len(jumps):
            return
        smallest = int(jumps.min())
        self._stride = min(self._stride, smallest) if self._stride else smallest
        lost = np.flatnonzero(jumps > self._stride)
        ends = [(int(numbers[k]) + 1, int(numbers[k + 1]) - 1) for k in lost]
        self.gaps = (*self.gaps, *ends)


def _experiment(held: Any) -> dict[str, Any]:
    """The experiment that a lane was made with, which may stand as JSON."""
    return json.loads(held) if isinstance(held, str) else dict(held or {})


class _New(Exception):
    """A variable that the rows before had not."""


def plan_of(rows: dict[str, NDArray]) -> Plan:
    """Name and T of each phase of the newest batch, as far as its rows tell; none without a T."""
    if not rows:
        return ()
    there = rows["batch"] == rows["batch"][-1]
    phase, T = rows["phase"][there], rows["T"][there]
    begins = np.flatnonzero(np.append(True, phase[1:] != phase[:-1]))
    found = {str(phase[k]): int(T[k]) for k in begins}
    return tuple(found.items()) if min(found.values()) > 0 else ()


def _follows(before: Chunk, chunk: Chunk) -> bool:
    """Whether two chunks can be taken over as one."""
    rows = before.rows.keys() == chunk.rows.keys()
    frames = before.frames.keys() == chunk.frames.keys()
    return rows and frames and int(chunk.rows["step"][0]) > int(before.rows["step"][-1])


def _joined(chunks: list[Chunk]) -> Chunk:
    if len(chunks) == 1:
        return chunks[0]
    parts = []
    for part in ("rows", "frames"):
        names = getattr(chunks[0], part)
        parts.append({n: np.concatenate([getattr(c, part)[n] for c in chunks]) for n in names})
    return Chunk(*parts)


def _blank(values: NDArray, count: int) -> NDArray:
    """Nothing but nan, for so many rows, in the shape of a variable."""
    return np.full((count, *values.shape[1:]), np.nan, np.result_type(values.dtype, np.float32))


def _limit(chunk: Chunk, budget: int) -> int:
    """How many such rows are held."""
    each = sum(values.nbytes for values in chunk.rows.values()) / chunk.count
    return int(min(max(budget / each, FEWEST), MOST))
