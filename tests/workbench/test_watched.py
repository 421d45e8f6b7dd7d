"""Runs that are watched: what is drawn is what was stored, time is a cursor, nothing is made up."""

import itertools
import json

import numpy as np
import pytest

from core.catalogue import BadInput
from core.layout import Layout
from core.recorder import Chunk
from core.runs import Writer
from core.trace import Sample
from tests.workbench.sessions import SMALL, do, opened, settle
from workbench import figures, reading
from workbench.address import Address
from workbench.curves import Curves
from workbench.scene import readout, scene
from workbench.watched import FROM_BATCH, NO_WEIGHTS, OWN_CODE, Watched

L = 4


@pytest.fixture(autouse=True)
def shelf(tmp_path, monkeypatch):
    """A folder of runs for each test."""
    monkeypatch.setenv("RELAXOSCOPE_RUNS", str(tmp_path))
    return tmp_path


def layout(size=0):
    """Four layers of so many units; 0 where that is not known."""
    states = tuple(range(L + 1))
    names = tuple(f"h{k}" for k in states)
    return Layout(states[1:], names, states[1:], (size,) * (L + 1), (True,) * L, 2.0**-23)


def values(step):
    """One decade from layer to layer, falling by e in twenty steps, (rows, L)."""
    return np.exp(-step[:, None] / 20) * 10.0 ** -np.arange(L)


def chunk(first, last, **logged):
    """Rows first..last - 1 in batches of ten; each variable is made of the step numbers."""
    step = np.arange(first, last)
    index = {"step": step, "batch": step // 10, "t": step % 10, "T": np.full(len(step), 9)}
    index |= {"phase": np.full(len(step), "relax"), "recipe_id": np.zeros(len(step), int)}
    return Chunk(index | {name: make(step) for name, make in logged.items()})


def recorded(path, *chunks, size=0, how="finished", **about):
    """A run of one lane with these chunks."""
    with Writer(path, **about) as writer:
        lane = writer.lane(layout(size))
        for one in chunks:
            writer.append(lane, one)
        writer.close(how)


def seen(name, lane=None):
    """A run as it stands, read in this thread."""
    watched = Watched(name, lane)
    watched.look()
    return watched


def taped(name="taped"):
    """A recorded session of two lanes, and the session itself."""
    session = opened(SMALL)
    session.record(name)
    settle(session)
    do(session, "step", 7)
    do(session, "change", precision={"name": "Spiking", "rest": 0.01})
    do(session, "step", 2)
    do(session, "seek", 4)
    do(session, "set_gear", "batch")
    do(session, "step", 9)
    session.stop_recording()
    settle(session)
    return session


# What is drawn -----------------------------------------------------------------------------------


def test_a_watched_session_is_drawn_as_the_session_itself():
    session = taped()
    watched = seen("taped")
    assert (watched.state, watched.lane.id, watched.ghost.id) == ("finished", 1, 0)
    for row in (session.row, 6, 4, 0):
        do(session, "seek", row)
        watched.seek(row)
        ours, theirs = scene(watched), scene(session)
        for one, other in ((ours.curves, theirs.curves), (ours.ghost, theirs.ghost)):
            for name in Curves.__dataclass_fields__:
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)
        assert (ours.cursor, ours.at, ours.changes) == (theirs.cursor, theirs.at, theirs.changes)
        assert ours.updates == [one for one in theirs.updates if one <= session.row]
        assert ours.labels.tolist() == theirs.labels.tolist()
        np.testing.assert_array_equal(ours.probability, theirs.probability)
        np.testing.assert_array_equal(ours.images["input"], theirs.images["input"])
        assert ours.absent == frozenset()
        said, live = readout(watched, ours), readout(session, theirs)
        for name in ("energies", "total", "imbalance", "batch", "step", "phase", "reached"):
            assert said[name] == live[name], name
        assert {k: said["recipe"][k] for k in live["recipe"]} == live["recipe"]


def test_the_choices_are_those_at_the_cursor():
    taped()
    watched = seen("taped", 0)
    for row, name in ((0, "Identity"), (6, "Identity"), (7, "Spiking"), (9, "Spiking")):
        watched.seek(row)
        assert type(watched.wanted.precision).__name__ == name
    assert watched.wanted.network == SMALL.network


def test_energies_alone_give_no_total_and_no_precision(shelf):
    recorded(shelf / "own", chunk(0, 60, energy=values))
    watched = seen("own")
    drawn = scene(watched)
    c = drawn.curves
    np.testing.assert_allclose(c.raw, values(np.arange(60)))
    np.testing.assert_allclose(c.imbalance, L - 1)
    assert drawn.slope == pytest.approx((-1, 1))
    for name in ("total", "residual", "precision", "error"):
        assert np.isnan(getattr(c, name)).all(), name
    wanted = {"error", "precision", "cost", "force", "images"}
    assert wanted < drawn.absent and "energy" not in drawn.absent
    said = json.loads(json.dumps(readout(watched, drawn), allow_nan=False))
    assert said["total"] is None and said["experiment"] == {} and said["run"] == "own"


def test_with_precisions_the_total_is_their_sum_and_known_sizes_give_errors(shelf):
    half = {"energy": values, "precision": lambda step: np.full((len(step), L), 0.5)}
    recorded(shelf / "own", chunk(0, 30, **half), size=8)
    drawn = scene(seen("own"))
    expected = values(np.arange(30))
    np.testing.assert_allclose(drawn.curves.total, expected.sum(1) / 2)
    np.testing.assert_allclose(drawn.curves.error, np.sqrt(2 * expected / 8))
    assert {"cost", "force"} < drawn.absent and not {"error", "precision"} & drawn.absent


def test_errors_alone_reach_no_layer_and_give_no_energy(shelf):
    recorded(shelf / "own", chunk(0, 30, error=values))
    drawn = scene(seen("own"))
    np.testing.assert_allclose(drawn.curves.error, values(np.arange(30)))
    assert np.isnan(drawn.curves.raw).all() and not drawn.curves.reached.any()
    assert "energy" in drawn.absent and "error" not in drawn.absent


def test_forces_without_sizes_give_no_residual(shelf):
    made = {"energy": values, "force": lambda step: np.ones((len(step), L + 1))}
    for size, expected in ((0, np.nan), (8, 1.0)):
        recorded(shelf / f"own-{size}", chunk(0, 9, **made), size=size)
        np.testing.assert_equal(scene(seen(f"own-{size}")).curves.residual, np.full(9, expected))


def test_a_unit_of_unknown_layers_has_no_imbalance(shelf):
    recorded(shelf / "own", chunk(0, 9, energy=values))
    assert np.isnan(scene(seen("own"), "unit").curves.imbalance).all()


def test_a_variable_that_comes_and_goes_is_nan_where_it_is_not(shelf):
    ones = {"energy": values, "precision": lambda step: np.ones((len(step), L))}
    recorded(shelf / "own", chunk(0, 10, energy=values), chunk(10, 20, **ones),
             chunk(20, 30, energy=values))  # fmt: skip
    c = scene(seen("own")).curves
    assert c.step.tolist() == list(range(30))
    np.testing.assert_allclose(c.raw, values(np.arange(30)))
    assert np.isfinite(c.precision).all(1).tolist() == [False] * 10 + [True] * 10 + [False] * 10


def test_rows_that_were_lost_are_a_gap(shelf):
    recorded(shelf / "own", chunk(0, 25, energy=values), chunk(40, 60, energy=values))
    watched = seen("own")
    assert watched.lane.gaps == ((25, 39),)
    assert scene(watched).curves.gaps == ((25, 39),)
    watched.seek(24)
    watched.seek(25)
    assert watched.cursor == 40, "the next row is behind the gap"
    watched.seek(39)
    assert watched.cursor == 24
    watched.step(2)
    assert watched.cursor == 41


def test_a_row_that_is_measured_again_takes_its_place_and_that_of_all_behind_it(shelf):
    recorded(shelf / "own", chunk(0, 20, energy=values),
             chunk(15, 18, energy=lambda step: 7 * values(step)))  # fmt: skip
    c = scene(seen("own")).curves
    assert c.step.tolist() == list(range(18))
    expected = values(np.arange(18)) * np.where(np.arange(18) < 15, 1, 7)[:, None]
    np.testing.assert_allclose(c.raw, expected)


def test_a_long_run_is_thinned_within_its_budget_and_keeps_the_newest_row(shelf, monkeypatch):
    monkeypatch.setattr(reading, "FEWEST", 100)
    recorded(shelf / "own", *(chunk(k, k + 500, energy=values) for k in range(0, 5000, 500)))
    info = Watched("own")._run.lane(0)
    lane = reading.WatchedLane(info, budget=400 * 120)
    assert sum(lane.read(Watched("own")._run)) == 5000
    assert len(lane.trace) <= 400 and lane.newest == lane.steps[-1] == 4999 and lane.gaps == ()


def test_what_a_batch_showed_is_drawn_with_its_range_of_pixels(shelf):
    images = np.linspace(-1, 3, 4 * 6).reshape(4, 1, 2, 3)
    with Writer(shelf / "own") as writer:
        lane = writer.lane(layout().shaped((1, 2, 3)))
        writer.append(lane, chunk(0, 10, energy=values))
        writer.sample(lane, 0, Sample(np.array([3, 1, 4, 1]), images))
    drawn = scene(seen("own"))
    np.testing.assert_array_equal(drawn.images["input"], images)
    assert drawn.labels.tolist() == [3, 1, 4, 1] and drawn.pixels == (-1, 3)
    assert "images" not in drawn.absent


def test_the_export_of_own_code_holds_its_rows_and_names_no_method(shelf):
    recorded(shelf / "own", chunk(0, 30, energy=values))
    watched = seen("own")
    found = watched.dataset()
    np.testing.assert_allclose(found["energy"].values, values(np.arange(30)))
    assert {"energy"} <= watched.lane.known and not {"precision", "force"} & watched.lane.known
    said = figures.bundle("energy_time", found, 12)["README.txt"].decode()
    assert "The trace does not name its experiment." in said and "Methods from" not in said
    assert "step t = 2 of T = 9 in batch 1" in said


# Time --------------------------------------------------------------------------------------------


def test_playing_passes_as_many_rows_a_second_as_the_speed_says(shelf):
    recorded(shelf / "own", chunk(0, 60, energy=values))
    watched = seen("own")
    assert watched.following and watched.cursor == 59
    watched.set_speed(15)
    watched.play()
    assert watched.cursor == 0, "from the end it begins anew"
    begun = watched._since
    for k in range(1, 61):
        watched.tick(begun + k / 30)
        assert watched.cursor == k // 2
    watched.pause()
    watched.tick(begun + 100)
    assert watched.cursor == 30 and not watched.playing
    watched.play()
    watched.tick(watched._since + 100)
    assert watched.cursor == 59 and not watched.playing


def test_playing_freely_passes_the_whole_run_in_ten_seconds(shelf):
    recorded(shelf / "own", chunk(0, 1000, energy=values))
    watched = seen("own")
    watched.set_speed(None)
    watched.play()
    begun = watched._since
    for k in range(1, 31):
        watched.tick(begun + k / 10)
    assert watched.cursor == pytest.approx(300, abs=31), "rounded up once a beat"


def test_batches_are_passed_by_their_first_and_last_rows(shelf):
    recorded(shelf / "own", chunk(0, 35, energy=values))
    watched = seen("own")
    watched.seek(14)
    for act, row in (("run_to_end", 19), ("restart", 10), ("next_batch", 20), ("next_batch", 30)):
        getattr(watched, act)()
        assert watched.cursor == row
    watched.next_batch()
    assert watched.cursor == 34, "there is no batch behind the last one"


def test_lanes_are_exchanged_and_the_cursor_stays_where_it_is():
    taped()
    watched = seen("taped")
    watched.seek(3)
    watched.swap()
    assert (watched.lane.id, watched.ghost.id, watched.cursor) == (0, 1, 3)
    watched.look()
    assert watched.lane.id == 0, "the newest lane does not come back by itself"
    watched.follow()
    watched.swap()
    assert watched.lane.id == 1 and watched.cursor == watched.row


def test_a_run_with_one_lane_has_nothing_to_exchange(shelf):
    recorded(shelf / "own", chunk(0, 5, energy=values))
    watched = seen("own")
    watched.swap()
    assert watched.lane.id == 0 and watched.message == "this run has no other lane"


# Live --------------------------------------------------------------------------------------------


def test_a_live_run_is_followed_until_somebody_looks_back(shelf):
    with Writer(shelf / "own") as writer:
        watched = Watched("own")
        watched.look()
        assert not watched.ready and "no row yet" in watched.progress[0]
        lane = writer.lane(layout())
        writer.append(lane, chunk(0, 5, energy=values))
        watched.look()
        assert watched.ready and watched.live and watched.cursor == 4
        writer.append(lane, chunk(5, 9, energy=values))
        before = watched.changes
        watched.look()
        assert watched.cursor == watched.row == 8 and watched.changes > before
        watched.seek(2)
        writer.append(lane, chunk(9, 12, energy=values))
        watched.look()
        assert (watched.cursor, watched.row) == (2, 11)
        watched.set_speed(6)
        watched.play()
        watched.tick(watched._since + 100)
        assert watched.following and not watched.playing, "live, the newest row is followed"
        assert scene(watched).updates == [9, 19], "the end of this batch is still to come"
    watched.look()
    assert watched.state == "finished" and scene(watched).updates == [9]


def test_the_page_is_woken_by_every_new_row_and_by_nothing_else(shelf):
    calls = itertools.count()
    with Writer(shelf / "own") as writer:
        lane = writer.lane(layout())
        writer.append(lane, chunk(0, 5, energy=values))
        watched = Watched("own", wake=lambda: next(calls))
        watched.look()
        assert next(calls) == 1
        watched.look()
        assert next(calls) == 2, "nothing new, no call but this test's own"
        writer.append(lane, chunk(5, 6, energy=values))
        watched.look()
        assert next(calls) == 4


def test_how_a_run_ended_is_said(shelf):
    recorded(shelf / "own", chunk(0, 5, energy=values), how="diverged: at step 4")
    watched = seen("own")
    assert watched.state == watched.lane.diverged == "diverged: at step 4"


# Relaxing on -------------------------------------------------------------------------------------


def test_own_code_cannot_be_relaxed_on_and_an_experiment_only_from_kept_weights(shelf):
    recorded(shelf / "own", chunk(0, 25, energy=values))
    assert seen("own").why == OWN_CODE and seen("own").wanted is None
    recorded(shelf / "lean", chunk(0, 25, energy=values), experiment=SMALL.to_dict())
    watched = seen("lean")
    assert watched.why == NO_WEIGHTS and watched.begins is None and watched.wanted == SMALL


def test_the_offer_is_the_last_batch_at_the_cursor_whose_weights_were_kept():
    taped()
    watched = seen("taped")
    assert watched.why == FROM_BATCH and 0 in watched.lane.kept and 1 in watched.lane.kept
    for row in range(watched.row + 1):
        watched.seek(row)
        batch = int(watched.lane.trace.row(row)["batch"])
        assert watched.begins == max(k for k in watched.lane.kept if k <= batch)


# The address -------------------------------------------------------------------------------------


def asked(**arguments):
    return Address.of({name: [value] for name, value in arguments.items()}, "secret")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"run": "owm"}, "run: owm; one of own (did you mean own?)"),
        ({"run": "../own"}, "run: ../own; 1 to 80 of"),
        ({"run": "own", "lane": "3"}, "lane: 3; one of run own: 0"),
        ({"run": "own", "lane": "-1"}, "lane: -1; an integer of 0 or more"),
        ({"run": "own", "lane": "one"}, "lane: one; an integer of 0 or more"),
        ({"run": "own", "batch": "1.5"}, "batch: 1.5; an integer of 0 or more"),
        ({"run": "own", "batch": "0"}, "run: own; recorded without an experiment"),
        ({"run": "own", "batch": "9" * 30}, "batch: " + "9" * 30 + "; an integer"),
    ],
)
def test_an_address_that_leads_nowhere_is_refused_in_one_line(shelf, arguments, line):
    recorded(shelf / "own", chunk(0, 5, energy=values))
    with pytest.raises(BadInput) as refused:
        asked(**arguments).opened(0, lambda: None)
    assert str(refused.value).startswith(line) and "\n" not in str(refused.value)


def test_a_run_is_watched_unless_a_batch_of_it_is_asked_for():
    assert asked(run="own").watches and asked(run="own", lane="1").watches
    assert not asked(run="own", batch="0").watches and not asked().watches


def test_an_id_of_a_session_is_kept_if_it_is_legal_and_made_from_the_secret_otherwise():
    assert asked(session="abcd1234").session == "abcd1234"
    made = asked(session="../../x").session
    assert made == asked().session and len(made) == 16 and made.isalnum()
