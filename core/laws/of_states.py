"""What must hold wherever states begin, weigh and move? Laws of inits, precisions and dynamics."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from core import kinds
from core.catalogue import card_of
from core.laws.law import law
from core.laws.problem import (
    CLOSE,
    SAMPLES,
    Problem,
    at_rest,
    copied,
    misfits,
    same,
    seeded,
    tanh_problem,
)
from core.network import States
from core.soundness import fault
from core.start import Start

# Inits -------------------------------------------------------------------------------------------


def _start(problem: Problem, **more: Any) -> Start:
    classes = problem.network.nodes[-1].size
    made = Start(problem.network, dict(problem.clamped), problem.labels, classes)
    return replace(made, generator=seeded(), **more)


def _starts(init: kinds.Init) -> Iterator[tuple[str, Start]]:
    """A first batch, and one that comes after another."""
    problem = tanh_problem()
    first = _start(problem)
    yield "in the first batch", first
    memory = None
    if hasattr(init, "observe"):
        memory = init.observe(_start(problem), problem.states, None)  # type: ignore[attr-defined]
    yield "after a batch", _start(problem, memory=memory, previous=problem.states)


@law("init", "every state gets its shape and type, and is finite")
def init_shapes(init: kinds.Init) -> Iterator[str]:
    """Clamped states are overwritten later, but have their shapes, too."""
    for when, start in _starts(init):
        shapes = [(SAMPLES, *node.shape) for node in start.network.nodes]
        with torch.no_grad():
            found = init(start)
        yield from (f"{when}: {one}" for one in misfits(found, shapes, start.zeros(0), "state"))


@law("init", "the same generator gives the same states")
def init_repeats(init: kinds.Init) -> Iterator[str]:
    """All noise is from the start's generator."""
    for when, start in _starts(init):
        with torch.no_grad():
            found = [init(replace(start, generator=seeded())) for _ in range(2)]
        if not same(*found):
            yield f"{when}: two calls with equal generators differ; take noise from start.noise(i)"


@law("init", "neither clamped values, nor what is remembered, nor the weights are changed")
def init_leaves_alone(init: kinds.Init) -> Iterator[str]:
    """An init reads."""
    for when, start in _starts(init):
        held = (start.clamped, start.memory, start.previous, start.network.state_dict())
        before = copied(held)
        with torch.no_grad():
            init(start)
        for name, old, new in zip(
            ("clamped values", "the memory", "the previous states", "the weights"),
            before,
            held,
            strict=True,
        ):
            if not same(old, new):
                yield f"{when}: changes {name} in place"


# Precisions --------------------------------------------------------------------------------------


def _variants(choice: Any) -> Iterator[tuple[str, Any]]:
    """The entry with its default dials, and with each number at either end of its bounds."""
    yield "", choice
    for one in card_of(choice).dials:
        if one.bounds is not None and one.type in (int, float):
            for bound in one.bounds:
                value = one.type(bound)
                yield f"with {one.name} = {value:g}, ", replace(choice, **{one.name: value})


@law("precision", "there is one finite precision of 0 or more for each step and layer")
def precision_rows(precision: Any) -> Iterator[str]:
    """As a table, or as the row in force where precisions adapt."""
    depth = torch.arange(1, 5)
    for where, one in _variants(precision):
        if not isinstance(one, kinds.Adaptive):
            for T in (4, 9):
                wrong = fault(one.table(T, depth), (T, 4))
                if wrong:
                    yield f"{where}T = {T}: {wrong}"
            continue
        problem = tanh_problem()
        memory = one.init(problem.network.depth)
        for when in ("at first", "after a step"):
            wrong = fault(one.row(memory)[None], (1, 3))
            if wrong:
                yield f"{where}{when}: {wrong}"
            with torch.no_grad():
                memory = one.step(problem.free_energy, problem.states, memory)


@law("precision", "asked twice it gives the same, and depths stay as they are")
def precision_repeats(precision: Any) -> Iterator[str]:
    """No hidden state."""
    depth = torch.arange(1, 5)
    if not isinstance(precision, kinds.Adaptive):
        if not same(precision.table(6, depth), precision.table(6, depth)):
            yield "two tables of the same steps and layers differ"
    else:
        problem = tanh_problem()
        memory = precision.init(depth[:3])
        before = copied(memory)
        steps = [precision.step(problem.free_energy, problem.states, memory) for _ in range(2)]
        if not same(precision.row(steps[0]), precision.row(steps[1])):
            yield "two steps from the same memory differ"
        if not same(before, memory):
            yield "a step changes the memory in place; hand a new one out"
    if not same(depth, torch.arange(1, 5)):
        yield "changes the depths in place"


# Dynamics ----------------------------------------------------------------------------------------


def _stepped(dynamics: kinds.Dynamics, problem: Problem, seed: int = 0) -> States:
    """The states one step later."""
    free_energy = problem.free_energy
    with torch.no_grad():
        memory = dynamics.init(free_energy, problem.states, seeded(seed))
        return dynamics.step(free_energy, problem.states, memory)[0]


def _is_noisy(dynamics: kinds.Dynamics) -> bool:
    """Whether another seed gives other states."""
    problem = tanh_problem()
    return not same(_stepped(dynamics, problem, 0), _stepped(dynamics, problem, 1))


@law("dynamics", "every state keeps its shape and type, and is finite")
def dynamics_shapes(dynamics: kinds.Dynamics) -> Iterator[str]:
    """One step from states with errors in every layer."""
    problem = tanh_problem()
    shapes = [tuple(h.shape) for h in problem.states]
    yield from misfits(_stepped(dynamics, problem), shapes, problem.states[0], "state")


@law("dynamics", "clamped states do not move, and free ones do")
def dynamics_clamps(dynamics: kinds.Dynamics) -> Iterator[str]:
    """Also where only the output is clamped."""
    problem = tanh_problem()
    top = problem.network.top
    moved = _stepped(dynamics, problem)
    for i, h in problem.clamped.items():
        if not same(moved[i], h):
            yield f"state {i} is clamped and moves"
    if all(same(moved[i], problem.states[i]) for i in range(1, top)):
        yield "no free state moves, although there are forces"


@law("dynamics", "states, memory and weights that come in are not changed in place")
def dynamics_leave_alone(dynamics: kinds.Dynamics) -> Iterator[str]:
    """What is needed again is handed out anew."""
    problem = tanh_problem()
    free_energy, weights = problem.free_energy, problem.network.state_dict()
    with torch.no_grad():
        memory = dynamics.init(free_energy, problem.states, seeded())
        states, memory = dynamics.step(free_energy, problem.states, memory)
        before = copied((states, memory, weights))
        dynamics.step(free_energy, states, memory)
    for name, old, new in zip(
        ("the states", "the memory", "the weights"), before, (states, memory, weights), strict=True
    ):
        if not same(old, new):
            yield f"a step changes {name} in place"


@law("dynamics", "the same generator gives the same states")
def dynamics_repeat(dynamics: kinds.Dynamics) -> Iterator[str]:
    """All noise is from the generator that `init` gets."""
    if not same(_stepped(dynamics, tanh_problem()), _stepped(dynamics, tanh_problem())):
        yield "two steps with equal generators differ; keep init's generator in the memory"


@law("dynamics", "permuted samples move as they did before")
def dynamics_of_samples(dynamics: kinds.Dynamics) -> Iterator[str]:
    """A sample's path does not depend on its place; noise, where there is some, is by place."""
    if _is_noisy(dynamics):
        return
    problem, order = tanh_problem(), torch.arange(SAMPLES).flip(0)
    moved = _stepped(dynamics, problem)
    permuted = _stepped(dynamics, problem.permuted(order))
    for i, (a, b) in enumerate(zip(moved, permuted, strict=True)):
        if not same(a[order], b, within=CLOSE):
            yield f"state {i} of a sample depends on the sample's place in the batch"


@law("dynamics", "a step at the equilibrium of a linear network stays there")
def dynamics_rest(dynamics: kinds.Dynamics) -> Iterator[str]:
    """Where no force is left nothing moves, but for noise."""
    if _is_noisy(dynamics):
        return
    problem = at_rest()
    for i, (h, old) in enumerate(zip(_stepped(dynamics, problem), problem.states, strict=True)):
        off = float((h - old).abs().max())
        if not off <= CLOSE:
            yield f"state {i} moves by {off:.3g} where there is no force"


@law("dynamics", "there is a rate")
def dynamics_rate(dynamics: kinds.Dynamics) -> Iterator[str]:
    """What a sentence about divergence names."""
    rate = getattr(dynamics, "rate", None)
    if isinstance(rate, bool) or not isinstance(rate, int | float):
        yield f"rate is {rate!r}; a number, as a dial or a property"
