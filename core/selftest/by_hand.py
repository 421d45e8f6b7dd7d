"""Small enough to do by hand: the forward pass and scalar chains (V1, V2, V3)."""

import torch
from torch import Tensor

from core.dynamics.gradient import GradientDescent
from core.learning.local import ForwardUpdate, PredictiveCoding
from core.selftest.case import DIGITS_10, EXACT, case
from core.selftest.problems import (
    backprop,
    end,
    flat,
    gradients,
    linear_net,
    relaxation,
    scalar_net,
    tanh_chain,
    tanh_mlp,
)

# V1: the forward pass ----------------------------------------------------------------------------


@case("V1", "a forward sweep with a free output has no energy and no force", (0, 0), EXACT)
def _(device: torch.device) -> Tensor:
    net, clamped = tanh_mlp()
    step = relaxation((net, {0: clamped[0]}), device=device).step()
    forces = torch.cat([g.flatten() for g in step.free_energy.forces(step.states)])
    return flat(step.free_energy.total(step.states), forces.abs().max())


@case("V1", "with a clamped output all energy is in the output layer", (0, 0, 5.78125))
def _(device: torch.device) -> Tensor:
    # r = (-3.25, -1), so that r r / 2 = 5.78125.
    step = relaxation(linear_net(), device=device).step()
    return flat(step.free_energy.energies(step.states))


# V2: two scalar layers, by hand ------------------------------------------------------------------


@case("V2", "forward init: h_1, e_1, e_2, F and the force on h_1", (2, 0, -1, 0.5, 3))
def _(device: torch.device) -> Tensor:
    step = relaxation(scalar_net(), device=device).step()
    f, h = step.free_energy, step.states
    return flat(h[1], f.errors(h), f.total(h), f.forces(h)[1])


@case(
    "V2",
    "one step of rate 0.1 is the equilibrium h_1 = 17/10, F = 0.05",
    (1.7, -0.3, -0.1, 0.05, 0),
)
def _(device: torch.device) -> Tensor:
    # (W_1 x + W_2 y) / (1 + W_2^2) = 17/10; (y - W_2 W_1 x)^2 / (2 (1 + W_2^2)) = 0.05.
    step = end(scalar_net(), device=device).step()
    f, h = step.free_energy, step.states
    return flat(h[1], f.errors(h), f.total(h), f.forces(h)[1])


@case(
    "V2", "weight gradients: predictive coding, forward update, backprop", (0.3, 0.17, 0.3, 2, 3, 2)
)
def _(device: torch.device) -> Tensor:
    at = end(scalar_net(), device=device)
    rules = [gradients(rule, at) for rule in (PredictiveCoding(), ForwardUpdate())]
    return flat(*rules, backprop(at))


@case("V2", "rate 1 diverges: h_1 goes 2, -1, 26", (2, -1, 26))
def _(device: torch.device) -> Tensor:
    # h_1 <- 17 - 9 h_1, because 1 is above 2 / (1 + W_2^2) = 0.2.
    rows = relaxation(scalar_net(), dynamics=GradientDescent(1.0), steps=2, device=device)
    return flat([step.states[1] for step in rows])


# V3: three scalar layers with tanh ---------------------------------------------------------------

_TANH_ROWS = (
    (0.4621171573, -0.6000182751, 0, 0, 2.2000365502, 2.4200804111),
    (0.4621171573, -0.1600109651, 0, 0.4400073100, 1.3200219301, 0.9680321644),
    (0.4198779029, 0.0599926900, -0.0422392543, 0.6179187826, 0.8800146201, 0.5790167541),
    (0.3602660161, 0.1742037357, -0.1018511412, 0.6674936894, 0.6515925286, 0.4402471518),
)


@case(
    "V3",
    "tanh chain, rate 0.1: h_1, h_2, e_1, e_2, e_3, F at t = 0..3",
    [number for row in _TANH_ROWS for number in row],
    DIGITS_10,
)
def _(device: torch.device) -> Tensor:
    found = []
    for step in relaxation(tanh_chain(), steps=3, device=device):
        f, h = step.free_energy, step.states
        found.append(flat(h[1], h[2], f.errors(h), f.total(h)))
    return flat(found)


@case(
    "V3",
    "tanh chain, t = 3: gradients of predictive coding, forward update, backprop",
    (
        *(0.0400502995, -0.1819592422, -0.1135098526),
        *(0.0400502995, -0.2289721695, 1.3200621360),
        *(1.6609482905, -1.3012989424, 1.3200621360),
    ),
    DIGITS_10,
)
def _(device: torch.device) -> Tensor:
    at = end(tanh_chain(), steps=3, device=device)
    rules = [gradients(rule, at) for rule in (PredictiveCoding(), ForwardUpdate())]
    return flat(*rules, backprop(at))


@case(
    "V3",
    "tanh chain at equilibrium: h_1, h_2, E_1..E_3, F and the gradients, two of other sign",
    (
        *(-0.0483381011, 0.4144760709),
        *(0.1302822854, 0.0585147395, 0.0146286849, 0.2034257098),
        *(0.2007231904, 0.0164496253, -0.0708952442),
    ),
    DIGITS_10,
)
def _(device: torch.device) -> Tensor:
    # Expected: the root of dF/dh = 0 in 30-digit arithmetic.
    at = end(tanh_chain(), steps=600, device=device)
    f, h = at.step().free_energy, at.states
    return flat(h[1], h[2], f.energies(h), f.total(h), gradients(PredictiveCoding(), at))
