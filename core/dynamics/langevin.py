"""What do the states look like when they are drawn from the posterior, not put at its peak?"""

from dataclasses import dataclass
from math import sqrt
from typing import ClassVar

import torch
from torch import Tensor

from core.catalogue import dial, entry
from core.dynamics.gradient import RATE
from core.free_energy import FreeEnergy
from core.network import States

Memory = tuple[list[Tensor], Tensor]
"""Momentum of each state, and the state of the generator that draws the next noise."""


@entry(
    "dynamics",
    "Langevin sampling",
    formula=r"b \leftarrow m b + \partial F/\partial h + \xi,\quad h \leftarrow h - \alpha b,\quad"
    r" \xi \sim \mathcal{N}(0, 2 v (1-m)/\alpha)",
    source="pinchetti2025",
)
@dataclass(frozen=True)
class Langevin:
    r"""Gradient descent with noise: states are samples of exp(-F / v), not its peak.

    $b \leftarrow m b + g + \xi$, $h \leftarrow h - \alpha b$ with $g = \partial F/\partial h$ and
    $\xi \sim \mathcal N(0, 2 v (1-m)/\alpha)$. With $m = 0$ this is plain Langevin,
    $h \leftarrow h - \alpha g + \sqrt{2 \alpha v}\,\xi$. It never settles, and the step size
    widens the samples: along a direction of curvature k the variance is
    $(v/k) / (1 - \alpha k / 2)$ for $m = 0$. Clamped states get no noise. The noise is drawn on the
    CPU, by a stream of its own that the relaxation's generator seeds, or torch's global generator
    where there is none.

    Source: pinchetti2025 (the momentum form, in the tutorial on Monte Carlo predictive coding).
    """

    rate: float = dial(0.01, help="state learning rate, per step and sample", **RATE)
    momentum: float = dial(0.0, bounds=(0.0, 0.999), symbol="m", help="share of the old step kept")
    temperature: float = dial(
        1.0, bounds=(0.0, 100.0), symbol="v", help="of the samples; at 0 there is no noise"
    )

    settles: ClassVar[bool] = False

    def init(
        self, free_energy: FreeEnergy, states: States, generator: torch.Generator | None
    ) -> Memory:
        """Empty momentum, and a stream of noise with a seed from `generator`."""
        seed = int(torch.randint(2**31, (), generator=generator))
        stream = torch.Generator().manual_seed(seed)
        return [torch.zeros_like(h) for h in states], stream.get_state()

    def step(
        self, free_energy: FreeEnergy, states: States, memory: Memory
    ) -> tuple[States, Memory]:
        """The states one step later, the new momentum and the stream after this step's noise."""
        stream = torch.Generator()
        stream.set_state(memory[1])
        sd = sqrt(2 * self.temperature * (1 - self.momentum) / self.rate)
        moved, buffers = [], []
        forces = free_energy.forces(states)
        for i, (h, g, b) in enumerate(zip(states, forces, memory[0], strict=True)):
            if i in free_energy.clamped:
                moved.append(h)
                buffers.append(b)
                continue
            xi = torch.randn(h.shape, generator=stream, dtype=h.dtype).to(h.device)
            b = self.momentum * b + g + sd * xi
            moved.append(h - self.rate * b)
            buffers.append(b)
        return moved, (buffers, stream.get_state())
