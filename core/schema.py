"""What is in a trace? Names, dimensions, units and meaning of its variables: the only definition.

What follows from the rows themselves (errors, rounding floors) is derived, row by row, so that it
need not be stored and can be read in parts.
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from core.layout import Layout
from core.rounding import floor_of, rounded

SCHEMA = 1

INDEX = ("step", "batch", "t", "phase", "recipe_id", "T")
"""What every row says about itself: coordinates along `step`."""

CLOCK = "seconds"
"""One coordinate more, where it is known: time spent relaxing so far, in seconds.

It differs from run to run and is in no digest.
"""

STATE = re.compile(r"state_(\d+)")
"""Full states, `state_k` (step, sample, unit_k): kept only on request."""

DIMS = {
    "energy": ("step", "layer"),
    "energy_sample": ("step", "layer", "sample"),
    "error": ("step", "layer"),
    "floor": ("step", "layer"),
    "rounding": ("step", "layer"),
    "precision": ("step", "layer"),
    "cost": ("step",),
    "log_term": ("step", "layer"),
    "force": ("step", "state"),
    "speed": ("step", "state"),
    "activity": ("step", "state"),
    "probability": ("step", "sample", "class"),
    "prediction_drift": ("step", "layer"),
    "alignment": ("step", "layer"),
    "update_ratio": ("step", "layer"),
    "agreement": ("step", "layer"),
    "prediction": ("frame", "shown", "channel", "row", "column"),
    "swept": ("frame", "shown", "channel", "row", "column"),
    "image": ("frame", "shown", "channel", "row", "column"),
    "prediction_mse": ("frame", "sample"),
    "swept_mse": ("frame", "sample"),
    "image_mse": ("frame", "sample"),
}

ABOUT = {
    "energy": ("nat", "energy of a layer, bare, mean over the batch"),
    "energy_sample": ("nat", "energy of a layer, bare, for each sample"),
    "error": ("1", "RMS of a layer's error over its units and the batch"),
    "floor": ("nat", "energy that rounding to the dtype of eps alone can make"),
    "rounding": ("1", "energy at or below its rounding floor, zero included: not to be trusted"),
    "precision": ("1", "precision of a layer, as applied at this step"),
    "cost": ("nat", "what F has beside its layers: nudge times cost, and activity decay"),
    "log_term": ("nat", "of learned precisions, in no total: minus d / 2 log precision; else 0"),
    "force": ("1", "RMS of dF/dh of a state"),
    "speed": ("1", "RMS of a state's last update"),
    "activity": ("1", "RMS of a state"),
    "probability": ("1", "softmax of the output's prediction"),
    "prediction_drift": ("1", "RMS of how far a layer's prediction has moved since t = 0"),
    "alignment": ("cosine", "of a layer's update to backprop's, if the relaxation stopped here"),
    "update_ratio": ("1", "norm of a layer's update by that of backprop's, if it stopped here"),
    "agreement": ("1", "share of a layer's weights that move to the side to which backprop does"),
    "prediction": ("pixel", "mu_L at this step"),
    "swept": ("pixel", "feed-forward sweep from h_0 at this step: the papers' reconstruction"),
    "image": ("pixel", "the image's own state, where it is free"),
    "prediction_mse": ("pixel^2", "mean squared error of mu_L, clipped to the pixel range"),
    "swept_mse": ("pixel^2", "mean squared error of the sweep, clipped to the pixel range"),
    "image_mse": ("pixel^2", "mean squared error of a free image, clipped to the pixel range"),
}

BATCH_DIMS = {
    "accuracy": ("batch",),
    "top5": ("batch",),
    "validation": ("batch",),
    "seconds": ("batch",),
    "smm": ("batch",),
    "update_norm": ("batch", "layer"),
    "update_alignment": ("batch", "layer"),
}
"""What is known of whole batches; a number under any other name has the dimension batch."""

BATCH_ABOUT = {
    "accuracy": ("1", "share of test samples in their class, before this batch unless it is said"),
    "top5": ("1", "share of test samples in one of their five likeliest classes, as accuracy"),
    "validation": ("1", "share of images held out of training in their class, as accuracy"),
    "seconds": ("s", "time spent on the batch"),
    "smm": ("1", "sequential matrix multiplications of the batch"),
    "update_norm": ("1", "Euclidean norm of a layer's weight update"),
    "update_alignment": ("cosine", "of a layer's weight update to backprop's"),
}


def dims_of(name: str) -> tuple[str, ...]:
    """Dimensions of a variable of rows or frames.

    Raises:
        KeyError: if the schema has none of that name.
    """
    held = STATE.fullmatch(name)
    return ("step", "sample", f"unit_{held[1]}") if held else DIMS[name]


# What follows from the rows ----------------------------------------------------------------------


def derivable(layout: Layout, names: Collection[str]) -> list[str]:
    """Which variables follow from those of these names."""
    found = []
    if "energy" in names:
        sized = all(layout.layer_sizes)
        if sized and (all(layout.quadratic) or "error" in names):
            found.append("error")
        if sized:
            found += ["floor", "rounding"]
    if "precision" in names:
        found.append("log_term")
    return found


def sources(name: str, names: Collection[str]) -> list[str]:
    """The variables among `names` that a derived one is made from."""
    needed = {
        "error": ("energy", "error"),
        "floor": ("energy", "activity"),
        "rounding": ("energy", "activity"),
        "log_term": ("precision",),
    }
    return [one for one in needed[name] if one in names]


def derived(
    name: str,
    layout: Layout,
    rows: Mapping[str, NDArray[Any]],
    recipes: Iterable[Mapping[str, Any]],
) -> NDArray[Any]:
    """A derived variable of some rows, (rows, L).

    Args:
        name: one of `derivable`.
        layout: of the rows.
        rows: their `sources`, and their `INDEX`.
        recipes: by number.
    """
    if name == "floor":
        return floors(layout, rows)
    if name == "rounding":
        return rounded(rows["energy"], floors(layout, rows))
    return _errors(layout, rows) if name == "error" else _log_terms(layout, rows, recipes)


def floors(layout: Layout, rows: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """Rounding floor of each layer's energy in these rows, (rows, L), in nats."""
    activity = rows["activity"][:, list(layout.layers)] if "activity" in rows else 1.0
    return floor_of(layout.layer_sizes, layout.eps, activity, rows["t"])


def _errors(layout: Layout, rows: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """RMS errors: sqrt(2 E / d) where the energy is quadratic, else as recorded."""
    energy = rows["energy"]
    exact = np.sqrt(2 * energy / np.array(layout.layer_sizes, dtype=energy.dtype))
    if all(layout.quadratic):
        return exact
    return np.where(layout.quadratic, exact, rows["error"])


def _log_terms(
    layout: Layout, rows: Mapping[str, NDArray[Any]], recipes: Iterable[Mapping[str, Any]]
) -> NDArray[Any]:
    """What learned precisions pay: -d / 2 log Pi, times the weight of the layer's energy.

    The weight is the output precision for the output layer, 0 for a layer outside the energy
    window, else 1; the precision as applied is the weight times Pi.
    """
    applied = rows["precision"]
    found = np.zeros_like(applied)
    for number, recipe in enumerate(recipes):
        if recipe.get("precision", {}).get("name") != "Learned":
            continue
        weight = np.ones(len(layout.layers), applied.dtype)
        weight[-1] = recipe.get("output_precision", 1.0)
        half = np.array(layout.layer_sizes, applied.dtype) / 2
        counted = (rows["recipe_id"] == number)[:, None] & (applied > 0)
        ratio = np.divide(applied, weight, out=np.ones_like(applied), where=counted)
        found = np.where(counted, -half * weight * np.log(ratio), found)
    return found


# As a Dataset ------------------------------------------------------------------------------------


def assemble(
    layout: Layout,
    index: Mapping[str, NDArray[Any]],
    variables: Mapping[str, Any],
    frame_rows: NDArray[Any] | None,
    attrs: Mapping[str, Any],
) -> xr.Dataset:
    """Rows and frames with their coordinates, units and meaning.

    Args:
        layout: of the rows.
        index: `INDEX` and, where it is known, `CLOCK` of each row; empty where there is no row.
        variables: arrays by name, those of frames included; they may be lazy.
        frame_rows: row of each frame, or None where there are no frames.
        attrs: numbers and texts stay, everything else is written as JSON.
    """
    coords: dict[str, Any] = {
        "layer": list(layout.layers),
        "depth": ("layer", list(layout.depths)),
        "layer_name": ("layer", [layout.names[i] for i in layout.layers]),
        "layer_size": ("layer", list(layout.layer_sizes)),
        "state": np.arange(len(layout.sizes)),
        "state_size": ("state", list(layout.sizes)),
    }
    if index:
        coords["step"] = index["step"]
        coords |= {name: ("step", index[name]) for name in (*INDEX[1:], CLOCK) if name in index}
    if frame_rows is not None:
        coords["frame"] = np.arange(len(frame_rows))
        coords["frame_step"] = ("frame", frame_rows)
    plain = {
        k: v if isinstance(v, int | float | str) else json.dumps(v, default=str)
        for k, v in attrs.items()
    }
    held = {name: (dims_of(name), values) for name, values in variables.items()}
    data = xr.Dataset(held, coords=coords, attrs=plain)
    for name, (unit, about) in ABOUT.items():
        if name in data:
            data[name].attrs = {"units": unit, "long_name": about}
    return data


def digest(rows: Mapping[str, NDArray[Any]]) -> str:
    """A SHA-256 over names, types, shapes and values of rows; the clock is left out."""
    found = hashlib.sha256()
    for name in sorted(rows):
        if name == CLOCK:
            continue
        values = rows[name]
        if values.dtype.kind == "U":  # its width depends on what else was stored
            said = "\n".join(values.tolist()).encode()
            found.update(f"{name} text {len(values)}\n".encode() + said)
            continue
        whole = values.astype(np.int64) if values.dtype.kind in "iu" else values
        found.update(f"{name} {whole.dtype.str} {whole.shape}\n".encode())
        found.update(np.ascontiguousarray(whole).tobytes())
    return found.hexdigest()
