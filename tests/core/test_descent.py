"""A rise of F is flagged where descent was promised, at its first row, and nowhere else."""

import numpy as np
import pytest

from core import Experiment, Recorder, Trace, make
from core.descent import Descent
from core.dynamics.gradient import GradientDescent, HeavyBall
from core.learning.local import Incremental
from core.recording import record
from tests.problems import linear_net, relaxation, scalar_net

CALM = Experiment(dynamics=GradientDescent(0.1)).recipe.to_dict()


def trace_of(problem, **choices):
    """A recorded relaxation that knows its recipe."""
    made = relaxation(problem, **choices)
    trace = Trace(made.network)
    trace.recipes.append(made.recipe.to_dict())
    record(made, trace, Recorder(made.network, 1, capacity=64))
    return trace


def rows(totals, start=0, **changes):
    count = len(totals)
    held = {
        "t": np.arange(start, start + count),
        "batch": np.zeros(count, int),
        "phase": np.array(["relax"] * count),
        "recipe_id": np.zeros(count, int),
        "precision": np.ones((count, 2)),
    }
    return held | changes, np.array(totals, dtype=float)


@pytest.fixture
def watch():
    trace = Trace(linear_net()[0])
    trace.recipes.append(CALM)
    return Descent(trace)


def test_a_rate_above_the_stable_one_is_flagged_at_its_first_rise():
    # dF/dh_1 = 10 (h_1 - 1.7) from h_1 = 2: at rate 0.25 the distance goes by -1.5, F - 0.05 by
    # 2.25 from 0.45.
    trace = trace_of(scalar_net(), dynamics=GradientDescent(0.25), steps=3)
    wanted = "F rises at step 1 of batch 0, from 0.5 to 1.0625: lower dynamics.rate"
    assert trace.dataset().attrs["rises"] == wanted


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.15])
def test_a_stable_rate_is_not_flagged_however_long(rate):
    trace = trace_of(scalar_net(), dynamics=GradientDescent(rate), steps=300)
    assert trace.dataset().attrs["rises"] == ""


def test_momentum_promises_nothing():
    trace = trace_of(linear_net(), dynamics=HeavyBall(0.1, 0.9), steps=30)
    totals = (trace.dataset().energy * trace.dataset().precision).sum("layer").values
    assert (np.diff(totals) > 0).any()  # V19: 2.18 and then 2.41
    assert trace.dataset().attrs["rises"] == ""


def test_weights_that_move_on_the_way_break_no_promise(watch):
    watch.trace.recipes[0] = CALM | {"learning": {"name": type(Incremental()).__name__}}
    watch.look(*rows([1.0, 2.0]))
    assert "rises" not in watch.trace.attrs


def test_a_schedule_changes_F_and_that_is_no_rise():
    table = make("precision", "Table", {"rows": [[1.0], [10.0]]})
    trace = trace_of(linear_net(), precision=table, dynamics=GradientDescent(0.01), steps=3)
    data = trace.dataset()
    assert (np.diff((data.energy * data.precision).sum("layer")) > 0).any()
    assert data.attrs["rises"] == ""


@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_first_rise_is_found_however_the_rows_are_handed_over(watch, size):
    totals = [5.0, 4.0, 3.0, 3.5, 2.0, 9.0]
    for start in range(0, len(totals), size):
        watch.look(*rows(totals[start : start + size], start))
    wanted = "F rises at step 3 of batch 0, from 3 to 3.5: lower dynamics.rate"
    assert watch.trace.attrs["rises"] == wanted


@pytest.mark.parametrize(
    "changes",
    [
        {"t": np.array([0, 2])},
        {"t": np.array([5, 0])},
        {"batch": np.array([0, 1])},
        {"phase": np.array(["free", "plus"])},
        {"precision": np.array([[1.0, 1.0], [1.0, 2.0]])},
    ],
)
def test_rows_that_do_not_follow_each_other_are_not_compared(watch, changes):
    watch.look(*rows([1.0, 2.0], **changes))
    assert "rises" not in watch.trace.attrs


def test_a_changed_recipe_begins_anew(watch):
    watch.trace.recipes.append(CALM)
    watch.look(*rows([1.0, 2.0, 1.5], recipe_id=np.array([0, 1, 1])))
    assert "rises" not in watch.trace.attrs


def test_rounding_is_no_rise(watch):
    eps = watch.trace.eps
    watch.look(*rows([1.0, 1e-9, 1e-9 + 100 * eps]))
    assert "rises" not in watch.trace.attrs
    watch.look(*rows([1e-9 + 2000 * eps], start=3))
    assert "rises at step 3" in watch.trace.attrs["rises"]


def test_numbers_that_are_not_finite_are_left_to_the_guard(watch):
    watch.look(*rows([1.0, np.nan, np.nan]))
    assert "rises" not in watch.trace.attrs


def test_a_trace_without_recipes_promises_nothing():
    trace = Trace(linear_net()[0])
    Descent(trace).look({}, np.ones(3))
    assert trace.attrs == {}
