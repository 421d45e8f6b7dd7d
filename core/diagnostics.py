"""What goes wrong in a relaxation, and how close is its update to backprop's?"""

from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Likeness:
    r"""How like backprop's each layer's update is, if the relaxation stopped here; nan without one.

    Args:
        cosine: $\langle G_\ell, G_\ell^{BP}\rangle / (\lVert G_\ell\rVert\,\lVert
            G_\ell^{BP}\rVert)$, (L,); nan where either is exactly zero.
        ratio: $\lVert G_\ell\rVert / \lVert G_\ell^{BP}\rVert$, (L,); nan where backprop's is zero.
        agreement: among the weights that backprop would move, the share that moves to the same
            side, (L,); nan where either update is exactly zero.
    """

    cosine: Tensor
    ratio: Tensor
    agreement: Tensor


class Reference:
    """Backprop's update of each layer, with what every update that stands beside it needs of it."""

    def __init__(self, update: Sequence[Tensor]) -> None:
        """Prepare it.

        Args:
            update: of each layer, flat.
        """
        self.most = [_most(b) for b in update]
        self.directions = [b / most for b, most in zip(update, self.most, strict=True)]
        self.norms = [other.norm() for other in self.directions]
        self.signs = [b.sign() for b in update]
        self.moved = [b.count_nonzero() for b in update]

    def beside(self, own: Sequence[Tensor]) -> Likeness:
        """How like backprop's an update is.

        Args:
            own: the update of each layer, flat.
        """
        rows = [self._layer(k, a) for k, a in enumerate(own)]
        cosine, ratio, agreement = (torch.stack(found) for found in zip(*rows, strict=True))
        return Likeness(cosine, ratio, agreement)

    def _layer(self, k: int, a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cosine, ratio of norms and share of equal signs."""
        if not len(a):
            none = a.new_full((), torch.nan)
            return none, none, none
        most, most_b, other = _most(a), self.most[k], self.norms[k]
        one = a / most  # scaled first, so that a tiny update keeps its direction
        norm = one.norm()
        cosine = (one @ self.directions[k]) / (norm * other)
        ratio = torch.where(most == 0, most / most_b, most / most_b * (norm / other))
        share = (a * self.signs[k] > 0).sum() / self.moved[k]
        return cosine, ratio, torch.where(most == 0, torch.nan, share.to(a))


def likeness(step: Step, reference: Reference | None = None) -> Likeness:
    """Each layer's update beside backprop's; where the bottom is free, backprop starts from h_0.

    Args:
        step: where the relaxation stands.
        reference: backprop's update at this step, where it is known.
    """
    own = by_layer(step.free_energy.network, step.recipe.learning.gradients(step))
    return (reference or Reference(backprop_by_layer(step))).beside(own)


def backprop_by_layer(step: Step) -> list[Tensor]:
    """Backprop's gradient of each layer, flat, from the roots of a step as they stand."""
    network = step.free_energy.network
    roots = {i: step.states[i] for i in network.roots}
    return by_layer(network, backprop_gradients(network, roots, step.target, step.phase.cost))


def alignment(step: Step) -> Tensor:
    """Cosine of each layer's update to the backprop update, if it stopped here, (L,)."""
    return likeness(step).cosine


def _most(x: Tensor) -> Tensor:
    """The largest magnitude; 0 of nothing."""
    return x.abs().amax() if len(x) else x.new_zeros(())


def diverged(total: Tensor, floor: float = 0.0) -> int | None:
    """The first row at which a relaxation has diverged, or None.

    Args:
        total: F of each row since the start, (T,).
        floor: rounding floor of the total.

    Returns:
        The first row that is not finite or a million times as far from zero as any of the first
        five; below zero a negative nudge may draw F.
    """
    start = total[:5].abs()
    start = start[torch.isfinite(start)]
    limit = 1e6 * max(float(start.max()) if len(start) else 0.0, floor)
    bad = ~torch.isfinite(total) | ((total.abs() > limit) & (limit > 0))
    return int(bad.nonzero()[0]) if bool(bad.any()) else None
