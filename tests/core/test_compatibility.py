"""What does not go together: each rule is raised, and every other pair runs."""

from dataclasses import replace
from itertools import combinations, product

import pytest
import torch
from torch import nn

from core import BadInput, Experiment, Training, cards, make, own
from core.batches import ImageSet
from core.companions import companions, refused_choices
from core.compatibility import RULES, refusal
from core.dynamics.cascade import Cascade
from core.dynamics.error_based import ErrorBased
from core.dynamics.fixed_prediction import FixedPrediction
from core.dynamics.gradient import Nesterov
from core.energies.cross_entropy import CrossEntropy
from core.experiment import SCALARS
from core.inits.average import Average
from core.inits.forward import Forward
from core.inits.memory import Memory
from core.inits.normal import Normal
from core.inits.null import Null
from core.inits.zero import Zero
from core.learning.backprop import Backprop
from core.learning.equilibrium_propagation import EquilibriumPropagation
from core.learning.local import ForwardUpdate, Incremental, PredictiveCoding
from core.networks.alexnet import AlexNet
from core.networks.decoder import Decoder
from core.networks.equilibrium import EquilibriumVGG
from core.networks.mlp import MLP
from core.networks.mupc import MuPC
from core.networks.resnet import ResNet
from core.networks.vgg import VGG
from core.precisions.decaying import Decaying
from core.precisions.identity import Identity
from core.precisions.spiking import Spiking
from core.precisions.table import Table
from core.tasks.clamped_nudge import ClampedNudge
from core.tasks.classify import Classify
from core.tasks.dream import Dream
from core.tasks.generate import Generate
from core.tasks.nudge import Nudge
from core.tasks.recall import Recall
from core.tasks.reconstruct import Reconstruct

CHOSEN = ("init", "precision", "dynamics", "learning", "energy", "task", "network", "weights")
"""Kinds that are paired; data sets are all alike to the rest."""

SMALL = {
    "MLP": {"hidden": (5, 4)},
    "Decoder": {"latent": 3, "hidden": (5, 4)},
    "VGG": {"width": 1 / 64, "pools": 0},
    "EquilibriumVGG": {"width": 1 / 64, "pools": 0},
    "AlexNet": {"width": 1 / 64, "pools": 0},
    "ResNet": {"width": 1 / 64},
}
PLAIN = Experiment(network=MLP(hidden=(5, 4)), batch_size=10, steps=3, pretraining="random")
NUDGED = {"task": Nudge(), "learning": EquilibriumPropagation()}
DECODING = {"network": Decoder(), "init": Zero()}


def images(classes=10, count=40):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(count, 1, 3, 2, generator=generator)
    y = torch.arange(count) % classes
    names = tuple("abcdefghij"[:classes])
    return ImageSet("toy", x, y, x, y, classes, names, 0.0, 1.0)


def brought():
    """A network that comes with its weights."""
    layers = nn.Sequential(nn.Flatten(), nn.Linear(6, 10))
    return own.network("Brought", layers, weights=True)()


class Join(nn.Module):
    """A linear map of an image and of a state."""

    def __init__(self, pixels, units):
        super().__init__()
        self.image, self.state = nn.Linear(pixels, units), nn.Linear(units, units)

    def forward(self, x, h):
        return self.image(x.flatten(1)) + self.state(h)


def looped():
    """A network in which two states predict each other."""
    nodes = {"a": (("input", "b"), Join(6, 4)), "b": ("a", nn.Linear(4, 4))}
    nodes["out"] = ("b", nn.Linear(4, 10))
    return own.network("Looped", own.Graph(nodes, shapes={"b": (4,)}))()


def broken_by(rule):
    """An experiment's choices that break one rule, by the rule's place in the list."""
    network, loop = brought(), {"network": looped(), "init": Zero()}
    return [
        [
            {"engine": "chain", "network": MuPC()},
            {"engine": "chain", "network": MLP(site="pre")},
            {"engine": "chain", "network": MLP(hidden=())},
            {"engine": "chain", "network": VGG()},
            {"engine": "chain", "network": EquilibriumVGG(activation="identity")},
            {"engine": "chain", "network": AlexNet(activation="identity")},
            {"engine": "chain", "energy": CrossEntropy()},
        ],
        [
            {"stop": "sample", "tolerance": 1e-3, "network": one(batch_norm="batch")}
            for one in (VGG, AlexNet)
        ],
        [{"network": Decoder()}, {"task": Reconstruct(), "init": Zero()}, {"task": Recall()}],
        [
            {"energy": CrossEntropy(), "task": task, **DECODING}
            for task in (Reconstruct(), Generate(), Recall())
        ],
        [{"energy": CrossEntropy(), **NUDGED}],
        [{"energy": CrossEntropy(), "task": ClampedNudge(beta=0.99)}],
        [
            {"learning": EquilibriumPropagation(), "task": task, "init": Zero()}
            for task in (Classify(), ClampedNudge(), Dream())
        ],
        [
            {"task": Nudge(), "learning": rule}
            for rule in (PredictiveCoding(), ForwardUpdate(), Incremental())
        ],
        [
            {"learning": Backprop(), "task": Generate(), **DECODING},
            {"learning": Backprop(), "task": Recall(), **DECODING},
        ],
        [
            {"task": Dream()},
            {"task": Reconstruct(), "network": Decoder()},
            {"task": Recall(), "network": Decoder()},
        ],
        [
            {"task": Dream(), "init": Average(), "batch_size": 20},
            {"task": Reconstruct(), "network": Decoder(), "init": Average(), "batch_size": 20},
        ],
        [
            {"task": Generate(), "network": Decoder(), "init": Average(), "batch_size": 20},
            {"task": Generate(), "network": Decoder(), "init": Memory()},
        ],
        [{"task": Recall(), "network": Decoder(), "init": Memory()}],
        [
            {"dynamics": Cascade(), **NUDGED},
            {"dynamics": Cascade(), "task": Recall(), **DECODING},
        ],
        [
            {"precision": Decaying(), "steps": 2},
            {"precision": Decaying(), "network": MLP(hidden=(4,) * 9), "steps": 9},
        ],
        [
            {"init": Average(), "batch_size": 7},
            {"init": Null(), "batch_size": 7},
        ],
        [
            {"precision": Table(rows=((1.0, 1.0),))},
            {"precision": Table(rows=((1.0,) * 4,) * 2)},
            {"precision": Table(rows=((1.0,) * 3,)), "network": MLP(hidden=(4,) * 9)},
        ],
        [{"dtype": "float64", "device": "mps"}, {"dtype": "float64", "device": "mps:0"}],
        [{"dynamics": rule, "network": ResNet()} for rule in (ErrorBased(), FixedPrediction())],
        [{"pretraining": one, "network": network} for one in ("trained", "epoch 2")],
        [loop | {"init": one, "batch_size": 20} for one in (Forward(), Average())],
        [loop | {"learning": Backprop()}],
        [loop | {"dynamics": one} for one in (ErrorBased(), FixedPrediction())],
        [loop | {"task": ClampedNudge()}],
        [loop | {"pretraining": one} for one in ("trained", "epoch 2")],
        [
            {"network": ResNet(skips="published"), **others}
            for others in (
                {"precision": Identity()},
                {"precision": Spiking(rest=0.51)},
                {"precision": Spiking(), "dynamics": Nesterov()},
            )
        ],
    ][RULES.index(rule)]


@pytest.mark.usefixtures("scratch")
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.sentence[:40])
def test_each_rule_is_raised_with_its_field_and_its_sentence(rule):
    for choices in broken_by(rule):
        with pytest.raises(BadInput) as caught:
            replace(PLAIN, **choices)
        line = str(caught.value)
        assert line.startswith(f"{rule.field}: ")
        assert line.endswith(f"; {rule.sentence}")
        assert len(line.splitlines()) == 1


@pytest.mark.parametrize(
    "choices",
    [
        {"precision": Decaying(), "steps": 3},  # T = L
        {"task": Dream(), "init": Zero()},
        {"task": Dream(), "init": Null(), "batch_size": 20},
        {"task": Dream(), "init": Normal(), "energy": CrossEntropy()},
        {"task": Reconstruct(), "network": Decoder(), "init": Null(), "batch_size": 20},
        {"init": Average(), "batch_size": 30},
        {"init": Forward(), "batch_size": 7},
        {"precision": Table(rows=((1.0,),))},
        {"precision": Table(rows=((1.0, 0.5, 0.25),) * 9)},
        NUDGED,
        {"stop": "sample", "tolerance": 1e-3, "network": VGG(batch_norm="frozen")},
        {"stop": "sample", "network": VGG(batch_norm="batch")},
        {"stop": "batch", "tolerance": 1e-3, "network": VGG(batch_norm="batch")},
        {"task": Nudge(), "learning": Backprop()},
        {"task": ClampedNudge(beta=1.0), "energy": CrossEntropy()},
        {"task": Generate(), "network": Decoder()},
        {"task": Recall(), **DECODING},
        {"task": Reconstruct(), "learning": Backprop(), **DECODING},
    ],
)
def test_what_is_next_to_a_rule_is_legal(choices):
    assert refusal(replace(PLAIN, **choices)) is None


def test_a_batch_that_cannot_be_aligned_is_refused_at_the_door():
    for name, init in product(cards("dataset"), (Average(), Null())):
        dataset = make("dataset", name)
        sizes = {10: "20 or 30", 100: "100", 1000: "1000"}[dataset.classes]
        with pytest.raises(
            BadInput,
            match=rf"^batch_size: 25 with {dataset.classes} classes \(take {sizes}\); "
            r".* the number of classes$",
        ):
            replace(PLAIN, dataset=dataset, init=init, batch_size=25)


def test_the_menu_greys_exactly_what_the_constructor_refuses():
    dream = replace(PLAIN, task=Dream(), init=Zero())
    assert set(refused_choices(dream, "init")) == {"Forward", "Average"}
    assert set(refused_choices(dream, "network")) == {"Decoder"}
    assert refused_choices(dream, "learning") == {}
    short = replace(PLAIN, steps=2)
    assert set(refused_choices(short, "precision")) == {"Decaying"}
    for kind in set(CHOSEN) - {"task", "learning"}:
        refused = refused_choices(PLAIN, kind)
        for name in cards(kind):
            choice = getattr(PLAIN, kind)
            if type(choice).__name__ != name:
                choice = make(kind, name)
            if name not in refused:
                replace(PLAIN, **{kind: choice})
                continue
            with pytest.raises(BadInput) as caught:
                replace(PLAIN, **{kind: choice})
            assert str(caught.value).endswith(f"; {refused[name]}")


def test_the_menu_keeps_the_dials_of_what_is_chosen():
    # Nine hidden layers by default, two here: T = 3 is enough for the chosen network only.
    experiment = replace(PLAIN, precision=Decaying(), steps=3)
    assert "MLP" not in refused_choices(experiment, "network")


def legal():
    """Every legal experiment with another task, init or output energy, and its plainest rule."""
    for task, init, energy in product(cards("task"), cards("init"), cards("energy")):
        made = {"task": task, "init": init, "energy": energy}
        choices = {kind: make(kind, name) for kind, name in made.items()}
        end = choices["task"].image_at
        network = MLP(hidden=(5, 4)) if end == "input" else Decoder(hidden=(5, 4))
        rule = EquilibriumPropagation() if task == "Nudge" else PredictiveCoding()
        try:
            experiment = replace(PLAIN, network=network, learning=rule, **choices)
        except BadInput:
            continue
        yield pytest.param(experiment, id=f"{task}-{init}-{energy}")


def is_reached(old, kind, name):
    """Take an entry up with its companions: nothing is changed that could have stayed."""
    changed = companions(old, make(kind, name))
    new = replace(old, **changed)
    assert type(getattr(new, kind)).__name__ == name
    for other in set(changed) - {kind}:
        with pytest.raises(BadInput):
            replace(new, **{other: getattr(old, other)})
    return new


@pytest.mark.parametrize("task", cards("task"))
@pytest.mark.parametrize("old", list(legal()))
def test_every_task_can_be_taken_up_with_its_companions(old, task):
    is_reached(old, "task", task)


@pytest.mark.parametrize("network", [Decoder(), VGG(), MuPC()])
def test_a_task_brings_a_plain_network_where_the_image_is_at_the_other_end(network):
    at_input = network.image_at == "input"
    old = replace(
        PLAIN, network=network, init=Zero(), task=Classify() if at_input else Reconstruct()
    )
    changed = companions(old, Reconstruct() if at_input else Classify())
    assert changed["network"] == (Decoder() if at_input else MLP())


@pytest.mark.parametrize("rule", cards("learning"))
@pytest.mark.parametrize("old", list(legal()))
def test_every_learning_rule_can_be_taken_up_with_its_companions(old, rule):
    new = is_reached(old, "learning", rule)
    assert rule not in refused_choices(old, "learning")
    if type(old.task).__name__ != type(new.task).__name__ and rule != "EquilibriumPropagation":
        assert new.task.image_at == old.task.image_at


def test_a_nudged_task_and_its_rule_bring_each_other_and_let_each_other_go():
    def names(found):
        return {kind: type(one).__name__ for kind, one in found.items()}

    nudged = replace(PLAIN, **companions(PLAIN, Nudge()))
    assert names(companions(PLAIN, Nudge())) == {
        "task": "Nudge",
        "learning": "EquilibriumPropagation",
    }
    assert names(companions(PLAIN, EquilibriumPropagation())) == {
        "learning": "EquilibriumPropagation",
        "task": "Nudge",
    }
    back = {"task": "Classify", "learning": "PredictiveCoding"}
    assert names(companions(nudged, Classify())) == back
    assert names(companions(nudged, PredictiveCoding())) == back
    assert names(companions(nudged, Backprop())) == {"learning": "Backprop"}
    assert names(companions(nudged, Identity())) == {"precision": "Identity"}


def pairs():
    """Every pair of entries of two kinds."""
    return [
        pytest.param({one: a, other: b}, id=f"{a}-{b}")
        for one, other in combinations(CHOSEN, 2)
        for a, b in product(cards(one), cards(other))
    ]


def rest_of(chosen):
    """Choices that give a pair its best chance: both ends clamped, or a free bottom."""
    made = {kind: make(kind, name, SMALL.get(name, {})) for kind, name in chosen.items()}
    if isinstance(made.get("learning"), EquilibriumPropagation):
        made = {"task": Nudge(), **made}
    if isinstance(made.get("task"), Nudge):
        made = {"learning": EquilibriumPropagation(), **made}
    task = made.get("task")
    network = made.get("network")
    if task is None:
        end = network.image_at if network is not None else "input"
        task = Classify() if end == "input" else Reconstruct()
    if network is None:
        name = "MLP" if task.image_at == "input" else "Decoder"
        network = make("network", name, SMALL[name])
    init = made.get("init") or (Forward() if "input" in task.clamps else Zero())
    return {**made, "task": task, "network": network, "init": init}


@pytest.mark.parametrize("chosen", pairs())
def test_every_pair_of_choices_runs_and_stays_finite_or_is_refused_by_a_sentence(chosen):
    try:
        experiment = replace(PLAIN, **rest_of(chosen))
    except BadInput as refused:
        assert str(refused).partition("; ")[2] in {rule.sentence for rule in RULES}
        return
    data = images()
    network = experiment.build(data.shape, data.classes)
    training = Training(experiment, data, network)
    for number in range(2):
        relaxation = training.relaxation(training.batches.batch(number), train=True)
        relaxation.run()
        assert relaxation.done and relaxation.t == 3
        assert all(torch.isfinite(h).all() for h in relaxation.states)
        training.finish(relaxation)
    assert all(torch.isfinite(p).all() for p in network.parameters())


def ends():
    """Every dial of what relaxes and learns, at either end of its bounds."""
    return [
        pytest.param(kind, name, {one.name: one.type(bound)}, id=f"{name}.{one.name}={bound:g}")
        for kind in ("init", "precision", "dynamics", "learning", "weights")
        for name, card in cards(kind).items()
        for one in card.dials
        if one.bounds is not None and not one.table
        for bound in one.bounds
    ]


@pytest.mark.parametrize(("kind", "name", "dials"), ends())
@pytest.mark.parametrize("init", [Forward(), Zero()])
def test_a_dial_at_either_end_of_its_bounds_gives_finite_numbers(kind, name, dials, init):
    experiment = replace(PLAIN, **{"init": init, kind: make(kind, name, dials)})
    data = images()
    network = experiment.build(data.shape, data.classes)
    training = Training(experiment, data, network)
    relaxation = training.relaxation(training.batches.batch(0), train=True)
    relaxation.run()
    training.finish(relaxation)
    assert all(torch.isfinite(h).all() for h in relaxation.states)
    assert all(torch.isfinite(p).all() for p in network.parameters())


def test_an_experiment_s_numbers_are_no_entries():
    assert not set(SCALARS) & set(CHOSEN)


@pytest.mark.parametrize(
    ("hidden", "rows"),
    [
        ((5, 4), ((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))),
        ((5,), ((2.0, 3.0), (5.0, 6.0))),
        ((5,) * 4, ((1.0, 1.0, 1.0, 2.0, 3.0), (4.0, 4.0, 4.0, 5.0, 6.0))),
    ],
)
def test_a_network_of_another_depth_brings_the_table_by_layers_from_the_output(hidden, rows):
    table = Table(rows=((1.0, 2.0, 3.0), (4.0, 5.0, 6.0)))
    old = replace(PLAIN, network=MLP(hidden=(4, 4)), precision=table)
    new = replace(old, **companions(old, MLP(hidden=hidden)))
    assert new.network == MLP(hidden=hidden) and new.precision == Table(rows=rows)
    one = replace(old, precision=Table(rows=((0.5,),)))
    assert "precision" not in companions(one, MLP(hidden=hidden))
