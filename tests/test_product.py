"""Everything that can be chosen together runs, and what is refused would not have run well."""

import functools
import itertools
from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from core import own
from core.compatibility import RULES
from core.dynamics.error_based import ErrorBased
from core.dynamics.gradient import GradientDescent
from core.energies.squared_error import SquaredError
from core.inits.zero import Zero
from core.learning.backprop import Backprop
from core.learning.local import PredictiveCoding
from core.precisions.identity import Identity
from core.precisions.table import Table
from core.relaxation import Relaxation
from core.tasks.clamped_nudge import ClampedNudge
from tests import product, refusals
from tests.faults.share import few

PARTS = 4
NTH = 5
"""One row of so many relaxes in every run."""


@functools.cache
def rows():
    """Legal rows of the covering set, and the drawn ones with their sentences or None."""
    legal, _ = product.covering()
    drawn = [(row, product.refused(row)) for row in product.random_rows(60)]
    return [*legal, *(row for row, sentence in drawn if sentence is None)]


@pytest.mark.parametrize("part", range(PARTS))
def test_what_is_not_refused_relaxes_learns_and_comes_back(part, record_property):
    found, broken = Counter(), []
    for row in few(rows(), NTH)[part::PARTS]:
        try:
            found[product.relaxed(product.experiment(row))] += 1
        except Exception as error:  # every broken row is told, not only the first
            broken.append(f"{type(error).__name__}: {error}\n    {product.told(row)}")
    assert not broken, f"{len(broken)} rows:\n" + "\n".join(broken)
    for verdict, count in found.items():
        record_property(f"count: the catalogue: {verdict}", count)
    assert found["diverged"] <= found["finite"] / 10


def test_every_choice_is_in_the_rows_of_every_run():
    relaxing = {fact for row in few(rows(), NTH) for fact in product.facts(row)}
    assert relaxing == {fact for row in rows() for fact in product.facts(row)}


def test_the_covering_set_has_every_pair_that_is_not_refused():
    legal, illegal = product.covering()
    seen = {frozenset(pair) for row in legal for pair in product.pairs(row)}
    every = product.factors()
    for a, b in itertools.combinations(every, 2):
        for one, other in itertools.product(every[a], every[b]):
            pair = (a, one), (b, other)
            if frozenset(pair) not in seen:
                assert not product.sayable(pair) or product.is_refused(pair, illegal), pair


def test_no_legal_row_has_a_pair_that_counts_as_refused():
    _, illegal = product.covering()
    for row in rows():
        said = set(product.facts(row))
        assert not [pair for pair in illegal if said.issuperset(pair)]


def test_at_most_a_third_is_refused(record_property):
    legal, illegal = product.covering()
    drawn = [product.refused(row) for row in product.random_rows()]
    sentences = Counter(sentence for _, sentence in illegal.values())
    sentences.update(sentence for sentence in drawn if sentence is not None)
    for sentence, count in sentences.most_common():
        record_property(f"count: the catalogue: refused: {sentence}", count)
    assert sum(sentences.values()) <= (len(legal) + len(illegal) + len(drawn)) / 3


def plain(**choices):
    """A legal experiment with other choices, whatever the rules say."""
    row = next(row for row in product.covering()[0] if row["task"] == "Classify")
    with product.without_rules():
        return replace(product.experiment(row), **choices)


def brought():
    """A network that comes with its weights."""
    layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    return own.network("Brought", layers, weights=True)()


class Join(nn.Module):
    """A linear map of an image and of a state."""

    def __init__(self):
        super().__init__()
        self.image, self.state = nn.Linear(64, 4), nn.Linear(4, 4)

    def forward(self, x, h):
        return self.image(x.flatten(1)) + self.state(h)


def looped():
    """A network in which two states predict each other."""
    nodes = {"a": (("input", "b"), Join()), "b": ("a", nn.Linear(4, 4))}
    nodes["out"] = ("b", nn.Linear(4, 10))
    return own.network("Looped", own.Graph(nodes, shapes={"b": (4,)}))()


def loop():
    """A network with a cycle under an init that it can have."""
    return {"network": looped(), "init": Zero()}


ELSEWHERE = {
    "a table has one column": lambda: {"precision": Table(rows=((1.0, 1.0),))},
    "an Apple GPU has no float64": lambda: {"dtype": "float64", "device": "mps"},
    "this network begins with the": lambda: {"network": brought(), "pretraining": "trained"},
    "this network has a cycle: no feed-forward sweep; zero": lambda: {"network": looped()},
    "this network has a cycle: no pass": lambda: loop() | {"learning": Backprop()},
    "this network has a cycle: no feed-forward sweep, which": lambda: (
        loop() | {"dynamics": ErrorBased()}
    ),
    "this network has a cycle: no feed-forward output": lambda: loop() | {"task": ClampedNudge()},
    "first weights are trained through": lambda: loop() | {"pretraining": "trained"},
}
"""What a row cannot say: numbers, devices, one's own; by the first words of the sentence."""


@functools.cache
def refused_once():
    """Refused rows that break one rule only, by its sentence."""
    found = defaultdict(list)
    for row in [*(row for row, _ in product.covering()[1].values()), *product.random_rows()]:
        sentences = product.broken(row)
        if len(sentences) == 1:
            found[sentences[0]].append(row)
    return found


def examples(rule):
    """Experiments that this rule alone refuses, made without the rules."""
    refused = refused_once()[rule.sentence]
    with product.without_rules():
        made = [product.experiment(row) for row in refused]
    said = [choices for words, choices in ELSEWHERE.items() if rule.sentence.startswith(words)]
    made += [plain(**choices()) for choices in said]
    return made


@pytest.mark.usefixtures("scratch")
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.sentence[:50])
def test_what_a_rule_refuses_would_break_the_law_that_it_names(rule):
    breaks = refusals.law(rule.sentence)
    made = examples(rule)
    assert made, "no row is refused by this sentence alone"
    with product.without_rules():
        kept = [one for one in made if not breaks(one)]
    assert not kept, f"{len(kept)} of {len(made)} run well: {kept[0]}"


@pytest.mark.parametrize("words", refusals.LAWS)
def test_every_law_belongs_to_a_rule(words):
    assert any(rule.sentence.startswith(words) for rule in RULES)


def moves_what_is_clamped(patch):
    step = GradientDescent.step

    def wrong(self, free_energy, states, memory):
        moved, memory = step(self, free_energy, states, memory)
        return [h + 1.0 for h in moved], memory

    patch.setattr(GradientDescent, "step", wrong)


def has_no_finite_gradient(patch):
    rule: Any = PredictiveCoding.gradients
    patch.setattr(PredictiveCoding, "gradients", lambda *a: [g * torch.inf for g in rule(*a)])


def forgets_in_a_snapshot(patch):
    restore = Relaxation.restore

    def wrong(self, snapshot):
        states = self.states
        restore(self, snapshot)
        self.states, self._step = states, None

    patch.setattr(Relaxation, "restore", wrong)


def loses_a_number(patch):
    patch.setattr(SquaredError, "__call__", lambda self, h, mu: (h - mu).flatten(1).sum(1).sqrt())


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        (moves_what_is_clamped, "is clamped and has moved"),
        (has_no_finite_gradient, r"gradient of maps.* is not finite"),
        (forgets_in_a_snapshot, "a snapshot does not bring back"),
        (loses_a_number, "force is not finite"),
    ],
)
def test_a_broken_promise_is_seen(mistake, told, monkeypatch):
    made = plain(dynamics=GradientDescent(), learning=PredictiveCoding(), engine="plain")
    assert product.relaxed(made) == "finite"
    mistake(monkeypatch)
    with pytest.raises(product.Broken, match=told):
        product.relaxed(made)


def test_too_large_a_rate_is_a_divergence_and_no_broken_promise():
    wild = {"dynamics": GradientDescent(10.0), "precision": Identity(), "steps": 60}
    assert product.relaxed(plain(**wild, tolerance=0.0, window=False)) == "diverged"
