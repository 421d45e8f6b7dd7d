"""How does a dataset lie in Zarr? In its third format, every chunk with a checksum.

Without the checksum a flipped bit in a compressed chunk comes back as a wrong number. Empty chunks
are written too, so that a chunk that is missing was lost.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

TEXT = "UOT"
"""numpy's kinds of texts."""


class ZarrTarget:
    """The arrays of one group."""

    def __init__(self, arrays: dict[str, Any], texts: set[str]) -> None:
        """Take the arrays; those of texts are read back as such."""
        self._arrays, self._texts = arrays, texts

    def put(self, name: str, first: int, values: NDArray[Any]) -> None:
        """Write a variable from its entry `first` on."""
        array = self._arrays[name]
        if name in self._texts:
            values = values.astype(object)
        array[(slice(first, first + len(values)), ...) if values.ndim else ...] = values

    def read(self, name: str, first: int, count: int) -> NDArray[Any]:
        """What was written there."""
        array = self._arrays[name]
        return np.asarray(array[(slice(first, first + count), ...) if array.ndim else ...])


@contextmanager
def opened(
    path: Path, group: str, data: xr.Dataset, chunks: dict[str, tuple[int, ...]]
) -> Iterator[ZarrTarget]:
    """The arrays of a dataset, made and still empty.

    Args:
        path: of the store.
        group: name of the group, "" for the root.
        data: gives names, dimensions, types and attributes.
        chunks: shape of the chunks of each variable.
    """
    import zarr
    from zarr.codecs import ZstdCodec

    root = zarr.open_group(path, path=group, mode="w-" if not group else "a", zarr_format=3)
    apart = [str(name) for name in data.coords if name not in data.dims]
    root.attrs.update({**data.attrs, "coordinates": " ".join(apart)} if apart else dict(data.attrs))
    arrays, texts = {}, set()
    for key, variable in data.variables.items():
        name = str(key)
        if variable.dtype.kind in TEXT:
            texts.add(name)
        arrays[name] = root.create_array(
            name,
            shape=variable.shape,
            chunks=chunks[name],
            dtype=str if name in texts else variable.dtype,
            compressors=[ZstdCodec(level=3, checksum=True)],
            dimension_names=[str(dim) for dim in variable.dims],
            attributes=dict(variable.attrs),
            fill_value=_lost(np.dtype(variable.dtype), name in texts),
            config={"write_empty_chunks": True},
        )
    yield ZarrTarget(arrays, texts)


def _lost(kind: np.dtype, text: bool) -> Any:
    """What a chunk that was lost reads as: nothing that anybody takes for a number."""
    if text:
        return ""
    if kind.kind == "f":
        return np.nan
    return np.iinfo(kind).min if kind.kind == "i" else np.iinfo(kind).max if kind.kind == "u" else 0


def finish(path: Path, groups: list[str]) -> None:
    """Gather the metadata of all arrays in one place, once, when nothing changes any more."""
    import zarr

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Consolidated metadata", UserWarning)
        for group in reversed(groups):
            zarr.consolidate_metadata(path, path=group or None, zarr_format=3)
