"""Which point of a published grid is good? As many trainings for every method, one dial at a time.

From a point where all methods begin alike, dials are moved to their neighbours on the grid in a
random order (texts to any other); where the accuracy on the images of validation grows, the search
goes on from there. Each training is a cell of its own, with seed 0 and fewer epochs than the table.
Test images choose nothing.
"""

import json
import random
from typing import Any

from benchmarks.reproduce.cells import Cell, Folder, Tell, train_cell
from benchmarks.reproduce.tables import BEGIN, Points, Table, from_preset, replaced

Point = dict[str, Any]
Grid = dict[str, list[Any]]


def neighbours(point: Point, grid: Grid) -> list[Point]:
    """Points that differ in one dial: by one place of the grid, or in a text."""
    found = []
    for name, values in grid.items():
        at = values.index(point[name])
        texts = isinstance(point[name], str)
        near = [i for i in range(len(values)) if (i != at if texts else abs(i - at) == 1)]
        found += [point | {name: values[i]} for i in near]
    return found


def search(
    table: Table, folder: Folder, tell: Tell, *, short: bool, count: int, epochs: int
) -> None:
    """At most `count` trainings for every method of a table; those that are there count."""
    for name, grid in table.grids(short).items():
        climb(name, grid, folder, tell, count=count, epochs=epochs)


def climb(
    name: str, grid: Grid, folder: Folder, tell: Tell, *, count: int, epochs: int
) -> Point | None:
    """The best point that was found for a preset."""
    lots = random.Random(name)
    best, score = {dial: BEGIN[dial] for dial in grid}, float("-inf")
    waiting, tried = [best], []
    while waiting and len(tried) < count:
        point = waiting.pop(0)
        if point in tried:
            continue
        cell = cell_of(name, point, epochs, len(tried))
        reached = train_cell(cell, folder, tell, weights=False)["chosen"]["validation"]
        tried.append(point)
        if reached > score:
            best, score = point, reached
            waiting = neighbours(best, grid)
            lots.shuffle(waiting)
    return best


def cell_of(name: str, point: Point, epochs: int, number: int) -> Cell:
    """A training of the search."""
    held = {name: {"budget": "", "point": point}}
    cell = from_preset(name, seed=0, epochs=epochs, points=held, row=name, method="")
    return replaced(cell, name=f"search-{name}-{epochs}-{number:03d}")


def points(folder: Folder) -> Points:
    """The best point of each preset that was searched, and the budget in words."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((folder.out / "results").glob("search-*.json")):
        one = json.loads(path.read_text("utf-8"))
        found.setdefault(one["cell"]["row"], []).append(one)
    chosen = {}
    for name, tried in found.items():
        best = max(tried, key=lambda one: one["chosen"]["validation"])
        epochs = sorted({len(one["epochs"]) for one in tried})
        told = " or ".join(map(str, epochs))
        budget = f"{len(tried)} trainings of {told} epochs with seed 0, chosen on validation"
        chosen[name] = {"budget": budget, "point": best["cell"]["point"]}
    return chosen
