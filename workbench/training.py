"""How does one train from a shell? The run is recorded while it goes on, and can be stopped."""

import argparse
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from workbench.refusals import UNSOUND, Refused, as_number, check_device, near

if TYPE_CHECKING:
    from torch import Tensor

    from core.experiment import Experiment

WHAT = """\
Train on a named set and record it as a run: every row of every batch, test accuracy, weights. What
is given here takes the place of the same key of the recipe. While it goes on, the page shows it.
"""

MORE = """\
Ctrl-C, or SIGTERM, ends it between two steps and leaves a run that is closed as interrupted (exit
codes 130 and 143); a second Ctrl-C ends it at once, and the run is readable all the same. A
training that diverges ends there, keeps its rows and exits with 1.

Example:
  relaxoscope train --recipe r.toml --epochs 5 --out runs/spiking
  relaxoscope weights spiking --batch 400 --out w.safetensors

"""


def train(args: argparse.Namespace) -> int:
    """Train and record."""
    from core import FULL, LEAN, keep_memory
    from core.runs.train import Every
    from core.runs.train import train as trained
    from workbench.progress import Progress
    from workbench.relaxing import experiment_of, short_of_memory

    begun = time.perf_counter()
    if args.level not in (LEAN, FULL):
        raise Refused(f"level: {near(args.level, (LEAN, FULL))}")
    batches, epochs = _count(args, "batches", 1), _count(args, "epochs", 1)
    if batches is not None and epochs is not None:
        raise Refused("--batches and --epochs: give one of them")
    every = {name: _count(args, f"{name}_every", 0) for name in ("weights", "test", "align")}
    experiment, _ = experiment_of(args)
    check_device(experiment.device)
    keep_memory()
    looks = Every(weights=every["weights"], accuracy=every["test"], alignment=every["align"] or 0)
    with stopping() as asked, Progress() as progress:
        try:
            run = trained(
                experiment,
                Path(args.out).expanduser(),
                batches=batches,
                epochs=1 if batches is None and epochs is None else epochs,
                level=args.level,
                every=looks,
                first=_first(args, experiment),
                progress=progress,
                stop=lambda: bool(asked),
            )
        except (MemoryError, RuntimeError) as failed:
            raise short_of_memory(experiment, failed) from failed
    rows, tested = run.batches(), ""
    if "accuracy" in rows:
        known = rows["accuracy"].dropna("batch").values
        tested = f", accuracy {known[0]:.1%} -> {known[-1]:.1%}" if len(known) else ""
    whole = int(rows["seconds"].notnull().sum()) if "seconds" in rows else 0
    seconds = time.perf_counter() - begun
    print(f"{whole:,} batches, {run.rows():,} rows{tested}, {seconds:.1f} s, {run.path}")
    if asked:
        raise Refused(f"run: {run.name}; interrupted, {whole:,} batches are kept", 128 + asked[0])
    if run.state.startswith("diverged"):
        raise Refused(f"{run.state}; the rows up to there are in {run.path}", UNSOUND)
    return 0


@contextmanager
def stopping() -> Iterator[list[int]]:
    """Within, the first SIGINT or SIGTERM only adds its number to the list that this gives.

    The second one ends the process at once, without a clean end: what was stored is stored.
    """
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if asked:
            os._exit(128 + number)
        asked.append(number)

    before = {one: signal.signal(one, note) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _first(args: argparse.Namespace, experiment: "Experiment") -> "dict[str, Tensor] | None":
    """The weights of a file, checked against the network that they are for."""
    if args.weights is None:
        return None
    from workbench import files

    images = experiment.dataset()
    return files.read_weights(args.weights, experiment.build(images.shape, images.classes))


def _count(args: argparse.Namespace, name: str, least: int) -> int | None:
    """A number of batches or epochs, if it is given."""
    given: Any = getattr(args, name)
    if given is None:
        return None
    value = as_number(given)
    if not isinstance(value, int) or not least <= value <= 10**9:
        raise Refused(f"{name.replace('_', '-')}: {given}; an integer {least}..1000000000")
    return value
