"""How is a training recorded? Batch after batch relaxes and learns, and a run holds what happened.

Rows stay on the device until a flush, once a second; nothing is read back in a step. The run holds
what the weights of some batches were, so that a relaxation can be watched from there.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core import footprint
from core.batches import ImageSet
from core.catalogue import BadInput, to_dict
from core.diagnostics import alignment
from core.experiment import Experiment
from core.layout import Layout
from core.network import Network
from core.pretraining import Progress, first_weights
from core.recorder import LEAN, Recorder
from core.recording import Guard, about, fits_alignment, recorder_for
from core.relaxation import Relaxation
from core.runs import shelf
from core.runs.run import Run
from core.runs.writer import FINISHED, INTERRUPTED, Writer
from core.theory.accounts import accounts
from core.trace import Sample, Trace
from core.training import Training, accuracy

BEAT = 1.0
"""Seconds between two flushes, about: what a killed process loses at most."""

CAPACITY = 4096
"""Rows that stay on the device at most, at level lean."""

SHOWN = 8
"""Images that are kept of a batch whose weights are."""


@dataclass(frozen=True)
class Every:
    """How often something is looked at, in batches; 0 for never, None for once an epoch.

    Args:
        weights: kept, with labels and first images; those of the first batch and of the end too.
        accuracy: on all test images, by a forward pass with the weights that a batch begins with.
        updates: norm of each layer's weight update, which costs a copy of the weights.
        alignment: of the weight update to backprop's, which costs a backward pass.
    """

    weights: int | None = None
    accuracy: int | None = None
    updates: int | None = 10
    alignment: int | None = 0

    def __post_init__(self) -> None:
        """Refuse what is no number of batches."""
        for name in ("weights", "accuracy", "updates", "alignment"):
            value = getattr(self, name)
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, int) or value < 0
            ):
                raise BadInput(f"every.{name}: {value}; an integer of 0 or more, in batches")

    def is_due(self, name: str, number: int, epoch: int) -> bool:
        """Whether it is to be looked at before batch `number`, where an epoch has so many."""
        every = getattr(self, name)
        return every != 0 and number % (epoch if every is None else every) == 0


def train(
    experiment: Experiment,
    path: str | Path,
    *,
    batches: int | None = None,
    epochs: int | None = None,
    level: str = LEAN,
    every: Every | None = None,
    first: Mapping[str, Tensor] | None = None,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
) -> Run:
    """Train on the experiment's data and record it; returns the run, closed.

    Args:
        experiment: all choices.
        path: of the run, which must not exist.
        batches: how many.
        epochs: how many of them instead.
        level: `core.LEAN`, energies only, or `core.FULL`.
        every: how often what is looked at beside the rows.
        first: the first weights by the keys of the network's `state_dict()`; by default those that
            the experiment asks for.
        progress: told how far it is.
        stop: asked between two steps; where it says so, the run ends as interrupted.

    Raises:
        BadInput: for an illegal name, a run that exists, or choices that do not fit the data.
        Locked, NotWritten: if the run cannot be written; what was stored is readable.
    """
    if (batches is None) == (epochs is None):
        raise BadInput(f"batches: {batches}, epochs: {epochs}; one of the two")
    for name, value in (("batches", batches), ("epochs", epochs)):
        if value is not None and (type(value) is not int or not 1 <= value <= 10**9):
            raise BadInput(f"{name}: {value}; an integer 1..1000000000")
    path = Path(path)
    shelf.check_name(path.name)
    if path.exists() and any(path.iterdir()):
        raise BadInput(f"run: {path}; exists, choose another name")
    images = experiment.dataset()
    footprint.check(experiment, images.shape, images.classes)
    network = experiment.build(images.shape, images.classes)
    course = _Course(experiment, images, network, level, every or Every())
    total = course.training.batches.per_epoch * epochs if epochs is not None else batches
    assert total is not None
    tell, asked = progress or (lambda line, share: None), stop or (lambda: False)
    told = _about(experiment, level, course.training)
    with Writer(path, experiment=experiment.to_dict(), about=told) as writer:
        writer.close(course.record(writer, total, first, tell, asked))
    return Run(path)


class _Ended(Exception):
    """The training ends before its last batch; says how."""


class _Course:
    """One training while it is recorded."""

    def __init__(
        self, experiment: Experiment, images: ImageSet, network: Network, level: str, every: Every
    ) -> None:
        self.experiment, self.images, self.network, self.every = experiment, images, network, every
        self.training = Training(
            experiment,
            images,
            network,
            aligned=fits_alignment(experiment, images),  # as a session has it: the same batches
            watched=level != LEAN,
        )
        self.epoch = self.training.batches.per_epoch
        self.recorder = _recorder(experiment, network, images, level)
        self.trace = Trace(network, pixel_shape=images.shape)
        self.trace.recipes.append(
            experiment.recipe.to_dict() | {"weights": to_dict(experiment.weights)}
        )
        self.guard = Guard(self.trace)
        self.parts = _parts(network)
        self.known: dict[int, dict[str, Any]] = {}  # of batches, not yet stored
        self.costs: dict[tuple[tuple[str, int], ...], int | None] = {}
        self.tested: float | None = None
        self.row = 0

    def record(
        self,
        writer: Writer,
        total: int,
        first: Mapping[str, Tensor] | None,
        tell: Progress,
        asked: Callable[[], bool],
    ) -> str:
        """All batches; returns how it ended."""
        self.writer, self.asked = writer, asked
        try:
            self._take_weights(first, tell)
            self._open()
            for number in range(total):
                self._batch(number)
                tell(self._line(number, total), (number + 1) / total)
            self._look(total, end=True)
            self._flush()
        except _Ended as ended:
            return str(ended)
        return FINISHED

    def _take_weights(self, first: Mapping[str, Tensor] | None, tell: Progress) -> None:
        """The first weights."""

        def told(line: str, share: float) -> None:
            tell(line, share)
            if self.asked():
                raise _Ended(INTERRUPTED)

        if first is None:
            first_weights(self.experiment, self.images, self.network, told)
        else:
            self.network.load_state_dict(dict(first))
            self.network.touch()

    def _open(self) -> None:
        """Describe the lane; from here on time counts."""
        layout = Layout.of(self.network, self.images.shape)
        attrs = _about(self.experiment, self.recorder.level, self.training)
        attrs["experiment"] = self.experiment.to_dict()
        self.lane = self.writer.lane(layout, attrs=attrs)
        self.writer.recipes(self.lane, self.trace.recipes)
        self.begun = self.flushed = time.perf_counter()
        self.apart = 0.0

    def _batch(self, number: int) -> None:
        """Relax one batch and learn from it."""
        self._look(number)
        begun = self._clock()
        before = _flat(self.network) if self._is_due("updates", number) else None
        batch = self.training.batches.batch(number)
        relaxation = self.training.relaxation(batch, train=True)
        steps = self._relax(relaxation, number)
        known = self.known.setdefault(number, {})
        if self._is_due("alignment", number) and self.experiment.task.has_loss:
            known["update_alignment"] = alignment(relaxation.step())
        self.training.finish(relaxation)
        if before is not None:
            known["update_norm"] = self._moved(before)
        if (cost := self._cost(steps)) is not None:
            known["smm"] = cost
        known["seconds"] = self._clock() - begun

    def _relax(self, relaxation: Relaxation, number: int) -> tuple[tuple[str, int], ...]:
        """To the end, every row recorded; returns each phase with its updates."""
        steps: dict[str, int] = {}
        while True:
            now = self._clock()
            self.recorder.take(relaxation, row=self.row, batch=number, recipe_id=0, seconds=now)
            self.row += 1
            steps[relaxation.phase.name] = relaxation.t
            if now + self.apart + self.begun - self.flushed > BEAT:
                self._flush()
            if relaxation.done:
                return tuple(steps.items())
            if self.asked():
                self._flush()
                raise _Ended(INTERRUPTED)
            relaxation.advance()

    def _look(self, number: int, *, end: bool = False) -> None:
        """What is known before a batch begins, or at the end: test accuracy, and the weights."""
        weights = self.every.weights != 0 and (end or self._is_due("weights", number))
        test = self.every.accuracy != 0 and (end or self._is_due("accuracy", number))
        if not (weights or test):
            return
        self._flush()
        begun = time.perf_counter()
        if test and self.network.image == 0:
            self.tested = accuracy(self.network, self.images.test_x, self.images.test_y)
            self.known.setdefault(number, {})["accuracy"] = self.tested
        if weights:
            self.writer.weights(self.lane, number, self.network.state_dict())
            batch = self.training.batches.batch(number)
            shown = Sample(batch.y.cpu().numpy(), batch.x[:SHOWN].cpu().numpy())
            self.writer.sample(self.lane, number, shown)
        self.apart += time.perf_counter() - begun

    def _flush(self) -> None:
        """Store what has happened since.

        Raises:
            _Ended: where the relaxation has diverged; what came after that row is not stored.
        """
        begun = time.perf_counter()
        chunk = self.recorder.drain()
        line = ""
        if chunk is not None:
            chunk, line = self.guard.look(chunk)
            if line:
                self._forget(int(chunk.rows["batch"][-1]))
            self.writer.append(self.lane, chunk)
        self._store_batches()
        self.flushed = time.perf_counter()
        self.apart += self.flushed - begun
        if line:
            raise _Ended(line)

    def _forget(self, last: int) -> None:
        """What a batch that diverged has left, and all after it; its weights were sound before."""
        kept = {number: known for number, known in self.known.items() if number <= last}
        if last in kept:
            kept[last] = {k: v for k, v in kept[last].items() if k == "accuracy"}
        self.known = {number: known for number, known in kept.items() if known}

    def _store_batches(self) -> None:
        """What is known of batches, in one part; nan where something was not looked at."""
        numbers, self.known, held = sorted(self.known), {}, self.known
        found: dict[str, Any] = {}
        for name in dict.fromkeys(name for one in held.values() for name in one):
            given = [held[number].get(name) for number in numbers]
            wide = next((one for one in given if isinstance(one, Tensor)), None)
            if wide is None:
                found[name] = [float("nan") if one is None else one for one in given]
            else:
                none = torch.full_like(wide, torch.nan)
                found[name] = torch.stack([none if one is None else one for one in given])
        self.writer.batches(self.lane, numbers, **found)

    def _moved(self, before: Tensor) -> Tensor:
        """Norm of what each layer's weights have moved, (L,)."""
        moved = before.sub_(_flat(self.network))
        return torch.stack([torch.linalg.vector_norm(moved[one]) for one in self.parts])

    def _cost(self, steps: tuple[tuple[str, int], ...]) -> int | None:
        """Sequential matrix multiplications of a batch, where they can be counted."""
        if steps not in self.costs:
            counted = accounts(self.experiment, self.network, steps)
            self.costs[steps] = None if isinstance(counted, str) else counted[0].total
            if isinstance(counted, str):
                self.writer.say(smm=counted)
        return self.costs[steps]

    def _is_due(self, name: str, number: int) -> bool:
        return self.every.is_due(name, number, self.epoch)

    def _clock(self) -> float:
        """Seconds spent on batches so far, as the host sees it."""
        return time.perf_counter() - self.begun - self.apart

    def _line(self, number: int, total: int) -> str:
        """How far it is, in words."""
        epochs = -(-total // self.epoch)
        line = f"epoch {number // self.epoch + 1} of {epochs}"
        return line if self.tested is None else f"{line}, test accuracy {self.tested:.1%}"


def _about(experiment: Experiment, level: str, training: Training) -> dict[str, Any]:
    """What the run says about where it comes from, beside the experiment."""
    images = training.images
    told = about(experiment, level, images.name, images.fingerprint, training.engine) | images.ends
    return {name: value for name, value in told.items() if name != "experiment"}


def _recorder(experiment: Experiment, network: Network, images: ImageSet, level: str) -> Recorder:
    """The recorder of a level; a lean one holds many rows, because they are few numbers."""
    if level == LEAN:
        return Recorder(network, experiment.batch_size, level=LEAN, capacity=CAPACITY)
    return recorder_for(experiment, network, level=level, pixels=images.pixels)


def _flat(network: Network) -> Tensor:
    """All weights in one vector of their own."""
    return torch.cat([one.detach().flatten() for one in network.parameters()])


def _parts(network: Network) -> list[slice]:
    """Where the weights of each layer lie in that vector."""
    found, at = [], 0
    for i in network.layers:
        own = [p for name, p in network.named_parameters() if name.startswith(f"maps.{i}.")]
        size = sum(p.numel() for p in own)
        found.append(slice(at, at + size))
        at += size
    return found
