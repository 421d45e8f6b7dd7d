"""Half the squared distance between state and prediction."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from core.catalogue import entry


@entry(
    "energy",
    "Squared error",
    formula=r"E_\ell = \frac{1}{2} \Vert h_\ell - \mu_\ell \Vert^2",
    source="whittington2017",
)
@dataclass(frozen=True)
class SquaredError:
    r"""Gaussian layer: half the squared error, so that its gradient is the error itself.

    $E_\ell = \frac12 \lVert h_\ell - \mu_\ell \rVert^2$, the negative log-likelihood of a
    unit-variance Gaussian up to a constant.

    Source: whittington2017.
    """

    quadratic: ClassVar[bool] = True

    def __call__(self, h: Tensor, mu: Tensor) -> Tensor:
        """Energy per sample in nats, (B,)."""
        return 0.5 * (h - mu).flatten(1).square().sum(1)

    def error(self, h: Tensor, mu: Tensor) -> Tensor:
        """The error h - mu, minus the derivative of the energy by the prediction, (B, *shape)."""
        return h - mu
