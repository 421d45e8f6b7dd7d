"""Which values may a program log of its own, and of what shape?

The number of axes says whether they are of one row or of several: a variable has those of the
schema, and one more in front where there are several rows.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from core import schema
from core.catalogue import BadInput, unknown
from core.layout import Layout

FOLLOW = ("floor", "rounding", "log_term")
"""Variables that are made from others and are not logged."""

ROWS = tuple(k for k, dims in schema.DIMS.items() if dims[0] == "step" and k not in FOLLOW)
"""Variables of rows; and `state_k`."""

FRAMES = tuple(k for k, dims in schema.DIMS.items() if dims[0] == "frame")
"""Variables of frames."""

TAKEN = ("batch", "lane", "layer", "numbers", "rows", "step", "T")
"""Names that what is known of batches has already."""

SHOWN = 8
"""Images that are kept of a frame or a batch."""

WORDS = {"layer": "layers", "state": "states", "sample": "samples", "class": "classes"}


class Shapes:
    """What one log holds: a dimension has the size with which it first came.

    Only the samples of a batch may be fewer than before; what is not there is nan.
    """

    def __init__(self, layout: Layout, known: Mapping[str, int] | None = None) -> None:
        """Begin with the layers and states of a layout.

        Args:
            layout: of the log.
            known: sizes of dimensions that rows before have.
        """
        self.layout = layout
        units = {f"unit_{k}": size for k, size in enumerate(layout.sizes) if size}
        fixed = {"layer": len(layout.layers), "state": len(layout.sizes)}
        self.sizes: dict[str, int] = {**units, **(known or {}), **fixed}
        self._found: dict[tuple[str, tuple[int, ...]], int | None] = {}

    def rows(self, name: str, shape: tuple[int, ...]) -> int | None:
        """How many rows a value of a variable is for; None for one row, without an axis for it.

        Raises:
            BadInput: for an unknown variable (the nearest is offered) or another shape.
        """
        key = name, shape
        if key not in self._found:
            self._found[key] = self._rows(name, shape)
        return self._found[key]

    def _rows(self, name: str, shape: tuple[int, ...]) -> int | None:
        dims = self._dims(name)
        extra = len(shape) - len(dims)
        if extra not in (0, 1):
            raise self._refused(name, shape, dims)
        own, found = shape[extra:], {}
        for dim, size in zip(dims, own, strict=True):
            held = self.sizes.get(dim, size)
            fits = size == held or (dim == "sample" and 0 < size < held)
            if dim == "state" and size == len(self.layout.layers):
                fits = True
            if not fits or not size:
                raise self._refused(name, shape, dims)
            found[dim] = held
        if extra and not shape[0]:
            raise self._refused(name, shape, dims)
        self.sizes |= found
        return shape[0] if extra else None

    def _dims(self, name: str) -> tuple[str, ...]:
        """Dimensions of one row of a variable."""
        if name in ROWS:
            return schema.DIMS[name][1:]
        held = schema.STATE.fullmatch(name)
        if held:
            if int(held[1]) < len(self.layout.sizes):
                return schema.dims_of(name)[1:]
            raise BadInput(f"{name}; states are numbered 0..{len(self.layout.sizes) - 1}")
        if name in FOLLOW:
            raise BadInput(f"{name}: it follows from what is logged; one of {', '.join(ROWS)}")
        if name in FRAMES:
            raise BadInput(f"{name}: of images; log.images({name}=...)")
        if name in schema.BATCH_DIMS:
            raise BadInput(f"{name}: of a whole batch; log.batch({name}=...)")
        raise BadInput(f"append: {unknown(name, (*ROWS, 'states'))}")

    def _refused(self, name: str, shape: tuple[int, ...], dims: tuple[str, ...]) -> BadInput:
        if not dims:
            return BadInput(f"{name}: shape {shape}; one number, or one for each row")
        words = []
        for dim in dims:
            word = WORDS.get(dim, "units")
            words.append(f"{self.sizes[dim]} {word}" if dim in self.sizes else word)
        legal = " x ".join(words)
        return BadInput(f"{name}: shape {shape}; {legal}, or rows x {legal}")

    def samples(self, field: str, count: int) -> None:
        """Note that batches have so many samples.

        Raises:
            BadInput: if they are more than before.
        """
        held = self.sizes.setdefault("sample", count)
        if not 0 < count <= held:
            raise BadInput(f"{field}: {count} samples; 1 to {held}, as many as before")

    def fitted(self, name: str, values: NDArray) -> NDArray:
        """Values on the host, (rows, ...), filled with nan up to the sizes of their dimensions."""
        dims = schema.dims_of(name)[1:]
        if schema.DIMS.get(name, ())[2:] == ("channel", "row", "column"):
            dims = ("shown", "pixels")
        full = tuple(self.sizes[dim] for dim in dims)
        if values.shape[1:] == full:
            return values
        out = np.full((len(values), *full), np.nan, values.dtype)
        if dims == ("state",):
            out[:, list(self.layout.layers)] = values
        else:
            out[(slice(None), *(slice(0, n) for n in values.shape[1:]))] = values
        return out
