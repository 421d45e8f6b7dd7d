"""Error optimisation: the same F and equilibria as descent of the states, on another path."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from core import BadInput, Network, Node, Phase, Relaxation
from core.dynamics.error_based import ErrorBased, energy_of_errors
from core.dynamics.gradient import GradientDescent
from core.energies.cross_entropy import CrossEntropy
from core.energies.squared_error import SquaredError
from core.free_energy import FreeEnergy
from core.inits.normal import Normal
from core.inits.zero import Zero
from core.learning.local import PredictiveCoding
from core.selftest.problems import backprop, end, flat, gradients
from tests.problems import equilibrium, linear, linear_net, relaxation, tanh_mlp


def off(found, expected):
    a, b = flat(*found), flat(*expected)
    return float((a - b).norm() / b.norm())


def errors_of(made):
    f = made.step().free_energy
    return ErrorBased().init(f, made.states, None)[0]


def through_the_chain(made):
    """dF(eps)/dW with the errors held."""
    eps = [one.detach() for one in errors_of(made)]
    total = energy_of_errors(made.step().free_energy, made.states, eps)
    return torch.autograd.grad(total, list(made.network.parameters()))


# The path ----------------------------------------------------------------------------------------


@pytest.mark.oracle("closed form")
def test_after_one_step_every_error_is_the_rate_times_backprop_s():
    network, clamped = tanh_mlp()
    made = relaxation((network, clamped), dynamics=ErrorBased(0.01))
    hidden = [h.clone().requires_grad_() for h in made.states[1:5]]
    made.advance()
    for layer, h in enumerate(hidden, start=1):
        out = h
        for i in range(layer + 1, 6):
            out = network.maps[str(i)](out)
        (g,) = torch.autograd.grad(0.5 * (clamped[5] - out).square().sum(), h)
        assert_close(errors_of(made)[layer], -0.01 * g, rtol=1e-10, atol=1e-14)


@pytest.mark.oracle("other implementation")
def test_errors_move_as_torch_would_move_parameters():
    network, clamped = tanh_mlp()
    made = relaxation((network, clamped), dynamics=ErrorBased(0.05), steps=20)
    eps = [torch.zeros(4, 8, dtype=torch.float64, requires_grad=True) for _ in range(4)]
    own = torch.optim.SGD(eps, lr=0.05)
    for step in made:
        s = clamped[0]
        for i, one in enumerate(eps, start=1):
            s = network.maps[str(i)](s) + one
            assert_close(step.states[i], s.detach(), rtol=1e-9, atol=1e-12)
        own.zero_grad()
        loss = 0.5 * (clamped[5] - network.maps["5"](s)).square().sum()
        (loss + 0.5 * sum(one.square().sum() for one in eps)).backward()
        own.step()
    network.zero_grad()


@pytest.mark.oracle("closed form")
def test_v12_the_weight_gradient_of_the_chain_is_backprop_s_first_and_the_local_one_last():
    problem = tanh_mlp((4, 6, 6, 3))
    found = {t: end(problem, dynamics=ErrorBased(0.2), steps=t) for t in (0, 1, 5, 300)}
    local = {t: gradients(PredictiveCoding(), made) for t, made in found.items()}
    distance = [off(through_the_chain(made), local[t]) for t, made in found.items()]
    assert off(through_the_chain(found[0]), backprop(found[0])) == 0
    assert distance[0] > distance[1] > distance[2] > 0.01  # in between it is neither
    assert distance[3] < 1e-14


def test_an_error_that_a_state_cannot_carry_in_its_digits_is_not_lost():
    # float32 states of size 1 end at digits of 6e-8; three steps of rate 1e-8 are about that.
    problem = tanh_mlp()
    exact = relaxation(problem, dynamics=ErrorBased(1e-8), steps=3)
    network, clamped = tanh_mlp()
    network.float()
    single = relaxation(
        (network, {i: v.float() for i, v in clamped.items()}),
        dynamics=ErrorBased(1e-8),
        steps=3,
    )
    exact.run()
    single.run()
    for a, b in zip(single._memory[0][1:5], exact._memory[0][1:5], strict=True):
        assert_close(a.double(), b, rtol=1e-3, atol=1e-12)


# The same F --------------------------------------------------------------------------------------

PULLS = [
    {},
    {"nudge": 0.3, "cost": SquaredError()},
    {"nudge": torch.tensor([0.3, -0.1, 0.2, 0.0], dtype=torch.float64), "cost": SquaredError()},
    {"decay": 0.2},
    {"nudge": 0.3, "cost": SquaredError(), "decay": 0.2},
]


def pulled(pull, held=None):
    """A tanh network with a free output, and its F, at random states."""
    network, clamped = tanh_mlp((6, 8, 7, 3))
    precision = torch.tensor([0.7, 1.5, 0.4], dtype=torch.float64)
    target = {"target": clamped[3]} if "cost" in pull else {}
    f = FreeEnergy(network, precision, {0}, held=held, **pull, **target)
    generator = torch.Generator().manual_seed(1)
    states = [torch.randn(4, n, generator=generator).double() for n in (6, 8, 7, 3)]
    return f, states


@pytest.mark.parametrize("pull", PULLS)
def test_the_energy_of_the_errors_is_that_of_the_states(pull):
    f, states = pulled(pull)
    eps, _ = ErrorBased().init(f, states, None)
    assert_close(energy_of_errors(f, states, eps).detach(), f.total(states), rtol=1e-13, atol=0)


@pytest.mark.parametrize("pull", PULLS)
def test_it_comes_to_rest_where_descent_does(pull):
    ends = []
    for rule in (GradientDescent(0.3), ErrorBased(0.3)):
        f, states = pulled(pull)
        memory = rule.init(f, states, None)
        with torch.no_grad():
            for _ in range(500):
                states, memory = rule.step(f, states, memory)
        assert max(float(g.abs().max()) for g in f.forces(states)) < 1e-9
        ends.append(states)
    assert_close(ends[0], ends[1], rtol=0, atol=1e-7)


@pytest.mark.parametrize("init", [None, Zero(), Normal(sd=1.0)])
def test_it_begins_from_the_states_as_they_stand(init):
    problem = tanh_mlp()
    made = relaxation(
        problem, dynamics=ErrorBased(), init=init, generator=torch.Generator().manual_seed(2)
    )
    f = made.step().free_energy
    for i, e in zip(range(1, 5), f.errors(made.states), strict=False):
        assert torch.equal(errors_of(made)[i], e)
    slow = ErrorBased(1e-8)
    moved, _ = slow.step(f, made.states, slow.init(f, made.states, None))
    assert_close(moved, made.states, rtol=0, atol=1e-6)


def test_cross_entropy_at_a_clamped_output():
    network, clamped = tanh_mlp((4, 6, 6, 3))
    network.give_output_energy(CrossEntropy())
    clamped[3] = torch.eye(3).double()[[0, 1, 2, 0]]
    a, b = (
        end((network, clamped), dynamics=rule, steps=400)
        for rule in (GradientDescent(0.2), ErrorBased(0.2))
    )
    assert_close(a.states, b.states, rtol=0, atol=1e-9)


def test_a_clamped_state_in_the_middle_and_a_free_root():
    network, clamped = linear_net()
    ends = {1: torch.tensor([[0.3, -0.2]]).double(), 3: clamped[3]}
    made = end((network, ends), dynamics=ErrorBased(0.1), steps=400, init=Zero())
    assert_close(
        made.states[2], equilibrium(network, {0: clamped[0], **ends})[2], atol=1e-9, rtol=0
    )
    w = network.maps["1"].weight.detach()
    assert_close(made.states[0], torch.linalg.solve(w, ends[1].T).T, atol=1e-7, rtol=0)


def test_held_units_stay_and_the_others_rest_where_descent_leaves_them():
    network, clamped = tanh_mlp()
    mask = (torch.arange(32) % 3 == 0).reshape(4, 8)
    value = torch.linspace(-0.5, 0.5, 32).double().reshape(4, 8)
    ends = []
    for rule in (GradientDescent(0.3), ErrorBased(0.3)):
        recipe = relaxation((network, clamped), dynamics=rule, steps=300).recipe
        phase = Phase("held", clamped=clamped, held={2: (value, mask)})
        made = Relaxation(network, [phase], recipe)
        made.run()
        assert torch.equal(made.states[2][mask], value[mask])
        ends.append(made.states)
    assert_close(ends[0], ends[1], rtol=0, atol=1e-8)


def test_samples_whose_states_were_changed_are_read_anew_and_the_others_are_not():
    rule = ErrorBased()
    made = relaxation(tanh_mlp(), dynamics=rule, steps=4)
    made.run()
    f = made.step().free_energy
    changed = [h.clone() for h in made.states]
    changed[2][1] += 0.5
    with torch.no_grad():
        moved, _ = rule.step(f, changed, made._memory)
        plain, _ = rule.step(f, made.states, made._memory)
        fresh, _ = rule.step(f, changed, rule.init(f, changed, None))
    for a, b, c in zip(moved, plain, fresh, strict=True):
        assert torch.equal(a[[0, 2, 3]], b[[0, 2, 3]])
        assert_close(a[1], c[1], rtol=0, atol=1e-14)


def test_samples_that_have_settled_by_themselves_stay():
    made = relaxation(tanh_mlp(), dynamics=ErrorBased(0.2), steps=400)
    made.recipe = type(made.recipe)(
        **{**vars(made.recipe), "tolerance": 1e-6, "stop": "sample"},
    )
    made.run()
    assert made.t < 400
    forces = torch.cat([g.flatten(1) for g in made.step().free_energy.forces(made.states)], dim=1)
    assert (forces.square().mean(1).sqrt() < 1e-5).all()


# Graphs ------------------------------------------------------------------------------------------


class Both(nn.Module):
    """W_1 a + W_2 b of two parents."""

    def __init__(self):
        super().__init__()
        self.one, self.two = linear([[0.5]]), linear([[-0.7]])

    def forward(self, a, b):
        return self.one(a) + self.two(b)


def test_a_graph_with_a_skip_rests_where_descent_does():
    nodes = [
        Node((1,)),
        Node((1,), (0,), nn.Sequential(linear([[1.2]]), nn.Tanh()), 1),
        Node((1,), (1,), nn.Sequential(linear([[-0.8]]), nn.Tanh()), 2),
        Node((1,), (2, 0), Both(), 3),
        Node((1,), (1, 3), Both(), 4),
    ]
    problem = Network(nodes), {0: torch.ones(1, 1).double(), 4: torch.ones(1, 1).double()}
    a, b = (
        end(problem, dynamics=rule, steps=400) for rule in (GradientDescent(0.2), ErrorBased(0.2))
    )
    assert_close(a.states, b.states, rtol=0, atol=1e-10)


def test_a_cycle_is_refused_in_one_line():
    nodes = [
        Node((1,)),
        Node((1,), (0, 2), Both(), 1),
        Node((1,), (1,), linear([[1.0]]), 2),
    ]
    made = relaxation(
        (Network(nodes), {0: torch.ones(1, 1).double()}), dynamics=ErrorBased(), init=Zero()
    )
    with pytest.raises(BadInput, match=r"^dynamics: ErrorBased; .*cycle") as caught:
        made.step()
    assert len(str(caught.value).splitlines()) == 1
