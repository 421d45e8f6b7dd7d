"""Recorded sessions come out of their event logs again: lane by lane, and with all their states."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from core import BadInput, make
from core.runs import Run, Writer
from tests.faults.share import share
from tests.workbench.sessions import SMALL, do, free, opened, waited, weights
from tests.workbench.test_lanes import any_command
from tests.workbench.test_recording_sessions import assert_holds, recorded, runs, stopped
from tests.workbench.test_session import WILD, assert_same_lanes
from workbench.replaying import replay, replayed, states_of
from workbench.session import Session

__all__ = ["runs"]

ROOT = Path(__file__).parents[2]


# Replay ------------------------------------------------------------------------------------------


def toggled(seed):
    """A short session under random commands, recorded from some moment on; the digests by lane."""
    chance = random.Random(seed)
    session, name = opened(), f"s{seed}"
    late = chance.randrange(8)
    for k in range(8):
        if k == late:
            recorded(session, name)
        if chance.random() < 0.2:
            free(session, chance.randint(1, 12))
        elif chance.random() < 0.1:
            do(session, "change", **WILD)
        else:
            asked, given = any_command(chance, session.row)
            do(session, asked, **given)
    do(session, "pause")
    run = stopped(session)
    assert_holds(run, session)
    return name, {str(lane.id): lane.trace.digest() for lane in session.lanes}


AGAIN = """
import json, sys
from core.runs import Run, shelf
from workbench.replaying import replay
for line in sys.stdin:
    name = line.strip()
    print(json.dumps([name, replay(Run(shelf.folder() / name))]), flush=True)
"""


SESSIONS = share(100)


@pytest.mark.slow
def test_sessions_toggled_live_come_out_of_their_event_logs_in_a_new_process_bit_for_bit(
    record_property,
):
    with subprocess.Popen(
        [sys.executable, "-c", AGAIN],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as worker:
        expected = {}
        for seed in range(SESSIONS):
            name, lanes = toggled(seed)
            expected[name] = lanes
            worker.stdin.write(f"{name}\n")
            worker.stdin.flush()
        worker.stdin.close()
        found = dict(json.loads(line) for line in worker.stdout)
    assert worker.returncode == 0
    lanes = sum(len(one) for one in expected.values())
    assert lanes > 1.5 * SESSIONS, "they branch"
    assert found == expected
    record_property("count: faults: sessions replayed to the same digests", SESSIONS)


KILLED = """
import sys
sys.path.insert(0, ".")
from tests.workbench.sessions import SMALL
from workbench.session import Session
session = Session(SMALL)
session.start()
session.record("killed")
session.set_gear("batch")
session.set_speed(100)
session.play()
session.aside(lambda: print("plays", flush=True))
import time
time.sleep(60)
"""


@pytest.mark.slow
def test_a_session_that_was_killed_is_replayed_to_its_last_stored_row(runs):
    with subprocess.Popen(
        [sys.executable, "-c", KILLED],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        env={**os.environ, "RELAXOSCOPE_RUNS": str(runs)},
        text=True,
    ) as child:
        assert child.stdout.readline() == "plays\n"
        run = Run(runs / "killed")
        waited(lambda: run.refresh() and run.rows(0) > 40)
        child.send_signal(signal.SIGKILL)
        child.wait()
    run = Run(runs / "killed")
    assert run.state == "interrupted" and not run.recovered
    [(lane, held, again)] = replayed(run)
    assert (lane, again) == (0, held)


def test_of_a_damaged_run_the_rows_that_it_holds_are_compared(runs):
    session = recorded(opened())
    for _ in range(5):
        do(session, "step", 3)
    stopped(session)
    with sqlite3.connect(runs / "one" / "rows.sqlite") as base:
        asked = "select v.id, v.data from value v join part p on p.id = v.part"
        (number, data), *_ = base.execute(f"{asked} where p.stream = 'rows' and p.first = 7")
        base.execute("update value set data = ? where id = ?", (bytes(len(data)), number))
    base.close()
    run = Run(runs / "one")
    [(_, held, again)] = replayed(run)
    assert held == again and held != session.lane.trace.digest()
    assert run.dataset(0).sizes["step"] == 13 and "rows 7..9" in run.recovered
    run.close()


def test_a_session_that_diverged_is_recorded_up_to_there():
    session = recorded(opened())
    do(session, "step", 3)
    do(session, "change", **WILD)
    do(session, "step", 60)
    assert session.lane.diverged
    do(session, "restart")
    do(session, "change", dynamics=make("dynamics", "GradientDescent", {"rate": 0.1}))
    do(session, "step", 5)
    run = stopped(session)
    assert_holds(run, session)
    assert replay(run) == {lane.id: lane.trace.digest() for lane in session.lanes}


def test_a_session_whose_log_is_another_has_another_digest(monkeypatch):
    session = recorded(opened())
    do(session, "step", 4)
    do(session, "change", dynamics=make("dynamics", "GradientDescent", {"rate": 0.2}))
    do(session, "step", 4)
    run = stopped(session)
    events = run.events()
    events[1]["args"]["dynamics"]["rate"] = 0.2000001
    monkeypatch.setattr(Run, "events", lambda self: events)
    [(_, held, again)] = replayed(run)
    assert held == session.lane.trace.digest() != again


def test_a_run_of_a_loop_of_ones_own_cannot_be_replayed(runs):
    Writer(runs / "own").close()
    with pytest.raises(BadInput, match=r"^run: own; no recorded session"):
        replay(Run(runs / "own"))


# States ------------------------------------------------------------------------------------------


def test_the_states_of_every_row_have_the_energies_of_that_row():
    """E = |h - mu|^2 / 2 by the network's own predictions, for a lane that was forked twice."""
    session = recorded(opened(SMALL.changed(dtype="float64")))
    do(session, "step", 5)
    do(session, "seek", 3)
    do(session, "change", dynamics=make("dynamics", "HeavyBall", {"rate": 0.05}))
    do(session, "step", 3)
    do(session, "next_batch")
    do(session, "step", 2)
    do(session, "seek", 6)
    do(session, "change", precision=make("precision", "Spiking"))
    do(session, "step", 2)
    do(session, "swap")
    log = session.log()
    run = stopped(session)
    network = session.lane.training.network
    for number in (0, 1, 2):
        lane = session.lanes[number]
        found = states_of(session, number)
        held = lane.trace.dataset()
        np.testing.assert_array_equal(found["step"], held["step"])
        states = [torch.from_numpy(found[f"state_{k}"]) for k in range(5)]
        for row in range(len(found["step"])):
            with torch.no_grad():
                mus = network.predictions([h[row] for h in states])
            energy = torch.stack(
                [(h[row] - mu).square().sum(1) / 2 for h, mu in zip(states[1:], mus, strict=True)]
            )
            np.testing.assert_allclose(held["energy_sample"][row], energy, rtol=1e-10, atol=1e-14)
        for source in (run, log):
            again = states_of(source, number)
            assert all((again[name] == found[name]).all() for name in found)
    some = states_of(run, 2, steps=[7, 1])
    assert some["step"].tolist() == [1, 7]
    np.testing.assert_array_equal(some["state_2"], found["state_2"][[1, 7]])


def test_a_session_goes_on_as_if_nobody_had_asked_for_its_states():
    session, control = opened(), opened()
    for one in (session, control):
        do(one, "set_gear", "batch")
        do(one, "step", 15)
        do(one, "change", learning=make("learning", "Incremental"))
        do(one, "step", 5)
        do(one, "restart")
        do(one, "step", 3)
    for lane in (0, 1):
        states_of(session, lane)
    for one in (session, control):
        do(one, "step", 8)
        do(one, "swap")
        do(one, "step", 8)
    assert_same_lanes(session, control)
    np.testing.assert_array_equal(weights(session), weights(control))


def test_the_optimiser_goes_on_with_its_own_memory_after_a_look_at_an_earlier_batch():
    session, control = opened(), opened()
    for one in (session, control):
        do(one, "set_gear", "batch")
        do(one, "step", 18)
    states_of(session, 0, steps=[3])
    for one in (session, control):
        do(one, "step", 14)
    np.testing.assert_array_equal(weights(session), weights(control))


def test_a_session_that_plays_in_its_thread_gives_its_states():
    session = Session(SMALL)
    session.start()
    session.set_speed(None)
    session.play()
    waited(lambda: session.row > 20)
    found = states_of(session, 0, steps=range(20))
    row = session.row
    waited(lambda: session.row > row)
    session.close()
    assert found["state_0"].shape == (20, 10, 64)
    again = states_of(session.log(), 0, steps=range(20))
    assert all((again[name] == found[name]).all() for name in found)
    closed = states_of
    with pytest.raises(BadInput, match="the session has ended"):
        closed(session, 0)


def test_states_that_are_not_there_or_too_large_are_refused_in_one_line():
    session = opened()
    do(session, "step", 3)
    for given, line in (
        ({"lane": 2}, r"^lane: 2; one of 0$"),
        ({"lane": 0, "steps": [1, 9]}, r"^step: 9; a row 0..3 of lane 0$"),
        # 4 rows of 10 samples of 64 + 3 * 8 + 10 units of 4 bytes
        ({"lane": 0, "limit": 4 * 10 * 98 * 4 - 1}, r"^states: 4 rows are 0 MiB; at most 0 MiB"),
    ):
        with pytest.raises(BadInput, match=line):
            states_of(session, **given)
    assert states_of(session, 0, limit=4 * 10 * 98 * 4)["step"].tolist() == [0, 1, 2, 3]
