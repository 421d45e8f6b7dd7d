"""Sweeps: what is planned and refused, what comes of workers, schedulers and clients that die."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from core.catalogue import BadInput, make
from core.experiment import Experiment
from core.recording import prepared, relax
from core.runs import Run, Writer, relaxed
from core.runs.changes import chosen
from core.runs.kept import digest
from core.runs.lock import Lock
from core.runs.train import train
from core.theory import smm
from tests.commands import RECIPE
from tests.faults.share import WHOLE
from workbench import (
    grid_sweep,
    sweep_check,
    sweep_engine,
    sweep_plan,
    sweep_store,
    sweep_task,
    sweeps,
)

ROOT = Path(__file__).parents[1]

POISON = '''
import os
from dataclasses import dataclass

from core.catalogue import dial, entry


@entry("init", "Poison", formula="0", source="this project")
@dataclass(frozen=True)
class Poison:
    """Ends the process that asks for it, or raises, or begins from zeros."""

    how: int = dial(0, bounds=(0, 2), help="0: zeros, 1: the process ends, 2: an error")

    def __call__(self, start):
        if self.how == 1:
            os._exit(3)
        if self.how == 2 and "LUCK" not in os.environ:
            raise RuntimeError("no luck")
        return [start.zeros(i) for i in range(start.count)]
'''

BASE = Experiment(
    dataset=make("dataset", "SmallDigits"),
    network=make("network", "MLP", {"hidden": (8, 8)}),
    pretraining="random",
    steps=4,
    batch_size=50,
)
"""What `RECIPE` describes."""


def said(*over, listed=None, **amount):
    """A sweep as `sweep_plan.made` takes it."""
    held = dict(map(sweep_plan.axis, over))
    about = {"base": BASE.to_dict(), "over": held, "listed": listed}
    return about | {"amount": amount, "plugins": []}


def plan(*over, **more):
    return sweep_plan.made(said(*over, **more))


@pytest.fixture
def words(place):
    """The first words of a sweep of the small recipe."""
    return ["sweep", "--recipe", place.write("r.toml", RECIPE), "--out", place.folder / "all"]


# The plan ----------------------------------------------------------------------------------------


def test_points_are_all_combinations_and_are_set_as_a_recipe_sets_them():
    made = plan("dynamics.rate=0.01,1e-1", "init=Forward,Zero", "network.hidden=[8,8],[16]")
    assert [(one.name, one.values) for one in made.axes] == [
        ("dynamics.rate", (0.01, 0.1)),
        ("init", ("Forward", "Zero")),
        ("network.hidden", ("[8, 8]", "[16]")),
    ]
    assert len(made.points) == 2 * 2 * 2 and made.twice == 0
    choices = {"dynamics.rate": 0.1, "init": "Zero", "network.hidden": [16]}
    wanted = BASE.changed(
        dynamics=make("dynamics", "GradientDescent", {"rate": 0.1}),
        init=make("init", "Zero"),
        network=make("network", "MLP", {"hidden": (16,)}),
    )
    found = {one.places[0]: one.experiment for one in made.points}
    assert found[1, 1, 1] == wanted == chosen(BASE, choices, "over")
    assert len({one.name for one in made.points}) == 8


def test_the_same_point_has_the_same_name_and_another_has_another():
    a, b = plan("dynamics.rate=0.1,0.2", "steps=4"), plan("steps=4", "dynamics.rate=0.2,0.1")
    digests = [{one.name[-10:] for one in made.points} for made in (a, b)]
    assert digests[0] == digests[1] and len(digests[0]) == 2
    assert a.identity == plan("dynamics.rate=0.10,0.20", "steps=4").identity != b.identity
    trained = plan("dynamics.rate=0.1,0.2", "steps=4", batches=3)
    assert not digests[0] & {one.name[-10:] for one in trained.points}


@pytest.mark.row(63)
def test_points_that_are_there_twice_run_once_and_stand_in_both_places():
    made = plan("dynamics.rate=0.1,0.10,0.2")
    assert made.axes[0].values == (0.1, 0.2) and len(made.points) == 2 and made.twice == 1
    named = json.dumps({"name": "Forward", "noise": 0.0})
    made = plan(f"init=Forward,{named}", "steps=3,4")
    assert len(made.points) == 2 and made.twice == 2
    assert sorted(made.points[0].places) == [(0, 0), (1, 0)]


def test_a_list_of_points_has_its_choices_beside_it():
    rows = [{"init": "Zero"}, {"dynamics.rate": 0.2, "steps": 2}]
    made = plan("seed=5,6", listed=rows)
    assert [(one.name, one.values) for one in made.axes] == [("point", (0, 1)), ("seed", (5, 6))]
    rate = BASE.dynamics.rate
    assert made.beside == {
        "init": ("Zero", "Forward"),
        "dynamics.rate": (rate, 0.2),
        "steps": (4, 2),
    }
    assert [one.experiment.seed for one in made.points] == [5, 6, 5, 6]


@pytest.mark.parametrize(
    ("over", "line"),
    [
        (["rate=0.1"], "over: rate; one of init, precision"),
        (["steps.size=1"], "over: steps.size; steps, which has no dials"),
        (["steps"], "over: steps; NAME=VALUE,VALUE,..."),
        (["steps=3,,4"], "over: steps=3,,4; a value between any two commas"),
        (["steps="], "a value between any two commas, one at least"),
        (["init=Zero", "dynamics.rate=0.1,20"], "point init Zero, dynamics.rate 20: dynamics.rate"),
        (["dynamics.rate=nan"], "point dynamics.rate nan: dynamics.rate: nan; a finite number"),
        (["steps=3,4.5"], "point steps 4.5: steps: 4.5; an integer 1..100000"),
        (["init=Zeroo"], "point init Zeroo: init: Zeroo; one of"),
        (["precision.rest=0.1"], "precision.rest"),
    ],
)
def test_the_first_point_that_is_refused_is_named(over, line):
    with pytest.raises(BadInput) as refused:
        plan(*over)
    assert line in str(refused.value)


def test_points_are_checked_against_data_and_memory_before_anything_starts():
    sweep_check.check(plan("steps=3,4"), 2, None)
    for over, limit, line in (
        (["batch_size=50,60000"], None, "point batch_size 60000: batch_size: 60000;"),
        (["device=cpu,cuda:9"], None, "point device cuda:9: device: cuda:9; no such CUDA device"),
        (["network.hidden=[8],[40000,40000]"], 10**9, "hidden [40000, 40000]: network: "),
    ):
        with pytest.raises(Exception, match=r"point .*") as refused:
            sweep_check.check(plan(*over), 2, limit)
        assert line in str(refused.value)


@pytest.mark.row(61, 62, 63)
@pytest.mark.parametrize(
    ("more", "code", "line"),
    [
        (["--seeds", "3..0"], 2, "seeds: 3..0; 0..4 for 0 to 4"),
        (["--seeds", ""], 2, "seeds: ; 0..4 for 0 to 4"),
        (["--seeds", "1,1"], 2, "seeds: 1,1; 0..4 for 0 to 4, or 0,3,7, each once"),
        (["--over", f"steps={','.join(map(str, range(1, 401)))}", "--seeds", "0..300"], 2,
         "over: 120,400 points; up to 100,000, or more with --yes"),
        ([], 2, "over: missing; --over NAME=VALUE,VALUE, --seeds or --points"),
        (["--over", "steps=1", "--over", "steps=2"], 2, "over: steps twice; each name once"),
        (["--seeds", "0..1", "--seed", "3"], 2, "--seed and --seeds: give one of them"),
        (["--seeds", "0..1", "--over", "seed=1"], 2, "--seeds and --over seed: give one"),
        (["--seeds", "0..1", "--batches", "1", "--epochs", "1"], 2, "--batches and --epochs"),
        (["--seeds", "0..1", "--workers", "0"], 2, "workers: 0; an integer 1..4096"),
        (["--seeds", "0..1", "--test-every", "1"], 2, "--test-every: of a training"),
        (["--seeds", "0..1", "--points", "none.toml"], 2, "points: none.toml; no such file"),
    ],
)  # fmt: skip
def test_what_cannot_be_swept_is_refused_and_leaves_nothing(place, words, more, code, line):
    assert (came := place.refused(*words, *more))[0] == code
    assert line in came[1]


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("p.toml", "[[point]]\ninit = 'Zero'\n[[point]]\ndynamics.rate = 90\n", "dynamics.rate 90"),
        ("p.toml", "point = 3\n", "tables [[point]] with choices, one at least"),
        ("p.json", '[{"init": "Zero"},\n {"init" 3}]', "line 2, column 10"),
        ("p.json", "[]", "tables [[point]] with choices, one at least"),
    ],
)
def test_a_file_of_points_is_read_or_refused(place, words, name, text, line):
    code, err = place.refused(*words, "--points", place.write(name, text))
    assert code == 2 and line in err


@pytest.mark.row(72)
def test_without_dask_the_line_for_pip_is_told(place, words, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    code, err = place.refused(*words, "--seeds", "0..1")
    assert code == 3 and "pip install 'relaxoscope[sweeps]'" in err


# What came of it ---------------------------------------------------------------------------------


def swept(folder, *over, **amount):
    """A sweep without runs; its plan."""
    about = said(*over, **amount)
    folder.mkdir()
    made = sweep_plan.made(about)
    sweep_store.write_plan(folder, about, made.identity)
    return made


def test_results_are_what_the_runs_hold_and_nan_where_there_are_none(tmp_path):
    made = swept(tmp_path / "s", "dynamics.rate=0.1,0.2", "seed=0,1", batches=2)
    point = next(one for one in made.points if one.places[0] == (1, 0))
    train(point.experiment, tmp_path / "s" / point.name, batches=2)
    found = sweeps.results(tmp_path / "s")
    assert found["F"].dims == ("dynamics.rate", "seed") and found["energy"].sizes["layer"] == 3
    assert found["state"].values.tolist() == [["", ""], ["finished", ""]]
    one = found.sel({"dynamics.rate": 0.2, "seed": 0})
    rows = Run(tmp_path / "s" / point.name).relaxation(1)
    last = rows.isel(step=-1)
    assert one["energy"].values == pytest.approx(last["energy"].values, rel=1e-6)
    total = float((last["energy"] * last["precision"]).sum() + last["cost"])
    assert float(one["F"]) == pytest.approx(total, rel=1e-6)
    cost = smm(3, T=4, init="forward", learning="local", relaxation="states").total
    assert float(one["smm"]) == 2 * cost
    assert np.isnan(found["F"].values).sum() == 3 == np.isnan(found["accuracy"].values).sum()
    sweeps.write(tmp_path / "s")
    xr.testing.assert_equal(sweeps.kept(tmp_path / "s"), found)


def test_a_point_that_is_given_up_is_errored_until_it_begins_anew(tmp_path):
    made = swept(tmp_path / "s", "seed=0,1,2")
    a, b, _ = (one.name for one in made.points)
    first = sweep_store.Journal(tmp_path / "s", 1)
    first.note("began", a)
    first.note("began", b)
    first.note("ended", b, how="finished", why="")
    first.note("given up", a, how="errored", why="killed its worker 4 times")
    with first.path.open("a") as file:
        file.write('{"event": "ended", "poi')  # torn
    found = sweep_store.lines(tmp_path / "s")
    ends = sweep_store.ends(found)
    assert {k: v["how"] for k, v in ends.items()} == {a: "errored", b: "finished"}
    assert sweep_store.lost(found, 1) == {a: 1} and sweep_store.calls(found) == 1
    read = sweeps.results(tmp_path / "s")
    assert read["state"].values.tolist() == ["errored", "", ""]
    assert read["why"].values[0] == "killed its worker 4 times"
    sweep_store.Journal(tmp_path / "s", 2).note("anew", a)
    assert list(sweep_store.ends(sweep_store.lines(tmp_path / "s"))) == [b]


def test_a_map_is_over_two_choices_with_the_mean_over_seeds(tmp_path):
    made = swept(tmp_path / "s", "dynamics.rate=0.1,0.2", "steps=3,4", "init=Zero,Null", "seed=0,1")
    found = sweeps.results(tmp_path / "s")
    found["F"][:] = np.arange(16.0).reshape(2, 2, 2, 2)  # rate, steps, init, seed
    found["F"][1, 1, 1, 0] = np.nan
    found["F"][0, 0, 1] = np.nan
    found["state"][0, 0, 1], found["why"][0, 0, 1] = "errored", "no luck"
    grid = grid_sweep.swept(found, "steps", "dynamics.rate", {"init": "Null"})
    assert (grid.x.values, grid.y.values, grid.size) == ((3, 4), (0.1, 0.2), 4)
    totals = {at: one.values.get("total") for at, one in grid.cells.items()}
    assert totals == {(0, 0): None, (1, 0): 6.5, (0, 1): 10.5, (1, 1): 15.0}
    assert (grid.cells[0, 0].why, grid.cells[0, 0].word) == ("no luck", "errored")
    row = grid_sweep.swept(found, "init", "", {"dynamics.rate": 0.1, "steps": 4})
    assert [one.values["total"] for one in row.cells.values()] == [4.5, 6.5]
    assert grid_sweep.axes(found) == [one.name for one in made.axes]
    with pytest.raises(BadInput, match=r"axes: steps, size; two of dynamics\.rate, steps, init"):
        grid_sweep.swept(found, "steps", "size", {})


def test_a_plan_that_was_changed_is_not_read(tmp_path):
    swept(tmp_path / "s", "seed=0,1")
    path = tmp_path / "s" / "sweep.json"
    path.write_text(path.read_text().replace('"steps": 4', '"steps": 5', 1))
    with pytest.raises(BadInput, match="not as it was written"):
        sweeps.results(tmp_path / "s")
    with pytest.raises(BadInput, match="no sweep lies there"):
        sweeps.results(tmp_path)


# Workers in threads of this process --------------------------------------------------------------


@contextmanager
def scheduler(workers=1):
    """The address of a scheduler with workers that are threads."""
    from dask import config
    from distributed import LocalCluster

    with config.set({"distributed.admin.tick.limit": "1h"}):
        with LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=False,
            protocol="tcp",
            host="127.0.0.1",
            dashboard_address=None,
            silence_logs=50,
        ) as cluster:
            yield cluster


@contextmanager
def beside(act):
    """Do something in a thread, while the block runs."""
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    yield
    thread.join(60)
    assert not thread.is_alive()


def wait_for(folder, event, count=1, *, call=1, patience=120):
    """The lines of an event in a call of the command, as soon as there are so many."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        found = [one for one in sweep_store.lines(folder) if one["event"] == event]
        found = [one for one in found if one["call"] == call]
        if len(found) >= count:
            return found
        time.sleep(0.01)
    raise AssertionError(f"{event}: not {count} of them in {patience} s")


def bits(run):
    """What must be the same."""
    return run.digest(), {number: digest(run.weights(number)) for number in run.kept()}


def test_relaxations_are_those_of_the_core_and_are_not_done_twice(place, words):
    more = ["--over", "dynamics.rate=0.1,9", "--over", "steps=3,50"]
    with scheduler() as cluster:
        to = ["--scheduler", cluster.scheduler_address]
        code, out, err = place.run(*words, *more, *to)
        assert code == 0 and out.startswith("4 points: 3 finished, 1 diverged; "), err
        code, out, _ = place.run(*words, *more, *to)
        assert code == 0 and "; 4 were done before; " in out
    found = sweeps.results(place.folder / "all")
    assert found["steps"].values.tolist() == [3, 50]
    assert found["state"].values.tolist() == [["finished", "finished"], ["finished", "diverged"]]
    assert "diverged at step" in found["why"].values[1, 1]
    alone = relax(chosen(BASE, {"dynamics.rate": 0.1, "steps": 50}, "over"), align=True)
    run = Run(place.folder / "all" / str(found["run"].values[0, 1]))
    for name in ("energy", "energy_sample", "force", "alignment", "probability"):
        assert run.dataset()[name].values.tobytes() == alone[name].values.tobytes(), name
    assert float(found["residual"][0, 1]) > 0 and np.isfinite(found["alignment"][0, 1, -1])
    code, err = place.refused(*words, *more[:2], *to)
    assert code == 2 and "another sweep lies there: over dynamics.rate, steps, not" in err
    code, err = place.refused(*words, *more, *to, "--level", "lean")
    assert code == 2 and "another sweep lies there: with other level" in err


@pytest.mark.row(66)
def test_what_was_under_way_goes_on_after_ctrl_c_and_after_the_scheduler_has_gone(
    place, words, monkeypatch
):
    folder, more = place.folder / "all", ["--seeds", "0..2", "--batches", 100]
    monkeypatch.setattr(sweep_engine, "GONE", 1.0)
    monkeypatch.setitem(sweep_engine.LOCAL, "distributed.comm.timeouts.connect", "1s")

    def interrupt():
        wait_for(folder, "began", 2)
        os.kill(os.getpid(), signal.SIGINT)

    with scheduler() as cluster, beside(interrupt):
        code, out, err = place.run(*words, *more, "--scheduler", cluster.scheduler_address)
    assert code == 130 and "interrupted, 1 of 3 points are done; the same" in err, err
    assert out.startswith("3 points: 1 finished, 2 left"), out
    cluster = scheduler()
    opened = cluster.__enter__()

    def vanish():
        wait_for(folder, "began", 2, call=2)
        cluster.__exit__(None, None, None)

    with beside(vanish):
        code, out, err = place.run(*words, *more, "--scheduler", opened.scheduler_address)
    assert code == 3 and "scheduler: " in err and "the same command goes on" in err, err
    with scheduler() as last:
        code, out, err = place.run(*words, *more, "--scheduler", last.scheduler_address)
    assert code == 0 and out.startswith("3 points: 3 finished"), err
    for seed, name in enumerate(sweeps.results(folder)["run"].values):
        alone = train(BASE.changed(seed=seed), place.folder / f"alone{seed}", batches=100)
        assert bits(Run(folder / str(name))) == bits(alone)
    code, err = place.refused(*words, "--seeds", "0..1", "--scheduler", "tcp://127.0.0.1:9")
    assert code == 2  # another sweep, before anybody is asked
    other = [*words[:-1], place.folder / "other", "--seeds", "0..1"]
    code, err = place.refused(*other, "--scheduler", "tcp://127.0.0.1:9")
    assert code == 3 and "scheduler: tcp://127.0.0.1:9; nobody answers" in err


def test_an_error_is_named_is_not_tried_again_and_begins_anew_when_asked(
    place, words, scratch, monkeypatch
):
    more = ["--plugin", place.write("poison.py", POISON), "--over", "init=Poison", "--over"]
    more += ["init.how=0,2", "--batches", 2]
    folder = place.folder / "all"
    with scheduler() as cluster:
        command = [*words, *more, "--scheduler", cluster.scheduler_address]
        for _ in (1, 2):
            code, out, err = place.run(*command)
            assert code == 1 and out.startswith("2 points: 1 finished, 1 errored; "), err
            assert "1 of 2 points are errored: Poison-how2-" in err and "no luck" in err
            assert len([one for one in sweep_store.lines(folder) if one["event"] == "began"]) == 2
        assert sweep_store.calls(sweep_store.lines(folder)) == 2
        read = sweeps.results(folder)
        assert read["init.how"].values.tolist() == [0, 2]
        assert "no luck" in read["why"].values[0, 1] and np.isnan(read["F"].values[0, 1])
        monkeypatch.setenv("LUCK", "yes")
        code, out, err = place.run(*command, "--errored")
        assert code == 0 and out.startswith("2 points: 2 finished; 1 were done before"), err
    a, b = (Run(folder / str(name)) for name in sweeps.results(folder)["run"].values[0])
    assert a.digest() == b.digest(), "both begin from zeros"


def test_a_worker_that_cannot_run_a_point_is_named_and_nothing_is_left(place, words, monkeypatch):
    monkeypatch.setattr(sweep_task, "fits", lambda out, identity: ("point seed 1: no data", 3))
    with scheduler() as cluster:
        to = ["--scheduler", cluster.scheduler_address]
        code, err = place.refused(*words, "--seeds", "0..1", *to)
    assert code == 3 and "relaxoscope: worker tcp://" in err and "point seed 1: no data" in err


def test_two_commands_at_once_are_one_too_many(place, words):
    about = said("seed=0,1")
    about["amount"] = asdict(sweep_plan.Amount())
    (place.folder / "all").mkdir()
    sweep_store.write_plan(place.folder / "all", about, sweep_plan.made(about).identity)
    lock = Lock(place.folder / "all")
    code, err = place.refused(*words, "--seeds", "0..1")
    lock.free()
    assert code == 3 and "is being written by process" in err


# What a worker finds of earlier attempts ---------------------------------------------------------


def tried(made, folder, **amount):
    """What a worker makes of the first point of a sweep."""
    point = made.points[0]
    task = {"out": str(folder), "call": 1, "name": point.name, "plugins": []}
    task |= {"experiment": point.experiment.to_dict(), "amount": amount}
    return sweep_task.attempt(task), folder / point.name


@pytest.mark.parametrize("left", ["nothing", "a lock", "no checkpoint", "no manifest", "rows"])
@pytest.mark.parametrize("amount", [{"batches": 3, "level": "lean"}, {}], ids=["train", "relax"])
def test_whatever_an_attempt_has_left_the_next_one_ends_with_the_same_bits(tmp_path, left, amount):
    made = swept(tmp_path / "s", "seed=3", **amount)
    point = made.points[0]
    path = tmp_path / "s" / point.name
    if left == "a lock":
        path.mkdir()
        (path / "lock").touch()
    elif left != "nothing":
        writer = Writer(path, experiment=point.experiment.to_dict(), about={})
        if left == "rows":  # of the other kind, and then it died
            trace = prepared(point.experiment, 0, "lean", False)[1]
            writer.lane(trace.layout)
        writer.leave()
        if left == "no manifest":
            (path / "manifest.json").unlink()
    ended, path = tried(made, tmp_path / "s", **amount)
    assert ended == {"how": "finished", "why": ""}
    if amount:
        alone = train(point.experiment, tmp_path / "alone", batches=3)
    else:
        alone = relaxed.relax(point.experiment, tmp_path / "alone", align=True)
    assert bits(Run(path)) == bits(alone)
    before = [path.stat().st_mtime_ns for path in sorted(path.rglob("*.sqlite"))]
    assert tried(made, tmp_path / "s", **amount)[0] == ended
    assert before == [path.stat().st_mtime_ns for path in sorted(path.rglob("*.sqlite"))]


# Workers that are processes ----------------------------------------------------------------------


def test_a_relaxation_whose_name_is_taken_is_refused_before_it_begins(tmp_path, monkeypatch):
    (tmp_path / "taken" / "of").mkdir(parents=True)
    monkeypatch.setattr(relaxed, "prepared", lambda *given: pytest.fail("it began"))
    with pytest.raises(BadInput, match="taken; exists, choose another name"):
        relaxed.relax(BASE, tmp_path / "taken")


def kill_workers(folder, count, dead):
    """Kill so many workers by signal 9, each while it computes a point."""
    while len(dead) < count:
        found = sweep_store.lines(folder)
        ended = [(one["point"], one["process"]) for one in found if one["event"] == "ended"]
        for one in found:
            if one["event"] != "began" or (one["point"], one["process"]) in ended:
                continue
            if one["process"] not in dead and one["process"] != os.getpid():
                time.sleep(0.1)
                try:
                    os.kill(one["process"], signal.SIGKILL)
                except ProcessLookupError:
                    pass
                dead.append(one["process"])
                break
        time.sleep(0.01)


@pytest.mark.row(64, 65)
@pytest.mark.slow
def test_killed_workers_change_no_bit_and_a_poison_point_is_named(
    place, words, scratch, record_property
):
    points, kills = (24, 3) if WHOLE else (3, 1)
    folder = place.folder / "all"
    poison = place.write("poison.py", POISON)
    rows = [{"init": "Zero", "seed": seed} for seed in range(points)]
    rows.append({"init": {"name": "Poison", "how": 1}})
    listed = place.write("points.json", json.dumps(rows))
    more = ["--plugin", poison, "--points", listed, "--batches", 60, "--workers", 2]
    dead: list[int] = []
    with beside(lambda: kill_workers(folder, kills, dead)):
        code, out, err = place.run(*words, *more)
    assert code == 1, err
    found = sweeps.results(folder)
    named = str(found["run"].values[-1])
    assert f"sweep: 1 of {points + 1} points are errored: {named} (killed its worker " in err
    assert found["state"].values.tolist() == ["finished"] * points + ["errored"]
    attempts = sweep_store.lost(sweep_store.lines(folder), 1)
    assert attempts.pop(named) >= 3
    assert sum(attempts.values()) >= kills - 1  # one may have been the poison's own
    assert ("made again" in out) == bool(attempts)
    for seed in range(points):
        one = BASE.changed(seed=seed, init=make("init", "Zero"))
        alone = train(one, place.folder / f"alone{seed}", batches=60)
        assert bits(Run(folder / str(found["run"].values[seed]))) == bits(alone)
    what = "points of sweeps whose workers were killed, as without"
    record_property(f"count: faults: {what}", points)


@pytest.mark.row(66)
@pytest.mark.slow
def test_a_killed_client_goes_on_and_runs_nothing_again(place, words):
    points, before, batches = (12, 4, 200) if WHOLE else (4, 1, 100)
    folder = place.folder / "all"
    more = ["--seeds", f"0..{points - 1}", "--batches", batches, "--workers", 2]
    command = [sys.executable, "-m", "workbench.cli", *map(str, [*words, *more])]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as client:
        done = {one["point"] for one in wait_for(folder, "ended", before)}
        client.kill()
    workers = {one["process"] for one in wait_for(folder, "began")}
    end = time.monotonic() + 30
    while any(Path(f"/proc/{one}").exists() for one in workers) and time.monotonic() < end:
        time.sleep(0.1)
    code, out, err = place.run(*words, *more)
    assert code == 0 and out.startswith(f"{points} points: {points} finished"), err
    again = [one for one in sweep_store.lines(folder) if one["call"] == 2]
    assert len(done) < points and not done & {one["point"] for one in again}
    for seed, name in enumerate(sweeps.results(folder)["run"].values):
        alone = train(BASE.changed(seed=seed), place.folder / f"alone{seed}", batches=batches)
        assert bits(Run(folder / str(name))) == bits(alone)
