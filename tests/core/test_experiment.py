"""Experiments: checked at the door, written as plain data and read back."""

import json
import math
from dataclasses import fields

import pytest
import torch

from core import BadInput, Experiment, cards, make
from core.catalogue import KINDS
from core.dynamics.gradient import HeavyBall, Nesterov
from core.experiment import (
    DTYPES,
    LIVE,
    SCALARS,
    SCHEMA,
    TERMS,
    Recipe,
    available,
    citations,
    devices,
    difference,
    epoch_of,
    sentence,
)
from core.inits.zero import Zero
from core.networks.decoder import Decoder
from core.networks.mlp import MLP
from core.precisions.spiking import Spiking
from core.precisions.table import Table
from core.tasks.reconstruct import Reconstruct

EXPERIMENTS = [
    Experiment(),
    Experiment(
        network=Decoder(latent=3, hidden=(4,)),
        task=Reconstruct(),
        init=Zero(),
        dynamics=Nesterov(rate=0.25, momentum=0.5),
        precision=Table(rows=((1.0, 0.5), (0.0, 1e-6))),
        pretraining="epoch 3",
        steps=7,
        batch_size=3,
        seed=2**32 - 1,
        dtype="float64",
    ),
]


def refusal(call, *args, **kwargs):
    with pytest.raises(BadInput) as caught:
        call(*args, **kwargs)
    line = str(caught.value)
    assert line.isprintable()
    assert len(line) < 400
    return line


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_comes_back_from_plain_data_and_from_json(experiment):
    data = experiment.to_dict()
    assert data["schema"] == SCHEMA
    assert Experiment.from_dict(data) == experiment
    again = json.loads(json.dumps(data, allow_nan=False))
    assert Experiment.from_dict(again) == experiment
    assert Experiment.from_dict(again).to_dict() == data


def test_an_experiment_has_one_choice_of_each_kind_but_no_other_field():
    names = {one.name for one in fields(Experiment)}
    assert names == set(KINDS) | set(SCALARS)
    assert set(LIVE) <= names


def test_missing_choices_take_their_defaults_and_a_name_its_dials():
    found = Experiment.from_dict({"precision": "Spiking", "steps": 3})
    assert found == Experiment(precision=Spiking(), steps=3)
    assert Experiment.from_dict({}) == Experiment()


@pytest.mark.parametrize(
    ("key", "nearest"), [("step", "steps"), ("dynamic", "dynamics"), ("Seed", "seed")]
)
def test_an_unknown_key_offers_the_nearest(key, nearest):
    line = refusal(Experiment.from_dict, {key: 1})
    assert line.startswith(f"experiment.{key}: {key}; one of ")
    assert line.endswith(f"(did you mean {nearest}?)")
    assert refusal(Experiment().changed, **{key: 1}) == line


@pytest.mark.parametrize("schema", [2, 0, None, "1"])
def test_another_schema_is_refused_with_both_numbers(schema):
    line = refusal(Experiment.from_dict, {"schema": schema})
    assert line == f"experiment.schema: {schema}; this version reads 1"


@pytest.mark.parametrize(
    ("field", "value", "legal"),
    [
        ("steps", 0, "an integer 1..100000"),
        ("steps", -1, "an integer 1..100000"),
        ("steps", 12.5, "an integer 1..100000"),
        ("steps", "12", "an integer 1..100000"),
        ("steps", True, "an integer 1..100000"),
        ("steps", None, "an integer 1..100000"),
        ("steps", 10**400, "an integer 1..100000"),
        ("batch_size", 0, "an integer 1..65536"),
        ("batch_size", math.nan, "an integer 1..65536"),
        ("seed", -1, "an integer 0..4294967295"),
        ("seed", 2**32, "an integer 0..4294967295"),
        ("dtype", "float16", "one of float32, float64"),
        ("dtype", torch.float32, "one of float32, float64"),
        ("device", 0, "a text"),
        ("pretraining", "epoch 0", "random, trained, or epoch k with k from 1"),
        ("pretraining", "epoch -1", "random, trained, or epoch k with k from 1"),
        ("pretraining", "epoch 1.5", "random, trained, or epoch k with k from 1"),
        ("pretraining", "epoch", "random, trained, or epoch k with k from 1"),
        ("pretraining", "Trained", "random, trained, or epoch k with k from 1"),
        ("pretraining", "", "random, trained, or epoch k with k from 1"),
        ("pretraining", "epoch " + "9" * 5000, "random, trained, or epoch k with k from 1"),
        ("pretraining", "a\nb", "random, trained, or epoch k with k from 1"),
        ("pretraining", "x" * 100_000, "random, trained, or epoch k with k from 1"),
    ],
)
def test_a_bad_value_is_refused_in_one_line_by_every_door(field, value, legal):
    line = refusal(Experiment, **{field: value})
    assert line.startswith(f"{field}: ")
    assert legal in line
    assert refusal(Experiment().changed, **{field: value}) == line
    assert refusal(Experiment.from_dict, {field: value}) == line


def test_a_bad_dial_inside_an_experiment_is_refused_by_its_dotted_name():
    data = {"dynamics": {"name": "HeavyBall", "momentum": 1.0}}
    line = refusal(Experiment.from_dict, data)
    assert line == "dynamics.momentum: 1.0; a finite number in [0, 0.999]"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_entry_of_its_kind_is_refused_with_the_names_that_are(kind):
    for value in ("Zero", None, 3, Zero, {"name": "Zero"}, Recipe, object()):
        line = refusal(Experiment, **{kind: value})
        assert line.startswith(f"{kind}: ")
        assert all(name in line for name in cards(kind))


def test_an_entry_of_another_kind_is_refused():
    assert refusal(Experiment, init=HeavyBall()).startswith("init: HeavyBall(rate=0.05")
    assert refusal(Experiment, dynamics=Zero()).startswith("dynamics: Zero(); one of ")


@pytest.mark.parametrize("data", [None, [], "x", 3, [["steps", 3]]])
def test_what_is_no_table_is_refused(data):
    assert refusal(Experiment.from_dict, data).startswith("experiment: ")


def test_a_changed_experiment_differs_in_that_choice_only():
    old = Experiment()
    new = old.changed(dynamics=HeavyBall())
    assert new.dynamics == HeavyBall()
    assert new.changed(dynamics=old.dynamics) == old


def test_the_recipe_is_the_part_that_may_change_between_two_steps():
    experiment = EXPERIMENTS[1]
    recipe = experiment.recipe
    assert isinstance(recipe, Recipe)
    assert recipe.dynamics == experiment.dynamics
    data = recipe.to_dict()
    assert data == {key: experiment.to_dict()[key] for key in data}
    assert set(data) == {"init", "precision", "dynamics", "learning", *TERMS}


def test_equal_experiments_are_one_key():
    assert len({Experiment(), Experiment(), Experiment(seed=1)}) == 2


def test_the_difference_names_what_changed_and_only_that():
    old = Experiment()
    new = old.changed(precision=Spiking(), network=MLP(hidden=(64,) * 8), steps=21)
    assert difference(old.to_dict(), new.to_dict()) == [
        ("precision", "Identity", "Spiking"),
        ("network.hidden", "9 x 64", "8 x 64"),
        ("steps", "20", "21"),
    ]
    assert sentence(old.to_dict(), new.to_dict()) == (
        "precision: Identity -> Spiking, network.hidden: 9 x 64 -> 8 x 64, steps: 20 -> 21"
    )
    assert sentence(old.to_dict(), old.to_dict()) == ""


def test_citations_are_the_sources_of_the_choices_each_once():
    found = citations(Experiment(precision=Spiking()))
    assert found == [
        "whittington2017",  # forward, gradient descent, predictive coding, squared error, classify
        "qi2026",  # spiking
        "pinchetti2026",  # the network
        "lecun1998",  # the digits
        "loshchilov2019",  # AdamW
    ]


def test_this_project_is_not_cited():
    experiment = Experiment(precision=Table())
    assert "this project" in {card.source for card in cards("precision").values()}
    assert "this project" not in citations(experiment)


def test_epochs_are_none_for_trained_and_zero_for_random():
    assert [epoch_of(one) for one in ("random", "trained", "epoch 1", "epoch 12")] == [
        0,
        None,
        1,
        12,
    ]


def test_an_absent_device_is_refused_and_what_is_there_is_named():
    for name in ("abacus", "cuda:99", "meta", "cpu:0:0", "a\nb", ""):
        line = refusal(available, name)
        assert line.startswith("device: ")
        assert "cpu" in line
    assert available("cpu").type == "cpu"
    assert devices()[0] == "cpu"


def test_building_on_an_absent_device_is_refused_and_does_not_fall_back():
    refusal(Experiment(device="cuda:99").build, (1, 8, 8), 10)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_number_type_builds(dtype):
    experiment = Experiment(dtype=dtype, network=make("network", "MLP", {"hidden": [3]}))
    assert experiment.build((1, 2, 2), 2).example.dtype == DTYPES[dtype]
