"""How do frames get to one browser, and what comes back? By one binary message, and short words.

A frame goes only to a browser that has credit: it says which one it has painted. An answer that is
lost holds frames back for a second. A page that nobody sees gets a frame a second.
"""

import time
from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, CustomJS, TextInput

from workbench.frames import Frames
from workbench.scripts import TAKES

CREDIT = 4
"""Frames that may be on their way before the browser has painted one."""

EXPIRES = 1.0
"""Seconds after which a lost answer no longer holds frames back."""

HIDDEN = 1.0
"""Seconds between two frames for a page that nobody sees."""


class Channel:
    """What one browser is sent, and what it says."""

    def __init__(self, figures: Mapping[str, Any], heard: Callable[[str, list[str]], None]) -> None:
        """Build both ends.

        Args:
            figures: of Bokeh, by name, between whose axes the browser draws.
            heard: called with a word of the browser, and what belongs to it.
        """
        self._heard = heard
        self.back = TextInput(name="heard", value="")
        self.back.on_change("value", self._hear)
        self._frames = Frames()
        self._source = ColumnDataSource({"frame": np.zeros(0, np.uint8)})
        takes = TAKES.replace("FIGURES", ", ".join(figures))
        args = {"frames": self._source, **figures}
        self._source.js_on_change("data", CustomJS(args=args, code=takes))
        self.back.js_on_change(  # so that the document holds the source, which nothing shows
            "name", CustomJS(args={"frames": self._source}, code="")
        )
        self.sent = self._seen = 0
        self.sent_at = 0.0
        self._painted: list[float] = []
        self._hidden = False

    def send(self, message: Callable[[Frames, int], bytes]) -> None:
        """Send a frame.

        Args:
            message: makes it, for what the browser holds and the number of the frame.
        """
        self.sent += 1
        self.sent_at = time.monotonic()
        self._source.data = {"frame": np.frombuffer(message(self._frames, self.sent), np.uint8)}

    @property
    def behind(self) -> bool:
        """Whether the browser has as many frames to paint as it may."""
        since = time.monotonic() - self.sent_at
        if self._hidden:
            return since < HIDDEN
        return self.sent - self._seen >= CREDIT and since < EXPIRES

    @property
    def fps(self) -> float:
        """Frames that the browser has painted per second, over the last two seconds."""
        return (len(self._painted) - bisect_right(self._painted, time.monotonic() - 2)) / 2

    def _hear(self, attr: str, old: str, new: str) -> None:
        word, *rest = new.split()
        if word == "seen":
            self._seen = max(self._seen, int(rest[0]))
            self._painted = [*self._painted, *[time.monotonic()] * min(int(rest[1]), 99)][-199:]
        elif word in ("hidden", "visible"):
            self._hidden = word == "hidden"
        else:
            if word == "again":  # it has missed one: it holds nothing
                self._frames, self._seen = Frames(), self.sent
            self._heard(word, rest)
