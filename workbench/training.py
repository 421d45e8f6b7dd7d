"""How does one train from a shell? The run is recorded while it goes on, and can be stopped."""

import argparse
import os
import signal
import sys
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
    from core.ranks import Ranks
    from core.runs import Run

WHAT = """\
Train on a named set and record it as a run: every row of every batch, test accuracy, weights. What
is given here takes the place of the same key of the recipe. While it goes on, the page shows it.
"""

MORE = """\
Ctrl-C, or SIGTERM, ends it between two steps and leaves a run that is closed as interrupted (exit
codes 130 and 143); a second Ctrl-C ends it at once, and the run is readable all the same. A
training that diverges ends there, keeps its rows and exits with 1.

While it goes on, the Runs page and `relaxoscope runs pause|go|stop|change` steer it.

--resume goes on where a training stood when it was stopped, or at the last checkpoint before it was
killed. All choices are the run's; --batches or --epochs may ask for more of them in all. On the
same machine, with as many threads, rows and weights get the bits that they would have had.
Checkpoints take at most a hundredth of the time; the last two are kept, in the run's folder.

Started by torchrun, its ranks train into one run: each relaxes its share of every batch, rank 0
records. Where a rank fails, torchrun's own restarts go on from the last checkpoint.

Example:
  relaxoscope train --recipe r.toml --epochs 5 --out runs/spiking
  torchrun --nproc-per-node 2 --max-restarts 3 -m workbench.cli train --recipe r.toml --out runs/two
  relaxoscope train --resume spiking
  relaxoscope weights spiking --batch 400 --out w.safetensors

"""

OF_THE_RUN = (
    *("network", "weights", "dataset", "recipe", "pretraining", "steps", "seed", "dtype", "device"),
    *("batch_size", "level", "weights_every", "test_every", "align_every", "relaxations"),
)
"""Options that choose what a run to be gone on with has chosen."""


def train(args: argparse.Namespace) -> int:
    """Train and record, or go on with a training."""
    from core import keep_memory
    from core.runs.train import PERIOD
    from workbench.progress import Progress

    begun = time.perf_counter()
    batches, epochs = _count(args, "batches", 1), _count(args, "epochs", 1)
    if batches is not None and epochs is not None:
        raise Refused("--batches and --epochs: give one of them")
    keep = _count(args, "checkpoint_every", 0)
    keep_memory()
    with _together() as ranks, stopping() as asked, Progress() as progress:
        run = (_trained if args.resume is None else _resumed)(
            args,
            ranks,
            batches=batches,
            epochs=epochs,
            checkpoint=PERIOD if keep is None else keep,
            progress=progress if ranks is None or ranks.first else None,
            stop=lambda: bool(asked),
        )
    seconds = time.perf_counter() - begun
    return 0 if run is None else _ended(run, asked, seconds)


@contextmanager
def _together() -> "Iterator[Ranks | None]":
    """The ranks that torchrun has started; None where it has not."""
    from core import ranks

    if not ranks.launched():
        yield None
        return
    with ranks.joined() as found:
        yield found


def _trained(
    args: argparse.Namespace,
    ranks: "Ranks | None",
    *,
    batches: int | None,
    epochs: int | None,
    **more: Any,
) -> "Run | None":
    """The run of a training from its beginning; None in ranks that do not write it."""
    from core import FULL, LEAN
    from core.ranks import restarts
    from core.runs import Run, together
    from core.runs.train import Every, train
    from workbench.relaxing import experiment_of, short_of_memory

    path = Path(args.out).expanduser()
    if ranks is not None and restarts():
        return _gone_on(path, ranks, batches=batches, epochs=epochs, **more)
    level = args.level or LEAN
    if level not in (LEAN, FULL):
        raise Refused(f"level: {near(level, (LEAN, FULL))}")
    if ranks is not None and level != LEAN:
        raise Refused(f"level: {level}; ranks record {LEAN}")
    every = {name: _count(args, f"{name}_every", 0) for name in ("weights", "test", "align")}
    whole = _count(args, "relaxations", 0) or 0
    experiment, _ = experiment_of(args)
    check_device(experiment.device)
    align = every["align"] or 0
    more |= {
        "batches": batches,
        "epochs": 1 if batches is None and epochs is None else epochs,
        "every": Every(every["weights"], every["test"], alignment=align, relaxations=whole),
        "first": _first(args, experiment),
    }
    try:
        if ranks is None:
            return train(experiment, path, level=level, **more)
        together.train(experiment, path, ranks, **more)
        return Run(path) if ranks.first else None
    except (MemoryError, RuntimeError) as failed:
        raise short_of_memory(experiment, failed) from failed


def _resumed(args: argparse.Namespace, ranks: "Ranks | None", **more: Any) -> "Run | None":
    """The run of a training that was gone on with; None in ranks that do not write it."""
    from workbench.running import place

    for name in OF_THE_RUN:
        if getattr(args, name) is not None:
            word = name.replace("_", "-")
            raise Refused(f"--{word} and --resume: the run's own choices are gone on with")
    return _gone_on(place(args.resume, None), ranks, **more)


def _gone_on(path: Path, ranks: "Ranks | None", **more: Any) -> "Run | None":
    from core.runs import Run, together
    from core.runs.train import resume

    def note(line: str) -> None:
        print(f"{path.name}: {line}", file=sys.stderr, flush=True)

    if ranks is None:
        return resume(path, note=note, **more)
    together.resume(path, ranks, note=note, **more)
    return Run(path) if ranks.first else None


def _ended(run: "Run", asked: list[int], seconds: float) -> int:
    """Say what there is, and how it ended."""
    rows, tested = run.batches(), ""
    if "accuracy" in rows:
        known = rows["accuracy"].dropna("batch").values
        tested = f", accuracy {known[0]:.1%} -> {known[-1]:.1%}" if len(known) else ""
    if "top5" in rows and len(known := rows["top5"].dropna("batch").values):
        tested += f", top-5 {known[0]:.1%} -> {known[-1]:.1%}"
    whole = int(rows["seconds"].notnull().sum()) if "seconds" in rows else 0
    print(f"{whole:,} batches, {run.rows():,} rows{tested}, {seconds:.1f} s, {run.path}")
    if "checkpoint" in run.said:
        print(f"{run.name}: no checkpoint ({run.said['checkpoint']})", file=sys.stderr)
    if asked:
        line = f"run: {run.name}; interrupted, {whole:,} batches are kept"
        raise Refused(f"{line}; train --resume {run.path} goes on", 128 + asked[0])
    if run.state == "interrupted":
        line = f"run: {run.name}; stopped as it was asked to, {whole:,} batches are kept"
        raise Refused(f"{line}; train --resume {run.path} goes on", 128 + signal.SIGTERM)
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
