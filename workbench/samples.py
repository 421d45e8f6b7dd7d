"""Which samples hold the energy? Each sample's energy in each layer at one row, put in an order."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.catalogue import BadInput
from workbench import measures

BATCH, CLASS, ENERGY = "as in the batch", "by class", "by energy"

ORDERS = (BATCH, CLASS, ENERGY)
"""In which samples are put beside each other."""

WORST = 6
"""Samples that are listed."""


@dataclass(frozen=True, eq=False)
class Samples:
    """The samples of a batch at one row.

    Args:
        row: of the lane.
        t: steps taken in the phase.
        batch: its number.
        energy: of each layer and sample, (L, B), nat; nan where rounding alone can make it.
        total: bare energy of each sample, (B,), nat.
        labels: class of each sample, (B,), -1 where it is not known.
        predicted: class that the prediction of the output favours, (B,), -1 where there is none.
        names: of the layers.
    """

    row: int
    t: int
    batch: int
    energy: NDArray[np.float64]
    total: NDArray[np.float64]
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    names: tuple[str, ...]

    def order(self, wanted: str) -> NDArray[np.int64]:
        """Numbers of the samples in an order; those of a class stay as they are in the batch."""
        if wanted == CLASS:
            return np.argsort(self.labels, kind="stable")
        if wanted == ENERGY:
            return np.argsort(-np.nan_to_num(self.total), kind="stable")
        return np.arange(len(self.labels))

    @property
    def worst(self) -> NDArray[np.int64]:
        """Numbers of the samples with the most energy."""
        return self.order(ENERGY)[:WORST]

    @property
    def spread(self) -> float:
        """Decades between the largest and the smallest total of a sample; nan without either."""
        found = self.total[self.total > 0]
        return float(np.log10(found.max() / found.min())) if len(found) > 1 else float("nan")


def at(trace: Any, row: int) -> Samples:
    """The samples at the recorded row nearest to this one.

    Args:
        trace: of a lane.
        row: its number.

    Raises:
        BadInput: if the energies of samples were not recorded.
    """
    held = trace.row(row)
    if held is None or "energy_sample" not in held:
        raise BadInput("energy_sample: not recorded; record at level full")
    rows = {name: np.asarray(values)[None] for name, values in held.items()}
    raw = np.asarray(held["energy_sample"], dtype=float)
    floor = trace.floors(rows)[0]
    reached = measures.reached_of(raw, floor[:, None])
    batch = int(held["batch"])
    known = trace.batches.get(batch)
    labels = np.full(raw.shape[1], -1) if known is None else np.asarray(known.labels)
    predicted = np.full(raw.shape[1], -1)
    if "probability" in held and np.isfinite(held["probability"]).all():
        predicted = np.asarray(held["probability"]).argmax(1)
    return Samples(
        row=int(held["step"]),
        t=int(held["t"]),
        batch=batch,
        energy=np.where(reached, raw, np.nan),
        total=raw.sum(0),
        labels=labels.astype(np.int64),
        predicted=predicted.astype(np.int64),
        names=tuple(trace.names[i] for i in trace.layers),
    )


def borders(labels: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """Where classes begin and end among samples that are sorted by them: class, first, end."""
    cuts = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
    return [(int(labels[a]), a, b) for a, b in pairwise(cuts) if b > a]
