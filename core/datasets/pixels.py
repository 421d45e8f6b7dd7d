"""How do raw pixels and labels become an image set?"""

import torch
from torch import Tensor

from core.batches import ImageSet
from core.catalogue import dial

RANGES = {"0..1": (0.0, 1.0), "-1..1": (-1.0, 1.0)}
SCALE_HELP = "pixel range; -1..1 is (x - 0.5) / 0.5"


def scale_dial() -> str:
    """The dial `scale` that every data set has."""
    return dial("-1..1", choices=RANGES, symbol="x", help=SCALE_HELP)


def scaled(raw: Tensor, full: float, scale: str) -> Tensor:
    """Raw pixels 0..full as float32 in the range `scale`, same shape."""
    x = raw.to(torch.float32) / full
    return x if scale == "0..1" else x.sub_(0.5).div_(0.5)


def last_of_each_class(y: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Positions of a training and of a test split: the last `count` samples of each class test.

    Args:
        y: class of each sample, (n,).
        count: test samples of each class.

    Returns: positions in ascending order, (n - classes * count,) and (classes * count,).
    """
    test = torch.zeros(len(y), dtype=torch.bool)
    for c in y.unique():
        test[torch.nonzero(y == c).flatten()[-count:]] = True
    return torch.nonzero(~test).flatten(), torch.nonzero(test).flatten()


def image_set(
    name: str,
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    *,
    full: float,
    scale: str,
    class_names: tuple[str, ...],
) -> ImageSet:
    """Grey images as an image set.

    Args:
        name: as in the menu.
        train: raw pixels (n, H, W) in 0..full and labels (n,).
        test: the same of the test split.
        full: raw value of the brightest pixel.
        scale: a key of `RANGES`.
        class_names: one for each class.
    """
    low, high = RANGES[scale]
    return ImageSet(
        name=name,
        train_x=scaled(train[0], full, scale)[:, None],  # (n, 1, H, W)
        train_y=train[1].to(torch.int64),
        test_x=scaled(test[0], full, scale)[:, None],
        test_y=test[1].to(torch.int64),
        classes=len(class_names),
        class_names=class_names,
        low=low,
        high=high,
    )
