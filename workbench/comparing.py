"""Where do lanes differ? Rows put side by side, differences, the step where two part, bands.

Lanes are compared at rows of equal number, never between rows. Energies, and everything else that
spans decades, are compared as log10 A/B. A layer that only one of two has reached has no such
ratio: it is marked, and what is known of it, that B is at most its rounding floor, gives a lower
bound of the ratio.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from core.catalogue import BadInput
from workbench import measures

Rows = NDArray[np.float64]

BOTH, ONLY_A, ONLY_B, NEITHER = 0, 1, 2, 3
"""Which of two lanes has a value at a row and layer."""


@dataclass(frozen=True)
class Quantity:
    """Something that every row has for each layer or state.

    Args:
        name: of its variable.
        label: what it is called.
        unit: of its values, empty for a pure number.
        over: "layer" or "state".
        log: whether it spans decades.
    """

    name: str
    label: str
    unit: str
    over: str = "layer"
    log: bool = True

    @property
    def drawn(self) -> str:
        """Its label with the unit of what is drawn."""
        unit = f" ({self.unit})" if self.unit else ""
        return f"log₁₀ {self.label}{unit}" if self.log else f"{self.label}{unit}"

    @property
    def difference(self) -> str:
        """What a difference of it is called, with its unit."""
        return f"log₁₀ {self.label} A/B (decades)" if self.log else f"{self.label} A − B"


QUANTITIES = {
    one.name: one
    for one in (
        Quantity("energy", "energy E_ℓ", "nat"),
        Quantity("error", "RMS error", ""),
        Quantity("precision", "precision Π_ℓ", ""),
        Quantity("prediction_drift", "drift of predictions", ""),
        Quantity("force", "RMS force", "", "state"),
        Quantity("speed", "RMS speed", "", "state"),
        Quantity("activity", "RMS activity", "", "state"),
        Quantity("alignment", "cosine to backprop", "", log=False),
        Quantity("update_ratio", "norm by backprop's", ""),
        Quantity("agreement", "signs as backprop's", "", log=False),
    )
}
"""What a map may show."""

CURVES = {
    "F": ("total energy F", "nat", True),
    "E": ("bare energy E", "nat", True),
    "residual": ("residual, RMS of dF/dh", "", True),
    "imbalance": ("imbalance", "decades", False),
    "effective_depth": ("effective depth", "layers", False),
    "reached_count": ("layers reached", "", False),
}
"""What is one number a row: its label, unit, and whether it spans decades."""

NEEDS = {
    "F": ("energy", "precision"),
    "E": ("energy",),
    "residual": ("force",),
    "imbalance": ("energy",),
    "effective_depth": ("energy",),
    "reached_count": ("energy",),
}
"""The variables that a curve is made of."""

OF_SAMPLES = ("F", "E", "imbalance", "effective_depth")
"""Curves that can be drawn of single samples."""


def absent(trace: xr.Dataset, name: str) -> str:
    """Why a quantity or curve cannot be drawn of a lane; "" where it can."""
    missing = [one for one in NEEDS.get(name, (name,)) if one not in trace]
    if missing:
        return f"not logged: {', '.join(missing)}"
    return "" if trace.sizes.get("step") else "no rows yet"


# Rows side by side -------------------------------------------------------------------------------


def aligned(lanes: Sequence[xr.Dataset]) -> list[xr.Dataset]:
    """The lanes at the steps that all of them have."""
    if not lanes:
        return []
    common = lanes[0]["step"].values
    for one in lanes[1:]:
        common = np.intersect1d(common, one["step"].values)
    return [one.isel(step=np.searchsorted(one["step"].values, common)) for one in lanes]


def out_of_step(a: xr.Dataset, b: xr.Dataset) -> int | None:
    """The first common step at which the lanes are not at the same t of the same batch."""
    a, b = aligned([a, b])
    differs = np.zeros(a.sizes["step"], bool)
    for name in ("batch", "phase", "t"):
        if name in a.coords and name in b.coords:
            differs |= a[name].values != b[name].values
    found = np.flatnonzero(differs)
    return int(a["step"].values[found[0]]) if len(found) else None


def values(trace: xr.Dataset, name: str) -> Rows:
    """A quantity as it is drawn, (rows, layers or states): log10 where it spans decades.

    Args:
        trace: one lane.
        name: one of `QUANTITIES`.

    Returns:
        With nan where there is nothing to draw: a layer that is not reached, a speed of zero.
    """
    quantity = QUANTITIES[name]
    held = trace[name].transpose("step", quantity.over).values.astype(float)
    return _logged(held, _there(trace, name, held)) if quantity.log else held


def _there(trace: xr.Dataset, name: str, held: Rows) -> NDArray[np.bool_]:
    """Where a quantity has a logarithm that means something."""
    there = np.isfinite(held) & (held > 0)
    if name in ("energy", "error") and "energy" in trace:
        there &= measures.reached(trace).values
    return there


def _logged(held: Rows, there: NDArray[np.bool_]) -> Rows:
    return np.log10(held, out=np.full(held.shape, np.nan), where=there)


def curve(trace: xr.Dataset, name: str) -> Rows:
    """A curve in its own unit, (rows,); nan where it has no value."""
    if name in ("F", "E"):
        if name == "E":
            return trace["energy"].transpose("step", "layer").values.astype(float).sum(1)
        return measures.total_energy(trace)["F"].values
    made = {
        "residual": measures.residual,
        "imbalance": measures.imbalance,
        "effective_depth": measures.effective_depth,
        "reached_count": measures.reached_count,
    }[name]
    return made(trace).values.astype(float)


def sample_curves(trace: xr.Dataset, name: str) -> Rows:
    """A curve of each sample of the batch, (samples, rows).

    Args:
        trace: one lane, with `energy_sample`.
        name: one of `OF_SAMPLES`. F is without nudge and decay, which are known for the batch only.

    Raises:
        BadInput: for a lane that has no energies of samples, or another curve.
    """
    if "energy_sample" not in trace:
        raise BadInput("spread: samples; this lane has logged no energies of single samples")
    if name not in OF_SAMPLES:
        raise BadInput(f"spread: {name} of samples; one of {', '.join(OF_SAMPLES)}")
    energy = trace["energy_sample"].transpose("sample", "step", "layer").values.astype(float)
    if name == "E":
        return energy.sum(-1)
    if name == "F":
        if "precision" not in trace:
            raise BadInput("spread: F of samples; this lane has logged no precision")
        return (energy * trace["precision"].transpose("step", "layer").values).sum(-1)
    if name == "imbalance":
        reached = measures.reached_of(energy, measures.floor(trace).values)
        return measures.imbalance_of(energy, reached)
    return measures.effective_depth_of(measures.energy_share_of(energy))


# Differences -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """What A has more than B at common rows.

    Args:
        step: of the rows, (n,).
        layer: numbers of the layers or states, (L,).
        values: A - B, or log10 A/B, (n, L); nan where not both have a value.
        there: `BOTH`, `ONLY_A`, `ONLY_B` or `NEITHER`, (n, L).
        bound: what the difference is at least where only one is there, with its sign, (n, L).
        log: whether it is in decades.
    """

    step: NDArray[np.int64]
    layer: NDArray[np.int64]
    values: Rows
    there: NDArray[np.int8]
    bound: Rows
    log: bool

    @property
    def reach(self) -> float:
        """The largest finite difference, for limits about zero; 0 where there is none."""
        finite = np.abs(self.values[np.isfinite(self.values)])
        return float(finite.max()) if finite.size else 0.0


def difference(a: xr.Dataset, b: xr.Dataset, name: str) -> Difference:
    """A - B of a quantity, in decades where it spans them.

    Raises:
        BadInput: where a lane has no such quantity, or they have not as many layers.
    """
    for letter, lane in (("A", a), ("B", b)):
        if why := absent(lane, name):
            raise BadInput(f"{letter}: {why}")
    quantity = QUANTITIES[name]
    over = quantity.over
    if a.sizes[over] != b.sizes[over]:
        raise BadInput(
            f"{over}s: {a.sizes[over]} in A, {b.sizes[over]} in B; maps of equal depth can be "
            "subtracted, others be compared by their curves and by the share of depth"
        )
    a, b = aligned([a, b])
    values_a, values_b = values(a, name), values(b, name)
    if not quantity.log:
        gone_a, gone_b = ~np.isfinite(values_a), ~np.isfinite(values_b)
        bound = np.full(values_a.shape, np.nan)
    else:
        gone_a, gone_b = np.isnan(values_a), np.isnan(values_b)
        bound = _bound(values_a, _floor(b, name)) * 1.0
        bound = np.where(gone_a, -_bound(values_b, _floor(a, name)), bound)
        bound = np.where(gone_a == gone_b, np.nan, bound)
    there = np.where(gone_a, np.where(gone_b, NEITHER, ONLY_B), np.where(gone_b, ONLY_A, BOTH))
    return Difference(
        a["step"].values,
        a[over].values,
        values_a - values_b,
        there.astype(np.int8),
        bound,
        quantity.log,
    )


def _floor(trace: xr.Dataset, name: str) -> Rows | float:
    """What a quantity that is not there is at most: the rounding floor of energies and errors."""
    if name not in ("energy", "error") or "energy" not in trace:
        return 0.0
    floor = measures.floor(trace).values
    if name == "energy":
        return floor
    size = trace["layer_size"].values
    return np.sqrt(np.divide(2 * floor, size, out=np.zeros(floor.shape), where=size > 0))


def _bound(logs: Rows, floor: ArrayLike) -> Rows:
    """Decades of a value above a floor; infinite above zero."""
    floor = np.broadcast_to(np.asarray(floor, float), logs.shape)
    below = np.log10(floor, out=np.full(logs.shape, -np.inf), where=floor > 0)
    return np.maximum(logs - below, 0.0)


@dataclass(frozen=True)
class Parting:
    """Where two lanes first differ by more than an amount.

    Args:
        step: of the row.
        layer: that differs most there.
        by: the difference, with its sign; a lower bound where only one is there.
        there: `BOTH`, or which of the two has reached the layer.
    """

    step: int
    layer: int
    by: float
    there: int


def parting(found: Difference, amount: float) -> Parting | None:
    """The first row at which |A - B| exceeds an amount in any layer; None where it never does.

    Where only one lane has reached a layer the lower bound of the difference counts, so that
    layers about the rounding floor do not part lanes by themselves.
    """
    size = np.abs(np.where(found.there == BOTH, found.values, found.bound))
    size = np.where(np.isnan(size), -np.inf, size)
    rows = np.flatnonzero((size > amount).any(1))
    if not len(rows):
        return None
    row = int(rows[0])
    k = int(size[row].argmax())
    both = found.there[row, k] == BOTH
    by = float(found.values[row, k] if both else found.bound[row, k])
    return Parting(int(found.step[row]), int(found.layer[k]), by, int(found.there[row, k]))


# Bands -------------------------------------------------------------------------------------------

MEAN, MEDIAN = "mean ± sd", "median and quartiles"
"""How several are drawn as one."""


@dataclass(frozen=True)
class Band:
    """Several curves as one.

    Args:
        centre: mean or median, of the shape of a curve; nan where there is none.
        low: mean - sd, or the first quartile; nan where fewer than two have a value.
        high: mean + sd, or the third quartile.
        n: how many have a value there.
    """

    centre: Rows
    low: Rows
    high: Rows
    n: NDArray[np.int64]

    @property
    def count(self) -> str:
        """How many there are, in words: "n = 5", or "n = 3 to 5" where some have no value."""
        held = self.n[self.n > 0]
        if not held.size:
            return "n = 0"
        low, high = int(held.min()), int(held.max())
        return f"n = {high}" if low == high else f"n = {low} to {high}"


def band(stack: ArrayLike, how: str) -> Band:
    """Centre and spread over the first axis, of what has a value.

    Args:
        stack: curves on the same rows, (n, ...); nan where one has no value.
        how: `MEAN`, with the standard deviation of a sample (n - 1), or `MEDIAN`.

    Raises:
        BadInput: for another `how`.
    """
    if how not in (MEAN, MEDIAN):
        raise BadInput(f"band: {how}; one of {MEAN}, {MEDIAN}")
    held = np.asarray(stack, float)
    there = np.isfinite(held)
    n = there.sum(0)
    several = n >= 2
    if how == MEAN:
        filled = np.where(there, held, 0.0)
        centre = np.divide(filled.sum(0), n, out=np.full(n.shape, np.nan), where=n > 0)
        squared = np.where(there, (held - centre) ** 2, 0.0).sum(0)
        sd = np.sqrt(np.divide(squared, n - 1, out=np.full(n.shape, np.nan), where=several))
        return Band(centre, centre - sd, centre + sd, n)
    quartiles = np.full((3, *n.shape), np.nan)
    some = n > 0
    if some.any():
        quartiles[:, some] = np.nanquantile(
            np.where(there, held, np.nan)[:, some], (0.25, 0.5, 0.75), axis=0
        )
    low, centre, high = quartiles
    return Band(centre, np.where(several, low, np.nan), np.where(several, high, np.nan), n)


def depth_share(depth: ArrayLike) -> Rows:
    """Depth of each layer by that of the deepest, in (0, 1]: an axis for networks of any depth."""
    depth = np.asarray(depth, float)
    return depth / depth.max()
