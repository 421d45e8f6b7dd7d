"""Where do computed things that can be computed again lie?

Everything in the folder may be deleted at any time; whoever reads from it must cope with a file
that is missing or damaged.
"""

import os
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import platformdirs


def folder() -> Path:
    """The cache folder: RELAXOSCOPE_CACHE if it is set, else the user's own; it need not exist."""
    chosen = os.environ.get("RELAXOSCOPE_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(platformdirs.user_cache_dir("relaxoscope", appauthor=False))


def keep(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file so that others see the old one or the new one, never half of it.

    The file is written beside its place, under a name of its own with the same suffix, flushed to
    the disk and then renamed. Two processes may do so at once: the last one stays.

    Args:
        path: where the file shall lie; missing folders are made.
        write: writes the whole file at the path that it is given.

    Raises:
        OSError: if the folder cannot be written; what lay at `path` is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}-{uuid.uuid4().hex}{path.suffix}")
    try:
        write(beside)
        with beside.open("rb+") as written:
            os.fsync(written.fileno())
        beside.replace(path)
    except BaseException:
        with suppress(OSError):  # what went wrong first is what is told
            beside.unlink(missing_ok=True)
        raise
