"""Sessions: one queue of commands, a log that replays, changes that act or are refused whole."""

import json
import random
import threading
import traceback
from pathlib import Path

import numpy as np
import pytest
import torch

import core
from core import BadInput, Experiment, make
from core.precisions.table import Table
from tests.workbench.sessions import (
    SMALL,
    assert_same_rows,
    do,
    energies,
    free,
    opened,
    rows,
    settle,
    waited,
    weights,
)
from tests.workbench.test_lanes import any_command
from workbench import driver
from workbench.session import Session

DECODER = SMALL.changed(
    network=make("network", "Decoder", {"latent": 6, "hidden": (8, 8)}),
    task=make("task", "Reconstruct"),
    init=make("init", "Zero"),
)
WILD = {"dynamics": {"name": "GradientDescent", "rate": 10.0}}
TAME = {"dynamics": {"name": "GradientDescent", "rate": 0.1}}


@pytest.fixture
def started():
    """Makes sessions with a worker and ends them."""
    made = []

    def start(experiment=SMALL, **options):
        made.append(session := Session(experiment, **options))
        session.start()
        waited(lambda: session.ready)
        return session

    yield start
    for session in made:
        session.close()


def log_of(session):
    """The log as a file would hold it."""
    return json.loads(json.dumps(session.log(), allow_nan=False))


def assert_same_lanes(one, other, count=None):
    assert len(one.lanes) == len(other.lanes) or count is not None
    for a, b in zip(one.lanes[:count], other.lanes[:count], strict=True):
        assert_same_rows(rows(a), rows(b))
        assert (a.id, a.parent, a.forked_at, a.title) == (b.id, b.parent, b.forked_at, b.title)
        assert a.diverged == b.diverged
        assert a.choices == b.choices
        assert a.starts == b.starts


# The queue and the log ---------------------------------------------------------------------------


def test_a_command_is_logged_with_what_it_was_and_when_it_was_asked_and_applied():
    session = opened()
    session.step(3)
    session.pause()
    session.seek(1)
    assert session.events == [] and session.row == 0
    settle(session)
    common = {"lane": 0, "asked": 1}
    assert session.events == [
        {"command": "step", "args": {"n": 3}, "applied": 1, "row": 0, **common},
        {"command": "pause", "args": {}, "applied": 1, "row": 0, **common},
        {"command": "seek", "args": {"row": 1}, "applied": 1, "row": 0, **common},
    ]
    assert session.row == 0, "pause came before the first of the three steps"
    do(session, "step", 2)
    do(session, "change", steps=7)
    assert session.events[-1] == {
        "command": "change",
        "args": {"steps": 7},
        "asked": 3,
        "applied": 3,
        "lane": 0,
        "row": 2,
    }


def test_commands_are_applied_in_the_order_in_which_they_were_asked():
    session = opened()
    for speed in (1.0, 2.0, None, 40.0):
        session.set_speed(speed)
    session.set_gear("batch")
    session.set_gear("step")
    settle(session)
    assert [one["args"] for one in session.events] == [
        *({"speed": s} for s in (1.0, 2.0, None, 40.0)),
        {"gear": "batch"},
        {"gear": "step"},
    ]
    assert (session.speed, session.gear) == (40.0, "step")


def test_moves_add_up_however_quickly_they_come():
    session = opened()
    do(session, "step", 12)
    for _ in range(3):
        session.move(-1)
    assert session.cursor == 12, "none of them has had its effect"
    settle(session)
    assert (session.cursor, session.row) == (9, 12)
    for _ in range(5):
        session.move(1)
    settle(session)
    assert (session.cursor, session.row, len(session.lanes)) == (14, 14, 1), "two of them relax on"
    for by in (-10, -10, 3):
        session.move(by)
    settle(session)
    assert session.cursor == 3
    session.follow()
    session.move(-1)
    settle(session)
    session.move(-1)
    settle(session)
    assert session.cursor == 12
    assert Session.replay(log_of(session)).cursor == 12


def test_a_command_that_comes_while_steps_are_owed_acts_between_two_of_them():
    session = opened()
    session.step(100)
    session._attempt(session._queue.get())
    for _ in range(5):
        session._turn()
    session.change(precision=make("precision", "Spiking"))
    session._attempt(session._queue.get())
    for _ in range(3):
        session._turn()
    session.pause()
    settle(session)
    assert session.row == 8
    assert session.lane.trace.dataset()["recipe_id"].values.tolist() == [0] * 5 + [1] * 4
    again = Session.replay(log_of(session))
    assert_same_lanes(session, again)


@pytest.mark.parametrize("seed", range(100, 110))
def test_the_log_gives_all_lanes_again_with_other_room_for_marks(seed, monkeypatch):
    """Free running, commands between, iPC, gears, rewinds, divergence; marks at other rows."""
    chance = random.Random(seed)
    session = opened()
    for _ in range(16):
        if chance.random() < 0.3:
            free(session, chance.randint(1, 12))
        elif chance.random() < 0.15:
            do(session, "change", **chance.choice((WILD, TAME)))
        else:
            name, given = any_command(chance, session.row)
            do(session, name, **given)
    do(session, "pause")
    log = log_of(session)
    again = Session.replay(log)
    assert_same_lanes(session, again)
    assert again.log() == log
    assert again.ready and again.wanted == session.lane.experiment
    assert (again.row, again.taken, again.gear) == (session.row, session.taken, session.gear)
    np.testing.assert_array_equal(weights(session), weights(again))
    monkeypatch.setattr(driver, "MARK_EVERY", 3)
    assert_same_lanes(session, Session.replay(log, budget=0))


@pytest.mark.parametrize("choices", [{}, {"learning": make("learning", "Incremental")}])
def test_a_session_that_ran_in_its_thread_comes_back_from_its_log(choices, started):
    session = started(SMALL.changed(**choices))
    session.set_speed(None)
    session.play()
    waited(lambda: session.row > 20)
    session.change(precision=make("precision", "Spiking"))
    waited(lambda: session.row > 60)
    session.set_gear("batch")
    waited(lambda: len(session.lane.starts) > 3)
    session.seek(30)
    session.step(4)
    waited(lambda: len(session.lanes) == 2 and not session._owed)
    session.change(weights=make("weights", "SGD"), learning={"name": "Incremental"}, steps=3)
    session.step(9)
    session.restart()
    waited(lambda: len(session.events) == 9 and not session._owed)
    session.close()
    assert_same_lanes(session, Session.replay(log_of(session)))


def test_wake_is_called_once_for_each_command_and_never_from_the_core(started):
    seen = []

    def wake():
        seen.append([Path(one.filename) for one in traceback.extract_stack()])

    session = started(wake=wake)
    waited(lambda: len(seen) == 1)
    asked = [
        session.play,
        session.pause,
        lambda: session.step(7),
        session.run_to_end,
        lambda: session.seek(3),
        session.follow,
        lambda: session.change(precision=make("precision", "Spiking")),
        lambda: session.change(init=make("init", "Average")),
        lambda: session.warm_up(2),
        session.restart,
        session.swap,
        session.next_batch,
        lambda: session.set_gear("batch"),
        lambda: session.set_speed(15.0),
        lambda: session.change(pretraining="epoch 99"),
    ]
    for k, act in enumerate(asked, start=2):
        act()
        waited(lambda k=k: len(seen) >= k)
        waited(lambda: not session._owed)
    session.close()
    assert len(seen) == len(asked) + 1
    home = Path(core.__file__).parent
    assert not [path for stack in seen for path in stack if path.is_relative_to(home)]


def test_close_ends_the_thread_also_while_it_plays_and_twice(started):
    before = set(threading.enumerate())
    session = started()
    session.set_speed(None)
    session.play()
    waited(lambda: session.row > 5)
    assert len(set(threading.enumerate()) - before) == 1
    session.close()
    assert set(threading.enumerate()) <= before
    session.close()
    assert set(threading.enumerate()) <= before
    Session(SMALL).close()  # which never began


def test_close_ends_the_thread_while_a_session_is_brought_back():
    log = log_of(done := opened())
    log["taken"] = 100_000
    assert done.taken == 1
    session = Session(SMALL)
    session.repeat(log["events"], log["taken"])
    session.start()
    waited(lambda: session.taken > 20)
    session.close()
    assert not session._thread.is_alive()


def test_a_session_that_ends_while_it_is_brought_back_forgets_nothing():
    session = opened()
    for _ in range(4):
        do(session, "step", 2)
        do(session, "restart")
    log = log_of(session)
    again = Session(SMALL)
    again.repeat(log["events"], log["taken"])
    assert again.log() == log
    stop = RuntimeError("the server stops here")

    def tell(line, share):
        if share > 0.4:
            assert again.log() == log
            raise stop

    again._tell = tell
    with pytest.raises(RuntimeError, match="the server stops here"):
        again._prepare()
    assert 0 < len(again.events) < len(log["events"])
    assert again.log() == log


# Lanes -------------------------------------------------------------------------------------------


def test_nothing_is_ever_deleted():
    session = opened()
    do(session, "step", 7)
    kept = []

    def then(name, *args, **choices):
        before = len(session.lanes)
        kept.append((session.lane, rows(session.lane)))
        do(session, name, *args, **choices)
        assert session.lanes[: len(kept)] == [lane for lane, _ in kept]
        assert len(session.lanes) == before + 1
        assert session.ghost is kept[-1][0]

    do(session, "seek", 4)
    then("step", 6)
    assert (session.lane.parent, session.lane.forked_at) == (0, 4)
    then("restart")
    assert (session.lane.parent, session.lane.forked_at) == (1, None)
    do(session, "step", 3)
    then("change", init=make("init", "Normal"))
    do(session, "step", 3)
    do(session, "seek", 1)
    then("change", precision=make("precision", "Spiking"))
    assert (session.lane.parent, session.lane.forked_at) == (3, 1)
    do(session, "step", 3)
    do(session, "seek", 2)
    then("run_to_end")
    then("warm_up", 1)
    do(session, "set_gear", "batch")
    do(session, "step", 14)
    do(session, "swap")
    do(session, "swap")
    then("change", batch_size=20)
    do(session, "next_batch")
    for lane, before in kept:
        now = rows(lane)
        if lane.id == 6:  # it was gone on with before it was left
            continue
        assert_same_rows(before, now)


def test_a_swap_goes_on_in_the_lane_that_was_left_exactly_there():
    for choices in ({}, {"learning": make("learning", "Incremental")}):
        for leave in (
            lambda s: do(s, "restart"),
            lambda s: do(s, "change", batch_size=20),
            lambda s: do(s, "change", seed=4),
            lambda s: do(s, "warm_up", 2),
            lambda s: (do(s, "seek", 3), do(s, "step", 9)),
            lambda s: (do(s, "seek", 3), do(s, "change", weights={"name": "SGD", "rate": 0.3})),
        ):
            session, control = opened(SMALL.changed(**choices)), opened(SMALL.changed(**choices))
            for one in (session, control):
                do(one, "set_gear", "batch")
                do(one, "step", 15)
            leave(session)
            do(session, "step", 4)
            do(session, "swap")
            assert session.lane.id == 0
            assert session.ghost.id == 1
            for one in (session, control):
                do(one, "step", 20)
            assert_same_rows(rows(control.lane), rows(session.lane))
            np.testing.assert_array_equal(weights(control), weights(session))


def test_a_lane_that_is_swapped_in_goes_on_in_the_gear_of_the_session_and_can_be_replayed():
    session = opened()
    do(session, "step", 3)
    do(session, "restart")
    do(session, "set_gear", "batch")
    do(session, "swap")
    do(session, "step", 26)
    first = session.lane
    assert first.id == 0 and len(first.starts) > 4
    do(session, "seek", 20)
    do(session, "step", 9)
    np.testing.assert_array_equal(energies(first), energies(session.lane))


def test_a_swap_without_a_ghost_says_so_and_does_nothing():
    session = opened()
    do(session, "swap")
    assert "no other lane" in session.message and "\n" not in session.message
    assert len(session.lanes) == 1


def test_two_changes_of_the_optimiser_before_an_update_can_be_rewound():
    """AdamW, then SGD within one batch: rewound before it, AdamW has its memory again."""
    session, control = opened(), opened()
    for one in (session, control):
        do(one, "set_gear", "batch")
        do(one, "step", 14)
    do(session, "step", 2)
    do(session, "change", weights={"name": "SGD", "rate": 0.1})
    do(session, "seek", 14)
    do(session, "change", weights=core.catalogue.to_dict(SMALL.weights))
    assert session.lane.id == 1
    for one in (session, control):
        do(one, "step", 20)
    np.testing.assert_array_equal(energies(control.lane), energies(session.lane))
    # There and back at one row: the memory is gone, also when that row is replayed.
    do(session, "step", 2)
    do(session, "change", weights={"name": "SGD", "rate": 0.1})
    do(session, "change", weights=core.catalogue.to_dict(SMALL.weights))
    at = session.row
    do(session, "step", 12)
    for upto in (at, at + 3):
        kept = session.lane
        do(session, "seek", upto)
        do(session, "step", at + 12 - upto)
        assert session.lane is not kept
        np.testing.assert_array_equal(energies(kept), energies(session.lane))
    assert len(control.lane.training.optimiser.state) == 8  # it does have a memory


def test_what_is_changed_there_and_back_at_one_row_is_replayed_with_both_changes():
    """Another dynamics begins with an empty memory; without marks the way there is replayed."""
    session = opened(SMALL.changed(dynamics=make("dynamics", "HeavyBall", {"momentum": 0.9})))
    do(session, "step", 4)
    do(session, "change", dynamics="Adam")
    do(session, "change", dynamics={"name": "HeavyBall", "momentum": 0.9})
    do(session, "step", 8)
    kept = session.lane
    kept.marks = kept.marks[:1]
    do(session, "seek", 9)
    do(session, "step", 3)
    np.testing.assert_array_equal(energies(kept), energies(session.lane))


def test_a_restart_gives_the_first_weights_back_although_their_mark_was_thinned_out():
    experiment = SMALL.changed(learning=make("learning", "Incremental"), steps=40)
    session = opened(experiment, budget=0)
    do(session, "set_gear", "batch")
    do(session, "step", 41 * 5 + 30)
    first = session.lane
    assert len(first.marks) <= 4
    do(session, "restart")
    do(session, "step", 30)
    begun = first.starts[-1][0]
    np.testing.assert_array_equal(energies(first)[begun:], energies(session.lane))
    assert [one[1] for one in session.lane.starts] == [5]


@pytest.mark.parametrize("act", ["restart", "warm_up", "change"])
def test_a_new_lane_begins_with_the_batch_under_the_cursor(act):
    session = opened()
    do(session, "set_gear", "batch")
    do(session, "step", 20)
    assert session.lane.starts == [(0, 0), (6, 1), (12, 2), (18, 3)]
    begun = weights_at(session, 6)
    do(session, "seek", 8)
    do(session, act, **({"batch_size": 20} if act == "change" else {}))
    assert session.lane.starts == [(0, 1)]
    assert int(session.lane.trace.row(0)["batch"]) == 1
    np.testing.assert_array_equal(weights(session), begun)


def weights_at(session, row):
    """The weights at a row, from another session that stops there."""
    other = opened(session.lane.choices[0][1])
    do(other, "set_gear", "batch")
    do(other, "step", row)
    return weights(other)


def test_the_accuracy_is_that_of_the_weights_of_the_live_lane():
    session = opened()
    do(session, "set_gear", "batch")
    do(session, "change", weights={"name": "SGD", "rate": 1.0})
    scores = {}

    def check():
        training = session.lane.training
        test = training.images.test_x.flatten(1), training.images.test_y
        model = torch.nn.Sequential(*[training.network.maps[str(i)] for i in range(1, 5)])
        expected = float((model(test[0]).argmax(1) == test[1]).double().mean())
        assert session.accuracy == pytest.approx(expected, abs=1e-12)
        return expected

    for batch in range(5):
        scores[batch] = check()
        do(session, "step", 6)
    assert len(set(scores.values())) > 2
    do(session, "seek", 7)
    do(session, "step", 1)
    assert check() == scores[1]
    assert [batch for batch, _ in session.lane.scores] == [1]
    do(session, "swap")
    check()
    do(session, "seek", 14)
    do(session, "restart")
    assert check() == scores[2]
    do(session, "change", seed=5)
    check()


def test_marks_stay_within_the_budget_and_a_thinned_lane_is_replayed_right():
    roomy, tight = opened(), opened(budget=150_000)
    for session in (roomy, tight):
        do(session, "set_gear", "batch")
        do(session, "change", learning=make("learning", "Incremental"))
        do(session, "step", 150)
        for row in (140, 77, 9):
            do(session, "swap") if len(session.lanes) > 1 else None
            do(session, "seek", row)
            do(session, "step", 12)
    assert sum(one.bytes for one in roomy.lanes) > 3 * tight.budget
    assert_same_lanes(roomy, tight)
    for lane in tight.lanes:
        assert lane.bytes <= tight.budget or len(lane.marks) <= 4
        assert lane.marks[0].row == 0
        assert [m.row for m in lane.marks] == sorted({m.row for m in lane.marks})


# What a row says ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "found"),
    [
        ({"precision": Table(rows=((0.5,),))}, lambda row: row["precision"].tolist() == [0.5] * 4),
        ({"steps": 11}, lambda row: row["T"] == 11),
        ({"dynamics": make("dynamics", "Adam")}, lambda row: True),
        ({"learning": make("learning", "ForwardUpdate")}, lambda row: True),
        ({"weights": make("weights", "SGD")}, lambda row: True),
    ],
)
def test_a_live_change_acts_on_the_next_update_and_its_row_has_another_recipe(choice, found):
    """A row holds the recipe of the update that follows it."""
    session = opened()
    do(session, "step", 3)
    do(session, "change", **choice)
    assert len(session.lanes) == 1
    do(session, "step", 2)
    trace = session.lane.trace
    assert trace.dataset()["recipe_id"].values.tolist() == [0, 0, 0, 1, 1, 1]
    assert not found(trace.row(2)) or choice.keys() & {"dynamics", "learning", "weights"}
    assert found(trace.row(3)) and found(trace.row(5))
    name, value = next(iter(choice.items()))
    plain = value if name == "steps" else core.catalogue.to_dict(value)
    assert trace.recipes[1][name] == plain != trace.recipes[0][name]


def test_a_changed_rate_moves_the_states_of_the_next_row_by_itself_times_the_force():
    session = opened(SMALL.changed(dtype="float64"))
    do(session, "step", 4)
    do(session, "change", dynamics={"name": "GradientDescent", "rate": 0.37})
    do(session, "step", 1)
    trace = session.lane.trace
    for row, rate in ((3, 0.1), (4, 0.37)):
        moved, force = trace.row(row + 1)["speed"], trace.row(row)["force"]
        np.testing.assert_allclose(moved[1:-1], rate * force[1:-1], rtol=1e-12)


def test_a_batch_has_t_plus_one_rows_in_the_batch_gear_also_after_t_has_changed():
    session = opened()
    do(session, "set_gear", "batch")
    do(session, "step", 13)
    do(session, "change", steps=2)
    do(session, "step", 8)
    data = session.lane.trace.dataset()
    found = list(zip(data["batch"].values.tolist(), data["t"].values.tolist(), strict=True))
    expected = [(b, t) for b in (0, 1) for t in range(6)]
    expected += [(b, t) for b in (2, 3, 4) for t in range(3)] + [(5, 0)]
    assert found == expected
    assert session.lane.starts == [(0, 0), (6, 1), (12, 2), (15, 3), (18, 4), (21, 5)]


@pytest.mark.parametrize("learning", ["PredictiveCoding", "ForwardUpdate", "Incremental"])
@pytest.mark.parametrize("gear", ["step", "batch"])
def test_when_the_weights_move(learning, gear):
    session = opened(SMALL.changed(learning=make("learning", learning)))
    do(session, "set_gear", gear)
    moved = set()
    for row in range(1, 20):
        before = weights(session)
        do(session, "step", 1)
        if not np.array_equal(before, weights(session)):
            moved.add(row)
    if learning == "Incremental":
        expected = set(range(1, 20)) - ({6, 12, 18} if gear == "batch" else set())
    else:
        expected = {6, 12, 18} if gear == "batch" else set()
    assert moved == expected


def test_run_to_end_goes_to_t_and_from_there_by_another_t():
    session = opened()
    do(session, "step", 2)
    do(session, "run_to_end")
    assert (session.row, session.cursor) == (5, 5)
    do(session, "run_to_end")
    assert session.row == 10
    do(session, "seek", 3)
    do(session, "run_to_end")
    assert (len(session.lanes), session.row) == (2, 5)
    do(session, "set_gear", "batch")
    do(session, "run_to_end")
    assert (session.row, int(session.lane.trace.row(11)["t"])) == (11, 5)
    assert int(session.lane.trace.row(11)["batch"]) == 1


def test_a_seek_beyond_what_is_recorded_ends_at_a_recorded_row():
    session = opened()
    do(session, "step", 4)
    do(session, "seek", 10**9)
    assert (session.cursor, session.following) == (4, True)
    do(session, "seek", 2)
    assert (session.cursor, session.following, session.at_end) == (2, False, False)
    do(session, "follow")
    assert (session.cursor, session.following) == (4, True)
    assert len(session.lanes) == 1


def test_float64_is_relaxed_and_recorded_in_float64():
    session = opened(SMALL.changed(dtype="float64"))
    do(session, "step", 6)
    single = opened()
    do(single, "step", 6)
    assert energies(session.lane).dtype == np.float64
    assert energies(single.lane).dtype == np.float32
    training = session.lane.training
    states = [h.double() for h in training.network.sweep(session._relaxation.start.clamped)]
    y = session._relaxation.start.clamped[4]
    expected = 0.5 * (y - states[4]).square().sum(1)
    np.testing.assert_allclose(energies(session.lane)[0, -1], expected.detach(), rtol=1e-14)


def test_dream_records_the_free_image():
    choices = {"task": make("task", "Dream"), "init": make("init", "Normal")}
    session = opened(SMALL.changed(**choices))
    do(session, "step", 3)
    data = session.lane.trace.dataset()
    assert data["image"].shape == (4, 8, 1, 8, 8)
    assert "prediction" not in data and "swept" not in data
    assert data["frame_step"].values.tolist() == [0, 1, 2, 3]
    image = session._relaxation.states[0][:8].reshape(8, 1, 8, 8)
    np.testing.assert_array_equal(data["image"].values[-1], image)
    assert not np.array_equal(data["image"].values[0], data["image"].values[-1])


def test_reconstruct_records_prediction_and_sweep():
    session = opened(DECODER)
    do(session, "step", 3)
    data = session.lane.trace.dataset()
    assert data["prediction"].shape == data["swept"].shape == (4, 8, 1, 8, 8)
    assert "image" not in data
    relaxation, network = session._relaxation, session.lane.training.network
    with torch.no_grad():
        mu = network.maps["3"](relaxation.states[2])
        swept = network.maps["3"](network.maps["2"](network.maps["1"](relaxation.states[0])))
    np.testing.assert_array_equal(data["prediction"].values[-1].reshape(8, -1), mu[:8])
    np.testing.assert_array_equal(data["swept"].values[-1].reshape(8, -1), swept[:8])
    x = relaxation.states[3]
    images = session.lane.training.images
    for name, value in (("prediction_mse", mu), ("swept_mse", swept)):
        expected = (value.clamp(images.low, images.high) - x).square().mean(1)
        np.testing.assert_allclose(data[name].values[-1], expected, rtol=1e-6)
    assert session.accuracy is None


# Inits that remember -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Average", "Null"])
def test_an_init_that_remembers_asks_for_a_past_until_it_has_one(name):
    session = opened()
    assert session.offer == ""
    do(session, "change", init=make("init", name, {"m": 0} if name == "Average" else {}))
    assert "recalls" in session.offer and "\n" not in session.offer
    do(session, "restart")
    assert session.offer, "a restart gives it no past"
    without = session.lane
    do(session, "warm_up", 2)
    assert session.offer == ""
    assert session.lane.starts == without.starts == [(0, 0)]
    states = session._relaxation.first
    assert not torch.equal(states[2], session._relaxation.network.sweep({0: states[0]})[2])
    do(session, "swap")
    assert session.offer, "the lane before still has none"
    do(session, "next_batch")
    assert session.offer == "", "the batch before is a past"
    do(session, "seek", 0)
    do(session, "step", 1)
    assert session.offer


def test_warm_up_never_uses_the_batch_itself(monkeypatch):
    for around, size in ((1, 1490), (2, 750), (4, 380)):
        session = opened(SMALL.changed(init=make("init", "Null"), batch_size=size))
        assert session.lane.training.batches.per_epoch == around
        used = []
        deal = type(session.lane.training.batches).batch

        def noted(self, k, used=used, deal=deal):
            used.append(k)
            return deal(self, k)

        with monkeypatch.context() as patch:
            patch.setattr(type(session.lane.training.batches), "batch", noted)
            do(session, "warm_up", 5)
        assert used[-1] == 0
        assert 0 not in used[:-1]
        assert bool(session.offer) == (around == 1), "nothing to recall but itself"


def test_null_init_begins_where_the_batch_before_ended():
    session = opened(SMALL.changed(init=make("init", "Null")))
    do(session, "step", 5)
    end = session._relaxation.states
    do(session, "next_batch")
    for i in (1, 2, 3):
        assert torch.equal(session._relaxation.states[i], end[i])
    assert (session.row, session.lane.starts) == (6, [(0, 0), (6, 1)])


def test_class_means_are_not_carried_over_to_another_init():
    session = opened(SMALL.changed(init=make("init", "Average", {"m": 0})))
    do(session, "warm_up", 2)
    do(session, "next_batch")
    assert session.lane.training.memory is not None
    do(session, "change", init=make("init", "Forward"))
    assert session.lane.training.memory is None
    relaxation = session._relaxation
    swept = relaxation.network.sweep({0: relaxation.states[0]})
    assert torch.equal(relaxation.states[2], swept[2])
    do(session, "change", init=make("init", "Average", {"m": 0}))
    assert session.offer
    # Other dials of the same init keep the means.
    do(session, "swap")
    do(session, "change", init=make("init", "Average", {"m": 1}))
    do(session, "warm_up", 1)
    do(session, "change", init=make("init", "Average", {"m": 2}))
    assert session.lane.training.memory is not None and not session.offer


# First weights and what needs a new network ------------------------------------------------------


def test_the_weights_of_every_epoch_of_training_load():
    session = opened(SMALL.changed(pretraining="epoch 2"))
    course = session.course
    assert course.epochs >= 3
    assert session.accuracy == pytest.approx(course.scores[1], abs=1e-6)
    seen = [weights(session)]
    for name, k in (("epoch 3", 2), ("trained", -1)):
        do(session, "change", pretraining=name)
        assert session.accuracy == pytest.approx(course.scores[k], abs=1e-6)
        seen.append(weights(session))
    do(session, "change", pretraining=f"epoch {course.epochs}")
    np.testing.assert_array_equal(seen[-1], weights(session))
    assert not np.array_equal(seen[0], seen[1]) and not np.array_equal(seen[1], seen[2])
    assert len(session.lanes) == 4
    do(session, "change", pretraining="random")
    assert session.course is None
    np.testing.assert_array_equal(weights(session), weights(opened()))
    do(session, "swap")
    assert session.course is not None, "the course of the lane that is live"


@pytest.mark.parametrize(
    "choices",
    [
        {"network": make("network", "MLP", {"hidden": (7, 6)})},
        {"dataset": make("dataset", "SmallDigits", {"scale": "0..1"})},
        {"dtype": "float64"},
        {"device": "cpu:0"},
        {"seed": 9},
        {"energy": make("energy", "CrossEntropy")},
    ],
)
def test_what_needs_another_network_starts_a_new_lane_as_a_new_session_would(choices):
    session = opened()
    do(session, "step", 3)
    kept = rows(session.lane)
    do(session, "change", **choices)
    assert [lane.parent for lane in session.lanes] == [None, 0]
    assert session.row == 0
    do(session, "step", 4)
    fresh = opened(SMALL.changed(**choices))
    do(fresh, "step", 4)
    assert_same_rows(rows(fresh.lane), rows(session.lane))
    assert_same_rows(kept, rows(session.lanes[0]))


def test_another_task_with_what_it_needs_starts_a_new_lane():
    session = opened()
    do(session, "step", 2)
    do(session, "change", task="Dream", init={"name": "Normal", "sd": 0.05})
    assert len(session.lanes) == 2
    do(session, "step", 3)
    assert "image" in session.lane.trace.dataset()
    do(
        session,
        "change",
        task="Reconstruct",
        network={"name": "Decoder", "latent": 4, "hidden": [8, 8]},
        init="Zero",
    )
    do(session, "step", 3)
    assert "swept" in session.lane.trace.dataset()
    do(session, "swap")
    do(session, "step", 1)
    assert (session.lane.id, session.row) == (1, 4)


# Refusals ----------------------------------------------------------------------------------------


def everything(session):
    return (
        session.lane,
        session.lanes,
        session.ghost,
        session.wanted,
        session.cursor,
        session.following,
        session.gear,
        session.speed,
        session.playing,
        session.row,
        session.taken,
        session.offer,
        session.course,
        session.accuracy,
        list(session.events),
        list(session.lane.choices),
    )


@pytest.mark.parametrize(
    "act",
    [
        lambda s: s.step(0),
        lambda s: s.step(True),
        lambda s: s.step(1.0),
        lambda s: s.step(100_001),
        lambda s: s.seek(-1),
        lambda s: s.seek(True),
        lambda s: s.seek(2.5),
        lambda s: s.set_speed(float("nan")),
        lambda s: s.set_speed(float("inf")),
        lambda s: s.set_speed(0),
        lambda s: s.set_speed(-1.0),
        lambda s: s.set_speed("fast"),
        lambda s: s.set_speed(True),
        lambda s: s.set_gear("x"),
        lambda s: s.set_gear(None),
        lambda s: s.warm_up(0),
        lambda s: s.warm_up(True),
        lambda s: s.warm_up(1001),
        lambda s: s.change(steps=0),
        lambda s: s.change(steps=2.5),
        lambda s: s.change(steps=True),
        lambda s: s.change(dtype="float16"),
        lambda s: s.change(pretraining="epoch 0"),
        lambda s: s.change(precision="Spikng"),
        lambda s: s.change(precision={"name": "Spiking", "rest": -1.0}),
        lambda s: s.change(precision={"name": "Spiking", "rst": 0.1}),
        lambda s: s.change(precision={"name": "Spiking", "rest": float("nan")}),
        lambda s: s.change(precision=3),
        lambda s: s.change(precision={"name": "Table", "rows": [[1.0, 2.0, 3.0]]}),
        lambda s: s.change(precision="Decaying", steps=2),
        lambda s: s.change(task="Reconstruct"),
        lambda s: s.change(init={"name": "Average"}, batch_size=15),
        lambda s: s.change(colour="red"),
        lambda s: s.change(colour=3),
        lambda s: s.change(steps=7, precision="nothing"),
    ],
)
def test_what_is_refused_at_once_is_refused_in_one_line_and_changes_nothing(act):
    session = opened()
    do(session, "step", 2)
    before, kept = everything(session), rows(session.lane)
    with pytest.raises(BadInput) as refused:
        act(session)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 250
    assert session._queue.empty()
    settle(session)
    assert everything(session) == before
    assert_same_rows(kept, rows(session.lane))
    do(session, "step", 1)
    assert session.row == 3


@pytest.mark.parametrize(
    "choices",
    [
        {"pretraining": "epoch 99"},
        {"batch_size": 5000},
        {"device": "cuda:7"},
        {"device": "nowhere"},
        {"device": "meta"},
        {"dataset": {"name": "MNIST", "root": "/nonexistent"}},
    ],
)
@pytest.mark.parametrize("learning", ["PredictiveCoding", "Incremental"])
def test_what_only_the_worker_can_refuse_leaves_everything_as_it_was(choices, learning):
    session = opened(SMALL.changed(learning=make("learning", learning)))
    control = opened(SMALL.changed(learning=make("learning", learning)))
    for one in (session, control):
        do(one, "set_gear", "batch")
        do(one, "step", 9)
    before, kept = everything(session), rows(session.lane)
    try:
        do(session, "change", **choices)
    except BadInput as refused:  # at once is as good
        assert "\n" not in str(refused)
    else:
        assert session.message and "\n" not in session.message
    assert everything(session) == before
    assert_same_rows(kept, rows(session.lane))
    for one in (session, control):
        do(one, "step", 9)
    np.testing.assert_array_equal(energies(control.lane), energies(session.lane))


@pytest.mark.parametrize("act", ["restart", "warm_up", "change"])
def test_a_lane_that_cannot_be_opened_leaves_everything_as_it_was(act, monkeypatch):
    experiment = SMALL.changed(learning=make("learning", "Incremental"))
    session, control = opened(experiment), opened(experiment)
    for one in (session, control):
        do(one, "step", 4)
    before, kept = everything(session), rows(session.lane)

    def full(*args):
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(driver.Driver, "_begin", full)
        do(session, act, **({"init": "Zero"} if act == "change" else {}))
    assert "out of memory" in session.message
    assert everything(session) == before
    assert_same_rows(kept, rows(session.lane))
    for one in (session, control):
        do(one, "step", 9)
        do(one, "restart")
        do(one, "step", 2)
    for one, other in zip(control.lanes, session.lanes, strict=True):
        np.testing.assert_array_equal(energies(one), energies(other))


def test_a_late_refusal_does_not_hide_what_was_asked_after_it():
    session = opened()
    session.change(batch_size=5000)
    session.change(steps=7)
    settle(session)
    assert session.lane.experiment == session.wanted
    assert session.wanted.steps == 7 or session.wanted == SMALL
    do(session, "change", steps=9)
    assert session.wanted == session.lane.experiment == SMALL.changed(steps=9)


def test_what_is_asked_before_a_swap_has_had_its_effect_is_not_lost():
    session = opened()
    do(session, "step", 2)
    do(session, "restart")
    do(session, "change", steps=8)
    session.swap()
    session.change(precision=make("precision", "Spiking"))
    settle(session)
    assert session.lane.id == 0
    assert session.wanted == session.lane.experiment
    assert session.wanted == SMALL.changed(precision=make("precision", "Spiking"))


# Divergence --------------------------------------------------------------------------------------


def test_a_diverging_lane_stops_itself_keeps_its_rows_and_names_step_and_layer():
    session = opened()
    do(session, "step", 4)
    do(session, "change", **WILD)
    do(session, "step", 300)
    lane = session.lane
    assert session.row < 100
    assert lane.diverged.startswith(f"diverged at step {session.row} of batch 0, layer ")
    worst = energies(lane)[-1].mean(1)
    named = int(lane.diverged.split("layer ")[1].split(":")[0])
    assert named == 1 + np.where(np.isfinite(worst), worst, np.inf).argmax()
    assert session.message == lane.diverged
    assert not session.playing and not session._owed
    total = lane.trace.dataset()["energy"].values.astype(float).sum(1)
    assert len(total) == session.row + 1
    assert (total[:-1] <= 1e6 * total[:5].max()).all()
    assert not total[-1] <= 1e6 * total[:5].max()


@pytest.mark.parametrize("gear", ["step", "batch"])
@pytest.mark.parametrize("learning", ["PredictiveCoding", "Incremental"])
def test_rows_made_before_the_divergence_was_seen_leave_no_trace(gear, learning):
    """Running freely, rows are looked at in chunks: the lane must be as if stopped at the row."""
    made = []
    for at_once in (False, True):
        session = opened(SMALL.changed(learning=make("learning", learning)))
        do(session, "set_gear", gear)
        do(session, "step", 8)
        do(session, "change", **WILD)
        if at_once:
            free(session, 90)
        else:
            do(session, "set_speed", None)
            while not session.lane.diverged:
                do(session, "step", 1)
        do(session, "pause")
        do(session, "set_speed", 6.0)
        assert session.lane.diverged
        made.append(session)
    slow, quick = made
    assert quick.taken > slow.taken, "it did run on"
    for act in (
        lambda s: None,
        lambda s: do(s, "change", **TAME),
        lambda s: (do(s, "restart"), do(s, "step", 8)),
        lambda s: (do(s, "swap"), do(s, "seek", s.row - 1), do(s, "step", 9)),
    ):
        act(slow)
        act(quick)
        assert slow.lane.diverged == quick.lane.diverged
        assert slow.accuracy == quick.accuracy
        for a, b in zip(slow.lanes, quick.lanes, strict=True):
            assert_same_rows(rows(a), rows(b))
            assert a.starts == b.starts
            assert [m.row for m in a.marks] == [m.row for m in b.marks]
        np.testing.assert_array_equal(weights(slow), weights(quick))
    assert not quick.lane.diverged


def test_what_cannot_go_on_in_a_diverged_lane_is_refused():
    session = opened()
    do(session, "change", **WILD)
    do(session, "step", 300)
    lane, kept, end = session.lane, rows(session.lane), session.row
    for act in (
        lambda: do(session, "step", 1),
        lambda: do(session, "run_to_end"),
        lambda: do(session, "next_batch"),
        lambda: (session.play(), settle(session), session._turn()),
    ):
        act()
        assert session.lane is lane and session.row == end
        assert session.message == lane.diverged
        assert not session.playing
        assert_same_rows(kept, rows(lane))
    log = log_of(session)
    assert_same_lanes(session, Session.replay(log))


@pytest.mark.parametrize("first", ["rewind", "change"])
def test_rewinding_a_diverged_lane_and_lowering_the_rate_goes_on(first):
    session = opened()
    do(session, "change", **WILD)
    do(session, "step", 300)
    old, end = session.lane, session.row
    acts = [lambda: do(session, "seek", 2), lambda: do(session, "change", **TAME)]
    for act in acts if first == "rewind" else reversed(acts):
        act()
    do(session, "step", 20)
    assert (session.lane.id, session.lane.diverged, session.row) == (1, None, 22)
    assert np.isfinite(energies(session.lane)).all()
    assert old.diverged and len(old.trace) == end + 1
    np.testing.assert_array_equal(energies(old)[:3], energies(session.lane)[:3])
    do(session, "swap")
    do(session, "step", 1)
    assert (session.lane.id, session.row, session.message) == (0, end, old.diverged)


def test_a_lane_that_overflowed_at_once_can_be_rewound_too():
    """Infinite among the first five rows, by which divergence is judged in the lane after it."""
    session = opened()
    do(session, "change", precision=Table(rows=((1e6,),)), **WILD)
    do(session, "step", 50)
    total = energies(session.lane).sum((1, 2))
    assert session.lane.diverged and session.row < 5 and not np.isfinite(total[-1])
    do(session, "seek", 0)
    do(session, "change", precision=make("precision", "Identity"), **TAME)
    do(session, "step", 20)
    assert session.lane.diverged is None and session.row == 20


def test_a_restart_and_a_warm_up_of_a_diverged_lane_go_on():
    session = opened()
    do(session, "set_gear", "batch")
    do(session, "step", 7)
    do(session, "change", **WILD)
    do(session, "step", 300)
    assert session.lane.diverged
    do(session, "change", **TAME)
    do(session, "restart")
    assert session.lane.diverged is None
    do(session, "step", 20)
    assert session.lane.diverged is None and np.isfinite(energies(session.lane)).all()


def test_a_first_experiment_that_cannot_begin_says_why_in_one_line():
    session = Session(Experiment(dataset=SMALL.dataset, batch_size=5000, pretraining="random"))
    woken = threading.Event()
    session.wake = woken.set
    session.start()
    assert woken.wait(60)
    assert not session.ready and session.lane is None
    assert "batch_size" in session.message and "\n" not in session.message
    assert session.progress[0] == session.message
    session.close()
