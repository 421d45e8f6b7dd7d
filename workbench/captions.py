"""What does a caption say? The method, the data, seeds, T, rates, n and the works behind them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from workbench import measures, pooled
from workbench.plate import SPREADS, Plate
from workbench.pooled import Pool
from workbench.views import view_named

Parts = Sequence[tuple[dict[str, Any], xr.Dataset]]
"""Relaxations, each with its place: its seed, its batch, ..."""

ALONE = (
    "% Every method in this figure is of this software itself, or of a plugin without its works.\n"
)


def experiment_of(trace: xr.Dataset) -> dict[str, Any]:
    """The experiment that a trace names, as plain data."""
    return json.loads(trace.attrs.get("experiment", "{}"))


def caption(
    plate: Plate, parts: Parts, found: Mapping[str, xr.Dataset], pool: Pool | None = None
) -> str:
    """A draft of the caption, and what lies beside it.

    Args:
        plate: the figure.
        parts: the relaxations in it.
        found: what is drawn of each view.
        pool: what lines and bands are over.
    """
    first = parts[0][1]
    titles = [_titled(k, name, len(plate.views)) for k, name in enumerate(plate.views)]
    shown = "" if pool else f"Drawn or marked: {_row_in_words(first, plate.step)}."
    files = [
        "",
        f"figure.pdf, figure.svg, figure.png   {_width(plate)}",
        *_tables(plate, found),
        "data.nc         the whole trace (xarray, NetCDF)",
        "redraw.py       draws the figure again from data.nc, with Relaxoscope installed",
        "recipe.toml     the complete experiment",
        "events.json     what was done during the relaxation, and at which step",
        "references.bib  the works that the methods are from",
    ]
    said = [*titles, *_methods(parts), *_changed(first), shown, pool.words if pool else ""]
    said.append(str(first.attrs.get("layers_named", "")))
    lines = [*filter(None, said), *_sources(parts), *files, *_made_with(first)]
    return "\n".join(lines) + "\n"


def bibtex(traces: Sequence[xr.Dataset]) -> str:
    """The works of all methods in these traces, as BibTeX, each once; a comment if none."""
    from core.citations import references  # here, because core loads torch

    known = references()
    texts = [known[key].text for key in _keys(traces) if key in known]
    return "\n".join(texts) or ALONE


def _titled(k: int, name: str, count: int) -> str:
    """The title and the question of a view, with its panel."""
    module = view_named(name)
    question = (module.__doc__ or module.TITLE).strip().splitlines()[0]
    panel = f"({chr(ord('a') + k)}) " if count > 1 else ""
    return f"{panel}{module.TITLE}. {question}"


def _width(plate: Plate) -> str:
    columns = "one column" if plate.columns == 1 else "two columns"
    return f"{columns} of {plate.paper}: {plate.width:.4g} mm wide"


def _tables(plate: Plate, found: Mapping[str, xr.Dataset]) -> list[str]:
    """The tables with their variables and units."""
    lines = []
    for name, one in found.items():
        file = "data.csv" if len(found) == 1 else f"data-{name}.csv"
        lines.append(f"{file:<15} what is drawn, tidy:")
        for key, values in one.data_vars.items():
            if any(str(key).endswith(end) for end in ("_low", "_high", "_n")) and plate.over:
                continue
            about = values.attrs
            lines.append(f"  {key}: {about.get('long_name', key)} ({about.get('units', '1')})")
        if plate.over:
            lines.append(
                f"  ..._low, ..._high, ..._n: ends of the band ({SPREADS[plate.spread]}), "
                "and how many have a value"
            )
    return lines


def _methods(parts: Parts) -> list[str]:
    """The experiment of one; of several what they share, and in what they differ."""
    first = experiment_of(parts[0][1])
    if not parts[0][0] or not first:
        return [_method(first)]
    seeds = sorted({where["seed"] for where, _ in parts if "seed" in where})
    if seeds:
        first = {**first, "seed": pooled.listed(seeds)}
    said = [_method(first)]
    from core.experiment import sentence  # here, because core loads torch

    for where, one in parts:
        for name in ("lane", "run"):
            if name in where:
                other = experiment_of(one)
                changed = sentence(experiment_of(parts[0][1]), other) if other else "no experiment"
                line = f"{name} {where[name]}: {changed or 'as said'}"
                if line not in said:
                    said.append(line)
    return said


def _method(experiment: Mapping[str, Any]) -> str:
    """All choices in one sentence each."""
    if not experiment:
        return "The trace does not name its experiment."
    named = [f"{key} {_choice(one)}" for key, one in experiment.items() if isinstance(one, Mapping)]
    said = {
        "steps": "T = {} steps",
        **_acting(experiment),
        "batch_size": "batches of {}",
        "seed": "seed {}",
        "dtype": "{}",
        "device": "on {}",
        "pretraining": "first weights: {}",
    }
    scalars = [text.format(experiment[key]) for key, text in said.items() if key in experiment]
    return f"Predictive coding network: {'; '.join(named)}. {', '.join(scalars)}."


def _acting(experiment: Mapping[str, Any]) -> dict[str, str]:
    """The terms of the recipe that act, in words with room for their values."""
    found = {}
    if experiment.get("window"):
        found["window"] = "growing energy window"
    if experiment.get("output_precision", 1.0) != 1.0:
        found["output_precision"] = "output precision {:g}"
    if experiment.get("activity_decay"):
        found["activity_decay"] = "activity decay {:g}"
    if experiment.get("tolerance"):
        found["tolerance"] = "at most, until the residual is {:g}"
        found["stop"] = "in each {}"
    return found


def _choice(one: Mapping[str, Any]) -> str:
    """An entry with its dials: "Spiking (rest 0.001)"."""
    dials = ", ".join(f"{key} {_number(value)}" for key, value in one.items() if key != "name")
    return f"{one.get('name')} ({dials})" if dials else str(one.get("name"))


def _number(value: Any) -> str:
    if isinstance(value, list) and len(value) > 2 and len(set(map(str, value))) == 1:
        return f"{len(value)} x {value[0]}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _changed(trace: xr.Dataset) -> list[str]:
    found = measures.changes(trace)
    return (
        ["Changed on the way:", *(f"  row {step}: {text}" for step, text in found)] if found else []
    )


def _row_in_words(trace: xr.Dataset, step: int | None) -> str:
    row = measures.row_at(trace, step)
    t, T, batch = (int(trace[name].values[row]) for name in ("t", "T", "batch"))
    phase = trace["phase"].values if "phase" in trace.coords else np.array([""])
    where = "" if (phase == phase[0]).all() else f"phase {phase[row]}, "
    return f"{where}step t = {t} of T = {T} in batch {batch}"


def _keys(traces: Sequence[xr.Dataset]) -> list[str]:
    """Keys of the works of all entries that are known here: of experiments and of later recipes."""
    from core.catalogue import BadInput, card_of, from_dict
    from core.citations import OURS

    found: dict[str, None] = {}
    for one in traces:
        for choices in (experiment_of(one), *json.loads(one.attrs.get("recipes", "[]"))):
            for kind, value in choices.items():
                if not isinstance(value, Mapping):
                    continue
                try:
                    found[card_of(from_dict(kind, value)).source] = None
                except BadInput:
                    continue
    return [key for key in found if key != OURS]


def _sources(parts: Parts) -> list[str]:
    """BibTeX keys of the methods."""
    keys = _keys([one for _, one in parts])
    return [f"Methods from: {', '.join(keys)}."] if keys else []


def _made_with(trace: xr.Dataset) -> list[str]:
    """Versions and data, where the trace says them."""
    found = []
    versions = json.loads(trace.attrs.get("versions", "{}"))
    if versions:
        found.append("Made with " + ", ".join(f"{k} {v}" for k, v in versions.items()) + ".")
    if "fingerprint" in trace.attrs:
        found.append(f"Data set: {trace.attrs.get('data', '')}, {trace.attrs['fingerprint']}.")
    return ["", *found] if found else []
