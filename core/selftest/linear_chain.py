"""A linear network, whose relaxation is linear algebra (V4, V19)."""

from typing import Any

import torch
from torch import Tensor

from core.diagnostics import alignment
from core.dynamics.gradient import GradientDescent, HeavyBall, Nesterov
from core.inits.forward import Forward
from core.inits.zero import Zero
from core.learning.local import PredictiveCoding
from core.selftest.case import DIGITS_8, EXACT, case
from core.selftest.problems import (
    backprop,
    end,
    flat,
    gradients,
    hessian,
    linear_net,
    relaxation,
    totals,
)

# V4: a linear network, by linear algebra ---------------------------------------------------------

_BEST_RATE = 0.40203067
_LARGEST_RATE = 0.50317695
_LEAST_ENERGY = 13589 / 10088  # 1.3470459952418716


@case("V4", "linear 2-2-2-2: F at equilibrium = r S^-1 r / 2", (_LEAST_ENERGY,), 1e-13)
def _(device: torch.device) -> Tensor:
    at = end(linear_net(), dynamics=GradientDescent(0.4), steps=100, device=device)
    return flat(at.step().free_energy.total(at.states))


@case(
    "V4",
    "linear 2-2-2-2 at equilibrium: h_1, h_2, e_1, e_2, e_3",
    (
        *(-0.23790642, -1.47105472, 0.43378271, -0.75218081),
        *(-0.23790642, 1.02894528, -0.91831879, 0.22125297, -0.68596352, -0.46471055),
    ),
    DIGITS_8,
)
def _(device: torch.device) -> Tensor:
    at = end(linear_net(), dynamics=GradientDescent(0.4), steps=100, device=device)
    return flat(at.states[1:3], at.step().free_energy.errors(at.states))


@case(
    "V4",
    "linear 2-2-2-2 at equilibrium: E_1, E_2, E_3",
    (0.557663929, 0.446131143, 0.343250922),
    6e-10,
)
def _(device: torch.device) -> Tensor:
    at = end(linear_net(), dynamics=GradientDescent(0.4), steps=100, device=device)
    return flat(at.step().free_energy.energies(at.states))


@case(
    "V4",
    "linear 2-2-2-2: eigenvalues of the state Hessian",
    (1, 1.52525513, 3.25, 3.97474487),
    DIGITS_8,
)
def _(device: torch.device) -> Tensor:
    return torch.linalg.eigvalsh(hessian(relaxation(linear_net(), device=device)).cpu())


@case(
    "V4",
    "steps until |dF/dh| < 1e-10: rate 0.2, best rate, zero init, heavy ball, Nesterov",
    (106, 48, 101, 70, 52),
    EXACT,
)
def _(device: torch.device) -> Tensor:
    def count(dynamics: Any, init: Any = None) -> int:
        rows = relaxation(linear_net(), dynamics=dynamics, init=init, steps=200, device=device)
        for step in rows:
            forces = torch.cat([g.flatten() for g in step.free_energy.forces(step.states)])
            if forces.norm() < 1e-10:
                return step.moment.t
        return -1

    return flat(
        count(GradientDescent(0.2)),
        count(GradientDescent(_BEST_RATE)),
        count(GradientDescent(0.2), Zero()),
        count(HeavyBall(0.2, 0.5)),
        count(Nesterov(0.2, 0.5)),
    )


@case("V4", "0.98 of the largest rate converges, 1.02 of it diverges", (1, 1), EXACT)
def _(device: torch.device) -> Tensor:
    def late(rate: float) -> Tensor:
        found = totals(
            linear_net(), dynamics=GradientDescent(rate * _LARGEST_RATE), steps=500, device=device
        )
        return found[-1] - _LEAST_ENERGY

    return flat(float(late(0.98) < 1e-6), float(late(1.02) > 1e6))


@case(
    "V4",
    "linear 2-2-2-2 at equilibrium: weight gradients of predictive coding",
    (
        *(0.23790642, -0.47581285, -1.02894528, 2.05789056),
        *(-0.21847394, -1.35089720, 0.05263750, 0.32547523),
        *(0.29755912, -0.51596860, 0.20158340, -0.34954636),
    ),
    DIGITS_8,
)
def _(device: torch.device) -> Tensor:
    at = end(linear_net(), dynamics=GradientDescent(0.4), steps=100, device=device)
    return flat(gradients(PredictiveCoding(), at))


@case(
    "V4",
    "linear 2-2-2-2: weight gradients of backprop",
    (-0.375, 0.75, -4.875, 9.75, 0, -9.375, 0, 5.625, 8.125, -4.0625, 2.5, -1.25),
)
def _(device: torch.device) -> Tensor:
    return flat(backprop(relaxation(linear_net(), device=device)))


@case(
    "V4",
    "linear 2-2-2-2 at equilibrium: cosines to backprop of each layer and of all weights",
    (0.95414891, 0.94191058, 0.79773435, 0.86444994),
    DIGITS_8,
)
def _(device: torch.device) -> Tensor:
    at = end(linear_net(), dynamics=GradientDescent(0.4), steps=100, device=device)
    own, reference = flat(gradients(PredictiveCoding(), at)), flat(backprop(at))
    every = own @ reference / (own.norm() * reference.norm())
    return flat(alignment(at.step()), every)


# V19: optimisers of the states -------------------------------------------------------------------

_DESCENTS: tuple[tuple[str, Any, Any, tuple[float, ...]], ...] = (
    (
        "gradient descent",
        GradientDescent(0.1),
        Forward(),
        (5.78125, 4.14507813, 3.26990942, 2.74329807, 2.3946941),
    ),
    (
        "heavy ball, momentum 0.9, which overshoots",
        HeavyBall(0.1, 0.9),
        Forward(),
        (5.78125, 4.14507813, 2.596502, 2.18339083, 2.40510995),
    ),
    (
        "Nesterov, momentum 0.9",
        Nesterov(0.1, 0.9),
        Forward(),
        (5.78125, 3.14504453, 2.1329265, 1.79872713, 1.61786823),
    ),
    (
        "gradient descent from zero",
        GradientDescent(0.1),
        Zero(),
        (3.75, 2.9853125, 2.48784473, 2.15335497, 1.92288033),
    ),
)


def _add_descent(title: str, dynamics: Any, init: Any, expected: tuple[float, ...]) -> None:
    @case("V19", f"linear 2-2-2-2, rate 0.1, F at t = 0..4: {title}", expected, DIGITS_8)
    def _(device: torch.device) -> Tensor:
        return totals(linear_net(), dynamics=dynamics, init=init, steps=4, device=device)


for _one in _DESCENTS:
    _add_descent(*_one)
