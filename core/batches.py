"""Which samples, in which order?

An `ImageSet` is checked once, when it is made; whatever takes one may trust it. `Batches` deals its
samples out by number: batch k is the same whenever and wherever it is asked for, so that a run can
be replayed from any of its batches.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from core.augment import Augment
from core.catalogue import BadInput, unknown

SPLITS = ("train", "test")
VALIDATION = "validation"
"""A third split, which few sets have: held out of the training images, to choose by."""

LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled images in two splits; two of them are equal only if they are the same object.

    Args:
        name: as in the menu.
        train_x: images, (n, C, H, W), floating point, in [low, high].
        train_y: class of each, (n,), int64 in 0..classes - 1.
        test_x: images, (m, C, H, W).
        test_y: class of each, (m,).
        classes: number of classes.
        class_names: one name for each class.
        low: value of the darkest pixel, in any channel.
        high: value of the brightest pixel, in any channel.
        black: value of a black pixel in each channel, where channels differ; empty: low in all.
        white: value of a white pixel in each channel, where channels differ; empty: high in all.
        augment: how training images are varied whenever they are dealt out; None for not at all.
        validation_x: images that are held out of the training images, (k, C, H, W); None for none.
        validation_y: class of each, (k,).

    Raises:
        BadInput: for pixels that are not finite, labels that are no class, or shapes that disagree.
    """

    name: str
    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    classes: int
    class_names: tuple[str, ...]
    low: float
    high: float
    black: tuple[float, ...] = ()
    white: tuple[float, ...] = ()
    augment: Augment | None = None
    validation_x: Tensor | None = None
    validation_y: Tensor | None = None

    def __post_init__(self) -> None:
        """Refuse what would fail, or mislead, much later."""
        if self.classes < 1:
            raise BadInput(f"dataset.classes: {self.classes}; an integer of 1 or more")
        if len(self.class_names) != self.classes:
            named = len(self.class_names)
            raise BadInput(
                f"dataset.class_names: {named} names; {self.classes}, one for each class"
            )
        if (self.validation_x is None) != (self.validation_y is None):
            raise BadInput("dataset.validation_x: images or labels alone; both or none")
        for split in self.splits:
            x, y = self.split(split)
            _check_images(x, f"dataset.{split}_x")
            _check_labels(y, len(x), self.classes, f"dataset.{split}_y")
            if x.shape[1:] != self.train_x.shape[1:]:
                came = tuple(x.shape[1:])
                wanted = f"{self.shape}, as in train_x"
                raise BadInput(f"dataset.{split}_x: images of shape {came}; {wanted}")
        for name in ("black", "white"):
            count = len(getattr(self, name))
            if count not in (0, self.shape[0]):
                wanted = f"{self.shape[0]}, one for each channel, or none"
                raise BadInput(f"dataset.{name}: {count} values; {wanted}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one image, (C, H, W)."""
        channels, rows, columns = self.train_x.shape[1:]
        return channels, rows, columns

    def channel(self, c: int) -> tuple[float, float]:
        """Values of a black and of a white pixel in channel c."""
        black = self.black[c] if self.black else self.low
        white = self.white[c] if self.white else self.high
        return black, white

    @property
    def pixels(self) -> tuple[Tensor, Tensor]:
        """Lowest and highest legal value of each pixel, (C, H, W) each, float64.

        Images are clipped to them before their error is told.
        """
        ranges = [self.channel(c) for c in range(self.shape[0])]
        bounds = torch.tensor(ranges, dtype=torch.float64).T[:, :, None, None]  # (2, C, 1, 1)
        low, high = bounds.expand(2, *self.shape)
        return low, high

    @property
    def ends(self) -> dict[str, list[float]]:
        """Values of black and of white pixels in channels that differ, as a trace tells them."""
        return {"black": list(self.black), "white": list(self.white)} if self.black else {}

    def brightness(self, x: Tensor) -> Tensor:
        """Images as they are looked at, black 0 and white 1, whatever the scale of the pixels.

        Args:
            x: in the scale of the set, (..., C, H, W).
        """
        ranges = [self.channel(c) for c in range(self.shape[0])]
        black, white = torch.tensor(ranges, dtype=x.dtype, device=x.device).T[:, :, None, None]
        return (x - black) / (white - black)

    @cached_property
    def fingerprint(self) -> str:
        """The first 16 hex digits of a SHA-256 over the arrays of all splits."""
        digest = hashlib.sha256()
        for array in (one for split in self.splits for one in self.split(split)):
            digest.update(f"{array.dtype} {tuple(array.shape)}\n".encode())
            digest.update(array.detach().cpu().contiguous().numpy().data)
        return digest.hexdigest()[:16]

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that there are."""
        return SPLITS if self.validation_x is None else (*SPLITS, VALIDATION)

    def split(self, name: str) -> tuple[Tensor, Tensor]:
        """Images (n, C, H, W) and labels (n,) of one of `splits`."""
        if name not in self.splits:
            raise BadInput(f"split: {unknown(name, self.splits)}")
        if name == VALIDATION:
            assert self.validation_x is not None and self.validation_y is not None
            return self.validation_x, self.validation_y
        return (self.train_x, self.train_y) if name == "train" else (self.test_x, self.test_y)


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples that relax together.

    Args:
        x: images, (B, C, H, W).
        y: class of each, (B,), int64.
        index: position of each in its split, (B,), int64.
        number: which batch it is, counted from 0 over all epochs.
        epoch: which epoch it belongs to, counted from 0.
    """

    x: Tensor
    y: Tensor
    index: Tensor
    number: int
    epoch: int = 0


class Batches:
    """Batches of one split by number: batch k depends on the arguments and k, and on nothing else.

    Every epoch is a new shuffle, drawn from (seed, epoch); the last samples of a shuffle that fill
    no batch are left out of that epoch, in both splits. A set that varies its training images
    varies those of batch k by lots drawn from (seed, k); test images are never varied.

    *Stream-aligned* batches hold size / classes samples of each class, in blocks, class 0 first: a
    slot has the same class in every batch, so that what an init remembers by slot fits. Each class
    is shuffled on its own. An epoch is as long as the largest class allows; a smaller class goes
    through its shuffle again from the start, so some of its samples come more often than others.
    """

    def __init__(
        self,
        images: ImageSet,
        size: int,
        *,
        aligned: bool,
        seed: int,
        split: str = "train",
        fraction: float = 1.0,
    ) -> None:
        """Choose the samples and how they are dealt out.

        Args:
            images: the set.
            size: samples in a batch, B.
            aligned: whether the batches are stream-aligned.
            seed: of the shuffles, 0..2^32 - 1.
            split: "train" or "test".
            fraction: how much of each class to use, in (0, 1]: its first samples, at least one.

        Raises:
            BadInput: if no batch can be made so.
        """
        self.images, self.size, self.aligned, self.seed = images, size, aligned, seed
        self.split, self.fraction = split, fraction
        self._x, self._y = images.split(split)
        _check_integer(seed, 0, LARGEST_SEED, "seed")
        if not 0 < fraction <= 1:  # also refuses nan
            raise BadInput(f"fraction: {fraction}; a number in (0, 1]")
        if len(self._y) == 0:
            raise BadInput(f"split: {split} of {images.name} has no images; at least one is needed")
        self._members = _first_of_each_class(self._y.cpu(), images.classes, fraction)
        self.count = sum(len(members) for members in self._members)
        _check_integer(size, 1, self.count, "batch_size", f" ({split} images of {images.name})")
        if aligned:
            self._check_aligned()
        self._epoch: tuple[int, Tensor] | None = None

    @property
    def per_epoch(self) -> int:
        """Batches in one epoch."""
        if self.aligned:
            largest = max(len(members) for members in self._members)
            return largest // (self.size // self.images.classes)
        return self.count // self.size

    def batch(self, k: int) -> Batch:
        """Batch k = 0, 1, 2, ...: the numbers run on over the epochs."""
        if isinstance(k, bool) or not isinstance(k, int) or k < 0:
            raise BadInput(f"batch: {k!r}; an integer of 0 or more")
        epoch, place = divmod(k, self.per_epoch)
        index = self._order(epoch)[place]  # (B,)
        x = self._varied(index, k)
        return Batch(x=x, y=self._y[index], index=index.clone(), number=k, epoch=epoch)

    def _varied(self, index: Tensor, k: int) -> Tensor:
        """The images of batch k, (B, C, H, W), in memory of their own."""
        augment = self.images.augment
        if augment is None or self.split != "train":
            return self._x[index]
        mixed = np.random.SeedSequence([self.seed, k, 2]).generate_state(1, np.uint64)
        return augment(self._x, index, torch.Generator().manual_seed(int(mixed[0])))

    def _order(self, epoch: int) -> Tensor:
        """Positions of one epoch's samples, (per_epoch, B); the last epoch asked for is kept."""
        kept = self._epoch
        if kept is None or kept[0] != epoch:
            kept = self._epoch = (epoch, self._shuffled(epoch))
        return kept[1]

    def _shuffled(self, epoch: int) -> Tensor:
        """A fresh shuffle, (per_epoch, B)."""
        # Mixed, so that seed 1 in epoch 0 is not seed 0 in epoch 1.
        mixed = np.random.SeedSequence([self.seed, epoch]).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(mixed[0]))
        if not self.aligned:
            positions = torch.cat(self._members).sort().values
            order = positions[torch.randperm(self.count, generator=generator)]
            return order[: self.per_epoch * self.size].reshape(self.per_epoch, self.size)
        share = self.size // self.images.classes
        blocks = []
        for members in self._members:
            order = members[torch.randperm(len(members), generator=generator)]
            cycled = order[torch.arange(self.per_epoch * share) % len(members)]
            blocks.append(cycled.reshape(self.per_epoch, share))
        return torch.cat(blocks, dim=1)

    def _check_aligned(self) -> None:
        """Refuse sizes and classes that cannot fill every slot."""
        classes = self.images.classes
        if self.size % classes:
            below = self.size - self.size % classes
            near = [size for size in (below, below + classes) if 1 <= size <= self.count]
            offer = f" ({', '.join(map(str, near))})" if near else ""
            wanted = f"a multiple of {classes} classes{offer} for stream-aligned batches"
            raise BadInput(f"batch_size: {self.size}; {wanted}")
        for c, members in enumerate(self._members):
            if len(members) == 0:
                missing = f"no image of class {c} ({self.images.class_names[c]})"
                wanted = "at least one of each class for stream-aligned batches"
                raise BadInput(f"dataset.{self.split}_y: {missing}; {wanted}")


def _first_of_each_class(y: Tensor, classes: int, fraction: float) -> list[Tensor]:
    """For each class, the positions of its first samples in the split."""
    members = [torch.nonzero(y == c).flatten() for c in range(classes)]
    return [one[: max(1, round(fraction * len(one)))] for one in members]


def _check_integer(value: int, low: int, high: int, field: str, of: str = "") -> None:
    """Refuse what is no integer in [low, high]."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise BadInput(f"{field}: {value!r}; an integer {low}..{high}{of}")


def _check_images(x: Tensor, field: str) -> None:
    """Refuse images of another shape or type, and pixels that are not finite."""
    if x.dim() != 4:
        raise BadInput(f"{field}: shape {tuple(x.shape)}; (n, C, H, W)")
    if not x.is_floating_point():
        raise BadInput(f"{field}: {x.dtype}; floating-point pixels")
    bad = ~torch.isfinite(x)
    if bad.any():
        first = int(bad.flatten().to(torch.uint8).argmax())
        where = ", ".join(str(int(i)) for i in np.unravel_index(first, x.shape))
        raise BadInput(
            f"{field}[{where}]: {x.flatten()[first]}; finite pixels (sample, channel, row, column)"
        )


def _check_labels(y: Tensor, count: int, classes: int, field: str) -> None:
    """Refuse labels that are not one class index for each image."""
    if y.dim() != 1 or len(y) != count:
        raise BadInput(f"{field}: shape {tuple(y.shape)}; ({count},), one class index per image")
    if y.dtype != torch.int64:
        raise BadInput(f"{field}: {y.dtype}; class indices 0..{classes - 1} as torch.int64")
    bad = (y < 0) | (y >= classes)
    if bad.any():
        first = int(bad.to(torch.uint8).argmax())
        raise BadInput(f"{field}[{first}]: {int(y[first])}; a class 0..{classes - 1}")
