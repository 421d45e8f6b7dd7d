"""What is a figure of a paper to show, and how wide is its paper? Views, widths, what is pooled."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

INCH = 25.4
"""Millimetres."""

MEAN, MEDIAN = "mean", "median"

SPREADS = {
    MEAN: "mean and standard deviation",
    MEDIAN: "median and quartiles",
}
"""Which centre and which band are drawn over several relaxations."""

POOLS = ("run", "lane", "seed", "batch", "sample")
"""What figures are pooled over, the outermost first."""


@dataclass(frozen=True)
class Paper:
    """Where a figure is printed.

    Args:
        one: width of one column, in mm.
        two: width of the text, in mm; that of one column where the text has only one.
    """

    one: float
    two: float


PAPERS = {
    "ICML": Paper(3.25 * INCH, 6.75 * INCH),
    "NeurIPS": Paper(5.5 * INCH, 5.5 * INCH),
    "ICLR": Paper(5.5 * INCH, 5.5 * INCH),
    "JMLR": Paper(6 * INCH, 6 * INCH),
    "Nature": Paper(89, 183),
    "PNAS": Paper(87, 178),
    "IEEE": Paper(3.5 * INCH, 7.16 * INCH),
    "Elsevier": Paper(90, 190),
}
"""Widths as the style files and the guides for authors give them."""

PLAIN = "ICML"
"""The paper of a figure that names none."""


@dataclass(frozen=True)
class Plate:
    """A figure as it is asked for.

    Args:
        views: their names; several become panels (a), (b), ...
        step: the row that is shown or marked; None for each view's own choice.
        paper: a name in `PAPERS`.
        columns: 1 or 2 of them.
        over: what is pooled, of `POOLS`; empty for one relaxation.
        spread: a name in `SPREADS`.
    """

    views: tuple[str, ...]
    step: int | None = None
    paper: str = PLAIN
    columns: int = 1
    over: tuple[str, ...] = ()
    spread: str = MEAN

    def __post_init__(self) -> None:
        """Refuse what is not legal, by its name.

        Raises:
            ValueError: naming the field.
        """
        if not self.views or len(set(self.views)) != len(self.views):
            raise ValueError(f"views: {_list(self.views)}; one or more, each once")
        if self.paper not in PAPERS:
            raise ValueError(f"paper: {self.paper}; one of {_list(PAPERS)}")
        if self.columns not in (1, 2):
            raise ValueError(f"columns: {self.columns}; 1 or 2")
        for one in self.over:
            if one not in POOLS:
                raise ValueError(f"over: {one}; one of {_list(POOLS)}")
        if len(set(self.over)) != len(self.over):
            raise ValueError(f"over: {_list(self.over)}; each once")
        if self.spread not in SPREADS:
            raise ValueError(f"spread: {self.spread}; one of {_list(SPREADS)}")

    @property
    def width(self) -> float:
        """In mm."""
        paper = PAPERS[self.paper]
        return paper.one if self.columns == 1 else paper.two


def _list(names: Any) -> str:
    return ", ".join(names) or "none"


def plate_of(view: str | Sequence[str] | Plate, step: int | None = None) -> Plate:
    """A plate as it is, or that of a view or of several at a step."""
    if isinstance(view, Plate):
        return view
    return Plate((view,) if isinstance(view, str) else tuple(view), step)
