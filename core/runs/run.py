"""What happened in a run? Read while it is written or long after, whole or in parts."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from core import schema
from core.catalogue import BadInput
from core.recorder import Chunk
from core.runs import kept, losses, tables
from core.runs import manifest as manifests
from core.runs.errors import Damaged
from core.runs.lock import is_held
from core.runs.manifest import Notes
from core.runs.parts import LaneInfo, Parts, last_batch_until
from core.runs.rows import Stretch
from core.trace import Sample

if TYPE_CHECKING:
    from torch import Tensor


LIVE, PAUSED = "live", "paused"

WRITTEN = (LIVE, PAUSED)
"""How a run stands while somebody writes it."""


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
        if not self.path.is_dir() or not any(self.path.glob("*.*")):
            raise BadInput(f"run: {self.path}; no run lies there")
        held, trouble = None, ""
        try:
            held = manifests.read(self.path)
        except FileNotFoundError:
            trouble = f"{manifests.MANIFEST} is missing"
        except Damaged as failed:
            trouble = str(failed)
        self._parts = Parts(self.path)
        if held is None:
            held = self._copy_of_manifest(trouble)
            self._parts.complain(f"{trouble}: its copy in the store was taken")
        self.manifest: dict[str, Any] = held

    def _copy_of_manifest(self, trouble: str) -> dict[str, Any]:
        copies = self._parts.of("manifest")
        if not copies:
            raise Damaged(f"run: {self.path}; {trouble}, and no copy of it can be read")
        said = copies[-1].more  # the making before may have failed
        return manifests.checked({**said, "sha256": manifests.sha(said)}, self.path)

    # What it is ----------------------------------------------------------------------------------

    @property
    def notes(self) -> Notes:
        """Title, note and tags, as they now stand."""
        return manifests.read_notes(self.path)

    @property
    def state(self) -> str:
        """How it stands: of `WRITTEN`, "finished", "interrupted", "diverged: …" or "failed: …"."""
        if is_held(self.path):
            return PAUSED if self.said.get("paused") else LIVE
        ended = self._parts.of("ended")
        # One that was gone on with after its end, and then killed, has parts behind that, or had.
        if ended and self.parts == ended[-1].id:
            return str(ended[-1].more["how"])
        return "interrupted"

    @property
    def parts(self) -> int:
        """Number of the newest part that was ever stored, as far as that is known."""
        held = self._parts
        return max([held.newest, held.counted.parts, *held.bad])

    @property
    def said(self) -> dict[str, Any]:
        """Plain data that the writer said about the whole run while it went on."""
        found: dict[str, Any] = {}
        for part in self._parts.of("said"):
            found |= part.more
        return found

    @property
    def lanes(self) -> dict[int, LaneInfo]:
        """Lanes by number."""
        return self._parts.lanes

    def lane(self, number: int | None = None) -> LaneInfo:
        """A lane, by default the one that was last written.

        Raises:
            BadInput: if there is none of that number.
        """
        return self._parts.lane(number)

    @property
    def bytes(self) -> int:
        """Of the files of the store."""
        return sum(p.stat().st_size for p in self.path.glob("rows.sqlite*") if p.is_file())

    @property
    def recovered(self) -> str:
        """One sentence about what is missing or damaged; "" where nothing is."""
        return losses.sentence(self._parts)

    # Rows ----------------------------------------------------------------------------------------

    def refresh(self) -> bool:
        """Look for what was stored since; whether there is more."""
        return self._parts.refresh()

    def rows(self, lane: int | None = None) -> int:
        """Rows of a lane."""
        held = self._parts.stretches(self.lane(lane).number, "rows")
        return sum(one.stop - one.start for one in held)

    def unbroken(self, lane: int | None = None) -> int:
        """How many rows there are from the first one to the first that is missing."""
        count = 0
        for one in self._parts.stretches(self.lane(lane).number, "rows"):
            step = one.numbers("step")
            if int(step[0]) != count:
                break
            count += len(step)
        return count

    def dataset(self, lane: int | None = None, *, verify: bool | None = None) -> xr.Dataset:
        """A lane's rows by the schema of a trace.

        Args:
            lane: its number; by default the one that was last written.
            verify: whether every array is read and checked at once, and damaged ones left out; by
                default where that is below 64 MB. Otherwise a damaged one raises when it is read.

        Returns: the Dataset; its attribute `recovered` says what is missing.
        """
        with self._parts.guard:
            info = self.lane(lane)
            rows, frames = tables.verified(self._parts, info, verify)
            recipes = self.recipes(info.number)
            return tables.dataset(rows, frames, info.layout, recipes, self._attrs(info))

    def _attrs(self, info: LaneInfo) -> dict[str, Any]:
        """What a Dataset of a lane says about itself."""
        return {
            **info.attrs,
            "schema": schema.SCHEMA,
            "eps": info.layout.eps,
            "recipes": self.recipes(info.number),
            "events": self.events(),
            "batch_stride": info.attrs.get("batch_stride", 1),
            "step_stride": info.attrs.get("step_stride", 1),
            "run": self.name,
            "lane": info.number,
            "recovered": self.recovered,
        }

    def digest(self, lane: int | None = None) -> str:
        """A SHA-256 over a lane's rows, as `Trace.digest` of the same rows.

        Raises:
            Damaged: if they cannot all be read.
        """
        rows = self._parts.rows(self.lane(lane).number)
        at = np.arange(rows.count)
        return schema.digest(rows.index() | {name: rows.take(name, at) for name in rows.specs})

    def chunks(self, lane: int | None = None, after: int = 0) -> Iterator[tuple[int, Chunk]]:
        """A lane's rows and frames as they were stored, for whoever watches.

        Args:
            lane: its number.
            after: the mark that came with the last chunk that is known.

        Yields: a mark, and the chunk; a chunk whose first row is not behind the last one takes the
            place of all rows from there on. Parts that are not as they were written are left out.
        """
        said = (*schema.INDEX, schema.CLOCK)
        for one in self._parts.stretches(self.lane(lane).number, "rows"):
            if one.part.id <= after:
                continue
            held = slice(one.start, one.stop)
            try:
                rows = {k: self._parts.value(one.part, k)[held] for k in one.part.specs}
            except Damaged:
                self._parts.bad.add(one.part.id)
                continue
            frames = self._frames_of(one)
            rows |= {k: v[held] for k, v in one.part.index.items() if k in said}
            yield one.part.id, Chunk(rows, frames)

    def _frames_of(self, one: Stretch) -> dict[str, NDArray[Any]]:
        """The frames that were stored together with some rows."""
        part = self._parts.stored_with(one.part, "frames")
        if part is None:
            return {}
        step, numbers = one.numbers("step"), part.index["frame_row"]
        seen = (numbers >= step[0]) & (numbers <= step[-1])
        if not seen.any():
            return {}
        try:
            found = {name: self._parts.value(part, name)[seen] for name in part.specs}
        except Damaged:
            self._parts.bad.add(part.id)
            return {}
        return found | {"frame_row": numbers[seen]}

    def overview(self, lane: int | None = None, width: int = 1000) -> xr.Dataset:
        """A lane's energies in at most so many blocks of rows, without reading the rows.

        Returns: `energy_min`, `energy_mean`, `energy_max` (block, layer) over the finite energies
            of each block, with its number of rows, first step and first batch as coordinates; no
            block where no energies were recorded.
        """
        return tables.overview(self._parts, self.lane(lane), width)

    # Batches -------------------------------------------------------------------------------------

    def relaxations(self, lane: int | None = None) -> list[int]:
        """Batches whose relaxation was kept whole, with all that level full measures."""
        return tables.whole(self._parts, self.lane(lane))

    def relaxation(self, number: int, lane: int | None = None) -> xr.Dataset:
        """One batch from its first to its last step, by the schema of a trace.

        A batch whose relaxation was kept whole has all that level full measures, and any other the
        rows that the run holds.

        Raises:
            BadInput: if there is no such batch.
            Damaged: if its rows are not as they were written.
        """
        with self._parts.guard:
            info = self.lane(lane)
            return tables.relaxation(self._parts, info, number, self._attrs(info))

    def batches(self, lane: int | None = None) -> xr.Dataset:
        """What is known of whole batches, nan where it is not, with their `rows` and `T`."""
        return tables.batches(self._parts, self.lane(lane))

    def samples(self, lane: int | None = None) -> dict[int, Sample]:
        """What batches showed, by number, as far as it was kept."""
        found = {}
        for number, until in self._parts.line(self.lane(lane).number):
            last = last_batch_until(self._parts, number, until)
            for part in self._parts.of("samples", number):
                if last is not None and part.first > last:
                    continue
                try:
                    held = [self._parts.value(part, name) for name in ("labels", "images")]
                except Damaged:
                    self._parts.bad.add(part.id)
                    continue
                found[part.first] = Sample(*held)
        return found

    def recipes(self, lane: int | None = None) -> list[dict[str, Any]]:
        """Recipes of a lane, to which its rows refer by number."""
        held = self._parts.of("recipes", self.lane(lane).number)
        return list(held[-1].more["recipes"]) if held else []

    def events(self) -> list[dict[str, Any]]:
        """The event log of the session, in order."""
        found: dict[int, dict[str, Any]] = {}
        for part in self._parts.of("events"):
            found |= dict(enumerate(part.more["events"], part.first))
        return [found[k] for k in sorted(found)]

    # Weights -------------------------------------------------------------------------------------

    def kept(self, lane: int | None = None) -> list[int]:
        """Batches whose first weights were kept."""
        return kept.kept(self.path, self.lane(lane).number)

    def weights(self, number: int, lane: int | None = None) -> "Mapping[str, Tensor]":
        """The weights with which a batch begins.

        Raises:
            BadInput: if they were not kept; the nearest that were are offered.
            Damaged: if they are not as they were written.
        """
        info = self.lane(lane)
        there = kept.kept(self.path, info.number)
        if number not in there:
            near = min(there, key=lambda one: abs(one - number)) if there else None
            legal = "none were kept" if near is None else f"the nearest that were: {near}"
            raise BadInput(f"batch: {number}; its weights were not kept in {self.name}, {legal}")
        return kept.load(self.path, info.number, number)

    def close(self) -> None:
        """Let go of the files; safe to call twice."""
        self._parts.close()


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
