"""How is a run recorded? One process appends what happened; what was appended is stored.

A run holds lanes. A training, or a loop of one's own, has one; a session has one for each of its
lanes, and a lane that was forked from another stores only its own rows.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core import schema
from core.catalogue import BadInput
from core.layout import Layout
from core.runs import manifest as manifests
from core.runs import shelf
from core.runs.errors import Damaged, told
from core.runs.fits import Fits
from core.runs.kept import keep
from core.runs.lock import NAME as LOCK
from core.runs.lock import Lock
from core.runs.overview import blocks
from core.runs.packing import plain_data
from core.runs.store import (
    COUNT,
    MANIFEST_STREAM,
    ROW_STREAM,
    ROWS,
    WEIGHTS_STREAM,
    WHOLE_STREAM,
    New,
    Store,
)

if TYPE_CHECKING:
    from torch import Tensor

    from core.recorder import Chunk
    from core.trace import Sample

FINISHED, INTERRUPTED = "finished", "interrupted"


class Writer:
    """The one writer of a run; any thread may call it. A context manager that closes it."""

    def __init__(
        self,
        path: str | Path,
        *,
        experiment: Mapping[str, Any] | None = None,
        about: Mapping[str, Any] | None = None,
        resume: bool = False,
        durable: bool = False,
    ) -> None:
        """Make a run, or go on with one.

        Args:
            path: of its directory, whose name is the run's; missing folders above it are made.
            experiment: all choices as `Experiment.to_dict` gives them; None for one's own loop.
            about: data, fingerprint, engine, whatever belongs to the whole run.
            resume: whether to append to a run that is there.
            durable: whether each flush waits for the disk.

        Raises:
            BadInput: if the name is illegal, or a run lies there and is not to be gone on with.
            Locked: if another process writes it.
            NotWritten: if the folder cannot be written.
            Damaged: if what lies there is too broken to be gone on with.
        """
        self.path = Path(path)
        shelf.check_name(self.path.name)
        if self.path.is_symlink():
            raise BadInput(f"run: {self.path}; a folder of its own, this is a link")
        with told(self.path):
            self._refuse(resume, is_new=True)
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(self.path)
        self.note = self._lock.missing
        self._ended = False
        self._lanes = 0
        self._events = 0
        self._fits: dict[int, Fits] = {}
        try:
            self._store = Store(self.path, durable=durable)
            begun = self._store.count.parts
            try:
                # Only now nobody else can be making it.
                there = self._refuse(resume, is_new=self._store.is_new)
                if there or (resume and self._store.count.parts):
                    self._go_on()
                else:
                    self._begin(manifests.made(experiment, about or {}))
            except BaseException:
                self._store.close()
                raise
        except BaseException:
            self._lock.free()
            raise
        self.begun = begun
        if self._store.rollback:
            self.note = "on a network file system: readers and the writer wait for one another"

    def _refuse(self, resume: bool, *, is_new: bool) -> bool:
        """Whether a run lies there to be gone on with; one whose making failed does not count.

        Raises:
            BadInput: if it shall not be gone on with, or something else lies there.
        """
        there = (self.path / manifests.MANIFEST).exists() or not is_new
        if there and not resume:
            raise BadInput(f"run: {self.path}; it exists: resume it, or choose another name")
        if not there and self.path.exists():
            if any(not _is_own(one.name) for one in self.path.iterdir()):
                raise BadInput(f"run: {self.path}; a folder with other things in it")
        return there

    def _begin(self, manifest: dict[str, Any]) -> None:
        self.origin = manifests.sha(manifest)
        self._put(MANIFEST_STREAM, 0, 0, 0, more=manifest)
        with told(self.path):
            manifests.write(self.path, manifest)

    def _go_on(self) -> None:
        from core.runs.parts import NUMBER, Parts
        from core.runs.run import Run

        before = Parts(self.path)
        self._lanes, self._events = before.given_lanes, before.given_events
        self._fits = {k: Fits(one.layout) for k, one in before.lanes.items()}
        for part in [one for name in NUMBER for one in before.of(name)]:
            if part.lane in self._fits:
                shapes = ((name, tuple(spec["shape"][1:])) for name, spec in part.specs.items())
                self._fits[part.lane].know(shapes)
        before.close()
        try:
            manifest = manifests.read(self.path)
        except (FileNotFoundError, Damaged):
            run = Run(self.path)  # takes the copy in the store
            run.close()
            manifest = run.manifest
            with told(self.path):
                manifests.write(self.path, manifest)
        self.origin = manifests.sha(manifest)

    # What may be appended ------------------------------------------------------------------------

    def lane(
        self,
        layout: Layout,
        *,
        title: str = "",
        parent: int | None = None,
        forked_at: int | None = None,
        attrs: Mapping[str, Any] | None = None,
    ) -> int:
        """Describe a lane; returns its number.

        Args:
            layout: what its rows are about.
            title: how it differs from its parent.
            parent: the lane whose rows come before its own, or from which it was restarted.
            forked_at: the last of the parent's rows that is also its own; None for none.
            attrs: experiment, engine, dtype, whatever belongs to the lane.
        """
        number = self._lanes
        if parent is not None:
            self._check_lane(parent)
        said = {
            "layout": layout.to_dict(),
            "title": title,
            "parent": parent,
            "forked_at": forked_at,
            "attrs": plain_data(attrs or {}),
        }
        self._put("lane", number, 0, 0, more=said)
        self._lanes += 1
        self._fits[number] = Fits(layout)
        return number

    def append(self, lane: int, chunk: "Chunk", whole: "Chunk | None" = None) -> None:
        """Store the rows and frames of one flush; they are stored when this returns.

        A row with the number of an earlier one of its lane takes its place, and that of every later
        one: so a row can be measured again. `whole` has more of some rows, for `Run.relaxation`.

        Raises:
            BadInput: naming an array that does not fit the lane.
            NotWritten: if the disk refuses; nothing of the chunk is stored then.
        """
        self._check_lane(lane)
        parts = []
        if chunk.count:
            parts.append(self._rows(lane, chunk.rows))
        if chunk.frames:
            numbers_ = chunk.frames["frame_row"]
            values = {k: v for k, v in chunk.frames.items() if k != "frame_row"}
            self._fits[lane].check(values, len(numbers_))
            first, last = int(numbers_[0]), int(numbers_[-1])
            parts.append(New("frames", lane, first, last, {"frame_row": numbers_}, values, {}))
        if whole is not None and whole.count:
            parts.append(self._rows(lane, whole.rows, WHOLE_STREAM))
        if parts:
            self._store.put(parts)

    def batch(self, lane: int, number: int, **values: Any) -> None:
        """Store what is known of a whole batch; called again, it adds to it.

        Args:
            lane: its number.
            number: of the batch.
            **values: of `schema.BATCH_DIMS`, or a number under any other name.

        Raises:
            BadInput: naming the value that is neither a number nor one for each layer.
        """
        held = {name: array_of(name, value)[None] for name, value in values.items()}
        self.batches(lane, [number], **held)

    def batches(self, lane: int, numbers: Sequence[int], **values: Any) -> None:
        """Store what is known of several batches at once; nan where something is not.

        Args:
            lane: its number.
            numbers: of the batches, (n,), in order.
            **values: of `schema.BATCH_DIMS`, or numbers under any other name, (n, ...).

        Raises:
            BadInput: naming the value that is neither a number nor one for each layer.
        """
        self._check_lane(lane)
        layers = self._fits[lane].layers
        index: dict[str, NDArray[Any]] = {"batch": np.array(numbers, dtype=np.int64)}
        for name, value in values.items():
            held = array_of(name, value)
            wanted = (layers,) if "layer" in schema.BATCH_DIMS.get(name, ()) else ()
            if held.shape != (len(numbers), *wanted):
                legal = f"one number for each of {layers} layers" if wanted else "one number"
                raise BadInput(f"batch.{name}: shape {held.shape[1:]}; {legal}")
            index[name] = held.astype(np.float64)
        if len(numbers):
            self._put("batches", lane, numbers[0], numbers[-1], index=index)

    def go_back(self, lane: int, number: int) -> None:
        """Let what is known of batches from a number on no longer count: they come again."""
        self._check_lane(lane)
        none = {"batch": np.zeros(0, dtype=np.int64)}
        self._put("batches", lane, number, number, index=none, more={"again": number})

    def sample(self, lane: int, number: int, sample: "Sample") -> None:
        """Store what a batch showed: the labels of its samples and its first images."""
        self._check_lane(lane)
        values = {"labels": np.asarray(sample.labels), "images": np.asarray(sample.images)}
        self._store.put([New("samples", lane, number, number, {}, values, {})])

    def recipes(self, lane: int, recipes: list[dict[str, Any]]) -> None:
        """Store the list of a lane's recipes as it now stands; rows refer to them by number."""
        self._check_lane(lane)
        self._put("recipes", lane, 0, len(recipes), more={"recipes": recipes})

    def events(self, events: list[dict[str, Any]]) -> None:
        """Store events that came after those stored before."""
        if events:
            first = self._events
            self._put("events", 0, first, first + len(events) - 1, more={"events": events})
            self._events += len(events)

    def say(self, **attrs: Any) -> None:
        """Store plain data about the whole run; a later value takes the place of an earlier one."""
        self._put("said", 0, 0, 0, more=plain_data(attrs))

    def weights(self, lane: int, number: int, tensors: "Mapping[str, Tensor]") -> None:
        """Keep the weights with which a batch begins, as safetensors.

        Raises:
            NotWritten: if the disk refuses.
        """
        self._check_lane(lane)
        with told(self.path):
            keep(self.path, lane, number, tensors)
        self._put(WEIGHTS_STREAM, lane, number, number)

    def settle(self) -> None:
        """Wait until the disk has all that was stored.

        Raises:
            NotWritten: if the disk refuses.
        """
        self._store.settle()

    # The end -------------------------------------------------------------------------------------

    def leave(self) -> None:
        """Let others write the run, and say nothing of how it ended; safe to call twice."""
        self._ended = True
        try:
            self._store.close()
        finally:
            self._lock.free()

    def close(self, how: str = FINISHED) -> None:
        """Say how the run ended and let others write it; safe to call twice.

        Args:
            how: "finished", "interrupted", "diverged: …" or "failed: …".

        Raises:
            NotWritten: if the disk refuses that line; the run is closed all the same, and reads as
                interrupted until it is gone on with and closed again.
        """
        if self._ended:
            return
        self._ended = True
        try:
            self._put("ended", 0, 0, 0, more={"how": how})
        finally:
            self.leave()

    def __enter__(self) -> "Writer":
        """The writer itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close: as interrupted or failed where an exception ends the block."""
        if error is None:
            self.close()
        elif isinstance(error, KeyboardInterrupt | SystemExit):
            self.close(INTERRUPTED)
        else:
            line = " ".join(str(error).split())[:200]
            self.close(f"failed: {type(error).__name__}: {line}")

    # Parts ---------------------------------------------------------------------------------------

    def _put(
        self,
        stream: str,
        lane: int,
        first: int,
        last: int,
        *,
        index: Mapping[str, NDArray[Any]] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        self._store.put([New(stream, lane, first, last, index or {}, {}, more or {})])

    def _rows(self, lane: int, rows: Mapping[str, NDArray[Any]], stream: str = ROW_STREAM) -> New:
        said = (*schema.INDEX, schema.CLOCK)
        index = {name: np.asarray(rows[name]) for name in said if name in rows}
        values = {name: np.asarray(v) for name, v in rows.items() if name not in said}
        step = index["step"]
        if (np.diff(step) <= 0).any():
            raise BadInput("step: not in order; each row has a larger number than the one before")
        self._fits[lane].check(values, len(step))
        if "energy" in values and stream == ROW_STREAM:
            index |= blocks(index["step"], index["batch"], values["energy"])
        return New(stream, lane, int(step[0]), int(step[-1]), index, values, {})

    def _check_lane(self, lane: int) -> None:
        if lane not in self._fits:
            known = ", ".join(map(str, sorted(self._fits))) or "there is none yet"
            raise BadInput(f"lane: {lane}; one of run {self.path.name}: {known}")


def _is_own(name: str) -> bool:
    """Whether a run whose making failed may have left a file of this name."""
    return name == LOCK or name.lstrip(".").startswith((ROWS, COUNT, "manifest-"))


def array_of(name: str, value: Any) -> NDArray[Any]:
    """Numbers of any framework as a numpy array on the host.

    Raises:
        BadInput: for anything but numbers.
    """
    if hasattr(value, "detach"):  # of torch: on any device, with or without a graph
        value = value.detach().cpu()
    try:
        held = np.asarray(value)
    except (TypeError, ValueError) as failed:
        raise BadInput(f"{name}: {failed}; an array of numbers") from None
    if held.dtype.kind not in "biuf":
        held = np.asarray(held, dtype=np.float32) if _is_small_float(held) else held
    if held.dtype.kind not in "biuf":
        raise BadInput(f"{name}: {type(value).__name__} of {held.dtype}; an array of numbers")
    return held


def _is_small_float(held: NDArray[Any]) -> bool:
    """Whether it is of a floating-point type that numpy has from elsewhere, as bfloat16 of jax."""
    return re.match(r"b?float", held.dtype.name) is not None
