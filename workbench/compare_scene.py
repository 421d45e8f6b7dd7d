"""What does a comparison show? Arrays of curves, maps, differences and read-outs, nothing drawn.

Curves and maps that span decades are log10 of their values, and bands are of these logarithms.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from core.catalogue import BadInput
from workbench import comparing as c
from workbench.compare_experiments import seed_groups
from workbench.compare_rows import Drawn

Rows = NDArray[np.float64]

EACH, SEEDS, SAMPLES = "each lane", "seeds as one", "samples of a batch"
"""What a curve is of."""

WIDTH = 900
"""Columns of a map whose rows are not evenly spaced."""

MOST_POINTS = 3000
"""Points of the cloud of A against B."""

LETTERS = "ABCDEFGHIJKLMNOP"


@dataclass(frozen=True)
class Line:
    """One curve, or several as one.

    Args:
        lane: position of the lane, or of the first of several.
        label: in the legend.
        x: on the axis, (rows,).
        y: as it is drawn, (rows,).
        low: lower edge of the band, or None.
        high: upper edge of the band, or None.
    """

    lane: int
    label: str
    x: Rows
    y: Rows
    low: Rows | None = None
    high: Rows | None = None


def lines(
    lanes: Sequence[Drawn], name: str, several: str = EACH, how: str = c.MEAN
) -> tuple[list[Line], dict[int, str]]:
    """The curves of all lanes, and why some have none, by position of the lane.

    Args:
        lanes: that are compared.
        name: one of `comparing.CURVES`.
        several: `EACH`, `SEEDS` or `SAMPLES`.
        how: `comparing.MEAN` or `comparing.MEDIAN`.
    """
    made: list[Line] = []
    reasons: dict[int, str] = {}
    groups = seed_groups([one.lane.experiment for one in lanes]) if several == SEEDS else []
    for k, one in enumerate(lanes):
        group = next((g for g in groups if k in g), [k])
        try:
            if why := one.why or c.absent(one.trace, name):
                raise BadInput(why)
            if several == SAMPLES:
                made.append(_of_samples(k, one, name, how))
            elif len(group) == 1:
                y = _shown(name, c.curve(one.trace, name))
                made.append(Line(k, LETTERS[k], one.x, y))
            elif k == group[0]:
                made.append(_of_seeds(group, lanes, name, how))
        except BadInput as refused:
            reasons[k] = str(refused)
    return made, reasons


def _shown(name: str, values: Rows) -> Rows:
    """Values as they are drawn."""
    if not c.CURVES[name][2]:
        return values
    positive = np.isfinite(values) & (values > 0)
    return np.log10(values, out=np.full(values.shape, np.nan), where=positive)


def _said(how: str, name: str) -> str:
    short = how.replace(" and", ",")
    return f"{short} of log₁₀" if c.CURVES[name][2] else short


def _of_samples(k: int, one: Drawn, name: str, how: str) -> Line:
    found = c.band(_shown(name, c.sample_curves(one.trace, name)), how)
    label = f"{LETTERS[k]}: {_said(how, name)}, {found.count} samples"
    return Line(k, label, one.x, found.centre, found.low, found.high)


def _of_seeds(group: Sequence[int], lanes: Sequence[Drawn], name: str, how: str) -> Line:
    held = [lanes[k] for k in group if not (lanes[k].why or c.absent(lanes[k].trace, name))]
    placed = [one.trace.assign_coords(x=("step", one.x)) for one in held]
    rows = c.aligned(placed)
    found = c.band(np.stack([_shown(name, c.curve(one, name)) for one in rows]), how)
    x = np.mean([one["x"].values for one in rows], axis=0)
    label = f"{''.join(LETTERS[k] for k in group)}: {_said(how, name)}, {found.count} seeds"
    return Line(group[0], label, x, found.centre, found.low, found.high)


# Maps --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Raster:
    """Rows laid out on even columns, each of which is a row that there is.

    Args:
        bounds: left, bottom, right, top.
        row: position of the row in each column, -1 where there is none, (W,).
    """

    bounds: tuple[float, float, float, float]
    row: NDArray[np.int64]

    def laid(self, values: Rows) -> Rows:
        """Values (rows, L) as (L, W); nan in columns without a row."""
        return np.where(self.row >= 0, values[self.row].T, np.nan)


def raster(x: Rows, height: int) -> Raster:
    """Columns for rows at x: one each where they lie evenly, else the last row before each.

    Args:
        x: places of the rows, ascending, (n,).
        height: number of layers.
    """
    n = len(x)
    if not n:
        return Raster((0.0, 0.5, 1.0, height + 0.5), np.array([-1]))
    gaps = np.diff(x)
    gap = float(gaps[gaps > 0].min()) if (gaps > 0).any() else 1.0
    columns = round((x[-1] - x[0]) / gap) + 1
    places = np.round((x - x[0]) / gap)
    even = columns <= max(2 * n, 64) and np.allclose(places * gap + x[0], x, atol=1e-6 * gap)
    if even:
        row = np.full(columns, -1)
        row[places.astype(int)] = np.arange(n)
        return Raster((x[0] - gap / 2, 0.5, x[-1] + gap / 2, height + 0.5), row)
    edges = np.linspace(x[0], x[-1], WIDTH + 1)
    row = np.searchsorted(x, edges[1:], side="right") - 1
    return Raster((float(x[0]), 0.5, float(x[-1]), height + 0.5), row)


@dataclass(frozen=True)
class Map:
    """A quantity of one lane over steps and layers, or why there is none.

    Args:
        lane: position of the lane.
        values: as they are drawn, (L, W).
        bounds: left, bottom, right, top.
        gaps: columns without a row, (W,).
        why: there is none, or "".
    """

    lane: int
    values: Rows
    bounds: tuple[float, float, float, float]
    gaps: NDArray[np.bool_]
    why: str = ""


def maps(lanes: Sequence[Drawn], name: str) -> tuple[list[Map], tuple[float, float]]:
    """A map of each lane, and the limits of colour that all of them share."""
    made = []
    for k, one in enumerate(lanes):
        why = one.why or c.absent(one.trace, name)
        if why:
            made.append(Map(k, np.zeros((0, 0)), (0, 0, 1, 1), np.zeros(0, bool), why))
            continue
        held = c.values(one.trace, name)
        x, held = _placed(one.x, held)
        grid = raster(x, held.shape[1])
        made.append(Map(k, grid.laid(held), grid.bounds, grid.row < 0))
    finite = [one.values[np.isfinite(one.values)] for one in made]
    finite = np.concatenate(finite) if finite else np.zeros(0)
    if not finite.size:
        return made, (0.0, 1.0)
    low, high = float(finite.min()), float(finite.max())
    return made, (low, high) if high > low else (low - 0.5, high + 0.5)


def _placed(x: Rows, values: Rows) -> tuple[Rows, Rows]:
    """The rows that have a place on the axis."""
    there = np.isfinite(x)
    return x[there], values[there]


@dataclass(frozen=True)
class Pair:
    """A against B.

    Args:
        found: their difference.
        x: places of its rows on the axis of A, (n,).
        grid: its columns.
        a: the quantity in A as it is drawn, (n, L).
        b: in B.
        parting: where they first part, or None.
        parted_x: its place on A's axis, or None.
        notes: what must be known to read it.
    """

    found: c.Difference
    x: Rows
    grid: Raster
    a: Rows
    b: Rows
    parting: c.Parting | None
    parted_x: float | None
    notes: tuple[str, ...] = ()


def pair(a: Drawn, b: Drawn, name: str, amount: float, notes: Sequence[str] = ()) -> Pair:
    """The difference of two lanes at their common rows, placed on A's axis.

    Raises:
        BadInput: with the reason why they have none.
    """
    for letter, one in (("A", a), ("B", b)):
        if one.why:
            raise BadInput(f"{letter}: {one.why}")
    found = c.difference(a.trace, b.trace, name)
    if not len(found.step):
        raise BadInput("A and B have no row of equal number in sight")
    placed = a.trace.assign_coords(x=("step", a.x))
    one, other = c.aligned([placed, b.trace])
    x = one["x"].values
    parting = c.parting(found, amount)
    at = None
    if parting is not None:
        at = float(x[int(np.searchsorted(found.step, parting.step))])
    said = list(notes)
    if (first := c.out_of_step(a.trace, b.trace)) is not None:
        said.append(f"from step {first} on, rows of equal number are not at the same t of a batch")
    return Pair(
        found,
        x,
        raster(x, len(found.layer)),
        c.values(one, name),
        c.values(other, name),
        parting,
        at,
        tuple(said),
    )


def points(of: Pair) -> dict[str, Rows]:
    """Rows and layers that both have: place, layer, A, B and difference, at most `MOST_POINTS`."""
    every = max(1, -(-of.found.values.size // MOST_POINTS))
    row, k = np.nonzero(of.found.there == c.BOTH)
    stay = np.isfinite(of.found.values[row, k]) & (row % every == 0) & np.isfinite(of.x[row])
    row, k = row[stay], k[stay]
    return {
        "x": of.x[row],
        "step": of.found.step[row].astype(float),
        "layer": of.found.layer[k].astype(float),
        "A": of.a[row, k],
        "B": of.b[row, k],
        "difference": of.found.values[row, k],
    }


# At the cursor -----------------------------------------------------------------------------------


def row_at(one: Drawn, cursor: float | None) -> int | None:
    """Position of the last row at or before a place on the axis; the last one for None."""
    there = np.flatnonzero(np.isfinite(one.x))
    if not len(there):
        return None
    if cursor is None:
        return int(there[-1])
    before = there[one.x[there] <= cursor]
    return int(before[-1]) if len(before) else None


def profile(one: Drawn, name: str, row: int) -> tuple[NDArray[np.int64], Rows, Rows]:
    """A quantity over depth at a row: numbers of the layers, their share of depth, and values."""
    at = one.trace.isel(step=[row])
    over = c.QUANTITIES[name].over
    number = at[over].values
    depth = at["depth"].values if over == "layer" else number
    return number, c.depth_share(depth), c.values(at, name)[0]


READ = ("F", "E", "imbalance", "residual")
"""Curves that are read out at the cursor."""


def readings(one: Drawn) -> dict[str, Rows]:
    """What is read out of a lane, for each row: its numbers, and curves in their own unit."""
    trace = one.trace
    found = {name: trace[name].values for name in ("step", "batch", "t") if name in trace.coords}
    return found | {name: c.curve(trace, name) for name in READ if not c.absent(trace, name)}


def variables(curve: str, other: str, quantity: str, several: str) -> list[str]:
    """The variables that a comparison is drawn from."""
    wanted = ["energy", "precision", "cost", "floor", "force", quantity]
    wanted += [name for one in (curve, other) for name in c.NEEDS[one]]
    return list(dict.fromkeys([*wanted, *(["energy_sample"] if several == SAMPLES else [])]))


def mixed_depths(lanes: Sequence[Drawn]) -> bool:
    """Whether lanes have not all as many layers."""
    return len({one.trace.sizes.get("layer", 0) for one in lanes}) > 1


def changes_of(trace: xr.Dataset) -> list[tuple[int, str]]:
    """Where the recipe changed within the rows that are held."""
    from workbench.compare_experiments import live_changes

    return live_changes(trace)
