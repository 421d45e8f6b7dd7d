"""When is theory asked? Where weights or recipe have changed, and never more than the time allows.

The worker only hands over where it stands; the rest is computed in a thread of its own.
"""

import threading
import time
from typing import Any

import torch

from workbench.outlook import Outlook, Situation, outlook, situation
from workbench.session import Session

REST = 2.0
"""Seconds between two answers, at least."""

SHARE = 0.05
"""Of one processor's time that may go into answers while nobody asks for one."""


class Theorist:
    """Keeps the newest outlook of a session while it is on."""

    def __init__(self, session: Session) -> None:
        """Off at first."""
        self.on = False
        self.newest: Outlook | None = None
        self.busy = False
        self._session = session
        self._asked: Any = None
        self._free_at = 0.0

    def follow(self) -> None:
        """Ask anew if what matters has changed; called at every beat."""
        if self.on and not self.busy and self._key() != self._asked:
            if time.monotonic() >= self._free_at:
                self.ask()

    def ask(self) -> None:
        """Ask about the newest row."""
        if self.busy or self._session.lane is None:
            return
        self.busy, self._asked = True, self._key()
        self._session.aside(self._hand_over)

    def _key(self) -> Any:
        """What an outlook depends on, besides the states."""
        lane = self._session.lane
        if lane is None:
            return None
        version, pokes = lane.training.network.version, len(lane.pokes)
        return lane.id, lane.starts[-1][1], lane.experiment, version, pokes

    def _hand_over(self) -> None:
        """On the worker: where it stands."""
        try:
            at = situation(self._session)
        except Exception:
            self.busy = False  # a lane that cannot be looked at now may be later
            return
        threading.Thread(target=self._answer, args=(at,), name="theory", daemon=True).start()

    def _answer(self, at: Situation) -> None:
        torch.set_num_threads(1)
        try:
            found = outlook(at, self._asked)
            lane = next((one for one in self._session.lanes if one.id == at.lane), None)
            if lane is not None and found.known:
                lane.trace.attrs["theory"] = {
                    **lane.trace.attrs["theory"],
                    str(at.batch): found.known,
                }
            self.newest = found
            self._free_at = time.monotonic() + max(REST, found.took / SHARE)
        finally:
            self.busy = False
        if self._session.wake is not None:
            self._session.wake()
