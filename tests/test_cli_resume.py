"""The command `relaxoscope train --resume`: from stops and kills, and what it refuses."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.catalogue import BadInput
from core.runs import Run, checkpoint
from core.runs.kept import digest

ROOT = Path(__file__).parents[1]

RECIPE = """\
dataset = "SmallDigits"
batch_size = 50
steps = 4
init = "Null"
[network]
name = "MLP"
hidden = [8, 8]
[dynamics]
name = "HeavyBall"
"""

BATCHES = 400


def train(place, root, name, batches):
    """A run from its beginning to its end."""
    words = ["--recipe", place.write("r.toml", RECIPE), "--batches", batches]
    code, _, err = place.run("train", *words, "--out", root / name)
    assert code == 0, err
    return Run(root / name)


@pytest.fixture
def stopped(place, root):
    """A run of three batches that was stopped in the second one."""
    from core.experiment import Experiment
    from core.runs import train as training
    from workbench import recipes

    asked = iter(range(1, 100))
    chosen = Experiment(**recipes.choices(place.write("r.toml", RECIPE)), pretraining="random")
    return training.train(chosen, root / "a", batches=3, stop=lambda: next(asked) == 6)


def bits(run):
    """What must be the same."""
    return run.digest(), {number: digest(run.weights(number)) for number in run.kept()}


def test_a_stopped_training_is_gone_on_with_by_its_name(place, root, stopped):
    code, out, err = place.run("train", "--resume", "a")
    assert code == 0 and out.startswith("3 batches, 15 rows"), err
    assert bits(Run(root / "a")) == bits(train(place, root, "b", 3))
    code, err = place.refused("train", "--resume", root / "a")
    assert code == 2 and "finished after 3 batches: ask for more of them" in err
    code, out, err = place.run("train", "--resume", "a", "--batches", 5)
    assert code == 0 and out.startswith("5 batches, 25 rows"), err
    assert Run(root / "a").digest() == train(place, root, "c", 5).digest()


@pytest.mark.row(45)
def test_a_damaged_checkpoint_is_said_and_the_one_before_is_taken(place, root, stopped):
    newest = max((root / "a" / checkpoint.FOLDER).glob("*.safetensors"))
    newest.write_bytes(newest.read_bytes()[:-1])
    code, out, err = place.run("train", "--resume", root / "a")
    assert code == 0 and out.startswith("3 batches, 15 rows")
    assert re.match(
        r"a: checkpoint 1: 00000001\.safetensors is not as it was written: checkpoint 0 is taken\n",
        err,
    ), err
    assert bits(Run(root / "a")) == bits(train(place, root, "b", 3))


def broken(path):
    for one in (path / checkpoint.FOLDER).iterdir():
        one.write_bytes(b"")


def gone(path):
    shutil.rmtree(path / checkpoint.FOLDER)


REFUSED = [
    (["--resume", "a", "--steps", "5"], 2, "--steps and --resume: the run's own choices"),
    (["--resume", "a", "--weights-every", "5"], 2, "--weights-every and --resume: "),
    (["--resume", "a", "--recipe", "r.toml"], 2, "--recipe and --resume: "),
    (["--resume", "a", "--out", "b"], 2, "not allowed with argument"),
    (["--resume", "b"], 2, "run: b; "),
    (["--resume", "a", "--batches", "2"], 2, "batches: 2; the run is of 3: more, or none"),
    (["--resume", "a", "--batches", "4", "--epochs", "1"], 2, "--batches and --epochs"),
    (["--resume", "a", "--checkpoint-every", "x"], 2, "checkpoint-every: x; an integer 0.."),
    ([], 2, "--out --resume"),
    (gone, 2, "run: runs/a; no checkpoint lies in it"),
    (broken, 4, "run: runs/a; none of its checkpoints is sound (checkpoint 1: "),
]


@pytest.mark.row(46)
@pytest.mark.parametrize(
    ("words", "code", "said"), REFUSED, ids=lambda one: getattr(one, "__name__", str(one))[:30]
)
def test_a_wrong_resumption_is_refused_in_one_line(place, root, stopped, words, code, said):
    if callable(words):
        words(root / "a")
        words = ["--resume", "runs/a"]
    came, err = place.refused("train", *words)
    assert came == code and said in err, err


# Killed in a process of its own ------------------------------------------------------------------

COMMAND = [sys.executable, "-m", "workbench.cli", "train", "--checkpoint-every", "1"]


def begun(*words):
    """The command in a process of its own."""
    asked = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*COMMAND, *map(str, words)], cwd=ROOT, **asked)


def stored(path, rows, process):
    """Wait until a run has more than so many rows."""
    limit = time.monotonic() + 120
    while time.monotonic() < limit and process.poll() is None:
        try:
            if Run(path).rows() > rows:
                return
        except BadInput:  # it is being made
            pass
        time.sleep(0.01)


def test_one_that_was_killed_and_then_stopped_ends_with_the_bits_of_one_that_was_not(place, root):
    path = root / "a"
    words = ["--recipe", place.write("r.toml", RECIPE), "--batches", BATCHES]
    words += ["--weights-every", 40]  # before which rows are stored
    process = begun(*words, "--out", path)
    stored(path, 0, process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    rows = Run(path).rows()
    assert 0 < rows < 5 * BATCHES and Run(path).state == "interrupted"

    process = begun("--resume", path)
    stored(path, rows, process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143 and f"train --resume {path} goes on" in err
    run = Run(path)
    held, wrong = checkpoint.newest(path, lambda said: "")
    assert wrong == [] and rows < held.said["row"] == run.rows() < 5 * BATCHES

    code, out, err = place.run("train", "--resume", "a")
    assert code == 0 and out.startswith(f"{BATCHES:,} batches, {5 * BATCHES:,} rows"), err
    code, _, err = place.run("train", *words, "--out", root / "b")
    assert code == 0, err
    run = Run(path)
    assert bits(run) == bits(Run(root / "b"))
    assert (run.state, run.recovered, len(run.said["resumed"])) == ("finished", "", 2)
