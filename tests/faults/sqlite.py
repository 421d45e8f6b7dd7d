"""How is SQLite made to meet a broken disk? By a file system of our own under it, through ctypes.

SQLite reaches files through a table of functions (a VFS). The library that Python's `sqlite3` uses
is given a copy of its default one, in which the calls that change files are counted and may fail;
all others are the originals. So the very code that runs for users is what is tried.
"""

import ctypes
from contextlib import contextmanager
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p, cast
from typing import Any

from tests.faults.failing import BROKEN, DENIED, FULL, SHORT, TORN, Faults, die

NAME = b"relaxoscope-faults"

OK, PERM, CANTOPEN, FULL_CODE = 0, 3, 14, 13
IOERR = {
    "write": 778,
    "sync": 1034,
    "truncate": 1546,
    "delete": 2570,
    "open": CANTOPEN,
    "shm": 4874,
}

OPEN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
DELETE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int)
WRITE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
TRUNCATE = CFUNCTYPE(c_int, c_void_p, c_int64)
SYNC = CFUNCTYPE(c_int, c_void_p, c_int)
SHM = CFUNCTYPE(c_int, c_void_p, c_int, c_int, c_int, c_void_p)


def _fields(*names: str) -> list[tuple[str, Any]]:
    return [(name, c_void_p) for name in names]


class _Vfs(Structure):
    """`sqlite3_vfs`, version 3."""

    _fields_ = (
        ("iVersion", c_int),
        ("szOsFile", c_int),
        ("mxPathname", c_int),
        ("pNext", c_void_p),
        ("zName", c_char_p),
        *_fields("pAppData", "xOpen", "xDelete", "xAccess", "xFullPathname", "xDlOpen", "xDlError"),
        *_fields("xDlSym", "xDlClose", "xRandomness", "xSleep", "xCurrentTime", "xGetLastError"),
        *_fields("xCurrentTimeInt64", "xSetSystemCall", "xGetSystemCall", "xNextSystemCall"),
    )


class _Methods(Structure):
    """`sqlite3_io_methods`, version 3."""

    _fields_ = (
        ("iVersion", c_int),
        *_fields(
            "xClose", "xRead", "xWrite", "xTruncate", "xSync", "xFileSize", "xLock", "xUnlock"
        ),
        *_fields("xCheckReservedLock", "xFileControl", "xSectorSize", "xDeviceCharacteristics"),
        *_fields("xShmMap", "xShmLock", "xShmBarrier", "xShmUnmap", "xFetch", "xUnfetch"),
    )


class _File(Structure):
    """The head of every `sqlite3_file`."""

    _fields_ = (("methods", c_void_p),)


class Unavailable(Exception):
    """The library behind `sqlite3` cannot be reached; says what is missing."""


def library() -> ctypes.CDLL:
    """The library that Python's `sqlite3` has loaded.

    Raises:
        Unavailable: if its functions are not to be found, as in a Python with SQLite built in.
    """
    import _sqlite3

    where = getattr(_sqlite3, "__file__", None)  # a symbol is looked up in what it links to as well
    try:
        found = ctypes.CDLL(where)
        found.sqlite3_vfs_find.restype = POINTER(_Vfs)
        found.sqlite3_vfs_find.argtypes = [c_char_p]
        found.sqlite3_vfs_register.argtypes = [POINTER(_Vfs), c_int]
        found.sqlite3_vfs_unregister.argtypes = [POINTER(_Vfs)]
    except (OSError, AttributeError) as failed:
        behind = where or "the built-in sqlite3"
        raise Unavailable(f"no sqlite3_vfs_find behind {behind}: {failed}") from failed
    if found.sqlite3_vfs_find(None).contents.iVersion < 2:
        raise Unavailable("the VFS of this SQLite has another version")
    return found


_kept: list[Any] = []
"""Tables and functions that SQLite may still call."""


@contextmanager
def sqlite_calls(faults: Faults):
    """Make faults the file system of every connection that is opened in this block.

    Raises:
        Unavailable: if SQLite's library cannot be reached.
    """
    sqlite = library()
    original = sqlite.sqlite3_vfs_find(None)
    shim = _shim(original, faults)
    _kept.append(shim)
    if sqlite.sqlite3_vfs_register(ctypes.byref(shim), 1) != OK:
        raise Unavailable("SQLite takes no other VFS")
    try:
        yield faults
    finally:
        sqlite.sqlite3_vfs_register(original, 1)
        sqlite.sqlite3_vfs_unregister(ctypes.byref(shim))


def _shim(original: Any, faults: Faults) -> _Vfs:
    """A copy of a VFS with counted calls."""
    shim = _Vfs.from_buffer_copy(original.contents)
    real_open = cast(original.contents.xOpen, OPEN)
    real_delete = cast(original.contents.xDelete, DELETE)
    tables: dict[int, _Methods] = {}

    def opened(vfs: Any, name: Any, file: int, flags: int, out: Any) -> int:
        if faults.due("sqlite.open"):
            _File.from_address(file).methods = None
            return CANTOPEN
        code = real_open(ctypes.addressof(original.contents), name, file, flags, out)
        head = _File.from_address(file)
        if code == OK and head.methods:
            if head.methods not in tables:
                tables[head.methods] = _methods(head.methods, faults)
            head.methods = ctypes.addressof(tables[head.methods])
        return code

    def delete(vfs: Any, name: Any, sync: int) -> int:
        how = faults.due("sqlite.delete")
        return _code(how, "delete") if how else real_delete(vfs, name, sync)

    calls = OPEN(opened), DELETE(delete)
    shim.xOpen, shim.xDelete = (cast(one, c_void_p) for one in calls)
    shim.zName, shim.pNext = NAME, None
    _kept.append((calls, tables, original))
    return shim


def _methods(address: int, faults: Faults) -> _Methods:
    """A copy of a file's functions with counted calls."""
    real = _Methods.from_address(address)
    table = _Methods.from_buffer_copy(real)
    real_write, real_truncate = cast(real.xWrite, WRITE), cast(real.xTruncate, TRUNCATE)
    real_sync = cast(real.xSync, SYNC)

    def write(file: int, data: int, count: int, at: int) -> int:
        how = faults.due("sqlite.write")
        if how in (SHORT, TORN):
            real_write(file, data, count // 2, at)
        if how == TORN:
            die()
        return _code(how, "write") if how else real_write(file, data, count, at)

    def truncate(file: int, size: int) -> int:
        how = faults.due("sqlite.truncate")
        return _code(how, "truncate") if how else real_truncate(file, size)

    def sync(file: int, flags: int) -> int:
        how = faults.due("sqlite.sync")
        return _code(how, "sync") if how else real_sync(file, flags)

    calls: list[Any] = [WRITE(write), TRUNCATE(truncate), SYNC(sync)]
    table.xWrite, table.xTruncate, table.xSync = (cast(one, c_void_p) for one in calls)
    if real.iVersion >= 2 and real.xShmMap:
        real_shm = cast(real.xShmMap, SHM)

        def shm(file: int, region: int, size: int, extend: int, out: Any) -> int:
            how = faults.due("sqlite.shm") if extend else ""
            return _code(how, "shm") if how else real_shm(file, region, size, extend, out)

        calls.append(SHM(shm))
        table.xShmMap = cast(calls[-1], c_void_p)
    _kept.append((calls, table))
    return table


def _code(how: str, call: str) -> int:
    """What SQLite is told."""
    if call == "open":
        return CANTOPEN
    if how in (FULL, SHORT) and call in ("write", "shm"):
        return FULL_CODE
    if how == DENIED and call == "write":
        return PERM
    assert how in (FULL, BROKEN, DENIED, SHORT)
    return IOERR[call]
