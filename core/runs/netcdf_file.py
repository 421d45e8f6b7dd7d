"""How does a dataset lie in NetCDF? In its fourth format, every variable with Fletcher's checksum.

The library must not be called by two threads at once; xarray has a lock for that, which is held
here too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends.locks import HDF5_LOCK

TEXT = "UOT"
"""numpy's kinds of texts. Texts of varying length have no checksum, so they lie here as letters."""


CACHE = 2**22
"""Bytes of chunks that the library holds of a variable; by itself it takes up to 64 MiB."""


class NetcdfTarget:
    """The variables of one group."""

    def __init__(self, variables: dict[str, Any], widths: dict[str, int]) -> None:
        """Take the variables; `widths` has the bytes of those that are texts."""
        self._variables, self._widths = variables, widths

    def put(self, name: str, first: int, values: NDArray[Any]) -> None:
        """Write a variable from its entry `first` on."""
        if name in self._widths:
            values = _letters(values, self._widths[name])
        elif values.dtype == bool:
            values = values.astype(np.int8)
        variable = self._variables[name]
        with HDF5_LOCK:
            if not values.ndim:
                variable[...] = values
            elif len(values):
                variable[first : first + len(values)] = values

    def read(self, name: str, first: int, count: int) -> NDArray[Any]:
        """What was written there."""
        variable = self._variables[name]
        with HDF5_LOCK:
            found = np.asarray(variable[first : first + count] if variable.ndim else variable[...])
        if name not in self._widths:
            return found
        whole = np.ascontiguousarray(found).view(f"S{self._widths[name]}")[..., 0]
        return np.char.decode(whole, "utf-8")


@contextmanager
def opened(
    path: Path, group: str, data: xr.Dataset, chunks: dict[str, tuple[int, ...]]
) -> Iterator[NetcdfTarget]:
    """The variables of a dataset, made and still empty.

    Args:
        path: of the file.
        group: name of the group, "" for the root.
        data: gives names, dimensions, types and attributes.
        chunks: shape of the chunks of each variable.
    """
    import netCDF4

    widths = {
        str(name): _width(one.values)
        for name, one in data.variables.items()
        if one.dtype.kind in TEXT
    }
    with HDF5_LOCK:
        file = netCDF4.Dataset(path, "a" if path.exists() else "w", format="NETCDF4")
        file.set_auto_mask(False)
        root = file.createGroup(group) if group else file
    try:
        with HDF5_LOCK:
            made = _made(root, data, chunks, widths)
        yield NetcdfTarget(made, widths)
    finally:
        with HDF5_LOCK:
            file.close()


def _made(
    root: Any, data: xr.Dataset, chunks: dict[str, tuple[int, ...]], widths: dict[str, int]
) -> dict[str, Any]:
    """Dimensions and variables of a group, and its attributes."""
    for dim, size in data.sizes.items():
        root.createDimension(str(dim), size)
    for width in set(widths.values()):
        root.createDimension(f"letters_{width}", width)
    apart = " ".join(str(name) for name in data.coords if name not in data.dims)
    attrs = {k: int(v) if isinstance(v, bool) else v for k, v in data.attrs.items()}  # has no truth
    root.setncatts({**attrs, **({"coordinates": apart} if apart else {})})
    made = {}
    for key, variable in data.variables.items():
        name, dims, dtype = str(key), [str(dim) for dim in variable.dims], variable.dtype.str
        pieces, attrs = chunks[name], dict(variable.attrs)
        if name in widths:
            dims, dtype, attrs = [*dims, f"letters_{widths[name]}"], "S1", {"_Encoding": "utf-8"}
            pieces = (*pieces, widths[name])
        elif variable.dtype == bool:
            dtype, attrs = "i1", attrs | {"dtype": "bool"}
        checked = {"compression": "zlib", "complevel": 1, "fletcher32": True, "chunksizes": pieces}
        made[name] = root.createVariable(
            name, dtype, dims, fill_value=False, **(checked if dims else {})
        )
        if dims:
            made[name].set_var_chunk_cache(CACHE)
        made[name].set_auto_chartostring(False)
        made[name].set_auto_mask(False)
        made[name].setncatts(attrs)
    return made


def _width(values: NDArray[Any]) -> int:
    """Bytes of the longest text."""
    return max((len(str(one).encode()) for one in set(values.ravel().tolist())), default=1) or 1


def _letters(values: NDArray[Any], width: int) -> NDArray[Any]:
    """Texts as letters, one dimension more."""
    encoded = np.char.encode(values.astype(str), "utf-8").astype(f"S{width}")
    return encoded[..., None].view("S1").reshape(*values.shape, width)
