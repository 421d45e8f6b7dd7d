"""How are training images varied? Each is mirrored and cropped anew whenever it is dealt out."""

from dataclasses import dataclass

import torch
from torch import Tensor

from core.catalogue import BadInput


@dataclass(frozen=True, eq=False)
class Augment:
    """Mirrors images by a coin and crops a place of its own out of each, padded with black.

    The papers pad and crop before they normalise; padding with the value of a black pixel is the
    same after it. The crop keeps the shape of the images of the set. What is done to an image is
    torchvision's; lots are drawn here, since torchvision draws from torch's global generator, by
    which no batch could come again.

    Args:
        padding: black pixels on each side, from among which the crop may reach.
        black: value of a black pixel in each channel, (C,).
        wide: larger images to crop from, (n, C, H', W'), of which the set's training images are
            the centres; None where those themselves are cropped from.

    Source: this project; the protocol is that of torchvision's RandomHorizontalFlip and RandomCrop.
    """

    padding: int
    black: tuple[float, ...]
    wide: Tensor | None = None

    def __call__(self, images: Tensor, index: Tensor, generator: torch.Generator) -> Tensor:
        """The training images at some positions, each varied on its own.

        Args:
            images: of the training split, (n, C, H, W).
            index: positions, (B,).
            generator: of all lots, on the CPU.

        Returns: (B, C, H, W), in memory of their own.
        """
        from torchvision.transforms.v2 import functional  # here, because it takes a second

        x = (images if self.wide is None else self.wide)[index]
        mirrored, top, left = self.lots(x.shape, images.shape, generator)
        size = list(images.shape[2:])
        padded = functional.pad(x, [self.padding], fill=list(self.black))
        corners = zip(padded, top.tolist(), left.tolist(), strict=True)
        cut = torch.stack([functional.crop(one, r, c, *size) for one, r, c in corners])
        cut[mirrored] = functional.horizontal_flip(cut[mirrored])
        return cut

    def lots(
        self, of: torch.Size, to: torch.Size, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What is drawn for a batch: whether an image is mirrored, and the corner of its crop.

        Args:
            of: shape of what is cropped, (B, C, H, W).
            to: shape of images of the set, (n, C, rows, columns).
            generator: of all lots.

        Returns: (B,) bool, then row and column in the padded image, (B,) int64.
        """
        B = of[0]
        mirrored = torch.rand(B, generator=generator) < 0.5
        free = [of[i] + 2 * self.padding - to[i] + 1 for i in (2, 3)]
        top, left = (torch.randint(n, (B,), generator=generator) for n in free)
        return mirrored, top, left


NONE = "none"
FLIP = "flip + crop"
"""Crops from images that are larger than those of the set."""

PADDINGS = {f"{FLIP} 4": 4, f"{FLIP} 8": 8}
"""Crops from images with so much padding."""


def check_room(augment: str, inner: int, outer: int) -> None:
    """Refuse crops from images that are no larger than the crops.

    Args:
        augment: as chosen.
        inner: side of a crop.
        outer: side of what is cropped.

    Raises:
        BadInput: where nothing would be cropped.
    """
    if augment == FLIP and outer <= inner:
        raise BadInput(
            f"dataset.augment: {FLIP} with images of {outer}; larger ones than the crop of {inner} "
            f"(dataset.short), or one of {', '.join(PADDINGS)}"
        )
