"""A plugin: a schedule and a rule of one's own, `relaxoscope check tests/plugins/example.py`."""

from dataclasses import dataclass

import torch

from core import dial, entry


@entry(
    "precision",
    "Ramp",
    formula=r"\Pi_\ell(t) = \min(1, (t + 1) / n)",
    source="nobody2026",
)
@dataclass(frozen=True)
class Ramp:
    r"""All precisions rise together from 1/n to one.

    $\Pi_\ell(t) = \min(1, (t + 1) / n)$ in every layer.

    Source: nobody2026.
    """

    n: int = dial(5, bounds=(1, 1000), symbol="n", help="steps until all precisions are one")

    def table(self, T, depth):
        """Precisions, (T, L)."""
        rise = (torch.arange(T) + 1) / self.n
        return rise.clamp(max=1.0)[:, None].expand(T, len(depth))


@entry(
    "dynamics",
    "Clipped descent",
    formula=r"h \leftarrow h - \alpha \, \mathrm{clip}(\partial F / \partial h, -c, c)",
    source="nobody2026",
)
@dataclass(frozen=True)
class ClippedDescent:
    r"""Gradient descent on the states whose every component is clipped.

    $h \leftarrow h - \alpha\,\mathrm{clip}(\partial F / \partial h, -c, c)$.

    Source: nobody2026.
    """

    rate: float = dial(0.1, bounds=(1e-8, 10.0), symbol="α", help="state learning rate", log=True)
    c: float = dial(1.0, bounds=(1e-6, 1e6), symbol="c", help="largest component of the gradient")

    def init(self, free_energy, states, generator):
        """No memory."""
        return None

    def step(self, free_energy, states, memory):
        """The states one step later."""
        forces = free_energy.forces(states)
        moved = [
            h if i in free_energy.clamped else h - self.rate * g.clamp(-self.c, self.c)
            for i, (h, g) in enumerate(zip(states, forces, strict=True))
        ]
        return moved, memory
