"""Which choices do not go together? One list, each refusal with its sentence.

Asked by the constructor of `Experiment`, by the menus (which grey a choice and show the sentence)
and by the tests.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from core.catalogue import BadInput
from core.precisions.decaying import Decaying
from core.precisions.spiking import Spiking

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


def _cycle(experiment: "Experiment") -> bool:
    """Whether states predict each other in a cycle, so that there is no feed-forward pass."""
    return bool(getattr(experiment.network, "has_cycle", False))


def _without_cycle(field: str, names: tuple[str, ...], why: str) -> Rule:
    """The refusal of entries that need a feed-forward pass."""
    return Rule(
        field,
        lambda e: _cycle(e) and _kind(e, field) in names,
        f"this network has a cycle: {why}",
    )


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
    _without_cycle(
        "init",
        ("Forward", "Average"),
        "no feed-forward sweep; zero, normal, null or memory init",
    ),
    _without_cycle("learning", ("Backprop",), "no pass to go back through; another rule"),
    _without_cycle(
        "dynamics",
        ("ErrorBased", "FixedPrediction"),
        "no feed-forward sweep, which this rule makes at every step; another rule",
    ),
    _without_cycle(
        "task", ("ClampedNudge",), "no feed-forward output to mix a label with; nudged phases"
    ),
    Rule(
        "pretraining",
        lambda e: _cycle(e) and e.pretraining != "random",
        "first weights are trained through a feed-forward pass; random, for a network with a cycle",
    ),
    Rule(
        "network",
        _overdriven,
        "with network.skips published, auxiliary neurons diverge unless states move by plain "
        "gradient descent under a spiking or decaying precision whose resting value is at most "
        f"{LARGEST_REST:g}; skips relay takes any",
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
            raise BadInput(f"{rule.field}: {came}{rule.offer(experiment)}; {rule.sentence}")
