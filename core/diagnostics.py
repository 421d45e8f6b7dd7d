"""What goes wrong in a relaxation, and how close is its update to backprop's?"""

from collections.abc import Sequence

import torch
from torch import Tensor

from core.free_energy import backprop_gradients
from core.network import Network
from core.step import Step


def by_layer(network: Network, gradients: Sequence[Tensor | None]) -> list[Tensor]:
    """One flat vector of gradients for each layer, in depth order; None counts as zeros."""
    named = {
        name: torch.zeros_like(parameter) if g is None else g
        for (name, parameter), g in zip(network.named_parameters(), gradients, strict=True)
    }
    found = []
    for i in network.layers:
        own = [g.flatten() for name, g in named.items() if name.startswith(f"maps.{i}.")]
        found.append(torch.cat(own) if own else network.example.new_zeros(0))
    return found


def alignment(step: Step) -> Tensor:
    r"""Cosine of each layer's update to the backprop update, if the relaxation stopped here, (L,).

    $\cos_\ell = \langle G_\ell, G_\ell^{BP}\rangle
    / (\lVert G_\ell\rVert\,\lVert G_\ell^{BP}\rVert)$. A layer whose update is exactly zero, or
    that has no weights, has no direction: nan. Where the bottom is free, backprop starts from h_0
    as it stands.
    """
    network = step.free_energy.network
    own = step.recipe.learning.gradients(step)
    roots = {i: step.states[i] for i in network.roots}
    reference = backprop_gradients(network, roots, step.target, step.phase.cost)
    found = []
    for a, b in zip(by_layer(network, own), by_layer(network, reference), strict=True):
        if len(a):  # Scaled before the product, so that a tiny update keeps its direction.
            a, b = a / a.abs().amax(), b / b.abs().amax()
        found.append((a @ b) / (a.norm() * b.norm()))
    return torch.stack(found)


def diverged(total: Tensor, floor: float = 0.0) -> int | None:
    """The first row at which a relaxation has diverged, or None.

    Args:
        total: F of each row since the start, (T,).
        floor: rounding floor of the total.

    Returns:
        The first row that is not finite or above a million times the largest of the first five.
    """
    start = total[:5]
    start = start[torch.isfinite(start)]
    limit = 1e6 * max(float(start.max()) if len(start) else 0.0, floor)
    bad = ~torch.isfinite(total) | ((total > limit) & (limit > 0))
    return int(bad.nonzero()[0]) if bool(bad.any()) else None
