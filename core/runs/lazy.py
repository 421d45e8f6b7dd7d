"""How is a variable read only where it is looked at? As an array that asks the store when it is."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

Read = Callable[[NDArray[np.int64]], NDArray[Any]]
"""Gives the values at some positions along the first axis, in their order."""


class LazyRows(BackendArray):
    """A variable whose first axis is read by `read`, part by part."""

    def __init__(self, read: Read, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Describe the variable.

        Args:
            read: gives the values at positions.
            shape: of the whole.
            dtype: of its numbers.
        """
        self.read = read
        self.shape = shape
        self.dtype = dtype
        self._guard = threading.Lock()

    def __getitem__(self, key: indexing.ExplicitIndexer) -> NDArray[Any]:
        """The values at a key of xarray's."""
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._taken
        )

    def _taken(self, key: tuple[Any, ...]) -> NDArray[Any]:
        first, *rest = key
        at = np.arange(self.shape[0])[first]
        with self._guard:
            values = self.read(np.atleast_1d(at))
        for axis, one in reversed(list(enumerate(rest, 1))):
            values = values[(slice(None),) * axis + (one,)]
        return values if np.ndim(at) else values[0]


def as_variable(read: Read, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """The same as data for a variable of an `xarray.Dataset`."""
    return indexing.LazilyIndexedArray(LazyRows(read, shape, dtype))
