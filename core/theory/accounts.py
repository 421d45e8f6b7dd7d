"""What does a batch of the present recipe cost? Its account, or why there is none."""

from collections.abc import Sequence
from typing import Any

from core.catalogue import BadInput, card_of
from core.experiment import Experiment
from core.network import Network
from core.theory.cost import Account, multiply_adds, smm

Plan = Sequence[tuple[str, int]]
"""Name and T of each phase, in order."""

INITS = {"Zero": "plain", "Normal": "plain", "Null": "plain", "Forward": "forward"}

RELAXATIONS = {
    "GradientDescent": "states",
    "HeavyBall": "states",
    "Nesterov": "states",
    "Adam": "states",
    "Langevin": "states",
    "ErrorBased": "errors",
    "Cascade": "wavefront",
}

LEARNING = {
    "PredictiveCoding": "local",
    "EquilibriumPropagation": "local",
    "ForwardUpdate": "forward update",
    "Incremental": "incremental",
    "ZIL": "incremental",
    "Backprop": "backprop",
}


def accounts(
    experiment: Experiment, network: Network, plan: Plan
) -> tuple[Account, Account | str] | str:
    """Sequential matrix multiplications and multiply-adds of one batch; a sentence in their place.

    Args:
        experiment: all choices.
        network: that relaxes.
        plan: name and T of each phase.
    """
    L = network.deepest
    found = options(experiment, L, plan)
    if isinstance(found, str):
        return found
    sequential, sizes = smm(L, **found), dense(network)
    if sizes is None:
        return sequential, "counted for chains of dense layers only"
    try:
        return sequential, multiply_adds(sizes, experiment.batch_size, **found)
    except BadInput as refused:
        return sequential, str(refused)


def options(experiment: Experiment, L: int, plan: Plan) -> dict[str, Any] | str:
    """How `core.theory.smm` counts the recipe; else which choice it cannot count."""
    init = _init(experiment, L)
    dynamics, learning = type(experiment.dynamics).__name__, type(experiment.learning).__name__
    relaxation = RELAXATIONS.get(dynamics)
    found: dict[str, Any] = {"T": sum(T for _, T in plan)}
    if dynamics == "Sweeping" and getattr(experiment.dynamics, "order", "") == "even-odd":
        relaxing = [T for _, T in plan if T]
        if len(set(relaxing)) == 1:
            relaxation = "sweeps"
            found |= {"K": relaxing[0], "phases": len(relaxing)}
    for kind, counted in (("init", init), ("dynamics", relaxation)):
        if counted is None:
            title = card_of(getattr(experiment, kind)).title
            return f"{title} has no account: its products are not counted by any source here"
    if learning not in LEARNING:
        return f"{card_of(experiment.learning).title} has no account"
    rule = LEARNING[learning]
    if relaxation == "errors" and rule == "local":
        rule = "errors"
    if isinstance(init, int):
        found["m"] = init
    assert relaxation is not None
    name = "hybrid" if isinstance(init, int) else str(init)
    return found | {"init": name, "relaxation": relaxation, "learning": rule}


def dense(network: Network) -> Sequence[int] | None:
    """d_0 ... d_L of a chain with one dense map a layer; None for any other network."""
    for i, node in enumerate(network.nodes):
        if node.parents != ((i - 1,) if i else ()):
            return None
        if node.module is not None:
            weights = [one for one in node.module.parameters() if one.dim() > 1]
            if len(weights) != 1 or weights[0].dim() != 2:
                return None
    return [node.size for node in network.nodes]


def _init(experiment: Experiment, L: int) -> str | int | None:
    """How the init is counted; the number of swept layers of a hybrid."""
    name = type(experiment.init).__name__
    if name == "Average":
        return min(int(getattr(experiment.init, "m", 0)), L - 1)
    if name == "Memory":
        return "memory, forward" if "input" not in experiment.task.clamps else "memory"
    return INITS.get(name)
