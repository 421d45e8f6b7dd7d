"""How does a dataset lie in CSV? A line for each row and layer, a column for each variable."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from core.schema import DIMS

LINES = 2**11
"""Lines that are made at a time."""


def write(data: xr.Dataset, path: Path, tell: Callable[[float], None]) -> None:
    """Write all rows: what is known of each step, then of each layer at it.

    Numbers have as many digits as their type needs, so that they read back as they are.

    Args:
        data: rows (step, layer).
        path: of the file.
        tell: called with the share that is done.
    """
    along = [str(n) for n, v in data.coords.items() if v.dims == ("step",) and n != "step"]
    along += [str(n) for n, v in data.data_vars.items() if v.dims == ("step",)]
    of_layer = [str(n) for n, v in data.coords.items() if v.dims == ("layer",) and n != "layer"]
    both = [str(n) for n, v in data.data_vars.items() if v.dims == ("step", "layer")]
    both.sort(key=list(DIMS).index)
    layers, steps = data.sizes.get("layer", 0), data.sizes.get("step", 0)
    size = max(1, LINES // max(layers, 1))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["step", *along, "layer", *of_layer, *both])
        for first in range(0, steps if layers else 0, size):
            part = data[["step", *along, "layer", *of_layer, *both]]
            part = part.isel(step=slice(first, first + size)).load()
            rows = part.sizes["step"]
            columns = [np.repeat(_text(part[name].values), layers) for name in ("step", *along)]
            columns += [np.tile(_text(part[name].values), rows) for name in ("layer", *of_layer)]
            columns += [_text(part[name].transpose("step", "layer").values) for name in both]
            writer.writerows(zip(*(column.ravel().tolist() for column in columns), strict=True))
            tell((first + rows) / steps)


def _text(values: NDArray[Any]) -> NDArray[Any]:
    """Numbers as their shortest texts, truth as 1 and 0."""
    return (values.astype(np.int8) if values.dtype == bool else values).astype(str)
