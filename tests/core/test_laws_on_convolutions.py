"""The laws of the kinds hold on a convolutional network too: its states have channels and places.

The laws are those of `core.laws`; only what they are asked on is exchanged: the chain of dense
layers for one of convolutions with a norm, a pool and a dense output.
"""

from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.nn.functional import one_hot

from core import card_of, cards, chain, entry
from core.laws import examined, laws, of_data, of_states, of_weights, problem
from core.laws.problem import SAMPLES, Problem
from core.networks.decoder import Decoder
from core.networks.vgg import VGG
from core.normalization import BatchNorm

KINDS = ("init", "precision", "dynamics", "learning", "task", "weights")
CARDS = [
    pytest.param(card, id=f"{kind}.{name}") for kind in KINDS for name, card in cards(kind).items()
]


def conv_problem():
    """conv - norm - tanh - pool, conv - tanh, dense; both ends are clamped."""
    shapes = [(2, 4, 4), (3, 2, 2), (4, 2, 2), (3,)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        maps = [
            nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), BatchNorm(3), nn.Tanh(), nn.MaxPool2d(2)),
            nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Tanh()),
            nn.Sequential(nn.Flatten(), nn.Linear(16, 3)),
        ]
        network = chain(maps, shapes).double()
        network.norms[0].running_mean.normal_()
        states = [torch.randn(SAMPLES, *shape, dtype=torch.float64) for shape in shapes]
    labels = torch.arange(SAMPLES) % 3
    clamped = {0: states[0], 3: one_hot(labels, 3).double()}
    return Problem(network, clamped, [clamped.get(i, h) for i, h in enumerate(states)], labels)


def small_network(image_at):
    """For the toy images of 4 x 4."""
    if image_at == "output":
        return Decoder(latent=3, hidden=(5, 4))
    return VGG(width=1 / 64, pools=1, batch_norm="frozen", activation="tanh")


@pytest.fixture
def on_convolutions(monkeypatch):
    for module in (of_states, of_weights):
        monkeypatch.setattr(module, "tanh_problem", conv_problem)
    for module in (problem, of_data):
        monkeypatch.setattr(module, "small_network", small_network)
    problem.legal.cache_clear()
    yield
    problem.legal.cache_clear()


@pytest.mark.parametrize("card", CARDS)
def test_every_entry_keeps_the_laws_of_its_kind(on_convolutions, card):
    found = list(examined(card))
    assert {one.law.claim: one.violations for one in found if not one.holds} == {}
    assert not any(one.skipped for one in found)


class Rows:
    """A rule that takes every state for a vector."""

    rate = 0.1

    def init(self, free_energy, states, generator):
        return None

    def step(self, free_energy, states, memory):
        forces = free_energy.forces(states)
        weight = torch.linspace(0.5, 1.0, SAMPLES, dtype=torch.float64)[:, None]
        pairs = zip(states, forces, strict=True)
        return [h - weight * g if g.dim() == 2 else weight * h for h, g in pairs], None


def test_a_rule_for_vectors_alone_breaks_a_law_here(on_convolutions, scratch):
    Rows.__doc__ += "\n\nSource: this project.\n"
    made = entry("dynamics", "Rows", formula="1", source="this project")(
        dataclass(frozen=True)(Rows)
    )
    found = [one for one in examined(card_of(made)) if not one.holds]
    assert any("raises RuntimeError" in said for one in found for said in one.violations)


@pytest.mark.parametrize("site", ["post", "pre"])
@pytest.mark.parametrize("norm", ["none", "frozen", "batch"])
@pytest.mark.parametrize("name", ["VGG", "AlexNet"])
def test_the_networks_themselves_keep_the_laws_with_each_norm_at_each_site(name, norm, site):
    made = cards("network")[name].entry(batch_norm=norm, site=site, width=1 / 32)
    judged = [one for one in laws("network") if one.kind == "network"]
    assert judged
    assert {one.claim: list(one.judge(made)) for one in judged} == {one.claim: [] for one in judged}
