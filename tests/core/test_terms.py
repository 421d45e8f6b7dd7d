"""The terms of a recipe, each against mathematics; what V27 and V28 say; frozen parameters."""

from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest
import torch
from torch.testing import assert_close

from core import Experiment, Phase, Recorder, Relaxation, Trace, Training, cards, chain, make
from core.batches import ImageSet
from core.diagnostics import by_layer
from core.dynamics.gradient import Adam, GradientDescent, HeavyBall, Nesterov
from core.experiment import TERMS, Recipe
from core.inits.average import Average
from core.inits.normal import Normal
from core.inits.zero import Zero
from core.learning.local import ForwardUpdate, Incremental, PredictiveCoding
from core.networks.mlp import MLP
from core.precisions.spiking import Spiking
from core.precisions.table import Table
from core.selftest.problems import backprop
from core.weights.adamw import AdamW
from core.weights.sgd import SGD
from tests.problems import (
    equilibrium,
    hessian,
    labelled,
    linear,
    linear_chain,
    linear_net,
    relaxation,
    tanh_mlp,
)

DYNAMICS = [GradientDescent(0.1), HeavyBall(0.05, 0.9), Nesterov(0.05, 0.9), Adam(0.01)]


def with_terms(problem, terms, **choices):
    """A relaxation whose recipe has these scalars."""
    made = relaxation(problem, **choices)
    recipe = replace(made.recipe, **terms)
    options = {
        k: v for k, v in choices.items() if k in ("generator", "labels", "classes", "memory")
    }
    return Relaxation(made.network, made.phases, recipe, optimiser=made.optimiser, **options)


def far(problem=None, seed=0, **choices):
    """Far from the equilibrium, so that everything moves at once."""
    terms = {name: choices.pop(name) for name in TERMS if name in choices and name != "steps"}
    generator = torch.Generator().manual_seed(seed)
    return with_terms(
        problem or tanh_mlp(), terms, init=Normal(sd=0.5), generator=generator, **choices
    )


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def total_by_hand(network, states, layers, precision=None):
    """sum over these layers of Pi_l |h_l - f_l(h_{l-1})|^2 / 2, with its graph."""
    pi = precision or [1.0] * len(network.layers)
    terms = [
        pi[i - 1] * 0.5 * (states[i] - network.prediction(i, states)).square().sum() for i in layers
    ]
    return torch.stack(terms).sum()


def step_by_hand(network, clamped, states, rate, total):
    """States after one plain step down a total of our own."""
    leaves = [h.detach().requires_grad_(i not in clamped) for i, h in enumerate(states)]
    free = [h for i, h in enumerate(leaves) if i not in clamped]
    found = torch.autograd.grad(total(leaves), free, allow_unused=True)
    slopes = iter(
        [torch.zeros_like(h) if g is None else g for g, h in zip(found, free, strict=True)]
    )
    return [h if i in clamped else h - rate * next(slopes) for i, h in enumerate(states)]


# Energy window -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dynamics", DYNAMICS, ids=lambda one: type(one).__name__)
def test_v8_after_a_sweep_the_window_changes_nothing_at_all(dynamics):
    plain = relaxation(tanh_mlp(), dynamics=dynamics, steps=12)
    window = with_terms(tanh_mlp(), {"window": True}, dynamics=dynamics, steps=12)
    for a, b in zip(plain, window, strict=True):
        assert same(a.states, b.states)


def test_the_window_grows_by_one_layer_a_step_and_is_complete_from_t_l_minus_1_on():
    for step in far(steps=9, window=True, precision=Table(rows=((0.5, 2.0, 3.0, 4.0, 5.0),))):
        lowest = max(5 - step.moment.t, 1)
        expected = [row if k >= lowest else 0.0 for k, row in enumerate((0.5, 2, 3, 4, 5), 1)]
        assert step.free_energy.precision.tolist() == expected


@pytest.mark.parametrize("begin", ["zero", "average", "normal"])
def test_elsewhere_it_ignores_the_layers_below_as_a_loop_by_hand_does(begin):
    problem, labels = labelled(sizes=(4, 5, 6, 5, 3))
    network, clamped = problem
    choices = {"steps": 7, "dynamics": GradientDescent(0.1)}
    if begin == "average":
        start = relaxation(problem, labels=labels, classes=3).start
        generator = torch.Generator().manual_seed(3)
        final = [
            torch.randn(h.shape, generator=generator).double() for h in start.network.sweep(clamped)
        ]
        choices |= {"init": Average(m=0), "labels": labels, "classes": 3}
        choices |= {"memory": Average().observe(start, final, None)}
    else:
        choices |= {"init": Zero() if begin == "zero" else Normal(sd=0.5)}
        choices |= {"generator": torch.Generator().manual_seed(1)}
    made = with_terms(problem, {"window": True}, **choices)
    states = made.states
    for step in made:
        assert_close(step.states, states, rtol=1e-12, atol=1e-13)
        t = step.moment.t
        layers = range(max(4 - t, 1), 5)

        def total(leaves, layers=layers):
            return total_by_hand(network, leaves, layers)

        states = step_by_hand(network, clamped, states, 0.1, total)
    plain = with_terms(problem, {}, **choices)
    plain.run()
    assert not same(plain.states, made.states)


def test_layers_below_the_window_do_not_move():
    made = far(steps=6, window=True)
    for old, new in pairwise(made):
        lowest = max(5 - old.moment.t, 1)  # layer `lowest` pulls at state lowest - 1
        for i in range(1, 5):
            assert torch.equal(new.states[i], old.states[i]) == (i < lowest - 1)


# Output precision --------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.0, 0.01, 10.0])
def test_output_precision_is_a_table_whose_last_column_has_it(scale):
    made = far(steps=8, output_precision=scale)
    table = far(steps=8, precision=Table(rows=((1.0, 1.0, 1.0, 1.0, scale),)))
    for a, b in zip(made, table, strict=True):
        assert same(a.states, b.states)


def test_output_precision_multiplies_that_of_the_schedule():
    for step in far(steps=6, output_precision=10.0, precision=Spiking(rest=0.25)):
        row = Spiking(rest=0.25).table(6, torch.arange(1, 6))[min(step.moment.t, 5)]
        assert_close(step.free_energy.precision, row * torch.tensor([1.0, 1, 1, 1, 10]))


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("scale", [0.1, 3.0])
def test_with_it_a_linear_network_comes_to_rest_where_the_linear_solve_says(scale):
    problem = linear_chain()
    # Eigenvalues between 0.58 and 2.3: the slowest mode shrinks by 0.71 a step.
    dynamics = GradientDescent(0.5)
    made = with_terms(problem, {"output_precision": scale}, dynamics=dynamics, steps=120)
    made.run()
    expected = equilibrium(*problem, precision=(1.0, 1.0, scale))
    assert_close(made.states, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.oracle("closed form")
def test_v23_output_precision_of_10_has_the_printed_least_energy():
    # Eigenvalues between 2.1 and 23.6: the slowest mode shrinks by 0.89 a step.
    made = with_terms(
        linear_net(), {"output_precision": 10.0}, dynamics=GradientDescent(0.08), steps=300
    )
    made.run()
    step = made.step()
    assert float(step.free_energy.total(step.states)) == pytest.approx(1.7588287569, abs=6e-11)


def test_output_precision_changed_between_two_steps_acts_on_the_next():
    made = far(steps=6)
    for step in made:
        if step.moment.t == 3:
            made.recipe = replace(made.recipe, output_precision=5.0)
            assert float(made.step().free_energy.precision[-1]) == 5.0
        else:
            assert float(step.free_energy.precision[-1]) == (1.0 if step.moment.t < 3 else 5.0)


# Activity decay ----------------------------------------------------------------------------------


@pytest.mark.parametrize("ends", [(0, 5), (5,), (0,), ()])
def test_decay_adds_c_times_h_to_the_force_of_every_free_state(ends):
    network, clamped = tanh_mlp()
    held = {i: clamped[i] for i in ends}
    plain, decay = (
        Relaxation(
            network,
            [Phase("relax", None, held, given={0: clamped[0]})],
            replace(far().recipe, activity_decay=c),
            generator=torch.Generator().manual_seed(0),
        ).step()
        for c in (0.0, 0.7)
    )
    old, new = plain.free_energy.forces(plain.states), decay.free_energy.forces(decay.states)
    for i, h in enumerate(decay.states):
        expected = old[i] if i in held else old[i] + 0.7 * h
        assert_close(new[i], expected, rtol=1e-12, atol=1e-13)


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("c", [0.3, 2.0])
def test_decay_adds_c_to_every_eigenvalue_and_moves_the_rest_as_the_linear_solve_says(c):
    problem = linear_net()
    plain = relaxation(problem, init=Zero())
    made = with_terms(
        problem, {"activity_decay": c}, init=Zero(), dynamics=GradientDescent(0.3), steps=200
    )
    identity = torch.eye(4, dtype=torch.float64)
    assert_close(hessian(made), hessian(plain) + c * identity, rtol=1e-12, atol=1e-12)
    W1, W2, W3 = (p.detach() for p in problem[0].parameters())
    one = torch.eye(2, dtype=torch.float64)
    upper = torch.cat([(1 + c) * one + W2.T @ W2, -W2.T], dim=1)
    lower = torch.cat([-W2, (1 + c) * one + W3.T @ W3], dim=1)
    x, y = problem[1][0][0], problem[1][3][0]
    rest = torch.linalg.solve(torch.cat([upper, lower]), torch.cat([W1 @ x, W3.T @ y]))
    made.run()
    assert_close(torch.cat(made.states[1:3], dim=1)[0], rest, rtol=1e-11, atol=1e-12)


def test_with_decay_a_free_bottom_has_one_rest():
    # h_0 of (x), W = 1: F = (y - W h_0)^2 / 2 + c h_0^2 / 2 is least at W y / (W^2 + c).
    network = linear_chain_of(2.0)
    clamped = {1: torch.tensor([[3.0]], dtype=torch.float64)}
    made = with_terms((network, clamped), {"activity_decay": 0.5}, init=Zero(), steps=300)
    made.run()
    assert float(made.states[0]) == pytest.approx(2.0 * 3.0 / (4.0 + 0.5), abs=1e-12)


def linear_chain_of(weight):

    return chain([linear([[weight]])], [(1,), (1,)])


@pytest.mark.parametrize("ends", [(0, 5), (5,)])
def test_the_trace_s_rows_add_up_to_f_with_decay(ends):
    network, clamped = tanh_mlp()
    held = {i: clamped[i] for i in ends}
    made = far((network, held), activity_decay=0.7, output_precision=3.0, steps=5)
    trace, recorder = Trace(network), Recorder(network, 4)
    totals = []
    for row, step in enumerate(made):
        recorder.take(made, row=row, batch=0, recipe_id=0)
        free = [h for i, h in enumerate(step.states) if i not in held]
        by_hand = total_by_hand(network, step.states, range(1, 6), [1.0, 1.0, 1.0, 1.0, 3.0])
        by_hand = (by_hand + 0.35 * sum(h.square().sum() for h in free)).detach()
        assert_close(step.free_energy.total(step.states), by_hand, rtol=1e-12, atol=0)
        totals.append(float(by_hand) / 4)
    trace.append(recorder.drain())
    data = trace.dataset()
    found = (data.energy * data.precision).sum("layer") + data.cost
    assert found.values.tolist() == pytest.approx(totals, rel=1e-12)


# Tolerance ---------------------------------------------------------------------------------------


def rms_by_hand(step, clamped):
    """RMS of dF/dh over all free units of each sample, (B,)."""
    forces = [g for i, g in enumerate(step.free_energy.forces(step.states)) if i not in clamped]
    return torch.cat(forces, dim=1).square().mean(1).sqrt()


def first_below(values, tolerance):
    return next(t for t, value in enumerate(values) if float(value) <= tolerance)


@cache
def rms_of_each_row(dynamics):
    """RMS over the batch and all free units, row by row, without a tolerance."""
    problem = tanh_mlp()
    rows = far(dynamics=dynamics, steps=600)
    return [float(rms_by_hand(step, problem[1]).square().mean().sqrt()) for step in rows]


@pytest.mark.parametrize("dynamics", DYNAMICS[:3], ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("tolerance", [0.3, 0.1, 1e-3])
def test_a_batch_stops_at_the_first_row_that_is_within_the_tolerance(dynamics, tolerance):
    expected = first_below(rms_of_each_row(dynamics), tolerance)
    made = far(dynamics=dynamics, steps=600, tolerance=tolerance)
    ends = [step.moment.phase_end for step in made]
    assert ends == [False] * expected + [True]
    assert 0 < expected < 600
    assert made.done
    assert made.t == expected
    plain = far(dynamics=dynamics, steps=expected)
    plain.run()
    assert same(made.states, plain.states)


def test_without_a_tolerance_it_goes_on_even_at_rest():
    made = relaxation((tanh_mlp()[0], {0: tanh_mlp()[1][0]}), steps=5)  # every force is zero
    assert len(list(made)) == 6
    stopping = with_terms((made.network, made.phases[0].clamped), {"tolerance": 1e-9}, steps=5)
    assert len(list(stopping)) == 1


@pytest.mark.parametrize("stop", ["batch", "sample"])
def test_t_is_the_most_steps_that_are_taken(stop):
    made = far(steps=4, tolerance=1e-9, stop=stop)
    assert len(list(made)) == 5
    assert made.step().moment.last


RISING = Table(rows=((0.05,), (0.05,), (0.05,), (1.0,)))
"""Precisions under which a sample may have settled early and would be moved again later."""


def scattered():
    """Samples that are at different distances from their rest."""
    network, clamped = tanh_mlp(batch=6)
    scale = torch.tensor([[0.01], [0.1], [0.5], [1.0], [2.0], [4.0]], dtype=torch.float64)
    return network, {i: scale * h for i, h in clamped.items()}


QUICK = [GradientDescent(0.3), HeavyBall(0.2, 0.5), Nesterov(0.2, 0.5)]


@pytest.mark.parametrize("dynamics", QUICK, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("precision", [None, Spiking(rest=0.3), RISING])
@pytest.mark.parametrize("window", [False, True])
def test_each_sample_stops_as_if_it_relaxed_alone(dynamics, precision, window):
    network, clamped = scattered()
    terms = {"tolerance": 0.02, "stop": "sample", "window": window}
    choices = {"dynamics": dynamics, "precision": precision, "steps": 400}
    rows = list(with_terms((network, clamped), terms, **choices))
    lengths = []
    for k in range(6):
        one = {i: h[k : k + 1] for i, h in clamped.items()}
        for stop in ("sample", "batch"):
            alone = list(with_terms((network, one), {**terms, "stop": stop}, **choices))
            assert len(alone) <= len(rows)
            kept = [alone[min(t, len(alone) - 1)].states for t in range(len(rows))]
            for i in range(len(network.nodes)):
                found = torch.stack([row.states[i][k] for row in rows])
                own = torch.stack([states[i][0] for states in kept])
                assert_close(found, own, rtol=1e-9, atol=1e-11)
        lengths.append(len(alone))
    assert len(set(lengths)) > 2
    assert len(rows) == max(lengths)


@pytest.mark.parametrize("precision", [None, Spiking(rest=0.3), RISING])
def test_a_sample_that_has_stopped_does_not_move_any_more(precision):
    problem = scattered()
    terms = {"tolerance": 0.02, "stop": "sample"}
    stopped = torch.zeros(6, dtype=torch.bool)
    made = with_terms(problem, terms, precision=precision, steps=400)
    for old, new in pairwise(made):
        stopped = stopped | (rms_by_hand(old, problem[1]) <= 0.02)
        for k in range(6):
            moved = not same([h[k] for h in old.states], [h[k] for h in new.states])
            assert moved != bool(stopped[k])


def test_a_sample_that_has_stopped_is_still_so_after_a_snapshot():
    terms = {"tolerance": 0.02, "stop": "sample"}
    made = with_terms(scattered(), terms, precision=RISING, steps=400)
    for _ in range(4):
        made.advance()
    snapshot, ends = made.snapshot(), []
    for _ in range(2):
        made.run()
        ends.append([torch.tensor(made.t), *made.states])
        made.restore(snapshot)
    assert same(*ends)


@pytest.mark.parametrize("stop", ["batch", "sample"])
def test_a_phase_that_has_settled_gives_way_to_the_next(stop):
    network, clamped = tanh_mlp()
    recipe = replace(far(steps=300).recipe, tolerance=0.05, stop=stop)
    phases = [Phase("free", None, {0: clamped[0]}), Phase("clamped", 300, clamped)]
    made = Relaxation(network, phases, recipe, generator=torch.Generator().manual_seed(0))
    rows = list(made)
    ends = [step for step in rows if step.moment.phase_end]
    assert [step.moment.phase for step in ends] == ["free", "clamped"]
    assert [step.moment.last for step in ends] == [False, True]
    for step in ends:
        assert 0 < step.moment.t < 300
        assert bool((rms_by_hand(step, phases[ends.index(step)].clamped) <= 0.05).all()) or (
            stop == "batch"
        )
    assert made.done


def test_a_relaxation_that_overflows_has_not_settled():
    made = with_terms(linear_net(), {"tolerance": 0.1}, dynamics=GradientDescent(10.0), steps=400)
    made.run()
    assert made.t == 400
    assert not torch.isfinite(made.states[1]).all()


@pytest.mark.parametrize("stop", ["batch", "sample"])
def test_a_tolerance_can_be_turned_on_and_off_between_two_steps(stop):
    problem = tanh_mlp()
    rows = [rms_by_hand(step, problem[1]) for step in far(steps=60)]
    made = far(steps=60)
    for _ in range(40):
        made.advance()
    loose = float(rows[40].max()) * 1.01
    made.recipe = replace(made.recipe, tolerance=loose, stop=stop)
    assert made.done
    assert made.step().moment.phase_end
    made.recipe = replace(made.recipe, tolerance=loose / 2)
    assert not made.done
    made.advance()
    made.recipe = replace(made.recipe, tolerance=0.0)
    made.run()
    assert made.t == 60
    plain = far(steps=60)
    plain.run()
    if stop == "batch":
        assert same(made.states, plain.states)


def test_held_units_are_not_free_and_do_not_count_in_the_residual():
    network, clamped = tanh_mlp()
    mask = torch.zeros(4, 8, dtype=torch.bool)
    mask[:, :6] = True
    values = torch.full((4, 8), 0.3, dtype=torch.float64)
    phase = Phase("relax", None, clamped, held={2: (values, mask)})
    tolerance = 0.1
    rms = []
    for tolerance_now in (0.0, tolerance):
        made = Relaxation(
            network,
            [phase],
            replace(far(steps=300).recipe, tolerance=tolerance_now),
            generator=torch.Generator().manual_seed(0),
        )
        for step in made:
            if tolerance_now:
                continue
            g = torch.cat([step.free_energy.forces(step.states)[i] for i in range(1, 5)], dim=1)
            rms.append((g.square().sum() / (4 * (32 - 6))).sqrt())
    assert made.t == first_below(rms, tolerance)


def images():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(60, 1, 3, 2, generator=generator)
    y = torch.arange(60) % 10
    return ImageSet("toy", x, y, x[:9], y[:9], 10, tuple("abcdefghij"), 0.0, 1.0)


@pytest.mark.parametrize("stop", ["batch", "sample"])
def test_batch_after_batch_stops_by_itself_and_learns_at_the_states_where_it_stopped(stop):
    experiment = Experiment(
        network=MLP(hidden=(6, 5)),
        dtype="float64",
        pretraining="random",
        weights=SGD(rate=0.1),
        steps=500,
        tolerance=1e-3,
        stop=stop,
    )
    data = images()
    training = Training(experiment, data, experiment.build(data.shape, data.classes))
    for number in range(3):
        relaxation = training.relaxation(training.batches.batch(number), train=True)
        relaxation.run()
        assert 0 < relaxation.t < 500
        step, old = relaxation.step(), [p.detach().clone() for p in training.network.parameters()]
        expected = step.free_energy.weight_gradients(step.states)
        training.finish(relaxation)
        moved = zip(training.network.parameters(), old, expected, strict=True)
        for p, before, g in moved:
            assert_close(p.detach(), before - 0.1 * g / 20, rtol=1e-12, atol=1e-14)


# All terms ---------------------------------------------------------------------------------------

ALL = {
    "window": True,
    "output_precision": 3.0,
    "activity_decay": 0.1,
    "tolerance": 1e-4,
    "stop": "sample",
}


def test_all_terms_are_in_the_recipe_s_dict():
    recipe = replace(far(steps=7).recipe, **ALL)
    data = recipe.to_dict()
    assert {name: data[name] for name in TERMS} == {**ALL, "steps": 7}
    assert set(TERMS) == {*ALL, "steps"}


@pytest.mark.parametrize("dynamics", cards("dynamics"))
@pytest.mark.parametrize("learning", [PredictiveCoding(), Incremental()])
def test_with_all_terms_it_goes_on_from_a_snapshot_bit_for_bit(dynamics, learning):
    network, _ = problem = tanh_mlp()
    made = far(problem, dynamics=make("dynamics", dynamics), learning=learning, steps=12, **ALL)
    made.optimiser = SGD(rate=0.01)(network)
    for _ in range(3):
        made.advance()
    snapshot, ends = made.snapshot(), []
    for _ in range(2):
        made.run()
        made.learn()
        weights = [p.detach().clone() for p in network.parameters()]
        ends.append([torch.tensor(made.t), *made.states, *weights])
        made.recipe = replace(made.recipe, **dict.fromkeys(("activity_decay", "tolerance"), 0.0))
        made.restore(snapshot)
        assert {name: getattr(made.recipe, name) for name in ALL} == ALL
    assert same(*ends)


# V27: what spiking does to the forward update ----------------------------------------------------


def against_backprop(rule, **choices):
    """Cosine to backprop and ratio of norms of each layer's update."""
    made = relaxation(tanh_mlp(bias=False), **choices)
    made.run()
    pairs = zip(
        by_layer(made.network, rule.gradients(made.step())),
        by_layer(made.network, backprop(made)),
        strict=True,
    )
    found = [(float(a @ b / (a.norm() * b.norm())), float(a.norm() / b.norm())) for a, b in pairs]
    return [cosine for cosine, _ in found], [ratio for _, ratio in found]


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("rate", [0.5, 0.8])
def test_v27_spiking_and_the_forward_update_are_backprop_layer_by_layer(rate):
    # Displacement over backprop error at T = L: rate^(L - l) (1 - rate) in every hidden layer.
    cosines, ratios = against_backprop(
        ForwardUpdate(), dynamics=GradientDescent(rate), precision=Spiking(rest=0.0), steps=5
    )
    assert cosines == pytest.approx([1.0] * 5, abs=1e-12)
    expected = [rate ** (5 - layer) * (1 - rate) for layer in range(1, 5)]
    assert ratios == pytest.approx([*expected, 1.0], rel=1e-9)


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize(
    ("rate", "rest", "printed"),
    [(0.5, 0.001, 0.999999), (0.5, 0.01, 0.99989), (0.8, 0.001, 0.99999), (0.8, 0.01, 0.99887)],
)
def test_v27_a_small_rest_precision_leaves_backprop_s_direction(rate, rest, printed):
    # The printed cosines are of another draw of the weights, so they are a bound here; that
    # 1 - cos grows with the square of the rest precision does not depend on the draw.
    choices = {"dynamics": GradientDescent(rate), "steps": 5}
    once, thrice = (
        1 - min(against_backprop(ForwardUpdate(), precision=Spiking(rest=r), **choices)[0])
        for r in (rest, 3 * rest)
    )
    assert 0 < once <= 1 - printed
    assert thrice / once == pytest.approx(9, rel=0.2)


@pytest.mark.oracle("closed form")
def test_v27_the_predictive_coding_update_does_not():
    for rate in (0.5, 0.8):
        cosines, _ = against_backprop(
            PredictiveCoding(),
            dynamics=GradientDescent(rate),
            precision=Spiking(rest=0.001),
            steps=5,
        )
        assert cosines[0] == pytest.approx(1.0, abs=1e-4)  # the input is clamped: h_0 = h_0^(0)
        assert min(cosines[1:]) < 0.95


@pytest.mark.oracle("paper")
def test_v27_the_settings_of_the_deeper_networks_give_flat_norms():
    cosines, ratios = against_backprop(
        ForwardUpdate(), dynamics=Nesterov(0.804, 0.1), precision=Spiking(rest=0.001), steps=13
    )
    assert min(cosines) >= 0.9999
    assert ratios == pytest.approx([0.070, 0.081, 0.091, 0.109, 1.0], abs=0.005)


def test_v27_without_spiking_the_direction_is_good_and_the_norms_fall_with_depth():
    cosines, ratios = against_backprop(ForwardUpdate(), dynamics=GradientDescent(0.05), steps=13)
    assert min(cosines) > 0.985
    for low, high in pairwise(ratios):
        assert low < high / 2
    assert ratios[0] < 3e-3


# V28: bookkeeping --------------------------------------------------------------------------------


@pytest.mark.parametrize("dynamics", DYNAMICS, ids=lambda one: type(one).__name__)
def test_v28_duplicated_samples_move_alike_and_double_f(dynamics):
    network, clamped = tanh_mlp()
    twice = {i: torch.cat([h, h]) for i, h in clamped.items()}
    terms = {"activity_decay": 0.2, "output_precision": 2.0}
    one = with_terms((network, clamped), terms, dynamics=dynamics, steps=15)
    two = with_terms((network, twice), terms, dynamics=dynamics, steps=15)
    for a, b in zip(one, two, strict=True):
        for h, k in zip(a.states, b.states, strict=True):
            assert_close(k, torch.cat([h, h]), rtol=1e-9, atol=1e-11)
        single, double = a.free_energy.total(a.states), b.free_energy.total(b.states)
        assert float(double) == pytest.approx(2 * float(single), rel=1e-9)


@pytest.mark.parametrize("dynamics", DYNAMICS, ids=lambda one: type(one).__name__)
def test_v28_a_permuted_batch_has_permuted_states(dynamics):
    network, clamped = tanh_mlp()
    order = torch.tensor([2, 0, 3, 1])
    permuted = {i: h[order] for i, h in clamped.items()}
    terms = {"tolerance": 0.05, "stop": "sample"}
    one = with_terms((network, clamped), terms, dynamics=dynamics, steps=15)
    two = with_terms((network, permuted), terms, dynamics=dynamics, steps=15)
    for a, b in zip(one, two, strict=True):
        for h, k in zip(a.states, b.states, strict=True):
            assert_close(k, h[order], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.98])
@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_v28_f_never_rises_below_the_largest_rate(share, decay):
    problem = linear_net()
    terms = {"activity_decay": decay}
    largest = torch.linalg.eigvalsh(hessian(with_terms(problem, terms))).max()
    dynamics = GradientDescent(share * 2 / float(largest))
    made = with_terms(problem, terms, dynamics=dynamics, steps=200)
    totals = [float(step.free_energy.total(step.states)) for step in made]
    assert all(new <= old + 1e-12 for old, new in pairwise(totals))
    assert totals[-1] < totals[0]


@pytest.mark.parametrize("dynamics", cards("dynamics"))
@pytest.mark.parametrize("learning", ["PredictiveCoding", "ForwardUpdate", "Backprop"])
def test_v28_weights_stay_while_states_relax(dynamics, learning):
    network, _ = problem = tanh_mlp()
    made = far(
        problem,
        dynamics=make("dynamics", dynamics),
        learning=make("learning", learning),
        steps=6,
        activity_decay=0.1,
    )
    made.optimiser = AdamW(rate=0.1)(network)
    before = [p.detach().clone() for p in network.parameters()]
    version = network.version
    made.run()
    assert same(network.parameters(), before)
    assert network.version == version
    made.learn()
    assert not same(network.parameters(), before)


# Frozen parameters -------------------------------------------------------------------------------


def adamw_by_hand(steps, rate, decay, gradients, first):
    """AdamW on one tensor; a gradient of None leaves everything as it is: loshchilov2019."""
    p, m, v, n = first.clone(), torch.zeros_like(first), torch.zeros_like(first), 0
    for g in gradients[:steps]:
        if g is None:
            continue
        n += 1
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        p = p * (1 - rate * decay)
        p = p - rate * (m / (1 - 0.9**n)) / ((v / (1 - 0.999**n)).sqrt() + 1e-8)
    return p, m, v, n


@pytest.mark.parametrize("freeze", [True, False])
def test_a_frozen_tensor_keeps_weights_moments_step_count_and_is_not_decayed(freeze):
    # L = 5 after a sweep: layer l has its first gradient at t = 5 - l, W_1 at t = 4.
    network, _ = problem = tanh_mlp()
    weights = AdamW(rate=0.01, decay=0.1)
    made = relaxation(problem, learning=Incremental(freeze=freeze), steps=8)
    made.optimiser = weights(network)
    first = [p.detach().clone() for p in network.parameters()]
    seen = [[] for _ in first]
    for step in made:
        taken = step.moment.t
        for k, p in enumerate(network.parameters()):
            p_by_hand, m, v, n = adamw_by_hand(taken, 0.01, 0.1, seen[k], first[k])
            assert_close(p.detach(), p_by_hand, rtol=1e-10, atol=1e-12)
            held = made.optimiser.state.get(p, {})
            assert int(held.get("step", 0)) == n
            if n:
                assert_close(held["exp_avg"], m, rtol=1e-9, atol=1e-13)
                assert_close(held["exp_avg_sq"], v, rtol=1e-9, atol=1e-15)
            layer = 1 + k // 2
            if freeze and taken <= 5 - layer:
                assert torch.equal(p, first[k])
                assert not held
            if not freeze and taken:
                assert not torch.equal(p, first[k]) or not first[k].any()
        found = step.free_energy.weight_gradients(step.states)
        for k, g in enumerate(found):
            zero = not bool(g.any())
            seen[k].append(None if freeze and zero else g / 4)


def test_freezing_changes_nothing_for_an_optimiser_without_memory_or_decay():
    ends = []
    for freeze in (True, False):
        network, _ = problem = tanh_mlp()
        made = relaxation(problem, learning=Incremental(freeze=freeze), steps=8)
        made.optimiser = SGD(rate=0.1)(network)
        made.run()
        ends.append([p.detach() for p in network.parameters()])
    assert same(*ends)


def test_a_recipe_has_plain_terms_unless_told_otherwise():
    plain = Recipe(Zero(), Spiking(), GradientDescent(), PredictiveCoding(), steps=3)
    assert (plain.window, plain.output_precision, plain.activity_decay) == (False, 1.0, 0.0)
    assert (plain.tolerance, plain.stop) == (0.0, "batch")
