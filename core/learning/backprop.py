"""The baseline: the gradient of the output's energy at the forward pass."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from core.catalogue import entry
from core.free_energy import backprop_gradients
from core.step import Step


@entry(
    "learning",
    "Backprop",
    formula=r"\Delta\theta \propto -\partial E_L(y, \mu_L^{0}) / \partial\theta",
    source="rumelhart1986",
)
@dataclass(frozen=True)
class Backprop:
    r"""Gradient descent on the loss of the forward pass, whatever the states did.

    $\Delta\theta \propto -\partial E_L(y, \mu_L^{0}) / \partial\theta$ with the output's energy as
    loss. The relaxation runs beside it and has no influence on the weights.

    Source: rumelhart1986.
    """

    every_step: ClassVar[bool] = False

    def gradients(self, step: Step) -> list[Tensor | None]:
        """Gradient of the loss through the whole network."""
        network, phase = step.free_energy.network, step.phase
        roots = {i: step.states[i] for i in network.roots}
        return list(backprop_gradients(network, roots, step.target, phase.cost))
