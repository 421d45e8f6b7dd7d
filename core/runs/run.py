"""What happened in a run? Read while it is written or long after, whole or in parts."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from core import schema
from core.catalogue import BadInput
from core.layout import Layout
from core.recorder import Chunk
from core.runs import kept
from core.runs import manifest as manifests
from core.runs.errors import Damaged
from core.runs.lazy import as_variable
from core.runs.lock import is_held
from core.runs.manifest import Notes
from core.runs.overview import joined
from core.runs.rows import Rows, Stretch, stretches
from core.runs.source import Part, Source
from core.runs.store import Count
from core.trace import Sample

if TYPE_CHECKING:
    from torch import Tensor

EAGER = 2**26
"""Bytes up to which a run is read at once, each part checked; a larger one as it is looked at."""


@dataclass(frozen=True)
class LaneInfo:
    """One lane of a run.

    Args:
        number: of the lane.
        layout: what its rows are about.
        title: how it differs from its parent.
        parent: the lane that it came from.
        forked_at: the last of the parent's rows that is also its own; None for none.
        attrs: what belongs to the lane.
    """

    number: int
    layout: Layout
    title: str
    parent: int | None
    forked_at: int | None
    attrs: Mapping[str, Any]


class Run:
    """A run, as far as it was stored when it was opened or last refreshed."""

    def __init__(self, path: str | Path) -> None:
        """Open a run.

        Raises:
            BadInput: if no run lies there, or a later version wrote it.
            Damaged: if nothing can be read.
        """
        self.path = Path(path)
        self.name = self.path.resolve().name
        self._guard = threading.RLock()
        trouble = ""
        if not self.path.is_dir():
            raise BadInput(f"run: {self.path}; no run lies there")
        try:
            held = manifests.read(self.path)
        except Damaged as failed:
            held, trouble = None, f"{manifests.MANIFEST} is damaged ({failed})"
        except BadInput:
            if (self.path / manifests.MANIFEST).exists():
                raise
            held, trouble = None, f"{manifests.MANIFEST} is missing"
        try:
            self._source = Source(self.path)
        except Damaged:
            if held is None and not any(self.path.glob("*.sqlite")):
                raise BadInput(f"run: {self.path}; no run lies there") from None
            raise
        self._parts: list[Part] = []
        self._bad: set[int] = set()
        self._trouble: list[str] = []
        self._read()
        if held is None:
            copies = self._of("manifest")
            if not copies:
                raise Damaged(f"run: {self.path}; {trouble}, and no copy of it can be read")
            held = manifests.checked(
                {**copies[0].more, "sha256": manifests.sha(copies[0].more)}, self.path
            )
            trouble += ": its copy in the store was taken"
        self._manifest_trouble = trouble
        self.manifest: dict[str, Any] = held

    # What it is ----------------------------------------------------------------------------------

    @property
    def notes(self) -> Notes:
        """Title, note and tags, as they now stand."""
        return manifests.read_notes(self.path)

    @property
    def state(self) -> str:
        """How it stands: "live", "finished", "interrupted", "diverged: …" or "failed: …"."""
        if is_held(self.path):
            return "live"
        ended = self._of("ended")
        # One that was gone on with after its end, and then killed, has parts behind that.
        if ended and self._parts[-1].id == ended[-1].id:
            return str(ended[-1].more["how"])
        return "interrupted"

    @property
    def said(self) -> dict[str, Any]:
        """Plain data that the writer said about the whole run while it went on."""
        found: dict[str, Any] = {}
        for part in self._of("said"):
            found |= part.more
        return found

    @property
    def lanes(self) -> dict[int, LaneInfo]:
        """Lanes by number."""
        found = {}
        for part in self._of("lane"):
            said = part.more
            found[part.lane] = LaneInfo(
                part.lane,
                Layout.from_dict(said["layout"]),
                said["title"],
                said["parent"],
                said["forked_at"],
                said["attrs"],
            )
        return found

    @property
    def last_lane(self) -> int:
        """The lane that is shown where none is asked for: the one that was last written.

        Raises:
            BadInput: if the run has none yet.
        """
        lanes = self.lanes
        rows = [part.lane for part in self._of("rows") if part.lane in lanes]
        if rows:
            return rows[-1]
        if not lanes:
            raise BadInput(f"run: {self.name}; it has no lane yet")
        return max(lanes)

    def lane(self, number: int | None = None) -> LaneInfo:
        """A lane, by default the last one.

        Raises:
            BadInput: if there is none of that number.
        """
        lanes = self.lanes
        number = self.last_lane if number is None else number
        if number not in lanes:
            known = ", ".join(map(str, sorted(lanes))) or "none yet"
            raise BadInput(f"lane: {number}; one of {known} of run {self.name}")
        return lanes[number]

    @property
    def bytes(self) -> int:
        """Of the files of the store."""
        return sum(p.stat().st_size for p in self.path.glob("rows.sqlite*") if p.is_file())

    @property
    def recovered(self) -> str:
        """One sentence about what is missing or damaged and what is held; "" where nothing is."""
        with self._guard:
            lost = self._lost()
            said = list(dict.fromkeys([self._manifest_trouble, *self._trouble]))
            if lost:
                total = max([*lost, self._parts[-1].id if self._parts else 0])
                line = f"{len(lost)} of {total} stored parts cannot be read"
                places = self._gaps()
                said.append(f"{line}: {places}" if places else line)
            return "; ".join(one for one in said if one)

    # Rows ----------------------------------------------------------------------------------------

    def refresh(self) -> bool:
        """Look for what was stored since; whether there is more."""
        with self._guard:
            before = self._parts[-1].id if self._parts else 0
            if not is_held(self.path) or self._source.trouble:
                again = Source(self.path)  # its log may have been folded into the file
                self._source.close()
                self._source = again
            self._read()
            return bool(self._parts) and self._parts[-1].id > before

    def rows(self, lane: int | None = None) -> int:
        """Rows of a lane."""
        return sum(one.stop - one.start for one in self._stretches(lane, "rows"))

    def dataset(self, lane: int | None = None, *, verify: bool | None = None) -> xr.Dataset:
        """A lane's rows by the schema of a trace.

        Args:
            lane: its number; by default the one that was last written.
            verify: whether every array is read and checked at once, and damaged ones left out; by
                default where that is below 64 MB. Otherwise a damaged one raises when it is read.

        Returns: the Dataset; its attribute `recovered` says what is missing.
        """
        with self._guard:
            info = self.lane(lane)
            rows = Rows(self._stretches(info.number, "rows"), self._value)
            frames = Rows(self._stretches(info.number, "frames"), self._value)
            size = rows.bytes + frames.bytes
            if verify or (verify is None and size <= EAGER):
                bad = rows.check() | frames.check()
                if bad:
                    self._bad |= bad
                    rows = Rows(self._stretches(info.number, "rows"), self._value)
                    frames = Rows(self._stretches(info.number, "frames"), self._value)
            recipes = self.recipes(info.number)
            index = rows.index() if rows.count else {}
            variables = _variables(info.layout, rows, index, recipes)
            variables |= _pictures(info.layout, frames)
            numbers = frames.index()["frame_row"] if frames.count else None
            attrs = {
                **info.attrs,
                "schema": schema.SCHEMA,
                "eps": info.layout.eps,
                "recipes": recipes,
                "events": self.events(),
                "batch_stride": info.attrs.get("batch_stride", 1),
                "step_stride": info.attrs.get("step_stride", 1),
                "run": self.name,
                "lane": info.number,
                "recovered": self.recovered,
            }
            data = schema.assemble(info.layout, index, variables, numbers, attrs)
            return data.load() if size <= EAGER else data

    def digest(self, lane: int | None = None) -> str:
        """A SHA-256 over a lane's rows, as `Trace.digest` of the same rows.

        Raises:
            Damaged: if they cannot all be read.
        """
        rows = Rows(self._stretches(self.lane(lane).number, "rows"), self._value)
        at = np.arange(rows.count)
        found = rows.index() | {name: rows.take(name, at) for name in rows.specs}
        return schema.digest(found)

    def chunks(self, lane: int | None = None, after: int = 0) -> Iterator[tuple[int, Chunk]]:
        """A lane's rows and frames as they were stored, for whoever watches.

        Args:
            lane: its number.
            after: the mark that came with the last chunk that is known.

        Yields: a mark, and the chunk; a chunk whose first row is not behind the last one takes the
            place of all rows from there on. Parts that are not as they were written are left out.
        """
        info = self.lane(lane)
        for one in self._stretches(info.number, "rows", whole=True):
            if one.part.id <= after:
                continue
            cut = slice(one.start, one.stop)
            try:
                rows = {k: self._value(one.part, k)[cut] for k in one.part.specs}
                frames = self._frames_between(info.number, one)
            except Damaged:
                self._bad.add(one.part.id)
                continue
            said = (*schema.INDEX, schema.CLOCK)
            rows |= {k: v[cut] for k, v in one.part.index.items() if k in said}
            yield one.part.id, Chunk(rows, frames)

    def overview(self, lane: int | None = None, width: int = 1000) -> xr.Dataset:
        """A lane's energies in at most so many blocks of rows, without reading the rows.

        Returns: `energy_min`, `energy_mean`, `energy_max` (block, layer) over the finite energies
            of each block, with its number of rows, first step and first batch as coordinates; no
            block where no energies were recorded.
        """
        info = self.lane(lane)
        held = Rows(self._stretches(info.number, "rows"), self._value).blocks()
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

    # Batches -------------------------------------------------------------------------------------

    def batches(self, lane: int | None = None) -> xr.Dataset:
        """What is known of whole batches, nan where it is not, with their `rows` and `T`."""
        info = self.lane(lane)
        logged: list[tuple[NDArray[Any], dict[str, NDArray[Any]]]] = []
        for number, until in self._line(info.number):
            born = self._first_batch_after(number, until)
            for part in self._of("batches", number):
                which = part.index["batch"]
                kept = slice(None) if born is None else which < born
                values = {name: v[kept] for name, v in part.index.items() if name != "batch"}
                logged.append((which[kept], values))
        index = Rows(self._stretches(info.number, "rows"), self._value).index()
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

    def samples(self, lane: int | None = None) -> dict[int, Sample]:
        """What batches showed, by number, as far as it was kept."""
        found = {}
        for number, _ in self._line(self.lane(lane).number):
            for part in self._of("samples", number):
                try:
                    labels, images = (self._value(part, name) for name in ("labels", "images"))
                except Damaged:
                    self._bad.add(part.id)
                    continue
                found[part.first] = Sample(labels, images)
        return found

    def recipes(self, lane: int | None = None) -> list[dict[str, Any]]:
        """Recipes of a lane, to which its rows refer by number."""
        held = self._of("recipes", self.lane(lane).number)
        return list(held[-1].more["recipes"]) if held else []

    def events(self) -> list[dict[str, Any]]:
        """The event log of the session, in order."""
        found: dict[int, dict[str, Any]] = {}
        for part in self._of("events"):
            found |= dict(enumerate(part.more["events"], part.first))
        return [found[k] for k in sorted(found)]

    def kept(self, lane: int | None = None) -> list[int]:
        """Batches whose first weights were kept."""
        return kept.kept(self.path, self.lane(lane).number)

    def weights(self, number: int, lane: int | None = None) -> "dict[str, Tensor]":
        """The weights with which a batch begins.

        Raises:
            BadInput: if they were not kept; the nearest that were are offered.
            Damaged: if they are not as they were written.
        """
        info = self.lane(lane)
        there = kept.kept(self.path, info.number)
        if number not in there:
            near = min(there, key=lambda one: abs(one - number)) if there else None
            legal = "none were kept" if near is None else f"the nearest that were kept: {near}"
            raise BadInput(
                f"batch: {number}; its first weights were not kept in run {self.name}, {legal}"
            )
        return kept.load(self.path, info.number, number)

    def close(self) -> None:
        """Let go of the files; safe to call twice."""
        self._source.close()

    # Parts ---------------------------------------------------------------------------------------

    def _read(self) -> None:
        found = self._source.parts(self._parts[-1].id if self._parts else 0)
        self._parts = [*self._parts, *found.parts]
        self._bad |= set(found.bad)
        self._trouble = list(dict.fromkeys([*self._trouble, *found.trouble]))

    def _of(self, stream: str, lane: int | None = None) -> list[Part]:
        return [
            part
            for part in self._parts
            if part.stream == stream and (lane is None or part.lane == lane)
        ]

    def _value(self, part: Part, name: str) -> NDArray[Any]:
        return self._source.value(part, name)

    def _line(self, lane: int) -> list[tuple[int, int | None]]:
        """A lane's ancestors and itself, each with the last of its rows that counts."""
        lanes = self.lanes
        found: list[tuple[int, int | None]] = [(lane, None)]
        while (
            lane in lanes and lanes[lane].parent is not None and lanes[lane].forked_at is not None
        ):
            until, lane = lanes[lane].forked_at, int(lanes[lane].parent)  # type: ignore[arg-type]
            if lane not in lanes or lane in [one for one, _ in found]:
                break
            found.insert(0, (lane, until))
        return found

    def _first_batch_after(self, lane: int, until: int | None) -> int | None:
        """The first batch of a lane that begins behind a row, if any does."""
        if until is None:
            return None
        for one in stretches(self._good("rows", lane), "step"):
            step, batch = one.part.index["step"], one.part.index["batch"]
            behind = np.flatnonzero((step > until) & (one.part.index["t"] == 0))
            if len(behind):
                return int(batch[behind[0]])
        return None

    def _good(self, stream: str, lane: int) -> list[Part]:
        return [part for part in self._of(stream, lane) if part.id not in self._bad]

    def _stretches(self, lane: int | None, stream: str, *, whole: bool = False) -> list[Stretch]:
        """What of the parts of a lane and its ancestors counts."""
        number = "step" if stream == "rows" else "frame_row"
        found: list[Stretch] = []
        with self._guard:
            for one, until in self._line(self.lane(lane).number):
                parts = self._good(stream, one)
                if whole and until is None:
                    own = [Stretch(p, 0, len(p.index[number])) for p in parts]
                else:
                    own = stretches(parts, number, until)
                found = [*found, *own]
        return found if whole else _behind(found, number)

    def _frames_between(self, lane: int, one: Stretch) -> dict[str, NDArray[Any]]:
        """The frames that were stored together with some rows."""
        first, last = (int(one.part.index["step"][k]) for k in (one.start, one.stop - 1))
        found: dict[str, NDArray[Any]] = {}
        for part in self._good("frames", one.part.lane):
            if part.id != one.part.id + 1:
                continue
            numbers = part.index["frame_row"]
            seen = (numbers >= first) & (numbers <= last)
            if seen.any():
                found = {name: self._value(part, name)[seen] for name in part.specs}
                found["frame_row"] = numbers[seen]
        return found

    # What is missing -----------------------------------------------------------------------------

    def _lost(self) -> set[int]:
        """Numbers of the parts that were stored and are not there, or not as they were written."""
        try:
            most = self._source.acknowledged().parts
        except ValueError as failed:
            line = f"{failed}: whether rows were lost at the end is not known"
            self._trouble = list(dict.fromkeys([*self._trouble, line]))
            most = 0
        there = {part.id for part in self._parts}
        most = max([most, *there, *self._bad])
        return (set(range(1, most + 1)) - there) | self._bad

    def _gaps(self) -> str:
        """Which rows of which lanes are missing, in words."""
        try:
            last: Mapping[int, int] = self._source.acknowledged().last
        except ValueError:
            last = Count().last
        said = []
        for number, info in sorted(self.lanes.items()):
            held = self._stretches(number, "rows")
            strided = int(info.attrs.get("step_stride", 1)) * int(info.attrs.get("batch_stride", 1))
            ranges = _missing(held) if strided == 1 else []
            end = int(held[-1].part.index["step"][held[-1].stop - 1]) if held else -1
            if last.get(number, end) > end:
                ranges.append((end + 1, last[number]))
            said += [f"rows {a}..{b} of lane {number} are missing" for a, b in ranges]
        return ", ".join(said[:8]) + (f" and {len(said) - 8} ranges more" if len(said) > 8 else "")


def open_run(path: str | Path, lane: int | None = None) -> xr.Dataset:
    """The rows of a run's lane as a Dataset; what was recovered stands in its attributes.

    Args:
        path: of the run.
        lane: its number; by default the one that was last written.

    Raises:
        BadInput: if there is no such run or lane.
        Damaged: if nothing can be read.
    """
    return Run(path).dataset(lane)


def _behind(held: list[Stretch], number: str) -> list[Stretch]:
    """A lane's own rows take the place of those of its parent from their number on."""
    found: list[Stretch] = []
    for one in held:
        first = int(one.part.index[number][one.start])
        while found and int(found[-1].part.index[number][found[-1].stop - 1]) >= first:
            last = found.pop()
            end = int(np.searchsorted(last.part.index[number][: last.stop], first, "left"))
            if end > last.start:
                found.append(Stretch(last.part, last.start, end))
                break
        found.append(one)
    return found


def _missing(held: list[Stretch]) -> list[tuple[int, int]]:
    """Numbers between stretches that no row has."""
    found, expected = [], 0
    for one in held:
        step = one.part.index["step"]
        first, last = int(step[one.start]), int(step[one.stop - 1])
        if first > expected:
            found.append((expected, first - 1))
        expected = last + 1
    return found


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
