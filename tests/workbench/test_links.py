"""A session in an address: who opens it gets the same rows, and nothing that no page could ask."""

import base64
import json
import random
import zlib

import pytest

from core import BadInput, Experiment
from core.runs.train import Every, train
from tests.workbench.sessions import SMALL, do, opened, waited
from tests.workbench.test_lanes import any_command
from tests.workbench.test_recording_sessions import runs
from workbench import registry
from workbench.address import Address
from workbench.beginning import Begin
from workbench.command import script
from workbench.links import LARGEST, LONGEST, MOST_STEPS, Log, packed, unpacked
from workbench.presets import whole
from workbench.session import Session

__all__ = ["runs"]

LAYOUT = {"preset": "spiking", "tab": "theory", "per": "unit", "compared": "agreement"}


def repeated(state):
    """The session that a state describes, in this thread."""
    log = state.log
    session = Session(log.experiment, begin=log.begin)
    session.repeat(log.events, log.taken)
    session._prepare()
    return session


def digests(session):
    return [lane.trace.digest() for lane in session.lanes]


def letters(data):
    """Any data as an address would hold it."""
    body = base64.urlsafe_b64encode(zlib.compress(json.dumps(data).encode())).rstrip(b"=")
    return f"1.{body.decode()}"


def of(log=None, **changes):
    """A state of a short session, with some of its log replaced."""
    whole = {"experiment": SMALL.to_dict(), "events": [], "taken": 0} | (log or {}) | changes
    return letters({"log": whole, "layout": {}})


# What comes back ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_a_session_comes_out_of_its_address_bit_for_bit(seed):
    chance = random.Random(seed)
    session = opened()
    for _ in range(7):
        asked, given = any_command(chance, session.row)
        do(session, asked, **given)
    if seed % 2:
        do(session, "poke", layer="2", how="noise", amount=0.5, sample=1)
        do(session, "step", 2)
    do(session, "pause")
    state = unpacked(packed(session.log(), LAYOUT))
    again = repeated(state)
    assert digests(again) == digests(session)
    assert (again.lane.id, again.cursor, again.gear) == (
        session.lane.id,
        session.cursor,
        session.gear,
    )
    assert again.log() == session.log() and state.layout == LAYOUT


@pytest.mark.parametrize("at", [0, 2, 4])
def test_a_lane_without_a_poke_comes_out_of_an_address_too(at):
    session = opened()
    do(session, "step", 4)
    do(session, "seek", at)
    do(session, "poke", layer="2", how="shift", amount=0.5)
    do(session, "step", 6)
    do(session, "without_poke")
    assert session.events[-1]["command"] == "without_poke", session.message
    do(session, "step", 1)
    do(session, "without_poke")
    again = repeated(unpacked(packed(session.log(), LAYOUT)))
    assert digests(again) == digests(session) and again.lane.id == session.lane.id


def test_a_preset_that_was_chosen_fits_into_an_address():
    session = opened()
    do(session, "change", **whole("spiking") | {"pretraining": "random"})
    do(session, "step", 3)
    text = packed(session.log(), LAYOUT)
    assert len(text) < 2000
    assert digests(repeated(unpacked(text))) == digests(session)


def test_python_repeats_the_session_whatever_its_names_are():
    session = opened(SMALL)
    do(session, "step", 3)
    do(session, "seek", 1)
    do(session, "step", 2)
    log = session.log()
    log["note"] = "'''\nraise SystemExit  # \\u0027\\"  # as the path of an image set might be
    scope = {}
    exec(compile(script(log), "pasted", "exec"), scope)
    assert digests(scope["session"]) == digests(session)
    assert json.loads(scope["LOG"]) == log
    assert scope["trace"].equals(scope["session"].lane.trace.dataset())


def test_a_session_that_began_from_a_run_names_it_and_begins_there_again(runs):
    experiment = SMALL.changed(pretraining="random")
    run = train(experiment, runs / "kept", batches=4, every=Every(weights=1))
    begin = Begin.at(run.path, 0, 2)
    session = Session(begin.experiment(), begin=begin)
    session._prepare()
    do(session, "step", 3)
    text = packed(session.log(), {})
    raw = zlib.decompress(base64.urlsafe_b64decode(text[2:] + "=="))
    assert json.loads(raw)["log"]["begin"] == {"run": "kept", "lane": 0, "batch": 2}
    again = repeated(unpacked(text))
    assert digests(again) == digests(session) and again.begin == begin
    with pytest.raises(BadInput, match="other"):
        unpacked(of(begin={"run": "other", "lane": 0, "batch": 2}))
    for wrong in ("../kept", str(run.path), "", "a/b"):
        with pytest.raises(BadInput):
            unpacked(of(begin={"run": wrong, "lane": 0, "batch": 2}))


# What is refused ---------------------------------------------------------------------------------


EVENT = {"command": "step", "args": {"n": 2}, "asked": 0, "applied": 0, "lane": 0, "row": 0}


def event(**changes):
    return of(events=[EVENT | changes], taken=2)


REFUSED = {
    "": "version",
    "2.abc": "version 2; this one reads 1",
    "1.": "damaged",
    "1.!!!": "damaged",
    letters([]): "damaged",
    letters({"log": {}, "layout": {}}): "damaged",
    letters({"log": {"experiment": [], "events": [], "taken": 0}, "layout": {}}): "damaged",
    of(events={}): "damaged",
    of(taken=-1): r"state\.taken: -1; an integer 0\.\.",
    of(taken=MOST_STEPS + 1): r"state\.taken: 20001",
    of(taken=True): r"state\.taken: True",
    of(experiment={"init": "Forwrad"}): "did you mean Forward",
    of(begin={"run": "x"}): r"state\.begin: damaged",
    event(command="close"): r"state\.events\[0\]\.command: close; one of",
    event(command="record"): "command: record",
    event(command=["step"]): r"command: \['step'\]; one of",
    event(command="aside"): "command: aside",
    event(command="_prepare"): "command: _prepare",
    event(command="__init__"): "command: __init__",
    event(args={"n": 10**9}): r"state\.events\[0\]: step: 1000000000",
    event(args={"m": 1}): r"state\.events\[0\]\.args: .*the arguments of step",
    event(args=[]): r"state\.events\[0\]: .*a command with arguments",
    event(applied=3): r"applied: 3; an integer 0\.\.2",
    event(asked="0"): r"asked: 0; an integer",
    event(command="seek", args={"row": -1}): "seek: -1",
    event(command="set_speed", args={"speed": 0}): "speed: 0",
    event(command="warm_up", args={"batches": 10**6}): "warm_up: 1000000",
    event(command="change", args={"init": "Forwrad"}): "did you mean Forward",
    event(command="change", args={"inti": "Forward"}): "did you mean init",
    event(command="change", args={"init": {"name": "Forward", "noise": -1}}): "noise",
    event(command="poke", args={"layer": "1", "how": "explode"}): "poke.how: explode",
    event(command="poke", args={"layer": "1", "where": 3}): "the arguments of poke",
    event(command="without_poke", args={}): "the arguments of without_poke",
    event(command="without_poke", args={"rows": 3}): "rows, with a start or a lane beside",
    event(command="without_poke", args={"rows": 10**9, "start": 0}): "rows: 1000000000",
    event(command="without_poke", args={"rows": 1, "beside": -1}): "beside: -1; an integer 0",
    of(events=[EVENT | {"applied": 2}, EVENT], taken=2): r"events\[1\]\.applied: 0; 2 or more",
}


@pytest.mark.parametrize(("text", "line"), REFUSED.items(), ids=range(len(REFUSED)))
def test_what_is_no_session_is_refused_in_one_line(text, line):
    with pytest.raises(BadInput, match=line) as refused:
        unpacked(text)
    assert "\n" not in str(refused.value)


def test_a_damaged_address_is_never_another_session():
    session = opened()
    do(session, "step", 5)
    text = packed(session.log(), LAYOUT)
    for at in range(2, len(text), 7):
        other = "A" if text[at] != "A" else "B"
        for wrong in (text[:at], text[:at] + other + text[at + 1 :]):
            with pytest.raises(BadInput):
                unpacked(wrong)


@pytest.mark.row(58)
def test_an_address_that_would_unpack_to_something_huge_is_refused_before_it_does():
    body = base64.urlsafe_b64encode(zlib.compress(b" " * (LARGEST + 1), 9)).decode()
    assert len(body) < LONGEST
    with pytest.raises(BadInput, match="unpacks to more than"):
        unpacked(f"1.{body}")
    with pytest.raises(BadInput, match=r"state: 16,003 letters; up to 16,000"):
        unpacked("1." + "A" * 16_001)


def test_a_session_too_long_for_an_address_says_what_else_there_is():
    session = opened()
    log = session.log()
    chance = random.Random(0)
    log["events"] = [EVENT | {"row": chance.random()} for _ in range(3000)]
    with pytest.raises(BadInput, match=r"^link: .* letters; up to 16,000, beyond by"):
        packed(log, {})
    with pytest.raises(BadInput, match=r"^link: 20,001 steps"):
        packed(session.log() | {"taken": 20_001}, {})


# At the page -------------------------------------------------------------------------------------


def asked(**arguments):
    return Address.of({name: [value] for name, value in arguments.items()}, "secret")


@pytest.fixture
def own_sessions(monkeypatch, tmp_path):
    monkeypatch.setenv("RELAXOSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "GRACE", 1e6)
    yield
    for name in list(registry._places):
        for key in list(registry._places[name].listeners):
            registry.release(name, key)
        registry._places[name].timer.cancel()
        registry.end(name)


def test_an_address_with_a_preset_or_a_state_begins_a_session_of_ones_own(own_sessions):
    first = opened()
    do(first, "step", 4)
    do(first, "seek", 2)
    text = packed(first.log(), LAYOUT)
    session, _, layout = asked(session="of-a-state", state=text).opened(1, lambda: None)
    waited(lambda: session.ready or session.message)
    assert digests(session) == digests(first) and session.cursor == 2 and layout == LAYOUT
    named, _, layout = asked(session="of-a-preset", preset="zil").opened(1, lambda: None)
    waited(lambda: named.ready or named.message)
    assert named.wanted == Experiment(**whole("zil")) and layout == {"preset": "zil"}


def test_a_session_that_is_known_is_not_begun_again_by_its_address(own_sessions):
    log = Log(SMALL, ({**EVENT, "args": {"n": 2}},), 2)
    one = registry.attach("known-one", 1, lambda: None, log)
    waited(lambda: one.ready)
    one.step(3)
    waited(lambda: one.row == 4)  # one of the two was the first row
    again, _, _ = asked(session="known-one", preset="spiking").opened(2, lambda: None)
    assert again is one


@pytest.mark.row(56)
@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"preset": "spikin"}, r"^preset: spikin; one of .*did you mean spiking\?"),
        ({"state": "1.abc"}, "^state: damaged"),
        ({"state": "<script>"}, "^state: version"),
    ],
)
def test_an_address_that_asks_for_nothing_that_is_there_is_refused(own_sessions, given, line):
    with pytest.raises(BadInput, match=line):
        asked(session="never-made", **given).opened(1, lambda: None)
    assert registry.alive() == 0
