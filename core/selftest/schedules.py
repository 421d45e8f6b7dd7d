"""What a schedule of precisions does and does not change (V5, V7, V8, V9, V17)."""

import torch
from torch import Tensor

from core.diagnostics import by_layer
from core.dynamics.gradient import GradientDescent, Nesterov
from core.free_energy import FreeEnergy
from core.inits.average import Average
from core.learning.local import ForwardUpdate
from core.precisions.decaying import Decaying
from core.precisions.identity import Identity
from core.precisions.spiking import Spiking
from core.selftest.case import DIGITS_8, EXACT, ROUNDING, case
from core.selftest.problems import (
    backprop,
    column,
    end,
    flat,
    gradients,
    linear_net,
    relaxation,
    tanh_mlp,
)
from core.start import Start

# V5: automatic against analytic gradients --------------------------------------------------------


@case("V5", "tanh 6-8-8-8-8-3: automatic minus analytic gradients, states and weights", (0, 0))
def _(device: torch.device) -> Tensor:
    net, clamped = tanh_mlp(bias=False)
    made = relaxation((net, clamped), device=device)
    generator = torch.Generator().manual_seed(1)
    h = [torch.randn(s.shape, generator=generator, dtype=s.dtype).to(device) for s in made.states]
    pi = torch.rand(5, generator=generator, dtype=torch.float64).to(device)
    weights = [p.detach() for p in net.parameters()]
    a = [h[i] @ w.T for i, w in enumerate(weights)]
    mu = [*map(torch.tanh, a[:-1]), a[-1]]
    # tanh' = 1 - tanh^2; 1 for the linear output.
    slope = [*(1 - m**2 for m in mu[:-1]), torch.ones_like(mu[-1])]
    e = [h[i + 1] - m for i, m in enumerate(mu)]
    down = [(pi[i] * e[i] * slope[i]) @ weights[i] for i in range(5)]
    forces = [pi[i] * e[i] - down[i + 1] for i in range(4)]
    by_weights = [-(pi[i] * e[i] * slope[i]).T @ h[i] for i in range(5)]
    free_energy = FreeEnergy(net, pi, clamped)
    own = free_energy.forces(h)[1:5]
    own_weights = free_energy.weight_gradients(h, weighted=True)
    return flat(
        (flat(own) - flat(forces)).abs().max(),
        (flat(own_weights) - flat(by_weights)).abs().max(),
    )


# V7: spiking in closed form ----------------------------------------------------------------------


@case(
    "V7",
    "spiking, rest 0: displacement / backprop error of h_1, h_2 for (rate, T) = "
    "(.5, 3), (.5, 2), (.8, 3), (.8, 8), (1, 3)",
    (0.125, 0.25, 0.25, 0.25, 0.128, 0.16, 0.128, 0.16, 0, 0),
)
def _(device: torch.device) -> Tensor:
    # delta_3 = y - mu_3 = (-3.25, -1) and delta_l = W_{l+1}^T delta_{l+1}. The displacement is
    # a^(L - l) (1 - a) delta_l, or a^(L - l) delta_l where the layer was reached in the last step.
    net, clamped = linear_net()
    _, w2, w3 = (p.detach().to(device) for p in net.parameters())
    delta = {3: column(-3.25, -1).to(device)}
    delta[2] = delta[3] @ w3
    delta[1] = delta[2] @ w2
    found = []
    for rate, steps in ((0.5, 3), (0.5, 2), (0.8, 3), (0.8, 8), (1.0, 3)):
        at = end(
            (net, clamped),
            dynamics=GradientDescent(rate),
            precision=Spiking(rest=0.0),
            steps=steps,
            device=device,
        )
        for i in (1, 2):
            moved = at.states[i] - at.first[i]
            share = (moved * delta[i]).sum() / delta[i].square().sum()
            if float((moved - share * delta[i]).abs().max()) > ROUNDING:
                share = torch.tensor(torch.nan)
            found.append(share)
    return flat(found)


@case(
    "V7",
    "spiking, rest 0, rate 0.5, T = 5: forward update / backprop of five layers, and what is left",
    (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1, 0),
)
def _(device: torch.device) -> Tensor:
    problem = tanh_mlp()
    at = end(
        problem,
        dynamics=GradientDescent(0.5),
        precision=Spiking(rest=0.0),
        steps=5,
        device=device,
    )
    own = by_layer(at.network, gradients(ForwardUpdate(), at))
    reference = by_layer(at.network, backprop(at))
    ratios, beside = [], []
    for a, b in zip(own, reference, strict=True):
        ratios.append(a @ b / (b @ b))
        beside.append((a - ratios[-1] * b).abs().max())
    return flat(ratios, torch.stack(beside).max())


# V8, V9: what a schedule does and does not change ------------------------------------------------


@case("V8", "spiking with rest 1 is identity precision: largest difference of states", (0,), EXACT)
def _(device: torch.device) -> Tensor:
    pairs = []
    for dynamics in (GradientDescent(0.1), Nesterov(0.1, 0.5)):
        for precision in (Spiking(rest=1.0), Identity()):
            at = end(tanh_mlp(), dynamics=dynamics, precision=precision, steps=12, device=device)
            pairs.append(flat(at.states))
    return flat(torch.maximum((pairs[0] - pairs[1]).abs().max(), (pairs[2] - pairs[3]).abs().max()))


@case(
    "V9", "forward init, L = 5: the first step that moves h_1, h_2, h_3, h_4", (4, 3, 2, 1), EXACT
)
def _(device: torch.device) -> Tensor:
    first: dict[int, int] = {}
    for step in relaxation(tanh_mlp(), steps=5, device=device):
        for i in range(1, 5):
            if not torch.equal(step.states[i], step.first[i]):
                first.setdefault(i, step.moment.t)
    return flat([torch.tensor(first[i]) for i in range(1, 5)])


@case("V9", "forward init, L = 5: W_1 has a gradient for T = 0..5", (0, 0, 0, 0, 1, 1), EXACT)
def _(device: torch.device) -> Tensor:
    found = []
    for step in relaxation(tanh_mlp(), steps=5, device=device):
        gradients = step.free_energy.weight_gradients(step.states)
        found.append(float(gradients[0].any()))
    return flat(*found)


# V16, V17: tables --------------------------------------------------------------------------------


@case(
    "V16",
    "average init: class means of (1, 2), (3, 4), (5, 6), (7, 8), labels 0, 1, 0, 1",
    (3, 4, 5, 6, 3, 4, 5, 6),
)
def _(device: torch.device) -> Tensor:
    net, clamped = linear_net()
    net.to(device)
    labels = torch.tensor([0, 1, 0, 1], device=device)
    held = {i: value.expand(4, 2).to(device) for i, value in clamped.items()}
    final = torch.tensor([[1, 2], [3, 4], [5, 6], [7, 8]], dtype=torch.float64, device=device)
    init, start = Average(m=0), Start(net, held, labels, 2)
    memory = init.observe(start, [final] * 4, None)
    with torch.no_grad():
        return init(Start(net, held, labels, 2, memory))[1]


@case(
    "V17",
    "spiking with rest 0.001, L = 4, T = 6: precisions of layers 1..4",
    [1.0 if t == 4 - i else 1e-3 for i in range(1, 5) for t in range(6)],
    EXACT,
)
def _(device: torch.device) -> Tensor:
    return Spiking(rest=1e-3).table(6, torch.arange(1, 5)).T


@case(
    "V17",
    "decaying as in the released code, L = 4, T = 6: precisions of layers 1..4",
    (
        *(0, 0, 0, 1, 0.00553002, 0.00203438),
        *(0, 0, 1, 0.00571317, 0.00210176, 0.00077319),
        *(0, 1, 0.00578055, 0.00212655, 0.00078231, 0.00028780),
        *(1, 0.00580534, 0.00213567, 0.00078567, 0.00028903, 0.00010633),
    ),
    DIGITS_8,
)
def _(device: torch.device) -> Tensor:
    return Decaying().table(6, torch.arange(1, 5)).T
