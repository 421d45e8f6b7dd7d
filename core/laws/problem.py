"""On what are entries judged? Small networks and images, drawn from fixed seeds, in float64."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from core.batches import Batch, ImageSet
from core.catalogue import BadInput, cards
from core.experiment import Experiment
from core.free_energy import FreeEnergy
from core.network import Network, States, chain
from core.networks.decoder import Decoder
from core.networks.mlp import MLP
from core.relaxation import Relaxation
from core.training import Training

SIZES = (5, 6, 4, 3)
SAMPLES = 6
CLOSE = 1e-9
"""Numbers of size one that differ by less are the same up to rounding."""


@dataclass(frozen=True)
class Problem:
    """A network whose ends are clamped, with states that have errors in every layer.

    Args:
        network: a chain.
        clamped: value of each clamped state by index, (B, *shape).
        states: h_0 ... h_N, (B, *shape).
        labels: class of each sample, (B,).
    """

    network: Network
    clamped: dict[int, Tensor]
    states: States
    labels: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))

    @property
    def free_energy(self) -> FreeEnergy:
        """With all precisions one."""
        like = self.network.example
        return FreeEnergy(self.network, like.new_ones(len(self.network.layers)), self.clamped)

    def permuted(self, order: Tensor) -> "Problem":
        """The same samples in another order."""
        clamped = {i: h[order] for i, h in self.clamped.items()}
        return replace(
            self, clamped=clamped, states=[h[order] for h in self.states], labels=self.labels[order]
        )


def seeded(seed: int = 0) -> torch.Generator:
    """A source of noise."""
    return torch.Generator().manual_seed(seed)


def tanh_problem() -> Problem:
    """A tanh network with linear output; the output is clamped to one-hot labels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        maps: list[nn.Module] = [
            nn.Sequential(nn.Linear(SIZES[i], SIZES[i + 1]), nn.Tanh()) for i in range(2)
        ]
        network = chain([*maps, nn.Linear(SIZES[2], SIZES[3])], [(n,) for n in SIZES]).double()
        states = [torch.randn(SAMPLES, n, dtype=torch.float64) for n in SIZES]
    labels = torch.arange(SAMPLES) % SIZES[-1]
    clamped = {0: states[0], len(SIZES) - 1: one_hot(labels, SIZES[-1]).double()}
    return Problem(network, clamped, [clamped.get(i, h) for i, h in enumerate(states)], labels)


def at_rest() -> Problem:
    r"""A linear network at its equilibrium, where no free state has a force.

    With $S = I + W_3 W_3^\top + W_3 W_2 (W_3 W_2)^\top$ and r the error of the forward pass:
    $e_3 = S^{-1} r$, $e_2 = W_3^\top e_3$, $e_1 = W_2^\top e_2$. Weights and states are positive,
    so that rules which keep states positive rest there, too.
    """
    sizes = (2, 3, 2, 2)
    generator = seeded()
    W = [
        0.1 + 0.5 * torch.rand(sizes[i + 1], sizes[i], generator=generator, dtype=torch.float64)
        for i in range(3)
    ]
    x = 0.5 + torch.rand(SAMPLES, sizes[0], generator=generator, dtype=torch.float64)
    y = 1.2 * x @ (W[2] @ W[1] @ W[0]).T
    both = W[2] @ W[1]
    S = torch.eye(2, dtype=torch.float64) + W[2] @ W[2].T + both @ both.T
    e = torch.linalg.solve(S, (y - x @ (both @ W[0]).T).T).T  # e_3
    h1 = x @ W[0].T + e @ both
    h2 = h1 @ W[1].T + e @ W[2]
    maps = []
    for one in W:
        linear = nn.Linear(one.shape[1], one.shape[0], bias=False)
        linear.weight = nn.Parameter(one)
        maps.append(linear)
    network = chain(maps, [(n,) for n in sizes])
    return Problem(network, {0: x, 3: y}, [x, h1, h2, y])


def toy_images() -> ImageSet:
    """Ten classes of 4 x 4 noise, two images of each."""
    x = torch.rand(20, 1, 4, 4, generator=seeded())
    y = torch.arange(20) % 10
    names = tuple(str(i) for i in range(10))
    return ImageSet("toy", x, y, x, y, 10, names, 0.0, 1.0)


def toy_batch() -> Batch:
    """All of them."""
    images = toy_images()
    return Batch(images.train_x, images.train_y, torch.arange(20), 0)


def small_network(image_at: str) -> Any:
    """The entry of a small network with the image at one end."""
    return MLP(hidden=(5, 4)) if image_at == "input" else Decoder(latent=3, hidden=(5, 4))


@cache
def legal(**chosen: Any) -> Experiment:
    """The first legal experiment with some entries, on a small network.

    Raises:
        BadInput: with the last refusal, if these entries go with nothing.
    """
    others = [kind for kind in ("task", "dynamics", "init", "learning") if kind not in chosen]
    refused = BadInput("nothing goes with it")
    for made in product(*(_entries(kind) for kind in others)):
        choices = {**chosen, **dict(zip(others, made, strict=True))}
        choices.setdefault("network", small_network(choices["task"].image_at))
        try:
            return Experiment(
                **choices, steps=6, batch_size=20, dtype="float64", pretraining="random"
            )
        except BadInput as said:
            refused = said
    raise refused


def _entries(kind: str) -> Iterator[Any]:
    """Every entry of a kind with its default dials, the one that experiments have first."""
    usual = type(getattr(Experiment(), kind))
    found = [card.entry for card in cards(kind).values()]
    return iter([made() for made in sorted(found, key=lambda one: one is not usual)])


def relaxation(experiment: Experiment, batch: Batch | None = None) -> Relaxation:
    """A relaxation of the toy images at its beginning, whose weights learn."""
    images = toy_images()
    network = experiment.build(images.shape, images.classes)
    training = Training(experiment, images, network)
    return training.relaxation(batch or toy_batch(), train=True)


# Comparing ---------------------------------------------------------------------------------------


def copied(value: Any) -> Any:
    """A copy of nested tensors; generators and functions stay as they are."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: copied(one) for key, one in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(copied(one) for one in value)
    return value if isinstance(value, torch.Generator) else _copy(value)


def _copy(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except (TypeError, RuntimeError):  # what cannot be copied is compared with itself
        return value


def same(a: Any, b: Any, *, within: float = 0.0) -> bool:
    """Whether nested tensors are equal, up to a difference."""
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        if not isinstance(a, Tensor) or not isinstance(b, Tensor) or a.shape != b.shape:
            return False
        if within and a.is_floating_point():
            return torch.allclose(a, b, rtol=within, atol=within, equal_nan=True)
        return bool(torch.equal(a.nan_to_num(), b.nan_to_num()))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key], within=within) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(
            same(x, y, within=within) for x, y in zip(a, b, strict=True)
        )
    if isinstance(a, torch.Generator) and isinstance(b, torch.Generator):
        return True
    return type(a) is type(b) and (not _has_equality(a) or bool(a == b))


def _has_equality(value: Any) -> bool:
    """Whether == of it compares numbers and texts."""
    return isinstance(value, int | float | str | bool | None)


def misfits(found: Any, shapes: list[tuple[int, ...]], like: Tensor, what: str) -> Iterator[str]:
    """Violations of: one finite tensor for each shape, of the type of `like`."""
    if not isinstance(found, list | tuple) or len(found) != len(shapes):
        came = f"{len(found)}" if isinstance(found, list | tuple) else type(found).__name__
        yield f"gives {came} {what}s; {len(shapes)} in a list"
        return
    for i, (one, shape) in enumerate(zip(found, shapes, strict=True)):
        if not isinstance(one, Tensor):
            yield f"{what} {i} is {type(one).__name__}; a tensor"
        elif tuple(one.shape) != shape:
            yield f"{what} {i} has the shape {tuple(one.shape)}; {shape}"
        elif one.dtype != like.dtype:
            yield f"{what} {i} is {one.dtype}; {like.dtype}, as the weights"
        elif not bool(torch.isfinite(one).all()):
            yield f"{what} {i} is not finite"
