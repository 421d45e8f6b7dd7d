"""The free energy: sums, forces and equilibria."""

from itertools import pairwise

import pytest
import torch
from torch.testing import assert_close

from core.dynamics.gradient import GradientDescent, HeavyBall, Nesterov
from core.energies.squared_error import SquaredError
from core.free_energy import FreeEnergy, backprop_gradients
from core.inits.normal import Normal
from core.inits.zero import Zero
from core.precisions.table import Table
from tests.problems import (
    PROBLEMS,
    equilibrium,
    hessian,
    linear_chain,
    linear_net,
    network_of,
    relaxation,
    relaxed,
    tanh_mlp,
)


def random_states(network, batch, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(batch, *node.shape, generator=generator, dtype=torch.float64)
        for node in network.nodes
    ]


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize(
    ("precision", "total"),
    [
        ((1.0, 1.0, 10.0), 273125 / 155288),
        ((10.0, 1.0, 1.0), 16549 / 7684),
        ((1.0, 0.001, 1.0), 4732865 / 1156548392),
    ],
)
def test_v23_precision_weighted_equilibrium(precision, total):
    # F* = r^T S^-1 r / 2 in exact fractions; the states by a linear solve;
    # Pi_l e_l = W_{l+1}^T Pi_{l+1} e_{l+1}.
    network, clamped = linear_net()
    schedule = Table(rows=(precision,))
    spread = torch.linalg.eigvalsh(hessian(relaxation((network, clamped), precision=schedule)))
    best = float(2 / (spread[0] + spread[-1]))
    steps = int(20 * spread[-1] / spread[0]) + 50
    made = relaxation(
        (network, clamped), precision=schedule, dynamics=GradientDescent(best), steps=steps
    )
    made.run()
    free_energy = made.step().free_energy
    assert float(free_energy.total(made.states)) == pytest.approx(total, rel=1e-12)
    assert_close(made.states, equilibrium(network, clamped, precision), rtol=0, atol=1e-9)
    weighted = [p * e for p, e in zip(precision, free_energy.errors(made.states), strict=True)]
    for i in (1, 2):
        above = weighted[i] @ network.maps[str(i + 1)].weight.detach()
        assert_close(weighted[i - 1], above, rtol=0, atol=1e-9)


@pytest.mark.oracle("closed form")
def test_the_equilibrium_energy_of_a_linear_chain_is_its_formula():
    # F* = r^T S^-1 r / 2 with S = 1/Pi_L + sum_l P_l P_l^T / Pi_l.
    network, clamped = linear_net()
    pi = torch.tensor([2.0, 0.5, 3.0], dtype=torch.float64)
    w2, w3 = (network.maps[i].weight.detach() for i in ("2", "3"))
    down = [w3 @ w2, w3]
    S = torch.eye(2, dtype=torch.float64) / pi[2]
    S += sum(P @ P.T / p for P, p in zip(down, pi[:2], strict=True))
    r = (clamped[3] - network.sweep({0: clamped[0]})[3].detach())[0]
    expected = 0.5 * r @ torch.linalg.solve(S, r)
    states = equilibrium(network, clamped, pi)
    assert_close(FreeEnergy(network, pi, clamped).total(states), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
@pytest.mark.parametrize("dynamics", [GradientDescent(0.05), HeavyBall(0.05), Nesterov(0.05)])
def test_v28a_twice_the_samples_is_twice_the_energy_on_the_same_paths(problem, dynamics):
    network, clamped = problem()
    twice = {i: torch.cat([value, value]) for i, value in clamped.items()}
    rows = zip(
        relaxation((network, clamped), dynamics=dynamics, steps=8),
        relaxation((network, twice), dynamics=dynamics, steps=8),
        strict=True,
    )
    for one, two in rows:
        for h, hh in zip(one.states, two.states, strict=True):
            assert_close(hh, torch.cat([h, h]), rtol=0, atol=1e-14)
        once = one.free_energy.total(one.states)
        assert_close(two.free_energy.total(two.states), 2 * once, rtol=1e-13, atol=0)


def test_v28b_a_permuted_batch_gives_permuted_states():
    network, clamped = tanh_mlp(batch=7)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(2))
    states = relaxed(network, clamped, steps=9)
    shuffled = relaxed(network, {i: v[order] for i, v in clamped.items()}, steps=9)
    for h, hh in zip(states, shuffled, strict=True):
        assert_close(hh, h[order], rtol=0, atol=1e-14)


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("seed", range(3))
def test_v28c_descent_below_the_largest_rate_never_raises_the_energy(share, seed):
    problem = linear_chain(seed=seed)
    largest = float(2 / torch.linalg.eigvalsh(hessian(relaxation(problem)))[-1])
    rows = relaxation(
        problem,
        dynamics=GradientDescent(share * largest),
        init=Normal(sd=1.0),
        generator=torch.Generator().manual_seed(seed),
        steps=60,
    )
    totals = [float(step.free_energy.total(step.states)) for step in rows]
    assert all(b <= a + 1e-12 for a, b in pairwise(totals))


@pytest.mark.oracle("closed form")
def test_the_hessian_of_the_linear_solve_is_the_derivative_of_the_forces():
    # The equilibrium of tests/problems.py has forces of exactly zero, for biases and any precision.
    network, clamped = linear_chain(sizes=(3, 4, 5, 2, 3))
    pi = torch.tensor([0.5, 2.0, 0.1, 3.0], dtype=torch.float64)
    free_energy = FreeEnergy(network, pi, clamped)
    for g in free_energy.forces(equilibrium(network, clamped, pi)):
        assert float(g.abs().max()) < 1e-13


def test_forces_are_zero_on_clamped_states_only():
    network, _ = tanh_mlp()
    states = random_states(network, 4)
    forces = FreeEnergy(network, torch.ones(5).double(), {0, 3}).forces(states)
    assert [i for i, g in enumerate(forces) if not g.any()] == [0, 3]


def test_forces_are_per_sample_and_not_a_mean():
    network, clamped = tanh_mlp(batch=4)
    states = random_states(network, 4)
    whole = FreeEnergy(network, torch.ones(5).double(), clamped).forces(states)
    one = FreeEnergy(network, torch.ones(5).double(), clamped).forces([h[2:3] for h in states])
    for g, g_one in zip(whole, one, strict=True):
        assert_close(g[2:3], g_one)


def test_the_total_is_weighted_and_the_energies_are_bare():
    network, clamped = linear_net()
    states = random_states(network, 1)
    bare = FreeEnergy(network, torch.ones(3).double(), clamped)
    pi = torch.tensor([2.0, 0.0, 0.5], dtype=torch.float64)
    weighted = FreeEnergy(network, pi, clamped)
    e = [states[i] - states[i - 1] @ network.maps[str(i)].weight.detach().T for i in (1, 2, 3)]
    expected = torch.stack([0.5 * one.square().sum() for one in e])
    assert_close(weighted.energies(states)[:, 0], expected)
    assert_close(bare.energies(states), weighted.energies(states), rtol=0, atol=0)
    assert_close(bare.total(states), expected.sum())
    assert_close(weighted.total(states), (pi * expected).sum())


@pytest.mark.parametrize("nudge", [0.3, -0.2, torch.tensor([0.1, 0.0, -0.5]).double()])
def test_a_nudge_adds_the_cost_to_the_total_and_its_pull_to_the_output(nudge):
    network, clamped = tanh_mlp(batch=3)
    states, target = random_states(network, 3), clamped[5]
    pi = torch.ones(5).double()
    plain = FreeEnergy(network, pi, {0})
    nudged = FreeEnergy(network, pi, {0}, nudge=nudge, cost=SquaredError(), target=target)
    cost = 0.5 * (states[5] - target).square().sum(1)
    assert_close(nudged.total(states), plain.total(states) + (nudge * cost).sum())
    beta = torch.as_tensor(nudge).reshape(-1, 1)
    pull = nudged.forces(states)[5] - plain.forces(states)[5]
    assert_close(pull, beta * (states[5] - target))
    for i in range(5):
        assert_close(nudged.forces(states)[i], plain.forces(states)[i])


def test_a_free_bottom_feels_only_the_error_above_it():
    # No energy of its own: dF/dh_0 = -W_1^T Pi_1 e_1.
    network, _ = linear_net()
    states = random_states(network, 1)
    pi = torch.tensor([3.0, 1.0, 1.0], dtype=torch.float64)
    free_energy = FreeEnergy(network, pi, {3})
    w1 = network.maps["1"].weight.detach()
    expected = -3.0 * (states[1] - states[0] @ w1.T) @ w1
    assert_close(free_energy.forces(states)[0], expected)


def test_states_of_any_shape_have_energies_that_sum_over_all_their_units():
    network = network_of((2, 3, 3), (4, 2, 2), (5,))
    states = random_states(network, 3)
    free_energy = FreeEnergy(network, torch.ones(2).double(), {0})
    mu = network.maps["1"](states[0])
    expected = 0.5 * (states[1] - mu).reshape(3, -1).square().sum(1)
    assert_close(free_energy.energies(states)[0], expected.detach())
    assert [g.shape for g in free_energy.forces(states)] == [h.shape for h in states]


def test_weight_gradients_read_states_and_inputs_where_they_are_told():
    network, _ = linear_net()
    states, other = random_states(network, 1), random_states(network, 1, seed=1)
    free_energy = FreeEnergy(network, torch.ones(3).double(), {0, 3})
    for inputs in (None, other):
        read = states if inputs is None else inputs
        found = free_energy.weight_gradients(states, inputs)
        for i, gradient in enumerate(found, start=1):
            W = network.maps[str(i)].weight.detach()
            error = states[i] - read[i - 1] @ W.T
            assert_close(gradient, -error.T @ read[i - 1])


def test_weighted_weight_gradients_are_each_layer_s_times_its_precision():
    network, clamped = tanh_mlp(bias=False)
    states = random_states(network, 4)
    pi = torch.tensor([0.5, 0.0, 2.0, 1.0, 7.0], dtype=torch.float64)
    free_energy = FreeEnergy(network, pi, clamped)
    bare = free_energy.weight_gradients(states)
    weighted = free_energy.weight_gradients(states, weighted=True)
    for p, a, b in zip(pi, bare, weighted, strict=True):
        assert_close(b, p * a)


@pytest.mark.oracle("other implementation")
def test_backprop_gradients_are_torch_s_own():
    network, clamped = tanh_mlp()
    model = torch.nn.Sequential(*[network.maps[str(i)] for i in network.layers])
    loss = 0.5 * (model(clamped[0]) - clamped[5]).square().sum()
    expected = torch.autograd.grad(loss, list(model.parameters()))
    assert_close(backprop_gradients(network, {0: clamped[0]}, clamped[5]), list(expected))


def test_a_parameter_that_nothing_reads_has_a_gradient_of_zero():
    network, clamped = linear_net()
    network.spare = torch.nn.Parameter(torch.ones(2).double())
    free_energy = FreeEnergy(network, torch.ones(3).double(), clamped)
    names = [name for name, _ in network.named_parameters()]
    for found in (
        free_energy.weight_gradients(relaxed(network, clamped, steps=2)),
        backprop_gradients(network, {0: clamped[0]}, clamped[3]),
    ):
        assert not found[names.index("spare")].any()


def test_states_carry_no_graph_and_keep_no_gradient():
    network, clamped = tanh_mlp()
    made = relaxation((network, clamped), init=Zero(), steps=3)
    made.run()
    balance = made.step().free_energy.balance(made.states)
    held = [*made.states, *balance.forces, *balance.predictions, balance.energies]
    assert not any(one.requires_grad for one in held)
    assert all(p.grad is None for p in network.parameters())
