"""Exact blocks: each turn ends at the minimum over that state, as a linear solve finds it."""

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from core import Network, Node, chain, make
from core.dynamics.exact_blocks import ExactBlocks
from core.dynamics.gradient import GradientDescent
from core.energies.cross_entropy import CrossEntropy
from core.energies.squared_error import SquaredError
from core.free_energy import FreeEnergy
from core.networks.layers import ScaledLinear
from core.tasks.nudge import COSTS
from tests.problems import (
    column,
    equilibrium,
    linear,
    linear_chain,
    linear_net,
    relaxation,
    relaxed,
    scalar_net,
    tanh_mlp,
)


def stepped(free_energy, states, rule=None):
    rule = rule or ExactBlocks()
    with torch.no_grad():
        return rule.step(free_energy, states, rule.init(free_energy, states, None))[0]


def random_states(network, batch=5, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, *node.shape, generator=generator).double() for node in network.nodes]


def minimum(free_energy, states, i):
    """The best value of state i, all others as they are: lstsq of forces that are linear in it."""
    batch, d = len(states[i]), states[i].flatten(1).shape[1]

    def force(value):
        return free_energy.forces([value if k == i else h for k, h in enumerate(states)])[i]

    at = force(torch.zeros_like(states[i])).flatten(1)
    columns = torch.stack(
        [
            force(torch.eye(d).double()[k].expand(batch, d).reshape(states[i].shape)).flatten(1)
            - at
            for k in range(d)
        ],
        dim=2,
    )  # (B, d, d)
    return torch.linalg.solve(columns, -at[:, :, None]).reshape(states[i].shape)


# Numbers -----------------------------------------------------------------------------------------


@pytest.mark.oracle("closed form")
def test_v2_gives_the_equilibrium_at_once():
    made = relaxed(*scalar_net(), dynamics=ExactBlocks(), steps=1)
    assert_close(float(made[1]), 1.7, rtol=0, atol=1e-14)


@pytest.mark.oracle("closed form")
def test_v14_alternating_with_a_nudged_output():
    network, ends = scalar_net()
    f = FreeEnergy(
        network, torch.ones(2).double(), {0}, nudge=0.1, cost=SquaredError(), target=ends[2]
    )
    states, found = network.sweep({0: ends[0]}), []
    for _ in range(3):
        states = stepped(f, states)
        found.append(float(states[1]))
    assert_close(found, [1.97272727, 1.95041322, 1.93215627], rtol=0, atol=6e-9)
    for _ in range(200):
        states = stepped(f, states)
    assert_close(float(states[1]), 1.85, rtol=0, atol=1e-9)


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize(
    "beta", [0.3, -0.3, torch.tensor([0.3, -0.3, 0.0, 1.0, 2.0], dtype=torch.float64)]
)
def test_a_nudged_output_goes_between_its_prediction_and_the_target(beta):
    network, clamped = linear_chain()
    pi = torch.tensor([1.0, 1.0, 0.7], dtype=torch.float64)
    f = FreeEnergy(network, pi, {0}, nudge=beta, cost=SquaredError(), target=clamped[3])
    states = random_states(network)
    mu = network.prediction(3, states).detach()
    weight = torch.as_tensor(beta).double().reshape(-1, 1)
    assert_close(stepped(f, states)[3], (0.7 * mu + weight * clamped[3]) / (0.7 + weight))


# Minima ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"decay": 0.3},
        {"nudge": 0.2, "cost": SquaredError()},
        {
            "nudge": torch.tensor([0.2, -0.2, 0.1, 0.0, 3.0], dtype=torch.float64),
            "cost": SquaredError(),
        },
    ],
)
def test_states_go_to_their_minima_one_after_the_other_from_the_output_down(options):
    network, clamped = linear_chain(sizes=(3, 4, 2, 3))
    target = {"target": clamped[3]} if "cost" in options else {}
    f = FreeEnergy(
        network, torch.tensor([0.7, 1.5, 0.4], dtype=torch.float64), {0}, **options, **target
    )
    states = expected = random_states(network)
    for i in (3, 2, 1):
        best = minimum(f, expected, i)
        expected = [best if k == i else h for k, h in enumerate(expected)]
    assert_close(stepped(f, states), expected, rtol=0, atol=1e-10)


@pytest.mark.oracle("closed form")
def test_f_never_rises_in_a_linear_network_and_ends_at_the_equilibrium():
    problem, pi = linear_chain(), (0.7, 1.5, 0.4)
    f = FreeEnergy(problem[0], torch.tensor(pi, dtype=torch.float64), {0, 3})
    states = [problem[1].get(i, h) for i, h in enumerate(random_states(problem[0]))]
    totals = []
    for _ in range(60):
        totals.append(float(f.total(states)))
        states = stepped(f, states)
    assert all(b <= a + 1e-12 for a, b in pairwise(totals))
    assert_close(states, equilibrium(*problem, pi), rtol=0, atol=1e-9)


def test_held_units_stay_and_the_rest_of_their_state_is_minimised():
    network, clamped = linear_chain(sizes=(3, 4, 3))
    mask = torch.tensor([[1, 0, 0, 1], [1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]]) > 0
    f = FreeEnergy(network, torch.ones(2).double(), {0, 2}, held={1: mask})
    states = [clamped.get(i, h) for i, h in enumerate(random_states(network))]
    moved = stepped(f, states)
    assert torch.equal(moved[1][mask], states[1][mask])
    assert float(f.forces(moved)[1].abs().max()) < 1e-12  # forces of held units are zero
    assert (moved[1] != states[1])[~mask].all()


def test_a_root_that_is_wider_than_what_reads_it_moves_only_where_f_has_a_slope():
    network, _ = linear_chain(sizes=(6, 2, 2))
    f = FreeEnergy(network, torch.ones(2).double(), {1, 2})
    states = random_states(network)
    moved = stepped(f, states)
    W = network.maps["1"].weight.detach()
    error = states[1] - network.maps["1"](states[0]).detach()
    assert_close(moved[0], states[0] + error @ torch.linalg.pinv(W).T, rtol=0, atol=1e-12)


def test_two_readers_and_a_skip_are_both_counted():
    nodes = [
        Node((2,)),
        Node((2,), (0,), linear([[1.0, 0.5], [0.2, -1.0]]), 1),
        Node((2,), (1,), ScaledLinear(2, 2, scale=0.5, skip=True).double(), 2),
        Node((3,), (1,), nn.Sequential(linear([[1.0, 2.0], [0.5, 0.5], [0.0, 1.0]])), 2),
    ]
    network = Network(nodes)
    f = FreeEnergy(network, torch.tensor([0.7, 2.0, 0.3], dtype=torch.float64), {0, 2, 3})
    states = random_states(network)
    assert_close(stepped(f, states)[1], minimum(f, states, 1), rtol=0, atol=1e-11)


def test_states_of_any_shape_are_solved():
    maps = [
        nn.Sequential(nn.Flatten(), nn.Linear(4, 6), nn.Unflatten(1, (3, 2))).double(),
        nn.Sequential(nn.Flatten(), nn.Linear(6, 2)).double(),
    ]
    network = chain(maps, [(2, 2), (3, 2), (2,)])
    f = FreeEnergy(network, torch.ones(2).double(), {0, 2})
    states = random_states(network)
    assert_close(stepped(f, states)[1], minimum(f, states, 1), rtol=0, atol=1e-11)


# Where F is not quadratic ------------------------------------------------------------------------


def test_a_layer_under_an_activation_takes_a_gradient_step():
    network, clamped = tanh_mlp()  # only h_4 is read by a linear layer
    made = relaxation((network, clamped))
    f, states = made.step().free_energy, made.states
    moved = stepped(f, states, ExactBlocks(0.2))
    best = minimum(f, states, 4)
    assert_close(moved[4], best, rtol=0, atol=1e-11)
    for i in (3, 2, 1):
        above = [*states[: i + 1], *moved[i + 1 :]]
        assert_close(moved[i], states[i] - 0.2 * f.forces(above)[i], rtol=0, atol=1e-13)


def test_cross_entropy_above_a_state_makes_it_take_a_gradient_step():
    network, clamped = tanh_mlp((4, 5, 3))
    network.give_output_energy(CrossEntropy())
    made = relaxation((network, {**clamped, 2: torch.eye(3).double()[[0, 1, 2, 0]]}))
    f, states = made.step().free_energy, made.states
    moved = stepped(f, states, ExactBlocks(0.2))
    assert_close(moved[1], states[1] - 0.2 * f.forces(states)[1])


@pytest.mark.parametrize(
    ("cost", "beta", "exact"),
    [
        ("squared error", 0.1, True),
        ("squared error", -0.9, True),
        ("squared error", -1.0, False),  # F is linear in the output: it has no minimum
        ("squared error", -1.5, False),
        ("cross-entropy", 0.1, False),
    ],
)
def test_an_output_without_a_known_minimum_takes_a_gradient_step(cost, beta, exact):
    network, clamped = linear_net()
    pi = torch.ones(3).double()
    f = FreeEnergy(network, pi, {0}, nudge=beta, cost=COSTS[cost], target=clamped[3])
    states = random_states(network, batch=1)
    moved = stepped(f, states, ExactBlocks(0.2))
    if exact:
        assert_close(moved[3], minimum(f, states, 3))
    else:
        assert_close(moved[3], states[3] - 0.2 * f.forces(states)[3])


def test_a_nonlinear_network_rests_where_descent_does():
    problem = tanh_mlp()
    blocks = relaxed(*problem, dynamics=ExactBlocks(0.4), steps=200)
    descent = relaxed(*problem, dynamics=GradientDescent(0.4), steps=300)
    assert_close(blocks, descent, rtol=0, atol=1e-9)


def test_without_precision_nothing_pulls_and_nothing_moves():
    network, ends = scalar_net()
    f = FreeEnergy(network, torch.zeros(2).double(), {0, 2})
    states = [ends[0], column(1.3), ends[2]]
    assert torch.equal(stepped(f, states)[1], states[1])


def test_the_entry_is_made_from_the_menu():
    assert make("dynamics", "ExactBlocks", {"rate": 0.2}) == ExactBlocks(0.2)
