"""What have several relaxations in common? The centre of a measure, its band, and of how many."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from workbench import many
from workbench.plate import MEAN, MEDIAN, POOLS, SPREADS, Plate

PLURAL = {"run": "runs", "lane": "lanes", "seed": "seeds", "batch": "batches", "sample": "samples"}

OF_SAMPLES = ("energy_sample", "probability")
"""What is recorded of each sample."""

LETTERS = {MEAN: "mean ± s.d.", MEDIAN: "median and quartiles"}

Member = dict[str, Any]
"""Where a relaxation stands: its seed, its batch, ..."""


@dataclass(frozen=True)
class Pool:
    """Relaxations that are drawn as one.

    Args:
        over: what is pooled, of `POOLS`.
        spread: a name in `SPREADS`.
        keys: the place of each member.
        members: for each place the relaxations whose measures are averaged first.
        inner: what they are: dimension -> values.
    """

    over: tuple[str, ...]
    spread: str
    keys: tuple[Member, ...]
    members: tuple[tuple[xr.Dataset, ...], ...]
    inner: dict[str, list[Any]]

    @property
    def n(self) -> int:
        """How many there are."""
        return len(self.keys)

    @property
    def first(self) -> xr.Dataset:
        """The relaxation with the most rows, whose axes are drawn."""
        return max(
            (one for some in self.members for one in some), key=lambda one: one.sizes["step"]
        )

    @property
    def short(self) -> str:
        """For a legend: "mean ± s.d., n = 5 seeds"."""
        return f"{LETTERS[self.spread]}, $n={self.n}$ {_names(self.over)}"

    @property
    def words(self) -> str:
        """For a caption: which centre and band, of how many and which."""
        named = {name: listed([key[name] for key in self.keys]) for name in self.over}
        which = "; ".join(f"{PLURAL[name]} {values}" for name, values in named.items())
        which = named[self.over[0]] if len(named) == 1 else which
        said = f"Lines: {SPREADS[self.spread].split(' and ')[0]} over n = {self.n} "
        said += f"{_names(self.over)} ({which})"
        if self.inner:
            each = " and ".join(f"{PLURAL[k]} {listed(v)}" for k, v in self.inner.items())
            said += f", each the mean over its {each}"
        band = {
            MEAN: "Bands: one standard deviation (n - 1) to each side, on a logarithmic axis only "
            "above where the lower end is not positive",
            MEDIAN: "Bands: from the lower to the upper quartile",
        }[self.spread]
        return f"{said}. {band}; drawn where more than half of them have a value."


def pool(trace: xr.Dataset, plate: Plate) -> Pool:
    """The relaxations that a figure is drawn over.

    Args:
        trace: one lane, or several as from `many.combine`.
        plate: says over what; a trace has batches along its rows and samples of its own.

    Raises:
        ValueError: naming the dimension that is not there, or that has fewer than two.
    """
    over = tuple(name for name in POOLS if name in plate.over)
    found: list[tuple[Member, xr.Dataset]] = [(dict(w), one) for w, one in many.parts(trace)]
    if "batch" in over and "batch" not in many.dims(trace):
        found = [(w | k, one) for w, whole in found for k, one in _batches(whole)]
    if "sample" in over:
        found = [(w | k, one) for w, whole in found for k, one in _samples(whole)]
    for name in over:
        known = {where[name] for where, _ in found if name in where}
        if not known:
            raise ValueError(f"over: {name}; {_have(found)}")
        if len(known) < 2:
            raise ValueError(f"over: {name}; the trace has only one")
    grouped: dict[tuple[Any, ...], list[tuple[Member, xr.Dataset]]] = {}
    for where, one in found:
        grouped.setdefault(tuple(where[name] for name in over), []).append((where, one))
    inner: dict[str, list[Any]] = {}
    for name in POOLS:
        if name not in over and name in found[0][0]:
            inner[name] = sorted({where[name] for where, _ in found})
    return Pool(
        over,
        plate.spread,
        tuple(dict(zip(over, key, strict=True)) for key in grouped),
        tuple(tuple(one for _, one in some) for some in grouped.values()),
        inner,
    )


def summary(pool: Pool, measure: Callable[[xr.Dataset], xr.Dataset]) -> xr.Dataset:
    """Centre, band and number of members of each variable of a measure.

    Args:
        pool: the relaxations.
        measure: of one of them; nan where it says nothing.

    Returns:
        For each variable `x` of the measure `x`, `x_low`, `x_high` and `x_n`, with its dimensions.
    """
    each = [[measure(one) for one in some] for some in pool.members]
    longest = max((one for some in each for one in some), key=_rows)
    found: dict[str, Any] = {}
    for name in longest.data_vars:
        shape = longest[name].shape
        values = np.stack(
            [_mean(np.stack([_padded(one[name].values, shape) for one in some])) for some in each]
        )
        centre, low, high = band(values, pool.spread)
        about, axes = longest[name].attrs, longest[name].dims
        found[str(name)] = (axes, centre, about)
        found[f"{name}_low"], found[f"{name}_high"] = (axes, low, about), (axes, high, about)
        found[f"{name}_n"] = (axes, np.isfinite(values).sum(0), {"units": "1"})
    return xr.Dataset(found, coords=longest.coords)


def band(values: NDArray[Any], spread: str) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Centre and both ends of the band, over the first axis; nan where half or fewer are numbers.

    The standard deviation is that of a sample, with n - 1; quartiles are those of R's type 7, which
    interpolate between the two values beside them.

    Args:
        values: of the members, (n, ...); nan where a member has none.
        spread: a name in `SPREADS`.
    """
    values = np.where(np.isfinite(values), values, np.nan)
    there = 2 * np.isfinite(values).sum(0) > len(values)
    known = np.where(there, values, 0.0)
    if spread == MEAN:
        centre = np.nanmean(known, axis=0)
        count = np.isfinite(known).sum(0)
        square = np.nansum((known - centre) ** 2, axis=0)
        wide = np.sqrt(square / np.maximum(count - 1, 1))
        low, high = centre - wide, centre + wide
    else:
        low, centre, high = np.nanquantile(known, (0.25, 0.5, 0.75), axis=0)
    return tuple(np.where(there, one, np.nan) for one in (centre, low, high))  # type: ignore


def listed(values: Sequence[Any]) -> str:
    """Values in a few words: "0..4", "0, 2, 7"; each once."""
    values = list(dict.fromkeys(values))
    whole = all(isinstance(one, int) for one in values)
    if whole and len(values) > 2 and values == list(range(values[0], values[0] + len(values))):
        return f"{values[0]}..{values[-1]}"
    return ", ".join(map(str, values))


def _names(over: Sequence[str]) -> str:
    return " × ".join(PLURAL[name] for name in over)


def _have(found: Sequence[tuple[Member, xr.Dataset]]) -> str:
    """What there is to pool instead."""
    known = [name for name in POOLS if name in found[0][0]]
    one = found[0][1]
    if "energy_sample" in one or "probability" in one:
        known.append("sample")
    if len(np.unique(one["batch"].values)) > 1:
        known.append("batch")
    return f"the trace has {', '.join(known) or 'one relaxation'}"


def _batches(trace: xr.Dataset) -> list[tuple[Member, xr.Dataset]]:
    """The complete batches of a lane, each with its rows."""
    number, t, T = (trace[name].values for name in ("batch", "t", "T"))
    found = []
    for batch in np.unique(number):
        rows = np.flatnonzero(number == batch)
        if t[rows[0]] == 0 and t[rows[-1]] >= T[rows[-1]]:
            found.append(({"batch": int(batch)}, trace.isel(step=rows)))
    return found


def _samples(trace: xr.Dataset) -> list[tuple[Member, xr.Dataset]]:
    """Each sample of a batch, with what is recorded of single samples; the batch's means are gone.

    A cost is recorded of the batch alone: where it is not zero, F of a sample is not known.
    """
    if len(np.unique(trace["batch"].values)) > 1:
        raise ValueError("over: sample; of one batch, this trace has several")
    known = [name for name in OF_SAMPLES if name in trace]
    known += [str(name) for name in trace.data_vars if str(name).endswith("_mse")]
    if not known:
        raise ValueError("over: sample; a trace recorded at level full")
    also = [name for name in ("precision", "floor", "cost") if name in trace]
    found = []
    for k in range(trace.sizes["sample"]):
        one = trace[[*known, *also]].isel(sample=[k])
        if "energy_sample" in one:
            energy = one["energy_sample"].isel(sample=0).transpose("step", "layer")
            if np.isnan(energy).all():  # a smaller batch has fewer samples
                continue
            one["energy"] = energy
        if "cost" in one:
            one["cost"] = one["cost"].where(one["cost"] == 0)
        found.append(({"sample": k}, one))
    return found


def _rows(found: xr.Dataset) -> int:
    return max(found.sizes.get("step", 0), found.sizes.get("frame", 0))


def _padded(values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    made = np.full(shape, np.nan)
    made[tuple(map(slice, values.shape))] = values
    return made


def _mean(values: NDArray[Any]) -> NDArray[Any]:
    """Over the first axis; nan where half or fewer are numbers."""
    return band(values, MEAN)[0]
