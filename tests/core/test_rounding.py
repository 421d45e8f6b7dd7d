"""The rounding floor: by hand, and where single precision parts from double precision."""

import numpy as np
import pytest
import torch

from core import Recorder, Trace
from core.dynamics.gradient import GradientDescent
from core.recorder import FULL, LEAN
from core.rounding import floor_of, rounded
from tests.faults.share import few
from tests.problems import relaxation, tanh_mlp

EPS = 2.0**-23


def traced(dtype, sizes, rate, steps, *, level=FULL, seed=0):
    """A relaxation from a forward sweep; the weights and ends are single precision in both."""
    network, clamped = tanh_mlp(sizes, seed=seed)
    network = network.float().to(dtype)
    held = {i: value.float().to(dtype) for i, value in clamped.items()}
    made = relaxation((network, held), dynamics=GradientDescent(rate), steps=steps)
    trace = Trace(network)
    recorder = Recorder(network, len(made.states[0]), level=level)
    for row, _ in enumerate(made):
        recorder.take(made, row=row, batch=0, recipe_id=0)
    trace.append(recorder.drain())
    return trace.dataset()


@pytest.mark.oracle("closed form")
def test_the_floor_is_half_the_squared_rounding_of_all_units_and_grows_with_the_updates():
    floor = floor_of([8, 2], eps=1e-3, activity=[[2.0, 0.5], [1.0, 3.0]], t=[0, 4])
    once = np.array([[8 * (2e-3) ** 2 / 2, 2 * (5e-4) ** 2 / 2], [8 * 1e-6 / 2, 2 * 9e-6 / 2]])
    np.testing.assert_allclose(floor, once * [[1], [5]])
    np.testing.assert_allclose(floor_of([8, 2], eps=1e-3, activity=[2.0, 0.5]), once[0])


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_states_that_are_rounded_at_each_of_t_updates_stay_below_the_floor(dtype):
    # A walk whose true steps are known: what storing it in a dtype has added is only rounding.
    random = np.random.default_rng(0)
    h = random.standard_normal((50, 400))  # samples, units
    true, stored = h.astype(dtype).astype(float), h.astype(dtype)
    for t in range(1, 40):
        by = 0.01 * random.standard_normal(h.shape)
        true, stored = true + by, (stored.astype(float) + by).astype(dtype)
        energy = 0.5 * np.square(stored.astype(float) - true).sum(1).mean()
        floor = floor_of([400], float(np.finfo(dtype).eps), float(np.sqrt(np.mean(true**2))), t)
        # Half a spacing at most, evenly spread: u^2 / 3 a unit and update with u = eps |h| / 2, and
        # the spacing is between eps |h| and half of it.
        assert 1 / 48 * 0.9 <= energy / floor.item() <= 1 / 12


def test_a_state_that_is_zero_has_a_floor_far_below_others():
    floor = floor_of([4, 4], eps=1e-7, activity=[0.0, 1.0])
    assert 0 < floor[0] < 1e-10 * floor[1]


def test_zero_is_marked_and_what_has_diverged_is_not():
    energy = [0.0, 1e-9, 1.1e-9, np.inf, np.nan]
    assert rounded(energy, 1e-9).tolist() == [True, True, False, False, False]


DEEP = [
    ((16,) * 12 + (4,), 0.01, 60),
    ((32,) * 12 + (10,), 0.001, 400),
    ((8,) * 10 + (3,), 0.003, 300),
    ((32,) * 12 + (10,), 0.1, 30),
]


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize(
    ("seed", "level"), few([(0, FULL), (1, FULL), (1, LEAN), (0, LEAN)], nth=2)
)
@pytest.mark.parametrize(("sizes", "rate", "steps"), DEEP)
def test_what_double_precision_contradicts_is_marked_and_what_it_confirms_is_not(
    sizes, rate, steps, seed, level
):
    single = traced(torch.float32, sizes, rate, steps, level=level, seed=seed)
    double = traced(torch.float64, sizes, rate, steps, level=level, seed=seed)
    got, true = single.energy.values.astype(float), double.energy.values
    marked = single.rounding.values
    wrong = (got > 2 * true) | (true > 2 * got)
    assert (wrong & (got > 0)).sum() > 5  # noise, not only what was lost
    assert marked[wrong].all()
    agrees = np.abs(got - true) <= 0.01 * true
    once = single.layer_size.values * EPS**2 / 2  # a single rounding of states of size one
    all_of_them = 1.02 * (1 + single.t.values[:, None]) * once  # after t updates; 0.01 to agree
    assert not marked[agrees & (true > np.maximum(100 * once, all_of_them))].any()
    assert (agrees & ~marked & (true > 0)).sum() > len(true)


@pytest.mark.oracle("other implementation")
def test_in_double_precision_only_what_is_below_its_own_floor_is_marked():
    sizes, rate, steps = DEEP[0]
    single = traced(torch.float32, sizes, rate, steps)
    double = traced(torch.float64, sizes, rate, steps)
    energy, size, t = double.energy.values, double.layer_size.values, double.t.values[:, None]
    a = double.activity.values[:, 1:]
    above = energy > (1 + t) * size * (2.0**-52 * a) ** 2 / 2
    assert double.rounding.dtype == bool
    np.testing.assert_array_equal(double.rounding.values, ~above)
    lost = single.rounding.values & above
    assert lost.sum() > 100  # single precision has no number there, double precision has one


def test_a_lean_trace_takes_its_states_as_of_size_one():
    full, lean = (traced(torch.float32, (6, 5, 4, 3), 0.1, 4, level=n) for n in (FULL, LEAN))
    t, size = lean.t.values[:, None], lean.layer_size.values
    np.testing.assert_allclose(lean.floor, (1 + t) * size * EPS**2 / 2)
    hidden = full.activity.values[:, 1:-1]
    assert (hidden < 1).all()  # tanh
    assert (full.floor.values[:, :-1] < lean.floor.values[:, :-1]).all()
