"""Every call that changes a disk fails in turn: it is said, nothing stored is lost, again works."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.catalogue import BadInput
from core.runs import NotWritten, Run, Writer, annotate, rename, restore, trash
from core.runs import manifest as manifests
from core.runs import store as stores
from tests.faults.failing import (
    BROKEN,
    DENIED,
    FAILING,
    FULL,
    HALVES,
    SHORT,
    Faults,
    python_calls,
)
from tests.faults.known import ABOUT, Deed, content, course, judge, read
from tests.faults.share import WHOLE
from tests.faults.sqlite import Unavailable, sqlite_calls
from tests.missing import missing

WAYS = ((FULL, False), (FULL, True), (BROKEN, False), (DENIED, False), (SHORT, False))
"""How a call fails, and whether all later ones do too."""

BASE = course(flushes=2, size=4, forks=False)
"""What the run holds before a call fails; the last deed closes it."""

NEXT = 8
"""The next row of lane 0."""


@pytest.fixture
def faults(memory, monkeypatch):
    """Faults under Python and SQLite, for all that lies in the folder of this test."""
    monkeypatch.setattr(manifests, "_commit", lambda: "")  # asks git, in a process of its own
    held = Faults()
    try:
        with sqlite_calls(held), python_calls(held, memory):
            yield held
    except Unavailable as failed:
        missing(f"a SQLite that takes a VFS from ctypes ({failed})")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A finished run of two lanes."""
    path = tmp_path_factory.mktemp("base") / "run"
    with Writer(path, **ABOUT) as writer:
        for deed in BASE[:-1]:
            deed.do(writer)
    return path


def tried(call, *args, **options):
    """What a call returns and None, or None and its named error; any other error goes on."""
    try:
        return call(*args, **options), None
    except (NotWritten, BadInput) as said:
        assert "\n" not in str(said) and ": " in str(said), said
        return None, said


def open_files(folder: Path) -> list[str]:
    """Files of a folder that this process holds open, where the system tells."""
    found = []
    for one in Path("/proc/self/fd").glob("*") if Path("/proc/self/fd").is_dir() else ():
        try:
            found.append(os.readlink(one))
        except OSError:
            continue
    return [one for one in found if one.startswith(str(folder))]


def strikes(calls: list[str], each: bool = WHOLE):
    """Each call in turn, in every way in which it can fail, or in one of them by turns."""
    for at, what in enumerate(calls):
        ways = [way for way in WAYS if way[0] != SHORT or what in HALVES]
        for mode, lasting in ways if each else ways[at % len(ways) :][:1]:
            yield at, mode, lasting


@dataclass(frozen=True)
class Section:
    """A deed that is tried on a copy of the finished run, and how the writer is made.

    Those that go the way of another section (`each` is false) are tried in one way by turns, and
    in every run so are all but the first.
    """

    deed: Deed
    durable: bool = False
    checkpoint: int = 10**6
    network: bool = False
    each: bool = WHOLE


SECTIONS = {
    "rows": Section(Deed("rows", first=NEXT, count=4), each=True),
    "rows, each flush on the disk": Section(Deed("rows", first=NEXT, count=2), durable=True),
    "rows and a checkpoint": Section(Deed("rows", first=NEXT, count=2), checkpoint=1),
    "rows, by a rollback journal": Section(Deed("rows", first=NEXT, count=2), network=True),
    "rows measured again": Section(Deed("rows", first=NEXT - 2, count=4, version=2), each=False),
    "a lane": Section(Deed("lane", lane=1, first=5, parent=0), each=False),
    "a batch": Section(Deed("batch", first=1), each=False),
    "a sample": Section(Deed("sample", first=1), each=False),
    "recipes": Section(Deed("recipes", count=3), each=False),
    "events": Section(Deed("events", first=3, count=2), each=False),
    "weights": Section(Deed("weights", first=1)),
    "the end": Section(Deed("close")),
    "the end, by a rollback journal": Section(Deed("close"), network=True),
}


@pytest.mark.row(35, 38)
@pytest.mark.slow
@pytest.mark.parametrize("name", SECTIONS)
def test_a_call_that_fails_is_named_and_what_was_stored_stays(
    name, base, memory, faults, monkeypatch, record_property
):
    section = SECTIONS[name]
    monkeypatch.setattr(stores, "CHECKPOINT", section.checkpoint)
    monkeypatch.setattr(stores, "is_on_network", lambda folder: section.network)
    deed, before = section.deed, BASE

    def opened(number):
        path = memory / f"run-{number}"
        shutil.copytree(base, path)
        return path, Writer(path, resume=True, durable=section.durable)

    path, writer = opened("counted")
    with faults.armed():
        deed.do(writer)
    calls = faults.calls
    writer.close()
    assert any(one.startswith("sqlite") for one in calls) or name == "weights"
    for number, (at, mode, lasting) in enumerate(strikes(calls, section.each)):
        said = f"{name}: call {at}, {calls[at]}, {mode}{', lasting' * lasting}"
        path, writer = opened(number)
        with faults.armed(at, mode, lasting=lasting):
            _, error = tried(deed.do, writer)
        assert faults.struck, said
        done = [*before, deed]
        judge(path, done, *([before] if error else [])).close()
        if error and deed.what == "close":
            writer = Writer(path, resume=True)
        if error:
            deed.do(writer)
        more = Deed("rows", first=20, count=3)
        if deed.what != "close":
            more.do(writer)
            writer.close()
            done += [more, Deed("close")]
        judge(path, done).close()
        assert open_files(path) == [], said
        shutil.rmtree(path)
    record_property("count: faults: failed calls, each named and nothing stored lost", number + 1)


@pytest.mark.slow
def test_a_run_whose_making_failed_can_be_made_again(memory, faults):
    with faults.armed():
        Writer(memory / "counted", **ABOUT).close()
    calls = faults.calls
    small = [Deed("lane"), Deed("rows", count=3), Deed("close")]
    for number, (at, mode, lasting) in enumerate(strikes(calls)):
        path = memory / f"run-{number}"
        with faults.armed(at, mode, lasting=lasting):
            made, error = tried(Writer, path, **ABOUT)
        if error:
            assert str(path) in str(error)
            assert open_files(path) == [], f"call {at}, {calls[at]}, {mode}"
            tried(Run, path)
            made = Writer(path, **ABOUT)
        with made as writer:
            for deed in small[:-1]:
                deed.do(writer)
        judge(path, small).close()
        shutil.rmtree(path)


def test_a_run_with_which_going_on_failed_can_be_gone_on_with(base, memory, faults):
    shutil.copytree(base, memory / "counted")
    with faults.armed():
        writer = Writer(memory / "counted", resume=True)
    writer.close()
    calls, more = faults.calls, Deed("rows", first=NEXT, count=3)
    for number, (at, mode, lasting) in enumerate(strikes(calls)):
        path = memory / f"run-{number}"
        shutil.copytree(base, path)
        with faults.armed(at, mode, lasting=lasting):
            made, error = tried(Writer, path, resume=True)
        judge(path, BASE).close()
        with made or Writer(path, resume=True) as writer:
            assert error is None or open_files(path) != []
            more.do(writer)
        judge(path, [*BASE, more, Deed("close")]).close()
        assert open_files(path) == []
        shutil.rmtree(path)


# The shelf ---------------------------------------------------------------------------------------


def renamed(path):
    return rename(path, "other")


def annotated(path):
    annotate(path, title="new", note="a note", tags=["one"])
    return path


@pytest.mark.parametrize("change", [annotated, renamed, trash])
def test_a_change_on_the_shelf_that_fails_leaves_the_run_as_it_was(change, base, memory, faults):
    def copied(number):
        path = memory / f"runs-{number}" / "run"
        shutil.copytree(base, path)
        annotate(path, title="old")
        return path

    path = copied("counted")
    with faults.armed():
        change(path)
    calls = faults.calls
    for number, (at, mode, lasting) in enumerate(strikes(calls)):
        path = copied(number)
        with faults.armed(at, mode, lasting=lasting):
            _, error = tried(change, path)
        said = f"{change.__name__}: call {at}, {calls[at]}, {mode}"
        places = [one.parent for one in path.parent.rglob("rows.sqlite")]
        assert len(places) == 1, said
        assert judge(places[0], BASE).notes.title in ("old", "new"), said
        if error:
            assert places[0] == path or calls[at] in ("os.unlink", "os.rmdir"), said
            place = change(places[0]) if places[0] == path else places[0]
            judge(place, BASE).close()
        assert open_files(path.parent) == [], said
        shutil.rmtree(path.parent)


def test_bringing_a_run_back_that_fails_leaves_it_whole(base, memory, faults):
    def away(number):
        path = memory / f"runs-{number}" / "run"
        shutil.copytree(base, path)
        return trash(path)

    path = away("counted")
    with faults.armed():
        restore(path)
    for number, (at, mode, lasting) in enumerate(strikes(faults.calls)):
        path = away(number)
        root = memory / f"runs-{number}"
        with faults.armed(at, mode, lasting=lasting):
            tried(restore, path)
        places = [one.parent for one in root.rglob("rows.sqlite")]
        assert len(places) == 1
        judge(restore(path) if path.exists() else root / "run", BASE).close()
        assert open_files(root) == []


# Exports -----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".zarr", ".nc", ".csv"])
def test_an_export_that_fails_leaves_nothing_and_the_run_as_it_was(suffix, base, memory, faults):
    from core.runs.exports import export

    if suffix == ".zarr":
        pytest.importorskip("zarr")
    run = Run(base)
    with faults.armed():
        export(run, memory / f"counted{suffix}")
    calls = faults.calls
    assert len(calls) > 3
    first = [calls.index(what) for what in set(calls)]
    others = range(0, len(calls), max(1, len(calls) // (12 if WHOLE else 3)))
    for at in sorted({*first, *others}):
        to = memory / f"out-{at}{suffix}"
        with faults.armed(at, FAILING[at % len(FAILING)]):
            _, error = tried(export, run, to)
        if error:
            assert not to.exists() or calls[at] in ("os.unlink", "os.rmdir")
        if not to.exists():
            export(run, to)
        assert to.exists()
    assert read(run) == content(BASE)
