"""Theory: closed forms against independent solves, finite differences and real relaxations."""

from itertools import pairwise
from math import comb

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from core import BadInput, FreeEnergy, Network, Node, chain
from core.dynamics.gradient import GradientDescent
from core.energies.cross_entropy import CrossEntropy
from core.free_energy import backprop_gradients
from core.inits.zero import Zero
from core.networks.layers import ScaledLinear, linear_part
from core.networks.mlp import MLP
from core.networks.mupc import MuPC
from core.precisions.spiking import Spiking
from core.theory import (
    Hessian,
    Spectrum,
    arrival,
    backprop_errors,
    curvature,
    equilibrium,
    least_energy,
    multiply_adds,
    mupc_factor,
    reach,
    rest,
    smm,
    spectrum,
    spiking_displacement,
)
from tests import problems
from tests.problems import column, linear, linear_chain, linear_net, relaxed, tanh_mlp

PI = torch.tensor([0.5, 2.0, 3.0], dtype=torch.float64)


def scaled_chain(sizes=(4, 3, 3, 2), batch=5, seed=0):
    """Linear layers with factors, biases and a skip where the widths agree."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        maps = [
            ScaledLinear(a, b, scale=0.4 + 0.3 * i, bias=i != 1, skip=a == b).double()
            for i, (a, b) in enumerate(pairwise(sizes))
        ]
        x = torch.randn(batch, sizes[0], dtype=torch.float64)
        y = torch.randn(batch, sizes[-1], dtype=torch.float64)
    return chain(maps, [(n,) for n in sizes]), {0: x, len(sizes) - 1: y}


def ends(clamped, *which):
    return {i: clamped[i] for i in which}


def still(free_energy, states):
    """Largest force on a free unit."""
    return max(float(g.abs().max()) for g in free_energy.forces(states))


# Equilibria --------------------------------------------------------------------------------------


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("which", [(0, 3), (0,), (3,)])
@pytest.mark.parametrize("precision", [None, PI])
def test_the_equilibrium_is_that_of_a_solve_by_blocks(which, precision):
    network, clamped = linear_chain(sizes=(2, 4, 3, 3))
    held = ends(clamped, *which)
    expected = problems.equilibrium(network, held, precision)
    for h, other in zip(equilibrium(network, held, precision), expected, strict=True):
        assert_close(h, other, rtol=0, atol=1e-10)


def test_states_in_the_middle_may_be_clamped_too():
    network, clamped = linear_chain()
    held = {**clamped, 1: torch.ones(5, 4, dtype=torch.float64)}
    expected = problems.equilibrium(network, held, PI)
    for h, other in zip(equilibrium(network, held, PI), expected, strict=True):
        assert_close(h, other, rtol=0, atol=1e-12)
    everything = {**held, 2: torch.ones(5, 2, dtype=torch.float64)}
    for i, h in enumerate(equilibrium(network, everything)):
        assert torch.equal(h, everything[i])


@pytest.mark.parametrize("which", [(0, 3), (0,), (3,)])
def test_no_force_is_left_with_factors_biases_and_skips(which):
    network, clamped = scaled_chain()
    held = ends(clamped, *which)
    states = equilibrium(network, held, PI)
    assert still(FreeEnergy(network, PI, held), states) < 1e-12


def test_a_free_output_rests_at_the_forward_pass():
    network, clamped = scaled_chain()
    swept = network.sweep({0: clamped[0]})
    for h, mu in zip(equilibrium(network, ends(clamped, 0), PI), swept, strict=True):
        assert_close(h, mu.detach())


def test_where_many_states_are_least_it_is_where_descent_from_zero_ends():
    # Three free inputs, two states above: one direction of h_0 changes nothing.
    maps = [linear([[1.0, 0.0, 1.0], [0.0, 1.0, -1.0]]), linear([[1.0, 0.5], [-0.5, 1.0]])]
    network, held = chain(maps, [(3,), (2,), (2,)]), {2: column(1.0, -2.0)}
    found = equilibrium(network, held)
    descended = relaxed(network, held, GradientDescent(0.3), init=Zero(), steps=1000)
    for h, other in zip(found, descended, strict=True):
        assert_close(h, other, rtol=0, atol=1e-9)


def test_a_precision_of_zero_leaves_its_layer_out():
    network, clamped = linear_chain(sizes=(3, 2, 2, 3))
    pi = torch.tensor([1.0, 0.0, 1.0]).double()
    states = equilibrium(network, clamped, pi)
    assert still(FreeEnergy(network, pi, clamped), states) < 1e-12
    assert_close(states[1], network.prediction(1, states).detach())  # only its own error is left


def loop():
    """0 -> 1 <-> 2, and 2 reads nothing else: a cycle of linear layers."""
    return Network(
        [
            Node((2,)),
            Node((2,), (2,), linear([[0.5, 1.0], [-1.0, 0.3]])),
            Node((2,), (1,), linear([[0.2, 0.7], [0.4, -0.6]])),
            Node((2,), (2,), linear([[1.0, -1.0], [2.0, 0.5]])),
        ]
    )


def test_the_equilibrium_of_a_cycle_is_found_as_well():
    network, held = loop(), {0: column(0, 0), 3: column(1.0, -2.0)}
    states = equilibrium(network, held, PI)
    assert still(FreeEnergy(network, PI, held), states) < 1e-12
    assert states[1].any()


def test_states_come_in_the_type_and_shape_of_the_network():
    maps = [nn.Sequential(nn.Flatten(), nn.Linear(4, 6), nn.Unflatten(1, (2, 3)))]
    maps += [nn.Sequential(nn.Flatten(), nn.Linear(6, 2))]
    network = chain(maps, [(2, 2), (2, 3), (2,)])
    held = {0: torch.randn(3, 2, 2), 2: torch.randn(3, 2)}
    states = equilibrium(network, held)
    assert states[1].shape == (3, 2, 3) and states[1].dtype == torch.float32
    assert still(FreeEnergy(network, torch.ones(2), held), states) < 1e-5


# Energy at rest ----------------------------------------------------------------------------------


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("problem", [linear_chain, scaled_chain])
@pytest.mark.parametrize("which", [(0, 3), (0,), (3,)])
@pytest.mark.parametrize("precision", [torch.ones(3).double(), PI])
def test_least_energy_and_errors_are_those_of_the_equilibrium(problem, which, precision):
    network, clamped = problem()
    held = ends(clamped, *which)
    free_energy = FreeEnergy(network, precision, held)
    states = equilibrium(network, held, precision)
    found = rest(network, held, precision)
    assert_close(found.energy, precision @ free_energy.energies(states), rtol=1e-10, atol=1e-13)
    for e, other in zip(found.errors, free_energy.errors(states), strict=True):
        assert_close(e, other, rtol=0, atol=1e-11)
    assert torch.equal(least_energy(network, held, precision), found.energy)


@pytest.mark.oracle("closed form")
def test_v4_by_hand():
    found = rest(*linear_net())
    assert_close(found.S, torch.tensor([[5.5, -1.125], [-1.125, 3.8125]]).double())
    assert_close(found.residual, column(-3.25, -1))
    assert found.energy.item() == pytest.approx(13589 / 10088, abs=1e-14)


@pytest.mark.oracle("closed form")
def test_a_nudge_by_squared_distance_is_a_clamped_output_of_precision_beta_over_one_plus_beta():
    network, clamped = linear_net()
    for beta in (0.01, 0.5, 10.0):
        nudged = FreeEnergy(
            network,
            torch.ones(3).double(),
            [0],
            nudge=beta,
            cost=lambda h, y: 0.5 * (h - y).square().sum(1),
            target=clamped[3],
        )
        states = [h.detach() for h in network.sweep({0: clamped[0]})]
        rate = spectrum(nudged, states).best_rate
        for _ in range(1500):
            forces = nudged.forces(states)
            moved = zip(states[1:], forces[1:], strict=True)
            states = [states[0], *(h - rate * g for h, g in moved)]
        pi = torch.tensor([1, 1, beta / (1 + beta)]).double()
        assert nudged.total(states).item() == pytest.approx(
            rest(network, clamped, pi).energy.item()
        )


@pytest.mark.oracle("paper")
def test_the_factor_of_mupc_is_s_with_one_hidden_layer_and_no_other():
    for gamma in (0.5, 1.0, 3.0):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            kind = MuPC(width=6, depth=2, activation="identity", gamma=gamma)
            network = kind((1, 2, 2), 1).double()
        held = {0: torch.ones(1, 4).double(), 2: torch.ones(1, 1).double()}
        pi = torch.tensor([1.0, gamma**2 * 6 * 2]).double()
        w = list(network.parameters())[1]
        assert rest(network, held, pi).S.item() == pytest.approx(mupc_factor(w, 2, gamma))


# Refusals ----------------------------------------------------------------------------------------


def test_what_has_no_closed_form_is_refused_by_name():
    network, clamped = tanh_mlp()
    with pytest.raises(BadInput, match=r"^layer 1: Sequential\(.*Tanh\(\) \); one linear map"):
        equilibrium(network, clamped)
    network, clamped = linear_chain()
    network.give_output_energy(CrossEntropy())
    with pytest.raises(BadInput, match=r"^layer 3: CrossEntropy; the squared error"):
        rest(network, clamped)


@pytest.mark.parametrize("solve", [equilibrium, rest])
def test_bad_precisions_and_clamped_states_are_refused(solve):
    network, clamped = linear_chain()
    for pi in ([1.0, 1.0], [1.0, -1.0, 1.0], [1.0, torch.nan, 1.0]):
        with pytest.raises(BadInput, match=r"^precision: .*3 finite numbers"):
            solve(network, clamped, torch.tensor(pi))
    with pytest.raises(BadInput, match=r"^clamped: nothing"):
        solve(network, {})
    with pytest.raises(BadInput, match=r"^clamped: state 7; 0\.\.3"):
        solve(network, {7: clamped[0]})
    with pytest.raises(BadInput, match=r"^clamped: 2 units for state 0; 3"):
        solve(network, {0: clamped[0][:, :2]})


def test_s_is_that_of_a_chain_with_positive_precisions_and_free_inner_states():
    network, clamped = linear_chain()
    with pytest.raises(BadInput, match=r"^precision: .*positive"):
        rest(network, clamped, torch.tensor([1.0, 0.0, 1.0]))
    with pytest.raises(BadInput, match=r"^clamped: state 1; the input 0 and the output 3 only"):
        rest(network, {**clamped, 1: torch.ones(5, 4).double()})
    with pytest.raises(BadInput, match=r"^network: state 1 reads \(2,\); a chain"):
        rest(loop(), {0: column(0, 0)})


# Curvature ---------------------------------------------------------------------------------------


def squared_distance(h, y):
    return 0.5 * (h - y).flatten(1).square().sum(1)


class Sum(nn.Module):
    """A nonlinear function of two parents."""

    def forward(self, a, b):
        return torch.tanh(a + 2 * b)


def situations():
    """(name, free energy, states) of every kind of problem."""
    generator = torch.Generator().manual_seed(3)

    def drawn(network, clamped, batch):
        return [
            clamped.get(i, torch.randn(batch, *n.shape, generator=generator).double())
            for i, n in enumerate(network.nodes)
        ]

    network, clamped = tanh_mlp((3, 4, 4, 2), batch=3)
    states = drawn(network, clamped, 3)
    yield "tanh", FreeEnergy(network, torch.ones(3).double(), clamped), states
    yield "precision", FreeEnergy(network, PI, clamped), states
    yield "decay", FreeEnergy(network, PI, clamped, decay=0.3), states
    beta = torch.tensor([0.1, -0.2, 0.4]).double()
    yield (
        "nudge",
        FreeEnergy(network, PI, [0], nudge=beta, cost=squared_distance, target=clamped[3]),
        states,
    )
    yield "free input", FreeEnergy(network, PI, [3]), states
    masks = {1: torch.rand(3, 4, generator=generator) < 0.5}
    yield "held units", FreeEnergy(network, PI, clamped, held=masks), states

    judged, ends = tanh_mlp((3, 4, 4, 2), batch=3)
    judged.give_output_energy(CrossEntropy())
    ends[3] = torch.eye(2).double()[[0, 1, 0]]
    yield "cross-entropy", FreeEnergy(judged, PI, ends), drawn(judged, ends, 3)

    graph = Network(
        [
            Node((2,)),
            Node((2,), (0,), nn.Sequential(linear([[1.0, 0.5], [-0.5, 1.0]]), nn.Tanh())),
            Node((2,), (1, 3), Sum()),  # a cycle: 2 reads 3, 3 reads 2
            Node((2,), (2,), linear([[0.5, 1.0], [1.0, -0.5]])),
        ]
    )
    held = {0: torch.randn(3, 2, generator=generator).double()}
    yield "cycle", FreeEnergy(graph, PI, held), drawn(graph, held, 3)


SITUATIONS = {name: (free_energy, states) for name, free_energy, states in situations()}


def by_differences(free_energy, states, b):
    """The Hessian of one sample over its moving units: central differences of the forces."""
    free = [i for i in range(len(states)) if i not in free_energy.clamped]
    moving = [
        (i, u)
        for i in free
        for u in range(states[i].shape[1])
        if i not in free_energy.held or not free_energy.held[i][b, u]
    ]
    columns, step = [], 1e-5
    for i, u in moving:
        sides = []
        for sign in (1, -1):
            moved = [h.clone() for h in states]
            moved[i][b, u] += sign * step
            forces = free_energy.forces(moved)
            sides.append(torch.stack([forces[j][b, v] for j, v in moving]))
        columns.append((sides[0] - sides[1]) / (2 * step))
    return torch.stack(columns, dim=1)


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_hessian_is_the_slope_of_the_forces(name):
    free_energy, states = SITUATIONS[name]
    for b, H in enumerate(Hessian(free_energy, states).matrices()):
        assert_close(H, by_differences(free_energy, states, b), rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_energy_of_each_sample_has_the_total_and_the_forces_of_the_free_energy(name):
    free_energy, states = SITUATIONS[name]
    leaves = [h.clone().requires_grad_() for h in states]
    each = curvature.energy(free_energy, leaves)
    assert each.shape == (3,)
    assert_close(each.sum(), free_energy.total(states))
    slope = torch.autograd.grad(each.sum(), leaves, materialize_grads=True, allow_unused=True)
    for i, (g, force) in enumerate(zip(slope, free_energy.forces(states), strict=True)):
        if i in free_energy.held:
            g = g.masked_fill(free_energy.held[i], 0.0)
        if i not in free_energy.clamped:
            assert_close(g, force)


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_ends_over_the_batch_are_those_of_its_samples(name):
    free_energy, states = SITUATIONS[name]
    values = [torch.linalg.eigvalsh(by_differences(free_energy, states, b)) for b in range(3)]
    for b, own in enumerate(values):
        found = spectrum(free_energy, states, b)
        assert found.exact
        assert found.smallest == pytest.approx(float(own[0]), abs=1e-7)
        assert found.largest == pytest.approx(float(own[-1]), abs=1e-7)
    both = spectrum(free_energy, states)
    assert both.smallest == pytest.approx(min(float(v[0]) for v in values), abs=1e-7)
    assert both.largest == pytest.approx(max(float(v[-1]) for v in values), abs=1e-7)


def stated(network, clamped, precision):
    """At a forward sweep with the ends clamped."""
    states = [h.detach() for h in network.sweep({0: clamped[0]})]
    states = [clamped.get(i, h) for i, h in enumerate(states)]
    return FreeEnergy(network, precision, clamped), states


@pytest.mark.parametrize("variables", ["states", "errors"])
@pytest.mark.parametrize("sample", [None, 1])
def test_lanczos_finds_the_ends_that_all_eigenvalues_have(monkeypatch, variables, sample):
    network, clamped = tanh_mlp((6, 30, 30, 30, 5), batch=3)
    free_energy, states = stated(network, clamped, torch.tensor([1.0, 0.5, 2.0, 3.0]).double())
    exact = spectrum(free_energy, states, sample, variables=variables)
    monkeypatch.setattr(curvature, "EXACT_BELOW", 0)
    found = spectrum(free_energy, states, sample, variables=variables, tolerance=1e-6)
    assert exact.exact and not found.exact
    assert found.smallest == pytest.approx(exact.smallest, rel=1e-6)
    assert found.largest == pytest.approx(exact.largest, rel=1e-6)
    assert 0 <= found.margin <= 1e-6 * abs(found.smallest)


def test_lanczos_leaves_held_units_out(monkeypatch):
    free_energy, states = SITUATIONS["held units"]
    exact = spectrum(free_energy, states)
    monkeypatch.setattr(curvature, "EXACT_BELOW", 0)
    found = spectrum(free_energy, states)
    assert found.smallest == pytest.approx(exact.smallest, rel=1e-6)
    assert found.largest == pytest.approx(exact.largest, rel=1e-6)


def test_lanczos_ends_when_a_sample_has_no_further_directions(monkeypatch):
    # I + J^T J with two outputs has three different eigenvalues: three steps find them all.
    network, clamped = scaled_chain((4, 20, 20, 2))
    free_energy, states = stated(network, clamped, torch.ones(3).double())
    exact = spectrum(free_energy, states, variables="errors")
    monkeypatch.setattr(curvature, "EXACT_BELOW", 0)
    for steps in (4, 40):
        found = spectrum(free_energy, states, variables="errors", steps=steps)
        assert found.smallest == pytest.approx(exact.smallest, rel=1e-9)
        assert found.largest == pytest.approx(exact.largest, rel=1e-9)


def test_lanczos_stopped_early_says_how_far_off_it_may_be(monkeypatch):
    network, clamped = tanh_mlp((6, 30, 30, 30, 5), batch=1)
    free_energy, states = stated(network, clamped, torch.ones(4).double())
    values = torch.linalg.eigvalsh(Hessian(free_energy, states).matrices()[0])
    monkeypatch.setattr(curvature, "EXACT_BELOW", 0)
    found = spectrum(free_energy, states, steps=6)
    assert found.margin > 1e-3
    for end in (found.smallest, found.largest):
        assert float((values - end).abs().min()) <= found.margin


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("problem", [linear_chain, scaled_chain])
def test_the_errors_of_a_linear_network_have_the_hessian_one_plus_j_transposed_j(problem):
    network, clamped = problem()
    free_energy, states = stated(network, clamped, torch.ones(3).double())
    A2, A3 = (linear_part(network.maps[str(i)]).matrix for i in (2, 3))
    J = torch.cat([A3 @ A2, A3], dim=1)
    expected = torch.eye(J.shape[1]).double() + J.T @ J
    for H in Hessian(free_energy, states, variables="errors").matrices():
        assert_close(H, expected)
    found = spectrum(free_energy, states, variables="errors")
    sigma = float(torch.linalg.svdvals(J)[0])
    assert found.condition == pytest.approx(1 + sigma**2)


@pytest.mark.parametrize("variables", ["states", "errors"])
def test_descent_is_stable_below_the_largest_rate_and_not_above(variables):
    network, clamped = scaled_chain()
    free_energy, states = stated(network, clamped, PI)
    found = spectrum(free_energy, states, variables=variables)
    H = Hessian(free_energy, states, 0, variables=variables).matrices()[0]
    for factor, stable in ((0.98, True), (1.02, False)):
        each = torch.eye(len(H)).double() - factor * found.largest_rate * H
        size = torch.linalg.matrix_power(each, 2000).norm()
        assert bool(size < 1) is stable
    # No fixed rate contracts faster than the best one: its two ends are equal.
    ends_at_best = [1 - found.best_rate * end for end in (found.smallest, found.largest)]
    assert ends_at_best[0] == pytest.approx(-ends_at_best[1])


def test_an_energy_that_is_not_convex_has_no_best_rate():
    found = Spectrum(-0.5, 2.0, True, 0.0)
    assert found.largest_rate == 1
    assert found.condition == float("inf")
    assert found.best_rate != found.best_rate


def test_a_spectrum_needs_something_free_and_known_names():
    free_energy, states = SITUATIONS["tanh"]
    with pytest.raises(BadInput, match=r"^variables: angles; one of states, errors"):
        spectrum(free_energy, states, variables="angles")
    with pytest.raises(BadInput, match=r"^sample: 3; 0\.\.2"):
        spectrum(free_energy, states, 3)
    with pytest.raises(BadInput, match=r"^steps: 0; at least 1"):
        spectrum(free_energy, states, steps=0)
    with pytest.raises(BadInput, match=r"^clamped: every state"):
        spectrum(FreeEnergy(free_energy.network, PI, range(4)), states)
    with pytest.raises(BadInput, match=r"^held: units of state 1"):
        spectrum(*SITUATIONS["held units"], variables="errors")


# Signals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["squared", "cross-entropy", "cost"])
def test_backprop_errors_are_the_slopes_of_the_loss_at_every_layer(output):
    network, clamped = tanh_mlp((3, 4, 4, 2), batch=3)
    target = torch.eye(2).double()[[0, 1, 0]]
    if output == "cross-entropy":
        network.give_output_energy(CrossEntropy())

    def loss(prediction):
        if output == "cost":
            return 2 * (prediction - target).pow(4).sum()
        return network.nodes[3].energy(target, prediction).sum()

    cost = (lambda h, y: 2 * (h - y).pow(4).sum(1)) if output == "cost" else None
    deltas = backprop_errors(network, {0: clamped[0]}, target, cost)
    with torch.no_grad():
        states = network.sweep({0: clamped[0]})
        for layer, delta in enumerate(deltas, start=1):
            for u in range(delta.shape[1]):
                sides = []
                for step in (1e-6, -1e-6):
                    h = states[layer].clone()
                    h[1, u] += step
                    for above in range(layer + 1, 4):
                        h = network.maps[str(above)](h)
                    sides.append(loss(h))
                slope = (sides[0] - sides[1]) / 2e-6
                assert_close(delta[1, u], -slope, rtol=1e-6, atol=1e-7)


def test_the_output_s_backprop_error_is_target_minus_prediction():
    network, clamped = tanh_mlp()
    delta = backprop_errors(network, {0: clamped[0]}, clamped[5])[-1]
    assert_close(delta, clamped[5] - network.sweep({0: clamped[0]})[5].detach())


@pytest.mark.oracle("closed form")
def test_arrivals_are_binomial():
    norms = torch.tensor([1.0, 2.0, 3.0, 4.0])
    for t in range(9):
        expected = [comb(t, 4 - i) * 0.1 ** (4 - i) * float(i) for i in (1, 2, 3, 4)]
        assert_close(arrival(t, 4, 0.1, norms), torch.tensor(expected).double())
    assert arrival(2, 4, 0.1, norms)[0] == 0
    late = arrival(100_000, 40, 1e-6, torch.ones(40))[0].item()
    assert late == pytest.approx(float(comb(100_000, 39)) * 1e-6**39, rel=1e-8)


def test_an_arrival_has_the_digits_of_double_precision():
    found = arrival(2, 3, 0.1, torch.ones(3).double())
    assert_close(found, torch.tensor([0.01, 0.2, 1.0], dtype=torch.float64), rtol=1e-14, atol=0.0)


def test_arrivals_at_many_times_and_samples_at_once():
    norms = torch.rand(4, 3)
    found = arrival(torch.arange(7), 4, 0.2, norms)
    assert found.shape == (7, 4, 3)
    for t in range(7):
        assert_close(found[t], arrival(t, 4, 0.2, norms))
        assert_close(found[t, :, 1], arrival(t, 4, 0.2, norms[:, 1]))


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("rate", [0.3, 0.5, 0.8])
def test_spiking_displaces_in_proportion_to_the_backprop_errors(steps, rate):
    network, clamped = tanh_mlp()
    first = network.sweep({0: clamped[0]})
    deltas = backprop_errors(network, {0: clamped[0]}, clamped[5])
    last = relaxed(network, clamped, GradientDescent(rate), Spiking(rest=0.0), steps)
    factors = spiking_displacement(rate, 5, steps)
    for i in range(1, 5):
        moved = last[i] - first[i].detach()
        assert_close(moved, factors[i - 1] * deltas[i - 1], rtol=0, atol=1e-14)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("rate", "steps"), [(0.01, 12), (0.01, 50), (0.1, 12)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_reach_of_a_relaxation_is_predicted_within_one_layer(seed, rate, steps, dtype):
    network, clamped = tanh_mlp((32,) * 12 + (10,), batch=4, seed=seed)
    network, clamped = network.to(dtype), {i: h.to(dtype) for i, h in clamped.items()}
    told = reach(network, {0: clamped[0]}, clamped[12], rate=rate, steps=steps, dtype=dtype)
    first = network.sweep({0: clamped[0]})
    last = relaxed(network, clamped, GradientDescent(rate), steps=steps)
    moved = [not torch.equal(a, b) for a, b in zip(first[1:], last[1:], strict=True)]
    moved[-1] = False  # clamped
    assert not told.moves[-1]
    assert abs(int(told.moves.sum()) - sum(moved)) <= 1
    assert told.moves[:-1].tolist() == sorted(told.moves[:-1].tolist())


def test_the_relative_displacement_is_that_of_small_rates():
    network, clamped = tanh_mlp()
    told = reach(network, {0: clamped[0]}, clamped[5], rate=1e-3, steps=7)
    first = network.sweep({0: clamped[0]})
    last = relaxed(network, clamped, GradientDescent(1e-3), steps=7)
    for i in range(1, 5):
        relative = float((last[i] - first[i]).detach().norm() / first[i].detach().norm())
        assert float(told.relative[i - 1]) == pytest.approx(relative, rel=0.03)


# Accounts ----------------------------------------------------------------------------------------


@pytest.mark.oracle("paper")
@pytest.mark.parametrize(
    ("choices", "expected", "status"),
    [
        ({"L": 5, "init": "none", "relaxation": "none", "learning": "backprop"}, 9, "published"),
        ({"L": 5, "T": 3, "init": "forward"}, 11, "published"),
        ({"L": 5, "T": 5, "init": "forward"}, 15, "published"),
        ({"L": 5, "T": 7, "init": "forward"}, 19, "published"),
        ({"L": 5, "T": 3}, 6, "published"),
        ({"L": 5, "T": 2, "init": "hybrid", "m": 3}, 7, "derived"),
        ({"L": 5, "T": 5, "init": "hybrid", "m": 3}, 13, "derived"),
        ({"L": 8, "T": 5, "init": "hybrid", "m": 5}, 15, "derived"),
        ({"L": 4, "T": 6, "init": "memory"}, 15, "derived"),
        ({"L": 4, "T": 6, "init": "memory, forward"}, 19, "derived"),
        ({"L": 5, "T": 3, "init": "forward", "learning": "incremental"}, 11, "derived"),
        ({"L": 5, "T": 3, "init": "forward", "learning": "forward update"}, 11, "derived"),
        ({"L": 5, "init": "forward", "relaxation": "wavefront"}, 15, "derived"),
        ({"L": 5, "init": "forward", "relaxation": "lean wavefront"}, 9, "derived"),
        ({"L": 5, "T": 4, "relaxation": "errors", "learning": "errors"}, 41, "derived"),
        ({"L": 5, "init": "forward", "relaxation": "sweeps", "K": 5, "phases": 2}, 45, "derived"),
        ({"L": 5, "init": "forward", "relaxation": "sweeps", "K": 5}, 25, "derived"),
    ],
)
def test_products_in_sequence_are_those_of_the_table(choices, expected, status):
    found = smm(**choices)
    assert found.total == expected
    assert found.status == status
    assert found.total == found.init + found.relaxation + found.weights
    for part in (found.init, found.relaxation, found.weights):
        assert part == 0 or str(part) in found.how


def test_phases_side_by_side_cost_as_much_as_one():
    given = {"init": "forward", "relaxation": "sweeps", "K": 5}
    assert smm(5, **given, phases=2, parallel=True).total == smm(5, **given).total


def test_incremental_learning_shares_its_products_among_its_updates():
    found = smm(5, 4, learning="incremental")
    assert (found.updates, found.per_update) == (4, 2)
    assert smm(5, 4).per_update == 8
    assert smm(5, 4, learning="none").per_update != smm(5, 4, learning="none").per_update


SIZES, BATCH = (7, 6, 5, 4, 3), 11


class Counter(TorchDispatchMode):
    """Counts multiply-adds by torch's own formulas, which count two operations for each."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.count += formula(*args, **(kwargs or {}), out_val=out) // 2
        return out


def counted(work):
    with Counter() as counter:
        work()
    return counter.count


@pytest.mark.oracle("other implementation")
def test_multiply_adds_are_those_that_torch_counts():
    network = MLP(hidden=SIZES[1:-1])((1, 1, SIZES[0]), SIZES[-1])
    x, y = torch.randn(BATCH, SIZES[0]), torch.randn(BATCH, SIZES[-1])
    clamped = {0: x, 4: y}
    with torch.no_grad():
        states = network.sweep(clamped)
    own = multiply_adds(SIZES, BATCH, 3, init="forward")
    free_energy = FreeEnergy(network, torch.ones(4), clamped)

    def steps():
        for _ in range(3):
            free_energy.forces([h.clone() for h in states])

    assert own.init == counted(lambda: network.sweep(clamped))
    assert own.relaxation == counted(steps)
    # weight_gradients makes the predictions anew, which the last step had: one more product.
    assert own.weights == counted(lambda: free_energy.weight_gradients(states)) - own.init
    plain = multiply_adds(SIZES, BATCH, init="none", relaxation="none", learning="backprop")
    assert plain.total == counted(lambda: backprop_gradients(network, {0: x}, y))


@pytest.mark.oracle("closed form")
def test_multiply_adds_by_hand():
    # P = B (2*3 + 3*4) = 18 B, without the first 12 B.
    given = {"sizes": (2, 3, 4), "batch": 10}
    assert multiply_adds(**given, init="hybrid", m=1).init == 60
    assert multiply_adds(**given, T=2, relaxation="errors", learning="errors").total == 960
    assert multiply_adds(**given, relaxation="sweeps", K=1, phases=2).relaxation == 960
    assert multiply_adds(**given, relaxation="sweeps", K=1, phases=2).weights == 360
    assert multiply_adds(**given, relaxation="wavefront", init="forward").total == 840
    assert multiply_adds(**given, relaxation="lean wavefront", init="forward").total == 480
    assert multiply_adds(**given, T=4, learning="incremental").weights == 720
    assert multiply_adds(**given, T=4, learning="none").weights == 0


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"L": 0}, r"^L: 0; 1\.\."),
        ({"L": 3, "T": -1}, r"^T: -1; 0\.\."),
        ({"L": 3, "m": 3}, r"^m: 3; 0\.\.2"),
        ({"L": 3, "init": "forwards"}, r"^init: forwards; .*did you mean forward\?"),
        ({"L": 3, "relaxation": "state"}, r"^relaxation: state; .*did you mean states\?"),
        ({"L": 3, "learning": "magic"}, r"^learning: magic; one of none"),
    ],
)
def test_accounts_of_nothing_are_refused(choices, said):
    with pytest.raises(BadInput, match=said):
        smm(**choices)


def test_a_memory_has_no_multiply_adds_of_its_own_here():
    with pytest.raises(BadInput, match=r"^init: memory; its multiply-adds depend"):
        multiply_adds((2, 2), 1, init="memory")
