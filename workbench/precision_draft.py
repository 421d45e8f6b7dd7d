"""How does a table of precisions by hand go with its session? A draft until it is applied.

It follows what is in force, and carries over to other steps and layers what was changed.
"""

from typing import Any

import numpy as np

from core.catalogue import BadInput, card_of
from core.precisions.table import Table
from workbench.lanes import Lane
from workbench.precision_place import (
    Learned,
    Place,
    before_by_hand,
    place_of,
    step_of,
    title_of,
)
from workbench.precision_table import (
    MOST,
    Cells,
    Sheet,
    by_depth,
    columns_of,
    reshaped,
    shifted,
    stretched,
    table_of,
)
from workbench.session import Session

UNDOS = 200
"""Edits that can be taken back."""

Block = tuple[int, int, int, int]
"""First and last step, first and last layer, from 0; both ends are in it."""


class Draft:
    """A table that is changed by hand, beside the one that acts."""

    def __init__(self, session: Session) -> None:
        """Nothing is known before the first look.

        Args:
            session: whose precisions are followed and changed.
        """
        self.sheet: Sheet | None = None
        self.place: Place | None = None
        self.note = ""
        self._session = session
        self._learned = Learned(session)
        self._acting: Cells | None = None
        self._sent: Table | None = None
        self._seen: Any = None
        self._by_hand: dict[Table, Sheet] = {}
        self._undo: list[Sheet] = []

    @property
    def pending(self) -> bool:
        """Whether the table is another than the one that acts."""
        if self.sheet is None or self._acting is None:
            return False
        return not np.array_equal(self.sheet.values, self._acting)

    @property
    def undoes(self) -> bool:
        """Whether there is an edit to take back."""
        return bool(self._undo)

    @property
    def refused(self) -> str:
        """What the session says against the table that it was given last, or ""."""
        message = self._session.message
        return message if self._sent is not None and message.startswith("precision") else ""

    @property
    def at(self) -> tuple[int, int] | None:
        """The step of the table at the cursor, and the t of the batch that is its step 0."""
        lane = self._session.lane
        return None if lane is None else step_of(lane, self._session.cursor)

    # What is in force ----------------------------------------------------------------------------

    def follow(self) -> None:
        """Take over what is in force, where that has changed.

        Raises:
            BadInput: if it cannot be written as a table; there is no draft then.
        """
        lane = self._session.lane
        if lane is None:
            return
        place = place_of(lane)
        if place.adapts:
            self._learned.follow()
        if place == self.place and not (place.adapts and self._has_moved()):
            return
        try:
            self._take(place, lane)
        except BadInput:
            self.sheet = self._acting = None
            raise

    def _has_moved(self) -> bool:
        """Whether precisions that adapt are others than those of an untouched draft."""
        return not self.pending and self._learned.newest is not self._seen

    def _take(self, place: Place, lane: Lane) -> None:
        """Go on with what is in force now."""
        old, pending, sent = self.place, self.pending, self._sent
        self.place, self._seen = place, self._learned.newest
        same = old is not None and (
            place.precision in (old.precision, sent) or _follows(old, place)
        )
        if place.precision == sent:
            self._sent = None
        if place.shape[0] * place.shape[1] > MOST:
            T, L = place.shape
            raise BadInput(f"precision: {T} steps of {L} layers; at most {MOST} cells by hand")
        self._acting = self._known(place)
        if old is None or not same or place.adapts or self.sheet is None:
            self._begin(place, lane, pending)
        elif place.shape != old.shape:
            self._reshape(old, place, pending)

    def _known(self, place: Place) -> Cells | None:
        """What acts, by the core's own code; as last applied where it adapts, None before."""
        if not place.adapts:
            return table_of(place.precision, place.T, place.depth)
        newest = self._learned.newest
        if newest is None or newest[1].shape[1] != len(place.depth):
            return None
        return stretched(by_depth(newest[1], place.depth, title_of(place)), *place.shape)

    def _begin(self, place: Place, lane: Lane, pending: bool) -> None:
        """Start from what is in force; what was not applied is left to undo."""
        acting = self._acting
        if pending and self.sheet is not None:
            self._keep(self.sheet)
            self.note = f"precision is now {title_of(place)}: undo brings the draft before back"
        if acting is None:
            self.sheet = None
            return
        by_hand = isinstance(place.precision, Table)
        held = self._by_hand.get(place.precision) if by_hand else None
        base = before_by_hand(lane) if by_hand else place.precision
        if held is not None and held.formula.shape == acting.shape:
            self.sheet = held.with_values(acting)
        elif place.adapts:
            row = self._learned.newest[0] if self._learned.newest else 0
            self.sheet = Sheet(acting, acting, f"{title_of(place)} at row {row}")
        elif base is None:
            self.sheet = Sheet(acting, acting, "the table as it came")
        else:
            formula = table_of(base, place.T, place.depth)
            self.sheet = Sheet(acting, formula, card_of(base).title, base)

    def _reshape(self, old: Place, place: Place, pending: bool) -> None:
        """Carry the table over to other steps or layers."""
        assert self.sheet is not None and self._acting is not None
        kept, lost = self._fitted(self.sheet, place)
        if pending:
            self.note = _carried(old.shape, place.shape, kept, lost)
        else:
            kept = kept.with_values(self._acting)
            self.note = reshaped(old.shape, place.shape)
            if place.T > old.T and isinstance(place.precision, Table):
                self.note += "; past its end the table holds its last step"
            if place.shape[1] > old.shape[1] and isinstance(place.precision, Table):
                self.note += "; below the lowest one they are like it"
        self.sheet = kept

    def _fitted(self, sheet: Sheet, place: Place) -> tuple[Sheet, int]:
        """A sheet for the shape of a place."""
        if sheet.base is None:
            return sheet.fitted(stretched(sheet.formula, *place.shape))
        return sheet.fitted(table_of(sheet.base, place.T, place.depth))

    # What a person does --------------------------------------------------------------------------

    def cells(self, block: Block) -> Any:
        """The cells of a block, as an index into values; layers at one depth go together."""
        assert self.place is not None
        t0, t1, l0, l1 = block
        columns = np.unique(columns_of(self.place.depth)[l0 : l1 + 1])
        return np.ix_(np.arange(t0, t1 + 1), columns)

    def put(self, block: Block, value: float) -> None:
        """Set cells to a value.

        Raises:
            BadInput: if no precision can be that, here and below.
        """
        if self.sheet is not None:
            self._edit(_with(self.sheet.values, self.cells(block), value))

    def multiply(self, block: Block, factor: float) -> None:
        """Multiply cells."""
        if self.sheet is not None:
            cells = self.cells(block)
            self._edit(_with(self.sheet.values, cells, factor * self.sheet.values[cells]))

    def reset(self, block: Block) -> None:
        """Give cells the values of the formula."""
        if self.sheet is not None:
            cells = self.cells(block)
            self._edit(_with(self.sheet.values, cells, self.sheet.formula[cells]))

    def shift(self, k: int) -> None:
        """Move the whole table k steps later, or -k steps earlier."""
        if self.sheet is not None:
            self._edit(shifted(self.sheet.values, k, self.sheet.formula))

    def start_from(self, base: Any) -> None:
        """Begin with another formula; with another dial of the same one, keep what differs."""
        if self.place is None:
            return
        formula = table_of(base, self.place.T, self.place.depth)
        values = formula
        if self.sheet is not None and type(base) is type(self.sheet.base):
            differ = self.sheet.values != self.sheet.formula
            values = np.where(differ, self.sheet.values, formula)
        self._replace(Sheet(formula, formula, card_of(base).title, base).with_values(values))

    def take_back(self) -> None:
        """Undo the last edit, also where it was made for other steps or layers."""
        if not self._undo or self.place is None:
            return
        before, self.note = self._undo[-1], ""
        T, L = before.values.shape
        if (T, L) != self.place.shape:
            before, lost = self._fitted(before, self.place)
            self.note = _carried((T, L), self.place.shape, before, lost)
        self._undo.pop()
        self.sheet = before

    def apply(self) -> None:
        """Make the table the session's choice.

        Raises:
            BadInput: if it does not go with the other choices.
        """
        if self.sheet is None:
            return
        table, self.note = self.sheet.choice, ""
        self._session.change(precision=table)
        self._by_hand[table], self._sent = self.sheet, table

    def _edit(self, values: Cells) -> None:
        assert self.sheet is not None
        self._replace(self.sheet.with_values(values))

    def _replace(self, new: Sheet) -> None:
        """Take another sheet, and keep the one before for undo if it was another."""
        old, self.note = self.sheet, ""
        if old is not None:
            if old.base == new.base and _alike(old, new):
                return
            self._keep(old)
        self.sheet = new

    def _keep(self, sheet: Sheet) -> None:
        self._undo = [*self._undo[1 - UNDOS :], sheet]


def _follows(old: Place, new: Place) -> bool:
    """Whether precisions are a table that was fitted to another network."""
    table = old.precision
    return isinstance(table, Table) and table.fitted(new.shape[1]) == new.precision


def _with(values: Cells, cells: Any, new: Any) -> Cells:
    """Values with others in some cells."""
    found = values.copy()
    found[cells] = new
    return found


def _alike(one: Sheet, other: Sheet) -> bool:
    return np.array_equal(one.values, other.values) and np.array_equal(one.formula, other.formula)


def _carried(old: tuple[int, int], new: tuple[int, int], sheet: Sheet, lost: int) -> str:
    """What happened to a table that has another shape, in words."""
    cells = "1 cell" if lost == 1 else f"{lost} cells"
    gone = f", {cells} had no place" if lost else ""
    return f"{reshaped(old, new)}; what differs from {sheet.title} was carried over{gone}"
