"""Against what are rows drawn? Steps, batches, sequential matrix multiplications, or time.

What a lane's own rows and experiment cannot tell is refused with a reason, never guessed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from core.catalogue import BadInput
from core.experiment import Experiment
from core.theory import smm
from core.theory.accounts import options

STEPS, BATCHES, SMM, TIME = "steps", "batches", "SMM", "time"

TITLES = {
    STEPS: "step (row of the lane)",
    BATCHES: "batch (its last row)",
    SMM: "sequential matrix multiplications",
    TIME: "time spent relaxing (s)",
}
"""What stands at each axis."""

Rows = NDArray[np.float64]


def places(
    rows: xr.Dataset,
    kind: str,
    *,
    experiment: Mapping[str, Any] | None = None,
    recipes: Sequence[Mapping[str, Any]] = (),
    batches: xr.Dataset | None = None,
) -> Rows:
    """Where each row of a lane stands on an axis, (rows,); nan where that is not known.

    Args:
        rows: the lane, of which only coordinates are looked at; all its rows, none left out.
        kind: one of `TITLES`.
        experiment: behind the lane, as plain data.
        recipes: by `recipe_id`, where choices changed within the lane.
        batches: what is known of whole batches.

    Raises:
        BadInput: with the reason why this lane cannot be drawn against it.
    """
    if kind == STEPS:
        return rows["step"].values.astype(float)
    if kind == BATCHES:
        return np.where(batch_ends(rows), rows["batch"].values.astype(float), np.nan)
    if kind == TIME:
        clock = rows["seconds"].values if "seconds" in rows.coords else np.zeros(0)
        if not np.isfinite(clock).any():
            raise BadInput("time: not recorded")
        return clock.astype(float)
    if kind == SMM:
        return _products(rows, experiment, recipes, batches)
    raise BadInput(f"axis: {kind}; one of {', '.join(TITLES)}")


def batch_ends(rows: xr.Dataset) -> NDArray[np.bool_]:
    """Which rows are the last of their batch, (rows,).

    The newest batch counts when it has come as far as the one before, or is the only one.
    """
    batch = rows["batch"].values
    if not len(batch):
        return np.zeros(0, bool)
    ends = np.append(batch[1:] != batch[:-1], True)
    before = np.flatnonzero(ends)[:-1]
    if len(before):
        t, T, phase = rows["t"].values, rows["T"].values, rows["phase"].values
        ends[-1] = t[-1] >= T[-1] and phase[-1] == phase[before[-1]]
    return ends


@dataclass(frozen=True)
class _Cost:
    """Products in sequence of one recipe: before the first update, of one, at most, after all."""

    init: int
    update: int
    most: float
    weights: int


def _products(
    rows: xr.Dataset,
    experiment: Mapping[str, Any] | None,
    recipes: Sequence[Mapping[str, Any]],
    batches: xr.Dataset | None,
) -> Rows:
    if experiment is None:
        if batches is not None and "smm" in batches:
            return _logged(rows, batches)
        raise BadInput("SMM: recorded without an experiment, and no count was logged")
    L, n = rows.sizes["layer"], rows.sizes["step"]
    if not n:
        return np.zeros(0)
    number = rows["recipe_id"].values
    known = [dict(one) for one in recipes] or [{}]
    if int(number.max()) >= len(known):
        raise BadInput("SMM: the recipes of some rows are not known")
    plan = _plan(rows)
    used = sorted(set(number.tolist()))
    costs = {k: _cost({**experiment, **known[k]}, L, plan) for k in used}
    return _summed(rows, costs, settles={k: bool(known[k].get("tolerance")) for k in used})


def _plan(rows: xr.Dataset) -> tuple[tuple[str, int], ...]:
    """Name and T of each phase, as far as the first batch has come."""
    batch = rows["batch"].values
    phase, T = rows["phase"].values, rows["T"].values
    first = np.flatnonzero(batch == batch[0])
    begins = [int(k) for k in first if k == first[0] or phase[k] != phase[k - 1]]
    return tuple((str(phase[k]), int(T[k])) for k in begins)


def _cost(experiment: Mapping[str, Any], L: int, plan: tuple[tuple[str, int], ...]) -> _Cost:
    found = options(Experiment.from_dict(experiment), L, plan)
    if isinstance(found, str):
        raise BadInput(f"SMM: {found}")
    single: dict[str, Any] = found | {"T": 1} | ({"K": 1, "phases": 1} if "K" in found else {})
    one = smm(L, **single)
    wave = found["relaxation"] == "wavefront"  # all its products are spent after L updates
    update = one.relaxation // L if wave else one.relaxation
    return _Cost(one.init, update, one.relaxation if wave else np.inf, one.weights)


def _summed(rows: xr.Dataset, costs: Mapping[int, _Cost], settles: Mapping[int, bool]) -> Rows:
    """Products behind each row: those of earlier batches, the init, and the updates so far."""
    batch, t, phase, number = (rows[k].values for k in ("batch", "t", "phase", "recipe_id"))
    of = {name: _column(costs, name) for name in ("init", "update", "most", "weights")}
    new = np.append(True, batch[1:] != batch[:-1])
    fresh = new | np.append(True, phase[1:] != phase[:-1])
    starts = np.flatnonzero(new)
    ends = np.append(starts[1:], len(batch)) - 1
    made = np.where(fresh, t, t - np.append(0, t[:-1]))  # updates since the row before
    by = np.where(fresh, number, np.append(number[0], number[:-1]))  # the recipe that made them
    spent = np.cumsum(made * of["update"][by])
    at = np.cumsum(new) - 1  # position of each row's batch
    within = spent - (spent[starts] - (made * of["update"][by])[starts])[at]
    within = np.minimum(within, of["most"][number])
    whole = of["init"][number[starts]] + within[ends] + of["weights"][number[ends]]
    left_out = np.diff(batch[starts]) - 1
    if (left_out > 0).any():
        if any(settles.values()):
            raise BadInput("SMM: batches that end by tolerance were left out of these rows")
        T = sum(T for _, T in _plan(rows))
        each = of["init"] + np.minimum(T * of["update"], of["most"]) + of["weights"]
        whole[:-1] += left_out * each[number[ends[:-1]]]
    before = np.append(0.0, np.cumsum(whole)[:-1])
    return before[at] + of["init"][number[starts]][at] + within


def _column(costs: Mapping[int, _Cost], name: str) -> Rows:
    """One part of the cost by number of the recipe."""
    found = np.zeros(max(costs) + 1)
    for number, cost in costs.items():
        found[number] = getattr(cost, name)
    return found


def _logged(rows: xr.Dataset, batches: xr.Dataset) -> Rows:
    """The sum of what was logged for each batch, at its last row."""
    count = batches["smm"].values.astype(float)
    if not np.isfinite(count).any():
        raise BadInput("SMM: recorded without an experiment, and no count was logged")
    total = dict(zip(batches["batch"].values.tolist(), np.cumsum(count).tolist(), strict=True))
    ends = batch_ends(rows)
    found = np.full(rows.sizes["step"], np.nan)
    found[ends] = [total.get(one, np.nan) for one in rows["batch"].values[ends].tolist()]
    return found
