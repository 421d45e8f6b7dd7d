"""Differences, partings, bands, distances and axes against numbers that are written by hand."""

import numpy as np
import pytest
import xarray as xr

from core import Experiment, make
from core.catalogue import BadInput
from core.theory import smm
from workbench import comparing as c
from workbench.compare_axes import BATCHES, SMM, STEPS, TIME, places
from workbench.compare_experiments import differing, other_images, seed_groups
from workbench.compare_states import RELATIVE, distances

EPS = float(np.finfo(np.float64).eps)


def lane(energy, *, step=None, batch=None, t=None, T=None, recipe_id=None, seconds=None, **held):
    """A lane with these energies, (rows, L), layers of four units, no activities."""
    energy = np.asarray(energy, float)
    n, L = energy.shape
    batch = np.zeros(n, int) if batch is None else np.asarray(batch)
    t = np.arange(n) - np.searchsorted(batch, batch) if t is None else np.asarray(t)
    coords = {
        "step": np.arange(n) if step is None else np.asarray(step),
        "batch": ("step", batch),
        "t": ("step", t),
        "T": ("step", np.full(n, n - 1 if T is None else T)),
        "phase": ("step", np.full(n, "relax")),
        "recipe_id": ("step", np.zeros(n, int) if recipe_id is None else np.asarray(recipe_id)),
        "layer": np.arange(1, L + 1),
        "depth": ("layer", np.arange(1, L + 1)),
        "layer_size": ("layer", np.full(L, 4)),
        "state": np.arange(L + 1),
        "state_size": ("state", np.full(L + 1, 4)),
    }
    if seconds is not None:
        coords["seconds"] = ("step", np.asarray(seconds, float))
    made = {"energy": (("step", "layer"), energy), **held}
    return xr.Dataset(made, coords, {"eps": EPS})


def floors(rows):
    """d (1 + t) eps^2 / 2 for four units and states of RMS 1."""
    return 2 * (1 + np.arange(rows)) * EPS**2


# Rows side by side


def test_lanes_are_compared_at_the_steps_that_both_have_and_nowhere_else():
    a = lane([[1.0], [10.0], [100.0], [1e3]], step=[0, 1, 2, 3])
    b = lane([[2.0], [20.0], [9.0]], step=[1, 3, 7])
    found = c.difference(a, b, "energy")
    assert found.step.tolist() == [1, 3]
    np.testing.assert_allclose(found.values[:, 0], [np.log10(10 / 2), np.log10(1e3 / 20)])


def test_lanes_of_other_batch_lengths_are_out_of_step_from_the_first_row_that_differs():
    a = lane(np.ones((6, 1)), batch=[0, 0, 0, 1, 1, 1])
    b = lane(np.ones((6, 1)), batch=[0, 0, 0, 0, 1, 1])
    assert c.out_of_step(a, b) == 3
    assert c.out_of_step(a, a) is None


# Differences


def test_a_difference_of_energies_is_in_decades_and_turns_its_sign_with_the_lanes():
    a, b = lane([[1.0, 1e-3]]), lane([[1e-2, 1e-3]])
    np.testing.assert_allclose(c.difference(a, b, "energy").values, [[2.0, 0.0]], atol=1e-15)
    np.testing.assert_allclose(c.difference(b, a, "energy").values, [[-2.0, 0.0]], atol=1e-15)


def test_a_layer_that_only_one_has_reached_is_marked_and_has_no_number():
    a = lane([[1.0, 0.0, 1.0, 0.0]])
    b = lane([[1.0, 1.0, 0.0, 0.0]])
    found = c.difference(a, b, "energy")
    assert found.there.tolist() == [[c.BOTH, c.ONLY_B, c.ONLY_A, c.NEITHER]]
    assert np.isnan(found.values[0, 1:]).all()
    at_least = np.log10(1.0 / floors(1)[0])  # 1 nat above what rounding leaves of four units
    np.testing.assert_allclose(found.bound[0, 1:3], [-at_least, at_least])
    assert np.isnan(found.bound[0, [0, 3]]).all()


def test_cosines_are_subtracted():
    held = [(("step", "layer"), np.array([[v, -0.5]])) for v in (0.25, 0.75)]
    a, b = (lane([[1.0, 1.0]], alignment=one) for one in held)
    found = c.difference(a, b, "alignment")
    assert found.values.tolist() == [[-0.5, 0.0]]
    assert not found.log


def test_networks_of_other_depth_are_refused_with_both_numbers():
    with pytest.raises(BadInput, match="2 in A, 3 in B"):
        c.difference(lane(np.ones((1, 2))), lane(np.ones((1, 3))), "energy")


def test_what_was_not_logged_is_said_of_the_lane_that_lacks_it():
    a = lane([[1.0]], error=(("step", "layer"), [[0.5]]))
    with pytest.raises(BadInput, match="B: not logged: error"):
        c.difference(a, lane([[1.0]]), "error")
    assert c.absent(a, "error") == ""
    assert c.absent(a, "F") == "not logged: precision"


# Where two part


def test_two_part_at_the_first_step_beyond_the_amount_in_the_layer_that_differs_most():
    a = lane([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    b = lane([[1.0, 1.0], [1.2, 1.0], [3.0, 0.1], [9.0, 9.0]])
    found = c.parting(c.difference(a, b, "energy"), 0.3)
    assert found is not None
    assert (found.step, found.layer, found.there) == (2, 2, c.BOTH)
    assert found.by == pytest.approx(1.0)  # log10(1 / 0.1)
    assert c.parting(c.difference(a, a, "energy"), 0.0) is None


def test_noise_about_the_rounding_floor_does_not_part_two_lanes():
    floor = floors(1)[0]
    a, b = lane([[1.0, 1.5 * floor]]), lane([[1.0, 0.9 * floor]])
    found = c.difference(a, b, "energy")
    assert found.there[0, 1] == c.ONLY_A
    assert c.parting(found, 0.3) is None  # at least 1.5, which is 0.18 decades
    parted = c.parting(found, 0.1)
    assert parted is not None and parted.there == c.ONLY_A
    assert parted.by == pytest.approx(np.log10(1.5))


# Bands


def test_a_band_of_means_is_numpys_mean_and_sample_deviation():
    stack = np.random.default_rng(0).normal(size=(5, 7))
    found = c.band(stack, c.MEAN)
    np.testing.assert_allclose(found.centre, stack.mean(0))
    np.testing.assert_allclose(found.high - found.centre, stack.std(0, ddof=1))
    np.testing.assert_allclose(found.centre - found.low, stack.std(0, ddof=1))
    assert found.count == "n = 5"


def test_a_band_of_medians_is_between_the_quartiles():
    found = c.band(np.array([[0.0], [1.0], [2.0], [3.0], [10.0]]), c.MEDIAN)
    assert (found.low[0], found.centre[0], found.high[0]) == (1.0, 2.0, 3.0)


@pytest.mark.parametrize("how", [c.MEAN, c.MEDIAN])
def test_what_has_no_value_counts_in_no_band(how):
    stack = np.array([[1.0, 1.0, np.nan], [3.0, np.nan, np.nan], [np.nan, np.nan, np.nan]])
    found = c.band(stack, how)
    assert found.n.tolist() == [2, 1, 0]
    assert found.count == "n = 1 to 2"
    np.testing.assert_allclose(found.centre, [2.0, 1.0, np.nan])
    assert np.isfinite(found.low).tolist() == [True, False, False]


def test_samples_of_the_energy_add_up_to_their_mean():
    each = np.random.default_rng(1).uniform(0.1, 1, size=(4, 3, 6))  # (rows, layers, samples)
    held = (("step", "layer", "sample"), each)
    trace = lane(each.mean(-1), energy_sample=held)
    found = c.sample_curves(trace, "E")
    assert found.shape == (6, 4)
    np.testing.assert_allclose(found.mean(0), c.curve(trace, "E"))
    with pytest.raises(BadInput, match="no energies of single samples"):
        c.sample_curves(lane([[1.0]]), "E")


def test_the_share_of_depth_ends_at_one_for_any_depth():
    assert c.depth_share([1, 2, 4]).tolist() == [0.25, 0.5, 1.0]


# Distance between states


def states(*arrays):
    """A lane with these states, each (rows, samples, units)."""
    return {
        f"state_{k}": (("step", "sample", f"unit_{k}"), np.asarray(one, float))
        for k, one in enumerate(arrays)
    }


def test_the_distance_of_states_is_the_norm_of_their_difference_by_root_of_the_count():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 3, 4, 5))
    a, b = lane(np.ones((3, 1)), **states(x, x)), lane(np.ones((3, 1)), **states(x, y))
    found = distances(a, b)
    assert found.state.tolist() == [0, 1]
    np.testing.assert_array_equal(found.values[:, 0], 0.0)
    by_row = [np.linalg.norm(x[k] - y[k]) / np.sqrt(20) for k in range(3)]
    np.testing.assert_allclose(found.values[:, 1], by_row)


def test_opposite_states_are_two_apart_relative_to_themselves_and_equal_ones_zero():
    x = np.random.default_rng(3).normal(size=(2, 4, 5))
    a = lane(np.ones((2, 1)), **states(x, 0 * x))
    b = lane(np.ones((2, 1)), **states(-x, 0 * x))
    np.testing.assert_allclose(distances(a, b, RELATIVE).values, [[2.0, 0.0], [2.0, 0.0]])


def test_the_distance_does_not_depend_on_how_many_rows_are_read_at_once(monkeypatch):
    x, y = np.random.default_rng(4).normal(size=(2, 7, 3, 2))
    a, b = lane(np.ones((7, 1)), **states(x)), lane(np.ones((7, 1)), **states(y))
    whole = distances(a, b).values
    monkeypatch.setattr("workbench.compare_states.BLOCK", 100)
    np.testing.assert_array_equal(distances(a, b).values, whole)


def test_states_of_other_shapes_have_no_distance():
    a = lane(np.ones((1, 1)), **states(np.ones((1, 2, 3))))
    b = lane(np.ones((1, 1)), **states(np.ones((1, 2, 4))))
    with pytest.raises(BadInput, match=r"\(2, 3\) in A, \(2, 4\) in B"):
        distances(a, b)
    with pytest.raises(BadInput, match="none is recorded in both"):
        distances(a, lane([[1.0]]))


# Axes

SMALL = Experiment(network=make("network", "MLP", {"hidden": (4, 4)}), steps=3)


def batches_of(T, count, L=3, **options):
    """Whole batches of T + 1 rows."""
    number = np.repeat(np.arange(count), T + 1)
    return lane(np.ones((len(number), L)), batch=number, T=T, **options)


@pytest.mark.parametrize("init", ["Zero", "Forward"])
@pytest.mark.parametrize("learning", ["PredictiveCoding", "Backprop"])
def test_rows_stand_at_the_products_that_the_account_of_each_batch_gives(init, learning):
    experiment = SMALL.changed(init=make("init", init), learning=make("learning", learning))
    plain = experiment.to_dict()
    found = places(batches_of(3, 4), SMM, experiment=plain, recipes=[experiment.recipe.to_dict()])
    names = {"init": "plain" if init == "Zero" else "forward"}
    names["learning"] = "local" if learning == "PredictiveCoding" else "backprop"
    whole = smm(3, 3, **names)
    assert found[0] == whole.init
    np.testing.assert_allclose(found[3::4], whole.total * np.arange(1, 5) - whole.weights)
    np.testing.assert_allclose(np.diff(found[:4]), smm(3, 1, **names).relaxation)


def test_another_recipe_costs_its_own_from_its_first_update_on():
    errors = SMALL.changed(dynamics=make("dynamics", "ErrorBased")).recipe.to_dict()
    states_ = SMALL.recipe.to_dict()
    rows = batches_of(3, 1, recipe_id=[0, 1, 1, 1])  # updates: states, errors, errors
    found = places(rows, SMM, experiment=SMALL.to_dict(), recipes=[states_, errors])
    assert np.diff(found).tolist() == [2, 5, 5]  # 2, and 2L - 1


def test_batches_that_were_left_out_cost_as_much_as_those_that_stayed():
    kept = batches_of(3, 9).isel(step=np.r_[0:4, 16:20, 32:36])  # batches 0, 4, 8
    recipes = [SMALL.recipe.to_dict()]
    whole = places(batches_of(3, 9), SMM, experiment=SMALL.to_dict(), recipes=recipes)
    found = places(kept, SMM, experiment=SMALL.to_dict(), recipes=recipes)
    np.testing.assert_array_equal(found, whole[np.r_[0:4, 16:20, 32:36]])


def test_what_cannot_be_counted_is_refused_with_the_reason():
    with pytest.raises(BadInput, match="without an experiment"):
        places(batches_of(3, 1), SMM)
    exact = SMALL.changed(dynamics=make("dynamics", "ExactBlocks"))
    with pytest.raises(BadInput, match=r"SMM: .*has no account"):
        places(batches_of(3, 1), SMM, experiment=exact.to_dict(), recipes=[exact.recipe.to_dict()])


def test_a_count_that_was_logged_stands_where_its_batch_ends():
    logged = xr.Dataset({"smm": ("batch", [10.0, 30.0])}, {"batch": [0, 1]})
    found = places(batches_of(1, 2), SMM, batches=logged)
    np.testing.assert_array_equal(found, [np.nan, 10.0, np.nan, 40.0])


def test_time_is_refused_where_no_row_has_any():
    rows = lane(np.ones((2, 1)), seconds=[0.0, 0.5])
    assert places(rows, TIME).tolist() == [0.0, 0.5]
    for blind in (lane(np.ones((2, 1))), lane(np.ones((2, 1)), seconds=[np.nan, np.nan])):
        with pytest.raises(BadInput, match="not recorded"):
            places(blind, TIME)


def test_by_batches_only_last_rows_have_a_place():
    found = places(batches_of(2, 2), BATCHES)
    np.testing.assert_array_equal(found, [np.nan, np.nan, 0, np.nan, np.nan, 1])
    assert places(batches_of(2, 1), STEPS).tolist() == [0, 1, 2]


# Experiments


def test_only_what_differs_is_listed_under_dotted_names():
    a = Experiment()
    b = a.changed(dynamics=make("dynamics", "GradientDescent", {"rate": 0.02}), seed=3)
    rows = dict(differing([a.to_dict(), b.to_dict()]))
    assert set(rows) == {"dynamics.rate", "seed"}
    assert rows["dynamics.rate"][1] == "0.02"
    assert rows["seed"] == ["0", "3"]
    assert differing([a.to_dict(), a.to_dict()]) == []


def test_a_dial_that_the_other_entry_does_not_have_is_a_dash():
    a = Experiment()
    b = a.changed(precision=make("precision", "Spiking", {"rest": 0.01}))
    rows = dict(differing([a.to_dict(), b.to_dict(), None]))
    assert rows["precision"] == ["Identity", "Spiking", "not known"]
    assert rows["precision.rest"] == ["–", "0.01", "not known"]


def test_experiments_that_differ_only_in_their_seed_are_one_group():
    base = Experiment()
    made = [base.changed(seed=0), base.changed(steps=5), base.changed(seed=7), None]
    plain = [None if one is None else one.to_dict() for one in made]
    assert seed_groups(plain) == [[0, 2]]
    assert seed_groups([plain[0], plain[0]]) == []


def test_it_is_said_whether_two_lanes_saw_the_same_images():
    a = Experiment()
    assert other_images(a.to_dict(), a.changed(steps=7).to_dict()) == ""
    assert "seed" in other_images(a.to_dict(), a.changed(seed=1).to_dict())
    assert "open" in other_images(a.to_dict(), None)
