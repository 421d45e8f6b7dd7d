"""What would each learning rule make of the states as they stand?"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from core.catalogue import BadInput, card_of, cards
from core.diagnostics import Likeness, Reference, backprop_by_layer, by_layer
from core.experiment import Experiment
from core.step import Step


@dataclass(frozen=True)
class Update:
    r"""What one rule would hand to the optimiser, if the relaxation stopped here.

    Args:
        rule: name of its entry.
        title: of its card.
        why: the sentence that refuses it beside the other choices, or ""; then there is no update.
        norm: $\lVert G_\ell \rVert$ of each layer's gradient, the mean over the batch, (L,).
        likeness: beside backprop's; None where there is no loss to go back from.
        chosen: whether it is the rule in force, with its dials; others have their first ones.
    """

    rule: str
    title: str
    why: str = ""
    norm: Tensor | None = None
    likeness: Likeness | None = None
    chosen: bool = False


@dataclass(frozen=True)
class WhatIf:
    r"""The updates of all learning rules at one row, and how far the predictions have moved.

    Args:
        updates: of each rule, the one in force first.
        drift: $\mathrm{rms}(\mu_\ell^{(t)} - \mu_\ell^{(0)})$ by the present weights, over units
            and samples, (L,).
        why: the sentence that says why nothing is compared with backprop, or "".
    """

    updates: tuple[Update, ...]
    drift: Tensor
    why: str = ""


NO_LOSS = "this task has no loss, so that there is no backprop update to compare with"

NO_PASS = "this network has a cycle, so that there is no pass for backprop to go back through"


def what_if(step: Step, experiment: Experiment) -> WhatIf:
    """The update of every learning rule of the catalogue at a step; nothing is moved.

    A rule that acts at every step (incremental, Z-IL) gives what it would do at this one.

    Args:
        step: of a relaxation.
        experiment: in force at it.
    """
    network = step.free_energy.network
    why = "" if experiment.task.has_loss else NO_LOSS
    why = why or ("" if network.acyclic else NO_PASS)
    reference = None if why else Reference(backprop_by_layer(step))
    rules = {type(experiment.learning).__name__: experiment.learning}
    rules |= {name: card.entry() for name, card in cards("learning").items() if name not in rules}
    found = [_update(step, experiment, name, rule, reference) for name, rule in rules.items()]
    with torch.no_grad():
        pairs = zip(network.predictions(step.states), network.predictions(step.first), strict=True)
        drift = torch.stack([(now - old).square().mean().sqrt() for now, old in pairs])
    return WhatIf(tuple(found), drift, why)


def _update(
    step: Step, experiment: Experiment, name: str, rule: Any, reference: Reference | None
) -> Update:
    """Of one rule."""
    title = card_of(rule).title
    chosen = rule is experiment.learning
    if not chosen:
        try:
            experiment.changed(learning=rule)
        except BadInput as refused:
            return Update(name, title, why=str(refused).partition("; ")[2] or str(refused))
    own = by_layer(step.free_energy.network, rule.gradients(step))
    batch = len(step.states[0])
    norm = torch.stack([torch.linalg.vector_norm(g) / batch for g in own])
    likeness = None if reference is None else reference.beside(own)
    return Update(name, title, norm=norm, likeness=likeness, chosen=chosen)
