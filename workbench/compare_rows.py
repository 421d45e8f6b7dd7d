"""Which rows of lanes are drawn? So many as a plot can show, evenly, and it is said which.

A long lane is never read whole.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from core.catalogue import BadInput
from core.schema import INDEX
from workbench.compare_axes import BATCHES, SMM, TITLES, batch_ends, places
from workbench.compare_lanes import Lane
from workbench.compare_states import recorded_states

MOST_ROWS = 1200
"""Rows of a lane that are drawn: a plot has fewer pixels across."""

BUDGET = 96 * 2**20
"""Bytes of one lane's variables that are read for drawing."""


@dataclass(frozen=True)
class Thinning:
    """Which rows of long lanes are drawn, the same of all, so that they can be compared.

    Args:
        by: "" for all, "batch" for last rows of batches, or "step".
        every: how many batches or steps lie between two rows.
    """

    by: str = ""
    every: int = 1

    def sentence(self, rows: int) -> str:
        """What is drawn of so many rows; "" where it is all."""
        if not self.by:
            return ""
        counted = {1: ""}.get(self.every, f"{_ordinal(self.every)} ")
        what = f"every {counted}step"
        if self.by == "batch":
            what = f"the last row of every {counted}batch"
        return f"{rows:,} rows: {what} is drawn; zoom in for more"

    def kept(self, rows: xr.Dataset) -> NDArray[np.bool_]:
        """Which rows stay, (rows,); the newest of them always."""
        if not self.by or not rows.sizes["step"]:
            return np.ones(rows.sizes["step"], bool)
        newest: Sequence[int] | NDArray[np.int64]
        if self.by == "batch":
            ends = batch_ends(rows)
            newest = np.flatnonzero(ends)[-1:]
            stay = ends & (rows["batch"].values % self.every == 0)
        else:
            stay, newest = rows["step"].values % self.every == 0, [-1]
        stay[newest] = True
        return stay


def thinning(lanes: Sequence[xr.Dataset], most: int = MOST_ROWS) -> Thinning:
    """How rows are thinned so that no lane has many more than `most`.

    Several batches are thinned to their last rows, which the weights see: rows in between are at
    another t each, and would be a curve of nothing.
    """
    if all(one.sizes["step"] <= most for one in lanes):
        return Thinning()
    ends = [int(batch_ends(one).sum()) for one in lanes]
    if max(ends) > 2:
        return Thinning("batch", _round(max(ends) / most))
    return Thinning("step", _round(max(one.sizes["step"] for one in lanes) / most))


def _round(ratio: float) -> int:
    """The next 1, 2, 5, 10, 20, ..., so that a growing lane keeps its rows for long."""
    for power in range(12):
        for digit in (1, 2, 5):
            if digit * 10**power >= ratio:
                return digit * 10**power
    return int(ratio)


def _ordinal(n: int) -> str:
    return f"{n:,}{'nd' if n == 2 else 'th'}"


@dataclass(frozen=True)
class Drawn:
    """What is drawn of a lane.

    Args:
        lane: it comes from.
        trace: the rows that are drawn, in memory.
        x: where each of them stands on the axis, (rows,); nan where it has no place.
        why: it cannot stand on the axis, or "".
        number: of each of them in the lane, (rows,), also where batches are the axis.
        rows: how many there are in all.
        extent: from the first to the last place of all its rows, or None.
        reasons: why the lane cannot stand on an axis, by axis.
        states: numbers of the states that it holds in full.
        lazy: the same rows with all variables, which are read when they are looked at.
    """

    lane: Lane
    trace: xr.Dataset
    x: NDArray[np.float64]
    why: str
    number: NDArray[np.int64]
    rows: int
    extent: tuple[float, float] | None
    reasons: Mapping[str, str] = field(default_factory=dict)
    states: Sequence[int] = ()
    lazy: xr.Dataset = field(default_factory=xr.Dataset)


def drawn(
    lanes: Sequence[Lane],
    axis: str,
    names: Sequence[str],
    window: tuple[float, float] | None = None,
) -> tuple[list[Drawn], Thinning]:
    """The rows of several lanes that are drawn against an axis, read from where they are.

    Args:
        lanes: that are compared.
        axis: one of `TITLES`.
        names: variables that are drawn; what a lane does not have is left out.
        window: from where to where on the axis; None for the whole. Short lanes are drawn whole.
    """
    found = []
    for lane in lanes:
        trace = _rows_of(lane)
        reasons = _reasons(lane, trace)
        why = reasons.get(axis, "")
        x = trace["step"].values.astype(float) if why else _places(lane, trace, axis)
        found.append((lane, trace, x, why, reasons))
    if all(trace.sizes["step"] <= MOST_ROWS for _, trace, *_ in found):
        window = None
    inside = [_inside(x, window) for _, _, x, _, _ in found]
    most = min([MOST_ROWS, *(_room(trace, names) for _, trace, *_ in found)])
    bare = [trace.drop_vars(list(trace.data_vars)) for _, trace, *_ in found]
    near = [one.isel(step=np.flatnonzero(at)) for one, at in zip(bare, inside, strict=True)]
    rule = thinning(near, most)
    made = []
    for (lane, trace, x, why, reasons), at, part in zip(found, inside, near, strict=True):
        chosen = np.flatnonzero(at)[rule.kept(part)]
        held = [name for name in dict.fromkeys(names) if name in trace]
        lazy = trace.isel(step=chosen)
        number = lazy["step"].values
        if axis == BATCHES:
            lazy = lazy.assign_coords(step=lazy["batch"].values)
        rows, states = lazy[held].load(), recorded_states(trace)
        total = trace.sizes["step"]
        span = _extent(x)
        made.append(Drawn(lane, rows, x[chosen], why, number, total, span, reasons, states, lazy))
    return made, rule


def _rows_of(lane: Lane) -> xr.Dataset:
    """All rows of a lane; one that has none yet has a `step` all the same."""
    trace = lane.trace()
    if "step" in trace.coords:
        return trace
    none: dict[str, Any] = {name: ("step", np.zeros(0, int)) for name in INDEX[1:]}
    return trace.assign_coords(none | {"step": np.zeros(0, int)})


def _reasons(lane: Lane, trace: xr.Dataset) -> dict[str, str]:
    """Why a lane cannot stand on an axis, for those on which it cannot."""
    reasons = {}
    for axis in TITLES:
        try:
            _places(lane, trace, axis)
        except BadInput as refused:
            reasons[axis] = str(refused)
    return reasons


def _places(lane: Lane, trace: xr.Dataset, axis: str) -> NDArray[np.float64]:
    recipes = json.loads(trace.attrs.get("recipes", "[]"))
    batches = lane.batches() if axis == SMM and lane.experiment is None else None
    return places(trace, axis, experiment=lane.experiment, recipes=recipes, batches=batches)


def _extent(x: NDArray[np.float64]) -> tuple[float, float] | None:
    held = x[np.isfinite(x)]
    return (float(held[0]), float(held[-1])) if len(held) else None


def _inside(x: NDArray[np.float64], window: tuple[float, float] | None) -> NDArray[np.bool_]:
    """Which rows are in a window, with half as much again on each side to move to."""
    if window is None:
        return np.isfinite(x)
    margin = (window[1] - window[0]) / 2
    with np.errstate(invalid="ignore"):
        return (x >= window[0] - margin) & (x <= window[1] + margin)


def _room(trace: xr.Dataset, names: Sequence[str]) -> int:
    """How many rows fit into the budget."""
    rows = max(trace.sizes.get("step", 1), 1)
    each = sum(8 * trace[name].size / rows for name in names if name in trace)
    return max(2, int(BUDGET / each)) if each else MOST_ROWS
