"""Cross-entropy between a clamped target and the softmax of the prediction."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from core.catalogue import entry


@entry(
    "energy",
    "Cross-entropy",
    formula=r"E_L = -\sum_k h_{L,k} \log \mathrm{softmax}(\mu_L)_k",
    source="pinchetti2025",
)
@dataclass(frozen=True)
class CrossEntropy:
    r"""Categorical output layer: cross-entropy of the clamped target with the softmax prediction.

    $E_L = -\sum_k h_{L,k} \log \mathrm{softmax}(\mu_L)_k$. It is linear in $h_L$, so the output
    must be clamped; it is not zero at $h_L = \mu_L$.

    Source: pinchetti2025.
    """

    quadratic: ClassVar[bool] = False

    def __call__(self, h: Tensor, mu: Tensor) -> Tensor:
        """Energy per sample in nats, (B,)."""
        return -(h * mu.log_softmax(1)).sum(1)

    def error(self, h: Tensor, mu: Tensor) -> Tensor:
        """The error h - softmax(mu), minus the derivative by mu for targets of sum 1."""
        return h - mu.softmax(1)
