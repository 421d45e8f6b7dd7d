"""What is held, pulled and awaited while states relax?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

Cost = Callable[[Tensor, Tensor], Tensor]
"""C(h_N, target) per sample, (B,)."""


@dataclass(frozen=True)
class Phase:
    """One stretch of a relaxation under one free energy.

    Args:
        name: as the trace labels its rows.
        steps: its own number of state updates; None for the T of the recipe in force.
        clamped: value of each clamped state by index, (B, *shape).
        nudge: beta, the weight of the cost, a number or (B,).
        begin_from: name of the phase whose last states it starts from; None for where they are.
        cost: C(h_N, target) per sample, (B,).
        target: of the cost, or what the output should have been where it is not clamped to it,
            (B, *shape).
        share: beta of a clamped nudge, how far the output is clamped from its prediction towards
            the target; local rules divide their update by it. A number or (B,).
        held: units that are clamped within a free state: by index, a pair of values (B, *shape) and
            of a mask that is true where the unit is held.
        given: first values of free states by index, (B, *shape), in place of the init's.
        pinned: masks of those held units that a poke holds, by index, until it lets them go.
    """

    name: str
    steps: int | None = None
    clamped: Mapping[int, Tensor] = field(default_factory=dict)
    nudge: float | Tensor = 0.0
    begin_from: str | None = None
    cost: Cost | None = None
    target: Tensor | None = None
    share: float | Tensor = 1.0
    held: Mapping[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    given: Mapping[int, Tensor] = field(default_factory=dict)
    pinned: Mapping[int, Tensor] = field(default_factory=dict)

    @property
    def nudged(self) -> bool:
        """Whether the cost pulls at the output."""
        return isinstance(self.nudge, Tensor) or self.nudge != 0.0

    @property
    def samples(self) -> int:
        """Number of samples, B; 0 where nothing says it."""
        values = [*self.clamped.values(), *(v for v, _ in self.held.values()), *self.given.values()]
        values += [] if self.target is None else [self.target]
        return len(values[0]) if values else 0

    def rows(self, rows: slice) -> "Phase":
        """That of some of its samples."""

        def taken(x: Any) -> Any:
            return x[rows] if isinstance(x, Tensor) and x.dim() else x

        return replace(
            self,
            clamped={i: taken(h) for i, h in self.clamped.items()},
            nudge=taken(self.nudge),
            target=taken(self.target),
            share=taken(self.share),
            held={i: (taken(value), taken(mask)) for i, (value, mask) in self.held.items()},
            given={i: taken(h) for i, h in self.given.items()},
            pinned={i: taken(mask) for i, mask in self.pinned.items()},
        )

    def begun(self, states: Sequence[Tensor]) -> list[Tensor]:
        """States at its beginning: given ones, held units and clamps in their place.

        Args:
            states: h_0 ... h_N as they come.
        """
        clamped, given = self.clamped, self.given
        return [self.with_held(i, clamped.get(i, given.get(i, h))) for i, h in enumerate(states)]

    def with_held(self, i: int, h: Tensor) -> Tensor:
        """State i with its held units in their place, (B, *shape)."""
        if i not in self.held:
            return h
        value, mask = self.held[i]
        return torch.where(mask, value, h)
