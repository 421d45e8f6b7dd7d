"""Images that are free: what generate and recall end at, in linear networks and in what is kept."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from core import Experiment, Relaxation, chain, relax
from core.batches import Batch, Batches
from core.datasets.small_digits import SmallDigits
from core.dynamics.gradient import GradientDescent
from core.dynamics.langevin import Langevin
from core.inits.forward import Forward
from core.inits.zero import Zero
from core.networks.decoder import Decoder
from core.recorder import LEAN
from core.schema import DIMS
from core.tasks.dream import Dream
from core.tasks.generate import Generate
from core.tasks.recall import Recall
from core.tasks.reconstruct import Reconstruct
from tests.problems import linear

SHAPE = (1, 2, 3)
SMALL = Experiment(
    dataset=SmallDigits(),
    network=Decoder(latent=3, hidden=(5,)),
    task=Recall(),
    init=Zero(),
    pretraining="random",
    steps=5,
    batch_size=12,
)


def batch(x):
    return Batch(x, torch.zeros(len(x), dtype=torch.int64), torch.arange(len(x)), 0)


def relaxed(network, task, x, seed=0, **choices):
    """The states after the last step, and the phase."""
    recipe = replace(Experiment(steps=400).recipe, **{"init": Zero(), **choices})
    generator = torch.Generator().manual_seed(seed)
    (phase,) = task.phases(network, batch(x), 1, generator)
    made = Relaxation(network, [phase], recipe, generator=generator)
    made.run()
    return made.states, phase


def line(seed=0):
    """One latent unit and six pixels on a line through zero, mu = W h_0; and W."""
    W = torch.randn(6, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return chain([linear(W.tolist())], [(1,), (6,)], image=1), W[:, 0]


def pixels(count=4, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, *SHAPE, generator=generator, dtype=torch.float64)


# Generate ----------------------------------------------------------------------------------------


def test_without_noise_the_image_is_the_forward_one_of_the_drawn_latent_state():
    torch.manual_seed(0)
    network = Decoder(latent=3, hidden=(5, 4))(SHAPE, 2).double()
    model = torch.nn.Sequential(*[network.maps[str(i)] for i in network.layers])
    for init, steps in ((Forward(), 1), (Zero(), 400)):
        descent = GradientDescent(0.3)
        h, phase = relaxed(network, Generate(), pixels(), init=init, steps=steps, dynamics=descent)
        assert_close(h[-1], model(phase.clamped[0]).detach(), rtol=1e-9, atol=1e-9)


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("sd", [0.0, 1.0, 2.5])
def test_with_noise_states_are_samples_of_the_model(sd):
    # z ~ N(0, sd^2), h_1 ~ N(2 z, 1), h_2 ~ N(h_1 / 2, 1). A Langevin step of rate a turns the
    # covariance 1/H of the hidden states given z into 1/H 1/(1 - a H / 2).
    network = chain([linear([[2.0]]), linear([[0.5]])], [(1,)] * 3, image=2)
    rate, count = 0.1, 40_000
    states, _ = relaxed(
        network,
        Generate(sd=sd),
        torch.zeros(count, 1, 1, 1),
        dynamics=Langevin(rate=rate),
        steps=150,
    )
    H = torch.tensor([[1.25, -0.5], [-0.5, 1.0]], dtype=torch.float64)
    given = torch.linalg.inv(H) @ torch.linalg.inv(torch.eye(2).double() - rate * H / 2)
    along = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64)
    expected = sd**2 * torch.outer(along, along)
    expected[1:, 1:] += given
    found = torch.cov(torch.cat(states, dim=1).T)
    spread = expected.diagonal().sqrt()
    # A sample covariance is off by about sqrt(2 / n) = 0.7 % of the product of the spreads.
    assert float((found - expected).abs().max()) < 0.03 * float(spread.max()) ** 2


def test_the_drawn_latent_state_has_the_standard_deviation_of_its_dial():
    network, _ = line()
    _, phase = relaxed(network, Generate(sd=2.5), pixels(20_000), steps=1)
    # The standard deviation of 20000 numbers is off by about 0.5 %.
    assert float(phase.clamped[0].std()) == pytest.approx(2.5, rel=0.025)


# Recall ------------------------------------------------------------------------------------------


@pytest.mark.oracle("closed form")
def test_from_noise_a_linear_decoder_recalls_the_nearest_pair_of_image_and_latent_state():
    # F = |h_1 - W h_0|^2 / 2 falls along (-W, 1): plain descent ends at the projection of the first
    # states (0, x') onto the pairs (h_0, W h_0), where h_0 = W x' / (1 + |W|^2).
    network, W = line()
    states, phase = relaxed(network, Recall(amount=0.5), pixels(), dynamics=GradientDescent(0.1))
    latent = phase.given[1] @ W / (1 + W @ W)
    assert_close(states[0][:, 0], latent, rtol=1e-9, atol=1e-9)
    assert_close(states[1], torch.outer(latent, W), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("amount", [1 / 6, 0.5, 5 / 6])
def test_hidden_pixels_of_an_image_that_the_decoder_can_draw_are_found(amount):
    network, W = line()
    x = torch.outer(torch.tensor([1.5, -0.5], dtype=torch.float64), W).reshape(2, *SHAPE)
    task = Recall(corruption="mask", amount=amount)
    states, _ = relaxed(network, task, x, dynamics=GradientDescent(0.1), steps=1000)
    assert_close(states[0][:, 0], torch.tensor([1.5, -0.5]).double(), rtol=1e-6, atol=1e-6)
    assert_close(states[1], x.reshape(2, 6), rtol=1e-6, atol=1e-6)


@pytest.mark.oracle("closed form")
def test_known_pixels_stay_and_the_hidden_ones_are_those_of_the_best_latent_state():
    # h_0 = W_k x_k / |W_k|^2 by least squares on the known pixels; the others are drawn from it.
    network, W = line()
    x = pixels()
    task = Recall(corruption="mask", amount=0.5)
    states, _ = relaxed(network, task, x, dynamics=GradientDescent(0.1), steps=1000)
    flat = x.reshape(4, 6)
    latent = flat[:, :3] @ W[:3] / (W[:3] @ W[:3])
    assert torch.equal(states[1][:, :3], flat[:, :3])
    assert_close(states[1][:, 3:], torch.outer(latent, W[3:]), rtol=1e-6, atol=1e-6)


def test_recall_never_sees_what_is_hidden():
    network, _ = line()
    x = pixels()
    other = x.clone()
    other[:, :, 1] += 5.0  # the second of two rows
    task = Recall(corruption="mask", amount=0.5)
    (one, _), (two, _) = (
        relaxed(network, task, images, dynamics=GradientDescent(0.1), steps=50)
        for images in (x, other)
    )
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


# What is kept ------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", [Reconstruct(), Recall(), Recall(corruption="mask"), Generate()])
def test_a_decoder_s_images_and_errors_are_what_its_task_shows(task):
    data = relax(SMALL.changed(task=task), align=True)
    known = {"prediction", "swept", "image", "probability"}
    shown = {name for name in data if name.removesuffix("_mse") in known}
    assert shown == set(task.shows)
    for name in task.shows:
        assert data[name].dims == DIMS[name]
    assert ("alignment" in data) == task.has_loss
    assert not known & {name.removesuffix("_mse") for name in relax(SMALL, level=LEAN)}


def test_errors_of_recalled_images_are_against_the_original():
    experiment = SMALL.changed(task=Recall(amount=0.2))
    data = relax(experiment, batch=1)
    images = experiment.dataset()
    original = Batches(images, 12, aligned=False, seed=0).batch(1).x[:8].numpy()
    for name in ("prediction", "swept", "image"):
        shown = np.clip(data[name].values, images.low, images.high)
        expected = ((shown - original) ** 2).mean((2, 3, 4))
        np.testing.assert_allclose(data[f"{name}_mse"].values[:, :8], expected, rtol=1e-5)
    # At the start: noise of variance 0.04, the part beyond the range of pixels clipped away.
    assert 0 < float(data.image_mse[0].mean()) < 0.045


def test_a_dream_has_no_error_and_its_image_is_the_input_state():
    data = relax(
        Experiment(task=Dream(), init=Zero(), steps=2, dataset=SmallDigits(), pretraining="random")
    )
    assert "image" in data and "image_mse" not in data
    assert data.image.shape[2:] == (1, 8, 8)
