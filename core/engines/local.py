"""What can be left out? Each layer for itself, and nothing is computed twice from the same tensors.

Every layer needs its prediction and one product with its Jacobian. The engine remembers from which
tensors a prediction was made. Where a layer's parents are still the very same tensors and its
weights have not changed, the prediction is still right: the first layer over a clamped input is
predicted once. Where, besides, the state *is* the tensor that was predicted, as after a forward
sweep, the error is exactly zero without looking: such layers have no energy and hand nothing down,
and a state to which nothing comes down does not move and stays the same tensor. So the error that
begins at the output of a swept network is followed layer by layer, and those it has not reached
cost nothing. Whatever makes a new tensor (noise, a poke, a weight step, a clamp, a restored state,
another init) ends the saving by itself: there is no list of conditions.

Source: this project.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from core.energies.squared_error import SquaredError
from core.engines.maps import Map, Prediction, map_of
from core.free_energy import Balance, FreeEnergy
from core.network import Network, States


class Terms(NamedTuple):
    """What one layer's energy has to hand down.

    Args:
        k: which of the layers.
        i: its state.
        known: its prediction.
        own: dE/dh, (B, *shape).
        v: dE/dmu, (B, *shape), or None where that is -own.
    """

    k: int
    i: int
    known: Prediction
    own: Tensor
    v: Tensor | None


class Local:
    """Balances by layer for one network."""

    name = "local"

    def __init__(self, network: Network, *, savings: bool = True) -> None:
        """Look at every layer once.

        Args:
            network: whose layers are computed.
            savings: whether what is known may be left out; off, every layer is computed anew.
        """
        self.network = network
        self.savings = savings
        self._maps: dict[int, Map] = {i: map_of(network.maps[str(i)]) for i in network.layers}
        self._quadratic = {i: type(network.nodes[i].energy) is SquaredError for i in network.layers}
        self._known: dict[int, Prediction] = {}
        self._wanted: dict[int, tuple[bool, ...]] = {}
        self._weights: object = None
        self._zeros: dict[int, Tensor] = {}

    def balance(self, free_energy: FreeEnergy, states: States) -> Balance:
        """All terms of the free energy at `states`, equal to those of automatic differentiation."""
        terms: list[Terms] = []
        predictions, energies = [], []
        with torch.no_grad():
            self._begin(free_energy.fixed)
            for k, i in enumerate(self.network.layers):
                known = self._prediction(i, states)
                predictions.append(known.mu)
                if self._is_exact(i, states[i], known):
                    energies.append(states[i].new_zeros(len(states[i])))
                    continue
                energy, own, v = self._terms(i, states[i], known.mu)
                energies.append(energy)
                terms.append(Terms(k, i, known, own, v))
        wanted, weights = self._wanted, self._weights

        def layers() -> dict[int, Tensor]:
            if self.network.weights != weights:
                raise RuntimeError("forces: the weights have moved since the energies were taken")
            with torch.no_grad():
                return self._handed_down(free_energy, terms, wanted)

        return free_energy.balanced(states, predictions, torch.stack(energies), layers)

    def _handed_down(
        self, free_energy: FreeEnergy, terms: list[Terms], wanted: dict[int, tuple[bool, ...]]
    ) -> dict[int, Tensor]:
        """What the layers' energies do to the states that they reach."""
        forces: dict[int, Tensor] = {}
        for k, i, known, own, v in terms:
            pi = free_energy.precision[k]
            own.mul_(pi)
            if not any(wanted[i]):
                pulled = []
            else:
                down = own if v is None else -pi * v
                pulled = self._maps[i].pull(self._whole(i, known), down, wanted[i])
            if i not in free_energy.fixed:  # a loop may hand down this very tensor
                mine = own.clone() if i in self.network.nodes[i].parents else own
                forces[i] = forces[i].add_(mine) if i in forces else mine
            for parent, g in zip(self.network.nodes[i].parents, pulled, strict=False):
                if g is not None:
                    forces[parent] = forces[parent].sub_(g) if parent in forces else -g
        return forces

    @contextmanager
    def sweeping(self, clamped: Collection[int]) -> Iterator[None]:
        """Let the network ask here while it sweeps, so that what a sweep predicts is known.

        Args:
            clamped: the states that will not move.
        """
        self._weights = None  # so that nothing is left of what was known
        self._begin(clamped)

        def ask(i: int, states: Sequence[Tensor]) -> Tensor:
            parents = tuple(states[p] for p in self.network.nodes[i].parents)
            self._known[i] = self._maps[i].predict(parents, self._wanted[i])
            return self._known[i].mu

        with self.network.asking(ask):
            yield

    def weight_gradients(
        self,
        free_energy: FreeEnergy,
        states: States,
        inputs: States,
        *,
        weighted: bool,
        scale: Tensor | float,
    ) -> list[Tensor]:
        """dE/dtheta of every parameter, each layer's by itself; see `FreeEnergy`."""
        found: dict[int, Tensor] = {}
        with torch.no_grad():
            self._begin(free_energy.fixed)
            for k, i in enumerate(self.network.layers):
                own = list(self.network.maps[str(i)].parameters())
                known = self._looked_up(i, inputs)
                if self._is_exact(i, states[i], known):
                    gradients = [torch.zeros_like(p) for p in own]
                else:
                    _, e, v = self._terms(i, states[i], known.mu)
                    v = -e if v is None else v
                    if isinstance(scale, Tensor):
                        v = scale.reshape(-1, *(1,) * (v.dim() - 1)) * v
                    elif scale != 1.0:
                        v = scale * v
                    if weighted:
                        v = free_energy.precision[k] * v
                    gradients = self._maps[i].weights(known, v)
                for p, g in zip(own, gradients, strict=True):  # a shared one sums over its layers
                    found[id(p)] = found[id(p)] + g if id(p) in found else g
        return [found[id(p)] for p in self.network.parameters()]

    def _begin(self, clamped: Collection[int]) -> None:
        """Forget what other weights or other clamps made."""
        network = self.network
        weights = network.weights
        if weights != self._weights or not self.savings:
            self._known.clear()
            self._weights = weights
        wanted = {
            i: tuple(p not in clamped for p in network.nodes[i].parents) for i in network.layers
        }
        for i, old in list(self._wanted.items()):
            if wanted[i] != old:
                self._known.pop(i, None)
        self._wanted = wanted

    def _prediction(self, i: int, states: States) -> Prediction:
        self._known[i] = self._looked_up(i, states)
        return self._known[i]

    def _looked_up(self, i: int, states: States) -> Prediction:
        """What layer i predicts from these states, from memory where it is there."""
        parents = tuple(states[p] for p in self.network.nodes[i].parents)
        known = self._known.get(i)
        if known is not None and _same(known.parents, parents):
            return known
        if self.savings and self.network.has_swept(i, states):
            return Prediction(parents, states[i])
        return self._maps[i].predict(parents, self._wanted[i])

    def _is_exact(self, i: int, h: Tensor, known: Prediction) -> bool:
        """Whether the state is the very tensor that was predicted: no error, exactly."""
        return self.savings and h is known.mu and self._quadratic[i]

    def _whole(self, i: int, known: Prediction) -> Prediction:
        """A prediction with all that handing an error down needs."""
        if known.kept is None:
            known.kept = self._maps[i].predict(known.parents, self._wanted[i]).kept
        return known

    def _terms(self, i: int, h: Tensor, mu: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Energy (B,) and its derivatives by state and by prediction, (B, *shape).

        The last is None where it is minus the other one.
        """
        if self._quadratic[i]:
            e = h - mu
            return 0.5 * torch.linalg.vector_norm(e.flatten(1), dim=1).square(), e, None
        energy = self.network.nodes[i].energy
        with torch.enable_grad():
            at, about = h.detach().requires_grad_(), mu.detach().requires_grad_()
            found = energy(at, about)
            own, v = torch.autograd.grad(found.sum(), (at, about))
        return found.detach(), own, v


def _same(a: Sequence[Tensor], b: Sequence[Tensor]) -> bool:
    return all(x is y for x, y in zip(a, b, strict=True))
