"""Which figure does a person at the page ask for? Its panels, its paper, what is pooled and how."""

from collections.abc import Mapping
from typing import Any

import panel as pn

from workbench.look import Palette
from workbench.plate import PAPERS, PLAIN, Plate
from workbench.pooled import LETTERS

OVER = {
    "one lane": (),
    "its samples": ("sample",),
    "its batches": ("batch",),
    "all lanes": ("lane",),
}
"""What centre and band are drawn over."""

CHOSEN = """
.choices__inner, .choices__list--dropdown, .choices__list[aria-expanded] {{
  background: {0.background} !important; color: {0.ink}; border-color: {0.grid} !important; }}
.choices__list--dropdown .choices__item, .choices__list[aria-expanded] .choices__item {{
  font-size: 13px; padding: 5px 10px; }}
.choices__list--dropdown .choices__item.is-highlighted,
.choices__list[aria-expanded] .choices__item.is-highlighted {{ background: {0.grid}; }}
.choices__list--multiple .choices__item {{
  background: {0.grid} !important; border: 1px solid {0.ghost} !important; color: {0.ink}; }}
.choices__input {{ background: transparent !important; color: {0.ink}; }}"""
"""The list of panels in the colours of a theme, as a format of it."""

COLUMNS = {"one": 1, "two": 2}
"""What a figure may span, as its menu says it before the width."""


class PlateDials:
    """The dials of a figure below the menu of views."""

    def __init__(self, views: Mapping[str, str], look: Palette, *, lanes: bool) -> None:
        """Build them.

        Args:
            views: title -> name.
            look: of the page.
            lanes: whether there are lanes to pool.
        """
        whole: dict[str, Any] = {"sizing_mode": "stretch_width"}
        over = {said: dims for said, dims in OVER.items() if lanes or "lane" not in dims}
        self._more = pn.widgets.MultiChoice(
            label="more panels",
            options=dict(views),
            placeholder="add one",
            stylesheets=[CHOSEN.format(look)],
            **whole,
        )
        self._paper = pn.widgets.Select(label="paper", options=list(PAPERS), value=PLAIN, **whole)
        self._columns = pn.widgets.Select(
            label="columns", options=_columns(PLAIN), value=1, **whole
        )
        self._paper.param.watch(lambda event: self._fit(event.new), "value")
        self._over = pn.widgets.Select(label="drawn over", options=over, value=(), **whole)
        spreads = {said: name for name, said in LETTERS.items()}
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

    def _fit(self, paper: str) -> None:
        """Offer the widths of a paper; as many columns as before stay chosen."""
        chosen = self._columns.value
        self._columns.param.update(options=_columns(paper), value=chosen)


def _columns(paper: str) -> dict[str, int]:
    """One or two columns of a paper, each with its width."""
    widths = PAPERS[paper].one, PAPERS[paper].two
    return {
        f"{n}, {width:.5g} mm": k for (n, k), width in zip(COLUMNS.items(), widths, strict=True)
    }
