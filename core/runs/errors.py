"""How can a run refuse? Each in one line; the command line has an exit code for each."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.catalogue import BadInput


class Damaged(BadInput):
    """What was stored cannot be read whole."""


class Locked(OSError):
    """Another process writes the run."""


class NotWritten(OSError):
    """Nothing of a flush was stored; it may be tried again."""


@contextmanager
def told(folder: Path) -> Iterator[None]:
    """Say in one line what the disk refused.

    Raises:
        NotWritten: in place of whatever the system or SQLite raises in this block.
        Damaged: if SQLite finds the file broken.
    """
    try:
        yield
    except (Locked, NotWritten):
        raise
    except sqlite3.ProgrammingError as failed:
        raise NotWritten(f"run: {folder}; it is closed") from failed
    except (sqlite3.Error, OSError) as failed:
        if type(failed) is sqlite3.DatabaseError:  # no trouble of the disk: what is on it is broken
            raise Damaged(f"run: {folder}; its store is damaged ({failed})") from failed
        why = failed.strerror if isinstance(failed, OSError) and failed.strerror else failed
        raise NotWritten(f"run: {folder}; not written ({why}){_room(folder)}") from failed


def _room(folder: Path) -> str:
    """How much the disk has left, where that is little."""
    try:
        held = os.statvfs(folder)
    except OSError:
        return ""
    free = held.f_bavail * held.f_frsize
    return f"; {free / 2**20:.1f} MiB are free there" if free < 2**30 else ""
