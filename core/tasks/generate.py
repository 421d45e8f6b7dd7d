"""The latent state is drawn at random and the image is free: what does the model imagine?"""

from dataclasses import dataclass
from typing import ClassVar

import torch

from core.batches import Batch
from core.catalogue import dial, entry
from core.network import Network
from core.phase import Phase


@entry(
    "task",
    "Generate",
    formula=r"h_0 \sim \mathcal{N}(0, \sigma^2),\quad h_1 \ldots h_L \text{ free}",
    source="pinchetti2025",
)
@dataclass(frozen=True)
class Generate:
    r"""Clamp a decoder's latent state to Gaussian noise; hidden states and image are free.

    $h_0 \sim \mathcal N(0, \sigma^2)$. Without noise in the dynamics the states settle at the
    forward image of $h_0$, where F is zero. With Langevin dynamics they sample from the model: each
    state is its prediction plus noise of variance $1 / \Pi_\ell$, the image too, so that $\mu_L$ is
    the clearer picture. A decoder that was trained on free latent states has learnt no
    distribution for them: look at their spread and choose $\sigma$ by it. There is no loss, and so
    no alignment with backprop.

    Source: pinchetti2025 (released library, Monte Carlo predictive coding).
    """

    sd: float = dial(1.0, bounds=(0.0, 100.0), symbol="σ", help="standard deviation of the draw")

    image_at: ClassVar[str] = "output"
    clamps: ClassVar[tuple[str, ...]] = ("input",)
    shows: ClassVar[tuple[str, ...]] = ("prediction", "image")
    has_loss: ClassVar[bool] = False

    def phases(
        self, network: Network, batch: Batch, classes: int, generator: torch.Generator
    ) -> tuple[Phase, ...]:
        """One phase with the latent state clamped; of the batch only its size counts."""
        shape, like = (len(batch.y), *network.nodes[0].shape), network.example
        drawn = torch.randn(shape, generator=generator, dtype=like.dtype).to(like.device)
        return (Phase("generate", clamped={0: self.sd * drawn}),)
