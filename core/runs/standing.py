"""Where does a training stand? All that its next bits depend on, between batches or steps."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from core.catalogue import BadInput, cards, unknown
from core.experiment import Experiment
from core.normalization import Moments, Statistics
from core.phase import Phase
from core.relaxation import Relaxation
from core.runs.memories import Packed, Unpacked
from core.snapshot import Snapshot
from core.training import Training

OF_PHASE = ("steps", "clamped", "nudge", "target", "share", "held", "given", "pinned")
"""What the weights or lots of the beginning of a batch may have a part in."""

OF_RELAXATION = ("t", "phase", "clock", "states", "before", "first", "generator", "stopped")
"""What a snapshot holds as plain data and tensors."""


@dataclass
class Running:
    """One batch while it relaxes.

    Args:
        number: of the batch.
        relaxation: of it.
        begun: seconds of the training at which it began.
        before: all weights with which it began, where their update shall be measured.
        steps: updates of each phase so far.
    """

    number: int
    relaxation: Relaxation
    begun: float
    before: Tensor | None
    steps: dict[str, int]


def of_training(training: Training, packed: Packed) -> dict[str, Any]:
    """What one batch leaves for the next: weights, moments, memories.

    Raises:
        NotKept: if an entry remembers what cannot be kept.
    """
    chosen = training.experiment
    return {
        "weights": packed.put(dict(training.network.state_dict()), "weights"),
        "optimiser": packed.put(training.optimiser.state_dict(), *_whose(chosen, "weights")),
        "memory": packed.put(training.memory, *_whose(chosen, "init")),
        "previous": packed.put(training.previous, "previous"),
        "precisions": _precisions(training.precisions, packed),
    }


def into_training(training: Training, said: Mapping[str, Any], unpacked: Unpacked) -> None:
    """Put a training where another one stood when `of_training` asked it.

    Raises:
        BadInput: if what was kept does not fit its network.
    """
    chosen = training.experiment
    try:
        training.network.load_state_dict(unpacked.get(said["weights"]))
        training.network.touch()
        training.optimiser.load_state_dict(unpacked.get(said["optimiser"], _module(chosen.weights)))
    except (RuntimeError, ValueError) as failed:
        why = " ".join(str(failed).split())[:200]
        raise BadInput(f"checkpoint: weights that do not fit the network ({why})") from None
    training.memory = unpacked.get(said["memory"], _module(chosen.init))
    training.previous = unpacked.get(said["previous"])
    training.precisions = _learnt(said["precisions"], training, unpacked)


def of_relaxation(training: Training, relaxation: Relaxation, packed: Packed) -> dict[str, Any]:
    """A relaxation between two steps.

    Raises:
        NotKept: if an entry remembers what cannot be kept.
    """
    now = relaxation.snapshot()
    statistics = now.statistics
    task = _module(training.experiment.task)
    found = {name: packed.put(getattr(now, name), name) for name in OF_RELAXATION}
    return found | {
        "phases": [
            {name: packed.put(getattr(one, name), f"phase {one.name}", task) for name in OF_PHASE}
            for one in relaxation.phases
        ],
        "ended": [packed.put(states, "ended") for _, states in now.ended],
        "handed": packed.put(now.handed, "handed"),
        "memory": packed.put(now.memory, *_whose(training.experiment, "dynamics")),
        "precisions": _precisions(now.precisions, packed),
        "statistics": None
        if statistics is None
        else packed.put([tuple(one) for one in statistics.moments], "statistics"),
    }


def relaxation_of(
    training: Training, number: int, said: Mapping[str, Any], unpacked: Unpacked
) -> Relaxation:
    """The relaxation of a batch at the step where another one stood.

    Args:
        training: already where the other one stood.
        number: of the batch.
        said: what `of_relaxation` gave.
        unpacked: gives its tensors.
    """

    def clamps(phases: tuple[Phase, ...]) -> tuple[Phase, ...]:
        both = zip(phases, said["phases"], strict=True)
        return tuple(
            dataclasses.replace(
                one,
                **{k: unpacked.get(v, _module(training.experiment.task)) for k, v in at.items()},
            )
            for one, at in both
        )

    batch = training.batches.batch(number)
    relaxation = training.relaxation(batch, train=True, clamps=clamps)
    held = {name: unpacked.get(said[name]) for name in OF_RELAXATION}
    ended = [unpacked.get(states) for states in said["ended"]]
    moments = said["statistics"]
    relaxation.restore(
        Snapshot(
            **held,
            phases=tuple(relaxation.phases),
            recipe=relaxation.recipe,
            memory=unpacked.get(said["memory"], _module(training.experiment.dynamics)),
            weights=relaxation.weights(),
            ended=tuple(zip(relaxation.phases, ended, strict=False)),
            precisions=_learnt(said["precisions"], training, unpacked),
            statistics=None
            if moments is None
            else Statistics(tuple(Moments(*one) for one in unpacked.get(moments))),
            handed=unpacked.get(said["handed"]),
        )
    )
    return relaxation


def _precisions(held: Any, packed: Packed) -> Any:
    """What adaptive precisions have learnt, and their name: those in force may be others now."""
    if held is None:
        return None
    kind, learnt = held
    return [packed.put(learnt, f"precision.{kind.__name__}", kind.__module__), kind.__name__]


def _learnt(said: Any, training: Training, unpacked: Unpacked) -> Any:
    if said is None:
        return None
    known = cards("precision")
    in_force = type(training.experiment.precision).__name__
    name = said[1] if len(said) > 1 else in_force  # format 1 knows no other
    if name not in known:
        raise BadInput(f"precision: {unknown(name, known, or_else='is a plugin missing?')}")
    kind = known[name].entry
    return kind, unpacked.get(said[0], kind.__module__)


def _whose(experiment: Experiment, kind: str) -> tuple[str, str]:
    """How a refusal names an entry, and the module of its dataclasses."""
    entry = getattr(experiment, kind)
    return f"{kind}.{type(entry).__name__}", _module(entry)


def _module(entry: Any) -> str:
    return type(entry).__module__
