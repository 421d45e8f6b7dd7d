"""Who may write a run, where it may lie, and what the system itself refuses."""

import os
import shutil
import sqlite3
import sys
import threading
from itertools import chain
from pathlib import Path

import pytest

from core.catalogue import BadInput
from core.runs import Damaged, Locked, NotWritten, Run, Writer
from core.runs import store as stores
from tests.faults.failing import Faults, python_calls
from tests.faults.killing import Elsewhere, hold
from tests.faults.known import ABOUT, Deed, content, course, judge, read
from tests.faults.sqlite import Unavailable, sqlite_calls
from tests.missing import missing

SMALL = [Deed("lane"), Deed("rows", count=4), Deed("batch"), Deed("events", count=2)]


def written(path, deeds=SMALL, **options):
    """A finished run."""
    with Writer(path, **ABOUT, **options) as writer:
        for deed in deeds:
            deed.do(writer)
    return Run(path)


@pytest.mark.row(39)
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
        missing(f"a SQLite that takes a VFS from ctypes ({failed})")
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


@pytest.mark.skipif(sys.platform == "win32", reason="missing: rights of POSIX (not on Windows)")
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


@pytest.mark.skipif(sys.platform == "win32", reason="missing: limits of POSIX (not on Windows)")
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
