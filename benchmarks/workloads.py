"""What is relaxed? Networks, batches and steps as plain data, so that a peer can build the same.

All have tanh after each hidden layer, a linear output, squared error, float32, the input and the
output clamped, forward init, and gradient descent of all states at once with rate 0.1.
"""

import dataclasses
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from core.network import Network, chain

RATE = 0.1
CLASSES = 10


@dataclass(frozen=True)
class Layer:
    """One layer.

    Args:
        kind: "linear", or "conv" with 3 x 3 kernels, tanh and a max pool of 2 x 2.
        wide: units or channels that it reads.
        out: units or channels that it predicts.
        side: of the images that a convolution reads, or of those a linear layer flattens; else 0.
        padding: of a convolution.
        last: the output layer, which is linear.
    """

    kind: str
    wide: int
    out: int
    side: int = 0
    padding: int = 0
    last: bool = False

    @property
    def product(self) -> int:
        """Multiply-adds of one prediction of one sample."""
        if self.kind == "conv":
            return (self.side + 2 * self.padding - 2) ** 2 * 9 * self.wide * self.out
        return self.wide * self.out

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the state that it predicts."""
        if self.kind == "conv":
            return (self.out, *2 * ((self.side + 2 * self.padding - 2) // 2,))
        return (self.out,)

    def module(self) -> nn.Module:
        """With torch's own first weights."""
        if self.kind == "conv":
            conv = nn.Conv2d(self.wide, self.out, 3, padding=self.padding)
            return nn.Sequential(conv, nn.Tanh(), nn.MaxPool2d(2))
        linear = nn.Linear(self.wide, self.out)
        if self.side:
            return nn.Sequential(nn.Flatten(), linear)
        return linear if self.last else nn.Sequential(linear, nn.Tanh())


@dataclass(frozen=True)
class Workload:
    """What one batch is.

    Args:
        name: as results call it.
        title: in words.
        shape: of the input.
        layers: from the bottom.
        batch: samples, B.
        steps: state updates, T.
        unrolled: whether a compiler peer may unroll the steps; else it scans.
    """

    name: str
    title: str
    shape: tuple[int, ...]
    layers: tuple[Layer, ...]
    batch: int
    steps: int
    unrolled: bool = True

    @property
    def dense(self) -> bool:
        """Whether all layers are matrices."""
        return all(one.kind == "linear" for one in self.layers)

    @property
    def products(self) -> list[int]:
        """Multiply-adds of each layer's prediction in one batch."""
        return [self.batch * one.product for one in self.layers]

    @property
    def wave(self) -> int:
        """Steps after which the output's error has reached every layer."""
        return len(self.layers)

    def changed(self, **choices: Any) -> "Workload":
        """Another one."""
        return dataclasses.replace(self, **choices)

    def network(self) -> Network:
        """Always with the same first weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            maps = [one.module() for one in self.layers]
        return chain(maps, [self.shape, *(one.shape for one in self.layers)])

    def data(self) -> tuple[Tensor, Tensor, Tensor]:
        """Always the same samples: inputs (B, *shape), one-hot targets (B, 10), classes (B,)."""
        x = np.random.default_rng(0).standard_normal((self.batch, *self.shape), dtype=np.float32)
        labels = torch.arange(self.batch) % CLASSES
        return torch.from_numpy(x), torch.eye(CLASSES)[labels], labels

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return dataclasses.asdict(self)


def mlp(name: str, width: int, hidden: int, batch: int, T: int, **options: Any) -> Workload:
    """784 inputs, so many equal hidden layers, ten outputs."""
    sizes = [784, *(width,) * hidden, CLASSES]
    layers = [Layer("linear", a, b) for a, b in pairwise(sizes)]
    layers[-1] = dataclasses.replace(layers[-1], last=True)
    title = f"784-{width}x{hidden}-10, batch {batch}, T = {T}"
    return Workload(name, title, (784,), tuple(layers), batch, T, **options)


def vgg5(name: str, batch: int, T: int) -> Workload:
    """Four convolutions and a linear layer on images of 3 x 32 x 32, after pinchetti2025.

    All convolutions are padded by one: one without padding meets a slow path of the peer's
    compiler.
    """
    channels, side = (3, 128, 256, 512, 512), 32
    layers = []
    for wide, out in pairwise(channels):
        layers.append(Layer("conv", wide, out, side, padding=1))
        side = layers[-1].shape[-1]
    layers.append(Layer("linear", channels[-1] * side**2, CLASSES, side, last=True))
    title = f"VGG5 on 3x32x32, batch {batch}, T = {T}"
    return Workload(name, title, (3, 32, 32), tuple(layers), batch, T)


WORKLOADS = {
    "W1": mlp("W1", 512, 4, 200, 8),
    "W2": mlp("W2", 128, 30, 64, 60, unrolled=False),
    "W3": vgg5("W3", 8, 6),
}
"""A few wide layers; many narrow ones; convolutions."""

SWEEPS = {
    "depth": [mlp(f"depth {n}", 128, n, 64, 20) for n in (4, 8, 16, 32)],
    "width": [mlp(f"width {n}", n, 8, 64, 20) for n in (64, 128, 256, 512)],
    "batch": [mlp(f"batch {n}", 128, 8, n, 20) for n in (8, 32, 64, 256)],
    "steps": [mlp(f"steps {n}", 128, 8, 64, n) for n in (5, 20, 40, 100)],
}
"""One number at a time about 8 hidden layers of 128, batch 64, T = 20."""

TINY = {
    "dense": mlp("tiny", 12, 4, 20, 9),
    "conv": Workload(
        "tiny VGG",
        "a convolution and a linear layer",
        (3, 8, 8),
        (Layer("conv", 3, 6, 8, 1), Layer("linear", 96, CLASSES, 4, last=True)),
        20,
        5,
    ),
}
"""To see that everything runs."""
