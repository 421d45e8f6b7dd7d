"""Begin from the class means of the batch before."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from core.catalogue import BadInput, dial, entry
from core.network import States
from core.start import Start
from core.summing import Summing


@entry(
    "init",
    "Average",
    formula=r"h_\ell^{(0)}[i] = \langle h_\ell^{(T)}[j, b-1] \rangle_{y_j = y_i},\ \ell > m",
    source="pinchetti2026",
)
@dataclass(frozen=True)
class Average(Summing):
    r"""The mean of the last batch's final states over the samples of one's class.

    $h_\ell^{(0)}[i] = \langle h_\ell^{(T)}[j] \rangle_{y_j = y_i}$ over the batch before for
    $\ell > m$; a forward sweep of the new input for $\ell \le m$ (hybrid m; m = 0 is pure average,
    m = L - 1 is forward). It needs labels, so it is for training; the first batch starts from a
    forward sweep. Where a class is missing from a batch, its older mean stays.

    With $\rho > 0$ the mean runs over more than one batch: $\rho$ times the older mean of a class
    plus $1 - \rho$ times that of the last batch. The paper has $\rho = 0$.

    Source: pinchetti2026, section 4, eq. 10; the running mean is of this project.
    """

    m: int = dial(3, bounds=(0, 1000), symbol="m", help="layers from the bottom that are forwarded")
    keep: float = dial(
        0.0, bounds=(0.0, 0.9999), symbol="ρ", help="share of a class's older mean that stays"
    )

    remembers: ClassVar[str] = "the class means of the batch before"
    aligned: ClassVar[bool] = True
    labels: ClassVar[bool] = True

    def __call__(self, start: Start) -> States:
        """Class means above m, the sweep up to m."""
        swept = start.network.sweep(start.clamped)
        if start.memory is None or start.labels is None:
            return swept
        means, known = start.memory
        if len(known) != start.classes:
            raise BadInput(f"memory: means of {len(known)} classes; {start.classes}, as the data")
        seen = known[start.labels]  # (B,)
        states = []
        for i, h in enumerate(swept):
            if start.network.nodes[i].depth <= self.m:
                states.append(h)
                continue
            shape = (-1,) + (1,) * (h.dim() - 1)
            states.append(torch.where(seen.reshape(shape), means[i][start.labels], h))
        return states

    def sums(
        self, start: Start, final: States, memory: tuple[States, Tensor] | None
    ) -> list[Tensor]:
        """Samples of each class, (C,), and the sum over them of each state, (C, *shape)."""
        if start.labels is None:
            raise ValueError("init.Average: the batch has no labels; class means need them")
        classes = start.classes
        counts = torch.bincount(start.labels, minlength=classes).to(final[0])
        return [
            counts,
            *(h.new_zeros((classes, *h.shape[1:])).index_add_(0, start.labels, h) for h in final),
        ]

    def remember(
        self,
        start: Start,
        final: States,
        sums: list[Tensor],
        memory: tuple[States, Tensor] | None,
    ) -> tuple[States, Tensor]:
        """Class means of the final states: ((C, *shape) for each state, (C,) which are known)."""
        counts, *totals = sums
        present = counts > 0
        means = []
        for i, total in enumerate(totals):
            shape = (-1,) + (1,) * (total.dim() - 1)
            mean = total / counts.clamp(min=1).reshape(shape)
            if memory is not None:
                old, known = memory[0][i], memory[1]
                running = self.keep * old + (1 - self.keep) * mean
                mean = torch.where(known.reshape(shape), running, mean)
                mean = torch.where(present.reshape(shape), mean, old)
            means.append(mean)
        return means, present if memory is None else present | memory[1]
