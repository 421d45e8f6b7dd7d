"""Which point of a published grid is the best? As many random draws for every method.

Each draw is a cell of its own, with seed 0 and fewer epochs than the table; the point with the best
accuracy on the images of validation, in any epoch, is taken. Test images choose nothing.
"""

import itertools
import json
import random
from typing import Any

from benchmarks.reproduce.cells import Cell, Folder, Tell, train_cell
from benchmarks.reproduce.tables import Points, Table, from_preset, replaced


def draws(grid: dict[str, list[Any]], count: int, seed: int) -> list[dict[str, Any]]:
    """Different points of a grid, the first `count` of a shuffle; all where it has no more.

    Args:
        grid: values of each dial.
        count: how many.
        seed: of the shuffle.
    """
    every = [dict(zip(grid, one, strict=True)) for one in itertools.product(*grid.values())]
    random.Random(seed).shuffle(every)
    return every[:count]


def cells(name: str, grid: dict[str, list[Any]], count: int, epochs: int) -> list[Cell]:
    """The draws of a preset as cells."""
    found = []
    for k, point in enumerate(draws(grid, count, seed=0)):
        held = {name: {"budget": "", "point": point}}
        cell = from_preset(name, seed=0, epochs=epochs, points=held, row=name, method="")
        found.append(replaced(cell, name=f"search-{name}-{epochs}-{k:03d}"))
    return found


def search(
    table: Table, folder: Folder, tell: Tell, *, short: bool, count: int, epochs: int
) -> None:
    """Train the draws of every method of a table that are not there yet, one of each in turn."""
    queues = [cells(name, grid, count, epochs) for name, grid in table.grids(short).items()]
    for turn in itertools.zip_longest(*queues):
        for cell in turn:
            if cell is not None:
                train_cell(cell, folder, tell, weights=False)


def points(folder: Folder) -> Points:
    """The best point of each preset that was searched, and the budget in words."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((folder.out / "results").glob("search-*.json")):
        one = json.loads(path.read_text("utf-8"))
        found.setdefault(one["cell"]["row"], []).append(one)
    chosen = {}
    for name, tried in found.items():
        best = max(tried, key=lambda one: one["chosen"]["validation"])
        epochs = len(best["epochs"])
        budget = f"{len(tried)} draws of the published grid, {epochs} epochs each, seed 0"
        chosen[name] = {"budget": budget, "point": best["cell"]["point"]}
    return chosen
