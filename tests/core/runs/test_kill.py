"""Writers and readers are killed at any moment: nothing acknowledged is lost, no value is wrong."""

import random
import shutil
import sys
import time

import pytest

from core.catalogue import BadInput
from core.runs import Run, Writer
from core.runs.store import acknowledged
from tests.faults.failing import KILL, KILLING
from tests.faults.killing import (
    DONE,
    READY,
    Elsewhere,
    hold,
    read_for_ever,
    watching,
    write,
    write_and_die,
)
from tests.faults.known import ABOUT, Deed, content, course, judge, read
from tests.faults.share import share
from tests.faults.sqlite import Unavailable, library
from tests.missing import missing

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="missing: signal 9 of POSIX")

KILLS = {False: share(160, 12), True: share(40, 12)}
"""Without weights in the run, and with them."""


def after_a_kill(path, before, deeds, said):
    """Judge what a killed writer left behind; returns what it holds.

    Args:
        path: of the run.
        before: what was stored before this writer came.
        deeds: what it was to store.
        said: what it acknowledged.
    """
    numbers = [one for one in said if isinstance(one, int)]
    if not numbers and not before:  # dead before the run was made
        try:
            run = Run(path)
        except BadInput:
            return None
        assert run.lanes == {}
        return []
    count = max(numbers, default=-1) + 1
    done, more = [*before, *deeds[:count]], deeds[count : count + 1]
    run = judge(path, done, [*done, *more])
    held = [*done, *more] if more and read(run) == content([*done, *more]) else done
    assert run.state in ("interrupted", "finished")
    run.close()
    return held


@pytest.mark.slow
@pytest.mark.parametrize("network", [False, True])
def test_a_writer_killed_at_any_moment_leaves_all_that_it_acknowledged(
    network, memory, record_property
):
    draw, deeds = random.Random(7), course(flushes=4, size=5)
    kills = number = 0
    span = 0.0  # seconds in which a moment is drawn; it follows how quick the machine is
    while kills < KILLS[network] and number < 10 * KILLS[network]:
        path, held = memory / f"run-{number}", None
        number += 1
        for _ in range(6):
            rest = deeds[len(held or []) :]
            if not rest:
                break
            child = Elsewhere(write, str(path), rest, held is not None, 6, network)
            assert child.hear(60) == READY
            begun = time.perf_counter()
            if not span:  # the first one is let be, for its time
                said = child.end()
                span = time.perf_counter() - begun
            else:
                limit = begun + draw.uniform(0, span)
                while time.perf_counter() < limit and child.hear(0.001) != DONE:
                    pass
                said = child.kill()
                kills += DONE not in said
                span *= 0.9 if DONE in said else 1.05
            assert not child.failed
            held = after_a_kill(path, held or [], rest, said)
        shutil.rmtree(path, ignore_errors=True)
    assert kills >= KILLS[network]
    record_property("count: faults: kills of a writer, no acknowledged row lost", kills)


@pytest.mark.slow
@pytest.mark.parametrize("network", [False, True])
def test_a_writer_that_dies_in_any_call_leaves_all_that_it_acknowledged(
    network, memory, record_property
):
    try:
        library()
    except Unavailable as failed:
        missing(f"a SQLite that takes a VFS from ctypes ({failed})")
    deeds = course(flushes=2, size=3, forks=False)
    child = Elsewhere(write_and_die, str(memory / "whole"), deeds, -1, KILL, network)
    (_, calls) = child.end()[-1]
    judge(memory / "whole", deeds)
    step = max(1, calls // share(60 if not network else 30))
    dead = 0
    for at in range(0, calls, step):
        path = memory / f"run-{at}"
        mode = KILLING[(at // step) % 2]
        child = Elsewhere(write_and_die, str(path), deeds, at, mode, network)
        said = child.end()
        dead += child.process.exitcode == -9
        assert not child.failed, (at, mode)
        held = after_a_kill(path, [], deeds, said)
        rest = deeds[len(held or []) :]
        with Writer(path, resume=held is not None, **ABOUT) as writer:
            for deed in rest:
                deed.do(writer)
        judge(path, deeds).close()
        shutil.rmtree(path)
    assert dead > share(10)
    record_property("count: faults: deaths of a writer within a call", dead)


def test_a_reader_beside_the_writer_never_sees_half_a_flush(memory):
    path, seen = memory / "run", []
    flushes = [Deed("rows", first=7 * k, count=7) for k in range(40)]
    flushes[20:20] = [Deed("rows", first=7 * 19 + 6, count=1, version=1)]
    legal = [content([Deed("lane"), *flushes[:k]]) for k in range(len(flushes) + 1)]
    Writer(path, **ABOUT).close()
    child = Elsewhere(write, str(path), [Deed("lane"), *flushes], True, 8, False)

    def look():
        counted = acknowledged(path).parts
        run = Run(path)
        found = read(run)
        found.pop(("ended",), None)
        if ("lane", 0) in found:
            assert found in legal
            seen.append(legal.index(found))
        assert run.recovered == "", run.recovered
        assert sum(part.id > 0 for part in run._parts.held) >= counted
        run.close()

    with watching(look):
        child.end()
    look()
    assert seen == sorted(seen)
    assert seen[-1] == len(flushes)


def test_a_reader_that_follows_a_writer_sees_every_row_once_and_in_order(memory):
    path, rows = memory / "run", []
    flushes = [Deed("rows", first=3 * k, count=3) for k in range(60)]
    Writer(path, **ABOUT).close()
    run, mark = Run(path), 0
    child = Elsewhere(write, str(path), [Deed("lane"), *flushes, Deed("close")], True, 8, False)
    limit = time.monotonic() + 60
    while time.monotonic() < limit:
        ended = child.hear(0) is None and not child.process.is_alive()
        run.refresh()
        for now, chunk in run.chunks(0, after=mark) if 0 in run.lanes else ():
            rows, mark = rows + chunk.rows["step"].tolist(), now
        if ended:
            break
    child.end()
    assert rows == list(range(180))
    assert (run.recovered, run.state) == ("", "finished")


@pytest.mark.slow
def test_readers_that_are_killed_disturb_nobody(memory):
    path, draw = memory / "run", random.Random(1)
    deeds = course(flushes=4, size=5)
    with Writer(path, **ABOUT) as writer:
        for deed in deeds[:8]:
            deed.do(writer)
        for deed in deeds[8:-1]:
            reader = Elsewhere(read_for_ever, str(path))
            assert reader.hear(60) == READY
            assert isinstance(reader.hear(60), int)
            deed.do(writer)
            time.sleep(draw.uniform(0, 0.01))
            said = reader.kill()
            assert not reader.failed
            assert said[1:] == sorted(said[1:])
            judge(path, deeds[: deeds.index(deed) + 1]).close()
    judge(path, deeds).close()


def test_the_lock_of_a_killed_writer_is_free_at_once(memory):
    from core.runs import Locked

    path = memory / "run"
    Writer(path, **ABOUT).close()
    child = Elsewhere(hold, str(path))
    assert child.hear(60) == READY
    process = child.hear(60)
    with pytest.raises(Locked, match=f"being written by process {process} on "):
        Writer(path, resume=True)
    assert Run(path).state == "live"
    child.kill()
    assert Run(path).state == "finished"  # it had stored nothing
    Writer(path, resume=True).close()
