"""What does an initialization get to see?"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from core.network import Network, States


@dataclass(frozen=True)
class Start:
    """All that an init may use; it can grow without changing any init.

    Args:
        network: whose states are wanted.
        clamped: values of the clamped states by index, each (B, *shape).
        labels: class of each sample, (B,), or None.
        classes: number of classes.
        memory: what this init's `observe` returned last, or None.
        previous: the final states of the batch before, or None.
        generator: source of all noise.
        samples: number of samples, B; by default as many as the clamped states have.
    """

    network: Network
    clamped: dict[int, Tensor]
    labels: Tensor | None = None
    classes: int = 0
    memory: Any = None
    previous: States | None = None
    generator: torch.Generator | None = None
    samples: int = 0

    @property
    def count(self) -> int:
        """Number of states."""
        return len(self.network.nodes)

    @property
    def batch(self) -> int:
        """Number of samples, B."""
        return self.samples or next(iter(self.clamped.values())).shape[0]

    @property
    def acyclic(self) -> bool:
        """Whether the graph has no cycle, so that it can be swept."""
        return self.network.acyclic

    def zeros(self, i: int) -> Tensor:
        """A state of zeros, (B, *shape)."""
        return self.network.example.new_zeros((self.batch, *self.network.nodes[i].shape))

    def noise(self, i: int) -> Tensor:
        """Standard normal noise, (B, *shape); of several ranks each has its rows of one draw."""
        like, ranks = self.network.example, self.network.ranks
        shape = (self.batch * ranks.count, *self.network.nodes[i].shape)
        drawn = torch.randn(shape, generator=self.generator, dtype=like.dtype)
        return drawn[ranks.rows].to(like.device)

    def first_guess(self) -> States:
        """A forward sweep, or zeros where a free root or a cycle rules it out: without a past."""
        if self.acyclic and all(i in self.clamped for i in self.network.roots):
            return self.network.sweep(self.clamped)
        return [self.zeros(i) for i in range(self.count)]
