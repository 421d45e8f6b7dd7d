"""Optimisers of the weights: torch's own with these dials."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from core import Experiment, Training, cards, make
from core.weights.schedules import factor
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
        if one.type is not float:
            continue
        groups = [
            make("weights", name, {one.name: value})(network).param_groups[0]
            for value in (0.25, 0.5)
        ]
        changed = [key for key in groups[0] if key != "params" and groups[0][key] != groups[1][key]]
        assert {groups[0][key] for key in changed} == {0.25}


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize(
    ("name", "dials", "twin", "options"),
    [
        ("AdamW", {"rate": 0.02, "decay": 0.1}, torch.optim.AdamW, {"weight_decay": 0.1}),
        ("SGD", {"rate": 0.02, "momentum": 0.9}, torch.optim.SGD, {"momentum": 0.9}),
        ("SGD", {"rate": 0.02, "decay": 0.1}, torch.optim.SGD, {"weight_decay": 0.1}),
        (
            "SGD",
            {"rate": 0.02, "momentum": 0.9, "nesterov": True},
            torch.optim.SGD,
            {"momentum": 0.9, "nesterov": True},
        ),
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
        assert_close(a, b, rtol=1e-14, atol=1e-15)


def rates(optimiser, count):
    found = []
    for _ in range(count):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
    return found


def torch_rates(schedule, span, count):
    """torch's own schedulers, one after the other."""
    lr = torch.optim.lr_scheduler
    warm = 0 if schedule == "cosine" else int(0.1 * span)

    def by(rate, make, steps):
        optimiser = torch.optim.SGD(tanh_mlp()[0].parameters(), lr=rate)
        scheduler, found = make(optimiser), []
        for _ in range(steps):
            found.append(optimiser.param_groups[0]["lr"])
            optimiser.step()
            scheduler.step()
        return found

    warming = by(0.022, lambda o: lr.LinearLR(o, 1 / 1.1, 1.0, warm), warm) if warm else []
    peak = 0.022 if warm else 0.02
    return warming + by(peak, lambda o: lr.CosineAnnealingLR(o, span - warm, 0.002), count - warm)


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("schedule", ["cosine", "warm-up cosine"])
def test_a_schedule_is_that_of_torch(name, schedule):
    network, _ = tanh_mlp()
    dials = {"rate": 0.02, "schedule": schedule, "span": 40}
    own = rates(make("weights", name, dials)(network), 41)
    assert own == pytest.approx(torch_rates(schedule, 40, 41), rel=1e-12)


def test_the_warm_up_goes_from_one_to_eleven_tenths_and_the_end_is_a_tenth():
    found = [factor("warm-up cosine", n, 100) for n in (0, 5, 10, 100, 1000)]
    assert found == pytest.approx([1.0, 1.05, 1.1, 0.1, 0.1])
    assert factor("warm-up cosine", 55, 100) == pytest.approx(0.6)
    assert factor("cosine", 50, 100) == pytest.approx(0.55)
    assert {factor("constant", n, 100) for n in (0, 50, 200)} == {1.0}


def test_a_changed_rate_keeps_its_place_in_the_schedule():
    images = make("dataset", "SmallDigits")()
    weights = make("weights", "SGD", {"rate": 0.02, "schedule": "cosine", "span": 10})
    experiment = Experiment(
        network=make("network", "MLP", {"hidden": (4,)}), weights=weights, pretraining="random"
    )
    training = Training(experiment, images, experiment.build(images.shape, images.classes))
    for _ in range(5):
        training.optimiser.step()
    assert training.optimiser.param_groups[0]["lr"] == pytest.approx(0.02 * 0.55)
    training.follow(experiment.changed(weights=replace(weights, rate=0.2)))
    assert training.optimiser.param_groups[0]["lr"] == pytest.approx(0.2 * 0.55)
