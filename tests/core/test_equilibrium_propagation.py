"""Equilibrium propagation: against linear algebra, backprop and clamped predictive coding (V6)."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from core import Experiment, Phase, Relaxation, Training, make
from core.diagnostics import likeness
from core.dynamics.gradient import HeavyBall
from core.energies.squared_error import SquaredError
from core.free_energy import backprop_gradients
from core.inits.forward import Forward
from core.learning.backprop import Backprop
from core.learning.equilibrium_propagation import EquilibriumPropagation
from core.learning.local import PredictiveCoding
from core.networks.mlp import MLP
from core.precisions.table import Table
from core.tasks.nudge import COSTS, Nudge
from tests.core.test_compatibility import images
from tests.problems import equilibrium, linear_chain, linear_net, relaxation, tanh_mlp

FAST = HeavyBall(0.3, 0.6)


def nudged(problem, *nudges, cost="squared error", steps=200, precision=None, dynamics=FAST):
    """A free phase without steps, then a nudged phase for each beta, at its last step."""
    network, clamped = problem
    recipe = relaxation((network, {0: clamped[0]}), dynamics=dynamics, steps=steps).recipe
    recipe = replace(recipe, precision=precision or recipe.precision)
    target = clamped[network.top]
    free = Phase("free", 0, {0: clamped[0]}, cost=COSTS[cost], target=target)
    phases = [free]
    for k, beta in enumerate(nudges):
        phases.append(replace(free, name=str(k), steps=None, nudge=beta, begin_from="free"))
    made = Relaxation(network, phases, recipe)
    made.run()
    return made


def estimate(made, **dials):
    return torch.cat([g.flatten() for g in EquilibriumPropagation(**dials).gradients(made.step())])


def loss_gradient(problem, cost="squared error"):
    """By autograd of the plain loss of a plain model."""
    network, clamped = problem
    model = torch.nn.Sequential(*[network.maps[str(i)] for i in network.layers])
    loss = COSTS[cost](model(clamped[0]), clamped[network.top]).sum()
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])


def relative(found, expected):
    return float((found - expected).norm() / expected.norm())


def one_hot(problem):
    network, clamped = problem
    target = clamped[network.top]
    return network, {**clamped, network.top: torch.eye(target.shape[1]).double()[target.argmax(1)]}


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("beta", [0.3, 0.05, -0.02])
def test_the_nudged_equilibrium_of_a_linear_network_is_that_of_linear_algebra(beta):
    problem = linear_chain()
    network, clamped = problem
    states = nudged(problem, beta).states
    # Minimising F over h_L leaves a clamp of precision beta / (1 + beta).
    pi = [1.0] * (network.top - 1) + [beta / (1 + beta)]
    expected = equilibrium(network, clamped, pi)
    mu = network.predictions(expected)[-1].detach()
    expected[-1] = (mu + beta * clamped[network.top]) / (1 + beta)
    assert_close(states, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize(
    ("beta", "forward", "backward", "centered"),
    [(0.01, 0.0656, 0.0753, 0.004907), (0.001, 0.006964, 0.007060, 4.885e-5)],
)
def test_v6_a_the_estimates_are_off_by_the_printed_shares(beta, forward, backward, centered):
    problem = linear_net()
    expected = loss_gradient(problem)
    for nudges, printed in (((beta,), forward), ((-beta,), backward), ((beta, -beta), centered)):
        found = relative(estimate(nudged(problem, *nudges)), expected)
        assert found == pytest.approx(printed, rel=1e-3)


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("cost", COSTS)
def test_one_nudge_errs_in_proportion_to_beta_and_a_pair_to_its_square(cost):
    problem = one_hot(tanh_mlp((4, 6, 6, 3), batch=5))
    expected = loss_gradient(problem, cost)

    def errors(beta):
        signs = ((beta,), (-beta,), (beta, -beta))
        return [relative(estimate(nudged(problem, *n, cost=cost)), expected) for n in signs]

    wide, narrow = errors(0.02), errors(0.01)
    # Ratio of errors at two nudges: 2 for order beta, 4 for order beta squared.
    assert wide[0] / narrow[0] == pytest.approx(2, rel=0.05)
    assert wide[1] / narrow[1] == pytest.approx(2, rel=0.05)
    assert wide[2] / narrow[2] == pytest.approx(4, rel=0.05)
    assert max(narrow) < 0.2 and narrow[2] < 0.01


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("beta", [0.01, 0.25, 4.0])
def test_v6_b_a_nudge_is_a_clamp_of_output_precision_beta_over_one_plus_beta(beta):
    problem = tanh_mlp((4, 6, 6, 3), batch=5)
    made = nudged(problem, beta, steps=300)
    clamp = relaxation(problem, dynamics=FAST, steps=300)
    clamp.recipe = replace(clamp.recipe, output_precision=beta / (1 + beta))
    clamp.run()
    assert_close(made.states[:-1], clamp.states[:-1], rtol=1e-12, atol=1e-12)
    own = PredictiveCoding(weighted=True).gradients(clamp.step())
    expected = torch.cat([g.flatten() for g in own]) / beta
    assert_close(estimate(made), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.oracle("closed form")
def test_v6_c_a_weak_clamp_does_not_tend_to_backprop_and_a_weak_nudge_does():
    network, clamped = linear_net()
    reference = loss_gradient((network, clamped))
    mu = network.sweep({0: clamped[0]})[3].detach()

    def cosine(found):
        return float(found @ reference / (found.norm() * reference.norm()))

    for beta, clamp, nudge in ((1.0, 0.864, 0.88), (0.01, 0.9534, 0.999), (1e-4, 0.9533, 0.99999)):
        ends = {0: clamped[0], 3: (1 - beta) * mu + beta * clamped[3]}
        made = relaxation((network, ends), dynamics=FAST, steps=200)
        made.run()
        weak = torch.cat([g.flatten() for g in PredictiveCoding().gradients(made.step())]) / beta
        assert cosine(weak) == pytest.approx(clamp, abs=6e-4)
        assert cosine(estimate(nudged((network, clamped), beta))) > nudge
    assert float(weak.norm() / reference.norm()) == pytest.approx(0.2239, abs=6e-5)


@pytest.mark.parametrize("steps", [3, 40])
def test_signs_drawn_for_each_sample_average_to_the_centered_estimate(steps):
    problem = tanh_mlp((4, 6, 6, 3), batch=5)
    sign = torch.tensor([1.0, -1.0, -1.0, 1.0, -1.0], dtype=torch.float64)
    drawn = [estimate(nudged(problem, 0.05 * s * sign, steps=steps)) for s in (1, -1)]
    both = estimate(nudged(problem, 0.05, -0.05, steps=steps))
    assert_close((drawn[0] + drawn[1]) / 2, both, rtol=1e-12, atol=1e-14)


def test_each_sample_s_share_is_divided_by_its_own_nudge():
    network, clamped = tanh_mlp((4, 6, 6, 3), batch=3)
    nudges = torch.tensor([0.05, -0.02, 0.4], dtype=torch.float64)
    whole = estimate(nudged((network, clamped), nudges, steps=30))
    parts = [
        estimate(nudged((network, {i: v[b : b + 1] for i, v in clamped.items()}), one, steps=30))
        for b, one in enumerate(nudges.tolist())
    ]
    assert_close(whole, sum(parts), rtol=1e-12, atol=1e-14)


def test_the_estimate_of_a_running_phase_is_the_mean_with_those_that_have_ended():
    problem = tanh_mlp((4, 6, 6, 3), batch=5)
    ends = {}
    made = nudged(problem, steps=1)  # a free phase alone
    assert not estimate(made).any()
    network = problem[0]
    phases = [made.phases[0]] + [
        replace(made.phases[0], name=n, steps=4, nudge=b, begin_from="free")
        for n, b in (("plus", 0.1), ("minus", -0.1))
    ]
    for step in Relaxation(network, phases, made.recipe):
        found = estimate_at(step)
        S = torch.cat([g.flatten() for g in step.free_energy.weight_gradients(step.states)])
        ends[step.moment.phase] = S
        if step.moment.phase == "free":
            assert not found.any()
        elif step.moment.phase == "plus":
            assert_close(found, S / 0.1)
        else:
            assert_close(found, (ends["plus"] - S) / 0.2)


def estimate_at(step):
    return torch.cat([g.flatten() for g in EquilibriumPropagation().gradients(step)])


def test_the_derivative_of_f_carries_the_precisions():
    problem = tanh_mlp((4, 6, 6, 3), batch=5)
    weights = (0.5, 2.0, 0.25)
    made = nudged(problem, 0.1, -0.1, precision=Table(rows=(weights,)), steps=30)
    plain = EquilibriumPropagation(weighted=False).gradients(made.step())
    found = EquilibriumPropagation().gradients(made.step())
    for k, pi in enumerate(weights):
        for a, b in zip(found[2 * k : 2 * k + 2], plain[2 * k : 2 * k + 2], strict=True):
            assert_close(a, pi * b)


def test_weighted_by_precision_a_weak_nudge_gives_the_gradient_whatever_the_precisions():
    # d/dtheta of min_h F = dF/dtheta, and min_h F = beta C + O(beta^2) for every precision.
    problem = tanh_mlp((4, 6, 6, 3), batch=5)
    made = nudged(problem, 1e-3, -1e-3, precision=Table(rows=((0.5, 2.0, 0.25),)), steps=500)
    assert relative(estimate(made), loss_gradient(problem)) < 1e-4
    assert relative(estimate(made, weighted=False), loss_gradient(problem)) > 0.5


def test_the_comparison_with_backprop_is_with_the_gradient_of_the_cost():
    problem = one_hot(tanh_mlp((4, 6, 6, 3), batch=5))
    for cost in COSTS:
        made = nudged(problem, 1e-3, -1e-3, cost=cost)
        made.recipe = replace(made.recipe, learning=EquilibriumPropagation())
        found = likeness(made.step())
        assert_close(found.cosine, torch.ones(3).double(), rtol=0, atol=1e-6)
        assert_close(found.ratio, torch.ones(3).double(), rtol=0, atol=1e-3)
        expected = Backprop().gradients(made.step())
        assert_close(torch.cat([g.flatten() for g in expected]), loss_gradient(problem, cost))


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("scheme", ["centered", "forward", "backward", "random"])
@pytest.mark.parametrize("cost", COSTS)
def test_a_training_step_moves_the_weights_as_backprop_would(scheme, cost):
    experiment = Experiment(
        task=Nudge(scheme=scheme, beta=1e-3, cost=cost),
        learning=EquilibriumPropagation(),
        network=MLP(hidden=(5, 4)),
        dynamics=FAST,
        steps=120,
        batch_size=10,
        dtype="float64",
        pretraining="random",
        weights=make("weights", "SGD", {"rate": 0.1, "momentum": 0.0}),
    )
    data = images()
    network = experiment.build(data.shape, data.classes)
    training = Training(experiment, data, network)
    batch = training.batches.batch(0)
    y = torch.eye(10).double()[batch.y]
    x = batch.x.flatten(1).double()
    expected = backprop_gradients(network, {0: x}, y, COSTS[cost])
    before = [p.detach().clone() for p in network.parameters()]
    made = training.relaxation(batch, train=True)
    made.run()
    training.finish(made)
    for p, old, g in zip(network.parameters(), before, expected, strict=True):
        assert relative(p.detach() - old, -0.1 * g / 10) < 0.01


def test_after_a_forward_sweep_the_free_phase_needs_no_steps():
    problem = tanh_mlp((4, 6, 6, 3), batch=5)
    assert isinstance(nudged(problem, 0.1).recipe.init, Forward)
    network, clamped = problem
    free = Phase("free", 50, {0: clamped[0]}, cost=SquaredError(), target=clamped[3])
    recipe = nudged(problem, steps=1).recipe
    rows = list(Relaxation(network, [free], recipe))
    assert all(torch.equal(a, b) for a, b in zip(rows[0].states, rows[-1].states, strict=True))
