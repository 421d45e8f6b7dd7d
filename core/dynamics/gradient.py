"""Gradient descent on the free energy: all free states move at once, as in torch.optim."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from core.catalogue import dial, entry
from core.free_energy import FreeEnergy
from core.network import States

RATE: dict[str, Any] = {"bounds": (1e-8, 10.0), "symbol": "α", "log": True}


def _rate(default: float) -> Any:
    return dial(default, help="state learning rate, per step and sample", **RATE)


@entry(
    "dynamics",
    "Gradient descent",
    formula=r"h \leftarrow h - \alpha \, \partial F / \partial h",
    source="whittington2017",
)
@dataclass(frozen=True)
class GradientDescent:
    r"""Every free state takes one step down its own gradient, all at the same time.

    $h_\ell \leftarrow h_\ell - \alpha\,(\Pi_\ell e_\ell
    - J_{\ell+1}^\top \Pi_{\ell+1} e_{\ell+1})$. Stable for $\alpha < 2 / \lambda_{\max}$ of the
    state Hessian.

    Source: whittington2017.
    """

    rate: float = _rate(0.1)

    descends: ClassVar[bool] = True

    def init(
        self, free_energy: FreeEnergy, states: States, generator: torch.Generator | None
    ) -> None:
        """Plain descent has no memory."""
        return None

    def step(self, free_energy: FreeEnergy, states: States, memory: None) -> tuple[States, None]:
        """The states one step later."""
        moving = free_energy.balance(states).moving
        moved = [
            torch.sub(h, moving[i], alpha=self.rate) if i in moving else h
            for i, h in enumerate(states)
        ]
        return moved, None


def _zeros(states: States) -> list[Tensor]:
    return [torch.zeros_like(h) for h in states]


@entry(
    "dynamics",
    "Heavy ball",
    formula=r"b \leftarrow m b + \partial F/\partial h,\quad h \leftarrow h - \alpha b",
    source="pinchetti2025",
)
@dataclass(frozen=True)
class HeavyBall:
    r"""Gradient descent with momentum; the buffer starts empty in every batch.

    $b \leftarrow m b + g$, $h \leftarrow h - \alpha b$, as torch.optim.SGD. It may overshoot: the
    energy can rise.

    Source: pinchetti2025.
    """

    rate: float = _rate(0.05)
    momentum: float = dial(0.5, bounds=(0.0, 0.999), symbol="m", help="share of the old step kept")

    def init(
        self, free_energy: FreeEnergy, states: States, generator: torch.Generator | None
    ) -> list[Tensor]:
        """An empty buffer for each state."""
        return _zeros(states)

    def step(
        self, free_energy: FreeEnergy, states: States, memory: list[Tensor]
    ) -> tuple[States, list[Tensor]]:
        """The states one step later, and the new buffers."""
        forces = free_energy.forces(states)
        buffers = [self.momentum * b + g for b, g in zip(memory, forces, strict=True)]
        moved = [
            h if i in free_energy.clamped else h - self.rate * self.direction(g, b)
            for i, (h, g, b) in enumerate(zip(states, forces, buffers, strict=True))
        ]
        return moved, buffers

    def direction(self, g: Tensor, b: Tensor) -> Tensor:
        """What is descended, from the gradient and the new buffer."""
        return b


@entry(
    "dynamics",
    "Nesterov",
    formula=r"b \leftarrow m b + g,\quad h \leftarrow h - \alpha (g + m b)",
    source="qi2026",
)
@dataclass(frozen=True)
class Nesterov(HeavyBall):
    r"""Momentum that looks one step ahead; the default of the deeper-PCN code.

    $b \leftarrow m b + g$, $h \leftarrow h - \alpha (g + m b)$ with $g = \partial F/\partial h$, as
    torch.optim.SGD with nesterov=True.

    Source: qi2026 (released code).
    """

    def direction(self, g: Tensor, b: Tensor) -> Tensor:
        """The gradient plus the momentum that is about to act."""
        return g + self.momentum * b


@entry(
    "dynamics",
    "Adam",
    formula=r"h \leftarrow h - \alpha \, \hat v_1 / (\sqrt{\hat v_2} + \epsilon)",
    source="kingma2015",
)
@dataclass(frozen=True)
class Adam:
    r"""Steps scaled by running means of the gradient and of its square, as torch.optim.Adam.

    $v_1 \leftarrow \beta_1 v_1 + (1-\beta_1) g$, $v_2 \leftarrow \beta_2 v_2 + (1-\beta_2) g^2$,
    $h \leftarrow h - \alpha\,\hat v_1/(\sqrt{\hat v_2}+\epsilon)$ with bias correction. It
    moves layers with a tiny gradient as fast as the others, and so hides the imbalance that it
    feels. With a fixed rate it does not settle: near the equilibrium it wanders by about the rate.

    Source: kingma2015.
    """

    rate: float = _rate(0.01)
    beta1: float = dial(0.9, bounds=(0.0, 0.9999), symbol="β₁", help="memory of the gradient")
    beta2: float = dial(0.999, bounds=(0.0, 0.99999), symbol="β₂", help="memory of its square")
    eps: float = dial(1e-8, bounds=(1e-16, 1.0), symbol="ε", help="added to the denominator")

    def init(
        self, free_energy: FreeEnergy, states: States, generator: torch.Generator | None
    ) -> tuple[int, list[Tensor], list[Tensor]]:
        """Step count and empty running means."""
        return 0, _zeros(states), _zeros(states)

    def step(
        self,
        free_energy: FreeEnergy,
        states: States,
        memory: tuple[int, list[Tensor], list[Tensor]],
    ) -> tuple[States, tuple[int, list[Tensor], list[Tensor]]]:
        """The states one step later, and the new running means."""
        n = memory[0] + 1
        moved, first, second = [], [], []
        forces = free_energy.forces(states)
        for i, (h, g, v1, v2) in enumerate(zip(states, forces, *memory[1:], strict=True)):
            v1 = self.beta1 * v1 + (1 - self.beta1) * g
            v2 = self.beta2 * v2 + (1 - self.beta2) * g * g
            size = (v2 / (1 - self.beta2**n)).sqrt() + self.eps
            step = self.rate * (v1 / (1 - self.beta1**n)) / size
            moved.append(h if i in free_energy.clamped else h - step)
            first.append(v1)
            second.append(v2)
        return moved, (n, first, second)
