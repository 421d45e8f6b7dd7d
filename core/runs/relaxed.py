"""How does one relaxation become a run? It is recorded to its end, then stored in one go."""

import time
from pathlib import Path

from core.experiment import Experiment
from core.pretraining import Progress
from core.recorder import FULL
from core.recording import prepared, record
from core.runs import shelf
from core.runs.changes import in_force
from core.runs.run import Run
from core.runs.writer import FINISHED, Writer
from core.theory.accounts import accounts


def relax(
    experiment: Experiment,
    path: str | Path,
    *,
    batch: int = 0,
    level: str = FULL,
    align: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Relax one batch as `core.relax` does, and keep it as a run; returns the run, closed.

    The run is made when the relaxation has ended. A process that is killed before leaves nothing,
    and one that is killed while it stores leaves a run that reads as interrupted.

    Args:
        experiment: all choices.
        path: of the run, which must not exist.
        batch: number of the batch.
        level: `core.LEAN` or `core.FULL`.
        align: whether to compare each layer's update with backprop's, where the task has a loss.
        progress: told how far first weights are, where they are trained.

    Raises:
        BadInput: for an illegal name, a run that exists, or choices that do not fit the data.
        Locked, NotWritten: if the run cannot be written.
    """
    path = Path(path)
    shelf.check_new(path)
    relaxation, trace, recorder = prepared(experiment, batch, level, align, progress)
    begun = time.perf_counter()
    diverged = record(relaxation, trace, recorder, batch=batch)
    known = {"seconds": time.perf_counter() - begun}
    chunk = trace.chunk()
    steps = dict(zip(chunk.rows["phase"].tolist(), chunk.rows["t"].tolist(), strict=True))
    counted = accounts(experiment, relaxation.network, tuple(steps.items()))
    if not diverged and not isinstance(counted, str):
        known["smm"] = float(counted[0].total)
    attrs = {name: value for name, value in trace.attrs.items() if name != "diverged"}
    about = {name: value for name, value in attrs.items() if name not in ("experiment", "rises")}
    with Writer(path, experiment=experiment.to_dict(), about=about) as writer:
        lane = writer.lane(trace.layout, attrs=attrs)
        writer.recipes(lane, [in_force(experiment)])
        writer.sample(lane, batch, trace.batches[batch])
        writer.append(lane, chunk)
        writer.batch(lane, batch, **known)
        writer.close(diverged or FINISHED)
    return Run(path)
