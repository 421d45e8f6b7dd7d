"""What if the n-th call that changes a disk fails? Those of Python and of SQLite are counted.

`Faults` counts calls and says which one fails and how; `python_calls` puts it under Python's own
functions, `tests.faults.sqlite` under SQLite's files.
"""

import builtins
import errno
import io
import os
import signal
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

FULL, BROKEN, DENIED, SHORT = "full", "broken", "denied", "short"
KILL, TORN = "kill", "torn"

FAILING = (FULL, BROKEN, DENIED, SHORT)
"""A full disk, a broken one, one that may not be written, and half of what was given written."""

KILLING = (KILL, TORN)
"""The process dies before the call, or in the middle of what it writes."""

NUMBERS = {
    FULL: errno.ENOSPC,
    BROKEN: errno.EIO,
    DENIED: errno.EACCES,
    SHORT: errno.ENOSPC,
}


class Faults:
    """Which call fails, and how."""

    def __init__(self) -> None:
        """Nothing is counted and nothing fails until `armed`."""
        self.calls: list[str] = []
        self._on = False
        self._at, self._mode, self._lasting = -1, FULL, False
        self._guard = threading.Lock()
        self.struck = 0

    @contextmanager
    def armed(self, at: int = -1, mode: str = FULL, *, lasting: bool = False):
        """Count calls in this block.

        Args:
            at: number of the call that fails, from 0; -1 for none.
            mode: how.
            lasting: whether every later one fails too, as on a disk that stays full.
        """
        self.calls, self.struck = [], 0
        self._at, self._mode, self._lasting = at, mode, lasting
        self._on = True
        try:
            yield self
        finally:
            self._on = False

    def due(self, what: str) -> str:
        """Count a call; how it fails, or "" if it does not."""
        if not self._on:
            return ""
        with self._guard:
            number = len(self.calls)
            self.calls.append(what)
            hit = number == self._at or (self._lasting and number > self._at >= 0)
            self.struck += hit
        if hit and (self._mode == KILL or (self._mode == TORN and what not in HALVES)):
            die()
        return self._mode if hit else ""

    def error(self) -> OSError:
        """What Python raises for the mode that is set."""
        number = NUMBERS[self._mode]
        return OSError(number, os.strerror(number))


def die() -> None:
    """End at once, as by kill -9."""
    os.kill(os.getpid(), signal.SIGKILL)


# Python ------------------------------------------------------------------------------------------

PLAIN = ("ftruncate", "truncate", "fsync", "replace", "rename", "mkdir", "unlink", "rmdir")
"""Functions of `os` that either do their work or fail."""

WRITING = ("write", "pwrite")
"""Functions of `os` that may do half of it; the second argument is what they write."""

HALVES = ("os.write", "os.pwrite", "file.write", "sqlite.write")
"""Calls that can be done by half."""

CHANGES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class _File:
    """A file whose writes, flushes and closing may fail."""

    def __init__(self, file: Any, faults: Faults) -> None:
        self._file, self._faults = file, faults

    def write(self, data: Any) -> Any:
        how = self._faults.due("file.write")
        if not how:
            return self._file.write(data)
        if how in (SHORT, TORN):
            self._file.write(data[: len(data) // 2])
            self._file.flush()
        if how == TORN:
            die()
        raise self._faults.error()

    def close(self) -> None:
        how = "" if self._file.closed else self._faults.due("file.close")
        self._file.close()
        if how:
            raise self._faults.error()

    def __enter__(self) -> "_File":
        return self

    def __exit__(self, *ended: object) -> None:
        self.close()

    def __iter__(self) -> Any:
        return iter(self._file)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextmanager
def python_calls(faults: Faults, folder: Path):
    """Put faults under all functions of Python that change files; others' folders are let alone."""
    root = str(folder)
    really = io.open

    def opened(file: Any, mode: str = "r", *args: Any, **more: Any) -> Any:
        mine = isinstance(file, str | os.PathLike) and str(file).startswith(root)
        if not mine or not set(mode) & set("wax+"):
            return really(file, mode, *args, **more)
        if faults.due("file.open"):
            raise faults.error()
        return _File(really(file, mode, *args, **more), faults)

    def plain(name: str) -> Any:
        call = getattr(os, name)

        def called(*args: Any, **more: Any) -> Any:
            if faults.due(f"os.{name}"):
                raise faults.error()
            return call(*args, **more)

        return called

    def writing(name: str) -> Any:
        call = getattr(os, name)

        def called(file: int, data: Any, *more: Any) -> int:
            how = faults.due(f"os.{name}")
            if how in (
                SHORT,
                TORN,
            ):  # the system may write less than it was given, without an error
                done = call(file, bytes(data)[: (len(data) + 1) // 2], *more)
                if how == TORN:
                    die()
                return done
            if how:
                raise faults.error()
            return call(file, data, *more)

        return called

    def os_open(path: Any, flags: int, *args: Any, **more: Any) -> int:
        if str(path).startswith(root) and flags & CHANGES and faults.due("os.open"):
            raise faults.error()
        return call(path, flags, *args, **more)

    call = os.open
    with mock.patch.multiple(
        os,
        open=os_open,
        **{name: plain(name) for name in PLAIN},
        **{name: writing(name) for name in WRITING},
    ):
        with mock.patch.object(io, "open", opened), mock.patch.object(builtins, "open", opened):
            yield faults
