"""ImageNet at 32 x 32 pixels, read from the .npz files that its makers publish."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from core.batches import ImageSet
from core.catalogue import BadInput, dial, entry
from core.datasets.npz_file import opened
from core.datasets.own_data import check_limit, existing, limit_dial
from core.datasets.pixels import (
    Moments,
    augment_dial,
    first_of_each_class,
    fraction_dial,
    image_set,
    scale_dial,
)

FORMULA = r"x = 2\,(g / 255) - 1,\quad 3 \times 32 \times 32,\quad 1\,281\,167 + 50\,000"
SHAPE = (3, 32, 32)
CLASSES = 1000
TRAIN = tuple(f"train_data_batch_{k}.npz" for k in range(1, 11))
TEST = "val_data.npz"
WHAT = f"a folder with {TRAIN[0]} to {TRAIN[-1]} and {TEST}"
PUBLISHED: Moments = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@entry("dataset", "ImageNet 32", formula=FORMULA, source="chrabaszcz2017")
@dataclass(frozen=True)
class ImageNet32:
    """1,281,167 photographs of a thousand kinds of things at 3 x 32 x 32; to be asked for.

    Its makers give the eleven .npz files to whoever registers with them: `train_data_batch_1.npz`
    to `train_data_batch_10.npz` and `val_data.npz`, in each `data` (n, 3072), uint8, red, green and
    blue in turn, and `labels` (n,), 1 to 1000. Of the arrays no other is read, nothing is
    unpickled. Whole it takes 21 GB of memory; the dial `fraction` takes the first images of each
    class, and as much less. The scale "standard" uses ImageNet's mean 0.485, 0.456, 0.406 and
    deviation 0.229, 0.224, 0.225.

    Source: chrabaszcz2017.
    """

    path: str = dial("", help=WHAT)
    scale: str = scale_dial(published=True)
    augment: str = augment_dial()
    fraction: float = fraction_dial()
    limit: float = limit_dial()

    classes: ClassVar[int] = CLASSES
    images: ClassVar[tuple[int, int]] = (1_281_167, 50_000)
    shape: ClassVar[tuple[int, int, int]] = SHAPE
    yours: ClassVar[str] = WHAT

    def __call__(self) -> ImageSet:
        """The images of the folder, (n, 3, 32, 32).

        Raises:
            BadInput: naming the file or the array, what came and what is legal.
        """
        folder = existing(self.path, WHAT, folder=True)
        paths = [folder / name for name in (*TRAIN, TEST)]
        for path in paths:
            if not path.is_file():
                raise BadInput(f"dataset.path: {folder}; {path.name} is not there")
        # A file that was replaced since is read again.
        stamps = tuple((one.stat().st_mtime_ns, one.stat().st_size) for one in paths)
        return _load(folder.resolve(), stamps, self.scale, self.augment, self.fraction, self.limit)


@lru_cache(maxsize=1)
def _load(
    folder: Path,
    stamps: tuple[tuple[int, int], ...],
    scale: str,
    augment: str,
    fraction: float,
    limit: float,
) -> ImageSet:
    """The image set, shared by all who ask for the same."""
    labels = [_labels(folder / name) for name in TRAIN]
    taken = first_of_each_class(torch.cat(labels), fraction)
    test_y = _labels(folder / TEST)
    check_limit(len(taken) + len(test_y), SHAPE, limit)
    train_x = torch.empty((len(taken), *SHAPE), dtype=torch.uint8)
    first = done = 0
    for name, of_file in zip(TRAIN, labels, strict=True):
        inside = (taken >= first) & (taken < first + len(of_file))
        count = int(inside.sum())
        train_x[done : done + count] = _images(folder / name)[taken[inside] - first]
        first, done = first + len(of_file), done + count
    return image_set(
        "ImageNet32",
        (train_x, torch.cat(labels)[taken]),
        (_images(folder / TEST), test_y),
        full=255.0,
        scale=scale,
        class_names=tuple(str(k) for k in range(1, CLASSES + 1)),
        published=PUBLISHED,
        augment=augment,
    )


def _labels(path: Path) -> Tensor:
    """Classes (n,) of one file, 0 to 999, of which there is one for each of its images."""
    with opened(path, ("data", "labels")) as members:
        data, labels = members["data"].header, members["labels"].header
        if data.dtype != np.uint8 or len(data.shape) != 2 or data.shape[1] != np.prod(SHAPE):
            came = f"{data.dtype} of shape {data.shape}"
            raise BadInput(f"dataset.data: {came} in {path.name}; uint8 of shape (n, 3072)")
        if labels.dtype.kind not in "iu" or labels.shape != data.shape[:1]:
            came = f"{labels.dtype} of shape {labels.shape}"
            wanted = f"integers of shape {data.shape[:1]}"
            raise BadInput(f"dataset.labels: {came} in {path.name}; {wanted}")
        values = members["labels"].read()
    if len(values) and not 1 <= values.min() <= values.max() <= CLASSES:
        came = f"{values.min()}..{values.max()}"
        raise BadInput(f"dataset.labels: {came} in {path.name}; 1..{CLASSES}")
    return torch.from_numpy(values.astype(np.int64) - 1)


def _images(path: Path) -> Tensor:
    """Bytes (n, 3, 32, 32) of one file whose headers were looked at."""
    with opened(path, ("data",)) as members:
        return torch.from_numpy(members["data"].read()).reshape(-1, *SHAPE)
