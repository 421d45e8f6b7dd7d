"""Pokes of sessions: rewound, forked, swapped and replayed to the same bits; what followed them."""

import json
import random
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from core import BadInput, make
from core.poke import Poke, poke
from tests.workbench.sessions import (
    SMALL,
    assert_same_rows,
    do,
    energies,
    free,
    opened,
    rows,
    settle,
)
from tests.workbench.test_lanes import CHANGES, entries, flat, weights
from tests.workbench.test_recording_sessions import assert_holds, recorded, runs, stopped
from tests.workbench.twin import Twin
from workbench import driver
from workbench.poke_tab import NoPoke, _share
from workbench.poking import course, fits, held
from workbench.replaying import replayed
from workbench.scene import readout, scene
from workbench.session import Session
from workbench.watched import Watched

__all__ = ["runs"]

RATE = 0.15

LINEAR = SMALL.changed(
    network=make("network", "MLP", {"hidden": (4, 3, 5), "activation": "identity"}),
    dynamics=make("dynamics", "GradientDescent", {"rate": RATE}),
    dtype="float64",
)
VGG = SMALL.changed(network=make("network", "VGG", {"width": 1 / 64, "pools": 2}))


def log_of(session):
    """The log as a file would hold it."""
    return json.loads(json.dumps(session.log(), allow_nan=False))


def followed(session, **bounds):
    return course(session.lane, session.lanes, **bounds)


def assert_replays(session):
    again = Session.replay(log_of(session))
    assert len(again.lanes) == len(session.lanes)
    for one, other in zip(session.lanes, again.lanes, strict=True):
        assert_same_rows(rows(one), rows(other))
        assert [(p.row, p.poke, p.choices, p.batch) for p in one.pokes] == [
            (p.row, p.poke, p.choices, p.batch) for p in other.pokes
        ]
    return again


# The command -------------------------------------------------------------------------------------


def test_the_row_of_a_poke_tells_the_state_from_which_the_next_update_goes():
    session = opened(SMALL)
    do(session, "step", 3)
    before = energies(session.lane).copy()
    do(session, "poke", layer="2", how="shift", amount=0.5)
    after = energies(session.lane)
    np.testing.assert_array_equal(after[:3], before[:3])
    changed = (after[3] != before[3]).any(1)
    assert changed.tolist() == [False, True, True, False], "E_2 and E_3 read state 2"
    assert len(session.lanes) == 1 and session.row == 3
    step = session._relaxation.step()
    np.testing.assert_array_equal(after[3], step.free_energy.energies(step.states))
    np.testing.assert_allclose(session.lane.pokes[0].energy, before[3].mean(1), rtol=1e-6)


def test_a_poke_is_logged_with_its_seed_and_the_trace_says_it():
    session = opened(SMALL)
    do(session, "step", 2)
    do(session, "poke", layer="1", how="noise", amount=0.1)
    do(session, "poke", layer="1", how="noise", amount=0.1, sample=2, seed=77)
    first, second = session.events[-2:]
    assert first["command"] == "poke" and (first["lane"], first["row"]) == (0, 2)
    assert first["args"] == {"layer": "1", "how": "noise", "amount": 0.1, "seed": 1}
    assert second["args"]["seed"] == 77 and second["args"]["sample"] == 2
    assert session.lane.trace.dataset().attrs["events"]
    assert session.lane.trace.events[-1] == second


def test_a_poke_at_an_old_row_forks_a_lane_and_leaves_the_other_as_it_was():
    session = opened(SMALL)
    do(session, "step", 8)
    before = rows(session.lane)
    do(session, "seek", 3)
    do(session, "poke", layer="3", how="zero")
    assert len(session.lanes) == 2 and session.row == 3 and session.lane.forked_at == 3
    assert_same_rows(rows(session.lanes[0]), before)
    assert not session.lanes[0].pokes and [p.row for p in session.lane.pokes] == [3]
    assert_same_rows(rows(session.lane), before, upto=3)
    assert (energies(session.lane)[3] != before["energy_sample"][3]).any()


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"layer": "9"}, "poke.layer: 9; one of 0, 1, 2, 3, 4"),
        ({"sample": 10}, "poke.sample: 10; 0..9"),
        ({"region": (0, 1, 0, 8), "layer": "0"}, "columns within 0..7 of 0"),
        ({"region": (0, 1, 0, 1)}, "poke.region: [0, 1, 0, 1]; none"),
        ({"how": "noise", "amount": 0}, "poke.amount: 0"),
    ],
)
def test_a_bad_poke_is_refused_at_once_and_not_logged(given, line):
    session = opened(SMALL)
    with pytest.raises(BadInput) as refused:
        session.poke(**{"layer": "1", "how": "zero", **given})
    assert line in str(refused.value)
    settle(session)
    assert not session.events and not session.lane.pokes


def test_what_only_the_row_can_refuse_is_said_and_no_lane_is_left():
    session = opened(SMALL)
    do(session, "step", 4)
    before = rows(session.lane)
    for row in (4, 2):
        do(session, "seek", row)
        do(session, "poke", layer="0", how="clamp")
        assert session.message.startswith("poke.how: clamp; 0 is clamped already")
        do(session, "poke", layer="2", how="release")
        assert session.message.startswith("poke.how: release; no poke holds any")
    assert len(session.lanes) == 1 and not session.lane.pokes
    do(session, "step", 1)
    assert_same_rows(before, rows(session.lane), upto=3)


def test_before_the_first_row_nothing_can_be_poked():
    with pytest.raises(BadInput, match="nothing relaxes yet"):
        Session(SMALL).poke(layer="1", how="zero")


def test_a_large_poke_has_not_diverged_and_what_grows_after_it_has():
    session = opened(SMALL)
    do(session, "step", 12)
    do(session, "poke", layer="2", how="shift", amount=1e5)
    do(session, "step", 1)
    assert session.lane.diverged is None and session.row == 13
    wild = {"dynamics": {"name": "GradientDescent", "rate": 10.0}}
    do(session, "change", **wild)
    do(session, "step", 60)
    assert session.lane.diverged
    do(session, "poke", layer="2", how="zero")
    assert session.message == session.lane.diverged and len(session.lane.pokes) == 1


def test_a_rise_by_a_poke_is_no_broken_promise():
    session = opened(SMALL)
    do(session, "step", 5)
    do(session, "poke", layer="2", how="shift", amount=1.0)
    do(session, "step", 5)
    assert session.lane.trace.attrs["rises"] == ""


# Coming back -------------------------------------------------------------------------------------

POKES = [
    {"layer": "1", "how": "noise", "amount": 0.3},
    {"layer": "2", "how": "zero", "sample": 3},
    {"layer": "3", "how": "shift", "amount": -0.5},
    {"layer": "2", "how": "clamp"},
    {"layer": "1", "how": "clamp", "amount": 0.2, "sample": 0},
    {"layer": "0", "how": "zero", "region": (2, 5, 0, 3)},
    {"layer": "4", "how": "noise", "amount": 0.1},
]
NAMES = (
    "step step step step poke poke poke change change seek seek restart next_batch set_gear swap "
    "warm_up run_to_end"
).split()


class Poking(Twin):
    """The session as simple as can be, with pokes."""

    def poke(self, seed, **given):
        if not self.at_end:
            self.fork(self.line.experiment)
        new = self.line.states[-1].copied()
        poke(new.relaxation, Poke(seed=seed, **given), new.training.images.shape)
        new.relaxation.step()
        self.line.states[-1] = new.held(self.gear)


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_asked_pokes_are_where_a_session_that_copies_everything_has_them(
    seed, monkeypatch
):
    """Marks at every row, at few, and at as few as may be left; and the log gives it all again."""
    chance = random.Random(seed)
    monkeypatch.setattr(driver, "MARK_EVERY", chance.choice((1, 5, 16)))
    session = opened(SMALL, align=False, budget=chance.choice((0, 0, 2**30)))
    twin = Poking(SMALL)
    poked = 0
    for _ in range(16):
        name = chance.choice(NAMES)
        given = {
            "step": lambda: {"n": chance.choice((1, 2, 4, 7))},
            "poke": lambda: {**chance.choice(POKES), "seed": chance.randint(0, 99)},
            "change": lambda: chance.choice(CHANGES[:-4]),
            "seek": lambda: {"row": chance.randint(0, session.row)},
            "set_gear": lambda: {"gear": chance.choice(("step", "batch"))},
            "warm_up": lambda: {"batches": 2},
        }.get(name, dict)()
        if sum(len(line.states) for line in twin.lanes) > 120:
            break
        do(session, name, **given)
        assert not session.message or name == "swap", session.message
        getattr(twin, name)(**(entries(given) if name == "change" else given))
        poked += name == "poke"
        assert (session.row, session.cursor) == (twin.row, twin.cursor)
        np.testing.assert_array_equal(weights(session), flat(twin))
    assert poked
    for lane, line in zip(session.lanes, twin.lanes, strict=True):
        expected = np.stack([state.energies() for state in line.states])
        np.testing.assert_array_equal(energies(lane), expected)
    if session.ghost is not None:
        do(session, "swap")
        do(session, "swap")
    assert_replays(session)


def test_pokes_while_it_plays_free_are_replayed_where_they_were():
    session = opened(SMALL)
    for amount in (0.5, -0.25):
        free(session, 7)
        session.poke(layer="2", how="noise", amount=abs(amount))
        session.poke(layer="3", how="shift", amount=amount)
        free(session, 5)
        session.pause()
        settle(session)
    assert [p.row for p in session.lane.pokes] == [7, 7, 19, 19]
    assert_replays(session)


def test_a_restart_a_new_batch_and_another_init_begin_without_what_was_held():
    session = opened(SMALL)
    do(session, "step", 3)
    do(session, "poke", layer="2", how="clamp", amount=0.0)
    do(session, "poke", layer="0", how="zero")
    assert held(session.lane, session.row) == ["2"]
    do(session, "step", 2)
    assert (session._relaxation.states[2] == 0).all() and not session._relaxation.states[0].any()
    do(session, "next_batch")
    assert held(session.lane, session.row) == [] and session._relaxation.states[0].any()
    assert not session._relaxation.phase.held
    do(session, "seek", 4)
    do(session, "step", 1)
    assert held(session.lane, session.row) == ["2"], "a fork from within has it"
    do(session, "restart")
    assert not session._relaxation.phase.held and session._relaxation.states[0].any()
    assert_replays(session)


def test_a_release_lets_go_and_the_list_of_what_is_held_says_so():
    session = opened(SMALL)
    do(session, "step", 2)
    for layer in ("1", "3"):
        do(session, "poke", layer=layer, how="clamp")
    at = [session._relaxation.states[i].clone() for i in (1, 3)]
    do(session, "step", 3)
    assert held(session.lane, session.row) == ["1", "3"]
    do(session, "poke", layer="1", how="release")
    do(session, "step", 1)
    assert held(session.lane, session.row) == ["3"]
    assert not torch.equal(session._relaxation.states[1], at[0])
    assert torch.equal(session._relaxation.states[3], at[1])
    assert held(session.lane, 4) == ["1", "3"] and held(session.lane, 1) == []


# What followed -----------------------------------------------------------------------------------


def front_of(layer, layers):
    """Steps from a poke of a state to the change of each energy, which reads two states."""
    return [max(layer - k, k - layer - 1, 0) for k in range(1, layers + 1)]


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("layer", range(5))
@pytest.mark.parametrize("at", [6, 0])
def test_against_the_lane_without_the_poke_the_front_takes_a_step_a_layer(layer, at):
    session = opened(SMALL.changed(init=make("init", "Normal", {"sd": 0.3}), dtype="float64"))
    do(session, "step", 14)
    do(session, "seek", at)
    do(session, "poke", layer=str(layer), how="shift", amount=0.3)
    assert followed(session).beside == 0 and followed(session).steps.tolist() == [0]
    do(session, "step", 6)
    found = followed(session, front=1e-9)
    assert found.beside == 0 and found.steps.tolist() == list(range(7))
    assert found.arrival == front_of(layer, 4)


@pytest.mark.oracle("closed form")
def test_recovery_in_a_linear_network_is_that_of_the_eigenvalues():
    """From rest F - F* = delta^T H (1 - alpha H)^2k delta / 2, delta the poke, the same samples."""
    session = opened(LINEAR)
    do(session, "step", 1500)
    do(session, "seek", 1400)
    do(session, "poke", layer="2", how="shift", amount=0.4)
    do(session, "step", 100)
    maps = session.lane.training.network.maps
    W = [maps[str(i)].weight.detach() for i in range(1, 5)]
    H = torch.block_diag(*[torch.eye(len(w)).double() + v.T @ v for w, v in pairwise(W)])
    H[:4, 4:7], H[4:7, :4] = -W[1].T, -W[1]
    H[4:7, 7:], H[7:, 4:7] = -W[2].T, -W[2]
    values, vectors = torch.linalg.eigh(H)
    delta = torch.zeros(12).double()
    delta[4:7] = 0.4
    k = torch.arange(101)[:, None]
    distance = (values * (1 - RATE * values) ** (2 * k) * (delta @ vectors) ** 2).sum(1) / 2
    for back in (0.5, 0.05, 0.01):
        found = followed(session, back=back)
        assert found.beside == 0
        np.testing.assert_allclose(found.distance, distance, rtol=1e-6, atol=1e-12)
        assert 0 < found.recovery == int((distance > back * distance[0]).sum()) < 100


def test_without_a_lane_beside_it_the_poked_layer_comes_back_to_its_value_before():
    session = opened(LINEAR)
    do(session, "step", 300)
    do(session, "poke", layer="2", how="shift", amount=0.4)
    assert followed(session).recovery is None
    do(session, "step", 200)
    found = followed(session)
    assert found.beside is None and found.arrival == []
    energy = session.lane.trace.dataset()["energy"].values[300:, 1]
    before = session.lane.pokes[0].energy[1]
    outside = np.abs(energy - before) > 0.05 * before
    assert found.recovery == np.flatnonzero(outside)[-1] + 1
    assert found.back[1] == found.recovery
    assert followed(session, back=0.5).recovery < found.recovery


def test_a_poked_root_is_judged_by_those_that_read_it():
    session = opened(LINEAR)
    do(session, "step", 50)
    do(session, "poke", layer="0", how="zero", sample=0)
    found = followed(session)
    jump = np.abs(session.lane.trace.dataset()["energy"].values[50, 0] - found.poked.energy[0])
    assert found.distance[0] == pytest.approx(jump)


@pytest.mark.parametrize(
    ("then", "last"),
    [
        ([("step", {"n": 6})], 6),
        ([("step", {"n": 2}), ("change", {"steps": 7}), ("step", {"n": 4})], 1),
        ([("step", {"n": 3}), ("next_batch", {}), ("step", {"n": 3})], 3),
        ([("step", {"n": 20})], 12),
    ],
)
def test_lanes_are_compared_as_long_as_all_but_the_poke_is_the_same(then, last):
    session = opened(SMALL)
    do(session, "step", 16)
    do(session, "seek", 4)
    do(session, "poke", layer="2", how="shift", amount=0.3)
    for name, given in then:
        do(session, name, **given)
    found = followed(session)
    assert found.beside == 0 and found.steps.tolist() == list(range(last + 1))


@pytest.mark.parametrize(
    "between",
    [
        [("change", {"dynamics": make("dynamics", "GradientDescent", {"rate": 0.05})})],
        [("poke", {"layer": "1", "how": "zero"})],
        [("change", {"seed": 5}), ("step", {"n": 12})],
    ],
)
def test_a_lane_that_went_on_otherwise_is_not_the_course_without_the_poke(between):
    session = opened(SMALL)
    do(session, "step", 12)
    do(session, "seek", 4)
    for name, given in between:
        do(session, name, **given)
    if session.row > 4:
        do(session, "seek", 4)
    do(session, "poke", layer="2", how="shift", amount=0.3)
    do(session, "step", 4)
    beside = followed(session).beside
    assert beside is None or session.lanes[beside].choices[-1][1].seed == 5


@pytest.mark.parametrize("at", [5, 0])
@pytest.mark.parametrize("gear", ["step", "batch"])
def test_the_course_without_the_poke_is_relaxed_in_a_lane_beside_it(at, gear):
    experiment = SMALL.changed(init=make("init", "Normal", {"sd": 0.3}), steps=30)
    plain, session = opened(experiment), opened(experiment)
    for one in (plain, session):
        do(one, "set_gear", gear)
        if at:
            do(one, "step", at)
    do(plain, "step", 9)
    do(session, "poke", layer="2", how="noise", amount=0.3)
    do(session, "step", 6)
    poked = rows(session.lane)
    do(session, "without_poke")
    assert (session.lane.id, session.ghost.id, session.row) == (0, 1, at + 6)
    assert_same_rows(rows(session.lane), poked)
    do(session, "step", 3)
    do(session, "without_poke")
    assert len(session.lanes) == 2 and session.lane.id == 0
    assert not session.ghost.pokes
    np.testing.assert_array_equal(energies(session.ghost), energies(plain.lane))
    found = followed(session)
    assert found.beside == 1 and found.steps.tolist() == list(range(10))
    assert found.arrival == front_of(2, 4)
    do(session, "without_poke")
    assert "it is there already" in session.message
    assert_replays(session)


@pytest.mark.parametrize(
    ("before", "line"),
    [
        ([], "nothing was poked"),
        ([("poke", {})], "take a step"),
        (
            [("poke", {}), ("change", {"steps": 9}), ("step", {"n": 1})],
            "the recipe or the gear has changed",
        ),
        ([("poke", {}), ("poke", {}), ("step", {"n": 1})], "more than once"),
        ([("next_batch", {}), ("poke", {}), ("step", {"n": 1})], "the first row of a batch"),
        (
            [("poke", {}), ("step", {"n": 1}), ("set_gear", {"gear": "batch"})],
            "the recipe or the gear has changed",
        ),
    ],
)
def test_where_there_is_no_course_without_the_poke_it_is_said_why(before, line):
    session = opened(SMALL)
    do(session, "step", 2)
    for name, given in before:
        poke_given = {"layer": "2", "how": "shift", "amount": 0.1} if name == "poke" else {}
        do(session, name, **given, **poke_given)
    count = len(session.events)
    do(session, "without_poke")
    assert session.message.startswith("without_poke: ") and line in session.message
    assert len(session.events) == count and len(session.lanes) == 1


def test_bounds_that_make_no_sense_are_refused():
    assert fits(5, 1e-6) == (0.05, 1e-6)
    for back, front in ((0, 1e-6), (100, 1e-6), (5, 0.0), (5, 1.0), (None, 1e-6), (5, "x")):
        with pytest.raises(BadInput, match=r"^poke\.(back within|front above): "):
            fits(back, front)


# What is shown -----------------------------------------------------------------------------------


def test_the_page_marks_the_row_and_the_readout_has_the_recovery():
    session = opened(LINEAR)
    shown = readout(session, scene(session))
    assert shown["poked"] is None and shown["recovery"] is None
    do(session, "step", 30)
    do(session, "seek", 10)
    do(session, "poke", layer="2", how="shift", amount=0.4)
    drawn = scene(session)
    assert drawn.changes == [(10, "poke 2: shift 0.4")]
    assert readout(session, drawn)["poked"] == 10
    do(session, "step", 20)
    expected = course(session.lane, session.lanes).recovery
    assert readout(session, scene(session))["recovery"] == expected
    do(session, "change", steps=9)
    assert [row for row, _ in scene(session).changes] == [10, 30]
    do(session, "swap")
    assert readout(session, scene(session))["poked"] is None and scene(session).changes == []


@pytest.mark.parametrize("experiment", [SMALL, VGG], ids=["flat", "convolutions"])
def test_the_picture_of_the_input_is_the_occluded_one_from_the_poke_on(experiment):
    session = opened(experiment)
    do(session, "step", 4)
    before = scene(session).images["input"].copy()
    do(session, "poke", layer="0", how="zero", sample=1, region=(2, 4, 0, 7))
    after = scene(session).images["input"]
    expected = before.copy()
    expected[1, :, 2:5, :] = 0
    np.testing.assert_array_equal(after, expected)
    do(session, "seek", 3)
    np.testing.assert_array_equal(scene(session).images["input"], before)
    do(session, "next_batch")
    assert scene(session).images["input"].any((1, 2, 3)).all()


# In a run ----------------------------------------------------------------------------------------


def test_a_recorded_session_holds_its_pokes_and_replays_to_the_same_rows(runs):
    session = opened(SMALL)
    recorded(session, "poked")
    do(session, "step", 8)
    do(session, "poke", layer="2", how="noise", amount=0.3)
    do(session, "step", 4)
    do(session, "without_poke")
    do(session, "seek", 5)
    do(session, "poke", layer="0", how="zero", region=(0, 3, 0, 7))
    do(session, "step", 3)
    run = stopped(session)
    assert_holds(run, session)
    assert all(old == new for _, old, new in replayed(run)) and len(session.lanes) == 3
    for lane, expected in ((0, (8, "poke 2: noise 0.3")), (2, (5, "poke 0: zero, rows 0..3"))):
        watched = Watched("poked", lane)
        watched.look()
        drawn = scene(watched)
        [(row, said)] = drawn.changes
        assert (row, said[: len(expected[1])]) == expected
        shown = readout(watched, drawn)
        assert shown["poked"] == expected[0] and shown["recovery"] is None


def test_a_run_that_is_watched_says_in_a_line_that_it_cannot_be_poked():
    tab = NoPoke(SimpleNamespace(session=SimpleNamespace(why="of <old> weights")), "")
    tab.follow()
    assert "cannot be poked" in tab.view.object and "&lt;old&gt;" in tab.view.object


@pytest.mark.parametrize(
    ("change", "said"),
    [(0.0, "0"), (0.05, "5 %"), (9.5, "950 %"), (20.0, "20 E′"), (np.inf, "from 0")],
)
def test_a_change_is_told_by_the_energy_without_the_poke(change, said):
    assert _share(change) == said
