"""Can a training be gone on with? What stands in its way is said before anything is touched."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import plugins
from core.batches import ImageSet
from core.catalogue import BadInput
from core.experiment import Experiment
from core.runs import changes, checkpoint, steering
from core.runs import manifest as manifests
from core.runs.checkpoint import Checkpoint
from core.runs.errors import Locked
from core.runs.lock import holder
from core.runs.run import WRITTEN, Run
from core.runs.writer import FINISHED, Writer

VERSIONS = ("relaxoscope", "torch")
"""Those with which bits may change."""


@dataclass(frozen=True)
class Ready:
    """A training that can be gone on with.

    Args:
        experiment: all choices, as they were at the checkpoint.
        images: its data.
        checkpoint: where it stood.
        ended: whether it had all its batches.
        again: whether rows were stored after the checkpoint.
        notes: a sentence about whatever was damaged, or is not as it was.
        said: what the run says of earlier times that it was gone on with.
        parts: number of its newest part.
        log: what its events say of what was asked for.
    """

    experiment: Experiment
    images: ImageSet
    checkpoint: Checkpoint
    ended: bool
    again: bool
    notes: list[str]
    said: list[Any]
    parts: int
    log: steering.Log

    def claim(self, writer: Writer) -> None:
        """Say in the run that it is gone on with.

        Raises:
            Locked: if another process has done so since it was looked at; it is let go then.
        """
        if writer.begun != self.parts:
            writer.leave()
            raise Locked(f"run: {writer.path}; another process has just gone on with it")
        at = {name: self.checkpoint.said[name] for name in ("number", "row")}
        resumed = [*self.said, at | {"notes": self.notes}]
        writer.say(resumed=resumed, paused=False)


def ready(path: Path) -> Ready:
    """Look at a run, its data and its checkpoints.

    Raises:
        BadInput: if it cannot be gone on with.
        Damaged: if it, or every checkpoint of it, is damaged.
        Locked: if it is being written.
    """
    run = Run(path)
    try:
        return _looked_at(run)
    finally:
        run.close()


def _looked_at(run: Run) -> Ready:
    state = run.state
    if state in WRITTEN:
        raise Locked(f"run: {run.path}; it is being written by {holder(run.path)}")
    if state.startswith("diverged"):
        raise BadInput(f"run: {run.path}; {state}; begin anew under another name")
    _check_plugins(run)
    origin = manifests.sha(run.manifest)

    def fault(said: Mapping[str, Any]) -> str:
        """Why a checkpoint does not fit the run."""
        if said["run"] != origin:
            return "it is of another run"
        stored = run.unbroken(said["lane"]) if said["row"] else 0
        if stored < said["row"]:
            return f"rows up to {said['row'] - 1} belong to it, those from {stored} are missing"
        return ""

    found, wrong = checkpoint.newest(run.path, fault)
    said = found.said
    notes = [f"{line}: checkpoint {found.number} is taken" for line in wrong]
    if "checkpoint" in run.said:
        notes.append(f"the last batches were not kept in a checkpoint: {run.said['checkpoint']}")
    notes += _check_versions(run, said["made"])
    base = run.manifest["experiment"]
    recipes = said.get("recipes") or run.recipes(said["lane"])[:1]
    experiment = changes.of_recipe(base, recipes[-1])
    batches = run.batches(said["lane"])
    stored = batches["batch"].values[batches["rows"].values > 0]
    last = int(stored.max(initial=-1))
    log = steering.log_of(run.events(), experiment, len(recipes), last)
    images = experiment.dataset()
    was = run.manifest["about"].get("fingerprint")
    if images.fingerprint != was:
        line = f"dataset: {images.name} with fingerprint {images.fingerprint}"
        raise BadInput(f"{line}; {was}, as {run.name} was trained on")
    again = run.rows(said["lane"]) > said["row"]
    earlier, newest = list(run.said.get("resumed", [])), run.parts
    return Ready(experiment, images, found, state == FINISHED, again, notes, earlier, newest, log)


def _check_plugins(run: Run) -> None:
    """Refuse where a plugin is missing or was changed."""
    there = {one.name: one.sha256 for one in plugins.loaded()}
    brought = [one for event in run.events() for one in event.get("plugins", [])]
    for one in [*run.manifest["about"].get("plugins", []), *brought]:
        if there.get(one["name"]) != one["sha256"]:
            now = "is another one now" if one["name"] in there else "is not loaded"
            raise BadInput(f"plugin: {one['name']} {now}; as {run.name} was trained with it")


def _check_versions(run: Run, made: Mapping[str, Any]) -> list[str]:
    """Sentences about what may change the last digits; other versions are refused."""
    now = checkpoint.machine()
    for name in VERSIONS:
        if made[name] != now[name]:
            line = f"run: {run.path}; its checkpoint is of {name} {made[name]}"
            raise BadInput(f"{line}, here is {now[name]}: the numbers would not be the same")
    return [
        f"{name} was {made[name] or 'none'} and is {now[name] or 'none'}: last digits may differ"
        for name in now
        if name not in VERSIONS and made[name] != now[name]
    ]
