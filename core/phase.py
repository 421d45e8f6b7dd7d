"""What is held, pulled and awaited while states relax?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Phase:
    """One stretch of a relaxation under one free energy.

    Args:
        name: as the trace labels its rows.
        steps: T, the number of state updates; a recipe in force has the say.
        clamped: value of each clamped state by index, (B, *shape).
        nudge: beta, the weight of the cost, a number or (B,).
        begin_from: name of the phase whose last states it starts from; None for where they are.
        cost: C(h_N, target) per sample, (B,).
        target: of the cost, (B, *shape).
    """

    name: str
    steps: int
    clamped: Mapping[int, Tensor] = field(default_factory=dict)
    nudge: float | Tensor = 0.0
    begin_from: str | None = None
    cost: Callable[[Tensor, Tensor], Tensor] | None = None
    target: Tensor | None = None
