"""How does a loop of one's own leave a run? Three lines, in any framework.

    log = core.Trace.open("runs/mine", layers=["hidden", "output"])
    for t in range(T):
        log.append(energy=[E1, E2])

A row is what was measured before update t of one batch. What is not logged is absent, and nothing
is made up for it. Tensors stay on their device until what waits is stored, about four times a
second with the next call: a killed process loses that much, and an ended one nothing.
"""

import atexit
import math
import os
import sys
import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from core.catalogue import BadInput, shown
from core.experiment import Experiment
from core.layout import Layout
from core.runs import shelf
from core.runs.arrays import landed, taken
from core.runs.buffer import Buffer, Entry
from core.runs.counting import Counter, whole
from core.runs.layers import Layers, layout_of
from core.runs.legal import FRAMES, SHOWN, TAKEN, Shapes
from core.runs.run import Run
from core.runs.writer import FINISHED, INTERRUPTED, Writer
from core.schema import BATCH_DIMS, DIMS

if TYPE_CHECKING:
    from core.runs.manifest import Notes


class Log:
    """A run that a program's own loop appends to; any thread of it may. A context manager."""

    def __init__(
        self,
        path: str | Path,
        *,
        layers: Layers,
        experiment: Experiment | Mapping[str, Any] | None = None,
        about: Mapping[str, Any] | None = None,
        pixel_shape: tuple[int, ...] = (),
        dtype: Any = None,
        resume: bool = False,
        durable: bool = False,
    ) -> None:
        """Make a run with one lane, or go on with one.

        Args:
            path: of the run's folder.
            layers: those that have an energy, from the input's side: for each its name, its number
                of units or a pair of the two, where a number that is not said is not known. The
                state that layer k predicts has number k; state 0 is the input. A network or a
                layout says all of it.
            experiment: all choices, where they are those of this software: its recipe is shown
                beside the rows. Anything else about the run belongs to `about`.
            about: plain data about the run: rates, seeds, the name of a script.
            pixel_shape: (channels, rows, columns) of its images, if it logs any.
            dtype: in which the loop computes, by default float32: layers with energies that its
                rounding alone can make count as not reached, where the units are known.
            resume: whether to go on with a run that is there; the first batch that is then logged
                takes the place of an earlier one of its number and of all behind that.
            durable: whether each part waits for the disk, so that a loss of power costs no row.

        Raises:
            BadInput: for layers, a dtype or a name that are not legal, or a run that exists.
            Locked: if another process writes it.
            NotWritten: if the folder cannot be written.
        """
        layout = layout_of(layers, pixel_shape, dtype)
        if isinstance(experiment, Mapping):
            experiment = Experiment.from_dict(experiment)
        choices = None if experiment is None else experiment.to_dict()
        writer = Writer(path, experiment=choices, about=about, resume=resume, durable=durable)
        self.path = writer.path
        self.layout = layout
        self._guard = threading.RLock()
        self._counter = Counter()
        try:
            lane, known = self._taken_up(layout) if resume else (None, {})
            if lane is None:
                lane = writer.lane(layout, attrs={"by": "own code"})
                if experiment is not None:
                    writer.recipes(lane, [experiment.recipe.to_dict()])
        except BaseException:
            writer.close(INTERRUPTED)
            raise
        self._shapes = Shapes(layout, known)
        if layout.pixel_shape:
            self._shapes.sizes["pixels"] = math.prod(layout.pixel_shape)
        self._buffer = Buffer(writer, lane, self._shapes)
        self._end = weakref.finalize(self, _let_go, self._buffer)
        self._end.atexit = False  # it runs at exit by this, before the frameworks let go of devices
        self._at_exit = atexit.register(_leave, self._end, self._buffer)

    def _taken_up(self, layout: Layout) -> tuple[int | None, dict[str, int]]:
        """Stand behind the last row of a run; its lane, and the sizes of its dimensions."""
        run = Run(self.path)
        try:
            if not run.lanes:
                return None, {}
            if len(run.lanes) > 1:
                raise BadInput(f"resume: {self.path}; a run of several lanes is of a session")
            info = run.lane()
            if info.layout != layout:
                was = ", ".join(info.layout.names[k] for k in info.layout.layers)
                raise BadInput(f"resume: {self.path}; as it began: layers {was}, same units")
            held = run.dataset(info.number)
            if "step" in held.sizes:
                step, batch = held["step"].values, held["batch"].values
                first = np.unique(batch, return_index=True)
                firsts = {int(b): int(step[k]) for b, k in zip(*first, strict=True)}
                self._counter = Counter(firsts, int(step[-1]) + 1)
            fixed = ("sample", "class", "shown")
            named = {str(k): n for k, n in held.sizes.items()}
            return info.number, {
                k: n for k, n in named.items() if k in fixed or k.startswith("unit_")
            }
        finally:
            run.close()

    # Rows ----------------------------------------------------------------------------------------

    def append(
        self,
        *,
        batch: Any = None,
        t: Any = None,
        phase: str | Sequence[str] | None = None,
        T: Any = None,
        seconds: Any = None,
        states: Sequence[Any] | None = None,
        **values: Any,
    ) -> None:
        """Log one row, or several: then every value has one axis more, in front.

        Values are tensors of torch on any device, with or without a graph, arrays of numpy or jax,
        numbers or lists of these. What is not a number (nan, inf) is kept.

        Args:
            batch: its number, counted over epochs; by default that of the row before, first 0.
            t: updates before this row; by default counted within a batch and phase.
            phase: its name; by default that of the row before, first "relax".
            T: updates of a batch; by default that of the row before, first not known.
            seconds: spent relaxing so far.
            states: of each state or each layer, (samples, units); large, and kept as they are.
            **values: per layer (L,): energy, error, precision, prediction_drift, alignment,
                update_ratio, agreement; per state, or per layer for the state that it predicts:
                force, speed, activity; energy_sample (L, samples), probability (samples, classes),
                cost (one number). `schema.ABOUT` says what each is. A smaller batch is filled
                with nan.

        Raises:
            BadInput: naming the value, what came and what is legal; nothing is logged then.
            NotWritten: if the disk refuses; what was logged waits and is tried again.
        """
        with self._guard:
            self._check_open()
            if states is not None:
                values |= self._named(states)
            if not values:
                raise BadInput("append: no value; energy, or another variable of rows")
            held = {name: taken(name, value) for name, value in values.items()}
            counts = {name: self._shapes.rows(name, tuple(v.shape)) for name, v in held.items()}
            first, *others = counts
            for name in others:
                if counts[name] != counts[first]:
                    raise BadInput(
                        f"{name}: {_rows(counts[name])}; {_rows(counts[first])}, as {first} has"
                    )
            count = counts[first]
            rows = self._counter.rows(count, batch=batch, t=t, phase=phase, T=T, seconds=seconds)
            self._buffer.rows(Entry(rows, held, count is None))

    def _named(self, states: Sequence[Any]) -> dict[str, Any]:
        """Full states by the number of each."""
        layers, N = self.layout.layers, len(self.layout.sizes)
        if not isinstance(states, list | tuple) or len(states) not in (N, len(layers)):
            raise BadInput(
                f"states: {shown(states)}; a list of {len(layers)}, one for each layer, or of {N}, "
                "with the input before them"
            )
        numbers = range(N) if len(states) == N else layers
        return {f"state_{k}": one for k, one in zip(numbers, states, strict=True)}

    def images(self, **values: Any) -> None:
        """Log what can be looked at in the newest row.

        Args:
            **values: prediction, swept or image, (images, *pixel_shape), of which the first eight
                are kept; and their mean squared errors, prediction_mse, swept_mse or image_mse,
                (samples,).

        Raises:
            BadInput: naming the value, or before the first row.
        """
        with self._guard:
            self._check_open()
            if not self._counter.begun:
                raise BadInput("images: no row yet; append the row that they belong to first")
            held = {}
            for name, value in values.items():
                if name not in FRAMES:
                    raise BadInput(f"images: {name}; of {', '.join(FRAMES)}")
                if DIMS[name][1:] == ("sample",):
                    found = taken(name, value)
                    if len(found.shape) != 1:
                        raise BadInput(f"{name}: shape {tuple(found.shape)}; samples")
                    self._shapes.samples(name, found.shape[0])
                    held[name] = found
                else:
                    held[name] = self._pictures(name, value)
            if held:
                self._buffer.frame(held)

    def _pictures(self, name: str, value: Any) -> Any:
        """The first images as they are stored, (S, pixels)."""
        shape = self.layout.pixel_shape
        if not shape:
            raise BadInput(f"{name}: the shape of images is not known; open it with pixel_shape=")
        found = taken(name, value[:SHOWN])
        if not hasattr(found, "reshape"):
            found = landed(name, [found])[0]
        own = tuple(found.shape)
        legal = [shape, (math.prod(shape),)] + ([shape[1:]] if shape[0] == 1 else [])
        if own[1:] not in legal or not own[0]:
            raise BadInput(f"{name}: shape {own}; (images, {', '.join(map(str, shape))})")
        most = self._shapes.sizes.setdefault("shown", own[0])
        return found[:most].reshape(min(most, own[0]), math.prod(shape))

    # Beside the rows -----------------------------------------------------------------------------

    def batch(self, number: Any = None, **values: Any) -> None:
        """Log what is known of a whole batch; called again, it adds to it.

        Args:
            number: of the batch; by default that of the newest row.
            **values: accuracy, loss or any other name, one number each; update_norm and
                update_alignment, one for each layer.

        Raises:
            BadInput: naming the value that is not legal.
        """
        with self._guard:
            self._check_open()
            number = self._counter.batch if number is None else whole("batch", number)
            L = len(self.layout.layers)
            held = {}
            for name, value in values.items():
                if name in TAKEN:
                    raise BadInput(f"batch.{name}; another name, this one is taken")
                found = taken(f"batch.{name}", value)
                per_layer = "layer" in BATCH_DIMS.get(name, ())
                if tuple(found.shape) != ((L,) if per_layer else ()):
                    legal = f"one number for each of {L} layers" if per_layer else "one number"
                    raise BadInput(f"batch.{name}: shape {tuple(found.shape)}; {legal}")
                held[name] = found
            self._buffer.batch(number, held)

    def sample(self, labels: Any, images: Any = None, *, number: Any = None) -> None:
        """Log what a batch shows: the labels of its samples, and its images.

        Args:
            labels: classes, (samples,).
            images: (samples, *pixel_shape), of which the first eight are kept.
            number: of the batch; by default that of the newest row.
        """
        with self._guard:
            self._check_open()
            number = self._counter.batch if number is None else whole("batch", number)
            held = landed("labels", [taken("labels", labels)])[0]
            if held.ndim != 1 or not (held == np.floor(held)).all():
                raise BadInput(f"labels: shape {held.shape}; one class for each sample")
            self._shapes.samples("labels", len(held))
            missing = self._shapes.sizes["sample"] - len(held)
            classes = np.pad(held.astype(np.int64), (0, missing), constant_values=-1)
            shape = self.layout.pixel_shape or (0, 0, 0)
            seen = np.zeros((0, *shape), np.float32)
            if images is not None:
                seen = landed("images", [self._pictures("images", images)])[0].reshape(-1, *shape)
            self._buffer.sample(number, classes, seen)

    def weights(self, tensors: Mapping[str, Any], number: Any = None) -> None:
        """Keep weights, as safetensors.

        Args:
            tensors: a `state_dict()`, or arrays by name.
            number: of the batch that begins with them; by default the one that comes next.
        """
        with self._guard:
            self._check_open()
            after = self._counter.batch + self._counter.begun
            number = after if number is None else whole("batch", number)
            held = {}
            for name, one in tensors.items():
                if not isinstance(one, torch.Tensor):
                    one = torch.from_numpy(landed(f"weights.{name}", [taken(name, one)])[0])
                held[str(name)] = one
            self._buffer.writer.weights(self._buffer.lane, number, held)

    def note(
        self,
        text: str | None = None,
        *,
        title: str | None = None,
        tags: Iterable[str] | None = None,
    ) -> "Notes":
        """Write a note, a title or tags to the run; None leaves as it is."""
        words = None if tags is None else tuple(tags)
        return shelf.annotate(self.path, title=title, note=text, tags=words)

    # The end -------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Store now what waits; with a device, this waits for it.

        Raises:
            NotWritten: if the disk refuses; what waits may be stored by the next call.
        """
        with self._guard:
            self._check_open()
            self._buffer.flush()

    def close(self, how: str = FINISHED) -> None:
        """Store what waits and end the run; safe to call twice.

        Args:
            how: "finished", "interrupted", "diverged: …" or "failed: …".
        """
        with self._guard:
            if self._end.detach() is not None:
                atexit.unregister(self._at_exit)
                self._buffer.close(how=how)

    def __enter__(self) -> "Log":
        """The log itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the run: as interrupted or failed where an exception ends the block."""
        with self._guard:
            if self._end.detach() is not None:
                self._buffer.close(error)

    def _check_open(self) -> None:
        if not self._end.alive:
            raise BadInput(f"log: {self.path}; it is closed")
        if os.getpid() != self._buffer.process:
            raise BadInput(
                f"log: {self.path}; process {self._buffer.process} writes it, this is another one"
            )


def _let_go(buffer: Buffer, error: BaseException | None = None) -> None:
    """Nobody holds the log any more: end its run, in the process that opened it."""
    if os.getpid() == buffer.process:
        buffer.close(error or sys.exc_info()[1])


def _leave(end: Any, buffer: Buffer) -> None:
    """The program ends: by an error that nobody caught, or because it is through."""
    if end.detach() is not None:
        _let_go(buffer, getattr(sys, "last_value", None))


def _rows(count: int | None) -> str:
    return "one row" if count is None else f"{count} rows with an axis for them"
