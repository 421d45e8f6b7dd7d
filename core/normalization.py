"""By which mean and variance does a layer normalise its channels? Nothing changes on its own.

torch's module in training mode draws its running statistics along at *every* call, so that T steps
of a relaxation would do it T times or more. Here whoever relaxes says which statistics are in
force, and they run along once for a batch, with the weights (`core.network.Network`).

Source: qi2026 (once a batch, not in the relaxation); manner and place of the frozen ones: ours.
"""

import itertools
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from core.ranks import Ranks

NONE, FROZEN, BATCH = "none", "frozen", "batch"

NORMS = (NONE, FROZEN, BATCH)
"""Not at all, by the statistics of the batch's forward pass, or by those of its present states."""

NORM_HELP = "BatchNorm by the batch's forward pass (frozen), by its present states (batch), or none"

_numbers = itertools.count(1)


class Moments(NamedTuple):
    """Of each channel over samples and places.

    Args:
        mean: (C,).
        variance: biased, (C,).
        values: behind each of them.
    """

    mean: Tensor
    variance: Tensor
    values: int

    @classmethod
    def of(cls, a: Tensor) -> "Moments":
        """Those of a batch (B, C, ...)."""
        over = [d for d in range(a.dim()) if d != 1]
        variance, mean = torch.var_mean(a, over, correction=0)
        return cls(mean, variance, a.numel() // a.shape[1])

    def over(self, ranks: Ranks) -> "Moments":
        """Those of the global batch, from what each rank has of its equally large share."""
        if ranks.count == 1:
            return self
        both = ranks.gathered(torch.stack([self.mean, self.variance])[None])  # (count, 2, C)
        means, variances = both.unbind(1)
        variance = variances.mean(0) + means.var(0, correction=0)
        return Moments(means.mean(0), variance, self.values * ranks.count)


@dataclass(frozen=True)
class Statistics:
    """What the normalising layers of a network go by during one relaxation.

    Args:
        moments: of each such layer in the batch's forward pass; empty where there is none.
        number: that no others have.
    """

    moments: tuple[Moments, ...] = ()
    number: int = field(default_factory=lambda: next(_numbers))


class BatchNorm(nn.Module):
    """gain * (a - mean) / sqrt(variance + eps) + shift for each channel.

    Outside relaxations the running statistics are in force.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self, channels: int, how: str = FROZEN, *, momentum: float = 0.1, eps: float = 1e-5
    ) -> None:
        """Begin with a gain of one and no shift.

        Args:
            channels: C.
            how: `FROZEN` or `BATCH`.
            momentum: share that a batch has in the running statistics.
            eps: added to the variance.
        """
        super().__init__()
        self.how, self.momentum, self.eps = how, momentum, eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.given: Moments | None = None
        self.relaxes = False
        self.measures: Ranks | None = None

    def forward(self, a: Tensor) -> Tensor:
        """Normalised, (B, C, ...)."""
        if self.measures is not None:
            self.given = Moments.of(a.detach()).over(self.measures)
        if self.relaxes and self.how == BATCH:
            mean, variance, _ = Moments.of(a)
        elif self.given is not None:
            mean, variance, _ = self.given
        else:
            mean, variance = self.running_mean, self.running_var
        places = (-1, *(1,) * (a.dim() - 2))
        gain = (self.weight / (variance + self.eps).sqrt()).reshape(places)
        return gain * (a - mean.reshape(places)) + self.bias.reshape(places)

    def take(self, moments: Moments) -> None:
        """Let the running statistics follow a batch; their variance is the unbiased one."""
        with torch.no_grad():
            unbiased = moments.variance * (moments.values / max(moments.values - 1, 1))
            self.running_mean.lerp_(moments.mean, self.momentum)
            self.running_var.lerp_(unbiased, self.momentum)

    def extra_repr(self) -> str:
        """Channels and manner."""
        return f"{len(self.weight)}, {self.how}"
