"""What can be done at once? A chain of linear layers between clamped ends, in place.

Whoever looks at every step needs each layer's tensors, and gets them layer by layer. Where nobody
looks, plain gradient descent under scheduled precisions goes on in place from step to step; all
else (momentum, noise, nudges, decay, tolerances, held units, free ends, weights that move at every
step) is computed layer by layer here too.

Source: this project.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from core import kinds
from core.catalogue import BadInput
from core.dynamics.gradient import GradientDescent
from core.energies.squared_error import SquaredError
from core.engines.in_place import InPlace
from core.engines.local import Local
from core.engines.maps import FormulaMap, map_of
from core.free_energy import FreeEnergy
from core.network import Network, States
from core.phase import Phase

if TYPE_CHECKING:
    from core.experiment import Recipe


class Chain(Local):
    """Balances by layer, and descent in place."""

    name = "chain"

    def __init__(self, network: Network, *, savings: bool = True) -> None:
        """Look at every layer once.

        Args:
            network: a chain for which `is_chain` holds.
            savings: whether what is known may be left out; off, every layer is computed anew.
        """
        super().__init__(network, savings=savings)
        layers = chain_maps(network)
        if layers is None:
            raise BadInput(
                "engine: chain; a chain of linear layers, each with an activation behind it or "
                "none, under squared error: auto, local and plain take any network"
            )
        self.layers = layers
        self.descent: InPlace | None = None

    def descends(self, recipe: "Recipe", phase: Phase) -> bool:
        """Whether the states of a phase under a recipe can descend in place."""
        return (
            type(recipe.dynamics) is GradientDescent
            and not isinstance(recipe.precision, kinds.Adaptive)
            and not recipe.tolerance
            and not recipe.activity_decay
            and not phase.nudged
            and not phase.held
            and set(phase.clamped) == {0, self.network.top}
        )

    def begin(self, states: States) -> InPlace:
        """Descent from states whose ends are clamped."""
        network = self.network
        hidden = network.layers[:-1]
        swept = all(network.has_swept(i, states) for i in hidden)
        self.descent = InPlace(network, self.layers, states, swept=swept, savings=self.savings)
        return self.descent

    def weight_gradients(
        self,
        free_energy: FreeEnergy,
        states: States,
        inputs: States,
        *,
        weighted: bool,
        scale: Tensor | float,
    ) -> list[Tensor]:
        """dE/dtheta of every parameter, from the predictions of the last step where they serve."""
        descent = self.descent
        if descent is None or inputs is not states or not descent.stands_at(states):
            return super().weight_gradients(
                free_energy, states, inputs, weighted=weighted, scale=scale
            )
        with torch.no_grad():
            return descent.weight_gradients(scale, free_energy.precision if weighted else None)


def is_chain(network: Network) -> bool:
    """Whether every layer is linear with an activation behind it or none, over the one below."""
    return chain_maps(network) is not None


def chain_maps(network: Network) -> list[FormulaMap] | None:
    """The layers of a chain, two at least, under squared error; None where it is no such chain."""
    if len(network.layers) < 2 or network.roots != [0]:
        return None
    found: list[FormulaMap] = []
    for i in network.layers:
        node, one = network.nodes[i], map_of(network.maps[str(i)])
        if node.parents != (i - 1,) or type(node.energy) is not SquaredError:
            return None
        if not isinstance(one, FormulaMap) or one.before is not None:
            return None
        found.append(one)
    return found
