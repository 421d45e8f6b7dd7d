"""What can be read off a trace?

Every measure comes twice. `name_of` takes plain arrays, one row or many (the last axis is the
layer, or the state), and is fast enough for every frame of a live page; `name` takes a trace and
gives the same numbers with their coordinates, unit and meaning. Nothing here draws.

A layer counts as *reached* when its energy is above what rounding alone can make, its floor
(core/rounding.py). After a forward init every energy is exactly zero until the error wavefront
arrives; such layers have no logarithm, and no measure invents one by clipping.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

Rows = NDArray[Any]

FEWEST_TO_FIT = 3
"""A line through two points says nothing about how straight they lie."""

FLAT = 1e-20
"""Sum of squared deviations (decades squared) below which layers are equal: R2 has no meaning."""


def reached_of(energy: ArrayLike, floor: ArrayLike) -> NDArray[np.bool_]:
    """Where the energy is above its floor; a layer that is not finite has diverged, not arrived.

    The floor is that of `core.rounding.floor_of`.
    """
    energy = np.asarray(energy)
    return np.isfinite(energy) & (energy > floor)


def imbalance_of(energy: ArrayLike, reached: ArrayLike) -> Rows:
    """Decades between largest and smallest energy of reached layers; nan for fewer than two."""
    logs, reached = _logs(energy, reached)
    top = np.max(logs, axis=-1, where=reached, initial=-np.inf)
    bottom = np.min(logs, axis=-1, where=reached, initial=np.inf)
    several = reached.sum(-1) >= 2
    return np.where(several, np.where(several, top, 0) - np.where(several, bottom, 0), np.nan)


def slope_of(energy: ArrayLike, depth: ArrayLike, reached: ArrayLike) -> tuple[Rows, Rows]:
    """Least-squares slope of log10 E against depth over reached layers, and its R2.

    Both are nan for fewer than three reached layers; R2 is nan where all energies are equal.

    Args:
        energy: of each layer, (..., L).
        depth: of each layer, (L,).
        reached: as from `reached_of`.

    Returns:
        Decades per layer and R2, each of the shape of `energy` without its last axis.
    """
    y, reached = _logs(energy, reached)
    count = reached.sum(-1)
    n = np.maximum(count, 1)[..., None]
    x = np.where(reached, np.asarray(depth, dtype=float), 0.0)
    x = np.where(reached, x - x.sum(-1, keepdims=True) / n, 0.0)
    y = np.where(reached, y - y.sum(-1, keepdims=True) / n, 0.0)
    xx, xy, yy = (x * x).sum(-1), (x * y).sum(-1), (y * y).sum(-1)
    enough = (count >= FEWEST_TO_FIT) & (xx > 0)
    slope = np.divide(xy, xx, out=np.full(xx.shape, np.nan), where=enough)
    straight = enough & (yy > FLAT)
    r2 = np.divide(xy * xy, xx * yy, out=np.full(xx.shape, np.nan), where=straight)
    return slope, r2


def energy_share_of(energy: ArrayLike) -> Rows:
    """Each layer's share of the bare energy; nan where there is none."""
    energy = np.asarray(energy, dtype=float)
    total = energy.sum(-1, keepdims=True)
    there = np.isfinite(total) & (total > 0)
    shape = np.broadcast_shapes(energy.shape, total.shape)
    return np.divide(energy, total, out=np.full(shape, np.nan), where=there)


def effective_depth_of(share: ArrayLike) -> Rows:
    """Exponential of the shares' entropy: how many layers hold the energy, 1 to L."""
    share = np.asarray(share, dtype=float)
    return np.exp(-(share * np.log(np.where(share > 0, share, 1.0))).sum(-1))


def total_energy_of(
    energy: ArrayLike, precision: ArrayLike, cost: ArrayLike = 0.0
) -> tuple[Rows, Rows]:
    """F, weighted by precision and with nudge and decay, and the bare E: mean per sample."""
    energy = np.asarray(energy, dtype=float)
    return (energy * np.asarray(precision)).sum(-1) + np.asarray(cost), energy.sum(-1)


def free_of(force: ArrayLike, batch: ArrayLike) -> NDArray[np.bool_]:
    """Which states are free in the batch of each row: those that ever feel a force in it.

    Clamped states have none. A free state that the error never reaches in a batch has none either
    and is not counted, so that the residual is of the states that have something to relax.

    Args:
        force: RMS of dF/dh of each state, (rows, states).
        batch: its number for each row, (rows,).
    """
    pulled = np.asarray(force) != 0
    if not len(pulled):
        return pulled
    begins = np.concatenate(([0], _starts(batch)))
    ever = np.logical_or.reduceat(pulled, begins, axis=0)
    return np.repeat(ever, np.diff(begins, append=len(pulled)), axis=0)


def residual_of(force: ArrayLike, size: ArrayLike, free: ArrayLike) -> Rows:
    """RMS of dF/dh over all units of the free states; 0 where no state is free.

    Args:
        force: RMS of dF/dh of each state over its units and the batch, (..., states).
        size: units of each state, (states,).
        free: which states count, as from `free_of`.
    """
    size = np.asarray(size, dtype=float) * np.asarray(free)
    squared = (size * np.square(np.asarray(force, dtype=float))).sum(-1)
    units = size.sum(-1)
    return np.sqrt(np.divide(squared, units, out=np.zeros_like(squared), where=units > 0))


def residual_of_rows(force: ArrayLike, size: ArrayLike, batch: ArrayLike) -> Rows:
    """RMS of dF/dh over the units of all states that feel a force in their batch, (rows,).

    A state of unknown size whose force was not logged does not count; one whose force was makes the
    residual unknown, nan.

    Args:
        force: RMS of dF/dh of each state, (rows, states).
        size: units of each state, (states,), 0 where they are not known.
        batch: its number for each row, (rows,).
    """
    force, unknown = np.asarray(force, dtype=float), np.asarray(size) == 0
    absent = unknown & np.isnan(force).all(0)
    free = free_of(force, batch) & ~absent
    found = residual_of(np.where(absent, 0.0, force), size, free)
    return np.where((free & unknown).any(-1), np.nan, found)


def floor(trace: xr.Dataset) -> xr.DataArray:
    """Rounding floor of each layer's energy, (step, layer); made anew for a file that has none."""
    if "floor" in trace:
        values = trace["floor"].transpose("step", "layer").values
    else:
        from core.rounding import floor_of  # here, because core loads torch

        activity = 1.0
        if "activity" in trace:
            activity = trace["activity"].transpose("step", "state").values[:, trace["layer"].values]
        size, eps = trace["layer_size"].values, float(trace.attrs["eps"])
        values = floor_of(size, eps, activity, trace["t"].values)
    return _layers(trace, "floor", values, "nat", "energy that rounding alone can make")


def reached(trace: xr.Dataset) -> xr.DataArray:
    """Whether the energy of a layer is above its rounding floor, (step, layer)."""
    values = reached_of(_energy(trace), floor(trace).values)
    return _layers(trace, "reached", values, "1", "whether energy is above rounding")


def rounding(trace: xr.Dataset) -> xr.DataArray:
    """Whether the energy of a layer is at or below its floor, (step, layer): zero or noise."""
    values = np.isfinite(_energy(trace)) & ~reached(trace).values
    return _layers(trace, "rounding", values, "1", "whether energy is at or below rounding")


def noise_of(energy: ArrayLike, reached: ArrayLike) -> NDArray[np.bool_]:
    """Where an energy is not zero and yet not above its floor: what rounding has made."""
    energy = np.asarray(energy)
    return np.isfinite(energy) & (energy != 0) & ~np.asarray(reached)


def reached_count(trace: xr.Dataset) -> xr.DataArray:
    """How many layers are reached, (step)."""
    return _rows(trace, "reached_count", reached(trace).values.sum(1), "1", "reached layers")


def imbalance(trace: xr.Dataset, per: str = "layer") -> xr.DataArray:
    """log10(max E / min E) over reached layers, (step); nan where fewer than two are reached.

    Args:
        trace: one lane.
        per: "layer" compares energies, "unit" energies divided by the layers' sizes.

    Raises:
        ValueError: for another `per`.
    """
    if per not in ("layer", "unit"):
        raise ValueError(f"imbalance.per: {per}; one of layer, unit")
    energy = _energy(trace)
    if per == "unit":
        energy = energy / _known(trace["layer_size"])
    values = imbalance_of(energy, reached(trace).values)
    return _rows(trace, "imbalance", values, "decade", f"log10(max E / min E), per {per}")


def slope(trace: xr.Dataset) -> xr.Dataset:
    """Slope of log10 E against depth over reached layers, and its R2, (step)."""
    values, r2 = slope_of(_energy(trace), trace["depth"].values, reached(trace).values)
    return xr.Dataset(
        {
            "slope": _rows(trace, "slope", values, "decade/layer", "slope of log10 E over depth"),
            "r2": _rows(trace, "r2", r2, "1", "R2 of that line"),
        }
    )


def energy_share(trace: xr.Dataset) -> xr.DataArray:
    """Each layer's share of the bare energy, (step, layer)."""
    values = energy_share_of(_energy(trace))
    return _layers(trace, "energy_share", values, "1", "share of the bare energy")


def effective_depth(trace: xr.Dataset) -> xr.DataArray:
    """How many layers hold the energy: exp of the entropy of their shares, (step)."""
    values = effective_depth_of(energy_share_of(_energy(trace)))
    return _rows(trace, "effective_depth", values, "layer", "exp(entropy of energy shares)")


def total_energy(trace: xr.Dataset) -> xr.Dataset:
    """F = sum of precision times energy, nudge and decay; and the bare sum E; per sample."""
    cost = trace["cost"].values if "cost" in trace else 0.0
    weighted, bare = total_energy_of(_energy(trace), trace["precision"].values, cost)
    return xr.Dataset(
        {
            "F": _rows(trace, "F", weighted, "nat", "total energy, weighted by precision"),
            "E": _rows(trace, "E", bare, "nat", "total energy, bare"),
        }
    )


def residual(trace: xr.Dataset) -> xr.DataArray:
    """RMS of dF/dh over the units of all states that feel a force in their batch, (step)."""
    force = trace["force"].transpose("step", "state").values
    values = residual_of_rows(force, trace["state_size"].values, trace["batch"].values)
    return _rows(trace, "residual", values, "1", "RMS of dF/dh over free units")


def phase_starts(trace: xr.Dataset) -> Rows:
    """Steps of the first rows of all phases but the first, batches among them."""
    batch, phase = trace["batch"].values, trace["phase"].values
    begins = (batch[1:] != batch[:-1]) | (phase[1:] != phase[:-1])
    return trace["step"].values[np.flatnonzero(begins) + 1]


def changes(trace: xr.Dataset) -> list[tuple[int, str]]:
    """Where another recipe comes into force: (step, "precision: Identity -> Spiking")."""
    number = trace["recipe_id"].values
    at = np.flatnonzero(np.diff(number)) + 1
    if not len(at):
        return []
    from core.experiment import sentence  # here, because core loads torch

    recipes = json.loads(trace.attrs["recipes"])
    found = []
    for row in at:
        old, new = recipes[number[row - 1]], recipes[number[row]]
        # A recipe has no weight optimiser: where nothing else differs, it is what changed.
        said = sentence(old, new) or "weights: another optimiser"
        found.append((int(trace["step"].values[row]), said))
    return found


def batch_starts(trace: xr.Dataset) -> Rows:
    """Steps of the first rows of all batches but the first."""
    return trace["step"].values[_starts(trace["batch"].values)]


def weight_updates(trace: xr.Dataset) -> Rows:
    """Steps of the rows that a weight update saw: t = T, with another batch behind them."""
    last = _starts(trace["batch"].values) - 1
    complete = trace["t"].values[last] == trace["T"].values[last]
    return trace["step"].values[last[complete]]


def row_at(trace: xr.Dataset, step: int | None) -> int:
    """Position of the recorded row nearest to a step; of the last row for None."""
    steps = trace["step"].values
    return len(steps) - 1 if step is None else int(np.abs(steps - step).argmin())


def with_samples(trace: xr.Dataset, batches: Mapping[int, Any]) -> xr.Dataset:
    """The trace with what its batches showed, by the batch's number `shown_batch`.

    Args:
        trace: one lane.
        batches: number -> labels (B,) and first images (S, C, H, W), as `core.Trace` holds them.

    Returns:
        With `label` (shown_batch, sample) and `input` (shown_batch, shown, channel, row, column).
    """
    numbers = [int(k) for k in np.unique(trace["batch"].values) if int(k) in batches]
    if not numbers:
        return trace
    held = [batches[k] for k in numbers]
    shown = min(len(one.images) for one in held)
    if "shown" in trace.sizes:
        shown = trace.sizes["shown"]
    images = np.stack([one.images[:shown] for one in held])
    labels = np.stack([one.labels for one in held])
    return trace.assign_coords(shown_batch=numbers).assign(
        label=(("shown_batch", "sample"), labels, {"long_name": "class of a sample"}),
        input=(
            ("shown_batch", "shown", "channel", "row", "column"),
            images,
            {"units": "pixel", "long_name": "image of a sample"},
        ),
    )


def _logs(energy: ArrayLike, reached: ArrayLike) -> tuple[Rows, NDArray[np.bool_]]:
    """log10 of the reached energies (0 elsewhere), and where they are."""
    reached = np.asarray(reached, dtype=bool)
    return np.log10(np.where(reached, np.asarray(energy, dtype=float), 1.0)), reached


def _starts(batch: ArrayLike) -> NDArray[np.intp]:
    """Positions at which the number of the batch changes."""
    return np.flatnonzero(np.diff(np.asarray(batch))) + 1


def _known(size: xr.DataArray) -> Rows:
    """Numbers of units, nan where they are not known."""
    return np.where(size.values > 0, size.values, np.nan)


def _energy(trace: xr.Dataset) -> Rows:
    return trace["energy"].transpose("step", "layer").values.astype(float)


def _layers(trace: xr.Dataset, name: str, values: Rows, unit: str, about: str) -> xr.DataArray:
    kept = trace["energy"].transpose("step", "layer").coords
    said = {"units": unit, "long_name": about}
    return xr.DataArray(values, kept, ("step", "layer"), name, said)


def _rows(trace: xr.Dataset, name: str, values: Rows, unit: str, about: str) -> xr.DataArray:
    said = {"units": unit, "long_name": about}
    return xr.DataArray(values, trace["step"].coords, ("step",), name, said)
