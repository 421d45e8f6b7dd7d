"""How do states move? A relaxation is an iterator of steps whose recipe may change in between."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from core import kinds
from core.catalogue import BadInput
from core.engines import PLAIN, engine_for
from core.experiment import Recipe
from core.free_energy import FreeEnergy, residual
from core.network import Network, States
from core.phase import Phase
from core.soundness import fault
from core.start import Start
from core.step import Moment, Step


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
    ended: tuple[tuple[Phase, States], ...]
    precisions: Any
    stopped: Tensor | None = None

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
        precisions: Any = None,
        engine: str = PLAIN,
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
            precisions: what adaptive precisions had learnt by the end of the batch before, with
                their type.
            engine: name of the way in which the free energy is computed.
        """
        self.network = network
        self.phases = list(phases)
        self.recipe = recipe
        self.generator = generator
        self.optimiser = optimiser
        self.held = held
        self.engine = engine_for(network, engine)
        self.t = 0
        self._phase = 0
        self._clock = 0
        self._saved: Weights | None = None
        self._ended: tuple[tuple[Phase, States], ...] = ()
        self.precisions = precisions
        clamped, samples = dict(self.phases[0].clamped), self.phase.samples
        self.start = Start(network, clamped, labels, classes, memory, previous, generator, samples)
        with torch.no_grad():
            states = recipe.init(self.start)
        self.states = self._begun(states)
        self.first = self.states
        self.before: States | None = None
        self._adopted: Recipe | None = None
        self._memory: Any = None
        self._stopped: Tensor | None = None
        self._step: Step | None = None

    @property
    def phase(self) -> Phase:
        """The phase that is running."""
        return self.phases[self._phase]

    @property
    def steps(self) -> int:
        """T of the phase that is running."""
        return self.recipe.steps if self.phase.steps is None else self.phase.steps

    @property
    def done(self) -> bool:
        """Whether the last phase has ended, by the recipe as it is now."""
        return self._phase == len(self.phases) - 1 and self.step().moment.phase_end

    def step(self) -> Step:
        """The row at the states as they stand."""
        if self._step is None or self._step.recipe is not self.recipe:
            self._adopt()
            free_energy = self._free_energy()
            ended = self.t >= self.steps or not bool(self._unsettled(free_energy).any())
            last = ended and self._phase == len(self.phases) - 1
            self._step = Step(
                Moment(self.t, self.phase.name, ended, last),
                self.states,
                self.before,
                self.first,
                free_energy,
                self.recipe,
                self.phase,
                self._ended,
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
        gradients = learning.gradients(step) if due else None
        with torch.no_grad():
            moved, self._memory = self.recipe.dynamics.step(
                step.free_energy, self.states, self._memory
            )
            moved = self._kept(moved, step.free_energy)
            self._adapt(step.free_energy)
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
            self._apply(self.recipe.learning.gradients(self.step()))

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
            self._ended,
            self.precisions,
            self._stopped,
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot of this relaxation: states, memories, noise and weights."""
        self.t, self._phase, self._clock = snapshot.t, snapshot.phase, snapshot.clock
        self.recipe = self._adopted = snapshot.recipe
        self.states, self.before, self.first = snapshot.states, snapshot.before, snapshot.first
        self._memory, self._ended = snapshot.memory, snapshot.ended
        self.precisions, self._stopped = snapshot.precisions, snapshot.stopped
        self._table = self._scheduled()
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
        """Take over a changed recipe: what it disturbs is derived from the states as they stand.

        Samples that had stopped are judged anew.
        """
        old, new = self._adopted, self.recipe
        if old is new:
            return
        self._stopped = None
        if old is not None and type(old.precision) is not type(new.precision):
            self._clock = self.t
        if old is None or old.precision != new.precision or old.steps != new.steps:
            self._table = self._scheduled()
        if old is None or type(old.dynamics) is not type(new.dynamics):
            self._memory = new.dynamics.init(self._free_energy(), self.states, self.generator)
        self._adopted = new

    def _begin(self, phase: int) -> None:
        self._ended = (*self._ended, (self.phase, self.states))
        self._phase, self.t, self._clock = phase, 0, 0
        begin = self.phase.begin_from
        ends = {one.name: states for one, states in self._ended}
        self.states = self._begun(self.states if begin is None else ends[begin])
        self.before = self._stopped = None
        self._table = self._scheduled()
        self._memory = self.recipe.dynamics.init(self._free_energy(), self.states, self.generator)
        self._step = None

    def _scheduled(self) -> Tensor:
        """A schedule as a table on the network's device, (T, L); empty where precisions adapt.

        What adaptive precisions have learnt is kept with their type, so that another type begins
        anew.
        """
        precision, depth = self.recipe.precision, self.network.depth
        if not isinstance(precision, kinds.Adaptive):
            T = max(self.steps, 1)
            table = precision.table(T, depth)
            if wrong := fault(table, (T, len(depth))):
                raise BadInput(f"precision: {type(precision).__name__} gives {wrong}")
            return table.to(self.network.example)
        if self.precisions is None or self.precisions[0] is not type(precision):
            self.precisions = type(precision), precision.init(depth)
        return depth.new_zeros(0)

    def _row(self) -> Tensor:
        """The precisions in force, (L,)."""
        recipe, t = self.recipe, self.t - self._clock
        if isinstance(recipe.precision, kinds.Adaptive):
            row = recipe.precision.row(self.precisions[1]).to(self.network.example)
        else:
            row = self._table[min(t, len(self._table) - 1)]
        if recipe.window:
            depth = self.network.depth.to(row.device)
            row = torch.where(depth >= depth.max() - t, row, 0.0)
        if recipe.output_precision != 1.0:
            row = torch.cat([row[:-1], recipe.output_precision * row[-1:]])
        return row

    def _adapt(self, free_energy: FreeEnergy) -> None:
        """Let adaptive precisions take their step, beside that of the states."""
        precision = self.recipe.precision
        if isinstance(precision, kinds.Adaptive):
            kept = precision.step(free_energy, self.states, self.precisions[1])
            self.precisions = type(precision), kept

    def _free_energy(self) -> FreeEnergy:
        phase = self.phase
        return FreeEnergy(
            self.network,
            self._row(),
            phase.clamped,
            nudge=phase.nudge,
            cost=phase.cost,
            target=phase.target,
            held={i: mask for i, (_, mask) in phase.held.items()},
            decay=self.recipe.activity_decay,
            engine=self.engine,
        )

    def _unsettled(self, free_energy: FreeEnergy) -> Tensor:
        """Which samples have not been within the tolerance, (B,); all where there is none."""
        everything = torch.ones(len(self.states[0]), dtype=torch.bool)
        if not self.recipe.tolerance:
            return everything
        found = residual(free_energy, self.states)  # (B,)
        if self.recipe.stop == "batch":
            found = found.square().mean().sqrt().expand(len(found))
        goes_on = ~(found <= self.recipe.tolerance)  # so does what is not a number
        return goes_on if self._stopped is None else goes_on & ~self._stopped

    def _kept(self, moved: States, free_energy: FreeEnergy) -> States:
        """The moved states, but for held units and for samples that have stopped by themselves."""
        for i, (value, mask) in self.phase.held.items():
            moved = [torch.where(mask, value, h) if k == i else h for k, h in enumerate(moved)]
        if not self.recipe.tolerance or self.recipe.stop == "batch":
            return moved
        moves = self._unsettled(free_energy)
        self._stopped = ~moves
        return [
            torch.where(moves.reshape(-1, *(1,) * (h.dim() - 1)), h, old)
            for h, old in zip(moved, self.states, strict=True)
        ]

    def _begun(self, states: States) -> States:
        """States at the beginning of a phase: given ones, held units and clamps in their place."""
        phase = self.phase
        begun = []
        for i, h in enumerate(states):
            h = phase.clamped.get(i, phase.given.get(i, h))
            if i in phase.held:
                value, mask = phase.held[i]
                h = torch.where(mask, value, h)
            begun.append(h)
        return begun

    def _apply(self, gradients: Sequence[Tensor | None]) -> None:
        """One optimiser step on the mean over the batch."""
        assert self.optimiser is not None
        batch = len(self.states[0])
        for parameter, gradient in zip(self.network.parameters(), gradients, strict=True):
            parameter.grad = None if gradient is None else gradient / batch
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.network.touch()
        self._step = None
