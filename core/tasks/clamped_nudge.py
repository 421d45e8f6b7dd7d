"""The output is clamped between its prediction and the label: a weak form of Classify."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from core.batches import Batch
from core.catalogue import dial, entry
from core.network import Network
from core.phase import Phase
from core.tasks.ends import images, labels

POSITIVE, NEGATIVE, BY_EPOCH = "positive", "negative", "by epoch"


@entry(
    "task",
    "Clamped nudge",
    formula=r"h_0 = x,\quad h_L = (1 - \beta)\, \mu_L^{0} + \beta y,\quad "
    r"\Delta\theta \propto -\frac{1}{\beta} \partial F / \partial\theta",
    source="pinchetti2025",
)
@dataclass(frozen=True)
class ClampedNudge:
    r"""Clamp the output a share of the way from its forward prediction to the label.

    $h_L = (1 - \beta) \mu_L^0 + \beta y$ with $\mu_L^0$ of the forward pass; local rules divide
    their update by $\beta$. In epoch k the strength is $\beta$ plus k times the growth; from 1 on
    it is Classify, whatever the sign. A sign "by epoch" is drawn once for each epoch, the same in
    every run. This is not equilibrium propagation, whose output is free: a weak clamp keeps the
    whole error of the output in front of the network, so that the update does *not* tend to
    backprop's as $\beta \to 0$ (in a linear network it keeps its direction), while that of a weak
    nudge does.

    Source: pinchetti2025 (positive, negative and centered nudging of the released library).
    """

    beta: float = dial(
        0.1, bounds=(1e-6, 1.0), symbol="β", log=True, help="share of the way to the label"
    )
    sign: str = dial(POSITIVE, choices=(POSITIVE, NEGATIVE, BY_EPOCH), help="towards it, or away")
    growth: float = dial(0.0, bounds=(0.0, 1.0), help="added to β in every epoch")

    image_at: ClassVar[str] = "input"
    clamps: ClassVar[tuple[str, ...]] = ("input", "output")
    shows: ClassVar[tuple[str, ...]] = ("probability",)
    has_loss: ClassVar[bool] = True

    def share(self, epoch: int) -> float:
        """Beta with its sign, in epoch 0, 1, ..."""
        strength = self.beta + self.growth * epoch
        if strength >= 1.0:
            return 1.0
        return strength * self._sign(epoch)

    def phases(
        self, network: Network, batch: Batch, classes: int, generator: torch.Generator
    ) -> tuple[Phase, ...]:
        """One phase with both ends clamped."""
        x, y = images(network, batch, 0), labels(network, batch, classes)
        share, clamp = self.share(batch.epoch), y
        if share != 1.0:
            network.normalise_by(network.measured({0: x}))
            with torch.no_grad():
                clamp = torch.lerp(network.sweep({0: x})[network.top], y, share)
        return (Phase("relax", clamped={0: x, network.top: clamp}, target=y, share=share),)

    def _sign(self, epoch: int) -> int:
        if self.sign == BY_EPOCH:
            return 2 * int(np.random.default_rng(epoch).integers(2)) - 1
        return -1 if self.sign == NEGATIVE else 1
