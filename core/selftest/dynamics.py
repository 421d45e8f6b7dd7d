"""Rules of the states beside descent: noise, errors, sweeps, backprop (V10, V12, V14, V15).

Where a case needs a random network, its expectation is what must hold for every network.
"""

from collections.abc import Sequence
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn

from core.dynamics.cascade import Cascade
from core.dynamics.error_based import ErrorBased, energy_of_errors
from core.dynamics.exact_blocks import ExactBlocks
from core.dynamics.fixed_prediction import FixedPrediction
from core.dynamics.gradient import GradientDescent
from core.dynamics.langevin import Langevin
from core.dynamics.sweeping import Sweeping
from core.energies.cross_entropy import CrossEntropy
from core.energies.squared_error import SquaredError
from core.learning.local import ForwardUpdate, PredictiveCoding
from core.learning.z_il import ZIL
from core.network import Network, chain
from core.phase import Phase
from core.relaxation import Relaxation
from core.selftest.case import DIGITS_8, EXACT, case
from core.selftest.problems import (
    backprop,
    column,
    end,
    flat,
    gradients,
    linear,
    linear_net,
    relaxation,
    scalar_net,
    tanh_mlp,
)

# V10: Langevin sampling --------------------------------------------------------------------------

_CHAINS = 50_000


def _samples(rule: Langevin, steps: int, device: torch.device) -> Tensor:
    """Mean and variance of h_1 of V2 over many chains, after so many steps."""
    network, clamped = scalar_net()
    many = {i: value.expand(_CHAINS, 1) for i, value in clamped.items()}
    noise = torch.Generator().manual_seed(0)
    h = end((network, many), dynamics=rule, steps=steps, device=device, generator=noise).states[1]
    return flat(h.mean(), h.var())


def _add_samples(rule: Langevin, steps: int, variance: float, how: str) -> None:
    # Five standard errors, of the variance or of the mean, whichever are more.
    tolerance = 5 * max(variance * sqrt(2 / _CHAINS), sqrt(variance / _CHAINS))

    @case("V10", f"Langevin samples, {how}: mean and variance", (1.7, variance), tolerance)
    def _(device: torch.device) -> Tensor:
        return _samples(rule, steps, device)


# F has curvature k = 1 + W_2^2 = 10: variance (1/k) / (1 - alpha k / 2).
_add_samples(Langevin(0.01), 60, 0.1 / 0.95, "rate 0.01")
_add_samples(Langevin(0.05), 20, 0.1 / 0.75, "rate 0.05")
_add_samples(Langevin(0.1), 3, 0.1 / 0.5, "rate 0.1")
_add_samples(Langevin(0.1, temperature=0.25), 3, 0.05, "rate 0.1, temperature 1/4")


# V12: error optimisation -------------------------------------------------------------------------


@case(
    "V12",
    "error optimisation of linear 2-2-2-2 reaches e_1*, e_2* and F*",
    (-0.23790642, 1.02894528, -0.91831879, 0.22125297, 13589 / 10088),
    DIGITS_8,
)
def _(device: torch.device) -> Tensor:
    at = end(linear_net(), dynamics=ErrorBased(0.2), steps=200, device=device)
    f = at.step().free_energy
    return flat(f.errors(at.states)[:2], f.total(at.states))


@case("V12", "tanh 4-6-6-3: states and errors reach the same F and the same errors", (0, 0), 1e-9)
def _(device: torch.device) -> Tensor:
    problem = tanh_mlp((4, 6, 6, 3))
    found = []
    for rule in (GradientDescent(0.2), ErrorBased(0.2)):
        at = end(problem, dynamics=rule, steps=400, device=device)
        f = at.step().free_energy
        found.append((f.total(at.states), flat(f.errors(at.states))))
    (one, errors), (other, same) = found
    return flat(one - other, (errors - same).abs().max())


@case(
    "V12",
    "gradient of F(eps) by the weights: backprop's at T = 0, the local one at the equilibrium",
    (0, 0),
    1e-9,
)
def _(device: torch.device) -> Tensor:
    problem = tanh_mlp((4, 6, 6, 3))
    start = relaxation(problem, device=device)
    rest = end(problem, dynamics=ErrorBased(0.2), steps=400, device=device)
    return flat(
        _off(_through_the_chain(start), backprop(start)),
        _off(_through_the_chain(rest), gradients(PredictiveCoding(), rest)),
    )


def _through_the_chain(at: Relaxation) -> list[Tensor]:
    """The gradient of F(eps) by every weight, with the errors held."""
    f = at.step().free_energy
    eps, _ = ErrorBased().init(f, at.states, None)
    with torch.enable_grad():
        total = energy_of_errors(f, at.states, [one.detach() for one in eps])
    return list(torch.autograd.grad(total, list(at.network.parameters())))


def _off(found: Sequence[Tensor], expected: Sequence[Tensor]) -> Tensor:
    """The distance, relative to the length of what is expected."""
    a, b = flat(*found), flat(*expected)
    return (a - b).norm() / b.norm()


# V14: sweeps -------------------------------------------------------------------------------------


def _nudged(
    net: Network, x: Tensor, y: Tensor, beta: float, rule: Any, steps: int, device: torch.device
) -> Relaxation:
    """A forward pass whose free output a squared error nudges."""
    made = relaxation((net, {0: x}), dynamics=rule, steps=steps, device=device)
    phase = Phase(
        "nudged",
        clamped={0: x.to(device)},
        nudge=beta,
        cost=SquaredError(),
        target=y.to(device),
    )
    return Relaxation(made.network, [phase], made.recipe)


def _add_reach(order: str, L: int, expected: int) -> None:
    @case("V14", f"sweeps until layer 1 of {L} moves: {order}", (expected,), EXACT)
    def _(device: torch.device) -> Tensor:
        net = chain([linear([[1.0]]) for _ in range(L)], [(1,)] * (L + 1))
        rows = _nudged(net, column(1), column(0), 0.1, Sweeping(order), L + 2, device)
        moved = [step.moment.t for step in rows if bool(step.states[1] != step.first[1])]
        return flat(min(moved))


for _order, _length, _sweeps in (
    ("synchronous", 5, 5),
    ("synchronous", 10, 10),
    ("even-odd", 10, 5),
    ("even-odd", 5, 3),
    ("odd-even", 10, 6),
    ("backward", 5, 1),
    ("backward", 10, 1),
):
    _add_reach(_order, _length, _sweeps)


@case(
    "V14",
    "sweeps of 1, W = 2, 0.5, nudge 0.1 to 5: (h_1, h_2) at t = 1, 2, 3 and at rest",
    (2.2, 1.4, 2.18, 1.46, 2.177, 1.444, 196 / 90, 130 / 90),
)
def _(device: torch.device) -> Tensor:
    # h_2 <- h_1 / 2 - (h_2 - 5) / 10, then h_1 <- 2 + (h_2 - h_1 / 2) / 2.
    net = chain([linear([[2.0]]), linear([[0.5]])], [(1,)] * 3)
    rows = list(_nudged(net, column(1), column(5), 0.1, Sweeping(), 60, device))
    return flat([rows[t].states[i] for t in (1, 2, 3, 60) for i in (1, 2)])


@case(
    "V14",
    "exact blocks, W = 2, 3, nudge 0.1 to 5: h_1 at t = 1, 2, 3 and at rest",
    (1.97272727, 1.95041322, 1.93215627, 1.85),
    DIGITS_8,
)
def _(device: torch.device) -> Tensor:
    net, ends = scalar_net()
    rows = list(_nudged(net, ends[0], ends[2], 0.1, ExactBlocks(), 120, device))
    return flat([rows[t].states[1] for t in (1, 2, 3, 120)])


@case("V14", "exact blocks, W = 2, 3, output clamped to 5: h_1 = 1.7 at once", (1.7,))
def _(device: torch.device) -> Tensor:
    return flat(end(scalar_net(), dynamics=ExactBlocks(), device=device).states[1])


# V15: backprop by relaxation ---------------------------------------------------------------------


def _convolutions(device: torch.device) -> tuple[Network, dict[int, Tensor]]:
    """Two pooled convolutions and a linear output judged by cross-entropy."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        maps = [
            nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.GELU(), nn.MaxPool2d(2)),
            nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.MaxPool2d(2)),
            nn.Sequential(nn.Flatten(), nn.Linear(16, 3)),
        ]
        x = torch.randn(5, 1, 8, 8, dtype=torch.float64)
    net = chain([one.double() for one in maps], [(1, 8, 8), (3, 4, 4), (4, 2, 2), (3,)])
    net.give_output_energy(CrossEntropy())
    classes = torch.tensor([0, 1, 2, 1, 0])
    return net.to(device), {0: x, 3: nn.functional.one_hot(classes, 3).double()}


def _weights_moved(problem: tuple[Network, dict[int, Tensor]], device: torch.device) -> Tensor:
    """How far what Z-IL does to the weights is from backprop's gradient, relative to that."""
    net, _ = problem
    batch = len(problem[1][0])
    made = relaxation(problem, dynamics=Cascade(), learning=ZIL(), steps=6, device=device)
    expected = backprop(made)
    before = [p.detach().clone() for p in net.parameters()]
    made.optimiser = torch.optim.SGD(net.parameters(), lr=float(batch))
    made.run()
    made.learn()
    moved = [old - p.detach() for old, p in zip(before, net.parameters(), strict=True)]
    return _off(moved, expected)


@case("V15", "Z-IL moves the weights of tanh 6-8-8-8-8-3 as backprop does", (0,))
def _(device: torch.device) -> Tensor:
    return flat(_weights_moved(tanh_mlp(), device))


@case("V15", "Z-IL moves the weights of two convolutions and a softmax as backprop does", (0,))
def _(device: torch.device) -> Tensor:
    return flat(_weights_moved(_convolutions(device), device))


def _fixed(problem: tuple[Network, dict[int, Tensor]], device: torch.device, **how: Any) -> Tensor:
    """How far the forward update is from backprop after a fixed-prediction relaxation."""
    at = end(problem, device=device, **how)
    return _off(gradients(ForwardUpdate(), at), backprop(at))


@case(
    "V15", "fixed prediction, rate 0.1, 400 steps, tanh net: its forward update is backprop", (0,)
)
def _(device: torch.device) -> Tensor:
    return flat(_fixed(tanh_mlp(), device, dynamics=FixedPrediction(0.1), steps=400))


@case("V15", "fixed prediction of two convolutions and a softmax: forward update is backprop", (0,))
def _(device: torch.device) -> Tensor:
    return flat(_fixed(_convolutions(device), device, dynamics=FixedPrediction(0.5), steps=80))
