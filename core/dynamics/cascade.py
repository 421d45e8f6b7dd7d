"""How can one pass of states do what backprop does? One layer moves at a time, by its gradient."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from core.catalogue import dial, entry
from core.dynamics.gradient import RATE
from core.free_energy import FreeEnergy
from core.network import States


@entry(
    "dynamics",
    "One layer a step (Z-IL)",
    formula=r"h_{L-1-t} \leftarrow h_{L-1-t} - \alpha\,\partial F/\partial h_{L-1-t}",
    source="song2020",
)
@dataclass(frozen=True)
class Cascade:
    r"""At step t only the states of depth L - 1 - t move: one pass from the output to the input.

    $h_{L-1-t} \leftarrow h_{L-1-t} - \alpha\,\partial F / \partial h_{L-1-t}$; after L - 1 steps, L
    where the bottom is free, nothing moves any more. The errors are exactly those of backprop under
    these conditions: rate 1, forward init, a precision of 1 for layer L - t at step t, a clamped
    output, the rule in force from the first step, and a graph in which the parents of a state all
    have the same depth (every chain). With the learning rule Z-IL and T >= L the weight updates
    then are backprop's.

    Source: song2020.
    """

    rate: float = dial(1.0, help="step size; the equality with backprop needs 1", **RATE)

    settles: ClassVar[bool] = False

    def init(
        self, free_energy: FreeEnergy, states: States, generator: torch.Generator | None
    ) -> int:
        """The number of steps taken."""
        return 0

    def step(self, free_energy: FreeEnergy, states: States, memory: int) -> tuple[States, int]:
        """The states one step later, and the number of steps."""
        nodes = free_energy.network.nodes
        turn = int(free_energy.network.depth.max()) - 1 - memory
        forces = free_energy.forces(states)
        moved = [
            h - self.rate * g if node.depth == turn and i not in free_energy.clamped else h
            for i, (node, h, g) in enumerate(zip(nodes, states, forces, strict=True))
        ]
        return moved, memory + 1
