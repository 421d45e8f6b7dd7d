"""What does a worker do with one point? Begins its run, goes on with it, or finds that it is done.

It may be called again at any time, by any worker: the run says what is left to do. A worker that is
killed leaves a run that reads as interrupted, and the next one goes on from its checkpoint, with
the same bits: all of them compute with one thread.
"""

import os
import shutil
import socket
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from core import keep_memory, plugins
from core.catalogue import BadInput
from core.experiment import Experiment
from core.runs import relaxed, shelf
from core.runs.checkpoint import FOLDER
from core.runs.errors import Damaged
from core.runs.looks import Every
from core.runs.run import WRITTEN, Run
from core.runs.train import resume, train
from core.runs.writer import INTERRUPTED
from workbench.refusals import ENVIRONMENT, reason
from workbench.sweep_plan import Amount, made
from workbench.sweep_store import (
    BEGAN,
    DIVERGED,
    ENDED,
    ERRORED,
    FINISHED,
    Journal,
    Stop,
    read_plan,
    told_by,
)

LOOK = 0.5
"""Seconds between two looks at a run that another process writes."""


def attempt(said: Mapping[str, Any]) -> dict[str, str]:
    """Do what is left of one point, in a worker.

    Args:
        said: `out`, the folder of the sweep; `call`; `name` of the point; `experiment`, `amount` as
            plain data; `plugins` with `name`, `sha256` and `path`.

    Returns: `how` it ended, of `finished`, `diverged`, `errored`, `interrupted`, and `why`.
    """
    torch.set_num_threads(1)
    keep_memory()
    out, name = Path(said["out"]), said["name"]
    journal, stop = Journal(out, said["call"]), Stop(out, said["call"])
    worker = {"process": os.getpid(), "machine": socket.gethostname()}
    begun = time.perf_counter()
    journal.note(BEGAN, name, **worker)
    try:
        load(said["plugins"])
        experiment = Experiment.from_dict(said["experiment"])
        state = _done(out / name, experiment, Amount(**said["amount"]), stop)
        how, why = told_by(state)
    except Exception as failed:  # a rule of a user may break any of it; the others go on
        how, why = ERRORED, reason(failed)[0]
    ended = {"how": how, "why": why}
    journal.note(ENDED, name, **worker, **ended, seconds=time.perf_counter() - begun)
    return ended


def fits(out: str, identity: str) -> tuple[str, int]:
    """Why a worker cannot run the sweep that lies in a folder, with an exit code; "" where it can.

    Args:
        out: the folder, by the path that the client has.
        identity: of the plan that the client wrote there.
    """
    from workbench.sweep_check import check

    try:
        said, there = read_plan(Path(out))
        load(said["plugins"])
        plan = made(said)
        if (there, plan.identity) != (identity, identity):
            return f"out: {out}; another sweep lies there", ENVIRONMENT
        check(plan, 1, None)
    except Exception as failed:  # it is told to the client, whatever it is
        return reason(failed)
    return "", 0


def load(wanted: list[dict[str, str]]) -> None:
    """Load the plugins of a sweep.

    Raises:
        BadInput: where one is not here, or is not as it was when the sweep was planned.
    """
    plugins.load_installed()
    for one in wanted:
        if one["path"]:
            plugins.load(one["path"])
    there = {one.name: one.sha256 for one in plugins.loaded()}
    for one in wanted:
        if there.get(one["name"]) != one["sha256"]:
            now = "is another one" if one["name"] in there else "is not here"
            raise BadInput(f"plugin: {one['name']} {now}; as the sweep was planned with it")


def _done(path: Path, experiment: Experiment, amount: Amount, stop: Stop) -> str:
    """The state of the run when nothing is left to do, or it was asked to stop."""
    state = _standing(path, stop)
    if state == FINISHED or state.startswith(DIVERGED) or stop():
        return state or INTERRUPTED
    goes_on = amount.trains and any((path / FOLDER).glob("*.json"))
    if state and not goes_on:
        clear(path)
    if not amount.trains:
        run = relaxed.relax(experiment, path, batch=amount.batch, level=amount.level, align=True)
    elif goes_on:
        run = resume(path, checkpoint=amount.checkpoint, stop=stop)
    else:
        run = train(
            experiment,
            path,
            batches=amount.batches,
            epochs=amount.epochs,
            level=amount.level,
            every=Every(amount.weights, amount.accuracy, alignment=amount.alignment),
            checkpoint=amount.checkpoint,
            stop=stop,
        )
    with closing(run):
        return run.state


def _standing(path: Path, stop: Stop) -> str:
    """How a run stands, when nobody writes it any more; "" where there is none."""
    while path.is_dir():
        if not shelf.is_run(path):
            return INTERRUPTED  # its making was not finished
        try:
            with closing(Run(path)) as run:
                state = run.state
        except Damaged:  # as a rule of a process that was killed while it made the run
            return INTERRUPTED
        if state not in WRITTEN or stop():
            return INTERRUPTED if state in WRITTEN else state
        time.sleep(LOOK)  # of a worker that was given up, but lives
    return ""


def clear(path: Path) -> None:
    """Make room for a point that begins anew: a run is put away, what became none is deleted."""
    if shelf.is_run(path):
        shelf.trash(path)
    else:
        shutil.rmtree(path, ignore_errors=True)
