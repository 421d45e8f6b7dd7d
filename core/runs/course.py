"""What happens in a recorded training? Batch after batch, and what is stored of it in between.

It can stand still between any two steps and be gone on with from there, with the same bits.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from core.batches import ImageSet
from core.catalogue import BadInput
from core.diagnostics import alignment
from core.experiment import Experiment
from core.layout import Layout
from core.network import Network
from core.pretraining import Progress, first_weights
from core.recorder import LEAN, Chunk
from core.recording import Guard, about, fits_alignment
from core.runs import standing
from core.runs.changes import in_force
from core.runs.checkpoint import Checkpoint, Checkpoints
from core.runs.known import Known
from core.runs.looks import Every, entire, flat, parts, ringed, tested, until
from core.runs.memories import NotKept, Packed
from core.runs.standing import Running
from core.runs.steering import Log, Steering, Stopped
from core.runs.writer import FINISHED, INTERRUPTED, Writer
from core.theory.accounts import accounts
from core.trace import Sample, Trace
from core.training import Training

BEAT = 1.0
"""Seconds between two flushes, about: what a killed process loses at most."""

SHARE = 0.01
"""Of the time goes into checkpoints at most, but for the first and the last one."""

SHOWN = 8
"""Images that are kept of a batch whose weights are."""

Asked = Callable[[], bool]


class Ended(Exception):
    """The training ends before its last batch; says how."""


class Course:
    """One training while it is recorded."""

    def __init__(
        self,
        experiment: Experiment,
        images: ImageSet,
        network: Network,
        level: str,
        every: Every,
        period: float,
    ) -> None:
        """Stand before the first batch, without first weights.

        Args:
            experiment: all choices.
            images: its data.
            network: made for them.
            level: `core.LEAN` or `core.FULL`.
            every: how often what is looked at beside the rows.
            period: seconds between two checkpoints.
        """
        self.experiment, self.images, self.network, self.every = experiment, images, network, every
        self.training = Training(
            experiment,
            images,
            network,
            aligned=fits_alignment(experiment, images),  # as a session has it: the same batches
            watched=level != LEAN,
        )
        self.epoch = self.training.batches.per_epoch
        self.recorder = ringed(experiment, network, images, level)
        self.entire = entire(experiment, network) if every.relaxations != 0 else None
        self.trace = Trace(network, pixel_shape=images.shape)
        self.trace.recipes.append(in_force(experiment))
        self.guard = Guard(self.trace)
        self.parts = parts(network)
        self.known = Known()
        self.costs: dict[tuple[tuple[str, int], ...], int | None] = {}
        self.tested: float | None = None
        self.seen: dict[str, float] = {}  # of the batch that is next or under way
        self.row = self.number = 0
        self.running: Running | None = None
        self.back: int | None = None
        self.period, self.share, self.spent = period, SHARE, 0.0

    def total(self, batches: int | None, epochs: int | None, before: int = 0) -> int:
        """How many batches in all that is, by batches or epochs; by neither as many as before.

        Raises:
            BadInput: if it was to have more before.
        """
        total = (batches or before) if epochs is None else self.epoch * epochs
        if total < before:
            raise BadInput(f"batches: {total}; the run is of {before}: more, or none")
        return total

    def about(self) -> dict[str, Any]:
        """What the run says about where it comes from, beside the experiment."""
        images, level = self.images, self.recorder.level
        told = about(self.experiment, level, images.name, images.fingerprint, self.training.engine)
        return {name: v for name, v in (told | images.ends).items() if name != "experiment"}

    def record(
        self, writer: Writer, total: int, begin: Callable[[], None], tell: Progress, asked: Asked
    ) -> str:
        """All batches that are left; returns how it ended.

        Args:
            writer: of the run.
            total: number of batches in all.
            begin: `begin` or `go_on`.
            tell: told how far it is.
            asked: whether it shall stop, asked between two steps.
        """
        self.writer, self.last, self.tell, self.asked = writer, total, tell, asked
        try:
            begin()
            for number in range(self.number, total):
                self.number = number
                if self.running is None:
                    self._before(number)
                self._batch(number)
                tell(self._line(number, total), (number + 1) / total)
            self.number = total
            self._look(total, end=True)
            self.keep()
        except Ended as ended:
            return str(ended)
        except Stopped:
            return INTERRUPTED
        return FINISHED

    def begin(self, first: Mapping[str, Tensor] | None) -> None:
        """Take first weights, those that are given or those that the experiment asks for."""
        self._take_weights(first)
        self._open()
        self.keep()

    def _take_weights(self, first: Mapping[str, Tensor] | None) -> None:
        def told(line: str, share: float) -> None:
            self.tell(line, share)
            if self.asked():
                raise Ended(INTERRUPTED)

        if first is None:
            first_weights(self.experiment, self.images, self.network, told)
        else:
            self.network.load_state_dict(dict(first))
            self.network.touch()

    def go_on(self, found: Checkpoint, *, again: bool, log: Log) -> None:
        """Stand where a training stood when it wrote a checkpoint.

        Args:
            found: the checkpoint.
            again: whether rows were stored after it, which will be measured again.
            log: what was asked of the training, and is still to be done.
        """
        said, unpacked = found.said, found.unpacked(self.network.example.device)
        standing.into_training(self.training, said["training"], unpacked)
        self.lane, self.row, self.number = said["lane"], said["row"], said["number"]
        self.tested, self.guard.first = said["tested"], list(said["first"])
        self.trace.recipes[:] = said.get("recipes", self.trace.recipes)
        self.seen, self.back = dict(said["known"]), self.number if again else None
        if self.seen:
            self.known.of(self.number).update(self.seen)
        self.checkpoints = Checkpoints(self.writer.path, found.number)
        self.begun = time.perf_counter() - said["seconds"]
        self.flushed = self.kept = time.perf_counter()
        self.apart = 0.0
        if (half := said["running"]) is not None:
            stand = standing.relaxation_of(self.training, self.number, half["relaxation"], unpacked)
            before = unpacked.get(half["before"])
            self.running = Running(self.number, stand, half["begun"], before, dict(half["steps"]))
        self._listen(log)

    def _open(self) -> None:
        """Describe the lane; from here on time counts."""
        layout = Layout.of(self.network, self.images.shape)
        attrs = self.about() | {"experiment": self.experiment.to_dict()}
        self.lane = self.writer.lane(layout, attrs=attrs)
        self.writer.recipes(self.lane, self.trace.recipes)
        self.checkpoints = Checkpoints(self.writer.path)
        self.begun = self.flushed = self.kept = time.perf_counter()
        self.apart = 0.0
        self._listen()

    def _listen(self, log: Log | None = None) -> None:
        """Let others steer it from here on."""
        self.writer.say(listens=True)
        self._before = Steering(self, self.writer, log).before

    def adopt(self, experiment: Experiment) -> None:
        """Go on under other choices from the next batch on.

        What has diverged is judged anew from there: F may be another one.
        """
        self._flush()
        self.training.follow(experiment)
        self.experiment, self.costs = experiment, {}
        self.trace.recipes.append(in_force(experiment))
        self.guard = Guard(self.trace)
        self.writer.recipes(self.lane, self.trace.recipes)

    def _batch(self, number: int) -> None:
        """Relax one batch, or go on where it stood, and learn from it."""
        if self.running is None:
            if self._is_time(self.period):
                self.keep()
            self._look(number)
            begun = self._clock()
            before = flat(self.network) if self._is_due("updates", number) else None
            batch = self.training.batches.batch(number)
            relaxation = self.training.relaxation(batch, train=True)
            now = self.running = Running(number, relaxation, begun, before, {})
            self._take(now)
        else:  # its newest row was taken before
            now = self.running
        self._relax(now)
        known = self.known.of(number)
        compares = self.experiment.task.has_loss and self.network.acyclic
        if self._is_due("alignment", number) and compares:
            known["update_alignment"] = alignment(now.relaxation.step())
        self._finish(now)
        self.running, self.seen = None, {}
        if now.before is not None:
            known["update_norm"] = self._moved(now.before)
        if (cost := self._cost(tuple(now.steps.items()))) is not None:
            known["smm"] = cost
        known["seconds"] = self._clock() - now.begun

    def _finish(self, now: Running) -> None:
        """Learn from a batch that has relaxed."""
        self.training.finish(now.relaxation)

    def _relax(self, now: Running) -> None:
        """To the end, every row recorded."""
        while not now.relaxation.done:
            self._between()
            now.relaxation.advance()
            self._take(now)

    def _between(self) -> None:
        """What may have to be done between two steps: end here, or keep where it stands."""
        if self.asked():
            self.keep()
            raise Ended(INTERRUPTED)
        if self._is_time(2 * self.period):
            self.keep()

    def _take(self, now: Running) -> None:
        """Record the step at which a batch stands."""
        at, relaxation = self._clock(), now.relaxation
        recipe = len(self.trace.recipes) - 1
        said = {"row": self.row, "batch": now.number, "recipe_id": recipe, "seconds": at}
        self.recorder.take(relaxation, **said)
        if self.entire is not None and self._is_due("relaxations", now.number):
            self.entire.take(relaxation, **said)
        self.row += 1
        now.steps[relaxation.phase.name] = relaxation.t
        if at + self.apart + self.begun - self.flushed > BEAT:
            self._flush()

    def _is_time(self, period: float) -> bool:
        """Whether a checkpoint is due."""
        wait = max(period, self.spent / self.share)
        return self.period > 0 and time.perf_counter() - self.kept > wait

    def keep(self) -> None:
        """Store what has happened, and then a checkpoint of where it stands now.

        What an entry remembers and cannot be kept ends checkpoints, not the training; the run says
        so.
        """
        self._flush()
        begun = time.perf_counter()
        self.writer.settle()
        try:
            self.checkpoints.write(*self._standing())
        except NotKept as refused:
            self.writer.say(checkpoint=str(refused))
            self.period = 0.0
        self.kept = time.perf_counter()
        self.spent = self.kept - begun
        self.apart += self.spent

    def _standing(self) -> tuple[dict[str, Any], Packed]:
        """Where it stands, as a checkpoint says it."""
        now, packed = self.running, Packed()
        said: dict[str, Any] = {
            "run": self.writer.origin,
            "level": self.recorder.level,
            "every": asdict(self.every),
            "total": self.last,
            "lane": self.lane,
            "row": self.row,
            "number": self.number,
            "tested": self.tested,
            "first": self.guard.first,
            "recipes": self.trace.recipes,
            "seconds": self._clock(),
            "known": self.seen,
            "running": None,
            "training": standing.of_training(self.training, packed),
        }
        if now is not None:
            at = standing.of_relaxation(self.training, now.relaxation, packed)
            before = packed.put(now.before, "before")
            said["running"] = {
                "begun": now.begun,
                "steps": now.steps,
                "before": before,
                "relaxation": at,
            }
        return said, packed

    def _look(self, number: int, *, end: bool = False) -> None:
        """What is known before a batch begins, or at the end: test accuracy, and the weights."""
        weights = self.every.weights != 0 and (end or self._is_due("weights", number))
        test = self.every.accuracy != 0 and (end or self._is_due("accuracy", number))
        if not (weights or test):
            return
        self._flush()
        begun = time.perf_counter()
        if test and self.network.classifies:
            self.seen = tested(self.network, self.images)
            self.tested = self.seen["accuracy"]
            self.known.of(number).update(self.seen)
        if weights:
            self.writer.weights(self.lane, number, self.network.state_dict())
            batch = self.training.batches.batch(number)
            shown = Sample(batch.y.cpu().numpy(), batch.x[:SHOWN].cpu().numpy())
            self.writer.sample(self.lane, number, shown)
        self.apart += time.perf_counter() - begun

    def _flush(self) -> None:
        """Store what has happened since.

        Raises:
            Ended: where the relaxation has diverged; what came after that row is not stored.
        """
        begun = time.perf_counter()
        chunk = self._drained()
        line = ""
        if chunk is not None:
            chunk, line = self.guard.look(chunk)
            if line:
                self.known.forget(int(chunk.rows["batch"][-1]))
            if self.back is not None:
                self.writer.go_back(self.lane, self.back)
                self.back = None
            self.writer.append(self.lane, chunk, until(self.entire, chunk.rows["step"][-1]))
        self.known.store(self.writer, self.lane)
        self.flushed = time.perf_counter()
        self.apart += self.flushed - begun
        if line:
            raise Ended(line)

    def _drained(self) -> Chunk | None:
        """The rows since the last call."""
        return self.recorder.drain()

    def _moved(self, before: Tensor) -> Tensor:
        """Norm of what each layer's weights have moved, (L,)."""
        moved = before.sub_(flat(self.network))
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
