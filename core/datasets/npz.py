"""Images of one's own, as four arrays in an .npz file."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.batches import ImageSet
from core.catalogue import BadInput, dial, entry, shown
from core.datasets.npz_file import Header, Member, opened
from core.datasets.own_data import check_limit, classes_dial, existing, limit_dial
from core.datasets.pixels import augment_dial, image_set, scale_dial

WHAT = "an .npz file with x_train, y_train, x_test and y_test"
NAMES = ("x_train", "y_train", "x_test", "y_test")
CHANNELS = (1, 3)

SHAPES = "(n, H, W), (n, H, W, C) or (n, C, H, W) with 1 or 3 channels, without empty axes"
PIXELS = "uint8 in 0..255, or floating point in 0..1"


@entry("dataset", "Own images, .npz", formula=r"x = 2\,g - 1,\ g \in [0, 1]", source="this project")
@dataclass(frozen=True)
class Npz:
    """Images and labels of your own, in the four arrays of an .npz file.

    `x_train` and `x_test` are uint8 0..255 or floating point 0..1, of shape (n, H, W), (n, H, W, C)
    or (n, C, H, W) with 1 or 3 channels; `y_train` and `y_test` are integers 0..classes - 1, (n,).
    `numpy.savez("mine.npz", x_train=..., ...)` writes them. Other arrays are not read, and nothing
    is unpickled. The scale "standard" uses mean and deviation of the training images.

    Source: this project.
    """

    path: str = dial("", help=WHAT)
    classes: int = classes_dial()
    scale: str = scale_dial()
    augment: str = augment_dial()
    limit: float = limit_dial()

    yours: ClassVar[str] = WHAT

    def __call__(self) -> ImageSet:
        """The images of the file, (n, C, H, W).

        Raises:
            BadInput: naming the array, what came and what is legal.
        """
        path = existing(self.path, WHAT, folder=False)
        about = path.stat()
        stamp = about.st_mtime_ns, about.st_size
        return _load(path.resolve(), stamp, self.classes, self.scale, self.augment, self.limit)


@lru_cache(maxsize=1)
def _load(
    path: Path, stamp: tuple[int, int], classes: int, scale: str, augment: str, limit: float
) -> ImageSet:
    """The image set, shared by all who ask for the same."""
    with opened(path, NAMES) as members:
        told = {name: members[name].header for name in NAMES}
        shapes = {name: _shape(told[name], name) for name in ("x_train", "x_test")}
        _check(told, shapes)
        count = sum(told[name].shape[0] for name in shapes)
        check_limit(count, shapes["x_train"], limit, told["x_train"].dtype.itemsize)
        labels = {name: _labels(members[name], classes) for name in ("y_train", "y_test")}
        images = {name: _images(members[name], shape) for name, shape in shapes.items()}
    return image_set(
        shown(path.name),
        (images["x_train"], labels["y_train"]),
        (images["x_test"], labels["y_test"]),
        full=255.0 if told["x_train"].dtype == np.uint8 else 1.0,
        scale=scale,
        class_names=tuple(str(c) for c in range(classes)),
        augment=augment,
    )


def _shape(header: Header, name: str) -> tuple[int, int, int]:
    """Shape of one image, (C, H, W), from what the file declares."""
    shape, dtype = header.shape, header.dtype
    refused = BadInput(f"dataset.{name}: shape {shape}; {SHAPES}")
    if dtype != np.uint8 and (dtype.kind != "f" or dtype.itemsize > 8):
        raise BadInput(f"dataset.{name}: {dtype}; {PIXELS}")
    if len(shape) not in (3, 4) or 0 in shape:
        raise refused
    if len(shape) == 3:
        return 1, shape[1], shape[2]
    first, last = shape[1] in CHANNELS, shape[3] in CHANNELS
    if first and last:
        raise BadInput(
            f"dataset.{name}: shape {shape}; 1 or 3 either behind n or at the end, not at both, so "
            "that the channels are known"
        )
    if not first and not last:
        raise refused
    return (shape[1], shape[2], shape[3]) if first else (shape[3], shape[1], shape[2])


def _check(told: dict[str, Header], shapes: dict[str, tuple[int, int, int]]) -> None:
    """Refuse arrays that do not go together."""
    if shapes["x_test"] != shapes["x_train"]:
        wanted = f"{shapes['x_train']}, as in x_train"
        raise BadInput(f"dataset.x_test: images of shape {shapes['x_test']}; {wanted}")
    kinds = [told[name].dtype for name in ("x_train", "x_test")]
    if kinds[0].kind != kinds[1].kind:
        raise BadInput(f"dataset.x_test: {kinds[1]}; {kinds[0]}, as in x_train")
    for split in ("train", "test"):
        name, count = f"y_{split}", told[f"x_{split}"].shape[0]
        shape, dtype = told[name].shape, told[name].dtype
        if shape != (count,) or dtype.kind not in "iu":
            legal = f"integers of shape ({count},), a class for each image"
            raise BadInput(f"dataset.{name}: {dtype} of shape {shape}; {legal}")


def _labels(member: Member, classes: int) -> Tensor:
    """Classes, (n,), int64."""
    y = member.read()
    bad = np.flatnonzero((y < 0) | (y >= classes))
    if len(bad):
        legal = f"a class 0..{classes - 1}, as dataset.classes says"
        raise BadInput(f"dataset.{member.name}[{bad[0]}]: {int(y[bad[0]])}; {legal}")
    return torch.from_numpy(y.astype(np.int64))


def _images(member: Member, shape: tuple[int, int, int]) -> Tensor:
    """Pixels, (n, C, H, W), uint8 or float32."""
    x = member.read()
    if x.ndim == 4 and x.shape[1:] != shape:
        x = x.transpose(0, 3, 1, 2)
    if x.dtype != np.uint8:
        _check_range(x, member.name)
        x = x.astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(x)).reshape(-1, *shape)


def _check_range(x: NDArray[np.floating], name: str) -> None:
    """Refuse floating-point pixels outside of 0..1, and those that are no numbers."""
    with np.errstate(invalid="ignore"):
        bad = ~((x >= 0) & (x <= 1))
    if bad.any():
        at = np.unravel_index(int(bad.argmax()), x.shape)
        raise BadInput(f"dataset.{name}: {float(x[at]):g} in image {at[0]}; {PIXELS}")
