"""How does the weight learning rate change over training? By a factor for each update."""

import math
from typing import Any

import torch

from core.catalogue import dial

CONSTANT, COSINE, WARM = "constant", "cosine", "warm-up cosine"

SCHEDULES = (CONSTANT, COSINE, WARM)

WARM_UP, PEAK, END = 0.1, 1.1, 0.1
"""Share of the updates that warm up, the factor that they reach, and the last factor."""


def schedule_dial() -> Any:
    """The dial of an optimiser that chooses the schedule."""
    return dial(CONSTANT, choices=SCHEDULES, help="how η changes over the updates")


def span_dial() -> Any:
    """The dial of an optimiser that says how long the schedule lasts."""
    return dial(10_000, bounds=(1, 10**9), help="updates until the schedule has ended")


def factor(schedule: str, n: int, span: int) -> float:
    r"""What the rate is multiplied with at update n of `span`, counted from 0.

    Cosine: $0.1 + 0.45\,(1 + \cos(\pi n / N))$, as torch's CosineAnnealingLR down to a tenth.
    Warm-up cosine: linearly from 1 to 1.1 over the first tenth of the updates, then a cosine to 0.1
    at the end, as torch's SequentialLR of LinearLR and CosineAnnealingLR. After the end the last
    factor stays.

    Source: pinchetti2025 and qi2026 (released code) for the warm-up cosine.
    """
    n = min(n, span)
    if schedule == CONSTANT:
        return 1.0
    start, top = (0, 1.0) if schedule == COSINE else (int(WARM_UP * span), PEAK)
    if n < start:
        return 1.0 + (PEAK - 1.0) * n / start
    share = (n - start) / max(span - start, 1)
    return END + (top - END) * (1 + math.cos(math.pi * share)) / 2


def scheduled(optimiser: torch.optim.Optimizer, schedule: str, span: int) -> torch.optim.Optimizer:
    """The optimiser with a schedule: every step of it moves its rate.

    The number of updates is kept in the parameter groups, and so goes with the optimiser's state.
    """
    for group in optimiser.param_groups:
        group["updates"] = 0
        group["initial_lr"] = group["lr"]
    follow(optimiser, schedule, span)

    def after(optimiser: torch.optim.Optimizer, *_: Any) -> None:
        for group in optimiser.param_groups:
            group["updates"] += 1
        follow(optimiser, schedule, span)

    optimiser.register_step_post_hook(after)
    return optimiser


def follow(optimiser: torch.optim.Optimizer, schedule: str, span: int) -> None:
    """Set the rate that belongs to the number of updates."""
    for group in optimiser.param_groups:
        group["lr"] = group["initial_lr"] * factor(schedule, group["updates"], span)
