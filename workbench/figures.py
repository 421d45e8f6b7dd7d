"""How does a view leave the screen? As a bundle: figure, data, recipe and a draft of the caption.

Rebuilding a bundle from the same trace gives the same bytes: no file in it holds a date.
"""

import io
import json
import os
import tempfile
import uuid
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import tomli_w
import xarray as xr
from matplotlib.figure import Figure

from workbench import look, measures
from workbench.views import view_named

FORMATS: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
    "png": {},
}
"""File endings, each with the metadata that keeps the date out."""

FIRST_DATE = (1980, 1, 1, 0, 0, 0)
"""The date of every entry of a zip: the first that a zip can say."""


def export(view: str, trace: xr.Dataset, path: str | Path, step: int | None = None) -> Path:
    """Write a view's bundle: a zip where the path ends in .zip, else the files in a folder.

    Args:
        view: name of a view.
        trace: one lane.
        path: where to; missing folders are made, files of the same name replaced.
        step: the step that is shown or marked, or the recorded one nearest to it; None for the
            view's own choice.

    Raises:
        ValueError: if the view has nothing to draw, naming the step if it lies beyond the recorded
            ones, or naming the path if it cannot be written.
    """
    path = Path(path).expanduser()
    files = bundle(view, trace, step)
    try:
        if path.suffix.lower() == ".zip":
            _write(path, _zipped(files))
        else:
            for name, content in files.items():
                _write(path / name, content)
    except OSError as failed:
        raise ValueError(
            f"figure: {path}; cannot be written: {failed.strerror or failed}"
        ) from None
    return path


def bytes_of(view: str, trace: xr.Dataset, step: int | None = None) -> bytes:
    """The zip in memory, for a download."""
    return _zipped(bundle(view, trace, step))


def bundle(view: str, trace: xr.Dataset, step: int | None = None) -> dict[str, bytes]:
    """All files of a view's bundle by name."""
    module = view_named(view)
    _check_step(trace, step)
    found = module.measure(trace, step)
    files = drawn(module, trace, step)
    files["data.nc"] = netcdf(trace)
    files["data.csv"] = csv(found)
    files["recipe.toml"] = toml(_experiment(trace))
    files["events.json"] = _events(trace)
    files["README.txt"] = caption(view, module, trace, found, step).encode()
    return files


def drawn(module: ModuleType, trace: xr.Dataset, step: int | None) -> dict[str, bytes]:
    """The figure in every format."""
    with look.paper_style():
        figure: Figure = module.figure(trace, step)
        files = {}
        for ending, metadata in FORMATS.items():
            buffer = io.BytesIO()
            figure.savefig(buffer, format=ending, metadata=metadata)
            files[f"figure.{ending}"] = buffer.getvalue()
    return files


def netcdf(trace: xr.Dataset) -> bytes:
    """The whole trace as NetCDF."""
    # In one order, whatever the order in which the trace was put together.
    trace = trace.drop_encoding()
    safe = trace[sorted(str(name) for name in trace.data_vars)]
    # From the trace, because a choice of variables loses the coordinates of axes that none has.
    safe = safe.assign_coords({name: trace[name] for name in sorted(map(str, trace.coords))})
    safe.attrs = _plain(trace.attrs)
    for name in safe.variables:
        safe[name].attrs = _plain(safe[name].attrs)
    packed = {
        name: {"zlib": True, "complevel": 4}
        for name, values in safe.variables.items()
        if values.dtype.kind in "fiub" and values.ndim > 1
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.nc"
        safe.to_netcdf(path, engine="netcdf4", encoding=packed)
        return path.read_bytes()


def load(path: str | Path) -> xr.Dataset:
    """The trace of a bundle's data.nc, in memory.

    Raises:
        ValueError: naming the file, if it cannot be read.
    """
    try:
        trace = xr.load_dataset(Path(path).expanduser(), engine="netcdf4")
    except (OSError, ValueError) as failed:
        reason = getattr(failed, "strerror", None) or failed
        raise ValueError(f"trace: {path}; cannot be read: {reason}") from None
    texts = {
        name: trace[name].astype(str)
        for name in trace.variables
        if trace[name].dtype.kind not in "fiubU"
    }
    return trace.assign_coords(texts).drop_encoding()


def csv(found: xr.Dataset) -> bytes:
    """A measure in tidy form: one row for each step, layer or sample."""
    table = found.to_dataframe().reset_index()
    others = sorted(str(name) for name in found.coords if name not in found.dims)
    table = table[[name for name in (*found.dims, *others, *found.data_vars) if name in table]]
    return table.to_csv(index=False, float_format="%.9g", lineterminator="\n").encode()


def toml(experiment: Mapping[str, Any]) -> bytes:
    """An experiment as a preset file has it; TOML has no null, so what is None is left out."""
    return tomli_w.dumps(_without_none(experiment)).encode()


def caption(
    view: str, module: ModuleType, trace: xr.Dataset, found: xr.Dataset, step: int | None
) -> str:
    """A draft of the caption, and what lies beside it."""
    row = measures.row_at(trace, step)
    question = (module.__doc__ or module.TITLE).strip().splitlines()[0]
    shown = f"Drawn or marked: {_row_in_words(trace, row)}."
    units = [
        f"  {name}: {values.attrs.get('long_name', name)} ({values.attrs.get('units', '1')})"
        for name, values in found.data_vars.items()
    ]
    again = "" if step is None else f", step={step}"
    parts = [
        f"{module.TITLE}. {question}",
        _method(_experiment(trace)),
        *_changed(trace),
        shown,
        *([trace.attrs["layers_named"]] if trace.attrs.get("layers_named") else []),
        *_sources(trace),
        "",
        f"figure.pdf, figure.svg, figure.png   the view {view}, one column ({look.COLUMN} in) wide",
        "data.csv      what is drawn, tidy:",
        *units,
        "data.nc       the whole trace (xarray, NetCDF); the figure can be drawn again from it:",
        "                from workbench import figures",
        f'                figures.export("{view}", figures.load("data.nc"), "again"{again})',
        "recipe.toml   the complete experiment",
        "events.json   what was done during the relaxation, and at which step",
        *_made_with(trace),
    ]
    return "\n".join(parts) + "\n"


def _check_step(trace: xr.Dataset, step: int | None) -> None:
    """Refuse a step before the first or after the last recorded one; between, rows may be thin."""
    if step is None or not trace.sizes.get("step"):
        return
    first, last = (int(trace["step"].values[at]) for at in (0, -1))
    if not first <= step <= last:
        raise ValueError(f"step: {step}; a row {first}..{last}")


def _experiment(trace: xr.Dataset) -> dict[str, Any]:
    return json.loads(trace.attrs.get("experiment", "{}"))


def _events(trace: xr.Dataset) -> bytes:
    """The event log, the recipes by number, and the steps at which they came into force."""
    data = {
        "events": json.loads(trace.attrs.get("events", "[]")),
        "recipes": json.loads(trace.attrs.get("recipes", "[]")),
        "changes": [{"step": step, "change": text} for step, text in measures.changes(trace)],
    }
    return (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode()


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


def _row_in_words(trace: xr.Dataset, row: int) -> str:
    t, T, batch = (int(trace[name].values[row]) for name in ("t", "T", "batch"))
    phase = trace["phase"].values if "phase" in trace.coords else np.array([""])
    where = "" if (phase == phase[0]).all() else f"phase {phase[row]}, "
    return f"{where}step t = {t} of T = {T} in batch {batch}"


def _sources(trace: xr.Dataset) -> list[str]:
    """BibTeX keys of the methods, where every choice is known here."""
    from core.catalogue import BadInput  # here, because core loads torch
    from core.experiment import Experiment, citations

    if not _experiment(trace):
        return []
    try:
        keys = citations(Experiment.from_dict(_experiment(trace)))
    except BadInput:
        return []
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


def _plain(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Attributes as NetCDF holds them: numbers and texts as they are, all else as JSON."""
    found: dict[str, Any] = {}
    for key, value in attrs.items():
        if isinstance(value, bool | np.bool_):
            found[str(key)] = int(value)
        elif isinstance(value, str | float | np.floating | np.integer):
            found[str(key)] = value
        elif isinstance(value, int):
            found[str(key)] = value if abs(value) < 2**63 else str(value)
        else:
            found[str(key)] = json.dumps(value, default=str)
    return found


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    return [_without_none(v) for v in value] if isinstance(value, list) else value


def _zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, FIRST_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> None:
    """Write a file so that others see the old one or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
