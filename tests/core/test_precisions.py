"""Precisions: the laws of schedules and of adaptive ones, and each one's own formula."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from core import BadInput, Recorder, Trace, cards, chain, make
from core.dynamics.gradient import GradientDescent
from core.energies.cross_entropy import CrossEntropy
from core.free_energy import FreeEnergy
from core.inits.forward import Forward
from core.inits.normal import Normal
from core.kinds import Adaptive
from core.precisions.decaying import Decaying
from core.precisions.identity import Identity
from core.precisions.learned import Learned
from core.precisions.profile import Profile
from core.precisions.spiking import Spiking
from core.precisions.table import Table
from tests.problems import column, labelled, linear, relaxation, tanh_mlp

PRECISIONS = [
    name for name in cards("precision") if not isinstance(make("precision", name), Adaptive)
]
"""Those that are known beforehand."""


@pytest.mark.parametrize("name", PRECISIONS)
@pytest.mark.parametrize(("T", "L"), [(1, 1), (4, 4), (7, 3), (100, 20)])
def test_a_table_has_a_row_for_each_step_and_a_column_for_each_layer(name, T, L):
    table = make("precision", name).table(T, torch.arange(1, L + 1))
    assert table.shape == (T, L)
    assert torch.isfinite(table).all()
    assert (table >= 0).all()


@pytest.mark.parametrize("name", PRECISIONS)
def test_layers_of_one_depth_weigh_the_same(name):
    table = make("precision", name).table(6, torch.tensor([1, 2, 2, 3]))
    assert torch.equal(table[:, 1], table[:, 2])


@pytest.mark.parametrize("name", PRECISIONS)
def test_the_relaxation_applies_row_t_at_step_t_and_the_last_row_past_the_end(name):
    made = relaxation(tanh_mlp(), precision=make("precision", name), steps=6)
    table = make("precision", name).table(6, torch.arange(1, 6)).double()
    for t in range(10):
        row = made.step().free_energy.precision
        assert torch.equal(row, table[min(t, 5)])
        made.advance()


def test_identity_is_one():
    assert torch.equal(Identity().table(3, torch.arange(1, 5)), torch.ones(3, 4))


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("rest", [0.0, 1e-3, 0.3, 1.0])
def test_a_layer_spikes_once_when_the_error_arrives(rest):
    table = Spiking(rest=rest).table(6, torch.arange(1, 5))
    for t in range(6):
        for layer in range(1, 5):
            assert float(table[t, layer - 1]) == (1.0 if t == 4 - layer else rest)


def test_a_layer_that_the_error_does_not_reach_never_spikes():
    table = Spiking(rest=0.5).table(2, torch.arange(1, 5))
    assert table.tolist() == [[0.5, 0.5, 0.5, 1.0], [0.5, 0.5, 1.0, 0.5]]


@pytest.mark.oracle("paper")
@pytest.mark.parametrize("k", [0.0, 0.5, 1.0, 3.0])
def test_decaying_is_its_formula(k):
    T, L = 7, 4
    table = Decaying(k=k).table(T, torch.arange(1, L + 1))
    for layer in range(1, L + 1):
        R = T - (L - layer)
        total = sum(math.exp(-k * i) for i in range(R))
        for t in range(T):
            j = t - (L - layer)
            expected = 0.0 if j < 0 else 1.0 if j == 0 else math.exp(-k * j) / 100 * total
            assert float(table[t, layer - 1]) == pytest.approx(expected, rel=1e-14)


def test_a_hand_written_table_is_used_as_it_stands():
    rows = ((1.0, 2.0), (0.0, 0.25))
    table = Table(rows=rows).table(2, torch.arange(1, 3))
    assert_close(table, torch.tensor(rows, dtype=torch.float64), rtol=0, atol=0)


def test_a_short_table_holds_its_last_row_and_one_column_serves_all_layers():
    table = Table(rows=((1.0,), (0.5,))).table(4, torch.arange(1, 4))
    assert table.tolist() == [[1.0] * 3, [0.5] * 3, [0.5] * 3, [0.5] * 3]


def test_a_long_table_is_cut():
    assert Table(rows=((1.0,), (2.0,), (3.0,))).table(2, torch.arange(2)).tolist() == [
        [1.0, 1.0],
        [2.0, 2.0],
    ]


def test_a_table_for_another_depth_is_refused_in_one_line():
    with pytest.raises(BadInput, match=r"^precision\.rows: 2 columns; 1, or one for each of 3"):
        Table(rows=((1.0, 2.0),)).table(4, torch.arange(3))


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("g", [0.1, 0.5, 1.0, 2.0])
def test_a_profile_is_geometric_over_depth_and_constant_in_time(g):
    table = Profile(g=g).table(3, torch.arange(1, 6))
    expected = torch.tensor([g**4, g**3, g**2, g, 1.0], dtype=torch.float64)
    assert_close(table, expected.expand(3, 5), rtol=1e-14, atol=0)


def test_a_profile_goes_by_depth_and_not_by_place():
    table = Profile(g=0.5).table(1, torch.tensor([1, 1, 2, 4]))
    assert table.tolist() == [[0.125, 0.125, 0.25, 1.0]]


# Learned -----------------------------------------------------------------------------------------


def errors_of(*energies, d=2, batch=1):
    """A linear network with zero weights, and states whose layers have these energies."""
    maps = [linear([[0.0] * d] * d) for _ in energies]
    net = chain(maps, [(d,)] * (len(maps) + 1))
    states = [column(*[0.0] * d).repeat(batch, 1)]
    for energy in energies:
        states.append(torch.full((batch, d), (2 * energy / d) ** 0.5, dtype=torch.float64))
    return net, states


def learnt(init, net, states, steps, precision=None):
    """Log precisions after so many steps at the same states."""
    memory = init.init(net.depth)
    for _ in range(steps):
        row = init.row(memory) if precision is None else precision
        memory = init.step(FreeEnergy(net, row, {0}), states, memory)
    return memory


@pytest.mark.oracle("closed form")
def test_v22_learned_precisions_settle_at_the_inverse_mean_square():
    net, states = errors_of(4.0, 0.25)
    row = learnt(Learned(rate=1.0), net, states, 100).exp()
    assert_close(row, torch.tensor([0.25, 4.0]).double(), rtol=1e-12, atol=0)
    energies = FreeEnergy(net, row, {0}).energies(states)[:, 0]
    assert_close(row * energies, torch.tensor([1.0, 1.0]).double(), rtol=1e-12, atol=0)


@pytest.mark.oracle("closed form")
def test_one_step_is_its_gradient_times_the_rate():
    # d/dlog Pi of (Pi |e|^2 - d log Pi) / 2d, by automatic differentiation, for the batch mean.
    problem, _ = labelled()
    made = relaxation(problem, init=Normal(sd=0.5), generator=torch.Generator().manual_seed(1))
    step = made.step()
    memory = torch.tensor([0.3, -0.2, 1.1], dtype=torch.float64)
    init = Learned(rate=0.7)
    found = init.step(step.free_energy, step.states, memory)
    log = memory.clone().requires_grad_()
    total = 0.0
    for k, e in enumerate(step.free_energy.errors(step.states)):
        d = e.shape[1]
        f = 0.5 * log[k].exp() * e.square().sum(1) - 0.5 * d * log[k]
        total = total + f.mean() / d
    (gradient,) = torch.autograd.grad(total, log)
    assert_close(found, memory - 0.7 * gradient, rtol=1e-13, atol=1e-14)


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("sizes", [(4, 6, 5, 3), (3, 20, 2)])
def test_states_and_precisions_together_come_to_equal_shares_of_each_unit(sizes):
    # At the joint stationary point Pi_l <E_l> = d_l / 2 in every layer, and dF/dh = 0.
    problem = tanh_mlp(sizes=sizes, batch=30)
    made = relaxation(
        problem,
        init=Normal(sd=1.0),
        precision=Learned(rate=0.2, bound=3.0),
        dynamics=GradientDescent(0.03),
        steps=1500,
        generator=torch.Generator().manual_seed(0),
    )
    made.run()
    step = made.step()
    row = step.free_energy.precision
    product = row * step.free_energy.energies(step.states).mean(1)
    half = torch.tensor(sizes[1:]).double() / 2
    inside = row.log().abs() < 3.0 - 1e-6
    assert bool(inside.any())
    assert_close(product[inside], half[inside], rtol=1e-3, atol=0)
    assert bool((product[~inside] < half[~inside]).all())  # those at the bound would weigh more


def test_the_log_precision_stays_within_its_bound():
    net, states = errors_of(1e9, 1e-9, 0.0)
    for bound in (7.0, 0.5, 0.0):
        found = learnt(Learned(rate=2.0, bound=bound), net, states, 200)
        assert found.tolist() == [-bound, bound, bound]


@pytest.mark.oracle("closed form")
def test_layers_that_the_error_has_not_reached_drift_up_by_half_the_rate():
    made = relaxation(tanh_mlp(), init=Forward(), precision=Learned(rate=0.1), steps=5)
    for step in made:
        t = step.moment.t
        for layer in range(1, 5):
            if t <= 5 - layer:
                assert_close(
                    step.free_energy.precision[layer - 1].log(),
                    torch.tensor(0.05 * t, dtype=torch.float64),
                    rtol=1e-12,
                    atol=1e-15,
                )


def test_the_step_uses_the_states_before_their_update():
    made = relaxation(tanh_mlp(), init=Normal(sd=0.5), precision=Learned(), steps=6)
    memory = Learned().init(made.network.depth)
    for step in made:
        assert_close(step.free_energy.precision, memory.exp(), rtol=1e-13, atol=0)
        memory = Learned().step(step.free_energy, step.states, memory)


def test_a_layer_outside_the_energy_window_does_not_learn():
    made = relaxation(tanh_mlp(), init=Normal(sd=0.5), precision=Learned(), steps=6)
    made.recipe = replace(made.recipe, window=True)
    for step in made:
        t, log = step.moment.t, made.precisions[1]
        for layer in range(1, 6):
            assert (float(log[layer - 1]) == 0.0) == (t <= 5 - layer)


def test_a_layer_with_another_energy_stays_at_one():
    problem, _ = labelled()
    problem[0].give_output_energy(CrossEntropy())
    made = relaxation(problem, init=Normal(sd=0.5), precision=Learned(), steps=8)
    made.run()
    row = made.step().free_energy.precision
    assert float(row[-1]) == 1.0
    assert bool((row[:-1] != 1.0).all())


def test_the_output_precision_multiplies_the_whole_output_and_leaves_its_fixed_point():
    net, states = errors_of(4.0, 0.25)
    learned, memory = Learned(rate=1.0), Learned().init(net.depth)
    for _ in range(100):
        row = learned.row(memory) * torch.tensor([1.0, 10.0]).double()
        memory = learned.step(FreeEnergy(net, row, {0}), states, memory)
    assert_close(memory.exp(), torch.tensor([0.25, 4.0]).double(), rtol=1e-12, atol=0)


def test_duplicated_samples_do_not_change_what_is_learnt():
    net, states = errors_of(4.0, 0.25)
    twice = [h.repeat(2, 1) for h in states]
    assert_close(learnt(Learned(), net, twice, 9), learnt(Learned(), net, states, 9))


def test_a_step_leaves_the_memory_that_it_was_given():
    net, states = errors_of(4.0, 0.25)
    memory = Learned().init(net.depth)
    Learned().step(FreeEnergy(net, memory.exp(), {0}), states, memory)
    assert not memory.any()


@pytest.mark.parametrize("dynamics", ["GradientDescent", "Nesterov", "Adam"])
def test_learned_precisions_come_back_with_a_snapshot(dynamics):
    made = relaxation(
        tanh_mlp(),
        init=Normal(sd=0.5),
        precision=Learned(rate=0.5),
        dynamics=make("dynamics", dynamics),
        steps=12,
    )
    for _ in range(5):
        made.advance()
    snapshot = made.snapshot()
    ends = []
    for _ in range(2):
        made.run()
        ends.append([*made.states, made.precisions[1]])
        made.restore(snapshot)
    assert all(map(torch.equal, *ends))
    assert not torch.equal(ends[0][-1], made.precisions[1])


def test_the_trace_tells_what_learned_precisions_pay():
    # F_l = weight (Pi E - d/2 log Pi): its log term is the second half, layer by layer.
    made = relaxation(tanh_mlp(), init=Normal(sd=0.5), precision=Identity(), steps=8)
    trace, recorder = Trace(made.network), Recorder(made.network, 4)
    logs = []
    for row, step in enumerate(made):
        if step.moment.t == 3:
            made.recipe = replace(made.recipe, precision=Learned(rate=0.5), output_precision=4.0)
        if step.moment.t == 6:
            made.recipe = replace(made.recipe, window=True)
        if made.recipe.to_dict() not in trace.recipes:
            trace.recipes.append(made.recipe.to_dict())
        recorder.take(made, row=row, batch=0, recipe_id=len(trace.recipes) - 1)
        logs.append(made.precisions[1].numpy() if row >= 3 else np.zeros(5))
    trace.append(recorder.drain())
    found = trace.dataset().log_term
    assert found.attrs["units"] == "nat"
    half = np.array([4, 4, 4, 4, 1.5])
    weight = np.array([1, 1, 1, 1, 4.0])
    counts = trace.dataset().precision.values > 0
    expected = -np.array(logs) * half * weight
    np.testing.assert_allclose(found, np.where(counts, expected, 0.0), rtol=1e-12, atol=1e-13)
    assert not found[:4].values.any()  # identity, and the first row, where log Pi = 0
    assert found[5].values.all()


def test_a_trace_without_learned_precisions_has_a_log_term_of_zero():
    made = relaxation(tanh_mlp(), precision=Spiking(), steps=3)
    trace, recorder = Trace(made.network), Recorder(made.network, 4)
    trace.recipes.append(made.recipe.to_dict())
    for row, _ in enumerate(made):
        recorder.take(made, row=row, batch=0, recipe_id=0)
    trace.append(recorder.drain())
    assert not trace.dataset().log_term.values.any()
