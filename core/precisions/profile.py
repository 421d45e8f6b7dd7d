"""Weigh layers by their depth, the same at every step."""

from dataclasses import dataclass

import torch
from torch import Tensor

from core.catalogue import dial, entry


@entry("precision", "Depth profile", formula=r"\Pi_\ell(t) = g^{L - \ell}", source="this project")
@dataclass(frozen=True)
class Profile:
    r"""A geometric profile over depth, constant in time; the output layer weighs one.

    $\Pi_\ell(t) = g^{L-\ell}$: below $g = 1$ lower layers weigh less and follow the error from
    above more freely, beyond it they weigh more and need a smaller state rate. Precisions that
    follow no formula are a Table of one row.

    Source: this project.
    """

    g: float = dial(
        0.8, bounds=(0.1, 2.0), symbol="g", log=True, help="ratio of a layer's to that of the next"
    )

    def table(self, T: int, depth: Tensor) -> Tensor:
        """Precisions, (T, L)."""
        ratio = torch.tensor(self.g, dtype=torch.float64)
        return (ratio ** (depth.max() - depth)).expand(T, len(depth))
