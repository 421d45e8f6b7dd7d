"""Which row is this? What a log counts on by itself, and what a program says about its rows."""

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from core.catalogue import BadInput, shown
from core.schema import CLOCK, INDEX

PHASE = "relax"
"""Of rows for which none is said, as the core calls a relaxation of one phase."""

Row = tuple[int, int, int, str, int, int, float]
"""`NAMES` of a row."""

NAMES = (*INDEX, CLOCK)


class Counter:
    """Stands at the newest row of a log; what is not said of the next one is as it was.

    Attributes:
        step: number of the next row.
        batch: number of the newest row's batch.
        begun: whether there is a row since the log was opened.
    """

    def __init__(self, firsts: Mapping[int, int] | None = None, behind: int = 0) -> None:
        """Begin before the first row, or behind those of a run that is gone on with.

        Args:
            firsts: number of the first row of each batch that is there.
            behind: number of the next row.
        """
        self._firsts = dict(firsts or {})
        self.step, self._t = behind, -1
        self.batch = max(self._firsts, default=-1) + 1
        self._phase, self._T = PHASE, -1
        self.begun = False

    def rows(
        self, count: int | None, *, batch: Any, t: Any, phase: Any, T: Any, seconds: Any
    ) -> list[Row]:
        """What rows say about themselves; the next row is then the one behind them.

        Args:
            count: of rows; None for one without an axis for rows.
            batch: number of the batch, of all rows or of each, as all that follow; or None.
            t: updates before it.
            phase: its name.
            T: updates of the batch.
            seconds: spent relaxing so far.

        Raises:
            BadInput: naming what is not legal; it stands where it stood then.
        """
        if count is None:
            one = (
                None if batch is None else whole("batch", batch),
                None if t is None else whole("t", t),
                None if phase is None else _name("phase", phase),
                None if T is None else _updates("T", T),
                math.nan if seconds is None else _number("seconds", seconds),
            )
            self._check(one[:1])
            return [self._next(*one)]
        numbers = _each("batch", batch, count, whole)
        columns: list[list[Any]] = [
            numbers,
            _each("t", t, count, whole),
            _each("phase", phase, count, _name),
            _each("T", T, count, _updates),
            _each("seconds", math.nan if seconds is None else seconds, count, _number),
        ]
        self._check(numbers)
        return [self._next(*row) for row in zip(*columns, strict=True)]

    def _next(
        self, batch: int | None, t: int | None, phase: str | None, T: int | None, seconds: float
    ) -> Row:
        """Stand at the next row; gives what it says about itself."""
        old_batch, old_phase = self.batch, self._phase
        if batch is not None:
            if not self.begun:  # done again since it was interrupted
                self.step = self._firsts.get(batch, self.step)
            self.batch = batch
        if phase is not None:
            self._phase = phase
        if T is not None:
            self._T = T
        if t is not None:
            self._t = t
        elif self.batch == old_batch and self._phase == old_phase:
            self._t += 1
        else:
            self._t = 0
        self.begun = True
        self.step += 1
        return self.step - 1, self.batch, self._t, self._phase, 0, self._T, seconds

    def _check(self, batches: Iterable[int | None]) -> None:
        """Refuse a batch that would lie before others, and before anything has moved."""
        newest, begun = self.batch, self.begun
        for batch in batches:
            if batch is None:
                continue
            if begun and batch < newest:
                raise BadInput(
                    f"batch: {batch}; {newest} or more, that of the row before: batches are "
                    "counted over epochs"
                )
            if not begun and self._firsts and batch not in self._firsts and batch < newest:
                raise BadInput(f"batch: {batch}; one that the run has, or {newest} or more")
            newest, begun = batch, True


def _each(field: str, value: Any, count: int, one: Callable[[str, Any], Any]) -> list[Any]:
    """What is said of each row: the same of all, or a list."""
    if value is None:
        return [None] * count
    if isinstance(value, str) or np.ndim(value) == 0:
        return [one(field, value)] * count
    if len(value) != count:
        raise BadInput(f"{field}: {len(value)} of them; one, or one for each of {count} rows")
    return [one(field, part) for part in value]


def whole(field: str, value: Any) -> int:
    """An integer of 0 or more."""
    try:
        found = operator.index(value)
    except TypeError:
        found = -1
    if found < 0:
        raise BadInput(f"{field}: {shown(value)}; an integer of 0 or more")
    return found


def _updates(field: str, value: Any) -> int:
    """A number of updates, where -1 says that it is not known."""
    return -1 if isinstance(value, int) and value == -1 else whole(field, value)


def _number(field: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise BadInput(f"{field}: {shown(value)}; a number") from None


def _name(field: str, value: Any) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise BadInput(f"{field}: {shown(value)}; a name")
    return value
