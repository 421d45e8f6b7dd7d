"""How far does one step carry an error, if layers take turns? Projected sweeps of the states."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.catalogue import dial, entry
from core.dynamics.gradient import RATE
from core.free_energy import FreeEnergy
from core.network import Network, States
from core.networks.layers import pre_activation

ORDERS = ("even-odd", "odd-even", "synchronous", "backward")
RULES = ("pgd", "mod-pgd")
PROJECTIONS = ("auto", "relu", "none")


@entry(
    "dynamics",
    "Projected sweeps",
    formula=r"h_\ell \leftarrow P(h_\ell - \alpha\, (\partial F/\partial h_\ell + "
    r"\Pi_\ell (\mu_\ell - a_\ell)))",
    source="kerjan2026",
)
@dataclass(frozen=True)
class Sweeping:
    r"""Layers take turns in groups of equal depth; one step is one sweep over all of them.

    $h_\ell \leftarrow P(h_\ell - \alpha\,\partial F/\partial h_\ell)$, each group at the states
    that the groups before it have left. Orders: *even-odd* (even depths at once, then odd ones),
    *odd-even*, *synchronous* (all at once), *backward* (one depth after the other, output first).
    From a forward sweep the output's error reaches layer 1 in L sweeps if synchronous, in about
    L / 2 if even and odd take turns, in one if backward. P is the ReLU where a layer ends in one
    ("auto"), in every layer that is neither the output nor a root ("relu"), or nothing ("none").
    *mod-pgd* reads the pre-activation $a_\ell$ in the place of $\mu_\ell = \mathrm{ReLU}(a_\ell)$:
    an inhibited unit then stays silent until what pulls it exceeds the inhibition, so the rest
    points are not the equilibria of F. They keep the centered estimate of equilibrium propagation
    of second order: with *pgd* an inhibited unit wakes in proportion to $\beta$ in one of the two
    phases, and the pair errs as $\beta$, not as $\beta^2$. In a layer that ends in no ReLU or is
    not projected, and with *pgd*, $a_\ell$ is $\mu_\ell$. At $\alpha = \Pi_\ell = 1$ the old state
    cancels: a fixed-point iteration, no minimiser. It suits a gentle nudge, whose loop gain is
    small; with a clamped output it can diverge, and F may rise on the way.

    Source: kerjan2026 (even-odd, mod-pgd, rate 1).
    """

    order: str = dial("even-odd", choices=ORDERS, help="which layers move together, and when")
    rule: str = dial("mod-pgd", choices=RULES, help="whether inhibited ReLU units stay silent")
    rate: float = dial(1.0, help="step size of each layer, per sweep and sample", **RATE)
    projection: str = dial(
        "auto", choices=PROJECTIONS, symbol="P", help="which states are kept from being negative"
    )

    def init(
        self, free_energy: FreeEnergy, states: States, generator: torch.Generator | None
    ) -> None:
        """Sweeps have no memory."""
        return None

    def step(self, free_energy: FreeEnergy, states: States, memory: None) -> tuple[States, None]:
        """The states one sweep later."""
        free = [i for i in range(len(states)) if i not in free_energy.clamped]
        for group in groups(free_energy.network, free, self.order):
            forces = free_energy.forces(states)
            moved = list(states)
            for i in group:
                moved[i] = self._moved(free_energy, states, forces[i], i)
            states = moved
        return states, None

    def _moved(self, free_energy: FreeEnergy, states: States, g: Tensor, i: int) -> Tensor:
        """One state after its turn."""
        network = free_energy.network
        ends = i in network.layers and ends_in_relu(network.maps[str(i)])
        auto = self.projection == "auto" and ends
        projected = self.projection == "relu" or auto
        if i == network.top or i in network.roots or not projected:
            return states[i] - self.rate * g
        if ends and self.rule == "mod-pgd" and network.nodes[i].energy.quadratic:
            g = g + free_energy.precision[network.layers.index(i)] * _silenced(network, states, i)
        return (states[i] - self.rate * g).relu()


def groups(network: Network, free: Sequence[int], order: str) -> list[list[int]]:
    """The free states that move together, in the order in which their groups move.

    Args:
        network: whose depths decide.
        free: indices of the states that move.
        order: one of `ORDERS`.
    """
    depths = {i: network.nodes[i].depth for i in free}
    if order == "backward":
        falling = sorted(set(depths.values()), reverse=True)
        return [[i for i in free if depths[i] == depth] for depth in falling]
    if order == "synchronous":
        return [list(free)]
    parities = (0, 1) if order == "even-odd" else (1, 0)
    return [[i for i in free if depths[i] % 2 == parity] for parity in parities]


def ends_in_relu(module: nn.Module) -> bool:
    """Whether the last activation of a layer is a ReLU, with at most pooling behind it."""
    rest = pre_activation(module)
    if rest is None:
        return False
    kept = list(rest.children())
    return any(
        isinstance(one, nn.ReLU) and all(one is not other for other in kept)
        for one in module.children()
    )


def _silenced(network: Network, states: States, i: int) -> Tensor:
    """What the ReLU at the end of a layer cuts off: mu - a, (B, *shape)."""
    bare = pre_activation(network.maps[str(i)])
    assert bare is not None
    parents = [states[p] for p in network.nodes[i].parents]
    a = bare(*parents)
    return a.relu() - a
