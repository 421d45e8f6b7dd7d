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


SLAB = 2**14
"""Rows that are read at a time where only some of their columns are wanted."""


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
        every = np.atleast_1d(at)
        with self._guard:
            if len(every) <= SLAB or _is_whole(rest):
                values = _cut(self.read(every), rest)
            else:  # copies: a view would hold all columns of its slab
                slabs = (every[k : k + SLAB] for k in range(0, len(every), SLAB))
                values = np.concatenate([_cut(self.read(one), rest).copy() for one in slabs])
        return values if np.ndim(at) else values[0]


def _is_whole(rest: list[Any]) -> bool:
    """Whether a key of the axes behind the first leaves nothing out."""
    return all(isinstance(one, slice) and one == slice(None) for one in rest)


def _cut(values: NDArray[Any], rest: list[Any]) -> NDArray[Any]:
    """The values at a key of the axes behind the first."""
    for axis, one in reversed(list(enumerate(rest, 1))):
        values = values[(slice(None),) * axis + (one,)]
    return values


def as_variable(read: Read, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """The same as data for a variable of an `xarray.Dataset`."""
    return indexing.LazilyIndexedArray(LazyRows(read, shape, dtype))
