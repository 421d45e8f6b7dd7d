"""Which sessions are alive? Each belongs to an id in its page's address and outlives a reload.

When the last page of a session goes it pauses; after a grace time its experiment and event log are
written and its worker ends. The same address brings it back by replay. The number of sessions is
bounded.
"""

import atexit
import json
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from core import cache
from core.allocator import give_back, keep_memory

if TYPE_CHECKING:
    from workbench.links import Log
    from workbench.session import Session

GRACE = 60.0
"""Seconds that a session without a page is kept."""

SWITCH = 5e-4
"""Seconds after which Python lets another thread run: a frame must not hold up many small steps."""

MOST = 16
"""Sessions at once; each keeps marks for rewinding within its own budget."""

BUDGET = 2 * 2**30
"""Bytes for the marks of all sessions together."""


class Full(RuntimeError):
    """No more sessions can be opened."""


@dataclass
class _Place:
    session: "Session"
    listeners: dict[int, Callable[[], None]] = field(default_factory=dict)
    timer: threading.Timer | None = None


_places: dict[str, _Place] = {}
_ending: dict[str, threading.Event] = {}
_lock = threading.RLock()


def attach(
    session_id: str, key: int, wake: Callable[[], None], log: "Log | None" = None
) -> "Session":
    """The session of an id, made, kept or brought back; `wake` is called after its commands.

    Args:
        session_id: from the page's address.
        key: names the page among those of the session.
        wake: called from the worker's thread.
        log: what a new session begins with; one that is kept or brought back stays what it was.

    Raises:
        Full: when there are too many sessions.
        BadInput: if a new session cannot begin there; there is no session then.
    """
    sys.setswitchinterval(SWITCH)
    keep_memory()
    while True:
        with _lock:
            written = _ending.get(session_id)
            if written is None:
                return _attached(session_id, key, wake, log)
        written.wait()  # so that the session comes back with all that it was


def _attached(session_id: str, key: int, wake: Callable[[], None], log: "Log | None") -> "Session":
    place = _places.get(session_id)
    if place is None:
        if len(_places) >= MOST:
            raise Full(f"{MOST} sessions are open, which is the most; close a page and reload")
        place = _places[session_id] = _Place(_made(session_id, log))
        place.session.wake = lambda: _wake(session_id)
        place.session.start()
    if place.timer is not None:
        place.timer.cancel()
        place.timer = None
    place.listeners[key] = wake
    return place.session


def release(session_id: str, key: int) -> None:
    """A page has gone; the session of the last one pauses and ends after the grace time."""
    with _lock:
        place = _places.get(session_id)
        if place is None:
            return
        place.listeners.pop(key, None)
        if place.listeners:
            return
        place.session.pause()
        place.timer = threading.Timer(GRACE, end, (session_id,))
        place.timer.daemon = True
        place.timer.start()


def end(session_id: str) -> None:
    """Write what the session needs to come back, and end its worker."""
    with _lock:
        place = _places.get(session_id)
        if place is None or place.listeners:
            return
        written = _ending[session_id] = threading.Event()
        del _places[session_id]
    try:
        place.session.close()
        _write(session_id, place.session)
    finally:
        del _ending[session_id]
        written.set()
        del place
        give_back()


def alive() -> int:
    """Number of sessions."""
    return len(_places)


def sessions() -> dict[str, "Session"]:
    """The sessions that are alive and ready, by id."""
    with _lock:
        return {name: place.session for name, place in _places.items() if place.session.ready}


@atexit.register
def _keep_all() -> None:
    """The server stops: what brings each session back is written."""
    for session_id, place in list(_places.items()):
        if place.session.recording:
            place.session.close()  # so that the run says that it was finished
        _write(session_id, place.session)


def _wake(session_id: str) -> None:
    place = _places.get(session_id)
    for listener in list(place.listeners.values()) if place else ():
        listener()


def _made(session_id: str, log: "Log | None") -> "Session":
    from workbench.session import Session  # torch is imported here, behind the progress line

    log = _read(session_id) or log
    if log is None:
        return Session(budget=BUDGET // MOST)
    session = Session(log.experiment, begin=log.begin, budget=BUDGET // MOST)
    session.repeat(log.events, log.taken)
    return session


def _path(session_id: str) -> Path:
    return cache.folder() / "sessions" / f"{session_id}.json"


def _write(session_id: str, session: "Session") -> None:
    log = session.log()
    if not (log["events"] or log.get("begin")):
        return
    try:
        cache.keep(_path(session_id), lambda target: _write_text(target, json.dumps(log)))
    except OSError as failed:
        print(f"cache: {_path(session_id)}; not written ({failed})", file=sys.stderr)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")


def _read(session_id: str) -> "Log | None":
    """The log that was written; None where there is none that can be used."""
    from core.experiment import Experiment
    from workbench.beginning import Begin
    from workbench.links import Log

    try:
        log = json.loads(_path(session_id).read_text("utf-8"))
        return Log(
            Experiment.from_dict(log["experiment"]),
            tuple(log["events"]),
            int(log["taken"]),
            Begin.from_dict(log["begin"]) if log.get("begin") else None,
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None
