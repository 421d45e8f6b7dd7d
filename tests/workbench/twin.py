"""A session as simple as can be: everything is copied at every row, and nothing is ever replayed.

It knows relaxations and trainings of the core, but no marks, snapshots, queues or logs. What the
real session makes from marks and replays must be what stands here in the copies.
"""

import copy
from dataclasses import dataclass

from core.experiment import LIVE
from core.recording import fits_alignment
from core.relaxation import Relaxation
from core.training import Training

FRESH = {"network", "dataset", "energy", "seed", "dtype", "device", "pretraining"}


@dataclass
class State:
    """One row: all that the next one follows from."""

    training: Training
    relaxation: Relaxation
    batch: int
    first: int  # row at which the batch began

    def copied(self):
        shared = (self.training.images, self.training.batches, self.relaxation.generator)
        memo = {id(one): one for one in (*shared, self.relaxation.start.generator)}
        training, relaxation = copy.deepcopy((self.training, self.relaxation), memo)
        return State(training, relaxation, self.batch, self.first)

    def under(self, experiment, gear):
        """The same row, from which other choices act."""
        new = self.copied()
        new.training.follow(experiment)
        new.relaxation.optimiser = new.training.optimiser
        new.relaxation.recipe = experiment.recipe
        new.relaxation.step()
        return new.held(gear)

    def held(self, gear):
        every = self.relaxation.recipe.learning.every_step
        self.relaxation.held = not (gear == "batch" or every)
        return self

    def energies(self):
        step = self.relaxation.step()
        return step.free_energy.balance(step.states).energies.detach().numpy()


@dataclass
class Line:
    """One lane."""

    states: list
    experiment: object


class Twin:
    """Takes the commands of a session by the same names."""

    def __init__(self, experiment):
        self.gear = "step"
        self.lanes = []
        self.line = self.ghost = None
        self.cursor = 0
        self.following = True
        images = experiment.dataset()
        network = experiment.build(images.shape, images.classes)
        aligned = fits_alignment(experiment, images)
        self.open(
            Training(experiment, images, network, aligned=aligned, watched=True), experiment, 0
        )

    @property
    def row(self):
        return len(self.line.states) - 1

    @property
    def at_end(self):
        return self.following or self.cursor >= self.row

    def open(self, training, experiment, batch):
        relaxation = training.relaxation(training.batches.batch(batch), train=self.gear == "batch")
        relaxation.step()
        self.add(Line([State(training, relaxation, batch, 0).held(self.gear)], experiment))

    def add(self, line):
        self.ghost, self.line = self.line, line
        self.lanes.append(line)
        self.following, self.cursor = True, self.row

    def fork(self, experiment):
        states = list(self.line.states[: self.cursor + 1])
        states[-1] = states[-1].under(experiment, self.gear)
        self.add(Line(states, experiment))

    def batch_after(self, state):
        new = state.copied().held(self.gear)
        training = new.training
        training.finish(new.relaxation)
        batch = training.batches.batch(new.batch + 1)
        relaxation = training.relaxation(batch, train=self.gear == "batch")
        relaxation.step()
        return State(training, relaxation, new.batch + 1, self.row + 1).held(self.gear)

    def begun(self):
        """The row at which the batch under the cursor began."""
        at = self.line.states[min(self.cursor, self.row)]
        return self.line.states[at.first].copied()

    def again(self, experiment):
        """A training with the weights of that row and the memory of its optimiser."""
        state = self.begun()
        old = state.training
        training = Training(experiment, old.images, old.network, aligned=old.aligned, watched=True)
        if type(training.optimiser) is type(old.optimiser):
            dials = training.optimiser.state_dict()["param_groups"]
            training.optimiser.load_state_dict(
                {**old.optimiser.state_dict(), "param_groups": dials}
            )
        return training, state

    def step(self, n):
        for _ in range(n):
            if not self.at_end:
                self.fork(self.line.experiment)
            last = self.line.states[-1]
            if self.gear == "batch" and last.relaxation.done:
                new = self.batch_after(last)
            else:
                new = last.copied().held(self.gear)
                new.relaxation.advance()
            self.line.states.append(new)
            self.cursor = self.row

    def run_to_end(self):
        if not self.at_end:
            self.fork(self.line.experiment)
        relaxation = self.line.states[-1].relaxation
        left = relaxation.recipe.steps - relaxation.t
        self.step(left if left > 0 else relaxation.recipe.steps + (self.gear == "batch"))

    def seek(self, row):
        self.cursor = min(row, self.row)
        self.following = self.cursor == self.row

    def follow(self):
        self.cursor, self.following = self.row, True

    def set_gear(self, gear):
        self.gear = gear

    def next_batch(self):
        self.line.states.append(self.batch_after(self.line.states[-1]))
        self.follow()

    def restart(self):
        self.go_back(self.line.experiment)

    def swap(self):
        if self.ghost is not None:
            self.ghost, self.line = self.line, self.ghost
            self.follow()

    def warm_up(self, batches):
        training, state = self.again(self.line.experiment)
        around = training.batches.per_epoch
        for k in range(batches, 0, -1):
            if k % around:
                number = (state.batch - k) % around
                relaxation = training.relaxation(training.batches.batch(number), train=False)
                relaxation.run()
                training.finish(relaxation)
        self.open(training, self.line.experiment, state.batch)

    def change(self, **choices):
        experiment = self.line.experiment.changed(**choices)
        if experiment == self.line.experiment:
            return
        if set(choices) <= set(LIVE):
            if self.at_end:
                self.line.states[-1] = self.line.states[-1].under(experiment, self.gear)
                self.line.experiment = experiment
            else:
                self.fork(experiment)
        elif set(choices) <= {"init", *LIVE}:
            self.go_back(experiment)
        else:
            self.rebuild(experiment, bool(set(choices) & FRESH))

    def go_back(self, experiment):
        training, state = self.again(experiment)
        same = type(experiment.init) is type(self.line.experiment.init)
        training.memory = state.training.memory if same else None
        training.previous = state.training.previous
        self.open(training, experiment, state.batch)

    def rebuild(self, experiment, fresh):
        training, state = self.again(experiment)
        images, network = experiment.dataset(), training.network
        if fresh:
            network = experiment.build(images.shape, images.classes)
        aligned = fits_alignment(experiment, images)
        other = Training(experiment, images, network, aligned=aligned, watched=True)
        if not fresh:
            other.optimiser.load_state_dict(training.optimiser.state_dict())
        self.open(other, experiment, state.batch)
