"""The output is free: a free phase, then phases in which a cost pulls gently at it."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from core.batches import Batch
from core.catalogue import dial, entry
from core.energies.cross_entropy import CrossEntropy
from core.energies.squared_error import SquaredError
from core.network import Network
from core.phase import Cost, Phase
from core.tasks.ends import images, labels


def cross_entropy(h: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of the target with the softmax of the output, (B,)."""
    return CrossEntropy()(target, h)


COSTS: dict[str, Cost] = {"squared error": SquaredError(), "cross-entropy": cross_entropy}

SCHEMES = {
    "centered": ("plus", "minus"),
    "forward": ("plus",),
    "backward": ("minus",),
    "random": ("random",),
}
"""The nudged phases of each scheme, in order."""


@entry(
    "task",
    "Free and nudged phases",
    formula=r"F = \sum_\ell E_\ell + \beta\, C(h_L, y),\quad h_0 = x,\quad h_L \text{ free}",
    source="kerjan2026",
)
@dataclass(frozen=True)
class Nudge:
    r"""Clamp the image only; a cost then nudges the free output towards the label.

    $F = \sum_\ell E_\ell + \beta C(h_L, y)$ with $C = \frac12 \lVert h_L - y \rVert^2$ or the
    cross-entropy of $y$ with $\mathrm{softmax}(h_L)$. The phase "free" has $\beta = 0$; its
    equilibrium is the forward pass, where F is zero, so that after forward init it needs no steps.
    Each nudged phase begins from there and takes T steps. Schemes: *centered* has $+\beta$ and
    $-\beta$, *forward* and *backward* one of them, *random* one whose sign is drawn for each
    sample. From another init, give the free phase steps. A negative nudge has an equilibrium only
    while $1/\beta - 1$ is above the largest eigenvalue of $\sum_{\ell<L} P_\ell P_\ell^T$ in a
    linear network, $P_\ell$ being the map from layer $\ell$ to the output.

    Source: kerjan2026; the schemes scellier2023.
    """

    scheme: str = dial("centered", choices=SCHEMES, help="signs of the nudge")
    beta: float = dial(
        0.05, bounds=(1e-6, 10.0), symbol="β", log=True, help="strength of the nudge"
    )
    cost: str = dial("squared error", choices=COSTS, symbol="C", help="what the nudge lowers")
    free_steps: int = dial(0, bounds=(0, 100_000), help="state updates of the free phase")

    image_at: ClassVar[str] = "input"
    clamps: ClassVar[tuple[str, ...]] = ("input",)
    shows: ClassVar[tuple[str, ...]] = ("probability",)
    has_loss: ClassVar[bool] = True

    def phases(
        self, network: Network, batch: Batch, classes: int, generator: torch.Generator
    ) -> tuple[Phase, ...]:
        """The free phase, then one or two nudged ones that begin from its end."""
        x, y = images(network, batch, 0), labels(network, batch, classes)
        cost = COSTS[self.cost]
        free = Phase("free", steps=self.free_steps, clamped={0: x}, cost=cost, target=y)
        nudged = [
            replace(
                free,
                name=name,
                steps=None,
                nudge=self._nudge(name, x, generator),
                begin_from="free",
            )
            for name in SCHEMES[self.scheme]
        ]
        return (free, *nudged)

    def _nudge(self, name: str, x: Tensor, generator: torch.Generator) -> float | Tensor:
        """Beta with the sign of the phase; one of either sign for each sample where it is drawn."""
        if name == "random":
            drawn = 2 * torch.randint(2, (len(x),), generator=generator) - 1  # (B,)
            return self.beta * drawn.to(x)
        return self.beta if name == "plus" else -self.beta
