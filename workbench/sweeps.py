"""What came of a sweep? One Dataset, with a dimension for each choice that was swept."""

import math
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from core import cache
from core.catalogue import BadInput
from core.runs import shelf
from core.runs.errors import Damaged
from workbench import measures
from workbench.sweep_store import (
    ERRORED,
    INTERRUPTED,
    RESULTS,
    ends,
    is_sweep,
    lines,
    read_plan,
    told_by,
)

if TYPE_CHECKING:
    from core.runs.run import Run
    from workbench.sweep_plan import Plan

NUMBERS = {
    "accuracy": ("1", "test accuracy, the last that was measured"),
    "F": ("nat", "total energy F at the last row, mean per sample"),
    "imbalance": ("decade", "log10(max E / min E) at the last row"),
    "residual": ("1", "RMS of dF/dh at the last row"),
    "reached": ("1", "layers reached at the last row"),
    "smm": ("1", "sequential matrix multiplications of all batches"),
    "seconds": ("s", "time that all batches took"),
}
"""One of each point: unit and meaning."""

LAYERS = {
    "energy": ("nat", "energy of a layer at the last row, mean over the batch"),
    "alignment": ("1", "cosine of the last update that was compared to backprop's"),
}
"""One of each layer of each point."""

TEXTS = {
    "state": "finished, diverged, errored, interrupted, or empty: not begun",
    "why": "how it diverged, or why it is errored",
    "run": "folder of the run, within that of the sweep",
}

LARGEST = 2**30
"""Bytes of results that are read from a file."""


def results(folder: str | Path) -> xr.Dataset:
    """All that is known of a sweep so far, read from its runs.

    Args:
        folder: of the sweep.

    Returns:
        The swept choices as dimensions, in the order in which they were given: numbers as numbers,
        entries by name. `NUMBERS` of each point, `LAYERS` of each layer too, nan where there is
        none, and `TEXTS`.

    Raises:
        BadInput: if no sweep lies there, or a plugin of it is not loaded.
        Damaged: if its plan is not as it was written.
    """
    from workbench.sweep_plan import made

    folder = Path(folder)
    said, identity = read_plan(folder)
    plan = made(said)
    held = ends(lines(folder))
    found = {one.name: _known(folder / one.name, held.get(one.name)) for one in plan.points}
    depth = max([len(one.get("energy", ())) for one in found.values()], default=0)
    data = _empty(plan, depth)
    for point in plan.points:
        known = {**found[point.name], "run": point.name}
        for place in point.places:
            for name, value in known.items():
                if name in LAYERS:
                    data[name].values[place][: len(value)] = value
                elif name in data:
                    data[name].values[place] = value
    data.attrs = {"sweep": folder.resolve().name, "identity": identity}
    return data


def write(folder: Path) -> xr.Dataset:
    """Put the results beside the runs, as NetCDF; what lay there is replaced whole.

    Raises:
        OSError: if the disk refuses.
    """
    found = results(folder)
    cache.keep(folder / RESULTS, lambda beside: found.to_netcdf(beside))
    return found


def kept(folder: Path) -> xr.Dataset:
    """The results as they were last written.

    Raises:
        BadInput: if there are none yet, or the file cannot be read.
    """
    path = folder / RESULTS
    if not path.is_file():
        raise BadInput(f"sweep: {folder.name}; no results yet, its command writes them at its end")
    try:
        with xr.open_dataset(path) as found:
            if found.nbytes > LARGEST:
                raise Damaged(f"sweep: {path}; {found.nbytes:,} bytes, results have {LARGEST:,}")
            return found.load()
    except (OSError, ValueError, RuntimeError) as failed:
        if isinstance(failed, BadInput):
            raise
        raise Damaged(f"sweep: {path}; cannot be read ({failed})") from None


def found(root: Path | None = None) -> list[Path]:
    """The sweeps in the folder of runs, newest first."""
    root = shelf.folder() if root is None else root
    inside = root.iterdir() if root.is_dir() else ()
    held = [one for one in inside if shelf.NAME.fullmatch(one.name) and is_sweep(one)]
    return sorted(held, key=lambda one: (-one.stat().st_mtime_ns, one.name))


def _empty(plan: "Plan", depth: int) -> xr.Dataset:
    """The Dataset before anything is known."""
    dims = tuple(one.name for one in plan.axes)
    shape = tuple(len(one.values) for one in plan.axes)
    coords: dict[Any, Any] = {one.name: _column(one.values) for one in plan.axes}
    coords |= {name: ("point", _column(values)) for name, values in plan.beside.items()}
    coords["layer"] = np.arange(1, depth + 1)
    made: dict[Any, Any] = {}
    for name, (unit, about) in NUMBERS.items():
        made[name] = (dims, np.full(shape, np.nan), {"units": unit, "long_name": about})
    for name, (unit, about) in LAYERS.items():
        empty = np.full((*shape, depth), np.nan)
        made[name] = ((*dims, "layer"), empty, {"units": unit, "long_name": about})
    for name, about in TEXTS.items():
        made[name] = (dims, np.full(shape, "", object), {"long_name": about})
    return xr.Dataset(made, coords=coords)


def _column(values: tuple[Any, ...]) -> Any:
    """Values of one choice as a coordinate; of several types, or none, as texts."""
    kinds = {type(one) for one in values}
    if kinds <= {int} or kinds <= {float}:
        return np.array(values)
    return np.array(["" if one is None else str(one) for one in values], object)


# One point ---------------------------------------------------------------------------------------


def _known(path: Path, end: dict[str, Any] | None) -> dict[str, Any]:
    """What is known of a point, from its run and from how its last attempt ended."""
    from core.runs.run import Run

    gone = {} if end is None or end["how"] != ERRORED else {"state": ERRORED, "why": end["why"]}
    if not path.is_dir() or not shelf.is_run(path):
        return gone
    try:
        with closing(Run(path)) as run:
            return _of(run) | gone
    except (BadInput, OSError) as failed:
        return gone or {"state": INTERRUPTED, "why": str(failed)}


def _of(run: "Run") -> dict[str, Any]:
    """What a run says."""
    known: dict[str, Any] = dict(zip(("state", "why"), told_by(run.state), strict=True))
    batches = run.batches()
    if "accuracy" in batches:
        known["accuracy"] = _last(batches["accuracy"].values)
    for name in ("smm", "seconds"):
        if name in batches:
            known[name] = float(np.nansum(batches[name].values))
    numbers = batches["batch"].values[batches["rows"].values > 0]
    if len(numbers):
        with np.errstate(all="ignore"):  # one that has diverged overflows
            known |= _at_the_end(run.relaxation(int(numbers[-1])))
    if "update_alignment" in batches:
        rows = batches["update_alignment"].transpose("batch", "layer").values
        compared = np.flatnonzero(np.isfinite(rows).any(1))
        if len(compared):
            known["alignment"] = rows[compared[-1]]
    return known


def _at_the_end(rows: xr.Dataset) -> dict[str, Any]:
    """What is measured at the last row of a batch."""
    found: dict[str, Any] = {
        "energy": rows["energy"].transpose("step", "layer").values[-1],
        "F": float(measures.total_energy(rows)["F"].values[-1]),
        "imbalance": float(measures.imbalance(rows).values[-1]),
        "reached": float(measures.reached_count(rows).values[-1]),
    }
    if "force" in rows:
        found["residual"] = float(measures.residual(rows).values[-1])
    if "alignment" in rows:
        found["alignment"] = rows["alignment"].transpose("step", "layer").values[-1]
    return found


def _last(values: Any) -> float:
    known = values[np.isfinite(values)]
    return float(known[-1]) if len(known) else math.nan
