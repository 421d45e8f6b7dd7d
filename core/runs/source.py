"""What is stored of a run? Its parts, read beside the writer or from what a crash has left.

A reader locks nobody out and changes no file. A store that cannot be read where it lies, because it
was cut off or its folder is read-only, is read from a private copy.
"""

import math
import os
import shutil
import sqlite3
import struct
import tempfile
import threading
import weakref
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.runs.errors import Damaged
from core.runs.lock import is_held
from core.runs.packing import from_bytes, unpack
from core.runs.store import ROWS, Count, acknowledged, crc_of

LINE = "select id, stream, lane, first, last, crc, head from part"

LOGS = ("-wal", "-shm", "-journal")


@dataclass(frozen=True)
class Part:
    """A part whose head is as it was written.

    Args:
        id: its number.
        stream: what it is of.
        lane: number of the lane.
        first: number of its first row, batch or event.
        last: number of its last one.
        index: small arrays.
        specs: name, type, shape and crc32 of each array that is read when it is asked for.
        more: plain data.
    """

    id: int
    stream: str
    lane: int
    first: int
    last: int
    index: Mapping[str, NDArray[Any]]
    specs: Mapping[str, Mapping[str, Any]]
    more: Mapping[str, Any]

    @property
    def bytes(self) -> int:
        """Of the arrays that are read when they are asked for."""
        specs = self.specs.values()
        return sum(np.dtype(one["dtype"]).itemsize * math.prod(one["shape"]) for one in specs)


@dataclass
class Found:
    """What a look into the store found.

    Args:
        parts: in order.
        bad: numbers of parts that are not as they were written.
        trouble: sentences about the store itself.
    """

    parts: list[Part] = field(default_factory=list)
    bad: list[int] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)


class Source:
    """The reader's side of a store; any thread may call it.

    It is `frozen` where nobody wrote the run when it was opened: what is stored later is not seen.
    """

    def __init__(self, folder: Path) -> None:
        """Open the store of a run.

        Raises:
            Damaged: if nothing of it can be read.
        """
        self.folder = folder
        self.trouble = ""
        self.frozen = False
        self._guard = threading.Lock()
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        if not (folder / ROWS).is_file():
            raise Damaged(f"run: {folder / ROWS}; missing, so that no row can be read")
        self._base = self._opened()
        self._end = weakref.finalize(self, _close, self._base, self._copy)

    def parts(self, after: int = 0) -> Found:
        """The parts that were stored after a number, as far as they can be read."""
        with self._guard:
            try:
                lines = self._base.execute(f"{LINE} where id > ? order by id", (after,)).fetchall()
            except sqlite3.DatabaseError as failed:
                lines = self._salvaged(after, failed)
        found = Found(trouble=[self.trouble] if self.trouble else [])
        # Sorted here too: pages that lie in each other's place come out of order.
        for line in sorted(lines, key=itemgetter(0)):
            part = _read(*line)
            if part is None:
                found.bad.append(int(line[0]))
            else:
                found.parts.append(part)
        return found

    def value(self, part: Part, name: str) -> NDArray[Any]:
        """One array of a part.

        Raises:
            Damaged: if it is not as it was written.
        """
        spec = part.specs[name]
        asked = "select data from value where part = ? and name = ?"
        try:
            with self._guard:
                line = self._base.execute(asked, (part.id, name)).fetchone()
        except sqlite3.DatabaseError as failed:
            raise self._damaged(part, name, str(failed)) from None
        if line is None or not isinstance(line[0], bytes):
            raise self._damaged(part, name, "it is missing")
        if zlib.crc32(line[0]) != spec["crc"]:
            raise self._damaged(part, name, "not as it was written")
        return from_bytes(line[0], spec["dtype"], spec["shape"])[0]

    def acknowledged(self) -> Count:
        """What the writer has said to be stored.

        Raises:
            ValueError: if the count cannot be read.
        """
        return acknowledged(self.folder)

    def close(self) -> None:
        """Let go; safe to call twice."""
        self._end()

    def _damaged(self, part: Part, name: str, why: str) -> Damaged:
        return Damaged(f"run: {self.folder.name}; {name} of rows {part.first}..{part.last}: {why}")

    # Opening -------------------------------------------------------------------------------------

    def _opened(self) -> sqlite3.Connection:
        """Where it lies; or, if that cannot be, from a copy."""
        path = self.folder / ROWS
        # The file may be shorter than it says while a log beside it holds the rest.
        moves = is_held(self.folder) or any(self._beside(end).exists() for end in LOGS)
        if not moves and _cut_off(path):
            return self._copied(path, f"{ROWS} was cut off")
        # Where nobody writes, nothing is made beside the file.
        how = "mode=ro" if moves else "mode=ro&immutable=1"
        base = None
        try:
            base = sqlite3.connect(
                f"{path.resolve().as_uri()}?{how}", uri=True, check_same_thread=False, timeout=10
            )
            base.execute("select count(*) from part").fetchone()
        except sqlite3.DatabaseError:
            if base is not None:
                base.close()
            # A flush that a rollback journal holds was not finished: the copy takes it back.
            journal = self._beside("-journal").exists()
            return self._copied(path, "" if journal else f"{ROWS} is damaged")
        self.frozen = not moves
        return base

    def _beside(self, end: str) -> Path:
        return self.folder / f"{ROWS}{end}"

    def _copied(self, path: Path, why: str) -> sqlite3.Connection:
        """A private copy.

        Raises:
            Damaged: if nothing of it can be read.
        """
        try:
            self._copy = tempfile.TemporaryDirectory(prefix="relaxoscope-")
            base = _taken(path, Path(self._copy.name) / ROWS)
        except (OSError, sqlite3.DatabaseError) as failed:
            if self._copy is not None:
                self._copy.cleanup()
            raise Damaged(f"run: {path}; no row can be read ({failed})") from None
        if os.access(self.folder, os.W_OK):
            self.trouble = why
        return base

    def _salvaged(self, after: int, failed: sqlite3.DatabaseError) -> list[Any]:
        """What can be read part by part, where the table cannot be read as a whole."""
        self.trouble = f"{ROWS} is damaged ({failed})"
        try:
            most = self.acknowledged().parts
        except ValueError:
            most = after + 100_000
        lines = []
        missed = 0
        for number in range(after + 1, most + 1):
            try:
                line = self._base.execute(f"{LINE} where id = ?", (number,)).fetchone()
            except sqlite3.DatabaseError:
                line = None
            missed = 0 if line else missed + 1
            if line:
                lines.append(line)
            if missed > 10_000:
                break
        return lines


def _taken(path: Path, copy: Path) -> sqlite3.Connection:
    """A store in a copy of its own, padded to the length that its header tells.

    Raises:
        OSError, sqlite3.DatabaseError: if nothing of it can be read.
    """
    for end in ("-journal", "", "-wal"):  # the journal first: it is undone by what follows
        one = path.with_name(f"{ROWS}{end}")
        if one.exists():
            shutil.copyfile(one, copy.with_name(one.name))
    missing = _cut_off(copy)
    if missing:
        os.truncate(copy, copy.stat().st_size + missing)
    base = sqlite3.connect(copy, check_same_thread=False, isolation_level=None)
    for asked in ("select count(*) from part", "select id from part limit 1"):
        try:
            base.execute(asked).fetchone()
            return base
        except sqlite3.DatabaseError as failed:
            why = failed
    base.close()
    raise why


def _close(base: sqlite3.Connection, copy: "tempfile.TemporaryDirectory[str] | None") -> None:
    base.close()
    if copy is not None:
        copy.cleanup()


def _read(
    number: int, stream: str, lane: int, first: int, last: int, crc: int, head: bytes
) -> Part | None:
    """A part, if its line is as it was written."""
    try:
        if crc_of(number, stream, lane, first, last, head) != crc:
            return None
        index, said = unpack(head)
        specs = {one["name"]: one for one in said["values"]}
        return Part(number, stream, lane, first, last, index, specs, said["more"])
    except (ValueError, TypeError, KeyError, AttributeError, struct.error):
        return None


def _cut_off(path: Path) -> int:
    """Bytes that are missing at the end of a store by what its header says; 0 where none are."""
    with path.open("rb") as file:
        header = file.read(100)
    if len(header) < 100 or not header.startswith(b"SQLite format 3\0"):
        return 0
    (page,) = struct.unpack_from(">H", header, 16)
    (pages,) = struct.unpack_from(">I", header, 28)
    changed, valid = header[24:28], header[92:96]
    size = 65536 if page == 1 else page
    wanted = size * pages if changed == valid else 0
    return max(0, min(wanted, 2**44) - path.stat().st_size)
