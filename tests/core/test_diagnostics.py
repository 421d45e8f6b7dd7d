"""Diagnostics: alignment with backprop, and where a relaxation diverged."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from core import chain
from core.diagnostics import alignment, by_layer, diverged
from core.dynamics.gradient import GradientDescent
from core.free_energy import backprop_gradients
from core.inits.normal import Normal
from core.inits.zero import Zero
from core.learning.backprop import Backprop
from core.learning.local import ForwardUpdate, PredictiveCoding
from tests.problems import PROBLEMS, linear, linear_net, relaxation, scalar_net, tanh_mlp

INF, NAN = float("inf"), float("nan")


def row(problem, **choices):
    made = relaxation(problem, **{"steps": 4, **choices})
    made.run()
    return made.step()


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_backprop_is_aligned_with_itself(problem):
    cosines = alignment(row(problem(), learning=Backprop()))
    assert_close(cosines, torch.ones_like(cosines))


@pytest.mark.parametrize("rule", [PredictiveCoding(), ForwardUpdate()])
def test_alignment_is_the_cosine_of_the_flat_gradients(rule):
    step = row(tanh_mlp(), learning=rule, init=Normal(sd=0.5))
    network = step.free_energy.network
    own = rule.gradients(step)
    reference = backprop_gradients(network, {0: step.states[0]}, step.states[5])
    expected = []
    for i in range(5):  # weight and bias of each layer
        a, b = (
            torch.cat([g.flatten() for g in one[2 * i : 2 * i + 2]]) for one in (own, reference)
        )
        expected.append(nn.functional.cosine_similarity(a, b, dim=0))
    assert_close(alignment(step), torch.stack(expected))


def test_an_update_of_exactly_zero_has_no_direction():
    cosines = alignment(relaxation(tanh_mlp()).step())
    assert cosines[:4].isnan().all()
    assert_close(cosines[4], torch.ones(()).double())


def test_a_tiny_update_keeps_its_direction():
    # Squares of 1e-200 are zero in float64, cosines are not.
    step = row(linear_net(), dynamics=GradientDescent(0.1))

    class Tiny(PredictiveCoding):
        def gradients(self, step):
            found = super().gradients(step)
            return [1e-200 * g for g in found]

    tiny = replace(step, recipe=replace(step.recipe, learning=Tiny()))
    assert_close(alignment(tiny), alignment(step))


def test_a_layer_without_weights_has_no_direction():
    network = chain([linear([[2.0]]), nn.Tanh(), linear([[3.0]])], [(1,)] * 4)
    one = torch.ones(1, 1).double()
    cosines = alignment(row((network, {0: one, 3: one})))
    assert cosines.isnan().tolist() == [False, True, False]


def test_where_the_bottom_is_free_backprop_starts_from_it_as_it_stands():
    network, clamped = tanh_mlp()
    step = row((network, {5: clamped[5]}), init=Normal(sd=1.0), learning=Backprop())
    assert_close(alignment(step), torch.ones(5).double())


def test_gradients_are_gathered_by_layer_in_depth_order():
    network, _ = tanh_mlp()
    numbered = [torch.full_like(p, k) for k, p in enumerate(network.parameters())]
    found = by_layer(network, numbered)
    assert [one.unique().tolist() for one in found] == [[2 * i, 2 * i + 1] for i in range(5)]
    assert [len(one) for one in found] == [6 * 8 + 8, 72, 72, 72, 8 * 3 + 3]


def test_more_than_ten_layers_are_not_mixed_up():
    maps = [linear([[1.0]]) for _ in range(12)]
    network = chain(maps, [(1,)] * 13)
    numbered = [torch.full_like(p, k) for k, p in enumerate(network.parameters())]
    assert [float(one) for one in by_layer(network, numbered)] == list(range(12))


@pytest.mark.parametrize(
    ("total", "at"),
    [
        ([1.0, 2.0, 3.0], None),
        ([1.0, 2.0, 3.0, 2.0, 1.0, 2.9e6, 3.1e6], 6),
        ([1.0, NAN, 3.0], 1),
        ([1.0, 2.0, INF, NAN], 2),
        ([NAN], 0),
        ([INF, 1.0], 0),
        ([], None),
        ([0.0] * 7, None),
        ([0.0, 0.0, 0.0, 0.0, 0.0, NAN], 5),
        ([5.0, 1.0, 1.0, 1.0, 1.0, 4.9e6], None),
        ([5.0, 1.0, 1.0, 1.0, 1.0, 5.1e6, 1.0], 5),
        ([1.0, 1.0, 1.0, 1.0, 1e5, 1e10, 1e12], 6),
    ],
)
def test_divergence_is_not_finite_or_a_million_times_the_first_five_rows(total, at):
    assert diverged(torch.tensor(total, dtype=torch.float64)) == at


def test_the_rounding_floor_stands_for_a_start_without_energy():
    total = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, 1e-9, 1.0], dtype=torch.float64)
    assert diverged(total, floor=1e-12) == 6
    assert diverged(total, floor=1e-3) is None


@pytest.mark.parametrize("init", [None, Zero()])
def test_v2_too_large_a_rate_is_found_at_the_row_where_it_passes_the_limit(init):
    # h_1 - 1.7 is multiplied by 1 - 10 alpha = -9 at rate 1, so that F - 0.05 grows by 81 a step.
    rows = list(relaxation(scalar_net(), dynamics=GradientDescent(1.0), init=init, steps=12))
    total = torch.stack([step.free_energy.total(step.states) for step in rows])
    off = float(rows[0].states[1]) - 1.7
    exact = [0.05 + 5 * (off * (-9) ** t) ** 2 for t in range(13)]
    assert_close(total, torch.tensor(exact, dtype=torch.float64))
    limit = 1e6 * max(exact[:5])
    assert diverged(total) == next(t for t, value in enumerate(exact) if value > limit)


def test_a_stable_relaxation_has_not_diverged():
    rows = relaxation(linear_net(), dynamics=GradientDescent(0.49), steps=60)
    assert diverged(torch.stack([s.free_energy.total(s.states) for s in rows])) is None
