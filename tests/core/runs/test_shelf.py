"""Where runs lie: names that can do no harm, and nothing that is lost by putting it away."""

import os
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import pytest

from core.catalogue import BadInput
from core.layout import Layout
from core.runs import Locked, Run, Writer, shelf

ROOT = Path(__file__).parents[3]
TWO = Layout((1,), ("x", "y"), (1,), (2, 2), (True,), 1e-7)


def run(path):
    """A small finished run."""
    with Writer(path) as writer:
        writer.lane(TWO)
        writer.batch(0, 0, accuracy=0.5)
    return path


def snapshot(folder):
    return {path: path.is_dir() or path.read_bytes() for path in sorted(folder.rglob("*"))}


# Names -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "0", "A-b_c.d", "x" * 80, "1e-3", "spiking.2"])
def test_a_name_of_letters_digits_and_three_marks_is_legal(name):
    assert shelf.check_name(name) == name


ILLEGAL = ["", ".", "..", ".hidden", "../x", "/etc/x", "a/b", "a\\b", "x" * 81, "a b", "a\n", "a\0"]
ILLEGAL += ["-rf", "_a", "é", "ａ", "а", "<img src=x onerror=alert(1)>", "~", "$HOME", "a.", None]
ILLEGAL += ["CON", "nul", "com1.txt", "LPT9"]


@pytest.mark.parametrize("name", ILLEGAL, ids=repr)
def test_any_other_name_is_refused_in_one_line(name, tmp_path):
    with pytest.raises(BadInput, match=r"^run: ") as refused:
        shelf.check_name(name)
    assert "\n" not in str(refused.value)
    before = snapshot(tmp_path)
    with pytest.raises(BadInput):
        shelf.run_named(name, tmp_path)
    assert snapshot(tmp_path) == before


def test_the_folder_is_that_of_the_environment_or_here(monkeypatch):
    monkeypatch.delenv("RELAXOSCOPE_RUNS", raising=False)
    assert shelf.folder() == Path("runs")
    monkeypatch.setenv("RELAXOSCOPE_RUNS", "~/mine")
    assert shelf.folder() == Path.home() / "mine"


# What is there -----------------------------------------------------------------------------------


def test_runs_are_found_newest_first_and_nothing_else_is(tmp_path):
    for number, name in enumerate(["old", "new", "older"]):
        path = run(tmp_path / name)
        when = {"older": 1000, "old": 2000, "new": 3000}[name] + number
        os.utime(path / "manifest.json", (when, when))
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("no run")
    run(tmp_path / "gone")
    shelf.trash(tmp_path / "gone")
    assert [path.name for path in shelf.found(tmp_path)] == ["new", "old", "older"]
    assert shelf.found(tmp_path / "nowhere") == []


def test_a_damaged_run_is_found_too(tmp_path):
    (run(tmp_path / "a") / "manifest.json").unlink()
    (run(tmp_path / "b") / "rows.sqlite").write_bytes(b"nothing")
    assert {path.name for path in shelf.found(tmp_path)} == {"a", "b"}


def test_a_link_that_leads_out_is_no_run_and_is_not_touched(tmp_path):
    root, away = tmp_path / "runs", run(tmp_path / "away")
    run(root / "here")
    (root / "link").symlink_to(away)
    (root / "again").symlink_to(root / "here")
    before = snapshot(tmp_path)
    assert [path.name for path in shelf.found(root)] == ["here"]
    for name in ("link", "again"):
        with pytest.raises(BadInput):
            shelf.run_named(name, root)
        for act in (shelf.trash, shelf.annotate, lambda path: shelf.rename(path, "new")):
            with pytest.raises(BadInput, match="link"):
                act(root / name)
    assert snapshot(tmp_path) == before


def test_a_run_of_a_sweep_is_found_by_both_names_and_no_further_down(tmp_path):
    root = tmp_path / "runs"
    inside = run(root / "rates" / "a-1")
    (root / "link").symlink_to(run(tmp_path / "away" / "a-1").parent)
    assert (
        shelf.run_named("rates/a-1", root) == inside and shelf.name_of(inside, root) == "rates/a-1"
    )
    assert shelf.name_of(run(root / "b"), root) == "b"
    run(root / "rates" / "deep" / "a-1")
    for name in ("rates/../b", "rates/deep/a-1", "../away/a-1", "link/a-1", "rates/", "/a-1", "/"):
        with pytest.raises(BadInput, match=r"^run: "):
            shelf.run_named(name, root)


def test_an_unknown_name_offers_the_nearest(tmp_path):
    run(tmp_path / "spiking")
    with pytest.raises(BadInput, match=r"run: spikin; one of spiking \(did you mean spiking\?\)"):
        shelf.run_named("spikin", tmp_path)
    for number in range(20):
        run(tmp_path / f"run{number}")
    with pytest.raises(BadInput, match=r"one of the 21 runs in .* \(did you mean spiking\?\)"):
        shelf.run_named("spikin", tmp_path)
    with pytest.raises(BadInput, match=r"there is no run in"):
        shelf.run_named("a", tmp_path / "nowhere")


# Annotations -------------------------------------------------------------------------------------


def test_what_is_not_said_anew_stays(tmp_path):
    path = run(tmp_path / "a")
    shelf.annotate(path, title=" Deep ", note="two\nlines", tags=["x", "y", "x"])
    shelf.annotate(path, note="other")
    notes = Run(path).notes
    assert (notes.title, notes.note, notes.tags) == ("Deep", "other", ("x", "y"))


@pytest.mark.parametrize(
    "said",
    [
        {"title": "two\nlines"},
        {"title": "x" * 201},
        {"note": "x" * 100_001},
        {"tags": [""]},
        {"tags": ["a,b"]},
        {"tags": ["x" * 41]},
        {"tags": [str(n) for n in range(51)]},
    ],
)
def test_notes_that_cannot_be_shown_are_refused(tmp_path, said):
    path = run(tmp_path / "a")
    before = snapshot(path)
    with pytest.raises(BadInput):
        shelf.annotate(path, **said)
    assert snapshot(path) == before


def test_a_run_can_be_annotated_while_it_is_written(tmp_path):
    with Writer(tmp_path / "a") as writer:
        writer.lane(TWO)
        shelf.annotate(tmp_path / "a", title="live")
        writer.batch(0, 0, accuracy=1.0)
    assert Run(tmp_path / "a").notes.title == "live"


# Away and back -----------------------------------------------------------------------------------


def test_what_is_put_away_comes_back_as_it_was(tmp_path):
    path = run(tmp_path / "a")
    before = {k.name: v for k, v in snapshot(path).items() if k.name != "lock"}
    away = shelf.trash(path)
    assert not path.exists() and shelf.found(tmp_path) == []
    assert shelf.trashed(tmp_path) == [away]
    assert time.strftime("%Y-%m-%d") in away.parts
    assert shelf.restore(away) == path
    assert {k.name: v for k, v in snapshot(path).items() if k.name != "lock"} == before
    assert not (tmp_path / ".trash").exists()


def test_two_of_one_name_can_be_put_away_on_one_day(tmp_path):
    first = shelf.trash(run(tmp_path / "a"))
    second = shelf.trash(run(tmp_path / "a"))
    assert first != second and shelf.trashed(tmp_path) == [second, first]
    shelf.restore(second)
    with pytest.raises(BadInput, match="exists"):
        shelf.restore(first)
    assert Run(first).state == "finished"


def test_only_what_was_put_away_long_ago_is_deleted(tmp_path):
    ages = {"young": 14, "old": 15, "tomorrow": -1}
    for name, age in ages.items():
        away = shelf.trash(run(tmp_path / name))
        away.parent.rename(away.parent.with_name(str(date.today() - timedelta(days=age))))
    run(tmp_path / "kept")
    (tmp_path / ".trash" / "not a day").mkdir()
    assert shelf.empty(root=tmp_path) == ["old"]
    assert {path.name for path in shelf.trashed(tmp_path)} == {"young", "tomorrow"}
    assert [path.name for path in shelf.found(tmp_path)] == ["kept"]
    with pytest.raises(BadInput, match="days: -1"):
        shelf.empty(-1, tmp_path)


def test_a_run_gets_a_name_that_is_free(tmp_path):
    path = run(tmp_path / "a")
    run(tmp_path / "b")
    for name in ("b", "../c", "a"):
        with pytest.raises(BadInput):
            shelf.rename(path, name)
    moved = shelf.rename(path, "c")
    assert moved == tmp_path / "c" and Run(moved).name == "c" and not path.exists()


WRITING = """
import sys
from core.layout import Layout
from core.runs import Writer
writer = Writer(sys.argv[1])
print(flush=True)
sys.stdin.read()
"""


def test_a_run_that_another_process_writes_stays_where_it_is(tmp_path):
    words = [sys.executable, "-c", WRITING, str(tmp_path / "a")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(words, cwd=ROOT, **pipes) as writing:
        writing.stdout.readline()
        for act in (shelf.trash, lambda path: shelf.rename(path, "b")):
            with pytest.raises(Locked, match=rf"process {writing.pid} on "):
                act(tmp_path / "a")
        assert [path.name for path in shelf.found(tmp_path)] == ["a"]
        writing.stdin.close()
    assert shelf.trash(tmp_path / "a").exists()


def test_notes_of_a_run_that_has_gone_make_no_folder(tmp_path):
    from core.runs.manifest import Notes, write_notes

    with pytest.raises(FileNotFoundError):
        write_notes(tmp_path / "gone", Notes())
    assert list(tmp_path.iterdir()) == []
