"""Recorded sessions: the run holds what the session held, and the session does not notice."""

import json

import numpy as np
import pytest
import torch

from core import BadInput, make
from core.runs import NotWritten, Run, Writer, shelf
from tests.workbench.sessions import SMALL, do, opened, settle, waited, weights
from tests.workbench.test_session import assert_same_lanes
from workbench import taping
from workbench.replaying import replay, replayed
from workbench.session import Session
from workbench.taping import Sparing


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    """A folder of runs of this test."""
    folder = tmp_path / "runs"
    monkeypatch.setenv("RELAXOSCOPE_RUNS", str(folder))
    return folder


def recorded(session, name="one"):
    """Record from here on."""
    session.record(name)
    settle(session)
    assert session.recording == name, session.message
    return session


def stopped(session):
    """The run of a session whose recording ends here."""
    name = session.recording
    session.stop_recording()
    settle(session)
    assert session.recording == "" and session.recorded_rows == 0
    return Run(shelf.folder() / name)


def walk(session):
    """Every way to open a lane, weights that move, and rows that are measured again."""
    do(session, "step", 7)
    do(session, "change", precision=make("precision", "Spiking"))
    do(session, "set_gear", "batch")
    do(session, "step", 14)
    do(session, "seek", 9)
    do(session, "step", 4)
    do(session, "seek", 5)
    do(session, "change", steps=8, dynamics=make("dynamics", "HeavyBall", {"rate": 0.05}))
    do(session, "step", 3)
    do(session, "swap")
    do(session, "step", 3)
    do(session, "restart")
    do(session, "change", learning=make("learning", "Incremental"))
    do(session, "step", 9)
    do(session, "warm_up", 2)
    do(session, "change", batch_size=20)
    do(session, "next_batch")


def assert_holds(run, session):
    """Bit for bit the rows of every lane, and where each lane came from."""
    assert sorted(run.lanes) == [lane.id for lane in session.lanes]
    for lane in session.lanes:
        info = run.lanes[lane.id]
        assert (info.title, info.parent, info.forked_at) == (
            lane.title,
            lane.parent,
            lane.forked_at,
        )
        assert run.digest(lane.id) == lane.trace.digest(), lane.id
        assert run.recipes(lane.id) == json.loads(json.dumps(lane.trace.recipes))
        kept, held = run.dataset(lane.id), lane.trace.dataset()
        assert set(kept.variables) == set(held.variables)
        for name in ("seconds", "energy_sample", "error", "alignment"):
            if name not in held:  # of a decoder there is no update to compare with
                continue
            np.testing.assert_array_equal(kept[name], held[name], err_msg=name)
    assert run.events() == json.loads(json.dumps(session.events))
    assert not run.recovered


# What is stored ----------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [False, True])
def test_a_run_holds_all_lanes_of_its_session_from_their_beginning(late):
    session = opened()
    if not late:
        recorded(session)
    walk(session)
    if late:
        recorded(session)
        do(session, "step", 2)
    assert len(session.lanes) == 6
    assert session.recorded_rows == session.taken, "a fork stores its own rows only"
    run = stopped(session)
    assert run.state == "finished"
    assert run.manifest["about"]["fingerprint"] == SMALL.dataset().fingerprint
    assert_holds(run, session)
    assert [same for _, *same in replayed(run)] == [
        [lane.trace.digest()] * 2 for lane in session.lanes
    ]


def test_a_session_that_is_recorded_is_the_same_session():
    session, control = recorded(opened()), opened()
    walk(session)
    walk(control)
    assert_same_lanes(session, control)
    assert session.log() == control.log()
    np.testing.assert_array_equal(weights(session), weights(control))


def test_images_are_kept_with_their_rows():
    session = recorded(
        opened(
            SMALL.changed(
                network=make("network", "Decoder", {"latent": 6, "hidden": (8, 8)}),
                task=make("task", "Reconstruct"),
                init=make("init", "Zero"),
            )
        )
    )
    do(session, "step", 5)
    do(session, "seek", 2)
    do(session, "change", dynamics=make("dynamics", "GradientDescent", {"rate": 0.3}))
    do(session, "step", 4)
    run = stopped(session)
    assert_holds(run, session)
    for lane in session.lanes:
        kept, held = run.dataset(lane.id), lane.trace.dataset()
        assert held.sizes["frame"] == len(lane.trace)
        for name in ("frame_step", "prediction", "prediction_mse"):
            np.testing.assert_array_equal(kept[name], held[name], err_msg=name)


def test_each_batch_is_kept_with_its_sample_accuracy_time_and_the_weights_with_which_it_begins():
    session = recorded(opened())
    do(session, "set_gear", "batch")
    expected = {}
    for _ in range(4):
        expected[session._batch] = {
            k: v.clone() for k, v in session.lane.training.network.state_dict().items()
        }
        do(session, "step", 6)
    lane, run = session.lane, stopped(session)
    assert run.kept(0) == [0, 1, 2, 3, 4]
    for number, values in expected.items():
        found = run.weights(number, 0)
        assert found.keys() == values.keys()
        assert all(torch.equal(found[name], values[name]) for name in values)
    assert not torch.equal(
        run.weights(0, 0)["maps.1.0.weight"], run.weights(1, 0)["maps.1.0.weight"]
    )
    data = run.batches(0)
    assert dict(lane.scores) == dict(zip(range(1, 5), data["accuracy"].values[1:], strict=True))
    rows = run.dataset(0)
    first = [int(np.flatnonzero(rows["batch"] == k)[0]) for k in range(5)]
    spent = rows["seconds"].values
    assert (np.diff(spent) > 0).all() and spent[0] == 0
    np.testing.assert_allclose(data["seconds"][:4], np.diff(spent[first]), rtol=1e-9)
    samples = run.samples(0)
    for number in range(5):
        batch = lane.training.batches.batch(number)
        np.testing.assert_array_equal(samples[number].labels, batch.y)
        np.testing.assert_array_equal(samples[number].images, batch.x[:8])


def test_time_goes_on_from_the_fork_and_waiting_does_not_count():
    session = opened()
    do(session, "step", 6)
    do(session, "seek", 3)
    before = session.lane.seconds_at(3)
    do(session, "change", steps=9)
    assert session.lane.forked_at == 3 and session.lane.seconds == before
    ghost = session.ghost.seconds
    do(session, "seek", 1)
    do(session, "follow")
    assert (session.lane.seconds, session.ghost.seconds) == (before, ghost)
    do(session, "step", 1)
    assert session.lane.seconds > before


@pytest.mark.row(60)
def test_a_trace_that_was_thinned_before_the_recording_says_so():
    session = opened(SMALL.changed(steps=300))
    session.lane.trace.limit = 100
    for _ in range(140):
        do(session, "step")
    assert len(session.lane.trace) == 51 + 40, "of 101 rows every second stayed"
    recorded(session)
    do(session, "step", 20)
    do(session, "seek", 152)
    do(session, "step", 3)
    run = stopped(session)
    for number, end in ((0, 160), (1, 155)):
        data = run.dataset(number)
        assert data["step"].values.tolist() == [*range(0, 101, 2), *range(101, end + 1)]
        line = "recorded late: of older steps one in 2 was still there"
        assert (data.attrs["step_stride"], data.attrs["thinned"]) == (2, line)
    assert not run.recovered, "what was let go before is no damage"
    assert all(one == other for _, one, other in replayed(run))


def test_a_seek_to_a_row_that_was_let_go_is_replayed_whatever_the_replay_has_let_go():
    """A trace is thinned by how its rows were handed over, which follows no log."""
    session = recorded(opened(SMALL.changed(steps=300)))
    session.lane.trace.limit = 100
    for _ in range(120):
        do(session, "step")
    do(session, "seek", 51)
    assert session.cursor in (50, 52) and session.events[-1]["args"]["row"] == session.cursor
    do(session, "step", 3)
    run = stopped(session)
    assert run.rows(0) == 121 and run.recovered == ""
    assert [one == other for _, one, other in replayed(run)] == [True, True]


def test_of_a_long_training_weights_and_samples_are_kept_ever_more_sparingly(monkeypatch):
    sparing = Sparing(100)
    kept = [number for number in range(200) if sparing.takes(number, 10)]
    assert kept == [
        *range(10),
        *range(10, 30, 2),
        *range(32, 72, 4),
        *range(72, 152, 8),
        160,
        176,
        192,
    ]
    monkeypatch.setattr(taping, "WEIGHTS", 1)
    session = recorded(opened())
    do(session, "set_gear", "batch")
    do(session, "step", 6 * 20)
    assert stopped(session).kept(0) == [0, 1, 2, 4, 8, 16]


# Names and ends ----------------------------------------------------------------------------------


@pytest.mark.row(55)
def test_a_recording_gets_a_name_of_its_own_and_is_not_begun_twice(monkeypatch):
    monkeypatch.setattr(taping, "now", lambda: "20260101-120000")
    one, other = opened(), opened()
    for session in (one, other):
        session.record()
        settle(session)
    assert one.recording == "session-20260101-120000"
    assert other.recording == "session-20260101-120000-2"
    one.record("again")
    settle(one)
    assert one.recording == "session-20260101-120000"
    assert one.message == "record: session-20260101-120000 is being recorded; stop that first"
    stopped(one)
    other.record("x")
    one.record(other.recording)
    settle(one)
    assert one.recording == "" and one.message.startswith("record: run: ")
    assert one.message.endswith("it exists: resume it, or choose another name")


@pytest.mark.parametrize("name", ["../x", "", "a b", "x" * 81, "con", 3])
def test_an_illegal_name_is_refused_before_anything_happens(name, runs):
    session = opened()
    with pytest.raises(BadInput, match=r"^record: "):
        session.record(name)
    settle(session)
    assert not runs.exists()


def test_a_session_that_is_closed_leaves_a_finished_run_with_all_its_rows():
    session = Session(SMALL)
    session.start()
    session.record("one")
    session.set_speed(None)
    session.play()
    waited(lambda: session.recorded_rows > 30)
    assert Run(shelf.folder() / "one").state == "live"
    session.close()
    run = Run(shelf.folder() / "one")
    assert run.state == "finished"
    assert run.rows(0) == len(session.lane.trace) == session.row + 1
    assert_holds(run, session)
    alone = recorded(opened(), "two")  # without a thread
    alone.close()
    alone.close()
    assert Run(shelf.folder() / "two").state == "finished"


def test_a_session_that_comes_back_by_replay_is_not_recorded(runs):
    session = recorded(opened())
    do(session, "step", 3)
    again = Session.replay(session.log())
    do(again, "step", 2)
    assert again.recording == ""
    assert [path.name for path in shelf.found()] == ["one"]
    assert stopped(session).rows(0) == 4


def test_pages_are_woken_when_a_recording_begins_and_ends():
    woken = []
    session = opened(wake=lambda: woken.append(1))
    count = len(woken)
    recorded(session)
    assert len(woken) == count + 1
    stopped(session)
    assert len(woken) == count + 2


# Trouble -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call", ["append", "batch", "sample", "recipes", "events", "say", "weights", "lane"]
)
def test_trouble_with_the_disk_ends_the_recording_and_never_the_session(call, monkeypatch):
    control = opened()
    walk(control)
    session = recorded(opened())
    do(session, "step", 2)
    real, calls = getattr(Writer, call), []

    def refused(self, *args, **given):
        calls.append(1)
        if len(calls) >= 2:
            raise NotWritten("run: one; not written (No space left on device)")
        return real(self, *args, **given)

    monkeypatch.setattr(Writer, call, refused)
    said = set()
    control = opened()
    do(control, "step", 2)
    for one in (control, session):
        for _ in range(3):
            do(one, "set_gear", "batch")
            said.add(one.message)
            do(one, "step", 7)
            said.add(one.message)
            do(one, "restart")
            said.add(one.message)
    assert session.recording == ""
    line = "one is no longer recorded: run: one; not written (No space left on device)"
    assert said == {"", line}
    assert_same_lanes(session, control)
    run = Run(shelf.folder() / "one")
    assert run.state.startswith("failed: ")
    assert 0 < run.rows(0) <= len(session.lanes[0].trace)


def test_what_a_command_made_before_it_failed_is_not_in_the_run(monkeypatch):
    session = recorded(opened())
    do(session, "step", 6)
    do(session, "seek", 2)
    mark, calls = session._mark, []

    def fails():
        calls.append(1)
        raise RuntimeError("no memory")

    monkeypatch.setattr(session, "_mark", fails)
    do(session, "change", steps=9)
    assert calls and "no memory" in session.message and len(session.lanes) == 1
    monkeypatch.setattr(session, "_mark", mark)
    do(session, "change", pretraining="epoch 99")
    do(session, "restart")
    do(session, "step", 2)
    run = stopped(session)
    assert_holds(run, session)
    assert replay(run) == {lane.id: lane.trace.digest() for lane in session.lanes}
