"""Optimisers of the weights: torch's own with these dials."""

import pytest
import torch

from core import cards, make
from tests.problems import tanh_mlp

WEIGHTS = list(cards("weights"))


@pytest.mark.parametrize("name", WEIGHTS)
def test_an_optimiser_has_all_parameters_and_its_rate(name):
    network, _ = tanh_mlp()
    made = make("weights", name, {"rate": 0.125})(network)
    assert isinstance(made, torch.optim.Optimizer)
    held = [p for group in made.param_groups for p in group["params"]]
    assert [id(p) for p in held] == [id(p) for p in network.parameters()]
    assert all(group["lr"] == 0.125 for group in made.param_groups)


@pytest.mark.parametrize("name", WEIGHTS)
def test_every_dial_reaches_torch(name):
    network, _ = tanh_mlp()
    for one in cards("weights")[name].dials:
        groups = [
            make("weights", name, {one.name: value})(network).param_groups[0]
            for value in (0.25, 0.5)
        ]
        changed = [key for key in groups[0] if key != "params" and groups[0][key] != groups[1][key]]
        assert [groups[0][key] for key in changed] == [0.25]


@pytest.mark.parametrize(
    ("name", "dials", "twin", "options"),
    [
        ("AdamW", {"rate": 0.02, "decay": 0.1}, torch.optim.AdamW, {"weight_decay": 0.1}),
        ("SGD", {"rate": 0.02, "momentum": 0.9}, torch.optim.SGD, {"momentum": 0.9}),
        ("SGD", {"rate": 0.02, "decay": 0.1}, torch.optim.SGD, {"weight_decay": 0.1}),
    ],
)
def test_weights_move_as_torch_moves_them(name, dials, twin, options):
    (one, _), (two, _) = tanh_mlp(), tanh_mlp()
    own, other = make("weights", name, dials)(one), twin(two.parameters(), lr=0.02, **options)
    for _ in range(3):
        for network, optimiser in ((one, own), (two, other)):
            for p in network.parameters():
                p.grad = p.detach().cos()
            optimiser.step()
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)
