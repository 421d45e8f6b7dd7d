"""How deep did the error come, how soon did it settle, how even is it? Diagnostics of a lane.

As in `measures`, `name_of` takes plain arrays and `name` takes a trace.
"""

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from workbench import measures
from workbench.measures import Rows


def moved_of(speed: ArrayLike, activity: ArrayLike, begin: Rows, tau: float) -> Rows:
    """Which states have moved since their phase began, (rows, states).

    A state has moved once the sum of its updates is above tau times its RMS at the beginning: a
    bound on its displacement, as a trace has it.

    Args:
        speed: RMS of each update, (rows, states).
        activity: RMS of each state, (rows, states).
        begin: positions of the rows at which a phase begins, the first among them.
        tau: share below which a state counts as unmoved.
    """
    speed, activity = np.asarray(speed, dtype=float), np.asarray(activity, dtype=float)
    found = np.zeros(speed.shape, dtype=bool)
    ends = [*begin[1:], len(speed)]
    for first, end in zip(begin, ends, strict=True):
        path = np.cumsum(speed[first:end], axis=0) - speed[first]
        found[first:end] = path > tau * activity[first]
    return found


def adjacent_ratio_of(error: ArrayLike, size: ArrayLike, reached: ArrayLike) -> Rows:
    """Squared error norm of each layer by that of the next one up, (..., L - 1).

    nan where either is not reached. This is the imbalance of the benchmark pinchetti2025.

    Args:
        error: RMS of each layer, (..., L).
        size: units of each layer, (L,).
        reached: as from `reached_of`.
    """
    squared = np.asarray(size, dtype=float) * np.square(np.asarray(error, dtype=float))
    reached = np.asarray(reached, dtype=bool)
    both = reached[..., :-1] & reached[..., 1:] & (squared[..., 1:] > 0)
    out = np.full(squared[..., 1:].shape, np.nan)
    return np.divide(squared[..., :-1], squared[..., 1:], out=out, where=both)


def log_term_of(precision: ArrayLike, size: ArrayLike) -> Rows:
    r"""$-\frac12 d_\ell \log \Pi_\ell$, what a learned precision adds to F, per sample in nats.

    nan where a precision is zero: such a layer is outside of the energy.

    Args:
        precision: as applied, (..., L).
        size: units of each layer, (L,).
    """
    precision = np.asarray(precision, dtype=float)
    there = precision > 0
    logs = np.log(np.where(there, precision, 1.0))
    return np.where(there, -0.5 * np.asarray(size, dtype=float) * logs, np.nan)


def reach_depth(trace: xr.Dataset, tau: float = 1e-6) -> xr.DataArray:
    """How many hidden states have moved since their phase began, (step): how deep the error came.

    Args:
        trace: one lane, recorded at level full.
        tau: share of a state's RMS below which it counts as unmoved; 1e-6 suits float32.
    """
    speed, activity = (trace[k].transpose("step", "state").values for k in ("speed", "activity"))
    begin = np.concatenate(
        ([0], np.flatnonzero(np.isin(trace["step"].values, measures.phase_starts(trace))))
    )
    found = moved_of(speed, activity, begin, tau)[:, 1:-1].sum(1)
    said = {"units": "1", "long_name": f"hidden states moved by more than {tau:g}"}
    return xr.DataArray(found, trace["step"].coords, ("step",), "reach_depth", said)


def settling(trace: xr.Dataset, level: float = 1e-3) -> xr.DataArray:
    """Steps until the residual is below a level for good, one number for each batch, (of_batch).

    nan where a batch is not below it at its last row. Phases count as one: from the first row of
    the batch.
    """
    values, batch = measures.residual(trace).values, trace["batch"].values
    numbers = np.unique(batch)
    found = np.full(len(numbers), np.nan)
    for k, number in enumerate(numbers):
        rows = np.flatnonzero(batch == number)
        above = np.flatnonzero(~(values[rows] < level))
        first = 0 if not len(above) else above[-1] + 1
        if first < len(rows):
            found[k] = trace["step"].values[rows[first]] - trace["step"].values[rows[0]]
    said = {"units": "step", "long_name": f"steps to a residual below {level:g}"}
    return xr.DataArray(found, {"of_batch": numbers}, ("of_batch",), "settling", said)


def adjacent_ratio(trace: xr.Dataset) -> xr.DataArray:
    """Squared error norm of a layer by that of the next one up, (step, layer), but the output."""
    error = trace["error"].transpose("step", "layer").values
    values = adjacent_ratio_of(error, trace["layer_size"].values, measures.reached(trace).values)
    kept = trace["energy"].transpose("step", "layer").isel(layer=slice(0, -1)).coords
    said = {"units": "1", "long_name": "squared error norm by that of the next layer up"}
    return xr.DataArray(values, kept, ("step", "layer"), "adjacent_ratio", said)


def log_term(trace: xr.Dataset) -> xr.DataArray:
    """What the logarithm of a learned precision adds to F, (step, layer), per sample in nats."""
    precision = trace["precision"].transpose("step", "layer").values
    values = log_term_of(precision, trace["layer_size"].values)
    kept = trace["energy"].transpose("step", "layer").coords
    said = {"units": "nat", "long_name": "-d/2 log precision"}
    return xr.DataArray(values, kept, ("step", "layer"), "log_term", said)
