"""How do states move? A relaxation is an iterator of steps whose recipe may change in between."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from core.experiment import Recipe
from core.free_energy import FreeEnergy
from core.network import Network, States
from core.phase import Phase
from core.start import Start


@dataclass(frozen=True)
class Moment:
    """Where in a relaxation a step stands.

    Args:
        t: number of state updates since the phase began.
        phase: its name.
        phase_end: whether t has reached the phase's steps.
        last: whether that phase is the last one: the weights see these states.
    """

    t: int
    phase: str
    phase_end: bool
    last: bool


@dataclass(frozen=True)
class Step:
    """One row of a relaxation: the states h^(t), before update t.

    Args:
        moment: where it stands.
        states: h_0 ... h_N.
        before: the states one update earlier; None at the start.
        first: the states at t = 0 of the first phase.
        free_energy: in force at this step.
        recipe: in force at this step.
    """

    moment: Moment
    states: States
    before: States | None
    first: States
    free_energy: FreeEnergy
    recipe: Recipe


@dataclass(frozen=True)
class Snapshot:
    """All that a relaxation needs to go on from one step; weights are shared between snapshots."""

    t: int
    phase: int
    clock: int
    recipe: Recipe
    states: States
    before: States | None
    first: States
    memory: Any
    generator: Tensor | None
    weights: "Weights"
    ends: dict[str, States]

    @property
    def bytes(self) -> int:
        """Memory of the states, without the shared weights."""
        held = [*self.states, *(self.before or ()), *self.first]
        return sum(h.element_size() * h.nelement() for h in held)


@dataclass(frozen=True)
class Weights:
    """A copy of all weights and of the optimiser's memory, with the optimiser's type."""

    version: int
    values: dict[str, Tensor]
    optimiser: dict[str, Any] | None
    kind: type[torch.optim.Optimizer] | None = None

    @property
    def bytes(self) -> int:
        """Memory of the copy, the optimiser's counted as twice the weights."""
        size = sum(v.element_size() * v.nelement() for v in self.values.values())
        return size * (3 if self.optimiser else 1)

    def into(self, network: Network, optimiser: torch.optim.Optimizer | None) -> None:
        """Put the copy back, unless the network still has these weights.

        An optimiser of another type than the copy's gets an empty memory.
        """
        if self.version == network.version:
            return
        network.load_state_dict(self.values)
        network.version = self.version
        if optimiser is None or self.optimiser is None:
            return
        if type(optimiser) is self.kind:
            optimiser.load_state_dict(copy.deepcopy(self.optimiser))
        else:
            optimiser.state.clear()


class Relaxation:
    """Relaxes one batch: `for step in relaxation: ...`; assign `.recipe` between two steps.

    Iterating gives T + 1 steps a phase: row t holds the states before update t. `advance` may be
    called past T: the last row of the precision table then holds.
    """

    def __init__(
        self,
        network: Network,
        phases: Sequence[Phase],
        recipe: Recipe,
        *,
        labels: Tensor | None = None,
        classes: int = 0,
        memory: Any = None,
        previous: States | None = None,
        generator: torch.Generator | None = None,
        optimiser: torch.optim.Optimizer | None = None,
        held: bool = False,
    ) -> None:
        """Make the first states.

        Args:
            network: in its device and dtype.
            phases: what is clamped, in order.
            recipe: in force from the first step.
            labels: class of each sample, (B,).
            classes: number of classes.
            memory: what the init's `observe` returned last.
            previous: final states of the batch before.
            generator: source of all noise.
            optimiser: of the weights; None where there is none.
            held: whether the weights stay as they are although there is an optimiser.
        """
        self.network = network
        self.phases = list(phases)
        self.recipe = recipe
        self.generator = generator
        self.optimiser = optimiser
        self.held = held
        self.t = 0
        self._phase = 0
        self._clock = 0
        self._saved: Weights | None = None
        self._ends: dict[str, States] = {}
        self.start = Start(
            network, dict(self.phases[0].clamped), labels, classes, memory, previous, generator
        )
        with torch.no_grad():
            states = recipe.init(self.start)
        self.states = self._clamped(states)
        self.first = self.states
        self.before: States | None = None
        self._adopted: Recipe | None = None
        self._memory: Any = None
        self._step: Step | None = None

    @property
    def phase(self) -> Phase:
        """The phase that is running."""
        return self.phases[self._phase]

    @property
    def done(self) -> bool:
        """Whether the last phase has had its steps, by the recipe as it is now."""
        return self._phase == len(self.phases) - 1 and self.t >= self.recipe.steps

    def step(self) -> Step:
        """The row at the states as they stand."""
        if self._step is None or self._step.recipe is not self.recipe:
            self._adopt()
            ended = self.t >= self.phase.steps
            moment = Moment(self.t, self.phase.name, ended, ended and self.done)
            self._step = Step(
                moment, self.states, self.before, self.first, self._free_energy(), self.recipe
            )
        return self._step

    def advance(self) -> None:
        """Take one state update, or go on to the next phase where this one has ended."""
        step = self.step()
        if step.moment.phase_end and not step.moment.last:
            self._begin(self._phase + 1)
            return
        learning = self.recipe.learning
        due = learning.every_step and self.optimiser is not None and not self.held
        gradients = learning.gradients(step.free_energy, self.states, self.first) if due else None
        with torch.no_grad():
            moved, self._memory = self.recipe.dynamics.step(
                step.free_energy, self.states, self._memory
            )
        if gradients is not None:
            self._apply(gradients)
        self.before, self.states = self.states, moved
        self.t += 1
        self._step = None

    def learn(self) -> None:
        """The weight update at the end of the relaxation, for rules that wait for it."""
        if self.optimiser is None or self.held:
            return
        if not self.recipe.learning.every_step:
            step = self.step()
            self._apply(self.recipe.learning.gradients(step.free_energy, self.states, self.first))

    def __iter__(self) -> Iterator[Step]:
        """Steps from here to the end of the last phase."""
        while True:
            yield self.step()
            if self.done:
                return
            self.advance()

    def run(self) -> None:
        """Relax to the end of the last phase without looking."""
        while not self.done:
            self.advance()

    def snapshot(self) -> Snapshot:
        """All that is needed to come back to this step."""
        self._adopt()
        generator = None if self.generator is None else self.generator.get_state()
        return Snapshot(
            self.t,
            self._phase,
            self._clock,
            self.recipe,
            self.states,
            self.before,
            self.first,
            self._memory,
            generator,
            self.weights(),
            dict(self._ends),
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot of this relaxation: states, memories, noise and weights."""
        self.t, self._phase, self._clock = snapshot.t, snapshot.phase, snapshot.clock
        self.recipe = self._adopted = snapshot.recipe
        self._follow_steps()
        self.states, self.before, self.first = snapshot.states, snapshot.before, snapshot.first
        self._memory, self._ends = snapshot.memory, dict(snapshot.ends)
        self._table = self._precisions()
        if self.generator is not None and snapshot.generator is not None:
            self.generator.set_state(snapshot.generator)
        self.load(snapshot.weights)
        self._step = None

    def weights(self) -> Weights:
        """A copy of the weights, made once for each version of them."""
        if self._saved is None or self._saved.version != self.network.version:
            values = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
            memory = kind = None
            if self.optimiser is not None:
                memory, kind = copy.deepcopy(self.optimiser.state_dict()), type(self.optimiser)
            self._saved = Weights(self.network.version, values, memory, kind)
        return self._saved

    def load(self, weights: Weights) -> None:
        """Take over a copy of the weights."""
        weights.into(self.network, self.optimiser)
        self._saved = weights

    def _adopt(self) -> None:
        """Take over a changed recipe: what it disturbs is derived from the states as they stand."""
        old, new = self._adopted, self.recipe
        if old is new:
            return
        if old is None or old.steps != new.steps:
            self._follow_steps()
        if old is not None and type(old.precision) is not type(new.precision):
            self._clock = self.t
        if old is None or old.precision != new.precision or old.steps != new.steps:
            self._table = self._precisions()
        if old is None or type(old.dynamics) is not type(new.dynamics):
            self._memory = new.dynamics.init(self._free_energy(), self.states, self.generator)
        self._adopted = new

    def _follow_steps(self) -> None:
        self.phases = [replace(one, steps=self.recipe.steps) for one in self.phases]

    def _begin(self, phase: int) -> None:
        self._ends[self.phase.name] = self.states
        self._phase, self.t, self._clock = phase, 0, 0
        begin = self.phase.begin_from
        self.states = self._clamped(self.states if begin is None else self._ends[begin])
        self.before = None
        self._memory = self.recipe.dynamics.init(self._free_energy(), self.states, self.generator)
        self._step = None

    def _precisions(self) -> Tensor:
        """The schedule as a table on the network's device, (T, L)."""
        table = self.recipe.precision.table(self.phase.steps, self.network.depth)
        return table.to(self.network.example)

    def _free_energy(self) -> FreeEnergy:
        row = min(self.t - self._clock, len(self._table) - 1)
        phase = self.phase
        return FreeEnergy(
            self.network,
            self._table[row],
            phase.clamped,
            nudge=phase.nudge,
            cost=phase.cost,
            target=phase.target,
        )

    def _clamped(self, states: States) -> States:
        return [self.phase.clamped.get(i, h) for i, h in enumerate(states)]

    def _apply(self, gradients: list[Tensor]) -> None:
        """One optimiser step on the mean over the batch."""
        assert self.optimiser is not None
        batch = len(self.states[0])
        for parameter, gradient in zip(self.network.parameters(), gradients, strict=True):
            parameter.grad = gradient / batch
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.network.touch()
        self._step = None
