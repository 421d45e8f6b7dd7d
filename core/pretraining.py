"""Where do the first weights come from? Networks trained on the chosen data, kept in the cache.

On random weights the phenomena are not those of the papers. A classifier is trained with spiking
precision and the forward update (qi2026), a decoder with plain predictive coding from zero init
(pinchetti2026); weights of every epoch are kept, so that a relaxation can be watched at any.
"""

import hashlib
import json
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from core import cache
from core.batches import Batches, ImageSet
from core.catalogue import BadInput
from core.dynamics.gradient import GradientDescent, HeavyBall
from core.experiment import RANDOM, Experiment, epoch_of
from core.inits.forward import Forward
from core.inits.zero import Zero
from core.learning.local import ForwardUpdate, PredictiveCoding
from core.network import Network
from core.networks.alexnet import AlexNet
from core.networks.equilibrium import EquilibriumVGG
from core.networks.resnet import ResNet
from core.networks.vgg import VGG
from core.precisions.identity import Identity
from core.precisions.spiking import Spiking
from core.relaxation import Relaxation
from core.tasks.classify import Classify
from core.tasks.reconstruct import Reconstruct
from core.training import Training, accuracy
from core.weights.adamw import AdamW

VERSION = 2
"""Raised when the training below changes, so that old cached weights are not taken for new ones."""

Progress = Callable[[str, float], None]
"""Called with a line and a share between 0 and 1."""


@dataclass(frozen=True)
class Course:
    """Weights after every epoch of one training.

    Args:
        path: the safetensors file that holds them, keys "epoch/name".
        scores: after each epoch: test accuracy of a classifier, reconstruction error of a decoder.
        score: what the scores are.
        how: the recipe in words.
        seconds: the training took.
    """

    path: Path
    scores: list[float]
    score: str
    how: str
    seconds: float

    @property
    def epochs(self) -> int:
        """Number of epochs."""
        return len(self.scores)

    def load(self, network: Network, epoch: int | None) -> None:
        """Put the weights after an epoch, the last one by default, into a network.

        Raises:
            BadInput: if there is no such epoch.
        """
        if epoch is not None and not 1 <= epoch <= self.epochs:
            raise BadInput(f"pretraining: epoch {epoch}; epoch 1 to {self.epochs}")
        prefix = f"{epoch or self.epochs}/"
        with safe_open(self.path, framework="pt") as held:
            names = [key for key in held.keys() if key.startswith(prefix)]
            network.load_state_dict(
                {key.removeprefix(prefix): held.get_tensor(key) for key in names}
            )
        network.touch()


def first_weights(
    experiment: Experiment, images: ImageSet, network: Network, progress: Progress
) -> Course | None:
    """Give a network the weights that the experiment asks for; None where they are random.

    Raises:
        BadInput: if the experiment asks for an epoch that the training does not have.
    """
    if experiment.pretraining == RANDOM:
        return None
    course = trained(experiment, images, progress)
    course.load(network, epoch_of(experiment.pretraining))
    return course


def trained(experiment: Experiment, images: ImageSet, progress: Progress) -> Course:
    """The trained weights for the experiment's network, data, output energy and seed."""
    plan = _plan(experiment)
    path = cache.folder() / "weights" / f"{_key(plan, images)}.safetensors"
    found = _read(path)
    if found is None:
        kept, about = _train(plan, images, progress)
        try:
            cache.keep(path, lambda target: save_file(kept, target, about))
        except OSError as failed:
            warnings.warn(f"cache: {path.parent}; not writable ({failed})", stacklevel=2)
            path = Path(tempfile.mkdtemp(prefix="relaxoscope-")) / path.name
            save_file(kept, path, about)
        found = _read(path)
        if found is None:
            raise BadInput(f"cache: {path}; the trained weights could not be read back")
    return found


def _plan(experiment: Experiment) -> Experiment:
    """The training recipe for the experiment's network, data, output energy and seed."""
    same: dict[str, Any] = {
        "energy": experiment.energy,
        "network": experiment.network,
        "dataset": experiment.dataset,
        "seed": experiment.seed,
        "pretraining": RANDOM,
    }
    if _what(experiment) == "classifier":
        return Experiment(
            init=Forward(),
            precision=Spiking(),
            dynamics=GradientDescent(rate=0.5),
            learning=ForwardUpdate(),
            task=Classify(),
            weights=AdamW(rate=2e-3),
            steps=experiment.network.layers,
            batch_size=50,
            **same,
        )
    return Experiment(
        init=Zero(),
        precision=Identity(),
        dynamics=HeavyBall(rate=0.2, momentum=0.5),
        learning=PredictiveCoding(),
        task=Reconstruct(),
        weights=AdamW(rate=4e-3),
        steps=10,
        batch_size=50,
        **same,
    )


EPOCHS = {"classifier": 8, "decoder": 4}

BATCHES = 80
"""Most batches of an epoch, so that a large data set takes no longer than the embedded digits."""


def _epochs(plan: Experiment) -> int:
    """Half of them where images are convolved: such an epoch costs more and teaches more."""
    whole = EPOCHS[_what(plan)]
    convolved = isinstance(plan.network, VGG | EquilibriumVGG | AlexNet | ResNet)
    return max(1, whole // 2) if convolved else whole


def _key(plan: Experiment, images: ImageSet) -> str:
    text = json.dumps([VERSION, _epochs(plan), plan.to_dict(), images.fingerprint], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _read(path: Path) -> Course | None:
    """The kept training, or None where there is none or its file is damaged."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as held:
            about = json.loads(held.metadata()["course"])
            if held.metadata()["digest"] != _digest({k: held.get_tensor(k) for k in held.keys()}):
                raise ValueError("other weights than were written")
        return Course(path, **about)
    except Exception:  # a damaged file is made anew
        path.unlink(missing_ok=True)
        return None


def _train(
    plan: Experiment, images: ImageSet, progress: Progress
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All weights by "epoch/name", and what to write beside them."""
    begun = time.perf_counter()
    network = plan.build(images.shape, images.classes)
    training = Training(plan, images, network)
    what = _what(plan)
    epochs, count = _epochs(plan), min(training.batches.per_epoch, BATCHES)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        training.optimiser, plan.weights.rate, total_steps=epochs * count + 1, pct_start=0.15
    )
    kept: dict[str, Tensor] = {}
    scores: list[float] = []
    for epoch in range(1, epochs + 1):
        for k in range(count):
            relaxation = training.relaxation(
                training.batches.batch((epoch - 1) * count + k), train=True
            )
            relaxation.run()
            training.finish(relaxation)
            schedule.step()
            done = ((epoch - 1) * count + k + 1) / (epochs * count)
            progress(f"training the {what} on {images.name}: epoch {epoch} of {epochs}", done)
        kept |= {f"{epoch}/{k}": v.detach().clone() for k, v in network.state_dict().items()}
        scores.append(_score(plan, images, network))
    about = {
        "scores": scores,
        "score": "test accuracy" if what == "classifier" else "test reconstruction MSE",
        "how": _words(plan),
        "seconds": time.perf_counter() - begun,
    }
    return kept, {"course": json.dumps(about), "digest": _digest(kept)}


def _digest(kept: dict[str, Tensor]) -> str:
    """A SHA-256 over names and weights: safetensors has no checksum of its own."""
    digest = hashlib.sha256()
    for name in sorted(kept):
        digest.update(name.encode())
        digest.update(kept[name].contiguous().numpy().tobytes())
    return digest.hexdigest()


def _score(plan: Experiment, images: ImageSet, network: Network) -> float:
    if _what(plan) == "classifier":
        return accuracy(network, images.test_x, images.test_y)
    return reconstruction_error(plan, images, network)


def reconstruction_error(plan: Experiment, images: ImageSet, network: Network) -> float:
    """Mean squared error per pixel of 200 test images, swept from the relaxed latent state."""
    size = min(200, len(images.test_y))
    batch = Batches(images, size, aligned=False, seed=plan.seed, split="test").batch(0)
    phases = plan.task.phases(network, batch, images.classes, torch.Generator())
    relaxation = Relaxation(network, phases, plan.recipe)
    relaxation.run()
    with torch.no_grad():
        swept = network.sweep({0: relaxation.states[0]})[network.top]
    target = phases[0].clamped[network.top]
    low, high = (bound.flatten().to(swept) for bound in images.pixels)
    return float((swept.flatten(1).clamp(low, high) - target.flatten(1)).square().mean())


def _words(plan: Experiment) -> str:
    names = [type(getattr(plan, kind)).__name__ for kind in ("init", "precision", "learning")]
    return f"{' + '.join(names)}, T {plan.steps}, {_epochs(plan)} epochs"


def _what(plan: Experiment) -> str:
    return "classifier" if plan.network.image_at == "input" else "decoder"
