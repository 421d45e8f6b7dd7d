"""Which choices do not go together? One list, each refusal with its sentence.

Asked by the constructor of `Experiment`, by the menus (which grey a choice and show the sentence)
and by the tests.
"""

import copy
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from core.catalogue import BadInput, Card, card_of, cards
from core.precisions.decaying import Decaying
from core.precisions.spiking import Spiking
from core.precisions.table import Table

if TYPE_CHECKING:
    from core.experiment import Experiment


@dataclass(frozen=True)
class Rule:
    """A pair that is refused, and why.

    Args:
        field: the choice that the sentence is about.
        refuses: whether an experiment breaks the rule.
        sentence: what to do instead.
        offer: legal values next to the one that came, where the sentence cannot know them.
    """

    field: str
    refuses: Callable[["Experiment"], bool]
    sentence: str
    offer: Callable[["Experiment"], str] = lambda experiment: ""


def _kind(experiment: "Experiment", field: str) -> str:
    return type(getattr(experiment, field)).__name__


def _bottom_is_free(experiment: "Experiment") -> bool:
    return "input" not in experiment.task.clamps


def _top_is_free(experiment: "Experiment") -> bool:
    return "output" not in experiment.task.clamps


def _mixed(experiment: "Experiment") -> bool:
    """Whether the output is clamped to a mixture of a prediction and a label."""
    return getattr(experiment.task, "beta", 1.0) < 1.0 and not _top_is_free(experiment)


def _mismatched(experiment: "Experiment") -> bool:
    """Whether a rule for nudged phases meets a task without them."""
    nudged = _kind(experiment, "task") == "Nudge"
    return _kind(experiment, "learning") == "EquilibriumPropagation" and not nudged


def _misread(experiment: "Experiment") -> bool:
    """Whether a rule takes nudged states for those of a clamped output."""
    fitting = ("EquilibriumPropagation", "Backprop")
    return _kind(experiment, "task") == "Nudge" and _kind(experiment, "learning") not in fitting


def _wrong_end(experiment: "Experiment") -> bool:
    return experiment.task.image_at != experiment.network.image_at


def _depth(experiment: "Experiment") -> int:
    """L of the network."""
    return experiment.network.layers


def _lopsided(experiment: "Experiment") -> bool:
    if not getattr(experiment.init, "aligned", False):
        return False
    return experiment.batch_size % experiment.dataset.classes != 0


def _near_sizes(experiment: "Experiment") -> str:
    """The multiples of the number of classes next to the batch size."""
    size, classes = experiment.batch_size, experiment.dataset.classes
    below = size - size % classes
    near = [str(one) for one in (below, below + classes) if one > 0]
    return f" with {classes} classes (take {' or '.join(near)})"


def _misfitting(experiment: "Experiment") -> bool:
    rows = getattr(experiment.precision, "rows", None)
    return rows is not None and len(rows[0]) not in (1, _depth(experiment))


def _unchained(experiment: "Experiment") -> bool:
    """Whether the engine for chains meets a network that is known to be none of them."""
    if experiment.engine != "chain":
        return False
    network = experiment.network
    linear = getattr(network, "activation", "identity") == "identity"
    before = getattr(network, "site", "post") == "pre" and not linear
    other = _kind(experiment, "network") in ("MuPC", "VGG", "EquilibriumVGG", "AlexNet", "ResNet")
    return before or other or network.layers < 2 or _kind(experiment, "energy") != "SquaredError"


def _reads_stopped(experiment: "Experiment") -> bool:
    """Whether samples that stop by themselves meet a network in which samples read each other."""
    if experiment.stop != "sample" or not experiment.tolerance:
        return False
    return getattr(experiment.network, "batch_norm", "none") == "batch"


def _deaf(experiment: "Experiment") -> bool:
    """Whether delays meet a rule that computes its own forces, without what relays hand on."""
    others = ("ErrorBased", "FixedPrediction")
    return _skips(experiment) == "relay" and _kind(experiment, "dynamics") in others


def _overdriven(experiment: "Experiment") -> bool:
    """Whether auxiliary neurons with an energy of weight 1 / rate may diverge at every rate.

    They are bounded where precisions are one on the step at which the error arrives, and rest on
    all others. Below the chain of two of them rate times Hessian is the precision times
    [[1, -1, 0], [-1, 2, -1], [0, -1, 1]], whose eigenvalue 3 must stay below 2.
    """
    if _skips(experiment) != "published":
        return False
    if _kind(experiment, "dynamics") != "GradientDescent":
        return True
    if not isinstance(experiment.precision, Spiking | Decaying):
        return True
    L, T = _depth(experiment), max(experiment.steps, 1)
    depth = torch.arange(1, L + 1)
    awake = torch.arange(T)[:, None] == L - depth
    resting = experiment.precision.table(T, depth)[~awake]
    return bool((resting > LARGEST_REST).any())


def _skips(experiment: "Experiment") -> str:
    return getattr(experiment.network, "skips", "")


LARGEST_REST = 0.5
"""Of a layer at rest beside auxiliary neurons as published; theirs diverge from 0.55 on at 0.8."""

RULES = (
    Rule(
        "engine",
        _unchained,
        "chain takes linear layers with an activation behind them, two at least, under squared "
        "error; auto, local and plain take any network",
    ),
    Rule(
        "stop",
        _reads_stopped,
        "with batch statistics a sample moves as long as the others do; "
        "batch, or batch_norm frozen or none",
    ),
    Rule(
        "task",
        _wrong_end,
        "reconstruct, generate and recall need a network with the image at its output (Decoder), "
        "the other tasks one with the image at its input (MLP)",
    ),
    Rule(
        "energy",
        lambda e: _kind(e, "energy") == "CrossEntropy" and e.task.image_at == "output",
        "cross-entropy needs a distribution clamped at the output; in this task it is an image",
    ),
    Rule(
        "energy",
        lambda e: _kind(e, "energy") == "CrossEntropy" and _top_is_free(e),
        "cross-entropy is linear in a free output; "
        "squared error, and the cross-entropy as the cost of the nudge",
    ),
    Rule(
        "energy",
        lambda e: _kind(e, "energy") == "CrossEntropy" and _mixed(e),
        "cross-entropy needs a distribution clamped at the output; "
        "a clamped nudge below 1 mixes a label with logits",
    ),
    Rule(
        "learning",
        _mismatched,
        "equilibrium propagation needs nudged phases: the task Free and nudged phases",
    ),
    Rule(
        "learning",
        _misread,
        "nudged phases pull in the direction of a signed nudge, which must be divided out: "
        "equilibrium propagation, or backprop",
    ),
    Rule(
        "learning",
        lambda e: _kind(e, "learning") == "Backprop" and not e.task.has_loss,
        "backprop needs a loss; generate and recall have none",
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
        "init",
        lambda e: _kind(e, "init") in ("Average", "Memory") and _kind(e, "task") == "Generate",
        "this init recalls states by class or by observation; a drawn latent state has neither",
    ),
    Rule(
        "init",
        lambda e: _kind(e, "init") == "Memory" and not e.task.clamps,
        "memory init recalls by what is clamped; this task clamps nothing",
    ),
    Rule(
        "dynamics",
        lambda e: _kind(e, "dynamics") == "Cascade" and _top_is_free(e),
        "one layer a step begins below a clamped output; a free one would never move",
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
        offer=_near_sizes,
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
    Rule(
        "dynamics",
        _deaf,
        "this rule has forces of its own, without what relays hand on a step later; "
        "network.skips none, or another rule",
    ),
    Rule(
        "pretraining",
        lambda e: getattr(e.network, "has_weights", False) and e.pretraining != "random",
        "this network begins with the weights that it came with: random leaves them as they are",
    ),
    Rule(
        "network",
        _overdriven,
        "with network.skips published, auxiliary neurons diverge unless states move by plain "
        "gradient descent under a spiking or decaying precision whose resting value is at most "
        f"{LARGEST_REST:g}; skips relay takes any",
    ),
)


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
            raise BadInput(f"{rule.field}: {came}{rule.offer(experiment)}; {rule.sentence}")


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
    brings; a network with weights of its own brings first weights that are not trained here, one of
    another depth the table of precisions in force, fitted to it. Any other entry comes alone.
    Without it, two entries that need each other would refuse each other.
    """
    kind = card_of(choice).kind
    changed: dict[str, Any] = {kind: choice}
    if kind == "network" and getattr(choice, "has_weights", False):
        changed["pretraining"] = "random"
    if kind == "learning":
        task = _task_for(experiment, choice)
        if task is not None:
            changed["task"] = task
    task = changed.get("task", experiment.task)
    if kind in ("task", "learning") and experiment.network.image_at != task.image_at:
        fitting = (cards("network")[name].entry for name in PLAIN_NETWORKS)
        changed["network"] = next(e() for e in fitting if e.image_at == task.image_at)
    if kind in ("task", "learning"):
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
