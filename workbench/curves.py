"""What is drawn of a lane's rows? Plain arrays, with nan wherever there is no value to draw."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workbench import measures

if TYPE_CHECKING:
    from core.trace import Trace

COMPARED = ("alignment", "update_ratio", "agreement", "prediction_drift")
"""Variables of the trace, of layers, of which the page draws one at a time."""

LOGARITHMIC = ("energy", "total", "residual", "error", "precision")
"""What is drawn by its log10."""

Rows = NDArray[Any]

Gaps = tuple[tuple[int, int], ...]
"""First and last number of rows that should be there and are not."""


@dataclass(frozen=True)
class Curves:
    """One lane's rows as they are drawn; n rows, L layers, cells without a value are nan.

    Args:
        step: row numbers, (n,).
        energy: of the layers that are reached, (n, L), nat.
        raw: of all layers, (n, L), nat.
        reached: which layers stand above their rounding floor, (n, L).
        floor: energy that rounding alone can make, (n, L), nat.
        eps: of the dtype that rounds.
        total: F, weighted by precision, (n,), nat.
        residual: RMS of dF/dh, (n,).
        imbalance: decades between the largest and smallest reached energy, (n,).
        error: RMS error of the layers that are reached, (n, L).
        alignment: cosine to the backprop update, (n, L); empty where it is not recorded.
        update_ratio: norm of the update by that of backprop's, as `alignment`.
        agreement: share of weights that move to the side to which backprop does, as `alignment`.
        prediction_drift: RMS of how far predictions have moved since t = 0, (n, L).
        precision: as applied, (n, L).
        t: step within the phase, (n,).
        batch: number of the batch, (n,).
        phase: its name, (n,).
        gaps: rows that were lost.
        names: of the layers, (L,).
    """

    step: Rows
    energy: Rows
    raw: Rows
    reached: Rows
    floor: Rows
    eps: float
    total: Rows
    residual: Rows
    imbalance: Rows
    error: Rows
    alignment: Rows
    update_ratio: Rows
    agreement: Rows
    prediction_drift: Rows
    precision: Rows
    t: Rows
    batch: Rows
    phase: Rows
    gaps: Gaps = ()
    names: tuple[str, ...] = ()

    @property
    def noise(self) -> Rows:
        """Which energies are not zero and yet not above their floor, (n, L)."""
        return measures.noise_of(self.raw, self.reached)

    @cached_property
    def logs(self) -> dict[str, Rows]:
        """log10 of the `LOGARITHMIC` by name, and of "bare", the sum of raw energies."""
        drawn = {name: getattr(self, name) for name in LOGARITHMIC}
        return {name: logarithm(one) for name, one in (drawn | {"bare": self.raw.sum(1)}).items()}


def curves(trace: "Trace", rows: dict[str, Rows], per: str = "layer", gaps: Gaps = ()) -> Curves:
    """What is drawn of some rows of a trace.

    Args:
        trace: whose layers they are of.
        rows: as `Trace.tail` gives them; what was not recorded is absent.
        per: "layer" or "unit": what the imbalance compares.
        gaps: rows that were lost, of the whole lane.
    """
    sizes = np.array(trace.sizes, dtype=float)
    layer_sizes = np.where(sizes > 0, sizes, np.nan)[trace.layers]  # 0 stands for not known
    shape = (len(rows["step"]), len(layer_sizes))
    energy = rows["energy"].astype(float) if "energy" in rows else np.full(shape, np.nan)
    precision = rows.get("precision", np.full(shape, np.nan))
    floor = trace.floors(rows)
    reached = measures.reached_of(energy, floor)
    total, _ = measures.total_energy_of(energy, precision, rows.get("cost", 0.0))
    compared = energy / layer_sizes if per == "unit" else energy
    error = _error(trace, rows, energy, layer_sizes)
    return Curves(
        step=rows["step"],
        energy=np.where(reached, energy, np.nan),
        raw=energy,
        reached=reached,
        floor=floor,
        eps=trace.eps,
        total=total,
        residual=_residual(rows, sizes),
        imbalance=measures.imbalance_of(compared, reached),
        error=np.where(reached, error, np.nan) if "energy" in rows else error,
        **{name: rows.get(name, np.zeros((shape[0], 0))) for name in COMPARED},
        precision=precision,
        t=rows["t"],
        batch=rows["batch"],
        phase=rows["phase"],
        names=tuple(trace.names[i] for i in trace.layers),
        gaps=tuple(g for g in gaps if g[1] > rows["step"][0] and g[0] < rows["step"][-1]),
    )


def logarithm(values: Any) -> NDArray[np.float32]:
    """log10, nan where there is nothing to take it of."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log10(np.asarray(values, dtype=float))
    return np.where(np.isfinite(found), found, np.nan).astype(np.float32)


def _residual(rows: dict[str, Rows], sizes: Rows) -> Rows:
    """RMS of dF/dh; a mean over units needs their number."""
    if "force" not in rows:
        return np.full(len(rows["step"]), np.nan)
    return measures.residual_of_rows(rows["force"], sizes, rows["batch"])


def _error(trace: "Trace", rows: dict[str, Rows], energy: Rows, sizes: Rows) -> Rows:
    """By the energy where that is half a squared error of known size, else as recorded."""
    exact = np.sqrt(2 * energy / sizes)
    follows = np.array(trace.quadratic) & np.isfinite(sizes) & ("energy" in rows)
    return np.where(follows, exact, rows.get("error", np.nan))
