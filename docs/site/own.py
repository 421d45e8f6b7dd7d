"""Which images show data sets of one's own? Those of the digits, written as these ask."""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from core.batches import ImageSet
from core.catalogue import Card
from core.datasets.small_digits import SmallDigits

EACH = 30
"""Images of each class that are written."""


def images(card: Card) -> ImageSet:
    """The images of a data set; those of one's own are made for it.

    Raises:
        BadInput: if they are not on this machine.
    """
    writers = {"Npz": _npz, "Folder": _folders}
    if card.name not in writers:
        return card.entry()()
    with tempfile.TemporaryDirectory() as folder:
        return writers[card.name](Path(folder), card.entry)


def _npz(folder: Path, entry: type) -> ImageSet:
    grey, labels = _digits()
    test = np.arange(len(labels)) % 5 == 0
    arrays = {"x_train": grey[~test], "y_train": labels[~test]}
    np.savez(folder / "mine.npz", **arrays, x_test=grey[test], y_test=labels[test])
    return entry(path=str(folder / "mine.npz"), classes=10)()


def _folders(folder: Path, entry: type) -> ImageSet:
    for k, (one, label) in enumerate(zip(*_digits(), strict=True)):
        (folder / str(label)).mkdir(exist_ok=True)
        Image.fromarray(one).save(folder / str(label) / f"{k:03}.png")
    return entry(path=str(folder), classes=10, side=8, colour="grey")()


def _digits() -> tuple[np.ndarray, np.ndarray]:
    """Some of the digits of 8 x 8 pixels, (n, 8, 8) uint8, and their classes."""
    held = SmallDigits()()
    labels = np.asarray(held.train_y)
    at = np.concatenate([np.flatnonzero(labels == k)[:EACH] for k in range(10)])
    shown = held.brightness(held.train_x[at]).reshape(-1, 8, 8)
    return np.asarray(255 * shown.clamp(0, 1)).round().astype(np.uint8), labels[at]
