"""Where does a run come from? A file that is written once, and notes that may be changed.

The manifest names its own SHA-256, and the store of the rows holds a copy of it. Notes (title,
note, tags) lie beside it, because they may change while another process writes the run.
"""

import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core import cache
from core.catalogue import BadInput
from core.runs.errors import Damaged

SCHEMA = 1
"""Number of the format of a run directory."""

MANIFEST, NOTES = "manifest.json", "notes.json"

LARGEST = 2**24
"""Bytes of a file of this kind that are read."""


def made(experiment: Mapping[str, Any] | None, about: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a run that begins now.

    Args:
        experiment: all choices as plain data; None for a loop of one's own.
        about: data, fingerprint, engine, whatever belongs to the whole run.
    """
    return {
        "schema": SCHEMA,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "experiment": None if experiment is None else dict(experiment),
        "about": dict(about),
        "versions": versions(),
        "environment": environment(),
    }


def versions() -> dict[str, str]:
    """Of this package, of its checkout where it is one, and of what it computes with."""
    import numpy
    import xarray

    from core import __version__

    found = {"relaxoscope": __version__, "numpy": numpy.__version__, "xarray": xarray.__version__}
    if commit := _commit():
        found["commit"] = commit
    for name in ("torch", "jax"):
        if name in sys.modules:
            found[name] = str(getattr(sys.modules[name], "__version__", ""))
    return found


def environment() -> dict[str, Any]:
    """The machine, as far as numbers depend on it."""
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        found["threads"] = torch.get_num_threads()
        if torch.cuda.is_available():
            found["gpu"] = torch.cuda.get_device_name()
    return found


def write(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest with its SHA-256; the file is there whole or not at all."""
    text = json.dumps({**manifest, "sha256": sha(manifest)}, indent=1)
    cache.keep(folder / MANIFEST, lambda beside: _write(beside, text))


def read(folder: Path) -> dict[str, Any]:
    """The manifest of a run.

    Raises:
        FileNotFoundError: if there is none.
        BadInput: if a later version of this program wrote it.
        Damaged: if it is not as it was written.
    """
    path = folder / MANIFEST
    try:
        data = _json(path)
    except ValueError as failed:
        raise Damaged(f"run: {path}; cannot be read ({failed})") from None
    return checked(data, path)


def checked(data: Any, path: Path) -> dict[str, Any]:
    """A manifest without its SHA-256, if it is as it was written and of a known format."""
    if not isinstance(data, dict) or data.pop("sha256", None) != sha(data):
        raise Damaged(f"run: {path}; not as it was written")
    if data.get("schema") != SCHEMA:
        raise BadInput(f"run: {path}; schema {data.get('schema')}, this version reads {SCHEMA}")
    return data


@dataclass(frozen=True)
class Notes:
    """What a person wrote about a run.

    Args:
        title: one line.
        note: any text.
        tags: words.
    """

    title: str = ""
    note: str = ""
    tags: tuple[str, ...] = ()


def read_notes(folder: Path) -> Notes:
    """The notes of a run; empty ones where there are none that can be read."""
    try:
        return _noted(folder)
    except (OSError, ValueError):
        return Notes()


def damage_of_notes(folder: Path) -> str:
    """What is wrong with the notes of a run, in words; "" where nothing is, or there are none."""
    try:
        _noted(folder)
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as failed:
        return f"{NOTES} cannot be read ({failed})"
    return ""


def _noted(folder: Path) -> Notes:
    """The notes as they were written; by hand without a check.

    Raises:
        OSError, ValueError: if they are missing or damaged.
    """
    data = _json(folder / NOTES)
    try:
        notes = Notes(str(data["title"]), str(data["note"]), tuple(str(t) for t in data["tags"]))
        check = data.get("sha256")
    except (TypeError, KeyError, AttributeError) as failed:
        raise ValueError(f"no notes: {failed}") from None
    if check not in (None, sha(asdict(notes))):
        raise ValueError("not as they were written")
    return notes


def write_notes(folder: Path, notes: Notes) -> None:
    """Take the place of the notes of a run.

    Raises:
        FileNotFoundError: if the run has gone: its folder is not made again for its notes.
    """
    if not folder.is_dir():
        raise FileNotFoundError(2, "the run has gone", str(folder))
    text = json.dumps(asdict(notes) | {"sha256": sha(asdict(notes))}, indent=1)
    cache.keep(folder / NOTES, lambda beside: _write(beside, text))


def _write(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")


def _json(path: Path) -> Any:
    with path.open("rb") as file:
        raw = file.read(LARGEST + 1)
    if len(raw) > LARGEST:
        raise ValueError(f"more than {LARGEST} bytes")
    try:
        return json.loads(raw.decode("utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def sha(manifest: Mapping[str, Any]) -> str:
    """The SHA-256 of a manifest, which stands beside it in its file."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _commit() -> str:
    """What git calls the checkout that this file lies in; "" where it is none."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return ""
    asked = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return said.stdout.strip()
