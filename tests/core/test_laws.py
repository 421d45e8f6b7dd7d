"""Laws of the kinds: every entry of the catalogue keeps them; for each law one breaks it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import nn

from core import BadInput, card_of, cards, chain, dial, entry, plugins
from core.batches import ImageSet
from core.catalogue import KINDS
from core.laws import examined, laws
from core.laws.law import CARD
from core.laws.problem import at_rest, copied, legal, same, tanh_problem, toy_images
from core.phase import Phase

EXAMPLE = Path(__file__).parents[1] / "plugins" / "example.py"
CARDS = [
    pytest.param(card, id=f"{kind}.{name}") for kind in KINDS for name, card in cards(kind).items()
]


@pytest.mark.parametrize("card", CARDS)
def test_every_entry_keeps_the_laws_of_its_kind(card):
    found = list(examined(card))
    assert len(found) == len(laws(card.kind)) > len(laws(CARD)) // 2
    assert {one.law.claim: one.violations for one in found if not one.holds} == {}
    assert all(one.skipped for one in found if one.skipped)
    if card.kind != "dataset":
        assert not any(one.skipped for one in found)


def test_the_entries_of_the_example_keep_them_too(scratch):
    for card in plugins.load(EXAMPLE).cards:
        assert all(one.holds for one in examined(card))


def test_every_kind_has_laws_of_its_own():
    every = len(laws("init")) - len([one for one in laws("init") if one.kind == "init"])
    for kind in KINDS:
        assert len(laws(kind)) > every
        claims = [one.claim for one in laws(kind)]
        assert len(set(claims)) == len(claims)


def test_the_problem_at_rest_has_no_forces_and_errors_everywhere():
    problem = at_rest()
    forces = problem.free_energy.forces(problem.states)
    assert max(float(g.abs().max()) for g in forces) < 1e-14
    assert all((problem.free_energy.energies(problem.states) > 1e-4).flatten().tolist())
    assert all((h > 0).all() for h in problem.states)


# Entries that break a law ------------------------------------------------------------------------


def violations(cls, kind, **about):
    """Claim -> sentences of an entry, wherever it breaks a law."""
    about = {"formula": "1", "source": "this project"} | about
    cls.__doc__ = cls.__doc__ or "An entry.\n\nSource: this project.\n"
    made = entry(kind, about.pop("title", "Mine"), **about)(dataclass(frozen=True)(cls))
    return {one.law.claim: one.violations for one in examined(card_of(made)) if not one.holds}


def only(found, claim, *said):
    """The one broken law, by the beginning of its claim, with what its sentence says."""
    assert len(found) == 1, found
    ((broken, sentences),) = found.items()
    assert broken.startswith(claim), found
    assert sentences
    assert all(word in " ".join(sentences) for word in said), sentences
    assert all("\n" not in one for one in sentences)


class Zeros:
    """A good init, for others to spoil."""

    def __call__(self, start):
        return [start.zeros(i) for i in range(start.count)]


class Ones:
    """A good schedule."""

    def table(self, T, depth):
        return torch.ones(T, len(depth))


class Descent:
    """A good rule of the states."""

    rate: ClassVar[float] = 0.1

    def init(self, free_energy, states, generator):
        return None

    def step(self, free_energy, states, memory):
        forces = free_energy.forces(states)
        return [h - self.rate * g for h, g in zip(states, forces, strict=True)], None


@pytest.mark.parametrize(
    ("good", "kind"), [(Zeros, "init"), (Ones, "precision"), (Descent, "dynamics")]
)
def test_what_is_spoilt_below_is_good_before(scratch, good, kind):
    assert violations(type("Mine", (good,), {}), kind) == {}


@pytest.mark.parametrize(
    ("doc", "about", "claim", "said"),
    [
        ("No period\n\nSource: this project.", {}, "the docstring", "without a period: No period"),
        (f"{'x' * 120}.\n\nSource: this project.", {}, "the docstring", "has 121 letters"),
        ("Good.", {}, "the source", "no line 'Source: this project'"),
        ("Good.\n\nSource: me1999.", {"source": "me1999"}, "the source", "me1999 is no key"),
        (None, {"formula": " "}, "the card has", "the formula is empty"),
        (None, {"formula": "$x$"}, "the card has", "dollar signs"),
        (None, {"title": ""}, "the card has", "the title is empty"),
    ],
)
def test_a_card_that_says_too_little(scratch, doc, about, claim, said):
    mine = type("Mine", (Zeros,), {"__doc__": doc})
    only(violations(mine, "init", **about), claim, said)


def test_a_dial_without_help_or_bounds(scratch):
    class Mine(Zeros):
        a: float = dial(1.0, help="", log=True)

    only(violations(Mine, "init"), "every dial", "a has no help", "a is logarithmic")


def test_an_entry_that_is_no_key(scratch):
    class Mine(Zeros):
        def __eq__(self, other):
            return False

    only(violations(Mine, "init"), "the entry comes back")


def test_an_entry_that_lacks_what_its_kind_asks_for(scratch):
    lacking = "the entry has everything that its kind asks for"
    for kind, missing in (("init", "__call__"), ("energy", "quadratic"), ("precision", "table")):
        found = violations(type("Bare", (), {}), kind)
        assert found[lacking][0] == f"{missing} is missing; core/kinds.py says what a {kind} has"
    found = violations(type("Half", (Learned,), {"init": property()}), "precision")
    assert found[lacking] == ("init is missing; core/kinds.py says what a precision has",)


def test_an_error_is_a_violation_with_its_line(scratch):
    class Mine(Zeros):
        def __call__(self, start):
            raise KeyError("no\nsuch thing")

    found = violations(Mine, "init")
    assert len(found) == 3
    for (sentence,) in found.values():
        assert sentence.startswith("raises KeyError: 'no\\nsuch thing' (test_laws.py, line ")


@pytest.mark.parametrize(
    ("call", "claim", "said"),
    [
        (lambda s: s.zeros(0), "every state", "gives Tensor states; 4 in a list"),
        (lambda s: [s.zeros(i) for i in range(3)], "every state", "gives 3 states; 4"),
        (
            lambda s: [s.zeros(i)[:1] for i in range(4)],
            "every state",
            "state 0 has the shape (1, 5); (6, 5)",
        ),
        (lambda s: [s.zeros(i).float() for i in range(4)], "every state", "torch.float32"),
        (lambda s: [s.zeros(i) + torch.nan for i in range(4)], "every state", "not finite"),
        (
            lambda s: [torch.randn_like(s.zeros(i)) for i in range(4)],
            "the same generator",
            "start.noise",
        ),
        (
            lambda s: [s.clamped[0].zero_(), *(s.zeros(i) for i in range(1, 4))],
            "neither clamped",
            "clamped values",
        ),
    ],
)
def test_a_bad_init(scratch, call, claim, said):
    mine = type("Mine", (Zeros,), {"__call__": lambda self, start: call(start)})
    only(violations(mine, "init"), claim, said)


def test_an_init_that_spoils_its_memory(scratch):
    class Mine(Zeros):
        def observe(self, start, final, memory):
            return [h.clone() for h in final]

        def __call__(self, start):
            return super().__call__(start) if start.memory is None else start.memory

    assert violations(Mine, "init") == {}

    class Worse(Mine):
        def __call__(self, start):
            return super().__call__(start if start.memory is None else doubled(start))

    def doubled(start):
        return replace(start, memory=[h.mul_(2) for h in start.memory])

    only(violations(Worse, "init"), "neither clamped", "after a batch: changes the memory")


@pytest.mark.parametrize(
    ("table", "claim", "said"),
    [
        (lambda T, n: torch.ones(n, T), "there is one", "a table of shape (4, 9); (9, 4)"),
        (lambda T, n: [[1.0] * n] * T, "there is one", "a table of shape list"),
        (lambda T, n: 3.0 - torch.arange(T)[:, None].expand(T, n), "there is one", "-1 at step 4"),
        (lambda T, n: torch.full((T, n), torch.inf), "there is one", "inf at step 0, layer 1"),
        (lambda T, n: torch.rand(T, n), "asked twice", "two tables"),
    ],
)
def test_a_bad_schedule(scratch, table, claim, said):
    mine = type("Mine", (Ones,), {"table": lambda self, T, depth: table(T, len(depth))})
    only(violations(mine, "precision"), claim, said)


def test_a_schedule_that_is_bad_at_an_end_of_its_dial(scratch):
    class Mine(Ones):
        low: float = dial(1.0, bounds=(-1.0, 1.0), help="all of them")

        def table(self, T, depth):
            return self.low * super().table(T, depth)

    only(violations(Mine, "precision"), "there is one", "with low = -1, T = 4: -1 at")


class Learned:
    """A good precision that adapts."""

    def init(self, depth):
        return torch.ones(len(depth))

    def row(self, memory):
        return memory

    def step(self, free_energy, states, memory):
        return memory / 2


def test_a_bad_precision_that_adapts(scratch):
    assert violations(type("Good", (Learned,), {}), "precision") == {}
    below = type("Below", (Learned,), {"step": lambda self, f, s, m: m - 2})
    only(violations(below, "precision"), "there is one", "after a step: -1 at step 0")
    spoils = type("Spoils", (Learned,), {"step": lambda self, f, s, m: m.div_(2)})
    only(violations(spoils, "precision"), "asked twice", "in place")


def spoilt(change):
    """Descent whose new states go through a function of (new states, old states)."""

    def step(self, free_energy, states, memory):
        moved, _ = Descent.step(self, free_energy, states, memory)
        return change(moved, states), None

    return type("Mine", (Descent,), {"step": step})


@pytest.mark.parametrize(
    ("change", "claim", "said"),
    [
        (lambda new, old: new[:3], "", "gives 3 states; 4"),
        (lambda new, old: [h.sqrt() for h in new], "", "not finite"),
        (lambda new, old: [*new[:3], new[3] + 1e-12], "clamped", "state 3 is clamped and moves"),
        (lambda new, old: old, "clamped", "no free state moves"),
        (lambda new, old: [new[0], old[1].copy_(new[1]), *new[2:]], "", "the states in place"),
        (
            lambda new, old: [new[0], new[1] + torch.rand(1).double(), *new[2:]],
            "the same generator",
            "keep init's generator",
        ),
        (
            lambda new, old: [new[0], new[1] * (1 + torch.arange(6.0)[:, None] / 9), *new[2:]],
            "",
            "state 1 of a sample depends",
        ),
        (lambda new, old: [new[0], 0.9 * new[1], *new[2:]], "a step at", "where there is no force"),
    ],
)
def test_a_bad_rule_of_the_states(scratch, change, claim, said):
    found = violations(spoilt(change), "dynamics")
    sentences = " ".join(one for found in found.values() for one in found)
    assert said in sentences
    if claim:
        only(found, claim, said)


def test_rules_that_spoil_their_memory_or_have_no_rate(scratch):
    class Spoils(Descent):
        def init(self, free_energy, states, generator):
            return [torch.zeros_like(h) for h in states]

        def step(self, free_energy, states, memory):
            moved, _ = super().step(free_energy, states, None)
            return moved, [m.add_(1) for m in memory]

    only(violations(Spoils, "dynamics"), "states, memory", "changes the memory in place")

    class Rateless(Descent):
        rate: ClassVar[str] = "fast"

        def step(self, free_energy, states, memory):
            forces = free_energy.forces(states)
            return [h - 0.1 * g for h, g in zip(states, forces, strict=True)], None

    only(violations(Rateless, "dynamics"), "there is a rate", "'fast'; a number")


def test_noise_is_no_violation(scratch):
    class Noisy(Descent):
        def init(self, free_energy, states, generator):
            return generator

        def step(self, free_energy, states, memory):
            moved, _ = super().step(free_energy, states, None)
            noise = torch.randn(moved[1].shape, generator=memory, dtype=torch.float64)
            return [moved[0], moved[1] + noise, *moved[2:]], memory

    assert violations(Noisy, "dynamics") == {}


class Half:
    """A good energy."""

    quadratic: ClassVar[bool] = True

    def __call__(self, h, mu):
        return 0.5 * (h - mu).square().sum(1)

    def error(self, h, mu):
        return h - mu


@pytest.mark.parametrize(
    ("changes", "claim", "said"),
    [
        ({"__call__": lambda s, h, mu: (h - mu).square().mean() / 2}, "there is one", "energy 0"),
        ({"error": lambda s, h, mu: mu - h}, "the error is minus", "wrong sign"),
        ({"error": lambda s, h, mu: 2 * (h - mu)}, "the error is minus", "differ by"),
        ({"__call__": lambda s, h, mu: Half.__call__(s, h, mu) + 1}, "one that says", "not half"),
        ({"quadratic": None}, "one that says", "is missing"),
        (
            {"__call__": lambda s, h, mu: (Half.__call__(s, h, mu) + 0 * mu.sum(1)) * len(h)},
            "a sample's energy",
            "depends on the others",
        ),
    ],
)
def test_a_bad_energy(scratch, changes, claim, said):
    assert violations(type("Good", (Half,), {}), "energy") == {}
    found = violations(type("Mine", (Half,), changes), "energy")
    broken = {name: one for name, one in found.items() if name.startswith(claim)}
    only(broken, claim, said)


class Local:
    """A good rule of the weights."""

    every_step: ClassVar[bool] = False

    def gradients(self, step):
        return step.free_energy.weight_gradients(step.states)


def spoilt_rule(change):
    return type(
        "Mine",
        (Local,),
        {"gradients": lambda self, step: change(Local.gradients(self, step), step)},
    )


@pytest.mark.parametrize(
    ("change", "claim", "said"),
    [
        (lambda g, s: g[1:], "every parameter", "gives 5 gradients; 6, one for each parameter"),
        (lambda g, s: [one.flatten() for one in g], "every parameter", "has the shape"),
        (lambda g, s: [None] * len(g), "every parameter", "no weight would change"),
        (lambda g, s: [one / 20 * 0 + one.mean() * torch.nan for one in g], "every", "not finite"),
        (lambda g, s: [one / len(s.states[0]) for one in g], "gradients are sums", "gradient 0"),
        (lambda g, s: [one + torch.rand(1).double() for one in g], "", "two answers"),
        (lambda g, s: moving(g, s), "", "changes the weights"),
    ],
)
def test_a_bad_rule_of_the_weights(scratch, change, claim, said):
    found = violations(spoilt_rule(change), "learning")
    assert said in " ".join(one for sentences in found.values() for one in sentences)
    assert not claim or any(name.startswith(claim) for name in found)


def moving(gradients, step):
    with torch.no_grad():
        step.free_energy.network.example.mul_(1.01)
    return gradients


def test_the_rule_that_is_spoilt_is_good_before_and_may_leave_weights_out(scratch):
    assert violations(type("Good", (Local,), {}), "learning") == {}
    assert violations(spoilt_rule(lambda g, s: [None, *g[1:]]), "learning") == {}


class Clamp:
    """A good task."""

    image_at: ClassVar[str] = "input"
    clamps: ClassVar[tuple[str, ...]] = ("input", "output")
    shows: ClassVar[tuple[str, ...]] = ()
    has_loss: ClassVar[bool] = True

    def phases(self, network, batch, classes, generator):
        x = batch.x.flatten(1).to(network.example)
        y = nn.functional.one_hot(batch.y, classes).to(network.example)
        return (Phase("relax", clamped={0: x, network.top: y}),)


def changed_phase(**changes):
    def phases(self, network, batch, classes, generator):
        (one,) = Clamp.phases(self, network, batch, classes, generator)
        made = {key: value(one) for key, value in changes.items()}
        return (replace(one, **made),)

    return type("Mine", (Clamp,), {"phases": phases})


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (type("Mine", (Clamp,), {"phases": lambda *_: ()}), "there is no phase"),
        (changed_phase(name=lambda p: ""), "none empty"),
        (changed_phase(begin_from=lambda p: "free"), "begins from free; an earlier"),
        (changed_phase(steps=lambda p: -1), "-1 steps; 0 or more"),
        (changed_phase(nudge=lambda p: 0.1), "a nudge and no cost"),
        (changed_phase(clamped=lambda p: {9: p.clamped[0]}), "state 9 is clamped; states are 0..3"),
        (
            changed_phase(clamped=lambda p: {0: p.clamped[0][:, :3]}),
            "phase relax: clamped state 0, 0 has the shape (20, 3); (20, 16)",
        ),
        (changed_phase(clamped=lambda p: {0: p.clamped[0] * torch.nan}), "not finite"),
        (changed_phase(target=lambda p: p.clamped[0]), "target 0 has the shape (20, 16); (20, 10)"),
        (changed_phase(given=lambda p: {1: torch.rand(20, 5).double()}), "equal generators differ"),
        (type("Mine", (Clamp,), {"image_at": "top"}), "image_at is 'top'"),
    ],
)
def test_a_bad_task(scratch, task, said):
    found = violations(task, "task")
    assert said in " ".join(one for sentences in found.values() for one in sentences), found


def test_the_task_that_is_spoilt_is_good_before(scratch):
    assert violations(type("Good", (Clamp,), {}), "task") == {}


def test_a_task_that_changes_its_batch(scratch):
    def phases(self, network, batch, classes, generator):
        batch.x.mul_(2)
        return Clamp.phases(self, network, batch, classes, generator)

    found = violations(type("Mine", (Clamp,), {"phases": phases}), "task")
    assert found["the same generator gives the same phases, and the batch stays as it is"]


class Map:
    """A good network."""

    image_at: ClassVar[str] = "input"
    layers: ClassVar[int] = 1

    def maps(self, size, classes):
        return [nn.Linear(size, classes)]

    def __call__(self, shape, classes):
        size = torch.Size(shape).numel()
        return chain(self.maps(size, classes), [(size,), (classes,)], image=0)


class Drop(nn.Linear):
    """Forgets units now and then."""

    def forward(self, h):
        return super().forward(nn.functional.dropout(h, 0.5))


class Norm(nn.Linear):
    """Subtracts the mean of the batch."""

    def forward(self, h):
        return super().forward(h - h.mean(0))


class Count(nn.Linear):
    """Counts its calls."""

    def __init__(self, wide, out):
        super().__init__(wide, out)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, h):
        self.calls += 1
        return super().forward(h)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"maps": lambda s, n, c: [Drop(n, c)]}, "two predictions from the same states differ"),
        ({"maps": lambda s, n, c: [Norm(n, c)]}, "depends on the others in the batch"),
        ({"maps": lambda s, n, c: [Count(n, c)]}, "changes the network's state_dict"),
        ({"maps": lambda s, n, c: [nn.Linear(n, c + 1)]}, "prediction 0 has the shape (2, 11)"),
        ({"maps": lambda s, n, c: [seedless(n, c)]}, "two networks of the same seed differ"),
        ({"image_at": "output"}, "the image is state 0; 1"),
        ({"image_at": "top"}, "image_at is 'top'"),
        (
            {"__call__": lambda s, shape, c: chain([nn.Linear(3, 10)], [(3,), (10,)], image=0)},
            "the image's state has 3 units; 64",
        ),
        (
            {"__call__": lambda s, shape, c: chain([nn.Linear(64, 3)], [(64,), (3,)], image=0)},
            "the output has the shape (3,); (10,)",
        ),
    ],
)
def test_a_bad_network(scratch, changes, said):
    assert violations(type("Good", (Map,), {}), "network") == {}
    found = violations(type("Mine", (Map,), changes), "network")
    assert said in " ".join(one for sentences in found.values() for one in sentences), found


def seedless(wide, out):
    made = nn.Linear(wide, out)
    nn.init.normal_(made.weight, generator=torch.Generator().manual_seed(seedless.calls))
    seedless.calls += 1
    return made


seedless.calls = 0


def test_a_network_that_takes_no_image_is_not_judged(scratch):
    def no(self, shape, classes):
        raise BadInput("network: too small")

    mine = entry("network", "Mine", formula="1", source="this project")(
        dataclass(frozen=True)(type("Mine", (Map,), {"__call__": no}))
    )
    skipped = [one for one in examined(card_of(mine)) if one.skipped]
    assert len(skipped) == 5
    assert all("too small" in one.skipped and one.holds for one in skipped)


class Toy:
    """A good data set."""

    classes: ClassVar[int] = 10

    def __call__(self):
        return toy_images()


def toys(**changes):
    """The toy images with other contents."""
    old = toy_images()
    names = ("train_x", "train_y", "test_x", "test_y", "classes", "class_names", "low", "high")
    held = {name: getattr(old, name) for name in names} | changes
    return ImageSet("toy", **held)


@pytest.mark.parametrize(
    ("load", "said"),
    [
        (lambda s: toys(high=0.5), "low and high say [0, 0.5]"),
        (lambda s: toys(test_y=torch.zeros(20, dtype=torch.int64)), "no test image of class 1"),
        (lambda s: toys(classes=11, class_names=("a",) * 11), "the set has 11"),
        (lambda s: toys(train_x=torch.rand(20, 1, 4, 4)), "different fingerprints"),
        (lambda s: [1, 2], "gives list"),
    ],
)
def test_a_bad_data_set(scratch, load, said):
    assert violations(type("Good", (Toy,), {}), "dataset") == {}
    found = violations(type("Mine", (Toy,), {"__call__": load}), "dataset")
    assert said in " ".join(one for sentences in found.values() for one in sentences), found


class Plain:
    """A good optimiser of the weights."""

    rate: ClassVar[float] = 0.1
    schedule: ClassVar[str] = "constant"
    span: ClassVar[int] = 1

    def __call__(self, network):
        return torch.optim.SGD(network.parameters(), lr=self.rate)


@pytest.mark.parametrize(
    ("call", "claim", "said"),
    [
        (lambda s, n: None, "", "gives NoneType"),
        (lambda s, n: torch.optim.SGD([n.example], lr=0.1), "it is", "not those of the network"),
        (lambda s, n: torch.optim.SGD(n.parameters(), lr=0.2), "it is", "is not the entry's, 0.1"),
        (lambda s, n: torch.optim.SGD(n.parameters(), lr=0.0), "", "moves nothing"),
        (lambda s, n: Plain.__call__(s, shaken(n)), "a step moves", "making the optimiser changes"),
    ],
)
def test_a_bad_optimiser(scratch, call, claim, said):
    assert violations(type("Good", (Plain,), {}), "weights") == {}
    found = violations(type("Mine", (Plain,), {"__call__": call}), "weights")
    assert said in " ".join(one for sentences in found.values() for one in sentences), found
    assert not claim or any(name.startswith(claim) for name in found)


def shaken(network):
    with torch.no_grad():
        network.example.mul_(1.1)
    return network


# Problems and comparisons ------------------------------------------------------------------------


def test_nested_tensors_are_compared_by_shape_and_number():
    a = {"x": [torch.ones(2), (1, "a")]}
    assert same(a, copied(a)) and copied(a)["x"][0] is not a["x"][0]
    assert not same(a, {"x": [torch.ones(2), (1, "b")]})
    assert not same(a, {"y": a["x"]})
    assert not same(torch.ones(2), torch.ones(1, 2)) and not same(torch.ones(2), [1, 1])
    assert not same(torch.ones(2), torch.ones(2) + 1e-6)
    assert same(torch.ones(2), torch.ones(2) + 1e-6, within=1e-5)
    assert same(torch.tensor([torch.nan]), torch.tensor([torch.nan]))


def test_what_goes_with_nothing_is_refused_with_the_last_reason():
    from core.energies.cross_entropy import CrossEntropy
    from core.tasks.reconstruct import Reconstruct

    with pytest.raises(BadInput, match="cross-entropy"):
        legal(task=Reconstruct(), energy=CrossEntropy())


def test_the_permuted_problem_has_the_same_samples():
    problem, order = tanh_problem(), torch.tensor([5, 4, 3, 2, 1, 0])
    assert same(problem.permuted(order).permuted(order).states, problem.states)
