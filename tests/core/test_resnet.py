"""Residual networks: their published sizes, and plain PyTorch as the judge of what they do."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close
from torchvision.models.resnet import BasicBlock
from torchvision.models.resnet import ResNet as Reference

from core import BadInput, Experiment, accuracy, pretraining
from core.datasets.small_digits import SmallDigits
from core.dynamics.cascade import Cascade
from core.dynamics.fixed_prediction import FixedPrediction
from core.dynamics.gradient import GradientDescent
from core.energies.cross_entropy import CrossEntropy
from core.free_energy import FreeEnergy, backprop_gradients
from core.inits.forward import Forward
from core.learning.local import ForwardUpdate
from core.learning.z_il import ZIL
from core.networks.residual import SKIPS
from core.networks.resnet import BLOCKS, ResNet
from core.precisions.identity import Identity
from core.precisions.spiking import Spiking
from core.recording import relax
from core.selftest.problems import flat
from core.weights.sgd import SGD
from tests.problems import relaxation

NORMED = ("none", "frozen", "batch")
CLASSES = 3


def bare(entry, shape=(3, 32, 32), classes=10):
    """The network without memory behind it."""
    with torch.device("meta"):
        return entry(shape, classes)


def small(skips="relay", layout="ResNet10", *, norm="none", activation="tanh", seed=3, batch=4):
    """A narrow network of images of 8 x 8 in float64, and what is clamped."""
    entry = ResNet(layout=layout, width=1 / 32, skips=skips, batch_norm=norm, activation=activation)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = entry((1, 8, 8), CLASSES).double()
        x = torch.randn(batch, 1, 8, 8).double()
    y = torch.eye(CLASSES).double()[torch.arange(batch) % CLASSES]
    return network, {0: x, network.top: y}


def drawn(network, clamped, seed=0):
    """States with an error in every layer."""
    noise = torch.Generator().manual_seed(seed)
    batch = len(clamped[0])
    made = [torch.randn(batch, *n.shape, generator=noise).double() for n in network.nodes]
    return [clamped.get(i, h) for i, h in enumerate(made)]


def by_backprop(network, clamped):
    return backprop_gradients(network, {0: clamped[0]}, clamped[network.top])


# Sizes -------------------------------------------------------------------------------------------


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("layout", BLOCKS)
def test_convolutions_have_the_sizes_of_torchvisions(layout):
    reference = Reference(BasicBlock, list(BLOCKS[layout]))
    stages = nn.ModuleList([getattr(reference, f"layer{k}") for k in range(1, 5)])
    theirs = [tuple(m.weight.shape) for m in stages.modules() if isinstance(m, nn.Conv2d)]
    network = bare(ResNet(layout=layout, width=1.0))
    ours = [tuple(m.weight.shape) for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert ours.pop(0) == (64, 3, 3, 3)
    assert sorted(ours) == sorted(theirs)


@pytest.mark.oracle("paper")
@pytest.mark.parametrize("skips", SKIPS)
@pytest.mark.parametrize(("layout", "L"), [("ResNet10", 10), ("ResNet18", 18)])
def test_the_number_in_the_name_is_L(layout, L, skips):
    entry = ResNet(layout=layout, width=1.0, skips=skips)
    network = bare(entry)
    assert entry.layers == network.deepest == L
    assert sorted(set(network.depth.tolist())) == list(range(1, L + 1))
    main = [n for n in network.nodes if not n.name.endswith("s")]
    assert [n.depth for n in main] == list(range(L + 1))
    sides = [n.shape[1] for n in main[1:-1]]
    assert sides == sorted(sides, reverse=True)
    assert {n.shape[:2] for n in main[1:-1]} == {(64, 32), (128, 16), (256, 8), (512, 4)}
    assert network.nodes[-1].shape == (10,)


@pytest.mark.parametrize("layout", BLOCKS)
def test_auxiliary_neurons_make_every_path_as_long_as_the_main_one(layout):
    for skips in ("relay", "published"):
        network = bare(ResNet(layout=layout, skips=skips))
        spans = {n.depth - network.nodes[p].depth for n in network.nodes for p in n.parents}
        assert spans == {1}
    assert len(network.relays) == 0
    network = bare(ResNet(layout=layout, skips="none"))
    assert {n.depth - network.nodes[p].depth for n in network.nodes for p in n.parents} > {1, 3}


@pytest.mark.parametrize(("stem", "skips"), [("1", "relay"), ("1", "none")])
def test_only_3_x_3_convolutions_of_blocks_are_normalised(stem, skips):
    network = bare(ResNet(batch_norm="frozen", skips=skips))
    assert len(network.norms) == 8
    for node in network.nodes:
        if node.module is None or node.name == stem or node.name.endswith("s"):
            assert node.module is None or not any(m in network.norms for m in node.module.modules())


def test_an_image_without_pixels_is_refused():
    with pytest.raises(BadInput, match=r"network: images of the shape \(1, 0, 8\)"):
        bare(ResNet(), (1, 0, 8))
    assert bare(ResNet(), (1, 1, 1)).nodes[-2].size > 0


# Plain PyTorch -----------------------------------------------------------------------------------


def pieces(network, layout):
    """Stem, blocks of (first, second, projection) and head, as modules with their weights."""
    layers = {network.nodes[i].name: network.maps[str(i)] for i in network.layers}
    blocks, depth = [], 1
    for _ in range(sum(BLOCKS[layout])):
        down = layers.get(f"{depth + 1}s")
        down = down if down is not None and parameters(down) else None
        blocks.append((layers[str(depth + 1)], layers[str(depth + 2)], down))
        depth += 2
    return layers["1"], blocks, layers[str(depth + 1)]


def parameters(module):
    return list(module.parameters())


def conv(module, h, stride=1):
    """tanh, then a convolution with bias, by torch's functions alone."""
    weight, bias = parameters(module)
    return functional.conv2d(torch.tanh(h), weight, bias, stride=stride, padding=1)


def feed_forward(network, layout, x, state=lambda h: h):
    """The usual pass through a pre-activation residual network, with a function of every state."""
    stem, blocks, head = pieces(network, layout)
    s = state(functional.conv2d(x, parameters(stem)[0], padding=1))
    for first, second, down in blocks:
        stride, skip = 1, s
        if down is not None:
            stride = 2
            skip = state(functional.conv2d(s, parameters(down)[0], stride=stride))
        s = state(conv(second, state(conv(first, s, stride)))) + skip
    weight, bias = parameters(head)
    return functional.linear(torch.tanh(s).mean((2, 3)), weight, bias)


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("skips", SKIPS)
@pytest.mark.parametrize("layout", BLOCKS)
def test_a_sweep_is_the_feed_forward_pass(layout, skips):
    network, clamped = small(skips, layout)
    with torch.no_grad():
        found = network.sweep({0: clamped[0]})[-1]
        assert_close(found, feed_forward(network, layout, clamped[0]), rtol=1e-12, atol=1e-14)


def delayed_course(network, x, y, rate, steps, delay):
    """Energies of every layer and step of ResNet10, (steps + 1, L'), with delays on the skips.

    A skip is a line of so many steps: what a reader has of it is what went in then, and what its
    readers pull with comes out then. No delay is the network without auxiliary neurons. A
    projection is a layer, one step of the way.
    """
    stem, blocks, head = pieces(network, "ResNet10")
    state = {0: functional.conv2d(x, parameters(stem)[0], padding=1)}  # by main depth - 1
    projected, s = {}, state[0]
    for k, (first, second, down) in enumerate(blocks):
        stride = 2 if down is not None else 1
        state[2 * k + 1] = conv(first, s, stride)
        state[2 * k + 2] = conv(second, state[2 * k + 1])
        if down is not None:
            projected[k] = functional.conv2d(s, parameters(down)[0], stride=stride)
        s = state[2 * k + 2] + (s if down is None else projected[k])
    names = [("main", i) for i in state] + [("skip", k) for k in projected]
    values = {("main", i): v.detach() for i, v in state.items()}
    values |= {("skip", k): v.detach() for k, v in projected.items()}
    past = [dict(values)]
    owed = []
    rows = []
    for t in range(steps + 1):
        copies = {}  # (name, age) -> leaf: what is read of a state of so many steps ago

        def read(name, age, copies=copies, t=t):
            if (name, age) not in copies:
                then = past[max(0, t - age)][name]
                copies[name, age] = then.clone().requires_grad_()
            return copies[name, age]

        terms = {
            ("main", 0): (
                read(("main", 0), 0),
                functional.conv2d(x, parameters(stem)[0], padding=1),
            )
        }
        reads = [(("main", 0), 0)]
        for k, (first, second, down) in enumerate(blocks):
            stride = 2 if down is not None else 1
            s = sum(read(*one) for one in reads)
            a1, a2 = ("main", 2 * k + 1), ("main", 2 * k + 2)
            terms[a1] = read(a1, 0), conv(first, s, stride)
            if down is None:
                skipped = [(name, age + 2 * delay) for name, age in reads]
            else:
                b = ("skip", k)
                terms[b] = read(b, 0), functional.conv2d(s, parameters(down)[0], stride=stride)
                skipped = [(b, delay)]
            terms[a2] = read(a2, 0), conv(second, read(a1, 0))
            reads = [(a2, 0), *skipped]
        s = sum(read(*one) for one in reads)
        weight, bias = parameters(head)
        terms["out"] = y, functional.linear(torch.tanh(s).mean((2, 3)), weight, bias)
        energy = {n: 0.5 * (h - mu).flatten(1).square().sum(1) for n, (h, mu) in terms.items()}
        rows.append({n: e.mean().item() for n, e in energy.items()})
        keys = list(copies)
        pulls = torch.autograd.grad(sum(e.sum() for e in energy.values()), list(copies.values()))
        owed.append(dict(zip(keys, pulls, strict=True)))
        moved = {}
        for name in names:
            force = torch.zeros_like(past[-1][name])
            for whose, age in keys:
                if whose == name and t >= age:
                    force = force + owed[t - age][whose, age]
            moved[name] = past[-1][name] - rate * force
        past.append(moved)
    return rows


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("engine", ["plain", "local"])
@pytest.mark.parametrize(("skips", "delay"), [("none", 0), ("relay", 1)])
def test_energies_of_every_step_and_layer_are_those_of_delay_lines(skips, delay, engine):
    network, clamped = small(skips)
    x, y = clamped[0], clamped[network.top]
    with torch.enable_grad():
        theirs = delayed_course(network, x, y, 0.2, 14, delay)
    made = relaxation(
        (network, clamped),
        dynamics=GradientDescent(rate=0.2),
        init=Forward(),
        steps=14,
        engine=engine,
    )
    for step, expected in zip(made, theirs, strict=True):
        ours = step.free_energy.energies(step.states).mean(1)
        found = dict(zip((network.nodes[i].name for i in network.layers), ours, strict=True))
        for name, value in expected.items():
            if name == "out":
                ours_here = found[network.nodes[-1].name]
            else:
                ours_here = found[str(name[1] + 1) if name[0] == "main" else f"{2 * name[1] + 2}s"]
            assert float(ours_here) == pytest.approx(value, rel=1e-9, abs=1e-15)


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("norm", NORMED)
@pytest.mark.parametrize("skips", SKIPS)
@pytest.mark.parametrize("layout", BLOCKS)
def test_local_gradients_are_those_of_the_whole_energy(layout, skips, norm):
    network, clamped = small(skips, layout, norm=norm, activation="gelu")
    states = drawn(network, clamped)
    pi = torch.linspace(0.3, 1.2, len(network.layers)).double()
    found = {}
    handed = {i: states[i].sin() for i in network.relays}
    for engine in ("plain", "local"):
        made = relaxation((network, clamped), steps=1, engine=engine)
        one = FreeEnergy(network, pi, clamped, handed=handed, engine=made.engine)
        balance = one.balance(states)
        pulls = [balance.handed[i] for i in network.relays]
        found[engine] = [*balance.forces, *pulls, *one.weight_gradients(states)]
    for a, b in zip(*found.values(), strict=True):
        assert (a - b).norm() <= 1e-12 * max(float(a.norm()), 1e-3)


# Backprop ----------------------------------------------------------------------------------------


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("energy", [None, CrossEntropy()])
@pytest.mark.parametrize("skips", ["relay", "published"])
@pytest.mark.parametrize("dynamics", [Cascade(), GradientDescent(rate=1.0)])
def test_z_il_is_backprop_where_skips_are_as_long_as_the_main_path(skips, dynamics, energy):
    network, clamped = small(skips)
    if energy is not None:
        network.give_output_energy(energy)
    optimiser = SGD(rate=1.0)(network)
    expected = flat(by_backprop(network, clamped))
    before = flat(list(network.parameters())).clone()
    made = relaxation(
        (network, clamped),
        init=Forward(),
        precision=Identity(),
        dynamics=dynamics,
        learning=ZIL(),
        optimiser=optimiser,
        steps=10,
    )
    made.run()
    moved = (before - flat(list(network.parameters())).clone()) * len(clamped[0])
    assert (moved - expected).norm() <= 1e-12 * expected.norm()


def test_z_il_is_not_backprop_where_a_skip_is_shorter():
    network, clamped = small("none")
    expected = flat(by_backprop(network, clamped))
    before = flat(list(network.parameters())).clone()
    made = relaxation(
        (network, clamped),
        dynamics=Cascade(),
        init=Forward(),
        learning=ZIL(),
        optimiser=SGD(rate=1.0)(network),
        steps=10,
    )
    made.run()
    moved = (before - flat(list(network.parameters())).clone()) * len(clamped[0])
    assert (moved - expected).norm() > 1e-3 * expected.norm()


@pytest.mark.oracle("other implementation")
def test_fixed_predictions_relax_to_backprop():
    network, clamped = small("none")
    made = relaxation(
        (network, clamped),
        init=Forward(),
        dynamics=FixedPrediction(rate=0.5),
        learning=ForwardUpdate(),
        steps=120,
    )
    made.run()
    found, expected = (
        flat(ForwardUpdate().gradients(made.step())),
        flat(by_backprop(network, clamped)),
    )
    assert (found - expected).norm() <= 1e-12 * expected.norm()


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("rate", [0.3, 0.5])
def test_under_spiking_a_path_counts_by_the_states_on_it(rate):
    """With relays all that comes down to a state comes at the step of its spike, and whole.

    As the resting precision goes to zero, a state with the pull g moves by rate g, sends that down
    on the next step, and goes back by a share `rate`. So the forward update is (1 - rate) times
    backprop's gradient in which every state on the way multiplies what passes by `rate`; a relay,
    which is no state, does not. In a chain that is the rate^(L - l) of every layer; here a skip
    outweighs its main path by 1 / rate^2.
    """
    network, clamped = small("relay")
    made = relaxation(
        (network, clamped),
        init=Forward(),
        precision=Spiking(rest=1e-10),
        dynamics=GradientDescent(rate=rate),
        steps=11,
    )
    made.run()
    found = ForwardUpdate().gradients(made.step())

    def state(h):
        h.register_hook(lambda g: rate * g)
        return h

    with torch.enable_grad():
        predicted = feed_forward(network, "ResNet10", clamped[0], state)
        loss = 0.5 * (predicted - clamped[network.top]).square().sum()
        expected = torch.autograd.grad(loss, list(network.parameters()))
    last = {id(p) for p in network.maps[str(network.top)].parameters()}
    for p, a, b in zip(network.parameters(), found, expected, strict=True):
        share = 1.0 if id(p) in last else 1 - rate
        assert (a - share * b).norm() <= 1e-6 * b.norm()


# In an experiment --------------------------------------------------------------------------------


@pytest.mark.parametrize("skips", SKIPS)
def test_an_experiment_records_every_layer_under_its_name(skips):
    data = relax(
        Experiment(
            network=ResNet(width=1 / 64, skips=skips),
            precision=Spiking(),
            dynamics=GradientDescent(rate=0.3),
            pretraining="random",
            steps=12,
            batch_size=10,
        )
    )
    names = [str(one) for one in data["layer_name"].values]
    assert names[-1] == "10"
    assert "4s" in names
    assert data["depth"].values.tolist()[-1] == 10
    assert bool((data["energy"].isel(step=-1) >= 0).all())


def test_the_built_in_training_teaches_it(cache, monkeypatch):
    monkeypatch.setattr(pretraining, "EPOCHS", {"classifier": 4})
    experiment = Experiment(network=ResNet(width=1 / 8), dataset=SmallDigits())
    images = experiment.dataset()
    network = experiment.build(images.shape, images.classes)
    course = pretraining.first_weights(experiment, images, network, lambda line, share: None)
    assert course.epochs == 2  # half of them, as for all convolutions
    assert accuracy(network, images.test_x, images.test_y) == course.scores[-1] > 0.5
