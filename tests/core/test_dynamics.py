"""Dynamics: the laws of their kind, against closed forms and against torch's own optimisers."""

import pytest
import torch
from torch.testing import assert_close

from core import cards, make
from core.dynamics.gradient import Adam, GradientDescent, HeavyBall, Nesterov
from core.dynamics.langevin import Langevin
from core.inits.normal import Normal
from core.inits.zero import Zero
from core.precisions.spiking import Spiking
from core.precisions.table import Table
from tests.problems import (
    PROBLEMS,
    equilibrium,
    linear_chain,
    linear_net,
    network_of,
    relaxation,
    relaxed,
    tanh_mlp,
)

CARDS = cards("dynamics")
DYNAMICS = list(CARDS)
SETTLING = [name for name, card in CARDS.items() if getattr(card.entry, "settles", True)]
"""Rules whose resting points are the equilibria of F."""
SUITED = {"Adam": {"eps": 0.1}}
"""Dials that a rule needs to settle, beside a rate of 0.2: with a tiny eps Adam never does."""


STEPS = {"Adam": 500, "ExactBlocks": 100}
"""Steps of rules that settle more slowly or faster than descent, which needs two thirds of its."""


def suited(name):
    return make("dynamics", name, {"rate": 0.2, **SUITED.get(name, {})})


def cold(name):
    """The rule with its default dials, and without noise if it has a temperature."""
    warm = any(one.name == "temperature" for one in CARDS[name].dials)
    return make("dynamics", name, {"temperature": 0.0} if warm else {})


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("name", SETTLING)
@pytest.mark.parametrize("init", [None, Normal(sd=1.0)])
def test_a_linear_chain_relaxes_to_its_closed_form(name, init):
    for problem in (linear_net(), linear_chain()):
        states = relaxed(
            *problem,
            dynamics=suited(name),
            steps=STEPS.get(name, 200),
            init=init,
            generator=torch.Generator().manual_seed(0),
        )
        assert_close(states, equilibrium(*problem), rtol=0, atol=1e-9)


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("name", SETTLING)
def test_a_precision_weighted_chain_relaxes_to_its_closed_form(name):
    problem, pi = linear_chain(), (0.7, 1.5, 0.4)
    states = relaxed(
        *problem,
        dynamics=suited(name),
        precision=Table(rows=(pi,)),
        steps=STEPS.get(name, 300),
    )
    assert_close(states, equilibrium(*problem, pi), rtol=0, atol=1e-9)


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("name", SETTLING)
def test_a_free_bottom_relaxes_to_the_input_that_makes_the_output(name):
    # Three invertible maps: F* = 0 at h_0 = (W_3 W_2 W_1)^-1 y.
    network, clamped = linear_net()
    steps = STEPS.get(name, 500)
    made = relaxation((network, {3: clamped[3]}), dynamics=suited(name), init=Zero(), steps=steps)
    made.run()
    w1, w2, w3 = (p.detach() for p in network.parameters())
    expected = torch.linalg.solve(w3 @ w2 @ w1, clamped[3].T).T
    assert_close(made.states[0], expected, rtol=0, atol=1e-7)
    assert float(made.step().free_energy.total(made.states)) < 1e-14


@pytest.mark.parametrize("name", DYNAMICS)
@pytest.mark.parametrize("held", [{0, 5}, {5}, {0, 2, 5}, {0, 1, 2, 3, 4, 5}])
def test_clamped_states_never_move_and_free_ones_do(name, held):
    network, clamped = tanh_mlp()
    clamps = {i: clamped.get(i, torch.full((4, 8), 0.5).double()) for i in held}
    made = relaxation(
        (network, clamps),
        dynamics=make("dynamics", name),
        init=Normal(sd=0.5),
        generator=torch.Generator().manual_seed(0),
        steps=10,
    )
    first = made.states
    made.run()
    for i, h in enumerate(made.states):
        assert torch.equal(h, clamps[i]) if i in held else (h != first[i]).any()


@pytest.mark.parametrize("name", DYNAMICS)
def test_at_an_equilibrium_nothing_moves(name):
    network, clamped = tanh_mlp()
    free_output = {0: clamped[0]}
    states = relaxed(network, free_output, dynamics=cold(name), steps=5)
    for h, mu in zip(states, network.sweep(free_output), strict=True):
        assert torch.equal(h, mu)


@pytest.mark.parametrize("name", DYNAMICS)
def test_old_states_are_left_as_they_were(name):
    made = relaxation(
        tanh_mlp(),
        dynamics=make("dynamics", name),
        init=Normal(sd=0.5),
        generator=torch.Generator().manual_seed(0),
        steps=6,
    )
    kept, copies = [], []
    for step in made:
        kept.append(step.states)
        copies.append([h.clone() for h in step.states])
    for states, copy in zip(kept, copies, strict=True):
        for h, old in zip(states, copy, strict=True):
            assert torch.equal(h, old)


@pytest.mark.parametrize("name", DYNAMICS)
def test_states_of_any_shape_move(name):
    network = network_of((2, 3, 3), (4, 2, 2), (5,))
    clamped = {0: torch.ones(3, 2, 3, 3).double(), 2: torch.ones(3, 5).double()}
    states = relaxed(network, clamped, dynamics=make("dynamics", name), steps=3)
    assert states[1].shape == (3, 4, 2, 2)


@pytest.mark.parametrize("name", DYNAMICS)
def test_samples_do_not_feel_each_other(name):
    network, clamped = tanh_mlp(batch=4)
    states = relaxed(network, clamped, dynamics=cold(name), steps=7)
    for b in range(4):
        alone = {i: value[b : b + 1] for i, value in clamped.items()}
        single = relaxed(network, alone, dynamics=cold(name), steps=7)
        assert_close(single, [h[b : b + 1] for h in states], rtol=0, atol=1e-14)


# Another implementation: torch.optim on the states as parameters ---------------------------------

TWINS = [
    (GradientDescent(0.07), lambda p: torch.optim.SGD(p, lr=0.07)),
    (HeavyBall(0.07, 0.6), lambda p: torch.optim.SGD(p, lr=0.07, momentum=0.6)),
    (HeavyBall(0.07, 0.0), lambda p: torch.optim.SGD(p, lr=0.07)),
    (Nesterov(0.07, 0.6), lambda p: torch.optim.SGD(p, lr=0.07, momentum=0.6, nesterov=True)),
    (Langevin(0.07, 0.6, 0.0), lambda p: torch.optim.SGD(p, lr=0.07, momentum=0.6)),
    (Adam(0.05), lambda p: torch.optim.Adam(p, lr=0.05)),
    (
        Adam(0.05, beta1=0.5, beta2=0.7, eps=1e-3),
        lambda p: torch.optim.Adam(p, lr=0.05, betas=(0.5, 0.7), eps=1e-3),
    ),
]


def test_every_descent_has_a_twin_in_torch():
    descents = {n for n, card in CARDS.items() if card.entry.__module__.endswith(".gradient")}
    assert {type(one).__name__ for one, _ in TWINS} == descents | {"Langevin"}


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
@pytest.mark.parametrize(("dynamics", "optimiser"), TWINS)
@pytest.mark.parametrize("precision", [None, Spiking(rest=0.25)])
def test_states_move_as_torch_would_move_parameters(problem, dynamics, optimiser, precision):
    network, clamped = problem()
    top = network.top
    made = relaxation(
        (network, clamped),
        dynamics=dynamics,
        precision=precision,
        init=Normal(sd=0.7),
        generator=torch.Generator().manual_seed(4),
        steps=20,
    )
    h = [s.clone().requires_grad_(0 < i < top) for i, s in enumerate(made.states)]
    own = optimiser([one for one in h if one.requires_grad])
    for t, step in enumerate(made):
        assert_close(step.states, [one.detach() for one in h], rtol=1e-9, atol=1e-10)
        total = torch.zeros(()).double()
        for i in network.layers:
            pi = 1.0 if precision is None or t == top - i else 0.25
            total = total + pi * 0.5 * (h[i] - network.maps[str(i)](h[i - 1])).square().sum()
        own.zero_grad()
        total.backward()
        own.step()
    network.zero_grad()
