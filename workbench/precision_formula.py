"""Which formula does a table by hand begin as? A menu, and the numbers that belong to it."""

from collections.abc import Callable
from typing import Any

import panel as pn

from core import kinds
from core.catalogue import BadInput, Dial, card_of, cards, make
from core.precisions.table import Table
from workbench.dials import text_of, value_of
from workbench.precision_table import Sheet

NUMBERS = 2
"""Dials for which there is room."""


class FormulaControl:
    """A menu of formulas with their first dials."""

    def __init__(
        self, start: Callable[[Any], None], complain: Callable[[str], None], sheet: str
    ) -> None:
        """Build it for no formula yet.

        Args:
            start: called with an entry that was chosen.
            complain: called with the line of a refusal.
            sheet: CSS of the parts.
        """
        self._start, self._complain, self._sheet = start, complain, sheet
        self._shown: Any = None
        self._quiet = False
        entries = {name: card for name, card in cards("precision").items() if _is_formula(card)}
        self._names = {card.title: name for name, card in entries.items()}
        self.menu = pn.widgets.Select(
            label="starting point",
            options=list(self._names),
            width=138,
            margin=(2, 4),
            stylesheets=[sheet],
        )
        self.menu.param.watch(self._picked, "value")
        self.dials = pn.Row(margin=0)
        self._inputs: dict[str, Any] = {}

    @property
    def parts(self) -> tuple[Any, Any]:
        """The menu and the dials, side by side."""
        return self.menu, self.dials

    def show(self, sheet: Sheet) -> None:
        """Set the menu and the dials to a table's formula."""
        now = sheet.base, sheet.title
        if now == self._shown:
            return
        before, self._shown = self._shown, now
        self._quiet = True
        try:
            own = [] if sheet.title in self._names else [sheet.title]
            self.menu.param.update(options=[*own, *self._names], value=sheet.title)
            if before is None or type(before[0]) is not type(sheet.base):
                self._fill(sheet.base)
            for name, field in self._inputs.items():
                field.value = text_of(getattr(sheet.base, name))
        finally:
            self._quiet = False

    def _fill(self, base: Any) -> None:
        """Fields for the dials of another formula."""
        dials = [] if base is None else [d for d in card_of(base).dials if d.type in (int, float)]
        self._inputs = {one.name: self._field(one) for one in dials[:NUMBERS]}
        self.dials[:] = list(self._inputs.values())

    def _field(self, dial: Dial) -> Any:
        field = pn.widgets.TextInput(
            label=dial.name if dial.symbol == dial.name else f"{dial.name}  {dial.symbol}".strip(),
            width=76,
            margin=(2, 4),
            stylesheets=[self._sheet],
        )
        field.param.watch(lambda event: self._turned(dial, event.new), "value")
        return field

    def _picked(self, event: Any) -> None:
        if not self._quiet and event.new in self._names:
            self._start(make("precision", self._names[event.new]))

    def _turned(self, dial: Dial, text: str) -> None:
        if self._quiet:
            return
        base = self._shown[0]
        held = {one.name: getattr(base, one.name) for one in card_of(base).dials}
        try:
            new = value_of(dial, text, f"precision.{dial.name}")
            chosen = make("precision", card_of(base).name, held | {dial.name: new})
        except BadInput as refused:
            self._complain(str(refused))
        else:
            self._start(chosen)


def _is_formula(card: Any) -> bool:
    """Whether an entry has a table that is known beforehand and not written by hand."""
    return not issubclass(card.entry, Table) and not isinstance(card.entry(), kinds.Adaptive)
