"""Tasks: the laws of their kind, and what each one clamps."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from core import Experiment, Relaxation, cards, make
from core.batches import Batch
from core.dynamics.gradient import GradientDescent
from core.inits.forward import Forward
from core.inits.zero import Zero
from core.learning.local import PredictiveCoding
from core.networks.decoder import Decoder
from core.networks.mlp import MLP
from core.recorder import IMAGES
from core.schema import DIMS
from core.tasks.clamped_nudge import ClampedNudge
from core.tasks.classify import Classify
from core.tasks.dream import Dream
from core.tasks.nudge import Nudge
from core.tasks.recall import Recall
from core.tasks.reconstruct import Reconstruct

TASKS = list(cards("task"))
NETWORKS = {"input": MLP(hidden=(5, 4)), "output": Decoder(latent=3, hidden=(5, 4))}
SHAPE, CLASSES = (2, 3, 4), 3


def batch(count=6, epoch=0):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(count, *SHAPE, generator=generator)
    y = torch.arange(count) % CLASSES
    return Batch(x, y, torch.arange(count), 0, epoch)


def network_for(task, dtype=torch.float64):
    torch.manual_seed(0)
    return NETWORKS[task.image_at](SHAPE, CLASSES).to(dtype)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_all_that_a_task_sets_has_the_shape_of_its_state_and_the_network_s_type(name, dtype):
    task = make("task", name)
    network = network_for(task, dtype)
    phases = task.phases(network, batch(), CLASSES, torch.Generator())
    assert len({phase.name for phase in phases}) == len(phases)
    for phase in phases:
        assert phase.samples == 6
        held = {i: value for i, (value, _) in phase.held.items()}
        for i, value in [*phase.clamped.items(), *phase.given.items(), *held.items()]:
            assert value.shape == (6, *network.nodes[i].shape)
            assert value.dtype == dtype
        if phase.target is not None:
            assert phase.target.shape == (6, *network.nodes[network.top].shape)
            assert phase.target.dtype == dtype


@pytest.mark.parametrize("name", TASKS)
def test_a_task_says_which_ends_it_clamps(name):
    task = make("task", name)
    network = network_for(task)
    ends = {"input": 0, "output": network.top}
    for phase in task.phases(network, batch(), CLASSES, torch.Generator()):
        assert set(phase.clamped) == {ends[end] for end in task.clamps}


@pytest.mark.parametrize("name", TASKS)
def test_a_task_relaxes_from_zero_through_all_its_phases(name):
    task = make("task", name)
    network = network_for(task, torch.float32)
    recipe = replace(Experiment(steps=3).recipe, init=Zero())
    phases = task.phases(network, batch(), CLASSES, torch.Generator())
    made = Relaxation(network, phases, recipe)
    rows = [step.moment.phase for step in made]
    wanted = [(phase.name, (3 if phase.steps is None else phase.steps) + 1) for phase in phases]
    assert rows == [name for name, count in wanted for _ in range(count)]
    assert all(torch.isfinite(h).all() for h in made.states)


@pytest.mark.parametrize("name", TASKS)
def test_a_task_says_at_which_end_it_needs_the_image_and_what_it_shows(name):
    task = make("task", name)
    assert task.image_at in ("input", "output")
    assert set(task.shows) <= set(DIMS)
    assert {one.removesuffix("_mse") for one in task.shows} <= {*IMAGES, "probability"}


@pytest.mark.parametrize("name", TASKS)
def test_the_same_generator_gives_the_same_phases(name):
    task = make("task", name)
    network, one = network_for(task), batch()
    first, again = (
        task.phases(network, one, CLASSES, torch.Generator().manual_seed(3)) for _ in range(2)
    )
    for a, b in zip(first, again, strict=True):
        for i in a.clamped:
            assert torch.equal(a.clamped[i], b.clamped[i])
        for i in a.given:
            assert torch.equal(a.given[i], b.given[i])
        assert torch.equal(torch.as_tensor(a.nudge), torch.as_tensor(b.nudge))


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


# Nudges ------------------------------------------------------------------------------------------


def nudges(scheme, count=6, seed=0):
    """Name and nudge of every phase."""
    generator = torch.Generator().manual_seed(seed)
    phases = Nudge(scheme=scheme, beta=0.2).phases(
        network_for(Nudge()), batch(count), CLASSES, generator
    )
    return {phase.name: phase.nudge for phase in phases}


def test_the_schemes_have_one_nudge_of_each_sign_one_of_them_or_a_drawn_one():
    assert nudges("centered") == {"free": 0.0, "plus": 0.2, "minus": -0.2}
    assert nudges("forward") == {"free": 0.0, "plus": 0.2}
    assert nudges("backward") == {"free": 0.0, "minus": -0.2}
    drawn = nudges("random", 600)
    assert list(drawn) == ["free", "random"]
    assert drawn["random"].shape == (600,) and drawn["random"].dtype == torch.float64
    assert torch.equal(drawn["random"].abs(), torch.full((600,), 0.2, dtype=torch.float64))
    # 300 of 600 with a standard deviation of 12.2.
    assert 240 < int((drawn["random"] > 0).sum()) < 360
    assert not torch.equal(drawn["random"], nudges("random", 600, seed=1)["random"])


def test_nudged_phases_begin_from_the_end_of_the_free_one_with_the_label_as_target():
    network, one = network_for(Nudge()), batch()
    for steps in (0, 7):
        free, *nudged = Nudge(free_steps=steps).phases(network, one, CLASSES, torch.Generator())
        assert free.steps == steps and not free.nudged
        assert all(phase.begin_from == "free" and phase.nudged for phase in nudged)
        assert [phase.steps for phase in nudged] == [None, None]
        for phase in (free, *nudged):
            assert set(phase.clamped) == {0}
            assert torch.equal(phase.target, torch.eye(3).double()[one.y])


@pytest.mark.oracle("other implementation")
def test_the_costs_are_half_the_squared_error_and_torch_s_cross_entropy():
    network, one = network_for(Nudge()), batch()
    h = torch.randn(6, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    labels = torch.eye(3).double()[one.y]
    expected = {
        "squared error": 0.5 * (h - labels).square().sum(1),
        "cross-entropy": torch.nn.functional.cross_entropy(h, one.y, reduction="none"),
    }
    for cost, value in expected.items():
        for phase in Nudge(cost=cost).phases(network, one, CLASSES, torch.Generator()):
            assert_close(phase.cost(h, phase.target), value)


def test_after_a_forward_sweep_the_free_phase_has_no_force():
    network = network_for(Nudge())
    recipe = replace(Experiment(steps=3).recipe, init=Forward())
    phases = Nudge(free_steps=2).phases(network, batch(), CLASSES, torch.Generator())
    for step in Relaxation(network, phases, recipe):
        if step.moment.phase == "free":
            assert float(step.free_energy.total(step.states)) == 0.0
            assert all(not g.any() for g in step.free_energy.forces(step.states))


# Clamped nudges ----------------------------------------------------------------------------------


def test_a_clamped_nudge_stands_between_the_forward_prediction_and_the_label():
    network, one = network_for(ClampedNudge()), batch()
    x, y = one.x.reshape(6, 24).double(), torch.eye(3).double()[one.y]
    mu = torch.nn.Sequential(*[network.maps[str(i)] for i in network.layers])(x).detach()
    for sign, s in (("positive", 1), ("negative", -1)):
        task = ClampedNudge(beta=0.3, sign=sign)
        (phase,) = task.phases(network, one, CLASSES, torch.Generator())
        assert_close(phase.clamped[3], (1 - s * 0.3) * mu + s * 0.3 * y)
        assert phase.share == s * 0.3
        assert torch.equal(phase.target, y)


@pytest.mark.parametrize("sign", ["positive", "negative", "by epoch"])
def test_from_one_on_a_clamped_nudge_is_classify(sign):
    network = network_for(Classify())
    recipe = replace(Experiment(steps=5).recipe, dynamics=GradientDescent(0.1))
    found = []
    for task, epoch in (
        (Classify(), 0),
        (ClampedNudge(beta=1.0, sign=sign), 0),
        (ClampedNudge(beta=0.25, sign=sign, growth=0.25), 3),
        (ClampedNudge(beta=0.5, sign=sign, growth=1.0), 9),
    ):
        phases = task.phases(network, batch(epoch=epoch), CLASSES, torch.Generator())
        made = Relaxation(network, phases, recipe)
        made.run()
        found.append([*made.states, *PredictiveCoding().gradients(made.step())])
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_the_strength_grows_with_the_epoch_until_it_is_one_with_a_positive_sign():
    task = ClampedNudge(beta=0.5, growth=0.125)
    assert [task.share(k) for k in range(6)] == [0.5, 0.625, 0.75, 0.875, 1.0, 1.0]
    task = ClampedNudge(beta=0.5, growth=0.125, sign="negative")
    assert [task.share(k) for k in range(6)] == [-0.5, -0.625, -0.75, -0.875, 1.0, 1.0]


def test_a_sign_by_epoch_is_drawn_once_for_each_epoch():
    task = ClampedNudge(beta=0.5, sign="by epoch")
    shares = [task.share(epoch) for epoch in range(400)]
    assert set(shares) == {0.5, -0.5}
    assert 160 < shares.count(0.5) < 240  # 200 with a standard deviation of 10
    assert shares == [task.share(epoch) for epoch in range(400)]


# Images that are given in part -------------------------------------------------------------------


def test_recall_begins_from_the_image_with_gaussian_noise():
    task, one = Recall(amount=0.3), batch(600)
    (phase,) = task.phases(network_for(task), one, CLASSES, torch.Generator().manual_seed(0))
    x = one.x.reshape(600, 24).double()
    noise = (phase.given[3] - x) / 0.3
    # Of 14400 standard normal numbers: mean within 4.8 and variance within 4.3 deviations.
    assert float(noise.mean().abs()) < 0.04
    assert float((noise.var() - 1).abs()) < 0.05
    assert not phase.held
    assert torch.equal(phase.target, x)


@pytest.mark.parametrize(("amount", "known"), [(0.0, 12), (0.25, 9), (0.5, 6), (1.0, 0)])
def test_recall_holds_the_first_pixels_of_every_channel_and_hides_the_others(amount, known):
    task, one = Recall(corruption="mask", amount=amount), batch()
    (phase,) = task.phases(network_for(task), one, CLASSES, torch.Generator())
    value, mask = phase.held[3]
    expected = torch.zeros(6, 2, 12, dtype=torch.bool)
    expected[:, :, :known] = True
    assert torch.equal(mask, expected.reshape(6, 24))
    x = one.x.reshape(6, 24).double()
    assert torch.equal(value[mask], x[mask])
    assert torch.equal(phase.given[3], torch.where(mask, x, 0.0))
    assert torch.equal(phase.target, x)
