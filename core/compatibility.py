"""Which choices do not go together? One list, each refusal with its sentence.

Asked by the constructor of `Experiment`, by the menus (which grey a choice and show the sentence)
and by the tests.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.catalogue import BadInput, Card, cards

if TYPE_CHECKING:
    from core.experiment import Experiment


@dataclass(frozen=True)
class Rule:
    """A pair that is refused, and why.

    Args:
        field: the choice that the sentence is about.
        refuses: whether an experiment breaks the rule.
        sentence: what to do instead.
    """

    field: str
    refuses: Callable[["Experiment"], bool]
    sentence: str


def _kind(experiment: "Experiment", field: str) -> str:
    return type(getattr(experiment, field)).__name__


def _bottom_is_free(experiment: "Experiment") -> bool:
    return _kind(experiment, "task") in ("Dream", "Reconstruct")


def _wrong_end(experiment: "Experiment") -> bool:
    return experiment.task.image_at != experiment.network.image_at


def _depth(experiment: "Experiment") -> int:
    """L of the chain networks."""
    return len(experiment.network.hidden) + 1


def _lopsided(experiment: "Experiment") -> bool:
    if not getattr(experiment.init, "aligned", False):
        return False
    return experiment.batch_size % experiment.dataset.classes != 0


def _misfitting(experiment: "Experiment") -> bool:
    rows = getattr(experiment.precision, "rows", None)
    return rows is not None and len(rows[0]) not in (1, _depth(experiment))


RULES = (
    Rule(
        "task",
        _wrong_end,
        "classify and dream need a network with the image at its input (MLP), "
        "reconstruct one with the image at its output (Decoder)",
    ),
    Rule(
        "energy",
        lambda e: _kind(e, "energy") == "CrossEntropy" and _kind(e, "task") == "Reconstruct",
        "cross-entropy needs a distribution clamped at the output; reconstruct clamps an image",
    ),
    Rule(
        "init",
        lambda e: _kind(e, "init") == "Forward" and _bottom_is_free(e),
        "a forward sweep needs the bottom clamped; state 0 is a root and free in this task",
    ),
    Rule(
        "init",
        lambda e: _kind(e, "init") == "Average" and _bottom_is_free(e),
        "average init sweeps its lowest m layers; state 0 is a root and free in this task",
    ),
    Rule(
        "precision",
        lambda e: _kind(e, "precision") == "Decaying" and e.steps < _depth(e),
        "the decaying schedule needs at least as many steps T as layers L",
    ),
    Rule(
        "batch_size",
        _lopsided,
        "this init keeps each slot's class (stream-aligned batches): "
        "a multiple of the number of classes",
    ),
    Rule(
        "precision",
        _misfitting,
        "a table has one column, or one for each of the L layers",
    ),
    Rule(
        "dtype",
        lambda e: e.dtype == "float64" and e.device.startswith("mps"),
        "an Apple GPU has no float64: float32, or device cpu",
    ),
)


def refusal(experiment: "Experiment", field: str | None = None) -> str | None:
    """The first sentence that refuses the experiment, or None; of one field if it is named."""
    for rule in RULES:
        if (field is None or rule.field == field) and rule.refuses(experiment):
            return rule.sentence
    return None


def check(experiment: "Experiment") -> None:
    """Refuse an experiment whose choices do not go together.

    Raises:
        BadInput: with the field, what came and the sentence.
    """
    for rule in RULES:
        if rule.refuses(experiment):
            value = getattr(experiment, rule.field)
            came = value if isinstance(value, int | str) else type(value).__name__
            raise BadInput(f"{rule.field}: {came}; {rule.sentence}")


def refused_choices(experiment: "Experiment", kind: str) -> dict[str, str]:
    """For a menu: the entries of `kind` that do not go with the rest, each with the sentence.

    A task is judged with its companions.
    """
    found = {}
    for name, card in cards(kind).items():
        sentence = _sentence_with(experiment, kind, card)
        if sentence is not None:
            found[name] = sentence
    return found


def companions(experiment: "Experiment", task: Any) -> dict[str, Any]:
    """The choices that must change together with the task, the task among them.

    A network whose image is at the right end, and the plainest init and energy where the present
    ones are refused. Without it, a task and the network that it needs would refuse each other.
    """
    changed: dict[str, Any] = {"task": task}
    if experiment.network.image_at != task.image_at:
        fitting = (card.entry for card in cards("network").values())
        changed["network"] = next(e() for e in fitting if e.image_at == task.image_at)
    for kind, plain in (("energy", "SquaredError"), ("init", "Zero")):  # as RULES refuse them
        try:
            dataclasses.replace(experiment, **changed)
        except BadInput as refused:
            if str(refused).startswith(f"{kind}:"):
                changed[kind] = cards(kind)[plain].entry()
    return changed


def _sentence_with(experiment: "Experiment", kind: str, card: Card) -> str | None:
    choice: Any = getattr(experiment, kind)
    if type(choice) is not card.entry:
        choice = card.entry()
    changed = companions(experiment, choice) if kind == "task" else {kind: choice}
    try:
        dataclasses.replace(experiment, **changed)
    except BadInput as refused:
        return str(refused).partition("; ")[2]
    return None
