"""How does a run leave its store? As Zarr, NetCDF or CSV, piece by piece.

An export is written beside its place, read back and compared with what was written, and only then
renamed: what lies there is whole. No more than `SLAB` bytes of rows are held at a time.
"""

import os
import shutil
import uuid
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from core import cache
from core.catalogue import BadInput, unknown
from core.runs.errors import NotWritten
from core.runs.run import Run

SLAB = 2**25
"""Bytes of rows that are held at a time, about."""

CHUNK = 2**22
"""Most bytes of a chunk, unless one row has more."""

GROWS = ("step", "frame", "batch")
"""Dimensions that grow with a run: what has one of them first is written in pieces."""

FORMATS = (".zarr", ".nc", ".csv")

Progress = Callable[[str, float], None]
"""Called with a line and a share between 0 and 1."""


class Target(Protocol):
    """Where pieces of one dataset go, and come back from."""

    def put(self, name: str, first: int, values: NDArray[Any]) -> None:
        """Write a variable from its entry `first` on."""
        ...

    def read(self, name: str, first: int, count: int) -> NDArray[Any]:
        """What was written there."""
        ...


def export(
    run: Run,
    to: str | Path,
    lane: int | None = None,
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write one lane of a run where others can read it; returns where.

    A .zarr is a folder in Zarr's third format, every chunk with a checksum; a .nc is NetCDF-4,
    every variable with one. In both the rows are the root, and what is known of whole batches is
    the group `batches`. A .csv has a line for each row and layer.

    Args:
        run: to be written.
        to: a path that ends in .zarr, .nc or .csv; its folder must be there.
        lane: which one; by default the one that was last written.
        force: whether what lies there is replaced.
        progress: called after each piece.

    Raises:
        BadInput: for another ending, no such folder or lane, or something that lies there.
        NotWritten: if the disk refuses, or gives back other bytes than were written.
    """
    to = Path(to).expanduser()
    check(to, force=force)
    tell = progress or (lambda line, share: None)
    groups = {"": run.dataset(lane), "batches": run.batches(lane)}
    groups[""].attrs |= {"run": run.name}
    write = {".zarr": _zarr, ".nc": _netcdf, ".csv": _csv}[to.suffix]
    try:
        write(groups, to, lambda share: tell(f"writing {to.name}", share))
    except NotWritten:
        raise
    except OSError as failed:
        raise NotWritten(f"out: {to}; not written ({failed.strerror or failed})") from failed
    return to


def check(to: Path, *, force: bool = False) -> None:
    """Refuse a place to which nothing can be exported.

    Raises:
        BadInput: naming what is wrong with it.
    """
    if to.suffix not in FORMATS:
        raise BadInput(f"out: {unknown(to.suffix or to.name, FORMATS)} as the path's ending")
    if not to.parent.is_dir():
        raise BadInput(f"out: {to}; there is no folder {to.parent}")
    if not os.path.lexists(to):
        return
    if not force:
        raise BadInput(f"out: {to}; exists, choose another or replace it (force)")
    alike = (to / "zarr.json").is_file() if to.suffix == ".zarr" else to.is_file()
    if to.is_symlink() or not alike:
        raise BadInput(f"out: {to}; only an earlier export is replaced, this is something else")


# The formats -------------------------------------------------------------------------------------


def _zarr(groups: dict[str, xr.Dataset], to: Path, tell: Callable[[float], None]) -> None:
    """A folder of its own, put in its place when it is whole."""
    from core.runs import zarr_store

    beside = to.with_name(f".{to.stem}-{uuid.uuid4().hex}{to.suffix}")
    try:
        for name, data in groups.items():
            with zarr_store.opened(beside, name, data, plan(data)) as target:
                _filled(target, data, to, tell if not name else _silent)
        zarr_store.finish(beside, list(groups))
        _flush(beside)
        if to.exists():
            old = to.with_name(f".{to.stem}-{uuid.uuid4().hex}.old")
            to.rename(old)
            beside.rename(to)
            shutil.rmtree(old)
        else:
            beside.rename(to)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _netcdf(groups: dict[str, xr.Dataset], to: Path, tell: Callable[[float], None]) -> None:
    """One file, put in its place when it is whole."""
    from core.runs import netcdf_file

    def write(beside: Path) -> None:
        for name, data in groups.items():
            with netcdf_file.opened(beside, name, data, plan(data)) as target:
                _filled(target, data, to, tell if not name else _silent)

    cache.keep(to, write)


def _csv(groups: dict[str, xr.Dataset], to: Path, tell: Callable[[float], None]) -> None:
    """One line for each row and layer: what is known of a layer at a step."""
    from core.runs import csv_table

    cache.keep(to, lambda beside: csv_table.write(groups[""], beside, tell))


# Piece by piece ----------------------------------------------------------------------------------


def plan(data: xr.Dataset) -> dict[str, tuple[int, ...]]:
    """The shape of the chunks of each variable: few enough rows for `CHUNK`, and for the piece."""
    found = {}
    for name, variable in data.variables.items():
        shape = [max(size, 1) for size in variable.shape]
        if _grows(variable):
            most = _rows_within(CHUNK, variable), _piece(data, str(variable.dims[0]))
            shape[0] = min(shape[0], *most)
        found[str(name)] = tuple(shape)
    return found


def pieces(data: xr.Dataset) -> Iterator[tuple[dict[str, NDArray[Any]], int, float]]:
    """All variables in pieces: their values, where the piece begins, and the share that is done."""
    small = [str(name) for name, one in data.variables.items() if not _grows(one)]
    yield {name: data.variables[name].values for name in small}, 0, 0.0
    for dim in GROWS:
        names = [str(n) for n, v in data.variables.items() if _grows(v) and v.dims[0] == dim]
        size, rows = data.sizes.get(dim, 0), _piece(data, dim)
        for first in range(0, size if names else 0, rows):
            part = {dim: slice(first, first + rows)}
            read = data.isel(part).drop_vars([n for n in data.variables if n not in names]).load()
            done = min(first + rows, size) / size
            yield {name: read.variables[name].values for name in names}, first, done


def _filled(target: Target, data: xr.Dataset, to: Path, tell: Callable[[float], None]) -> None:
    """Write all pieces, read them back, and compare."""
    written: list[tuple[str, int, int, int]] = []
    for values, first, done in pieces(data):
        for name, one in values.items():
            target.put(name, first, one)
            written.append((name, first, len(one) if one.ndim else 1, _crc(one)))
        tell(0.7 * done)
    for number, (name, first, count, crc) in enumerate(written, 1):
        if _crc(target.read(name, first, count)) != crc:
            raise NotWritten(f"out: {to}; {name} reads back other than it was written")
        tell(0.7 + 0.3 * number / len(written))


def _piece(data: xr.Dataset, dim: str) -> int:
    """Rows of a piece: a power of two, about `SLAB` bytes of all variables together."""
    each = sum(_row_bytes(v) for v in data.variables.values() if v.dims[:1] == (dim,))
    return _power(SLAB / max(each, 1))


def _rows_within(limit: int, variable: xr.Variable) -> int:
    return _power(limit / max(_row_bytes(variable), 1))


def _row_bytes(variable: xr.Variable) -> int:
    """Bytes of one entry along the first dimension."""
    return int(np.prod(variable.shape[1:], dtype=np.int64)) * variable.dtype.itemsize


def _power(most: float) -> int:
    """The largest power of two that is at most this; at least 1."""
    return 1 << max(int(most).bit_length() - 1, 0)


def _grows(variable: xr.Variable) -> bool:
    return bool(variable.dims) and variable.dims[0] in GROWS


def _crc(values: NDArray[Any]) -> int:
    """A check over type-free content: texts by their letters, numbers by their bytes."""
    values = np.asarray(values)
    if values.dtype.kind in "biuf":
        return zlib.crc32(np.ascontiguousarray(values).tobytes())
    return zlib.crc32("\0".join(str(one) for one in values.ravel().tolist()).encode())


def _silent(share: float) -> None:
    """Tell nothing: what is small."""


def _flush(folder: Path) -> None:
    """Bring every file of a folder to the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())
