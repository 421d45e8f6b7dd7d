"""How did one batch of a run relax? The map of its layers over its own steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.runs_course import Whole

MOST = 300
"""Batches among which one is chosen; of more, evenly spread ones, the newest among them."""

QUANTITIES = {"energy": "energy of each layer (nat)", "error": "RMS error of each layer"}
"""What is drawn of a batch, with its title."""


@dataclass(frozen=True, eq=False)
class Relaxed:
    """One batch from its first to its last step.

    Args:
        batch: its number.
        what: one of `QUANTITIES`.
        values: (rows, L), nan where there is none.
    """

    batch: int
    what: str
    values: NDArray[Any]

    @property
    def whole(self) -> Whole:
        """Its rows as the map takes them, each by itself."""
        count = np.ones(len(self.values), int)
        return Whole(np.arange(len(self.values)), count, self.values, self.values, self.values)

    @property
    def title(self) -> str:
        """Of the map."""
        return f"{QUANTITIES[self.what]} in batch {self.batch:,}, step by step"


def offered(batches: Sequence[int]) -> tuple[int, ...]:
    """The batches among which one is chosen."""
    if len(batches) <= MOST:
        return tuple(batches)
    at = np.unique(np.linspace(0, len(batches) - 1, MOST).round().astype(int))
    return tuple(batches[k] for k in at)


def relaxed(run: Any, lane: int, batch: int, what: str) -> Relaxed:
    """A batch of a run.

    Raises:
        BadInput: if there is none of that number.
    """
    data = run.relaxation(batch, lane)
    if what not in data:
        return Relaxed(batch, what, np.full((data.sizes["step"], data.sizes["layer"]), np.nan))
    values = data[what].transpose("step", "layer").values
    return Relaxed(batch, what, np.where(np.isfinite(values), values, np.nan))
