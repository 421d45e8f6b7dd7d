"""The commands `relaxoscope runs pause|go|stop|change`, on a training in a process of its own."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.catalogue import BadInput
from core.runs import Run
from core.runs.checkpoint import newest
from tests.commands import RECIPE

ROOT = Path(__file__).parents[1]


@pytest.fixture
def process(place, root):
    """A training of very many batches in a process of its own, with its first rows stored."""
    words = ["--recipe", place.write("r.toml", RECIPE), "--batches", 10**6, "--weights-every", 100]
    command = [sys.executable, "-m", "workbench.cli", "train", *words, "--out", root / "a"]
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = subprocess.Popen([*map(str, command)], cwd=ROOT, **piped)
    until(lambda: Run(root / "a").rows() > 0, running)
    yield running
    if running.poll() is None:
        running.kill()
    running.communicate(timeout=60)


def until(true, running=None, seconds=120):
    """Wait until something is so; a run that is being made cannot be read yet."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit and (running is None or running.poll() is None):
        try:
            if true():
                return
        except BadInput:
            pass
        time.sleep(0.02)
    raise AssertionError("it did not come")


def asked(place, *words):
    """What a command says that is followed."""
    code, out, err = place.run("runs", *words)
    assert code == 0, err
    return out


def test_a_training_in_another_process_is_steered(place, root, process):
    path = root / "a"
    assert asked(place, "pause", "a").startswith("a: pause, before batch ")
    until(lambda: Run(path).state == "paused", process)
    rows, number = Run(path).rows(), newest(path, lambda said: "")[0].said["number"]
    assert rows == 5 * number
    assert json.loads(asked(place, "list", "--json"))[0]["state"] == "paused"

    code, err = refused(place, "runs", "change", "a", "network.hidden=[4]")
    assert code == 2 and "change: network; fixed when it began" in err
    code, err = refused(place, "runs", "change", "a", "steps=none")
    assert code == 2 and "steps: none; an integer" in err
    said = asked(place, "change", "a", "steps=2", "dynamics.rate=0.05")
    assert said == (
        f"a: change (dynamics.rate: 0.1 -> 0.05, steps: 4 -> 2), before batch {number:,}\n"
    )
    assert Run(path).rows() == rows

    begun = time.monotonic()
    assert asked(place, "go", "a") == f"a: go, before batch {number:,}\n"
    assert time.monotonic() - begun < 1.0  # the process looks ten times a second
    until(lambda: Run(path).rows() > rows, process)
    assert asked(place, "stop", "a").startswith("a: stop, before batch ")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "run: a; stopped as it was asked to, " in err and f"train --resume {path} goes" in err
    run = Run(path)
    assert run.state == "interrupted"
    steps = run.batches()["T"].values
    assert set(steps[:number]) == {4} and set(steps[number:]) == {2}
    code, err = refused(place, "runs", "go", "a")
    assert code == 2 and "run: a; interrupted: nobody trains it now" in err


def refused(place, *words):
    """Exit code and the line of a command that is refused while another process writes."""
    code, out, err = place.run(*words)
    assert out == "" and err.count("\n") == 1 and err.startswith("relaxoscope: "), err
    return code, err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["change", "a"], "NAME=VALUE"),
        (["change", "a", "steps"], "change: steps; NAME=VALUE, as dynamics.rate=0.05"),
        (["change", "a", "steps=1", "steps=2"], "change: steps twice; one value"),
        (["pause", "a", "--wait", "long"], "wait: long; seconds, 0..86400"),
        (["pause", "b"], "run: b; there is no run in"),
        (["pasue", "b"], "did you mean pause?"),
    ],
)
def test_wrong_words_are_refused_in_one_line(place, root, words, said):
    code, err = place.refused("runs", *words)
    assert code == 2 and said in err, err
