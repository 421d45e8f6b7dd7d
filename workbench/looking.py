"""How is a row looked at while a session goes on? By its worker, between two steps, at the cursor.

The worker looks where it stands or at a row that it replays; a replay is given up as soon as
something else is asked of the worker, and it always goes back to where it stood.
"""

import time
from collections.abc import Callable
from typing import Any, TypeVar

from workbench.lanes import Lane
from workbench.returning import Returning
from workbench.session import Session

REST = 0.25
"""Seconds between two looks while the session plays, at least."""

SHARE = 0.2
"""Of the worker's time that looks may take while the session plays."""

Found = TypeVar("Found")


def at_cursor(session: Session, look: Callable[[Returning, Lane], Found]) -> Found | None:
    """Look at the row under the cursor; called by the worker, between two steps.

    Args:
        session: whose worker calls.
        look: given who stands at that row of the live lane, and the lane; it changes nothing.

    Returns: None where the replay was given up because more was asked of the worker.
    """
    return at_row(session, session.row if session.at_end else session.cursor, look)


def at_row(session: Session, row: int, look: Callable[[Returning, Lane], Found]) -> Found | None:
    """The same at another row of the live lane."""
    live, relaxation = session.lane, session._relaxation
    assert live is not None and relaxation is not None
    if row >= session.row:
        return look(session, live)
    session._park()
    assert live.parked is not None
    walker = Returning(0)  # so that a page that looks meanwhile sees the session where it stands
    walker.lane = live
    try:
        for _ in walker._walk(live, range(live.mark_before(row).row, row + 1)):
            if not session._queue.empty():
                return None
        return look(walker, live)
    finally:
        session._return(live, live.parked, relaxation)


class Surveyor:
    """Has the worker look whenever there is something else to be seen, and not too often."""

    def __init__(self, session: Session, look: Callable[[Session, Any], Any]) -> None:
        """Nothing was looked at so far.

        Args:
            session: whose worker looks.
            look: given the session and what is wanted; its finding, None where it gave way.
        """
        self.newest: Any = None
        self.trouble = ""
        self._session, self._what = session, look
        self._asked: Any = None
        self._busy = False
        self._free_at = 0.0

    def follow(self, wanted: Any = None) -> None:
        """Ask for what is wanted at the cursor, if that is not what was asked for last."""
        session = self._session
        if self._busy or session.lane is None or time.monotonic() < self._free_at:
            return
        key = wanted, session.lane.id, session.cursor, session.changes
        if key != self._asked:
            self._busy, self._asked = True, key
            session.aside(lambda: self._look(wanted))

    def _look(self, wanted: Any) -> None:
        """On the worker: whatever happens, the session goes on."""
        begun, rest = time.perf_counter(), REST if self._session.playing else 0.0
        try:
            found = self._what(self._session, wanted)
            if found is None:
                self._asked = None
                return
            self.newest, self.trouble = found, ""
            rest = max(rest, (time.perf_counter() - begun) / SHARE) if rest else 0.0
        except Exception as error:  # a network of a user may break any of it
            self.trouble = " ".join(str(error).split()) or type(error).__name__
        finally:
            self._free_at = time.monotonic() + rest
            self._busy = False
