"""How are rows kept so that a killed process loses none? In parts, each in one transaction.

A part is what one flush stored: its head (which rows, which arrays) and the arrays themselves, each
with a crc32. SQLite keeps either all of a part or nothing of it, and readers never wait for the
writer. What SQLite does not notice, a page or a log that was cut off or changed on the disk, is
noticed here: every part has its number and its checks, and a second small file counts the parts
that were acknowledged.
"""

import json
import os
import sqlite3
import threading
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from core.runs.errors import Damaged, told
from core.runs.packing import pack, plain

ROWS, COUNT = "rows.sqlite", "acknowledged.json"

MOST_CUTS = 1000
"""Cuts that are told beside the count of what was acknowledged, the newest of them."""

MANIFEST_STREAM, ROW_STREAM, WEIGHTS_STREAM = "manifest", "rows", "weights"

WHOLE_STREAM = "relaxations"

CHECKPOINT = 256
"""Parts after which the write-ahead log is folded into the file; that waits for the disk."""

LOGGED = 2**25
"""Bytes of arrays after which it is folded in any case, so that a reader need not search it all."""

NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "fuse.sshfs", "beegfs", "9p", "afs")
"""File systems on which a write-ahead log cannot be shared."""

TABLES = """
create table if not exists part (
  id integer primary key, stream text not null, lane integer not null,
  first integer not null, last integer not null, crc integer not null, head blob not null);
create table if not exists value (
  id integer primary key, part integer not null, name text not null, data blob not null);
create index if not exists value_of on value (part, name);
"""


@dataclass(frozen=True)
class New:
    """A part that is to be stored.

    Args:
        stream: what it is of: rows, frames, batches, recipes, events, ...
        lane: number of the lane.
        first: number of its first row, batch or event.
        last: number of its last one.
        index: small arrays that are read when the run is opened.
        values: arrays that are read when they are asked for, (count, ...).
        more: plain data.
    """

    stream: str
    lane: int
    first: int
    last: int
    index: Mapping[str, NDArray[Any]]
    values: Mapping[str, NDArray[Any]]
    more: Mapping[str, Any]


class Store:
    """The writer's side; one for each run, any thread may call it."""

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        """Open or make the store of a run whose lock is held.

        Args:
            folder: the run.
            durable: whether each flush waits for the disk; without, a loss of power may cost the
                last flushes, a killed process costs none.

        Raises:
            NotWritten: if it cannot be made.
            Damaged: if it is there and must not be written any more.
        """
        self.folder = folder
        self._guard = threading.Lock()
        self._durable = durable
        self._since = self._logged = 0
        self.rollback = is_on_network(folder)
        with told(folder):
            self._base = sqlite3.connect(
                folder / ROWS, isolation_level=None, check_same_thread=False, timeout=10
            )
            try:
                self._begin()
            except BaseException:
                self._base.close()
                raise

    def _begin(self) -> None:
        mode = "delete" if self.rollback else "wal"
        self._base.execute(f"pragma journal_mode = {mode}")
        self._base.execute(f"pragma synchronous = {'full' if self._durable else 'normal'}")
        self._base.execute("pragma wal_autocheckpoint = 0")
        self._check()
        self._base.executescript(TABLES)
        stored = self._base.execute("select coalesce(max(id), 0) from part").fetchone()[0]
        rows = "select lane, id, first, last from part where stream = ? order by id"
        self.count = Count().then(int(stored), self._base.execute(rows, (ROW_STREAM,)))
        others = "select count(*) from part where stream <> ?"
        self.is_new = not self._base.execute(others, (MANIFEST_STREAM,)).fetchone()[0]
        try:
            before = acknowledged(self.folder)
        except ValueError:
            before = Count()
        if before.parts > self.count.parts:  # lost parts keep their numbers, so that it shows
            self.count, self.is_new = before, False
        acknowledge(self.folder, self.count, durable=self._durable)

    def _check(self) -> None:
        """Refuse to write behind a damage: what is stored in a broken tree may not be found again.

        Raises:
            Damaged: if the pages of the file do not fit together; reads all of it.
        """
        (said,) = self._base.execute("pragma quick_check(1)").fetchone()
        if said != "ok":
            why = f"{ROWS} is damaged ({' '.join(said.split())})"
            legal = "it can be read and exported, but not gone on with"
            raise Damaged(f"run: {self.folder}; {why}; {legal}")

    def put(self, parts: list[New]) -> None:
        """Store parts, all or none; they are stored when this returns.

        To store the same once more does no harm: readers go by the numbers of rows, batches and
        events, not by how often they come.

        Raises:
            NotWritten: if the disk refuses; it may be tried again.
        """
        with self._guard, told(self.folder):
            begun = self.count.parts
            self._base.execute("begin immediate")
            try:
                for number, part in enumerate(parts, begun + 1):
                    self._insert(number, part)
                self._base.execute("commit")
            except BaseException:
                if self._base.in_transaction:
                    self._base.execute("rollback")
                raise
            numbered = enumerate(parts, begun + 1)
            rows = [(p.lane, k, p.first, p.last) for k, p in numbered if p.stream == ROW_STREAM]
            self.count = self.count.then(begun + len(parts), rows)
            acknowledge(self.folder, self.count, durable=self._durable)
            self._since += len(parts)
            self._logged += sum(v.nbytes for part in parts for v in part.values.values())
            full = self._since >= CHECKPOINT or self._logged >= LOGGED
            if full and not self.rollback:
                self._fold()

    def settle(self) -> None:
        """Wait until the disk has what is stored; a run on a network file system has waited.

        Raises:
            NotWritten: if the disk refuses.
        """
        with self._guard, told(self.folder):
            if not self.rollback:
                self._fold()
            acknowledge(self.folder, self.count, durable=True)

    def _fold(self) -> None:
        """Move the log into the file, as far as no reader needs it."""
        try:
            self._base.execute("pragma wal_checkpoint(passive)").fetchall()
            self._since = self._logged = 0
        except sqlite3.OperationalError:
            # No room: what is stored stays in the log; tried again soon.
            self._since, self._logged = self._since // 2, self._logged // 2

    def close(self) -> None:
        """Fold the log into the file and let go; safe to call twice."""
        with self._guard, told(self.folder):
            try:
                if not self.rollback:
                    self._base.execute("pragma wal_checkpoint(truncate)").fetchall()
            except sqlite3.ProgrammingError:  # closed before
                return
            except sqlite3.DatabaseError:  # no room: the log stays, and is read with the file
                return
            finally:
                self._base.close()

    def _insert(self, number: int, part: New) -> None:
        specs = []
        for name, values in part.values.items():
            values = plain(values)
            data = values.tobytes()
            specs.append(
                {
                    "name": name,
                    "dtype": values.dtype.str,
                    "shape": values.shape,
                    "crc": zlib.crc32(data),
                }
            )
            self._base.execute(
                "insert into value (part, name, data) values (?, ?, ?)", (number, name, data)
            )
        head = pack(part.index, {"values": specs, "more": dict(part.more)})
        crc = crc_of(number, part.stream, part.lane, part.first, part.last, head)
        self._base.execute(
            "insert into part values (?, ?, ?, ?, ?, ?, ?)",
            (number, part.stream, part.lane, part.first, part.last, crc, head),
        )


def crc_of(number: int, stream: str, lane: int, first: int, last: int, head: bytes) -> int:
    """The check of a part: over all that its line in the table says."""
    said = f"{number}|{stream}|{lane}|{first}|{last}|".encode()
    return zlib.crc32(head, zlib.crc32(said))


# The count of what was acknowledged --------------------------------------------------------------


@dataclass(frozen=True)
class Count:
    """What a writer has said to be stored.

    Args:
        parts: their number.
        last: number of the last row of each lane.
        cuts: lane, part and first row of each part that took the place of earlier rows of its lane.
            A reader that has lost the part knows by them which rows it must not show any more.
    """

    parts: int = 0
    last: Mapping[int, int] = field(default_factory=dict)
    cuts: tuple[tuple[int, int, int], ...] = ()

    def then(self, parts: int, stored: Iterable[tuple[int, int, int, int]]) -> "Count":
        """The count after parts of rows.

        Args:
            parts: number of all parts then.
            stored: lane, number, first and last row of each new one, in order.
        """
        last, cuts = dict(self.last), self.cuts
        for lane, number, first, end in stored:
            if first <= last.get(lane, -1):  # it cuts at or before those that it goes back behind
                cuts = tuple(one for one in cuts if one[0] != lane or one[2] < first)
                cuts = (*cuts, (lane, number, first))[-MOST_CUTS:]
            last[lane] = end
        return Count(parts, last, cuts)

    def text(self) -> str:
        """As it is written, with its check."""
        said = {"parts": self.parts, "last": sorted(self.last.items()), "cuts": self.cuts}
        return json.dumps(said | {"crc": zlib.crc32(json.dumps(said).encode())})


def acknowledge(folder: Path, count: Count, *, durable: bool = False) -> None:
    """Write what is stored; others see the count before or this one."""
    beside = folder / f".{COUNT}"
    file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        _write_all(file, count.text().encode())
        if durable:
            os.fsync(file)
    finally:
        os.close(file)
    os.replace(beside, folder / COUNT)


def acknowledged(folder: Path) -> Count:
    """What was acknowledged.

    Raises:
        ValueError: if the count is damaged or missing.
    """
    try:
        with (folder / COUNT).open("rb") as file:
            said = json.loads(file.read(2**20))
        last = {int(k): int(v) for k, v in said["last"]}
        cuts = tuple((int(a), int(b), int(c)) for a, b, c in said["cuts"])
        count = Count(int(said["parts"]), last, cuts)
        if json.loads(count.text()) != said:
            raise ValueError("another check")
    except (OSError, ValueError, TypeError, KeyError) as failed:
        raise ValueError(f"{COUNT} cannot be read ({failed})") from None
    return count


def _write_all(file: int, data: bytes) -> None:
    """`os.write` may write less than it was given."""
    while data:
        data = data[os.write(file, data) :]


def is_on_network(folder: Path) -> bool:
    """Whether a folder lies on a file system of another machine, as far as this one says."""
    try:
        mounts = Path("/proc/mounts").read_text("utf-8").splitlines()
    except OSError:
        return False
    where = str(folder.resolve())
    best, kind = "", ""
    for line in mounts:
        words = line.split()
        if len(words) > 2 and (where == words[1] or where.startswith(words[1].rstrip("/") + "/")):
            if len(words[1]) >= len(best):
                best, kind = words[1], words[2]
    return kind in NETWORK
