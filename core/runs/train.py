"""How is a training recorded? Batch after batch relaxes and learns, and a run holds what happened.

Rows stay on the device until a flush, once a second; nothing is read back in a step. The run holds
what the weights of some batches were, so that a relaxation can be watched from there, and where the
training stood a while ago, so that one that was interrupted can be gone on with.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from torch import Tensor

from core.catalogue import BadInput
from core.experiment import Experiment
from core.pretraining import Progress
from core.recorder import LEAN
from core.recording import fits_alignment
from core.runs import shelf, standing
from core.runs.course import Course
from core.runs.looks import Every
from core.runs.resuming import ready
from core.runs.run import Run
from core.runs.writer import Writer
from core.training import Training

PERIOD = 60.0
"""Seconds between two checkpoints; in the midst of a batch twice as long, where they are larger."""


def train(
    experiment: Experiment,
    path: str | Path,
    *,
    batches: int | None = None,
    epochs: int | None = None,
    level: str = LEAN,
    every: Every | None = None,
    first: Mapping[str, Tensor] | None = None,
    checkpoint: float = PERIOD,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
) -> Run:
    """Train on the experiment's data and record it; returns the run, closed.

    Args:
        experiment: all choices.
        path: of the run, which must not exist.
        batches: how many.
        epochs: how many of them instead.
        level: `core.LEAN`, energies only, or `core.FULL`.
        every: how often what is looked at beside the rows.
        first: the first weights by the keys of the network's `state_dict()`; by default those that
            the experiment asks for.
        checkpoint: seconds between two checkpoints, from which `resume` goes on; 0 for one at the
            beginning, one at the end and one where it is stopped.
        progress: told how far it is.
        stop: asked between two steps; where it says so, the run ends as interrupted.

    Raises:
        BadInput: for an illegal name, a run that exists, or choices that do not fit the data.
        Locked, NotWritten: if the run cannot be written; what was stored is readable.
    """
    check_counts(batches, epochs, checkpoint)
    path = Path(path)
    shelf.check_new(path)
    images = experiment.dataset()
    network = experiment.build(images.shape, images.classes)
    course = Course(experiment, images, network, level, every or Every(), checkpoint)
    total = course.total(batches, epochs)
    with Writer(path, experiment=experiment.to_dict(), about=course.about()) as writer:
        begin = partial(course.begin, first)
        writer.close(course.record(writer, total, begin, progress or silent, stop or unasked))
    return Run(path)


def resume(
    path: str | Path,
    *,
    batches: int | None = None,
    epochs: int | None = None,
    checkpoint: float = PERIOD,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
    note: Callable[[str], None] | None = None,
) -> Run:
    """Go on with a training that was interrupted, in the same run; returns the run, closed.

    All choices are the run's, those that were changed while it ran before the same batches. On the
    same machine, with as many threads, its rows and weights get the bits that they would have had.
    Rows behind the checkpoint are computed again and take the place of those that were stored.

    Args:
        path: of the run.
        batches: how many in all, if more than the run was to have.
        epochs: how many of them in all instead.
        checkpoint: seconds between two checkpoints; 0 for the end and a stop only.
        progress: told how far it is.
        stop: asked between two steps; where it says so, the run ends as interrupted again.
        note: told in a sentence each what was damaged, or is not as it was; the run keeps it, too.

    Raises:
        BadInput: if the run cannot be gone on with: it has ended, is no training, has no
            checkpoint, or the data, plugins or versions are others.
        Damaged: if the run or every checkpoint is damaged.
        Locked, NotWritten: if the run cannot be written; what was stored is readable.
    """
    check_counts(batches, epochs, checkpoint, needed=False)
    path = Path(path)
    found = ready(path)
    said = found.checkpoint.said
    images, experiment = found.images, found.experiment
    network = experiment.build(images.shape, images.classes)
    level, every = said["level"], Every(**said["every"])
    course = Course(experiment, images, network, level, every, checkpoint)
    total = course.total(batches, epochs, said["total"])
    if found.ended and total == said["total"]:
        raise BadInput(f"run: {path}; finished after {total} batches: ask for more of them")
    if note is not None:
        for line in found.notes:
            note(line)
    with Writer(path, resume=True) as writer:
        found.claim(writer)
        go_on = partial(course.go_on, found.checkpoint, again=found.again, log=found.log)
        writer.close(course.record(writer, total, go_on, progress or silent, stop or unasked))
    return Run(path)


def left(path: str | Path) -> Training:
    """A training as its run's newest checkpoint has it: weights, moments, what its init remembers.

    Of a run that has ended that is how it stood at the end. The run stays as it is.

    Args:
        path: of the run.

    Raises:
        BadInput, Damaged, Locked: as `resume`.
    """
    found = ready(Path(path))
    experiment, images, said = found.experiment, found.images, found.checkpoint.said
    network = experiment.build(images.shape, images.classes)
    aligned = fits_alignment(experiment, images)
    training = Training(experiment, images, network, aligned=aligned)
    unpacked = found.checkpoint.unpacked(network.example.device)
    standing.into_training(training, said["training"], unpacked)
    return training


def check_counts(
    batches: int | None, epochs: int | None, checkpoint: float, *, needed: bool = True
) -> None:
    """Refuse what is no number of batches, or of seconds; and both, or none where one is needed."""
    given = (batches is not None) + (epochs is not None)
    if given > 1 or given < needed:
        raise BadInput(f"batches: {batches}, epochs: {epochs}; one of the two")
    for name, value in (("batches", batches), ("epochs", epochs)):
        if value is not None and (type(value) is not int or not 1 <= value <= 10**9):
            raise BadInput(f"{name}: {value}; an integer 1..1000000000")
    if type(checkpoint) not in (int, float) or not 0 <= checkpoint <= 10**9:
        raise BadInput(f"checkpoint: {checkpoint}; seconds, 0..1000000000")


def silent(line: str, share: float) -> None:
    """Nobody wants to know how far it is."""


def unasked() -> bool:
    """Nobody asks it to stop."""
    return False
