"""What is asked of a training while it runs? Lines of a file in the run, which the training reads.

Whoever asks appends a line; nobody else writes there. The training looks between two batches, and
answers each by an event of the run with the ask's id: it alone writes the run. A line that is no
ask is refused and said there; it never ends a training.
"""

import json
import os
import re
import stat
import time
import uuid
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from core.catalogue import BadInput, shown, unknown
from core.runs.errors import told

FILE = "asks.jsonl"

PAUSE, GO, STOP, CHANGE = "pause", "go", "stop", "change"

ACTS = (PAUSE, GO, STOP, CHANGE)

LONGEST = 2**16
"""Bytes of a line."""

AT_ONCE = 2**20
"""Bytes that one look reads."""

ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Ask:
    """One thing that is asked for.

    Args:
        act: one of `ACTS`.
        choices: what is to be changed, as `changes.changed` takes it; empty for another act.
        by: who asks, in a word: "page", "shell".
        at: when, in UTC.
        id: by which the answer names it.
    """

    act: str
    choices: Mapping[str, Any] = field(default_factory=dict)
    by: str = ""
    at: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        """Refuse what no training could answer."""
        if self.act not in ACTS:
            raise BadInput(f"ask: {unknown(self.act, ACTS)}")
        if not isinstance(self.id, str) or not ID.fullmatch(self.id):
            raise BadInput(f"ask.id: {shown(self.id)}; 32 digits of 0-9 a-f")
        for name in ("by", "at"):
            text = getattr(self, name)
            if not isinstance(text, str) or len(text) > 40 or not text.isprintable():
                raise BadInput(f"ask.{name}: {shown(text)}; one line of at most 40 characters")
        named = isinstance(self.choices, Mapping) and all(
            isinstance(key, str) for key in self.choices
        )
        if not named or (self.choices and self.act != CHANGE):
            raise BadInput(f"ask.choices: {shown(self.choices)}; a table, and only to change")

    @classmethod
    def of(cls, line: bytes) -> "Ask":
        """The ask that a line holds.

        Raises:
            BadInput: if it holds none.
        """
        try:
            data = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError) as failed:
            raise BadInput(f"ask: {shown(line)}; a line of JSON ({failed})") from None
        try:
            return cls(**data)
        except TypeError as failed:
            raise BadInput(f"ask: {shown(data)}; act, choices, by, at and id ({failed})") from None


def append(run: Path, ask: Ask) -> None:
    """Put an ask where the training of a run finds it.

    Raises:
        BadInput: if it is too long.
        NotWritten: if the disk refuses.
    """
    text = json.dumps(asdict(ask)).encode() + b"\n"
    if len(text) > LONGEST:
        raise BadInput(f"ask: {len(text):,} bytes; at most {LONGEST:,}")
    with told(run):
        file = os.open(run / FILE, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            end = os.fstat(file).st_size
            torn = end and os.pread(file, 1, end - 1) != b"\n"  # of one who was killed at it
            os.write(file, b"\n" + text if torn else text)
        finally:
            os.close(file)


class Inbox:
    """Reads what is asked of a run, each ask once."""

    def __init__(self, run: Path, answered: Collection[str] = ()) -> None:
        """Begin at the first line.

        Args:
            run: its folder.
            answered: ids of asks that have their answer.
        """
        self._path = run / FILE
        self._answered = set(answered)
        self._at, self._file = 0, (0, 0)
        self._skips = False
        self._trouble = ""

    def new(self) -> tuple[list[Ask], str]:
        """What is asked for since the last look, and what is wrong with other lines, or ""."""
        try:
            data = self._read()
        except OSError as failed:
            trouble = f"{FILE} cannot be read ({failed.strerror or failed})"
            trouble, self._trouble = "" if trouble == self._trouble else trouble, trouble
            return [], trouble
        self._trouble = ""
        found, wrong = [], []
        for line in data.split(b"\n"):
            if not line.strip():
                continue
            try:
                one = Ask.of(line)
            except BadInput as refused:
                wrong.append(str(refused))
                continue
            if one.id not in self._answered:
                self._answered.add(one.id)
                found.append(one)
        more = f", and {len(wrong) - 1} lines more" if len(wrong) > 1 else ""
        return found, f"{wrong[0]}{more}" if wrong else ""

    def _read(self) -> bytes:
        """Whole lines that were not read yet; of a line that is too long its beginning."""
        try:
            now = os.stat(self._path)
        except FileNotFoundError:
            return b""
        if self._file != (now.st_dev, now.st_ino) or now.st_size < self._at:
            self._file, self._at, self._skips = (now.st_dev, now.st_ino), 0, False
        if now.st_size == self._at:
            return b""
        if not stat.S_ISREG(now.st_mode):
            raise OSError(0, "no plain file")
        file = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            data = os.pread(file, AT_ONCE, self._at)
        finally:
            os.close(file)
        return self._whole(data)

    def _whole(self, data: bytes) -> bytes:
        """The whole lines of what was read; the last one waits for its end."""
        if self._skips:  # what is left of a line that was too long
            begin = data.find(b"\n") + 1
            self._at += begin or len(data)
            if not begin:
                return b""
            data, self._skips = data[begin:], False
        end = data.rfind(b"\n") + 1
        if end or len(data) < LONGEST:
            self._at += end
            return data[:end]
        self._at += len(data)
        self._skips = True
        return data[:80]
