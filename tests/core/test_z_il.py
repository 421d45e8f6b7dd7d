"""Relaxations that are backprop: Z-IL step by step, fixed prediction in the limit."""

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from core import Network, Node, chain
from core.dynamics.cascade import Cascade
from core.dynamics.fixed_prediction import FixedPrediction
from core.dynamics.gradient import GradientDescent
from core.energies.cross_entropy import CrossEntropy
from core.inits.normal import Normal
from core.learning.local import ForwardUpdate, PredictiveCoding
from core.learning.z_il import ZIL
from core.precisions.spiking import Spiking
from core.precisions.table import Table
from core.selftest.problems import backprop, end, flat, gradients
from core.weights.adamw import AdamW
from core.weights.sgd import SGD
from tests.problems import linear_chain, relaxation, tanh_mlp


def softmax_mlp():
    network, clamped = tanh_mlp()
    network.give_output_energy(CrossEntropy())
    return network, {**clamped, 5: torch.eye(3).double()[[0, 2, 1, 1]]}


def convolutions():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        maps = [
            nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.GELU(), nn.MaxPool2d(2)),
            nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.MaxPool2d(2)),
            nn.Sequential(nn.Flatten(), nn.Linear(16, 3)),
        ]
        x = torch.randn(4, 1, 8, 8).double()
    network = chain([one.double() for one in maps], [(1, 8, 8), (3, 4, 4), (4, 2, 2), (3,)])
    network.give_output_energy(CrossEntropy())
    return network, {0: x, 3: torch.eye(3).double()[[0, 2, 1, 1]]}


PROBLEMS = {"squared error": tanh_mlp, "cross-entropy": softmax_mlp, "convolutions": convolutions}


def moved(problem, steps, dynamics=None, weights=None, learning=None, **choices):
    """What a relaxation does to the weights, and backprop's gradient before it."""
    network, clamped = problem
    optimiser = (weights or SGD(rate=0.5))(network)
    made = relaxation(
        (network, clamped),
        dynamics=dynamics or Cascade(),
        learning=learning or ZIL(),
        optimiser=optimiser,
        steps=steps,
        **choices,
    )
    reference = backprop(made)
    before = [p.detach().clone() for p in network.parameters()]
    made.run()
    made.learn()
    return [
        p.detach() - old for p, old in zip(network.parameters(), before, strict=True)
    ], reference


def off(found, expected):
    a, b = flat(*found), flat(*expected)
    return float((a - b).norm() / b.norm())


# Z-IL --------------------------------------------------------------------------------------------


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
@pytest.mark.parametrize("more", [0, 3])
def test_v15_z_il_moves_the_weights_as_backprop_does(problem, more):
    network, clamped = problem()
    found, reference = moved((network, clamped), len(network.layers) + more)
    assert off(found, [-0.5 * g / 4 for g in reference]) < 1e-12


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_adam_takes_the_same_step_from_z_il_as_from_backprop(problem):
    found, reference = moved(problem(), 5, weights=AdamW(rate=0.01))
    network, _ = problem()
    before = [p.detach().clone() for p in network.parameters()]
    optimiser = AdamW(rate=0.01)(network)
    for p, g in zip(network.parameters(), reference, strict=True):
        p.grad = g / 4
    optimiser.step()
    expected = [p.detach() - old for p, old in zip(network.parameters(), before, strict=True)]
    assert_close(found, expected, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize(
    "choices",
    [
        {"dynamics": GradientDescent(1.0)},  # what moves above a layer that has learnt is no matter
        {"precision": Spiking(rest=0.5)},  # a layer spikes when its turn comes
        {"dynamics": GradientDescent(1.0), "precision": Spiking(rest=0.0)},
    ],
    ids=str,
)
def test_other_ways_to_bring_each_layer_its_error_in_time_do_it_too(choices):
    found, reference = moved(tanh_mlp(), 5, **choices)
    assert off(found, [-0.5 * g / 4 for g in reference]) < 1e-12


@pytest.mark.parametrize(
    "choices",
    [
        {"dynamics": Cascade(0.9)},
        {"dynamics": GradientDescent(0.5)},
        {"init": Normal(sd=0.5)},
        {"precision": Table(rows=((0.5,),))},
        {"learning": PredictiveCoding()},
    ],
    ids=str,
)
def test_without_one_of_its_conditions_it_is_not_backprop(choices):
    noise = torch.Generator().manual_seed(0)
    found, reference = moved(tanh_mlp(), 5, generator=noise, **choices)
    assert off(found, [-0.5 * g / 4 for g in reference]) > 1e-3


def test_layers_that_the_steps_do_not_reach_get_no_update():
    found, reference = moved(tanh_mlp(), 3)
    assert all(not one.any() for one in found[:4])  # weights and biases of layers 1 and 2
    assert off(found[4:], [-0.5 * g / 4 for g in reference[4:]]) < 1e-12


def test_at_step_t_only_layer_l_minus_t_has_a_gradient():
    made = relaxation(tanh_mlp(), dynamics=Cascade(), learning=ZIL(), steps=7)
    for step in made:
        given = [g is not None for g in ZIL().gradients(step)]
        due = 5 - step.moment.t
        assert given == [layer == due for layer in range(1, 6) for _ in range(2)]


def test_the_states_move_one_layer_a_step_and_each_once():
    rows = [step.states for step in relaxation(tanh_mlp(), dynamics=Cascade(), steps=8)]
    for t, (old, new) in enumerate(pairwise(rows)):
        changed = [i for i in range(6) if not torch.equal(old[i], new[i])]
        assert changed == ([4 - t] if t < 4 else [])


def test_layers_of_one_depth_move_together():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = (nn.Linear(3, 2, dtype=torch.float64) for _ in range(2))

        def forward(self, a, b):
            return self.one(a) + self.two(b)

    def tanh(wide):
        return nn.Sequential(nn.Linear(wide, 3, dtype=torch.float64), nn.Tanh())

    torch.manual_seed(0)
    nodes = [
        Node((4,)),
        *(Node((3,), (0,), tanh(4), 1) for _ in range(2)),
        Node((3,), (1,), tanh(3), 2),
        Node((3,), (2,), tanh(3), 2),
        Node((2,), (3, 4), Sum(), 3),
    ]
    problem = Network(nodes), {0: torch.randn(4, 4).double(), 5: torch.randn(4, 2).double()}
    found, reference = moved(problem, 3)
    assert off(found, [-0.5 * g / 4 for g in reference]) < 1e-12


# Fixed prediction --------------------------------------------------------------------------------


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_v15_fixed_prediction_ends_at_backprop(problem):
    made = end(problem(), dynamics=FixedPrediction(0.1), steps=400)
    assert off(gradients(ForwardUpdate(), made), backprop(made)) < 1e-12


@pytest.mark.oracle("closed form")
def test_its_errors_follow_their_own_linear_recursion():
    # e_l <- e_l - alpha (e_l - J_{l+1}(h^0)^T e_{l+1}), written out with explicit Jacobians.
    network, clamped = tanh_mlp(batch=1)
    made = relaxation((network, clamped), dynamics=FixedPrediction(0.3), steps=12)
    first = made.states
    J = {
        i: torch.autograd.functional.jacobian(lambda h, i=i: network.maps[str(i)](h[None])[0],
                                              first[i - 1][0])
        for i in range(2, 6)
    }  # fmt: skip
    mu = dict(zip(range(1, 6), network.predictions(first), strict=True))
    e = {i: (first[i] - mu[i])[0].detach() for i in range(1, 6)}
    for step in made:
        for i in range(1, 6):
            assert_close(step.states[i][0], (mu[i][0] + e[i]).detach(), rtol=0, atol=1e-13)
        e = {i: e[i] - 0.3 * (e[i] - J[i + 1].T @ e[i + 1]) if i < 5 else e[i] for i in e}


def test_precision_decay_and_a_free_root_are_descended_too():
    # Linear maps: only the predictions are fixed, mu = W h^0; dF/dh_0 = -W_1^T Pi_1 e_1 + c h_0.
    network, clamped = linear_chain()
    generator = torch.Generator().manual_seed(0)
    made = relaxation(
        (network, {3: clamped[3]}),
        dynamics=FixedPrediction(0.1),
        precision=Spiking(rest=0.5),
        init=Normal(sd=1.0),
        generator=generator,
        steps=3,
    )
    made.recipe = type(made.recipe)(**{**vars(made.recipe), "activity_decay": 0.2})
    W = {i: network.maps[str(i)].weight.detach() for i in range(1, 4)}
    h = list(made.states)
    mu = dict(zip(range(1, 4), network.predictions(h), strict=True))
    for t in range(3):
        pi = {i: 1.0 if t == 3 - i else 0.5 for i in range(1, 4)}
        e = {i: pi[i] * (h[i] - mu[i].detach()) for i in mu}
        g = [-e[1] @ W[1], e[1] - e[2] @ W[2], e[2] - e[3] @ W[3]]
        h = [*(a - 0.1 * (b + 0.2 * a) for a, b in zip(h[:3], g, strict=True)), h[3]]
        made.advance()
        assert_close(made.states, h, rtol=0, atol=1e-13)
