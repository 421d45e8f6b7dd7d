"""MNIST and its drop-in relatives, read with torchvision from files on the disk."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from core.batches import ImageSet
from core.catalogue import BadInput, dial, entry
from core.datasets.fetch import (
    ROOT_HELP,
    how_to_get,
    missing,
    raw_files,
    root_folder,
    torchvision_set,
)
from core.datasets.pixels import (
    Moments,
    fraction_dial,
    image_set,
    scale_dial,
    validation_dial,
)

FORMULA = r"x = 2\,(g / 255) - 1,\quad 1 \times 28 \times 28,\quad 60\,000 + 10\,000"
DIGITS = tuple(str(digit) for digit in range(10))
CLOTHES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
KANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
PUBLISHED: dict[str, Moments] = {"MNIST": ((0.1307,), (0.3081,))}
"""Moments for the scale "standard" where works print them; else they are computed."""


@entry("dataset", "MNIST", formula=FORMULA, source="lecun1998")
@dataclass(frozen=True)
class MNIST:
    """70,000 handwritten digits, 28 x 28 pixels; to be downloaded once.

    60,000 train (5,421 to 6,742 of each class), 10,000 test, as published. Nearly any network gets
    97 %, so small differences between methods say little. The scale "standard" uses mean 0.1307
    and standard deviation 0.3081 (kerjan2026).

    Source: lecun1998.
    """

    scale: str = scale_dial(published=True)
    fraction: float = fraction_dial()
    validation: float = validation_dial()
    root: str = dial("", help=ROOT_HELP)

    classes: ClassVar[int] = 10
    images: ClassVar[tuple[int, int]] = (60_000, 10_000)
    shape: ClassVar[tuple[int, int, int]] = (1, 28, 28)

    def __call__(self) -> ImageSet:
        """60,000 + 10,000 images, (n, 1, 28, 28)."""
        parts = self.fraction, self.validation
        return _found("MNIST", self.root, self.scale, parts, DIGITS)


@entry("dataset", "FashionMNIST", formula=FORMULA, source="xiao2017")
@dataclass(frozen=True)
class FashionMNIST:
    """70,000 photographs of clothes, 28 x 28 pixels; to be downloaded once.

    60,000 train and 10,000 test, the same number of each class: a drop-in for MNIST that is harder.

    Source: xiao2017.
    """

    scale: str = scale_dial()
    fraction: float = fraction_dial()
    validation: float = validation_dial()
    root: str = dial("", help=ROOT_HELP)

    classes: ClassVar[int] = 10
    images: ClassVar[tuple[int, int]] = (60_000, 10_000)
    shape: ClassVar[tuple[int, int, int]] = (1, 28, 28)

    def __call__(self) -> ImageSet:
        """60,000 + 10,000 images, (n, 1, 28, 28)."""
        parts = self.fraction, self.validation
        return _found("FashionMNIST", self.root, self.scale, parts, CLOTHES)


@entry("dataset", "KMNIST", formula=FORMULA, source="clanuwat2018")
@dataclass(frozen=True)
class KMNIST:
    """70,000 handwritten characters of old Japanese, 28 x 28 pixels; to be downloaded once.

    60,000 train and 10,000 test, the same number of each class: a drop-in for MNIST that is harder,
    because one character is written in several ways.

    Source: clanuwat2018.
    """

    scale: str = scale_dial()
    fraction: float = fraction_dial()
    validation: float = validation_dial()
    root: str = dial("", help=ROOT_HELP)

    classes: ClassVar[int] = 10
    images: ClassVar[tuple[int, int]] = (60_000, 10_000)
    shape: ClassVar[tuple[int, int, int]] = (1, 28, 28)

    def __call__(self) -> ImageSet:
        """60,000 + 10,000 images, (n, 1, 28, 28)."""
        parts = self.fraction, self.validation
        return _found("KMNIST", self.root, self.scale, parts, KANA)


def _found(
    name: str, root: str, scale: str, parts: tuple[float, float], class_names: tuple[str, ...]
) -> ImageSet:
    """The set under `root`, or one line on what is missing and how to get it."""
    folder = root_folder(root)
    for path, state in missing(name, folder):
        shown, get = path.relative_to(folder).as_posix(), how_to_get(name, folder)
        raise BadInput(f"dataset.root: {folder}; {shown} {state}, get it with: {get}")
    # A file that was replaced since is read again.
    stamps = tuple((p.stat().st_mtime_ns, p.stat().st_size) for p in raw_files(name, folder))
    return _load(name, folder.resolve(), stamps, scale, parts, class_names)


@lru_cache(maxsize=3)  # 220 MB each at full size
def _load(
    name: str,
    folder: Path,
    stamps: tuple[tuple[int, int], ...],
    scale: str,
    parts: tuple[float, float],
    class_names: tuple[str, ...],
) -> ImageSet:
    """One image set for each folder, range and parts, shared by all who ask."""
    source = torchvision_set(name)
    splits = []
    for train in (True, False):
        try:
            read = source(str(folder), train=train, download=False)
        except (RuntimeError, ValueError, TypeError, KeyError, AssertionError) as failed:
            raise BadInput(
                f"dataset.root: {folder}; {name} there cannot be read ({failed}), "
                f"get it with: {how_to_get(name, folder)}"
            ) from failed
        splits.append((read.data, read.targets))
    return image_set(
        name,
        *splits,
        full=255.0,
        scale=scale,
        class_names=class_names,
        published=PUBLISHED.get(name),
        fraction=parts[0],
        validation=parts[1],
    )
