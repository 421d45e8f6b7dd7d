"""Wake one layer at a time, on the step at which the output error reaches it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from core.catalogue import dial, entry


@entry(
    "precision",
    "Spiking",
    formula=r"\Pi_\ell(t) = 1 \text{ if } t = L - \ell \text{ else } a_\Pi",
    source="qi2026",
)
@dataclass(frozen=True)
class Spiking:
    r"""A layer's precision is one on the step at which the error arrives, small at rest.

    $\Pi_\ell(t) = 1$ if $t = L - \ell$, else $a_\Pi$. With forward init the hidden displacement
    becomes proportional to the backprop error, with depth profile $\alpha^{L-\ell}(1 - \alpha)$; a
    state rate of 1 erases every hidden error one step after it arrives. A layer with
    $L - \ell \ge T$ never spikes.

    Source: qi2026 (released code, indices shifted to l = 1..L).
    """

    rest: float = dial(
        1e-3, bounds=(0.0, 1.0), symbol="a_Π", log=True, help="precision of the layers at rest"
    )

    def table(self, T: int, depth: Tensor) -> Tensor:
        """Precisions, (T, L): the output layer spikes at t = 0."""
        t = torch.arange(T)[:, None]  # (T, 1)
        spike = torch.tensor(1.0, dtype=torch.float64)  # so that `rest` is not rounded to float32
        return torch.where(t == depth.max() - depth, spike, self.rest)
