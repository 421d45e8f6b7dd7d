"""Which law would break if a refused experiment ran? One predicate for each rule's sentence.

Each takes an experiment that was made without the rules and says whether the law is broken. It is
written from what the sentence names, not from the rule.
"""

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from core import BadInput, Experiment, Training, pretraining
from core.batches import Batch
from core.dynamics.gradient import GradientDescent
from core.inits.forward import Forward
from core.phase import Phase
from core.precisions.identity import Identity
from core.relaxation import Relaxation
from core.step import Step
from core.training import noise
from tests.product import images


def _training(experiment: Experiment) -> Training:
    data = images()
    return Training(experiment, data, experiment.build(data.shape, data.classes))


def _relaxations(experiment: Experiment, batches: int = 1) -> Iterator[Relaxation]:
    training = _training(experiment)
    for number in range(batches):
        relaxation = training.relaxation(training.batches.batch(number), train=False)
        yield relaxation
        training.finish(relaxation)


def _phases(experiment: Experiment, number: int = 0) -> tuple[Phase, ...]:
    training = _training(experiment)
    network, batch = training.network, training.batches.batch(number)
    return experiment.task.phases(network, batch, images().classes, noise(0, 0))


def _gradients(experiment: Experiment) -> list[tuple[Step, Tensor]]:
    """Every row of a relaxation with all weight gradients as one vector, None as zeros."""
    found = []
    for relaxation in _relaxations(experiment):
        parameters = list(relaxation.network.parameters())
        for step in relaxation:
            given = step.recipe.learning.gradients(step)
            flat = [
                torch.zeros_like(p) if g is None else g
                for p, g in zip(parameters, given, strict=True)
            ]
            found.append((step, torch.cat([g.flatten() for g in flat])))
    return found


def raises(experiment: Experiment) -> bool:
    """It cannot be carried out at all."""
    try:
        for relaxation in _relaxations(experiment, 2):
            relaxation.run()
    except Exception:
        return True
    return False


def there_is_no_gradient(experiment: Experiment) -> bool:
    """The learning rule gives nothing."""
    try:
        _gradients(experiment)
    except ValueError as refused:
        return "predict each other in a cycle" in str(refused)
    return False


def no_image_at_that_end(experiment: Experiment) -> bool:
    """The end where the task has the image has another number of units than an image pixels."""
    data = images()
    network = experiment.build(data.shape, data.classes)
    end = 0 if experiment.task.image_at == "input" else network.top
    return network.nodes[end].size != torch.Size(data.shape).numel()


def no_distribution(experiment: Experiment) -> bool:
    """What is clamped at the output is not a distribution, or nothing is clamped there."""
    network = _training(experiment).network
    for phase in _phases(experiment):
        y = phase.clamped.get(network.top)
        if y is None or bool((y < 0).any()):
            return True
        if not torch.allclose(y.sum(1), torch.ones(len(y)).to(y), atol=1e-5):
            return True
    return False


def no_minimum_over_the_output(experiment: Experiment) -> bool:
    """The output is free and its energy linear in it, not constant: it has no minimum."""
    network = _training(experiment).network
    if all(network.top in phase.clamped for phase in _phases(experiment)):
        return False
    energy = network.nodes[network.top].energy
    generator = torch.Generator().manual_seed(0)
    a, b, mu = (torch.randn(4, network.nodes[-1].size, generator=generator) for _ in range(3))
    linear = torch.allclose(energy(a, mu) + energy(b, mu), energy(a + b, mu), atol=1e-4)
    return linear and not torch.allclose(energy(a, mu), energy(b, mu))


def nothing_is_learnt(experiment: Experiment) -> bool:
    """The gradients are zero in every row."""
    return not any(bool(g.any()) for _, g in _gradients(experiment))


def the_update_shrinks_with_the_nudge(experiment: Experiment) -> bool:
    """A tenth of the nudge gives about a tenth of the update, or none, from a forward sweep."""
    task: Any = experiment.task
    plain = replace(
        experiment,
        init=Forward(),
        dynamics=GradientDescent(0.1),
        precision=Identity(),
        activity_decay=0.0,
        tolerance=0.0,
        pretraining="random",
    )
    sizes = []
    for beta in (1e-2, 1e-3):
        rows = _gradients(replace(plain, task=replace(task, beta=beta)))
        sizes.append(max(float(g.norm()) for step, g in rows if step.phase.nudged))
    return sizes[1] <= 0.3 * sizes[0]


def nothing_says_what_the_output_should_be(experiment: Experiment) -> bool:
    """The output is neither clamped nor nudged, in no phase."""
    network = _training(experiment).network
    return not any(one.nudged or network.top in one.clamped for one in _phases(experiment))


def a_root_is_free(experiment: Experiment) -> bool:
    """A sweep begins at the roots, and one of them has no value."""
    network = _training(experiment).network
    return any(root not in _phases(experiment)[0].clamped for root in network.roots)


def what_is_clamped_does_not_depend_on_the_sample(experiment: Experiment) -> bool:
    """Other images and labels, the same draws: the same is clamped."""
    training = _training(experiment)
    clamped = []
    for number in (0, 1):
        batch = training.batches.batch(number)
        same = Batch(batch.x, batch.y, batch.index, 0)
        task = experiment.task
        phase = task.phases(training.network, same, images().classes, noise(0, 0))[0]
        clamped.append(phase.clamped)
    return all(torch.equal(value, clamped[1][i]) for i, value in clamped[0].items())


def all_samples_begin_alike(experiment: Experiment) -> bool:
    """In the second batch the free roots of all samples have the same first values."""
    second = list(_second(experiment))
    return bool(second) and all(torch.equal(h, h[:1].expand_as(h)) for h in second)


def _second(experiment: Experiment) -> Iterator[Tensor]:
    for number, relaxation in enumerate(_relaxations(experiment, 2)):
        if number == 1:
            free = [i for i in relaxation.network.roots if i not in relaxation.phase.clamped]
            yield from (relaxation.first[i] for i in free)
        relaxation.run()


def the_output_never_moves(experiment: Experiment) -> bool:
    """The output is free in every phase and stays where it began."""
    for relaxation in _relaxations(experiment):
        top = relaxation.network.top
        for step in relaxation:
            if top in step.phase.clamped or not torch.equal(step.states[top], step.first[top]):
                return False
    return True


def a_layer_is_never_woken(experiment: Experiment) -> bool:
    """A layer's precision is one at the step at which the error arrives; here it never is."""
    network = _training(experiment).network
    schedule: Any = experiment.precision
    table = schedule.table(experiment.steps, network.depth)  # (T, L)
    return not bool((table == 1.0).any(0).all())


def a_sample_reads_the_others(experiment: Experiment) -> bool:
    """Some prediction for a sample that relaxes changes with the states of another one."""
    for relaxation in _relaxations(experiment):
        states = relaxation.step().states
        drawn = torch.Generator().manual_seed(0)
        other = [
            torch.cat([h[:1], torch.randn(h[1:].shape, generator=drawn).to(h)]) for h in states
        ]
        found = [relaxation.network.predictions(one) for one in (states, other)]
        if any(not torch.allclose(a[:1], b[:1]) for a, b in zip(*found, strict=True)):
            return True
    return False


def what_relays_hand_on_is_not_heard(experiment: Experiment) -> bool:
    """A step of the rule fails, or is the same whatever pulled at the relays before it."""
    for relaxation in _relaxations(experiment):
        free_energy, states = relaxation.step().free_energy, relaxation.states
        moved = []
        for size in (0.0, 1.0):
            free_energy = copy(free_energy)
            free_energy.handed = {i: size + 0 * states[i] for i in free_energy.network.relays}
            free_energy._last = None
            try:
                rule = experiment.dynamics
                memory = rule.init(free_energy, states, noise(0, 0))
                moved.append(rule.step(free_energy, states, memory)[0])
            except Exception:
                return True
        return all(torch.equal(a, b) for a, b in zip(*moved, strict=True))
    return False


def auxiliary_neurons_may_run_away(experiment: Experiment) -> bool:
    """Nothing bounds them: two of them swing about each other, or another rule moves them.

    Under h <- h - rate dF/dh the largest eigenvalue of rate times the Hessian of their chain is 3
    times the resting precision, which is bounded up to 3/2 whatever stands beside them.
    """
    if not _training(experiment).network.auxiliary:
        return False
    precision: Any = experiment.precision
    if type(experiment.dynamics) is not GradientDescent or not hasattr(precision, "table"):
        return True
    L = experiment.network.layers
    try:
        table = precision.table(experiment.steps, torch.arange(1, L + 1))
    except BadInput:
        return True
    asleep = torch.arange(len(table))[:, None] != L - torch.arange(1, L + 1)
    return bool((3 * table[asleep] > 1.5).any())


def weights_are_not_those_that_came(experiment: Experiment) -> bool:
    """The training replaces them."""
    data = images()
    came = experiment.network(data.shape, data.classes)
    network = experiment.build(data.shape, data.classes)
    course = pretraining.first_weights(experiment, data, network, lambda line, share: None)
    pairs = zip(came.parameters(), network.parameters(), strict=True)
    return course is not None and any(not torch.equal(a, b) for a, b in pairs)


def first_weights_cannot_be_trained(experiment: Experiment) -> bool:
    """The training of first weights asks for a forward pass that there is not."""
    data = images()
    network = experiment.build(data.shape, data.classes)
    try:
        pretraining.first_weights(experiment, data, network, lambda line, share: None)
    except ValueError as refused:
        return "predict each other in a cycle" in str(refused)
    return False


LAWS: dict[str, Callable[[Experiment], bool]] = {
    "reconstruct, generate and recall need a network": no_image_at_that_end,
    "cross-entropy needs a distribution clamped at the output; in this": no_distribution,
    "cross-entropy needs a distribution clamped at the output; a clamped": no_distribution,
    "cross-entropy is linear in a free output": no_minimum_over_the_output,
    "equilibrium propagation needs nudged phases": nothing_is_learnt,
    "nudged phases pull in the direction": the_update_shrinks_with_the_nudge,
    "backprop needs a loss": nothing_says_what_the_output_should_be,
    "a forward sweep needs the bottom clamped": a_root_is_free,
    "average init sweeps its lowest m layers": a_root_is_free,
    "this init recalls states by class": what_is_clamped_does_not_depend_on_the_sample,
    "memory init recalls by what is clamped": all_samples_begin_alike,
    "one layer a step begins below a clamped output": the_output_never_moves,
    "the decaying schedule needs at least": a_layer_is_never_woken,
    "this init keeps each slot's class": raises,
    "a table has one column": raises,
    "an Apple GPU has no float64": raises,
    "chain takes linear layers": raises,
    "with batch statistics a sample moves": a_sample_reads_the_others,
    "this rule has forces of its own": what_relays_hand_on_is_not_heard,
    "with network.skips published": auxiliary_neurons_may_run_away,
    "this network begins with the weights": weights_are_not_those_that_came,
    "this network has a cycle: no feed-forward": raises,
    "this network has a cycle: no pass": there_is_no_gradient,
    "first weights are trained through a feed-forward pass": first_weights_cannot_be_trained,
}
"""The law of each sentence, by its first words."""


def law(sentence: str) -> Callable[[Experiment], bool]:
    """The law that a sentence names.

    Raises:
        LookupError: where there is no predicate for it, or more than one.
    """
    found = [one for words, one in LAWS.items() if sentence.startswith(words)]
    if len(found) != 1:
        raise LookupError(f"{len(found)} predicates in tests/refusals.py for: {sentence}")
    return found[0]
