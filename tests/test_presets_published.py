"""Presets of published tables: what they say of themselves, and that they run.

Image sets are made in the format and the shapes of the real ones, with few images in them: no test
needs the real ones. Three batches of presets run: of dense networks as published, of convolutional
ones in narrow networks on `SAMPLES` samples. In every run those do that have two entries together
which none before has; with PRESETS=whole in the environment each does, and the convolutional ones
in their full width, too, which takes some minutes.
"""

import dataclasses
import itertools
import os
import re
import struct

import numpy as np
import pytest
import torch

from core import Experiment
from core.catalogue import KINDS, card_of
from core.citations import references
from core.datasets import archives
from core.datasets.archives import ARCHIVES
from core.experiment import SCALARS
from core.runs.train import train
from tests.workbench.sessions import SMALL, do, opened
from workbench.presets import (
    NOT_RUN,
    OF_THE_RUN,
    REPRODUCED,
    STATUSES,
    TO_LOOK_AT,
    Printed,
    menu,
    named,
    presets,
    published,
    whole,
)
from workbench.summary import of_preset

WHOLE = os.environ.get("PRESETS") == "whole"

SAMPLES = 4
"""In a batch of a convolutional preset; aligned batches have one of each class."""

PUBLISHED = list(published())


def experiment_of(name):
    return Experiment.from_dict(published()[name].choices)


def is_dense(name):
    return experiment_of(name).network.__class__.__name__ in ("MLP", "Decoder", "MuPC")


DENSE = [name for name in PUBLISHED if is_dense(name)]
CONVOLVED = [name for name in PUBLISHED if not is_dense(name)]


def running(names):
    """Those that have two entries together which none before has; all with PRESETS=whole."""
    found, seen = [], set()
    for name in names:
        experiment = experiment_of(name)
        entries = [type(getattr(experiment, kind)).__name__ for kind in KINDS]
        pairs = set(itertools.combinations(entries, 2))
        if WHOLE or pairs - seen:
            found.append(name)
        seen |= pairs
    return found


# What they say -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_preset_is_legal_round_trips_and_makes_every_choice(name):
    preset = published()[name]
    experiment = experiment_of(name)
    assert Experiment.from_dict(experiment.to_dict()) == experiment
    assert set(preset.choices) == {*KINDS, *SCALARS} - set(OF_THE_RUN)
    assert experiment.pretraining == "random"
    for kind in ("dynamics", "weights", "task", "learning"):
        card = card_of(getattr(experiment, kind))
        said = preset.choices[kind]
        told = set(said) - {"name"} if isinstance(said, dict) else set()
        assert told == {dial.name for dial in card.dials}, kind
    assert whole(name) == {k: v for k, v in vars(experiment).items() if k not in OF_THE_RUN}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_preset_names_its_work_as_the_references_have_it(name):
    preset = published()[name]
    printed = preset.printed
    fields = references()[printed.source].fields
    surname = fields["author"].partition(",")[0]
    others = " et al." if " and " in fields["author"] else ""
    assert printed.work == f"{surname}{others} {fields['year']}"
    assert len(printed.place) > 6 and len(preset.about) > 40
    assert len(preset.title) <= 26
    assert all(one.endswith(".") for one in (preset.about, *printed.differs))


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_status_claims_no_number_that_was_not_run(name):
    printed = published()[name].printed
    assert printed.status in STATUSES
    assert bool(printed.ours) == (printed.status != NOT_RUN)
    assert printed.theirs or printed.status != REPRODUCED
    assert printed.theirs or not printed.second_hand


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_preset_builds_and_its_sentence_has_its_depth_and_epochs(name):
    preset, experiment = published()[name], experiment_of(name)
    data = experiment.dataset
    with torch.device("meta"):
        network = experiment.network(data.shape, data.classes)
    depth = re.search(r"L = (\d+)|of (\d+) layers", preset.about)
    assert int(depth[1] or depth[2]) == network.deepest == experiment.network.layers
    epochs = re.search(r"(\d+) epochs", preset.about)
    if experiment.weights.schedule != "constant":
        updates = data.images[0] // experiment.batch_size * int(epochs[1])
        incremental = type(experiment.learning).__name__ == "Incremental"
        assert experiment.weights.span == updates * (experiment.steps if incremental else 1)


@pytest.mark.oracle("paper")
@pytest.mark.parametrize(
    ("name", "T", "rate", "momentum", "eta", "decay"),
    [
        ("pcx-mlp-mnist-pc-se", 8, 0.01053, 0.65, 2.97e-4, 3.6e-4),
        ("pcx-mlp-mnist-pc-ce", 5, 0.01828, 0.35, 3.00e-4, 3.3e-3),
        ("pcx-mlp-mnist-ipc", 8, 0.8495, 0.35, 2.53e-4, 3.3e-2),
        ("pcx-mlp-mnist-pc-pn", 5, 0.0580, 0.70, 2.99e-4, 1.4e-4),
        ("pcx-mlp-mnist-pc-nn", 4, 0.0686, 0.50, 2.69e-4, 4.6e-3),
        ("pcx-mlp-fashionmnist-pc-se", 5, 0.0261, 0.10, 2.97e-4, 1.8e-3),
        ("pcx-mlp-fashionmnist-pc-ce", 5, 0.0131, 0.40, 2.77e-4, 8.4e-4),
        ("pcx-mlp-fashionmnist-ipc", 8, 0.7997, 0.25, 2.69e-4, 1.2e-2),
        ("pcx-decoder-mnist-pc", 20, 0.0198, 0.15, 3.4e-4, 1.3e-5),
    ],
)
def test_tuned_rates_are_the_released_ones(name, T, rate, momentum, eta, decay):
    found = experiment_of(name)
    assert found.steps == T
    assert found.dynamics.momentum == momentum
    assert found.dynamics.rate == pytest.approx(rate, rel=5e-3)
    assert found.weights.rate == pytest.approx(eta, rel=5e-3)
    assert found.weights.decay == pytest.approx(decay, rel=5e-2)


@pytest.mark.oracle("paper")
@pytest.mark.parametrize(("loss", "batch", "rate"), [("mse", 16, 0.04), ("ce", 64, 0.01)])
def test_equilibrium_propagation_is_set_as_printed(loss, batch, rate):
    found = experiment_of(f"ep-vgg5-mnist-{loss}-ep")
    assert (found.task.scheme, found.task.beta, found.steps) == ("centered", 0.02, 5)
    assert (found.dynamics.order, found.dynamics.rule, found.dynamics.rate) == (
        *("even-odd", "mod-pgd"),
        1.0,
    )
    assert (found.batch_size, found.weights.rate) == (batch, rate)
    assert (found.weights.momentum, found.weights.decay) == (0.9, 3e-4)
    baseline = experiment_of(f"ep-vgg5-mnist-{loss}-bp")
    assert dataclasses.replace(found, learning=baseline.learning) == baseline


# In the menu -------------------------------------------------------------------------------------


def test_the_menu_lists_every_preset_once_under_its_work_with_its_status():
    found = menu()
    first, *works = found
    assert first == TO_LOOK_AT and list(found[first].values()) == list(presets())
    assert sorted(works) == sorted({one.printed.work for one in published().values()})
    listed = [name for one in found.values() for name in one.values()]
    assert sorted(listed) == sorted(named()) and len(listed) == len(presets()) + len(published())
    lines = [line for one in found.values() for line in one]
    assert len(set(lines)) == len(lines)
    for work in works:
        for line, name in found[work].items():
            printed = published()[name].printed
            assert printed.work == work and line.endswith(f" · {printed.status}")


def test_what_was_printed_is_told_in_sentences():
    told = Printed("a2020", "A 2020", "table 1", REPRODUCED, "98 %", "97 %", True, ("No crop.",))
    assert told.lines == [
        "A 2020, table 1",
        "reproduced; theirs, second-hand: 98 %",
        "ours: 97 %",
        "not as printed: No crop.",
    ]
    assert Printed("a2020", "A 2020", "table 1", NOT_RUN).lines[1] == (
        "not run; theirs: no number known here"
    )


# That they run -----------------------------------------------------------------------------------


RECORDS = 20
"""Images in each file of CIFAR-10, in the place of 10,000."""


def idx(path, array):
    """Write bytes as the format of MNIST has them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(head + array.astype(np.uint8).tobytes())


def blots(noise, labels, *shape):
    """Images whose brightest place tells the class, (n, *shape)."""
    x = noise.integers(0, 60, (len(labels), *shape))
    for k, label in enumerate(labels % 10):
        x[k, ..., 2 * label : 2 * label + 8, 8:20] += 150
    return x


@pytest.fixture(scope="module")
def image_sets(tmp_path_factory):
    """A folder with a few images in the place of each set."""
    folder = tmp_path_factory.mktemp("sets")
    noise = np.random.default_rng(0)
    for name in ("MNIST", "FashionMNIST", "KMNIST"):
        for split, n in (("train", 2400), ("t10k", 20)):
            y = np.arange(n) % 10
            idx(folder / name / "raw" / f"{split}-images-idx3-ubyte", blots(noise, y, 28, 28))
            idx(folder / name / "raw" / f"{split}-labels-idx1-ubyte", y)
    for name, classes in (("CIFAR10", 10), ("CIFAR100", 100)):
        archive = ARCHIVES[name]
        for path, (_, times) in zip(archive.paths(folder), archive.files, strict=True):
            y = np.arange(times * RECORDS) % classes
            rows = [y // 10, y][-archive.labels :]  # a coarse class before the fine one
            pixels = blots(noise, y, 3, 32, 32).reshape(len(y), -1)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(np.column_stack([*rows, pixels]).astype(np.uint8).tobytes())
    (folder / "imagenet32").mkdir()
    for file in [*(f"train_data_batch_{k}" for k in range(1, 11)), "val_data"]:
        y = np.arange(RECORDS)
        pixels = blots(noise, y, 3, 32, 32).reshape(len(y), -1).astype(np.uint8)
        np.savez(folder / "imagenet32" / f"{file}.npz", data=pixels, labels=y + 1)
    return folder


@pytest.fixture(autouse=True)
def few_records(monkeypatch):
    monkeypatch.setattr(archives, "RECORDS", RECORDS)


def few(name):
    """Samples in a batch of a convolutional preset here."""
    experiment = experiment_of(name)
    aligned = getattr(experiment.init, "aligned", False)
    return experiment.dataset.classes if aligned else SAMPLES


def place(name, image_sets):
    """Where the images of a preset are, as its data set is told."""
    if experiment_of(name).dataset.__class__.__name__ == "ImageNet32":
        return {"path": str(image_sets / "imagenet32")}
    return {"root": str(image_sets)}


def ran(name, image_sets, path, **choices):
    """Three batches of a preset; returns its rows."""
    experiment = experiment_of(name)
    data = dataclasses.replace(experiment.dataset, **place(name, image_sets))
    run = train(experiment.changed(dataset=data, **choices), path / "run", batches=3)
    assert run.state == "finished"
    rows = run.dataset()
    assert set(rows["batch"].values) == {0, 1, 2}
    assert bool(np.isfinite(rows["energy"].values).all())
    moved = run.batches()["update_norm"].values  # (batches, L), nan where it was not looked at
    assert np.nanmax(moved[:, -1]) > 0, "the output layer has learned nothing"
    return rows


@pytest.mark.parametrize("name", running(DENSE))
def test_a_dense_preset_runs_three_batches(name, image_sets, tmp_path):
    rows = ran(name, image_sets, tmp_path)
    assert rows.sizes["layer"] == experiment_of(name).network.layers


WIDTHS = [(name, True) for name in running(CONVOLVED)]
WIDTHS += [(name, False) for name in CONVOLVED if WHOLE]
"""Presets, and whether in a narrow network; as published takes minutes."""


@pytest.mark.parametrize(("name", "narrow"), WIDTHS)
def test_a_convolutional_preset_runs_three_batches(name, narrow, image_sets, tmp_path):
    experiment = experiment_of(name)
    network = experiment.network
    if narrow:  # not so for a hundred classes: the output's curvature is above what rates bear
        width = 1 / 64 if experiment.dataset.classes == 10 else 1 / 8
        network = dataclasses.replace(network, width=width)
    ran(name, image_sets, tmp_path, network=network, batch_size=few(name))


def test_a_preset_whose_images_are_not_here_says_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setenv("RELAXOSCOPE_DATA", str(tmp_path))
    session = opened(SMALL)
    do(session, "change", **whole("pcx-mlp-mnist-pc-se"))
    assert session.message.startswith("dataset.root: ")
    assert "relaxoscope data MNIST" in session.message
    assert session.wanted == SMALL


@pytest.mark.parametrize("name", ["pcx-mlp-mnist-pc-se", "pcx-decoder-mnist-pc"])
def test_a_preset_is_chosen_on_the_page_as_it_stands(name, image_sets, monkeypatch):
    monkeypatch.setenv("RELAXOSCOPE_DATA", str(image_sets))
    session = opened(SMALL)
    do(session, "change", **whole(name))
    assert session.message == ""
    assert session.wanted == experiment_of(name).changed(seed=SMALL.seed)
    assert of_preset(name) == experiment_of(name)
