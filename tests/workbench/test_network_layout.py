"""The drawing has the network's wires, no more and no less, and none through another state."""

import math

import pytest
import torch
from torch import nn

from core import make
from core.network import Network, Node
from workbench.network_layout import NODE, drawing
from workbench.network_words import words

SHAPE = (1, 32, 32)


class Both(nn.Module):
    """A map of several states."""

    def __init__(self, *sizes):
        super().__init__()
        *reads, out = sizes
        self.maps = nn.ModuleList([nn.Linear(one, out) for one in reads])

    def forward(self, *states):
        return sum(one(h.flatten(1)) for one, h in zip(self.maps, states, strict=True))


def graph(*parents, wide=4):
    """Root 0, then a state for each tuple of parents."""
    nodes = [Node((wide,), name="0")]
    for i, reads in enumerate(parents, start=1):
        depth = 1 + max((nodes[p].depth for p in reads if p < i), default=0)
        module = Both(*[wide] * len(reads), wide)
        nodes.append(Node((wide,), reads, module, depth=depth, name=f"n{i}"))
    return Network(nodes, image=0)


def dense(states):
    """Every state reads all before it."""
    return graph(*[tuple(range(i)) for i in range(1, states)])


def built(name, **dials):
    return make("network", name, dials)(SHAPE, 10)


NETWORKS = {
    "chain": lambda: built("MLP", hidden=(8, 8)),
    "VGG19": lambda: built("VGG", layout="VGG19", width=1 / 64),
    "ResNet18, relays": lambda: built("ResNet", layout="ResNet18", width=1 / 64),
    "ResNet18, auxiliary neurons": lambda: built(
        "ResNet", layout="ResNet18", width=1 / 64, skips="published"
    ),
    "ResNet18, bare": lambda: built("ResNet", layout="ResNet18", width=1 / 64, skips="none"),
    "EP with skips": lambda: built("EquilibriumVGG", layout="VGG10Skip", width=1 / 64),
    "muPC": lambda: built("MuPC", width=4, depth=40),
    "decoder": lambda: built("Decoder", latent=4, hidden=(6,)),
    "cycle": lambda: graph((0, 2), (1, 2), (2,)),
    "cycles": lambda: graph((0, 4), (1, 3), (2, 2, 5), (1, 3), (4, 5, 1), (5, 2)),
    "ladder": lambda: graph((0,), (1,), (1, 2), (2,), (3, 4), (3,), (5, 6), (1, 7), (2, 8)),
    "dense": lambda: dense(9),
}

every = pytest.mark.parametrize("name", NETWORKS)


@every
def test_wires_are_the_parents_of_each_state(name):
    network = NETWORKS[name]()
    made = drawing(network)
    pairs = sorted((one.parent, one.child) for one in made.wires)
    assert pairs == sorted((p, i) for i, n in enumerate(network.nodes) for p in n.parents)
    for one in made.wires:
        assert one.back == (one.parent >= one.child)
        (x0, y0), (x1, y1) = one.path[0], one.path[-1]
        ends = made.states[one.parent], made.states[one.child]
        assert (x0, x1) == (ends[0].lane, ends[1].lane)
        assert abs(y0 - one.parent) < NODE and abs(y1 - one.child) < NODE


@every
def test_states_stand_in_depth_order_with_their_own_numbers(name):
    network = NETWORKS[name]()
    made = drawing(network)
    assert [one.index for one in made.states] == list(range(len(network.nodes)))
    assert [one.index for one in made.states if one.layer] == network.layers
    assert [one.layer for one in made.states if one.layer] == list(
        range(1, len(network.layers) + 1)
    )
    assert [("relay" in one.roles) for one in made.states] == [n.relay for n in network.nodes]
    assert [("auxiliary" in one.roles) for one in made.states] == [
        n.auxiliary for n in network.nodes
    ]
    assert [one.shape for one in made.states] == [n.shape for n in network.nodes]
    [shown] = [one.index for one in made.states if "image" in one.roles]
    assert shown == network.image


@pytest.mark.oracle("other implementation")
@every
def test_parameters_are_those_that_torch_counts(name):
    network = NETWORKS[name]()
    made = drawing(network)
    total = sum(p.numel() for p in network.parameters())
    assert made.parameters == total == sum(one.parameters for one in made.states)
    for one, node in zip(made.states, network.nodes, strict=True):
        held = () if node.module is None else node.module.parameters()
        assert one.parameters == sum(p.numel() for p in held)


def test_weights_that_two_layers_share_count_once_in_all():
    shared = nn.Linear(4, 4)
    nodes = [Node((4,), name="0"), *(Node((4,), (i - 1,), shared, depth=i) for i in (1, 2, 3))]
    made = drawing(Network(nodes))
    assert [one.parameters for one in made.states] == [0, 20, 20, 20]
    assert made.parameters == 20


@every
def test_no_wire_goes_through_a_state_that_is_not_its_own(name):
    made = drawing(NETWORKS[name]())
    for wire in made.wires:
        others = [one for one in made.states if one.index not in (wire.parent, wire.child)]
        for start, end in zip(wire.path, wire.path[1:], strict=False):
            for k in range(11):
                x, y = (a + (b - a) * k / 10 for a, b in zip(start, end, strict=True))
                for one in others:
                    assert math.dist((x, y), (one.lane, one.index)) > NODE, (wire, one)


@every
def test_forward_wires_only_go_up_and_wires_back_go_around_the_left(name):
    made = drawing(NETWORKS[name]())
    for wire in made.wires:
        rows = [y for _, y in wire.path]
        if wire.back:
            assert rows == sorted(rows, reverse=True)
            assert min(x for x, _ in wire.path) < 0
        else:
            assert rows == sorted(rows)
            assert min(x for x, _ in wire.path) >= 0


@every
def test_wires_share_a_stretch_only_with_one_end_in_common(name):
    """Two wires that run along each other must be told apart where they part or meet."""
    made = drawing(NETWORKS[name]())
    runs = []
    for wire in made.wires:
        for (x0, y0), (x1, y1) in zip(wire.path, wire.path[1:], strict=False):
            if x0 == x1 and abs(y1 - y0) > 0.4:
                runs.append((wire, x0, min(y0, y1), max(y0, y1)))
    for k, (one, x, low, high) in enumerate(runs):
        for other, at, first, last in runs[:k]:
            if x == at and min(high, last) - max(low, first) > 0.4:
                assert one.parent == other.parent or one.child == other.child


def test_the_longest_way_is_one_straight_line():
    made = drawing(NETWORKS["ResNet18, relays"]())
    main = [one for one in made.states if one.lane == 0]
    assert len(main) == 19, "the image and 18 layers"
    assert all("relay" not in one.roles and not one.name.endswith("s") for one in main)
    assert made.lanes == (0, 1)
    assert drawing(NETWORKS["chain"]()).lanes == (0, 0)
    assert drawing(NETWORKS["cycle"]()).lanes == (-1, 0)


def test_a_network_is_told_in_one_line():
    assert drawing(NETWORKS["cycle"]()).sentence == (
        "4 states, 3 layers, 2 read back, 100 parameters"
    )


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (nn.Linear(3, 4), "Linear 3 → 4"),
        (nn.Sequential(nn.Tanh(), nn.Flatten(), nn.Linear(3, 4)), "tanh, Linear 3 → 4"),
        (nn.Identity(), "copy"),
        (nn.Conv2d(3, 8, 3, padding=1), "Conv 3×3, 3 → 8"),
        (nn.Conv2d(4, 8, (1, 3), stride=2, groups=2), "Conv 1×3, 4 → 8, stride 2, 2 groups"),
        (nn.Conv2d(4, 8, 1, stride=(2, 1)), "Conv 1×1, 4 → 8, stride 2×1"),
        (nn.Sequential(nn.Conv1d(2, 2, 5), nn.MaxPool1d(2)), "Conv 5, 2 → 2, max pool 2"),
        (nn.Sequential(nn.Hardtanh(), nn.AvgPool2d(3)), "hard tanh, mean pool 3"),
        (nn.Sequential(nn.Linear(2, 2), nn.SiLU()), "Linear 2 → 2, SiLU"),
        (Both(2, 3, 4), "Both"),
    ],
)
def test_modules_are_told_in_words(module, said):
    assert words(module) == said


def test_the_words_of_networks_of_the_catalogue():
    with torch.random.fork_rng(devices=[]):
        vgg, resnet = built("VGG", width=1 / 64), built("ResNet", width=1 / 64)
        mupc, skips = built("MuPC", width=4, depth=3), built("EquilibriumVGG", layout="VGG10Skip")
    assert [words(n.module) for n in vgg.nodes[1:3]] == [
        "Conv 3×3, 1 → 2, BatchNorm, gelu, max pool 2",
        "Conv 3×3, 2 → 4, BatchNorm, gelu, max pool 2",
    ]
    named = {n.name: n for n in resnet.nodes}
    assert words(named["4s"].module) == "Conv 1×1, 1 → 2, stride 2"
    assert words(named["10"].module) == "gelu, mean over places, Linear 8 → 10"
    assert words(mupc.nodes[2].module) == "relu, Linear 4 → 4 × 0.289 + skip"
    assert "Conv 1×1, 8 → 32, stride 2" in words(skips.nodes[5].module)
