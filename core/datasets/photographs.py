"""How does an image file become bytes of a given size?"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.catalogue import BadInput, shown

FORMATS = ("PNG", "JPEG", "BMP", "PPM", "TIFF", "WEBP")
"""What is opened, whatever a file is called; other formats run programs or need fonts."""

MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
"""Eight bits or less: deeper ones would be cut off when they are brought to eight."""

MOST_PIXELS = 64 * 2**20
"""Of one file; more is taken for a bomb."""


def decoded(where: str, paths: Sequence[str], short: int, channels: int) -> Tensor:
    """The squares at the centre of images, (n, channels, short, short), uint8.

    Each image is resized so that its short side has `short` pixels, bilinearly and with a filter
    that averages where it shrinks, and cut to the square at its centre: torchvision's Resize and
    CenterCrop.

    Args:
        where: the folder that all files lie in.
        paths: of the files.
        short: rows and columns.
        channels: 3 for colour, 1 for luminance (0.299 R + 0.587 G + 0.114 B).

    Raises:
        BadInput: naming the first file that cannot be read, and how many there are.
    """
    out = np.empty((len(paths), channels, short, short), np.uint8)

    def read(i: int) -> str:
        """Decode one image; why it cannot be, or nothing."""
        try:
            out[i] = _square(paths[i], short, channels).transpose(2, 0, 1)
        except MemoryError:
            raise
        except Exception as failed:  # a damaged image fails in many ways
            why = " ".join(str(failed).split()).replace(f"{paths[i]!r}", "it")
            return why or type(failed).__name__
        return ""

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding leaves the interpreter free
        said = zip(paths, pool.map(read, range(len(paths))), strict=True)
        bad = [(path, why) for path, why in said if why]
    if bad:
        path, why = bad[0]
        count = f"{len(bad)} of {len(paths)} images cannot be read"
        name = shown(os.path.relpath(path, where))
        raise BadInput(
            f"dataset.path: {where}; {count}, the first is {name} ({why}); only whole ones"
        )
    return torch.from_numpy(out)


def _square(path: str, short: int, channels: int) -> NDArray[Any]:
    """The square at the centre of one image, (short, short, channels), uint8."""
    from PIL import Image

    with Image.open(path, formats=FORMATS) as image:
        width, height = image.size
        if width * height > MOST_PIXELS:
            raise ValueError(f"{width} x {height} pixels, at most {MOST_PIXELS}")
        if image.mode not in MODES:
            raise ValueError(f"mode {image.mode}; eight bits a channel")
        whole = image.convert("RGB" if channels == 3 else "L")
    least = min(width, height)
    size = int(short * width / least), int(short * height / least)
    if max(size) > 64 * short:
        raise ValueError(f"{width} x {height} pixels; sides whose ratio is at most 64")
    if size != (width, height):
        whole = whole.resize(size, Image.Resampling.BILINEAR)
    left, top = (round((one - short) / 2) for one in size)
    square = whole.crop((left, top, left + short, top + short))
    return np.asarray(square).reshape(short, short, channels)
