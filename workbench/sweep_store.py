"""What does a sweep leave beside its runs? Its plan, a journal of what was tried, a sign to stop.

The runs are what counts: whether a point is done says its run. The journal says what was tried by
whom, and which points were given up. Each process writes a file of its own, one line a time, so
that nobody waits for anybody and a line that a dying process tore spoils no other. The order of
lines is that of the calls of the command, which are counted, and within a file; no clock has a say.
"""

import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core import cache
from core.catalogue import BadInput
from core.runs.errors import Damaged, told
from core.runs.manifest import sha

PLAN, JOURNAL, STOP, RESULTS = "sweep.json", "journal", "stop", "results.nc"

SCHEMA = 1

LARGEST = 2**26
"""Bytes of a plan that are read."""

BEGAN, ENDED, GIVEN_UP, ANEW, CALLED = "began", "ended", "given up", "anew", "called"
"""What a line tells."""

FINISHED, DIVERGED, ERRORED, INTERRUPTED = "finished", "diverged", "errored", "interrupted"

DONE = (FINISHED, DIVERGED)
"""How a point ends that is not tried again."""


def told_by(state: str) -> tuple[str, str]:
    """How a point has ended by the state of its run, and the sentence about it."""
    how = next((one for one in DONE if state.startswith(one)), INTERRUPTED)
    return (ERRORED if state.startswith("failed") else how), "" if state == how else state


def is_sweep(folder: Path) -> bool:
    """Whether a folder holds a sweep."""
    return (folder / PLAN).is_file()


def write_plan(folder: Path, said: Mapping[str, Any], identity: str) -> None:
    """Keep the plan; the file is there whole or not at all.

    Raises:
        NotWritten: if the disk refuses.
    """
    about = {"schema": SCHEMA, "identity": identity, "plan": dict(said)}
    text = json.dumps({**about, "sha256": sha(about)}, indent=1)
    with told(folder):
        cache.keep(folder / PLAN, lambda beside: _write(beside, text))


def read_plan(folder: Path) -> tuple[dict[str, Any], str]:
    """The plan of a sweep as `sweep_plan.made` takes it, and its identity.

    Raises:
        BadInput: if there is none, or a later version wrote it.
        Damaged: if it is not as it was written.
    """
    path = folder / PLAN
    try:
        with path.open("rb") as file:
            data = json.loads(file.read(LARGEST).decode("utf-8"))
    except FileNotFoundError:
        raise BadInput(f"sweep: {folder}; no sweep lies there") from None
    except (OSError, ValueError, RecursionError) as failed:
        raise Damaged(f"sweep: {path}; cannot be read ({failed})") from None
    if not isinstance(data, dict) or data.pop("sha256", None) != sha(data):
        raise Damaged(f"sweep: {path}; not as it was written")
    if data.get("schema") != SCHEMA:
        raise BadInput(f"sweep: {path}; schema {data.get('schema')}, this version reads {SCHEMA}")
    return data["plan"], data["identity"]


class Journal:
    """The lines of this process in one call of the command."""

    def __init__(self, folder: Path, call: int) -> None:
        """Write nothing yet.

        Args:
            folder: of the sweep.
            call: which call of the command, counted from 1.
        """
        name = f"{call:05d}-{socket.gethostname()[:40]}-{os.getpid()}.jsonl"
        self.path = folder / JOURNAL / name
        self.call = call

    def note(self, event: str, point: str = "", **more: Any) -> None:
        """Add a line; it is with the system when this returns.

        Raises:
            NotWritten: if the disk refuses.
        """
        said = {"event": event, "point": point, "call": self.call, "at": time.time(), **more}
        line = json.dumps(said) + "\n"
        with told(self.path.parent.parent):
            self.path.parent.mkdir(exist_ok=True)
            file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(file, line.encode())
            finally:
                os.close(file)


def lines(folder: Path) -> list[dict[str, Any]]:
    """All whole lines of the journal, by call and then by process."""
    found = []
    for path in sorted((folder / JOURNAL).glob("*.jsonl")):
        for line in path.read_text("utf-8", errors="replace").splitlines():
            try:
                said = json.loads(line)
            except ValueError:  # torn by the death of its process
                continue
            if isinstance(said, dict) and isinstance(said.get("call"), int):
                found.append(said)
    return sorted(found, key=lambda one: one["call"])


def calls(found: Sequence[Mapping[str, Any]]) -> int:
    """How many calls of the command there were."""
    return max((one["call"] for one in found), default=0)


def ends(found: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The line that says how a point ended, by its name; a point that may be tried has none.

    Args:
        found: lines as `lines` gives them.
    """
    held: dict[str, dict[str, Any]] = {}
    newest: dict[str, int] = {}
    for one in found:
        name, call = one.get("point", ""), one["call"]
        if one["event"] == ANEW:
            held.pop(name, None)
            newest[name] = call
        ended = one["event"] in (ENDED, GIVEN_UP) and one.get("how") in (*DONE, ERRORED)
        if ended and call >= newest.get(name, 0):
            before = held.get(name, {}).get("how")
            if before not in DONE:
                held[name] = dict(one)
    return held


def lost(found: Sequence[Mapping[str, Any]], call: int) -> dict[str, int]:
    """Attempts of a call that ended with their process, by point.

    Args:
        found: lines as `lines` gives them.
        call: when none of its attempts is under way any more.
    """
    counts: dict[str, int] = {}
    for one in found:
        if one["call"] == call and one["event"] in (BEGAN, ENDED):
            name = one["point"]
            counts[name] = counts.get(name, 0) + (1 if one["event"] == BEGAN else -1)
    return {name: number for name, number in counts.items() if number > 0}


class Stop:
    """Whether this call of the command shall end; looked for at most four times a second."""

    PERIOD = 0.25

    def __init__(self, folder: Path, call: int) -> None:
        """Look for the sign of this call in the folder of the sweep."""
        self._path, self._call = folder / STOP, str(call)
        self._asked, self._next = False, 0.0

    def __call__(self) -> bool:
        """Whether it is there."""
        now = time.monotonic()
        if not self._asked and now >= self._next:
            self._next = now + self.PERIOD
            try:
                self._asked = self._path.read_text("utf-8") == self._call
            except OSError:
                pass
        return self._asked

    def ask(self) -> None:
        """Let all attempts of this call end where they stand."""
        cache.keep(self._path, lambda beside: _write(beside, self._call))

    def clear(self) -> None:
        """Take the sign away."""
        self._path.unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")
