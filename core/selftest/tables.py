"""Formulas of one line (V21)."""

import torch
from torch import Tensor

from core.energies.cross_entropy import CrossEntropy
from core.selftest.case import DIGITS_8, case
from core.selftest.problems import (
    column,
)

# V21: cross-entropy ------------------------------------------------------------------------------


@case("V21", "cross-entropy at mu = (2, 0, -1), class 0", (0.16984602,), DIGITS_8)
def _(device: torch.device) -> Tensor:
    return CrossEntropy()(column(1, 0, 0).to(device), column(2, 0, -1).to(device))


@case("V21", "cross-entropy: derivative by mu", (-0.1562, 0.1142, 0.0420), 6e-5)
def _(device: torch.device) -> Tensor:
    mu = column(2, 0, -1).to(device).requires_grad_()
    (found,) = torch.autograd.grad(CrossEntropy()(column(1, 0, 0).to(device), mu).sum(), mu)
    return found


@case("V21", "cross-entropy: minus its error", (-0.1562, 0.1142, 0.0420), 6e-5)
def _(device: torch.device) -> Tensor:
    return -CrossEntropy().error(column(1, 0, 0).to(device), column(2, 0, -1).to(device))
