"""Does this machine compute what the papers say? Small networks whose answers are known.

Each case states numbers that were found by hand, by linear algebra or in a paper, never taken from
this program; it measures them in float64 on the machine at hand. V1, V2, ... name validation cases.
In all of them the energy is half the squared error, summed over units and samples, and there are no
biases, unless the case says otherwise.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from core.diagnostics import alignment, by_layer
from core.dynamics.gradient import GradientDescent, HeavyBall, Nesterov
from core.energies.cross_entropy import CrossEntropy
from core.experiment import Recipe, available
from core.free_energy import FreeEnergy, backprop_gradients
from core.inits.average import Average
from core.inits.forward import Forward
from core.inits.zero import Zero
from core.learning.local import ForwardUpdate, PredictiveCoding
from core.network import Network, States, chain
from core.phase import Phase
from core.precisions.decaying import Decaying
from core.precisions.identity import Identity
from core.precisions.spiking import Spiking
from core.relaxation import Relaxation
from core.start import Start

Find = Callable[[torch.device], Tensor]

EXACT = 0.0
ROUNDING = 1e-12
DIGITS_8 = 6e-9
DIGITS_10 = 6e-11
"""Tolerances: equal, equal up to rounding, equal in so many printed decimals."""


@dataclass(frozen=True)
class Case:
    """One claim about numbers.

    Args:
        name: of the validation case it belongs to.
        what: the claim, in one line.
        expected: the numbers, from the calculation.
        tolerance: largest absolute difference.
        find: measures them on a device.
    """

    name: str
    what: str
    expected: tuple[float, ...]
    tolerance: float
    find: Find


@dataclass(frozen=True)
class Result:
    """What a case gave on this machine; `expected` and `found` are written for a table."""

    name: str
    what: str
    expected: str
    found: str
    passed: bool


_cases: list[Case] = []


def cases() -> list[Case]:
    """All cases, in the order of their names."""
    return list(_cases)


def run(device: str = "cpu") -> list[Result]:
    """Every case on one device; a case that fails with an error says so instead of raising.

    Raises:
        BadInput: if there is no such device.
    """
    where = available(device)
    return [judged(case, where) for case in cases()]


def judged(case: Case, device: torch.device) -> Result:
    """The result of one case."""
    count = len(case.expected)
    try:
        found = case.find(device).detach().double().cpu().flatten()
    except Exception as error:  # the table goes on, and this row says why it has no numbers
        line = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return Result(case.name, case.what, _numbers(case.expected, 0), line, False)
    if len(found) != count:
        return Result(case.name, case.what, f"{count} numbers", f"{len(found)} numbers", False)
    off = (found - torch.tensor(case.expected, dtype=torch.float64)).abs()
    off = off.nan_to_num(nan=torch.inf)
    passed = bool((off <= case.tolerance).all())
    first = 0 if passed else int(off.argmax())
    expected, came = _numbers(case.expected, first), _numbers(found.tolist(), first)
    return Result(case.name, case.what, expected, came, passed)


def _numbers(values: Sequence[float], first: int) -> str:
    """Up to four numbers from one on, and how many there are in all."""
    shown = " ".join(f"{value + 0.0:.10g}" for value in values[first : first + 4])
    return shown if len(values) <= 4 else f"{shown} ... ({len(values)} numbers)"


def _case(
    name: str, what: str, expected: Sequence[float], tolerance: float = ROUNDING
) -> Callable[[Find], Find]:
    """Add the function below as a case."""

    def add(find: Find) -> Find:
        _cases.append(Case(name, what, tuple(map(float, expected)), tolerance, find))
        return find

    return add


# Networks and their relaxations ------------------------------------------------------------------


def linear(weight: Sequence[Sequence[float]]) -> nn.Linear:
    """A linear map with these weights and no bias, in float64."""
    values = torch.tensor(weight, dtype=torch.float64)
    made = nn.Linear(values.shape[1], values.shape[0], bias=False, dtype=torch.float64)
    made.weight = nn.Parameter(values)
    return made


def column(*values: float) -> Tensor:
    """One sample, (1, n), in float64."""
    return torch.tensor([values], dtype=torch.float64)


def scalar_net() -> tuple[Network, dict[int, Tensor]]:
    """V2: linear, one unit a layer, W = 2, 3; x = 1, y = 5."""
    net = chain([linear([[2.0]]), linear([[3.0]])], [(1,)] * 3)
    return net, {0: column(1), 2: column(5)}


def tanh_chain() -> tuple[Network, dict[int, Tensor]]:
    """V3: tanh(1.0 x), tanh(-1.5 h_1), 2.0 h_2; x = 0.5, y = 1."""
    maps = [
        nn.Sequential(linear([[1.0]]), nn.Tanh()),
        nn.Sequential(linear([[-1.5]]), nn.Tanh()),
        linear([[2.0]]),
    ]
    return chain(maps, [(1,)] * 4), {0: column(0.5), 3: column(1)}


def linear_net() -> tuple[Network, dict[int, Tensor]]:
    """V4: linear 2-2-2-2."""
    weights = (
        [[1.0, 0.5], [-0.5, 1.0]],
        [[0.5, -1.0], [1.0, 0.5]],
        [[1.0, -1.0], [0.5, 1.0]],
    )
    return chain([linear(w) for w in weights], [(2,)] * 4), {0: column(1, -2), 3: column(0.5, -1)}


def tanh_mlp(
    sizes: Sequence[int] = (6, 8, 8, 8, 8, 3), batch: int = 4, seed: int = 0, bias: bool = True
) -> tuple[Network, dict[int, Tensor]]:
    """A tanh network with linear output, random weights and random ends."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        maps: list[nn.Module] = []
        for i, (wide, out) in enumerate(pairwise(sizes)):
            one = nn.Linear(wide, out, bias=bias, dtype=torch.float64)
            maps.append(one if i == len(sizes) - 2 else nn.Sequential(one, nn.Tanh()))
        x = torch.randn(batch, sizes[0], dtype=torch.float64)
        y = torch.randn(batch, sizes[-1], dtype=torch.float64)
    return chain(maps, [(n,) for n in sizes]), {0: x, len(sizes) - 1: y}


def relaxation(
    problem: tuple[Network, Mapping[int, Tensor]],
    *,
    steps: int = 1,
    dynamics: Any = None,
    precision: Any = None,
    init: Any = None,
    learning: Any = None,
    device: torch.device | str = "cpu",
    **options: Any,
) -> Relaxation:
    """A relaxation of one phase; by default plain descent of rate 0.1 from a forward sweep.

    Args:
        problem: a network, and the value of each clamped state.
        steps: T.
        dynamics: of the states.
        precision: its schedule.
        init: first states.
        learning: of the weights.
        device: where it runs.
        **options: as Relaxation takes them.
    """
    network, clamped = problem
    held = {i: value.to(device) for i, value in clamped.items()}
    recipe = Recipe(
        init=init or Forward(),
        precision=precision or Identity(),
        dynamics=dynamics or GradientDescent(0.1),
        learning=learning or PredictiveCoding(),
        steps=steps,
    )
    return Relaxation(network.to(device), [Phase("relax", steps, held)], recipe, **options)


def _end(problem: tuple[Network, Mapping[int, Tensor]], **choices: Any) -> Relaxation:
    """The same after its last step."""
    made = relaxation(problem, **choices)
    made.run()
    return made


def _flat(*parts: Tensor | Sequence[Tensor] | float) -> Tensor:
    """Everything in one vector, in float64."""
    found = []
    for part in parts:
        pieces = part if isinstance(part, list | tuple) else [part]
        found += [torch.as_tensor(one, dtype=torch.float64).cpu().flatten() for one in pieces]
    return torch.cat(found)


def _gradients(rule: Any, at: Relaxation) -> list[Tensor]:
    """The weight gradients of a rule where a relaxation stands."""
    return rule.gradients(at.step().free_energy, at.states, at.first)


def _backprop(at: Relaxation) -> list[Tensor]:
    """The weight gradients of backprop."""
    net = at.network
    return backprop_gradients(net, {0: at.states[0]}, at.states[net.top])


def _totals(problem: tuple[Network, Mapping[int, Tensor]], **choices: Any) -> Tensor:
    """F of every row."""
    rows = relaxation(problem, **choices)
    return torch.stack([step.free_energy.total(step.states) for step in rows])


def hessian(at: Relaxation) -> Tensor:
    """The state Hessian of one sample of a linear network: forces are linear in the free states."""
    free_energy = at.step().free_energy
    free = [i for i in range(len(at.states)) if i not in free_energy.clamped]

    def forces(states: States) -> Tensor:
        found = free_energy.forces(states)
        return torch.cat([found[i][0].flatten() for i in free])

    here = forces(at.states)
    columns = []
    for i in free:
        for unit in range(at.states[i].shape[1]):
            moved = [h.clone() for h in at.states]
            moved[i][0, unit] += 1.0
            columns.append(forces(moved) - here)
    return torch.stack(columns, dim=1)


# V1: the forward pass ----------------------------------------------------------------------------


@_case("V1", "a forward sweep with a free output has no energy and no force", (0, 0), EXACT)
def _(device: torch.device) -> Tensor:
    net, clamped = tanh_mlp()
    step = relaxation((net, {0: clamped[0]}), device=device).step()
    forces = torch.cat([g.flatten() for g in step.free_energy.forces(step.states)])
    return _flat(step.free_energy.total(step.states), forces.abs().max())


@_case("V1", "with a clamped output all energy is in the output layer", (0, 0, 5.78125))
def _(device: torch.device) -> Tensor:
    # r = (-3.25, -1), so that r r / 2 = 5.78125.
    step = relaxation(linear_net(), device=device).step()
    return _flat(step.free_energy.energies(step.states))


# V2: two scalar layers, by hand ------------------------------------------------------------------


@_case("V2", "forward init: h_1, e_1, e_2, F and the force on h_1", (2, 0, -1, 0.5, 3))
def _(device: torch.device) -> Tensor:
    step = relaxation(scalar_net(), device=device).step()
    f, h = step.free_energy, step.states
    return _flat(h[1], f.errors(h), f.total(h), f.forces(h)[1])


@_case(
    "V2",
    "one step of rate 0.1 is the equilibrium h_1 = 17/10, F = 0.05",
    (1.7, -0.3, -0.1, 0.05, 0),
)
def _(device: torch.device) -> Tensor:
    # (W_1 x + W_2 y) / (1 + W_2^2) = 17/10; (y - W_2 W_1 x)^2 / (2 (1 + W_2^2)) = 0.05.
    step = _end(scalar_net(), device=device).step()
    f, h = step.free_energy, step.states
    return _flat(h[1], f.errors(h), f.total(h), f.forces(h)[1])


@_case(
    "V2", "weight gradients: predictive coding, forward update, backprop", (0.3, 0.17, 0.3, 2, 3, 2)
)
def _(device: torch.device) -> Tensor:
    at = _end(scalar_net(), device=device)
    rules = [_gradients(rule, at) for rule in (PredictiveCoding(), ForwardUpdate())]
    return _flat(*rules, _backprop(at))


@_case("V2", "rate 1 diverges: h_1 goes 2, -1, 26", (2, -1, 26))
def _(device: torch.device) -> Tensor:
    # h_1 <- 17 - 9 h_1, because 1 is above 2 / (1 + W_2^2) = 0.2.
    rows = relaxation(scalar_net(), dynamics=GradientDescent(1.0), steps=2, device=device)
    return _flat([step.states[1] for step in rows])


# V3: three scalar layers with tanh ---------------------------------------------------------------

_TANH_ROWS = (
    (0.4621171573, -0.6000182751, 0, 0, 2.2000365502, 2.4200804111),
    (0.4621171573, -0.1600109651, 0, 0.4400073100, 1.3200219301, 0.9680321644),
    (0.4198779029, 0.0599926900, -0.0422392543, 0.6179187826, 0.8800146201, 0.5790167541),
    (0.3602660161, 0.1742037357, -0.1018511412, 0.6674936894, 0.6515925286, 0.4402471518),
)


@_case(
    "V3",
    "tanh chain, rate 0.1: h_1, h_2, e_1, e_2, e_3, F at t = 0..3",
    [number for row in _TANH_ROWS for number in row],
    DIGITS_10,
)
def _(device: torch.device) -> Tensor:
    found = []
    for step in relaxation(tanh_chain(), steps=3, device=device):
        f, h = step.free_energy, step.states
        found.append(_flat(h[1], h[2], f.errors(h), f.total(h)))
    return _flat(found)


@_case(
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
    at = _end(tanh_chain(), steps=3, device=device)
    rules = [_gradients(rule, at) for rule in (PredictiveCoding(), ForwardUpdate())]
    return _flat(*rules, _backprop(at))


@_case(
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
    at = _end(tanh_chain(), steps=600, device=device)
    f, h = at.step().free_energy, at.states
    return _flat(h[1], h[2], f.energies(h), f.total(h), _gradients(PredictiveCoding(), at))


# V4: a linear network, by linear algebra ---------------------------------------------------------

_BEST_RATE = 0.40203067
_LARGEST_RATE = 0.50317695
_LEAST_ENERGY = 13589 / 10088  # 1.3470459952418716


@_case("V4", "linear 2-2-2-2: F at equilibrium = r S^-1 r / 2", (_LEAST_ENERGY,), 1e-13)
def _(device: torch.device) -> Tensor:
    at = _end(linear_net(), dynamics=GradientDescent(0.4), steps=100, device=device)
    return _flat(at.step().free_energy.total(at.states))


@_case(
    "V4",
    "linear 2-2-2-2 at equilibrium: h_1, h_2, e_1, e_2, e_3",
    (
        *(-0.23790642, -1.47105472, 0.43378271, -0.75218081),
        *(-0.23790642, 1.02894528, -0.91831879, 0.22125297, -0.68596352, -0.46471055),
    ),
    DIGITS_8,
)
def _(device: torch.device) -> Tensor:
    at = _end(linear_net(), dynamics=GradientDescent(0.4), steps=100, device=device)
    return _flat(at.states[1:3], at.step().free_energy.errors(at.states))


@_case(
    "V4",
    "linear 2-2-2-2 at equilibrium: E_1, E_2, E_3",
    (0.557663929, 0.446131143, 0.343250922),
    6e-10,
)
def _(device: torch.device) -> Tensor:
    at = _end(linear_net(), dynamics=GradientDescent(0.4), steps=100, device=device)
    return _flat(at.step().free_energy.energies(at.states))


@_case(
    "V4",
    "linear 2-2-2-2: eigenvalues of the state Hessian",
    (1, 1.52525513, 3.25, 3.97474487),
    DIGITS_8,
)
def _(device: torch.device) -> Tensor:
    return torch.linalg.eigvalsh(hessian(relaxation(linear_net(), device=device)).cpu())


@_case(
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

    return _flat(
        count(GradientDescent(0.2)),
        count(GradientDescent(_BEST_RATE)),
        count(GradientDescent(0.2), Zero()),
        count(HeavyBall(0.2, 0.5)),
        count(Nesterov(0.2, 0.5)),
    )


@_case("V4", "0.98 of the largest rate converges, 1.02 of it diverges", (1, 1), EXACT)
def _(device: torch.device) -> Tensor:
    def late(rate: float) -> Tensor:
        totals = _totals(
            linear_net(), dynamics=GradientDescent(rate * _LARGEST_RATE), steps=500, device=device
        )
        return totals[-1] - _LEAST_ENERGY

    return _flat(float(late(0.98) < 1e-6), float(late(1.02) > 1e6))


@_case(
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
    at = _end(linear_net(), dynamics=GradientDescent(0.4), steps=100, device=device)
    return _flat(_gradients(PredictiveCoding(), at))


@_case(
    "V4",
    "linear 2-2-2-2: weight gradients of backprop",
    (-0.375, 0.75, -4.875, 9.75, 0, -9.375, 0, 5.625, 8.125, -4.0625, 2.5, -1.25),
)
def _(device: torch.device) -> Tensor:
    return _flat(_backprop(relaxation(linear_net(), device=device)))


@_case(
    "V4",
    "linear 2-2-2-2 at equilibrium: cosines to backprop of each layer and of all weights",
    (0.95414891, 0.94191058, 0.79773435, 0.86444994),
    DIGITS_8,
)
def _(device: torch.device) -> Tensor:
    at = _end(linear_net(), dynamics=GradientDescent(0.4), steps=100, device=device)
    own, reference = _flat(_gradients(PredictiveCoding(), at)), _flat(_backprop(at))
    every = own @ reference / (own.norm() * reference.norm())
    return _flat(alignment(at.step()), every)


# V5: automatic against analytic gradients --------------------------------------------------------


@_case("V5", "tanh 6-8-8-8-8-3: automatic minus analytic gradients, states and weights", (0, 0))
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
    return _flat(
        (_flat(own) - _flat(forces)).abs().max(),
        (_flat(own_weights) - _flat(by_weights)).abs().max(),
    )


# V7: spiking in closed form ----------------------------------------------------------------------


@_case(
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
        at = _end(
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
    return _flat(found)


@_case(
    "V7",
    "spiking, rest 0, rate 0.5, T = 5: forward update / backprop of five layers, and what is left",
    (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1, 0),
)
def _(device: torch.device) -> Tensor:
    problem = tanh_mlp()
    at = _end(
        problem,
        dynamics=GradientDescent(0.5),
        precision=Spiking(rest=0.0),
        steps=5,
        device=device,
    )
    own = by_layer(at.network, _gradients(ForwardUpdate(), at))
    reference = by_layer(at.network, _backprop(at))
    ratios, beside = [], []
    for a, b in zip(own, reference, strict=True):
        ratios.append(a @ b / (b @ b))
        beside.append((a - ratios[-1] * b).abs().max())
    return _flat(ratios, torch.stack(beside).max())


# V8, V9: what a schedule does and does not change ------------------------------------------------


@_case("V8", "spiking with rest 1 is identity precision: largest difference of states", (0,), EXACT)
def _(device: torch.device) -> Tensor:
    pairs = []
    for dynamics in (GradientDescent(0.1), Nesterov(0.1, 0.5)):
        for precision in (Spiking(rest=1.0), Identity()):
            at = _end(tanh_mlp(), dynamics=dynamics, precision=precision, steps=12, device=device)
            pairs.append(_flat(at.states))
    return _flat(
        torch.maximum((pairs[0] - pairs[1]).abs().max(), (pairs[2] - pairs[3]).abs().max())
    )


@_case(
    "V9", "forward init, L = 5: the first step that moves h_1, h_2, h_3, h_4", (4, 3, 2, 1), EXACT
)
def _(device: torch.device) -> Tensor:
    first: dict[int, int] = {}
    for step in relaxation(tanh_mlp(), steps=5, device=device):
        for i in range(1, 5):
            if not torch.equal(step.states[i], step.first[i]):
                first.setdefault(i, step.moment.t)
    return _flat([torch.tensor(first[i]) for i in range(1, 5)])


@_case("V9", "forward init, L = 5: W_1 has a gradient for T = 0..5", (0, 0, 0, 0, 1, 1), EXACT)
def _(device: torch.device) -> Tensor:
    found = []
    for step in relaxation(tanh_mlp(), steps=5, device=device):
        gradients = PredictiveCoding().gradients(step.free_energy, step.states, step.first)
        found.append(float(gradients[0].count_nonzero() > 0))
    return _flat(*found)


# V16, V17: tables --------------------------------------------------------------------------------


@_case(
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


@_case(
    "V17",
    "spiking with rest 0.001, L = 4, T = 6: precisions of layers 1..4",
    [1.0 if t == 4 - i else 1e-3 for i in range(1, 5) for t in range(6)],
    EXACT,
)
def _(device: torch.device) -> Tensor:
    return Spiking(rest=1e-3).table(6, torch.arange(1, 5)).T


@_case(
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
    @_case("V19", f"linear 2-2-2-2, rate 0.1, F at t = 0..4: {title}", expected, DIGITS_8)
    def _(device: torch.device) -> Tensor:
        return _totals(linear_net(), dynamics=dynamics, init=init, steps=4, device=device)


for _one in _DESCENTS:
    _add_descent(*_one)


# V21: cross-entropy ------------------------------------------------------------------------------


@_case("V21", "cross-entropy at mu = (2, 0, -1), class 0", (0.16984602,), DIGITS_8)
def _(device: torch.device) -> Tensor:
    return CrossEntropy()(column(1, 0, 0).to(device), column(2, 0, -1).to(device))


@_case("V21", "cross-entropy: derivative by mu", (-0.1562, 0.1142, 0.0420), 6e-5)
def _(device: torch.device) -> Tensor:
    mu = column(2, 0, -1).to(device).requires_grad_()
    (found,) = torch.autograd.grad(CrossEntropy()(column(1, 0, 0).to(device), mu).sum(), mu)
    return found


@_case("V21", "cross-entropy: minus its error", (-0.1562, 0.1142, 0.0420), 6e-5)
def _(device: torch.device) -> Tensor:
    return -CrossEntropy().error(column(1, 0, 0).to(device), column(2, 0, -1).to(device))
