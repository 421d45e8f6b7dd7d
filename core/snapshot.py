"""What must be kept so that a relaxation can go on from an earlier step?"""

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from core.experiment import Recipe
from core.network import Network, States
from core.normalization import Statistics
from core.phase import Phase


@dataclass(frozen=True)
class Snapshot:
    """All that a relaxation needs to go on from one step; weights are shared between snapshots."""

    t: int
    phases: tuple[Phase, ...]
    phase: int
    clock: int
    recipe: Recipe
    states: States
    before: States | None
    first: States
    memory: Any
    generator: Tensor | None
    weights: "Weights"
    ended: tuple[tuple[Phase, States], ...]
    precisions: Any
    stopped: Tensor | None = None
    statistics: Statistics | None = None
    handed: dict[int, Tensor] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """Memory of the states, without the shared weights."""
        held = [*self.states, *(self.before or ()), *self.first, *self.handed.values()]
        return sum(h.element_size() * h.nelement() for h in held)


@dataclass(frozen=True)
class Weights:
    """A copy of all weights and of the optimiser's memory, with the optimiser's type."""

    version: int
    values: dict[str, Tensor]
    optimiser: dict[str, Any] | None
    kind: type[torch.optim.Optimizer] | None = None

    @classmethod
    def of(cls, network: Network, optimiser: torch.optim.Optimizer | None) -> "Weights":
        """A copy of what the network and its optimiser hold now."""
        values = {k: v.detach().clone() for k, v in network.state_dict().items()}
        if optimiser is None:
            return cls(network.version, values, None)
        memory = copy.deepcopy(optimiser.state_dict())
        return cls(network.version, values, memory, type(optimiser))

    @property
    def bytes(self) -> int:
        """Memory of the copy, the optimiser's counted as twice the weights."""
        size = sum(v.element_size() * v.nelement() for v in self.values.values())
        return size * (3 if self.optimiser else 1)

    def into(self, network: Network, optimiser: torch.optim.Optimizer | None) -> None:
        """Put the copy back, unless the network still has these weights.

        An optimiser of another type than the copy's gets an empty memory.
        """
        if self.version == network.version:
            return
        network.load_state_dict(self.values)
        network.version = self.version
        if optimiser is None or self.optimiser is None:
            return
        if type(optimiser) is self.kind:
            optimiser.load_state_dict(copy.deepcopy(self.optimiser))
        else:
            optimiser.state.clear()
