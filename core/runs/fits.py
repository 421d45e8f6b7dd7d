"""Do the arrays of a flush fit their lane? A dimension keeps the size with which it first came."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from numpy.typing import NDArray

from core import schema
from core.catalogue import BadInput, unknown
from core.layout import Layout

IMAGE = ("channel", "row", "column")
"""An image lies there in its own shape or flat."""


class Fits:
    """What is known of the sizes of one lane."""

    def __init__(self, layout: Layout) -> None:
        """Begin with the layers and states of its layout."""
        self.layers = len(layout.layers)
        self._pixels = math.prod(layout.pixel_shape) if layout.pixel_shape else 0
        self._sizes = {"layer": self.layers, "state": len(layout.names)}
        self._sizes |= {f"unit_{k}": size for k, size in enumerate(layout.sizes) if size}
        self._shapes: dict[str, tuple[int, ...]] = {}

    def know(self, shapes: Iterable[tuple[str, tuple[int, ...]]]) -> None:
        """Take over names and shapes of one entry that were stored before."""
        for name, shape in shapes:
            self._fit(name, shape)

    def check(self, values: Mapping[str, NDArray[Any]], count: int) -> None:
        """Refuse what a reader could not put together.

        Args:
            values: by name, (count, ...).
            count: of rows or of frames.

        Raises:
            BadInput: naming the array, its shape and what it should be.
        """
        for name, held in values.items():
            if held.shape[:1] != (count,):
                raise BadInput(f"{name}: shape {held.shape}; {count} entries, as the others have")
        kept = dict(self._sizes), dict(self._shapes)
        try:
            self.know((name, held.shape[1:]) for name, held in values.items())
        except BadInput:
            self._sizes, self._shapes = kept
            raise

    def _fit(self, name: str, shape: tuple[int, ...]) -> None:
        before = self._shapes.setdefault(name, shape)
        if shape != before:
            raise BadInput(f"{name}: shape {shape}; {before}, as in the rows before")
        try:
            dims = schema.dims_of(name)[1:]
        except KeyError:
            raise BadInput(f"rows: {unknown(name, list(schema.DIMS))}") from None
        if dims[1:] == IMAGE:
            pixels = math.prod(shape[1:])
            if not shape or (self._pixels and pixels != self._pixels):
                raise BadInput(f"{name}: shape {shape}; images of {self._pixels} pixels")
            dims, shape = dims[:1], shape[:1]
        legal = tuple(self._sizes.get(dim, dim) for dim in dims)
        if len(shape) != len(dims):
            raise BadInput(f"{name}: shape {shape}; {_words(legal)}")
        for dim, size in zip(dims, shape, strict=True):
            if self._sizes.setdefault(dim, size) != size:
                raise BadInput(f"{name}: shape {shape}; {_words(legal)}")


def _words(legal: tuple[int | str, ...]) -> str:
    """A shape in words, where the name of a dimension stands for any size of it."""
    return f"({', '.join(map(str, legal))}) behind the rows" if legal else "one number for each row"
