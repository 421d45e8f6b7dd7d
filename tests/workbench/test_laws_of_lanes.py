"""Lanes keep what happened: replay, forks, restarts and live changes, driven without a clock."""

import itertools
import json
import random
import time

import numpy as np
import pytest

from core import Experiment, make
from core.catalogue import BadInput, to_dict
from workbench.session import Command, Session

SMALL = Experiment(
    network=make("network", "MLP", {"hidden": (6, 5, 4)}),
    dataset=make("dataset", "SmallDigits"),
    pretraining="random",
    batch_size=10,
    steps=4,
)


def opened(experiment=SMALL):
    session = Session(experiment)
    session._prepare()
    return session


def do(session, name, **args):
    """One command, as the worker applies it, with the steps that it owes."""
    session._apply(Command(name, args, session.taken))
    while session._owed:
        session._one()
        session._owed = max(0, session._owed - 1)
    session._drain()


def rows(lane):
    return lane.trace.dataset()


def same(a, b):
    assert list(a.step.values) == list(b.step.values)
    for name in a.data_vars:
        np.testing.assert_array_equal(a[name].values, b[name].values, err_msg=name)
    assert list(a.recipe_id.values) == list(b.recipe_id.values)


CHANGES = [
    {"precision": {"name": "Spiking", "rest": 0.01}},
    {"precision": "Identity"},
    {"dynamics": {"name": "HeavyBall", "rate": 0.05, "momentum": 0.5}},
    {"dynamics": {"name": "Adam", "rate": 0.01}},
    {"learning": "Incremental"},
    {"learning": "ForwardUpdate"},
    {"steps": 3},
    {"init": "Average"},
    {"init": {"name": "Normal", "sd": 0.1}},
    {"init": "Null"},
    {"weights": "SGD"},
]


@pytest.mark.parametrize("seed", range(12))
def test_a_log_gives_the_same_lanes_again(seed):
    chance = random.Random(seed)
    session = opened()
    for _ in range(25):
        name = chance.choice(
            "step step change seek restart next_batch set_gear swap warm_up run_to_end".split()
        )
        args = {
            "step": lambda: {"n": chance.randint(1, 6)},
            "change": lambda: chance.choice(CHANGES),
            "seek": lambda: {"row": chance.randint(0, session.row)},
            "set_gear": lambda: {"gear": chance.choice(("step", "batch"))},
            "warm_up": lambda: {"batches": 2},
        }.get(name, dict)()
        do(session, name, **args)
    again = Session.replay(json.loads(json.dumps(session.log())))
    assert len(again.lanes) == len(session.lanes)
    for old, new in zip(session.lanes, again.lanes, strict=True):
        same(rows(old), rows(new))


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"dynamics": make("dynamics", "HeavyBall")},
        {"dynamics": make("dynamics", "Adam")},
        {"learning": make("learning", "Incremental")},
        {"init": make("init", "Normal")},
        {"precision": make("precision", "Spiking")},
        {"init": make("init", "Average", {"m": 1})},
    ],
)
@pytest.mark.parametrize("gear", ["step", "batch"])
def test_going_on_from_an_old_row_gives_the_rows_that_were_there(choices, gear):
    session = opened(SMALL.changed(**choices))
    do(session, "set_gear", gear=gear)
    do(session, "step", n=23)
    first = session.lane
    for row in (0, 3, 17):
        if session.lane is not first:
            session._open(first)
        do(session, "seek", row=row)
        do(session, "step", n=23 - row)
        assert session.lane is not first
        a, b = rows(first), rows(session.lane)
        np.testing.assert_array_equal(a.energy_sample.values, b.energy_sample.values)
        np.testing.assert_array_equal(a.batch.values, b.batch.values)


def test_a_change_acts_on_the_next_update_and_its_row_says_so():
    session = opened()
    do(session, "step", n=3)
    before = rows(session.lane).copy(deep=True)
    do(session, "change", dynamics={"name": "GradientDescent", "rate": 0.2})
    after = rows(session.lane)
    assert after.sizes["step"] == 4
    assert list(after.recipe_id.values) == [0, 0, 0, 1]
    np.testing.assert_array_equal(before.energy.values, after.energy.values)
    do(session, "step", n=1)
    speed = rows(session.lane).speed.values
    force = rows(session.lane).force.values
    # The update that follows row 3 has the new rate: speed = rate * force.
    np.testing.assert_allclose(speed[4, 1:-1], 0.2 * force[3, 1:-1], rtol=1e-5)
    np.testing.assert_allclose(speed[3, 1:-1], 0.1 * force[2, 1:-1], rtol=1e-5)


def test_a_spike_that_is_toggled_at_step_two_is_seen_at_step_two():
    session = opened()
    do(session, "step", n=2)
    do(session, "change", precision={"name": "Spiking", "rest": 0.01})
    do(session, "step", n=3)
    precision = rows(session.lane).precision.values
    assert (precision[:2] == 1).all()
    for k in range(3):  # the output layer spikes first, then the one below
        assert precision[2 + k].argmax() == 3 - k
        assert np.sort(precision[2 + k])[-2] == np.float32(0.01)


def test_nothing_is_deleted():
    session = opened()
    do(session, "step", n=5)
    kept = rows(session.lane).copy(deep=True)
    for command in ({"name": "seek", "row": 2}, {"name": "restart"}, {"name": "next_batch"}):
        do(session, command.pop("name"), **command)
        do(session, "step", n=2)
    do(session, "change", init="Zero")
    same(kept, rows(session.lanes[0]))
    assert [lane.parent for lane in session.lanes] == [None, 0, 1, 2]


def test_weights_move_between_the_batches_of_the_batch_gear_and_only_there():
    session = opened()
    network = session.lane.training.network
    seen = []
    do(session, "set_gear", gear="batch")
    for _ in range(11):
        seen.append((session.lane.trace.row(session.row)["t"], network.version))
        do(session, "step", n=1)
    changed = [int(b[0]) for a, b in itertools.pairwise(seen) if a[1] != b[1]]
    assert changed == [0, 0]
    assert [int(t) for t, _ in seen] == [0, 1, 2, 3, 4] * 2 + [0]


def test_the_step_gear_holds_the_weights_but_for_incremental_learning():
    session = opened()
    network = session.lane.training.network
    version = network.version
    do(session, "step", n=9)
    assert network.version == version
    do(session, "change", learning="Incremental")
    do(session, "step", n=1)
    assert network.version != version
    do(session, "restart")
    assert network.version == version


def test_average_init_asks_for_a_past_and_never_recalls_its_own_batch():
    session = opened()
    do(session, "change", init={"name": "Average", "m": 0})
    assert "recalls" in session.offer
    own = session.lane.training.batches.batch(0)
    taken = []
    batches = session.lane.training.batches
    number = type(batches).batch
    try:
        type(batches).batch = lambda self, k: taken.append(k) or number(self, k)
        do(session, "warm_up", batches=3)
    finally:
        type(batches).batch = number
    assert session.offer == ""
    assert taken[:-1] and all(k % batches.per_epoch != own.number for k in taken[:-1])
    assert taken[-1] == 0
    states = session._relaxation.first
    labels = own.y
    for h in states[1:-1]:  # every sample of a class begins at the same point
        for c in labels.unique():
            assert (h[labels == c] == h[labels == c][0]).all()


def test_a_diverging_relaxation_stops_and_says_where_and_a_rewind_goes_on():
    session = opened()
    do(session, "change", dynamics={"name": "GradientDescent", "rate": 10.0})
    do(session, "step", n=200)
    assert session.lane.diverged.startswith("diverged at step ")
    assert ", layer " in session.lane.diverged
    held = len(session.lane.trace)
    do(session, "step", n=5)
    assert len(session.lane.trace) == held
    do(session, "seek", row=0)
    do(session, "change", dynamics={"name": "GradientDescent", "rate": 0.1})
    do(session, "step", n=5)
    assert session.lane.diverged is None
    assert np.isfinite(rows(session.lane).energy.values).all()


@pytest.mark.parametrize(
    ("act", "line"),
    [
        (lambda s: s.step(0), "step: 0; an integer 1..100000"),
        (lambda s: s.step(True), "step: True; an integer 1..100000"),
        (lambda s: s.seek(-1), "seek: -1; the number of a recorded row, from 0"),
        (lambda s: s.set_gear("third"), "gear: third; one of step, batch"),
        (
            lambda s: s.set_speed(float("nan")),
            "speed: nan; steps per second in (0, 1e6], or none for free",
        ),
        (lambda s: s.warm_up(0), "warm_up: 0; an integer 1..1000"),
        (
            lambda s: s.change(dynamics={"name": "GradientDescent", "rate": float("nan")}),
            "dynamics.rate: nan; a finite number in [1e-08, 10]",
        ),
        (lambda s: s.change(steps=0), "steps: 0; an integer 1..100000"),
    ],
)
def test_a_bad_command_is_refused_at_once_in_one_line(act, line):
    session = opened()
    wanted = session.wanted
    with pytest.raises(BadInput) as refused:
        act(session)
    assert str(refused.value) == line
    assert session.wanted is wanted and session._queue.empty()


def test_each_command_wakes_once_and_closing_ends_the_thread():
    woken = []
    session = Session(SMALL, wake=lambda: woken.append(1))
    session.start()
    waited(lambda: session.ready)
    before = len(woken)
    for k, act in enumerate((session.follow, session.pause, lambda: session.seek(0)), start=1):
        act()
        waited(lambda k=k: len(session.events) == k and len(woken) == before + k)
    session.step(3)
    waited(lambda: session.row == 3)
    waited(lambda: len(woken) == before + 4)
    session.close()
    session.close()
    assert not session._thread.is_alive()
    assert all(0 <= e["applied"] - e["asked"] <= 1 for e in session.events)


def waited(done, seconds=60.0):
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def test_a_rewind_before_a_change_of_the_optimiser_brings_its_dials_and_memory_back():
    session = opened()
    do(session, "set_gear", gear="batch")
    do(session, "step", n=22)
    do(session, "change", weights={"name": "AdamW", "rate": 0.05})
    do(session, "step", n=10)
    do(session, "change", weights={"name": "SGD", "rate": 0.5})
    do(session, "step", n=13)
    first = session.lane
    for row in (3, 24, 38):
        if session.lane is not first:
            session._open(first)
        do(session, "seek", row=row)
        experiment, _ = first.choices_at(row)
        do(session, "change", weights={"name": "AdamW", "rate": 0.01})
        session._open(first)
        do(session, "seek", row=row)
        do(session, "change", weights=to_dict(experiment.weights))
        upto = 22 if row < 22 else 32 if row < 32 else 45
        do(session, "step", n=upto - row)
        a, b = rows(first), rows(session.lane)
        np.testing.assert_array_equal(
            a.energy.sel(step=slice(0, upto - 1)).values,
            b.energy.sel(step=slice(0, upto - 1)).values,
        )


def test_a_restart_trains_at_the_rate_that_the_dial_shows():
    session = opened()
    do(session, "set_gear", gear="batch")
    do(session, "step", n=7)
    do(session, "change", weights={"name": "AdamW", "rate": 0.05})
    do(session, "restart")
    (group,) = session.lane.training.optimiser.param_groups
    assert group["lr"] == 0.05


def test_marks_of_all_lanes_stay_within_the_budget_and_old_lanes_can_still_be_gone_on_with():
    session = opened()
    session.budget = 2**19
    do(session, "set_gear", gear="batch")
    for _ in range(6):
        do(session, "step", n=40)
        do(session, "restart")
    assert sum(lane.bytes for lane in session.lanes) < 2 * session.budget
    assert all(len(lane.marks) < 12 for lane in session.lanes)
    first = session.lanes[0]
    session._open(first)
    do(session, "seek", row=17)
    do(session, "step", n=first.trace.row(10**9)["step"] - 17)
    a, b = rows(first), rows(session.lane)
    np.testing.assert_array_equal(a.energy.values, b.energy.values)
