"""The image below and its label above are clamped; the hidden states relax."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from core.batches import Batch
from core.catalogue import entry
from core.network import Network
from core.phase import Phase
from core.tasks.ends import images, labels


@entry("task", "Classify", formula=r"h_0 = x,\quad h_L = y", source="whittington2017")
@dataclass(frozen=True)
class Classify:
    """Clamp the image at the input and the one-hot label at the output: training a classifier.

    $h_0 = x$, $h_L = y$. Accuracy is always that of a plain forward pass.

    Source: whittington2017.
    """

    image_at: ClassVar[str] = "input"
    clamps: ClassVar[tuple[str, ...]] = ("input", "output")
    shows: ClassVar[tuple[str, ...]] = ("probability",)
    has_loss: ClassVar[bool] = True

    def phases(
        self, network: Network, batch: Batch, classes: int, generator: torch.Generator
    ) -> tuple[Phase, ...]:
        """One phase with both ends clamped."""
        x, y = images(network, batch, 0), labels(network, batch, classes)
        return (Phase("relax", clamped={0: x, network.top: y}),)
