"""Files of a run are mutilated: what is read is right, what is missing is said, or refused."""

import random
import re
import shutil

import numpy as np
import pytest
import xarray as xr

from core.catalogue import BadInput
from core.runs import Notes, NotWritten, Run, Writer, annotate, found
from core.runs import store as stores
from tests.faults.known import ABOUT, Deed, content, course, differences, read
from tests.faults.mutilating import WAYS, missing, mutilate, plans
from tests.faults.share import share

DEEDS = course()
NOTES = Notes("known", "two lines\nof text", ("a", "b"))

WEIGHTS = [f"weights/{name}.safetensors" for name in ("0-00000001", "0-00000004", "1-00000005")]

RUNS = {
    # what the run is like, after how many parts its log is folded, and which files how often
    "finished": (
        None,
        {"rows.sqlite": 192, "acknowledged.json": 32, "manifest.json": 32, "notes.json": 32}
        | dict.fromkeys(WEIGHTS, 16),
    ),
    "killed": (
        10**6,
        {"rows.sqlite": 32, "rows.sqlite-wal": 192, "rows.sqlite-shm": 16, "manifest.json": 16},
    ),
    "killed behind a checkpoint": (
        20,
        {
            "rows.sqlite": 176,
            "rows.sqlite-wal": 192,
            "rows.sqlite-shm": 16,
            "acknowledged.json": 32,
        },
    ),
}

assert sum(sum(files.values()) for _, files in RUNS.values()) >= 1000, "in a whole run"

NAMED = re.compile(r"rows (\d+)\.\.(\d+) of lane (\d+) are missing")


def made(path, fold, monkeypatch):
    """A run as it lies there when it was finished, or when its writer was killed."""
    monkeypatch.setattr(stores, "CHECKPOINT", fold or 64)
    monkeypatch.setattr(stores, "LOGGED", 10**9)
    writer = Writer(path.with_name("live"), **ABOUT)
    for deed in DEEDS[:-1]:
        deed.do(writer)
    annotate(writer.path, NOTES.title, NOTES.note, NOTES.tags)
    if fold is None:
        writer.close()
    shutil.copytree(writer.path, path)  # with the log and all, as a kill leaves it
    writer.close()
    return DEEDS if fold is None else DEEDS[:-1]


def unnamed(run, lost):
    """Lost rows that `recovered` does not name, of lanes that are still known."""
    said = run.recovered
    if "more" in said or "not known" in said:
        return []
    named = {
        ("missing", "row", int(lane), row)
        for a, b, lane in NAMED.findall(said)
        for row in range(int(a), int(b) + 1)
    }
    return [one for one in lost if one[1] == "row" and one[2] in run.lanes and one not in named]


def judge(path, expected, lazily):
    """Read a mutilated run; "whole", "lost" what it names, or "refused" by name."""
    try:
        run = Run(path)
        seen = read(run, lazily=lazily)
    except BadInput as refused:
        assert "\n" not in str(refused)
        return "refused"
    assert found(path.parent)[0] == path
    said = {place[1:] for place in seen if place[0] == "said"}
    seen = {place: value for place, value in seen.items() if place[0] != "said"}
    off = differences(seen, expected)
    assert [one for one in off if one[0] != "missing"] == [], run.recovered
    lost = [one for one in off if not (one[1] == "weights" and one[2:] in said)]
    assert run.recovered or not lost, lost[:6]
    assert unnamed(run, lost) == [], run.recovered
    notes = run.notes
    assert notes == NOTES or (notes == Notes() and run.recovered)
    run.close()
    return "lost" if lost else "whole"


MORE = [Deed("rows", first=100, count=5), Deed("events", first=60, count=2), Deed("close")]


def gone_on_with(path, expected):
    """Go on with a mutilated run: what is stored then is there, and what was there is not wrong."""
    try:
        with Writer(path, resume=True) as writer:
            MORE[0].do(writer)
            MORE[1].do(writer)
    except (BadInput, NotWritten):
        return
    assert judge(path, expected, lazily=False) != "refused"
    after = read(Run(path))
    rows = [("row", 0, row) for row in range(100, 105)]
    events = [("event", 0, number) for number in (60, 61)]
    assert all(place in after for place in rows + events)


@pytest.mark.row(29, 30)
@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_mutilated_run_shows_right_values_and_says_what_is_missing(
    name, memory, monkeypatch, record_property
):
    fold, whole = RUNS[name]
    files = {file: share(count, 16) for file, count in whole.items()}
    base, path = memory / "base", memory / "runs" / "run"
    deeds = made(base, fold, monkeypatch)
    monkeypatch.setattr("core.runs.manifest._commit", lambda: "")
    expected, more = content(deeds), content([*DEEDS[:-1], *MORE])
    assert judge_whole(base, expected)
    seen = {"whole": 0, "lost": 0, "refused": 0}
    for number, (file, way, draw) in enumerate(plans(files, seed=5)):
        shutil.copytree(base, path)
        mutilate(path, file, way, draw)
        if not (file == "notes.json" and way is missing):  # notes are nobody's due
            seen[judge(path, expected, lazily=number % 2 == 0)] += 1
            if number % 4 == 0:
                gone_on_with(path, more)
        shutil.rmtree(path)
    assert min(seen["whole"], seen["lost"]) > share(20), seen
    record_property("count: faults: mutilated files of runs, 0 silently wrong", sum(seen.values()))


def judge_whole(path, expected):
    """Whether a run holds all of it and complains of nothing."""
    run = Run(path)
    return read(run) == expected and run.recovered == ""


def test_a_kept_file_of_weights_in_the_place_of_another_is_refused(memory, monkeypatch):
    made(memory / "run", None, monkeypatch)
    one, other = (memory / "run" / name for name in WEIGHTS[:2])
    shutil.copy(one, other)
    run = Run(memory / "run")
    assert set(run.weights(1, 0)) == {"W1", "b1"}
    with pytest.raises(BadInput, match="not as they were written"):
        run.weights(4, 0)


def test_a_row_whose_newer_value_is_lost_does_not_show_its_older_one(memory, monkeypatch):
    """The part that measured rows 5 and 6 again is taken out of the table by hand."""
    import sqlite3

    small = [Deed("lane"), Deed("rows", count=7), Deed("rows", first=5, count=4, version=1)]
    with Writer(memory / "run", **ABOUT) as writer:
        for deed in small:
            deed.do(writer)
    base = sqlite3.connect(memory / "run" / "rows.sqlite")
    part = "(select max(id) from part where stream = ?)"
    for stream in ("frames", "rows"):
        base.execute(f"delete from part where id = {part}", (stream,))
    base.commit()
    base.close()
    run = Run(memory / "run")
    assert run.dataset(0)["step"].values.tolist() == [0, 1, 2, 3, 4]
    assert run.dataset(0)["frame_step"].values.tolist() == [0, 3]
    assert "rows 5..8 of lane 0 are missing" in run.recovered


def test_rows_that_a_fork_has_of_its_parent_are_named_for_both(memory):
    """The fork had none of its own when the part of its parent was taken out of the table."""
    import sqlite3

    with Writer(memory / "run", **ABOUT) as writer:
        for deed in (Deed("lane"), Deed("rows", count=9), Deed("lane", 1, 3, parent=0)):
            deed.do(writer)
    base = sqlite3.connect(memory / "run" / "rows.sqlite")
    base.execute("delete from part where stream = 'rows'")
    base.commit()
    base.close()
    said = Run(memory / "run").recovered
    assert "rows 0..8 of lane 0 are missing, rows 0..3 of lane 1 are missing" in said


def test_a_run_that_was_gone_on_with_has_not_ended_where_what_came_last_is_lost(memory):
    """Its end stands in an older part than the newest that was stored."""
    import sqlite3

    with Writer(memory / "run", **ABOUT) as writer:
        Deed("lane").do(writer)
        Deed("rows", count=3).do(writer)
    assert Run(memory / "run").state == "finished"
    again = Writer(memory / "run", resume=True)
    Deed("events", count=1).do(again)
    again.leave()
    assert Run(memory / "run").state == "interrupted"
    base = sqlite3.connect(memory / "run" / "rows.sqlite")
    base.execute("delete from part where id = (select max(id) from part)")
    base.commit()
    base.close()
    run = Run(memory / "run")
    assert "1 of 6 stored parts cannot be read" in run.recovered  # frames and manifest too
    assert run.state == "interrupted"


# Exports -----------------------------------------------------------------------------------------

TORN = [way for way in WAYS if way is not missing]
"""A chunk that is missing reads as the fill value: no checksum can tell."""


@pytest.mark.slow
def test_a_mutilated_export_is_noticed_by_the_checksums_of_zarr(memory, monkeypatch):
    pytest.importorskip("zarr")
    from core.runs.exports import export

    made(memory / "run", None, monkeypatch)
    base = export(Run(memory / "run"), memory / "base.zarr")
    whole = {group: xr.open_zarr(base, group=group).load() for group in (None, "batches")}
    sizes = {one: one.stat().st_size for one in sorted(base.rglob("*")) if one.is_file()}
    chunks = {one: size for one, size in sizes.items() if one.name != "zarr.json"}
    draw, noticed = random.Random(3), 0
    for number, one in enumerate(draw.choices(list(chunks), list(chunks.values()), k=100)):
        path, name = memory / f"{number}.zarr", str(one.relative_to(base))
        shutil.copytree(base, path)
        if mutilate(path, name, TORN[number % len(TORN)], draw):
            group = "batches" if name.startswith("batches/") else None
            try:
                seen = xr.open_zarr(path, group=group).load()
            except (ValueError, RuntimeError, OSError):
                noticed += 1
            else:
                for key in whole[group].variables:
                    np.testing.assert_array_equal(seen[key].values, whole[group][key].values)
        shutil.rmtree(path)
    assert noticed > 60
