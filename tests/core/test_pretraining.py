"""First weights: trained once, kept, read again, and made anew where the file is damaged."""

import pytest
import torch
from safetensors import safe_open

from core import BadInput, Experiment, accuracy, pretraining
from core.datasets.small_digits import SmallDigits
from core.dynamics.gradient import Adam
from core.energies.cross_entropy import CrossEntropy
from core.inits.zero import Zero
from core.networks.decoder import Decoder
from core.networks.mlp import MLP
from core.precisions.spiking import Spiking
from core.pretraining import first_weights, reconstruction_error, trained
from core.tasks.reconstruct import Reconstruct

CLASSIFIER = Experiment(dataset=SmallDigits(), network=MLP(hidden=(12,)))
DECODER = Experiment(
    dataset=SmallDigits(), network=Decoder(latent=4, hidden=(12,)), task=Reconstruct(), init=Zero()
)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Fewer epochs than people get."""
    monkeypatch.setattr(pretraining, "EPOCHS", {"classifier": 3, "decoder": 2})


def quiet(line, share):
    """No progress."""


def first(experiment, progress=quiet):
    """A network with its first weights, and the course behind them."""
    images = experiment.dataset()
    network = experiment.build(images.shape, images.classes)
    return network, first_weights(experiment, images, network, progress)


def same(one, two):
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def no_training(monkeypatch):
    def refuse(*args):
        raise AssertionError("trained again")

    monkeypatch.setattr(pretraining, "_train", refuse)


@pytest.mark.parametrize(("experiment", "epochs"), [(CLASSIFIER, 3), (DECODER, 2)])
def test_weights_are_trained_once_and_then_read(experiment, epochs, cache, monkeypatch):
    told = []
    network, course = first(experiment, lambda line, share: told.append((line, share)))
    assert course.epochs == epochs
    assert course.path.is_relative_to(cache)
    assert [path.name for path in cache.rglob("*") if path.is_file()] == [course.path.name]
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert all(len(line.splitlines()) == 1 for line, _ in told)
    no_training(monkeypatch)
    again, read = first(experiment)
    assert read == course
    assert same(network, again)


def test_trained_weights_are_better_than_random_ones(cache):
    images = CLASSIFIER.dataset()
    random = CLASSIFIER.build(images.shape, images.classes)
    network, course = first(CLASSIFIER)
    assert accuracy(random, images.test_x, images.test_y) < 0.3
    assert accuracy(network, images.test_x, images.test_y) > 0.5
    assert course.score == "test accuracy"
    random = DECODER.build(images.shape, images.classes)
    network, course = first(DECODER)
    plan = pretraining._plan(DECODER)
    assert course.scores[-1] == reconstruction_error(plan, images, network)
    assert course.scores[-1] < 0.8 * reconstruction_error(plan, images, random)
    assert "reconstruction" in course.score


def test_an_epoch_s_score_is_that_of_its_weights(cache):
    images = CLASSIFIER.dataset()
    for epoch in (1, 2, 3):
        network, course = first(CLASSIFIER.changed(pretraining=f"epoch {epoch}"))
        assert accuracy(network, images.test_x, images.test_y) == course.scores[epoch - 1]
        with safe_open(course.path, framework="pt") as held:
            for name, value in network.state_dict().items():
                assert torch.equal(value, held.get_tensor(f"{epoch}/{name}"))


def test_trained_means_the_last_epoch(cache):
    assert same(first(CLASSIFIER)[0], first(CLASSIFIER.changed(pretraining="epoch 3"))[0])
    assert not same(first(CLASSIFIER)[0], first(CLASSIFIER.changed(pretraining="epoch 2"))[0])


def test_an_epoch_that_is_not_there_is_refused_in_one_line(cache):
    with pytest.raises(BadInput) as caught:
        first(CLASSIFIER.changed(pretraining="epoch 99"))
    assert str(caught.value) == "pretraining: epoch 99; epoch 1 to 3"


def test_random_weights_need_no_training_and_no_cache(cache, monkeypatch):
    no_training(monkeypatch)
    experiment = CLASSIFIER.changed(pretraining="random")
    network, course = first(experiment)
    images = experiment.dataset()
    assert course is None
    assert same(network, experiment.build(images.shape, images.classes))
    assert not cache.exists()


def tensors(path):
    with safe_open(path, framework="pt") as held:
        return {name: held.get_tensor(name).clone() for name in held.keys()}


def truncated(data):
    return data[: len(data) // 2]


def header_only(data):
    return data[: 8 + int.from_bytes(data[:8], "little")]


def flipped(position):
    def damage(data):
        at = int(position * len(data))
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]

    return damage


DAMAGES = {
    "empty": lambda data: b"",
    "half": truncated,
    "no tensors": header_only,
    "zeros": lambda data: bytes(len(data)),
    "a zeroed tail": lambda data: data[:-4096] + bytes(4096),
    "text": lambda data: b"{}" * 1000,
    "a pickle": lambda data: b"\x80\x04\x95" + data,
    "a longer tail": lambda data: data + b"x",
    "a flipped bit in the middle": flipped(0.5),
    "a flipped bit near the end": flipped(0.99),
    "a flipped bit in the header": flipped(0.002),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_made_anew(damage, cache, monkeypatch):
    monkeypatch.setattr(pretraining, "EPOCHS", {"classifier": 1})
    network, course = first(CLASSIFIER)
    whole = tensors(course.path)
    course.path.write_bytes(damage(course.path.read_bytes()))
    again, made = first(CLASSIFIER)
    assert same(network, again)
    assert made.scores == course.scores
    assert made.path == course.path
    mended = tensors(made.path)
    assert mended.keys() == whole.keys()
    assert all(torch.equal(mended[name], whole[name]) for name in whole)


def test_what_decides_the_training_decides_the_file(cache, monkeypatch):
    monkeypatch.setattr(pretraining, "EPOCHS", {"classifier": 1, "decoder": 1})
    paths = {
        name: trained(experiment, experiment.dataset(), quiet).path
        for name, experiment in {
            "plain": CLASSIFIER,
            "seed": CLASSIFIER.changed(seed=1),
            "network": CLASSIFIER.changed(network=MLP(hidden=(13,))),
            "energy": CLASSIFIER.changed(energy=CrossEntropy()),
            "data": CLASSIFIER.changed(dataset=SmallDigits(scale="0..1")),
            "task": DECODER,
        }.items()
    }
    assert len(set(paths.values())) == len(paths)
    for other in (
        CLASSIFIER.changed(steps=3, batch_size=7, dynamics=Adam(), precision=Spiking()),
        CLASSIFIER.changed(dtype="float64", pretraining="epoch 1"),
    ):
        assert trained(other, other.dataset(), quiet).path == paths["plain"]


def test_weights_come_in_the_experiment_s_type(cache):
    network, _ = first(CLASSIFIER)
    double, _ = first(CLASSIFIER.changed(dtype="float64"))
    for a, b in zip(network.parameters(), double.parameters(), strict=True):
        assert b.dtype == torch.float64
        assert torch.equal(a.double(), b)


def test_a_network_that_takes_over_weights_says_that_they_are_others(cache):
    images = CLASSIFIER.dataset()
    network = CLASSIFIER.build(images.shape, images.classes)
    version = network.version
    first_weights(CLASSIFIER, images, network, quiet)
    assert network.version != version


def test_training_twice_gives_the_same_file(cache, tmp_path, monkeypatch):
    _, one = first(CLASSIFIER)
    monkeypatch.setenv("RELAXOSCOPE_CACHE", str(tmp_path / "other"))
    _, two = first(CLASSIFIER)
    assert one.path != two.path
    a, b = tensors(one.path), tensors(two.path)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_cache_that_cannot_be_written_costs_a_warning_and_no_weights(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("RELAXOSCOPE_CACHE", str(blocked / "cache"))
    with pytest.warns(UserWarning, match="cache"):
        _, course = first(CLASSIFIER)
    assert course.epochs >= 1
