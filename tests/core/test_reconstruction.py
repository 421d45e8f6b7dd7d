"""How well images are reconstructed, against a hand-written decoder and closed forms."""

import copy

import pytest
import torch
from torch import nn

from core import Experiment, Training, make
from core.batches import ImageSet
from core.catalogue import BadInput
from core.reconstruction import reconstruction_error
from core.runs.train import left, train


def decoder(**choices):
    given = {
        "task": make("task", "Reconstruct"),
        "network": make("network", "Decoder", {"latent": 3, "hidden": [5], "activation": "tanh"}),
        "dataset": make("dataset", "SmallDigits", {"scale": "0..1"}),
        "init": make("init", "Zero"),
        "dynamics": make("dynamics", "GradientDescent", {"rate": 0.1}),
        "steps": 4,
        "batch_size": 10,
        "pretraining": "random",
        "engine": "plain",
    }
    return Experiment(**given | choices)


def few():
    """Two batches of test images, and two that are held out."""
    of = decoder().dataset()
    names = ("name", "train_x", "train_y", "classes", "class_names", "low", "high")
    held = {name: getattr(of, name) for name in names}
    splits = {"test": slice(20, 40), "validation": slice(40, 60)}
    for name, at in splits.items():
        held |= {f"{name}_x": of.train_x[at], f"{name}_y": of.train_y[at]}
    return ImageSet(**held)


def fresh(experiment, images=None):
    images = images or experiment.dataset()
    return Training(experiment, images, experiment.build(images.shape, images.classes))


def by_hand(network, x, T, rate):
    """The error after T steps from zero of a decoder with one hidden layer, by matrix products."""
    first, second = (one for one in network.modules() if isinstance(one, nn.Linear))
    W1, b1, W2, b2 = (p.detach() for p in (first.weight, first.bias, second.weight, second.bias))
    h0, h1 = torch.zeros(len(x), 3), torch.zeros(len(x), 5)
    for _ in range(T):
        mu1 = torch.tanh(h0 @ W1.T + b1)
        e1, e2 = h1 - mu1, x - (h1 @ W2.T + b2)
        h0, h1 = h0 + rate * (e1 * (1 - mu1**2)) @ W1, h1 - rate * (e1 - e2 @ W2)
    found = torch.tanh(h0 @ W1.T + b1) @ W2.T + b2
    return (found.clamp(0, 1) - x).square().mean()


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("T", [1, 4, 9])
def test_the_error_is_that_of_a_relaxation_by_hand(T):
    training = fresh(decoder(), few())
    x = training.images.test_x.flatten(1)
    expected = float(by_hand(training.network, x, T, 0.1))
    assert reconstruction_error(training, steps=T) == pytest.approx(expected, rel=1e-5)
    assert (reconstruction_error(training) == reconstruction_error(training, steps=T)) == (T == 4)


@pytest.mark.oracle("closed form")
def test_a_blind_decoder_has_the_error_of_its_bias():
    """With weights of zero each image is reconstructed as the output's bias, clipped."""
    training = fresh(decoder(), few())
    with torch.no_grad():
        for parameter in training.network.parameters():
            parameter.zero_()
        last = [one for one in training.network.modules() if isinstance(one, nn.Linear)][-1]
        last.bias.fill_(-3.0)  # clipped to a black pixel
    training.network.touch()
    expected = float(training.images.test_x.square().mean())
    assert reconstruction_error(training) == pytest.approx(expected, rel=1e-6)


def test_the_training_stands_as_it_did(tmp_path):
    experiment = decoder(init=make("init", "Memory", {"patterns": 4, "embedding": 16}))
    run = train(experiment, tmp_path / "run", batches=5)
    training = left(run.path)
    before = copy.deepcopy(training.network.state_dict())
    memory = training.memory
    first = reconstruction_error(training, steps=2)
    assert first == reconstruction_error(training, steps=2)
    assert training.memory is memory and training.experiment.steps == 4
    assert all(torch.equal(v, before[k]) for k, v in training.network.state_dict().items())


def test_what_a_run_left_is_what_its_training_was(tmp_path):
    experiment = decoder(init=make("init", "Memory", {"patterns": 4, "embedding": 16}))
    run = train(experiment, tmp_path / "run", batches=5)
    digest, training = run.digest(), left(run.path)
    again = fresh(experiment)
    again.batches = training.batches
    for number in range(5):
        relaxation = again.relaxation(again.batches.batch(number), train=True)
        relaxation.run()
        again.finish(relaxation)
    for name, held in again.network.state_dict().items():
        torch.testing.assert_close(training.network.state_dict()[name], held)
    for i, one in again.memory.patterns.items():
        torch.testing.assert_close(training.memory.patterns[i].V, one.V)
    assert run.digest() == digest and run.state == "finished"


def test_a_classifier_and_a_split_that_is_not_there_are_refused():
    classifier = Experiment(dataset=make("dataset", "SmallDigits"), pretraining="random")
    with pytest.raises(BadInput, match=r"^task: Classify; one that clamps the image at the output"):
        reconstruction_error(fresh(classifier))
    with pytest.raises(BadInput, match=r"^split: validation; "):
        reconstruction_error(fresh(decoder()), split="validation")


@pytest.mark.oracle("closed form")
def test_images_that_are_held_out_have_an_error_of_their_own():
    training = fresh(decoder(), few())
    x = training.images.validation_x.flatten(1)
    expected = float(by_hand(training.network, x, 3, 0.1))
    found = reconstruction_error(training, split="validation", steps=3)
    assert found == pytest.approx(expected, rel=1e-5)
