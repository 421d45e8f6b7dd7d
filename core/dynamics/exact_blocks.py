"""What if each layer went straight to its best value? One solve where F is quadratic in it."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from core.catalogue import dial, entry
from core.dynamics.gradient import RATE
from core.free_energy import FreeEnergy
from core.network import States
from core.networks.layers import linear_part


@entry(
    "dynamics",
    "Exact block minimisation",
    formula=r"h_\ell \leftarrow \mathrm{argmin}_{h_\ell} F:\quad (\Pi_\ell I + "
    r"W_{\ell+1}^\top \Pi_{\ell+1} W_{\ell+1})\, h_\ell = \Pi_\ell \mu_\ell + "
    r"W_{\ell+1}^\top \Pi_{\ell+1} (h_{\ell+1} - b_{\ell+1})",
    source="this project",
)
@dataclass(frozen=True)
class ExactBlocks:
    r"""One state after the other goes to the minimum of F over it, from the output to the input.

    Gauss-Seidel by blocks: where all energies around a state are squared errors and every layer
    that reads it is linear, F is quadratic in it, and it solves
    $(\Pi_\ell I + \sum_c \Pi_c W_c^\top W_c) h_\ell = \Pi_\ell \mu_\ell
    + \sum_c \Pi_c W_c^\top (h_c - b_c)$ over the layers c that read it. A free output that a
    squared error nudges goes to $(\Pi_L \mu_L + \beta y) / (\Pi_L + \beta)$. A state whose F is not
    known to be quadratic (an activation or a convolution above it, cross-entropy around it) takes
    one gradient step of the rate instead. Where all are quadratic F never rises; a negative nudge
    beyond $-\Pi_L$ leaves the output without a minimum, and it takes a gradient step too. Each
    solve costs the cube of a layer's width.

    Source: this project (block coordinate descent is textbook).
    """

    rate: float = dial(0.1, help="of the gradient step where F is not quadratic", **RATE)

    descends: ClassVar[bool] = True

    def init(
        self, free_energy: FreeEnergy, states: States, generator: torch.Generator | None
    ) -> None:
        """Exact steps have no memory."""
        return None

    def step(self, free_energy: FreeEnergy, states: States, memory: None) -> tuple[States, None]:
        """The states after every free one has had its turn."""
        nodes = free_energy.network.nodes
        for i in sorted(range(len(states)), key=lambda i: nodes[i].depth, reverse=True):
            if i in free_energy.clamped:
                continue
            g = free_energy.forces(states)[i]
            size = Curvature.of(free_energy, states, i)
            h = states[i] - (self.rate * g if size is None else size.solved(g))
            states = [h if k == i else other for k, other in enumerate(states)]
        return states, None


@dataclass(frozen=True)
class Curvature:
    """The second derivative of F by one state: a number for each sample plus a matrix for all.

    Since F is quadratic, one Newton step from anywhere ends at the minimum.

    Args:
        shift: what its own prediction, the nudge and the decay add to the diagonal, (B,).
        matrix: what the layers that read it add, (d, d); None if there is none.
        held: mask of the units that do not move, (B, d); None if all move.
    """

    shift: Tensor
    matrix: Tensor | None
    held: Tensor | None

    @classmethod
    def of(cls, free_energy: FreeEnergy, states: States, i: int) -> "Curvature | None":
        """The curvature by state i, or None where F is not known to be convex and quadratic."""
        network = free_energy.network
        shift = states[i].new_full((len(states[i]),), free_energy.decay)
        matrix = None
        for pi, layer in zip(free_energy.precision, network.layers, strict=True):
            node = network.nodes[layer]
            if layer != i and i not in node.parents:
                continue
            if not node.energy.quadratic:
                return None
            if layer == i:
                shift = shift + pi
            if i in node.parents:
                part = linear_part(network.maps[str(layer)])
                if part is None or layer == i or len(node.parents) > 1:
                    return None
                added = pi * part.matrix.T @ part.matrix
                matrix = added if matrix is None else matrix + added
        if i == network.top and free_energy.cost is not None:
            nudge = torch.as_tensor(free_energy.nudge, dtype=shift.dtype, device=shift.device)
            if not getattr(free_energy.cost, "quadratic", False) and bool((nudge != 0).any()):
                return None
            shift = shift + nudge
            if bool((shift <= 0).any()):
                return None
        held = free_energy.held.get(i)
        return cls(shift, matrix, None if held is None else held.flatten(1))

    def solved(self, g: Tensor) -> Tensor:
        """The Newton step from a gradient (B, *shape); none where F is flat."""
        if self.matrix is None:
            shift = self.shift.reshape(-1, *(1,) * (g.dim() - 1))
            return torch.where(shift > 0, g / shift, torch.zeros_like(g))
        rows = self.shift[:, None]
        if self.held is not None:
            rows = torch.cat([rows, self.held.to(rows)], dim=1)
        alike, which = rows.unique(dim=0, return_inverse=True)
        flat, step = g.flatten(1), torch.zeros_like(g.flatten(1))
        for k, row in enumerate(alike):  # samples with the same curvature are solved together
            step[which == k] = flat[which == k] @ _inverse(self.matrix, row[0], row[1:])
        if self.held is not None:
            step = step.masked_fill(self.held, 0.0)
        return step.reshape(g.shape)


def _inverse(matrix: Tensor, shift: Tensor, held: Tensor) -> Tensor:
    """The inverse of matrix + shift over the units that move, zero for the others, (d, d).

    Directions in which F is flat stay as they are. On the CPU: not every device finds eigenvalues.
    """
    whole = matrix + shift * torch.eye(len(matrix)).to(matrix)
    if len(held):
        moves = 1.0 - held
        whole = whole * moves * moves[:, None]
    return torch.linalg.pinv(whole.cpu(), hermitian=True).to(matrix)
