"""What do nudges of the output tell about the loss? Equilibrium propagation (V6, V28).

The nudged equilibria of the linear network are measured by relaxation; the expected numbers come
from linear algebra, with F = |h_1 - W_1 x|^2/2 + |h_2 - W_2 h_1|^2/2 + |h_3 - W_3 h_2|^2/2
+ beta |h_3 - y|^2/2.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from core.dynamics.gradient import GradientDescent, HeavyBall
from core.energies.squared_error import SquaredError
from core.learning.equilibrium_propagation import EquilibriumPropagation
from core.learning.local import Incremental, PredictiveCoding
from core.network import Network
from core.phase import Phase
from core.relaxation import Relaxation
from core.selftest.case import DIGITS_8, EXACT, ROUNDING, case
from core.selftest.problems import (
    backprop,
    end,
    flat,
    gradients,
    hessian,
    linear_net,
    relaxation,
    tanh_mlp,
)

SETTLING = HeavyBall(0.66, 0.52)
"""Fast where the curvature of the state lies between 0.12 and 4.5, as it does for weak nudges."""


def settled(
    *nudges: float | Tensor,
    device: torch.device,
    problem: tuple[Network, dict[int, Tensor]] | None = None,
    dynamics: HeavyBall = SETTLING,
    steps: int = 160,
) -> Relaxation:
    """The linear network after a free phase of no steps and a nudged one for each beta."""
    network, clamped = problem or linear_net()
    one = relaxation((network, {0: clamped[0]}), dynamics=dynamics, steps=steps)
    target = clamped[network.top].to(device)
    free = Phase("free", 0, {0: clamped[0].to(device)}, cost=SquaredError(), target=target)
    phases = [free] + [
        replace(free, name=f"nudge {k}", steps=None, nudge=beta, begin_from="free")
        for k, beta in enumerate(nudges)
    ]
    made = Relaxation(network.to(device), phases, one.recipe)
    made.run()
    return made


def estimate(at: Relaxation) -> Tensor:
    """The update of equilibrium propagation, flat."""
    return flat(gradients(EquilibriumPropagation(), at))


def off(at: Relaxation) -> Tensor:
    """Distance of the estimate to the gradient of the loss, by the norm of the latter."""
    own, reference = estimate(at), flat(backprop(end(linear_net())))
    return (own - reference).norm() / reference.norm()


def clamped_weakly(beta: float, device: torch.device) -> Tensor:
    """The update of a clamp (1 - beta) mu^0 + beta y at equilibrium, divided by beta, flat."""
    network, ends = linear_net()
    mu = network.sweep({0: ends[0]})[3].detach()
    problem = network, {0: ends[0], 3: (1 - beta) * mu + beta * ends[3]}
    at = end(problem, dynamics=GradientDescent(0.4), steps=100, device=device)
    return flat(gradients(PredictiveCoding(), at)) / beta


# V6: weak nudges give the gradient of the loss ---------------------------------------------------

_ERRORS = {
    0.01: (0.06560281, 0.07528458, 0.00490699),
    0.001: (0.00696353, 0.00705990, 0.00004885),
}
"""Relative errors of forward, backward and centered estimates, V4's network."""


def _add_error(beta: float, expected: Sequence[float]) -> None:
    what = "relative error of forward, backward and centered estimates"

    @case("V6", f"linear 2-2-2-2, beta {beta}: {what}", expected, DIGITS_8)
    def _(device: torch.device) -> Tensor:
        signs = ((beta,), (-beta,), (beta, -beta))
        return flat(*[off(settled(*nudges, device=device)) for nudges in signs])


for _beta, _expected in _ERRORS.items():
    _add_error(_beta, _expected)


@case(
    "V6",
    "F / beta at the nudged equilibrium tends to the loss: beta 0.01, 0.001",
    (5.5216, 5.7541),
    6e-5,
)
def _(device: torch.device) -> Tensor:
    found = []
    for beta in (0.01, 0.001):
        at = settled(beta, device=device)
        found.append(at.step().free_energy.total(at.states) / beta)
    return flat(*found)


@case(
    "V6",
    "the centered error falls as beta squared: ratio of two, beta 0.002 to 0.001",
    (4.0,),
    1e-3,
)
def _(device: torch.device) -> Tensor:
    wide, narrow = (off(settled(b, -b, device=device)) for b in (0.002, 0.001))
    return wide / narrow


@case(
    "V6",
    "nudge 0.25 less a clamp of output precision 0.25 / 1.25: h_1, h_2 and the update",
    [0.0] * 16,
    ROUNDING,
)
def _(device: torch.device) -> Tensor:
    beta = 0.25
    nudged = settled(beta, device=device)
    clamp = relaxation(linear_net(), dynamics=GradientDescent(0.4), steps=400, device=device)
    clamp.recipe = replace(clamp.recipe, output_precision=beta / (1 + beta))
    clamp.run()
    update = flat(gradients(PredictiveCoding(weighted=True), clamp)) / beta
    states = [a - b for a, b in zip(nudged.states[1:3], clamp.states[1:3], strict=True)]
    return flat(states, estimate(nudged) - update)


@case(
    "V6",
    "weak clamps: cosine to backprop at beta 1, 0.1, 0.01, 1e-4, and the last one's norm ratio",
    (0.864449940, 0.954131936, 0.953446198, 0.953322456, 0.223916095),
    6e-9,
)
def _(device: torch.device) -> Tensor:
    reference = flat(backprop(end(linear_net())))
    found = [clamped_weakly(beta, device) for beta in (1.0, 0.1, 0.01, 1e-4)]
    cosines = [one @ reference / (one.norm() * reference.norm()) for one in found]
    return flat(cosines, found[-1].norm() / reference.norm())


@case("V6", "a backward nudge of 0.1: relative error of the estimate", (2.178626864,), 6e-9)
def _(device: torch.device) -> Tensor:
    return off(settled(-0.1, dynamics=HeavyBall(0.74, 0.67), steps=250, device=device))


@case("V6", "a backward nudge has an equilibrium below 1 / 6.0625 = 0.16495", (1, 0), EXACT)
def _(device: torch.device) -> Tensor:
    # 1 / beta - 1 must be above the largest eigenvalue of S - 1, 5.0625.
    found = []
    for beta in (0.1648, 0.1651):
        curvature = hessian(settled(-beta, steps=1, device=device)).cpu()
        found.append(float(torch.linalg.eigvalsh(curvature)[0] > 0))
    return flat(*found)


@case("V6", "without a nudge dF/dtheta is zero at the free equilibrium", (0, 0), EXACT)
def _(device: torch.device) -> Tensor:
    at = settled(device=device)
    free = at.step().free_energy.weight_gradients(at.states)
    return flat(flat(free).abs().max(), estimate(at).abs().max())


# V28: bookkeeping --------------------------------------------------------------------------------


@case(
    "V28",
    "incremental, T 1, forward init: only the output layer is updated",
    (0, 0, 0, 0, 1),
    EXACT,
)
def _(device: torch.device) -> Tensor:
    network, clamped = tanh_mlp()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    before = [p.detach().clone() for p in network.parameters()]
    end((network, clamped), learning=Incremental(), optimiser=optimiser, steps=1)
    moved = [
        float(bool((p != old).any())) for p, old in zip(network.parameters(), before, strict=True)
    ]
    return flat(*[max(moved[2 * k : 2 * k + 2]) for k in range(5)])


@case(
    "V28",
    "a drawn sign for each sample, mean over both draws: the centered estimate",
    (0,),
    ROUNDING,
)
def _(device: torch.device) -> Tensor:
    problem = tanh_mlp((4, 6, 6, 3), batch=5)
    sign = torch.tensor([1.0, -1.0, -1.0, 1.0, -1.0], dtype=torch.float64, device=device)
    one, other = (
        estimate(settled(0.05 * s * sign, problem=problem, steps=60, device=device))
        for s in (1, -1)
    )
    both = estimate(settled(0.05, -0.05, problem=problem, steps=60, device=device))
    return ((one + other) / 2 - both).abs().max()
