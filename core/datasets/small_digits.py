"""Handwritten digits of 8 x 8 pixels, which come with scikit-learn."""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
import torch

from core.batches import ImageSet
from core.catalogue import BadInput, entry
from core.datasets.pixels import image_set, last_of_each_class, scale_dial

TEST_OF_EACH_CLASS = 30


@entry(
    "dataset",
    "Digits, 8 x 8",
    formula=r"x = 2\,(g / 16) - 1,\quad 1 \times 8 \times 8,\quad 1497 + 300",
    source="alpaydin1998",
)
@dataclass(frozen=True)
class SmallDigits:
    """1,797 handwritten digits of 8 x 8 pixels: the quickest set, ready at once.

    The last 30 of each class test, the other 1,497 train (144 to 153 of each class). These are the
    counts of ink in 4 x 4 cells, 0..16, of a test set of 13 writers: easier than MNIST, and its
    accuracies do not compare with it.

    Source: alpaydin1998 (UCI), as packed in scikit-learn.
    """

    scale: str = scale_dial()

    classes: ClassVar[int] = 10
    images: ClassVar[tuple[int, int]] = (1497, 300)
    shape: ClassVar[tuple[int, int, int]] = (1, 8, 8)
    comes_with: ClassVar[str] = "sklearn"

    def __call__(self) -> ImageSet:
        """1,497 + 300 images, (n, 1, 8, 8)."""
        return _load(self.scale)


@lru_cache(maxsize=3)
def _load(scale: str) -> ImageSet:
    """One image set for each range, shared by all who ask."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as missing:
        line = "dataset: SmallDigits; needs scikit-learn: pip install scikit-learn"
        raise BadInput(line) from missing
    pixels, labels = load_digits(return_X_y=True)
    x = torch.from_numpy(np.asarray(pixels)).reshape(-1, 8, 8)  # (1797, 8, 8) in 0..16
    y = torch.from_numpy(np.asarray(labels))  # (1797,)
    train, test = last_of_each_class(y, TEST_OF_EACH_CLASS)
    names = tuple(str(digit) for digit in range(10))
    splits = (x[train], y[train]), (x[test], y[test])
    return image_set("SmallDigits", *splits, full=16.0, scale=scale, class_names=names)
