"""From lane to lane: any lane by its number, undo and redo, and the same again by the log."""

import json
import random

import numpy as np
import pytest
from sessions import SMALL, assert_same_rows, do, opened, rows

from core import make
from core.catalogue import BadInput
from core.runs import Run
from workbench.links import packed, unpacked
from workbench.replaying import replayed
from workbench.session import Session

CHANGES = [
    {"precision": make("precision", "Spiking")},
    {"precision": make("precision", "Identity")},
    {"dynamics": make("dynamics", "HeavyBall", {"rate": 0.05, "momentum": 0.5})},
    {"init": make("init", "Normal")},
    {"init": make("init", "Forward")},
    {"steps": 3},
]


def three():
    """0, 1 from its row 2, and 2 from row 3 of that; each seven rows long."""
    session = opened()
    do(session, "step", 6)
    for row in (2, 3):
        do(session, "seek", row)
        do(session, "step", 6 - row)
    return session


def stands(session):
    return session.lane.id, session.ghost and session.ghost.id, session.cursor, session.row


def test_any_lane_is_opened_by_its_number_where_it_was_left():
    session = three()
    kept = [rows(lane) for lane in session.lanes]
    assert stands(session) == (2, 1, 6, 6)
    do(session, "open_lane", 0)
    assert stands(session) == (0, 2, 6, 6)
    do(session, "open_lane", 0)
    assert stands(session) == (0, 2, 6, 6), "it is open"
    do(session, "compare_with", 1)
    assert stands(session) == (0, 1, 6, 6)
    do(session, "swap")
    assert stands(session) == (1, 0, 6, 6)
    for lane, before in zip(session.lanes, kept, strict=True):
        assert_same_rows(before, rows(lane))


def test_the_lane_before_and_the_one_after():
    session = three()
    do(session, "next_lane")
    assert stands(session)[0] == 2 and session.message == "lane 2 is the last one"
    do(session, "next_lane", -1)
    assert stands(session)[:2] == (1, 2) and not session.message
    do(session, "next_lane", -5)
    assert stands(session)[:2] == (0, 1)
    do(session, "next_lane", -1)
    assert session.message == "lane 0 is the first one"
    do(session, "next_lane", 2)
    assert stands(session)[:2] == (2, 0)


def test_undo_goes_back_to_the_row_from_which_a_lane_came_and_redo_forward_again():
    session = three()
    do(session, "undo")
    assert stands(session) == (1, 2, 3, 6)
    do(session, "undo")
    assert stands(session) == (0, 1, 2, 6)
    do(session, "undo")
    assert stands(session)[0] == 0 and "nothing to undo" in session.message
    do(session, "redo")
    do(session, "redo")
    assert stands(session) == (2, 1, 6, 6)
    do(session, "redo")
    assert stands(session)[0] == 2 and "nothing to redo" in session.message
    assert len(session.lanes) == 3


@pytest.mark.parametrize(
    "begins",
    [
        lambda s: do(s, "restart"),
        lambda s: do(s, "change", init=make("init", "Normal")),
        lambda s: do(s, "change", batch_size=20),
        lambda s: do(s, "warm_up", 1),
    ],
)
@pytest.mark.parametrize("row", [2, 6])
def test_a_lane_that_began_anew_is_undone_to_the_row_that_was_looked_at(begins, row):
    session = opened()
    do(session, "step", 6)
    do(session, "seek", row)
    begins(session)
    do(session, "step", 2)
    do(session, "undo")
    assert stands(session) == (0, 1, row, 6)
    assert session.following == (row == 6)


def test_what_is_new_or_elsewhere_cannot_be_redone():
    session = three()
    do(session, "undo")
    do(session, "step", 1)  # from the row that is looked at: a new lane
    assert session.lane.id == 3
    do(session, "redo")
    assert session.lane.id == 3 and "nothing to redo" in session.message
    do(session, "undo")
    do(session, "open_lane", 0)
    do(session, "redo")
    assert session.lane.id == 0


def test_after_an_undo_the_lane_goes_on_as_if_nothing_had_been():
    session, control = opened(), opened()
    for one in (session, control):
        do(one, "set_gear", "batch")
        do(one, "step", 9)
    do(session, "restart")
    do(session, "step", 4)
    do(session, "undo")
    for one in (session, control):
        do(one, "step", 8)
    assert_same_rows(rows(control.lane), rows(session.lane))


@pytest.mark.parametrize(
    ("act", "line"),
    [
        (lambda s: s.open_lane(-1), "open_lane: -1; the number of a lane, from 0"),
        (lambda s: s.open_lane(True), "open_lane: True; the number of a lane, from 0"),
        (lambda s: s.open_lane("1"), "open_lane: 1; the number of a lane, from 0"),
        (lambda s: s.compare_with(1.0), r"compare_with: 1\.0; the number of a lane, from 0"),
        (lambda s: s.next_lane(0), r"next_lane: 0; an integer 1\.\.100000, or below zero"),
        (lambda s: s.undo(-2), "undo: -2; the number of a recorded row, from 0"),
    ],
)
def test_what_is_no_lane_is_refused_at_once(act, line):
    session = opened()
    with pytest.raises(BadInput, match=f"^{line}"):
        act(session)
    assert session._queue.empty()


@pytest.mark.parametrize("name", ["open_lane", "compare_with"])
def test_a_lane_that_is_not_there_is_refused_when_it_is_asked_for(name):
    session = three()
    before, events = stands(session), len(session.events)
    do(session, name, 3)
    assert session.message == f"{name}: 3; a lane 0..2"
    do(session, "compare_with", 2)
    assert session.message == "compare_with: 2; another lane than the live one"
    assert stands(session) == before and len(session.events) == events


@pytest.mark.parametrize("seed", range(10))
def test_moves_in_any_order_come_out_of_the_log_and_of_an_address_the_same(seed):
    chance = random.Random(seed)
    session = opened(SMALL)
    for _ in range(24):
        name = chance.choice(
            "step step step seek seek change restart swap open_lane compare_with next_lane "
            "undo undo redo redo next_batch".split()
        )
        there = chance.randrange(len(session.lanes))
        given = {
            "step": lambda: ((chance.randint(1, 4),), {}),
            "seek": lambda: ((chance.randint(0, session.row),), {}),
            "change": lambda: ((), chance.choice(CHANGES)),
            "open_lane": lambda at=there: ((at,), {}),
            "compare_with": lambda at=there: ((at,), {}),
            "next_lane": lambda: ((chance.choice((-1, 1)),), {}),
        }.get(name, lambda: ((), {}))()
        do(session, name, *given[0], **given[1])
    log = json.loads(json.dumps(session.log()))
    shared = unpacked(packed(log, {})).log
    again = [Session.replay(log), opened_from(shared)]
    for other in again:
        assert stands(other) == stands(session)
        assert other._left == session._left
        for lane, same in zip(session.lanes, other.lanes, strict=True):
            assert_same_rows(rows(lane), rows(same))
            assert (lane.parent, lane.forked_at, lane.left) == (
                same.parent,
                same.forked_at,
                same.left,
            )


def opened_from(log):
    """A session that repeats what an address holds."""
    session = Session(log.experiment)
    session.repeat(log.events, log.taken)
    session._prepare()
    return session


def test_an_undo_to_a_row_that_was_thinned_comes_out_of_the_log_at_the_row_it_came_to():
    session = opened()
    session.lane.trace.limit = 24
    do(session, "step", 20)
    do(session, "seek", 13)
    do(session, "step", 1)
    do(session, "open_lane", 0)
    do(session, "step", 40)
    do(session, "open_lane", 1)
    do(session, "undo")
    held = session.lane.trace.tail(100)["step"]
    assert 13 not in held and session.cursor in held
    assert abs(session.cursor - 13) == np.abs(held - 13).min()
    again = Session.replay(json.loads(json.dumps(session.log())))
    assert again.cursor == session.cursor


def test_a_recorded_session_with_moves_can_be_replayed_to_the_same_digests(tmp_path, monkeypatch):
    monkeypatch.setenv("RELAXOSCOPE_RUNS", str(tmp_path))
    session = three()
    do(session, "record", "moves")
    for name, *args in (("undo",), ("step", 5), ("open_lane", 0), ("step", 2), ("undo",)):
        do(session, name, *args)
    for name, *args in (("compare_with", 2), ("next_lane", 1), ("undo",), ("redo",), ("step", 1)):
        do(session, name, *args)
    do(session, "stop_recording")
    found = replayed(Run(tmp_path / "moves"))
    assert [lane for lane, _, _ in found] == [0, 1, 2, 3]
    assert all(stored == again != "" for _, stored, again in found)
