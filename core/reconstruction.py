"""How well are images reconstructed that nothing was trained on?"""

import copy

import torch

from core.batches import Batches
from core.catalogue import BadInput
from core.training import Training


def reconstruction_error(
    training: Training, *, split: str = "test", steps: int | None = None
) -> float:
    r"""Mean squared error per pixel of the sweep from the relaxed $h_0$, clipped to legal pixels.

    Each image of a split relaxes under the recipe of the training, from its init with what it
    remembers, its weights held; then $\hat x = f_L(\dots f_1(h_0^{(T)}))$ is compared with it.
    Images that fill no whole batch are left out. The training stands afterwards as it did.

    Args:
        training: of a decoder, whose task clamps the image at its output and nothing else.
        split: of its images.
        steps: T of these relaxations; by default that of the recipe.

    Raises:
        BadInput: if the task is another one, T is none, or the split has no images.

    Source: pinchetti2025 (released code) for the error; pinchetti2026, figure 7, for a T apart.
    """
    experiment, images, network = training.experiment, training.images, training.network
    if experiment.task.clamps != ("output",) or experiment.task.image_at != "output":
        name = type(experiment.task).__name__
        raise BadInput(f"task: {name}; one that clamps the image at the output, and nothing else")
    beside = copy.copy(training)
    beside.experiment = experiment if steps is None else experiment.changed(steps=steps)
    size = min(experiment.batch_size, max(len(images.split(split)[1]), 1))
    batches = Batches(images, size, aligned=False, seed=experiment.seed, split=split)
    low, high = (bound.flatten().to(network.example) for bound in images.pixels)
    errors = []
    for k in range(batches.per_epoch):
        relaxation = beside.relaxation(batches.batch(k), train=False)
        relaxation.run()
        with torch.no_grad():
            swept = network.sweep({0: relaxation.states[0]})[network.top]
        target = relaxation.phase.clamped[network.top]
        errors.append((swept.flatten(1).clamp(low, high) - target.flatten(1)).square().mean())
    return float(torch.stack(errors).double().mean())
