"""How does a view leave the screen? As a bundle: figure, data, recipe, citations and a caption.

Rebuilding a bundle from the same trace gives the same bytes: no file in it holds a date.
"""

import io
import json
import math
import os
import tempfile
import uuid
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import tomli_w
import xarray as xr

from workbench import captions, composing, look, many, measures
from workbench.plate import Plate, plate_of
from workbench.views import bands, view_named

FORMATS: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
    "png": {},
}
"""File endings, each with the metadata that keeps the date out."""

FIRST_DATE = (1980, 1, 1, 0, 0, 0)
"""The date of every entry of a zip: the first that a zip can say."""


Views = str | Sequence[str] | Plate
"""A view, several, or a figure as it is asked for."""

OF_PYTHON = """\
\"""Draws the figure again from data.nc beside this file: python redraw.py [FOLDER].\"""

import sys
from pathlib import Path

from workbench import figures
from workbench.plate import Plate

here = Path(__file__).resolve().parent
into = Path(sys.argv[1]) if len(sys.argv) > 1 else here / "redrawn"
plate = {plate}
print(*figures.redraw(plate, here / "data.nc", into), sep="\\n")
"""


def export(view: Views, trace: xr.Dataset, path: str | Path, step: int | None = None) -> Path:
    """Write a figure's bundle: a zip where the path ends in .zip, else the files in a folder.

    Args:
        view: name of a view, several names, or a `Plate`.
        trace: one lane, or several relaxations as from `many.combine`.
        path: where to; missing folders are made, files of the same name replaced.
        step: the step that is shown or marked, or the recorded one nearest to it; None for the
            view's own choice, or the plate's.

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


def bytes_of(view: Views, trace: xr.Dataset, step: int | None = None) -> bytes:
    """The zip in memory, for a download."""
    return _zipped(bundle(view, trace, step))


def bundle(view: Views, trace: xr.Dataset, step: int | None = None) -> dict[str, bytes]:
    """All files of a figure's bundle by name."""
    plate = plate_of(view, step)
    _check_step(trace, plate.step)
    files = drawn(plate, trace)
    found, pool = {}, None
    for name in plate.views:
        module = view_named(name)
        if plate.over:
            pool, found[name] = bands.measured(module, trace, plate)
        else:
            found[name] = module.measure(trace, plate.step)
        table = "data.csv" if len(plate.views) == 1 else f"data-{name}.csv"
        files[table] = csv(found[name])
    files["data.nc"] = netcdf(trace)
    parts = list(many.parts(trace))
    files["recipe.toml"] = toml(captions.experiment_of(parts[0][1]))
    files["events.json"] = _events(parts)
    files["redraw.py"] = OF_PYTHON.format(plate=plate).encode()
    files["references.bib"] = captions.bibtex([one for _, one in parts]).encode()
    files["README.txt"] = captions.caption(plate, parts, found, pool).encode()
    return files


def drawn(plate: Plate, trace: xr.Dataset) -> dict[str, bytes]:
    """The figure in every format."""
    with look.paper_style():
        figure = composing.figure(trace, plate)
        files = {}
        for ending, metadata in FORMATS.items():
            buffer = io.BytesIO()
            figure.savefig(buffer, format=ending, metadata=metadata)
            files[f"figure.{ending}"] = buffer.getvalue()
    return files


def redraw(plate: Plate, data: str | Path, into: str | Path) -> list[Path]:
    """Draw a figure again from the data.nc of its bundle; gives the files that were written.

    Raises:
        ValueError: naming the file, if it cannot be read.
    """
    files = drawn(plate, load(data))
    paths = [Path(into) / name for name in files]
    for path in paths:
        _write(path, files[path.name])
    return paths


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
        ValueError: naming the file, if it cannot be read or declares more than memory holds.
    """
    try:
        check_size(Path(path).expanduser())
        trace = xr.load_dataset(Path(path).expanduser(), engine="netcdf4")
    except (OSError, ValueError, RuntimeError) as failed:
        reason = getattr(failed, "strerror", None) or failed
        raise ValueError(f"trace: {path}; cannot be read: {reason}") from None
    texts = {
        name: trace[name].astype(str)
        for name in trace.variables
        if trace[name].dtype.kind not in "fiubU"
    }
    return trace.assign_coords(texts).drop_encoding()


def check_size(path: Path) -> None:
    """Refuse a file whose variables would not fit: a small one can declare terabytes of nothing.

    Raises:
        OSError: if it cannot be opened.
        ValueError: if it declares more than memory holds, or types of its own.
    """
    with netCDF4.Dataset(path) as held:
        if held.cmptypes or held.vltypes:
            raise ValueError("it has types of its own; numbers and texts only")
        size = sum(
            math.prod(one.shape) * (8 if one.dtype is str else one.dtype.itemsize)
            for one in held.variables.values()
        )
    there = _memory()
    if 2 * size > there:  # it is held, and what is drawn from it
        raise ValueError(f"it declares {size / 1e9:.3g} GB; at most half of {there / 1e9:.3g} GB")


def _memory() -> int:
    """Bytes that this machine has; as core.footprint has them, which would load torch here."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not every system says
        return 2**36


def csv(found: xr.Dataset) -> bytes:
    """A measure in tidy form: one row for each step, layer or sample."""
    table = found.to_dataframe().reset_index()
    others = sorted(str(name) for name in found.coords if name not in found.dims)
    table = table[[name for name in (*found.dims, *others, *found.data_vars) if name in table]]
    return table.to_csv(index=False, float_format="%.9g", lineterminator="\n").encode()


def toml(experiment: Mapping[str, Any]) -> bytes:
    """An experiment as a preset file has it; TOML has no null, so what is None is left out."""
    return tomli_w.dumps(_without_none(experiment)).encode()


def _check_step(trace: xr.Dataset, step: int | None) -> None:
    """Refuse a step before the first or after the last recorded one; between, rows may be thin."""
    if step is None or not trace.sizes.get("step"):
        return
    first, last = (int(trace["step"].values[at]) for at in (0, -1))
    if not first <= step <= last:
        raise ValueError(f"step: {step}; a row {first}..{last}")


def _events(parts: Sequence[tuple[dict[str, Any], xr.Dataset]]) -> bytes:
    """The event log, the recipes by number, and the steps at which they came into force.

    Of several relaxations each has its own, under its place.
    """
    logs = [
        {
            **where,
            "events": json.loads(one.attrs.get("events", "[]")),
            "recipes": json.loads(one.attrs.get("recipes", "[]")),
            "changes": [{"step": step, "change": text} for step, text in measures.changes(one)],
        }
        for where, one in parts
    ]
    data = {"relaxations": logs} if parts[0][0] else logs[0]
    return (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode()


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
