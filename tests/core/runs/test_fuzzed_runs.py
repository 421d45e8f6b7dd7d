"""Runs under any course of writing, dying, going on, export and damage: what they hold is right."""

import random
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from core.runs import Run, Writer, annotate, exports
from core.runs import manifest as manifests
from core.runs import store as stores
from tests.core.runs.conftest import MEMORY
from tests.core.runs.test_mutilated import NOTES
from tests.core.runs.test_mutilated import judge as judge_mutilated
from tests.faults.fuzzing import Count, cases
from tests.faults.known import ABOUT, Deed, T, content, judge
from tests.faults.mutilating import WAYS, missing, mutilate

COUNT = Count()


class Runs(RuleBasedStateMachine):
    """One run, its writer, and the list of what was stored."""

    def __init__(self):
        super().__init__()
        there = MEMORY if MEMORY.is_dir() else None
        self.folder = Path(tempfile.mkdtemp(prefix="relaxoscope-", dir=there)).resolve()
        self.path = self.folder / "runs" / "run"
        self.writer = Writer(self.path, **ABOUT)
        annotate(self.path, NOTES.title, NOTES.note, NOTES.tags)
        self.deeds, self.copies = [], 0
        self.next, self.version, self.events = {}, {}, 0
        self.do(Deed("lane"))
        self.next[0], self.version[0] = 0, 0
        self.do(Deed("recipes", count=1))

    def do(self, *deeds):
        for deed in deeds:
            deed.do(self.writer)
            self.deeds.append(deed)

    # Writing

    @rule(lane=st.integers(0, 2), count=st.integers(1, 9))
    def append(self, lane, count):
        lane %= len(self.next)
        self.do(Deed("rows", lane, self.next[lane], count, self.version[lane]))
        self.next[lane] += count

    @rule(lane=st.integers(0, 2), back=st.integers(1, 4), count=st.integers(1, 5))
    def measure_again(self, lane, back, count):
        lane %= len(self.next)
        first = self.next[lane] - back
        start = max(one.first + 1 for one in self.deeds if one.what == "lane" and one.lane == lane)
        if first < (start if lane else 0):
            return
        self.version[lane] += 1
        self.do(Deed("recipes", lane, count=self.version[lane] + 1))
        self.do(Deed("rows", lane, first, count, self.version[lane]))
        self.next[lane] = first + count

    @precondition(lambda self: len(self.next) < 3 and self.next[0] > 3)
    @rule(at=st.integers(0, 60))
    def fork(self, at):
        lane, at = len(self.next), at % self.next[0]
        self.do(Deed("lane", lane, at, parent=0), Deed("recipes", lane, count=1))
        self.next[lane], self.version[lane] = at + 1, 0

    @precondition(lambda self: self.next[0] > T)
    @rule(at=st.integers(0, 20), what=st.sampled_from(["batch", "sample", "weights"]))
    def beside(self, at, what):
        number = at % (self.next[0] // (T + 1))
        if not any((one.what, one.first, one.lane) == (what, number, 0) for one in self.deeds):
            self.do(Deed(what, first=number))

    @rule(count=st.integers(1, 3))
    def say(self, count):
        self.do(Deed("events", first=self.events, count=count))
        self.events += count

    @rule(every=st.sampled_from([1, 6, 64]))
    def checkpoint(self, every):
        """From here on the log is folded after so many parts."""
        stores.CHECKPOINT = every

    # Dying and going on

    @rule()
    def kill(self):
        """What lies there now is all that is left; the writer that held it is gone."""
        left = self.folder / f"left-{self.copies}"
        self.copies += 1
        shutil.copytree(self.path, left)
        self.writer.close()
        shutil.rmtree(self.path)
        shutil.copytree(left, self.path)
        shutil.rmtree(left)
        self.judged()
        self.writer = Writer(self.path, resume=True)

    @rule()
    def reopen(self):
        self.do(Deed("close"))
        self.judged()
        self.writer = Writer(self.path, resume=True)

    def judged(self):
        judge(self.path, self.deeds).close()

    # Reading, exporting, damaging

    @rule()
    def look(self):
        self.judged()

    @precondition(lambda self: self.next[0] > 0)
    @rule(suffix=st.sampled_from([".zarr", ".nc"]), at=st.integers(0, 2), force=st.booleans())
    def export(self, suffix, at, force):
        lane = at % len(self.next)
        run, to = Run(self.path), self.folder / f"x{suffix}"
        if to.exists() and not force:
            return
        exports.export(run, to, lane, force=force)
        held = run.dataset(lane).load()
        opened = xr.open_zarr(to) if suffix == ".zarr" else xr.open_dataset(to, engine="netcdf4")
        with opened as found:
            for name in ("energy", "energy_sample", "force", "precision", "step", "batch", "t"):
                np.testing.assert_array_equal(found[name].values, held[name].values, name)
        run.close()

    @rule(seed=st.integers(0, 2**16), way=st.sampled_from(WAYS), at=st.integers(0, 20))
    def corrupt(self, seed, way, at):
        """A copy is mutilated; the run itself goes on."""
        aside = self.folder / "aside" / "run"
        shutil.copytree(self.path, aside)
        names = sorted(
            str(one.relative_to(aside))
            for one in aside.rglob("*")
            if one.is_file() and one.name not in ("lock", "writer.lock")
        )
        name = names[at % len(names)]
        mutilate(aside, name, way, random.Random(seed))
        if not (name == "notes.json" and way is missing):  # notes are nobody's due
            judge_mutilated(aside, content(self.deeds), lazily=bool(seed % 2))
        shutil.rmtree(aside)

    def teardown(self):
        try:
            self.do(Deed("close"))
            self.judged()
            COUNT.cases += 1
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_any_course_of_a_run_holds_what_was_stored(monkeypatch, record_property):
    monkeypatch.setattr(manifests, "_commit", lambda: "")  # asks git, in a process of its own
    monkeypatch.setattr(stores, "CHECKPOINT", stores.CHECKPOINT)
    run_state_machine_as_test(Runs, settings=cases(6, 600, stateful_step_count=14))
    COUNT.told(record_property, "runs against the list of what was stored")
