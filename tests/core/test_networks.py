"""Networks: the laws of their kind, and what a Network itself promises."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from core import Experiment, Network, Node, cards, chain, make
from core.energies.cross_entropy import CrossEntropy
from core.energies.squared_error import SquaredError
from core.networks.activations import ACTIVATIONS
from core.networks.decoder import Decoder
from core.networks.layers import ScaledLinear, linear_part, pre_activation
from core.networks.mlp import MLP
from core.networks.mupc import MuPC
from core.tasks.reconstruct import Reconstruct
from tests.problems import linear, network_of, relaxed, tanh_mlp

NETWORKS = list(cards("network"))
PLAIN = ["MLP", "Decoder"]
SHAPES = [((1, 8, 8), 10), ((3, 5, 4), 3)]
UNPOOLED = {"VGG": {"pools": 0}, "EquilibriumVGG": {"pools": 0}, "AlexNet": {"pools": 0}}


def built(name, shape, classes, **dials):
    torch.manual_seed(0)
    return make("network", name, dials)(shape, classes)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("shape", "classes"), SHAPES)
def test_a_network_fits_the_images_it_is_built_for(name, shape, classes):
    entry = make("network", name, UNPOOLED.get(name))
    network = entry(shape, classes)
    assert entry.layers == network.deepest
    pixels = torch.Size(shape).numel()
    assert entry.image_at in ("input", "output")
    assert network.image == (0 if entry.image_at == "input" else network.top)
    assert network.nodes[network.image].size == pixels
    if entry.image_at == "input":
        assert network.nodes[network.top].size == classes
    states = network.sweep({i: torch.zeros(2, *network.nodes[i].shape) for i in network.roots})
    assert [h.shape for h in states] == [(2, *node.shape) for node in network.nodes]


@pytest.mark.parametrize("name", NETWORKS)
def test_depths_count_from_the_input_side(name):
    network = built(name, (1, 8, 8), 10, **UNPOOLED.get(name, {}))
    assert network.nodes[0].depth == 0
    depths = network.depth.tolist()
    assert depths == sorted(depths)
    assert set(depths) == set(range(1, network.deepest + 1))
    if not network.relays:
        assert len(depths) == len(set(depths))


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("site", ["post", "pre"])
@pytest.mark.parametrize("hidden", [(), (7,), (3, 9, 2)])
def test_hidden_widths_are_the_dial_s(name, site, hidden):
    network = built(name, (1, 4, 4), 3, hidden=hidden, site=site)
    assert tuple(node.size for node in network.nodes[1:-1]) == hidden
    assert len(network.layers) == len(hidden) + 1


BY_HAND = {
    "tanh": torch.tanh,
    "gelu": lambda v: v * 0.5 * (1 + torch.erf(v / 2**0.5)),
    "relu": lambda v: v.clamp(min=0),
    "leaky_relu": lambda v: torch.where(v > 0, v, 0.01 * v),
    "elu": lambda v: torch.where(v > 0, v, v.exp() - 1),
    "hard_tanh": lambda v: v.clamp(-1, 1),
    "identity": lambda v: v,
}


def drawn(network, node):
    """Fifty values of a state."""
    return 3 * torch.randn(50, network.nodes[node].size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_hidden_states_are_post_activation_and_the_output_is_linear(name, activation):
    network = built(name, (1, 2, 2), 3, hidden=(6,), activation=activation)
    h = drawn(network, 0)
    W, b, V, c = network.parameters()
    assert_close(network.prediction(1, [h, None]), BY_HAND[activation](h @ W.T + b))
    u = drawn(network, 1)
    assert_close(network.prediction(2, [h, u]), u @ V.T + c)


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_states_before_the_activation_are_read_through_it_but_the_input_is_not(name, activation):
    network = built(name, (1, 2, 2), 3, hidden=(6, 5), activation=activation, site="pre")
    h, u, v = (drawn(network, i) for i in range(3))
    W, b, V, c, U, d = network.parameters()
    assert_close(network.prediction(1, [h]), h @ W.T + b)
    assert_close(network.prediction(2, [h, u]), BY_HAND[activation](u) @ V.T + c)
    assert_close(network.prediction(3, [h, u, v]), BY_HAND[activation](v) @ U.T + d)


@pytest.mark.parametrize("name", PLAIN)
def test_both_sites_are_the_same_function_of_the_input_with_other_states(name):
    post, pre = (
        built(name, (1, 2, 2), 3, hidden=(6, 5), activation="tanh", site=site)
        for site in ("post", "pre")
    )
    x = drawn(post, 0)
    after, before = post.sweep({0: x}), pre.sweep({0: x})
    assert_close(after[-1], before[-1])
    for a, b in zip(after[1:-1], before[1:-1], strict=True):
        assert_close(a, torch.tanh(b))


def test_the_two_sites_relax_to_other_equilibria():
    # L = 2, W = 1, tanh, x = 1, y = 0. Post: minimise (h - tanh 1)^2 + h^2, h = tanh(1) / 2.
    # Pre: (h - 1)^2 + tanh(h)^2: h - 1 + tanh(h) (1 - tanh(h)^2) = 0.
    found = {}
    for site in ("post", "pre"):
        network = MLP(hidden=(1,), bias=False, site=site)((1, 1, 1), 1).double()
        for p in network.parameters():
            nn.init.ones_(p)
        ends = {0: torch.ones(1, 1).double(), 2: torch.zeros(1, 1).double()}
        found[site] = relaxed(network, ends, steps=400)[1]
    assert_close(found["post"], torch.tanh(torch.ones(1, 1).double()) / 2)
    t = torch.tanh(found["pre"])
    assert_close(found["pre"] - 1 + t * (1 - t**2), torch.zeros(1, 1).double(), rtol=0, atol=1e-12)
    assert (t - found["post"]).abs() > 0.1


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("site", ["post", "pre"])
def test_biases_can_be_left_out(name, site):
    shapes = [p.dim() for p in built(name, (1, 2, 2), 3, bias=False, site=site).parameters()]
    assert shapes == [2] * len(shapes)
    assert 1 in [p.dim() for p in built(name, (1, 2, 2), 3, site=site).parameters()]


# muPC --------------------------------------------------------------------------------------------


@pytest.mark.oracle("paper")
@pytest.mark.parametrize("scaling", ["mupc", "ntp", "sp"])
@pytest.mark.parametrize("skips", [True, False])
def test_the_factors_of_mupc_are_those_of_depth_mup(scaling, skips):
    N, L, d0, gamma = 8, 5, 12, 2.0
    entry = MuPC(N, L, activation="tanh", skips=skips, scaling=scaling, gamma=gamma)
    network = built("MuPC", (3, 2, 2), 4, **{k: getattr(entry, k) for k in entry.__dict__})
    a1, a, aL = {
        "mupc": (d0**-0.5, (N * L if skips else N) ** -0.5, 1 / N / gamma),
        "ntp": (d0**-0.5, (N * L if skips else N) ** -0.5, N**-0.5 / gamma),
        "sp": (1.0, 1.0, 1 / gamma),
    }[scaling]
    W = list(network.parameters())
    assert [tuple(w.shape) for w in W] == [(N, d0), (N, N), (N, N), (N, N), (4, N)]
    h = [drawn(network, i) for i in range(L + 1)]
    mu = network.predictions(h)
    assert_close(mu[0], a1 * h[0] @ W[0].T)
    for i in (1, 2, 3):
        assert_close(mu[i], a * torch.tanh(h[i]) @ W[i].T + (h[i] if skips else 0))
    assert_close(mu[4], aL * torch.tanh(h[4]) @ W[4].T)


def test_the_weights_of_mupc_are_standard_normal_except_in_the_standard_scaling():
    for scaling, sd in (("mupc", 1.0), ("ntp", 1.0), ("sp", (3 * 200) ** -0.5)):
        network = built("MuPC", (1, 10, 20), 300, width=200, depth=3, scaling=scaling)
        inner = list(network.parameters())[1].detach()
        assert abs(float(inner.std()) / sd - 1) < 0.02  # 6 sd of 40,000 draws


@pytest.mark.parametrize("depth", [4, 16, 64])
def test_the_states_of_mupc_keep_their_size_at_every_depth(depth):
    # Linear, inputs of RMS 1: each hidden layer adds a share 1 / L of the variance, so that the
    # last has (1 + 1 / L)^(L - 2) < e times the first's, 1.
    network = built("MuPC", (1, 8, 8), 10, width=256, depth=depth, activation="identity")
    x = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    h = network.sweep({0: x})[depth - 1].detach()
    assert float(h.square().mean()) == pytest.approx((1 + 1 / depth) ** (depth - 2), rel=0.25)


def test_mupc_tells_its_depth():
    assert MuPC(width=7, depth=4).layers == 4
    network = MuPC(width=7, depth=4)((1, 2, 2), 3)
    assert tuple(node.size for node in network.nodes[1:-1]) == (7, 7, 7)
    assert len(MuPC(width=7, depth=2)((1, 2, 2), 3).layers) == 2


# Layers ------------------------------------------------------------------------------------------


LINEAR = {
    "linear": nn.Linear(4, 3),
    "no bias": nn.Linear(4, 3, bias=False),
    "alone in a sequence": nn.Sequential(nn.Linear(4, 3)),
    "reshaped": nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Unflatten(1, (3, 1))),
    "scaled": ScaledLinear(4, 3, scale=0.3),
    "skip": ScaledLinear(4, 4, scale=0.3, skip=True),
    "skip, no bias": nn.Sequential(ScaledLinear(4, 4, scale=2.0, bias=False, skip=True)),
}


@pytest.mark.parametrize("kind", LINEAR)
def test_the_linear_part_of_a_layer_is_the_layer(kind):
    part = linear_part(LINEAR[kind])
    assert part is not None
    h = torch.randn(5, 4)
    assert_close(h @ part.matrix.T + part.offset, LINEAR[kind](h).flatten(1))
    W, b, scale, skip = part
    mu = scale * (h @ W.T + (0 if b is None else b)) + (h if skip else 0)
    assert_close(mu, LINEAR[kind](h).flatten(1))
    assert any(W is p for p in LINEAR[kind].parameters())


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Linear(4, 3), nn.Tanh()),
        nn.Sequential(nn.Tanh(), nn.Linear(4, 3)),
        nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)),
        ScaledLinear(4, 3, before=nn.Tanh()),
        nn.Conv2d(1, 1, 3),
        nn.Identity(),
    ],
)
def test_a_layer_without_one_matrix_has_no_linear_part(module):
    assert linear_part(module) is None


def test_a_skip_between_different_widths_is_refused():
    with pytest.raises(ValueError, match="skip: from 4 to 3 units"):
        ScaledLinear(4, 3, skip=True)


ENDING = {
    "dense": (nn.Sequential(nn.Linear(16, 3), nn.GELU()), nn.functional.gelu),
    "reshaped": (nn.Sequential(nn.Linear(16, 4), nn.GELU(), nn.Flatten()), nn.functional.gelu),
    "pooled": (
        nn.Sequential(
            nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)
        ),
        torch.relu,
    ),
    "the last of two": (nn.Sequential(nn.Tanh(), nn.Linear(16, 3), nn.ELU()), nn.functional.elu),
}


@pytest.mark.parametrize("kind", ENDING)
def test_the_pre_activation_goes_through_the_activation_to_the_prediction(kind):
    module, phi = ENDING[kind]
    a = pre_activation(module)
    assert a is not None
    h = 10 * torch.randn(60, 16)  # so wide that some unit is below zero whatever the weights
    assert torch.equal(phi(a(h)), module(h))
    assert (a(h) < 0).any()
    assert [id(p) for p in a.parameters()] == [id(p) for p in module.parameters()]


@pytest.mark.parametrize(
    "module",
    [
        nn.Linear(4, 3),
        ScaledLinear(4, 3, before=nn.Tanh()),
        nn.Sequential(nn.Tanh(), nn.Linear(4, 3)),
        nn.Sequential(nn.Conv2d(1, 1, 3), nn.GELU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU(), nn.AvgPool2d(2)),
        nn.Sequential(nn.Flatten()),
    ],
)
def test_a_layer_that_ends_in_no_activation_has_no_pre_activation(module):
    assert pre_activation(module) is None


@pytest.mark.oracle("paper")
@pytest.mark.parametrize(
    ("entry", "shape", "count"),
    [
        (MLP(hidden=(512,) * 4), (1, 28, 28), 1_195_018),
        (Decoder(), (1, 28, 28), 349_712),
        (MLP(hidden=(512,) * 4, site="pre"), (1, 28, 28), 1_195_018),
    ],
)
def test_the_published_networks_have_their_published_number_of_parameters(entry, shape, count):
    assert sum(p.numel() for p in entry(shape, 10).parameters()) == count


def test_the_seed_decides_the_weights_and_nothing_else_is_drawn():
    same = [Experiment(seed=3).build((1, 8, 8), 10) for _ in range(2)]
    other = Experiment(seed=4).build((1, 8, 8), 10)
    for a, b in zip(same[0].parameters(), same[1].parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(next(same[0].parameters()), next(other.parameters()))
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    Experiment(seed=3).build((1, 8, 8), 10)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_experiment_builds_in_its_type_and_with_its_output_energy(dtype):
    network = Experiment(dtype=dtype, energy=CrossEntropy()).build((1, 8, 8), 10)
    assert {str(p.dtype) for p in network.parameters()} == {f"torch.{dtype}"}
    energies = [type(network.nodes[i].energy) for i in network.layers]
    assert energies == [SquaredError] * 9 + [CrossEntropy]


def test_a_decoder_is_built_for_reconstruction():
    experiment = Experiment(network=Decoder(), task=Reconstruct(), init=make("init", "Zero"))
    assert experiment.build((1, 8, 8), 10).nodes[-1].size == 64


# The noun ----------------------------------------------------------------------------------------


def test_predictions_read_the_states_as_they_stand():
    network, _ = tanh_mlp()
    states = [torch.randn(2, *node.shape).double() for node in network.nodes]
    for i, mu in zip(network.layers, network.predictions(states), strict=True):
        assert torch.equal(mu, network.maps[str(i)](states[i - 1]))


def test_a_sweep_is_the_composition_of_the_maps():
    network = network_of((2, 3, 3), (4, 2, 2), (5,))
    x = torch.randn(3, 2, 3, 3).double()
    states = network.sweep({0: x})
    assert torch.equal(states[1], network.maps["1"](x))
    assert torch.equal(states[2], network.maps["2"](network.maps["1"](x)))


class Sum(nn.Module):
    """The sum of all parents."""

    def forward(self, *parents):
        return sum(parents)


def diamond():
    """0 -> 1, 0 -> 2, (1, 2) -> 3."""
    return Network(
        [
            Node((1,)),
            Node((1,), (0,), linear([[2.0]]), depth=1),
            Node((1,), (0,), linear([[5.0]]), depth=1),
            Node((1,), (1, 2), Sum(), depth=2),
        ]
    )


def test_a_node_may_have_several_parents():
    states = diamond().sweep({0: torch.tensor([[3.0]]).double()})
    assert [h.item() for h in states] == [3, 6, 15, 21]


def test_the_order_puts_parents_first_whatever_their_index():
    network = Network(
        [
            Node((1,)),
            Node((1,), (2,), linear([[2.0]])),
            Node((1,), (0,), linear([[5.0]])),
        ]
    )
    assert network.order() == [2, 1]
    states = network.sweep({0: torch.ones(1, 1).double()})
    assert [h.item() for h in states] == [1, 10, 5]


def test_a_cycle_is_named():
    network = Network(
        [
            Node((1,)),
            Node((1,), (0, 3), Sum()),
            Node((1,), (1,), linear([[1.0]])),
            Node((1,), (2,), linear([[1.0]])),
        ]
    )
    with pytest.raises(ValueError, match=r"(1 -> 2 -> 3 -> 1|2 -> 3 -> 1 -> 2|3 -> 1 -> 2 -> 3)"):
        network.sweep({0: torch.ones(1, 1).double()})


def test_a_free_root_is_named():
    with pytest.raises(ValueError, match="state 0 is a root and free"):
        tanh_mlp()[0].sweep({})


def test_a_node_that_makes_no_sense_is_refused():
    one = linear([[1.0]])
    for nodes, said in (
        ([Node((1,), (), one)], "node 0: a layer has a module and parents"),
        ([Node((1,)), Node((1,), (0,))], "node 1: a layer has a module and parents"),
        ([Node((1,)), Node((1,), (2,), one)], r"node 1: parent 2; nodes are 0\.\.1"),
    ):
        with pytest.raises(ValueError, match=said):
            Network(nodes)
    with pytest.raises(ValueError, match="shapes: 3 for 1 maps; one more than maps"):
        chain([one], [(1,)] * 3)


def test_every_touch_gives_a_version_that_no_network_ever_had():
    networks = [tanh_mlp()[0], tanh_mlp()[0]]
    seen = set()
    for _ in range(3):
        for network in networks:
            network.touch()
            assert network.version not in seen
            seen.add(network.version)
