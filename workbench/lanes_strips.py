"""What do the strips of two lanes show? Layers by steps: log10 E of A and of B, and of their ratio.

Columns are places on the axis of A's row numbers; see `lanes_parting` for which rows of B stand
where. A cell has a value only where its layer stands above its rounding floor, in the ratio in
both lanes; the others are told apart by their kind.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench import measures
from workbench.lanes_parting import Beside, Side

Rows = NDArray[Any]

WINDOW = 400
"""Rows that are drawn at once: the newest, or those about the cursor."""

COLUMNS = 1200
"""Columns of a strip at most: thinned lanes have rows far apart."""

UNREACHED, ROUNDING = 0.0, 1.0
"""Kinds of cells without a value: nothing has come there, or nothing but rounding."""


@dataclass(frozen=True, eq=False)
class Strip:
    """One picture; L layers, W columns, nan where there is nothing.

    Args:
        values: log10 of an energy, or of a ratio, (L, W).
        kinds: of cells that have a row and no value, (L, W).
        energies: in nat, what a strip of one lane is of; those of A and B in the ratio.
    """

    values: Rows
    kinds: Rows
    energies: tuple[Rows, ...]


@dataclass(frozen=True, eq=False)
class Strips:
    """What is drawn of two lanes.

    Args:
        first: place of the left edge of the first column.
        last: place of the right edge of the last one.
        a: of A.
        b: of B, or None where there is none to compare.
        ratio: log10 E_A / E_B, or None.
    """

    first: float
    last: float
    a: Strip
    b: Strip | None = None
    ratio: Strip | None = None


def strips(a: Side, found: Beside | None, cursor: int) -> Strips:
    """The strips about a row of A.

    Args:
        a: the lane whose axis it is.
        found: A beside another lane, or None.
        cursor: number of a row of A.
    """
    first, last = _window(a.step, cursor)
    placed = np.zeros(0) if found is None else found.placed()
    beyond = placed[np.isfinite(placed)]
    if len(beyond):
        last = max(last, min(int(beyond.max()), first + WINDOW - 1))
    at = (
        first
        - 0.5
        + (last - first + 1) * (np.arange(_columns(first, last)) + 0.5) / _columns(first, last)
    )
    ends = first - 0.5, last + 0.5
    mine = _strip(a, _rows_at(a.step.astype(float), _widths(a.step), at))
    if found is None:
        return Strips(*ends, mine)
    b = found.b
    width_a, width_b = _widths(a.step), _widths(b.step)
    other = _strip(b, _rows_at(placed, width_b, at))
    if not len(found.at_a):
        return Strips(*ends, mine, other)
    common = a.step[found.at_a].astype(float)
    width = np.minimum(width_a[found.at_a], width_b[found.at_b])
    return Strips(*ends, mine, other, _ratio(found, _rows_at(common, width, at)))


def _window(step: Rows, cursor: int) -> tuple[int, int]:
    """First and last row number that is drawn, as the plots beside the drawer have them."""
    rows = step[-WINDOW:]
    if cursor < rows[0]:
        end = int(np.searchsorted(step, cursor + WINDOW // 2, side="right"))
        rows = step[max(0, end - WINDOW) : end]
    return int(rows[0]), int(rows[-1])


def _columns(first: int, last: int) -> int:
    return min(last - first + 1, COLUMNS)


def _widths(step: Rows) -> Rows:
    """How many places each row covers: more than one where rows between were thinned."""
    return np.diff(step, append=step[-1] + 1)


def _rows_at(x: Rows, width: Rows, at: Rows) -> Rows:
    """Position of the row that covers each place, -1 where none does."""
    there = np.flatnonzero(np.isfinite(x))
    if not len(there):
        return np.full(len(at), -1)
    there = there[np.argsort(x[there], kind="stable")]
    k = np.searchsorted(x[there] - 0.5, at, side="right") - 1
    row = there[np.maximum(k, 0)]
    return np.where((k >= 0) & (at < x[row] - 0.5 + width[row]), row, -1)


def _laid(values: Rows, row: Rows) -> Rows:
    """Values (n, L) of the row in each column, (L, W)."""
    return np.where(row >= 0, values[np.maximum(row, 0)].T, np.nan).astype(np.float32)


def _strip(side: Side, row: Rows) -> Strip:
    energy, reached = side.energy, side.reached
    noise = measures.noise_of(energy, reached)
    kinds = np.where(reached, np.nan, np.where(noise, ROUNDING, UNREACHED))
    logs = np.log10(energy, where=reached, out=np.full(energy.shape, np.nan))
    return Strip(_laid(logs, row), _laid(kinds, row), (_laid(energy, row),))


def _ratio(found: Beside, row: Rows) -> Strip:
    a, b = found.a, found.b
    one, other = a.energy[found.at_a], b.energy[found.at_b]
    both = a.reached[found.at_a] & b.reached[found.at_b]
    logs = np.full(one.shape, np.nan)
    logs[both] = np.log10(one[both]) - np.log10(other[both])
    kinds = np.where(both, np.nan, ROUNDING)
    return Strip(_laid(logs, row), _laid(kinds, row), (_laid(one, row), _laid(other, row)))
