"""Weight updates from how F answers to a weak pull at the output."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from core.catalogue import dial, entry
from core.step import Step


@entry(
    "learning",
    "Equilibrium propagation",
    formula=r"\Delta\theta \propto -\frac{1}{2\beta} \left( \partial_\theta F(h^{+\beta}) - "
    r"\partial_\theta F(h^{-\beta}) \right) \quad\text{or}\quad "
    r"-\frac{1}{\beta} \partial_\theta F(h^{\beta})",
    source="kerjan2026",
)
@dataclass(frozen=True)
class EquilibriumPropagation:
    r"""The derivative of F at nudged states, divided by the nudge.

    The mean over the nudged phases of $\frac{1}{\beta} \partial F / \partial\theta$ at $h^\beta$,
    which is $(S(\beta) - S(-\beta)) / 2\beta$ for a pair of them: an estimate of
    $\partial C / \partial\theta$ whose error is of order $\beta^2$ for a pair and of order $\beta$
    for one phase, if the nudged states have settled. At the free equilibrium
    $\partial F / \partial\theta$ is zero, and in the free phase this rule gives exactly zero.
    During a nudged phase it reads the states as they stand, beside the last ones of the phases
    before. The derivative carries the precisions in force, as F does; without them a layer of
    precision $\Pi$ would get $1 / \Pi$ of its share.

    Source: kerjan2026; scellier2023.
    """

    weighted: bool = dial(True, help="whether each layer's gradient is multiplied by its precision")

    every_step: ClassVar[bool] = False

    def gradients(self, step: Step) -> list[Tensor | None]:
        """The estimate from the nudged phases that have ended and the one that is running."""
        seen = [(phase, h) for phase, h in (*step.ended, (step.phase, step.states)) if phase.nudged]
        if not seen:
            return [torch.zeros_like(p) for p in step.free_energy.network.parameters()]
        estimates = [
            step.free_energy.weight_gradients(
                h, weighted=self.weighted, scale=1.0 / (phase.nudge * len(seen))
            )
            for phase, h in seen
        ]
        return [torch.stack(found).sum(0) for found in zip(*estimates, strict=True)]
