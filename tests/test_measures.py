"""Measures against what their definitions give on energies written down by hand."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from workbench import measures

EPS = float(np.finfo(np.float64).eps)

IDENTITY = {
    "init": {"name": "Forward", "noise": 0.0},
    "precision": {"name": "Identity"},
    "dynamics": {"name": "GradientDescent", "rate": 0.1},
    "learning": {"name": "PredictiveCoding", "weighted": False},
    "steps": 2,
}
SPIKING = IDENTITY | {"precision": {"name": "Spiking", "rest": 0.01}}


def lane(energy, *, T=None, batch=None, recipe_id=None, sizes=None, **variables):
    """A trace with these energies, (rows, L), and any other variables as (dims, values)."""
    energy = np.asarray(energy, dtype=float)
    rows, L = energy.shape
    T = rows - 1 if T is None else T
    batch = np.zeros(rows, int) if batch is None else np.asarray(batch)
    recipe_id = np.zeros(rows, int) if recipe_id is None else np.asarray(recipe_id)
    starts = np.searchsorted(batch, batch)  # row at which each row's batch begins
    sizes = np.full(L + 1, 4) if sizes is None else np.asarray(sizes)
    layers = np.arange(1, L + 1)
    held = {
        "energy": (("step", "layer"), energy),
        "error": (("step", "layer"), np.sqrt(2 * np.abs(energy) / sizes[1:])),
        "precision": (("step", "layer"), np.ones_like(energy)),
    }
    coords = {
        "step": np.arange(rows),
        "t": ("step", np.arange(rows) - starts),
        "T": ("step", np.full(rows, T)),
        "batch": ("step", batch),
        "phase": ("step", np.full(rows, "relax")),
        "recipe_id": ("step", recipe_id),
        "layer": layers,
        "depth": ("layer", layers),
        "layer_name": ("layer", layers.astype(str)),
        "layer_size": ("layer", sizes[1:]),
        "state": np.arange(L + 1),
        "state_size": ("state", sizes),
    }
    attrs = {
        "eps": EPS,
        "recipes": json.dumps([IDENTITY, SPIKING, IDENTITY]),
        "events": "[]",
        "experiment": json.dumps(IDENTITY | {"schema": 1, "seed": 7, "batch_size": 5}),
    }
    return xr.Dataset(held | variables, coords, attrs)


def falling(L, rows=1):
    """E_l = 10^-l."""
    return np.tile(10.0 ** -np.arange(1, L + 1), (rows, 1))


def test_a_lean_trace_has_the_floor_of_states_of_one():
    lean = measures.floor(lane(falling(3)))
    np.testing.assert_allclose(lean, np.full((1, 3), 4 * EPS**2 / 2))
    activity = np.array([[9.0, 1.0, 2.0, 3.0]])  # state 0 is no layer
    full = measures.floor(lane(falling(3), activity=(("step", "state"), activity)))
    np.testing.assert_allclose(full, 4 * (EPS * activity[:, 1:]) ** 2 / 2)


def test_the_floor_that_a_trace_holds_is_the_one_that_is_used():
    trace = lane(falling(3, 2))
    made = measures.floor(trace)
    np.testing.assert_allclose(made, 4 * EPS**2 / 2 * np.array([[1] * 3, [2] * 3]))  # t = 0, 1
    held = trace.assign(floor=(("layer", "step"), np.full((3, 2), 0.05)))
    np.testing.assert_array_equal(measures.floor(held), np.full((2, 3), 0.05))
    assert measures.reached(held).values.tolist() == [[True, False, False]] * 2
    assert measures.rounding(held).values.tolist() == [[False, True, True]] * 2


def test_noise_is_neither_zero_nor_above_the_floor_nor_diverged():
    energy = [0.0, 1e-9, 1.1e-9, np.inf, np.nan]
    reached = measures.reached_of(energy, 1e-9)
    assert measures.noise_of(energy, reached).tolist() == [False, True, False, False, False]


def test_a_layer_is_reached_above_its_floor_and_only_if_finite():
    energy = [0.0, 1e-9, 1.1e-9, np.inf, np.nan]
    assert measures.reached_of(energy, 1e-9).tolist() == [False, False, True, False, False]


def test_energies_of_powers_of_ten_are_imbalanced_by_their_number_less_one():
    for L in (2, 5, 10):
        assert measures.imbalance(lane(falling(L))).item() == pytest.approx(L - 1)


def test_layers_that_are_not_reached_do_not_enter_the_imbalance():
    energy = falling(5)
    energy[0, [1, 3]] = 0.0, 1e-40
    trace = lane(energy)
    assert measures.imbalance(trace).item() == pytest.approx(4)
    assert measures.reached_count(trace).item() == 3


@pytest.mark.parametrize("energy", [[0, 0, 0], [0, 0, 1.0], [np.nan, 1.0, np.inf]])
def test_there_is_no_imbalance_of_fewer_than_two_layers(energy):
    assert np.isnan(measures.imbalance(lane([energy])).item())


def test_per_unit_the_imbalance_is_of_energies_divided_by_sizes():
    trace = lane([[1.0, 1.0]], sizes=[3, 1000, 10])
    assert measures.imbalance(trace).item() == 0
    assert measures.imbalance(trace, per="unit").item() == pytest.approx(2)
    with pytest.raises(ValueError, match=r"imbalance\.per: state; one of layer, unit"):
        measures.imbalance(trace, per="state")


def test_powers_of_ten_have_slope_minus_one_and_lie_on_a_line():
    found = measures.slope(lane(falling(6)))
    assert found["slope"].item() == pytest.approx(-1)
    assert found["r2"].item() == pytest.approx(1)


def test_the_slope_agrees_with_numpy_over_the_reached_layers():
    random = np.random.default_rng(0)
    energy = 10 ** random.normal(size=(20, 8))
    reached = random.random((20, 8)) < 0.7
    depth = np.array([1, 2, 3, 3, 4, 6, 7, 9])
    slope, r2 = measures.slope_of(np.where(reached, energy, 0), depth, reached)
    for k in range(20):
        x, y = depth[reached[k]], np.log10(energy[k, reached[k]])
        if len(x) < 3:
            assert np.isnan(slope[k]) and np.isnan(r2[k])
            continue
        np.testing.assert_allclose(slope[k], np.polyfit(x, y, 1)[0], atol=1e-12)
        np.testing.assert_allclose(r2[k], np.corrcoef(x, y)[0, 1] ** 2, atol=1e-12)


def test_equal_energies_have_slope_zero_and_no_r2():
    found = measures.slope(lane([[0.3, 0.3, 0.3, 0.3]]))
    assert found["slope"].item() == pytest.approx(0, abs=1e-12)
    assert np.isnan(found["r2"].item())


def test_two_layers_have_no_slope():
    found = measures.slope(lane([[0.0, 1.0, 0.1]]))
    assert np.isnan(found["slope"].item()) and np.isnan(found["r2"].item())


def test_one_layer_that_holds_all_is_an_effective_depth_of_one():
    assert measures.effective_depth(lane([[0, 0, 3.0, 0]])).item() == pytest.approx(1)


def test_equal_energies_are_an_effective_depth_of_all_layers():
    assert measures.effective_depth(lane([[0.2] * 7])).item() == pytest.approx(7)


def test_shares_are_of_the_bare_energy_and_undefined_without_any():
    share = measures.energy_share(lane([[1.0, 3.0], [0.0, 0.0]]))
    np.testing.assert_array_equal(share, [[0.25, 0.75], [np.nan, np.nan]])
    assert np.isnan(measures.effective_depth(lane([[0.0, 0.0]])).item())


def test_the_total_is_weighted_by_precision():
    trace = lane([[1.0, 10.0]]).assign(precision=(("step", "layer"), [[2.0, 0.5]]))
    found = measures.total_energy(trace)
    assert found["F"].item() == 7
    assert found["E"].item() == 11


def test_the_residual_is_over_units_of_states_that_feel_a_force():
    # Sizes 100, 2, 6, 50; the ends are clamped. sqrt((2 * 3^2 + 6 * 1^2) / 8) = sqrt(3).
    force = np.array([[0, 0, 1.0, 0], [0, 3.0, 1.0, 0]])
    trace = lane(falling(3, 2), sizes=[100, 2, 6, 50], force=(("step", "state"), force))
    np.testing.assert_allclose(measures.residual(trace), [np.sqrt(6 / 8), np.sqrt(3)])


def test_which_states_are_free_is_asked_in_each_batch():
    force = np.array([[0, 1.0], [0, 0], [1.0, 0], [0, 0]])
    free = measures.free_of(force, [4, 4, 5, 6])
    assert free.tolist() == [[False, True]] * 2 + [[True, False], [False, False]]
    np.testing.assert_array_equal(measures.residual_of(force, [1, 1], free), [1, 0, 1, 0])


def test_a_force_that_is_not_a_number_stays_in_the_residual():
    force = np.array([[0.0, np.nan]])
    assert np.isnan(measures.residual_of(force, [1, 1], measures.free_of(force, [0]))).all()


def test_measures_of_arrays_take_one_row_or_many():
    energy, depth = falling(4, 3) * np.array([[1.0], [2.0], [5.0]]), np.arange(4)
    reached = measures.reached_of(energy, 0.0)
    force = np.arange(12.0).reshape(3, 4)
    free = measures.free_of(force, [0, 0, 0])
    many = (
        measures.imbalance_of(energy, reached),
        *measures.slope_of(energy, depth, reached),
        measures.effective_depth_of(measures.energy_share_of(energy)),
        *measures.total_energy_of(energy, energy),
        measures.residual_of(force, [1, 2, 3, 4], free),
    )
    for k in range(3):
        one = (
            measures.imbalance_of(energy[k], reached[k]),
            *measures.slope_of(energy[k], depth, reached[k]),
            measures.effective_depth_of(measures.energy_share_of(energy[k])),
            *measures.total_energy_of(energy[k], energy[k]),
            measures.residual_of(force[k], [1, 2, 3, 4], free[k]),
        )
        np.testing.assert_allclose([float(v[k]) for v in many], [float(v) for v in one])


def test_measures_carry_unit_meaning_and_the_rows_of_the_trace():
    trace = lane(falling(4, 6), batch=[3, 3, 3, 4, 4, 4])
    for found in (measures.imbalance(trace), measures.reached(trace), measures.floor(trace)):
        assert found.attrs["units"] and found.attrs["long_name"]
        assert found["batch"].values.tolist() == [3, 3, 3, 4, 4, 4]


def test_changes_say_where_and_what():
    trace = lane(falling(3, 6), recipe_id=[0, 0, 1, 1, 1, 2])
    assert measures.changes(trace) == [
        (2, "precision: Identity -> Spiking"),
        (5, "precision: Spiking -> Identity"),
    ]


def test_a_change_that_is_not_of_the_recipe_is_of_the_weights():
    trace = lane(falling(3, 2), recipe_id=[0, 2])
    assert measures.changes(trace) == [(1, "weights: another optimiser")]


def test_weights_are_updated_where_a_complete_batch_is_followed_by_another():
    trace = lane(falling(2, 9), T=2, batch=[0, 0, 0, 1, 1, 2, 2, 2, 3])
    assert measures.batch_starts(trace).tolist() == [3, 5, 8]
    assert measures.weight_updates(trace).tolist() == [2, 7]  # batch 1 was left at t = 1


def test_the_row_at_a_step_is_the_nearest_one():
    trace = lane(falling(2, 4)).assign_coords(step=[0, 10, 20, 30])
    assert [measures.row_at(trace, step) for step in (None, 0, 14, 99)] == [3, 0, 1, 3]


def test_samples_are_kept_by_the_number_of_their_batch():
    trace = lane(falling(2, 4), batch=[5, 5, 7, 7])
    batches = {
        k: SimpleNamespace(labels=np.array([k, 1]), images=np.full((2, 1, 3, 3), k))
        for k in (5, 6, 7)
    }
    found = measures.with_samples(trace, batches)
    assert found["label"].sel(shown_batch=7).values.tolist() == [7, 1]
    assert found["input"].sel(shown_batch=5).values.max() == 5
    assert 6 not in found["shown_batch"]
    assert measures.with_samples(trace, {}) is trace


def test_reading_a_trace_loads_neither_torch_nor_a_user_interface():
    code = (
        "import sys; import workbench.measures, workbench.look, workbench.figures; "
        "from workbench.views import views; views(); "
        "print([m for m in ('torch', 'holoviews', 'bokeh', 'panel', 'core') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
