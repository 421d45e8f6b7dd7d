"""A training that was interrupted and gone on with has the bits of one that was not."""

import dataclasses
import itertools
import json
import os
import random
import shutil
import signal
import sqlite3
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from core import FULL, LEAN, Experiment, make
from core.catalogue import BadInput
from core.experiment import RANDOM
from core.inits.average import Average
from core.runs import Damaged, Locked, NotWritten, Run, Writer, checkpoint, course
from core.runs import manifest as manifests
from core.runs.course import Course
from core.runs.kept import digest
from core.runs.looks import Every
from core.runs.memories import NotKept, Packed, Unpacked
from core.runs.train import resume, train
from tests.faults.failing import FAILING, Faults, python_calls
from tests.faults.killing import Elsewhere, hold
from tests.faults.share import WHOLE, few
from tests.faults.sqlite import Unavailable, sqlite_calls
from tests.missing import missing

BATCHES, T = 4, 5

EVERY = Every(weights=1, accuracy=2, updates=1, alignment=0)


def experiment(**choices):
    """Two hidden layers on the smallest digits; entries by name, with dials or without."""
    plain = {
        "network": ("MLP", {"hidden": (8, 8)}),
        "dataset": "SmallDigits",
        "pretraining": RANDOM,
        "steps": T,
        "batch_size": 20,
    }
    kinds = "network dataset init precision dynamics learning energy task weights".split()
    made = {}
    for name, value in (plain | choices).items():
        if name in kinds:
            entry, dials = value if isinstance(value, tuple) else (value, {})
            value = make(name, entry, dials)
        made[name] = value
    return Experiment(**made)


def conv(norm, kind="VGG"):
    """A small convolutional network that normalises."""
    dials = {"width": 1 / 64, "batch_norm": norm} | ({"pools": 2} if kind == "VGG" else {})
    return {"network": (kind, dials), "batch_size": 10, "steps": 3}


KINDS = {
    "forward": {},
    "forward in float64": {"dtype": "float64"},
    "normal": {"init": "Normal"},
    "zero": {"init": "Zero"},
    "null": {"init": "Null"},
    "average": {"init": ("Average", {"m": 1, "keep": 0.5})},
    "memory": {"init": ("Memory", {"patterns": 4, "embedding": 16})},
    "heavy ball": {"dynamics": "HeavyBall"},
    "nesterov": {"dynamics": "Nesterov", "init": "Normal"},
    "Adam of states": {"dynamics": "Adam"},
    "Langevin": {"dynamics": ("Langevin", {"momentum": 0.5})},
    "ePC": {"dynamics": "ErrorBased"},
    "exact blocks": {"dynamics": "ExactBlocks"},
    "fixed prediction": {"dynamics": "FixedPrediction", "learning": "ForwardUpdate"},
    "Z-IL": {"dynamics": "Cascade", "learning": "ZIL"},
    "iPC": {"learning": "Incremental"},
    "iPC after a clamped nudge": {
        "learning": "Incremental",
        "task": "ClampedNudge",
        "init": ("Memory", {"patterns": 4, "embedding": 16}),
    },
    "learned precision": {"precision": "Learned"},
    "spiking with a window": {"precision": "Spiking", "window": True},
    "a tolerance by samples": {"tolerance": 0.02, "stop": "sample"},
    "nudged": {"task": ("Nudge", {"free_steps": 2}), "learning": "EquilibriumPropagation"},
    "nudged at random": {
        "task": ("Nudge", {"scheme": "random"}),
        "learning": "EquilibriumPropagation",
        "dynamics": "Sweeping",
    },
    "SGD with a schedule": {"weights": ("SGD", {"momentum": 0.9, "schedule": "cosine", "span": 6})},
    "AdamW with a schedule": {"weights": ("AdamW", {"schedule": "warm-up cosine", "span": 6})},
    "cross-entropy": {"energy": "CrossEntropy"},
    "a decoder": {
        "task": "Reconstruct",
        "network": ("Decoder", {"latent": 4, "hidden": (8,)}),
        "init": ("Memory", {"patterns": 4, "embedding": 16}),
    },
    "BatchNorm of the present states": conv("batch") | {"init": "Normal"},
    "BatchNorm, iPC": conv("frozen") | {"learning": "Incremental", "dynamics": "HeavyBall"},
    "BatchNorm, frozen, null": conv("frozen") | {"init": "Null"},
    "relays": conv("frozen", "ResNet"),
    "a deep chain": {"network": ("MLP", {"hidden": (8,) * 7}), "steps": 10},
    "plain engine": {"engine": "plain", "dynamics": "HeavyBall"},
}


HANDED_ON = (
    "forward",
    "null",
    "average",
    "memory",
    "Langevin",
    "iPC after a clamped nudge",
    "learned precision",
    "nudged at random",
    "SGD with a schedule",
    "AdamW with a schedule",
    "BatchNorm of the present states",
)
"""Kinds that hand each thing on from batch to batch: states, memories, moments, random numbers."""

BETWEEN = tuple(KINDS) if WHOLE else HANDED_ON
"""Those that are interrupted between two batches as well."""


class Stop:
    """Says so when it is asked for the n-th time."""

    def __init__(self, at):
        self.at, self.asked = at, 0

    def __call__(self):
        self.asked += 1
        return self.asked == self.at


def bits(run):
    """All that must be the same, but for clocks."""
    held = run.batches().drop_vars("seconds")
    weights = {number: digest(run.weights(number)) for number in run.kept()}
    known = {name: held[name].values.tobytes() for name in sorted(held)}
    samples = {k: (one.labels.tobytes(), one.images.tobytes()) for k, one in run.samples().items()}
    return run.digest(), weights, known, samples


def stopped(chosen, path, at, **more):
    """A training that ends at the n-th time that it is asked."""
    run = train(chosen, path, batches=BATCHES, every=EVERY, stop=Stop(at), **more)
    assert run.state == "interrupted"
    return run


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("name", KINDS, ids=lambda name: name.replace(" ", "-"))
def test_a_training_that_was_stopped_between_two_steps_has_the_same_bits(
    memory, name, monkeypatch, record_property
):
    chosen, counted = experiment(**KINDS[name]), Stop(-1)
    draw = random.Random(name)
    level = draw.choice([LEAN, FULL])
    whole = train(chosen, memory / "whole", batches=BATCHES, every=EVERY, stop=counted, level=level)
    path = memory / "steps"
    stopped(chosen, path, draw.randint(1, counted.asked // 2), level=level)
    resume(path, stop=Stop(draw.randint(1, counted.asked // 2)))  # and once more behind that
    run = resume(path)
    assert (run.state, run.recovered) == ("finished", "")
    assert bits(run) == bits(whole)
    assert len(run.said["resumed"]) == 2
    record_property("count: faults: resumes bit for bit", 2)
    if name not in BETWEEN:
        return

    last = draw.randint(2, BATCHES - 1)

    def interrupt(line, share):
        if share >= last / BATCHES:
            raise KeyboardInterrupt

    path = memory / "batches"
    with monkeypatch.context() as patch:  # a checkpoint before each batch, none within one
        patch.setattr(Course, "_is_time", lambda self, period: self.running is None)
        with pytest.raises(KeyboardInterrupt):
            train(chosen, path, batches=BATCHES, every=EVERY, progress=interrupt, level=level)
    run = resume(path)
    assert run.said["resumed"][0]["number"] > 0
    assert bits(run) == bits(whole)
    record_property("count: faults: resumes bit for bit", 1)


def test_a_checkpoint_at_every_step_changes_nothing(memory, monkeypatch):
    monkeypatch.setattr(course, "SHARE", 1e9)
    chosen = experiment(init="Null", dynamics="HeavyBall")
    whole = train(chosen, memory / "a", batches=BATCHES, every=EVERY, checkpoint=0)
    run = train(chosen, memory / "b", batches=BATCHES, every=EVERY, checkpoint=1e-9)
    assert bits(run) == bits(whole)
    assert [one.suffix for one in files(run.path)] == [".json", ".safetensors"] * 2
    assert int(files(run.path)[-1].stem) == BATCHES * (T + 1) + 1  # and both ends


def files(path):
    """Those of the checkpoints of a run."""
    return sorted((path / checkpoint.FOLDER).iterdir())


# Killed ------------------------------------------------------------------------------------------


def killed_and_gone_on_with(pipe, folder, rows):
    """Train once whole, and for each of some rows until it is killed there; then go on with it.

    A flush after every row, a checkpoint at every seventh step.
    """
    torch.set_num_threads(1)  # so that it may be forked
    folder, chosen = Path(folder), experiment(**KINDS["Langevin"])
    train(chosen, folder / "whole", batches=BATCHES, every=EVERY)
    for at in rows:
        path = folder / f"run-{at}"
        child = os.fork()
        if not child:
            left, steps = itertools.count(1), itertools.count()
            take = Course._take

            def taken(self, now, left=left, at=at, take=take):
                if next(left) == at:
                    os.kill(os.getpid(), signal.SIGKILL)
                take(self, now)

            Course._take, course.BEAT = taken, 0.0
            Course._is_time = lambda self, period, steps=steps: next(steps) % 7 == 0
            train(chosen, path, batches=BATCHES, every=EVERY)
            os._exit(1)
        _, how = os.waitpid(child, 0)
        held = Run(path)
        row = checkpoint.newest(path, lambda said: "")[0].said["row"]
        pipe.send((os.WTERMSIG(how), held.state, held.rows() - row))
        resume(path)


def test_one_that_was_killed_at_any_row_has_the_same_bits(memory, record_property):
    rows = range(2, BATCHES * (T + 1))
    rows = random.Random(0).sample(rows, min(len(rows), 40 if WHOLE else 6))
    child = Elsewhere(killed_and_gone_on_with, str(memory), rows)
    _, *said = child.end()
    assert [one[:2] for one in said] == [(signal.SIGKILL, "interrupted")] * len(rows)
    # Rows were stored behind the checkpoint.
    assert sum(behind > 0 for *_, behind in said) > len(rows) // 2
    whole = Run(memory / "whole")
    for at in rows:
        run = Run(memory / f"run-{at}")
        assert (run.state, run.recovered) == ("finished", "")
        assert bits(run) == bits(whole)
        assert np.array_equal(run.dataset()["step"].values, np.arange(BATCHES * (T + 1)))
    record_property("count: faults: resumes bit for bit", len(rows))


def test_batches_that_come_again_do_not_count_before_they_have_come(memory):
    path, chosen = memory / "run", experiment()
    stopped(chosen, path, 2 * T + 2, checkpoint=0)  # in batch 2
    kept = memory / "kept"
    shutil.copytree(path / checkpoint.FOLDER, kept)
    resume(path, stop=Stop(T + 2))  # in batch 3
    shutil.rmtree(path / checkpoint.FOLDER)
    shutil.copytree(kept, path / checkpoint.FOLDER)  # as if the later ones had been lost
    assert np.isfinite(Run(path).batches()["seconds"]).values.tolist() == [True] * 3 + [False]
    run = resume(path, stop=Stop(2))
    assert np.isfinite(run.batches()["seconds"]).values.tolist() == [True] * 2 + [False]
    assert run.batches()["rows"].values[-1] < T + 1
    whole = train(chosen, memory / "whole", batches=BATCHES, every=EVERY)
    assert bits(resume(path)) == bits(whole)


# More batches ------------------------------------------------------------------------------------


def test_a_finished_run_is_gone_on_with_where_more_is_asked_for(memory):
    chosen = experiment(init="Average")
    train(chosen, memory / "a", batches=2, every=EVERY)
    longer = resume(memory / "a", batches=BATCHES)
    whole = train(chosen, memory / "b", batches=BATCHES, every=EVERY)
    assert longer.digest() == whole.digest()
    assert digest(longer.weights(BATCHES)) == digest(whole.weights(BATCHES))
    assert longer.state == "finished"


# Damage ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def halved(tmp_path_factory):
    """A run that was stopped, with two checkpoints, and one that was not."""
    path = tmp_path_factory.mktemp("runs")
    chosen = experiment(dynamics="HeavyBall")
    whole = train(chosen, path / "whole", batches=BATCHES, every=EVERY)
    stopped(chosen, path / "run", 2 * T + 2)
    return path / "run", bits(whole)


def mutilations(path):
    """Ways to break the newest checkpoint, by name."""
    about, numbers = files(path)[-2:]

    def flipped(one, at):
        held = bytearray(one.read_bytes())
        held[int(at * (len(held) - 1))] ^= 4
        one.write_bytes(held)

    yield "numbers cut", lambda: numbers.write_bytes(numbers.read_bytes()[:-9])
    yield "numbers empty", lambda: numbers.write_bytes(b"")
    yield "numbers gone", numbers.unlink
    yield "no JSON", lambda: about.write_text("{")
    yield "JSON of another kind", lambda: about.write_text("[]")
    for k in few(range(8), nth=2):
        yield f"numbers flipped {k}", lambda k=k: flipped(numbers, k / 7)
        yield f"JSON flipped {k}", lambda k=k: flipped(about, k / 7)


def test_a_damaged_checkpoint_gives_way_to_the_one_before_and_that_is_said(halved, memory):
    path, expected = halved
    for number, (name, _) in enumerate(mutilations(path)):
        copy = memory / f"run-{number}"
        shutil.copytree(path, copy)
        dict(mutilations(copy))[name]()
        said = []
        run = resume(copy, note=said.append)
        assert len(said) == 1 and said[0].startswith("checkpoint 1: "), name
        assert bits(run) == expected, name
        assert run.said["resumed"][0]["notes"] == said
        assert run.said["resumed"][0]["row"] == 0
        shutil.rmtree(copy)


def test_where_all_are_damaged_nothing_is_touched(halved, memory):
    path = memory / "run"
    shutil.copytree(halved[0], path)
    for one in files(path):
        one.write_bytes(one.read_bytes()[:-3])
    rows = (path / "rows.sqlite").read_bytes()
    with pytest.raises(
        Damaged, match=r"run: .*; none of its checkpoints is sound \(checkpoint 1: "
    ):
        resume(path)
    assert (path / "rows.sqlite").read_bytes() == rows and Run(path).state == "interrupted"


def test_a_checkpoint_of_rows_that_were_lost_is_not_taken(halved, memory):
    path, expected = memory / "run", halved[1]
    shutil.copytree(halved[0], path)
    with sqlite3.connect(path / "rows.sqlite") as base:  # as after a loss of power
        base.execute("delete from part where stream <> 'manifest' and stream <> 'lane'")
    said = []
    run = resume(path, note=said.append)
    assert "checkpoint 1: rows up to " in said[0] and "from 0 are missing" in said[0]
    assert run.digest() == expected[0]


# Failing disks -----------------------------------------------------------------------------------


@contextmanager
def every_call(faults, memory):
    """Faults under Python and SQLite."""
    try:
        with sqlite_calls(faults), python_calls(faults, memory):
            yield
    except Unavailable as failed:
        missing(f"a SQLite that takes a VFS from ctypes ({failed})")


def test_every_call_that_fails_leaves_a_run_that_can_be_gone_on_with(memory, monkeypatch):
    monkeypatch.setattr(manifests, "_commit", lambda: "")  # asks git, in a process of its own
    chosen, faults = experiment(), Faults()
    whole = bits(train(chosen, memory / "whole", batches=1, every=EVERY))

    def tried(path, at=-1, mode=FAILING[0]):
        keep, armed = Course.keep, []

        def failing(self):
            if self.running is None or armed:
                return keep(self)
            armed.append(True)
            with faults.armed(at, mode):
                keep(self)

        with monkeypatch.context() as patch:
            patch.setattr(Course, "keep", failing)
            return train(chosen, path, batches=1, every=EVERY, stop=Stop(2))

    with every_call(faults, memory):
        tried(memory / "counted")
        calls = list(faults.calls)
        assert {"os.fsync", "os.replace", "file.write"} <= set(calls)
        first = {calls.index(what) for what in calls}
        struck = sorted(first.union(few(range(len(calls)))))
        for number, at in enumerate(struck):
            path = memory / f"run-{at}"
            try:
                tried(path, at, FAILING[number % len(FAILING)])
                failed = False
            except NotWritten as said:
                failed = True
                assert str(said).startswith("run: ")
            assert faults.struck
            run = Run(path)
            assert run.state.startswith("failed: NotWritten") == failed, calls[at]
            assert run.recovered == ""
            assert bits(resume(path)) == whole, calls[at]
            shutil.rmtree(path)


def test_numbers_that_cannot_be_written_are_said(memory, monkeypatch):
    def full(*_):
        raise SafetensorError("no space left")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(NotWritten, match=r"run: .*no space left"):
        train(experiment(), memory / "a", batches=1)
    monkeypatch.undo()
    with pytest.raises(BadInput, match="no checkpoint lies in it"):
        resume(memory / "a")


# Refusals ----------------------------------------------------------------------------------------


def refused(path, said, kind=BadInput, **more):
    """The run stays as it was."""
    held = {one: one.read_bytes() for one in path.rglob("*") if one.is_file()}
    with pytest.raises(kind, match=said) as failed:
        resume(path, **more)
    assert "\n" not in str(failed.value)
    assert {one: one.read_bytes() for one in path.rglob("*") if one.is_file()} == held


def test_what_cannot_be_gone_on_with_is_refused_in_one_line(halved, memory, monkeypatch):
    path = memory / "run"
    shutil.copytree(halved[0], path)
    refused(path, "batches: 3; the run is of 4: more, or none", batches=3)
    refused(path, "batches: 0; an integer", batches=0)
    refused(path, "batches: 9, epochs: 1; one of the two", batches=9, epochs=1)
    refused(path, "checkpoint: -1; seconds", checkpoint=-1)
    refused(memory / "nowhere", "no run lies there")
    now = checkpoint.machine()
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "machine", lambda: now | {"torch": "9.9"})
        refused(path, r"its checkpoint is of torch .*, here is 9\.9")
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "FORMAT", 3)
        patch.setattr(checkpoint, "READ", (3,))
        refused(path, r"checkpoint 1: .*; format 2, this version reads up to 3")
    finished = memory / "finished"
    train(experiment(), finished, batches=1)
    refused(finished, r"run: .*finished; finished after 1 batches: ask for more of them")
    shutil.rmtree(finished / checkpoint.FOLDER)
    refused(finished, r"run: .*finished; no checkpoint lies in it")
    with Writer(memory / "other", about={"data": "mine"}):
        pass
    refused(memory / "other", r"run: .*other; no checkpoint lies in it")


def test_a_run_that_is_written_is_refused(halved, memory):
    path = memory / "run"
    shutil.copytree(halved[0], path)
    child = Elsewhere(hold, str(path))
    child.hear(60), child.hear(60)
    with pytest.raises(Locked, match=r"run: .*; it is being written by process \d+ on "):
        resume(path)
    child.kill()
    assert resume(path).state == "finished"


def test_one_that_diverged_is_refused(memory):
    chosen = experiment(dynamics=("GradientDescent", {"rate": 10.0}), steps=60)
    train(chosen, memory / "a", batches=2)
    refused(memory / "a", r"run: .*; diverged at step \d+ of batch 0, .*; begin anew")


def test_other_data_are_refused(halved, memory, monkeypatch):
    path = memory / "run"
    shutil.copytree(halved[0], path)
    images = experiment().dataset()
    other = dataclasses.replace(images, train_x=images.train_x.flip(0))
    monkeypatch.setattr(type(experiment().dataset), "__call__", lambda self: other)
    said = (
        f"dataset: SmallDigits with fingerprint {other.fingerprint}; {images.fingerprint}, as run"
    )
    refused(path, said)


def test_a_checkpoint_of_another_run_is_not_taken(halved, memory):
    path = memory / "run"
    train(experiment(), path, batches=1)
    shutil.rmtree(path / checkpoint.FOLDER)
    shutil.copytree(halved[0] / checkpoint.FOLDER, path / checkpoint.FOLDER)
    refused(path, "none of its checkpoints is sound .*it is of another run", Damaged)


def test_other_threads_are_said(halved, memory, monkeypatch):
    path, said = memory / "run", []
    shutil.copytree(halved[0], path)
    now = checkpoint.machine()
    monkeypatch.setattr(checkpoint, "machine", lambda: now | {"threads": 77})
    resume(path, note=said.append)
    assert said == [f"threads was {now['threads']} and is 77: last digits may differ"]


# What is kept ------------------------------------------------------------------------------------


def test_tensors_come_back_with_their_strides_and_once():
    a = torch.arange(24.0).reshape(2, 3, 4).transpose(0, 2)
    held = [a, {"a": a, 1: (a[1:], None)}, torch.zeros(()), torch.zeros(0, 3), a > 3, a[:1, :1]]
    held += [torch.arange(3).expand(4, 3), 0.1, float("inf"), True, "text", 2**60]
    packed = Packed()
    said = json.loads(json.dumps(packed.put(held, "test")))
    found = Unpacked(packed.tensors, packed.views, torch.device("cpu")).get(said)

    def same(x, y):
        if isinstance(x, torch.Tensor):
            return torch.equal(x, y) and x.stride() == y.stride() and x.dtype == y.dtype
        if isinstance(x, list | tuple):
            return type(x) is type(y) and all(same(*pair) for pair in zip(x, y, strict=True))
        if isinstance(x, dict):
            return list(x) == list(y) and all(same(x[k], y[k]) for k in x)
        return type(x) is type(y) and x == y

    assert same(held, found)
    assert found[0] is found[1]["a"]


@pytest.mark.parametrize("value", [object(), {1, 2}, torch.Generator(), torch.zeros(2).to_sparse()])
def test_what_is_no_plain_data_is_not_kept(value):
    with pytest.raises(NotKept, match=r"^init\.Mine: "):
        Packed().put([value], "init.Mine")


def test_an_entry_whose_memory_cannot_be_kept_ends_checkpoints_and_not_the_training(
    memory, monkeypatch
):
    remember = Average.remember
    monkeypatch.setattr(
        Average,
        "remember",
        lambda self, start, final, sums, memory: (
            *remember(self, start, final, sums, None),
            object(),
        ),
    )
    monkeypatch.setattr(Average, "__call__", lambda self, start: start.first_guess())
    run = train(experiment(init="Average"), memory / "a", batches=BATCHES)
    assert run.state == "finished" and run.said["checkpoint"].startswith("init.Average: ")
    said = []
    with pytest.raises(BadInput, match="finished after"):
        resume(memory / "a")
    resume(memory / "a", batches=BATCHES + 1, note=said.append)
    assert any("were not kept in a checkpoint: init.Average" in one for one in said)
