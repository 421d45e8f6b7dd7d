"""Which figure does a person at the page ask for? Its panels, its paper, what is pooled and how."""

from collections.abc import Mapping
from typing import Any

import panel as pn

from workbench.plate import PAPERS, PLAIN, SPREADS, Plate

OVER = {
    "one lane": (),
    "its samples": ("sample",),
    "its batches": ("batch",),
    "all lanes": ("lane",),
}
"""What centre and band are drawn over."""

COLUMNS = {"one column": 1, "two columns": 2}


class PlateDials:
    """The dials of a figure below the menu of views."""

    def __init__(self, views: Mapping[str, str], *, lanes: bool) -> None:
        """Build them.

        Args:
            views: title -> name.
            lanes: whether there are lanes to pool.
        """
        whole: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": (4, 5)}
        over = {said: dims for said, dims in OVER.items() if lanes or "lane" not in dims}
        self._more = pn.widgets.MultiChoice(
            label="more panels", options=dict(views), placeholder="none", **whole
        )
        self._paper = pn.widgets.Select(label="paper", options=_papers(), value=PLAIN, **whole)
        self._columns = pn.widgets.Select(label="width", options=COLUMNS, value=1, **whole)
        self._over = pn.widgets.Select(label="of", options=over, value=(), **whole)
        spreads = {said: name for name, said in SPREADS.items()}
        self._spread = pn.widgets.Select(label="line and band", options=spreads, **whole)
        self._over.param.watch(lambda _: self._grey(), "value")
        self._grey()
        self.view = pn.Column(
            self._more,
            pn.Row(self._paper, self._columns, margin=0, sizing_mode="stretch_width"),
            pn.Row(self._over, self._spread, margin=0, sizing_mode="stretch_width"),
            margin=0,
            sizing_mode="stretch_width",
        )

    @property
    def panels(self) -> tuple[str, ...]:
        """The views beside the first."""
        return tuple(self._more.value)

    @property
    def over(self) -> tuple[str, ...]:
        """What is pooled."""
        return self._over.value

    def plate(self, view: str, step: int) -> Plate:
        """The figure that the dials ask for, with this view first."""
        views = (view, *(one for one in self.panels if one != view))
        return Plate(
            views, step, self._paper.value, self._columns.value, self.over, self._spread.value
        )

    def free(self, greyed: list[str]) -> None:
        """Offer no view whose variables were not logged."""
        self._more.value = [one for one in self._more.value if one not in greyed]
        self._more.options = {k: v for k, v in self._more.options.items() if v not in greyed}

    def _grey(self) -> None:
        self._spread.disabled = not self.over


def _papers() -> dict[str, str]:
    """Each with the widths of its columns."""
    said = {}
    for name, paper in PAPERS.items():
        widths = {f"{paper.one:.4g}": 0, f"{paper.two:.4g}": 0}
        said[f"{name}  {' / '.join(widths)} mm"] = name
    return said
