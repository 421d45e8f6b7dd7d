"""How does a network learn? Batch after batch: relax, update, remember, take the next.

The batch gear of a session and the training of first weights are this one loop.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.batches import Batch, Batches, ImageSet
from core.engines import PLAIN, engine_for, engine_name
from core.experiment import Experiment
from core.network import Network, States
from core.phase import Phase
from core.relaxation import Relaxation
from core.summing import Summing
from core.weights.schedules import follow

Phases = tuple[Phase, ...]
"""Of one batch, in order."""


class Training:
    """One network on one stream of batches, with all that one batch leaves for the next."""

    def __init__(
        self,
        experiment: Experiment,
        images: ImageSet,
        network: Network,
        *,
        aligned: bool | None = None,
        watched: bool = False,
    ) -> None:
        """Begin before the first batch.

        Args:
            experiment: all choices.
            images: the data set that the experiment names.
            network: with its first weights, on the experiment's device.
            aligned: whether batches are stream-aligned; by default where the init asks for it.
            watched: whether somebody looks at the states of every step; the engine "auto" then
                goes layer by layer.
        """
        self.engine = engine_name(network, experiment.engine, watched=watched)
        self._by = engine_for(network, self.engine) or PLAIN
        self.experiment = experiment
        self.images = images
        self.network = network
        self.optimiser = experiment.weights(network)
        needed = bool(getattr(experiment.init, "aligned", False))
        self.aligned = needed if aligned is None else aligned
        self.batches = Batches(
            images, experiment.batch_size, aligned=self.aligned, seed=experiment.seed
        )
        self.memory: Any = None
        self.previous: States | None = None
        self.precisions: Any = None

    def relaxation(
        self, batch: Batch, *, train: bool, clamps: Callable[[Phases], Phases] | None = None
    ) -> Relaxation:
        """The relaxation of one batch, with what the batches before have left.

        Args:
            batch: the samples.
            train: whether the weights move; a rule that acts at every step moves them in any case.
            clamps: gives the phases that the task makes what they clamped when the batch began,
                where the weights have moved since.
        """
        experiment = self.experiment
        generator, rows = noise(experiment.seed, batch.number), self.network.ranks.rows
        phases = experiment.task.phases(self.network, batch, self.images.classes, generator)
        if self.network.ranks.count > 1:  # lots are drawn for the global batch
            phases = tuple(one.rows(rows) for one in phases)
        return Relaxation(
            self.network,
            phases if clamps is None else clamps(phases),
            experiment.recipe,
            labels=batch.y[rows].to(self.network.example.device),
            classes=self.images.classes,
            memory=self.memory,
            previous=self.previous,
            generator=generator,
            precisions=self.precisions,
            engine=self._by,
            optimiser=self.optimiser,
            held=not (train or experiment.learning.every_step),
        )

    def follow(self, experiment: Experiment) -> None:
        """Go on under other choices on the same network and stream."""
        changed = experiment.weights != self.experiment.weights
        self.experiment = experiment
        if changed:
            self.renew_optimiser()

    def renew_optimiser(self) -> None:
        """Give the optimiser the dials of the experiment.

        It keeps its memory; one of another type begins anew.
        """
        old, new = self.optimiser, self.experiment.weights(self.network)
        if type(old) is type(new):
            count = old.param_groups[0]["updates"]
            fresh = [{**group, "updates": count} for group in new.state_dict()["param_groups"]]
            new.load_state_dict({**old.state_dict(), "param_groups": fresh})
            follow(new, self.experiment.weights.schedule, self.experiment.weights.span)
        self.optimiser = new

    def finish(self, relaxation: Relaxation, also: Sequence[Tensor] = ()) -> None:
        """Update the weights, unless they are held, and let the init remember the final states.

        Args:
            relaxation: at its end.
            also: summed over all ranks in the same exchange as all else, in place.
        """
        init, start, states = relaxation.recipe.init, relaxation.start, relaxation.states
        sums: list[Tensor] = []
        if isinstance(init, Summing):
            with torch.no_grad():
                sums = init.sums(start, states, self.memory)
        relaxation.learn([*sums, *also])
        self.previous = relaxation.states
        self.precisions = relaxation.precisions
        with torch.no_grad():
            if isinstance(init, Summing):
                self.memory = init.remember(start, states, sums, self.memory)
            elif (observe := getattr(init, "observe", None)) is not None:
                self.memory = observe(start, states, self.memory)


def noise(seed: int, number: int) -> torch.Generator:
    """The generator of all noise in the relaxation of one batch.

    Args:
        seed: of the experiment.
        number: of the batch.
    """
    # Mixed, because torch's generator reads only 32 bits of its seed.
    mixed = np.random.SeedSequence([seed, number, 1]).generate_state(1)
    return torch.Generator().manual_seed(int(mixed[0]))


def accuracy(network: Network, images: Tensor, labels: Tensor) -> float:
    """Share of images that a plain forward pass puts into their class.

    Args:
        network: with one root, the image.
        images: (n, C, H, W).
        labels: (n,).
    """
    return accuracies(network, images, labels, (1,))[0]


def accuracies(
    network: Network, images: Tensor, labels: Tensor, places: tuple[int, ...]
) -> list[float]:
    """Shares of images whose class is among the first places by the scores of a forward pass.

    Where several ranks hold the network each looks at its share of the images.

    Args:
        network: with one root, the image.
        images: (n, C, H, W).
        labels: (n,).
        places: how many classes count, of each share; 5 gives the papers' top-5 accuracy.
    """
    like, ranks, count = network.example, network.ranks, len(images)
    if ranks.count > 1:
        images, labels = images[ranks.rows], labels[ranks.rows]
    x = images.flatten(1).reshape(-1, *network.nodes[0].shape).to(like)
    with torch.no_grad(), network.evaluating():
        scores = network.sweep({0: x})[network.top]
    truth = labels.to(like.device)[:, None]
    found = torch.empty(len(places), dtype=torch.float64)
    for n, k in enumerate(places):
        first = scores.argmax(1, keepdim=True) if k == 1 else scores.topk(k, dim=1).indices
        found[n] = (first == truth).any(1).sum()
    ranks.add([found])
    return found.div_(count).tolist()
