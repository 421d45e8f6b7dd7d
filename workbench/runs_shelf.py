"""Which runs are there? One entry for each, read anew only where something has changed.

A run that cannot be read has an entry too, which says what is wrong with it.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.measures import imbalance_of, reached_of

WRITTEN, DAMAGED = ("live", "paused"), "damaged"
"""States of a run that somebody writes, and of one that cannot be read."""

POINTS = 48
"""Most points of the small curve beside a run."""

OWN_CODE = "own code"

WATCHED = ("manifest.json", "notes.json", "rows.sqlite", "rows.sqlite-wal", "acknowledged.json")
"""Files that show by their size and time that something has changed."""


@dataclass(frozen=True)
class Entry:
    """What the table says of a run; numbers that are not known are nan.

    Args:
        path: of the run.
        state: one of `WRITTEN`, "finished", "interrupted", "diverged: ...", "failed: ..." or
            "damaged".
        trouble: what is wrong with it, or what was recovered; "" for nothing.
        title: that a person has given it.
        note: that a person has written.
        tags: words.
        experiment: how it differs from the default one, in words.
        data: its data set, in words.
        started: when, in UTC as "2026-11-21 13:05"; "" where that is not known.
        lanes: how many.
        batches: of the lane that was written last.
        rows: of that lane.
        accuracy: the best one, between 0 and 1.
        top5: the best top-5 accuracy.
        imbalance: of its last row, in decades.
        course: the small curve.
        curve: what the small curve is of.
    """

    path: Path
    state: str
    trouble: str = ""
    title: str = ""
    note: str = ""
    tags: tuple[str, ...] = ()
    experiment: str = ""
    data: str = ""
    started: str = ""
    lanes: int = 0
    batches: float = math.nan
    rows: float = math.nan
    accuracy: float = math.nan
    top5: float = math.nan
    imbalance: float = math.nan
    course: tuple[float, ...] = ()
    curve: str = ""

    @property
    def name(self) -> str:
        """Of the run."""
        return self.path.name

    @property
    def standing(self) -> str:
        """Its state, and whether something of it had to be recovered."""
        recovered = self.trouble and self.state != DAMAGED
        return f"recovered, {self.state}" if recovered else self.state

    def holds(self, words: str) -> bool:
        """Whether every one of some words stands somewhere in it."""
        texts = (self.name, self.title, self.note, self.standing, self.experiment, self.data)
        text = " ".join((*texts, *self.tags, self.trouble)).lower()
        return all(word in text for word in words.lower().split())


class Shelf:
    """The entries of all runs of a folder; used by one thread."""

    def __init__(self, root: Path | None = None) -> None:
        """Begin without having looked.

        Args:
            root: the folder of runs; None for that of `core.runs.folder`.
        """
        self.root = root
        self._held: dict[Path, tuple[Any, Entry]] = {}
        self._due: dict[Path, float] = {}

    def entries(self) -> list[Entry]:
        """Every run, newest first."""
        from core.runs import shelf

        paths = shelf.found(self.root)
        self._held = {path: self._held[path] for path in paths if path in self._held}
        return [self._entry(path) for path in paths]

    def trashed(self) -> list[Entry]:
        """What was put away and can be brought back."""
        from core.runs import shelf

        return [self._entry(path) for path in shelf.trashed(self.root)]

    def _entry(self, path: Path) -> Entry:
        """The entry of a run; one that costs much to read is read less often while it is live."""
        now = _signature(path)
        held = self._held.get(path)
        if held is not None:
            waits = time.monotonic() < self._due.get(path, 0.0)
            same_writer = held[0][1] == now[1]
            if held[0] == now or (waits and same_writer):
                return held[1]
        begun = time.monotonic()
        found = read(path)
        self._held[path] = now, found
        self._due[path] = time.monotonic() + 10 * (time.monotonic() - begun)
        return found


def read(path: Path) -> Entry:
    """The entry of a run, whatever state it is in."""
    from core.catalogue import BadInput
    from core.runs import Run
    from core.runs.manifest import read_notes

    notes = read_notes(path)
    said: dict[str, Any] = {"title": notes.title, "note": notes.note, "tags": notes.tags}
    try:
        run = Run(path)
        try:
            return Entry(path, run.state, **said, **_told(run.manifest), **_measured(run))
        finally:
            run.close()
    except (BadInput, OSError) as failed:
        return Entry(path, DAMAGED, " ".join(str(failed).split()), **said)
    except Exception as failed:  # one run that is wrong in a new way must not hide the others
        return Entry(path, DAMAGED, f"cannot be read ({type(failed).__name__}: {failed})", **said)


def words(experiment: Mapping[str, Any] | None) -> str:
    """An experiment by how it differs from the default one; its data and seed are told apart."""
    if experiment is None:
        return OWN_CODE
    from core.experiment import Experiment, difference

    differs = difference(Experiment().to_dict(), experiment)
    told = [f"{k} {b}" for k, _, b in differs if k.partition(".")[0] != "dataset"]
    return " · ".join(told) or "defaults"


def spark(entry: Entry, colour: str) -> str:
    """The small curve as inline SVG; made of numbers alone."""
    values = np.array(entry.course, float)
    there = np.isfinite(values)
    if there.sum() < 2:
        return ""
    low, high = values[there].min(), values[there].max()
    x = 1 + 94 * np.arange(len(values)) / (len(values) - 1)
    y = 17 - 14 * (values - low) / ((high - low) or 1.0)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b, ok in zip(x, y, there, strict=True) if ok)
    return (
        f'<svg width="96" height="20" viewBox="0 0 96 20" role="img" aria-label="{entry.curve}">'
        f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.4"/></svg>'
    )


def _signature(path: Path) -> Any:
    """What differs once a run has changed."""
    from core.runs.lock import is_held

    found = []
    for name in WATCHED:
        try:
            now = (path / name).stat()
            found.append((now.st_mtime_ns, now.st_size))
        except OSError:
            found.append((0, 0))
    return tuple(found), is_held(path)


def _told(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What the manifest says."""
    experiment = manifest.get("experiment")
    about = manifest.get("about") or {}
    data = experiment.get("dataset") if isinstance(experiment, Mapping) else about.get("data")
    name = data.get("name") if isinstance(data, Mapping) else data
    started = str(manifest.get("created", ""))[:16].replace("T", " ")
    return {"experiment": words(experiment), "data": str(name or ""), "started": started}


def _measured(run: Any) -> dict[str, Any]:
    """What the rows of the lane that was written last say."""
    lanes = run.lanes
    if not lanes:
        return {"trouble": run.recovered, "batches": 0.0, "rows": 0.0}
    lane = run.lane().number
    batches = run.batches(lane)
    accuracy, top5 = (_known(batches, name) for name in ("accuracy", "top5"))
    shown = int((batches["rows"] > 0).sum()) or batches.sizes["batch"]
    if len(accuracy) > 2:
        course, curve = _few(accuracy), "accuracy over batches"
    else:
        course, curve = _total(run, lane), "logarithm of the total energy over rows"
    return {
        "lanes": len(lanes),
        "batches": float(shown),
        "rows": float(run.rows(lane)),
        "accuracy": float(accuracy.max()) if len(accuracy) else math.nan,
        "top5": float(top5.max()) if len(top5) else math.nan,
        "imbalance": _imbalance(run, lane),
        "course": course,
        "curve": curve,
        "trouble": run.recovered,
    }


def _known(batches: Any, name: str) -> NDArray[Any]:
    """The numbers that were logged of batches under a name."""
    values = batches[name].values if name in batches else np.zeros(0)
    return values[np.isfinite(values)]


def _imbalance(run: Any, lane: int) -> float:
    """Decades between the energies of the last row."""
    from core import schema

    if not run.rows(lane):
        return math.nan
    data = run.dataset(lane, verify=False)
    if "energy" not in data:
        return math.nan
    last = data.isel(step=[-1])
    names = [name for name in ("energy", "activity", "t") if name in last.variables]
    rows = {name: last[name].values for name in names}
    reached = reached_of(rows["energy"], schema.floors(run.lanes[lane].layout, rows))
    return float(imbalance_of(rows["energy"], reached)[0])


def _total(run: Any, lane: int) -> tuple[float, ...]:
    """log10 of the sum of all layers' mean energies, over blocks of rows."""
    held = run.overview(lane, width=POINTS)
    if "energy_mean" not in held:
        return ()
    total = np.nansum(held["energy_mean"].transpose("block", "layer").values, axis=1)
    there = total > 0
    return tuple(np.where(there, np.log10(np.where(there, total, 1.0)), np.nan).tolist())


def _few(values: NDArray[Any]) -> tuple[float, ...]:
    """At most `POINTS` of some values, the last one among them."""
    at = np.unique(np.linspace(0, len(values) - 1, min(POINTS, len(values))).round().astype(int))
    return tuple(float(values[k]) for k in at)
