"""How do gradients become new weights? One step of the optimiser on the mean over the batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from core.network import Network


def weight_step(
    network: Network,
    optimiser: torch.optim.Optimizer,
    gradients: Sequence[Tensor | None],
    batch: int,
) -> None:
    """Move the weights.

    Args:
        network: whose parameters they are.
        optimiser: of them.
        gradients: of each parameter, summed over the batch, divided in place; None leaves it out.
        batch: B.
    """
    for parameter, gradient in zip(network.parameters(), gradients, strict=True):
        parameter.grad = None if gradient is None else gradient.div_(batch)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    network.touch()
