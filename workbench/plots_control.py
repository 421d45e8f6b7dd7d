"""What do the plots compare and name? Three menus that change nothing of what is relaxed."""

from typing import Any

import panel as pn

from workbench.axes import COMPARISONS, PER
from workbench.naming import NAMINGS
from workbench.scalars import heading


class PlotsControl:
    """What the imbalance compares, what the panel in the middle draws, how layers are counted."""

    def __init__(self, page: Any, sheet: str) -> None:
        """Build it for a page."""
        self._page = page
        self._per = pn.widgets.Select(
            label="imbalance compares",
            options=PER,
            value=page.per,
            sizing_mode="stretch_width",
        )
        self._compared = pn.widgets.Select(
            label="panel in the middle",
            options={text[0]: n for n, text in COMPARISONS.items()},
            value=page.board.compared,
            sizing_mode="stretch_width",
        )
        self._naming = pn.widgets.Select(
            label="layers named as in",
            options={one.label: name for name, one in NAMINGS.items()},
            value=page.sight.naming,
            sizing_mode="stretch_width",
        )
        self.parts = [heading("The plots", sheet), self._per, self._compared, self._naming]
        for menu in (self._per, self._compared):
            menu.param.watch(self._measured, "value")
        self._naming.param.watch(self._named, "value")

    def _measured(self, event: Any) -> None:
        self._page.measure(self._per.value, self._compared.value)

    def _named(self, event: Any) -> None:
        self._page.sight.naming = event.new
        self._page.redraw()
