"""What is descended? The free energy of one phase at one step, its terms and its gradients."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from core.network import Network, States
from core.phase import Cost


@dataclass(frozen=True)
class Balance:
    """Every term of the free energy at one point of state space.

    Args:
        states: h_0 ... h_N, where it was taken.
        predictions: mu of each layer, (B, *shape).
        energies: E_l, bare, (L, B), in nats.
        cost: C(h_N, target), (B,), zero where nothing nudges.
        decay: c / 2 |h|^2 over the free states, (B,).
        pull: computes dF/dh of the free states and of the relays; called when first asked for.
        relays: indices of the states that hand on what pulls at them.
    """

    states: States
    predictions: list[Tensor]
    energies: Tensor
    cost: Tensor
    decay: Tensor
    pull: Callable[[], dict[int, Tensor]]
    relays: Collection[int] = ()

    @cached_property
    def _pulled(self) -> dict[int, Tensor]:
        return self.pull()

    @cached_property
    def moving(self) -> dict[int, Tensor]:
        """dF/dh, (B, *shape), of the free states that something reaches.

        A rule that follows the force alone may leave the others as they are.
        """
        return {i: g for i, g in self._pulled.items() if i not in self.relays}

    @cached_property
    def handed(self) -> dict[int, Tensor]:
        """What pulls at the relays, (B, *shape): their parents feel it one step later."""
        return {i: g for i, g in self._pulled.items() if i in self.relays}

    @cached_property
    def forces(self) -> list[Tensor]:
        """dF/dh of each state, (B, *shape), summed over nothing; zero where clamped."""
        pairs = enumerate(self.states)
        return [self.moving[i] if i in self.moving else torch.zeros_like(h) for i, h in pairs]


class Engine(Protocol):
    """A way to compute the balance; all ways give the same numbers up to rounding."""

    name: str

    def balance(self, free_energy: "FreeEnergy", states: States) -> Balance:
        """Every term of the free energy at `states`."""
        ...

    def weight_gradients(
        self,
        free_energy: "FreeEnergy",
        states: States,
        inputs: States,
        *,
        weighted: bool,
        scale: Tensor | float,
    ) -> list[Tensor]:
        """As `FreeEnergy.weight_gradients`, into tensors that nobody else holds."""
        ...


class FreeEnergy:
    r"""F = sum_l Pi_l E_l(h_l, mu_l) + nudge * C(h_N, target) + c / 2 sum_free |h_l|^2.

    Two totals are kept apart: F is weighted by precision and is what is descended; E is the bare
    sum. Both are sums over units, layers and samples.
    """

    def __init__(
        self,
        network: Network,
        precision: Tensor,
        clamped: Collection[int] = (),
        *,
        nudge: float | Tensor = 0.0,
        cost: Cost | None = None,
        target: Tensor | None = None,
        held: Mapping[int, Tensor] | None = None,
        decay: float = 0.0,
        handed: Mapping[int, Tensor] | None = None,
        engine: Engine | None = None,
    ) -> None:
        """Describe one phase at one step.

        Args:
            network: the layers and their energies.
            precision: Pi_l, (L,).
            clamped: indices of the states that do not move.
            nudge: beta, a number or (B,).
            cost: C(h, target) per sample, (B,), wherever nudge is not zero.
            target: of the cost, (B, *shape).
            held: masks (B, *shape) of the units of free states that do not move, by index.
            decay: c, of the free states.
            handed: what pulled at the relays one step ago, (B, *shape), by index.
            engine: computes the balance; None for automatic differentiation of the total.
        """
        self.network = network
        self.precision = precision
        self.fixed = frozenset(clamped)
        self.clamped = self.fixed | frozenset(network.relays)
        self.nudge = nudge
        self.cost = cost
        self.target = target
        self.held = dict(held or {})
        self.decay = decay
        self.handed = dict(handed or {})
        self.engine = engine
        self._last: tuple[States, Balance] | None = None

    def balance(self, states: States) -> Balance:
        """All terms at `states`; the last is kept."""
        if self._last is None or self._last[0] is not states:
            by = self._by_differentiation if self.engine is None else self._by_engine
            self._last = (states, by(states))
        return self._last[1]

    def _by_engine(self, states: States) -> Balance:
        assert self.engine is not None
        return self.engine.balance(self, states)

    def _by_differentiation(self, states: States) -> Balance:
        """The reference: automatic differentiation of the total."""
        with torch.enable_grad():
            leaves = [h.detach().requires_grad_(i not in self.fixed) for i, h in enumerate(states)]
            predictions = self.network.predictions(leaves)
            energies = self._energies(leaves, predictions)
            cost = self._cost(leaves)
            free = [h for i, h in enumerate(leaves) if i not in self.clamped]
            decay = self._decay(free, like=cost)
            total = self._sum(energies, cost, decay)
            pulled = [h for h in leaves if h.requires_grad]
            forces = iter(torch.autograd.grad(total, pulled, allow_unused=True) if pulled else ())
        found: dict[int, Tensor] = {}
        for i, h in enumerate(states):
            if i not in self.fixed:
                g = next(forces)
                found[i] = torch.zeros_like(h) if g is None else g
        self._hand_on(found)
        found = {i: self._free_part(i, g) for i, g in found.items()}
        mu = [m.detach() for m in predictions]
        terms = energies.detach(), cost.detach(), decay.detach()
        return Balance(states, mu, *terms, lambda: found, self.network.relays)

    def balanced(
        self,
        states: States,
        predictions: list[Tensor],
        energies: Tensor,
        layers: Callable[[], dict[int, Tensor]],
    ) -> Balance:
        """The balance from what the layers contribute: nudge, decay and held units are added.

        Args:
            states: h_0 ... h_N.
            predictions: mu of each layer.
            energies: of the layers, (L, B).
            layers: computes the forces of the layers on those states that they reach, in tensors
                that nobody else holds.
        """
        cost = self._cost(states).detach()
        free = [h for i, h in enumerate(states) if i not in self.clamped]

        def pull() -> dict[int, Tensor]:
            found = layers()
            if (nudge := self._nudge_pull(states)) is not None:
                top = self.network.top
                found[top] = found[top] + nudge if top in found else nudge
            for i, h in enumerate(states):
                if self.decay and i not in self.clamped:
                    decay = self.decay * h
                    found[i] = found[i] + decay if i in found else decay
            self._hand_on(found)
            return {i: self._free_part(i, g) for i, g in found.items() if i not in self.fixed}

        terms = energies, cost, self._decay(free, like=cost)
        return Balance(states, predictions, *terms, pull, self.network.relays)

    def _hand_on(self, found: dict[int, Tensor]) -> None:
        """Add what pulled at the relays one step ago to the forces on their parents."""
        for relay, pull in self.handed.items():
            for p in self.network.nodes[relay].parents:
                if p not in self.fixed:
                    found[p] = found[p] + pull if p in found else pull

    def _nudge_pull(self, states: States) -> Tensor | None:
        """The force of the cost on the output, (B, *shape); None where it acts on nothing."""
        if self.cost is None or self.target is None or self.network.top in self.clamped:
            return None
        with torch.enable_grad():
            h = states[self.network.top].detach().requires_grad_()
            cost = self.cost(h, self.target)
            (pull,) = torch.autograd.grad((self.nudge * cost).sum(), h)
        return pull

    def _free_part(self, i: int, g: Tensor) -> Tensor:
        """A force without the units that are held."""
        return g.masked_fill(self.held[i], 0.0) if i in self.held else g

    def energies(self, states: States) -> Tensor:
        """E_l, bare, (L, B), in nats, in depth order."""
        return self.balance(states).energies

    def errors(self, states: States) -> list[Tensor]:
        """e_l of each layer, (B, *shape): state minus prediction (cross-entropy: minus softmax)."""
        mu = self.balance(states).predictions
        nodes = self.network.nodes
        return [
            nodes[i].energy.error(states[i], m)
            for i, m in zip(self.network.layers, mu, strict=True)
        ]

    def forces(self, states: States) -> list[Tensor]:
        """dF/dh of each state, (B, *shape), per sample; zero where clamped."""
        return self.balance(states).forces

    def relayed(self, states: States, moved: States) -> tuple[States, dict[int, Tensor]]:
        """Let the relays take their step, beside the states.

        Args:
            states: h_0 ... h_N before it.
            moved: after it, the relays as they were.

        Returns: the moved states with each relay at what its parents had, and what pulled at the
            relays, (B, *shape), by index.
        """
        relays = self.network.relays
        if not relays:
            return moved, {}
        taken = {i: self.network.relayed(i, states) for i in relays}
        return [taken.get(i, h) for i, h in enumerate(moved)], self.balance(states).handed

    def total(self, states: States) -> Tensor:
        """F, weighted, summed over the batch, a scalar."""
        found = self.balance(states)
        return self._sum(found.energies, found.cost, found.decay)

    def weight_gradients(
        self,
        states: States,
        inputs: States | None = None,
        *,
        weighted: bool = False,
        scale: Tensor | float = 1.0,
    ) -> list[Tensor]:
        """dE/dtheta of every parameter, summed over the batch, with the states held.

        Args:
            states: h_0 ... h_N, whose errors count.
            inputs: states that the predictions read; `states` by default. The forward update gives
                those of the first step.
            weighted: whether each layer's energy is multiplied by its precision.
            scale: what each sample's gradient is multiplied with, a number or (B,).

        Source: whittington2017; with `inputs` qi2026 (released code).
        """
        if self.engine is not None:
            read = states if inputs is None else inputs
            return self.engine.weight_gradients(self, states, read, weighted=weighted, scale=scale)
        with torch.enable_grad():
            held = [h.detach() for h in states]
            read = held if inputs is None else [h.detach() for h in inputs]
            energies = self._energies(held, self.network.predictions(read))
            if weighted:
                energies = self.precision[:, None] * energies
            return _gradients((scale * energies).sum(), list(self.network.parameters()))

    def _energies(self, states: Sequence[Tensor], predictions: Sequence[Tensor]) -> Tensor:
        """(L, B)."""
        nodes = self.network.nodes
        terms = [
            nodes[i].energy(states[i], mu)
            for i, mu in zip(self.network.layers, predictions, strict=True)
        ]
        return torch.stack(terms)

    def _cost(self, states: Sequence[Tensor]) -> Tensor:
        """(B,)."""
        if self.cost is None or self.target is None:
            return states[-1].new_zeros(len(states[-1]))
        return self.cost(states[-1], self.target)

    def _decay(self, free: Sequence[Tensor], like: Tensor) -> Tensor:
        """(B,)."""
        found = torch.zeros_like(like)
        if self.decay:
            for h in free:
                found = found + 0.5 * self.decay * h.flatten(1).square().sum(1)
        return found

    def _sum(self, energies: Tensor, cost: Tensor, decay: Tensor) -> Tensor:
        """F, a scalar."""
        return ((self.precision[:, None] * energies).sum(0) + self.nudge * cost + decay).sum()


def residual(free_energy: FreeEnergy, states: States) -> Tensor:
    """RMS of dF/dh over the free units of each sample, (B,); held units are not free."""
    forces = [g.flatten(1) for g in free_energy.forces(states)]
    units = forces[0].new_zeros(len(forces[0]))
    for i, g in enumerate(forces):
        if i not in free_energy.clamped:
            units = units + g.shape[1]
        if i in free_energy.held:
            units = units - free_energy.held[i].flatten(1).sum(1)
    return (torch.cat(forces, dim=1).square().sum(1) / units.clamp(min=1)).sqrt()


def backprop_gradients(
    network: Network, roots: dict[int, Tensor], target: Tensor, cost: Cost | None = None
) -> list[Tensor]:
    """Gradient of the loss by every parameter, summed over the batch.

    Args:
        network: acyclic, with a clamped value for each root in `roots`.
        roots: by index, (B, *shape).
        target: of the output, (B, *shape).
        cost: C(output, target), (B,); by default the energy of the output layer.

    Source: rumelhart1986.
    """
    with torch.enable_grad():
        prediction = network.sweep(roots)[network.top]
        if cost is None:
            loss = network.nodes[network.top].energy(target, prediction)
        else:
            loss = cost(prediction, target)
        return _gradients(loss.sum(), list(network.parameters()))


def _gradients(total: Tensor, parameters: list[torch.nn.Parameter]) -> list[Tensor]:
    found = torch.autograd.grad(total, parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]
