"""How do experiments differ? Only what does, under dotted names, and who differs in seed alone."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr

from workbench import measures

NONE = "–"
"""Stands where an experiment has no such choice."""

UNKNOWN = "not known"
"""Stands where a run was recorded without an experiment."""

Plain = Mapping[str, Any]


def flattened(experiment: Plain) -> dict[str, Any]:
    """Choices under dotted names: the entry as `dynamics`, its dials as `dynamics.rate`."""
    found: dict[str, Any] = {}
    for name, value in experiment.items():
        if name == "schema":
            continue
        if not isinstance(value, Mapping):
            found[name] = value
            continue
        found[name] = value.get("name", NONE)
        found |= {f"{name}.{dial}": held for dial, held in value.items() if dial != "name"}
    return found


def differing(experiments: Sequence[Plain | None]) -> list[tuple[str, list[str]]]:
    """What is not equal in all: a name, and the value in each experiment."""
    flat = [None if one is None else flattened(one) for one in experiments]
    known = [one for one in flat if one is not None]
    names = list(dict.fromkeys(name for one in known for name in one))
    kinds = list(dict.fromkeys(name.partition(".")[0] for name in names))
    names.sort(key=lambda name: kinds.index(name.partition(".")[0]))  # dials beside their entry
    return [
        (name, [UNKNOWN if one is None else _said(one.get(name, NONE)) for one in flat])
        for name in names
        if len({_key(one.get(name, NONE)) for one in known}) > 1
    ]


def seed_groups(experiments: Sequence[Plain | None]) -> list[list[int]]:
    """Positions of experiments that are equal but for their seed, where there are two at least."""
    groups: dict[str, list[int]] = {}
    for k, one in enumerate(experiments):
        if one is not None:
            rest = {name: value for name, value in one.items() if name != "seed"}
            groups.setdefault(_key(rest), []).append(k)
    seeds = [None if one is None else one.get("seed") for one in experiments]
    return [group for group in groups.values() if len({seeds[k] for k in group}) > 1]


def other_images(a: Plain | None, b: Plain | None) -> str:
    """Why two lanes may not have seen the same images; "" where they have."""
    if a is None or b is None:
        return "one was recorded without its experiment: whether both saw the same images is open"
    differ = [
        name for name in ("dataset", "task", "batch_size", "seed") if a.get(name) != b.get(name)
    ]
    return f"they saw other images: not the same {', '.join(differ)}" if differ else ""


def live_changes(trace: xr.Dataset) -> list[tuple[int, str]]:
    """Where another recipe came into force: (step, what changed); empty where it is not known."""
    if "recipe_id" not in trace.coords or "recipes" not in trace.attrs:
        return []
    recipes = json.loads(trace.attrs["recipes"])
    number = trace["recipe_id"].values
    if not len(number) or int(number.max()) >= len(recipes):
        return []
    return measures.changes(trace)


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _said(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        text = ", ".join(_said(one) for one in value)
        if len(value) > 2 and len(set(map(str, value))) == 1:
            text = f"{len(value)} × {_said(value[0])}"
    else:
        text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
