"""The image is clamped at the output of a decoder and its latent state is free."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from core.batches import Batch
from core.catalogue import entry
from core.network import Network
from core.phase import Phase
from core.tasks.ends import images


@entry("task", "Reconstruct", formula=r"h_L = x,\quad h_0 \text{ free}", source="pinchetti2026")
@dataclass(frozen=True)
class Reconstruct:
    r"""Clamp the image at a decoder's output; the latent state and the hidden ones relax.

    $h_L = x$, $h_0$ free without an energy of its own. The reconstruction is the feed-forward sweep
    from the relaxed $h_0$; $\mu_L$ also reads the hidden errors and looks better than it.

    Source: pinchetti2026; pinchetti2025.
    """

    image_at: ClassVar[str] = "output"
    clamps: ClassVar[tuple[str, ...]] = ("output",)
    shows: ClassVar[tuple[str, ...]] = ("prediction", "prediction_mse", "swept", "swept_mse")
    has_loss: ClassVar[bool] = True

    def phases(
        self, network: Network, batch: Batch, classes: int, generator: torch.Generator
    ) -> tuple[Phase, ...]:
        """One phase with the output clamped."""
        top = network.top
        return (Phase("reconstruct", clamped={top: images(network, batch, top)}),)
