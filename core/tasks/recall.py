"""A spoiled image is all that is given: does the decoder bring the whole one back?"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from core.batches import Batch
from core.catalogue import dial, entry
from core.network import Network
from core.phase import Phase
from core.tasks.ends import images

NOISE, MASK = "noise", "mask"


@entry(
    "task",
    "Recall",
    formula=r"h_L^{(0)} = x + \sigma\xi \quad\text{or}\quad h_L[\text{known}] = x[\text{known}];"
    r"\quad h_0 \ldots h_L \text{ free}",
    source="pinchetti2025",
)
@dataclass(frozen=True)
class Recall:
    r"""Begin from a noisy or half-hidden image and let a decoder relax towards one it knows.

    *noise*: the image is free and begins at $x + \sigma\xi$. *mask*: the last part of the pixels,
    in reading order, is free and begins at 0; the others are held at $x$. Latent and hidden states
    are free. The original $x$ is only compared with: neither a cost nor a clamp knows it, and there
    is no alignment with backprop. From noise F can fall to zero at any image that the decoder can
    draw: what is recalled depends on how fast the image moves beside the other states. An
    associative memory has learnt a few images by heart; a decoder that was trained on many does not
    bring one of them back.

    Source: pinchetti2025 (associative memory).
    """

    corruption: str = dial(NOISE, choices=(NOISE, MASK), help="what is done to the image")
    amount: float = dial(
        0.5, bounds=(0.0, 1.0), symbol="σ", help="standard deviation, or share of hidden pixels"
    )

    image_at: ClassVar[str] = "output"
    clamps: ClassVar[tuple[str, ...]] = ()
    shows: ClassVar[tuple[str, ...]] = (
        "prediction",
        "prediction_mse",
        "swept",
        "swept_mse",
        "image",
        "image_mse",
    )
    has_loss: ClassVar[bool] = False

    def phases(
        self, network: Network, batch: Batch, classes: int, generator: torch.Generator
    ) -> tuple[Phase, ...]:
        """One phase that clamps no state: the image is given, or held in part."""
        top = network.top
        x = images(network, batch, top)
        if self.corruption == NOISE:
            drawn = torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device)
            return (Phase("recall", given={top: x + self.amount * drawn}, target=x),)
        known = self._known(batch.x).reshape(x.shape).to(x.device)
        given = torch.where(known, x, 0.0)
        return (Phase("recall", held={top: (x, known)}, given={top: given}, target=x),)

    def _known(self, pixels: Tensor) -> Tensor:
        """Which pixels are held, (B, C, H, W): the first of each image, in every channel alike."""
        count = pixels[0, 0].numel()
        places = torch.arange(count).reshape(pixels.shape[2:])  # (H, W)
        return (places < count - round(self.amount * count)).expand(pixels.shape)
