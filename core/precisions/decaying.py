"""Wake each layer when the error reaches it, then let it fade."""

from dataclasses import dataclass

import torch
from torch import Tensor

from core.catalogue import dial, entry


@entry(
    "precision",
    "Decaying",
    formula=r"\Pi_\ell(t) = \frac{e^{-k j}}{100} \sum_{i<R} e^{-k i},\ j = t - (L - \ell) \geq 1",
    source="qi2026",
)
@dataclass(frozen=True)
class Decaying:
    r"""Zero before the error arrives, one when it does, an exponential tail after.

    With $j = t - (L - \ell)$ and $R = T - (L - \ell)$: $\Pi_\ell(t) = 0$ for $j < 0$, 1 for $j = 0$
    and $\frac{1}{100} e^{-kj} \sum_{i<R} e^{-ki}$ for $j \ge 1$. The name suggests a tail divided
    by its sum; the released code multiplies by it, and so does this entry. It needs T at least L.

    Source: qi2026 (released code).
    """

    k: float = dial(1.0, bounds=(0.0, 10.0), symbol="k", help="how fast the tail falls")

    def table(self, T: int, depth: Tensor) -> Tensor:
        """Precisions, (T, L)."""
        t = torch.arange(T)[:, None]  # (T, 1)
        arrival = depth.max() - depth  # (L,)
        j = t - arrival
        i = torch.arange(T)[:, None]
        powers = torch.exp(-self.k * i.double())
        total = torch.where(i < T - arrival, powers, 0.0).sum(0)  # (L,)
        tail = torch.exp(-self.k * j.double()) * total / 100
        return torch.where(j < 0, 0.0, torch.where(j == 0, 1.0, tail))
