"""What do the plots compare? Two menus that change nothing of what is relaxed."""

from typing import Any

import panel as pn

from workbench.axes import COMPARISONS, PER
from workbench.scalars import heading


class PlotsControl:
    """What the imbalance compares, and what the panel in the middle draws."""

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
        self.parts = [heading("The plots", sheet), self._per, self._compared]
        for menu in self.parts[1:]:
            menu.param.watch(self._measured, "value")

    def _measured(self, event: Any) -> None:
        self._page.measure(self._per.value, self._compared.value)
