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
from core.networks.mlp import MLP
from core.tasks.reconstruct import Reconstruct
from tests.problems import linear, network_of, tanh_mlp

NETWORKS = list(cards("network"))
SHAPES = [((1, 8, 8), 10), ((3, 5, 4), 3)]


def built(name, shape, classes, **dials):
    torch.manual_seed(0)
    return make("network", name, dials)(shape, classes)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("shape", "classes"), SHAPES)
def test_a_network_fits_the_images_it_is_built_for(name, shape, classes):
    entry = make("network", name)
    network = built(name, shape, classes)
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
    network = built(name, (1, 8, 8), 10)
    assert network.nodes[0].depth == 0
    assert network.depth.tolist() == list(range(1, len(network.layers) + 1))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("hidden", [(), (7,), (3, 9, 2)])
def test_hidden_widths_are_the_dial_s(name, hidden):
    network = built(name, (1, 4, 4), 3, hidden=hidden)
    assert tuple(node.size for node in network.nodes[1:-1]) == hidden
    assert len(network.layers) == len(hidden) + 1


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_hidden_states_are_post_activation_and_the_output_is_linear(name, activation):
    network = built(name, (1, 2, 2), 3, hidden=(6,), activation=activation)
    h = 3 * torch.randn(50, network.nodes[0].size, generator=torch.Generator().manual_seed(1))
    first, last = network.maps["1"], network.maps["2"]
    linear_map = first if isinstance(first, nn.Linear) else first[0]
    a = nn.functional.linear(h, linear_map.weight, linear_map.bias)
    by_hand = {
        "tanh": torch.tanh,
        "gelu": lambda v: v * 0.5 * (1 + torch.erf(v / 2**0.5)),
        "relu": lambda v: v.clamp(min=0),
        "leaky_relu": lambda v: torch.where(v > 0, v, 0.01 * v),
        "elu": lambda v: torch.where(v > 0, v, v.exp() - 1),
        "hard_tanh": lambda v: v.clamp(-1, 1),
        "identity": lambda v: v,
    }[activation]
    assert_close(network.prediction(1, [h, None]), by_hand(a))
    assert isinstance(last, nn.Linear)


@pytest.mark.parametrize("name", NETWORKS)
def test_biases_can_be_left_out(name):
    shapes = [p.dim() for p in built(name, (1, 2, 2), 3, bias=False).parameters()]
    assert shapes == [2] * len(shapes)
    assert 1 in [p.dim() for p in built(name, (1, 2, 2), 3).parameters()]


@pytest.mark.parametrize(
    ("entry", "shape", "count"),
    [
        (MLP(hidden=(512,) * 4), (1, 28, 28), 1_195_018),
        (Decoder(), (1, 28, 28), 349_712),
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
