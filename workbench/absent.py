"""How do the live plots show what a run does not hold? Greyed panels with words, hatched gaps."""

from collections.abc import Iterable, Mapping
from typing import Any

from bokeh.models import ColumnDataSource, Label, Node

from workbench.curves import Gaps
from workbench.look import FONT, Palette

NOT_LOGGED = "not logged"

MADE_OF = {
    "heat": ("energy",),
    "depth": ("energy",),
    "imbalance": ("energy",),
    "total": ("energy", "force"),
    "errors": ("error",),
    "precision": ("precision",),
    "images": ("images",),
}
"""What each plot draws: it is greyed where all of it is absent."""

TOTALS = {"ΣE": ("energy",), "F": ("energy", "precision"), "residual": ("force",)}
"""What each curve of the totals is made of: it has no name where some of it is absent."""


class Absent:
    """Words over the plots that have nothing to draw, and bands over rows that were lost."""

    def __init__(
        self, figures: Mapping[str, Any], over_steps: Iterable[Any], look: Palette
    ) -> None:
        """Put hidden words on every figure and an empty band on those over steps.

        Args:
            figures: of the board by name.
            over_steps: those with the axis of rows.
            look: colours of the theme.
        """
        self._figures, self._look = figures, look
        self.words = {name: _words(plot, look) for name, plot in figures.items()}
        self._greyed: tuple[frozenset[str], str] = frozenset(), ""
        self.lost = ColumnDataSource({"x0": [], "x1": []})
        for plot in over_steps:
            plot.vstrip(
                x0="x0",
                x1="x1",
                source=self.lost,
                level="overlay",
                fill_color=look.page,
                line_color=look.ghost,
                line_dash="2 3",
                hatch_pattern="/",
                hatch_color=look.ghost,
                hatch_scale=8,
                hatch_weight=0.6,
            )

    def grey(self, absent: frozenset[str], compared: str) -> None:
        """Grey the plots of what was not logged.

        Args:
            absent: names of what was not logged.
            compared: what the panel in the middle draws.
        """
        if (absent, compared) == self._greyed:
            return
        self._greyed = absent, compared
        for name, plot in self._figures.items():
            made_of = MADE_OF.get(name, (compared,))
            missing = absent.issuperset(made_of)
            if self.words[name].visible != missing:
                self.words[name].visible = missing
                look = self._look
                plot.background_fill_color = look.page if missing else look.background
        for item in self._figures["total"].legend[0].items:
            made_of = TOTALS.get(item.label.value)
            if made_of is not None:
                item.visible = absent.isdisjoint(made_of)

    def lose(self, gaps: Gaps) -> None:
        """Draw a band over rows that were lost."""
        held: dict[str, Any] = {
            "x0": [first - 0.5 for first, _ in gaps],
            "x1": [last + 0.5 for _, last in gaps],
        }
        if dict(self.lost.data) != held:
            self.lost.data = held


def _words(plot: Any, look: Palette) -> Label:
    """Hidden words in the middle of a figure."""
    words = Label(
        x=Node(target="frame", symbol="center"),
        y=Node(target="frame", symbol="center"),
        text=NOT_LOGGED,
        text_align="center",
        text_baseline="middle",
        text_color=look.muted,
        text_font=FONT,
        text_font_size="13px",
        background_fill_color=look.page,
        visible=False,
    )
    plot.add_layout(words)
    return words
