"""Which stored rows are a lane's? Its parent's up to the fork, then its own, each number once."""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.runs.overview import PREFIX, is_block
from core.runs.source import Part

Value = Callable[[Part, str], NDArray[Any]]
"""Reads one array of a part."""

CACHED = 2**25
"""Bytes of arrays that are kept because the next rows may lie in them too."""


@dataclass(frozen=True)
class Stretch:
    """Rows of one part that count.

    Args:
        part: that holds them.
        start: position of the first one in it.
        stop: position behind the last one.
    """

    part: Part
    start: int
    stop: int

    def numbers(self, name: str) -> NDArray[Any]:
        """Their numbers, by the array that numbers them."""
        return self.part.index[name][self.start : self.stop]


def stretches(
    parts: list[Part], number: str, until: int | None = None, cuts: Iterable[tuple[int, int]] = ()
) -> list[Stretch]:
    """What of some parts counts, where a later row takes the place of all from its number on.

    Args:
        parts: of one stream and lane, in the order in which they were stored.
        number: name of the array that numbers the rows.
        until: the last number that counts.
        cuts: number and first row of parts that take the place of others and are not among these.
    """
    found: list[Stretch] = []
    ahead = deque(sorted(cuts))
    for part in parts:
        while ahead and ahead[0][0] <= part.id:
            cut(found, number, ahead.popleft()[1])
        numbers = part.index[number]
        stop = len(numbers) if until is None else int(np.searchsorted(numbers, until, "right"))
        if stop:
            add(found, number, Stretch(part, 0, stop))
    for _, first in ahead:
        cut(found, number, first)
    return found


def add(found: list[Stretch], number: str, new: Stretch) -> None:
    """Put a stretch behind others; what they hold from its first number on no longer counts."""
    cut(found, number, int(new.numbers(number)[0]))
    found.append(new)


def cut(found: list[Stretch], number: str, first: int) -> None:
    """Let go what stretches hold from a number on."""
    while found and int(found[-1].numbers(number)[-1]) >= first:
        last = found.pop()
        stop = last.start + int(np.searchsorted(last.numbers(number), first))
        if stop > last.start:
            found.append(Stretch(last.part, last.start, stop))


class Rows:
    """Rows, or frames, of one lane; arrays are read when they are asked for."""

    def __init__(self, held: list[Stretch], value: Value) -> None:
        """Take over what counts.

        Args:
            held: in order.
            value: reads an array of a part.
        """
        self.held = held
        self._value = value
        counts = [one.stop - one.start for one in held]
        self._ends = np.cumsum(counts) if counts else np.zeros(0, int)
        self.count = int(self._ends[-1]) if counts else 0
        self.specs: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}
        for one in held:
            for name, spec in one.part.specs.items():
                shape, dtype = tuple(spec["shape"][1:]), np.dtype(spec["dtype"])
                before = self.specs.get(name)
                self.specs[name] = (shape, np.result_type(dtype, before[1]) if before else dtype)
        for name, (shape, dtype) in self.specs.items():
            if dtype.kind != "f" and any(name not in one.part.specs for one in held):
                self.specs[name] = (shape, np.dtype(np.float64))
        self._cache: OrderedDict[tuple[int, str], NDArray[Any]] = OrderedDict()
        self._cached = 0

    @property
    def bytes(self) -> int:
        """Of all arrays that can be asked for."""
        return sum(one.part.bytes for one in self.held)

    def index(self, *only: str) -> dict[str, NDArray[Any]]:
        """What every row says about itself, by name, (rows,); of some names, or of all."""
        known = {n for one in self.held for n in one.part.index if not is_block(n)}
        names = known.intersection(only) if only else known
        found = {}
        for name in names:
            pieces = [self._piece(one, name) for one in self.held]
            found[name] = np.concatenate(pieces)
        return found

    def _piece(self, one: Stretch, name: str) -> NDArray[Any]:
        values = one.part.index.get(name)
        if values is None:  # known of other rows only
            return np.full(one.stop - one.start, np.nan)
        return values[one.start : one.stop]

    def blocks(self) -> dict[str, NDArray[Any]]:
        """Blocks of the overview, in order; empty where no energies were recorded.

        Where only some rows of a part count, its last block may show a few that do not.
        """
        found: dict[str, list[NDArray[Any]]] = {}
        for one in self.held:
            counts = one.part.index.get(PREFIX + "rows")
            if counts is None:
                continue
            kept: Any = slice(None)
            if one.stop - one.start < counts.sum():
                begins = np.cumsum(counts) - counts
                kept = (begins >= one.start) & (begins < one.stop)
            for name, values in one.part.index.items():
                if is_block(name):
                    found.setdefault(name, []).append(values[kept])
        return {name.removeprefix(PREFIX): np.concatenate(one) for name, one in found.items()}

    def take(self, name: str, at: NDArray[np.int64]) -> NDArray[Any]:
        """A variable at some positions, nan where it was not recorded.

        Raises:
            Damaged: if a part of it is not as it was written.
        """
        shape, dtype = self.specs[name]
        out = np.empty((len(at), *shape), dtype)
        which = np.searchsorted(self._ends, at, "right")
        begins = np.flatnonzero(np.diff(which, prepend=-1))
        for a, b in pairwise([*begins, len(at)]):  # positions in one part
            k = int(which[a])
            one = self.held[k]
            before = int(self._ends[k]) - one.stop
            if name in one.part.specs:
                out[a:b] = self._read(one.part, name)[at[a:b] - before]
            else:
                out[a:b] = np.nan
        return out

    def check(self) -> set[int]:
        """Numbers of the parts with an array that is not as it was written; reads all of them."""
        from core.runs.errors import Damaged

        bad = set()
        for one in self.held:
            for name in one.part.specs:
                try:
                    self._value(one.part, name)
                except Damaged:
                    bad.add(one.part.id)
        return bad

    def _read(self, part: Part, name: str) -> NDArray[Any]:
        key = (part.id, name)
        held = self._cache.get(key)
        if held is not None:
            self._cache.move_to_end(key)
            return held
        held = self._value(part, name)
        self._cache[key] = held
        self._cached += held.nbytes
        while self._cached > CACHED and len(self._cache) > 1:
            self._cached -= self._cache.popitem(last=False)[1].nbytes
        return held
