"""Mathematics beside the simulation (V13, V18, V20, V23, V24, V26)."""

import torch
from torch import Tensor

from core.dynamics.gradient import GradientDescent
from core.free_energy import FreeEnergy
from core.network import Network, chain
from core.networks.mupc import MuPC
from core.precisions.table import Table
from core.selftest.case import DIGITS_10, EXACT, ROUNDING, case
from core.selftest.problems import column, end, flat, linear, linear_net, relaxation, tanh_mlp
from core.theory.cost import smm
from core.theory.curvature import Hessian, Spectrum, spectrum
from core.theory.linear import equilibrium, mupc_factor, rest
from core.theory.signal import arrival, backprop_errors, reach

# V13: conditioning of a scalar chain -------------------------------------------------------------


def _scalars(L: int, w: float) -> tuple[Network, dict[int, Tensor]]:
    """L maps of one weight w; x = 1, y = 0."""
    net = chain([linear([[w]]) for _ in range(L)], [(1,)] * (L + 1))
    return net, {0: column(1), L: column(0)}


def _spectra(L: int, w: float, device: torch.device) -> tuple[Spectrum, Spectrum]:
    """Of the states and of the errors as variables."""
    step = relaxation(_scalars(L, w), device=device).step()
    return (
        spectrum(step.free_energy, step.states),
        spectrum(step.free_energy, step.states, variables="errors"),
    )


def _add_conditions(title: str, w: float, expected: dict[int, float], tolerance: float) -> None:
    @case(
        "V13",
        f"scalar chain: condition number of the states, {title}",
        [*expected.values()],
        tolerance,
    )
    def _(device: torch.device) -> Tensor:
        return flat(*[_spectra(L, w, device)[0].condition for L in expected])

    squares = [1 + sum(w ** (2 * k) for k in range(1, L)) for L in expected]

    @case(
        "V13",
        f"scalar chain: condition number of the errors, {title}",
        squares,
        max(1e-9, 8 * torch.finfo(torch.float64).eps * max(squares)) * max(squares),
    )
    def _(device: torch.device) -> Tensor:
        return flat(*[_spectra(L, w, device)[1].condition for L in expected])


_add_conditions("w = 1, L = 5, 10, 20", 1.0, {5: 9.4721, 10: 39.8635, 20: 161.4476}, 6e-5)
_add_conditions("w = 1, L = 40", 1.0, {40: 647.789}, 6e-4)
_add_conditions("w = 0.5, L = 20", 0.5, {20: 8.5306}, 6e-5)
_add_conditions("w = 1.5, L = 20", 1.5, {20: 21.6532}, 6e-5)


@case("V13", "scalar chain, w = 1.5, L = 20: errors as variables, printed", (8.846e6,), 500)
def _(device: torch.device) -> Tensor:
    return flat(_spectra(20, 1.5, device)[1].condition)


@case("V13", "scalar chain, w = 1: every error at rest is -1 / L, L = 5", (-0.2,) * 5, ROUNDING)
def _(device: torch.device) -> Tensor:
    net, clamped = _scalars(5, 1.0)
    return flat(rest(net.to(device), clamped).errors)


@case(
    "V13",
    "scalar chain, w = 1, best rate: steps until within 1e-6 of rest, states and errors, L = 5, 20",
    (66, 32, 1172, 123),
    EXACT,
)
def _(device: torch.device) -> Tensor:
    found = []
    for L in (5, 20):
        problem = _scalars(L, 1.0)
        of_states, of_errors = _spectra(L, 1.0, device)
        net, clamped = problem
        aim = torch.cat(equilibrium(net, {i: h.to(device) for i, h in clamped.items()})[1:L])
        rows = relaxation(
            problem, dynamics=GradientDescent(of_states.best_rate), steps=2000, device=device
        )
        far = ((row.moment.t, (torch.cat(row.states[1:L]) - aim).norm()) for row in rows)
        found.append(next(t for t, distance in far if distance < 1e-6))
        # F is quadratic in the errors too: each step multiplies the distance by I - rate H.
        step = relaxation(problem, device=device).step()
        H = Hessian(step.free_energy, step.states, variables="errors").matrices()[0]
        distance = torch.cat(rest(net, clamped).errors[:-1]).flatten()
        steps = 0
        while distance.norm() >= 1e-6:
            distance = distance - of_errors.best_rate * H @ distance
            steps += 1
        found.append(steps)
    return flat(found)


# V18: sequential matrix multiplications ----------------------------------------------------------


@case(
    "V18",
    "products in sequence of backprop, forward init, null init, average with m: "
    "L, T, m = 5, 3, 3 and 8, 8, 5",
    (9, 11, 6, 9, 15, 24, 16, 21),
    EXACT,
)
def _(device: torch.device) -> Tensor:
    found = []
    for L, T, m in ((5, 3, 3), (8, 8, 5)):
        found += [
            smm(L, init="none", relaxation="none", learning="backprop").total,
            smm(L, T, init="forward").total,
            smm(L, T, init="plain").total,
            smm(L, T, init="hybrid", m=m).total,
        ]
    return flat(found)


# V20: rounding stops the error -------------------------------------------------------------------

_STALLS = ((0.01, 12), (0.01, 50), (0.1, 12))


def _deep(dtype: torch.dtype, device: torch.device) -> tuple[Network, dict[int, Tensor]]:
    """12 tanh layers of width 32."""
    net, clamped = tanh_mlp((32,) * 12 + (10,), batch=4)
    return net.to(device, dtype), {i: h.to(device, dtype) for i, h in clamped.items()}


def _lowest(dtype: torch.dtype, rate: float, T: int, device: torch.device) -> tuple[int, int]:
    """The lowest layer that changes at all from a forward sweep, measured and predicted."""
    net, clamped = _deep(dtype, device)
    told = reach(net, {0: clamped[0]}, clamped[12], rate=rate, steps=T, dtype=dtype)
    at = end((net, clamped), dynamics=GradientDescent(rate), steps=T, device=device)
    moved = [i for i in range(1, 12) if not torch.equal(at.states[i], at.first[i])]
    return moved[0], int(told.moves.nonzero()[0]) + 1


@case(
    "V20",
    "12 tanh layers: float32 stops at a higher layer than float64, (rate, T) = "
    "(.01, 12), (.01, 50), (.1, 12)",
    (1, 1, 1),
    EXACT,
)
def _(device: torch.device) -> Tensor:
    found = [
        _lowest(torch.float32, *one, device)[0] > _lowest(torch.float64, *one, device)[0]
        for one in _STALLS
    ]
    return flat(*[float(one) for one in found])


@case("V20", "12 tanh layers: the lowest layer that changes, minus the predicted one", (0,) * 6, 1)
def _(device: torch.device) -> Tensor:
    pairs = [
        _lowest(dtype, *one, device) for dtype in (torch.float32, torch.float64) for one in _STALLS
    ]
    return flat(*[float(measured - told) for measured, told in pairs])


# V23: precisions in the closed form --------------------------------------------------------------

_PRECISIONS = ((1.0, 1.0, 10.0), (10.0, 1.0, 1.0), (1.0, 0.001, 1.0))
_LEAST = (1.7588287569, 16549 / 7684, 0.0040922326)


@case(
    "V23", "linear 2-2-2-2, Pi = (1, 1, 10), (10, 1, 1), (1, .001, 1): F* by S", _LEAST, DIGITS_10
)
def _(device: torch.device) -> Tensor:
    net, clamped = linear_net()
    rows = torch.tensor(_PRECISIONS, dtype=torch.float64)
    return flat([rest(net.to(device), clamped, pi).energy for pi in rows])


@case("V23", "the same: F of the relaxation", _LEAST, DIGITS_10)
def _(device: torch.device) -> Tensor:
    found = []
    for pi in _PRECISIONS:
        problem, schedule = linear_net(), Table((pi,))
        step = relaxation(problem, precision=schedule, device=device).step()
        rate = spectrum(step.free_energy, step.states).best_rate
        at = end(
            problem,
            precision=schedule,
            dynamics=GradientDescent(rate),
            steps=400,
            device=device,
        )
        found.append(at.step().free_energy.total(at.states))
    return flat(found)


@case("V23", "the same: Pi_l e_l minus W_{l+1}^T Pi_{l+1} e_{l+1} at rest", (0,) * 12, ROUNDING)
def _(device: torch.device) -> Tensor:
    net, clamped = linear_net()
    held = {i: h.to(device) for i, h in clamped.items()}
    weights = [p.detach() for p in net.to(device).parameters()]
    found = []
    for pi in torch.tensor(_PRECISIONS, dtype=torch.float64).to(device):
        free_energy = FreeEnergy(net, pi, held)
        e = free_energy.errors(equilibrium(net, held, pi))
        found += [pi[k] * e[k] - pi[k + 1] * e[k + 1] @ weights[k + 1] for k in (0, 1)]
    return flat(found)


# V24: how the error arrives ----------------------------------------------------------------------


def _shares(rate: float, device: torch.device) -> Tensor:
    """The errors of h_1 ... h_4 after seven steps over those of the arrival law."""
    net, clamped = tanh_mlp()
    at = end((net, clamped), dynamics=GradientDescent(rate), steps=7, device=device)
    errors = at.step().free_energy.errors(at.states)
    deltas = backprop_errors(at.network, {0: at.states[0]}, at.states[5])
    told = arrival(7, 5, rate, flat([d.norm() for d in deltas]))
    return (flat([e.norm() for e in errors]) / told)[:4]


@case("V24", "tanh 6-8-8-8-8-3, rate 0.001, T = 7: |e_l| over the arrival law", (1,) * 4, 0.03)
def _(device: torch.device) -> Tensor:
    return _shares(1e-3, device)


@case("V24", "h_2, h_3, h_4 at rate 0.0001: the law is the limit of small rates", (1,) * 3, 3e-3)
def _(device: torch.device) -> Tensor:
    return _shares(1e-4, device)[1:]  # h_1 moves by less than a rounding


@case(
    "V24",
    "linear 2-2-2-2, rate 0.01, T = 13: E_1, E_2, E_3, log10(max / min)",
    (0.000501088, 0.0995272, 3.89118281, 3.890167),
    6e-7,
)
def _(device: torch.device) -> Tensor:
    at = end(linear_net(), dynamics=GradientDescent(0.01), steps=13, device=device)
    energies = at.step().free_energy.energies(at.states)
    return flat(energies, (energies.max() / energies.min()).log10())


# V26: muPC with one hidden layer -----------------------------------------------------------------


@case("V26", "muPC, N = 4, L = 2, one output: relaxed F minus r^2 / (2 s)", (0,), 1e-14)
def _(device: torch.device) -> Tensor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = MuPC(width=4, depth=2, activation="identity")((3, 1, 1), 1).double()
    problem = net, {0: column(1, -2, 0.5), 2: column(3)}
    schedule = Table(((1.0, 8.0),))  # gamma^2 N L of the output
    step = relaxation(problem, precision=schedule, device=device).step()
    rate = spectrum(step.free_energy, step.states).best_rate
    at = end(problem, precision=schedule, dynamics=GradientDescent(rate), steps=500, device=device)
    r = at.states[2] - net.sweep({0: at.states[0]})[2]
    s = mupc_factor(list(net.parameters())[1], depth=2)
    return flat(at.step().free_energy.total(at.states) - r.detach().square() / (2 * s))
