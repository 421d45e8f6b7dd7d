"""Tasks: the laws of their kind, and what each one clamps."""

import pytest
import torch

from core import Experiment, Relaxation, cards, make
from core.batches import Batch
from core.networks.decoder import Decoder
from core.networks.mlp import MLP
from core.tasks.classify import Classify
from core.tasks.dream import Dream
from core.tasks.reconstruct import Reconstruct

TASKS = list(cards("task"))
NETWORKS = {"input": MLP(hidden=(5, 4)), "output": Decoder(latent=3, hidden=(5, 4))}
SHAPE, CLASSES = (2, 3, 4), 3


def batch(count=6):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(count, *SHAPE, generator=generator)
    y = torch.arange(count) % CLASSES
    return Batch(x, y, torch.arange(count), 0)


def network_for(task, dtype=torch.float64):
    torch.manual_seed(0)
    return NETWORKS[task.image_at](SHAPE, CLASSES).to(dtype)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_task_clamps_states_in_their_shape_and_the_network_s_type(name, dtype):
    task = make("task", name)
    network = network_for(task, dtype)
    phases = task.phases(network, batch(), CLASSES, torch.Generator())
    assert phases
    for phase in phases:
        assert phase.steps is None
        assert phase.clamped
        for i, value in phase.clamped.items():
            assert value.shape == (6, *network.nodes[i].shape)
            assert value.dtype == dtype


@pytest.mark.parametrize("name", TASKS)
def test_a_task_relaxes_from_zero(name):
    task = make("task", name)
    network = network_for(task, torch.float32)
    recipe = Experiment(steps=3).changed(init=make("init", "Zero")).recipe
    made = Relaxation(network, task.phases(network, batch(), CLASSES, torch.Generator()), recipe)
    made.run()
    assert all(torch.isfinite(h).all() for h in made.states)


@pytest.mark.parametrize("name", TASKS)
def test_a_task_says_at_which_end_it_needs_the_image(name):
    assert make("task", name).image_at in ("input", "output")


def test_classify_clamps_the_image_below_and_its_class_above():
    network, one = network_for(Classify()), batch()
    (phase,) = Classify().phases(network, one, CLASSES, torch.Generator())
    assert set(phase.clamped) == {0, 3}
    assert torch.equal(phase.clamped[0], one.x.reshape(6, 24).double())
    assert torch.equal(phase.clamped[3], torch.eye(3).double()[one.y])


def test_dream_clamps_only_the_class():
    network, one = network_for(Dream()), batch()
    (phase,) = Dream().phases(network, one, CLASSES, torch.Generator())
    assert set(phase.clamped) == {3}
    assert torch.equal(phase.clamped[3], torch.eye(3).double()[one.y])


def test_reconstruct_clamps_the_image_above_and_nothing_below():
    network, one = network_for(Reconstruct()), batch()
    (phase,) = Reconstruct().phases(network, one, CLASSES, torch.Generator())
    assert set(phase.clamped) == {3}
    assert torch.equal(phase.clamped[3], one.x.reshape(6, 24).double())
