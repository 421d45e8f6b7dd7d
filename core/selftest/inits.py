"""What does a memory recall, and what do a batch's size and order change? (V11, V28)."""

import torch
from torch import Tensor

from core.dynamics.gradient import GradientDescent, HeavyBall, Nesterov
from core.inits.memory import Memory
from core.network import States
from core.selftest.case import EXACT, case
from core.selftest.problems import end, flat, hessian, linear_net, relaxation, tanh_mlp, totals
from core.start import Start

# V11: the first values of a memory ---------------------------------------------------------------


def _first_fit(n: int, init: Memory, device: torch.device) -> tuple[States, States, list[Tensor]]:
    """Recalled and forward states of the first batch, and A of every memory."""
    net, clamped = tanh_mlp(sizes=(6, 8, 8, 3), batch=n)
    held = {i: value.to(device) for i, value in clamped.items()}
    start = Start(net.to(device), held, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        swept = net.sweep(held)
        memory = init.observe(start, swept, None)
        found = init(Start(net, held, memory=memory))
    o = torch.cat([held[0], held[3]], dim=1)
    attention = [
        torch.softmax(init.sharpness * (o @ one.Q + one.b) @ one.K.T, dim=1)
        for one in memory.patterns.values()
    ]
    return found[1:3], swept[1:3], attention


@case(
    "V11",
    "memory of 24 patterns, 8 samples, sharpness 1: recalled minus forward states, relative",
    (0, 0),
)
def _(device: torch.device) -> Tensor:
    found, swept, _ = _first_fit(8, Memory(patterns=24, sharpness=1.0), device)
    return flat([(h - s).norm() / s.norm() for h, s in zip(found, swept, strict=True)])


@case(
    "V11",
    "memory, first fit by least squares: A^T (A V - H) for (samples, patterns, sharpness) = "
    "(8, 24, 1), (24, 24, 1), (200, 24, 1), (60, 5, 50)",
    (0,) * 8,
    1e-9,
)
def _(device: torch.device) -> Tensor:
    off = []
    for n, p, sharpness in ((8, 24, 1.0), (24, 24, 1.0), (200, 24, 1.0), (60, 5, 50.0)):
        init = Memory(patterns=p, sharpness=sharpness, cutoff=0.0)
        for h, s, A in zip(*_first_fit(n, init, device), strict=True):
            off.append((A.T @ (h - s)).abs().max())
    return flat(off)


@case("V11", "memory of 24 patterns: rank of A for 8, 24, 200 samples", (8, 24, 24), EXACT)
def _(device: torch.device) -> Tensor:
    ranks = []
    for n in (8, 24, 200):
        _, _, (A, _) = _first_fit(n, Memory(patterns=24, sharpness=1.0), device)
        ranks.append(torch.linalg.matrix_rank(A))
    return flat(ranks)


# V28: bookkeeping --------------------------------------------------------------------------------

_RULES = (GradientDescent(0.1), HeavyBall(0.05, 0.9), Nesterov(0.05, 0.9))


@case("V28", "every sample twice: largest difference of states, and F by F", (0, 2) * 3, 1e-11)
def _(device: torch.device) -> Tensor:
    net, clamped = tanh_mlp()
    found = []
    for dynamics in _RULES:
        ends = []
        for times in (1, 2):
            held = {i: h.repeat(times, 1) for i, h in clamped.items()}
            ends.append(end((net, held), dynamics=dynamics, steps=12, device=device))
        one, two = ends
        pairs = zip(one.states, two.states, strict=True)
        apart = torch.stack([(k - h.repeat(2, 1)).abs().max() for h, k in pairs]).max()
        single, double = (at.step().free_energy.total(at.states) for at in ends)
        found += [apart, double / single]
    return flat(found)


@case("V28", "samples in another order: largest difference of states", (0,) * 3, 1e-11)
def _(device: torch.device) -> Tensor:
    net, clamped = tanh_mlp()
    order = torch.tensor([2, 0, 3, 1])
    found = []
    for dynamics in _RULES:
        one = end((net, clamped), dynamics=dynamics, steps=12, device=device)
        mixed = {i: h[order] for i, h in clamped.items()}
        two = end((net, mixed), dynamics=dynamics, steps=12, device=device)
        pairs = zip(one.states, two.states, strict=True)
        found.append(torch.stack([(k - h[order.to(device)]).abs().max() for h, k in pairs]).max())
    return flat(found)


@case("V28", "linear 2-2-2-2, 0.98 of the largest rate: rows at which F rises", (0,), EXACT)
def _(device: torch.device) -> Tensor:
    largest = torch.linalg.eigvalsh(hessian(relaxation(linear_net(), device=device))).max()
    rule = GradientDescent(0.98 * 2 / float(largest))
    rows = totals(linear_net(), dynamics=rule, steps=100, device=device)
    return flat((rows.diff() > 1e-12).sum())


@case("V28", "relaxing moves no weight: largest difference", (0,), EXACT)
def _(device: torch.device) -> Tensor:
    net, clamped = tanh_mlp()
    before = flat([p.detach().clone() for p in net.parameters()])
    at = end((net, clamped), steps=12, device=device)
    return flat((flat([p.detach() for p in at.network.parameters()]) - before).abs().max())
