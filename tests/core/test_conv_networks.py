"""Convolutional networks: their published sizes, and plain PyTorch as the judge of what they do."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

from core import BadInput, Experiment, Recipe, accuracy, chain, make, pretraining
from core.dynamics.cascade import Cascade
from core.dynamics.fixed_prediction import FixedPrediction
from core.dynamics.gradient import GradientDescent, Nesterov
from core.energies.cross_entropy import CrossEntropy
from core.free_energy import FreeEnergy
from core.inits.forward import Forward
from core.inits.memory import Memory
from core.learning.local import ForwardUpdate, PredictiveCoding
from core.learning.z_il import ZIL
from core.networks.alexnet import AlexNet
from core.networks.vgg import LAYOUTS, VGG
from core.phase import Phase
from core.precisions.identity import Identity
from core.precisions.spiking import Spiking
from core.recording import relax
from core.relaxation import Relaxation
from core.runs.train import train

DEPTHS = {"VGG5": 5, "VGG7": 7, "VGG9": 9, "VGG10": 10, "VGG11": 11, "VGG13": 13, "VGG15": 15}
DEPTHS |= {"VGG19": 17}
POOLS = {"VGG5": 4, "VGG7": 3, "VGG9": 4, "VGG10": 4, "VGG11": 4, "VGG13": 5, "VGG15": 5}
POOLS |= {"VGG19": 5}
PRINTED = {
    "VGG5": "128 P 256 P 512 P 512 P",
    "VGG7": "128 P 128 256 P 256- 512 P 512-",
    "VGG9": "64 P 128 128 P 256 256 P 512 512 P 512",
    "VGG10": "64 128 128 P 128 256 P 256 256 P 256 512 P",
    "VGG11": "64 128 128 P 128 256 P 256 256 P 256 512 P 512",
    "VGG13": "128 128 128 P 128 256 P 256 256 P 256 512 P 512 512 P 512",
    "VGG15": "64 64 P 128 128 P 256 256 256 P 512 512 512 P 512 512 512 P",
    "VGG19": "64 64 P 128 128 P 256 256 256 256 P 512 512 512 512 P 512 512 512 512 P",
}
"""Channels and pools as the sources have them; a minus is a convolution without padding."""


def bare(entry, shape=(3, 32, 32), classes=10):
    """The network without memory behind it."""
    with torch.device("meta"):
        return entry(shape, classes)


def count(network):
    return sum(p.numel() for p in network.parameters())


# Sizes -------------------------------------------------------------------------------------------


@pytest.mark.oracle("paper")
@pytest.mark.parametrize(
    ("entry", "parameters"),
    [(VGG(width=1.0, batch_norm="none"), 3_859_210), (AlexNet(width=1.0), 23_272_266)],
)
def test_parameters_are_as_many_as_published(entry, parameters):
    assert count(bare(entry)) == parameters


@pytest.mark.oracle("paper")
@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_are_the_printed_ones(name):
    side, channels, shapes, weights = 64, 3, [(3, 64, 64)], 0
    for word in PRINTED[name].split():
        if word == "P":
            side //= 2
            shapes[-1] = (channels, side, side)
            continue
        new = int(word.strip("-"))
        weights += 9 * channels * new + new
        channels, side = new, side - 2 * word.endswith("-")
        shapes.append((channels, side, side))
    units = channels * side * side
    if name == "VGG15":
        weights += 4096 * (units + 1)
        units = 4096
        shapes.append((4096,))
    network = bare(VGG(layout=name, width=1.0, batch_norm="none"), (3, 64, 64), 200)
    assert [node.shape for node in network.nodes] == [*shapes, (200,)]
    assert count(network) == weights + 200 * (units + 1)
    assert VGG(layout=name).layers == len(network.layers) == DEPTHS[name]
    assert network.depth.tolist() == list(range(1, DEPTHS[name] + 1))


@pytest.mark.oracle("paper")
@pytest.mark.parametrize(("side", "units"), [(32, 512), (56, 8192)])
def test_vgg7_ends_in_as_many_units_as_printed(side, units):
    network = bare(VGG(layout="VGG7", width=1.0), (3, side, side))
    assert network.nodes[-2].size == units


@pytest.mark.parametrize("name", LAYOUTS)
def test_an_image_too_small_is_refused_with_the_size_that_is_needed(name):
    # VGG7 loses 2 places before and after its last pool: ((s / 4 - 2) / 2 - 2) is 1 from s = 32 on
    least = 32 if name == "VGG7" else 2 ** POOLS[name]
    entry = VGG(layout=name)
    with pytest.raises(BadInput) as caught:
        entry((1, least, least - 1), 10)
    assert str(caught.value) == (
        f"network.pools: {POOLS[name]} in {name} with images of {least} x {least - 1}; "
        f"fewer pools, or images of {least} x {least} and more"
    )
    assert bare(entry, (1, least, least)).nodes[-2].size > 0
    if name != "VGG7":  # whose convolutions without padding need 5 x 5 in any case
        assert bare(VGG(layout=name, pools=0), (1, 1, 1)).nodes[-2].size > 0


def test_fewer_pools_are_the_first_ones_and_width_is_a_factor():
    network = bare(VGG(width=1 / 32, pools=2), (1, 8, 8))
    shapes = [node.shape for node in network.nodes]
    assert shapes == [(1, 8, 8), (4, 4, 4), (8, 2, 2), (16, 2, 2), (16, 2, 2), (10,)]
    shapes = [node.shape for node in bare(AlexNet(width=1 / 64, pools=2), (1, 8, 8)).nodes]
    assert shapes[1:6] == [(1, 2, 2), (3, 1, 1), (6, 1, 1), (4, 1, 1), (4, 1, 1)]
    assert shapes[6:] == [(64,), (64,), (10,)]


# What they compute -------------------------------------------------------------------------------


def reference(network, activation, pooled, site="post"):
    """f_1 ... f_L of a network of 3 x 3 convolutions without norm, by torch's functions."""
    weights = list(network.parameters())
    pairs = list(zip(weights[::2], weights[1::2], strict=True))

    def between(h, pool):
        h = activation(h)
        return functional.max_pool2d(h, 2) if pool else h

    def one(k, h):
        W, b = pairs[k]
        if site == "pre" and k:
            h = between(h, pooled[k - 1])
        if W.dim() == 2:
            return functional.linear(h.flatten(1), W, b)
        a = functional.conv2d(h, W, b, padding=1)
        return between(a, pooled[k]) if site == "post" else a

    return [lambda h, k=k: one(k, h) for k in range(len(pairs))]


def energies_of(maps, states):
    """E_l of each sample by squared error, (L, B)."""
    pairs = zip(maps, states[:-1], states[1:], strict=True)
    return torch.stack([0.5 * (up - f(h)).flatten(1).square().sum(1) for f, h, up in pairs])


def problem(shape=(3, 16, 16), batch=3, dtype=torch.float64, **dials):
    """A narrow VGG5, and values of its ends."""
    torch.manual_seed(0)
    network = VGG(**{"width": 1 / 64, "batch_norm": "none"} | dials)(shape, 10).to(dtype)
    x = torch.rand(batch, *shape, dtype=dtype)
    y = functional.one_hot(torch.arange(batch) % 10, 10).to(dtype)
    return network, {0: x, network.top: y}


def random_states(network, clamped, batch):
    states = [torch.randn(batch, *node.shape).to(network.example) for node in network.nodes]
    return [clamped.get(i, h) for i, h in enumerate(states)]


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("site", ["post", "pre"])
@pytest.mark.parametrize("engine", ["plain", "local"])
def test_gradients_are_those_of_autograd_of_the_total_energy(engine, site):
    network, clamped = problem(site=site)
    states = random_states(network, clamped, 3)
    precision = torch.tensor([0.5, 2.0, 1.0, 0.1, 3.0], dtype=torch.float64)
    free_energy = relaxation(network, clamped, engine=engine).step().free_energy
    made = FreeEnergy(network, precision, clamped, engine=free_energy.engine)
    maps = reference(network, functional.gelu, [True] * 4, site)
    leaves = [h.clone().requires_grad_(i not in clamped) for i, h in enumerate(states)]
    total = (precision[:, None] * energies_of(maps, leaves)).sum()
    expected = torch.autograd.grad(total, leaves[1:-1])
    for g, wanted in zip(made.forces(states)[1:-1], expected, strict=True):
        assert float((g - wanted).norm() / wanted.norm()) < 1e-12
    weights = list(network.parameters())
    expected = torch.autograd.grad(energies_of(maps, states).sum(), weights)
    for g, wanted in zip(made.weight_gradients(states), expected, strict=True):
        assert float((g - wanted).norm() / wanted.norm()) < 1e-12


def relaxation(network, clamped, engine="local", **choices):
    given = {
        "init": Forward(),
        "precision": Identity(),
        "dynamics": GradientDescent(0.1),
        "learning": PredictiveCoding(),
        "steps": 6,
    }
    recipe = Recipe(**given | choices)
    return Relaxation(network, [Phase("relax", clamped=clamped)], recipe, engine=engine)


def by_hand(maps, states, steps, rate, momentum):
    """Energies of each step of Nesterov descent on the states, batch sums, (T + 1, L)."""
    free = [h.clone().requires_grad_() for h in states[1:-1]]
    optimiser = torch.optim.SGD(free, lr=rate, momentum=momentum, nesterov=momentum > 0)
    rows = []
    for _ in range(steps + 1):
        energies = energies_of(maps, [states[0], *free, states[-1]])
        rows.append(energies.detach().sum(1))
        optimiser.zero_grad()
        grads = torch.autograd.grad(energies.sum(), free)
        for h, g in zip(free, grads, strict=True):
            h.grad = g
        optimiser.step()
    return torch.stack(rows)


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize(
    ("width", "shape", "batch", "steps", "site"),
    [
        (1 / 32, (3, 16, 16), 4, 12, "post"),
        (1 / 32, (3, 16, 16), 4, 12, "pre"),
        (1.0, (3, 32, 32), 2, 3, "post"),
    ],
)
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_energies_of_each_step_and_layer_are_those_of_plain_torch(
    width, shape, batch, steps, site, momentum
):
    network, clamped = problem(shape, batch, torch.float32, width=width, site=site)
    dynamics = Nesterov(0.1, momentum) if momentum else GradientDescent(0.1)
    made = relaxation(network, clamped, dynamics=dynamics, steps=steps)
    found = torch.stack([step.free_energy.energies(step.states).sum(1) for step in made])
    maps = reference(network, functional.gelu, [True] * 4, site)
    states = [clamped[0]]
    with torch.no_grad():
        for f in maps[:-1]:
            states.append(f(states[-1]))
    expected = by_hand(maps, [*states, clamped[network.top]], steps, 0.1, momentum)
    assert found[-1].gt(0).sum() >= min(steps, 5)
    assert_close(found, expected, rtol=1e-5, atol=1e-9)


def mixed():
    """conv(1-3)-gelu-pool / conv(3-4)-tanh-pool / FC with cross-entropy, of validation case V15."""
    torch.manual_seed(0)
    maps = [
        nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.GELU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Flatten(), nn.Linear(16, 5)),
    ]
    network = chain(maps, [(1, 8, 8), (3, 4, 4), (4, 2, 2), (5,)]).double()
    network.give_output_energy(CrossEntropy())
    y = functional.one_hot(torch.arange(6) % 5, 5).double()
    return network, {0: torch.randn(6, 1, 8, 8).double(), 3: y}


def narrow():
    """A narrow VGG5 with squared error."""
    return problem((3, 16, 16), 6)


def loss_gradients(network, clamped):
    """Of the loss of the modules as one nn.Sequential, by torch."""
    whole = nn.Sequential(*[network.maps[str(i)] for i in network.layers])
    out, y = whole(clamped[0]), clamped[network.top]
    if isinstance(network.nodes[-1].energy, CrossEntropy):
        loss = functional.cross_entropy(out, y, reduction="sum")
    else:
        loss = 0.5 * (y - out).square().sum()
    return torch.autograd.grad(loss, list(network.parameters()))


def worst(found, expected):
    pairs = zip(found, expected, strict=True)
    return max(float((g - wanted).abs().max()) for g, wanted in pairs)


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("made", [mixed, narrow])
@pytest.mark.parametrize("engine", ["plain", "local"])
def test_z_il_is_backprop_on_convolutions_and_pools(made, engine):
    network, clamped = made()
    steps = relaxation(
        network, clamped, engine, dynamics=Cascade(), learning=ZIL(), steps=len(network.layers)
    )
    found = [None] * len(list(network.parameters()))
    for step in steps:
        for k, g in enumerate(ZIL().gradients(step)):
            if g is not None:
                assert found[k] is None
                found[k] = g
    expected = loss_gradients(network, clamped)
    assert all(bool(g.any()) for g in expected)
    assert worst(found, expected) < 1e-14


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("made", [mixed, narrow])
def test_fixed_prediction_is_backprop_on_convolutions_and_pools(made):
    network, clamped = made()
    run = relaxation(
        network, clamped, dynamics=FixedPrediction(0.5), learning=ForwardUpdate(), steps=150
    )
    run.run()
    found = ForwardUpdate().gradients(run.step())
    assert worst(found, loss_gradients(network, clamped)) < 1e-14


@pytest.mark.parametrize("entry", [VGG(layout="VGG19", width=1.0), AlexNet(width=1.0)])
def test_the_largest_have_the_same_gradients_by_layer_as_by_the_total(entry):
    torch.manual_seed(0)
    network = entry((3, 32, 32), 10).double()
    clamped = {0: torch.rand(1, 3, 32, 32).double(), network.top: torch.eye(10)[:1].double()}
    states = network.sweep(clamped)
    states = [
        clamped.get(i, (h + 0.1 * torch.randn_like(h)).detach()) for i, h in enumerate(states)
    ]
    precision = torch.ones(len(network.layers), dtype=torch.float64)
    found = []
    for engine in ("plain", "local"):
        by = relaxation(network, clamped, engine).engine
        made = FreeEnergy(network, precision, clamped, engine=by)
        found.append([*made.forces(states)[1:-1], *made.weight_gradients(states)])
    for g, wanted in zip(*found, strict=True):
        assert bool(wanted.any())
        assert float((g - wanted).norm() / wanted.norm()) < 1e-12


# In the house ------------------------------------------------------------------------------------

SMALL = Experiment(
    network=VGG(width=1 / 32, pools=2),
    dataset=make("dataset", "SmallDigits"),
    pretraining="random",
    steps=5,
)


def test_the_engine_for_chains_is_refused_and_auto_goes_layer_by_layer():
    with pytest.raises(BadInput, match=r"^engine: chain; .*auto, local and plain"):
        SMALL.changed(engine="chain")
    for level in ("lean", "full"):
        assert relax(SMALL, level=level).attrs["engine"] == "local"


@pytest.mark.parametrize(
    "network", [VGG(width=1 / 32, pools=2), AlexNet(width=1 / 32, pools=2), SMALL.network]
)
def test_lean_and_full_recordings_have_the_same_energies(network):
    lean, full = (relax(SMALL.changed(network=network), level=one) for one in ("lean", "full"))
    assert lean.sizes["layer"] == full.sizes["layer"] == network.layers
    assert_close(torch.tensor(lean.energy.values), torch.tensor(full.energy.values))
    assert full.energy_sample.sizes["sample"] == 20


def test_the_image_of_a_dream_is_recorded_flat():
    dream = SMALL.changed(task=make("task", "Dream"), init=make("init", "Normal"))
    found = relax(dream)
    assert found.attrs["diverged"] == ""
    assert found["image"].shape[-3:] == (1, 8, 8)


@pytest.mark.parametrize("init", [Memory(), make("init", "Average"), make("init", "Null")])
def test_inits_that_remember_do_so_with_states_of_any_shape(init, tmp_path):
    run = train(SMALL.changed(init=init), tmp_path / "run", batches=3)
    rows = run.dataset()
    energy = rows["energy"].values[rows["batch"].values == 2]  # (T + 1, L)
    assert run.state == "finished"
    assert (energy[0, :-1] > 0).any()


def test_a_vgg_learns_the_digits(tmp_path):
    experiment = SMALL.changed(
        network=VGG(width=1 / 16, pools=2),
        precision=Spiking(),
        dynamics=GradientDescent(0.5),
        learning=ForwardUpdate(),
        weights=make("weights", "AdamW", {"rate": 5e-3}),
        batch_size=50,
    )
    run = train(experiment, tmp_path / "run", batches=60)
    assert float(run.batches()["accuracy"].values[-1]) > 0.8


def test_first_weights_come_with_running_statistics_after_half_the_epochs(cache, monkeypatch):
    monkeypatch.setattr(pretraining, "EPOCHS", {"classifier": 5})
    experiment = SMALL.changed(
        network=VGG(width=1 / 32, pools=2, batch_norm="frozen"), pretraining="trained"
    )
    images = experiment.dataset()
    network = experiment.build(images.shape, images.classes)
    course = pretraining.first_weights(experiment, images, network, lambda line, share: None)
    assert course.epochs == 2
    assert "T 5" in course.how
    assert accuracy(network, images.test_x, images.test_y) == course.scores[-1] > 0.5
