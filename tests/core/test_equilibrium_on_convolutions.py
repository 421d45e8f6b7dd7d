"""Equilibrium propagation on convolutions: the paper's networks and sweeps in plain PyTorch."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

from core import BadInput, Experiment, Phase, Recipe, Relaxation, make
from core.diagnostics import alignment
from core.dynamics.sweeping import Sweeping, ends_in_relu
from core.free_energy import backprop_gradients
from core.inits.forward import Forward
from core.learning.equilibrium_propagation import EquilibriumPropagation
from core.networks.equilibrium import LAYOUTS, EquilibriumVGG
from core.networks.layers import pre_activation
from core.networks.vgg import VGG
from core.precisions.identity import Identity
from core.runs.train import train
from core.tasks.nudge import COSTS, Nudge
from core.training import Training
from core.weights.sgd import SGD

CLASSES = 3

PRINTED = {
    "VGG5": "128 256 P 512 P 512 P 512 P",
    "VGG10": "64 P 128 P 256 256 P 512 512 P 512 512 P =2048",
    "VGG10Skip": "64 P 128 P 256 256 P 512 512 P 512 512 P =2048",
}
"""Channels and pools of tables 5 and 6 of the paper; after = stands a dense layer."""

SKIPS = {"VGG10Skip": {5: 2, 8: 5}}

REACHED = {"VGG5": 3, "VGG10": 5, "VGG10Skip": 3}
"""Even-odd sweeps until the output's error is in layer 1.

Each half of a sweep takes it to the neighbours: 6 5 | 4 3 | 2 1 of six layers, five pairs of ten.
With the skips 10 9 | 8 and then 7 5 | 6 4 2 and then 3 1.
"""


def built(layout="VGG5", shape=(2, 32, 32), batch=3, seed=1, **dials):
    """A narrow network in float64, its image and one-hot targets."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = EquilibriumVGG(layout=layout, **{"width": 1 / 32} | dials)(shape, CLASSES)
        x = torch.randn(batch, *shape).double()
    y = torch.eye(CLASSES).double()[torch.arange(batch) % CLASSES]
    return network.double(), x, y


def nudged(network, x, y, *nudges, rule, steps, cost="squared error"):
    """A free phase without steps, and a nudged one for each beta."""
    recipe = Recipe(Forward(), Identity(), rule, EquilibriumPropagation(), steps)
    free = Phase("free", 0, {0: x}, cost=COSTS[cost], target=y)
    pulled = [
        Phase(str(k), None, {0: x}, nudge=beta, begin_from="free", cost=COSTS[cost], target=y)
        for k, beta in enumerate(nudges)
    ]
    return Relaxation(network, [free, *pulled], recipe)


# The paper's equations ---------------------------------------------------------------------------


class ByHand:
    """Maps and sweeps of a rectified network by torch's functions, from its parameters alone."""

    def __init__(self, network, layout, pools):
        self.L = len(LAYOUTS[layout]) + 1
        self.far = SKIPS.get(layout, {})
        self.weights = [[] for _ in range(self.L + 1)]
        for name, p in network.named_parameters():
            self.weights[int(name.split(".")[1])].append(p.detach())
        words = [word for word in PRINTED[layout].split() if word != "P"]
        ends = PRINTED[layout].replace(" P", "P").split()
        at = [k for k, word in enumerate(ends, start=1) if word.endswith("P")]
        self.pooled = set(at[:pools])
        assert len(words) == self.L - 1

    def a(self, k, h):
        """The pre-activation of layer k, behind its pool."""
        W, *rest = self.weights[k]
        if W.dim() == 2:
            return functional.linear(h[k - 1].flatten(1), W, rest[0])
        a = functional.conv2d(h[k - 1], W, rest[0], padding=1)
        if k in self.far:
            stride = h[self.far[k]].shape[2] // a.shape[2]
            skip = functional.conv2d(h[self.far[k]], rest[1], stride=stride)
            a = a + skip[:, :, : a.shape[2], : a.shape[3]]
        return functional.max_pool2d(a, 2) if k in self.pooled else a

    def f(self, k, h):
        return self.a(k, h).relu() if k < self.L else self.a(k, h)

    def forward(self, x):
        h = [x]
        for k in range(1, self.L + 1):
            h.append(self.f(k, h))
        return h

    def pull(self, k, h):
        """D_k: the slope by h_k of half the squared errors of the layers that read it."""
        at = h[k].clone().requires_grad_()
        moved = [*h[:k], at, *h[k + 1 :]]
        readers = [c for c in range(1, self.L + 1) if k in (c - 1, self.far.get(c))]
        energy = sum(0.5 * (h[c] - self.f(c, moved)).square().sum() for c in readers)
        return torch.autograd.grad(energy, at)[0]

    def swept(self, h, y, beta, order, rule, cost):
        """The states after a sweep: h_k <- ReLU(a_k - D_k), or with f_k in the place of a_k."""
        layers = range(1, self.L + 1)
        groups = {
            "synchronous": [layers],
            "even-odd": [[k for k in layers if k % 2 == p] for p in (0, 1)],
        }[order]
        for group in groups:
            new = list(h)
            for k in group:
                if k == self.L:
                    out = h[k].softmax(1) if cost == "cross-entropy" else h[k]
                    new[k] = self.a(k, h) - beta * (out - y)
                    continue
                mu = self.a(k, h) if rule == "mod-pgd" else self.f(k, h)
                new[k] = (mu - self.pull(k, h)).relu()
            h = new
        return h


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize(
    ("layout", "shape", "pools"),
    [(one, (2, 32, 32), 5) for one in LAYOUTS]
    + [("VGG10Skip", (1, 28, 28), 4), ("VGG10Skip", (1, 6, 5), 1)],
)
def test_a_sweep_from_the_image_is_the_feed_forward_pass(layout, shape, pools):
    network, x, _ = built(layout, shape, pools=pools)
    found = network.sweep({0: x})
    expected = ByHand(network, layout, pools).forward(x)
    assert_close(found, expected, rtol=1e-12, atol=1e-14)
    assert all(bool(h.any()) for h in found)


@pytest.mark.oracle("paper")
@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("rule", ["pgd", "mod-pgd"])
@pytest.mark.parametrize("order", ["synchronous", "even-odd"])
@pytest.mark.parametrize(
    ("layout", "shape", "pools"),
    [("VGG5", (2, 16, 16), 5), ("VGG10Skip", (2, 32, 32), 5), ("VGG10Skip", (1, 28, 28), 4)],
)
def test_sweeps_of_rate_one_are_the_paper_s_iteration(layout, shape, pools, order, rule, cost):
    network, x, y = built(layout, shape, pools=pools)
    hand = ByHand(network, layout, pools)
    dynamics = Sweeping(order=order, rule=rule, rate=1.0)
    for beta in (0.3, -0.3):
        h = hand.forward(x)
        made = nudged(network, x, y, beta, rule=dynamics, steps=6, cost=cost)
        for step in made:
            if step.phase.name == "free":
                continue
            assert_close(step.states, h, rtol=0, atol=1e-12)
            h = hand.swept(h, y, beta, order, rule, cost)
        moved = zip(made.states[1:], made.step().first[1:], strict=True)
        assert all(bool((a != b).any()) for a, b in moved)


@pytest.mark.oracle("paper")
def test_states_pooled_behind_the_activation_are_swept_alike():
    # ReLU(maxpool(conv)) is maxpool(ReLU(conv)): the same sweeps on the VGG that pools last.
    _, x, y = built(shape=(2, 16, 16))
    with torch.random.fork_rng(devices=[]):
        last = VGG(activation="relu", width=1 / 32, batch_norm="none")(
            (2, 16, 16), CLASSES
        ).double()
    maps = [last.maps[str(k)] for k in range(1, 6)]
    assert isinstance(maps[0][2], nn.MaxPool2d)
    made = nudged(last, x, y, 0.3, rule=Sweeping(), steps=4)
    made.run()
    h = [x]
    for one in maps:
        h.append(one(h[-1]).detach())

    def a(k):
        if k == 5:
            return maps[4](h[4]).detach()
        conv = maps[k - 1][0](h[k - 1]).detach()
        return functional.max_pool2d(conv, 2)

    for _ in range(4):
        for group in ((2, 4), (1, 3, 5)):
            new = {}
            for k in group:
                if k == 5:
                    new[k] = a(k) - 0.3 * (h[k] - y)
                    continue
                at = h[k].clone().requires_grad_()
                (D,) = torch.autograd.grad(0.5 * (h[k + 1] - maps[k](at)).square().sum(), at)
                new[k] = (a(k) - D).relu()
            for k, value in new.items():
                h[k] = value
    assert_close(made.states, h, rtol=0, atol=1e-12)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_hidden_layer_is_projected_and_gives_its_pooled_pre_activation(layout):
    network, x, _ = built(layout)
    hand = ByHand(network, layout, 5)
    h = hand.forward(x)
    for k in range(1, hand.L):
        module = network.maps[str(k)]
        assert ends_in_relu(module)
        bare = pre_activation(module)
        a = bare(*[h[p] for p in network.nodes[k].parents])
        assert_close(a, hand.a(k, h), rtol=1e-12, atol=1e-14)
        assert bool((a < 0).any())
        shared = {id(p) for p in module.parameters()}
        assert {id(p) for p in bare.parameters()} == shared
    assert not ends_in_relu(network.maps[str(hand.L)])


# The estimate ------------------------------------------------------------------------------------


def relative(made, expected):
    found = EquilibriumPropagation().gradients(made.step())
    flat = torch.cat([g.flatten() for g in found])
    return float((flat - expected).norm() / expected.norm())


def errors(layout, rule, beta, cost, sweeps=24):
    """Relative errors of the estimates by +beta, by -beta and by both, and W_1's part."""
    network, x, y = built(layout, (2, 32, 32) if layout != "VGG5" else (2, 16, 16), gain=1.5)
    model = ByHand(network, layout, 5)
    for p in (p for layer in model.weights for p in layer):
        p.requires_grad_()
    loss = COSTS[cost](model.forward(x)[-1], y).sum()
    leaves = [p for layer in model.weights for p in layer]
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(loss, leaves)])
    found = []
    for nudges in ((beta,), (-beta,), (beta, -beta)):
        made = nudged(network, x, y, *nudges, rule=Sweeping(rule=rule), steps=sweeps, cost=cost)
        made.run()
        found.append(relative(made, expected))
    return found


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("layout", ["VGG5", "VGG10Skip"])
def test_a_pair_of_nudges_errs_as_beta_squared_and_one_of_them_as_beta(layout, cost):
    wide, narrow = (errors(layout, "mod-pgd", beta, cost) for beta in (2e-3, 1e-3))
    assert wide[0] / narrow[0] == pytest.approx(2, rel=0.05)
    assert wide[1] / narrow[1] == pytest.approx(2, rel=0.05)
    assert wide[2] / narrow[2] == pytest.approx(4, rel=0.05)
    assert max(narrow) < 0.05 and narrow[2] < 1e-4


@pytest.mark.oracle("closed form")
def test_units_that_pgd_wakes_leave_a_pair_of_nudges_an_error_of_order_beta():
    # A unit of a < 0 that is pulled up by beta d goes to beta d in one phase and stays at 0 in the
    # other: what its reader learns, beta delta (beta d) / beta, is not cancelled by the pair.
    wide, narrow = (errors("VGG5", "pgd", beta, "squared error")[2] for beta in (2e-3, 1e-3))
    assert wide / narrow == pytest.approx(2, rel=0.05)


# How far sweeps carry ----------------------------------------------------------------------------


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layer_1_learns_from_the_sweep_on_that_reaches_it(layout):
    network, x, y = built(layout, gain=2.0)
    for K in (REACHED[layout] - 1, REACHED[layout]):
        made = nudged(network, x, y, 0.05, -0.05, rule=Sweeping(), steps=K)
        made.run()
        found = EquilibriumPropagation().gradients(made.step())
        first = dict(zip(dict(network.named_parameters()), found, strict=True))
        assert bool(first["maps.1.0.weight"].any()) == (K == REACHED[layout])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_layer_reads_one_of_its_own_parity(layout):
    network, _, _ = built(layout)
    pairs = [(n.depth, network.nodes[p].depth) for n in network.nodes for p in n.parents]
    assert {(a - b) % 2 for a, b in pairs} == {1}


# Layouts and first weights -----------------------------------------------------------------------


@pytest.mark.oracle("paper")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_are_the_printed_ones(layout):
    entry = EquilibriumVGG(layout=layout, width=1.0)
    with torch.device("meta"):
        network = entry((3, 224, 224), 1000)
    side, shapes = 224, [(3, 224, 224)]
    for word in PRINTED[layout].split():
        if word == "P":
            side //= 2
            shapes[-1] = (shapes[-1][0], side, side)
        elif word.startswith("="):
            shapes.append((int(word[1:]),))
        else:
            shapes.append((int(word), side, side))
    assert [node.shape for node in network.nodes] == [*shapes, (1000,)]
    L = {"VGG5": 6, "VGG10": 10, "VGG10Skip": 10}[layout]
    assert entry.layers == len(network.layers) == network.deepest == L
    assert network.depth.tolist() == list(range(1, L + 1))
    far = {i: n.parents[1] for i, n in enumerate(network.nodes) if len(n.parents) > 1}
    assert far == SKIPS.get(layout, {})
    ones = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1)]
    assert [(m.stride, m.bias) for m in ones] == [((2, 2), None)] * len(far)


def test_an_image_too_small_is_refused_with_the_size_that_is_needed():
    with pytest.raises(BadInput, match=r"network\.pools: 5 in VGG10 with images of 28 x 28; .*32"):
        EquilibriumVGG(layout="VGG10")((1, 28, 28), 10)
    assert EquilibriumVGG(layout="VGG10", pools=0)((1, 1, 1), 10).top == 10


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_weights_begin_uniform_up_to_the_gain_over_the_root_of_the_fan(layout):
    network, *_ = built(layout, width=1 / 4, gain=1.5, output_gain=0.2)
    for name, W in network.state_dict().items():
        layer = int(name.split(".")[1])
        if W.dim() == 1:
            continue
        places = W[0, 0].numel()
        out = layout != "VGG5" and W.dim() == 4
        fan = places * (W.shape[0] if out else W.shape[1])
        c = (0.2 if layer == network.top else 1.5) / fan**0.5
        n = W.numel()
        assert float(W.abs().max()) <= c
        assert float(W.abs().max()) > c * (1 - 20 / n)  # the largest of n falls short by c / n
        assert float(W.mean()) == pytest.approx(0, abs=5 * c / (3 * n) ** 0.5)
        assert float(W.square().mean()) == pytest.approx(c * c / 3, rel=6 / n**0.5)


# In the house ------------------------------------------------------------------------------------

EP = Experiment(
    network=EquilibriumVGG(width=1 / 16, pools=3),
    dataset=make("dataset", "SmallDigits"),
    dynamics=Sweeping(),
    learning=EquilibriumPropagation(),
    task=Nudge(beta=0.02),
    weights=SGD(rate=0.04, momentum=0.9, decay=3e-4, nesterov=True),
    pretraining="random",
    steps=6,
    batch_size=10,
)


@pytest.mark.parametrize("engine", ["plain", "local"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_six_sweeps_of_the_published_nudge_point_along_backprop(layout, engine):
    network = EquilibriumVGG(layout=layout, width=1 / 16, pools=3)
    experiment = EP.changed(network=network, engine=engine, dtype="float64", batch_size=40)
    images = experiment.dataset()
    made = experiment.build(images.shape, images.classes)
    training = Training(experiment, images, made)
    relaxation = training.relaxation(training.batches.batch(0), train=False)
    relaxation.run()
    assert float(alignment(relaxation.step()).min()) > 0.99
    found = EquilibriumPropagation().gradients(relaxation.step())
    phase = relaxation.phase
    roots = {0: relaxation.states[0]}
    expected = backprop_gradients(made, roots, phase.target, phase.cost)
    norms = [float(torch.cat([g.flatten() for g in one]).norm()) for one in (found, expected)]
    assert norms[0] == pytest.approx(norms[1], rel=0.05)


def test_it_learns_the_digits(tmp_path):
    network = EquilibriumVGG(width=1 / 16, pools=2, gain=2.4)
    weights = SGD(rate=0.02, momentum=0.9, decay=3e-4, nesterov=True)
    experiment = EP.changed(network=network, weights=weights, batch_size=20)
    run = train(experiment, tmp_path / "run", batches=45)
    assert float(run.batches()["accuracy"].values[-1]) > 0.6
