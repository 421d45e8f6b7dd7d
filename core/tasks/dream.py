"""The label is clamped and the image is free: what does the network imagine?"""

from dataclasses import dataclass
from typing import ClassVar

import torch

from core.batches import Batch
from core.catalogue import entry
from core.network import Network
from core.phase import Phase
from core.tasks.ends import labels


@entry("task", "Dream", formula=r"h_L = y,\quad h_0 \text{ free}", source="this project")
@dataclass(frozen=True)
class Dream:
    r"""Clamp only the label of a classifier and let the image relax with the hidden states.

    $h_L = y$, $h_0$ free without an energy of its own, so that its force is
    $-J_1^\top \Pi_1 e_1$. The image is whatever lowers the energy, not a sample of the data.

    Source: this project.
    """

    image_at: ClassVar[str] = "input"
    clamps: ClassVar[tuple[str, ...]] = ("output",)
    shows: ClassVar[tuple[str, ...]] = ("image",)
    has_loss: ClassVar[bool] = True

    def phases(
        self, network: Network, batch: Batch, classes: int, generator: torch.Generator
    ) -> tuple[Phase, ...]:
        """One phase with the output clamped."""
        return (Phase("dream", clamped={network.top: labels(network, batch, classes)}),)
