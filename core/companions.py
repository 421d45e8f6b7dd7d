"""Which choices change together? What an entry brings along, so that menus lead everywhere.

Two entries that need each other would else refuse each other, and neither could be chosen first.
"""

import copy
import dataclasses
from typing import TYPE_CHECKING, Any

from core.catalogue import BadInput, Card, card_of, cards
from core.compatibility import refusal
from core.precisions.table import Table

if TYPE_CHECKING:
    from core.experiment import Experiment


PLAIN = (
    ("learning", ("PredictiveCoding", "EquilibriumPropagation")),
    ("energy", ("SquaredError",)),
    ("init", ("Zero",)),
    ("dynamics", ("GradientDescent",)),
)
"""What a task may bring in the place of what it refuses."""

PLAIN_NETWORKS = ("MLP", "Decoder")
"""What a task may bring: one for each end at which the image can be."""

PLAIN_TASKS = ("Classify", "Reconstruct", "Nudge")
"""What a learning rule may bring."""


def refused_choices(experiment: "Experiment", kind: str) -> dict[str, str]:
    """For a menu: the entries of `kind` that do not go with the rest, each with the sentence.

    Each is judged with its companions.
    """
    found = {}
    for name, card in cards(kind).items():
        sentence = _sentence_with(experiment, kind, card)
        if sentence is not None:
            found[name] = sentence
    return found


def companions(experiment: "Experiment", choice: Any) -> dict[str, Any]:
    """The choices that must change together with an entry, itself among them.

    A task brings a network whose image is at the right end, and plain entries in the place of those
    that it refuses; a learning rule brings a task that it can learn from, with all that this task
    brings; a network with weights of its own brings first weights that are not trained here, one
    with a cycle plain entries in the place of those that need a feed-forward pass, one of another
    depth the table of precisions in force, fitted to it. Any other entry comes alone.
    Without it, two entries that need each other would refuse each other.
    """
    kind = card_of(choice).kind
    changed: dict[str, Any] = {kind: choice}
    has_cycle = kind == "network" and getattr(choice, "has_cycle", False)
    if has_cycle or (kind == "network" and getattr(choice, "has_weights", False)):
        changed["pretraining"] = "random"
    if kind == "learning":
        task = _task_for(experiment, choice)
        if task is not None:
            changed["task"] = task
    task = changed.get("task", experiment.task)
    if kind in ("task", "learning") and experiment.network.image_at != task.image_at:
        fitting = (cards("network")[name].entry for name in PLAIN_NETWORKS)
        changed["network"] = next(e() for e in fitting if e.image_at == task.image_at)
    if kind in ("task", "learning") or has_cycle:
        for other, plain in PLAIN:
            if other not in changed:
                changed |= _mended(experiment, changed, other, plain)
    if "network" in changed and isinstance(experiment.precision, Table):
        table = experiment.precision.fitted(changed["network"].layers)
        changed |= {} if table == experiment.precision else {"precision": table}
    return changed


def _task_for(experiment: "Experiment", learning: Any) -> Any:
    """A task that the rule can learn from, with the image at the same end if there is one.

    None where the present task will do, and where there is none.
    """
    if not _refuses(experiment, {"learning": learning}, "learning"):
        return None
    tasks = [cards("task")[name].entry() for name in PLAIN_TASKS]
    for task in sorted(tasks, key=lambda one: one.image_at != experiment.task.image_at):
        if not _refuses(experiment, {"learning": learning, "task": task}, "learning"):
            return task
    return None


def _mended(
    experiment: "Experiment", changed: dict[str, Any], kind: str, plain: tuple[str, ...]
) -> dict[str, Any]:
    """The first plain entry of a kind that is not refused, if the present one is."""
    if not _refuses(experiment, changed, kind):
        return {}
    for name in plain:
        one = {kind: cards(kind)[name].entry()}
        if not _refuses(experiment, changed | one, kind):
            return one
    return {}


def _refuses(experiment: "Experiment", changed: dict[str, Any], field: str) -> bool:
    """Whether a rule about a field refuses the experiment with these choices."""
    unchecked = copy.copy(experiment)
    for name, value in changed.items():
        object.__setattr__(unchecked, name, value)
    return refusal(unchecked, field) is not None


def _sentence_with(experiment: "Experiment", kind: str, card: Card) -> str | None:
    choice: Any = getattr(experiment, kind)
    if type(choice) is not card.entry:
        choice = card.entry()
    try:
        dataclasses.replace(experiment, **companions(experiment, choice))
    except BadInput as refused:
        return str(refused).partition("; ")[2]
    return None
