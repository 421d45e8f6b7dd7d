"""Pixels in other ranges: each channel standardised, clipped to its own ends, shown as it was."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torchvision import transforms

import core
from core.batches import Batches
from core.catalogue import make
from core.datasets.pixels import image_set, moments
from core.recorder import Recorder
from core.trace import Sample
from workbench.measures import with_samples
from workbench.views import reconstruction

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


def raw(count=20, seed=0, dtype=torch.uint8):
    """Bytes (count, 3, 4, 5), which hold 0 and 255 in each channel, and labels of two classes."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 256, (count, 3, 4, 5), generator=generator, dtype=torch.uint8)
    x[0, :, 0, 0], x[0, :, 0, 1] = 0, 255
    return x.to(dtype), torch.arange(count) % 2


def made(scale="standard", published=(MEAN, STD), dtype=torch.uint8):
    about = {"full": 255.0, "class_names": ("a", "b"), "published": published}
    return image_set("toy", raw(dtype=dtype), raw(seed=1, dtype=dtype), scale=scale, **about)


@pytest.mark.oracle("other implementation")
def test_published_moments_give_torchvisions_normalize_to_the_bit():
    images = made()
    for ours, (bytes_x, _) in ((images.train_x, raw()), (images.test_x, raw(seed=1))):
        read = [transforms.functional.to_tensor(one.permute(1, 2, 0).numpy()) for one in bytes_x]
        assert torch.equal(ours, transforms.Normalize(MEAN, STD)(torch.stack(read)))


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_moments_are_numpys_mean_and_deviation_of_each_channel(dtype):
    x = raw(dtype=dtype)[0]
    mean, std = moments(x, 255.0)
    values = x.numpy().astype(np.float64) / 255
    np.testing.assert_allclose(mean, values.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std, values.std((0, 2, 3)), rtol=1e-12)


@pytest.mark.oracle("closed form")
def test_own_moments_are_those_of_the_training_images_in_both_splits():
    images, unit = made(published=None), made("0..1")
    for c in range(3):
        own = images.train_x[:, c].double()
        assert abs(float(own.mean())) < 1e-6 and abs(float(own.std(correction=0)) - 1) < 1e-6
    of_training = unit.train_x.double()
    mean, std = (
        getattr(of_training, name)(dim=(0, 2, 3), keepdim=True, **about)
        for name, about in (("mean", {}), ("std", {"correction": 0}))
    )
    expected = ((unit.test_x.double() - mean) / std).float()
    torch.testing.assert_close(images.test_x, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", ["0..1", "-1..1", "standard"])
@pytest.mark.parametrize("published", [(MEAN, STD), (MEAN[::-1], STD[::-1])])
def test_black_and_white_are_the_ends_of_each_channel(scale, published):
    images = made(scale, published)
    for c in range(3):
        own = images.train_x[:, c]
        assert (float(own.min()), float(own.max())) == images.channel(c)
    ends = [images.channel(c) for c in range(3)]
    assert images.low == min(black for black, _ in ends)
    assert images.high == max(white for _, white in ends)
    assert bool(images.black) is bool(images.white) is (scale == "standard")
    low, high = images.pixels
    assert low.shape == high.shape == (3, 4, 5)
    assert all(low[c].unique().tolist() == [ends[c][0]] for c in range(3))
    assert all(high[c].unique().tolist() == [ends[c][1]] for c in range(3))


@pytest.mark.parametrize("scale", ["0..1", "-1..1", "standard"])
def test_brightness_undoes_every_scale(scale):
    images = made(scale)
    expected = raw()[0] / 255
    torch.testing.assert_close(images.brightness(images.train_x), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(images.brightness(images.train_x[3]), expected[3], rtol=0, atol=1e-6)


class Pretended:
    """A network as the recorder asks for it, with one layer of images."""

    layers, nodes, image = (), (), 0
    example = torch.zeros(1, dtype=torch.float64)
    roots, top = (0,), 0

    def __init__(self, swept):
        self.swept = swept

    def sweep(self, given):
        return [self.swept]


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("flat", [False, True])
def test_errors_clip_each_channel_to_its_own_ends(flat, monkeypatch):
    images = made()
    target = images.train_x[:2].double()
    far = torch.full_like(target, 1e3)  # clipped to white everywhere
    white = torch.tensor(images.white, dtype=torch.float64)[:, None, None]
    expected = (white - target).square().mean((1, 2, 3))
    shape = (2, -1) if flat else target.shape
    recorder = Recorder(
        Pretended(far.reshape(shape)), 2, shows=("swept", "swept_mse"), pixels=images.pixels
    )

    class Step:
        states = (far,)
        free_energy = None

    Step.target = target.reshape(shape)
    recorder._frame(Step, 0)
    torch.testing.assert_close(recorder._frames["swept_mse"][0], expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("scale", ["0..1", "-1..1", "standard"])
def test_figures_show_images_as_they_were_before_they_were_standardised(scale, tmp_path):
    x, y = raw()
    x[:, 0] //= 4  # so that channels have other moments
    x[:, 1, 0, 0], x[:, 1, 0, 1] = 0, 255  # what even channels are drawn between
    held = {"x_train": x, "y_train": y, "x_test": x, "y_test": y}
    np.savez(tmp_path / "a.npz", **{name: one.numpy() for name, one in held.items()})
    source = make("dataset", "Npz", {"path": str(tmp_path / "a.npz"), "classes": 2, "scale": scale})
    experiment = core.Experiment(
        dataset=source, network=make("network", "Decoder", {"latent": 2, "hidden": (3,)}),
        task=make("task", "Reconstruct"), init=make("init", "Zero"), batch_size=20, steps=2,
        pretraining="random",
    )  # fmt: skip
    trace = core.relax(experiment)
    images = source()
    batch = Batches(images, 20, aligned=True, seed=0).batch(0)
    shown = Sample(batch.y.numpy(), batch.x[:8].numpy())
    drawn = reconstruction.figure(with_samples(trace, {0: shown})).axes
    assert ("black" in trace.attrs) == (scale == "standard")
    for ax, k in zip(drawn, batch.index[:8].tolist(), strict=False):
        picture = ax.images[0].get_array().transpose(2, 0, 1)
        np.testing.assert_allclose(picture, x[k].numpy() / 255, atol=1e-5)
    plt.close("all")


def test_a_first_look_at_mnist_says_how_it_is_standardised():
    kinds = {name: make("dataset", name) for name in ("MNIST", "FashionMNIST")}
    fields = {name: type(one).__dataclass_fields__["scale"] for name, one in kinds.items()}
    told = {name: one.metadata["dial"]["help"] for name, one in fields.items()}
    assert told["MNIST"].endswith("as published")
    assert told["FashionMNIST"].endswith("over the training images")
