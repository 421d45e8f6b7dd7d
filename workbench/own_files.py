"""Has a file of one's own been saved again? Looked at by every page, taken over once for all.

A file that fails is told with its line; the version that was loaded stays.
"""

import threading
import time
from typing import Any

from core import plugins
from core.experiment import Experiment
from core.plugins import BadPlugin

EVERY = 0.3
"""Seconds between two looks at the files, at least."""


class OwnFiles:
    """The files that were loaded as plugins, and what is wrong with them now."""

    def __init__(self) -> None:
        """Nothing was looked at so far."""
        self.troubles: dict[str, str] = {}
        self._stamps: dict[str, Any] = {}
        self._taken: dict[str, Any] = {}
        self._at = 0.0
        self._looking = threading.Lock()

    def look(self) -> None:
        """Load again what was saved again, once it has been at rest for a look."""
        now = time.monotonic()
        if now - self._at < EVERY or not self._looking.acquire(blocking=False):
            return
        try:
            self._at = now
            for one in plugins.loaded():
                if one.path is not None:
                    self._look_at(one)
        finally:
            self._looking.release()

    def _look_at(self, one: plugins.Plugin) -> None:
        assert one.path is not None
        key = str(one.path)
        try:
            found = one.path.stat()
            stamp = found.st_mtime_ns, found.st_size
        except OSError:
            stamp = None
        before, self._stamps[key] = self._stamps.get(key), stamp
        if stamp != before or stamp == self._taken.get(key, ()):
            return  # it is being written, or known
        self._taken[key] = stamp
        try:
            plugins.load(one.path)
        except BadPlugin as refused:
            self.troubles = {**self.troubles, key: str(refused)}
        else:
            self.troubles = {k: v for k, v in self.troubles.items() if k != key}

    def trouble_of(self, experiment: Experiment) -> str:
        """What is wrong with a file that an experiment has something of, or ""."""
        paths = [str(one.path) for one in plugins.behind(experiment)]
        return next((self.troubles[path] for path in paths if path in self.troubles), "")

    def trouble_by_kind(self) -> dict[str, str]:
        """What is wrong with the files behind entries of each kind."""
        found = {}
        for one in plugins.loaded():
            if line := self.troubles.get(str(one.path)):
                found |= {card.kind: line for card in one.cards}
        return found


FILES = OwnFiles()
"""Of this process: the catalogue is one for all pages."""


def versions(experiment: Experiment) -> list[dict[str, str]]:
    """The files behind an experiment that have another version now: name, was, sha256."""
    now = {str(one.path): one.sha256 for one in plugins.loaded() if one.path is not None}
    return [
        {"name": one.name, "was": one.sha256, "sha256": now[str(one.path)]}
        for one in plugins.behind(experiment)
        if now.get(str(one.path), one.sha256) != one.sha256
    ]


class Renewal:
    """Has a session go on with what was saved again, once for each version."""

    def __init__(self, session: Any) -> None:
        """Nothing was asked for so far."""
        self._session = session
        self._asked: list[dict[str, str]] = []

    def follow(self) -> None:
        """Ask for it if the session stands on a version that is no longer the newest."""
        session = self._session
        if session.lane is None:
            return
        files = versions(session.lane.experiment)
        if files and files != self._asked:
            self._asked = files
            session._ask("reload", files=files)
