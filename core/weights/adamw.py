"""AdamW, torch's own."""

from dataclasses import dataclass

import torch

from core.catalogue import dial, entry
from core.network import Network
from core.weights.schedules import schedule_dial, scheduled, span_dial


@entry(
    "weights",
    "AdamW",
    formula=r"\theta \leftarrow \theta "
    r"- \eta\,(\hat v_1/(\sqrt{\hat v_2}+\epsilon) + \lambda\theta)",
    source="loshchilov2019",
)
@dataclass(frozen=True)
class AdamW:
    r"""Adam with decoupled weight decay: torch.optim.AdamW.

    $\theta \leftarrow \theta - \eta\,(\hat v_1/(\sqrt{\hat v_2}+\epsilon) + \lambda\theta)$, on
    gradients that are means over the batch.

    Source: loshchilov2019.
    """

    rate: float = dial(5e-4, bounds=(0.0, 10.0), symbol="η", log=True, help="weight learning rate")
    decay: float = dial(0.01, bounds=(0.0, 10.0), symbol="λ", help="decoupled weight decay")
    schedule: str = schedule_dial()
    span: int = span_dial()

    def __call__(self, network: Network) -> torch.optim.Optimizer:
        """The optimiser of all parameters."""
        made = torch.optim.AdamW(
            network.parameters(), lr=self.rate, weight_decay=self.decay, fused=True
        )
        return scheduled(made, self.schedule, self.span)
