"""Which weights may move at which step, so that a relaxation does what backprop does?"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from core.catalogue import entry
from core.learning.local import PredictiveCoding
from core.step import Step


@entry(
    "learning",
    "Z-IL",
    formula=r"\Delta\theta_{L-t} \propto "
    r"-\partial E_{L-t}(h_{L-t}^{(t)}, f_{L-t}(h_{L-t-1}^{(t)})) / \partial\theta_{L-t}",
    source="song2020",
)
@dataclass(frozen=True)
class ZIL:
    r"""Only layer L - t learns at step t, by its own energy: the instant when its error is right.

    $\Delta\theta_{L-t} \propto -\partial E_{L-t}/\partial\theta_{L-t}$ at $h^{(t)}$, before update
    t of the states; all other weights are left out of that optimiser step. The updates are exactly
    backprop's under these conditions: forward init, rate 1 without momentum (One layer a step, or
    gradient descent of all layers: those below have no error yet, those above have learnt), a
    precision of 1 for layer L - t at step t (spiking gives that too), a clamped output, T >= L, and
    no layer that reads one more than a level below it (skips need relays or auxiliary neurons); a
    layer l gets no update where T <= L - l.

    Source: song2020.
    """

    every_step: ClassVar[bool] = True

    def gradients(self, step: Step) -> list[Tensor | None]:
        """Gradient of the energies of the layers at depth L - t; None for all other weights."""
        network = step.free_energy.network
        turn = int(network.depth.max()) - step.moment.t
        due = {
            id(p)
            for i in network.layers
            if network.nodes[i].depth == turn
            for p in network.maps[str(i)].parameters()
        }
        found = PredictiveCoding().gradients(step)
        return [
            g if id(p) in due else None for p, g in zip(network.parameters(), found, strict=True)
        ]
