"""Who writes a run? One process, which holds a lock that the system frees when it dies."""

import fcntl
import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path

from core.runs.errors import Locked, told

NAME = "lock"


class Lock:
    """Held from its making until `free`.

    On a file system that cannot lock, nothing is refused and `missing` says so.
    """

    def __init__(self, folder: Path) -> None:
        """Take the lock of a run.

        Raises:
            Locked: if another writer holds it; names its process and machine.
            NotWritten: if the folder may not be written.
        """
        path = folder / NAME
        self.missing = ""
        with told(folder):
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        for wait in (0.0, 0.05, 0.2):  # somebody may just be asking whether it is held
            time.sleep(wait)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                continue
            except OSError as failed:
                self.missing = f"this file system cannot lock ({failed.strerror})"
                break
        else:
            self.free()
            raise Locked(f"run: {folder}; it is being written by {holder(folder)}")
        said = {"process": os.getpid(), "machine": socket.gethostname()}
        with suppress(OSError):  # it is held all the same, and a full disk must not keep runs there
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, json.dumps(said).encode(), 0)

    def free(self) -> None:
        """Let others write; safe to call twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def is_held(folder: Path) -> bool:
    """Whether some process writes the run just now."""
    try:
        file = os.open(folder / NAME, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(file)
    return False


def holder(folder: Path) -> str:
    """The process that last took the lock, in words."""
    try:
        said = json.loads((folder / NAME).read_text("utf-8"))
        return f"process {int(said['process'])} on {str(said['machine'])[:80]}"
    except (OSError, ValueError, TypeError, KeyError):
        return "another process"
