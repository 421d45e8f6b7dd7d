"""Stochastic gradient descent, torch's own."""

from dataclasses import dataclass

import torch

from core.catalogue import dial, entry
from core.network import Network
from core.weights.schedules import schedule_dial, scheduled, span_dial


@entry(
    "weights",
    "SGD",
    formula=r"b \leftarrow m b + g + \lambda\theta,\quad \theta \leftarrow \theta - \eta b",
    source="robbins1951",
)
@dataclass(frozen=True)
class SGD:
    r"""Gradient descent with optional momentum: torch.optim.SGD.

    $b \leftarrow m b + g + \lambda\theta$, $\theta \leftarrow \theta - \eta b$, on gradients that
    are means over the batch.

    Source: robbins1951.
    """

    rate: float = dial(0.01, bounds=(0.0, 10.0), symbol="η", log=True, help="weight learning rate")
    momentum: float = dial(0.0, bounds=(0.0, 0.999), symbol="m", help="share of the old step kept")
    decay: float = dial(0.0, bounds=(0.0, 10.0), symbol="λ", help="weight decay")
    nesterov: bool = dial(False, help="whether the momentum looks ahead; needs momentum")
    schedule: str = schedule_dial()
    span: int = span_dial()

    def __call__(self, network: Network) -> torch.optim.Optimizer:
        """The optimiser of all parameters."""
        made = torch.optim.SGD(
            network.parameters(),
            lr=self.rate,
            momentum=self.momentum,
            weight_decay=self.decay,
            nesterov=self.nesterov and self.momentum > 0,
        )
        return scheduled(made, self.schedule, self.span)
