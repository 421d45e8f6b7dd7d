"""What if the errors were the variables? Every layer then feels the output at the first step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from core.catalogue import BadInput, dial, entry
from core.dynamics.gradient import RATE
from core.free_energy import FreeEnergy
from core.network import States

Memory = tuple[list[Tensor], States]
"""The variables of each state, and the states that they made."""


@entry(
    "dynamics",
    "Error optimisation (ePC)",
    formula=r"\epsilon \leftarrow \epsilon - \alpha\, \partial F/\partial\epsilon,\quad "
    r"h_\ell = f_\ell(h_{\ell-1}) + \epsilon_\ell",
    source="goemaere2026",
)
@dataclass(frozen=True)
class ErrorBased:
    r"""Descend the errors, not the states: the output's error reaches all layers in one step.

    $\epsilon_\ell \leftarrow \epsilon_\ell - \alpha\,dF/d\epsilon_\ell$, then one sweep
    $h_\ell = f_\ell(h_{\ell-1}) + \epsilon_\ell$. F and its equilibria are those of the states;
    only the path differs. In a linear network the curvature is $I + J^\top J$, J from all errors to
    the output: well conditioned where the weights contract, worse than that of the states where
    their product grows. A free root is its own variable. The graph must be acyclic: each step goes
    through the whole chain and back. Weights should learn by the local rule at the new states
    (Predictive coding), not by differentiating $F(\epsilon)$: away from the equilibrium that is
    global backprop, and at $\epsilon = 0$ exactly its gradient. While $\alpha T$ is small,
    $\epsilon_\ell \approx \alpha T \delta_\ell$: the direction of backprop again.

    Source: goemaere2026.
    """

    rate: float = dial(0.1, help="learning rate of the errors, per step and sample", **RATE)

    descends: ClassVar[bool] = True

    def init(
        self, free_energy: FreeEnergy, states: States, generator: torch.Generator | None
    ) -> Memory:
        """The errors of the states as they stand.

        Raises:
            BadInput: if states predict each other in a cycle.
        """
        try:
            free_energy.network.order()
        except ValueError as cycle:
            raise BadInput(
                f"dynamics: ErrorBased; another rule, since states are swept here: {cycle}"
            ) from cycle
        return self._read(free_energy, states), states

    def step(
        self, free_energy: FreeEnergy, states: States, memory: Memory
    ) -> tuple[States, Memory]:
        """The states that the new errors make, and these errors."""
        old = self._current(free_energy, states, memory)
        with torch.enable_grad():
            variables = [
                v.detach().requires_grad_(i not in free_energy.clamped) for i, v in enumerate(old)
            ]
            free = [v for v in variables if v.requires_grad]
            total = energy_of_errors(free_energy, states, variables)
            forces = iter(torch.autograd.grad(total, free, allow_unused=True) if free else ())
        new = []
        for i, v in enumerate(old):
            g = next(forces) if i not in free_energy.clamped else None
            new.append(v if g is None else v - self.rate * g)
        moved, _ = swept(free_energy, states, new)
        return moved, (new, moved)

    def _read(self, free_energy: FreeEnergy, states: States) -> list[Tensor]:
        """State minus prediction for layers, the state itself for roots."""
        network = free_energy.network
        mu = dict(zip(network.layers, network.predictions(states), strict=True))
        return [h - mu[i] if i in mu else h for i, h in enumerate(states)]

    def _current(self, free_energy: FreeEnergy, states: States, memory: Memory) -> list[Tensor]:
        """The variables, read anew for samples whose states are not those that they made.

        They are kept, not read at every step, because an error far smaller than its state would
        lose its digits in the sum.
        """
        variables, made = memory
        if all(h is m for h, m in zip(states, made, strict=True)):
            return variables
        other = torch.stack(
            [(h != m).flatten(1).any(1) for h, m in zip(states, made, strict=True)]
        ).any(0)  # (B,)
        return [
            torch.where(other.reshape(-1, *(1,) * (v.dim() - 1)), read, v)
            for read, v in zip(self._read(free_energy, states), variables, strict=True)
        ]


def swept(
    free_energy: FreeEnergy, states: States, variables: Sequence[Tensor]
) -> tuple[States, dict[int, Tensor]]:
    """The states that errors make, and each layer's prediction on the way.

    Args:
        free_energy: says what is clamped and held.
        states: give the values of what is clamped or held.
        variables: the error of each free layer, the value of each free root, (B, *shape).
    """
    network = free_energy.network
    made, predictions = list(states), {}
    for i in network.roots:
        made[i] = _kept(free_energy, states, i, variables[i])
    for i in network.order():
        mu = predictions[i] = network.prediction(i, made)
        made[i] = _kept(free_energy, states, i, mu + variables[i])
    return made, predictions


def energy_of_errors(
    free_energy: FreeEnergy, states: States, variables: Sequence[Tensor]
) -> Tensor:
    """F of the states that errors make, a scalar that can be differentiated by the errors.

    Args:
        free_energy: whose F is taken.
        states: give the values of what is clamped or held.
        variables: the error of each free layer, the value of each free root, (B, *shape).
    """
    made, predictions = swept(free_energy, states, variables)
    network = free_energy.network
    total = made[0].new_zeros(())
    for pi, i in zip(free_energy.precision, network.layers, strict=True):
        energy, mu = network.nodes[i].energy, predictions[i]
        own = i not in free_energy.clamped and i not in free_energy.held
        if own and energy.quadratic:  # of the error itself, which the sum mu + error would round
            found = energy(variables[i], torch.zeros_like(mu))
        else:
            found = energy(made[i], mu)
        total = total + (pi * found).sum()
    if free_energy.cost is not None and free_energy.target is not None:
        cost = free_energy.cost(made[network.top], free_energy.target)
        total = total + (free_energy.nudge * cost).sum()
    if free_energy.decay:
        free = [h for i, h in enumerate(made) if i not in free_energy.clamped]
        total = total + sum(0.5 * free_energy.decay * h.square().sum() for h in free)
    return total


def _kept(free_energy: FreeEnergy, states: States, i: int, value: Tensor) -> Tensor:
    """The value, but for a clamped state and for held units."""
    if i in free_energy.clamped:
        return states[i]
    if i in free_energy.held:
        return torch.where(free_energy.held[i], states[i], value)
    return value
