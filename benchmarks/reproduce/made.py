"""What is a table, and how does a preset become one of its cells?"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.reproduce.cells import VALIDATION, Cell
from core.datasets.fetch import IDX
from workbench.presets import published

SEEDS = (0, 1, 2)

FRACTIONS = {"25": 0.25, "50": 0.5, "": 1.0}
"""Parts of the training images as the names of presets have them."""

METHODS = {"bp": "BP", "pc-fw": "PC-fw", "pc-avg": "PC-avg"}

NO_SEARCH = "no search: the preset's choices"

Points = Mapping[str, dict[str, Any]]
"""What a search has found: for a preset, "budget" and the dials "point" by dotted names."""


@dataclass(frozen=True)
class Table:
    """A table or figure of a work.

    Args:
        title: as it is printed above.
        cells: of it, by whether it shall be short and what was searched.
        note: one paragraph below it: what differs from the work.
        searched: for presets, grids of dials; empty where nothing is searched.
    """

    title: str
    cells: Callable[[bool, Points], list[Cell]]
    note: str
    grids: Callable[[bool], dict[str, dict[str, list[Any]]]] = lambda short: {}


def from_preset(
    name: str, *, seed: int, epochs: int, points: Points, row: str, method: str, of: str = ""
) -> Cell:
    """A preset with a seed at the point that was found; images are held out where the set can.

    Args:
        name: of the preset.
        seed: of weights, batches and noise.
        epochs: how many.
        points: by presets.
        row: of the table.
        method: of the table.
        of: put behind the name of the cell.
    """
    preset = published()[name]
    assert preset.printed is not None
    choices = copy.deepcopy(preset.choices) | {"seed": seed}
    found = points.get(name, {"budget": NO_SEARCH, "point": {}})
    choices = at(choices, found["point"])
    choices["dataset"] = _entry(choices["dataset"])
    if choices["dataset"]["name"] in IDX:
        choices["dataset"]["validation"] = VALIDATION
    return Cell(
        f"{name}{of}-{seed}",
        row,
        method,
        choices,
        epochs,
        preset.printed.theirs,
        found["budget"],
        found["point"],
    )


def at(choices: dict[str, Any], point: Mapping[str, Any]) -> dict[str, Any]:
    """Choices with dials by dotted names put in the place of their own."""
    choices = copy.deepcopy(choices)
    for dotted, value in point.items():
        kind, _, dial = dotted.partition(".")
        choices[kind] = {**_entry(choices[kind]), dial: value} if dial else value
    return choices


def _entry(said: Any) -> dict[str, Any]:
    """An entry as a table, where only its name is said."""
    return {"name": said} if isinstance(said, str) else dict(said)


def replaced(cell: Cell, **values: Any) -> Cell:
    """A cell with other values."""
    return Cell(**{**vars(cell), **values})
