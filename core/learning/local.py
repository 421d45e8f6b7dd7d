"""Weight updates that read only a layer's own error and input."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from core.catalogue import dial, entry
from core.free_energy import FreeEnergy
from core.network import States

WEIGHTED = "whether each layer's gradient is multiplied by its precision at that step"


@entry(
    "learning",
    "Predictive coding",
    formula=r"\Delta\theta_\ell \propto "
    r"-\partial E_\ell(h_\ell^{(T)}, f_\ell(h_{\ell-1}^{(T)})) / \partial\theta_\ell",
    source="whittington2017",
)
@dataclass(frozen=True)
class PredictiveCoding:
    r"""One update of all weights at the relaxed states.

    $\Delta\theta_\ell \propto -\partial E_\ell / \partial\theta_\ell$ at $h^{(T)}$, after T state
    updates.

    Source: whittington2017.
    """

    weighted: bool = dial(False, help=WEIGHTED)

    every_step: ClassVar[bool] = False

    def gradients(self, free_energy: FreeEnergy, states: States, first: States) -> list[Tensor]:
        """Gradient of the energies at the states as they stand."""
        return free_energy.weight_gradients(states, weighted=self.weighted)


@entry(
    "learning",
    "Forward update",
    formula=r"\Delta\theta_\ell \propto "
    r"-\partial E_\ell(h_\ell^{(T)}, f_\ell(h_{\ell-1}^{(0)})) / \partial\theta_\ell",
    source="qi2026",
)
@dataclass(frozen=True)
class ForwardUpdate:
    r"""The relaxed state against the prediction of the first step.

    $\Delta\theta_\ell \propto -\partial E_\ell(h_\ell^{(T)}, f_\ell(h_{\ell-1}^{(0)})) /
    \partial\theta_\ell$: error and input of the rule come from the states of t = 0. The output
    layer then gets exactly its backprop gradient.

    Source: qi2026 (released code).
    """

    weighted: bool = dial(False, help=WEIGHTED)

    every_step: ClassVar[bool] = False

    def gradients(self, free_energy: FreeEnergy, states: States, first: States) -> list[Tensor]:
        """Gradient of the energies between the states as they stand and the first predictions."""
        return free_energy.weight_gradients(states, first, weighted=self.weighted)


@entry(
    "learning",
    "Incremental",
    formula=r"\Delta\theta_\ell \propto "
    r"-\partial E_\ell(h_\ell^{(t)}, f_\ell(h_{\ell-1}^{(t)})) / \partial\theta_\ell,\ t < T",
    source="salvatori2024",
)
@dataclass(frozen=True)
class Incremental:
    """The weights move with the states, at every step (iPC).

    At each $t = 0..T-1$ the gradients by states and by weights are taken at the same states, then
    both are applied. It acts in both gears; a restart gives the first weights back.

    Source: salvatori2024.
    """

    weighted: bool = dial(False, help=WEIGHTED)

    every_step: ClassVar[bool] = True

    def gradients(self, free_energy: FreeEnergy, states: States, first: States) -> list[Tensor]:
        """Gradient of the energies at the states as they stand."""
        return free_energy.weight_gradients(states, weighted=self.weighted)
