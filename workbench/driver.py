"""Where does a relaxation go on from? The driver of lanes: steps, batches, forks, restarts, swaps.

It has no clock and no queue. Nothing is ever deleted: going on from an old row, a restart or a
changed init opens a new lane. One thread at a time calls it.
"""

import time
from typing import Any

import core
from core import footprint
from core.batches import ImageSet
from core.experiment import LIVE, Experiment
from core.network import Network
from core.pretraining import Course, first_weights
from core.recorder import FULL, Recorder
from core.recording import Guard, about, fits_alignment, recorder_for
from core.trace import Trace
from core.training import Training, accuracy
from workbench.beginning import Begin
from workbench.lanes import BATCH, Lane, Mark, in_force
from workbench.returning import Returning
from workbench.taping import Tape

MARK_EVERY = 16
"""Rows between two marks to return to."""


class Driver(Returning):
    """Lanes, the live one and its ghost, and the relaxation at the end of the live one."""

    def __init__(
        self, experiment: Experiment, *, begin: Begin | None, budget: int, align: bool
    ) -> None:
        """Describe the driver; the first lane is opened by `rebuild`.

        Args:
            experiment: the first choices.
            begin: the batch of a run from which the first lane goes on; None for the first batch,
                with the weights that the experiment names.
            budget: bytes for the marks of all lanes, half of them for the live one.
            align: whether to record each layer's cosine to the backprop update.
        """
        super().__init__(budget)
        self.begin = begin
        self.wanted = experiment
        self.align = align
        self.ghost: Lane | None = None
        self.origin: Begin | None = None
        self.playing = False
        self.progress: tuple[str, float] = ("starting", 0.0)
        self.message = ""
        self.offer = ""
        self.course: Course | None = None
        self.accuracy: float | None = None
        self.taken = 0
        self.measured_speed = 0.0
        self._owed = 0
        self._drained = 0.0
        self._stopwatch: tuple[float, int] = (0.0, 0)
        self._recorder: Recorder | None = None
        self._tape: Tape | None = None
        self._tested: tuple[Network | None, int, float] = (None, 0, 0.0)

    def _stop(self, message: str) -> None:
        self.playing, self._owed, self.message = False, 0, message

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
            begun = time.perf_counter()
            relaxation.advance()
            self._row += 1
            self._spent(begun)

    def _take_next_batch(self) -> None:
        self._take_batch()
        self._record()

    def _take_batch(self) -> None:
        """Finish this batch and begin the next one: one row."""
        lane, relaxation = self.lane, self._relaxation
        assert lane is not None and relaxation is not None
        begun = time.perf_counter()
        lane.training.finish(relaxation)
        self._batch += 1
        self._row += 1
        self._relaxation = self._begin(lane, self._batch)
        self._spent(begun)
        lane.starts.append((self._row, self._batch))
        if not self._relaxation.held:
            self.accuracy = self._test(lane.training)
            if self.accuracy is not None:
                lane.scores.append((self._batch, self.accuracy))
        self._make_offer(lane.training)
        self._mark()
        self._keep_weights()

    def _spent(self, begun: float) -> None:
        """Count the time since `begun`, on the host's clock, as spent relaxing."""
        assert self.lane is not None
        self.lane.seconds += time.perf_counter() - begun

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
        recorder.take(
            relaxation,
            row=self._row,
            batch=self._batch,
            recipe_id=recipe_id,
            seconds=lane.seconds,
        )

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
        if self._tape is not None:
            self._tape.take(self.lane, chunk, self.accuracy)
        if line:
            self._cut(self.lane, int(chunk.rows["step"][-1]))
            self.lane.diverged = f"{line}, then rewind or restart"
            self._stop(self.lane.diverged)
        if self.following:
            self.cursor = self._row

    def _keep_weights(self) -> None:
        """Hand over the weights with which the live batch begins."""
        if self._tape is not None:
            assert self.lane is not None and self._relaxation is not None
            self._tape.keep(self.lane, self._batch, self._relaxation.weights())

    def _cut(self, lane: Lane, row: int) -> None:
        """Come back to the row that diverged, where others were made before it was seen."""
        if self._row == row:
            return
        lane.marks = [one for one in lane.marks if one.row <= row]
        lane.starts = [one for one in lane.starts if one[0] <= row]
        lane.pokes = [one for one in lane.pokes if one.row <= row]
        last = lane.starts[-1][1]
        lane.scores = [one for one in lane.scores if one[0] <= last]
        lane.trace.batches = {k: v for k, v in lane.trace.batches.items() if k <= last}
        self._return(lane, lane.mark_before(row))
        self._replay(lane, row)
        lane.seconds = lane.seconds_at(row)
        self._look()

    # Lanes ---------------------------------------------------------------------------------------

    def _rebuild(self, experiment: Experiment, title: str, changed: set[str] | None) -> None:
        """A new lane for choices that cannot act between two steps."""
        if changed is not None and changed <= {"init", *LIVE}:
            self._again(experiment, title)
            return
        self._park()
        old, course = self.lane, self.course
        images = self._images(experiment)  # what can be refused comes before the worker is moved
        footprint.check(experiment, images.shape, images.classes, shared=True)
        fresh = {"network", "dataset", "energy", "seed", "dtype", "device", "pretraining"}
        if old is None or (changed or fresh) & fresh:
            network = experiment.build(images.shape, images.classes)
            origin = self.begin if old is None else None
            course = self._first_weights(experiment, images, network, origin)
        else:
            network, origin = old.training.network, self.origin
        begun = None if old is None else self._begun(old)
        aligned = fits_alignment(experiment, images)
        training = Training(experiment, images, network, aligned=aligned, watched=True)
        if begun and old and network is old.training.network:
            self._take_over(training, begun)
        self.course, self.origin = course, origin
        first = self.begin.batch if self.begin else 0
        self._new_lane(training, experiment, begun.batch if begun else first, title)

    def _first_weights(
        self, experiment: Experiment, images: ImageSet, network: Network, origin: Begin | None
    ) -> Course | None:
        """Give a new network its first weights, those of a run where it begins from one."""
        if origin is None:
            return first_weights(experiment, images, network, self._tell)
        self._tell(f"reading the weights of {origin}", 0.0)
        origin.load(network)
        return None

    def _again(self, experiment: Experiment, title: str) -> None:
        """This batch from its beginning in a new lane, with what it began with."""
        old = self.lane
        assert old is not None
        self._park()
        mark = self._begun(old)
        training = self._training(experiment, old.training, mark)
        same = type(experiment.init) is type(old.experiment.init)
        training.memory = mark.memory if same else None
        training.previous = mark.previous
        training.precisions = mark.snapshot.precisions if mark.previous else None
        self._new_lane(training, experiment, mark.batch, title)

    def _training(self, experiment: Experiment, old: Training, mark: Mark) -> Training:
        """The same network on the same stream under other choices, as a mark found it."""
        training = Training(experiment, old.images, old.network, aligned=old.aligned, watched=True)
        self._take_over(training, mark)
        return training

    def _take_over(self, training: Training, mark: Mark) -> None:
        """Weights and the optimiser's memory of a mark, with the dials of the training."""
        training.network.version = -1  # so that the optimiser's memory is taken over in any case
        mark.snapshot.weights.into(training.network, training.optimiser)
        training.renew_optimiser()

    def _new_lane(self, training: Training, experiment: Experiment, batch: int, title: str) -> None:
        """Open a lane at the first step of a batch; the live one must be parked."""
        lane = Lane(len(self.lanes), training, self._trace(experiment, training), title)
        lane.choices.append((0, experiment, self.gear))
        lane.starts.append((0, batch))
        lane.trace.recipes.append(in_force(experiment))
        if self.lane is not None:
            lane.parent = self.lane.id
        self._relaxation = self._begin(lane, batch)
        self._recorder = self._new_recorder(training)
        self._batch, self._row = batch, 0
        self._join(lane)
        self._mark()
        self._keep_weights()
        self._record()
        self._drain()

    def _fork(self, row: int, choices: Experiment | None = None) -> None:
        """Go on from an old row in a new lane: rows so far are copied, states are replayed.

        From there on `choices` act, by default the newest ones of the lane before.
        """
        old = self.lane
        assert old is not None
        self._park()
        trace = self._trace(old.experiment, old.training)
        lane = Lane(len(self.lanes), old.training, trace, f"from step {row}", old.id, row)
        old.trace.copy_until(row, trace)
        lane.choices = [one for one in old.choices if one[0] <= row]
        lane.pokes = [one for one in old.pokes if one.row <= row]
        lane.starts = [one for one in old.starts if one[0] <= row]
        lane.scores = [one for one in old.scores if one[0] <= lane.starts[-1][1]]
        lane.marks = [one for one in old.marks if one.row <= row]
        lane.guard = Guard(trace, old.guard.first[: row + 1])
        lane.seconds = lane.seconds_at(row)
        self._return(lane, lane.mark_before(row))
        self._replay(lane, row)
        self._recorder = self._new_recorder(old.training)
        self._join(lane)
        self._go_on_with(choices or old.experiment)

    def _join(self, lane: Lane) -> None:
        """Make a new lane, at which the worker stands, the live one."""
        lane.course, lane.origin, lane.left = self.course, self.origin, self.cursor
        self.ghost, self.lane = self.lane, lane
        self.lanes = [*self.lanes, lane]
        self.following, self.cursor = True, self._row
        self._look()

    def _look(self) -> None:
        """Say about the live lane what is so where the worker stands."""
        assert self.lane is not None
        self.accuracy = self._test(self.lane.training)
        self._make_offer(self.lane.training)

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
        self._adopt(lane, experiment)
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
        self.ghost, self.lane = self.lane, lane
        self._return(lane, lane.parked)
        if lane.choices[-1][2] != self.gear:
            lane.choices.append((self._row, lane.experiment, self.gear))
        self.wanted, self.course, self.origin = lane.experiment, lane.course, lane.origin
        self._recorder = self._new_recorder(lane.training)
        self.following, self.cursor = True, self._row
        self._look()

    def _park(self) -> None:
        """Leave the live lane so that it can be gone on with."""
        if self.lane is not None:
            self._drain()
            self.lane.parked = self._here()

    def _standing(self) -> dict[str, Any]:
        """What a command may replace."""
        names = "lane ghost lanes cursor following gear course origin accuracy offer taken".split()
        held = {name: getattr(self, name) for name in [*names, "_recorder", "_relaxation"]}
        return held | {"parked": self.lane and self.lane.parked}

    def _fall_back(self, before: dict[str, Any]) -> None:
        """Stand again where the worker stood before a command that failed."""
        parked = before.pop("parked")
        for name, value in before.items():
            setattr(self, name, value)
        if self.lane and self.lane.parked and self.lane.parked is not parked:
            self._return(self.lane, self.lane.parked, self._relaxation)

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
        attrs = about(experiment, FULL, images.name, images.fingerprint, training.engine)
        attrs |= images.ends
        attrs["theory"] = {}  # numbers of batches that theory was asked about; see predictions.py
        attrs["rises"] = ""
        return Trace(training.network, attrs=attrs, pixel_shape=images.shape)

    def _new_recorder(self, training: Training) -> Recorder:
        images = training.images
        return recorder_for(
            training.experiment,
            training.network,
            pixels=images.pixels,
            align=self.align,
        )

    def _images(self, experiment: Experiment) -> ImageSet:
        self._tell(f"reading {core.card_of(experiment.dataset).title}", 0.0)
        return experiment.dataset()

    def _test(self, training: Training) -> float | None:
        """Test accuracy of a classifier, by a plain forward pass; once for the same weights."""
        network, images = training.network, training.images
        if not network.classifies:
            return None
        if self._tested[:2] != (network, network.version):
            found = accuracy(network, images.test_x, images.test_y)
            self._tested = (network, network.version, found)
        return self._tested[2]

    def _tell(self, line: str, share: float) -> None:
        self.progress = (line, share)
