"""CIFAR-10 and CIFAR-100, read from the binary files that their author publishes."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from core.batches import ImageSet
from core.catalogue import BadInput, dial, entry
from core.datasets.archives import ARCHIVES
from core.datasets.fetch import ROOT_HELP, how_to_get, missing, root_folder
from core.datasets.pixels import Moments, augment_dial, fraction_dial, image_set, scale_dial

FORMULA = r"x = 2\,(g / 255) - 1,\quad 3 \times 32 \times 32,\quad 50\,000 + 10\,000"
SHAPE = (3, 32, 32)

TEN = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
HUNDRED = tuple(
    """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
    butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab
    crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo
    keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse
    mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy
    porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper
    snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television
    tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
    """.split()
)

PUBLISHED: dict[str, Moments] = {
    "CIFAR10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "CIFAR100": ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
}


@entry("dataset", "CIFAR-10", formula=FORMULA, source="krizhevsky2009")
@dataclass(frozen=True)
class CIFAR10:
    """60,000 photographs of animals and vehicles, 3 x 32 x 32; to be downloaded once (170 MB).

    5,000 of each class train, 1,000 test. The scale "standard" uses the moments of the papers'
    code (pinchetti2025, qi2026): mean 0.4914, 0.4822, 0.4465 and deviation 0.2023, 0.1994, 0.2010.
    These deviations are means over images of each image's own; over all pixels they are larger by a
    fifth or more, so that standardised pixels have a variance above one. In memory it takes 740 MB.

    Source: krizhevsky2009.
    """

    scale: str = scale_dial(published=True)
    augment: str = augment_dial()
    fraction: float = fraction_dial()
    root: str = dial("", help=ROOT_HELP)

    classes: ClassVar[int] = 10
    images: ClassVar[tuple[int, int]] = (50_000, 10_000)
    shape: ClassVar[tuple[int, int, int]] = SHAPE

    def __call__(self) -> ImageSet:
        """50,000 + 10,000 images, (n, 3, 32, 32)."""
        return _found("CIFAR10", self.root, self.scale, self.augment, self.fraction, TEN)


@entry("dataset", "CIFAR-100", formula=FORMULA, source="krizhevsky2009")
@dataclass(frozen=True)
class CIFAR100:
    """60,000 photographs of a hundred kinds of things, 3 x 32 x 32; to be downloaded once (169 MB).

    500 of each of the hundred fine classes train, 100 test. The scale "standard" uses the moments
    of the papers' code (pinchetti2025, qi2026): mean 0.5071, 0.4867, 0.4408 and deviation 0.2675,
    0.2565, 0.2761. In memory it takes 740 MB.

    Source: krizhevsky2009.
    """

    scale: str = scale_dial(published=True)
    augment: str = augment_dial()
    fraction: float = fraction_dial()
    root: str = dial("", help=ROOT_HELP)

    classes: ClassVar[int] = 100
    images: ClassVar[tuple[int, int]] = (50_000, 10_000)
    shape: ClassVar[tuple[int, int, int]] = SHAPE

    def __call__(self) -> ImageSet:
        """50,000 + 10,000 images, (n, 3, 32, 32)."""
        return _found("CIFAR100", self.root, self.scale, self.augment, self.fraction, HUNDRED)


def _found(
    name: str,
    root: str,
    scale: str,
    augment: str,
    fraction: float,
    class_names: tuple[str, ...],
) -> ImageSet:
    """The set under `root`, or one line on what is missing and how to get it."""
    folder = root_folder(root)
    for path, state in missing(name, folder):
        shown, get = path.relative_to(folder).as_posix(), how_to_get(name, folder)
        raise BadInput(f"dataset.root: {folder}; {shown} {state}, get it with: {get}")
    paths = ARCHIVES[name].paths(folder)
    # A file that was replaced since is read again.
    stamps = tuple((p.stat().st_mtime_ns, p.stat().st_size) for p in paths)
    return _load(name, folder.resolve(), stamps, scale, augment, fraction, class_names)


@lru_cache(maxsize=1)  # 740 MB
def _load(
    name: str,
    folder: Path,
    stamps: tuple[tuple[int, int], ...],
    scale: str,
    augment: str,
    fraction: float,
    class_names: tuple[str, ...],
) -> ImageSet:
    """The image set, shared by all who ask for the same."""
    *train, test = (_read(path, ARCHIVES[name].labels) for path in ARCHIVES[name].paths(folder))
    splits = []
    for parts in (train, [test]):
        x, y = (torch.cat(arrays) for arrays in zip(*parts, strict=True))
        splits.append((x, y))
    return image_set(
        name,
        *splits,
        full=255.0,
        scale=scale,
        class_names=class_names,
        published=PUBLISHED[name],
        augment=augment,
        fraction=fraction,
    )


def _read(path: Path, labels: int) -> tuple[Tensor, Tensor]:
    """Bytes (n, 3, 32, 32) and classes (n,) of one file.

    Args:
        path: of records of `labels` bytes and 3 * 32 * 32 pixels, red, green and blue in turn.
        labels: bytes of labels; the last one is the class.
    """
    size = labels + 3 * 32 * 32
    records = torch.from_numpy(np.fromfile(path, dtype=np.uint8)).reshape(-1, size)
    return records[:, labels:].reshape(-1, *SHAPE), records[:, labels - 1]
