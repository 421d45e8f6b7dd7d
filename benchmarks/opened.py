"""How long until a large run is there? Opened, seen whole and read in parts, in a fresh process.

    python -m benchmarks.opened PATH

A fresh process does, in this order, what a person would: opens the run, draws its overview, asks
for what the Runs page shows, and reads some of its rows. It prints seconds and memory as JSON. What
is imported, is imported before.
"""

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import peak
from core.layout import Layout
from core.recorder import Chunk
from core.runs import Run, Writer

ROOT = Path(__file__).resolve().parent.parent

T = 8
"""State updates of each batch; a batch has T + 1 rows."""

FLUSH = 128
"""Rows that are stored at a time: about as many as W1 makes in a second of training."""

SLICE = 1000
"""Rows that are read in the middle."""

BLOCKS = 1000
"""Most blocks of an overview."""


def chunk(first: int, count: int, layers: int, rng: np.random.Generator) -> Chunk:
    """Rows of a lean recording, of arbitrary energies: numbers that cannot be compressed."""
    step = np.arange(first, first + count)
    rows = {
        "step": step,
        "batch": step // (T + 1),
        "t": step % (T + 1),
        "phase": np.full(count, "relax"),
        "recipe_id": np.zeros(count, int),
        "T": np.full(count, T),
        "seconds": 0.005 * step,
        "energy": rng.random((count, layers), np.float32),
        "precision": np.ones((count, layers), np.float32),
        "cost": np.zeros(count, np.float32),
    }
    return Chunk(rows)


def layout(layers: int) -> Layout:
    """So many layers of 128 units each."""
    states = tuple(range(layers + 1))
    return Layout(
        layers=states[1:],
        names=tuple(f"h_{k}" for k in states),
        depths=states[1:],
        sizes=(128,) * (layers + 1),
        quadratic=(True,) * layers,
        eps=float(np.finfo(np.float32).eps),
    )


def make(path: Path, rows: int, layers: int) -> int:
    """A run of so many rows; returns the bytes of their numbers."""
    rng = np.random.default_rng(0)
    size = 0
    with Writer(path) as writer:
        lane = writer.lane(layout(layers))
        writer.recipes(lane, [{"precision": {"name": "Identity"}, "steps": T}])
        for first in range(0, rows, FLUSH):
            made = chunk(first, min(FLUSH, rows - first), layers, rng)
            size += sum(made.rows[name].nbytes for name in ("energy", "precision", "cost"))
            writer.append(lane, made)
    return size


class Opened:
    """One fresh process that opens a run, whose files are in memory or have to be read."""

    def __init__(self, path: Path, *, cached: bool) -> None:
        """Choose.

        Args:
            path: of the run.
            cached: whether the system holds its files in memory.
        """
        self.label = "in memory" if cached else "on disk"
        self.path, self.cached = path, cached
        self.found: list[dict[str, Any]] = []

    def time(self) -> float:
        """Seconds of all that is done; each by itself is added to `found`."""
        if not self.cached:
            forget(self.path)
        command = [sys.executable, "-m", "benchmarks.opened", str(self.path)]
        said = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        self.found.append(json.loads(said.stdout))
        return sum(self.found[-1]["seconds"].values())


def forget(path: Path) -> None:
    """Ask the system to hold no file of a run in memory."""
    for one in path.glob("rows.sqlite*"):
        file = os.open(one, os.O_RDONLY)
        try:
            os.fsync(file)  # what is not yet written stays in memory
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(file)


CAN_FORGET = hasattr(os, "posix_fadvise")
"""Whether this system can be asked."""


class Looks:
    """What is done one after the other, and what each took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.peaks: dict[str, int] = {"before": peak()}

    def timed(self, name: str, act: Callable[[], Any]) -> Any:
        begun = time.perf_counter()
        found = act()
        self.seconds[name] = time.perf_counter() - begun
        self.peaks[name] = peak()
        return found


def look(path: Path) -> dict[str, Any]:
    """All looks at a run: seconds of each, and the most bytes of memory so far after each."""
    from matplotlib.figure import Figure

    from workbench.runs_course import Follower

    looks = Looks()

    def opened() -> tuple[Any, Any]:
        run = Run(path)
        return run, run.dataset()

    def drawn(seen: Any) -> None:
        figure = Figure(figsize=(10, 4))
        axes = figure.subplots()
        image = axes.imshow(
            np.log10(seen["energy_mean"].values.T),
            aspect="auto",
            origin="lower",
            interpolation="nearest",
            extent=(0, float(seen["step"][-1]), 0.5, seen.sizes["layer"] + 0.5),
        )
        figure.colorbar(image, label="log10 of energy (nat)")
        axes.set(xlabel="row", ylabel="layer")
        figure.savefig(io.BytesIO(), format="png")  # by Agg

    run, data = looks.timed("open", opened)
    seen = looks.timed("overview", lambda: run.overview(width=BLOCKS))
    looks.timed("heat map", lambda: drawn(seen))
    middle, layer = data.sizes["step"] // 2, data.sizes["layer"] // 2
    part = {"step": slice(middle, middle + SLICE)}
    looks.timed("slice", lambda: data.isel(part).load())
    ends = {"step": slice(T, None, T + 1)}
    looks.timed("chosen steps", lambda: data["energy"].isel(ends).values)
    looks.timed("one layer", lambda: data["energy"].isel(layer=layer).values)
    courses = Follower(run, run.lane().number).courses()
    looks.timed("page, first", lambda: next(courses))
    looks.timed("page, rest", lambda: [one.read for one in courses])
    return {"seconds": looks.seconds, "peaks": looks.peaks}


if __name__ == "__main__":
    json.dump(look(Path(sys.argv[1])), sys.stdout)
