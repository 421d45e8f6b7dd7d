"""Do the reproductions train what they say, once, and are their accuracies true?

The images are the embedded digits, written in the format of MNIST.
"""

import ast
import json
import struct
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.reproduce import __main__ as command
from benchmarks.reproduce import cells, check, estimate, figures, report, search, tables
from core.catalogue import BadInput
from core.datasets.digits import Digits
from core.reconstruction import reconstruction_error
from core.runs import Run
from core.runs.train import left

SMALL = {
    "network.hidden": [24],
    "dynamics.rate": 0.1,
    "steps": 3,
    "dataset.fraction": 0.25,
    "batch_size": 100,
}


def idx(path, array):
    """Write bytes as the format of MNIST has them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(head + array.astype(np.uint8).tobytes())


def some(short, points):
    """Two methods, one seed."""
    found = []
    for method in ("bp", "pc-fw"):
        name = f"init-mnist-25-{method}"
        held = points.get(name, {"budget": tables.NO_SEARCH, "point": {}})
        held = {name: held | {"point": SMALL | held["point"]}}
        more = {"seed": 0, "epochs": 2, "points": held, "row": "digits", "method": method}
        found.append(tables.from_preset(name, **more))
    return found


TABLE = tables.Table(
    "digits",
    some,
    "A note.",
    lambda short: {"init-mnist-25-pc-fw": {**{k: [v] for k, v in SMALL.items()}, "steps": [1, 2]}},
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with the embedded digits as MNIST: 4,000 train, 1,000 test."""
    folder, digits = tmp_path_factory.mktemp("sets"), Digits(scale="0..1")()
    for split, name in (("train", "train"), ("test", "t10k")):
        x, y = digits.split(split)
        raw = folder / "MNIST" / "raw"
        idx(raw / f"{name}-images-idx3-ubyte", (x[:, 0] * 255).round().numpy())
        idx(raw / f"{name}-labels-idx1-ubyte", y.numpy())
    return folder


@pytest.fixture(scope="module")
def done(root, tmp_path_factory):
    """A folder with the cells of the table."""
    folder = cells.Folder(tmp_path_factory.mktemp("out"), str(root))
    found = [cells.train_cell(one, folder, lambda line: None) for one in some(True, {})]
    return folder, found


@pytest.mark.oracle("other implementation")
def test_every_accuracy_is_that_of_a_plain_forward_pass(done, root):
    folder, found = done
    lines = check.check(folder.out, root)
    assert lines and not [one for one in lines if one.startswith("WRONG")]
    reported = {(one["name"], epoch) for one in found for epoch in one["weights"]}
    said = {tuple(line.split()[i] for i in (0, 2)) for line in lines}
    assert said == reported and len(lines) == 2 * len(reported)  # test, and validation
    assert all(one["last"]["test"] > 0.5 for one in found), "has learned nothing"


def test_the_check_imports_nothing_of_this_software():
    tree = ast.parse(Path(check.__file__).read_text("utf-8"))
    found = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
    names = {a.name for n in found if isinstance(n, ast.Import) for a in n.names}
    names |= {n.module for n in found if isinstance(n, ast.ImportFrom)}
    roots = {name.partition(".")[0] for name in names}
    assert roots <= {*sys.stdlib_module_names, "numpy", "torch", "safetensors"}


def test_a_false_accuracy_and_changed_weights_are_found(done, root, tmp_path):
    folder, found = done
    (tmp_path / "results").mkdir()
    for name in ("weights", "splits"):
        (tmp_path / name).symlink_to(folder.out / name)
    false = json.loads(json.dumps(found[0]))
    epoch = next(iter(false["weights"]))
    false["epochs"][int(epoch) - 1]["test"] += 0.005
    false["weights"] = {epoch: false["weights"][epoch]}
    path = tmp_path / "results" / "a.json"
    path.write_text(json.dumps(false), "utf-8")
    wrong = [one for one in check.check(tmp_path, root) if one.startswith("WRONG")]
    assert len(wrong) == 1 and f"epoch {epoch} test" in wrong[0]
    false["weights"][epoch]["sha256"] = "0" * 64
    path.write_text(json.dumps(false), "utf-8")
    assert "is not as it was left" in check.check(tmp_path, root)[0]


def test_what_is_done_is_not_trained_again(done):
    folder, found = done
    begun = time.monotonic()
    again = [cells.train_cell(one, folder, pytest.fail) for one in some(True, {})]
    assert again == json.loads(json.dumps(found)) and time.monotonic() - begun < 1


def test_a_cell_that_was_interrupted_is_gone_on_with(done, tmp_path, monkeypatch):
    folder, found = done
    cell, other = some(True, {})[1], cells.Folder(tmp_path, folder.data)
    real, asked = cells.train, []

    def stopped(*args, **more):
        run = real(*args, **more, stop=lambda: asked.append(1) or len(asked) > 40)
        assert run.state == "interrupted"
        raise KeyboardInterrupt

    monkeypatch.setattr(cells, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        cells.train_cell(cell, other, lambda line: None)
    assert not other.result(cell).exists()
    gone_on = cells.train_cell(cell, other, lambda line: None)
    for name in ("epochs", "energy", "smm", "weights"):
        assert gone_on[name] == found[1][name], name


def test_the_epoch_by_validation_is_chosen_without_the_test_images(done):
    for one in done[1]:
        held = [epoch["validation"] for epoch in one["epochs"]]
        assert one["chosen"] == one["epochs"][held.index(max(held))]
        assert one["best"]["test"] == max(epoch["test"] for epoch in one["epochs"])


def test_a_search_tries_different_points_and_its_best_one_is_taken(root, tmp_path, monkeypatch):
    monkeypatch.setattr(search, "BEGIN", {**SMALL, "steps": 1})
    folder = cells.Folder(tmp_path, str(root))
    search.search(TABLE, folder, lambda line: None, short=True, count=5, epochs=1)
    tried = folder.read()
    assert sorted(one["cell"]["point"]["steps"] for one in tried) == [1, 2]
    found = search.points(folder)["init-mnist-25-pc-fw"]
    best = max(tried, key=lambda one: one["epochs"][0]["validation"])
    assert found["point"] == best["cell"]["point"]
    assert found["budget"].startswith("2 trainings of 1 epochs with seed 0")


class Hill:
    """A training whose accuracy is a concave function of two dials and a text."""

    def __init__(self):
        self.tried = []

    def __call__(self, cell, folder, tell, *, weights):
        point = cell.point
        self.tried.append(point)
        of_text = {"gelu": 0, "elu": 5, "tanh": 1}[point["network.activation"]]
        height = of_text - (point["steps"] - 6) ** 2 - 100 * (point["dynamics.rate"] - 0.3) ** 2
        return {"chosen": {"validation": height}}


HILL = {
    "steps": [2, 3, 4, 5, 6, 7],
    "dynamics.rate": [0.03, 0.1, 0.3, 0.5],
    "network.activation": ["gelu", "elu", "tanh"],
}


@pytest.mark.oracle("closed form")
def test_a_search_climbs_to_the_top_of_a_hill_without_local_ones(monkeypatch):
    monkeypatch.setattr(search, "train_cell", hill := Hill())
    monkeypatch.setattr(search, "BEGIN", tables.BEGIN | {"steps": 2})
    asked = {"folder": None, "tell": None, "epochs": 1}
    found = search.climb("init-mnist-25-pc-fw", HILL, **asked, count=200)
    assert found == {"steps": 6, "dynamics.rate": 0.3, "network.activation": "elu"}
    assert len({tuple(one.values()) for one in hill.tried}) == len(hill.tried) < 72
    first, hill.tried = hill.tried, []
    search.climb("init-mnist-25-pc-fw", HILL, **asked, count=5)
    assert hill.tried == first[:5], "no more than it may, and the same ones"


def test_the_table_tells_ours_beside_theirs(done):
    folder, found = done
    lines = report.report(TABLE, some(True, {}), folder)
    rows = [one for one in lines if one.startswith("| digits") or one.startswith("|  |")]
    told = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[-2:]]
    assert [one[2] for one in told] == ["96.79 ± 0.12", "97.09 ± 0.09"]  # as printed
    assert [one[3] for one in told] == [f"{100 * one['best']['test']:.2f}" for one in found]
    assert "2 of 2 cells were run" in "\n".join(lines) and "A note." in "\n".join(lines)


def test_the_figure_has_a_line_for_each_method_and_the_same_bytes_again(done):
    folder, found = done
    rows = report.groups(some(True, {}), folder)
    left, right = figures.figure(rows).axes
    for line, one in zip(left.lines, found, strict=True):
        products = one["smm"] / 2 * np.array([1, 2])
        assert line.get_xdata() == pytest.approx(products)
        assert line.get_ydata() == pytest.approx([100 * e["test"] for e in one["epochs"]])
    (line,) = right.lines  # backprop reads no energies
    assert line.get_ydata() == pytest.approx(found[1]["energy"])
    assert figures.drawn(rows) == figures.drawn(rows) and figures.drawn(rows).startswith("<?xml")


def test_a_decoder_leaves_its_errors_by_steps(root, tmp_path):
    point = {"network.hidden": [8], "dataset.name": "MNIST", "dataset.fraction": 0.25}
    held = {"pcx-decoder-fashionmnist-pc": {"budget": tables.NO_SEARCH, "point": point}}
    more = {"seed": 0, "epochs": 1, "points": held, "row": "T = 20", "method": "zero"}
    cell = tables.from_preset("pcx-decoder-fashionmnist-pc", **more)
    folder = cells.Folder(tmp_path, str(root))
    errors = cells.train_cell(cell, folder, lambda line: None)["reconstruction"]
    training = left(folder.run(cell))
    assert set(errors) == {"test", "validation"}
    assert errors["test"]["3"] == reconstruction_error(training, steps=3)
    told = "\n".join(report.report(TABLE, [cell], folder))
    assert f"| T = 20 | zero | {errors['test']['3']:.5f} | " in told
    assert check.check(tmp_path, root) == []


def test_a_point_is_that_of_its_own_images_where_those_were_searched():
    own, other = ({"budget": "b", "point": {"steps": T}} for T in (3, 4))
    found = {"init-mnist-25-pc-fw": own, "init-fashionmnist-25-pc-fw": other}
    assert tables.nearest("init-mnist-25-pc-fw", found) == own
    told = tables.nearest("init-mnist-50-pc-fw", found)
    assert told["point"] == other["point"] and "as init-fashionmnist-25-pc-fw" in told["budget"]
    assert tables.nearest("init-mnist-25-bp", found) is None


@pytest.mark.oracle("closed form")
def test_products_are_counted_in_a_straight_line_between_epochs():
    epochs = [{"epoch": 1, "test": 0.6}, {"epoch": 2, "test": 0.8}, {"epoch": 3, "test": 0.7}]
    found = {"smm": 300.0, "epochs": epochs, "before": {"test": 0.1}}
    assert report.products(found, 0.7) == pytest.approx(150)
    assert report.products(found, 0.35) == pytest.approx(50)
    assert report.products(found, 0.81) is None and report.products(found, 0.1) is None


@pytest.mark.oracle("paper")
def test_backprop_costs_what_the_work_counts(done):
    bp, forward = done[1]
    assert bp["smm"] == bp["batches"] * (2 * 2 - 1)  # pinchetti2026, eq. 5; L = 2
    assert forward["smm"] == forward["batches"] * (2 * 3 + 2)  # eq. 6; T = 3


def test_the_energies_are_those_of_the_rows_at_the_weight_update(done):
    folder, (_, found) = done
    rows = Run(folder.out / "runs" / found["name"]).dataset()
    last = rows.isel(step=rows["batch"].values >= found["batches"] - found["batches_an_epoch"])
    energy = last["energy"].isel(step=last["t"].values == 3).values.astype(float)
    assert len(energy) == found["batches_an_epoch"]
    assert found["energy"] == pytest.approx(energy.mean(0), rel=1e-3)
    decades = np.log10(energy.max(1) / energy.min(1))
    assert found["imbalance"] == pytest.approx(decades.mean(), abs=1e-3)


@pytest.mark.parametrize("name", list(tables.TABLES))
@pytest.mark.parametrize("short", [True, False])
def test_the_cells_of_a_table_are_experiments_of_different_names(name, short):
    found = tables.TABLES[name].cells(short, {})
    assert len({one.name for one in found}) == len(found) > 0
    for one in found:
        experiment = one.experiment("")
        if hasattr(experiment.dataset, "validation"):
            assert experiment.dataset.validation == cells.VALIDATION


FULL = {"init-cifar": 24, "deep-vgg": 30, "deep-resnet": 30, "pcx-vgg5": 50, "ep-cifar": 100}
"""Epochs as the works print them; qi2026: of its example."""


@pytest.mark.oracle("paper")
@pytest.mark.parametrize("name", FULL)
def test_a_convolutional_table_has_the_published_choices(name):
    for one in tables.TABLES[name].cells(False, {}):
        experiment = one.experiment("")
        assert one.epochs == FULL[name] and experiment.network.width == 1.0
        batches = 50_000 * experiment.dataset.fraction // experiment.batch_size * one.epochs
        updates = experiment.steps if experiment.learning.every_step else 1
        if experiment.weights.schedule != "constant":
            assert experiment.weights.span == batches * updates


def test_a_short_schedule_ends_with_the_short_training():
    for one in tables.TABLES["deep-vgg"].cells(True, {}):
        experiment = one.experiment("")
        updates = experiment.steps if experiment.learning.every_step else 1
        assert experiment.weights.span == one.epochs * (5_000 // 128) * updates


@pytest.mark.oracle("paper")
def test_depths_and_methods_of_the_deeper_networks():
    found = tables.TABLES["deep-vgg"].cells(False, {})
    layers = {one.row: one.experiment("").network.layers for one in found}
    assert layers == {"VGG5": 5, "VGG7": 7, "VGG10": 10}  # qi2026, released code
    norms = {one.experiment("").network.batch_norm for one in found}
    assert norms == {"frozen", "batch", "none"}
    assert {one.published for one in found if one.row == "VGG10"} == {
        "",
        "93.27 % best test accuracy",
    }
    skips = {
        one.experiment("").network.skips for one in tables.TABLES["deep-resnet"].cells(True, {})
    }
    assert skips == {"relay", "none", "published"}


@pytest.mark.parametrize("name", FULL)
def test_backprop_on_a_convolutional_network_waits_for_no_relaxation(name):
    every = [cell for short in (True, False) for cell in tables.TABLES[name].cells(short, {})]
    for one in every:
        assert (one.choices["steps"] == 1) == (one.choices["learning"] == "Backprop")


def on_digits(short, points):
    """Two seeds of a cell on the embedded digits, which need no root."""
    choices = some(short, points)[1].choices | {"dataset": {"name": "Digits"}}
    return [
        cells.Cell(f"digits-{seed}", "digits", "PC", choices | {"seed": seed}, 3) for seed in (0, 1)
    ]


@pytest.mark.oracle("closed form")
def test_an_estimate_is_the_batches_by_their_seconds(tmp_path, monkeypatch):
    monkeypatch.setattr(estimate, "_seconds", lambda of, *_: 1 + 0.04 * of.experiment.batch_size)
    table, place = tables.Table("digits", on_digits, ""), cells.Folder(tmp_path, "")
    told, found = estimate.lines(table, place, "", batches=1, samples=25)
    assert [one.samples for one in found] == [25, 25], "short and full"
    for one in found:
        assert one.seconds == pytest.approx(1 + 0.04 * 100) and one.seeds == 2
        assert one.batches == 3 * (4_000 // 100)
        assert one.hours == pytest.approx(2 * (5 * 120 + one.tests) / 3600)
    assert any(line.startswith("| full | digits | PC | 5 | 25 of 100 | 120 | 2 |") for line in told)


def test_estimates_are_measured_where_the_images_are_not(capsys):
    threads = torch.get_num_threads()
    asked = ["--only", "vgg5-(pc|bp)-short", "--batches", "1", "--samples", "2"]
    assert command.main(["estimate", "deep-vgg", *asked, "--data", "/nowhere"]) == 0
    torch.set_num_threads(threads)
    rows = [one for one in capsys.readouterr().out.splitlines() if one.startswith("| short | VGG5")]
    assert [row.split(" | ")[2] for row in rows] == ["BP", "PC"]
    assert all(float(row.split(" | ")[3]) > 0 for row in rows)


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    """A file of noise in the place of CIFAR-10: 60 images of each class to train on."""
    path, lots = tmp_path_factory.mktemp("arrays") / "noise.npz", np.random.default_rng(0)
    x = lots.integers(0, 256, (800, 32, 32, 3), dtype=np.uint8)
    y = np.arange(800) % 10
    np.savez(path, x_train=x[:600], y_train=y[:600], x_test=x[600:], y_test=y[600:])
    return path


def test_a_file_takes_the_place_of_cifar_and_its_accuracies_are_computed_again(arrays, tmp_path):
    (cell,) = (one for one in tables.TABLES["deep-vgg"].cells(True, {}) if one.name == VGG7)
    small = tables.replaced(cell, choices=cell.choices | {"batch_size": 50, "steps": 2}, epochs=1)
    small.choices["dataset"] = small.choices["dataset"] | {"fraction": 0.002}
    folder = cells.Folder(tmp_path, "", str(arrays))
    found = cells.train_cell(small, folder, lambda line: None)
    assert found["batches"] == 100 // 50 and found["experiment"]["dataset"]["path"] == ""
    with np.load(tmp_path / "images" / "noise-0.002.npz") as part, np.load(arrays) as whole:
        assert np.bincount(part["y_train"]).tolist() == [10] * 10
        assert (part["x_train"] == whole["x_train"][:100]).all()
    (line,) = check.check(tmp_path, tmp_path)
    assert line.startswith(f"{VGG7} epoch 1 test")
    with pytest.raises(BadInput, match=r"^images: .*; 60 images of a class where 500 are asked"):
        folder.experiment(cell)


VGG7 = "deep-vgg-vgg7-pc-spiking-forward-update-short-0"


def test_a_folder_of_photographs_has_the_classes_that_lie_there(tmp_path):
    for name in ("cat", "dog", "owl"):
        (tmp_path / "train" / name).mkdir(parents=True)
        (tmp_path / "val" / name).mkdir(parents=True)
        for split in ("train", "val"):
            Image.new("RGB", (9, 9)).save(tmp_path / split / name / "a.png")
    cell = tables.TABLES["ep-imagenet"].cells(True, {})[0]
    assert cell.experiment(str(tmp_path)).dataset.classes == 3
    assert cell.experiment("").dataset.classes == 1000


def test_the_command_line_reports_what_there_is(done, root, monkeypatch, capsys):
    monkeypatch.setitem(tables.TABLES, "digits", TABLE)
    threads = torch.get_num_threads()
    assert command.main(["digits", "--data", str(root), "--out", str(done[0].out)]) == 0
    assert command.main(["check", str(done[0].out), "--data", str(root)]) == 0
    assert command.main(["digit", "--data", str(root), "--out", str(done[0].out)]) == 2
    torch.set_num_threads(threads)
    out, err = capsys.readouterr()
    assert "### digits" in out and "accuracies computed again, 0 wrong" in out
    assert err.startswith("table: digit;") and "digits" in err
