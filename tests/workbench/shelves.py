"""Runs with known numbers, without a training: what is in them is chosen by the test."""

from itertools import pairwise

import numpy as np

from core.layout import Layout
from core.recorder import Chunk
from core.runs import Writer


def layout(layers=3):
    """Layers of 16 units with half a squared error each, in single precision."""
    return Layout(
        layers=tuple(range(1, layers + 1)),
        names=tuple(f"h_{k}" for k in range(layers + 1)),
        depths=tuple(range(1, layers + 1)),
        sizes=(16,) * (layers + 1),
        quadratic=(True,) * layers,
        eps=2.0**-23,
    )


def rows(energy, steps, first=0):
    """Rows of whole batches of steps + 1 rows each, from row `first` on."""
    n = first + np.arange(len(energy))
    return {
        "step": n,
        "batch": n // (steps + 1),
        "t": n % (steps + 1),
        "T": np.full(len(n), steps),
        "phase": np.full(len(n), "relax"),
        "recipe_id": np.zeros(len(n), int),
        "energy": np.asarray(energy, np.float32),
    }


def energies(batches, steps, layers=3, seed=0):
    """Energies over nine decades, (rows, layers)."""
    generator = np.random.default_rng(seed)
    shape = (batches * (steps + 1), layers)
    return (10.0 ** generator.uniform(-8, 1, shape)).astype(np.float32)


def record(
    path, energy, steps, *, cuts=(), logged=None, experiment=None, close="finished", **about
):
    """A run with these energies, stored in pieces; its writer.

    Args:
        path: of the run.
        energy: (rows, layers).
        steps: T of each batch.
        cuts: positions between the pieces.
        logged: number of a batch -> what is logged of it.
        experiment: all choices; None for own code.
        close: how it ended; "" where it goes on.
        **about: the whole run.
    """
    writer = Writer(path, experiment=experiment, about=about)
    lane = writer.lane(layout(energy.shape[1]))
    whole = rows(energy, steps)
    edges = [0, *cuts, len(energy)]
    for a, b in pairwise(edges):
        if b > a:
            writer.append(lane, Chunk({name: values[a:b] for name, values in whole.items()}))
    for number, values in (logged or {}).items():
        writer.batch(lane, number, **values)
    if close:
        writer.close(close)
    return writer
