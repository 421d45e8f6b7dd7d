"""Skips as long as their main path: relays, and auxiliary neurons as published.

The block: a state s with the prediction 0, a main path s -> a1 -> a2, a skip s -> b1 -> b2, and an
output a2 + b2 that is clamped to 1. All weights are 1, all states start at 0, and the rate is 1/2
unless said. Without the b the output reads a2 + s.

Plain descent by hand, e the error of the output. Without b: s, a1, a2 = .5, 0, .5 after step 1,
then e = 0, ds = .5 (s + (s - a1)) = .5 gives s = 0, a1 = .5, a2 = .25, then e = .75 and s = .625.
With b nothing reaches s before step 3; what then does is e of step 1 through both paths.
"""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from core import BadInput, Experiment, FreeEnergy, Network, Node
from core.dynamics.error_based import ErrorBased
from core.dynamics.exact_blocks import ExactBlocks
from core.dynamics.fixed_prediction import FixedPrediction
from core.dynamics.gradient import Adam, GradientDescent, HeavyBall, Nesterov
from core.dynamics.langevin import Langevin
from core.dynamics.sweeping import Sweeping
from core.inits.forward import Forward
from core.inits.zero import Zero
from core.networks.resnet import ResNet
from core.precisions.decaying import Decaying
from core.precisions.identity import Identity
from core.precisions.learned import Learned
from core.precisions.spiking import Spiking
from core.precisions.table import Table
from core.selftest.problems import skipping
from tests.problems import relaxation

S = 1
ENGINES = ("plain", "local")


def course(skips, steps, rate=0.5, precision=None, engine="local", state=S):
    """The values of s, or of another state, at every step."""
    made = relaxation(
        skipping(skips),
        dynamics=GradientDescent(rate=rate),
        precision=precision or Identity(),
        init=Zero(),
        steps=steps,
        engine=engine,
    )
    return torch.stack([step.states[state].flatten()[0] for step in made])


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("skips", "expected"),
    [("none", [0.5, 0.0, 0.625]), ("relay", [0, 0, 0.625]), ("published", [0, 0, 0.625])],
)
def test_the_state_below_a_block_feels_the_output_when_both_paths_arrive(skips, expected, engine):
    assert course(skips, 3, engine=engine)[1:].tolist() == expected


@pytest.mark.oracle("closed form")
def test_the_end_of_an_auxiliary_skip_takes_its_error_up_in_one_step():
    # b2 moves by its whole error: h <- h - rate (1 / rate) (h - mu) + rate e = mu + rate e.
    assert course("published", 3, state=4)[1:].tolist() == [0.5, 0.25, 0.625]
    assert course("published", 3, state=5)[1:].tolist() == [0.5, 0.0, 0.875]


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("rate", [0.1, 0.4])
def test_relays_end_at_the_equilibrium_without_them(rate):
    # F = (s^2 + (a1 - s)^2 + (a2 - a1)^2 + e^2) / 2 with e = 1 - a2 - s: at rest a1 - s = a2 - a1 =
    # e and s = 2 e, so a2 = 4 e, e = 1 - 6 e = 1/7 and s = 2/7.
    # The slowest mode shrinks by 0.915 a step (the matrices below): 400 steps leave 1e-15 of it.
    for skips in ("relay", "none"):
        assert_close(course(skips, 400, rate)[-1], torch.tensor(2 / 7).double())


@pytest.mark.oracle("closed form")
def test_relays_are_stable_up_to_their_own_largest_rate():
    """The companion matrix of the delayed iteration says where: a spectral radius of one.

    With x = (s, a1, a2), e = 1 - a2 - s delayed by two on its way up and on its way down:
    x(t + 1) = x(t) - rate (A x(t) - J^T e), e(t) = 1 - a2(t) - s(t - 2), felt by s at t + 2.
    """
    A = torch.tensor([[2.0, -1.0, 0.0], [-1.0, 2.0, -1.0], [0.0, -1.0, 1.0]]).double()

    def radius(rate):
        # unknowns: x(t), s(t - 1), s(t - 2), and e(t - 1), e(t - 2) less their constants
        M = torch.zeros(7, 7).double()
        M[:3, :3] = torch.eye(3).double() - rate * A
        e = torch.zeros(7).double()
        e[2], e[4] = -1.0, -1.0
        M[2] += rate * e  # a2 feels e at once
        M[0, 6] += rate  # s feels e(t - 2)
        M[3, 0], M[4, 3] = 1.0, 1.0
        M[5] = e
        M[6, 5] = 1.0
        return float(torch.linalg.eigvals(M).abs().max())

    assert radius(0.44) < 1 < radius(0.46)
    # In so many steps the slowest mode shrinks to 1e-9, and what grows has reached 1e9.
    settled, grown = (round(9 / abs(math.log10(radius(rate)))) for rate in (0.44, 0.46))
    assert max(settled, grown) < 2000
    assert abs(course("relay", settled, 0.44)[-1] - 2 / 7) < 1e-6
    assert not abs(course("relay", grown, 0.46)[-1]) < 1e6


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize(("rate", "reached"), [(0.5, 3.3e3), (0.8, 6.4e4)])
def test_auxiliary_neurons_diverge_under_identity_precision_at_every_rate(rate, reached):
    # rate H of s, b1, b2 is [[1, -1, 0], [-1, 2, -1], [0, -1, 1]] in the limit: a factor -2 a step.
    chain = torch.tensor([[1.0, -1, 0], [-1, 2, -1], [0, -1, 1]])
    assert_close(torch.linalg.eigvalsh(chain), torch.tensor([0.0, 1.0, 3.0]), atol=1e-6, rtol=0)
    assert float(course("published", 13, rate)[-1].abs()) == pytest.approx(reached, rel=0.01)


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize(("rate", "reached"), [(0.5, 0.31), (0.8, 0.26)])
def test_auxiliary_neurons_are_bounded_under_spiking(rate, reached):
    assert float(course("published", 13, rate, Spiking())[-1]) == pytest.approx(reached, abs=0.005)


@pytest.mark.parametrize(("rate", "rest"), [(0.1, 0.7), (0.5, 0.67), (0.8, 0.7)])
def test_a_resting_precision_above_the_bound_diverges_and_one_at_it_does_not(rate, rest):
    assert abs(course("published", 300, rate, Spiking(rest=0.5))[-1]) < 1
    steps = round(8 / math.log10(3 * rest - 1))  # the factor of the largest eigenvalue, 3, a step
    assert not abs(course("published", steps, rate, Spiking(rest=rest))[-1]) < 1e6


# What a relay is ---------------------------------------------------------------------------------


def test_a_relay_is_no_layer_no_root_and_moves_by_no_force():
    network, clamped = skipping("relay")
    assert network.relays == [3, 5]
    assert network.roots == [0]
    assert network.layers == [1, 2, 4, 6]
    states = network.sweep(clamped)
    free_energy = FreeEnergy(network, torch.ones(4).double(), clamped)
    assert free_energy.clamped == {0, 3, 5, 6}
    assert all(not free_energy.forces(states)[i].any() for i in (3, 5))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_snapshot_holds_what_is_on_its_way(engine):
    made = relaxation(
        skipping("relay"), dynamics=GradientDescent(rate=0.3), init=Zero(), steps=9, engine=engine
    )
    for _ in range(4):
        made.advance()
    kept = made.snapshot()
    made.run()
    ended = [h.clone() for h in made.states]
    made.restore(kept)
    made.run()
    assert all(torch.equal(a, b) for a, b in zip(made.states, ended, strict=True))


@pytest.mark.parametrize("dynamics", [HeavyBall(), Nesterov(), Adam(), Langevin()])
def test_the_engines_agree_on_relays(dynamics):
    ends = []
    for engine in ENGINES:
        made = relaxation(
            skipping("relay"),
            dynamics=dynamics,
            init=Zero(),
            steps=7,
            engine=engine,
            generator=torch.Generator().manual_seed(0),
        )
        made.run()
        ends.append(made.states)
    assert_close(*ends, rtol=1e-12, atol=1e-14)


def test_a_forward_sweep_leaves_relays_at_what_their_parents_have():
    network, clamped = skipping("relay")
    clamped[0] = clamped[0] + 2
    made = relaxation((network, clamped), init=Forward(), steps=0)
    assert [float(h) for h in made.states[1:6]] == [2.0] * 5


@pytest.mark.parametrize(
    ("nodes", "sentence"),
    [
        ([Node((1,)), Node((1,), (), None, relay=True)], "node 1: a relay has parents"),
        ([Node((1,)), Node((1,), (0,), nn.Identity(), relay=True)], "node 1: a relay has parents"),
        ([Node((2,)), Node((1,), (0,), None, relay=True)], r"node 1: a relay of \(1,\) reads"),
        ([Node((1,)), Node((1,), (0,), None)], "node 1: a layer has a module and parents"),
    ],
)
def test_what_is_no_relay_is_refused(nodes, sentence):
    with pytest.raises(ValueError, match=sentence):
        Network(nodes)


# What goes with which skips ----------------------------------------------------------------------


def experiment(skips, **choices):
    choices.setdefault("precision", Spiking())
    choices.setdefault("dynamics", GradientDescent())
    return Experiment(network=ResNet(skips=skips), pretraining="random", steps=13, **choices)


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("dynamics", [Sweeping(rate=0.3), ExactBlocks()])
def test_rules_that_take_layers_in_turn_end_at_the_same_equilibrium(dynamics):
    made = relaxation(skipping("relay"), dynamics=dynamics, init=Zero(), steps=150)
    made.run()
    assert_close(made.states[S].flatten()[0], torch.tensor(2 / 7).double())


@pytest.mark.parametrize("dynamics", [ErrorBased(), FixedPrediction()])
def test_rules_with_forces_of_their_own_are_refused_with_relays(dynamics):
    with pytest.raises(BadInput, match=r"^dynamics: .*skips none"):
        experiment("relay", dynamics=dynamics)
    experiment("none", dynamics=dynamics)


@pytest.mark.parametrize(
    "choices",
    [
        {"precision": Identity()},
        {"precision": Spiking(rest=0.51)},
        {"precision": Learned()},
        {"precision": Table(rows=((0.1,),))},
        {"precision": Decaying(k=0.0), "steps": 80},  # whose tail is R / 100
        {"dynamics": Nesterov()},
        {"dynamics": Langevin()},
        {"dynamics": Adam()},
    ],
)
def test_auxiliary_neurons_as_published_are_refused_where_they_may_diverge(choices):
    steps = choices.pop("steps", 13)
    with pytest.raises(BadInput, match=r"^network: ResNet; .*at most 0\.5; skips relay"):
        Experiment(
            **{"precision": Spiking(), "dynamics": GradientDescent()} | choices,
            network=ResNet(skips="published"),
            pretraining="random",
            steps=steps,
        )


@pytest.mark.parametrize("precision", [Spiking(rest=0.5), Spiking(rest=0.0), Decaying()])
def test_auxiliary_neurons_as_published_are_taken_where_they_are_bounded(precision):
    experiment("published", precision=precision)
