"""Every layer weighs the same, always."""

from dataclasses import dataclass

import torch
from torch import Tensor

from core.catalogue import entry


@entry("precision", "Identity", formula=r"\Pi_\ell(t) = 1", source="whittington2017")
@dataclass(frozen=True)
class Identity:
    r"""All precisions are one: the standard predictive coding network.

    $\Pi_\ell(t) = 1$.

    Source: whittington2017.
    """

    def table(self, T: int, depth: Tensor) -> Tensor:
        """Precisions, (T, L)."""
        return torch.ones(T, len(depth))
