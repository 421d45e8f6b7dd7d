r"""Where do two lanes part? Rows of one batch, phase and t side by side, the first to differ.

Lanes that came from one another need not have their rows at the same numbers: after a restart row
0 is the first one of its batch, and another T shifts all that follows. A row is the same moment in
both where batch, phase and t are; for a fork these are the rows of its parent, number by number,
as long as T is the same.

Two lanes part at the first such row at which

$$\max_\ell \frac{|E_\ell^A - E_\ell^B|}{\max(E_\ell^A, E_\ell^B)} > p$$

over the layers whose difference is more than rounding can make. An energy is half the square of a
norm that rounding moves by at most the root of twice its floor, so by the triangle inequality no
more than rounding is seen while

$$|\sqrt{E^A} - \sqrt{E^B}| \leq \sqrt{E^{A,floor}} + \sqrt{E^{B,floor}} .$$
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.catalogue import BadInput
from workbench import measures

Rows = NDArray[Any]

PART = 0.01
"""Relative difference of an energy that parts two lanes, unless another is chosen."""


@dataclass(frozen=True, eq=False)
class Side:
    """What is compared of a lane; n rows, L layers.

    Args:
        lane: its number.
        step: row numbers, (n,).
        batch: number of the batch, (n,).
        phase: its name, (n,).
        t: step within the phase, (n,).
        energy: of all layers, (n, L), nat.
        floor: energy that rounding alone can make, (n, L), nat.
        names: of the layers, (L,).
        told: which rows of the lane these are, "" for all.
    """

    lane: int
    step: Rows
    batch: Rows
    phase: Rows
    t: Rows
    energy: Rows
    floor: Rows
    names: tuple[str, ...]
    told: str = ""

    @property
    def phases(self) -> tuple[str, ...]:
        """Names of its phases, in the order in which they began."""
        return tuple(dict.fromkeys(self.phase.tolist()))

    def only(self, phase: str) -> "Side":
        """Its rows of one phase; those of another stand beside them where batch and t are."""
        at = self.phase == phase
        return Side(
            self.lane,
            self.step[at],
            self.batch[at],
            np.full(int(at.sum()), ""),
            self.t[at],
            self.energy[at],
            self.floor[at],
            self.names,
            f", phase {phase}",
        )

    @classmethod
    def of(cls, lane: Any) -> "Side":
        """All rows that a lane holds.

        Args:
            lane: of a session, or of a run that is watched.

        Raises:
            BadInput: with the reason why it cannot be compared.
        """
        trace = lane.trace
        rows = trace.tail(len(trace))
        if not rows:
            raise BadInput(f"lane {lane.id} has no rows yet")
        if "energy" not in rows:
            raise BadInput(f"lane {lane.id}: energies were not logged")
        names = tuple(trace.names[i] for i in trace.layers)
        floor = np.nan_to_num(trace.floors(rows))
        step, batch, phase, t = (rows[name] for name in ("step", "batch", "phase", "t"))
        return cls(lane.id, step, batch, phase, t, rows["energy"].astype(float), floor, names)

    @property
    def reached(self) -> Rows:
        """Which layers stand above their rounding floor, (n, L)."""
        return measures.reached_of(self.energy, self.floor)


@dataclass(frozen=True, eq=False)
class Beside:
    """Two lanes, row by row.

    Args:
        a: one.
        b: the other, of as many layers.
        at_a: positions of the rows of A that B has too, ascending, (m,).
        at_b: of the same rows in B, (m,).
        apart: by how much each energy differs, relative to the larger one, in [0, 1]; 0 where
            rounding alone can make it, infinite where only one is finite, (m, L).
    """

    a: Side
    b: Side
    at_a: Rows
    at_b: Rows
    apart: Rows

    def placed(self) -> Rows:
        """Where the rows of B stand on the axis of A's row numbers, (n_B,); nan for nowhere.

        Rows before the first and behind the last common one keep their distance to it.
        """
        x = np.full(len(self.b.step), np.nan)
        if not len(self.at_a):
            return x
        x[self.at_b] = self.a.step[self.at_a]
        for end, side in ((0, np.less), (-1, np.greater)):
            here = self.b.step[self.at_b[end]]
            beyond = side(self.b.step, here)
            x[beyond] = self.a.step[self.at_a[end]] + (self.b.step[beyond] - here)
        return x


@dataclass(frozen=True)
class Parting:
    """The first row at which two lanes differ by more than an amount.

    Args:
        row: its number in A.
        other: its number in B.
        batch: number of the batch.
        phase: its name.
        t: step within the phase.
        layer: position of the layer that differs most there.
        by: how much, relative to the larger energy.
        energies: of that layer in A and in B, nat.
    """

    row: int
    other: int
    batch: int
    phase: str
    t: int
    layer: int
    by: float
    energies: tuple[float, float]


def beside(a: Side, b: Side) -> Beside:
    """Two lanes at the rows that both have, by batch, phase and t.

    Raises:
        BadInput: where they have not as many layers.
    """
    if len(a.names) != len(b.names):
        raise BadInput(
            f"lane {a.lane} has {len(a.names)} layers, lane {b.lane} {len(b.names)}: "
            "energies are compared layer by layer"
        )
    codes = _codes(a, b)
    _, at_a, at_b = np.intersect1d(*codes, return_indices=True)
    order = np.argsort(at_a)
    at_a, at_b = at_a[order], at_b[order]
    apart = _apart(a.energy[at_a], b.energy[at_b], a.floor[at_a], b.floor[at_b])
    return Beside(a, b, at_a, at_b, apart)


def parting(found: Beside, amount: float) -> Parting | None:
    """The first row at which any layer differs by more than an amount; None where none does.

    Args:
        found: two lanes.
        amount: relative to the larger energy.
    """
    rows = np.flatnonzero((found.apart > amount).any(1))
    return _at(found, int(rows[0])) if len(rows) else None


def furthest(found: Beside) -> Parting | None:
    """The row at which two lanes differ most; None where no common row differs."""
    if not found.apart.size or not found.apart.any():
        return None
    return _at(found, int(found.apart.max(1).argmax()))


def amount_of(text: str) -> float:
    """A share that was typed in per cent.

    Raises:
        BadInput: if it is none between 0 and 100.
    """
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not 0 < value < 100:
        raise BadInput(f"lanes.part: {text.strip()[:40] or 'nothing'}; % between 0 and 100")
    return value / 100


def _at(found: Beside, k: int) -> Parting:
    a, b = found.at_a[k], found.at_b[k]
    layer = int(found.apart[k].argmax())
    return Parting(
        int(found.a.step[a]),
        int(found.b.step[b]),
        int(found.a.batch[a]),
        str(found.a.phase[a]),
        int(found.a.t[a]),
        layer,
        float(found.apart[k, layer]),
        (float(found.a.energy[a, layer]), float(found.b.energy[b, layer])),
    )


def _codes(a: Side, b: Side) -> tuple[Rows, Rows]:
    """One number for each batch, phase and t, the same in both."""
    phases = sorted({*a.phase.tolist(), *b.phase.tolist()})
    longest = 1 + max(int(a.t.max()), int(b.t.max()))

    def code(side: Side) -> Rows:
        number = np.zeros(len(side.t), np.int64)
        for k, name in enumerate(phases[1:], start=1):
            number[side.phase == name] = k
        return (side.batch.astype(np.int64) * len(phases) + number) * longest + side.t

    return code(a), code(b)


def _apart(a: Rows, b: Rows, floor_a: Rows, floor_b: Rows) -> Rows:
    """The relative difference of energies, where it is more than rounding can make."""
    larger = np.maximum(a, b)
    with np.errstate(invalid="ignore"):
        seen = np.abs(np.sqrt(a) - np.sqrt(b)) > np.sqrt(floor_a) + np.sqrt(floor_b)
        share = np.abs(a - b) / np.where(larger > 0, larger, 1.0)
    found = np.where(seen, share, 0.0)
    return np.where(np.isfinite(a) == np.isfinite(b), found, np.inf)
