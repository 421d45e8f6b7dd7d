"""Networks of anybody's torch modules: plain PyTorch is the judge of what they predict."""

import copy
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.testing import assert_close

from core import BadInput, Experiment, cards, make, own, plugins, relax
from core.companions import companions
from core.datasets.small_digits import SmallDigits
from core.engines import engine_for
from core.free_energy import FreeEnergy
from core.laws import examined
from core.network import Network
from core.normalization import BatchNorm
from core.own import Graph

pytestmark = pytest.mark.usefixtures("scratch")

SHAPE, CLASSES = (1, 8, 8), 10


def mixed():
    """Twelve layers of eleven kinds, as somebody would write them."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1, groups=2),
        nn.GroupNorm(2, 8),
        nn.SiLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 16),
        nn.PReLU(),
        nn.Linear(16, CLASSES),
    )


def made(entry, **dials):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return entry(**dials)(SHAPE, CLASSES)


def images(batch=5):
    return torch.randn(batch, *SHAPE, generator=torch.Generator().manual_seed(1))


# Chains ------------------------------------------------------------------------------------------


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("site", ["as given", "post", "pre"])
def test_a_sequential_predicts_what_it_does_at_either_site(site):
    module = mixed()
    entry = own.network("Mixed", module, weights=True)
    network, x = made(entry, site=site), images()
    module.eval()
    with torch.no_grad():
        assert_close(network.sweep({0: x})[-1], module(x))
    assert network.nodes[-1].shape == (CLASSES,)


def test_a_state_stands_behind_each_module_with_weights_and_what_follows_it():
    entry = own.network("Mixed", mixed())
    shapes = [node.shape for node in made(entry).nodes]
    assert shapes == [SHAPE, (6, 4, 4), (8, 2, 2), (16,), (CLASSES,)]
    assert entry().layers == 4
    shapes = [node.shape for node in made(entry, site="pre").nodes]
    assert shapes == [SHAPE, (6, 8, 8), (8, 4, 4), (16,), (CLASSES,)]


def test_the_site_is_chosen_layer_by_layer():
    network = made(own.network("Mixed", mixed(), pre=(4,)))
    shapes = [node.shape for node in network.nodes]
    assert shapes == [SHAPE, (6, 4, 4), (8, 4, 4), (16,), (CLASSES,)]
    network = made(own.network("Mixed again", mixed(), pre=("0",)))
    assert network.nodes[1].shape == (6, 8, 8)


def test_a_list_has_a_state_behind_each_item():
    items = [nn.Flatten(), nn.Sequential(nn.Linear(64, 12), nn.Tanh()), nn.Linear(12, CLASSES)]
    network = made(own.network("Listed", items))
    assert [node.shape for node in network.nodes] == [SHAPE, (64,), (12,), (CLASSES,)]


def test_a_function_is_asked_for_the_shape_of_the_images():
    @own.network("Asked")
    def asked(shape, classes):
        """Fits any images."""
        size = shape[0] * shape[1] * shape[2]
        return nn.Sequential(nn.Flatten(), nn.Linear(size, 7), nn.ELU(), nn.Linear(7, classes))

    entry = cards("network")["Asked"].entry
    assert entry().layers == 2
    assert entry()((3, 5, 4), 6).nodes[-1].shape == (6,)
    assert "Fits any images." in cards("network")["Asked"].doc


def test_the_modules_that_were_handed_over_stay_as_they_are():
    module = mixed()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    made(own.network("Mixed", module))
    assert all(torch.equal(v, module.state_dict()[k]) for k, v in before.items())
    assert module[2].inplace
    assert isinstance(module[1], nn.BatchNorm2d)


def test_batch_norms_become_those_of_relaxations_with_their_numbers():
    module = mixed()
    with torch.no_grad():
        module[1].running_mean.normal_()
        module[1].weight.uniform_()
    for how in ("frozen", "batch"):
        (norm,) = made(own.network("Mixed", module, weights=True, name=how), batch_norm=how).norms
        assert isinstance(norm, BatchNorm)
        assert norm.how == how
        assert torch.equal(norm.running_mean, module[1].running_mean)
        assert torch.equal(norm.weight, module[1].weight)


# Weights -----------------------------------------------------------------------------------------


def test_weights_are_drawn_with_the_seed_unless_they_are_brought():
    module = mixed()
    entry = own.network("Mixed", module)
    draws = []
    for seed in (0, 0, 1):
        built = Experiment(network=entry(), pretraining="random", seed=seed).build(SHAPE, CLASSES)
        draws.append(next(built.parameters()).detach())
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    kept = own.network("Kept", module, weights=True)
    built = Experiment(network=kept(), pretraining="random", seed=7).build(SHAPE, CLASSES)
    assert torch.equal(next(built.parameters()).detach(), module[0].weight.detach())


@pytest.mark.parametrize("how", ["state dict", "file", "path"])
def test_a_state_dict_is_taken_from_memory_or_from_safetensors(how, tmp_path):
    module, path = mixed(), tmp_path / "weights.safetensors"
    save_file(module.state_dict(), path)
    weights = {"state dict": module.state_dict(), "file": str(path), "path": path}[how]
    network, x = made(own.network("Mixed", mixed(), weights=weights)), images()
    with torch.no_grad():
        assert_close(network.sweep({0: x})[-1], module.eval()(x))


def test_weights_that_do_not_fit_are_refused_by_their_name(tmp_path):
    good = mixed().state_dict()
    bad = {
        "9.weight is missing": {k: v for k, v in good.items() if k != "9.weight"},
        "9.weigth; one of": good | {"9.weigth": good["9.weight"]},
        r"9.weight has the shape \(3, 3\); \(16, 32\)": good | {"9.weight": torch.zeros(3, 3)},
    }
    for k, (sentence, weights) in enumerate(bad.items()):
        with pytest.raises(BadInput, match=f"^network: Mixed, weights: {sentence}"):
            made(own.network("Mixed", mixed(), weights=weights, name=f"Mixed{k}"))
    with pytest.raises(BadInput, match=r"no\.safetensors; no file"):
        made(own.network("Mixed", mixed(), weights=tmp_path / "no.safetensors"))
    pickled = tmp_path / "weights.pt"
    torch.save(good, pickled)
    with pytest.raises(BadInput, match=r"weights\.pt; cannot be read .*pickles are not opened"):
        made(own.network("Pickled", mixed(), weights=pickled))


def test_training_would_overwrite_weights_that_were_brought():
    entry = own.network("Kept", mixed(), weights=True)
    with pytest.raises(BadInput, match=r"^pretraining: trained; .*random leaves them"):
        Experiment(network=entry())
    assert companions(Experiment(), entry())["pretraining"] == "random"
    drawn = own.network("Drawn", mixed())
    assert "pretraining" not in companions(Experiment(), drawn())


# Graphs ------------------------------------------------------------------------------------------


class Add(nn.Module):
    """The sum of two states behind a linear map."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(12, CLASSES)

    def forward(self, a, b):
        return self.linear(a + b)


def two_ways():
    first = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.Tanh())
    return {
        "a": ("input", first),
        "b": ("a", nn.Sequential(nn.Linear(12, 12), nn.ReLU())),
        "c": ("b", nn.Linear(12, 12)),
        "out": (("a", "c"), Add()),
    }


def by_hand(nodes, x):
    a = nodes["a"][1](x)
    return nodes["out"][1](a, nodes["c"][1](nodes["b"][1](a)))


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("pre", [(), ("a",), ("b",), ("a", "b")])
def test_a_graph_predicts_what_its_modules_do(pre):
    nodes = two_ways()
    network, x = made(own.network("Ways", Graph(nodes, pre=pre), weights=True)), images()
    with torch.no_grad():
        states = network.sweep({0: x})
        assert_close(states[-1], by_hand(nodes, x))
        a = nodes["a"][1][:2](x) if "a" in pre else nodes["a"][1](x)
        assert_close(states[1], a)
    assert [n.name for n in network.nodes] == ["0", "a", "b", "c", "out"]
    assert network.depth.tolist() == [1, 2, 3, 4]
    assert network.nodes[-1].parents == (1, 3)


def test_none_in_a_graph_is_a_relay():
    nodes = two_ways()
    nodes = {k: nodes[k] for k in ("a", "b", "c")}
    nodes |= {"r": ("a", None), "s": ("r", None), "out": (("s", "c"), Add())}
    network = made(own.network("Delayed", Graph(nodes)))
    assert network.relays == [4, 5]
    spans = {n.depth - network.nodes[p].depth for n in network.nodes for p in n.parents}
    assert spans == {1}


@pytest.mark.parametrize(
    ("nodes", "pre", "sentence"),
    [
        (
            {"a": ("b", nn.Flatten()), "b": ("input", nn.Flatten())},
            (),
            "a reads b, which is listed",
        ),
        ({"a": ("inptu", nn.Flatten())}, (), "a reads inptu, which is not there; one of input"),
        ({"a b": ("input", nn.Flatten())}, (), "node 'a b'; a name of letters"),
        ({"input": ("input", nn.Flatten())}, (), "node 'input'; a name of letters"),
        ({"a": ((), nn.Flatten())}, (), "node a reads nothing"),
        ({"keys": ("input", nn.Flatten())}, (), "node keys; a name that torch's"),
        ({"a": ("input", nn.Flatten())}, ("b",), "pre: b; one of a"),
    ],
)
def test_a_graph_that_is_none_is_refused(nodes, pre, sentence):
    with pytest.raises(BadInput, match=f"^network.*{sentence}"):
        Graph(nodes, pre=pre)


def test_a_state_that_nobody_reads_is_refused():
    nodes = two_ways() | {"out": ("c", nn.Linear(12, CLASSES))}
    nodes = {
        "a": nodes["a"],
        "d": ("a", nn.Linear(12, 3)),
        "c": ("a", nn.Linear(12, 12)),
        "out": nodes["out"],
    }
    with pytest.raises(BadInput, match="Ways, node d is read by nobody"):
        made(own.network("Ways", Graph(nodes)))


# The door ----------------------------------------------------------------------------------------


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, h):
        return h, h


class Counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, h):
        self.calls += 1
        return h * self.weight


class Writer(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, h):
        return h.mul_(2) * self.weight


class Mixer(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, h):
        return (h - h.mean(0)) * self.weight


@pytest.mark.parametrize(
    ("place", "module", "sentence"),
    [
        (4, nn.Conv2d(5, 8, 3), r"module 4 \(Conv2d\(5, 8.*\) cannot read \(6, 4, 4\)"),
        (9, nn.Linear(31, 16), r"module 9 \(Linear\(in_features=31.*\) cannot read \(32,\)"),
        (11, nn.Linear(16, 9), r"module 11 \(Linear.*\) gives the output \(9,\); \(10,\), one for"),
        (3, nn.Dropout(0.5), r"module 3 \(Dropout.*\) draws at random"),
        (3, Counter(), r"module 3 \(Counter\(\)\) changes its own state"),
        (3, Writer(), r"module 3 \(Writer\(\)\) writes into what it reads"),
        (3, Mixer(), r"module 3 \(Mixer\(\)\) mixes the samples"),
        (3, Pair(), r"module 3 \(Pair\(\)\) gives tuple; a tensor of floats"),
    ],
)
def test_a_module_that_does_not_do_is_refused_by_its_name(place, module, sentence):
    parts = list(mixed())
    parts[place] = module
    with pytest.raises(BadInput, match=f"^network: Mixed, {sentence}"):
        made(own.network("Mixed", nn.Sequential(*parts)))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("Fine", 3), "network.modules: int; torch modules"),
        (("Fine", [nn.Linear(1, 1), 3]), "network.modules: int; torch modules"),
        (("Fine", []), "network.modules: an empty list"),
        (("...", nn.Linear(1, 1)), "network.title: '...'; a text with letters"),
        (("MLP", nn.Linear(1, 1)), "network: 'MLP' is already the name of an entry"),
    ],
)
def test_what_is_no_network_is_refused(arguments, sentence):
    with pytest.raises(BadInput, match=f"^{sentence}"):
        own.network(*arguments)
    with pytest.raises(BadInput, match=r"^network\.latent: the shape of state 0"):
        own.network("Fine", nn.Linear(1, 1), image_at="output")
    for k, (modules, pre, said) in enumerate(
        [
            (nn.Sequential(nn.Flatten()), (), "no module with weights"),
            (nn.Sequential(nn.Linear(1, 1)), (7,), r"network\.pre: 7; a module of the chain"),
        ]
    ):
        entry = own.network(f"Fine {k}", modules, pre=pre)
        with pytest.raises(BadInput, match=said):
            made(entry)


# In an experiment --------------------------------------------------------------------------------


@pytest.mark.parametrize("site", ["post", "pre"])
def test_a_strangers_network_relaxes(site):
    entry = own.network("Mixed", mixed())
    data = relax(
        Experiment(network=entry(site=site), dataset=SmallDigits(), pretraining="random", steps=6)
    )
    assert data.sizes["layer"] == 4
    energy = data["energy"].sum("layer").values
    assert energy[-1] < energy[0]


def test_a_decoder_of_ones_own_has_the_image_at_its_output():
    layers = nn.Sequential(nn.Linear(4, 9), nn.Tanh(), nn.Linear(9, 64), nn.Unflatten(1, (1, 8, 8)))
    entry = own.network("Painter", layers, image_at="output", latent=(4,))
    network = made(entry)
    assert isinstance(network, Network)
    assert (network.image, network.nodes[-1].shape, network.nodes[0].shape) == (2, SHAPE, (4,))


def test_the_laws_of_networks_hold():
    own.network("Mixed", mixed())
    own.network("Ways", Graph(two_ways(), pre=("a",)))
    for name in ("Mixed", "Ways"):
        found = list(examined(cards("network")[name]))
        assert [one.violations for one in found if one.violations] == []
        assert found


def test_dials_change_an_entry_as_those_of_any_other():
    entry = own.network("Mixed", mixed())
    one = Experiment(network=entry(), pretraining="random")
    other = Experiment.from_dict(one.to_dict())
    assert other == one
    assert replace(other.network, site="pre") != one.network
    with pytest.raises(BadInput, match=r"network\.site"):
        entry(site="before")


# TOML --------------------------------------------------------------------------------------------

WRITTEN = """
title = "Written"
doc = "As written down."

[[layer]]
name = "conv"
site = "pre"
modules = [
  { type = "Conv2d", in_channels = 1, out_channels = 4, kernel_size = [3, 3], padding = 1 },
  { type = "Tanh" },
  { type = "MaxPool2d", kernel_size = 2 },
]

[[layer]]
name = "wide"
modules = [{ type = "Flatten" }, { type = "Linear", in_features = 64, out_features = 10 }]

[[layer]]
name = "late"
reads = "wide"
relay = true

[[layer]]
name = "out"
reads = ["late"]
modules = [{ type = "Linear", in_features = 10, out_features = 10, bias = false }]
"""


def test_a_network_is_read_from_toml(tmp_path):
    path = tmp_path / "written.toml"
    path.write_text(WRITTEN)
    plugin = plugins.load(path)
    assert [card.name for card in plugin.cards] == ["Written"]
    network = made(cards("network")["Written"].entry)
    assert [n.shape for n in network.nodes] == [SHAPE, (4, 8, 8), (10,), (10,), (CLASSES,)]
    assert network.relays == [3]
    assert plugins.load(path) is plugin
    path.write_text(WRITTEN.replace("out_channels = 4", "out_channels = 4, groups = 1"))
    assert plugins.load(path).sha256 != plugin.sha256


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('title = "Written"', "title = 3", r"network\.title: 3; a text"),
        ('title = "Written"', 'titel = "x"', r"network\.titel: titel; one of .*did you mean title"),
        ('site = "pre"', 'site = "before"', r"network\.layer\[0\]\.site: before; one of post, pre"),
        ('type = "Tanh"', 'type = "Tahn"', r"modules\[1\]\.type: Tahn; .*did you mean Tanh\?"),
        ('type = "Tanh"', "kind = 3", r"modules\[1\]: .*; a table with a type"),
        ("padding = 1", "pading = 1", r"modules\[0\]\.pading: pading; .*did you mean padding\?"),
        ("padding = 1", "padding = {}", r"modules\[0\]\.padding: \{\}; numbers, texts"),
        ("out_channels = 4", 'out_channels = "4"', r"modules\[0\]: Conv2d cannot be made; "),
        ('reads = "wide"', 'reads = "wid"', "node late reads wid, which is not there"),
        ('reads = "wide"', "reads = 3", r"layer\[2\]\.reads: 3; a name"),
        ("relay = true", "relay = 1", r"layer\[2\]\.relay: 1; true or false"),
        ("relay = true", "relay = true\nmodules = []", r"layer\[2\]\.modules: given beside relay"),
        ('name = "late"', 'name = "wide"', r"layer\[2\]\.name: wide; a name that no other"),
        ("[[layer]]", "[[leyer]]", r"network\.leyer: leyer; .*did you mean layer"),
        ('doc = "As', 'doc = "As\\', "cannot be read"),
    ],
)
def test_toml_that_is_no_network_is_refused(tmp_path, old, new, sentence):
    path = tmp_path / "written.toml"
    path.write_text(WRITTEN.replace(old, new, 1 if old != "[[layer]]" else -1))
    with pytest.raises(plugins.BadPlugin, match=sentence):
        plugins.load(path)
    assert "Written" not in cards("network")


def test_weights_beside_toml_are_loaded(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(
        'title = "Small"\nweights = "small.safetensors"\n[[layer]]\nmodules = ['
        '{ type = "Flatten" }, { type = "Linear", in_features = 64, out_features = 10 }]\n'
    )
    weight = torch.arange(640.0).reshape(10, 64)
    names = {"layer1.1.weight": weight, "layer1.1.bias": weight[:, 0]}
    save_file({k: v.contiguous() for k, v in names.items()}, tmp_path / "small.safetensors")
    plugins.load(path)
    network = made(cards("network")["Small"].entry)
    assert torch.equal(network.state_dict()["maps.1.1.weight"], weight)


# Cycles ------------------------------------------------------------------------------------------


class Both(nn.Module):
    """A map of two states."""

    def __init__(self, first, second, units):
        super().__init__()
        self.first, self.second = nn.Linear(first, units), nn.Linear(second, units)

    def forward(self, x, h):
        return torch.tanh(self.first(x.flatten(1)) + self.second(h))


def cycle(own_state=True):
    """a reads the image and b, b reads a and, if wanted, itself; the output reads b."""
    b = (("a", "b"), Both(5, 4, 4)) if own_state else ("a", nn.Sequential(nn.Linear(5, 4)))
    return {"a": (("input", "b"), Both(64, 4, 5)), "b": b, "out": ("b", nn.Linear(4, CLASSES))}


LOOP = """
title = "Loop in a file"
[[layer]]
name = "a"
modules = [{ type = "Flatten" }, { type = "Linear", in_features = 64, out_features = 5 }]
[[layer]]
name = "b"
reads = ["a", "b"]
shape = [5]
modules = [{ type = "Bilinear", in1_features = 5, in2_features = 5, out_features = 5 }]
[[layer]]
modules = [{ type = "Linear", in_features = 5, out_features = 10 }]
"""


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("engine", ["plain", "local"])
@pytest.mark.parametrize("own_state", [True, False])
def test_states_of_a_cycle_have_the_energies_and_forces_of_plain_torch(own_state, engine):
    nodes = cycle(own_state)
    entry = own.network("Loop", Graph(nodes, shapes={"b": (4,)}), weights=True)
    network, x = made(entry).double(), images().double()
    assert not network.acyclic and not network.classifies and entry().has_cycle
    assert [n.parents for n in network.nodes] == [(), (0, 2), (1, 2) if own_state else (1,), (2,)]
    assert (entry().layers, network.depth.tolist()) == (3, [1, 2, 3])
    noise = torch.Generator().manual_seed(1)
    a, b, out = (torch.randn(len(x), n, generator=noise).double() for n in (5, 4, CLASSES))
    maps = {name: copy.deepcopy(module).double() for name, (_, module) in nodes.items()}
    free = [a.clone().requires_grad_(), b.clone().requires_grad_()]
    mu = [maps["a"](x, free[1]), maps["b"](*free) if own_state else maps["b"](free[0])]
    mu.append(maps["out"](free[1]))
    pairs = zip([*free, out], mu, strict=True)
    energies = [0.5 * (h - m).square().sum(1) for h, m in pairs]
    forces = torch.autograd.grad(sum(one.sum() for one in energies), free)
    by = engine_for(network, engine)
    free_energy = FreeEnergy(network, torch.ones(3).double(), {0: x, 3: out}, engine=by)
    balance = free_energy.balance([x, a, b, out])
    assert_close(balance.energies, torch.stack(energies).detach(), rtol=1e-12, atol=1e-12)
    assert_close(balance.forces[1], forces[0], rtol=1e-12, atol=1e-12)
    assert_close(balance.forces[2], forces[1], rtol=1e-12, atol=1e-12)


def test_a_cycle_relaxes_trains_and_is_refused_what_needs_a_sweep():
    entry = own.network("Loop", Graph(cycle(), shapes={"b": (4,)}))
    plain = Experiment(dataset=SmallDigits(), batch_size=10, steps=5)
    made_so = companions(plain, entry())
    assert {k: v if k == "pretraining" else type(v).__name__ for k, v in made_so.items()} == {
        **{"network": "Loop", "pretraining": "random", "init": "Zero"}
    }
    experiment = plain.changed(**made_so)
    trace = relax(experiment)
    energy = trace["energy"].values.sum(1)
    assert (energy[1:] < energy[:-1]).all()
    assert "alignment" not in trace
    for kind, name in (("init", "Forward"), ("learning", "Backprop"), ("dynamics", "ErrorBased")):
        with pytest.raises(BadInput, match=f"^{kind}: {name}; this network has a cycle: "):
            experiment.changed(**{kind: make(kind, name)})
    with pytest.raises(BadInput, match=r"^pretraining: trained; first weights are trained through"):
        experiment.changed(pretraining="trained")


def test_a_cycle_is_written_down_in_a_file(tmp_path):
    path = tmp_path / "loop.toml"
    path.write_text(LOOP)
    plugins.load(path)
    entry = cards("network")["LoopInAFile"].entry()
    assert entry.has_cycle and entry.layers == 3
    network = entry(SHAPE, CLASSES)
    assert [n.parents for n in network.nodes] == [(), (0,), (1, 2), (2,)]


@pytest.mark.parametrize(
    ("nodes", "options", "sentence"),
    [
        (cycle(), {}, r"node a reads b, which is listed later"),
        (cycle(), {"shapes": {"c": (4,)}}, r"node a reads b, which is listed later"),
        (cycle(), {"shapes": {"b": (4,), "out": (10,)}}, r"shapes: out; a state that is read back"),
        (cycle(), {"shapes": {"b": ()}}, r"shapes: b \(\); sizes of 1 or more"),
        (cycle(), {"shapes": {"b": (0,)}}, r"shapes: b \(0,\); sizes of 1 or more"),
        (cycle(), {"shapes": {"b": (4,)}, "pre": ("b",)}, r"pre: b; it is read before"),
        (
            {"a": ("b", nn.Linear(4, 4)), "b": ("a", nn.Linear(4, 4))},
            {"shapes": {"b": (4,)}},
            r"node a reads only what is listed later; one of input",
        ),
    ],
    ids=range(7),
)
def test_a_cycle_that_is_none_is_refused(nodes, options, sentence):
    with pytest.raises(BadInput, match=f"^network.*{sentence}"):
        Graph(nodes, **options)


def test_a_shape_that_a_state_has_not_and_a_relay_in_a_cycle_are_refused():
    with pytest.raises(
        BadInput, match=r"Loop, module b \(Both\) gives b the shape \(4,\); \(3,\), as"
    ):
        made(own.network("Loop", Graph(cycle() | wide(3), shapes={"b": (3,)})))
    nodes = {
        "a": (("input", "r"), Both(64, 5, 5)),
        "r": ("a", None),
        "out": ("a", nn.Linear(5, 10)),
    }
    with pytest.raises(BadInput, match="Turn, relay r is part of a cycle"):
        made(own.network("Turn", Graph(nodes, shapes={"r": (5,)})))


def wide(units):
    """Readers of b that take it for a state of so many units."""
    return {"a": (("input", "b"), Both(64, units, 5)), "b": (("a", "b"), Both(5, units, 4))}
