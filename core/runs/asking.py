"""How does one ask a training for something? It is checked against the run before it is asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.catalogue import BadInput
from core.experiment import Experiment
from core.runs import changes
from core.runs.asks import CHANGE, GO, PAUSE, STOP, Ask, Inbox, append
from core.runs.run import PAUSED, WRITTEN, Run

LISTENS = "listens"
"""What a training says of itself in its run: it answers asks."""


@dataclass(frozen=True)
class Standing:
    """What can be asked of a training.

    Args:
        paused: whether it waits, or will once what was asked has been done.
        experiment: all choices, those that were asked for included.
        waiting: asks without an answer, in order.
    """

    paused: bool
    experiment: Experiment
    waiting: tuple[Ask, ...]


def standing(run: Run) -> Standing:
    """How the training of a run stands, with all that it was asked for.

    Raises:
        BadInput: if no training that listens writes the run.
    """
    if run.state not in WRITTEN:
        raise BadInput(f"run: {run.name}; {run.state}: nobody trains it now")
    if not run.said.get(LISTENS):
        raise BadInput(f"run: {run.name}; nobody listens: a training does, from its first batch on")
    waiting, _ = Inbox(run.path, answered(run)).new()
    now = changes.of_recipe(run.manifest["experiment"], run.recipes()[-1])
    paused = run.state == PAUSED
    for one in waiting:
        paused = one.act == PAUSE or (paused and one.act != GO)
        try:
            now = changes.changed(now, one.choices) if one.act == CHANGE else now
        except BadInput:  # the training will refuse it
            continue
    return Standing(paused, now, tuple(waiting))


def ask(path: Path, act: str, choices: Mapping[str, Any] | None = None, *, by: str = "") -> Ask:
    """Ask the training that writes a run to pause, to go on, to stop, or to change choices.

    Args:
        path: of the run.
        act: "pause", "go", "stop" or "change".
        choices: for "change", as `changes.changed` takes them.
        by: who asks, in a word.

    Raises:
        BadInput: if nobody trains it, or it would be refused.
        NotWritten: if the disk refuses.
    """
    one = Ask(act, dict(choices or {}), by)
    run = Run(path)
    try:
        now = standing(run)
    finally:
        run.close()
    if act in (PAUSE, GO) and now.paused == (act == PAUSE):
        how = "paused" if now.paused else "not paused"
        raise BadInput(f"{act}: {run.name}; it is {how}, or will be between two batches")
    if act == CHANGE:
        changes.changed(now.experiment, one.choices)
    append(path, one)
    return one


def answered(run: Run) -> set[str]:
    """Ids of the asks of which the run's events tell."""
    return {str(one["id"]) for one in run.events() if "id" in one}


def answer(run: Run, one: Ask) -> Mapping[str, Any] | None:
    """The event that answers an ask; None where there is none yet."""
    return next((event for event in run.events() if event.get("id") == one.id), None)


__all__ = ["CHANGE", "GO", "PAUSE", "STOP", "Ask", "Standing", "answer", "ask", "standing"]
