"""How did a run go? Curves over its batches, and its energies seen whole, also while it is written.

Everything is bounded: the ends of at most `MOST` batches are kept, evenly spread over the run, and
its rows are read part by part. What a run did not log has a reason in the place of a curve.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import schema
from core.layout import Layout
from workbench.measures import imbalance_of, reached_of

Values = NDArray[Any]

MOST = 2_000
"""Batches whose rows are kept; beyond, every second, fourth, ... one is."""

WIDTH = 600
"""Blocks of rows over the length of a run."""

FINEST = 1_200
"""Up to so many rows each is kept by itself, so that a short run is seen row by row."""

FIRST, PART = 0.1, 0.5
"""Seconds of reading after which what was found so far is shown: at first, and then each time."""

OF_BATCHES = ("accuracy", "update_norm", "update_alignment", "smm", "seconds")
"""Curves that a run logs per batch."""

REASONS = {
    "accuracy": "accuracy was not logged",
    "update_norm": "update norms were not logged",
    "update_alignment": "alignment was not logged",
    "smm": "SMM were not logged",
    "seconds": "times were not logged",
}

NO_ENERGY = "energies were not logged"


@dataclass(frozen=True, eq=False)
class Curve:
    """A quantity over batches.

    Args:
        batch: numbers of batches, ascending, (n,).
        values: (n,), (n, L) for one of each layer, or (n, 2) for top-1 and top-5 accuracy; nan
            where nothing was logged.
    """

    batch: Values
    values: Values

    @property
    def finite(self) -> bool:
        """Whether there is a number to draw."""
        return bool(np.isfinite(self.values).any())


@dataclass(frozen=True, eq=False)
class Whole:
    """The energies of all rows, by blocks of rows; nat, nan where none is finite.

    Args:
        step: first row of each block, (k,).
        count: rows in each, (k,); blocks are as long as what was stored together.
        least: (k, L).
        mean: (k, L).
        largest: (k, L).
    """

    step: Values
    count: Values
    least: Values
    mean: Values
    largest: Values

    @property
    def ends(self) -> Values:
        """The row behind each block, (k,): rows that were lost belong to none.

        Where a session had thinned its rows before they were stored, a block reaches further than
        it has rows, as most others do.
        """
        if len(self.step) < 2:
            return self.step + self.count
        stride = np.quantile(np.diff(self.step) / self.count[:-1], 0.5, method="lower")
        reach = self.step + np.ceil(stride * self.count).astype(int)
        return np.minimum(reach, np.append(self.step[1:], reach[-1]))

    def pictured(self, most: int) -> "Whole":
        """The same in at most so many blocks of equally many rows, nan where none was stored."""
        ends, first = self.ends, int(self.step[0])
        width = min(most, int(ends[-1]) - first)
        edges = np.linspace(first, int(ends[-1]), width + 1)
        begins = np.searchsorted(ends, edges[:-1], "right")  # the first block that reaches into it
        behind = np.searchsorted(self.step, edges[1:], "left")
        empty = np.full((width, self.mean.shape[1]), np.nan)
        least, mean, largest = empty, empty.copy(), empty.copy()
        for k, (a, b) in enumerate(zip(begins, behind, strict=True)):
            if a < b:
                least[k] = np.fmin.reduce(self.least[a:b])
                largest[k] = np.fmax.reduce(self.largest[a:b])
                there = np.isfinite(self.mean[a:b]) * self.count[a:b, None]
                total = (np.nan_to_num(self.mean[a:b]) * there).sum(0)
                count = there.sum(0)
                mean[k] = np.divide(total, count, out=mean[k], where=count > 0)
        return Whole(edges[:-1], np.diff(edges), least, mean, largest)


@dataclass(frozen=True, eq=False)
class Course:
    """How a run has gone so far, in one lane.

    Args:
        rows: number of rows.
        curves: by name; see `OF_BATCHES`, and "energy" and "imbalance" at the chosen rows.
        why: reason by name, for each curve that is not there.
        whole: the energies of all rows; None where there are none.
        steps: T of its batches, the largest that was read.
        stride: every so many batches is kept of its rows.
        read: the share of its rows that was read for "energy" and "imbalance".
    """

    rows: int = 0
    curves: Mapping[str, Curve] = field(default_factory=dict)
    why: Mapping[str, str] = field(default_factory=dict)
    whole: Whole | None = None
    steps: int = 0
    stride: int = 1
    read: float = 1.0


class Ends:
    """One row of each batch, gathered from parts as they come: its last, or the one of a step t."""

    def __init__(self, layout: Layout, t: int | None = None) -> None:
        """Begin without a row.

        Args:
            layout: of the rows.
            t: the step of the batch's last phase that is wanted; None for the last row.
        """
        self.layout, self.t = layout, t
        self.stride = 1
        self.steps = 0
        self.logged = True
        L = len(layout.layers)
        self._batch = np.empty(0, int)
        self._energy = np.empty((0, L))
        self._floor = np.empty((0, L))

    def fold(self, rows: Mapping[str, Values]) -> None:
        """Take the rows of one part; batches from its first one on take the place of older ones."""
        batch = np.asarray(rows["batch"])
        if not len(batch):
            return
        self.steps = max(self.steps, int(np.max(rows["T"])))
        if "energy" not in rows:
            self.logged = False
            return
        begins = np.flatnonzero(np.diff(batch, prepend=batch[0] - 1))
        at = self._chosen(np.asarray(rows["t"]), begins)
        at = at[at >= 0]
        if not len(at):
            return
        names = [name for name in ("energy", "t", "activity") if name in rows]
        picked = {name: np.asarray(rows[name])[at] for name in names}
        floor = np.broadcast_to(schema.floors(self.layout, picked), picked["energy"].shape)
        before = self._batch < batch[at[0]]
        self._batch = np.concatenate([self._batch[before], batch[at]])
        self._energy = np.concatenate([self._energy[before], picked["energy"]])
        self._floor = np.concatenate([self._floor[before], floor])
        self._thin()

    def _chosen(self, t: Values, begins: Values) -> Values:
        """Position of the wanted row of each batch, -1 where it is not in this part."""
        if self.t is None:
            return np.append(begins[1:], len(t)) - 1
        return np.maximum.reduceat(np.where(t == self.t, np.arange(len(t)), -1), begins)

    def _thin(self) -> None:
        """Keep the first batch of every so many, and the newest."""
        batch = self._batch
        while True:
            place = (batch - batch[0]) // self.stride
            kept = np.diff(place, prepend=-1) > 0
            kept[-1] = True
            if kept.sum() <= MOST:
                break
            self.stride *= 2
        self._batch, self._energy = batch[kept], self._energy[kept]
        self._floor = self._floor[kept]

    @property
    def energy(self) -> Curve:
        """Energy of each layer, nat; zero where the error has not come."""
        return Curve(self._batch, self._energy)

    @property
    def imbalance(self) -> Curve:
        """Decades between largest and smallest energy above its rounding floor."""
        reached = reached_of(self._energy, self._floor)
        return Curve(self._batch, imbalance_of(self._energy, reached))


class Rows:
    """The energies of the rows themselves, as long as they are few."""

    def __init__(self) -> None:
        """Begin without a row."""
        self._step: Values = np.empty(0, int)
        self._energy: Values | None = None
        self._few = True

    def fold(self, rows: Mapping[str, Values]) -> None:
        """Take the rows of one part; rows from its first one on take the place of older ones."""
        if not self._few or "energy" not in rows:
            self._few = False
            return
        step, energy = np.asarray(rows["step"]), np.asarray(rows["energy"])
        if self._energy is not None:
            before = self._step < step[0]
            energy = np.concatenate([self._energy[before], energy])
            step = np.concatenate([self._step[before], step])
        self._few = len(step) <= FINEST
        self._step, self._energy = (step, energy) if self._few else (step[:0], None)

    @property
    def whole(self) -> Whole | None:
        """Each row as a block; None where they are too many, or none."""
        if self._energy is None or not len(self._step):
            return None
        energy = np.where(np.isfinite(self._energy), self._energy, np.nan)
        count = np.ones(len(self._step), int)
        return Whole(self._step, count, energy, energy, energy)


class Follower:
    """Reads a lane of a run, and what comes to it; used by one thread."""

    def __init__(self, run: Any, lane: int, t: int | None = None) -> None:
        """Begin with nothing read.

        Args:
            run: a `core.runs.run.Run`.
            lane: its number.
            t: the step at which energies are wanted; None for the last row of each batch.
        """
        self.run, self.lane, self.t = run, lane, t
        self._ends = Ends(run.lanes[lane].layout, t)
        self._rows = Rows()
        self._mark = 0
        self._read = 0
        self._whole: Whole | None = None
        self._whole_rows = -1

    def courses(self) -> Iterator[Course]:
        """What is known, again and again while rows are being read; the last one is up to date."""
        rows, logged = self.run.rows(self.lane), self._logged()
        begun, part = time.monotonic(), FIRST
        for mark, chunk in self.run.chunks(self.lane, after=self._mark):
            self._mark = mark
            self._ends.fold(chunk.rows)
            self._rows.fold(chunk.rows)
            self._read += chunk.count
            if time.monotonic() - begun > part:
                yield self._now(rows, *logged)
                begun, part = time.monotonic(), PART
        self._read = rows
        yield self._now(rows, *logged)

    def _now(self, rows: int, curves: Mapping[str, Curve], why: Mapping[str, str]) -> Course:
        """What is known, with the number of all rows and what was logged per batch."""
        curves, why = dict(curves), dict(why)
        if not self._ends.logged or (rows and self._whole_of(rows) is None):
            why |= {"energy": NO_ENERGY, "imbalance": NO_ENERGY, "whole": NO_ENERGY}
        else:
            curves |= {"energy": self._ends.energy, "imbalance": self._ends.imbalance}
            if rows and not curves["energy"].finite and self._read >= rows:
                why["energy"] = f"no batch has a row t = {self._ends.t}"
            if not curves["imbalance"].finite and self._read >= rows:
                why["imbalance"] = why.get("energy", "fewer than two layers reached at these rows")
        return Course(
            rows=rows,
            curves={name: one for name, one in curves.items() if name not in why},
            why=why,
            whole=self._whole_of(rows),
            steps=self._ends.steps,
            stride=self._ends.stride,
            read=min(1.0, self._read / rows) if rows else 1.0,
        )

    def _logged(self) -> tuple[dict[str, Curve], dict[str, str]]:
        """The curves that were logged per batch, and the reason for each that was not."""
        held = self.run.batches(self.lane)
        curves, why = {}, {}
        for name in OF_BATCHES:
            if name not in held:
                why[name] = REASONS[name]
                continue
            values = held[name].transpose("batch", ...).values
            there = np.isfinite(values).reshape(len(values), -1).any(1)
            if not there.any():
                why[name] = REASONS[name]
                continue
            curves[name] = Curve(held["batch"].values[there], values[there])
        if "accuracy" in curves and "top5" in held:  # beside one another
            values = np.stack([held[name].values for name in ("accuracy", "top5")], axis=1)
            there = np.isfinite(values).any(1)
            curves["accuracy"] = Curve(held["batch"].values[there], values[there])
        return curves, why

    def _whole_of(self, rows: int) -> Whole | None:
        if self._read >= rows and (whole := self._rows.whole) is not None:
            return whole
        if rows != self._whole_rows:
            self._whole_rows = rows
            held = self.run.overview(self.lane, width=WIDTH) if rows else None
            self._whole = None
            if held is not None and "energy_mean" in held and held.sizes["block"]:
                names = ("energy_min", "energy_mean", "energy_max")
                blocks = [held[name].transpose("block", "layer").values for name in names]
                self._whole = Whole(held["step"].values, held["rows"].values, *blocks)
        return self._whole
