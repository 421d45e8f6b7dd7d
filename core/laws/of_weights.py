"""What must hold for costs of errors and changes of weights? Laws of energies and learning."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from core import kinds
from core.batches import Batch
from core.catalogue import BadInput
from core.laws.law import Skipped, law
from core.laws.problem import (
    CLOSE,
    SAMPLES,
    copied,
    legal,
    misfits,
    relaxation,
    same,
    seeded,
    tanh_problem,
    toy_batch,
)
from core.step import Step

CLOSER = 1e-7
"""Where rules on the way divide by small numbers."""

# Energies ----------------------------------------------------------------------------------------


def _pair() -> tuple[Tensor, Tensor]:
    """States that are distributions, and predictions that are not, (B, 5)."""
    h, mu = torch.randn(2, SAMPLES, 5, generator=seeded(), dtype=torch.float64)
    return h.softmax(1), mu


@law("energy", "there is one finite energy for each sample, and an error like the prediction")
def energy_shapes(energy: kinds.Energy) -> Iterator[str]:
    """(B,) and (B, *shape)."""
    h, mu = _pair()
    yield from misfits([energy(h, mu)], [(SAMPLES,)], h, "energy")
    yield from misfits([energy.error(h, mu)], [tuple(mu.shape)], h, "error")


@law("energy", "the error is minus the derivative of the energy by the prediction")
def energy_error(energy: kinds.Energy) -> Iterator[str]:
    """By automatic differentiation, at states that are distributions."""
    h, mu = _pair()
    mu.requires_grad_()
    (derivative,) = torch.autograd.grad(energy(h, mu).sum(), mu)
    error = energy.error(h, mu.detach())
    if same(error, derivative, within=CLOSE):
        yield "the error has the wrong sign: state minus prediction"
    elif not same(error, -derivative, within=CLOSE):
        off = float((error + derivative).abs().max())
        yield f"error and derivative differ by {off:.3g}"


@law("energy", "one that says it is quadratic is half the squared error")
def energy_quadratic(energy: kinds.Energy) -> Iterator[str]:
    """So it is never negative; the trace derives errors from such energies."""
    h, mu = _pair()
    if not isinstance(getattr(energy, "quadratic", None), bool):
        yield "the class variable quadratic is missing; true or false"
    elif energy.quadratic:
        half = 0.5 * energy.error(h, mu).flatten(1).square().sum(1)
        if not same(energy(h, mu), half, within=CLOSE):
            yield "quadratic is true, but the energy is not half the squared error"


@law("energy", "a sample's energy is its own")
def energy_of_samples(energy: kinds.Energy) -> Iterator[str]:
    """Nothing is averaged over the batch."""
    h, mu = _pair()
    if not same(energy(h, mu)[:2], energy(h[:2], mu[:2]), within=CLOSE):
        yield "the energy of a sample depends on the others in the batch"


# Learning ----------------------------------------------------------------------------------------


def _steps(learning: kinds.Learning, batch: Batch | None = None) -> Iterator[Step]:
    """The steps at which a rule is asked: the last one, or each if it acts at every step."""
    try:
        experiment = legal(learning=learning)
    except BadInput as refused:
        raise Skipped(f"no task and dynamics here go with it ({refused})") from refused
    for step in relaxation(experiment, batch):
        if learning.every_step or step.moment.last:
            yield step


@law("learning", "every parameter gets a finite gradient of its shape, or None")
def learning_shapes(learning: kinds.Learning) -> Iterator[str]:
    """None leaves it out; but somewhere there must be a change."""
    learns = False
    for step in _steps(learning):
        parameters = list(step.free_energy.network.parameters())
        found = learning.gradients(step)
        if not isinstance(found, list | tuple) or len(found) != len(parameters):
            yield f"gives {len(found)} gradients; {len(parameters)}, one for each parameter"
            return
        pairs = [(g, p) for g, p in zip(found, parameters, strict=True) if g is not None]
        shapes = [tuple(p.shape) for _, p in pairs]
        wrong = list(misfits([g for g, _ in pairs], shapes, parameters[0], "gradient"))
        if wrong:
            yield from wrong
            return
        learns |= any(bool(g.any()) for g, _ in pairs)
    if not learns:
        yield "no weight would change, although there are errors"


@law("learning", "asking changes neither weights nor states, and gives the same again")
def learning_leaves_alone(learning: kinds.Learning) -> Iterator[str]:
    """The optimiser changes weights, nobody else."""
    step = next(_steps(learning))
    held = (step.states, step.first, step.free_energy.network.state_dict())
    before = copied(held)
    found = [list(learning.gradients(step)) for _ in range(2)]
    for name, old, new in zip(
        ("the states", "the first states", "the weights"), before, held, strict=True
    ):
        if not same(old, new):
            yield f"asking for gradients changes {name}"
    if not same(*found):
        yield "asked twice at the same step it gives two answers"


@law("learning", "gradients are sums over the batch")
def learning_sums(learning: kinds.Learning) -> Iterator[str]:
    """Every sample twice gives every gradient twice; the optimiser's step divides by the batch."""
    once, twice = torch.arange(10), torch.arange(20) % 10
    found = [_gradients_for(learning, index) for index in (once, twice)]
    for i, (g, doubled) in enumerate(zip(*found, strict=True)):
        if g is not None and doubled is not None and not same(2 * g, doubled, within=CLOSER):
            yield f"gradient {i} of every sample twice is not twice the gradient"
            return


def _gradients_for(learning: kinds.Learning, index: Tensor) -> list[Tensor | None]:
    """Gradients for some samples of the toy batch."""
    batch = toy_batch()
    chosen = replace(batch, x=batch.x[index], y=batch.y[index], index=index)
    return list(learning.gradients(next(_steps(learning, chosen))))


# Optimisers of the weights -----------------------------------------------------------------------


@law("weights", "it is an optimiser of torch for every parameter, with the entry's rate")
def weights_cover(weights: kinds.WeightOptimiser) -> Iterator[str]:
    """All parameters, each once."""
    network = tanh_problem().network
    made = weights(network)
    if not isinstance(made, torch.optim.Optimizer):
        yield f"gives {type(made).__name__}; a torch.optim.Optimizer"
        return
    held = [id(p) for group in made.param_groups for p in group["params"]]
    if sorted(held) != sorted(id(p) for p in network.parameters()):
        yield "its parameters are not those of the network, each once"
    if any(group["lr"] != weights.rate for group in made.param_groups):
        yield f"its rate is not the entry's, {weights.rate:g}"


@law("weights", "a step moves the weights, making it does not, and a state can be kept")
def weights_step(weights: kinds.WeightOptimiser) -> Iterator[str]:
    """Rewinding loads what state_dict has written."""
    network = tanh_problem().network
    before = copied(network.state_dict())
    made = weights(network)
    if not same(before, network.state_dict()):
        yield "making the optimiser changes weights"
    for p in network.parameters():
        p.grad = torch.ones_like(p)
    made.step()
    if same(before, network.state_dict()):
        yield "a step with gradients moves nothing"
    if not all(bool(torch.isfinite(p).all()) for p in network.parameters()):
        yield "a step with gradients of one gives weights that are not finite"
    fresh = weights(network)
    fresh.load_state_dict(made.state_dict())
