"""Images of one's own, in a folder for each class."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from core.augment import FLIP, check_room
from core.batches import ImageSet
from core.catalogue import BadInput, dial, entry, shown
from core.datasets.folder_files import File, Listed, listed
from core.datasets.own_data import check_limit, classes_dial, existing, limit_dial
from core.datasets.photographs import decoded
from core.datasets.pixels import Moments, augment_dial, image_set, scale_dial

WHAT = "a folder with train/CLASS/*.png and test/CLASS/*.png, or with CLASS/*.png"

IMAGENET = "ImageNet"
PUBLISHED: Moments = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Moments of ImageNet."""

CHANNELS = {"colour": 3, "grey": 1}


@entry(
    "dataset",
    "Own images, folders",
    formula=r"x = 2\,(g / 255) - 1,\quad C \times S \times S",
    source="this project",
)
@dataclass(frozen=True)
class Folder:
    """Image files of your own, in a folder for each class: train/CLASS/*, test/CLASS/*.

    ImageNet and its relatives lie like this. Where there is no folder `train`, the classes are
    looked for in `path` itself; where there is no folder of test images, the last `share` of each
    class, by file name, tests. Classes are numbered in the order of their names, and images are
    found in folders within those of the classes too: PNG, JPEG, BMP, PPM, PGM, TIFF and WebP. A
    folder of test images may also be that of Tiny ImageNet: `images` without classes, and a table
    of them, as `val/val_annotations.txt` (with `tested` "val": its test images have no classes).

    The short side of each image is resized to `short` pixels, by default `side`, with a bilinear
    filter that averages where it shrinks; then the square of `side` at the centre is cut out. With
    `augment`, training images are cut anywhere from the square of `short` at the centre, with a
    black margin if it says so. An image that cannot be read is an error, which counts all of them.

    Source: this project; the rule of the sizes is that of torchvision's Resize and CenterCrop.
    """

    path: str = dial("", help=WHAT)
    classes: int = classes_dial()
    side: int = dial(64, bounds=(1, 4096), symbol="S", help="rows and columns of the images")
    short: int = dial(
        0, bounds=(0, 4096), help="short side before the centre is cut out; 0: the same as side"
    )
    colour: str = dial("colour", choices=CHANNELS, help="three channels, or the luminance alone")
    tested: str = dial("", help="name of the folder of test images; empty: test, else val")
    share: float = dial(
        0.2, bounds=(0.001, 0.999), help="of each class, tests where no folder of test images is"
    )
    scale: str = scale_dial(more=(IMAGENET,))
    augment: str = augment_dial(more=(FLIP,))
    limit: float = limit_dial()

    yours: ClassVar[str] = WHAT

    def __call__(self) -> ImageSet:
        """The images of the folder, (n, C, side, side).

        Raises:
            BadInput: if the folders do not fit together, an image cannot be read, or the images
                would take more memory than `limit`.
        """
        short = self.short or self.side
        if short < self.side:
            raise BadInput(f"dataset.short: {short}; {self.side} or more, the side, or 0")
        check_room(self.augment, self.side, short)
        if self.scale == IMAGENET and self.colour != "colour":
            raise BadInput(f"dataset.scale: {IMAGENET} has three channels; colour, or standard")
        root = existing(self.path, WHAT, folder=True)
        found = listed(root, tested=self.tested, share=self.share)
        if len(found.classes) != self.classes:
            raise BadInput(
                f"dataset.classes: {self.classes}; {len(found.classes)}, the folders of classes in "
                f"{found.where}"
            )
        count = len(found.train) + len(found.test)
        check_limit(count, (CHANNELS[self.colour], short, short), self.limit)
        return _load(found, short, self)


@lru_cache(maxsize=1)
def _load(found: Listed, short: int, chosen: Folder) -> ImageSet:
    """The image set, shared by all who ask for the same while no file has changed."""
    channels = CHANNELS[chosen.colour]
    paths = [one.path for one in (*found.train, *found.test)]
    pixels = decoded(found.where, paths, short, channels)
    count = len(found.train)
    return image_set(
        shown(Path(found.where).name),
        (pixels[:count], _labels(found.train)),
        (pixels[count:], _labels(found.test)),
        full=255.0,
        scale=chosen.scale,
        class_names=found.classes,
        published=PUBLISHED if chosen.scale == IMAGENET else None,
        augment=chosen.augment,
        side=chosen.side,
    )


def _labels(files: tuple[File, ...]) -> Tensor:
    """Classes, (n,), int64."""
    return torch.tensor([one.label for one in files], dtype=torch.int64)
