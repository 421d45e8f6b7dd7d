"""When do errors become backprop's? When predictions and Jacobians stay those of the start."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from core.catalogue import dial, entry
from core.dynamics.gradient import RATE
from core.free_energy import FreeEnergy
from core.network import States


@entry(
    "dynamics",
    "Fixed prediction",
    formula=r"h_\ell \leftarrow h_\ell - \alpha\,(\Pi_\ell e_\ell - "
    r"J_{\ell+1}^{0\top} \Pi_{\ell+1} e_{\ell+1}),\quad e_\ell = h_\ell - \mu_\ell^0",
    source="millidge2022",
)
@dataclass(frozen=True)
class FixedPrediction:
    r"""Errors against the first predictions: with forward init they relax to backprop's.

    $h_\ell \leftarrow h_\ell - \alpha(\Pi_\ell e_\ell - J_{\ell+1}^{0\top}\Pi_{\ell+1} e_{\ell+1})$
    with $e_\ell = h_\ell - \mu_\ell^0$; predictions $\mu^0$ and Jacobians $J^0$ are those of the
    states as they stood when the rule began. Any stable rate reaches $e_\ell = \delta_\ell$ in the
    limit, not the equilibrium of F. The weights get the gradient of backprop under these
    conditions: forward init, every precision 1, no decay, no window, a clamped output, the rule in
    force from the first step, and the learning rule Forward update, which reads the first states.

    Source: millidge2022.
    """

    rate: float = dial(0.1, help="state learning rate, per step and sample", **RATE)

    settles: ClassVar[bool] = False

    def init(
        self, free_energy: FreeEnergy, states: States, generator: torch.Generator | None
    ) -> States:
        """The states whose predictions are kept."""
        return states

    def step(
        self, free_energy: FreeEnergy, states: States, memory: States
    ) -> tuple[States, States]:
        """The states one step later."""
        forces = _forces(free_energy, states, memory)
        moved = []
        for i, (h, g) in enumerate(zip(states, forces, strict=True)):
            if i in free_energy.clamped:
                moved.append(h)
                continue
            g = g.masked_fill(free_energy.held[i], 0.0) if i in free_energy.held else g
            moved.append(h - self.rate * g)
        return moved, memory


def _forces(free_energy: FreeEnergy, states: States, first: States) -> list[Tensor]:
    """dF/dh with the predictions, and their derivatives, of the first states.

    F is differentiated by the states that are judged and by the states that predict, which are two
    sets of variables here; both derivatives belong to the state.
    """
    network = free_energy.network
    with torch.enable_grad():
        judged = [h.detach().requires_grad_() for h in states]
        reading = [h.detach().requires_grad_() for h in first]
        mu = network.predictions(reading)
        total = judged[0].new_zeros(())
        for pi, i, m in zip(free_energy.precision, network.layers, mu, strict=True):
            total = total + (pi * network.nodes[i].energy(judged[i], m)).sum()
        if free_energy.cost is not None and free_energy.target is not None:
            cost = free_energy.cost(judged[network.top], free_energy.target)
            total = total + (free_energy.nudge * cost).sum()
        both = torch.autograd.grad(total, [*judged, *reading], allow_unused=True)
    forces = []
    for h, own, handed in zip(states, both[: len(states)], both[len(states) :], strict=True):
        parts = [g for g in (own, handed) if g is not None]
        forces.append(sum(parts, free_energy.decay * h))
    return forces
