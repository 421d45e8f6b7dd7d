"""Runs to look at: short trainings that are recorded step by step, some with their states."""

import numpy as np

from core import make
from core.experiment import Experiment
from core.layout import Layout
from core.pretraining import first_weights
from core.recorder import FULL
from core.recording import recorder_for
from core.runs import Writer
from core.training import Training

SMALL = Experiment(
    network=make("network", "MLP", {"hidden": (12, 12, 12)}),
    dataset=make("dataset", "SmallDigits"),
    pretraining="random",
    batch_size=10,
    steps=8,
)
"""Four layers, nine rows a batch."""


def smallest(**choices):
    """An experiment of two hidden layers on the smallest digits."""
    plain = {
        "network": make("network", "MLP", {"hidden": (8, 8)}),
        "dataset": make("dataset", "SmallDigits"),
        "pretraining": "random",
    }
    return Experiment(**(plain | choices))


def record(path, experiment=SMALL, batches=2, *, states=False, level=FULL, title="", close=True):
    """Record a training; the writer, closed unless it is to go on.

    Args:
        path: of the run.
        experiment: all choices.
        batches: how many.
        states: whether full states are kept.
        level: of the recorder.
        title: of its lane.
        close: whether the run is closed.
    """
    images = experiment.dataset()
    network = experiment.build(images.shape, images.classes)
    first_weights(experiment, images, network, lambda line, share: None)
    training = Training(experiment, images, network, watched=True)
    writer = Writer(path, experiment=experiment.to_dict())
    lane = writer.lane(Layout.of(network, images.shape), title=title)
    writer.recipes(lane, [experiment.recipe.to_dict()])
    row = 0
    for number in range(batches):
        relaxation = training.relaxation(training.batches.batch(number), train=True)
        recorder = recorder_for(experiment, network, level=level)
        held = []
        first = row
        while True:
            recorder.take(relaxation, row=row, batch=number, recipe_id=0)
            held.append([h.detach().cpu().numpy().copy() for h in relaxation.states])
            row += 1
            if relaxation.done:
                break
            relaxation.advance()
        chunk = recorder.drain()
        assert chunk is not None
        chunk.frames = {}
        chunk.rows["seconds"] = 0.001 * np.arange(first, row)
        if states:
            for k in range(len(held[0])):
                chunk.rows[f"state_{k}"] = np.stack(
                    [one[k].reshape(len(one[k]), -1) for one in held]
                )
        writer.append(lane, chunk)
        training.finish(relaxation)
    if close:
        writer.close()
    return writer
