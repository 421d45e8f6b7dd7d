"""The image below and its label above are clamped; the hidden states relax."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn.functional import one_hot

from core.batches import Batch
from core.catalogue import entry
from core.network import Network
from core.phase import Phase


@entry("task", "Classify", formula=r"h_0 = x,\quad h_L = y", source="whittington2017")
@dataclass(frozen=True)
class Classify:
    """Clamp the image at the input and the one-hot label at the output: training a classifier.

    $h_0 = x$, $h_L = y$. Accuracy is always that of a plain forward pass.

    Source: whittington2017.
    """

    image_at: ClassVar[str] = "input"

    def phases(
        self, network: Network, batch: Batch, classes: int, generator: torch.Generator
    ) -> tuple[Phase, ...]:
        """One phase with both ends clamped."""
        y = one_hot(batch.y, classes).to(network.example)
        x = batch.x.flatten(1).reshape(-1, *network.nodes[0].shape).to(network.example)
        return (Phase("relax", clamped={0: x, network.top: y}),)
