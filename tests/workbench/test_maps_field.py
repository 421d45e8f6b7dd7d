"""What a unit reads is its gradient; its frame is what windows and strides make of one place."""

import numpy as np
import pytest
import torch
from torch import nn

from core import make
from core.network import Network, Node, chain
from core.normalization import Statistics
from workbench.maps_field import BELOW, IMAGE, as_maps, field, outline_of

PIXELS = (2, 9, 7)


def convolutions(*maps, shape=PIXELS):
    """A chain of maps in double precision on images of a shape."""
    torch.manual_seed(3)
    shapes, x = [shape], torch.zeros(1, *shape, dtype=torch.float64)
    for one in maps:
        x = one.double()(x)
        shapes.append(tuple(x.shape[1:]))
    return chain(maps, shapes, image=0)


def drawn(network, batch=3):
    """Random states."""
    generator = torch.Generator().manual_seed(5)
    return [
        torch.randn(batch, *node.shape, dtype=torch.float64, generator=generator)
        for node in network.nodes
    ]


def read(network, states, layer, unit, reads, sample=1):
    return field(network, states, layer, sample, unit, reads, PIXELS)


def test_a_convolution_reads_its_own_kernel():
    conv = nn.Conv2d(2, 4, 3, padding=1)
    network = convolutions(conv)
    found = read(network, drawn(network), 1, (2, 4, 3), BELOW)
    expected = np.zeros((9, 7))
    expected[3:6, 2:5] = conv.weight[2].detach().square().sum(0).sqrt().numpy()
    np.testing.assert_allclose(found.heat, expected, rtol=1e-6)
    assert found.box == (3, 6, 2, 5)


def test_in_a_corner_what_lies_outside_is_not_read():
    network = convolutions(nn.Conv2d(2, 4, 3, padding=1))
    assert read(network, drawn(network), 1, (0, 0, 6), BELOW).box == (0, 2, 5, 7)


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("row", range(4))
def test_windows_grow_as_strides_and_kernels_say(row):
    """[a, b) is read through a kernel k, stride s, padding p as [a s - p, (b - 1) s - p + k)."""
    layers = [(3, 1, 1), (2, 2, 0), (5, 2, 2), (3, 1, 1)]
    maps = [
        nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.GELU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(2, 2, 5, stride=2, padding=2), nn.Tanh()),
        nn.Conv2d(2, 2, 3, padding=1),
    ]
    network = convolutions(*maps, shape=(1, 16, 16))
    first, end = row, row + 1
    for kernel, stride, padding in reversed(layers):
        first, end = first * stride - padding, (end - 1) * stride - padding + kernel
    states = drawn(network)
    found = field(network, states, 3, 0, (1, row, 0), IMAGE, (1, 16, 16))
    assert found.box is not None
    assert found.box[:2] == (max(first, 0), min(end, 16))
    top, bottom, left, right = found.box
    outside = found.heat.copy()
    outside[top:bottom, left:right] = 0
    assert not outside.any() and found.heat.any()


def test_the_frame_does_not_depend_on_weights():
    network = convolutions(nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1))
    nn.init.zeros_(network.maps["1"].weight)
    found = read(network, drawn(network), 2, (0, 4, 3), IMAGE)
    assert not found.heat.any()
    assert found.box == (2, 7, 1, 6)


def test_weights_that_are_no_numbers_have_no_frame():
    network = convolutions(nn.Conv2d(2, 2, 3))
    nn.init.constant_(network.maps["1"].bias, torch.nan)
    assert outline_of(network, 1, 0, (0, 0, 0), PIXELS, False) is None


@pytest.mark.oracle("closed form")
def test_through_linear_maps_the_image_is_read_by_their_product():
    W1, W2 = nn.Linear(12, 5), nn.Linear(5, 4)
    network = chain([W1.double(), W2.double()], [(12,), (5,), (4,)], image=0)
    found = field(network, drawn(network), 2, 0, (3, 0, 0), IMAGE, (1, 3, 4))
    expected = (W2.weight @ W1.weight)[3].detach().abs().reshape(3, 4)
    np.testing.assert_allclose(found.heat, expected, rtol=1e-6)
    assert found.box == (0, 3, 0, 4)


def test_the_state_below_is_read_as_it_stands_and_the_image_through_the_sweep():
    maps = [nn.Sequential(nn.Linear(6, 5), nn.Tanh()), nn.Sequential(nn.Linear(5, 4), nn.Tanh())]
    network = chain([one.double() for one in maps], [(6,), (5,), (4,)], image=0)
    states = drawn(network)

    def slope(h):
        """Of the second map's last unit by what it reads, by hand."""
        a = maps[1][0](h)[3]
        return ((1 - a.tanh() ** 2) * maps[1][0].weight[3]).detach()

    below = field(network, states, 2, 1, (3, 0, 0), BELOW, (1, 2, 3))
    np.testing.assert_allclose(below.heat[:, 0], slope(states[1][1]).abs(), rtol=1e-6)
    assert not below.places and below.box is None
    swept = maps[0](states[0][1])
    through = ((1 - swept**2)[:, None] * maps[0][0].weight).detach()
    expected = (slope(swept) @ through).abs().reshape(2, 3)
    image = field(network, states, 2, 1, (3, 0, 0), IMAGE, (1, 2, 3))
    np.testing.assert_allclose(image.heat, expected, rtol=1e-5)
    assert image.prediction == pytest.approx(maps[1](swept)[3].item())


def test_beside_a_skip_the_layer_reads_only_its_parents():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 3, padding=1)

        def forward(self, h, skipped):
            return self.conv(h) + skipped

    maps = [nn.Conv2d(2, 2, 3, padding=1).double(), Sum().double()]
    nodes = [
        Node(PIXELS),
        Node(PIXELS, (0,), maps[0], depth=1),
        Node(PIXELS, (1, 0), maps[1], depth=2),
    ]
    network = Network(nodes, image=0)
    states = drawn(network)
    assert read(network, states, 2, (0, 4, 3), BELOW).box == (3, 6, 2, 5)
    assert read(network, states, 2, (0, 4, 3), IMAGE).box == (2, 7, 1, 6)


def test_where_a_batch_is_normalised_together_the_others_count():
    network = make("network", "VGG", {"width": 1 / 64, "pools": 1, "batch_norm": "batch"})(
        (1, 8, 8), 10
    ).double()
    states = [torch.rand_like(h) for h in drawn(network, batch=4)]
    network.normalise_by(Statistics())
    x = states[0].clone().requires_grad_()
    mu = network.sweep({0: x})[2][1, 0, 1, 1]
    (expected,) = torch.autograd.grad(mu, x)
    found = field(network, states, 2, 1, (0, 1, 1), IMAGE, (1, 8, 8))
    np.testing.assert_allclose(found.heat, expected[1, 0].abs(), rtol=1e-5, atol=1e-12)
    assert found.box == (0, 7, 0, 7)  # [0, 3) behind the pool, [0, 6) before it


@pytest.mark.oracle("other implementation")
def test_through_relays_and_skips_it_is_the_gradient_of_the_sweep():
    network = make("network", "ResNet", {"width": 1 / 64})((1, 8, 8), 10).double()
    states = drawn(network, batch=2)
    assert network.relays
    for layer in network.layers:
        x = states[0][1:].clone().requires_grad_()
        unit = tuple(n - 1 for n in as_maps(states[layer][0]).shape)
        mu = as_maps(network.sweep({0: x})[layer][0])[unit]
        (expected,) = torch.autograd.grad(mu, x)
        found = field(network, states, layer, 1, unit, IMAGE, (1, 8, 8))
        np.testing.assert_allclose(found.heat, expected[0, 0].abs(), rtol=1e-5, atol=1e-12)
        top, bottom, left, right = found.box
        found.heat[top:bottom, left:right] = 0
        assert not found.heat.any()


def test_what_is_predicted_is_not_read():
    network = make("network", "Decoder", {"latent": 3, "hidden": (4,)})((1, 2, 2), 10).double()
    found = field(network, drawn(network), 2, 0, (0, 0, 0), IMAGE, (1, 2, 2))
    assert found.heat is None and "predicted by the layers" in found.why
    assert field(network, drawn(network), 2, 0, (0, 0, 0), BELOW, (1, 2, 2)).heat.shape == (4, 1)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((3, 4, 5), (3, 4, 5)), ((4, 5), (1, 4, 5)), ((7,), (7, 1, 1)), ((2, 2, 2, 2), (16, 1, 1))],
)
def test_every_state_is_channels_over_places(shape, expected):
    h = torch.arange(float(np.prod(shape))).reshape(shape)
    assert as_maps(h).shape == expected
    assert torch.equal(as_maps(h).flatten(), h.flatten())
