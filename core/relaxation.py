"""How do states move? A relaxation is an iterator of steps whose recipe may change in between."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from core import kinds
from core.engines import PLAIN, Chain, Local, engine_for
from core.engines.in_place import InPlace
from core.experiment import Recipe
from core.free_energy import Engine, FreeEnergy, residual
from core.network import Network, States
from core.phase import Phase
from core.rows import Rows, begins_anew, choices, in_force, laid_out
from core.settling import goes_on, only
from core.snapshot import Snapshot, Weights
from core.start import Start
from core.step import Moment, Step
from core.weight_step import weight_step


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
        engine: str | Engine = PLAIN,
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
            engine: the way in which the free energy is computed, by name or made for the network.
        """
        self.network, self.recipe = network, recipe
        self.phases = list(phases)
        self.generator, self.optimiser, self.held = generator, optimiser, held
        self.engine = engine_for(network, engine) if isinstance(engine, str) else engine
        self.t = self._phase = self._clock = 0
        self._saved: Weights | None = None
        self._ended: tuple[tuple[Phase, States], ...] = ()
        self.precisions = precisions
        clamped, samples = dict(self.phases[0].clamped), self.phase.samples
        self._statistics = network.measured(clamped)
        network.normalise_by(self._statistics)
        self.start = Start(network, clamped, labels, classes, memory, previous, generator, samples)
        asks = self.engine.sweeping(clamped) if isinstance(self.engine, Local) else nullcontext()
        with torch.no_grad(), asks:
            states = recipe.init(self.start)
        self._handed: dict[int, Tensor] = {}
        self.states = network.at_rest(self.phase.begun(states))
        self.first = self.states
        self.before: States | None = None
        self._adopted: Recipe | None = None
        self._memory: Any = None
        self._stopped: Tensor | None = None
        self._step: Step | None = None
        self._rows: Rows | None = None
        self._fits: bool | None = None

    @property
    def phase(self) -> Phase:
        """The phase that is running."""
        return self.phases[self._phase]

    @property
    def engine_name(self) -> str:
        """How the free energy is computed."""
        return PLAIN if self.engine is None else self.engine.name

    @property
    def steps(self) -> int:
        """T of the phase that is running."""
        return self.recipe.steps if self.phase.steps is None else self.phase.steps

    @property
    def states(self) -> States:
        """h_0 ... h_N as they stand."""
        if self._states is None:
            assert self._in_place is not None
            self._states = self._in_place.states()
        return self._states

    @states.setter
    def states(self, states: States) -> None:
        self._states, self._in_place = states, None

    @property
    def moment(self) -> Moment:
        """Where the relaxation stands."""
        if self.recipe.tolerance:
            return self.step().moment
        return self._moment(ended=self.t >= self.steps)

    @property
    def done(self) -> bool:
        """Whether the last phase has ended, by the recipe as it is now."""
        return self._phase == len(self.phases) - 1 and self.moment.phase_end

    def step(self) -> Step:
        """The row at the states as they stand."""
        self.network.normalise_by(self._statistics)
        if self._step is None or self._step.recipe is not self.recipe:
            self._adopt()
            free_energy = self._free_energy()
            settled = self.recipe.tolerance and not self._goes_on(free_energy).any()
            self._step = Step(
                self._moment(ended=self.t >= self.steps or bool(settled)),
                self.states,
                self.before,
                self.first,
                free_energy,
                self.recipe,
                self.phase,
                self._ended,
            )
        return self._step

    def norms(self, out: Tensor) -> NDArray[Any] | None:
        """|e_l| of each layer over units and samples, without a look at the states.

        Args:
            out: (L,), zeros, which the norms are written into.

        Returns:
            The precisions in force, (L,), on the host; None, and nothing written, where the engine
            does not descend in place: then `step` has what there is to measure.
        """
        descent = self._descent()
        if descent is None:
            return None
        assert self._rows is not None
        descent.norms(out)  # of tensors without a graph
        return self._rows.on_host[self._at()]

    def advance(self) -> None:
        """Take one state update, or go on to the next phase where this one has ended."""
        moment = self.moment
        if moment.phase_end and not moment.last:
            self._begin(self._phase + 1)
            return
        descent = self._descent()
        if descent is not None:
            with torch.no_grad():
                descent.step(self._at())
            self.before, self._states = self._states, None  # None: nobody has looked
        else:
            self._move()
        self.t += 1
        self._step = None

    def _move(self) -> None:
        """One update of the states, and of the weights where the rule asks for it."""
        step = self.step()
        gradients = self.recipe.learning.gradients(step) if self._learns_now else None
        with torch.no_grad():
            moved, self._memory = self.recipe.dynamics.step(
                step.free_energy, self.states, self._memory
            )
            moved, self._handed = step.free_energy.relayed(self.states, moved)
            moved = self._kept(moved, step.free_energy)
            self._adapt(step.free_energy)
        if gradients is not None:
            self.network.ranks.add(gradients)
            self._apply(gradients)
        self.before, self.states = self.states, moved

    @property
    def _learns_now(self) -> bool:
        """Whether the weights move at every step."""
        return self.recipe.learning.every_step and self.optimiser is not None and not self.held

    def _descent(self) -> InPlace | None:
        """The engine's own way to descend from the states as they stand, where it has one."""
        if not isinstance(self.engine, Chain):
            return None
        self._adopt()
        if self._fits is None:
            self._fits = self.engine.descends(self.recipe, self.phase)
        if self._learns_now or not self._fits:
            self.states = self.states
            return None
        if self._in_place is None or not self._in_place.of(self.network):
            self.states = self.states
            with torch.no_grad():
                self._in_place = self.engine.begin(self.states)
        assert self._rows is not None
        self._in_place.steer(self.recipe.dynamics.rate, self._rows)
        return self._in_place

    def _moment(self, *, ended: bool) -> Moment:
        return Moment(self.t, self.phase.name, ended, ended and self._phase == len(self.phases) - 1)

    def learn(self, also: Sequence[Tensor] = ()) -> None:
        """The weight update of rules that wait for the end; running statistics follow the batch.

        Args:
            also: summed over all ranks in the same exchange as the gradients, in place.
        """
        learns, rule = self.optimiser is not None and not self.held, self.recipe.learning
        found = rule.gradients(self.step()) if learns and not rule.every_step else ()
        self.network.ranks.add([*found, *also])
        if found:
            self._apply(found)
        if learns:
            self.network.follow(self._statistics)
            self._step = None

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
            tuple(self.phases),
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
            self._statistics,
            self._handed,
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot of this relaxation: states, memories, noise and weights."""
        self.t, self._phase, self._clock = snapshot.t, snapshot.phase, snapshot.clock
        self.phases = list(snapshot.phases)
        self.recipe = self._adopted = snapshot.recipe
        self.states, self.before, self.first = snapshot.states, snapshot.before, snapshot.first
        self._memory, self._ended = snapshot.memory, snapshot.ended
        self.precisions, self._stopped = snapshot.precisions, snapshot.stopped
        self._fits, self._statistics = None, snapshot.statistics
        self._handed = snapshot.handed
        self._schedule()
        if self.generator is not None and snapshot.generator is not None:
            self.generator.set_state(snapshot.generator)
        self.load(snapshot.weights)
        self._step = None

    def put(self, states: States, phases: Sequence[Phase]) -> None:
        """Go on from other states and clamps; samples that had stopped are judged anew."""
        self._adopt()
        self.states, self.phases = states, list(phases)
        self._stopped = self._fits = self._step = None

    def weights(self) -> Weights:
        """A copy of the weights, made once for each version of them."""
        if self._saved is None or self._saved.version != self.network.version:
            self._saved = Weights.of(self.network, self.optimiser)
        return self._saved

    def load(self, weights: Weights) -> None:
        """Take over a copy of the weights."""
        weights.into(self.network, self.optimiser)
        self._saved = weights

    def _adopt(self) -> None:
        """Take over a changed recipe; what it disturbs is derived from the states as they stand."""
        self.network.normalise_by(self._statistics)
        old, new = self._adopted, self.recipe
        if old is new:
            return
        self._stopped = self._fits = None
        if old is not None and begins_anew(old.precision, new.precision):
            self._clock = self.t
        if old is None or choices(old, self.network) != choices(new, self.network):
            self._schedule()
        if old is None or type(old.dynamics) is not type(new.dynamics):
            self._memory = new.dynamics.init(self._free_energy(), self.states, self.generator)
        self._adopted = new

    def _begin(self, phase: int) -> None:
        self._ended = (*self._ended, (self.phase, self.states))
        self._phase, self.t, self._clock = phase, 0, 0
        begin = self.phase.begin_from
        ends = {one.name: states for one, states in self._ended}
        begun = self.phase.begun(self.states if begin is None else ends[begin])
        self.states, self._handed = self.network.at_rest(begun), {}
        self.before = self._stopped = self._fits = None
        self._schedule()
        self._memory = self.recipe.dynamics.init(self._free_energy(), self.states, self.generator)
        self._step = None

    def _schedule(self) -> None:
        """Lay out the precisions; what adaptive ones have learnt is kept with their type."""
        precision, depth = self.recipe.precision, self.network.depth
        self._rows = None
        if isinstance(precision, kinds.Adaptive):
            if self.precisions is None or self.precisions[0] is not type(precision):
                self.precisions = type(precision), precision.init(depth)
            return
        self._rows = laid_out(precision, self.recipe, max(self.steps, 1), self.network)

    def _at(self) -> int:
        """The row of the schedule that is in force."""
        assert self._rows is not None
        return self._rows.at(self.t - self._clock)

    def _row(self) -> Tensor:
        """The precisions in force, (L,)."""
        recipe = self.recipe
        if self._rows is not None:
            return self._rows.on_device[self._at()]
        assert isinstance(recipe.precision, kinds.Adaptive)
        row = recipe.precision.row(self.precisions[1]).to(self.network.example)
        return in_force(recipe, self.network, row, self.t - self._clock)

    def _adapt(self, free_energy: FreeEnergy) -> None:
        """Let adaptive precisions take their step, beside that of the states."""
        if self._rows is None:
            precision = self.recipe.precision
            assert isinstance(precision, kinds.Adaptive)
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
            handed=self._handed,
            engine=self.engine,
        )

    def _goes_on(self, free_energy: FreeEnergy) -> Tensor:
        """Which samples have not been within the recipe's tolerance, (B,)."""
        return goes_on(residual(free_energy, self.states), self.recipe, self._stopped)

    def _kept(self, moved: States, free_energy: FreeEnergy) -> States:
        """The moved states, but for held units and for samples that have stopped by themselves."""
        moved = [self.phase.with_held(i, h) for i, h in enumerate(moved)]
        if self.recipe.tolerance and self.recipe.stop == "sample":
            self._stopped = ~(moves := self._goes_on(free_energy))
            moved = only(moves, moved, self.states)
        return moved

    def _apply(self, gradients: Sequence[Tensor | None]) -> None:
        """One optimiser step on the mean over the global batch."""
        assert self.optimiser is not None
        samples = len(self.states[0]) * self.network.ranks.count
        weight_step(self.network, self.optimiser, gradients, samples)
        self._step = None
