"""How do raw pixels and labels become an image set?"""

from collections.abc import Iterable

import torch
from torch import Tensor

from core.augment import NONE, PADDINGS, Augment
from core.batches import ImageSet
from core.catalogue import BadInput, dial

SCALES = ("0..1", "-1..1", "standard")
OWN_HELP = (
    "pixel range; -1..1 is (x - 0.5) / 0.5, standard is (x - mean) / std of each channel "
    "over the training images"
)
PUBLISHED_HELP = (
    "pixel range; -1..1 is (x - 0.5) / 0.5, standard is (x - mean) / std of each channel "
    "as published"
)

AUGMENT_HELP = (
    "training images of each batch: mirrored by a coin, and cropped from so much black around them"
)

FRACTION_HELP = "part of the training images that is taken: of each class the first ones"

VALIDATION_HELP = (
    "part of the training images that is held out to choose by: of each class the last ones"
)

Moments = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel, of pixels 0..1."""


def scale_dial(published: bool = False, more: Iterable[str] = ()) -> str:
    """The dial `scale` that every data set has.

    Args:
        published: whether "standard" uses published moments, not those of the training images.
        more: further scales.
    """
    help = PUBLISHED_HELP if published else OWN_HELP
    return dial("-1..1", choices=(*SCALES, *more), symbol="x", help=help)


def augment_dial(more: Iterable[str] = ()) -> str:
    """The dial `augment` of sets whose images may be mirrored.

    Args:
        more: further choices.
    """
    return dial(NONE, choices=(NONE, *PADDINGS, *more), help=AUGMENT_HELP)


def fraction_dial() -> float:
    """The dial `fraction` of sets that are read in part, as papers do for small data."""
    return dial(1.0, bounds=(0.001, 1.0), help=FRACTION_HELP)


def validation_dial() -> float:
    """The dial `validation` of sets that hold images out, so that nothing is chosen on the test."""
    return dial(0.0, bounds=(0.0, 0.9), help=VALIDATION_HELP)


def moments(raw: Tensor, full: float) -> Moments:
    """Mean and standard deviation of each channel over all images and pixels, of pixels 0..1.

    Args:
        raw: pixels (n, C, H, W) in 0..full.
        full: raw value of the brightest pixel.

    Raises:
        BadInput: for a channel that has one value only, which cannot be standardised.
    """
    found = []
    for c in range(raw.shape[1]):
        channel = raw[:, c]
        if raw.dtype == torch.uint8:  # counted, because 60,000 images would be copied as float64
            count = torch.bincount(channel.flatten(), minlength=256).to(torch.float64)
            values = torch.arange(256, dtype=torch.float64) / full
        else:
            values = channel.flatten().to(torch.float64) / full
            count = torch.ones_like(values)
        mean = (count * values).sum() / count.sum()
        std = ((count * (values - mean).square()).sum() / count.sum()).sqrt()
        if not float(std) > 0:
            raise BadInput(
                f"dataset.scale: standard, and channel {c} of the training images has one value; "
                "0..1 or -1..1"
            )
        found.append((float(mean), float(std)))
    means, stds = zip(*found, strict=True)
    return means, stds


def scaled(raw: Tensor, full: float, scale: Moments | None) -> Tensor:
    """Raw pixels as float32, same shape, in memory of their own.

    Args:
        raw: pixels (n, C, H, W) in 0..full.
        full: raw value of the brightest pixel.
        scale: what is subtracted from and divides pixels 0..1 in each channel; None for 0..1.
    """
    x = raw.to(torch.float32, copy=True).div_(full)
    if scale is None:
        return x
    mean, std = (torch.tensor(one)[:, None, None] for one in scale)  # (C, 1, 1)
    return x.sub_(mean).div_(std)


def held_out(y: Tensor, fraction: float, validation: float) -> tuple[Tensor, Tensor]:
    """Positions of the training and of the validation images, ascending, none in both.

    Args:
        y: class of each training image of the whole set, (n,).
        fraction: of each class that is trained on, its first images; where what is held out leaves
            fewer, those that are left.
        validation: of each class that is held out, its last images; above 0.

    Raises:
        BadInput: if a class has no image to be held out, or none that is left.
    """
    held = torch.zeros(len(y), dtype=torch.bool)
    for c in y.unique():
        of_class = torch.nonzero(y == c).flatten()
        count = round(validation * len(of_class))
        if not 1 <= count < len(of_class):
            raise BadInput(
                f"dataset.validation: {validation}, {count} of {len(of_class)} images of class "
                f"{int(c)}; at least one, and one that is left"
            )
        held[of_class[-count:]] = True
    taken = torch.zeros(len(y), dtype=torch.bool)
    taken[first_of_each_class(y, fraction)] = True
    return torch.nonzero(taken & ~held).flatten(), torch.nonzero(held).flatten()


def first_of_each_class(y: Tensor, fraction: float) -> Tensor:
    """Positions of the first samples of each class, ascending; one or more of each.

    Args:
        y: class of each sample, (n,).
        fraction: of each class that is taken, rounded to whole samples.
    """
    taken = torch.zeros(len(y), dtype=torch.bool)
    for c in y.unique():
        of_class = torch.nonzero(y == c).flatten()
        taken[of_class[: max(1, round(fraction * len(of_class)))]] = True
    return torch.nonzero(taken).flatten()


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


def centre(x: Tensor, side: int | None) -> Tensor:
    """The square at the centre of images (n, C, H, W), in the same memory; None for all of it."""
    if side is None or x.shape[2:] == (side, side):
        return x
    top, left = (round((size - side) / 2) for size in x.shape[2:])
    return x[:, :, top : top + side, left : left + side]


def image_set(
    name: str,
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    *,
    full: float,
    scale: str,
    class_names: tuple[str, ...],
    published: Moments | None = None,
    augment: str = NONE,
    side: int | None = None,
    fraction: float = 1.0,
    validation: float = 0.0,
) -> ImageSet:
    """Raw images as an image set.

    Args:
        name: as in the menu.
        train: raw pixels (n, H, W) or (n, C, H, W) in 0..full and labels (n,).
        test: the same of the test split.
        full: raw value of the brightest pixel.
        scale: one of `SCALES`.
        class_names: one for each class.
        published: moments for the scale "standard"; by default those of the training images.
        augment: how training images are varied.
        side: of the square at the centre that each image is cropped to, which varied training
            images are cropped beside; None for whole images.
        fraction: part of the training images that is taken, the first ones of each class.
        validation: part of all training images that is held out of them, the last ones of each
            class; where 1 - validation is below the fraction, so much is taken.
    """
    held: tuple[Tensor, Tensor] | None = None
    if validation:
        at, apart = held_out(train[1], fraction, validation)
        held = train[0][apart], train[1][apart]
        train = train[0][at], train[1][at]
    elif fraction < 1:
        at = first_of_each_class(train[1], fraction)
        train = train[0][at], train[1][at]
    train_x, test_x = (_with_channels(x) for x in (train[0], test[0]))
    channels = train_x.shape[1]
    by: Moments | None = None
    if scale == "-1..1":
        by = (0.5,) * channels, (0.5,) * channels
    elif scale != "0..1":
        by = published or moments(train_x, full)
    ends = torch.tensor([0.0, full])[:, None, None, None].expand(2, channels, 1, 1)
    black, white = scaled(ends, full, by).flatten(1).tolist()  # as the pixels are rounded
    uneven = len(set(black)) > 1 or len(set(white)) > 1
    varied = None
    if augment == NONE:
        x = scaled(centre(train_x, side), full, by)
    else:
        wide = scaled(train_x, full, by)
        x = centre(wide, side)
        varied = Augment(PADDINGS.get(augment, 0), tuple(black), None if x is wide else wide)
    return ImageSet(
        name=name,
        train_x=x,
        train_y=train[1].to(torch.int64),
        test_x=scaled(centre(test_x, side), full, by),
        test_y=test[1].to(torch.int64),
        classes=len(class_names),
        class_names=class_names,
        low=min(black),
        high=max(white),
        black=tuple(black) if uneven else (),
        white=tuple(white) if uneven else (),
        augment=varied,
        validation_x=None
        if held is None
        else scaled(centre(_with_channels(held[0]), side), full, by),
        validation_y=None if held is None else held[1].to(torch.int64),
    )


def _with_channels(x: Tensor) -> Tensor:
    """Raw images (n, C, H, W), of those with one channel also from (n, H, W)."""
    return x if x.dim() == 4 else x[:, None]
