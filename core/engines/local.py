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

from collections.abc import Sequence

import torch
from torch import Tensor

from core.energies.squared_error import SquaredError
from core.engines.maps import Map, Prediction, map_of
from core.free_energy import Balance, FreeEnergy
from core.network import Network, States


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
        with torch.no_grad():
            self._follow(free_energy)
            forces: list[Tensor | None] = [None] * len(states)
            predictions, energies = [], []
            for k, i in enumerate(self.network.layers):
                known = self._prediction(i, states)
                predictions.append(known.mu)
                if self._is_exact(i, states[i], known):
                    energies.append(states[i].new_zeros(len(states[i])))
                    continue
                energy, own, v = self._terms(i, states[i], known.mu)
                energies.append(energy)
                pi = free_energy.precision[k]
                if i not in free_energy.clamped:
                    _add(forces, i, pi * own)
                if any(self._wanted[i]):
                    pulled = self._maps[i].pull(self._whole(i, known), pi * v, self._wanted[i])
                    for parent, want, g in zip(
                        self.network.nodes[i].parents, self._wanted[i], pulled, strict=True
                    ):
                        if want and g is not None:
                            _add(forces, parent, g)
        return free_energy.balanced(states, predictions, torch.stack(energies), forces)

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
            self._follow(free_energy)
            for k, i in enumerate(self.network.layers):
                own = list(self.network.maps[str(i)].parameters())
                known = self._looked_up(i, inputs)
                if self._is_exact(i, states[i], known):
                    gradients = [torch.zeros_like(p) for p in own]
                else:
                    _, _, v = self._terms(i, states[i], known.mu)
                    if isinstance(scale, Tensor):
                        v = scale.reshape(-1, *(1,) * (v.dim() - 1)) * v
                    elif scale != 1.0:
                        v = scale * v
                    if weighted:
                        v = free_energy.precision[k] * v
                    gradients = self._maps[i].weights(self._whole(i, known), v)
                for p, g in zip(own, gradients, strict=True):  # a shared one sums over its layers
                    found[id(p)] = found[id(p)] + g if id(p) in found else g
        return [found[id(p)] for p in self.network.parameters()]

    def _follow(self, free_energy: FreeEnergy) -> None:
        """Forget what other weights or other clamps made."""
        network = self.network
        weights = network.weights
        if weights != self._weights or not self.savings:
            self._known.clear()
            self._weights = weights
        wanted = {
            i: tuple(p not in free_energy.clamped for p in network.nodes[i].parents)
            for i in network.layers
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

    def _terms(self, i: int, h: Tensor, mu: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Energy (B,) and its derivatives by state and by prediction, (B, *shape)."""
        energy = self.network.nodes[i].energy
        if self._quadratic[i]:
            e = h - mu
            return 0.5 * e.flatten(1).square().sum(1), e, -e
        with torch.enable_grad():
            at, about = h.detach().requires_grad_(), mu.detach().requires_grad_()
            found = energy(at, about)
            own, v = torch.autograd.grad(found.sum(), (at, about))
        return found.detach(), own, v


def _add(forces: list[Tensor | None], i: int, g: Tensor) -> None:
    old = forces[i]
    forces[i] = g if old is None else old + g


def _same(a: Sequence[Tensor], b: Sequence[Tensor]) -> bool:
    return all(x is y for x, y in zip(a, b, strict=True))
