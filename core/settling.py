"""Which samples have still to relax? What the tolerance says of a residual."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from core.experiment import Recipe
    from core.network import States


def goes_on(residual: Tensor, recipe: "Recipe", stopped: Tensor | None) -> Tensor:
    """Which samples have not been within the tolerance, (B,).

    Args:
        residual: RMS of dF/dh over the free units of each sample, (B,).
        recipe: its tolerance, and whether the batch is judged as one or each sample by itself.
        stopped: samples that had been within it before, (B,); None where there is none.
    """
    if recipe.stop == "batch":
        residual = residual.square().mean().sqrt().expand(len(residual))
    unsettled = ~(residual <= recipe.tolerance)  # so is what is not a number
    return unsettled if stopped is None else unsettled & ~stopped


def only(moves: Tensor, moved: "States", old: "States") -> "States":
    """The moved states of the samples that move, the old ones of the others.

    Args:
        moves: which samples do, (B,).
        moved: h_0 ... h_N after an update.
        old: before it.
    """
    return [
        torch.where(moves.reshape(-1, *(1,) * (h.dim() - 1)), h, before)
        for h, before in zip(moved, old, strict=True)
    ]
