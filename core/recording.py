"""How is a whole relaxation kept? Step by step into a trace, until its end or until it diverges."""

from typing import Any

import numpy as np
import torch
import xarray as xr

from core import plugins
from core.batches import ImageSet
from core.descent import Descent
from core.diagnostics import diverged
from core.experiment import Experiment
from core.network import Network
from core.pretraining import Progress, first_weights
from core.recorder import FULL, Chunk, Pixels, Recorder
from core.relaxation import Relaxation
from core.trace import Sample, Trace
from core.training import Training

BEAT = 64
"""Rows between two looks at whether the relaxation has diverged."""


class Guard:
    """Watches the total energy of a lane, chunk by chunk, for divergence and broken promises."""

    def __init__(self, trace: Trace, first: list[float] | None = None) -> None:
        """Begin to watch; `first` holds F of the lane's first rows if it goes on from another."""
        self.trace = trace
        self.first = list(first or ())
        self.descent = Descent(trace)

    def look(self, chunk: Chunk) -> tuple[Chunk, str]:
        """The chunk up to the row that has diverged, and the sentence about it, or ""."""
        rows = chunk.rows
        energy = rows["energy"].astype(np.float64)
        with np.errstate(all="ignore"):
            totals = (energy * rows["precision"]).sum(1) + rows["cost"]
        self.descent.look(rows, totals)
        before = list(self.first)
        self.first += totals[: max(0, 5 - len(before))].tolist()
        history = torch.tensor([*before, *totals.tolist()], dtype=torch.float64)
        at = diverged(history, floor=self.trace.eps)
        if at is None:
            return chunk, ""
        at = max(at - len(before), 0)
        worst = int(np.where(np.isfinite(energy[at]), energy[at], np.inf).argmax())
        line = (
            f"diverged at step {int(rows['t'][at])} of batch {int(rows['batch'][at])}, "
            f"layer {self.trace.layers[worst]}: lower dynamics.rate"
        )
        return _until(chunk, at), line


def _until(chunk: Chunk, at: int) -> Chunk:
    """The rows up to position `at`, and the frames up to that row."""
    rows = {name: values[: at + 1] for name, values in chunk.rows.items()}
    seen = chunk.frames.get("frame_row", np.empty(0)) <= rows["step"][-1]
    return Chunk(rows, {name: values[seen] for name, values in chunk.frames.items()})


def recorder_for(
    experiment: Experiment,
    network: Network,
    *,
    level: str = FULL,
    pixels: Pixels = (-float("inf"), float("inf")),
    labels: bool = True,
    align: bool = False,
) -> Recorder:
    """The recorder that measures what the experiment's task can show.

    Args:
        experiment: whose task says what it shows.
        network: that relaxes.
        level: `LEAN` or `FULL`.
        pixels: lowest and highest legal pixel, of all or of each, (C, H, W).
        labels: whether the samples have classes.
        align: whether to compare each layer's update with backprop's, where the task has a loss
            and the network no cycle.
    """
    task = experiment.task
    hidden = () if labels else ("probability",)
    return Recorder(
        network,
        experiment.batch_size,
        level=level,
        shows=[name for name in task.shows if level == FULL and name not in hidden],
        pixels=pixels,
        align=align and task.has_loss and network.acyclic,
        capacity=BEAT,
    )


def record(relaxation: Relaxation, trace: Trace, recorder: Recorder, *, batch: int = 0) -> str:
    """Relax to the end into a trace; returns "" or the sentence about where it diverged.

    Args:
        relaxation: from where it stands.
        trace: takes the rows.
        recorder: empty, made for the relaxation's network.
        batch: number of the batch.
    """
    guard = Guard(trace)
    trace.attrs["rises"] = ""
    row = 0
    while True:
        recorder.take(relaxation, row=row, batch=batch, recipe_id=0)
        if row % BEAT == BEAT - 1 or relaxation.done:
            chunk = recorder.drain()
            assert chunk is not None
            chunk, line = guard.look(chunk)
            trace.append(chunk)
            if line or relaxation.done:
                return line
        relaxation.advance()
        row += 1


def relax(
    experiment: Experiment,
    *,
    batch: int = 0,
    level: str = FULL,
    align: bool = False,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Relax one batch of an experiment: T + 1 rows a phase as a Dataset, fewer if it diverges.

    Args:
        experiment: all choices; "trained" weights are trained once and then read from the cache.
        batch: number of the batch.
        level: `LEAN` or `FULL`.
        align: whether to compare each layer's update with backprop's, where the task has a loss.
        progress: called while first weights are trained, with a line and a share.

    Returns:
        The schema of `core.trace`. Its attribute `diverged` says where it stopped, `rises` where F
        first rose although the rule of the states promises descent; both are empty otherwise.
    """
    relaxation, trace, recorder = prepared(experiment, batch, level, align, progress)
    trace.attrs["diverged"] = record(relaxation, trace, recorder, batch=batch)
    return trace.dataset()


def prepared(
    experiment: Experiment, batch: int, level: str, align: bool, progress: Progress | None = None
) -> tuple[Relaxation, Trace, Recorder]:
    """A relaxation before its first step, and what `record` takes with it; as `relax`."""
    images = experiment.dataset()
    network = experiment.build(images.shape, images.classes)
    first_weights(experiment, images, network, progress or (lambda line, share: None))
    training = Training(
        experiment,
        images,
        network,
        aligned=fits_alignment(experiment, images),
        watched=level == FULL or align,
    )
    samples = training.batches.batch(batch)
    relaxation = training.relaxation(samples, train=False)
    trace = Trace(
        network,
        attrs=about(experiment, level, images.name, images.fingerprint, training.engine)
        | images.ends,
        pixel_shape=images.shape,
        limit=rows_of(relaxation) + BEAT,
    )
    trace.recipes.append(experiment.recipe.to_dict())
    trace.batches[batch] = Sample(samples.y.cpu().numpy(), samples.x[:8].cpu().numpy())
    recorder = recorder_for(experiment, network, level=level, pixels=images.pixels, align=align)
    return relaxation, trace, recorder


def rows_of(relaxation: Relaxation) -> int:
    """Rows from the first phase to the end of the last, if none of them ends early."""
    T = relaxation.recipe.steps
    return sum((T if phase.steps is None else phase.steps) + 1 for phase in relaxation.phases)


def fits_alignment(experiment: Experiment, images: ImageSet) -> bool:
    """Whether batches can keep each slot's class; where they can they do, so that inits compare."""
    return experiment.batch_size % images.classes == 0


def about(
    experiment: Experiment, level: str, data: str, fingerprint: str, engine: str
) -> dict[str, Any]:
    """What a trace says about where it comes from."""
    from core import __version__

    return {
        "experiment": experiment.to_dict(),
        "device": experiment.device,
        "engine": engine,
        "level": level,
        "data": data,
        "fingerprint": fingerprint,
        "plugins": plugins.used(experiment),
        "versions": {"relaxoscope": __version__, "torch": torch.__version__},
    }
