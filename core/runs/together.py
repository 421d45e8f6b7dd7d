"""How do several ranks train into one run? As `core.runs.train` does with one process.

Started by torchrun, each process joins `core.ranks.joined` and calls `train`, or `resume` where it
was started again after a rank had failed.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from core.catalogue import BadInput
from core.experiment import Experiment
from core.pretraining import Progress
from core.ranks import Ranks
from core.recorder import LEAN
from core.runs import shelf
from core.runs.joint import Joint, Silent
from core.runs.looks import Every
from core.runs.resuming import ready
from core.runs.train import PERIOD, check_counts, silent, unasked
from core.runs.writer import FINISHED, Writer


def train(
    experiment: Experiment,
    path: str | Path,
    ranks: Ranks,
    *,
    batches: int | None = None,
    epochs: int | None = None,
    every: Every | None = None,
    first: Mapping[str, Tensor] | None = None,
    checkpoint: float = PERIOD,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
) -> str:
    """Train with other ranks on the experiment's data; rank 0 records it.

    Each rank relaxes its share of a batch alone. Gradients, what the init learns, the rows and the
    ranks' decisions are summed in one exchange a batch, and the moments of each normalising layer
    in one more. The result is that of one process up to rounding: sums are taken in another order.

    Args:
        experiment: all choices, the same in every rank; its batch is the global one.
        path: of the run; of rank 0, which alone looks at it.
        ranks: those that train together.
        batches: how many.
        epochs: how many of them instead.
        every: how often what is looked at beside the rows.
        first: the first weights, of rank 0; by default those that the experiment asks for.
        checkpoint: seconds between two checkpoints, as rank 0 measures them.
        progress: told how far it is.
        stop: asked between two batches; where any rank's says so, the run ends as interrupted.

    Returns: how it ended, the same in every rank.

    Raises:
        BadInput: for choices that ranks cannot share, and whatever `core.runs.train.train` refuses.
        RankLost: if a rank no longer answers.
        Locked, NotWritten: of rank 0, if the run cannot be written.
    """
    check_counts(batches, epochs, checkpoint)
    path = Path(path)
    if ranks.first:
        shelf.check_new(path)
    images = experiment.dataset()
    network = experiment.build(images.shape, images.classes)
    network.ranks = ranks
    course = Joint(experiment, images, network, every or Every(), checkpoint)
    total = course.total(batches, epochs)
    told: Any = {"experiment": experiment.to_dict(), "about": course.about()}
    with _writer(path, ranks, **told) as writer:
        begin = partial(course.begin, first)
        how = course.record(writer, total, begin, progress or silent, stop or unasked)
        writer.close(how)
    return how


def resume(
    path: str | Path,
    ranks: Ranks,
    *,
    batches: int | None = None,
    epochs: int | None = None,
    checkpoint: float = PERIOD,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
    note: Callable[[str], None] | None = None,
) -> str:
    """Go on with a training, whoever has shared it before; rank 0 chooses the checkpoint.

    With as many ranks as before, on the same machines, rows and weights get the bits that they
    would have had.

    Args:
        path: of the run, which rank 0 alone looks at.
        ranks: those that train together.
        batches: how many in all, if more than the run was to have.
        epochs: how many of them in all instead.
        checkpoint: seconds between two checkpoints, as rank 0 measures them.
        progress: told how far it is.
        stop: asked between two batches; where any rank's says so, the run ends as interrupted.
        note: told in a sentence each what was damaged, or is not as it was.

    Returns: how it ended, the same in every rank.

    Raises:
        BadInput, Damaged, Locked, NotWritten: of rank 0, as `core.runs.train.resume`.
        RankLost: if a rank no longer answers.
    """
    check_counts(batches, epochs, checkpoint, needed=False)
    path, found = Path(path), None
    with ranks.after_first() as is_first:
        if is_first:
            found = ready(path)
    held = found and (found.checkpoint, found.experiment.to_dict(), found.again, found.log)
    there, choices, again, log = ranks.told(held)
    experiment, said = Experiment.from_dict(choices), there.said
    if said["level"] != LEAN:
        raise BadInput(f"level: {said['level']}; ranks record {LEAN}: go on with one process")
    images = experiment.dataset()
    network = experiment.build(images.shape, images.classes)
    network.ranks = ranks
    course = Joint(experiment, images, network, Every(**said["every"]), checkpoint)
    total = course.total(batches, epochs, said["total"])
    if said["number"] >= total:
        return FINISHED
    with _writer(path, ranks, resume=True) as writer:
        if found is not None:
            if note is not None:
                for line in found.notes:
                    note(line)
            found.claim(writer)
        go_on = partial(course.go_on, there, again=again, log=log)
        how = course.record(writer, total, go_on, progress or silent, stop or unasked)
        writer.close(how)
    return how


def _writer(path: Path, ranks: Ranks, **told: Any) -> AbstractContextManager[Writer]:
    """The writer of rank 0; that of the others keeps nothing."""
    return Writer(path, **told) if ranks.first else nullcontext(cast(Writer, Silent()))
