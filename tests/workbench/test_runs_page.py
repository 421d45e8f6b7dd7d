"""What the Runs page shows is what the runs hold, and the runs' text is text."""

import io
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from bokeh.models.widgets.tables import NumberFormatter, StringFormatter
from shelves import energies, layout, record, rows

from core import Experiment, make
from core.recorder import Chunk
from core.runs import Run, annotate, asking, trash
from core.runs.looks import Every
from core.runs.train import train
from workbench import measures, runs_course
from workbench.look import LIGHT
from workbench.runs_course import Ends, Follower, Whole
from workbench.runs_desk import Desk, doors, events, experiment, exported, head
from workbench.runs_plots import SPAN, Plots
from workbench.runs_reader import Detail, Reader, Wanted, said
from workbench.runs_relaxation import offered
from workbench.runs_shelf import DAMAGED, OWN_CODE, Entry, Shelf, read, spark, words
from workbench.runs_table import Table

HOSTILE = '<img src=x onerror="window.hit=1">'


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty folder of runs."""
    folder = tmp_path / "runs"
    folder.mkdir()
    monkeypatch.setenv("RELAXOSCOPE_RUNS", str(folder))
    return folder


def course_of(path, lane=0, t=None):
    run = Run(path)
    *_, last = Follower(run, lane, t).courses()
    run.close()
    return last


# The course of a run -----------------------------------------------------------------------------


@pytest.mark.parametrize("t", [None, 0, 2])
@pytest.mark.parametrize("seed", range(4))
def test_the_row_of_each_batch_is_found_wherever_the_pieces_are_cut(seed, t):
    energy = energies(7, 4)
    whole = rows(energy, 4)
    cuts = np.sort(np.random.default_rng(seed).choice(np.arange(1, 35), 5, replace=False))
    ends = Ends(layout(), t)
    for a, b in zip([0, *cuts], [*cuts, 35], strict=True):
        ends.fold({name: values[a:b] for name, values in whole.items()})
    wanted = energy.reshape(7, 5, 3)[:, -1 if t is None else t]
    np.testing.assert_array_equal(ends.energy.values, wanted)
    np.testing.assert_array_equal(ends.energy.batch, np.arange(7))


def test_rows_that_are_measured_again_take_the_place_of_the_old_ones():
    old, new = energies(4, 4), energies(4, 4, seed=1)
    ends = Ends(layout())
    ends.fold(rows(old, 4))
    ends.fold(rows(new[12:], 4, first=12))  # from the third row of batch 2 on
    wanted = np.concatenate([old.reshape(4, 5, 3)[:2, -1], new.reshape(4, 5, 3)[2:, -1]])
    np.testing.assert_array_equal(ends.energy.values, wanted)


def test_a_long_run_keeps_evenly_spread_batches_and_the_newest(monkeypatch):
    monkeypatch.setattr(runs_course, "MOST", 50)
    ends = Ends(layout())
    energy = energies(1001, 0)
    for first in range(0, 1001, 77):
        ends.fold(rows(energy[first : first + 77], 0, first=first))
    batch = ends.energy.batch
    assert 25 <= len(batch) <= 50
    assert batch[0] == 0 and batch[-1] == 1000
    assert set(np.diff(batch)[:-1]) == {ends.stride}
    np.testing.assert_array_equal(ends.energy.values, energy[batch])


def test_batches_that_are_numbered_sparsely_are_not_thinned_to_nothing(monkeypatch):
    monkeypatch.setattr(runs_course, "MOST", 20)
    held = rows(energies(100, 0), 0)
    held["batch"] = np.append(0, 1 + 2 * np.arange(99))  # 0, 1, 3, 5, ...
    ends = Ends(layout())
    ends.fold(held)
    assert 10 <= len(ends.energy.batch) <= 20


def test_the_imbalance_is_that_of_the_rows_measure(tmp_path):
    record(tmp_path / "a", energies(6, 3), 3)
    data = Run(tmp_path / "a").dataset(0)
    wanted = measures.imbalance(data).values[data["t"].values == data["T"].values]
    np.testing.assert_allclose(course_of(tmp_path / "a").curves["imbalance"].values, wanted)


def test_the_map_shows_the_least_mean_and_largest_of_all_rows(tmp_path):
    energy = energies(300, 4)
    record(tmp_path / "a", energy, 4, cuts=range(100, 1500, 100))
    whole = course_of(tmp_path / "a").whole
    np.testing.assert_allclose(whole.least.min(0), energy.min(0))
    np.testing.assert_allclose(whole.largest.max(0), energy.max(0))
    assert (whole.least <= whole.mean).all() and (whole.mean <= whole.largest).all()
    count = whole.count[:, None]
    assert whole.ends[-1] == len(energy)
    np.testing.assert_allclose((whole.mean * count).sum(0) / count.sum(), energy.mean(0), rtol=1e-5)


def test_a_short_run_is_seen_row_by_row(tmp_path):
    energy = energies(9, 4)
    record(tmp_path / "a", energy, 4, cuts=(1, 2, 30))
    whole = course_of(tmp_path / "a").whole
    for drawn in (whole, whole.pictured(600)):
        np.testing.assert_array_equal(drawn.mean, energy)
        np.testing.assert_array_equal(drawn.least, energy)


def whole_of(step, count, least, mean, largest):
    held = [np.array(values, float)[:, None] for values in (least, mean, largest)]
    return Whole(np.array(step), np.array(count), *held)


def test_a_picture_is_even_in_rows_and_loses_no_extreme():
    whole = whole_of([0, 1, 7, 8, 9], [1, 6, 1, 1, 1], [5, 1, 4, 3, 2], [6] * 5, [7, 7, 7, 9, 7])
    drawn = whole.pictured(5)  # rows 0-1, 2-3, 4-5, 6-7, 8-9
    np.testing.assert_array_equal(drawn.least[:, 0], [1, 1, 1, 1, 2])
    np.testing.assert_array_equal(drawn.largest[:, 0], [7, 7, 7, 7, 9])
    np.testing.assert_array_equal(drawn.mean[:, 0], [6] * 5)


def test_rows_that_were_lost_are_a_gap_in_the_picture():
    whole = whole_of([0, 2, 8], [2, 2, 2], [1, 2, 3], [1, 2, 3], [1, 2, 3])
    nan = np.nan
    np.testing.assert_array_equal(whole.pictured(5).mean[:, 0], [1, 2, nan, nan, 3])


def test_rows_that_were_thinned_are_no_gaps():
    whole = whole_of(np.arange(0, 40, 8), [2] * 5, [1] * 5, [1] * 5, [1] * 5)
    assert np.isfinite(whole.pictured(20).mean).all()


def test_what_was_not_logged_has_a_reason_and_no_number(tmp_path):
    record(tmp_path / "a", energies(3, 2), 2, logged={0: {"accuracy": 0.5}, 2: {"accuracy": 0.75}})
    course = course_of(tmp_path / "a")
    np.testing.assert_array_equal(course.curves["accuracy"].batch, [0, 2])
    np.testing.assert_array_equal(course.curves["accuracy"].values, [0.5, 0.75])
    assert set(course.why) == {"update_norm", "update_alignment", "smm", "seconds"}
    assert not set(course.why) & set(course.curves)
    plots = Plots("light")
    plots.draw(course, "last row", "mean")
    assert {name for name, one in plots.lines.items() if one.why} == set(course.why)
    assert all(plots.lines[name].points == 0 for name in course.why)
    assert plots.lines["accuracy"].points == 2 and plots.lines["energy"].points == 9


def test_top_five_accuracy_is_drawn_beside_top_one(root):
    logged = {0: {"accuracy": 0.1, "top5": 0.5}, 2: {"accuracy": 0.3, "top5": 0.75}}
    record(root / "a", energies(3, 2), 2, logged=logged)
    record(root / "b", energies(3, 2), 2, logged={0: {"accuracy": 0.5}})
    plots = Plots("dark")
    plots.draw(course_of(root / "a"), "last row", "mean")
    lines = plots.lines["accuracy"]
    assert [list(one) for one in lines._lines.data["ys"]] == [[0.1, 0.3], [0.5, 0.75]]
    assert lines._lines.data["layer"] == ["top 1", "top 5"] and lines.points == 4
    assert len(set(lines._lines.data["colour"])) == 2
    entries = Shelf(root).entries()
    table = Table(LIGHT, "", lambda name: None)
    table.show(entries)
    assert table.view.hidden_columns == []
    shown = table.view.value.set_index("run")["top5"]
    assert shown["a"] == 0.75 and np.isnan(shown["b"])
    table.show([one for one in entries if one.name == "b"])
    assert table.view.hidden_columns == ["top5"]


def test_a_loop_that_logs_no_energy_has_no_energy_curve(tmp_path):
    writer = record(tmp_path / "a", energies(1, 0), 0, close="")
    lane = writer.lane(layout())
    held = rows(energies(4, 0), 0)
    held["error"] = held.pop("energy")
    writer.append(lane, Chunk(held))
    writer.close()
    course = course_of(tmp_path / "a", lane)
    assert course.rows == 4 and course.whole is None
    assert {"energy", "imbalance", "whole"} <= set(course.why)


def test_a_step_that_no_batch_has_is_a_reason(tmp_path):
    record(tmp_path / "a", energies(3, 2), 2)
    assert "t = 9" in course_of(tmp_path / "a", t=9).why["energy"]


def test_rows_that_come_later_are_read_by_themselves(tmp_path):
    energy = energies(6, 2)
    writer = record(tmp_path / "a", energy[:9], 2, close="")
    run = Run(tmp_path / "a")
    follower = Follower(run, 0)
    *_, first = follower.courses()
    writer.append(0, Chunk(rows(energy[9:], 2, first=9)))
    assert run.refresh()
    *_, last = follower.courses()
    writer.close()
    assert (first.rows, last.rows) == (9, 18)
    np.testing.assert_array_equal(last.curves["energy"].values, energy.reshape(6, 3, 3)[:, -1])


def test_energies_below_the_axis_are_drawn_at_its_foot_which_is_named(tmp_path):
    energy = np.array([[1.0, 1e-30, 1e-3]], np.float32)
    record(tmp_path / "a", energy, 0)
    plots = Plots("dark")
    plots.draw(course_of(tmp_path / "a"), "last row", "mean")
    lines = plots.lines["energy"]
    low, high = lines.figure.y_range.start, lines.figure.y_range.end
    assert high - low == SPAN
    assert min(y[0] for y in lines._lines.data["ys"]) == low
    assert "foot ≤ " in lines.figure.title.text


def test_a_person_who_has_moved_the_axis_keeps_it_until_it_is_freed(tmp_path):
    plots = Plots("light")
    plots.batches.hold(0, 100)
    plots.batches.axis.update(start=10, end=20)
    plots.batches.hold(0, 200)
    assert (plots.batches.axis.start, plots.batches.axis.end) == (10, 20)
    plots.batches.free()
    plots.batches.hold(0, 200)
    assert plots.batches.axis.end > 200


# The table ---------------------------------------------------------------------------------------


def test_an_entry_holds_what_the_run_holds(root):
    energy = energies(5, 2)
    chosen = Experiment(precision=make("precision", "Spiking"), steps=2).to_dict()
    logged = {0: {"accuracy": 0.25}, 3: {"accuracy": 0.75}, 4: {"accuracy": 0.5}}
    record(root / "a", energy, 2, logged=logged, experiment=chosen)
    entry = read(root / "a")
    assert (entry.rows, entry.batches, entry.accuracy) == (15, 5, 0.75)
    assert entry.state == "finished" and entry.data == "Digits"
    assert "precision Spiking" in entry.experiment and "steps 2" in entry.experiment
    assert entry.imbalance == pytest.approx(np.log10(energy[-1].max() / energy[-1].min()), abs=1e-6)
    assert entry.course == (0.25, 0.75, 0.5)


def test_experiments_are_told_by_what_differs():
    assert words(None) == OWN_CODE
    assert words(Experiment().to_dict()) == "defaults"
    assert words(Experiment(seed=7).to_dict()) == "seed 7"


def test_a_damaged_run_stays_in_the_table_with_what_is_wrong(root):
    record(root / "good", energies(2, 2), 2)
    record(root / "bad", energies(2, 2), 2)
    (root / "bad" / "rows.sqlite").write_bytes(b"rubbish")
    found = {one.name: one for one in Shelf(root).entries()}
    assert set(found) == {"good", "bad"}
    assert found["bad"].state == DAMAGED and "rows.sqlite" in found["bad"].trouble
    assert found["good"].state == "finished" and found["good"].trouble == ""


def test_a_recovered_run_says_so_beside_its_experiment(tmp_path):
    entry = Entry(tmp_path, "interrupted", trouble="rows 3..5 are missing", experiment="seed 7")
    assert entry.standing == "recovered, interrupted" and entry.holds("recovered")
    table = Table(LIGHT, "", lambda name: None)
    table.show([entry, Entry(tmp_path, DAMAGED, trouble="no row can be read")])
    assert list(table.view.value["experiment"]) == ["seed 7", "no row can be read"]


def test_an_error_of_the_program_in_one_run_does_not_hide_the_others(root, monkeypatch):
    record(root / "a", energies(2, 2), 2)
    monkeypatch.setattr(Run, "batches", lambda self, lane: 1 / 0)
    (found,) = Shelf(root).entries()
    assert found.state == DAMAGED and "ZeroDivisionError" in found.trouble


def test_a_run_is_read_again_only_after_a_change(root, monkeypatch):
    record(root / "a", energies(2, 2), 2)
    shelf = Shelf(root)
    (first,) = shelf.entries()
    assert shelf.entries()[0] is first
    monkeypatch.setattr(shelf, "_due", {})
    annotate(root / "a", title="another")
    assert shelf.entries()[0].title == "another"


def test_every_word_of_a_search_must_be_there():
    said_ = {"title": "Deep", "tags": ("mnist",), "experiment": "steps 40"}
    entry = Entry(Path("runs/night-3"), "finished", **said_)
    assert entry.holds("") and entry.holds("DEEP mnist") and entry.holds("night steps")
    assert not entry.holds("deep shallow")


def test_a_small_curve_is_made_of_numbers_alone(tmp_path):
    entry = Entry(tmp_path, "finished", title=HOSTILE, course=(1.0, float("nan"), 2.0))
    found = spark(entry, "#123456")
    assert "<img" not in found and "nan" not in found
    assert len(re.search(r'points="([^"]*)"', found)[1].split()) == 2
    assert spark(Entry(tmp_path, "finished", course=(1.0,)), "#123456") == ""


def test_only_the_small_curve_is_markup_in_the_table():
    table = Table(LIGHT, "", lambda name: None)
    markup = [
        name
        for name, one in table.view.formatters.items()
        if not isinstance(one, StringFormatter | NumberFormatter)
    ]
    assert markup == ["course"]
    assert set(table.view.formatters) == set(table.view.value.columns)


def test_ticks_stay_with_their_runs_when_others_come():
    a, b, c = (Entry(Path(f"runs/{name}"), "finished") for name in "abc")
    table = Table(LIGHT, "", lambda name: None)
    table.show([b, c])
    table.view.selection = [1]
    assert table.chosen == ["c"]
    table.show([a, b, c])
    assert table.names == ["a", "b", "c"] and table.chosen == ["c"]


# The desk ----------------------------------------------------------------------------------------


def detail(path, **given):
    held = {"state": "finished", "recovered": "", "manifest": {}, "lanes": ((0, ""),), "lane": 0}
    return Detail(path, **(held | given))


def test_text_of_a_run_is_shown_as_text(tmp_path):
    hostile = detail(
        tmp_path,
        state=f"failed: {HOSTILE}",
        recovered=HOSTILE,
        manifest={"experiment": {"dataset": {"name": HOSTILE}}, "about": {HOSTILE: HOSTILE}},
        events=(said({"command": HOSTILE, "args": {HOSTILE: HOSTILE}, "lane": HOSTILE}),),
        event_count=1,
    )
    entry = Entry(tmp_path, "finished", title=HOSTILE)
    shown = head(hostile, entry) + experiment(hostile.manifest) + events(hostile)
    assert "<img" not in shown and shown.count("&lt;img") >= 6


def test_a_run_can_be_relaxed_on_only_from_kept_weights(tmp_path):
    none = doors(detail(tmp_path / "a", manifest={"experiment": None}), "light", None)
    assert "a loop of its own" in none and "batch=" not in none
    kept = doors(detail(tmp_path / "a", kept=(0, 50)), "light", 50)
    assert "run=a" in kept and "batch=50" in kept


def test_recovered_runs_say_so(tmp_path):
    assert "rows 3..5" in head(detail(tmp_path, recovered="rows 3..5 of lane 0 are missing"), None)


@pytest.mark.parametrize("ending", [".nc", ".csv", ".zarr"])
def test_an_export_is_what_the_run_holds(tmp_path, ending):
    energy = energies(3, 2)
    record(tmp_path / "a", energy, 2)
    held = exported(tmp_path / "a", 0, ending)
    if ending == ".nc":
        (tmp_path / "b.nc").write_bytes(held)
        found = xr.load_dataset(tmp_path / "b.nc")["energy"].values
    elif ending == ".zarr":
        with zipfile.ZipFile(io.BytesIO(held)) as out:
            out.extractall(tmp_path / "out")
        found = xr.open_zarr(tmp_path / "out" / "a.zarr")["energy"].values
    else:
        assert held.count(b"\n") >= energy.size
        return
    np.testing.assert_array_equal(found, energy)


def test_a_run_that_is_too_large_says_how_it_is_exported(tmp_path):
    desk = Desk(LIGHT, "", lambda act: True, lambda name: None)
    course = runs_course.Course(rows=10)
    desk.show(detail(tmp_path / "a", bytes=2**30, course=course), None)
    assert desk._out.disabled and "relaxoscope export a" in desk._out_said.object
    desk.show(detail(tmp_path / "a", bytes=2**10, course=course), None)
    assert not desk._out.disabled


# The reader --------------------------------------------------------------------------------------


def looks(reader, wanted):
    *_, last = reader._looks(wanted)
    reader.newest = last
    return last


def test_an_unknown_run_is_a_message_that_offers_the_nearest(root):
    record(root / "night-3", energies(2, 2), 2)
    found = looks(Reader(Wanted(), lambda: None), Wanted("nihgt-3"))
    assert found.detail is None and "night-3" in found.message and len(found.entries) == 1
    found = looks(Reader(Wanted(), lambda: None), Wanted("../../etc"))
    assert found.detail is None and found.message


def test_an_unknown_lane_is_a_message(root):
    record(root / "a", energies(2, 2), 2)
    found = looks(Reader(Wanted(), lambda: None), Wanted("a", lane=7))
    assert found.detail is None and "7" in found.message


def test_a_live_run_is_followed_until_it_ends(root):
    energy = energies(4, 2)
    writer = record(root / "a", energy[:6], 2, close="")
    reader = Reader(Wanted(), lambda: None)
    wanted = Wanted("a")
    first = looks(reader, wanted)
    assert first.detail.state == "live" and first.detail.course.rows == 6
    writer.append(0, Chunk(rows(energy[6:], 2, first=6)))
    assert looks(reader, wanted).detail.course.rows == 12
    writer.close()
    last = looks(reader, wanted)
    assert last.detail.state == "finished" and last.entries[0].state == "finished"
    reader.end()


def test_nothing_new_is_told_while_nothing_changes(root):
    record(root / "a", energies(2, 2), 2)
    reader = Reader(Wanted(), lambda: None)
    looks(reader, Wanted("a"))
    before = reader.newest
    assert [found == before for found in reader._looks(Wanted("a"))] == [True, True]


def test_a_batch_that_was_kept_whole_is_a_map_over_its_own_steps(root):
    small = {"network": make("network", "MLP", {"hidden": (8,)}), "steps": 5}
    chosen = Experiment(dataset=make("dataset", "SmallDigits"), pretraining="random", **small)
    run = train(chosen, root / "a", batches=5, every=Every(relaxations=2))
    reader = Reader(Wanted(), lambda: None)
    for what in ("energy", "error"):
        reader.want(name="a", batch=2, what=what)
        found = looks(reader, reader._wanted).detail
        assert found.whole == (0, 2, 4) and found.relaxed.batch == 2
        expected = run.relaxation(2)[what].transpose("step", "layer").values
        np.testing.assert_array_equal(found.relaxed.values, expected)
    plots = Plots("light")
    plots.draw(found.course, "last row", "mean", found.relaxed)
    assert plots.heat.figure.title.text == "RMS error of each layer in batch 2, step by step"
    assert plots.heat.figure.xaxis.axis_label == "step of batch 2" and plots.heat.blocks == 6
    plots.draw(found.course, "last row", "mean")
    assert plots.heat.figure.xaxis.axis_label == "row" and plots.heat.blocks == 30
    reader.want(batch=3)
    assert looks(reader, reader._wanted).detail.relaxed is None
    reader.end()


def test_of_very_many_batches_evenly_spread_ones_are_offered():
    assert offered([0, 5, 10]) == (0, 5, 10)
    many = offered(range(0, 100_000, 10))
    assert len(many) == 300 and (many[0], many[-1]) == (0, 99_990)
    assert np.ptp(np.diff(many)) <= 10


def test_what_a_training_can_be_asked_is_known_as_long_as_it_goes_on(root):
    seen = []

    def look(line, share):
        if not seen:
            reader = Reader(Wanted(), lambda: None)
            asking.ask(root / "a", "change", {"steps": 3}, by=HOSTILE[:30])
            asking.ask(root / "a", "pause")
            asking.ask(root / "a", "go")
            seen.append(looks(reader, Wanted("a")).detail.helm)
            reader.end()

    small = {"network": make("network", "MLP", {"hidden": (8,)}), "steps": 5}
    chosen = Experiment(dataset=make("dataset", "SmallDigits"), pretraining="random", **small)
    train(chosen, root / "a", batches=3, progress=look)
    (helm,) = seen
    assert helm.waiting == ("change steps=3", "pause", "go") and not helm.paused
    assert dict(helm.offered)["steps"] == "3" and dict(helm.offered)["dynamics.rate"] == "0.1"
    told = looks(Reader(Wanted(), lambda: None), Wanted("a")).detail
    assert told.helm is None and told.event_count == 3
    assert "<b>change</b> steps: 5 -&gt; 3 <small>before batch 1, &lt;img" in told.events[0]


def test_a_run_that_was_replaced_under_its_name_is_opened_anew(root):
    record(root / "a", energies(2, 2), 2)
    reader = Reader(Wanted(), lambda: None)
    assert looks(reader, Wanted("a")).detail.course.rows == 6
    trash(root / "a")
    assert looks(reader, Wanted("a")).detail is None
    record(root / "a", energies(5, 2), 2)
    assert looks(reader, Wanted("a")).detail.course.rows == 15
    assert [one.name for one in looks(reader, Wanted(put_away=True)).entries] == ["a"]


def test_an_event_of_a_session_is_told_by_command_choices_and_place():
    chosen = {"precision": {"name": "Spiking", "rest": 0.001}}
    line = said({"command": "change", "args": chosen, "lane": 1, "row": 6})
    for words_ in ("change", "precision Spiking rest 0.001", "lane 1, row 6"):
        assert words_ in line
