"""What does a table of precisions say, and how is it changed by hand? Arrays of steps by columns.

A column is a depth: layers at the same depth, as those of a skip, share one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.catalogue import BadInput, Dial, card_of, shown
from core.precisions.table import Table
from workbench.look import short

Cells = NDArray[np.float64]
"""Precisions, (T, L)."""

[_ROWS] = card_of(Table).dials

VALUE = Dial("precision", float, 1.0, _ROWS.bounds)
"""What a cell may hold."""

FACTOR = Dial("factor", float, 1.0, _ROWS.bounds)

SHIFT = Dial("shift", int, 1, (1, 100_000))

MOST = 20_000
"""Cells that can be set by hand: each change is logged with all of them."""


@dataclass(frozen=True, eq=False)
class Sheet:
    """A table beside the formula that it began as.

    Args:
        values: precisions, (T, L).
        formula: those of the formula, (T, L).
        title: of the formula.
        base: the entry whose formula it is; None where the table began as numbers.
    """

    values: Cells
    formula: Cells
    title: str
    base: Any = None

    @property
    def choice(self) -> Table:
        """The entry of the catalogue that has these values; past the last row that one holds."""
        return Table(rows=rows_of(self.values))

    def with_values(self, values: Cells) -> "Sheet":
        """The same formula beside other values.

        Raises:
            BadInput: naming the first cell that no precision can be.
        """
        low, high = VALUE.bounds or (0.0, np.inf)
        bad = np.argwhere(~((values >= low) & (values <= high)))
        if len(bad):
            t, column = (int(one) for one in bad[0])
            came = short(float(values[t, column]))
            raise BadInput(f"precision at step {t}, depth {column + 1}: {came}; {VALUE.legal}")
        return replace(self, values=values)

    def fitted(self, formula: Cells) -> tuple["Sheet", int]:
        """This sheet for other steps or layers, and how many changed cells had no place.

        What differs from the formula is carried over, with layers counted from the output; what
        was changed in the last step holds in the steps behind it. The rest is the new formula.

        Args:
            formula: the same one for the new shape, (T', L').
        """
        T, L = formula.shape
        fit = min(L, self.values.shape[1])
        at = np.arange(T).clip(max=len(self.values) - 1)
        differ = self.values != self.formula
        values = formula.copy()
        new = differ[at, -fit:]
        values[:, -fit:][new] = self.values[at, -fit:][new]
        lost = int(differ.sum() - differ[:T, -fit:].sum())
        return replace(self, values=values, formula=formula), lost


def table_of(precision: Any, T: int, depth: Sequence[int]) -> Cells:
    """The precisions of a schedule by the core's own code, (T, columns).

    Args:
        precision: an entry that has a table.
        T: steps.
        depth: of each layer.

    Raises:
        BadInput: if it gives layers of one depth different precisions, or refuses by itself.
    """
    found = precision.table(T, torch.tensor(depth)).double().numpy()
    return by_depth(found, depth, card_of(precision).title)


def by_depth(found: Cells, depth: Sequence[int], title: str) -> Cells:
    """Precisions of layers, (T, layers), as columns of a table, (T, columns).

    Raises:
        BadInput: if layers of one depth have different ones.
    """
    _, first, column = np.unique(np.array(depth), return_index=True, return_inverse=True)
    held = np.array(found[:, first], dtype=np.float64)
    if not np.array_equal(held[:, column], found):
        raise BadInput(
            f"precision: {title} weighs layers of one depth differently; "
            "a table has one column for each depth"
        )
    return held


def columns_of(depth: Sequence[int]) -> NDArray[np.intp]:
    """The column of each layer."""
    return np.unique(np.array(depth), return_inverse=True)[1]


def stretched(values: Cells, T: int, L: int) -> Cells:
    """Values for another shape: the last step holds, layers are counted from the output.

    Layers below the lowest one are like it.
    """
    at = np.arange(T).clip(max=len(values) - 1)
    column = (np.arange(L) - (L - values.shape[1])).clip(min=0)
    return values[at][:, column]


def rows_of(values: Cells) -> tuple[tuple[float, ...], ...]:
    """Values as rows of a table, without those at the end that its last row holds anyway."""
    last = len(values)
    while last > 1 and np.array_equal(values[last - 1], values[last - 2]):
        last -= 1
    return tuple(tuple(row) for row in values[:last].tolist())


def shifted(values: Cells, k: int, formula: Cells) -> Cells:
    """Values k steps later, or -k steps earlier.

    What enters is the resting value of each layer: the smallest one that its formula has.
    """
    moved = np.broadcast_to(formula.min(0), values.shape).copy()
    if 0 <= k < len(values):
        moved[k:] = values[: len(values) - k]
    elif -len(values) < k < 0:
        moved[:k] = values[-k:]
    return moved


def ratios(values: Cells, formula: Cells) -> Cells:
    """log10 of values by the formula's: 0 where both are the same, infinite where one is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log10(values) - np.log10(formula)
    return np.where(values == formula, 0.0, found)


def number_of(dial: Dial, text: str) -> Any:
    """What was typed, in the type of a dial.

    Raises:
        BadInput: if it is no number, or not a legal one.
    """
    text = text.strip()
    try:
        value = dial.type(text)
    except ValueError:
        raise BadInput(f"{dial.name}: {shown(text) or 'nothing'}; {dial.legal}") from None
    return dial.check(value, dial.name)


def difference(sheet: Sheet, names: Sequence[str]) -> str:
    """How a table differs from its formula, in one line.

    Args:
        sheet: the table.
        names: of its columns.
    """
    values, formula = sheet.values, sheet.formula
    count = int((values != formula).sum())
    if not count:
        return f"no cell of {values.size} differs from {sheet.title}"
    found = ratios(values, formula)
    t, column = (int(one) for one in np.unravel_index(np.abs(found).argmax(), found.shape))
    ratio, here, there = found[t, column], values[t, column], formula[t, column]
    much = f"{short(float(here))} for {short(float(there))}"
    if np.isfinite(ratio):
        much = f"×{short(float(here / there))}" if ratio > 0 else f"÷{short(float(there / here))}"
    differ = "1 cell" if count == 1 else f"{count} cells"
    verb = "differs" if count == 1 else "differ"
    most = "" if count == 1 else "largest "
    return (
        f"{differ} of {values.size} {verb} from {sheet.title}, "
        f"{most}{much} at layer {names[column]}, step {t}"
    )


def reshaped(old: tuple[int, int], new: tuple[int, int]) -> str:
    """What another shape is, in words."""
    parts = []
    if old[0] != new[0]:
        parts.append(f"T went from {old[0]} to {new[0]}")
    if old[1] != new[1]:
        parts.append(f"{old[1]} layers became {new[1]}, counted from the output")
    return " and ".join(parts)
