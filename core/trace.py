"""What is kept? One lane's rows in append-only xarray buffers.

A row t of a batch holds the states before update t, so that a batch has T + 1 rows and the last one
is what the weights see. Memory is bounded: when more than `limit` rows are held, a trace of several
batches keeps every second batch, a trace of one batch every second step; the rows of the newest
batch, the newest row and the last row of each kept batch stay. Rows that came since are thinned to
the stride first, and it doubles only where they would still fill three quarters of the limit: the
whole past stays in view, evenly, however long a run is. Frames of images are bounded in the same
way by `frame_limit`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from core import schema
from core.layout import Layout
from core.network import Network
from core.recorder import Chunk

if TYPE_CHECKING:
    from core.runs.log import Log


@dataclass
class Sample:
    """What a batch showed: the labels of all samples and the first images."""

    labels: NDArray[Any]  # (B,)
    images: NDArray[Any]  # (S, C, H, W)


@dataclass
class _Buffers:
    """Rows and frames with room to grow; published by replacing the whole."""

    rows: dict[str, NDArray[Any]] = field(default_factory=dict)
    frames: dict[str, NDArray[Any]] = field(default_factory=dict)
    n: int = 0
    f: int = 0


class Trace:
    """One lane: rows are appended by one writer and read by any number of readers."""

    def __init__(
        self,
        about: Network | Layout,
        *,
        attrs: dict[str, Any] | None = None,
        pixel_shape: tuple[int, ...] = (),
        limit: int = 20_000,
        frame_limit: int = 600,
    ) -> None:
        """Describe the lane.

        Args:
            about: names, depths and sizes of layers and states, or the network that has them.
            attrs: experiment, versions, device, whatever belongs to the whole lane.
            pixel_shape: (C, H, W) of its images, where a network is given.
            limit: most rows that are held.
            frame_limit: most frames of images that are held.
        """
        self.attrs = dict(attrs or {})
        self.limit, self.frame_limit = limit, frame_limit
        self.layout = about if isinstance(about, Layout) else Layout.of(about, pixel_shape)
        self.pixel_shape = self.layout.pixel_shape
        self.layers = list(self.layout.layers)
        self.names = list(self.layout.names)
        self.depths = list(self.layout.depths)
        self.sizes = list(self.layout.sizes)
        self.quadratic = list(self.layout.quadratic)
        self.eps = self.layout.eps
        self.recipes: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.batches: dict[int, Sample] = {}
        self.batch_stride = self.step_stride = self.frame_stride = 1
        self._now = _Buffers()

    @staticmethod
    def open(path: str | Path, **options: Any) -> "Log":
        """Begin a run on disk that a loop of one's own appends to; see `core.runs.log.Log`.

        Args:
            path: of the run's folder.
            **options: `layers`, which must be given, and the others of `Log`.
        """
        from core.runs.log import Log  # here, because runs are made of traces

        return Log(path, **options)

    def __len__(self) -> int:
        """Rows held."""
        return self._now.n

    @property
    def bytes(self) -> int:
        """Memory of the buffers."""
        held = [*self._now.rows.values(), *self._now.frames.values()]
        images = sum(one.images.nbytes for one in list(self.batches.values()))
        return sum(a.nbytes for a in held) + images

    def append(self, chunk: Chunk) -> None:
        """Take a chunk over; thins the trace when it is full.

        A chunk that begins with the newest row measures that row again: it takes its place.
        """
        now = self._without(self._now, int(chunk.rows["step"][0]))
        rows, n = _grown(now.rows, now.n, chunk.rows)
        frames, f = _grown(now.frames, now.f, chunk.frames)
        now = _Buffers(rows, frames, n, f)
        while now.n > self.limit:
            more, now = now.n, self._thinned(now)
            if now.n == more:
                break
        if now.f > self.frame_limit:
            now = self._thinned_frames(now)
        self._now = now
        if len(self.batches) > 64:
            kept = set(np.unique(now.rows["batch"][: now.n]).tolist())
            newest = max(self.batches)
            self.batches = {k: v for k, v in self.batches.items() if k in kept or k >= newest - 1}

    def copy_until(self, row: int, into: "Trace") -> None:
        """Give another trace this one's rows up to and including row number `row`."""
        now = self._now
        if not now.rows:
            return
        keep = now.rows["step"][: now.n] <= row
        shown = {}
        if now.frames:
            seen = now.frames["frame_row"][: now.f] <= row
            shown = {k: v[: now.f][seen] for k, v in now.frames.items()}
        into.recipes = [dict(one) for one in self.recipes]
        into.batches = dict(self.batches)
        into.batch_stride, into.step_stride = self.batch_stride, self.step_stride
        into.frame_stride = self.frame_stride
        into.append(Chunk({k: v[: now.n][keep] for k, v in now.rows.items()}, shown))

    def chunk(self, after: int = -1) -> Chunk:
        """The rows and frames behind row number `after`, copied."""
        now = self._now
        if not now.n:
            return Chunk()
        first = int(np.searchsorted(now.rows["step"][: now.n], after, side="right"))
        shown = {}
        if now.frames:
            seen = int(np.searchsorted(now.frames["frame_row"][: now.f], after, side="right"))
            shown = {k: v[seen : now.f].copy() for k, v in now.frames.items()}
        return Chunk({k: v[first : now.n].copy() for k, v in now.rows.items()}, shown)

    def row(self, number: int) -> dict[str, Any] | None:
        """The recorded row nearest to row `number`, as plain arrays; None while empty."""
        now = self._now
        if not now.n:
            return None
        at = int(np.abs(now.rows["step"][: now.n] - number).argmin())
        return {name: values[at] for name, values in now.rows.items()}

    def tail(self, count: int, until: int | None = None) -> dict[str, NDArray[Any]]:
        """The last `count` rows, or those up to row number `until`, as views of the buffers."""
        now = self._now
        if not now.n:
            return {}
        end = now.n
        if until is not None:
            end = int(np.searchsorted(now.rows["step"][: now.n], until, side="right"))
        first = max(0, end - count)
        return {name: values[first:end] for name, values in now.rows.items()}

    def frame(self, row: int) -> dict[str, NDArray[Any]]:
        """The last images recorded at or before row number `row`; empty where there are none."""
        now = self._now
        if not now.f:
            return {}
        at = int(np.searchsorted(now.frames["frame_row"][: now.f], row, side="right")) - 1
        return {name: values[max(at, 0)] for name, values in now.frames.items()}

    def dataset(self) -> xr.Dataset:
        """The rows so far as a Dataset that shares their memory."""
        now = self._now
        rows = {name: values[: now.n] for name, values in now.rows.items()}
        held: dict[str, Any] = {
            name: values
            for name, values in rows.items()
            if name not in schema.INDEX and name != schema.CLOCK
        }
        for name in schema.derivable(self.layout, list(held)):
            held[name] = schema.derived(name, self.layout, rows, self.recipes)
        frames = {name: values[: now.f] for name, values in now.frames.items()}
        numbers = frames.pop("frame_row", None)
        for name, values in frames.items():
            if schema.DIMS[name][2:] == ("channel", "row", "column"):
                values = values.reshape(*values.shape[:2], *self.pixel_shape)
            held[name] = values
        return schema.assemble(self.layout, rows, held, numbers, self._attrs())

    def floors(self, rows: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Rounding floor of each layer's energy in rows of this trace, (rows, L), in nats."""
        return schema.floors(self.layout, rows)

    def digest(self) -> str:
        """A SHA-256 over the rows that are held, frames left out: equal for equal traces."""
        now = self._now
        return schema.digest({name: values[: now.n] for name, values in now.rows.items()})

    def _attrs(self) -> dict[str, Any]:
        written = {
            "schema": schema.SCHEMA,
            "eps": self.eps,
            "recipes": self.recipes,
            "events": self.events,
            "batch_stride": self.batch_stride,
            "step_stride": self.step_stride,
        }
        return {**self.attrs, **written}

    def _without(self, now: _Buffers, row: int) -> _Buffers:
        """All but the newest row and its frame, if that row has this number."""
        n, f = now.n, now.f
        if n and int(now.rows["step"][n - 1]) == row:
            n -= 1
        if f and int(now.frames["frame_row"][f - 1]) == row:
            f -= 1
        return _Buffers(now.rows, now.frames, n, f)

    def _thinned(self, now: _Buffers) -> _Buffers:
        """Fewer rows, by the rule in this file's header; all of them where none may go."""
        rows = {k: v[: now.n] for k, v in now.rows.items()}
        batch, t = rows["batch"], rows["t"]
        several = len(np.unique(batch)) > 2
        by = batch if several else t
        ends = (t == rows["T"]) | (np.diff(batch, append=-1) != 0)
        stay = batch == batch[-1] if several else ends
        stride = self.batch_stride if several else self.step_stride
        while (kept := (by % stride == 0) | stay).sum() > _roomy(self.limit) and stride <= by.max():
            stride *= 2
        if several:
            self.batch_stride = stride
        else:
            self.step_stride = stride
        return _Buffers({k: v[kept] for k, v in rows.items()}, now.frames, int(kept.sum()), now.f)

    def _thinned_frames(self, now: _Buffers) -> _Buffers:
        """The first frame of every so many rows, and the newest."""
        row = now.frames["frame_row"][: now.f]
        while True:
            first = np.unique(row // self.frame_stride, return_index=True)[1]
            kept = np.unique([*first, now.f - 1])
            if len(kept) <= max(_roomy(self.frame_limit), 2):
                break
            self.frame_stride *= 2
        frames = {k: v[: now.f][kept] for k, v in now.frames.items()}
        return _Buffers(now.rows, frames, now.n, len(kept))


def _roomy(limit: int) -> int:
    """What may be left after thinning, so that it is not done again at once."""
    return limit - limit // 4


def _grown(
    held: dict[str, NDArray[Any]], n: int, new: dict[str, NDArray[Any]]
) -> tuple[dict[str, NDArray[Any]], int]:
    """Buffers with the new entries behind the first n; room doubles when it runs out."""
    if not new:
        return held, n
    count = len(next(iter(new.values())))
    if n and set(held) != set(new):
        changed = ", ".join(sorted(set(held) ^ set(new)))
        raise ValueError(f"trace: {changed}; a lane keeps the variables of its first row")
    grown = {}
    for name, values in new.items():
        old = held.get(name)
        if old is None:
            old = np.empty((0, *values.shape[1:]), values.dtype)
        room = old
        if n + count > len(old) or old.dtype != np.result_type(old, values):
            size = max(2 * len(old), n + count, 64)
            room = np.empty((size, *values.shape[1:]), np.result_type(old.dtype, values.dtype))
            room[:n] = old[:n]
        room[n : n + count] = values
        grown[name] = room
    return grown, n + count
