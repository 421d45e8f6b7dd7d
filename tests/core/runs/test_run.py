"""What a run gives back: what a trace of the same chunks holds, eagerly or lazily."""

import threading

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import LEAN, Recorder, Trace, schema
from core.inits.normal import Normal
from core.recorder import Chunk
from core.runs import Run, Writer, open_run, tables
from tests.faults.known import ABOUT, EVERY, LAYOUT, Deed, T, chunk, content, course, read
from tests.problems import labelled, network_of, relaxation, tanh_mlp

OWN = ("run", "lane", "recovered", "events")
"""Attributes that a run has and a trace has not, or in another form."""


def measured(problem=None, steps=11, flush=4, image=0, batches=2, **options):
    """A network, and the chunks that a recorder gives of batches of it."""
    network, clamped = problem or tanh_mlp()
    network.image = image
    chunks, row = [], 0
    for batch in range(batches):
        made = relaxation(
            (network, clamped),
            init=Normal(sd=0.5),
            generator=torch.Generator().manual_seed(batch),
            steps=steps,
        )
        recorder = Recorder(network, len(made.states[0]), **options)
        for _ in made:
            recorder.take(made, row=row, batch=batch, recipe_id=0, seconds=row / 4)
            row += 1
            if row % flush == 0:
                chunks.append(recorder.drain())
        chunks.append(recorder.drain())
    return network, [one for one in chunks if one is not None]


def both(folder, network, chunks):
    """A trace and a run of the same chunks."""
    shape = (1, 1, network.nodes[network.image or 0].size)
    trace = Trace(network, attrs={"title": "known", "dtype": "float64"}, pixel_shape=shape)
    writer = Writer(folder / "run", **ABOUT)
    lane = writer.lane(trace.layout, attrs=trace.attrs)
    for one in chunks:
        trace.append(one)
        writer.append(lane, one)
    trace.recipes = [{"precision": {"name": "Learned"}, "output_precision": 0.5}]
    writer.recipes(lane, trace.recipes)
    writer.close()
    return trace, Run(folder / "run")


def alike(found, wanted):
    """Check that two datasets are identical, but for what a run says of itself."""
    found, wanted = found.copy(), wanted.copy()
    for one in (found, wanted):
        one.attrs = {k: v for k, v in one.attrs.items() if k not in OWN}
    xr.testing.assert_identical(found.load(), wanted)


KINDS = {
    "lean": {"level": LEAN},
    "full": {},
    "classes and images": {"shows": ("probability", "image"), "align": True},
    "predictions": {"shows": ("prediction", "swept", "prediction_mse"), "every": 3, "samples": 2},
}


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("lazily", [False, True])
@pytest.mark.parametrize("flush", [1, 5, 1000])
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_reads_as_the_trace_of_the_same_chunks(kind, flush, lazily, memory, monkeypatch):
    network, clamped = tanh_mlp()
    problem, image = (network, clamped), 0
    if kind == "predictions":  # the image is the output, and what is shown is its prediction
        problem, image = (network, {network.top: clamped[network.top]}), network.top
    network, chunks = measured(problem, flush=flush, image=image, **KINDS[kind])
    trace, run = both(memory, network, chunks)
    if lazily:
        monkeypatch.setattr(tables, "EAGER", 0)
    alike(run.dataset(), trace.dataset())
    assert run.digest() == trace.digest()
    assert run.rows() == len(trace)
    alike(open_run(run.path), trace.dataset())


@pytest.mark.oracle("other implementation")
def test_rows_of_a_cross_entropy_network_read_as_in_the_trace(memory):
    from core.energies.cross_entropy import CrossEntropy

    (network, clamped), _ = labelled()
    network.give_output_energy(CrossEntropy())
    trace, run = both(memory, *measured((network, clamped)))
    assert "error" in run.dataset()
    alike(run.dataset(), trace.dataset())


@pytest.mark.oracle("other implementation")
def test_a_row_that_is_measured_again_takes_the_place_of_its_first(memory):
    network, chunks = measured(flush=4, shows=("image",))
    again = {k: v[-1:].copy() for k, v in chunks[1].rows.items()}
    again["energy"] += 1.0
    frames = {k: v[-1:] + (k == "image") for k, v in chunks[1].frames.items()}
    trace, run = both(memory, network, [*chunks[:2], Chunk(again, frames), *chunks[2:]])
    alike(run.dataset(), trace.dataset())
    (memory / "b").mkdir()
    trace, run = both(memory / "b", network, [*chunks[:2], Chunk(again, {}), *chunks[2:]])
    alike(run.dataset(), trace.dataset())


@pytest.mark.oracle("other implementation")
def test_a_fork_reads_as_a_trace_that_was_copied_up_to_the_fork(memory):
    network, chunks = measured(flush=4)
    trace, _ = both(memory, network, chunks)
    for row in (0, 5, 11, 12, 22):
        writer = Writer(memory / f"run-{row}", **ABOUT)
        parent = writer.lane(trace.layout)
        for one in chunks:
            writer.append(parent, one)
        other = Trace(network, pixel_shape=trace.pixel_shape)
        trace.copy_until(row, other)
        mine = writer.lane(trace.layout, parent=parent, forked_at=row)
        own = {k: v[row + 1 :] for k, v in trace.tail(10**6).items()}
        own["energy"] = own["energy"] * 2
        if len(own["step"]):
            other.append(Chunk(own))
            writer.append(mine, Chunk(own))
        writer.recipes(mine, other.recipes)
        writer.close()
        run = Run(memory / f"run-{row}")
        alike(run.dataset(mine), other.dataset())
        assert run.digest(mine) == other.digest()
        assert run.rows(parent) == 24


# Lazily ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lanes(tmp_path_factory):
    """A run of two lanes, the second one forked, with rows measured again."""
    path = tmp_path_factory.mktemp("lanes") / "run"
    with Writer(path, **ABOUT) as writer:
        for deed in course(flushes=5, size=4)[:-1]:
            deed.do(writer)
    return Run(path)


@pytest.mark.oracle("other implementation")
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_what_is_read_lazily_is_what_is_read_at_once(lanes, data):
    lane = data.draw(st.sampled_from([0, 1]))
    whole = lanes.dataset(lane)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "EAGER", 0)
        part = lanes.dataset(lane)
        name = data.draw(
            st.sampled_from(["energy", "error", "energy_sample", "cost", "prediction"])
        )
        dims = data.draw(st.lists(st.sampled_from(whole[name].dims), unique=True))
        key = {}
        for dim in dims:
            size = whole.sizes[dim]
            limit = st.integers(-size, size - 1)
            several = st.lists(limit, max_size=5).map(lambda one: np.array(one, dtype=int))
            slices = st.slices(size).filter(
                lambda one, n=size: (one.step or 1) > 0 or range(n)[one]
            )
            key[dim] = data.draw(st.one_of(limit, slices, several))  # xarray fails where none is
        xr.testing.assert_identical(part[name].isel(key).load(), whole[name].isel(key))


def test_a_large_run_is_not_read_when_it_is_opened(lanes, monkeypatch):
    monkeypatch.setattr(tables, "EAGER", 0)
    asked = []
    really = type(lanes._parts).value

    def value(parts, part, name):
        asked.append(name)
        return really(parts, part, name)

    monkeypatch.setattr(type(lanes._parts), "value", value)
    data = lanes.dataset(0)
    assert set(asked) <= {"energy", "precision"}  # the type of what follows from them
    asked.clear()
    assert float(data["cost"][3]) == float(chunk(0, 3, 1).rows["cost"][0])
    assert asked == ["cost"]
    assert lanes.overview(0).sizes["block"] == 6
    assert asked == ["cost"]


# The whole, and what is missing ------------------------------------------------------------------


def test_an_overview_of_any_width_has_the_least_mean_and_largest_of_all_rows(lanes):
    energy = lanes.dataset(1)["energy"].values
    for width in (1, 2, 3, 1000):
        seen = lanes.overview(1, width)
        assert seen.sizes["block"] <= width
        rows = seen["rows"].values
        np.testing.assert_array_equal(seen["energy_max"].max("block"), energy.max(0))
        np.testing.assert_array_equal(seen["energy_min"].min("block"), energy.min(0))
        assert seen["step"].values[0] == 0
        if rows.sum() == len(energy):
            mean = (seen["energy_mean"].values * rows[:, None]).sum(0) / rows.sum()
            np.testing.assert_allclose(mean, energy.mean(0), rtol=1e-6)


def test_batches_have_their_rows_and_steps_beside_what_was_logged(lanes):
    data = lanes.batches(0)
    counts = np.bincount(np.arange(lanes.rows(0)) // (T + 1))
    assert data["rows"].values.tolist() == counts.tolist()
    assert set(data["T"].values.tolist()) == {T}
    assert data["accuracy"].attrs["units"] == "1"
    assert data["update_norm"].dims == ("batch", "layer")


def test_lost_parts_are_named_by_their_rows(memory):
    import sqlite3

    path = memory / "run"
    with Writer(path, **ABOUT) as writer:
        for deed in course(flushes=5, size=4)[:-1]:
            deed.do(writer)
    base = sqlite3.connect(path / "rows.sqlite")
    first = "select min(id) from part where stream = 'rows' and first = 12"
    base.execute(f"delete from part where id = ({first})")
    base.commit()
    base.close()
    run = Run(path)
    assert "1 of" in run.recovered
    assert "rows 12..15 of lane 0 are missing" in run.recovered
    assert run.dataset(0).attrs["recovered"] == run.recovered
    held = run.dataset(0)["step"].values.tolist()
    assert held == [*range(12), *range(16, 20)]


def test_a_value_that_is_damaged_is_left_out_and_said_and_raised_when_read_lazily(memory):
    import sqlite3

    from core.runs import Damaged

    path = memory / "run"
    with Writer(path, **ABOUT) as writer:
        Deed("lane").do(writer)
        for k in range(3):
            Deed("rows", first=5 * k, count=5).do(writer)
    base = sqlite3.connect(path / "rows.sqlite")
    base.execute("update value set data = zeroblob(length(data)) where name = 'force' and id = "
                 "(select id from value where name = 'force' limit 1 offset 1)")  # fmt: skip
    base.commit()
    base.close()
    data = Run(path).dataset()
    assert data["step"].values.tolist() == [*range(5), *range(10, 15)]
    assert "rows 5..9 of lane 0 are missing" in data.attrs["recovered"]
    with pytest.raises(Damaged, match=r"force of rows 5\.\.9: not as it was written"):
        Run(path).digest()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "EAGER", 0)
        part = Run(path).dataset()
        assert part["energy"].load().shape == (15, 3)
        with pytest.raises(Damaged, match="force"):
            part["force"].load()


# Several readers ---------------------------------------------------------------------------------


def test_one_run_may_be_read_by_two_threads(lanes, monkeypatch):
    monkeypatch.setattr(tables, "EAGER", 0)
    whole, wrong = {lane: lanes.dataset(lane).load() for lane in (0, 1)}, []

    def look(lane):
        data = lanes.dataset(lane)
        for k in range(60):
            part = data["energy_sample"].isel(step=slice(k % 7, None, 2)).values
            if not np.array_equal(part, whole[lane]["energy_sample"].values[k % 7 :: 2]):
                wrong.append((lane, k))

    threads = [threading.Thread(target=look, args=(lane,)) for lane in (0, 1, 0)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert wrong == []


def test_a_reader_in_the_process_of_the_writer_sees_each_flush(memory):
    path, deeds = memory / "run", course(flushes=3, size=5)
    writer = Writer(path, **ABOUT)
    run = Run(path)
    assert (run.state, run.refresh()) == ("live", False)
    for k, deed in enumerate(deeds[:-1]):
        deed.do(writer)
        assert run.refresh()
        assert read(run) == content(deeds[: k + 1])
    writer.close()
    assert run.refresh()
    assert (run.state, run.recovered) == ("finished", "")


def test_a_reader_that_opened_a_run_at_rest_sees_who_goes_on_with_it(memory):
    path = memory / "run"
    with Writer(path, **ABOUT) as writer:
        Deed("lane").do(writer)
        Deed("rows", count=5).do(writer)
    run = Run(path)
    data = run.dataset(0, verify=False)
    with Writer(path, resume=True) as writer:
        for k in range(1, 9):
            Deed("rows", first=5 * k, count=5).do(writer)
            assert run.refresh()
            assert run.rows(0) == 5 * k + 5
            assert run.recovered == ""
    assert data.sizes["step"] == 5
    assert run.refresh()
    assert run.dataset(0).sizes["step"] == 45


def test_full_states_are_kept_where_they_are_given(memory):
    state = np.arange(2 * 3 * 5, dtype=np.float32).reshape(2, 3, 5)
    one = chunk(0, 0, 2)
    rows = {k: v for k, v in one.rows.items() if k != "energy_sample"} | {"state_1": state}
    with Writer(memory / "run") as writer:
        writer.append(writer.lane(LAYOUT), Chunk(rows, {}))
    data = Run(memory / "run").dataset()
    assert data["state_1"].dims == ("step", "sample", "unit_1")
    np.testing.assert_array_equal(data["state_1"], state)


def test_frames_have_the_shape_of_the_images(lanes):
    data = lanes.dataset(0)
    assert data["prediction"].shape[1:] == (2, 1, 2, 2)
    assert data["frame_step"].values.tolist() == list(range(0, 20, EVERY))
    assert schema.DIMS["prediction"] == data["prediction"].dims


def test_a_network_of_images_keeps_their_shape(memory):
    network = network_of((2, 3), (4,))
    network.image = 0
    trace = Trace(network, pixel_shape=(1, 2, 3))
    clamped = {1: torch.ones(2, 4, dtype=torch.float64)}
    made = relaxation((network, clamped), init=Normal(sd=0.5), steps=3)
    recorder = Recorder(network, 2, shows=("image",))
    for row, _ in enumerate(made):
        recorder.take(made, row=row, batch=0, recipe_id=0)
    one = recorder.drain()
    trace.append(one)
    with Writer(memory / "run") as writer:
        writer.append(writer.lane(trace.layout), one)
    alike(Run(memory / "run").dataset(), trace.dataset())
