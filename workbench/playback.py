"""Which recorded row is looked at? A cursor that is moved, plays at a speed, or follows the newest.

It knows rows that are there: over a gap, or over rows that were thinned, it goes on to the next.
"""

import math
import time
from typing import Any

import numpy as np

from workbench.reading import WatchedLane
from workbench.showing import Showing

WHOLE = 10.0
"""Seconds in which playing freely passes the whole run, but never fewer than a row a frame."""


class Playback:
    """A cursor in one lane, with another behind it; subclasses give the lanes."""

    lane: WatchedLane | None
    ghost: WatchedLane | None
    lanes: list[Any]

    def __init__(self) -> None:
        """At the newest row, which is followed."""
        self.lane = self.ghost = None
        self.playing = False
        self.following = True
        self.speed: float | None = 6.0
        self.changes = 0
        self.message = ""
        self._at = 0
        self._since = 0.0

    @property
    def live(self) -> bool:
        """Whether more rows may come."""
        return False

    @property
    def row(self) -> int:
        """Number of the newest row."""
        return max(self.lane.newest, 0) if self.lane is not None else 0

    @property
    def cursor(self) -> int:
        """Number of the row that is looked at."""
        return self.row if self.following else self._at

    @property
    def at_end(self) -> bool:
        """Whether the cursor is on the newest row."""
        return self.following or self._at >= self.row

    @property
    def showing(self) -> Showing | None:
        """What may be drawn; None before there is a lane."""
        lane = self.lane
        if lane is None:
            return None
        place = len(self.lanes), self.row, self.cursor, self.playing
        return Showing(lane, self.ghost, *place)

    # What a person can do ------------------------------------------------------------------------

    def play(self) -> None:
        """Move on over the rows at the chosen speed; from the last one, begin with the first."""
        steps = self._steps()
        if self.at_end and self.live:
            self.follow()
            return
        self._at = int(steps[0]) if self.at_end and len(steps) else self.cursor
        self.following, self.playing = False, True
        self._since = time.monotonic()
        self.changed()

    def pause(self) -> None:
        """Stay on this row."""
        self._stay(self.cursor)

    def step(self, n: int = 1) -> None:
        """Look at the row that is n rows later."""
        self._stay(self._later(n))

    def seek(self, row: int) -> None:
        """Look at a row, or at the nearest one in the way that leads there."""
        steps, old = self._steps(), self.cursor
        if not len(steps):
            return
        at = int(np.abs(steps - row).argmin())
        if int(steps[at]) == old and row != old:
            at = min(max(at + (1 if row > old else -1), 0), len(steps) - 1)
        self._stay(int(steps[at]))

    def move(self, by: int) -> None:
        """Look so many rows further, or back."""
        self.seek(min(max(0, self.cursor + by), self.row))

    def follow(self) -> None:
        """Look at the newest row, and at each that comes."""
        self.following, self.playing = True, False
        self.changed()

    def restart(self) -> None:
        """Look at the first row of this batch."""
        self._stay(self._of_batch()[0])

    def run_to_end(self) -> None:
        """Look at the last row of this batch, so far."""
        self._stay(self._of_batch()[1])

    def next_batch(self) -> None:
        """Look at the first row of the next batch."""
        self._at, self.following = self._of_batch()[1], False
        self._stay(self._later(1))

    def swap(self) -> None:
        """Exchange the lane and its ghost; the cursor stays where it is, if there is such a row."""
        if self.ghost is None:
            self.message = "this run has no other lane"
            self.changed()
            return
        at, follows = self.cursor, self.following
        self.lane, self.ghost = self.ghost, self.lane
        self.message = ""
        if follows:
            self.follow()
        else:
            steps = self._steps()
            self._stay(int(steps[np.abs(steps - at).argmin()]) if len(steps) else 0)

    def next_lane(self, by: int = 1) -> None:
        """Say where the other lanes are: rows have to be read first."""
        self.message = "the lanes of this run are listed under choices [c]"
        self.changed()

    def undo(self) -> None:
        """A run is as it was recorded."""
        self.message = "a run that is watched has nothing to undo"
        self.changed()

    redo = undo

    def set_speed(self, speed: float | None) -> None:
        """Rows per second, or None for the whole run in some seconds."""
        self.speed = speed
        self._since = time.monotonic()
        self.changed()

    # Time ----------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Let time pass; called at every beat.

        Args:
            now: of the monotonic clock, s.
        """
        if not self.playing:
            return
        passed = max(now - self._since, 0.0)
        if self.speed is None:
            due = max(1, math.ceil(len(self._steps()) * passed / WHOLE))
            self._since = now
        else:
            due = int(passed * self.speed + 1e-9)
            self._since += due / self.speed
        if not due:
            return
        self._at = self._later(due)
        if self._at >= self.row:
            self.playing, self.following = False, self.live
            self.changed()

    def changed(self) -> None:
        """Something that is shown is another."""
        self.changes += 1

    def _stay(self, row: int) -> None:
        self._at, self.following, self.playing = row, False, False
        self.message = ""
        self.changed()

    def _steps(self) -> np.ndarray:
        return np.zeros(0, int) if self.lane is None else self.lane.steps

    def _later(self, by: int) -> int:
        """The row that is so many held rows behind the cursor."""
        steps = self._steps()
        if not len(steps):
            return 0
        at = int(np.searchsorted(steps, self.cursor)) + by
        return int(steps[min(max(at, 0), len(steps) - 1)])

    def _of_batch(self) -> tuple[int, int]:
        """First and last row of the batch under the cursor."""
        trace = None if self.lane is None else self.lane.trace
        held = None if trace is None else trace.row(self.cursor)
        if trace is None or held is None:
            return 0, 0
        rows = trace.tail(len(trace))
        there = rows["step"][rows["batch"] == held["batch"]]
        return int(there[0]), int(there[-1])
