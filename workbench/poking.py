"""What follows a poke? When its front reaches each layer, and when what it did is over.

A poke is compared with the course without it: that of another lane which stands at the same row as
the poked one stood before the poke, and goes on under the same choices.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.catalogue import BadInput
from core.poke import CLAMP, RELEASE, Poke, target, targets
from core.relaxation import Relaxation

if TYPE_CHECKING:
    from core.network import Network
    from core.trace import Trace
    from workbench.lanes import Lane

Rows = NDArray[Any]

FRONT, BACK = 1e-6, 0.05
"""Relative change of a layer's energy that counts as the front, and share that counts as over."""

SHOWN = 8
"""Images of a batch that are kept, as of the batch itself."""


@dataclass(frozen=True, eq=False)
class Poked:
    """A poke that was made.

    Args:
        row: at which it was made; the row holds the states and energies after it.
        poke: what was done.
        choices: how many choices of the lane had been made before it.
        batch: number of the batch.
        energy: of each layer before it, (L,), nat.
        images: the first images of the batch after it, (S, ...), if it is the clamped image that
            was poked; else None.
    """

    row: int
    poke: Poke
    choices: int
    batch: int
    energy: Rows
    images: Rows | None = None


@dataclass(frozen=True, eq=False)
class Course:
    """What followed a poke, step by step; n steps, L layers.

    Args:
        poked: the poke.
        steps: after it, from 0, (n,).
        beside: number of the lane without it; None where there is none.
        change: |E - E'| / E' of each layer, E' without the poke, (n, L); without a lane beside, E'
            is the energy before the poke.
        distance: what has to come back, (n,), nat: |F - F'|, or without a lane beside, the
            distance of the poked layer's energy from its value before.
        arrival: first step at which the front stands in each layer, None for not yet; empty without
            a lane beside it.
        back: from which step on each layer's change is over, None for not yet.
        recovery: from which step on the distance is within its bound, None for not yet.
    """

    poked: Poked
    steps: Rows
    beside: int | None
    change: Rows
    distance: Rows
    arrival: list[int | None]
    back: list[int | None]
    recovery: int | None


WITHOUT = "relax it without the poke"


@dataclass(frozen=True)
class Lack:
    """What it takes to have the course without a poke.

    Args:
        why: it cannot be had here, in a few words; "" where it can, or is there.
        label: of what does it.
        args: of the command that does it: the row to fork from, -1 for a restart, or the lane
            beside it that is gone on with; and the number of rows. Empty for nothing to do.
    """

    why: str = ""
    label: str = WITHOUT
    args: dict[str, int] = field(default_factory=dict)


def aim(lane: "Lane | None", one: Poke) -> None:
    """Refuse a poke of what a lane has not.

    Raises:
        BadInput: naming the layer, the sample or the region; or because there is no lane yet.
    """
    if lane is None:
        raise BadInput("poke: nothing relaxes yet; after the first row")
    training = lane.training
    target(training.network, one, lane.experiment.batch_size, training.images.shape)


def shown(relaxation: Relaxation, poke: Poke, pixels: Sequence[int]) -> Rows | None:
    """The first images of the batch as they stand, (S, C, H, W), if a clamped image was poked.

    Args:
        relaxation: after the poke.
        poke: that was made.
        pixels: shape of an image, (C, H, W).
    """
    i = targets(relaxation.network)[poke.layer]
    if i != relaxation.network.image or i not in relaxation.phase.clamped:
        return None
    return relaxation.states[i][:SHOWN].reshape(-1, *pixels).cpu().numpy().copy()


def pictures(lane: "Lane", row: int, batch: int) -> Rows | None:
    """The images of a batch at a row as pokes have left them, (S, C, H, W); None for no poke."""
    made = [one.images for one in lane.pokes if one.batch == batch and one.row <= row]
    return next((one for one in reversed(made) if one is not None), None)


def logged(events: Iterable[Mapping[str, Any]], lane: int) -> list[tuple[int, str]]:
    """Row and sentence of each poke that a log tells of a lane.

    Args:
        events: as a session's log has them.
        lane: its number.
    """
    return [
        (int(one["row"]), Poke(**one["args"]).sentence())
        for one in events
        if one["command"] == "poke" and one["lane"] == lane
    ]


def held(lane: "Lane", row: int) -> list[str]:
    """Names of the states of which a poke still holds units at a row of a lane."""
    begun = max(first for first, _ in lane.starts if first <= row)
    found: dict[str, None] = {}
    for one in lane.pokes:
        if begun <= one.row <= row:
            if one.poke.how == CLAMP:
                found[one.poke.layer] = None
            elif one.poke.how == RELEASE and one.poke.sample is None and one.poke.region is None:
                found.pop(one.poke.layer, None)
    return list(found)


def course(
    lane: "Lane",
    lanes: "Iterable[Lane]",
    *,
    front: float = FRONT,
    back: float = BACK,
) -> Course | None:
    """What followed the newest poke of a lane, to the end of its batch.

    Args:
        lane: that was poked.
        lanes: among which the course without the poke is looked for, in this order.
        front: relative change of an energy that counts as the arrival of the front.
        back: share of the largest distance, or of the energy before, within which it is over.

    Returns: None where the lane was not poked, or nothing of it is recorded any more.
    """
    if not lane.pokes:
        return None
    poked = lane.pokes[-1]
    rows = _rows(lane.trace, poked)
    if not len(rows["step"]):
        return None
    for other in lanes:
        last = None if other is lane else _alike(lane, other, poked)
        if last is None or last <= poked.row:
            continue
        behind = _rows(other.trace, poked)
        both = np.intersect1d(rows["step"], behind["step"])
        both = both[both <= last]
        if len(both) < 2 and rows["step"][-1] > poked.row:
            continue
        mine, without = (
            {name: one[name][np.isin(one["step"], both)] for name in one} for one in (rows, behind)
        )
        change, distance = _against(mine, without)
        steps = mine["step"] - poked.row
        most = change.max(0, initial=0.0)
        return Course(
            poked,
            steps,
            other.id,
            change,
            distance,
            [_at(steps, _first(c > front)) for c in change.T],
            [_at(steps, _settled(c, back * m)) for c, m in zip(change.T, most, strict=True)],
            _at(steps, _settled(distance, back * distance.max(initial=0.0))),
        )
    return _alone(lane, poked, rows, back)


def behind(ghost: "Lane | None", lanes: "Sequence[Lane]") -> "list[Lane]":
    """Lanes in the order in which the course without a poke is looked for: the ghost, the newest.

    Args:
        ghost: the lane that is drawn in grey, or None.
        lanes: all of them.
    """
    return [*([] if ghost is None else [ghost]), *reversed(lanes)]


def lack(lane: "Lane", lanes: "Sequence[Lane]", found: Course | None) -> Lack:
    """What it takes to have the course without the newest poke, as far as the lane has come.

    Args:
        lane: that was poked.
        lanes: all of them, by their numbers.
        found: what followed.
    """
    if found is None:
        return Lack("nothing was poked in this lane")
    row, newest = found.poked.row, int(_rows(lane.trace, found.poked)["step"][-1])
    if newest == row:
        return Lack("take a step, then it can be compared with its course without the poke")
    if found.beside is not None:
        last, other = row + int(found.steps[-1]), lanes[found.beside]
        if last == newest:
            return Lack()
        if _last(other) != last or other.diverged or other.choices[-1][1:] != lane.choices[-1][1:]:
            return Lack(f"the course without the poke can be compared up to step {last - row}")
        return Lack("", "go on without the poke", {"beside": other.id, "rows": newest - last})
    start = max(row - 1, 0)
    if any(lane.choices_at(k) != lane.choices[-1][1:] for k in (start, row)):
        return Lack("the recipe or the gear has changed since: no course differs by the poke alone")
    if sum(one.row == row for one in lane.pokes) > 1:
        return Lack("poked more than once at this row: rewind to a row before it")
    if row and any(first == row for first, _ in lane.starts):
        return Lack("poked at the first row of a batch: there is no row before it to go on from")
    return Lack("", WITHOUT, {"start": row - 1, "rows": newest - row + bool(row)})


def _last(lane: "Lane") -> int:
    """Number of the newest row of a lane."""
    return int(lane.trace.tail(1)["step"][-1])


def fits(back: Any, front: Any) -> tuple[float, float]:
    """The two bounds as they were typed: in per cent, and as a relative change.

    Raises:
        BadInput: naming the one that is not legal.
    """
    for name, value, most in (("back within", back, 100), ("front above", front, 1)):
        if not isinstance(value, int | float) or not 0 < value < most:
            raise BadInput(f"poke.{name}: {value}; a number between 0 and {most}")
    return float(back) / 100, float(front)


def _rows(trace: "Trace", poked: Poked) -> dict[str, Rows]:
    """The rows of a trace from a poke on, as long as its batch goes."""
    rows = trace.tail(len(trace))
    seen = (rows["step"] >= poked.row) & (rows["batch"] == poked.batch)
    return {name: rows[name][seen] for name in ("step", "energy", "precision", "cost")}


def _alike(lane: "Lane", other: "Lane", poked: Poked) -> int | None:
    """The last row up to which another lane is the course without the poke; None if it is not."""
    if other.training.network is not lane.training.network:
        return None
    at = other.trace.row(poked.row)
    if at is None or (int(at["step"]), int(at["batch"])) != (poked.row, poked.batch):
        return None
    if not np.array_equal(at["energy"], poked.energy):
        return None
    changed = [row for one in (lane, other) for row, _, _ in one.choices if row >= poked.row]
    changed += [poked.row, *(one.row for one in other.pokes if one.row >= poked.row)]
    ends = [row - 1 for row in changed if not _same_at(lane, other, row, poked)]
    return min(ends, default=_last(other))


def _same_at(lane: "Lane", other: "Lane", row: int, poked: Poked) -> bool:
    """Whether the next update after a row is made under the same choices, and without a poke."""
    free = all(one.row != row for one in other.pokes if one.row > poked.row)
    return free and lane.choices_at(row) == other.choices_at(row)


def _against(mine: dict[str, Rows], without: dict[str, Rows]) -> tuple[Rows, Rows]:
    """Relative change of each layer's energy, (n, L), and |F - F'|, (n,), of rows in common."""
    change = _relative(mine["energy"].astype(float), without["energy"].astype(float))
    return change, np.abs(_totals(mine) - _totals(without))


def _alone(lane: "Lane", poked: Poked, rows: dict[str, Rows], back: float) -> Course:
    """The course by what the energies were before the poke."""
    energy, before = rows["energy"].astype(float), poked.energy.astype(float)
    steps, own = rows["step"] - poked.row, _own(lane.training.network, poked.poke.layer)
    distance = np.abs(energy[:, own].sum(1) - before[own].sum())
    gaps = np.abs(energy - before)
    return Course(
        poked,
        steps,
        None,
        _relative(energy, before),
        distance,
        [],
        [_at(steps, _settled(gap, back * was)) for gap, was in zip(gaps.T, before, strict=True)],
        _at(steps, _settled(distance, back * before[own].sum())),
    )


def _own(network: "Network", layer: str) -> list[int]:
    """Which energies are those of a state: its own, or of a root those of its readers."""
    i = targets(network)[layer]
    if i in network.layers:
        return [network.layers.index(i)]
    return [k for k, one in enumerate(network.layers) if i in network.nodes[one].parents]


def _totals(rows: dict[str, Rows]) -> Rows:
    """F of each row, (n,)."""
    energy, precision = rows["energy"].astype(float), rows["precision"].astype(float)
    return (energy * precision).sum(1) + rows["cost"].astype(float)


def _relative(energy: Rows, without: Rows) -> Rows:
    """|E - E'| / E'; infinite where only E' is zero, and zero where both are."""
    gap = np.abs(energy - without)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(gap == 0, 0.0, gap / np.broadcast_to(without, gap.shape))


def _first(seen: Rows) -> int | None:
    """Position of the first row at which something is so."""
    return int(seen.argmax()) if seen.any() else None


def _settled(distance: Rows, bound: float) -> int | None:
    """Position of the row from which on a distance stays within a bound; None if it does not."""
    outside = np.flatnonzero(~(distance <= bound))  # so is what is not a number
    if not len(outside):
        return 0
    return int(outside[-1]) + 1 if outside[-1] + 1 < len(distance) else None


def _at(steps: Rows, position: int | None) -> int | None:
    """The step at a position."""
    return None if position is None else int(steps[position])
