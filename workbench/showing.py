"""What may be drawn now? One place in one lane, handed from the thread that works to pages.

It is replaced as a whole, between two steps: a page never sees the middle of a command.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class Showing:
    """What may be drawn of a session or of a run that is watched.

    Args:
        lane: the live one, or the one that is looked at.
        ghost: the lane behind it, or None.
        lanes: how many there are.
        row: number of the newest row of the lane.
        cursor: number of the row that is looked at.
        playing: whether more rows come by themselves.
    """

    lane: Any
    ghost: Any
    lanes: int
    row: int
    cursor: int
    playing: bool = False

    @property
    def place(self) -> tuple[int, int, int]:
        """Lane, newest row and cursor: frames of two places differ."""
        return self.lane.id, self.row, self.cursor
