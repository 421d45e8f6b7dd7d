"""How do the parts of a run become xarray Datasets? Rows, whole batches, and an overview."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from core import schema
from core.catalogue import BadInput, shown
from core.layout import Layout
from core.runs.lazy import as_variable
from core.runs.overview import joined
from core.runs.parts import LaneInfo, Parts, last_batch_until
from core.runs.rows import Rows
from core.runs.store import ROW_STREAM, WHOLE_STREAM

EAGER = 2**26
"""Bytes up to which a run is read at once, each part checked; a larger one as it is looked at."""


def verified(parts: Parts, info: LaneInfo, verify: bool | None) -> tuple[Rows, Rows]:
    """Rows and frames of a lane, where they are checked without damaged parts: `Run.dataset`."""
    rows, frames = parts.rows(info.number), parts.rows(info.number, "frames")
    if verify or (verify is None and rows.bytes + frames.bytes <= EAGER):
        bad = rows.check() | frames.check()
        if bad:
            parts.bad |= bad
            rows, frames = parts.rows(info.number), parts.rows(info.number, "frames")
    return rows, frames


def dataset(
    rows: Rows,
    frames: Rows,
    layout: Layout,
    recipes: list[dict[str, Any]],
    attrs: Mapping[str, Any],
) -> xr.Dataset:
    """Rows and frames by the schema of a trace; see `Run.dataset`."""
    index = rows.index() if rows.count else {}
    variables = _variables(layout, rows, index, recipes) | _pictures(layout, frames)
    numbers = frames.index()["frame_row"] if frames.count else None
    data = schema.assemble(layout, index, variables, numbers, attrs)
    return data.load() if rows.bytes + frames.bytes <= EAGER else data


def overview(parts: Parts, info: LaneInfo, width: int) -> xr.Dataset:
    """A lane's energies by blocks of rows; see `Run.overview`."""
    held = parts.rows(info.number).blocks()
    layers = list(info.layout.layers)
    if not held or not len(held["rows"]):
        return xr.Dataset(coords={"layer": layers, "block": np.zeros(0, int)})
    found = joined(held, width)
    names = {"least": "energy_min", "mean": "energy_mean", "largest": "energy_max"}
    variables = {n: (("block", "layer"), found[k]) for k, n in names.items()}
    coords: dict[str, Any] = {k: ("block", found[k]) for k in ("rows", "step", "batch")}
    coords |= {"layer": layers, "block": np.arange(len(found["rows"]))}
    coords["layer_name"] = ("layer", [info.layout.names[i] for i in layers])
    return xr.Dataset(variables, coords=coords)


def batches(parts: Parts, info: LaneInfo) -> xr.Dataset:
    """What is known of whole batches; see `Run.batches`."""
    logged: list[tuple[NDArray[Any], dict[str, NDArray[Any]]]] = []
    for number, until in parts.line(info.number):
        last = last_batch_until(parts, number, until)
        for part in parts.of("batches", number):
            if "again" in part.more:
                logged = [_until(*one, part.first) for one in logged]
            which = part.index["batch"]
            kept = slice(None) if last is None else which <= last
            values = {name: v[kept] for name, v in part.index.items() if name != "batch"}
            logged.append((which[kept], values))
    index = parts.rows(info.number).index("batch", "T")
    numbers = index.get("batch", np.zeros(0, int))
    every = np.unique(np.concatenate([numbers, *(which for which, _ in logged)]).astype(int))
    held: dict[str, Any] = {}
    for which, values in logged:
        at = np.searchsorted(every, which)
        for name, new in values.items():
            if name not in held:
                dims = schema.BATCH_DIMS.get(name, ("batch",))
                held[name] = (dims, np.full((len(every), *new.shape[1:]), np.nan))
            old = held[name][1]
            old[at] = np.where(np.isnan(new), old[at], new)
    held["rows"] = ("batch", np.bincount(np.searchsorted(every, numbers), minlength=len(every)))
    if "T" in index:
        T = np.full(len(every), -1)
        T[np.searchsorted(every, numbers)] = index["T"]
        held["T"] = ("batch", T)
    data = xr.Dataset(held, coords={"batch": every, "layer": list(info.layout.layers)})
    for name, (unit, about) in schema.BATCH_ABOUT.items():
        if name in data:
            data[name].attrs = {"units": unit, "long_name": about}
    return data


def whole(parts: Parts, info: LaneInfo) -> list[int]:
    """Batches whose relaxation was kept whole; see `Run.relaxations`."""
    index = parts.rows(info.number, WHOLE_STREAM).index("batch")
    return np.unique(index["batch"]).astype(int).tolist() if index else []


def relaxation(parts: Parts, info: LaneInfo, number: int, attrs: Mapping[str, Any]) -> xr.Dataset:
    """The rows of one batch; see `Run.relaxation`."""
    held = info.number
    there = np.zeros(0, int)
    for stream in (WHOLE_STREAM, ROW_STREAM):
        rows = parts.rows(held, stream)
        index = rows.index("batch")
        there = index["batch"] if index else there
        at = np.flatnonzero(there == number)
        if len(at):
            recipes = attrs["recipes"]
            data = dataset(rows, Rows([], parts.value), info.layout, recipes, attrs)
            return data.isel(step=at).load()
    legal = f"a batch {there.min()}..{there.max()}" if len(there) else "it has no rows"
    raise BadInput(f"batch: {shown(number)}; {legal} of run {parts.path.name}")


def _until(
    which: NDArray[Any], values: Mapping[str, NDArray[Any]], number: int
) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
    """What was logged of batches before one."""
    kept = which < number
    return which[kept], {name: v[kept] for name, v in values.items()}


def _variables(
    layout: Layout,
    rows: Rows,
    index: Mapping[str, NDArray[Any]],
    recipes: list[dict[str, Any]],
) -> dict[str, Any]:
    """Variables of rows, those that follow from others included, each read when it is looked at."""
    if not rows.count:
        return {}
    found = {
        name: as_variable(partial(rows.take, name), (rows.count, *shape), dtype)
        for name, (shape, dtype) in rows.specs.items()
    }
    names = list(rows.specs)
    for name in schema.derivable(layout, names):
        needed = schema.sources(name, names)

        def read(at: NDArray[np.int64], name: str = name, needed: list[str] = needed) -> Any:
            held = {one: rows.take(one, at) for one in needed}
            held |= {one: values[at] for one, values in index.items()}
            return schema.derived(name, layout, held, recipes)

        dtype = read(np.zeros(1, np.int64)).dtype
        found[name] = as_variable(read, (rows.count, len(layout.layers)), dtype)
    return found


def _pictures(layout: Layout, frames: Rows) -> dict[str, Any]:
    """Variables of frames, images in the shape of the data."""
    found: dict[str, Any] = {}
    for name, (shape, dtype) in frames.specs.items():
        is_image = schema.DIMS[name][2:] == ("channel", "row", "column")
        full = (shape[0], *layout.pixel_shape) if is_image else shape

        def read(at: NDArray[np.int64], name: str = name, full: Any = full) -> Any:
            return frames.take(name, at).reshape(len(at), *full)

        found[name] = as_variable(read, (frames.count, *full), dtype)
    return found
