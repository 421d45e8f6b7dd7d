"""How far apart are the states of two lanes? Exact distances over steps, state by state.

Full states are large, so that they are read some rows at a time.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from core.catalogue import BadInput
from core.schema import STATE
from workbench.comparing import aligned

if TYPE_CHECKING:
    from workbench.compare_lanes import Lane

Rows = NDArray[np.float64]

BLOCK = 32 * 2**20
"""Bytes of states that are read at once."""

RMS, RELATIVE = "RMS", "relative"
"""Root mean square over units and samples; or that by the RMS of the states themselves."""


@dataclass(frozen=True)
class Distances:
    """How far apart two lanes are.

    Args:
        step: of the rows, (n,).
        state: numbers of the states, (K,).
        values: of each state at each row, (n, K); zero where they are equal.
    """

    step: NDArray[np.int64]
    state: NDArray[np.int64]
    values: Rows


def recorded_states(trace: xr.Dataset) -> list[int]:
    """Numbers of the states that a lane holds in full."""
    found = [STATE.fullmatch(str(name)) for name in trace.data_vars]
    return sorted(int(one[1]) for one in found if one)


def distances(a: xr.Dataset, b: xr.Dataset, how: str = RMS) -> Distances:
    r"""Distance between the states of two lanes at their common rows.

    $\sqrt{\langle (h^A - h^B)^2 \rangle}$ over units and samples; relative, it is divided by
    $\sqrt{\langle (h^A)^2 + (h^B)^2 \rangle / 2}$, so that opposite states are 2 apart.

    Raises:
        BadInput: if no state is held by both, or shapes differ, or for another `how`.
    """
    if how not in (RMS, RELATIVE):
        raise BadInput(f"distance: {how}; one of {RMS}, {RELATIVE}")
    shared = [k for k in recorded_states(a) if k in recorded_states(b)]
    if not shared:
        raise BadInput("states: none is recorded in both lanes")
    a, b = aligned([a, b])
    found = np.empty((a.sizes["step"], len(shared)))
    for column, k in enumerate(shared):
        one, other = (lane[f"state_{k}"].transpose("step", "sample", ...) for lane in (a, b))
        if one.shape != other.shape:
            raise BadInput(
                f"state {k}: (samples, units) {one.shape[1:]} in A, {other.shape[1:]} in B; "
                "states of one shape have a distance"
            )
        found[:, column] = _apart(one, other, how)
    return Distances(a["step"].values, np.array(shared), found)


def replayed(lane: "Lane", steps: NDArray[np.int64]) -> xr.Dataset:
    """Full states of some rows of a lane, made again from its event log.

    Raises:
        BadInput: if it has none, or the states are too large.
    """
    from workbench.replaying import states_of  # here, because it loads the session

    found = states_of(*lane.source, steps=steps.tolist())
    held = {
        name: (("step", "sample", name.replace("state", "unit")), values)
        for name, values in found.items()
        if name != "step"
    }
    return xr.Dataset(held, {"step": found["step"]})


def _apart(one: xr.DataArray, other: xr.DataArray, how: str) -> Rows:
    """Of one state, (rows,)."""
    found = np.empty(len(one))
    size = 8 * max(one[0].size if len(one) else 1, 1)
    rows = max(1, BLOCK // size)
    for first in range(0, len(one), rows):
        part = slice(first, first + rows)
        x, y = (held[part].values.astype(float).reshape(-1, held[0].size) for held in (one, other))
        squared = np.square(x - y).mean(1)
        if how == RELATIVE:
            scale = (np.square(x).mean(1) + np.square(y).mean(1)) / 2
            squared = np.divide(squared, scale, out=np.zeros(len(scale)), where=scale > 0)
        found[part] = np.sqrt(squared)
    return found
