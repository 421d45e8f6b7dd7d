"""Any directed graph: chains, skips, several roots, cycles and self-loops.

The last two graphs stand for the two of figure 9 of pinchetti2026, which is a picture that is not
copied here. WITHOUT_CYCLE: an input and four further states, where each reads some of those before
it, with two paths of different length to every state but the first. WITH_CYCLES: the same number of
states; two of them read each other, one of those reads itself, the output too, and a feedback joins
the output to the first hidden state. Proposition 3.2 there: a forward sweep, after which nothing
but the output has an error, needs an acyclic graph with every root clamped.
"""

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from core import FreeEnergy, Network, Node
from core.dynamics.gradient import GradientDescent
from core.inits.forward import Forward
from core.inits.normal import Normal
from core.inits.null import Null
from core.inits.zero import Zero
from core.start import Start
from core.theory import Hessian, equilibrium, spectrum
from tests.problems import linear, relaxation, relaxed

WITHOUT_CYCLE = {1: (0,), 2: (0, 1), 3: (1, 2), 4: (2, 3)}
WITH_CYCLES = {1: (0, 2, 4), 2: (1, 2), 3: (1, 2), 4: (3, 4)}

GRAPHS = {
    "chain": {1: (0,), 2: (1,), 3: (2,)},
    "skips": {1: (0,), 2: (0, 1), 3: (0, 1, 2)},
    "parents of higher index": {1: (2,), 2: (0,), 3: (1, 2)},
    "two roots": {2: (0,), 3: (0, 1, 2)},
    "two roots, one beside the other": {1: (0,), 3: (1, 2)},
    "figure 9, without a cycle": WITHOUT_CYCLE,
    "self-loop": {1: (0, 1), 2: (1,)},
    "two that predict each other": {1: (0, 2), 2: (1,), 3: (2,)},
    "figure 9, with cycles": WITH_CYCLES,
}
"""Parents of each layer; the last state is the output, those without parents are roots."""

CYCLIC = ["self-loop", "two that predict each other", "figure 9, with cycles"]
ACYCLIC = [name for name in GRAPHS if name not in CYCLIC]
WIDTH, BATCH = 3, 2


class Blend(nn.Module):
    """tanh of the sum of a linear map of each parent, or the sum itself."""

    def __init__(self, parents, *, squashed):
        super().__init__()
        self.maps = nn.ModuleList(
            [nn.Linear(WIDTH, WIDTH, dtype=torch.float64) for _ in range(parents)]
        )
        self.squashed = squashed

    def forward(self, *states):
        total = sum(one(h) for one, h in zip(self.maps, states, strict=True))
        return torch.tanh(total) if self.squashed else total


def graph(parents):
    """A network of random weights with those parents; the output is linear."""
    top = max(parents)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Network(
            [
                Node((WIDTH,), parents[i], Blend(len(parents[i]), squashed=i < top), depth=i)
                if i in parents
                else Node((WIDTH,))
                for i in range(top + 1)
            ]
        )


def drawn(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(BATCH, WIDTH, dtype=torch.float64, generator=generator)


def problem(name):
    """A network and the values of its roots and its output."""
    network = graph(GRAPHS[name])
    return network, {i: drawn(i) for i in (*network.roots, network.top)}


def total(network, precision, states):
    """F by its formula, without the free energy: sum_l Pi_l |h_l - mu_l|^2 / 2."""
    found = 0.0
    for pi, layer in zip(precision.tolist(), network.layers, strict=True):
        node = network.nodes[layer]
        mu = network.maps[str(layer)](*[states[p] for p in node.parents])
        found += pi * 0.5 * float((states[layer] - mu).square().sum())
    return found


def slope(value, at, step=1e-6):
    """Central differences of a number by every entry of a tensor that it reads."""
    found = torch.zeros_like(at)
    flat, out = at.view(-1), found.view(-1)
    for k in range(at.numel()):
        kept = flat[k].item()
        sides = []
        for moved in (kept + step, kept - step):
            flat[k] = moved
            sides.append(value())
        flat[k] = kept
        out[k] = (sides[0] - sides[1]) / (2 * step)
    return found


@pytest.mark.parametrize("name", GRAPHS)
def test_forces_are_the_slopes_of_the_energy(name):
    network, clamped = problem(name)
    precision = 0.5 + torch.arange(len(network.layers), dtype=torch.float64)
    states = [clamped.get(i, drawn(20 + i)).clone() for i in range(len(network.nodes))]
    forces = FreeEnergy(network, precision, clamped).forces(list(states))
    with torch.no_grad():
        for i, force in enumerate(forces):
            if i in clamped:
                assert not force.any()
            else:
                expected = slope(lambda: total(network, precision, states), states[i])
                assert_close(force, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", GRAPHS)
def test_weight_gradients_are_the_slopes_of_the_energy(name):
    network, clamped = problem(name)
    ones = torch.ones(len(network.layers), dtype=torch.float64)
    states = [clamped.get(i, drawn(20 + i)) for i in range(len(network.nodes))]
    gradients = FreeEnergy(network, ones, clamped).weight_gradients(states)
    with torch.no_grad():
        for parameter, own in zip(network.parameters(), gradients, strict=True):
            expected = slope(lambda: total(network, ones, states), parameter.data)
            assert_close(own, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", GRAPHS)
def test_the_hessian_is_the_slope_of_the_forces(name):
    network, clamped = problem(name)
    precision = 0.5 + torch.arange(len(network.layers), dtype=torch.float64)
    states = [clamped.get(i, drawn(20 + i)).clone() for i in range(len(network.nodes))]
    free = [i for i in range(len(states)) if i not in clamped]
    free_energy = FreeEnergy(network, precision, clamped)
    H = Hessian(free_energy, states, 0).matrices()[0]
    for k, i in enumerate(free):
        for u in range(WIDTH):
            sides = []
            for step in (1e-6, -1e-6):
                moved = [h.clone() for h in states]
                moved[i][0, u] += step
                forces = free_energy.forces(moved)
                sides.append(torch.cat([forces[j][0] for j in free]))
            expected = (sides[0] - sides[1]) / 2e-6
            assert_close(H[k * WIDTH + u], expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("init", [Zero(), Normal(), Null()], ids=lambda init: type(init).__name__)
@pytest.mark.parametrize("past", [False, True], ids=["first batch", "later batch"])
def test_every_graph_relaxes_from_zero_normal_and_null(name, init, past):
    network, clamped = problem(name)
    options = {"generator": torch.Generator().manual_seed(0)}
    if past:
        options["previous"] = relaxed(network, clamped, init=Zero(), steps=5)
        clamped = {i: h + 0.5 for i, h in clamped.items()}
    start = relaxation((network, clamped), init=init, **options)
    at_start = start.step()
    rate = min(0.1, 0.5 * spectrum(at_start.free_energy, at_start.states).largest_rate)
    rows = relaxation(
        (network, clamped), init=init, dynamics=GradientDescent(rate), steps=100, **options
    )
    found = [float(row.free_energy.total(row.states)) for row in rows]
    assert all(b <= a + 1e-12 for a, b in pairwise(found))
    assert found[-1] < 0.97 * found[0]
    for i, value in clamped.items():
        assert torch.equal(rows.states[i], value)


@pytest.mark.parametrize("name", ACYCLIC)
def test_a_forward_sweep_leaves_only_the_output_s_error(name):
    network, clamped = problem(name)
    step = relaxation((network, clamped), init=Forward()).step()
    errors = dict(zip(network.layers, step.free_energy.errors(step.states), strict=True))
    assert errors.pop(network.top).any()
    assert not any(e.any() for e in errors.values())


@pytest.mark.parametrize("name", ACYCLIC)
def test_with_a_free_output_a_forward_sweep_is_at_rest(name):
    network, clamped = problem(name)
    roots = {i: clamped[i] for i in network.roots}
    step = relaxation((network, roots), init=Forward()).step()
    assert float(step.free_energy.total(step.states)) == 0
    assert not any(g.any() for g in step.free_energy.forces(step.states))


@pytest.mark.parametrize(
    ("name", "cycles"),
    [
        ("self-loop", ["1 -> 1"]),
        ("two that predict each other", ["1 -> 2 -> 1", "2 -> 1 -> 2"]),
        (
            "figure 9, with cycles",
            ["2 -> 2", "4 -> 4", "1 -> 2 -> 1", "2 -> 1 -> 2", "1 -> 3 -> 4 -> 1"],
        ),
    ],
)
def test_a_forward_sweep_of_a_cycle_is_refused_with_the_cycle(name, cycles):
    with pytest.raises(ValueError, match="predict each other in a cycle") as refused:
        relaxation(problem(name), init=Forward())
    assert any(f" {one} " in str(refused.value) for one in cycles)


@pytest.mark.parametrize("name", ["two roots", "two roots, one beside the other"])
def test_a_forward_sweep_with_a_free_root_is_refused_with_the_root(name):
    network, clamped = problem(name)
    free = network.roots[-1]
    held = {i: h for i, h in clamped.items() if i != free}
    with pytest.raises(ValueError, match=f"state {free} is a root and free"):
        relaxation((network, held), init=Forward())


@pytest.mark.parametrize("name", CYCLIC)
def test_null_s_first_batch_is_zero_where_a_cycle_rules_out_the_sweep(name):
    network, clamped = problem(name)
    assert not any(h.any() for h in Null()(Start(network, clamped)))


@pytest.mark.oracle("closed form")
def test_a_linear_graph_with_cycles_has_one_equilibrium_whatever_the_init():
    # 0 -> 1, a self-loop 2 -> 2, and 3 -> 4 -> 5 -> 3, of which 5 is clamped.
    turn = [[0.6, -0.4], [0.3, 0.5]]
    nodes = [Node((2,)), Node((2,), (0,), linear(turn)), Node((2,), (2,), linear(turn))]
    nodes += [Node((2,), (parent,), linear(turn)) for parent in (5, 3, 4)]
    network = Network(nodes)
    ends = {0: torch.tensor([[1.0, 2.0]]).double(), 5: torch.tensor([[-1.0, 0.5]]).double()}
    expected = equilibrium(network, ends)
    for init in (Zero(), Normal(sd=1.0)):
        found = relaxed(
            network,
            ends,
            GradientDescent(0.5),
            steps=600,
            init=init,
            generator=torch.Generator().manual_seed(1),
        )
        for h, other in zip(found, expected, strict=True):
            assert_close(h, other, rtol=0, atol=1e-10)
    assert expected[3].any()
    assert not expected[2].any()  # only a self-loop reads it: its rest is zero
