"""Let each layer's precision follow the size of its errors."""

from dataclasses import dataclass

import torch
from torch import Tensor

from core.catalogue import dial, entry
from core.free_energy import FreeEnergy
from core.network import States


@entry(
    "precision",
    "Learned",
    formula=r"\log \Pi_\ell \leftarrow \log \Pi_\ell "
    r"- \frac{\eta}{2} (\Pi_\ell |e_\ell|^2 / d_\ell - 1)",
    source="this project",
)
@dataclass(frozen=True)
class Learned:
    r"""The precision of each layer descends a free energy of its own, beside the states.

    Per sample $F_\ell = \frac12 \Pi_\ell \lVert e_\ell \rVert^2 - \frac12 d_\ell \log \Pi_\ell$
    with $d_\ell$ units. Its gradient by $\log \Pi_\ell$, per unit, is
    $\frac12 (\Pi_\ell \langle\lVert e_\ell \rVert^2\rangle / d_\ell - 1)$, mean over the batch. At
    its fixed point $\Pi_\ell = d_\ell / \langle\lVert e_\ell \rVert^2\rangle$, every layer has
    $\Pi_\ell E_\ell = d_\ell / 2$. Without the logarithm the optimum is $\Pi_\ell = 0$.

    Every layer begins at 1, and what was learnt stays from batch to batch. A layer without any
    error asks for an infinite precision and drifts to the bound, as hidden layers do after forward
    init until the error arrives. A layer outside the energy window does not learn, and one with
    another energy than half the squared error, as cross-entropy, stays at 1. The output precision
    multiplies the output's whole $F_L$, so that it does not change the fixed point of $\Pi_L$.

    Source: this project; F_l is the negative log-likelihood of a Gaussian, less a constant.
    """

    rate: float = dial(
        0.1, bounds=(0.0, 2.0), symbol="η", log=True, help="step of the log precision, per unit"
    )
    bound: float = dial(
        7.0, bounds=(0.0, 30.0), help="largest log precision, and minus the smallest one"
    )

    def init(self, depth: Tensor) -> Tensor:
        """Log precisions of zero, (L,)."""
        return torch.zeros(len(depth), dtype=torch.float64)

    def row(self, memory: Tensor) -> Tensor:
        """The precisions in force, (L,)."""
        return memory.exp()

    def step(self, free_energy: FreeEnergy, states: States, memory: Tensor) -> Tensor:
        """Log precisions one state update later, (L,)."""
        energies = free_energy.energies(states)  # (L, B)
        nodes = [free_energy.network.nodes[i] for i in free_energy.network.layers]
        # 2 / d_l where E_l = |e_l|^2 / 2, nan elsewhere; sent without waiting for the device.
        scale = [2.0 / node.size if node.energy.quadratic else torch.nan for node in nodes]
        share = torch.tensor(scale, dtype=energies.dtype).to(energies.device, non_blocking=True)
        now = memory.to(energies.device, energies.dtype, non_blocking=True)
        gradient = 0.5 * (now.exp() * share * energies.mean(1) - 1)
        learns = ~share.isnan() & (free_energy.precision > 0)
        moved = (now - self.rate * gradient).clamp(-self.bound, self.bound)
        return torch.where(learns, moved, now)
