"""How are several relaxations one Dataset? With a dimension for each thing in which they differ.

A trace has rows; several of them have rows, and seeds, batches, lanes or runs. What all of them
share is held once; what differs has these dimensions first. `part` gives back each trace as it came
in, bit for bit.
"""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

HELD = ("run", "lane", "seed", "batch")
"""Dimensions that a Dataset of several relaxations may have, the outermost first."""

GROWING = ("step", "frame")
"""Dimensions along which one may be shorter than another."""

PARTS = "parts"
"""The attribute with what differs between their attributes, in JSON."""


def dims(trace: xr.Dataset) -> tuple[str, ...]:
    """Which of `HELD` a Dataset has; none for a trace."""
    return tuple(name for name in HELD if name in trace.dims)


def combine(held: Mapping[str, Sequence[Any]], traces: Sequence[xr.Dataset]) -> xr.Dataset:
    """Several traces as one Dataset.

    Args:
        held: dimension -> its values, the outermost first: {"seed": [0, 1], "batch": [0, 1, 2]}.
        traces: for each seed in turn those of all batches, and so on.

    Raises:
        ValueError: naming what differs and must not: layers, variables, sizes, the numbers of rows.
    """
    if list(held) != [name for name in HELD if name in held]:
        raise ValueError(f"dimensions: {', '.join(held)}; of {', '.join(HELD)}, in this order")
    values = {name: np.asarray(one) for name, one in held.items()}
    shape = tuple(len(one) for one in values.values())
    if not traces or len(traces) != int(np.prod(shape)):
        raise ValueError(f"traces: {len(traces)}; as many as {' x '.join(map(str, shape))}")
    _check(traces)
    apart = ["batch"] if "batch" in values else []  # a coordinate of rows in a single trace
    if apart:
        values["batch"] = values["batch"].astype(traces[0]["batch"].dtype)
    traces = [one.drop_vars(apart) for one in traces]
    longest = {name: max(one.sizes.get(name, 0) for one in traces) for name in GROWING}
    data: dict[Any, Any] = {}
    coords: dict[Any, Any] = dict(values)
    first = traces[0]
    for name in first.variables:
        about = first[name].attrs
        stacked, kept = _stacked(str(name), traces, longest, shape, also=name in first.coords)
        found = (first[name].dims if kept else (*values, *first[name].dims), stacked, about)
        (coords if name in first.coords else data)[name] = found
    made = xr.Dataset(data, coords=coords)
    for name in GROWING:
        counts = np.array([one.sizes.get(name, 0) for one in traces]).reshape(shape)
        if (counts != longest[name]).any():
            made[f"{name}s"] = (tuple(values), counts, {"long_name": f"{name}s that there are"})
    every = set.intersection(*(set(one.attrs) for one in traces))
    same = {key for key in every if all(one.attrs[key] == first.attrs[key] for one in traces)}
    made.attrs = {key: value for key, value in first.attrs.items() if key in same}
    others = [{k: v for k, v in one.attrs.items() if k not in same} for one in traces]
    made.attrs[PARTS] = json.dumps(others, default=float)
    return made


def part(trace: xr.Dataset, **where: Any) -> xr.Dataset:
    """One of several relaxations, as it was before they were combined.

    Args:
        trace: as from `combine`.
        **where: the value of each of its dimensions: seed=0, batch=3.

    Raises:
        ValueError: naming the dimension that is missing or has no such value.
    """
    at = {}
    for name in dims(trace):
        known = trace[name].values.tolist()
        if name not in where or where[name] not in known:
            given = where.get(name, "missing")
            raise ValueError(f"{name}: {given}; one of {', '.join(map(str, known))}")
        at[name] = known.index(where[name])
    for name in where:
        if name not in at:
            raise ValueError(f"{name}: the trace has no such dimension")
    return _part(trace, at)


def parts(trace: xr.Dataset) -> Iterator[tuple[dict[str, Any], xr.Dataset]]:
    """Each of several relaxations with its place; a trace is its own only one."""
    names = dims(trace)
    for at in itertools.product(*(range(trace.sizes[name]) for name in names)):
        place = dict(zip(names, at, strict=True))
        where = {name: trace[name].values.tolist()[k] for name, k in place.items()}
        yield where, _part(trace, place) if names else trace


def said(trace: xr.Dataset, name: str) -> list[str]:
    """What an attribute says where it says anything, each sentence with its place."""
    found = []
    for where, one in parts(trace):
        if one.attrs.get(name):
            place = ", ".join(f"{key} {value}" for key, value in where.items())
            found.append(f"{place}: {one.attrs[name]}" if place else str(one.attrs[name]))
    return found


def _part(trace: xr.Dataset, at: Mapping[str, int]) -> xr.Dataset:
    sizes = {name: trace.sizes[name] for name in at}
    one = trace.isel(at)
    for name in GROWING:
        if f"{name}s" in one:
            one = one.isel({name: slice(0, int(one[f"{name}s"]))}).drop_vars(f"{name}s")
    found = one.drop_vars(list(at))
    if "batch" in at:
        number = one["batch"].values
        found = found.assign_coords(batch=("step", np.full(one.sizes["step"], number)))
    number = int(np.ravel_multi_index(tuple(at.values()), tuple(sizes.values())))
    found.attrs = {k: v for k, v in trace.attrs.items() if k != PARTS}
    found.attrs |= json.loads(trace.attrs[PARTS])[number]
    return found


def _check(traces: Sequence[xr.Dataset]) -> None:
    """Refuse traces that are no relaxations of one kind of network."""
    first = traces[0]
    for one in traces[1:]:
        odd = sorted(map(str, set(one.variables) ^ set(first.variables)))
        if odd:
            raise ValueError(f"traces: {', '.join(odd)}; in all of them or in none")
        for name, size in first.sizes.items():
            if name not in GROWING and one.sizes[name] != size:
                raise ValueError(f"{name}: {one.sizes[name]} and {size}; the same number in all")
        alike = {*map(str, first.dims), "layer_name", "depth"} & set(map(str, first.coords))
        for name in sorted(alike - set(GROWING)):
            if not np.array_equal(one[name].values, first[name].values):
                raise ValueError(f"{name}: differs between the traces; the same in all")
        for name in GROWING:
            if name in first.variables:
                n = min(one.sizes[name], first.sizes[name])
                if not np.array_equal(one[name].values[:n], first[name].values[:n]):
                    raise ValueError(f"{name}: other rows in one trace than in another")


def _stacked(
    name: str,
    traces: Sequence[xr.Dataset],
    longest: Mapping[str, int],
    shape: tuple[int, ...],
    *,
    also: bool,
) -> tuple[NDArray[Any], bool]:
    """The values of all, shorter ones filled; and whether they are one and the same.

    Args:
        name: of the variable.
        traces: in order.
        longest: rows and frames.
        shape: of what they differ in.
        also: whether equal ones are held once; the others always have all dimensions.
    """
    each = [one[name].values for one in traces]
    if also:
        most = max(each, key=lambda one: one.shape)
        if all(np.array_equal(one, most[tuple(map(slice, one.shape))]) for one in each):
            return most, True
    sizes = tuple(longest.get(str(d), traces[0].sizes[d]) for d in traces[0][name].dims)
    kind = np.result_type(*each)
    empty = np.nan if kind.kind == "f" else np.zeros((), kind)
    made = np.full((len(each), *sizes), empty, kind)
    for k, one in enumerate(each):
        made[(k, *map(slice, one.shape))] = one
    return made.reshape(*shape, *sizes), False
