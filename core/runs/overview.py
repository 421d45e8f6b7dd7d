"""How is a long run seen whole? By blocks of rows: the least, mean and largest energy of each."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 256
"""Most rows of a block when they are stored."""

PREFIX = "block_"


def blocks(
    step: NDArray[Any], batch: NDArray[Any], energy: NDArray[Any]
) -> dict[str, NDArray[Any]]:
    """Blocks of the rows of one flush.

    Args:
        step: numbers of the rows, (R,).
        batch: number of each row's batch, (R,).
        energy: (R, L), nat.

    Returns: by name, with the prefix of blocks: rows in each, first step and batch, (n,); least,
        mean and largest energy of each layer, (n, L), nan where none is finite.
    """
    begins = np.arange(0, len(step), BLOCK)
    finite = np.where(np.isfinite(energy), energy, np.nan).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a block without a finite number
        found = {
            "least": np.fmin.reduceat(finite, begins),
            "largest": np.fmax.reduceat(finite, begins),
            "mean": np.stack([np.nanmean(finite[a : a + BLOCK], axis=0) for a in begins]),
        }
    found |= {
        "rows": np.diff(begins, append=len(step)),
        "step": step[begins],
        "batch": batch[begins],
    }
    return {PREFIX + name: values for name, values in found.items()}


def is_block(name: str) -> bool:
    """Whether an array of a part's head is about its blocks."""
    return name.startswith(PREFIX)


def joined(held: Mapping[str, NDArray[Any]], width: int) -> dict[str, NDArray[Any]]:
    """At most so many blocks, each of equally many that were stored.

    Args:
        held: blocks in order, as `blocks` gives them, without the prefix.
        width: most that are wanted.
    """
    n = len(held["rows"])
    begins = np.unique(np.linspace(0, n, min(width, n), endpoint=False).astype(int))
    weight = held["rows"].astype(float)[:, None]
    there = np.isfinite(held["mean"])
    counted = np.add.reduceat(np.where(there, weight, 0.0), begins)
    total = np.add.reduceat(np.where(there, weight * np.nan_to_num(held["mean"]), 0.0), begins)
    mean = np.divide(total, counted, out=np.full(total.shape, np.nan), where=counted > 0)
    return {
        "least": np.fmin.reduceat(held["least"], begins),
        "mean": mean,
        "largest": np.fmax.reduceat(held["largest"], begins),
        "rows": np.add.reduceat(held["rows"], begins),
        "step": held["step"][begins],
        "batch": held["batch"][begins],
    }
