"""Weight updates that read only a layer's own error and input."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from core.catalogue import dial, entry
from core.network import States
from core.step import Step

WEIGHTED = "whether each layer's gradient is multiplied by its precision at that step"


def _local(step: Step, inputs: States | None = None, *, weighted: bool) -> list[Tensor | None]:
    """dE/dtheta at the states as they stand, divided by the share of a clamped nudge."""
    found = step.free_energy.weight_gradients(
        step.states, inputs, weighted=weighted, scale=1.0 / step.phase.share
    )
    return list(found)


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

    def gradients(self, step: Step) -> list[Tensor | None]:
        """Gradient of the energies at the states as they stand."""
        return _local(step, weighted=self.weighted)


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

    def gradients(self, step: Step) -> list[Tensor | None]:
        """Gradient of the energies between the states as they stand and the first predictions."""
        return _local(step, step.first, weighted=self.weighted)


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
    both are applied. It acts in both gears; a restart gives the first weights back. With `freeze` a
    tensor whose gradient is exactly zero, because no error has reached its layer, is left out of
    the optimiser's step: neither its moments nor its decay move it. The released code of qi2026
    means to do this, but lets moments and step count go on.

    Source: salvatori2024; freeze: qi2026 (released code, mended).
    """

    weighted: bool = dial(False, help=WEIGHTED)
    freeze: bool = dial(False, help="whether tensors without any gradient skip the optimiser")

    every_step: ClassVar[bool] = True

    def gradients(self, step: Step) -> list[Tensor | None]:
        """Gradient of the energies at the states as they stand; None where it is frozen."""
        found = _local(step, weighted=self.weighted)
        if not self.freeze:
            return found
        return [g if g is not None and bool(g.any()) else None for g in found]
