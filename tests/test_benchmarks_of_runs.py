"""Do the benchmarks of runs store, read and train what they say, and judge what they measured?"""

import json
import subprocess
import sys
from itertools import pairwise
from threading import Thread

import numpy as np
import pytest
import xarray as xr

from benchmarks import appended, opened, recorded, runs
from core.runs import Run, Writer

ROWS, LAYERS = 300, 3


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of a few flushes, and the bytes of its numbers."""
    path = tmp_path_factory.mktemp("runs") / "made"
    return path, opened.make(path, ROWS, LAYERS)


@pytest.mark.oracle("closed form")
def test_a_run_that_is_made_has_the_rows_and_bytes_that_were_asked_for(made):
    path, size = made
    assert size == ROWS * (2 * LAYERS + 1) * 4  # energies, precisions and a cost, of four bytes
    data = Run(path).dataset()
    assert data["energy"].shape == (ROWS, LAYERS)
    assert data["step"].values.tolist() == list(range(ROWS))
    ends = data.isel(step=slice(opened.T, None, opened.T + 1))
    assert (ends["t"] == ends["T"]).all() and ends["batch"].values.tolist() == list(range(33))


def test_every_look_at_a_run_is_timed_and_memory_only_grows(made):
    found = opened.look(made[0])
    named = {name for name in runs.LOOKS if name != "overview and heat map"}
    assert named | {"overview", "heat map"} == {*found["seconds"]}
    assert all(one > 0 for one in found["seconds"].values())
    held = list(found["peaks"].values())
    assert held[0] > 2**20 and all(a <= b for a, b in pairwise(held))


@pytest.mark.skipif(not opened.CAN_FORGET, reason="missing: os.posix_fadvise (Linux)")
def test_a_run_that_the_system_forgot_is_as_it_was(made):
    before = Run(made[0]).digest()
    opened.forget(made[0])
    assert Run(made[0]).digest() == before


def test_the_most_memory_is_noticed_when_it_is_given_back():
    """In a process of its own, which has held little so far."""
    code = """
import numpy as np
from benchmarks import machine
before = machine.peak()
held = np.ones(before // 4)  # of eight bytes: twice what there was
assert held.sum() == before // 4
del held
assert machine.peak() >= 2 * before
"""
    subprocess.run([sys.executable, "-c", code], cwd=opened.ROOT, check=True)


def test_a_reader_beside_the_writer_sees_every_row_once(tmp_path, monkeypatch):
    monkeypatch.setattr(appended, "BEAT", 0.01)
    rng = np.random.default_rng(0)
    found = []
    with Writer(tmp_path / "live") as writer:
        lane = writer.lane(opened.layout(LAYERS))
        writer.append(lane, opened.chunk(0, 10, LAYERS, rng))
        reader = Thread(target=lambda: found.append(appended.follow(tmp_path / "live")))
        reader.start()
        for first in range(10, 400, 10):
            writer.append(lane, opened.chunk(first, 10, LAYERS, rng))
    reader.join(60)
    assert found == [400]


def test_flushes_are_stored_and_their_run_is_deleted(tmp_path):
    case = appended.Appended(tmp_path, LAYERS, 7, rows=16)
    lasted = case.time()
    (found,) = case.found
    assert 0 < found["p50"] <= found["p99"] <= found["max"] <= lasted
    assert found["rows_per_second"] == pytest.approx(7 * 16 / lasted)
    assert not any(tmp_path.iterdir())


def test_a_recorded_training_and_a_bare_one_make_the_same_rows(tmp_path, cache):
    chosen = recorded.experiment(hidden=(8, 8), batch=10, T=4)
    bare = recorded.Bare(chosen, 3, measured=True)
    assert list(bare.one_by_one()) == [0, 1, 2]
    assert bare.chunk is not None
    run = recorded.made(chosen, 3, tmp_path / "recorded", lambda line, share: None)
    data = run.dataset()
    for name in ("energy", "precision", "cost"):
        np.testing.assert_array_equal(data[name].values, bare.chunk.rows[name])
    first = data["energy"].sel(step=data["t"] == 0).sum("layer")
    assert len(np.unique(first)) == 3, "the weights move from batch to batch"
    xr.testing.assert_equal(data["batch"], data["step"] // 5)


@pytest.mark.parametrize(
    ("bound", "most", "said"),
    [
        (3.5, True, "met"),
        (0.5, True, "**not met**"),
        (2.2, True, "met by the median, not by all of the interval"),
        (0.5, False, "met"),
        (3.5, False, "**not met**"),
        (1.5, False, "met by the median, not by all of the interval"),
    ],
)
def test_a_figure_is_judged_by_its_median_and_interval(bound, most, said):
    figure = runs.Figure("opened", "case", "title", "s", bound, most)
    sign = "≤" if most else "≥"
    wide = [1.0, 1.0, 2.0, 3.0, 3.0]
    assert figure.row(wide) == [
        "title",
        "case",
        "2.00 [1.00, 3.00] s",
        f"{sign} {bound:g} s",
        said,
    ]


def test_a_figure_without_a_bound_is_not_judged():
    assert runs.Figure("opened", "case", "title", "s").row([1.0])[3:] == ["", ""]


def test_unknown_parts_of_the_benchmark_are_refused(capsys):
    with pytest.raises(SystemExit):
        runs.parsed(["--parts", "closed"])
    assert "closed; one of opened, appended, recorded" in capsys.readouterr().err


def test_the_command_measures_a_part_and_leaves_no_run_behind(tmp_path):
    # A process of its own: the command keeps itself on some processors.
    out = tmp_path / "bench.json"
    command = [sys.executable, "-m", "benchmarks.runs", "--quick", "--parts", "recorded"]
    done = subprocess.run(
        [*command, "--out", str(out)], cwd=opened.ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert sorted(one.name for one in tmp_path.iterdir()) == ["bench.json", "bench.md"]
    (group,) = json.loads(out.read_text("utf-8"))["groups"]
    assert group["name"] == "recorded" and len(group["rounds"]) == 2
    assert all({*one} == {"bare", "measured", "recorded"} for one in group["details"]["in turns"])
    text = out.with_suffix(".md").read_text("utf-8")
    assert "| what it adds | recorded by bare |" in text and text in done.stdout
