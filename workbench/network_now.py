"""What is in force at the row under the cursor? Energies and precisions, clamps and the nudge."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from core.phase import Phase
from workbench.curves import curves
from workbench.lanes import Lane
from workbench.looking import at_cursor
from workbench.poking import held
from workbench.precision_place import step_of
from workbench.returning import Returning
from workbench.session import Session
from workbench.showing import Showing

ALIKE = 1e-6
"""Relative difference of precisions that count as one."""


@dataclass(frozen=True, eq=False)
class Now:
    """The numbers of one row; (L,) each, in depth order.

    Args:
        row: its number.
        t: steps taken in the phase.
        batch: number of the batch.
        phase: its name.
        energy: of each layer, nat.
        reached: whether it stands above its rounding floor.
        noise: whether it is not zero and yet not above it.
        error: RMS of each layer's error; nan where it is not reached.
        precision: as applied.
        schedule: that of the schedule alone, before the output's factor and the 1 / rate of
            auxiliary neurons; nan where the energy window leaves a layer out.
    """

    row: int
    t: int
    batch: int
    phase: str
    energy: NDArray[Any]
    reached: NDArray[Any]
    noise: NDArray[Any]
    error: NDArray[Any]
    precision: NDArray[Any]
    schedule: NDArray[Any]

    @property
    def highest(self) -> NDArray[np.bool_]:
        """Which layers have the schedule's highest precision, none where all have one, (L,)."""
        there = self.schedule[~np.isnan(self.schedule)]
        if not there.size or there.max() - there.min() <= ALIKE * there.max():
            return np.zeros(len(self.schedule), dtype=bool)
        return self.schedule >= there.max() * (1 - ALIKE)

    @property
    def left_out(self) -> int:
        """How many layers the energy window leaves out."""
        return int(np.isnan(self.schedule).sum())

    @property
    def spike(self) -> float:
        """The schedule's highest precision."""
        return float(np.nanmax(self.schedule))


@dataclass(frozen=True, eq=False)
class Ends:
    """What a phase holds and pulls.

    Args:
        of: lane, phase and pokes for which it is so; see `place_of`.
        clamped: indices of the states that do not move.
        held: share of the units that do not move, of the other states that have any, by index.
        nudge: strength of the cost, beta, 0 where it does not pull.
        sign: "+", "-" or, where samples differ, "+-".
        nudges: whether any phase of the batch is nudged.
    """

    of: Any
    clamped: frozenset[int]
    held: dict[int, float]
    nudge: float
    sign: str
    nudges: bool


def now_of(showing: Showing) -> Now | None:
    """The numbers at the cursor; None before the first row."""
    lane, trace = showing.lane, showing.lane.trace
    row = trace.row(showing.cursor)
    if row is None:
        return None
    drawn = curves(trace, {name: np.asarray(value)[None] for name, value in row.items()})
    precision = drawn.precision[0].astype(float)
    return Now(
        int(drawn.step[0]),
        int(drawn.t[0]),
        int(drawn.batch[0]),
        str(drawn.phase[0]),
        drawn.raw[0],
        drawn.reached[0],
        drawn.noise[0],
        drawn.error[0],
        precision,
        _schedule(precision, lane, int(drawn.step[0])),
    )


def _schedule(precision: NDArray[Any], lane: Lane, row: int) -> NDArray[np.float64]:
    """Precisions without what `core.rows.in_force` puts on top of them."""
    network, experiment = lane.training.network, lane.choices_at(row)[0]
    found = precision.copy()
    auxiliary = [network.nodes[i].auxiliary for i in network.layers]
    found[auxiliary] *= experiment.dynamics.rate
    if experiment.output_precision:
        found[-1] /= experiment.output_precision
    stands = step_of(lane, row)
    if experiment.window and stands is not None:
        depth = np.array(lane.trace.depths)
        found[depth < depth.max() - stands[0]] = np.nan
    return found


def place_of(lane: Lane, row: int, phase: str) -> Any:
    """Lane, phase and pokes: what is clamped and nudged changes with these alone."""
    poked = sum(one.row <= row for one in lane.pokes) if held(lane, row) else 0
    return lane.id, phase, poked


def asked(session: Session, wanted: Any = None) -> Ends | None:
    """What the phase at the cursor holds; called by the worker. None where the look gave way."""
    return at_cursor(session, _ends)


def _ends(at: Returning, lane: Lane) -> Ends:
    assert at._relaxation is not None
    relaxation = at._relaxation
    phase = relaxation.phase
    shares = {
        i: float(mask.double().mean())
        for i, (_, mask) in phase.held.items()
        if i not in phase.clamped
    }
    strength, sign = _nudge(phase)
    return Ends(
        place_of(lane, at.row, phase.name),
        frozenset(phase.clamped),
        {i: share for i, share in shares.items() if share},
        strength,
        sign,
        any(one.nudged for one in relaxation.phases),
    )


def _nudge(phase: Phase) -> tuple[float, str]:
    """Strength and sign of a phase's nudge."""
    nudge = phase.nudge
    low, high = (
        (float(nudge.min()), float(nudge.max())) if isinstance(nudge, Tensor) else (nudge, nudge)
    )
    return max(abs(low), abs(high)), "+-" if low < 0 < high else "-" if low < 0 else "+"
