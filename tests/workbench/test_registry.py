"""The registry: sessions by id, their grace, their end and their return."""

import json
import threading
import time
from typing import ClassVar

import pytest

from core.experiment import Experiment
from tests.workbench.sessions import SMALL, assert_same_rows, rows, waited
from workbench import registry, session
from workbench.session import Session


@pytest.fixture(autouse=True)
def small_and_empty(monkeypatch, tmp_path):
    """No session before and none after; new ones are small; what is written has its own folder."""
    assert registry.alive() == 0
    monkeypatch.setenv("RELAXOSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "GRACE", 1e6)
    made = Session.__init__

    def init(self, experiment=None, **options):
        made(self, experiment or SMALL, **options)

    monkeypatch.setattr(Session, "__init__", init)
    yield
    for place in list(registry._places.values()):
        if place.timer is not None:
            place.timer.cancel()
        place.session.close()
    registry._places.clear()


def attached(session_id, key=1, wake=lambda: None):
    found = registry.attach(session_id, key, wake)
    waited(lambda: found.ready or found.message)
    return found


def ended(session_id, key=1):
    """The page goes, and the grace time is over."""
    registry.release(session_id, key)
    registry._places[session_id].timer.cancel()
    registry.end(session_id)


def played(one):
    """A session with a few lanes."""
    for name, args in (
        ("step", {"n": 7}),
        ("change", {"precision": {"name": "Spiking", "rest": 0.01}}),
        ("seek", {"row": 3}),
        ("step", {"n": 2}),
        ("restart", {}),
        ("set_gear", {"gear": "batch"}),
        ("step", {"n": 9}),
    ):
        count = len(one.events)
        getattr(one, name)(**args)
        waited(lambda count=count: len(one.events) == count + 1 and not one._owed)
    return one


def test_the_same_id_is_the_same_session_for_every_page():
    one = attached("session-a", 1)
    assert attached("session-a", 2) is one
    other = attached("session-b", 1)
    assert other is not one
    assert registry.alive() == 2
    ended("session-b")
    registry.release("session-a", 2)
    registry.end("session-a")
    assert registry.alive() == 1, "a page is still there"
    assert one._thread.is_alive()
    ended("session-a", 1)
    assert registry.alive() == 0
    assert not one._thread.is_alive() and not other._thread.is_alive()


def test_every_page_of_a_session_is_woken_and_no_other():
    seen = {1: 0, 2: 0, 3: 0}

    def wake_of(key):
        return lambda: seen.__setitem__(key, seen[key] + 1)

    one = attached("session-a", 1, wake_of(1))
    attached("session-a", 2, wake_of(2))
    attached("session-b", 3, wake_of(3))
    other = registry._places["session-b"].session
    waited(lambda: one.changes == 1 and other.changes == 1)
    time.sleep(0.05)  # those who were told of it have heard it
    before = dict(seen)
    one.step(2)
    waited(lambda: one.row == 2 and one.changes == 2)
    waited(lambda: seen == {1: before[1] + 1, 2: before[2] + 1, 3: before[3]})
    registry.release("session-a", 2)
    one.step(1)
    waited(lambda: one.row == 3 and one.changes == 3)
    waited(lambda: seen == {1: before[1] + 2, 2: before[2] + 1, 3: before[3]})


class Clock:
    """Stands in for `threading.Timer`: its time is over when a test says so."""

    begun: ClassVar[list["Clock"]] = []
    daemon = False

    def __init__(self, seconds, act, args):
        self.seconds, self.act, self.args = seconds, act, args
        self.cancelled = False

    def start(self):
        self.begun.append(self)

    def cancel(self):
        self.cancelled = True

    def over(self):
        self.act(*self.args)


@pytest.fixture
def clocks(monkeypatch):
    """The timers that were begun."""
    monkeypatch.setattr(Clock, "begun", [])
    monkeypatch.setattr(registry.threading, "Timer", Clock)
    return Clock.begun


@pytest.mark.row(54)
def test_the_session_of_the_last_page_pauses_and_ends_after_the_grace_time(clocks, monkeypatch):
    monkeypatch.setattr(registry, "GRACE", 0.3)
    one = attached("session-a", 1)
    attached("session-a", 2)
    one.set_speed(None)
    one.play()
    waited(lambda: one.row > 3)
    registry.release("session-a", 1)
    time.sleep(0.05)
    assert one.playing and clocks == [], "one page is left"
    registry.release("session-a", 2)
    waited(lambda: not one.playing)
    assert registry.alive() == 1 and one._thread.is_alive()
    [clock] = clocks
    assert clock.seconds == 0.3 and clock.daemon
    clock.over()
    assert registry.alive() == 0 and not one._thread.is_alive()
    assert registry._path("session-a").exists()


def test_the_grace_time_is_over_by_itself(monkeypatch):
    monkeypatch.setattr(registry, "GRACE", 0.1)
    one = played(attached("session-a"))
    registry.release("session-a", 1)
    waited(lambda: registry.alive() == 0 and not one._thread.is_alive())
    waited(registry._path("session-a").exists)


def test_a_reload_within_the_grace_time_keeps_the_session(clocks):
    one = attached("session-a", 1)
    registry.release("session-a", 1)
    registry.release("session-a", 1)  # a page may say so twice
    assert attached("session-a", 2) is one
    assert clocks and clocks[-1].cancelled
    for clock in clocks:  # one that could not be cancelled any more
        clock.over()
    assert registry.alive() == 1 and one._thread.is_alive()


def test_releasing_or_ending_what_is_not_there_does_nothing():
    registry.release("never-was", 1)
    registry.end("never-was")
    assert registry.alive() == 0


@pytest.mark.row(57)
def test_too_many_sessions_are_refused_in_one_readable_line(monkeypatch):
    monkeypatch.setattr(registry, "MOST", 2)
    attached("session-a")
    attached("session-b")
    with pytest.raises(registry.Full) as refused:
        registry.attach("session-c", 1, lambda: None)
    line = str(refused.value)
    assert "\n" not in line and line.startswith("2 sessions are open") and "close" in line
    assert registry.alive() == 2
    attached("session-a", 2)  # those that are open can still be shown
    ended("session-b")
    attached("session-c")


def test_an_ended_session_comes_back_by_its_address_with_the_same_rows():
    one = played(attached("session-a"))
    ended("session-a")
    again = attached("session-a")
    assert again is not one
    assert [lane.id for lane in again.lanes] == [0, 1, 2]
    for old, new in zip(one.lanes, again.lanes, strict=True):
        assert_same_rows(rows(old), rows(new))
    assert again.wanted == one.wanted and again.gear == "batch"
    assert again.log() == one.log()
    again.step(1)
    waited(lambda: again.row == one.row + 1)
    ended("session-a")
    third = attached("session-a")
    assert third.row == one.row + 1


def test_a_session_in_which_nothing_was_asked_is_not_written():
    attached("session-a")
    before = registry._path("session-a")
    registry._places["session-a"].listeners.clear()
    registry.end("session-a")
    assert not before.exists()


def test_a_session_that_ends_while_it_is_brought_back_comes_back_whole(monkeypatch):
    one = played(attached("session-a"))
    ended("session-a")
    held, slow = registry._path("session-a").read_text(), threading.Event()
    forward = Session._one

    def slowly(self):
        slow.set()
        time.sleep(0.05)
        forward(self)

    with monkeypatch.context() as patch:
        patch.setattr(Session, "_one", slowly)
        again = registry.attach("session-a", 1, lambda: None)
        assert slow.wait(30)
        ended("session-a")
    assert not again.ready
    assert json.loads(registry._path("session-a").read_text()) == json.loads(held)
    again = attached("session-a")
    for old, new in zip(one.lanes, again.lanes, strict=True):
        assert_same_rows(rows(old), rows(new))


def test_a_page_that_comes_while_its_session_ends_gets_all_of_it_back(monkeypatch):
    """The end takes its time; whoever comes in between must not begin anew."""
    one = played(attached("session-a"))
    closing, go = threading.Event(), threading.Event()
    close = Session.close

    def slowly(self):
        if self is one:
            closing.set()
            go.wait(30)
        close(self)

    monkeypatch.setattr(Session, "close", slowly)
    registry._places["session-a"].listeners.clear()
    ender = threading.Thread(target=registry.end, args=("session-a",))
    ender.start()
    assert closing.wait(30)
    found = []
    comer = threading.Thread(target=lambda: found.append(attached("session-a", 2)))
    comer.start()
    time.sleep(0.1)
    go.set()
    ender.join(60)
    comer.join(60)
    assert len(found[0].lanes) == 3
    assert found[0].row == one.row


def test_an_end_that_a_page_forestalls_ends_nothing():
    one = attached("session-a")
    registry.release("session-a", 1)
    attached("session-a", 2)
    registry.end("session-a")  # a timer that could not be cancelled any more
    assert registry.alive() == 1 and one._thread.is_alive()


GOOD = {"experiment": SMALL.to_dict(), "events": [], "taken": 4}
STEP = {"command": "step", "args": {"n": 3}, "asked": 1, "applied": 1, "lane": 0, "row": 0}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "3",
        "{}",
        b"\xff\xfe\x00",
        json.dumps({"experiment": {}}),
        json.dumps(GOOD | {"experiment": {"init": "Nothing"}}),
        json.dumps(GOOD | {"experiment": {"schema": 99}}),
        json.dumps(GOOD | {"experiment": 7}),
        json.dumps(GOOD | {"events": 7}),
        json.dumps(GOOD | {"events": [7]}),
        json.dumps(GOOD | {"events": [{}]}),
        json.dumps(GOOD | {"taken": None}),
        json.dumps(GOOD | {"taken": "four"}),
    ],
)
def test_a_damaged_file_gives_a_session_that_works(text):
    path = registry._path("session-a")
    path.parent.mkdir(parents=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    one = attached("session-a")
    assert one.ready, one.message
    assert "\n" not in one.message
    one.step(2)
    waited(lambda: one.taken >= 3 and not one._owed)
    ended("session-a")
    again = attached("session-a")
    assert again.row == one.row


@pytest.mark.parametrize(
    "event",
    [
        STEP | {"command": "explode"},
        STEP | {"args": {"m": 3}},
        STEP | {"args": None},
        STEP | {"command": "change", "args": {"precision": "Nothing"}},
        STEP | {"applied": "later"},
    ],
)
def test_a_log_with_a_damaged_command_comes_back_up_to_it(event):
    path = registry._path("session-a")
    path.parent.mkdir(parents=True)
    restart = STEP | {"command": "restart", "args": {}, "applied": 4}
    log = GOOD | {"events": [STEP, restart, event | {"asked": 5}, restart], "taken": 30}
    if isinstance(event["applied"], int):
        log["events"][2]["applied"] = 5
    path.write_text(json.dumps(log))
    one = attached("session-a")
    assert one.ready
    assert len(one.lanes) == 2 and len(one.lanes[0].trace) == 4
    assert one.message.startswith("2 of 4 commands") and "\n" not in one.message
    one.step(2)
    waited(lambda: len(one.events) == 3 and not one._owed)
    ended("session-a")
    again = attached("session-a")
    assert [len(lane.trace) for lane in again.lanes] == [len(lane.trace) for lane in one.lanes]


def test_an_unwritable_cache_does_not_keep_a_session_from_ending(monkeypatch, tmp_path):
    one = played(attached("session-a"))
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("RELAXOSCOPE_CACHE", str(tmp_path / "file"))
    ended("session-a")
    assert registry.alive() == 0 and not one._thread.is_alive()


def test_when_the_server_stops_every_session_is_written():
    one = played(attached("session-a"))
    registry._keep_all()
    held = json.loads(registry._path("session-a").read_text())
    assert held == json.loads(json.dumps(one.log()))
    assert Experiment.from_dict(held["experiment"]) == SMALL
    assert session.Session.replay(held).row == one.row


def test_the_marks_of_all_sessions_share_one_budget():
    one = attached("session-a")
    assert one.budget * registry.MOST <= registry.BUDGET
