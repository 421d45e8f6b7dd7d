"""Diagnostics: alignment with backprop, and where a relaxation diverged."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from core import chain
from core.diagnostics import alignment, by_layer, diverged, likeness
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


@pytest.mark.oracle("other implementation")
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


class Given(PredictiveCoding):
    """A rule whose update is handed in."""

    def __init__(self, *update):
        object.__setattr__(self, "update", [torch.tensor(g, dtype=torch.float64) for g in update])

    def gradients(self, step):
        return self.update


def compared(*update, maps=([[1.0, 2.0], [3.0, 4.0]],)):
    """The likeness of an update of a linear layer, x = (1, 1), y = 0: backprop has mu x^T."""
    network = chain([linear(W) for W in maps], [(2,)] * (len(maps) + 1))
    step = row((network, {0: torch.ones(1, 2).double(), len(maps): torch.zeros(1, 2).double()}))
    return likeness(replace(step, recipe=replace(step.recipe, learning=Given(*update))))


@pytest.mark.oracle("closed form")
def test_ratio_and_agreement_by_hand():
    # mu = (3, 7): backprop's gradient is ((3, 3), (7, 7)), of norm sqrt(116).
    found = compared([[6.0, 6.0], [14.0, -14.0]])
    assert_close(found.ratio, torch.tensor([2.0]).double())
    assert_close(found.agreement, torch.tensor([0.75]).double())
    assert_close(found.cosine, torch.tensor([(18 + 18 + 98 - 98) / 232]).double())


def test_weights_that_backprop_leaves_alone_count_for_no_agreement():
    # mu = (3, 0): backprop's gradient is ((3, 3), (0, 0)).
    found = compared([[1.0, 0.0], [5.0, -5.0]], maps=([[1.0, 2.0], [1.0, -1.0]],))
    assert_close(found.agreement, torch.tensor([0.5]).double())


def test_no_update_has_ratio_zero_and_no_agreement():
    found = compared([[0.0, 0.0], [0.0, 0.0]])
    assert found.ratio.tolist() == [0.0]
    assert found.agreement.isnan().all() and found.cosine.isnan().all()


def test_where_backprop_has_no_update_there_is_no_ratio():
    for update in ([[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]):
        found = compared(update, maps=([[1.0, -1.0], [2.0, -2.0]],))
        for one in (found.cosine, found.ratio, found.agreement):
            assert not torch.isfinite(one).any()


def test_a_tiny_update_keeps_its_ratio():
    found = compared([[3e-200, 3e-200], [7e-200, 7e-200]])
    assert_close(found.ratio, torch.tensor([1e-200], dtype=torch.float64), rtol=1e-12, atol=0)


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_backprop_is_as_large_as_itself_and_agrees_with_itself(problem):
    found = likeness(row(problem(), learning=Backprop()))
    assert_close(found.ratio, torch.ones_like(found.ratio))
    assert_close(found.agreement, torch.ones_like(found.agreement))


@pytest.mark.oracle("closed form")
def test_v4_the_ratio_of_the_relaxed_update():
    step = row(linear_net(), dynamics=GradientDescent(0.4), steps=100)
    # Norms of the printed gradients, e.g. |(.23790642, -.47581285, -1.02894528, 2.05789056)|.
    own = [
        (0.23790642, -0.47581285, -1.02894528, 2.05789056),
        (-0.21847394, -1.35089720, 0.05263750, 0.32547523),
        (0.29755912, -0.51596860, 0.20158340, -0.34954636),
    ]
    reference = [(-0.375, 0.75, -4.875, 9.75), (0, -9.375, 0, 5.625), (8.125, -4.0625, 2.5, -1.25)]
    norms = [math.hypot(*a) / math.hypot(*b) for a, b in zip(own, reference, strict=True)]
    found = likeness(step)
    assert_close(found.ratio, torch.tensor(norms).double(), rtol=1e-7, atol=0)
    # Signs that agree: W_1 has 2 of 4 (its first row is reversed), W_2 both that backprop moves,
    # W_3 all.
    assert_close(found.agreement, torch.tensor([0.5, 1.0, 1.0]).double())


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
        ([-1.0, -1.0, -1.0, -1.0, -1.0, -9e5, -1.1e6], 6),
    ],
)
def test_divergence_is_not_finite_or_a_million_times_the_first_five_rows(total, at):
    assert diverged(torch.tensor(total, dtype=torch.float64)) == at


def test_the_rounding_floor_stands_for_a_start_without_energy():
    total = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, 1e-9, 1.0], dtype=torch.float64)
    assert diverged(total, floor=1e-12) == 6
    assert diverged(total, floor=1e-3) is None


def test_a_negative_nudge_is_no_start_without_energy():
    total = torch.tensor([0.0, -0.01, -0.05, -0.08, -0.11, 0.0, 0.12], dtype=torch.float64)
    assert diverged(total, floor=1e-12) is None


@pytest.mark.oracle("closed form")
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
