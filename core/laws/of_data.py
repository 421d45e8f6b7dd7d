"""What must hold for what is clamped, mapped and shown? Laws of tasks, networks and data sets."""

from collections.abc import Iterator
from dataclasses import replace
from math import prod
from typing import Any

import torch
from torch import Tensor

from core import kinds
from core.batches import Batch, ImageSet
from core.catalogue import BadInput
from core.laws.law import Skipped, law
from core.laws.problem import (
    CLOSE,
    copied,
    legal,
    misfits,
    relaxation,
    same,
    seeded,
    small_network,
    toy_batch,
    toy_images,
)
from core.network import Network
from core.phase import Phase

ENDS = ("input", "output")

# Tasks -------------------------------------------------------------------------------------------


def _asked(task: kinds.Task, batch: Batch) -> tuple[Network, tuple[Phase, ...]]:
    """The phases of a batch on a small network, in float64."""
    if getattr(task, "image_at", None) not in ENDS:
        raise ValueError(f"image_at is {getattr(task, 'image_at', None)!r}; one of {ENDS}")
    images = toy_images()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = small_network(task.image_at)(images.shape, images.classes).double()
    return network, tuple(task.phases(network, batch, images.classes, seeded()))


@law("task", "phases have names of their own and begin from earlier ones")
def task_phases(task: kinds.Task) -> Iterator[str]:
    """At least one."""
    _, phases = _asked(task, toy_batch())
    if not phases:
        yield "there is no phase"
    names = [one.name for one in phases]
    if len(set(names)) != len(names) or not all(names):
        yield f"the names of the phases are {names}; each its own, none empty"
    for i, one in enumerate(phases):
        if one.begin_from is not None and one.begin_from not in names[:i]:
            yield f"phase {one.name} begins from {one.begin_from}; an earlier phase"
        if one.steps is not None and one.steps < 0:
            yield f"phase {one.name} has {one.steps} steps; 0 or more, or None"
        if one.nudged and one.cost is None:
            yield f"phase {one.name} has a nudge and no cost"


@law("task", "what is clamped, held or given are states that exist, with their shapes")
def task_shapes(task: kinds.Task) -> Iterator[str]:
    """Values are finite and of the network's type."""
    batch = toy_batch()
    network, phases = _asked(task, batch)
    shapes = [(len(batch.x), *node.shape) for node in network.nodes]
    for one in phases:
        held = {i: value for i, (value, _) in one.held.items()}
        for what, values in (("clamped", one.clamped), ("held", held), ("given", one.given)):
            bad = [i for i in values if not 0 <= i < len(shapes)]
            if bad:
                yield f"phase {one.name}: state {bad[0]} is {what}; states are 0..{network.top}"
                continue
            for i, value in values.items():
                for line in misfits([value], [shapes[i]], network.example, f"{what} state {i},"):
                    yield f"phase {one.name}: {line}"
        if one.target is not None:
            for line in misfits([one.target], [shapes[network.top]], network.example, "target"):
                yield f"phase {one.name}: {line}"


@law("task", "the same generator gives the same phases, and the batch stays as it is")
def task_repeats(task: kinds.Task) -> Iterator[str]:
    """All lots are drawn from the generator."""
    batch = toy_batch()
    before = copied((batch.x, batch.y))
    first, second = (_plain(_asked(task, batch)[1]) for _ in range(2))
    if not same(first, second):
        yield "two calls with equal generators differ"
    if not same(before, (batch.x, batch.y)):
        yield "changes the batch in place"


def _plain(phases: tuple[Phase, ...]) -> list[Any]:
    """What is in phases, without their functions."""
    return [
        [p.name, p.steps, dict(p.clamped), p.nudge, p.target, p.share, dict(p.held), dict(p.given)]
        for p in phases
    ]


@law("task", "a relaxation of it stays finite")
def task_relaxes(task: kinds.Task) -> Iterator[str]:
    """With whatever the rules of the house let it go with."""
    try:
        experiment = legal(task=task)
    except BadInput as refused:
        raise Skipped(f"no init and dynamics here go with it ({refused})") from refused
    made = relaxation(experiment)
    made.run()
    for i, h in enumerate(made.states):
        if not bool(torch.isfinite(h).all()):
            yield f"state {i} is not finite after {experiment.steps} steps"


# Networks ----------------------------------------------------------------------------------------

SHAPES = ((1, 8, 8), (1, 28, 28), (3, 32, 32))
"""Images on which networks are built; the first that one takes counts."""


def _built(kind: kinds.NetworkKind, seed: int = 0) -> tuple[Network, tuple[int, ...]]:
    """The network for 10 classes, and the shape of its images."""
    refused: BadInput | None = None
    for shape in SHAPES:
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                return kind(shape, 10), shape
        except BadInput as said:
            refused = said
    raise Skipped(f"takes no images of shapes {SHAPES} ({refused})")


def _states(network: Network, batch: int = 2) -> list[Tensor]:
    """Random states."""
    generator = seeded()
    return [torch.randn(batch, *node.shape, generator=generator) for node in network.nodes]


@law("network", "its image is a state at the end that it says, and its output has the classes")
def network_ends(kind: kinds.NetworkKind) -> Iterator[str]:
    """Sizes that fit any data set."""
    network, shape = _built(kind)
    if kind.image_at not in ENDS:
        yield f"image_at is {kind.image_at!r}; one of {ENDS}"
        return
    wanted = 0 if kind.image_at == "input" else network.top
    if network.image != wanted:
        yield f"the image is state {network.image}; {wanted}, as image_at says"
    if network.nodes[wanted].size != prod(shape):
        yield f"the image's state has {network.nodes[wanted].size} units; {prod(shape)}"
    if kind.image_at == "input" and network.nodes[-1].shape != (10,):
        yield f"the output has the shape {network.nodes[-1].shape}; (10,), one for each class"


@law("network", "every prediction is finite and has the shape of its state")
def network_shapes(kind: kinds.NetworkKind) -> Iterator[str]:
    """From random states."""
    network, _ = _built(kind)
    states = _states(network)
    with torch.no_grad():
        found = network.predictions(states)
    shapes = [tuple(states[i].shape) for i in network.layers]
    yield from misfits(found, shapes, network.example, "prediction")


@law("network", "the same seed builds the same weights")
def network_repeats(kind: kinds.NetworkKind) -> Iterator[str]:
    """Weights are drawn from torch's generator."""
    first, second = (dict(_built(kind)[0].state_dict()) for _ in range(2))
    if not same(first, second):
        yield "two networks of the same seed differ"


@law("network", "predicting changes nothing, and a sample's prediction is its own")
def network_of_samples(kind: kinds.NetworkKind) -> Iterator[str]:
    """No running statistics, no dropout, nothing of other samples."""
    network, _ = _built(kind)
    network = network.double()
    states = [h.double() for h in _states(network, 3)]
    before = copied(dict(network.state_dict()))
    with torch.no_grad():
        found = [network.predictions(states) for _ in range(2)]
        alone = network.predictions([h[:1] for h in states])
    if not same(before, dict(network.state_dict())):
        yield "predicting changes the network's state_dict"
    if not same(*found):
        yield "two predictions from the same states differ"
    if not same([mu[:1] for mu in found[0]], alone, within=CLOSE):
        yield "the prediction for a sample depends on the others in the batch"


@law("network", "it can be swept from its roots, or it names its cycle")
def network_order(kind: kinds.NetworkKind) -> Iterator[str]:
    """Acyclic, or says so; depth grows along the way."""
    network, _ = _built(kind)
    try:
        network.order()
    except ValueError as cycle:
        if "->" not in str(cycle):
            yield f"cannot be ordered, and the cycle is not named: {cycle}"
        return
    for i in network.layers:
        deepest = max(network.nodes[p].depth for p in network.nodes[i].parents)
        if network.nodes[i].depth < deepest:
            yield f"state {i} has depth {network.nodes[i].depth}, below its parents' {deepest}"
    if not any(True for _ in network.parameters()):
        yield "there are no weights"


# Data sets ---------------------------------------------------------------------------------------


def _loaded(kind: kinds.DatasetKind) -> ImageSet:
    try:
        return kind()
    except BadInput as refused:
        raise Skipped(str(refused)) from refused


@law("dataset", "it is a set of images with so many classes, each with images of both splits")
def dataset_classes(kind: kinds.DatasetKind) -> Iterator[str]:
    """The class variable is asked before the images are loaded."""
    images = _loaded(kind)
    if not isinstance(images, ImageSet):
        yield f"gives {type(images).__name__}; a core.batches.ImageSet"
        return
    if kind.classes != images.classes:
        yield f"the class variable classes is {kind.classes}; the set has {images.classes}"
    for split in ("train", "test"):
        seen = set(images.split(split)[1].tolist())
        missing = sorted(set(range(images.classes)) - seen)
        if missing:
            yield f"no {split} image of class {missing[0]}"


@law("dataset", "pixels are within the range that it names")
def dataset_range(kind: kinds.DatasetKind) -> Iterator[str]:
    """Low and high are what figures and errors clip to."""
    images = _loaded(kind)
    for split in ("train", "test"):
        x = images.split(split)[0]
        low, high = float(x.min()), float(x.max())
        if low < images.low or high > images.high:
            yield (
                f"{split} pixels are in [{low:g}, {high:g}]; "
                f"low and high say [{images.low:g}, {images.high:g}]"
            )


@law("dataset", "loaded again it is the same")
def dataset_repeats(kind: kinds.DatasetKind) -> Iterator[str]:
    """Order and split belong to the set."""
    if _loaded(kind).fingerprint != _loaded(replace(kind)).fingerprint:  # type: ignore[type-var]
        yield "two loads have different fingerprints"
