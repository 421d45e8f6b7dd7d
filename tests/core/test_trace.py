"""The trace: its schema, its growth, and what it keeps when it is full."""

import json

import numpy as np
import pytest
import torch
import xarray as xr

from core import Recorder, Trace
from core.energies.cross_entropy import CrossEntropy
from core.inits.normal import Normal
from core.recorder import Chunk
from core.schema import ABOUT, DIMS, SCHEMA
from core.trace import Sample
from tests.problems import labelled, network_of, relaxation, tanh_mlp


def recorded(problem=None, steps=6, every=100, image=0, **options):
    """A trace of one batch, handed over every so many rows, and the steps behind it."""
    network, clamped = problem or tanh_mlp()
    network.image = image
    made = relaxation(
        (network, clamped),
        init=Normal(sd=0.5),
        generator=torch.Generator().manual_seed(0),
        steps=steps,
    )
    shape = (1, 1, network.nodes[image].size)
    trace = Trace(network, attrs={"lane": "a"}, pixel_shape=shape)
    recorder = Recorder(network, len(made.states[0]), **options)
    steps = []
    for row, step in enumerate(made):
        recorder.take(made, row=row, batch=0, recipe_id=0)
        steps.append(step)
        if row % every == every - 1:
            trace.append(recorder.drain())
    last = recorder.drain()
    if last is not None:
        trace.append(last)
    return trace, steps


def rms(x):
    return float(x.square().mean().sqrt())


# The schema --------------------------------------------------------------------------------------

ALL = {"shows": ("probability", "image"), "align": True}
PICTURES = [name + end for name in ("prediction", "swept", "image") for end in ("", "_mse")]


def test_the_dataset_has_the_documented_dimensions_coordinates_and_units():
    network, clamped = tanh_mlp()
    one, _ = recorded((network, {5: clamped[5]}), image=5, samples=2, shows=PICTURES)
    two, _ = recorded(**ALL)
    seen = set()
    for data in (one.dataset(), two.dataset()):
        for name, variable in data.data_vars.items():
            assert variable.dims == DIMS[name]
            unit, about = ABOUT[name]
            assert variable.attrs == {"units": unit, "long_name": about}
        seen |= set(data.data_vars)
        assert data.sizes["step"] == 7
        assert data.sizes["layer"] == 5
        assert data.sizes["state"] == 6
        assert data.sizes["sample"] == 4
        assert data.layer.values.tolist() == [1, 2, 3, 4, 5]
        assert data.depth.values.tolist() == [1, 2, 3, 4, 5]
        assert data.layer_name.values.tolist() == ["1", "2", "3", "4", "5"]
        assert data.layer_size.values.tolist() == [8, 8, 8, 8, 3]
        assert data.state.values.tolist() == [0, 1, 2, 3, 4, 5]
        assert data.state_size.values.tolist() == [6, 8, 8, 8, 8, 3]
        assert data.step.values.tolist() == list(range(7))
        for name in ("batch", "t", "phase", "recipe_id", "T"):
            assert data[name].dims == ("step",)
        assert data.frame_step.dims == ("frame",)
    assert seen == set(DIMS)
    assert set(ABOUT) == set(DIMS)


def test_images_have_their_channels_rows_and_columns():
    network = network_of((2, 2, 3), (4,), (3,))
    network.image = 0
    clamped = {2: torch.ones(5, 3).double()}
    made = relaxation((network, clamped), init=Normal(), steps=2)
    trace = Trace(network, pixel_shape=(2, 2, 3))
    recorder = Recorder(network, 5, shows=["image"], samples=4)
    steps = []
    for row, step in enumerate(made):
        recorder.take(made, row=row, batch=0, recipe_id=0)
        steps.append(step)
    trace.append(recorder.drain())
    image = trace.dataset().image
    assert image.shape == (3, 4, 2, 2, 3)
    for t, step in enumerate(steps):
        np.testing.assert_array_equal(image[t], step.states[0][:4])


def test_the_error_is_the_rms_of_the_errors():
    trace, steps = recorded()
    data = trace.dataset()
    energy, size = data.energy, data.layer_size
    np.testing.assert_allclose(data.error, np.sqrt(2 * energy / size), rtol=1e-14)
    for t, step in enumerate(steps):
        direct = [rms(e) for e in step.free_energy.errors(step.states)]
        np.testing.assert_allclose(data.error[t], direct, rtol=1e-12)


def test_where_an_energy_is_not_quadratic_the_recorded_error_stands():
    problem, _ = labelled()
    problem[0].give_output_energy(CrossEntropy())
    trace, steps = recorded(problem)
    data = trace.dataset()
    for t, step in enumerate(steps):
        direct = [rms(e) for e in step.free_energy.errors(step.states)]
        np.testing.assert_allclose(data.error[t], direct, rtol=1e-12)


def test_attributes_can_be_written_to_any_file_and_read_back():
    trace, _ = recorded()
    trace.recipes.append({"precision": {"name": "Spiking", "rest": 0.1}})
    trace.events.append({"command": "step", "args": {"n": 3}})
    attrs = trace.dataset().attrs
    assert all(isinstance(value, int | float | str) for value in attrs.values())
    assert attrs["schema"] == SCHEMA
    assert attrs["lane"] == "a"
    assert json.loads(attrs["recipes"]) == trace.recipes
    assert json.loads(attrs["events"]) == trace.events
    assert attrs["eps"] == np.finfo(np.float64).eps


def test_the_precision_of_numbers_is_the_network_s():
    network = tanh_mlp()[0].float()
    assert Trace(network).eps == pytest.approx(2**-23)


def test_the_dataset_survives_a_file(tmp_path):
    trace, _ = recorded(**ALL)
    data = trace.dataset()
    data.to_netcdf(tmp_path / "trace.nc")
    with xr.open_dataset(tmp_path / "trace.nc") as again:
        xr.testing.assert_equal(again.load(), data)
        assert again.attrs["recipes"] == data.attrs["recipes"]


def test_an_empty_trace_is_a_dataset_without_rows():
    trace = Trace(tanh_mlp()[0])
    assert len(trace) == 0
    assert "step" not in trace.dataset().sizes
    assert trace.row(3) is None
    assert trace.tail(5) == {}
    assert trace.frame(0) == {}


# Growth ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole():
    """A trace whose rows came all at once."""
    return recorded(steps=200, every=1000, **ALL)[0]


@pytest.mark.parametrize("every", [1, 2, 5, 100])
def test_many_small_chunks_are_one_big_one(every, whole):
    parts, _ = recorded(steps=200, every=every, **ALL)
    xr.testing.assert_identical(parts.dataset(), whole.dataset())


def test_a_reader_s_dataset_does_not_change_when_rows_are_added():
    trace = trace_of(limit=10_000)
    for n in range(0, 300, 10):
        trace.append(chunk(range(n, n + 10)))
        held = trace.dataset()
        copy = held.copy(deep=True)
        trace.append(chunk(range(n + 10, n + 20)))
        xr.testing.assert_identical(held, copy)
        trace.append(chunk(range(n + 20, n + 21)))
        xr.testing.assert_identical(held, copy)


def test_a_longer_phase_name_is_not_cut():
    trace = trace_of()
    trace.append(chunk(range(3), phase="a"))
    trace.append(chunk(range(3, 6), phase="reconstruct"))
    assert trace.dataset().phase.values.tolist() == ["a"] * 3 + ["reconstruct"] * 3


def test_a_variable_that_comes_late_is_refused_by_name():
    trace = trace_of()
    trace.append(chunk(range(3)))
    late = chunk(range(3, 6))
    late.rows["alignment"] = np.zeros((3, 2))
    with pytest.raises(ValueError, match="alignment; a lane keeps the variables of its first row"):
        trace.append(late)


def test_a_row_is_found_by_its_number_or_the_nearest():
    trace = trace_of(limit=8)
    trace.append(chunk(range(20), T=19))
    held = trace.dataset().step.values
    for number in range(25):
        found = int(trace.row(number)["step"])
        assert abs(found - number) == abs(held - number).min()


def test_the_tail_is_the_last_rows_up_to_a_number():
    trace = trace_of()
    trace.append(chunk(range(20)))
    assert trace.tail(3)["step"].tolist() == [17, 18, 19]
    assert trace.tail(3, until=10)["step"].tolist() == [8, 9, 10]
    assert trace.tail(100)["step"].tolist() == list(range(20))
    assert trace.tail(5, until=1)["step"].tolist() == [0, 1]


def test_the_frame_at_a_row_is_the_last_one_before_it():
    trace = trace_of()
    trace.append(chunk(range(20), frames=(0, 5, 10)))
    shown = [int(trace.frame(row)["frame_row"]) for row in (0, 4, 5, 9, 10, 19)]
    assert shown == [0, 0, 5, 5, 10, 10]


def test_rows_up_to_a_number_can_be_given_to_another_trace():
    one, two = trace_of(), trace_of()
    one.append(chunk(range(30), frames=range(0, 30, 4)))
    one.recipes.append({"steps": 3})
    one.batches[0] = Sample(np.zeros(2), np.zeros((1, 1, 2, 2)))
    one.copy_until(17, two)
    data = two.dataset()
    assert data.step.values.tolist() == list(range(18))
    assert data.frame_step.values.tolist() == [0, 4, 8, 12, 16]
    xr.testing.assert_equal(data, one.dataset().isel(step=slice(18), frame=slice(5)))
    assert two.recipes == one.recipes
    assert two.batches.keys() == one.batches.keys()
    two.append(chunk(range(18, 25), value=7.0))
    two.recipes[0]["steps"] = 9
    assert len(one) == 30
    assert float(one.dataset().energy.max()) < 7
    assert one.recipes == [{"steps": 3}]


def test_bytes_are_those_of_the_rows():
    trace = trace_of()
    trace.append(chunk(range(64)))
    rows = chunk(range(64)).rows
    assert trace.bytes == sum(values.nbytes for values in rows.values())


# A full trace ------------------------------------------------------------------------------------


def trace_of(limit=1000, **options):
    network = tanh_mlp(sizes=(2, 2, 2))[0]
    return Trace(network, limit=limit, pixel_shape=(1, 1, 2), **options)


def chunk(steps, batch=0, t=None, T=100, phase="relax", frames=(), value=None):
    """Rows of made-up numbers: the energy of a row is a hundredth of its number."""
    steps = np.array(steps)
    count = len(steps)
    t = steps if t is None else np.array(t)
    energy = np.full(count, value) if value is not None else steps / 100
    rows = {
        "energy": np.stack([energy, energy], 1).astype(float),
        "precision": np.ones((count, 2)),
        "step": steps,
        "batch": np.full(count, batch) if np.isscalar(batch) else np.array(batch),
        "t": t,
        "phase": np.array([phase] * count),
        "recipe_id": np.zeros(count, int),
        "T": np.full(count, T),
    }
    shown = np.array(list(frames))
    held = {"frame_row": shown, "image": np.zeros((len(shown), 1, 2))} if len(shown) else {}
    return Chunk(rows, held)


def batches_of(count, T=4, first=0):
    """Whole batches of T + 1 rows each, one chunk."""
    t = np.tile(np.arange(T + 1), count)
    batch = np.repeat(np.arange(first, first + count), T + 1)
    steps = np.arange(first * (T + 1), (first + count) * (T + 1))
    return chunk(steps, batch=batch, t=t, T=T)


@pytest.mark.parametrize("size", [1, 3, 10])
@pytest.mark.parametrize("limit", [20, 50])
def test_a_long_batch_keeps_every_second_step_its_last_one_and_the_newest(size, limit):
    trace = trace_of(limit=limit)
    T = 100
    for n in range(0, 300, size):
        trace.append(chunk(range(n, n + size), T=T))
        assert len(trace) <= limit
        data = trace.dataset()
        steps = data.step.values
        assert steps[-1] == n + size - 1
        assert (np.diff(steps) > 0).all()
        stride = trace.step_stride
        held = set(steps.tolist())
        assert {k for k in range(n + size) if k % stride == 0} <= held
        assert n + size <= T or T in held
        np.testing.assert_array_equal(data.energy.values[:, 0], steps / 100)
    assert trace.step_stride > 1
    assert trace.step_stride & (trace.step_stride - 1) == 0


def largest_gap(numbers, count):
    return int(np.diff([*np.unique(numbers), count]).max())


@pytest.mark.parametrize("count", [500, 5_000, 20_000])
def test_however_long_a_run_is_its_past_stays_in_view_evenly(count):
    # A stride s is needed where count / s fits into the limit; twice or four times that is allowed.
    steps, batches, frames = (trace_of(limit=50, frame_limit=50) for _ in range(3))
    for n in range(0, count, 5):
        steps.append(chunk(range(n, n + 5), T=10**6))
        frames.append(chunk(range(n, n + 5), batch=n, frames=range(n, n + 5)))
        batches.append(chunk([2 * n, 2 * n + 1], batch=n // 5, t=[0, 1], T=1))
    assert largest_gap(steps.dataset().step, count) <= 4 * count / 50
    assert largest_gap(frames.dataset().frame_step, count) <= 4 * count / 50
    assert largest_gap(batches.dataset().batch, count // 5) <= 4 * (count / 5) / (50 / 2)


@pytest.mark.parametrize("size", [1, 2])
def test_many_batches_keep_every_second_one_and_the_newest_whole(size):
    trace, T = trace_of(limit=60), 4
    for first in range(0, 60, size):
        trace.append(batches_of(size, T, first))
        assert len(trace) <= 60
        data = trace.dataset()
        assert int(data.batch[-1]) == first + size - 1
        for _, rows in data.groupby("batch"):
            assert rows.t.values.tolist() == list(range(T + 1))
        kept = set(np.unique(data.batch).tolist())
        assert {k for k in range(first + size) if k % trace.batch_stride == 0} <= kept
    assert trace.batch_stride > 1
    assert trace.step_stride == 1


def test_the_last_row_of_the_newest_batch_is_always_there():
    trace = trace_of(limit=30)
    for n in range(400):
        trace.append(chunk([n], batch=n // 7, t=[n % 7], T=6))
        assert len(trace) <= 30
        assert int(trace.dataset().step[-1]) == n
        assert trace.row(n)["t"] == n % 7


def test_a_batch_that_was_left_early_keeps_its_last_row():
    trace = trace_of(limit=20)
    for n in range(34):
        trace.append(chunk([n], batch=0, T=100))
    for n in range(34, 200):
        trace.append(chunk([n], batch=1, t=[n - 34], T=100))
    data = trace.dataset()
    assert data.step.values[data.batch.values == 0][-1] == 33


@pytest.mark.parametrize("held", [0, 5, 30])
@pytest.mark.parametrize("count", [15, 40, 1000])
def test_a_chunk_of_any_size_is_taken_and_the_limit_holds(held, count):
    trace = trace_of(limit=20)
    for n in range(held):
        trace.append(chunk([n]))
    trace.append(chunk(range(held, held + count)))
    assert len(trace) <= 20
    steps = trace.dataset().step.values
    assert steps[0] == 0
    assert steps[-1] == held + count - 1


def test_a_chunk_of_many_batches_is_taken_and_the_limit_holds():
    trace = trace_of(limit=50)
    trace.append(batches_of(3))
    trace.append(batches_of(100, first=3))
    assert len(trace) <= 50
    data = trace.dataset()
    assert int(data.batch[0]) == 0
    newest = data.t.values[data.batch.values == 102]
    assert newest.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.timeout(20)
def test_a_limit_that_is_smaller_than_what_must_stay_does_not_hang():
    trace = trace_of(limit=3)
    for first in range(0, 40, 4):
        trace.append(batches_of(2, first=first))
        trace.append(batches_of(2, first=first + 2))
    assert int(trace.dataset().batch[-1]) == 39
    assert len(trace) < 20


@pytest.mark.parametrize("size", [1, 7, 90])
def test_frames_have_a_limit_of_their_own_and_the_newest_stays(size):
    trace = trace_of(limit=100_000, frame_limit=20)
    for n in range(0, 300, size):
        trace.append(chunk(range(n, n + size), frames=range(n, n + size)))
        data = trace.dataset()
        assert data.sizes["frame"] <= 20
        assert int(data.frame_step[-1]) == n + size - 1
        assert int(data.frame_step[0]) == 0
        assert (np.diff(data.frame_step) > 0).all()
    assert len(trace) == (300 // size + bool(300 % size)) * size
    assert trace.frame_stride > 1


def test_pictures_of_batches_that_are_gone_go_as_well():
    trace = trace_of(limit=60)
    for k in range(200):
        trace.batches[k] = Sample(np.zeros(1), np.zeros((1, 1, 1, 1)))
        trace.append(batches_of(1, first=k))
    kept = set(np.unique(trace.dataset().batch).tolist())
    assert kept <= set(trace.batches)
    assert len(trace.batches) <= 66
