"""What may be written, by whom, where, and how a run ended."""

import os
import shutil
import sqlite3
import sys
import threading
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch

from core.catalogue import BadInput
from core.recorder import Chunk
from core.runs import Damaged, Locked, NotWritten, Run, Writer
from core.runs import manifest as manifests
from core.runs import store as stores
from core.runs.lock import Lock
from tests.faults.failing import Faults, python_calls
from tests.faults.killing import Elsewhere, hold
from tests.faults.known import ABOUT, LAYOUT, Deed, chunk, content, course, judge, read, weights
from tests.faults.sqlite import Unavailable, sqlite_calls

SMALL = [Deed("lane"), Deed("rows", count=4), Deed("batch"), Deed("events", count=2)]


def written(path, deeds=SMALL, **options):
    """A finished run."""
    with Writer(path, **ABOUT, **options) as writer:
        for deed in deeds:
            deed.do(writer)
    return Run(path)


# What is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", ".hidden", "a/..", "a b", "CON", "x" * 81, "é", "a\nb"])
def test_a_name_that_no_run_may_have_is_refused_and_nothing_is_made(name, memory):
    before = sorted(memory.rglob("*"))
    with pytest.raises(BadInput, match="run: "):
        Writer(memory / "runs" / name if name else memory / "runs" / "..")
    assert sorted(memory.rglob("*")) == before


def test_a_run_that_exists_is_refused_unless_it_is_gone_on_with(memory):
    written(memory / "run")
    with pytest.raises(BadInput, match="it exists: resume it, or choose another name"):
        Writer(memory / "run")
    judge(memory / "run", [*SMALL, Deed("close")])


def test_a_folder_with_other_things_and_a_link_are_refused_and_stay(memory):
    (memory / "thesis").mkdir()
    (memory / "thesis" / "chapter.txt").write_text("all of it")
    (memory / "link").symlink_to(memory / "thesis")
    for name, said in (("thesis", "other things"), ("link", "a link")):
        for resume in (False, True):
            with pytest.raises(BadInput, match=said):
                Writer(memory / name, resume=resume)
    assert [one.name for one in (memory / "thesis").iterdir()] == ["chapter.txt"]


def test_a_file_in_the_place_of_the_folder_is_refused(memory):
    (memory / "file").write_text("")
    for path in (memory / "file", memory / "file" / "run"):
        with pytest.raises(NotWritten, match="not written"):
            Writer(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"energy": np.zeros((2, 4))}, r"energy: shape \(4,\); \(3,\), as in the rows before"),
        ({"energy": np.zeros((3, 3))}, r"energy: shape \(3, 3\); 2 entries"),
        ({"speed": np.zeros((2, 5))}, r"speed: shape \(5,\); \(4\) behind the rows"),
        ({"speed": np.zeros(2)}, r"speed: shape \(\); \(4\) behind the rows"),
        ({"alignment": np.zeros((2, 4))}, r"alignment: shape \(4,\); \(3\) behind the rows"),
        (
            {"energy_sample": np.zeros((2, 3, 7))},
            r"energy_sample: shape \(3, 7\); \(3, 40\), as in",
        ),
        ({"probability": np.zeros((2, 39, 3))}, r"probability: shape \(39, 3\); \(40, class\)"),
        ({"state_1": np.zeros((2, 40, 9))}, r"state_1: shape \(40, 9\); \(40, 5\)"),
        ({"enegry": np.zeros((2, 3))}, "enegry.*did you mean energy"),
        ({"step": np.array([5, 5])}, "step: not in order"),
    ],
)
def test_rows_that_do_not_fit_their_lane_are_refused_and_leave_nothing(change, said, memory):
    with Writer(memory / "run", **ABOUT) as writer:
        for deed in SMALL[:2]:
            deed.do(writer)
        rows = chunk(0, 4, 2).rows | change
        with pytest.raises(BadInput, match=said):
            writer.append(0, Chunk(rows, {}))
        judge(writer.path, SMALL[:2])
        Deed("rows", first=4, count=2).do(writer)
    judge(memory / "run", [*SMALL[:2], Deed("rows", first=4, count=2), Deed("close")])


def test_shapes_are_known_to_who_goes_on_with_a_run(memory):
    written(memory / "run")
    with Writer(memory / "run", resume=True) as writer:
        rows = chunk(0, 4, 2).rows | {"energy_sample": np.zeros((2, 3, 7))}
        with pytest.raises(BadInput, match=r"energy_sample: shape \(3, 7\); \(3, 40\)"):
            writer.append(0, Chunk(rows, {}))


def test_frames_that_do_not_fit_are_refused(memory):
    with Writer(memory / "run", **ABOUT) as writer:
        SMALL[0].do(writer)
        one = chunk(0, 0, 4)
        for change in ({"prediction": np.zeros((2, 2, 5))}, {"prediction_mse": np.zeros((2, 4))}):
            with pytest.raises(BadInput, match=next(iter(change))):
                writer.append(0, Chunk(one.rows, one.frames | change))
        judge(writer.path, SMALL[:1])


def test_an_unknown_lane_or_parent_is_refused_with_those_that_there_are(memory):
    with Writer(memory / "run", **ABOUT) as writer:
        with pytest.raises(BadInput, match="lane: 0; one of run run: there is none yet"):
            writer.append(0, chunk(0, 0, 2))
        SMALL[0].do(writer)
        for call in (
            lambda: writer.append(3, chunk(0, 0, 2)),
            lambda: writer.batch(3, 0, accuracy=0.5),
            lambda: writer.weights(3, 0, weights(0, 0)),
            lambda: writer.recipes(3, []),
            lambda: writer.lane(LAYOUT, parent=3, forked_at=1),
        ):
            with pytest.raises(BadInput, match="lane: 3; one of run run: 0"):
                call()
    with pytest.raises(BadInput, match="lane: 3; one of run run: 0"):
        Run(memory / "run").dataset(3)


def test_what_is_known_of_a_batch_is_a_number_or_one_for_each_layer(memory):
    with Writer(memory / "run", **ABOUT) as writer:
        SMALL[0].do(writer)
        for change in ({"accuracy": [1.0, 2.0]}, {"update_norm": [1.0]}, {"loss": "small"}):
            with pytest.raises(BadInput, match=next(iter(change))):
                writer.batch(0, 0, **change)
        writer.batch(0, 0, loss=0.25, update_norm=[1, 2, 3])
        writer.batch(0, 0, accuracy=0.5)
    data = Run(memory / "run").batches(0)
    assert [float(data[k][0]) for k in ("loss", "accuracy")] == [0.25, 0.5]
    assert data["update_norm"].values.tolist() == [[1.0, 2.0, 3.0]]


def test_a_newer_schema_is_refused_and_a_missing_run_too(memory, monkeypatch):
    with pytest.raises(BadInput, match="no run lies there"):
        Run(memory / "none")
    (memory / "empty").mkdir()
    with pytest.raises(BadInput, match="no run lies there"):
        Run(memory / "empty")
    monkeypatch.setattr(manifests, "SCHEMA", 2)
    with Writer(memory / "run", **ABOUT):
        pass
    monkeypatch.setattr(manifests, "SCHEMA", 1)
    for call in (lambda: Run(memory / "run"), lambda: Writer(memory / "run", resume=True)):
        with pytest.raises(BadInput, match="schema 2, this version reads 1") as refused:
            call()
        assert not isinstance(refused.value, Damaged)
    assert Lock(memory / "run").missing == ""


# The end and the going on ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (None, "finished"),
        (KeyboardInterrupt(), "interrupted"),
        (ValueError("two\nlines"), "failed: ValueError: two lines"),
    ],
)
def test_a_run_says_how_it_ended(error, state, memory):
    try:
        with Writer(memory / "run", **ABOUT) as writer:
            SMALL[0].do(writer)
            assert Run(memory / "run").state == "live"
            if error:
                raise error
    except (KeyboardInterrupt, ValueError):
        pass
    assert Run(memory / "run").state == state
    writer.close("diverged: twice")
    assert Run(memory / "run").state == state


def test_a_closed_writer_writes_no_more(memory):
    writer = Writer(memory / "run", **ABOUT)
    writer.close()
    with pytest.raises(NotWritten, match="it is closed"):
        writer.events([{"number": 0}])


def test_going_on_continues_the_numbers_of_lanes_and_events(memory):
    deeds = course(flushes=4, size=5)
    path = memory / "run"
    Writer(path, **ABOUT).close()
    for deed in deeds[:-1]:  # each by another writer
        with Writer(path, resume=True) as writer:
            deed.do(writer)
    judge(path, deeds)


def test_a_manifest_that_is_lost_is_written_anew_from_its_copy_by_who_goes_on(memory):
    path = written(memory / "run").path
    said = (path / "manifest.json").read_text()
    for damage in (lambda one: one.unlink(), lambda one: one.write_text(said[:-9])):
        damage(path / "manifest.json")
        assert "manifest" in Run(path).recovered
        Writer(path, resume=True).close()
        assert (path / "manifest.json").read_text() == said
        judge(path, [*SMALL, Deed("close")])


def test_weights_come_back_bit_by_bit_and_others_are_offered(memory):
    with Writer(memory / "run", **ABOUT) as writer:
        SMALL[0].do(writer)
        for number in (0, 10, 20):
            writer.weights(0, number, weights(0, number))
    run = Run(memory / "run")
    assert run.kept() == [0, 10, 20]
    for name, one in run.weights(10).items():
        assert torch.equal(one, weights(0, 10)[name])
    with pytest.raises(BadInput, match="the nearest that were: 10"):
        run.weights(13)


# Who writes, and where ---------------------------------------------------------------------------


def test_a_second_writer_is_refused_here_and_elsewhere(memory):
    writer = Writer(memory / "run", **ABOUT)
    with pytest.raises(Locked, match=f"being written by process {os.getpid()} on "):
        Writer(memory / "run", resume=True)
    child = Elsewhere(hold, str(memory / "run"))
    assert child.end() == ["ready"]  # it could not take the lock
    assert child.failed
    writer.close()
    child = Elsewhere(hold, str(memory / "run"))
    child.hear(60), child.hear(60)
    with pytest.raises(Locked, match=f"process {child.said[-1]} on "):
        Writer(memory / "run", resume=True)
    child.kill()


def test_of_several_who_make_one_run_at_once_one_makes_it(memory):
    made, refused = [], []

    def make():
        try:
            made.append(Writer(memory / "run", **ABOUT))
        except (Locked, BadInput) as failed:
            refused.append(failed)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert (len(made), len(refused)) == (1, 3)
    for deed in SMALL:
        deed.do(made[0])
    made[0].close()
    judge(memory / "run", [*SMALL, Deed("close")])


def test_several_threads_may_call_one_writer(memory):
    with Writer(memory / "run", **ABOUT) as writer:
        for lane in range(3):
            Deed("lane", lane=lane).do(writer)
        rows = [[Deed("rows", lane=k, first=2 * i, count=2) for i in range(12)] for k in range(3)]
        threads = [
            threading.Thread(target=lambda deeds=deeds: [one.do(writer) for one in deeds])
            for deeds in rows
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    lanes = [Deed("lane", lane=k) for k in range(3)]
    judge(memory / "run", [*lanes, *chain(*rows), Deed("close")])


def test_on_a_network_file_system_no_log_is_shared_and_all_is_read_the_same(memory, monkeypatch):
    monkeypatch.setattr(stores, "is_on_network", lambda folder: True)
    deeds = course(flushes=3, size=4)
    writer = Writer(memory / "run", **ABOUT)
    assert "network" in writer.note
    for k, deed in enumerate(deeds[:-1]):
        deed.do(writer)
        assert not (memory / "run" / "rows.sqlite-wal").exists()
        if k % 4 == 0:
            judge(memory / "run", deeds[: k + 1]).close()
    writer.close()
    judge(memory / "run", deeds)


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "lustre", "fuse.sshfs"])
def test_the_system_says_which_folders_are_on_a_network(kind, memory, monkeypatch):
    mounts = f"dev / ext4 rw 0 0\nhost:/x {memory} {kind} rw 0 0\ndev {memory}/in ext4 rw 0 0\n"
    monkeypatch.setattr(Path, "read_text", lambda *args, **more: mounts)
    assert stores.is_on_network(memory)
    assert stores.is_on_network(memory / "run")
    assert not stores.is_on_network(memory / "in" / "run")
    assert not stores.is_on_network(memory.parent)


def test_a_durable_run_waits_for_the_disk_at_each_flush_and_another_does_not(memory):
    faults, counts = Faults(), {}
    try:
        with sqlite_calls(faults), python_calls(faults, memory):
            for durable in (False, True):
                with Writer(memory / f"run-{durable}", **ABOUT, durable=durable) as writer:
                    SMALL[0].do(writer)
                    with faults.armed():
                        Deed("rows", count=3).do(writer)
                    counts[durable] = [faults.calls.count(k) for k in ("sqlite.sync", "os.fsync")]
    except Unavailable as failed:
        pytest.skip(str(failed))
    assert counts[False] == [0, 0]
    assert min(counts[True]) >= 1


def left_alone(pipe, path):
    """Read a run without the right to write there; what was read, and whether a file changed."""
    held = Run(path)
    read(held)  # what is imported late needs rights
    held.close()
    before = sorted((one.name, one.stat().st_mtime_ns) for one in Path(path).iterdir())
    os.chmod(path, 0o555)
    if os.getuid() == 0:
        os.setgroups([])
        os.setuid(65534)
    pipe.send(os.access(path, os.W_OK))
    run = Run(path)
    pipe.send((read(run), run.recovered))
    pipe.send(before == sorted((one.name, one.stat().st_mtime_ns) for one in Path(path).iterdir()))


@pytest.mark.skipif(sys.platform == "win32", reason="rights of POSIX")
@pytest.mark.parametrize("how", ["finished", "killed"])
def test_a_run_that_may_only_be_read_is_read_and_stays_as_it_is(how, memory):
    deeds = course(flushes=3, size=4)
    path = memory / "shared" / "run"
    with Writer(memory / "made", **ABOUT) as writer:
        for deed in deeds[:-1]:
            deed.do(writer)
        if how == "killed":
            shutil.copytree(memory / "made", path)
    if how == "finished":
        shutil.copytree(memory / "made", path)
    os.chmod(memory, 0o755)
    child = Elsewhere(left_alone, str(path))
    _, writable, (found, recovered), same = child.end()
    os.chmod(path, 0o755)
    assert not writable
    assert same
    assert recovered == ""
    wanted = content(deeds if how == "finished" else deeds[:-1])
    assert found == wanted


def cramped(pipe, path, deeds, limit):
    """Write a run while no file may grow beyond a limit, and on without one."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    writer, refused = None, 0
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    for deed in [None, *deeds]:
        for _ in range(2):
            try:
                if deed is None:
                    writer = Writer(path, **ABOUT)
                else:
                    deed.do(writer)
                break
            except NotWritten as failed:
                assert "not written" in str(failed)
                refused += 1
                Run(path).close() if deed else None
                resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    writer.close()
    pipe.send(refused)


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_what_the_system_itself_refuses_is_named_and_works_again(memory):
    """The system writes less than it was given, or nothing: in SQLite, safetensors and Python."""
    deeds, refused = course(flushes=3, size=4)[:-1], []
    for limit in (0, 30, 100, 500, 1000, 5000, 20_000, 40_000, 60_000, 80_000, 10**6):
        path = memory / f"run-{limit}"
        child = Elsewhere(cramped, str(path), deeds, limit)
        said = child.end()
        assert not child.failed, limit
        refused.append(said[-1])
        judge(path, [*deeds, Deed("close")]).close()
    assert refused[0] >= len(deeds)
    assert refused[-1] == 0


def test_a_run_that_vanishes_while_it_is_written_is_said(memory):
    writer = Writer(memory / "run", **ABOUT)
    SMALL[0].do(writer)
    shutil.rmtree(memory / "run")
    with pytest.raises(NotWritten):
        SMALL[1].do(writer)
    with pytest.raises(NotWritten):
        writer.close()


def test_a_store_that_is_no_store_is_refused_by_readers_and_writers(memory):
    path = written(memory / "run").path
    (path / "rows.sqlite").write_bytes(b"a letter to somebody" * 500)
    for call in (lambda: Run(path), lambda: Writer(path, resume=True)):
        with pytest.raises(Damaged):
            call()
    base = sqlite3.connect(path / "other.sqlite")
    base.execute("create table part (id)")
    base.close()
    (path / "other.sqlite").rename(path / "rows.sqlite")
    run = Run(path)
    assert run.lanes == {}
    assert "7 of 7 stored parts cannot be read" in run.recovered
