"""What is looked at beside the rows of a training, how often, and how far weights have moved?"""

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from core.batches import VALIDATION, ImageSet
from core.catalogue import BadInput
from core.experiment import Experiment
from core.network import Network
from core.recorder import FULL, LEAN, Chunk, Recorder
from core.recording import BEAT, recorder_for
from core.training import accuracies, accuracy

FEW = 10
"""Up to so many classes the five likeliest of them say little."""

CAPACITY = 4096
"""Rows that stay on the device at most, at level lean."""


@dataclass(frozen=True)
class Every:
    """How often something is looked at, in batches; 0 for never, None for once an epoch.

    Args:
        weights: kept, with labels and first images; those of the first batch and of the end too.
        accuracy: on all test images, by a forward pass with the weights that a batch begins with;
            of more than `FEW` classes top-5 accuracy, too, and that on images which are held out.
        updates: norm of each layer's weight update, which costs a copy of the weights.
        alignment: of the weight update to backprop's, which costs a backward pass.
        relaxations: kept whole, at level full, beside the rows of all batches.
    """

    weights: int | None = None
    accuracy: int | None = None
    updates: int | None = 10
    alignment: int | None = 0
    relaxations: int | None = 0

    def __post_init__(self) -> None:
        """Refuse what is no number of batches."""
        for name in (one.name for one in dataclasses.fields(self)):
            value = getattr(self, name)
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, int) or value < 0
            ):
                raise BadInput(f"every.{name}: {value}; an integer of 0 or more, in batches")

    def is_due(self, name: str, number: int, epoch: int) -> bool:
        """Whether it is to be looked at before batch `number`, where an epoch has so many."""
        every = getattr(self, name)
        return every != 0 and number % (epoch if every is None else every) == 0


def tested(network: Network, images: ImageSet) -> dict[str, float]:
    """Accuracies by their names: on test images, and on those that are held out to choose by.

    Of more than `FEW` classes top-5 accuracy on test images, too.
    """
    names = {"accuracy": 1} | ({"top5": 5} if images.classes > FEW else {})
    found = accuracies(network, images.test_x, images.test_y, tuple(names.values()))
    known = dict(zip(names, found, strict=True))
    if VALIDATION in images.splits:
        known[VALIDATION] = accuracy(network, *images.split(VALIDATION))
    return known


def flat(network: Network) -> Tensor:
    """All weights in one vector of their own."""
    return torch.cat([one.detach().flatten() for one in network.parameters()])


def parts(network: Network) -> list[slice]:
    """Where the weights of each layer lie in that vector."""
    found, at = [], 0
    for i in network.layers:
        own = [p for name, p in network.named_parameters() if name.startswith(f"maps.{i}.")]
        size = sum(p.numel() for p in own)
        found.append(slice(at, at + size))
        at += size
    return found


def ringed(experiment: Experiment, network: Network, images: ImageSet, level: str) -> Recorder:
    """The recorder of a level; a lean one holds many rows, because they are few numbers."""
    if level == LEAN:
        return Recorder(network, experiment.batch_size, level=LEAN, capacity=CAPACITY)
    return recorder_for(experiment, network, level=level, pixels=images.pixels)


def entire(experiment: Experiment, network: Network) -> Recorder:
    """The recorder of relaxations that are kept whole."""
    return Recorder(network, experiment.batch_size, level=FULL, capacity=BEAT)


def until(recorder: Recorder | None, last: int) -> Chunk | None:
    """What a recorder has taken, up to a row; None where there is none."""
    found = None if recorder is None else recorder.drain()
    if found is None:
        return None
    kept = found.rows["step"] <= last
    return Chunk({name: values[kept] for name, values in found.rows.items()})
