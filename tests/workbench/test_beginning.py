"""A session begins from a batch of a run: with its choices, its samples and its weights."""

import json

import numpy as np
import pytest

from core import BadInput, Experiment, make
from core.layout import Layout
from core.runs import Run, Writer, shelf
from tests.workbench.sessions import (
    SMALL,
    assert_same_rows,
    do,
    opened,
    rows,
    settle,
    waited,
    weights,
)
from tests.workbench.test_session import assert_same_lanes
from workbench import registry, taping
from workbench.beginning import Begin
from workbench.links import Log
from workbench.replaying import replayed
from workbench.session import Session


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    """A folder of runs of this test."""
    folder = tmp_path / "runs"
    monkeypatch.setenv("RELAXOSCOPE_RUNS", str(folder))
    return folder


def trained(batches=4, name="one", experiment=SMALL):
    """A session that has trained, recorded; it stands at the end of its last batch."""
    session = opened(experiment)
    session.record(name)
    do(session, "set_gear", "batch")
    do(session, "step", 6 * batches - 1)
    return session


def ended(session):
    """The run of a session that is recorded no longer."""
    name = session.recording
    session.stop_recording()
    settle(session)
    return Run(shelf.folder() / name)


def begun(begin):
    session = Session(begin=begin)
    session._prepare()
    return session


def test_a_batch_of_a_run_relaxes_again_exactly_as_it_did():
    session = trained()
    do(session, "change", precision=make("precision", "Spiking"))
    do(session, "step", 12)
    held, run = session.lane.trace.dataset(), ended(session)
    for batch in (0, 2, 5):
        again = begun(Begin.at(run.path, 0, batch))
        recipe = "Identity" if batch < 4 else "Spiking"
        assert type(again.lane.experiment.precision).__name__ == recipe
        assert again._batch == batch and again.lane.title == f"from run one, batch {batch}"
        do(again, "run_to_end")
        there = np.flatnonzero(held["batch"] == batch)
        assert len(there) == 6 == len(again.lane.trace)
        for name in ("energy_sample", "precision", "probability", "t"):
            found = again.lane.trace.dataset()[name].values
            np.testing.assert_array_equal(found, held[name].values[there], err_msg=name)


def test_training_goes_on_from_a_run_as_it_would_have_without_a_memory_of_the_optimiser():
    plain = SMALL.changed(weights=make("weights", "SGD", {"rate": 0.1, "momentum": 0.0}))
    session = trained(experiment=plain)
    run = ended(session)
    again = begun(Begin.at(run.path, None, 1))
    do(again, "set_gear", "batch")
    do(again, "step", 6 * 3 - 1)
    assert again._batch == session._batch == 3
    np.testing.assert_array_equal(weights(again), weights(session))


def test_it_comes_back_from_its_log_and_can_be_recorded_itself():
    run = ended(trained())
    session = begun(Begin.at(run.path, 0, 2))
    session.record("two")
    do(session, "step", 3)
    do(session, "change", steps=7, init=make("init", "Normal"))
    do(session, "step", 3)
    log = json.loads(json.dumps(session.log()))
    again = Session.replay(log)
    assert_same_lanes(session, again)
    assert again.log() == log
    assert all(one == other for _, one, other in replayed(ended(session)))


def test_each_lane_knows_whether_its_weights_are_those_of_the_run():
    run = ended(trained())
    begin = Begin.at(run.path, 0, 2)
    session = begun(begin)
    do(session, "restart")
    do(session, "change", seed=3)
    assert [lane.origin for lane in session.lanes] == [begin, begin, None]
    assert session.origin is None
    assert session._batch == 2
    do(session, "swap")
    assert session.origin == begin


def test_a_fork_begins_with_the_weights_of_the_lane_that_it_came_from():
    session = trained()
    do(session, "seek", 14)
    do(session, "step", 12)
    run = ended(session)
    assert run.kept(1) and 1 not in run.kept(1)
    for batch in (1, 2):
        one, other = (begun(Begin.at(run.path, lane, batch)) for lane in (0, 1))
        np.testing.assert_array_equal(weights(one), weights(other))
    with pytest.raises(BadInput, match=r"^batch: 9; a batch 0\.\.4 of run one$"):
        Begin.at(run.path, 1, 9)


def test_what_cannot_be_begun_is_refused_in_one_line(monkeypatch, runs):
    monkeypatch.setattr(taping, "WEIGHTS", 1)
    run = ended(trained(6))
    assert run.kept(0) == [0, 1, 2, 4]
    with pytest.raises(BadInput, match=r"^batch: 5; .* not kept in run one, the nearest .*: 4$"):
        Begin.at(run.path, 0, 5)
    with pytest.raises(BadInput, match=r"^lane: 3; one of run one: 0$"):
        Begin.at(run.path, 3, 0)
    with pytest.raises(BadInput, match=r"^run: .*none; no run lies there$"):
        Begin.at(runs / "none", 0, 0)
    with Writer(runs / "own") as own:
        own.lane(Layout.of(opened().lane.training.network))
    with pytest.raises(BadInput, match=r"^run: own; recorded without an experiment: it can be wat"):
        Begin.at(runs / "own", 0, 0)
    with Writer(runs / "bare", experiment=SMALL.to_dict()) as bare:
        session = opened()
        bare.lane(session.lane.trace.layout)
        bare.append(0, session.lane.trace.chunk())
    with pytest.raises(BadInput, match=r"^run: bare; no weights of lane 0 were kept$"):
        Begin.at(runs / "bare", 0, 0)


def test_weights_of_another_network_are_refused(runs):
    run = ended(trained())
    other = SMALL.changed(network=make("network", "MLP", {"hidden": (5,)}))
    session = Session(other, begin=Begin.at(run.path, 0, 1))
    with pytest.raises(BadInput, match=r"^run: one; its weights do not fit its experiment"):
        session._prepare()


def test_a_session_of_the_registry_begins_from_a_run_and_comes_back(monkeypatch, tmp_path):
    monkeypatch.setenv("RELAXOSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "GRACE", 1e6)
    run = ended(trained())
    begin = Begin.at(run.path, 0, 3)

    def log(begin):
        return Log(begin.experiment(), begin=begin)

    def attached(*given):
        found = registry.attach("begun-here", 1, lambda: None, *given)
        waited(lambda: found.ready or found.message)
        assert found.ready, found.message
        return found

    def gone():
        registry.release("begun-here", 1)
        registry._places["begun-here"].timer.cancel()
        registry.end("begun-here")

    with pytest.raises(BadInput, match=r"^batch: 99"):
        log(Begin(begin.run, 0, 99))
    assert registry.alive() == 0
    one = attached(log(begin))
    assert one._batch == 3
    gone()  # nothing was done, and yet it must come back to this batch
    again = attached()
    assert again.begin == begin
    again.step(4)
    waited(lambda: len(again.lane.trace) == 5)
    before = rows(again.lane)
    gone()
    third = attached(log(Begin(begin.run, 0, 1)))
    try:
        assert third.begin == begin, "a session that is known stays what it was"
        assert_same_rows(before, rows(third.lane))
    finally:
        gone()
    shelf.trash(run.path)
    lost = registry.attach("begun-here", 1, lambda: None)
    waited(lambda: lost.message)
    gone()
    assert lost.message.startswith("run: ") and lost.message.endswith("no run lies there")
    assert Experiment.from_dict(lost.log()["experiment"]) == third.wanted
    assert registry.attach("begun-here", 1, lambda: None).log() == third.log()
    gone()


def test_a_recording_is_finished_when_the_server_stops(monkeypatch, tmp_path):
    monkeypatch.setenv("RELAXOSCOPE_CACHE", str(tmp_path / "cache"))
    run = ended(trained())
    begin = Begin.at(run.path, 0, 0)
    log = Log(begin.experiment(), begin=begin)
    session = registry.attach("recorded", 1, lambda: None, log)
    session.record("two")
    session.step(2)
    waited(lambda: session.recorded_rows == 3)
    registry._keep_all()
    registry._places.clear()
    assert Run(shelf.folder() / "two").state == "finished"
