"""What does a person do to a relaxation? A session: lanes, a worker thread, a queue of commands.

Commands are applied between two steps and logged. Only the worker touches states; what leaves it
are rows of traces and plain attributes that are replaced as a whole. Nothing is ever deleted:
relaxing on after a rewind, a restart or a changed init starts a new lane. The same experiment and
the same event log give the same lanes.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import core
from core.batches import ImageSet
from core.catalogue import BadInput, from_dict, to_dict
from core.experiment import LIVE, SCALARS, Experiment, sentence
from core.pretraining import Course, first_weights
from core.recorder import FULL, Recorder
from core.recording import Guard, about, fits_alignment, recorder_for
from core.relaxation import Relaxation
from core.trace import Sample, Trace
from core.training import Training, accuracy
from workbench.lanes import Lane, Mark

STEP, BATCH = "step", "batch"
"""Gears: relax one batch, or relax, update the weights and take the next."""

MARK_EVERY = 16
SPEEDS = (1.0, 3.0, 6.0, 15.0, 40.0, None)
"""Steps per second; None is as fast as it goes."""

BEAT = 0.03
"""Seconds between two hand-overs of rows while running freely."""


def in_force(experiment: Experiment) -> dict[str, Any]:
    """What a row of the trace was made with: the recipe and the optimiser of the weights."""
    return experiment.recipe.to_dict() | {"weights": to_dict(experiment.weights)}


@dataclass(frozen=True)
class Command:
    """One thing asked for, with the number of steps taken when it was asked."""

    name: str
    args: dict[str, Any]
    asked: int


class Session:
    """Relaxes live. Every public method may be called from any thread; none of them waits."""

    def __init__(
        self,
        experiment: Experiment | None = None,
        *,
        wake: Callable[[], None] | None = None,
        budget: int = 512 * 2**20,
        align: bool = True,
    ) -> None:
        """Describe the session; `start` begins it.

        Args:
            experiment: the first choices.
            wake: called after each command has had its effect, from the worker's thread.
            budget: bytes for the marks that rewinding needs.
            align: whether to record each layer's cosine to the backprop update.
        """
        self.wanted = experiment or Experiment()
        self.wake = wake
        self.budget = budget
        self.align = align
        self.lanes: list[Lane] = []
        self.lane: Lane | None = None
        self.ghost: Lane | None = None
        self.cursor = 0
        self.following = True
        self.playing = False
        self.gear = STEP
        self.speed: float | None = 6.0
        self.progress: tuple[str, float] = ("starting", 0.0)
        self.ready = False
        self.message = ""
        self.offer = ""
        self.course: Course | None = None
        self.accuracy: float | None = None
        self.events: list[dict[str, Any]] = []
        self.taken = 0
        self.measured_speed = 0.0
        self.changes = 0
        self._origin = self.wanted
        self._history: tuple[list[dict[str, Any]], int] = ([], 0)
        self._queue: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._owed = 0
        self._due = 0.0
        self._row = 0
        self._batch = 0
        self._stopwatch: tuple[float, int] = (0.0, 0)
        self._relaxation: Relaxation | None = None
        self._recorder: Recorder | None = None

    # What a person can do ------------------------------------------------------------------------

    def start(self) -> None:
        """Begin in a thread: load the data, get the first weights, open the first lane."""
        self._thread = threading.Thread(target=self._work, name="relaxation", daemon=True)
        self._thread.start()

    def play(self) -> None:
        """Relax on at the chosen speed."""
        self._ask("play")

    def pause(self) -> None:
        """Stop between two steps."""
        self._ask("pause")

    def step(self, n: int = 1) -> None:
        """Take n steps at once and pause."""
        if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= 100_000:
            raise BadInput(f"step: {n}; an integer 1..100000")
        self._ask("step", n=n)

    def run_to_end(self) -> None:
        """Relax to step T of this batch at once; from there, by another T."""
        self._ask("run_to_end")

    def seek(self, row: int) -> None:
        """Look at a recorded row; relaxing on from it starts a new lane."""
        if not isinstance(row, int) or isinstance(row, bool) or row < 0:
            raise BadInput(f"seek: {row}; the number of a recorded row, from 0")
        self._ask("seek", row=row)

    def follow(self) -> None:
        """Look at the newest row again."""
        self._ask("follow")

    def restart(self) -> None:
        """Begin this batch again in a new lane, with the weights that it began with."""
        self._ask("restart")

    def next_batch(self) -> None:
        """Take the next batch in this lane."""
        self._ask("next_batch")

    def swap(self) -> None:
        """Exchange the lane and its ghost."""
        self._ask("swap")

    def warm_up(self, batches: int = 5) -> None:
        """Relax other batches first, so that an init that remembers has a past."""
        if not isinstance(batches, int) or not 1 <= batches <= 1000:
            raise BadInput(f"warm_up: {batches}; an integer 1..1000")
        self._ask("warm_up", batches=batches)

    def set_gear(self, gear: str) -> None:
        """Relax one batch ("step") or train batch after batch ("batch")."""
        if gear not in (STEP, BATCH):
            raise BadInput(f"gear: {gear}; one of {STEP}, {BATCH}")
        self._ask("set_gear", gear=gear)

    def set_speed(self, speed: float | None) -> None:
        """Steps per second, or None for as fast as it goes."""
        if speed is not None and not (np.isfinite(speed) and 0 < speed <= 1e6):
            raise BadInput(f"speed: {speed}; steps per second in (0, 1e6], or none for free")
        self._ask("set_speed", speed=speed)

    def change(self, **choices: Any) -> None:
        """Change choices between two steps.

        Args:
            **choices: entries, or plain data as recipes hold them, by the names of an Experiment.

        Raises:
            BadInput: before anything happens, when the new experiment is refused.
        """
        made = {
            name: from_dict(name, value)
            if name not in SCALARS and isinstance(value, str | dict)
            else value
            for name, value in choices.items()
        }
        new = self.wanted.changed(**made)
        if new == self.wanted:
            return
        self.wanted = new
        plain = {k: v if k in SCALARS else to_dict(v) for k, v in made.items()}
        self._ask("change", **plain)

    def close(self) -> None:
        """End the worker; safe to call twice."""
        self._closing = True
        self._queue.put(None)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=10)

    @property
    def at_end(self) -> bool:
        """Whether the cursor is on the newest row."""
        return self.following or self.cursor >= self._row

    @property
    def row(self) -> int:
        """Number of the newest row of the lane."""
        return self._row

    def log(self) -> dict[str, Any]:
        """All that is needed to make this session again: first choices, events, steps taken."""
        return {
            "experiment": self._origin.to_dict(),
            "events": list(self.events),
            "taken": self.taken,
        }

    def repeat(self, events: Iterable[dict[str, Any]], taken: int = 0) -> None:
        """Before `start`: do again, without a clock, what an event log describes.

        Args:
            events: as `log` gives them.
            taken: steps in all, also those after the last event.
        """
        self._history = (list(events), taken)

    @classmethod
    def replay(cls, log: Mapping[str, Any], **options: Any) -> "Session":
        """The session that `log` describes, made again in this thread."""
        again = cls(Experiment.from_dict(log["experiment"]), **options)
        again.repeat(log["events"], log["taken"])
        again._prepare()
        return again

    # The worker ----------------------------------------------------------------------------------

    def _ask(self, name: str, **args: Any) -> None:
        self._queue.put(Command(name, args, self.taken))

    def _work(self) -> None:
        torch.set_num_threads(1)
        try:
            self._prepare()
        except Exception as error:
            self._fail(error)
            return
        self._wake()
        while not self._closing:
            wait = self._wait()
            try:
                command = self._queue.get(timeout=wait) if wait != 0 else self._queue.get_nowait()
            except queue.Empty:
                self._turn()
                continue
            if command is None:
                break
            self._attempt(command)

    def _wait(self) -> float | None:
        """Seconds until the next step is due; None for none."""
        if self._owed:
            return 0
        if not self.playing:
            return None
        return 0 if self.speed is None else max(0.0, self._due - time.monotonic())

    def _turn(self) -> None:
        """One step that is due."""
        now = time.monotonic()
        try:
            self._one()
        except Exception as error:
            self._stop(f"stopped: {error}")
        if self._owed:
            self._owed -= 1
        if self.speed is not None:
            self._due = max(self._due + 1 / self.speed, now)
        if not self._owed and (self.speed is not None or not self.playing):
            self._drain()
        elif now - self._drained > BEAT:
            self._drain()
        if not self._owed and not self.playing:
            self._wake()

    def _attempt(self, command: Command) -> None:
        try:
            self._apply(command)
        except BadInput as refused:
            self.message = str(refused)
            if self.lane is not None:
                self.wanted = self.lane.experiment
        except Exception as error:
            self._stop(f"{command.name}: {type(error).__name__}: {error}")
        self.progress = ("ready", 1.0)
        self._drain()
        if not self._owed:
            self._wake()

    def _fail(self, error: Exception) -> None:
        self.message = str(error) if isinstance(error, BadInput) else f"could not start: {error!r}"
        self.progress = (self.message, 0.0)
        self._wake()

    def _wake(self) -> None:
        self.changes += 1
        if self.wake is not None and not self._closing:
            self.wake()

    def _stop(self, message: str) -> None:
        self.playing, self._owed, self.message = False, 0, message

    # Commands ------------------------------------------------------------------------------------

    def _apply(self, command: Command) -> None:
        """Let one command act between two steps, and log it."""
        self.message = ""
        applied = self.taken
        getattr(self, f"_do_{command.name}")(**command.args)
        assert self.lane is not None
        self.events.append(
            {
                "command": command.name,
                "args": command.args,
                "asked": command.asked,
                "applied": applied,
                "lane": self.lane.id,
                "row": self._row,
            }
        )
        self.lane.trace.events = list(self.events)

    def _do_play(self) -> None:
        self.playing = True
        self._due = time.monotonic()
        self._stopwatch = (self._due, self.taken)

    def _do_pause(self) -> None:
        self.playing, self._owed = False, 0

    def _do_step(self, n: int) -> None:
        self.playing = False
        self._owed += n

    def _do_run_to_end(self) -> None:
        assert self._relaxation is not None
        self.playing = False
        steps = self._relaxation.phase.steps
        if not self.at_end:
            assert self.lane is not None
            self._fork(self.cursor)
        assert self._relaxation is not None
        left = steps - self._relaxation.t
        self._owed = left if left > 0 else steps + (self.gear == BATCH)

    def _do_seek(self, row: int) -> None:
        self.playing, self._owed = False, 0
        self._drain()
        assert self.lane is not None
        held = self.lane.trace.row(row)
        self.cursor = int(held["step"]) if held else 0
        self.following = self.cursor >= self._row

    def _do_follow(self) -> None:
        self.following, self.cursor = True, self._row

    def _do_set_speed(self, speed: float | None) -> None:
        self.speed = speed
        self._due = time.monotonic()
        self._stopwatch = (self._due, self.taken)

    def _do_set_gear(self, gear: str) -> None:
        assert self.lane is not None
        self.gear = gear
        self.lane.choices.append((self._row, self.lane.experiment, gear))
        self._hold_or_move()

    def _do_restart(self) -> None:
        assert self.lane is not None
        self._again(self.lane.experiment, "restart")

    def _do_swap(self) -> None:
        if self.ghost is None:
            self.message = "there is no other lane yet: rewind, restart or change the init"
            return
        self._open(self.ghost)

    def _do_next_batch(self) -> None:
        self._drain()
        self.following = True
        self._take_next_batch()

    def _do_warm_up(self, batches: int) -> None:
        assert self.lane is not None
        experiment, old = self.lane.experiment, self.lane
        training = self._training(experiment, old.training, self._begun(old))
        around = training.batches.per_epoch
        for k in range(batches, 0, -1):
            number = (self._batch - k) % around
            if number == self._batch % around:
                continue
            self.progress = (f"relaxing batch {number} first", 1 - k / batches)
            relaxation = training.relaxation(training.batches.batch(number), train=False)
            relaxation.run()
            training.finish(relaxation)
        self.offer = ""
        self._new_lane(training, experiment, self._batch, f"{batches} batches relaxed first")

    def _do_change(self, **choices: Any) -> None:
        assert self.lane is not None and self._relaxation is not None
        old = self.lane.experiment
        made = {k: v if k in SCALARS else from_dict(k, v) for k, v in choices.items()}
        new = old.changed(**made)
        title = sentence(old.to_dict(), new.to_dict())
        if not all(name in LIVE for name in choices):
            self._rebuild(new, title, set(choices))
            return
        if not self.at_end:
            self._fork(self.cursor)
        assert self._relaxation is not None and self.lane is not None
        training = self.lane.training
        if new.weights != old.weights:
            training.change_optimiser(new.weights)
            self._relaxation.optimiser = training.optimiser
        training.experiment = new
        self._go_on_with(new)

    # Steps ---------------------------------------------------------------------------------------

    def _one(self) -> None:
        """One row more, in a new lane if the cursor stands on an old one."""
        assert self.lane is not None
        if not self.at_end:
            self._fork(self.cursor)
        if self.lane.diverged:
            self._stop(self.lane.diverged)
            return
        self._forward()
        self._record()

    def _forward(self) -> None:
        """The next row of the lane, unrecorded."""
        relaxation = self._relaxation
        assert relaxation is not None
        if self.gear == BATCH and relaxation.done:
            self._take_batch()
        else:
            relaxation.advance()
            self._row += 1

    def _take_next_batch(self) -> None:
        self._take_batch()
        self._record()

    def _take_batch(self) -> None:
        """Finish this batch and begin the next one: one row."""
        lane, relaxation = self.lane, self._relaxation
        assert lane is not None and relaxation is not None
        lane.training.finish(relaxation)
        self._batch += 1
        self._row += 1
        self._relaxation = self._begin(lane.training, self._batch)
        lane.starts.append((self._row, self._batch))
        if not self._relaxation.held:
            self.accuracy = self._test(lane.training)
            if self.accuracy is not None:
                lane.scores.append((self._batch, self.accuracy))
        self._mark()

    def _record(self) -> None:
        """Measure the row at which the relaxation stands, a new one."""
        self._measure()
        self.taken += 1
        if self.following:
            self.cursor = self._row
        if self._row % MARK_EVERY == 0:
            self._mark()

    def _measure(self) -> None:
        lane, recorder, relaxation = self.lane, self._recorder, self._relaxation
        assert lane is not None and recorder is not None and relaxation is not None
        recipe_id = len(lane.trace.recipes) - 1
        recorder.take(relaxation, row=self._row, batch=self._batch, recipe_id=recipe_id)

    def _drain(self) -> None:
        """Hand the measured rows over to the trace."""
        self._drained = time.monotonic()
        begun, taken = self._stopwatch
        if self.playing and self._drained - begun > 0.5:
            self.measured_speed = (self.taken - taken) / (self._drained - begun)
            self._stopwatch = (self._drained, self.taken)
        if self._recorder is None or self.lane is None:
            return
        chunk = self._recorder.drain()
        if chunk is None:
            return
        chunk, line = self.lane.guard.look(chunk)
        self.lane.trace.append(chunk)
        if line:
            self._row = int(chunk.rows["step"][-1])
            self.lane.diverged = f"{line}, then rewind or restart"
            self._stop(self.lane.diverged)
        if self.following:
            self.cursor = self._row

    _drained = 0.0

    def _mark(self) -> None:
        lane = self.lane
        assert lane is not None
        if lane.marks and lane.marks[-1].row == self._row:
            lane.marks.pop()
        lane.add(self._here(), self.budget)

    def _here(self) -> Mark:
        assert self._relaxation is not None and self.lane is not None
        training = self.lane.training
        return Mark(
            self._row,
            self._batch,
            self._relaxation.snapshot(),
            training.memory,
            training.previous,
        )

    # Lanes ---------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Data, weights, the first lane, and whatever is to be repeated."""
        self._rebuild(self.wanted, "start", None)
        events, taken = self._history
        for k, event in enumerate(events):
            self._tell("bringing the session back", k / len(events))
            self._run_until(event["applied"])
            self._apply(Command(event["command"], dict(event["args"]), event["asked"]))
            self._owed = 0
        self._run_until(taken)
        self.playing, self._owed = False, 0
        assert self.lane is not None
        self.wanted = self.lane.experiment
        self.ready = True
        self.progress = ("ready", 1.0)

    def _run_until(self, taken: int) -> None:
        """Rows without a clock, until so many were taken."""
        before = -1
        while before < self.taken < taken:
            before = self.taken
            self._one()
        self._drain()

    def _rebuild(self, experiment: Experiment, title: str, changed: set[str] | None) -> None:
        """A new lane for choices that cannot act between two steps."""
        if changed is not None and changed <= {"init", *LIVE}:
            self._again(experiment, title)
            return
        old = self.lane
        images = self._images(experiment)
        fresh = {"network", "dataset", "energy", "seed", "dtype", "device", "pretraining"}
        if old is None or (changed or fresh) & fresh:
            network = experiment.build(images.shape, images.classes)
            self.course = first_weights(experiment, images, network, self._tell)
        else:
            network = old.training.network
        aligned = fits_alignment(experiment, images)
        training = Training(experiment, images, network, aligned=aligned)
        if old is not None and network is old.training.network:
            self._begun(old).snapshot.weights.into(network, training.optimiser)
        self.accuracy = self._test(training)
        self._new_lane(training, experiment, self._batch, title)

    def _again(self, experiment: Experiment, title: str) -> None:
        """This batch from its beginning in a new lane, with what it began with."""
        old = self.lane
        assert old is not None
        mark = self._begun(old)
        training = self._training(experiment, old.training, mark)
        same = type(experiment.init) is type(old.experiment.init)
        training.memory = mark.memory if same else None
        training.previous = mark.previous
        self._new_lane(training, experiment, mark.batch, title)

    def _begun(self, lane: Lane) -> Mark:
        """The mark at which the batch under the cursor began."""
        number = lane.mark_before(min(self.cursor, self._row)).batch
        return next(m for m in lane.marks if m.batch == number)

    def _training(self, experiment: Experiment, old: Training, mark: Mark) -> Training:
        """The same network on the same stream under other choices, with the weights of a mark."""
        training = Training(experiment, old.images, old.network, aligned=old.aligned)
        same = type(experiment.weights) is type(old.experiment.weights)
        training.network.version = -1  # so that the optimiser's memory is taken over, too
        mark.snapshot.weights.into(training.network, training.optimiser if same else None)
        return training

    def _new_lane(self, training: Training, experiment: Experiment, batch: int, title: str) -> None:
        """Open a lane at the first step of a batch."""
        self._park()
        lane = Lane(len(self.lanes), training, self._trace(experiment, training), title)
        lane.choices.append((0, experiment, self.gear))
        lane.starts.append((0, batch))
        lane.trace.recipes.append(in_force(experiment))
        if self.lane is not None:
            lane.parent = self.lane.id
        self._batch, self._row = batch, 0
        self.ghost, self.lane = self.lane, lane
        self.lanes = [*self.lanes, lane]
        self.following, self.cursor = True, 0
        self._relaxation = self._begin(training, batch)
        self._recorder = self._new_recorder(training)
        self._mark()
        self._record()
        self._drain()
        self._make_offer(training)

    def _fork(self, row: int) -> None:
        """Go on from an old row in a new lane: rows so far are copied, states are replayed."""
        old = self.lane
        assert old is not None
        self._park()
        trace = self._trace(old.experiment, old.training)
        lane = Lane(len(self.lanes), old.training, trace, f"from step {row}", old.id, row)
        old.trace.copy_until(row, trace)
        lane.choices = [one for one in old.choices if one[0] <= row]
        lane.starts = [one for one in old.starts if one[0] <= row]
        lane.marks = [one for one in old.marks if one.row <= row]
        lane.guard = Guard(trace, old.guard.first)
        gear = self.gear
        self._return(lane, old.mark_before(row))
        while self._row < row:
            experiment, self.gear = old.choices_at(self._row)
            assert self._relaxation is not None
            self._relaxation.recipe = experiment.recipe
            self._hold_or_move()
            if any(first == self._row + 1 for first, _ in old.starts):
                old.training.finish(self._relaxation)
                self._batch, self._row = self._batch + 1, self._row + 1
                self._relaxation = self._begin(old.training, self._batch)
            else:
                self._relaxation.advance()
                self._row += 1
        self.gear = gear
        self.ghost, self.lane = old, lane
        self.lanes = [*self.lanes, lane]
        self.following, self.cursor = True, row
        self._recorder = self._new_recorder(old.training)
        self._go_on_with(old.experiment)

    def _go_on_with(self, experiment: Experiment) -> None:
        """Let choices act on the next update: the newest row is measured again under them.

        So each row holds the recipe of the update that follows it.
        """
        lane, relaxation, recorder = self.lane, self._relaxation, self._recorder
        assert lane is not None and relaxation is not None and recorder is not None
        self._drain()
        held = lane.trace.row(self._row)
        recipes = lane.trace.recipes
        if held is not None:
            del recipes[int(held["recipe_id"]) + 1 :]
        lane.choices.append((self._row, experiment, self.gear))
        relaxation.recipe = experiment.recipe
        self._hold_or_move()
        if in_force(experiment) != recipes[-1]:
            recipes.append(in_force(experiment))
            self._measure()
            self._drain()
        self._mark()

    def _open(self, lane: Lane) -> None:
        """Make a parked lane the live one; the live one becomes the ghost."""
        self._park()
        self.playing, self._owed = False, 0
        assert lane.parked is not None
        self.ghost = self.lane
        self._return(lane, lane.parked)
        self.lane = lane
        self.wanted = lane.experiment
        self._recorder = self._new_recorder(lane.training)
        self.following, self.cursor = True, self._row

    def _park(self) -> None:
        """Leave the live lane so that it can be gone on with."""
        if self.lane is not None:
            self._drain()
            self.lane.parked = self._here()

    def _return(self, lane: Lane, mark: Mark) -> None:
        """Put the worker where a mark was made."""
        training = lane.training
        training.memory, training.previous = mark.memory, mark.previous
        self._row, self._batch = mark.row, mark.batch
        self._relaxation = self._begin(training, mark.batch)
        self._relaxation.restore(mark.snapshot)
        self._hold_or_move()

    def _begin(self, training: Training, number: int) -> Relaxation:
        """The relaxation of one batch; its samples are noted in the lane."""
        batch = training.batches.batch(number)
        lane = self.lane if self.lane is not None and self.lane.training is training else None
        if lane is not None and number not in lane.trace.batches:
            shown = min(8, len(batch.y))
            lane.trace.batches[number] = Sample(
                batch.y.cpu().numpy(), batch.x[:shown].cpu().numpy()
            )
        return training.relaxation(batch, train=self.gear == BATCH)

    def _hold_or_move(self) -> None:
        """Whether weights move follows from the gear and the learning rule."""
        if self._relaxation is not None:
            every_step = self._relaxation.recipe.learning.every_step
            self._relaxation.held = not (self.gear == BATCH or every_step)

    def _make_offer(self, training: Training) -> None:
        """Inits that remember ask for a past where they have none."""
        init = training.experiment.init
        what = getattr(init, "remembers", None)
        past = training.memory if hasattr(init, "observe") else training.previous
        self.offer = ""
        if what and past is None:
            name = core.card_of(init).title
            self.offer = f"{name} init recalls {what}; there is none yet, so this is a first guess"

    def _trace(self, experiment: Experiment, training: Training) -> Trace:
        images = training.images
        attrs = about(experiment, FULL, images.name, images.fingerprint)
        return Trace(training.network, attrs=attrs, pixel_shape=images.shape)

    def _new_recorder(self, training: Training) -> Recorder:
        images = training.images
        return recorder_for(
            training.experiment,
            training.network,
            pixels=(images.low, images.high),
            align=self.align,
        )

    def _images(self, experiment: Experiment) -> ImageSet:
        self._tell(f"reading {core.card_of(experiment.dataset).title}", 0.0)
        return experiment.dataset()

    def _test(self, training: Training) -> float | None:
        """Test accuracy of a classifier, by a plain forward pass."""
        if training.network.image != 0:
            return None
        return accuracy(training.network, training.images.test_x, training.images.test_y)

    def _tell(self, line: str, share: float) -> None:
        self.progress = (line, share)
