"""What does it cost to store rows? Flush after flush of any numbers, alone or beside a reader.

    python -m benchmarks.appended PATH

reads a run while it is written: what is new, `BEAT` after `BEAT`, until the run has ended.
"""

import subprocess
import sys
import time
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np

from benchmarks import opened
from core.runs import Run, Writer

BEAT = 0.25
"""Seconds between two looks of the reader."""

STORED = 16
"""Different chunks that are stored again and again under new numbers."""


class Appended:
    """So many flushes into a run of its own."""

    def __init__(
        self, folder: Path, layers: int, flushes: int, *, read: bool = False, rows: int = 128
    ) -> None:
        """Choose.

        Args:
            folder: in which the run is made, and deleted.
            layers: of each row.
            flushes: how many.
            read: whether another process reads what is new meanwhile.
            rows: of each flush.
        """
        beside = ", a reader beside it" if read else ""
        self.label = f"{layers} layers{beside}"
        self.layers, self.flushes, self.read, self.rows = layers, flushes, read, rows
        self.path = folder / f"appended-{layers}-{int(read)}"
        rng = np.random.default_rng(0)
        self.held = [opened.chunk(0, rows, layers, rng) for _ in range(STORED)]
        self.found: list[dict[str, Any]] = []

    def time(self) -> float:
        """Seconds of all flushes; what each took is added to `found`, as a summary."""
        rmtree(self.path, ignore_errors=True)
        reader = None
        seconds = np.empty(self.flushes)
        with Writer(self.path) as writer:
            lane = writer.lane(opened.layout(self.layers))
            if self.read:
                reader = subprocess.Popen(
                    [sys.executable, "-m", "benchmarks.appended", str(self.path)],
                    cwd=opened.ROOT,
                    stdout=subprocess.PIPE,
                    text=True,
                )
                assert reader.stdout is not None
                reader.stdout.readline()  # it has opened the run
            for k in range(self.flushes):
                made = self.held[k % STORED]
                step = np.arange(k * self.rows, (k + 1) * self.rows)
                made.rows |= {"step": step, "batch": step // (opened.T + 1)}
                begun = time.perf_counter()
                writer.append(lane, made)
                seconds[k] = time.perf_counter() - begun
        seen = None
        if reader is not None:
            seen = int(reader.communicate(timeout=120)[0])
            assert seen == self.flushes * self.rows, f"the reader saw {seen} rows"
        rmtree(self.path, ignore_errors=True)
        self.found.append(
            {
                "p50": float(np.percentile(seconds, 50)),
                "p99": float(np.percentile(seconds, 99)),
                "max": float(seconds.max()),
                "rows_per_second": self.flushes * self.rows / seconds.sum(),
                "read": seen,
            }
        )
        return float(seconds.sum())


def follow(path: Path) -> int:
    """Read a run until it has ended; returns the rows that were seen."""
    run = Run(path)
    print("reading", flush=True)
    mark = seen = 0
    while True:
        live = run.state == "live"
        run.refresh()
        for at, chunk in run.chunks(after=mark):
            mark, seen = at, seen + chunk.count
        if not live:
            return seen
        time.sleep(BEAT)


if __name__ == "__main__":
    print(follow(Path(sys.argv[1])))
