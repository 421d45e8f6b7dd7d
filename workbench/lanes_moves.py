"""How does a session go from lane to lane? By number, one on or back, and back to where one began.

Nothing is made or deleted: another lane is opened where it was left, and the one before becomes its
ghost. To undo is to go back to the lane, and the row, from which the live one came; to redo, to go
forward again, until a new lane is made or another one is opened.
"""

from typing import Any

from core.catalogue import BadInput
from core.experiment import Experiment
from workbench.beginning import Begin
from workbench.commands import Command, Commands
from workbench.lanes import Lane


class Moves(Commands):
    """The commands, and those that go from lane to lane."""

    def __init__(
        self, experiment: Experiment, *, begin: Begin | None, budget: int, align: bool
    ) -> None:
        """Describe the lanes; nothing was undone so far.

        Args:
            experiment: the first choices.
            begin: the batch of a run from which the first lane goes on.
            budget: bytes for the marks that rewinding needs.
            align: whether to record each layer's cosine to the backprop update.
        """
        super().__init__(experiment, begin=begin, budget=budget, align=align)
        self._undone: tuple[int, int, tuple[int, ...]] = (0, 0, ())

    def _ask(self, name: str, **args: Any) -> None:
        """Queue a command."""
        raise NotImplementedError

    # What a person can do ------------------------------------------------------------------------

    def open_lane(self, number: int) -> None:
        """Go on in another lane where it was left; the live one becomes its ghost.

        Args:
            number: of the lane.

        Raises:
            BadInput: at once, if no lane can have this number; if there is none, it is said later.
        """
        _check("open_lane", number)
        self._ask("open_lane", number=number)

    def compare_with(self, number: int) -> None:
        """Let another lane stand behind the live one.

        Args:
            number: of that lane.

        Raises:
            BadInput: as for `open_lane`.
        """
        _check("compare_with", number)
        self._ask("compare_with", number=number)

    def next_lane(self, by: int = 1) -> None:
        """Open the lane whose number is so much larger, or smaller."""
        if not isinstance(by, int) or isinstance(by, bool) or not 1 <= abs(by) <= 100_000:
            raise BadInput(f"next_lane: {by}; an integer 1..100000, or below zero for back")
        self._ask("next_lane", by=by)

    def undo(self, row: int | None = None) -> None:
        """Go back to the lane from which the live one came.

        Args:
            row: to look at there; by default the one that was looked at when it began.
        """
        if row is not None and (type(row) is not int or row < 0):
            raise BadInput(f"undo: {row}; the number of a recorded row, from 0")
        self._ask("undo", **({} if row is None else {"row": row}))

    def redo(self) -> None:
        """Go forward again to the lane that was left by the last undo."""
        self._ask("redo")

    # What it does --------------------------------------------------------------------------------

    def _absolute(self, command: Command) -> Command:
        """The next lane is the one with the number that it comes to."""
        if command.name != "next_lane":
            return super()._absolute(command)
        assert self.lane is not None
        last, by = len(self.lanes) - 1, command.args["by"]
        number = min(max(0, self.lane.id + by), last)
        if number == self.lane.id:
            self.message = f"lane {number} is the {'last' if by > 0 else 'first'} one"
        return Command("open_lane", {"number": number}, command.asked)

    def _do_open_lane(self, number: int) -> None:
        lane = self._numbered("open_lane", number)
        if lane is not self.lane:
            self._open(lane)

    def _do_compare_with(self, number: int) -> None:
        lane = self._numbered("compare_with", number)
        if lane is self.lane:
            raise BadInput(f"compare_with: {number}; another lane than the live one")
        self.ghost = lane

    def _do_undo(self, row: int | None = None) -> dict[str, Any] | None:
        """Where the row is not held the nearest one is logged, as for `seek`."""
        lane, before = self.lane, self._left
        assert lane is not None
        if lane.parent is None:
            self.message = "this lane came from no other: there is nothing to undo"
            return None
        self._open(self.lanes[lane.parent])
        said = self._do_seek(lane.left if row is None else row)
        self._undone = lane.parent, len(self.lanes), (*before, lane.id)
        return said

    def _do_redo(self) -> None:
        before = self._left
        if not before:
            self.message = "there is nothing to redo"
            return
        self._open(self.lanes[before[-1]])
        self._undone = before[-1], len(self.lanes), before[:-1]

    @property
    def _left(self) -> tuple[int, ...]:
        """Lanes that were undone from where the session stands, the last one first to come back."""
        at, count, left = self._undone
        assert self.lane is not None
        return left if (self.lane.id, len(self.lanes)) == (at, count) else ()

    def _numbered(self, command: str, number: int) -> Lane:
        if number >= len(self.lanes):
            raise BadInput(f"{command}: {number}; a lane 0..{len(self.lanes) - 1}")
        return self.lanes[number]


def _check(command: str, number: object) -> None:
    if type(number) is not int or number < 0:
        raise BadInput(f"{command}: {number}; the number of a lane, from 0")
