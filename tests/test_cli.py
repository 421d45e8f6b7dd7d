"""The command `relaxoscope`: what it computes, what it writes, and how it refuses."""

import ast
import csv
import errno
import hashlib
import io
import json
import math
import os
import re
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from safetensors.numpy import save_file

from core.experiment import Experiment
from core.networks.mlp import MLP
from core.runs import open_run
from tests.commands import W1, W2, W3, snapshot
from workbench import (
    checking,
    cli,
    drawing,
    exporting,
    grammar,
    presets,
    progress,
    refusals,
    relaxing,
    running,
    selftesting,
    serving,
    supplying,
    training,
)
from workbench.places import assets

EXAMPLE = Path(__file__).parent / "plugins" / "example.py"


def total(trace):
    """F of every row: mean over the samples."""
    return (trace["energy"] * trace["precision"]).sum("layer").values


# relax: numbers ----------------------------------------------------------------------------------


def test_two_scalar_layers_go_from_a_half_to_their_equilibrium_in_one_step(place):
    trace = place.relax(*place.scalar(), *place.rate(0.1), "--steps", 1)
    # mu_2 - y = 1, so F = 1/2; one step of rate 0.1 from h_1 = 2 gives 1.7.
    assert trace["energy"].dims == ("step", "layer")
    assert np.allclose(trace["energy"], [[0, 0.5], [0.045, 0.005]], rtol=0, atol=1e-14)
    assert np.allclose(total(trace), [0.5, 0.05], rtol=0, atol=1e-14)


def test_a_linear_network_descends_as_calculated(place):
    trace = place.relax(*place.linear(), *place.rate(0.1), "--steps", 4)
    expected = [5.78125, 4.14507813, 3.26990942, 2.74329807, 2.3946941]
    assert np.allclose(total(trace), expected, rtol=0, atol=6e-9)


def test_a_linear_network_ends_at_its_equilibrium(place):
    words = ["relax", *place.linear(), *place.rate(0.2), "--steps", 400, "--dtype", "float64"]
    code, out, _ = place.run(*words, "--out", place.out)
    found = total(xr.load_dataset(place.out))
    # r^T A^-1 r / 2 with r = y - W_3 W_2 W_1 x, A = I + W_3 W_3^T + (W_3 W_2)(W_3 W_2)^T.
    top, middle = np.array(W3), np.array(W3) @ W2
    r = [0.5, -1.0] - middle @ W1 @ [1.0, -2.0]
    expected = r @ np.linalg.solve(np.eye(2) + top @ top.T + middle @ middle.T, r) / 2
    assert expected == pytest.approx(1.3470459952418716, abs=1e-15)
    assert found[-1] == pytest.approx(expected, abs=1e-12)
    assert code == 0 and out.count("\n") == 1
    for word in ("401 rows", "3 layers", "5.78125 -> 1.347046", str(place.out)):
        assert word in out


@pytest.mark.parametrize("keys", ["simple", "state_dict"])
def test_activations_and_biases_are_those_of_the_formula(place, keys):
    values = [[[1.5]], [0.25], [[2.0]], [-1.0]]
    names = {
        "simple": ("W1", "b1", "W2", "b2"),
        "state_dict": ("maps.1.0.weight", "maps.1.0.bias", "maps.2.weight", "maps.2.bias"),
    }
    weights = dict(zip(names[keys], values, strict=True))
    files = place.problem(weights, [[0.5]], [[1.0]], hidden=[1], activation="tanh", bias=True)
    trace = place.relax(*files, "--steps", 1)
    e = 1.0 - (2.0 * math.tanh(1.5 * 0.5 + 0.25) - 1.0)
    assert trace["energy"][0].values == pytest.approx([0, e * e / 2], abs=1e-14)


def test_energies_are_means_over_the_samples_of_the_batch(place):
    x, y = [[1.0], [2.0], [3.0], [4.0], [9.0]], [[5.0], [12.0], [19.0], [24.0], [0.0]]
    files = place.problem({"W1": [[2.0]], "W2": [[3.0]]}, x, y, hidden=[1])
    # y - 6 x = -1, 0, 1, 0, -54.
    assert total(place.relax(*files))[0] == pytest.approx((1 + 1 + 54**2) / 2 / 5)
    second = place.relax(*files, "--batch", 1, "--batch-size", 2)
    assert total(second)[0] == pytest.approx(1 / 2 / 2)
    assert second["energy_sample"][0, 1].values.tolist() == [0.5, 0]
    assert set(second["batch"].values) == {1}


def test_labels_are_one_hot_and_classes_may_be_more_than_labels(place):
    x, y = [[1.0], [1.0]], np.array([0, 2])
    weights = {"W1": np.array([[1.0], [2.0], [3.0], [4.0]])}
    trace = place.relax(*place.problem(weights, x, y, classes=4), "--steps", 1)
    # mu = (1, 2, 3, 4): errors (0, 2, 3, 4) and (1, 2, 2, 4).
    assert np.allclose(trace["energy_sample"][0, 0], [29 / 2, 25 / 2], rtol=1e-14)
    softmax = np.exp([1, 2, 3, 4]) / np.exp([1, 2, 3, 4]).sum()
    assert np.allclose(trace["probability"][0], softmax)


def test_real_targets_have_no_class_probabilities(place):
    assert "probability" not in place.relax(*place.scalar())


def test_a_decoder_reconstructs_samples_without_labels(place):
    text = "task = 'Reconstruct'\ninit = 'Zero'\n[network]\nname = 'Decoder'\nlatent = 1\n"
    text += "hidden = []\nbias = false\n[dynamics]\nname = 'GradientDescent'\nrate = 0.1\n"
    np.savez(place.folder / "d.npz", x=[[3.0, 4.0]])
    save_file({"W1": np.array([[1.0], [0.0]])}, place.folder / "w.safetensors")
    recipe, data = place.write("r.toml", text), place.folder / "d.npz"
    files = ["--recipe", recipe, "--data", data, "--weights", place.folder / "w.safetensors"]
    trace = place.relax(*files, "--steps", 2)
    # h_0 from 0 towards 3: 3 (1 - 0.9^t); E = ((3 - h_0)^2 + 16) / 2.
    expected = [(9 * 0.9 ** (2 * t) + 16) / 2 for t in range(3)]
    assert np.allclose(trace["energy"][:, 0], expected)
    swept = [[3 * (1 - 0.9**t), 0] for t in range(3)]
    assert np.allclose(trace["swept"].values.reshape(3, 2), swept)


def test_a_diverging_relaxation_stops_where_it_diverges_and_keeps_its_rows(place):
    # dF/dh_1 = 10 (h_1 - 1.7): at rate 10 the distance grows by -99, F - 0.05 by 9801 a step. A
    # million times the largest F of rows 0..4 is first exceeded in row 6.
    words = [*place.scalar(), *place.rate(10.0), "--steps", 5000, "--dtype", "float64"]
    code, out, err = place.run("relax", *words, "--out", place.out)
    trace = xr.load_dataset(place.out)
    assert code == 1
    assert trace.sizes["step"] == 7 and out.startswith("7 rows")
    assert np.allclose(total(trace), [0.05 + 0.45 * 9801.0**t for t in range(7)])
    assert err.count("\n") == 1
    # E_2 = 9 E_1 far from the equilibrium.
    for word in ("diverged at step 6", "layer 2", "dynamics.rate", str(place.out)):
        assert word in err
    assert "step 6" in trace.attrs["diverged"]


def test_a_relaxation_that_leaves_the_numbers_says_nothing_else(place):
    words = [*place.scalar(), *place.rate(10.0), "--dtype", "float32", "--out", place.out]
    code, _, err = place.run("relax", *words, "--steps", 100)
    assert code == 1 and err.count("\n") == 1


# relax: what is written --------------------------------------------------------------------------


def test_t_steps_give_t_plus_one_rows_however_many(place):
    trace = place.relax(*place.scalar(), "--steps", 700, "--level", "lean")
    assert trace["t"].values.tolist() == list(range(701))


def test_the_levels_differ_by_samples_and_forces(place):
    full = place.relax(*place.scalar(), "--align")
    lean = place.relax(*place.scalar(), "--level", "lean")
    assert {"energy_sample", "force", "speed", "activity", "alignment"} <= set(full)
    bare = {"energy", "error", "precision", "cost", "log_term", "floor", "rounding"}
    assert set(lean) == bare
    assert np.array_equal(full["energy"], lean["energy"])
    # After a forward sweep the output layer's update is backprop's; the others have none.
    assert full["alignment"][0, 1] == pytest.approx(1) and math.isnan(full["alignment"][0, 0])


def test_the_trace_names_its_files_and_its_experiment(place):
    files = [*place.linear(), *place.rate(0.25)]
    trace = place.relax(*files, "--seed", 7)
    named = json.loads(trace.attrs["files"])
    assert set(named) == {"network", "weights", "data", "recipe"}
    for path in files[1::2]:
        content = Path(path).read_bytes()
        wanted = {"name": Path(path).name, "sha256": hashlib.sha256(content).hexdigest()}
        assert wanted in named.values()
    assert trace.attrs["data"] == "d.npz"
    experiment = Experiment.from_dict(json.loads(trace.attrs["experiment"]))
    assert (experiment.seed, experiment.dynamics.rate) == (7, 0.25)
    assert experiment.network == MLP((2, 2), "identity", False)
    assert trace["energy"].attrs["units"] == "nat"


def test_the_csv_has_the_same_numbers(place):
    table = place.folder / "e.csv"
    trace = place.relax(*place.linear(), "--steps", 4, "--csv", table)
    with table.open() as file:
        head, *rows = csv.reader(file)
    assert head == ["step", "t", "phase", "F", "E_1", "E_2", "E_3"]
    assert [[float(cell) for cell in row[4:]] for row in rows] == trace["energy"].values.tolist()
    assert [float(row[3]) for row in rows] == total(trace).tolist()


def test_the_same_input_gives_the_same_trace_and_another_seed_another(place):
    text = "[init]\nname = 'Normal'\n[network]\nname = 'MLP'\nhidden = [3]\n"
    np.savez(place.folder / "d.npz", x=[[1.0, 2.0]], y=np.array([1]))
    files = ["--recipe", place.write("r.toml", text), "--data", place.folder / "d.npz"]
    first, again, other = (place.relax(*files, "--seed", seed) for seed in (3, 3, 4))
    assert first.identical(again)
    assert not np.array_equal(first["energy"], other["energy"])


def test_options_take_the_place_of_the_recipes_keys(place):
    text = "steps = 7\nseed = 1\ndtype = 'float32'\npretraining = 'trained'\n"
    text += "[network]\nname = 'MLP'\nhidden = [64]\n"
    files = [*place.scalar(), "--recipe", place.write("r.toml", text)]
    assert place.relax(*files).sizes["step"] == 8
    trace = place.relax(*files, "--steps", 3)
    assert trace.sizes["step"] == 4 and trace["energy"].dtype == np.float64


def test_a_recipe_comes_through_stdin(place, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"steps = 3")))
    assert place.relax(*place.scalar(), "--recipe", "-").sizes["step"] == 4


def test_a_failing_disk_leaves_the_old_trace_and_no_scraps(place, monkeypatch):
    place.relax(*place.scalar())

    def full(dataset, path, **options):
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(xr.Dataset, "to_netcdf", full)
    files = place.scalar()
    code, err = place.refused("relax", *files, "--out", place.out)
    assert code == 3 and "No space left on device" in err


@pytest.mark.row(37)
def test_a_folder_without_permission_is_refused_before_the_work(place, monkeypatch):
    def no(dir):
        raise PermissionError(errno.EACCES, "Permission denied", dir)

    monkeypatch.setattr("tempfile.TemporaryFile", no)
    monkeypatch.setattr("core.recording.record", lambda *_, **__: pytest.fail("it relaxed"))
    code, err = place.refused("relax", *place.scalar(), "--out", place.out)
    assert code == 3 and str(place.folder) in err


# relax: named sets -------------------------------------------------------------------------------


SMALL = "network = {name = 'MLP', hidden = [8]}\n"


def test_the_command_relaxes_what_the_page_relaxes(place, cache):
    from core.datasets.small_digits import SmallDigits
    from workbench.session import Session

    experiment = Experiment(
        network=MLP((8,)), dataset=SmallDigits(), pretraining="random", steps=5, dtype="float64"
    )
    step = {"command": "step", "args": {"n": 5}, "asked": 1, "applied": 1}
    log = {"experiment": experiment.to_dict(), "events": [step], "taken": 6}
    session = Session.replay(log)
    page = session.lane.trace.dataset()
    recipe = place.write("r.toml", SMALL)
    words = ["--recipe", recipe, "--dataset", "SmallDigits", "--steps", 5, "--align"]
    trace = place.relax(*words)
    assert set(trace) == set(page)
    for name in trace:
        assert np.array_equal(trace[name], page[name], equal_nan=True), name


def test_a_recipe_that_the_page_hands_out_is_run_as_it_stands(place, cache, monkeypatch):
    from core.datasets.small_digits import SmallDigits
    from workbench.command import recipe_toml

    shown = Experiment(
        network=MLP((8,)), dataset=SmallDigits(), pretraining="random", steps=3, dtype="float64"
    )
    text = recipe_toml(shown).encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
    trace = place.relax("--recipe", "-", "--batch", 2)
    assert json.loads(trace.attrs["experiment"]) == shown.to_dict()
    assert set(trace["batch"].values) == {2}


def test_a_file_with_the_samples_of_a_named_set_gives_its_trace(place, cache):
    from core.datasets.small_digits import SmallDigits
    from core.training import Batches

    images = SmallDigits()()
    batch = Batches(images, 20, aligned=True, seed=0).batch(0)
    np.savez(place.folder / "d.npz", x=batch.x.numpy(), y=batch.y.numpy(), classes=10)
    recipe = ["--recipe", place.write("r.toml", SMALL + "init = {name = 'Normal'}\n")]
    own = place.relax(*recipe, "--data", place.folder / "d.npz")
    named = place.relax(*recipe, "--dataset", "SmallDigits")
    assert np.array_equal(own["energy_sample"], named["energy_sample"])


def test_trained_weights_are_those_of_the_named_set(place, cache):
    words = ["--recipe", place.write("r.toml", SMALL), "--dataset", "SmallDigits"]
    random = place.relax(*words)
    trained = place.relax(*words, "--pretraining", "trained")
    # Two samples of each class, class 0 first: such are the aligned batches of 20.
    labels = np.repeat(np.arange(10), 2)
    right = [(one["probability"][0].argmax("class") == labels).mean() for one in (random, trained)]
    assert right[0] < 0.5 < 0.7 <= right[1]
    code, err = place.refused(
        "relax", *words, "--pretraining", "epoch 900", "--out", place.folder / "a.nc"
    )
    assert code == 2 and "epoch 900" in err


# relax: refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--steps", "0"], 2, ["steps: 0", "1..100000"]),
        (["--steps", "12.5"], 2, ["steps: 12.5", "an integer"]),
        (["--steps", "many"], 2, ["steps: many", "an integer"]),
        (["--steps", "9" * 5000], 2, ["steps: 999", "an integer"]),
        (["--seed", "-1"], 2, ["seed: -1", "0..4294967295"]),
        (["--seed", str(2**32)], 2, ["seed: 4294967296"]),
        (["--dtype", "float16"], 2, ["dtype: float16", "float32, float64"]),
        (["--device", "tpu"], 2, ["device: tpu", "cpu"]),
        (["--device", "cuda:99"], 3, ["device: cuda:99", "available"]),
        (["--batch", "1"], 2, ["batch: 1", "0..0"]),
        (["--batch", "-1"], 2, ["batch: -1", "0 or more"]),
        (["--batch-size", "2"], 2, ["batch_size: 2", "1..1"]),
        (["--level", "ful"], 2, ["level: ful", "did you mean full?"]),
        (["--dataset", "Digits"], 2, ["--data and --dataset"]),
        (["--pretraining", "trained"], 2, ["--weights and --pretraining"]),
        (["--stesp", "3"], 2, ["--stesp", "did you mean --steps?"]),
        (["--network", "nowhere.toml"], 2, ["network: nowhere.toml", "no such file"]),
        (["--weights", "nowhere"], 2, ["weights: nowhere", "no such file"]),
        (["--data", "nowhere"], 2, ["data: nowhere", "no such file"]),
        (["--recipe", "nowhere"], 2, ["recipe: nowhere", "no such file"]),
        (["--csv", "e.txt"], 2, ["csv: e.txt", ".csv"]),
    ],
)
def test_a_wrong_option_is_refused_in_one_line(place, words, code, said):
    files = place.scalar()
    came, err = place.refused("relax", *files, "--out", place.out, *words)
    assert came == code
    assert all(word in err for word in said), err


@pytest.mark.parametrize(
    ("name", "content", "code", "said"),
    [
        ("net.toml", "name = 'MLP'\nhidden = [1", 2, ["net.toml, line 2, column 12"]),
        ("net.toml", "name = 'MLP'\nhiden = [1]", 2, ["network.hiden", "mean hidden?"]),
        (
            "net.toml",
            "name = 'MLP'\nhidden = [2]\nbias = false",
            2,
            ["weights.W1", "(1, 1)", "(2, 1)"],
        ),
        ("net.toml", f"name = 'MLP'\nhidden = {[65536] * 2000}", 3, ["network", "GB"]),
        ("net.toml", "name = 'Decoder'", 2, ["task", "Decoder"]),
        ("r.toml", "lrx = 3", 2, ["recipe.lrx", "one of init"]),
        ("r.toml", "[dynamics]\nname = 'GradientDescent'\nrate = nan", 2, ["dynamics.rate: nan"]),
        ("r.toml", "init = 'Average'", 2, ["init: Average", "--data"]),
        ("r.toml", "batch_size = 20", 2, ["batch_size: 20", "1..1"]),
        ("r.toml", "steps = '12'", 2, ["steps: 12", "an integer"]),
        ("w.safetensors", "not tensors at all", 4, ["weights", "safetensors"]),
        ("d.npz", "PK and then nothing", 4, ["data", ".npz"]),
        ("d.npz", "1,2,3", 2, ["data", ".npz"]),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(place, name, content, code, said):
    files = [*place.scalar(), *place.rate(0.1)]
    place.write(name, content)
    came, err = place.refused("relax", *files, "--out", place.out)
    assert came == code
    assert all(word in err for word in said), err


def test_a_number_that_is_not_finite_is_found_in_the_data(place):
    x = np.ones((3, 4))
    x[1, 2] = np.nan
    files = place.problem({"W1": np.ones((1, 4))}, x, np.ones((3, 1)))
    code, err = place.refused("relax", *files, "--out", place.out)
    assert code == 2 and "data.x: nan at sample 1, feature 2" in err


def test_training_needs_a_named_set(place):
    network, _, data = (place.scalar()[i : i + 2] for i in (0, 2, 4))
    words = [*network, *data, "--pretraining", "trained", "--out", place.out]
    code, err = place.refused("relax", *words)
    assert code == 2 and "pretraining: trained" in err


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("no/trace.nc", "there is no folder"),
        ("trace.txt", "ends in .nc"),
        ("folder.nc", "a folder"),
        ("input.nc", "the file of --data"),
    ],
)
def test_a_wrong_place_for_the_trace_is_refused_first(place, out, said):
    (place.folder / "folder.nc").mkdir()
    data = place.write("input.nc", "PK")
    code, err = place.refused("relax", "--data", data, "--out", place.folder / out)
    assert code == 2 and said in err


def test_out_is_required(place):
    code, err = place.refused("relax", *place.scalar())
    assert code == 2 and "--out" in err


# figure ------------------------------------------------------------------------------------------


def test_a_figure_is_written_with_its_data(place):
    place.relax(*place.linear())
    target = place.folder / "f.zip"
    code, out, err = place.run(
        "figure", place.out, "--view", "energy_time", "--step", 12, "--out", target
    )
    assert (code, out.strip(), err) == (0, str(target), "")
    import zipfile

    assert {"figure.pdf", "data.nc"} <= set(zipfile.ZipFile(target).namelist())


def test_the_views_are_listed(place):
    from workbench.views import views

    code, out, _ = place.run("figure", "--list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == list(views())


@pytest.mark.row(59)
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["T", "--view", "energy_tiem", "--out", "O"], 2, ["energy_tiem", "mean energy_time?"]),
        (["T", "--view", "total", "--step", "21", "--out", "O"], 2, ["step: 21", "0..20"]),
        (["T", "--view", "total", "--step", "x", "--out", "O"], 2, ["step: x"]),
        (["T", "--view", "probability", "--out", "O"], 2, ["probability"]),
        (["nowhere.nc", "--view", "total", "--out", "O"], 2, ["trace: nowhere.nc", "no such file"]),
        (["D", "--view", "total", "--out", "O"], 4, ["trace", "cannot be read"]),
        (["T", "--out", "O"], 2, ["view: missing"]),
        ([], 2, ["trace: missing"]),
    ],
)
def test_a_figure_that_cannot_be_drawn_is_refused_in_one_line(place, words, code, said):
    place.relax(*place.scalar())
    damaged = place.write("damaged.nc", "nothing")
    paths = {"T": place.out, "D": damaged, "O": place.folder / "o.zip"}
    came, err = place.refused("figure", *[paths.get(word, word) for word in words])
    assert came == code
    assert all(word in err for word in said), err


# selftest, data ----------------------------------------------------------------------------------


def test_the_selftest_passes_and_prints_every_case(place, monkeypatch):
    from core import selftest

    monkeypatch.setattr(
        selftest, "CASES", selftest.CASES[::6]
    )  # all of them: core/test_selftest.py
    code, out, _ = place.run("selftest")
    head, *lines, last = out.splitlines()
    assert code == 0
    assert head.split() == ["case", "expected", "found", "passed", "claim"]
    assert len(lines) == len(selftest.cases()) and last.endswith("passed on cpu")


def test_the_selftest_speaks_json(place):
    code, out, _ = place.run("selftest", "--json", "--case", "V1", "--case", "V7")
    found = json.loads(out)
    assert code == 0 and all(one["passed"] for one in found)
    assert set(found[0]) == {"case", "claim", "expected", "found", "passed", "device"}
    assert {one["device"] for one in found} == {"cpu"}


def test_the_selftest_runs_the_cases_that_are_named(place):
    from core import selftest

    code, out, _ = place.run("selftest", "--json", "--case", "V7", "--case", "V2")
    names = [one["case"] for one in json.loads(out)]
    assert code == 0 and names == [one.name for one in selftest.cases() if one.name in ("V2", "V7")]
    assert set(names) == {"V2", "V7"}
    _, out, _ = place.run("selftest", "--case", "V2")
    assert out.splitlines()[-1] == f"{names.count('V2')} of {names.count('V2')} passed on cpu"


def test_a_case_that_is_not_there_is_refused(place):
    code, err = place.refused("selftest", "--case", "V777")
    assert code == 2 and "case: V777; one of V1, V2, " in err


def test_the_cases_can_be_judged_one_after_the_other():
    from core import selftest

    each = selftest.results("cpu", ["V1"])
    assert next(each).name == "V1"
    assert len([*each]) == len(selftest.cases(["V1"])) - 1
    with pytest.raises(ValueError, match=r"^case: V0; one of"):
        selftest.results("cpu", ["V0"])


def test_a_failed_case_makes_the_selftest_fail(place, monkeypatch):
    from core import selftest

    right = selftest.cases()[0]
    wrong = replace(right, name="V0", expected=tuple(e + 1 for e in right.expected))
    monkeypatch.setattr("core.selftest.cases", lambda names: [right, wrong])
    code, out, _ = place.run("selftest")
    assert code == 1
    assert [" NO " in line for line in out.splitlines()] == [False, False, True, False]
    assert "1 of 2 passed" in out


def test_the_selftest_refuses_a_device_that_is_not_here(place):
    assert place.refused("selftest", "--device", "cuda:99")[0] == 3
    assert place.refused("selftest", "--device", "tpu")[0] == 2


# check, cite, --plugin ---------------------------------------------------------------------------


def test_check_prints_every_law_of_every_entry(place, scratch):
    from core import plugins
    from core.laws import laws

    before = snapshot(EXAMPLE.parent)
    code, out, err = place.run("check", EXAMPLE)
    head, *lines, last = out.splitlines()
    assert (code, err) == (0, "") and last == "0 laws broken"
    assert head.split() == ["entry", "law", "result", "sentence"]
    kinds = [card.kind for card in plugins.load(EXAMPLE).cards]
    assert len(lines) == sum(len(laws(kind)) + 1 for kind in kinds)
    assert all(" holds" in line for line in lines)
    assert snapshot(EXAMPLE.parent) == before


def test_check_fails_with_the_sentence_of_each_broken_law(place, scratch):
    text = EXAMPLE.read_text()
    text = text.replace("rise.clamp(max=1.0)", "(rise - 1)").replace(r"\Pi_\ell(t)", r"\nothing")
    code, out, _ = place.run("check", place.write("mine.py", text))
    rows = [re.split(r" {2,}", line) for line in out.splitlines()]
    broken = [(row[0], row[1], row[3]) for row in rows if len(row) == 4 and row[2] == "no"]
    laws = {(entry, claim) for entry, claim, _ in broken}
    assert code == 1 and out.endswith(f"{len(laws)} laws broken\n")
    assert len(laws) == 4  # the schedule, its formula, and the source of both
    sentences = [sentence for _, _, sentence in broken]
    assert "T = 4: -0.8 at step 0, layer 1; finite and 0 or more" in sentences
    assert any("nothing" in one for one in sentences)
    assert any(one.startswith("nobody2026 is no key") for one in sentences)  # without mine.bib


def test_the_examples_of_the_help_and_of_the_readme_are_sound(place, scratch):
    import textwrap

    readme = (EXAMPLE.parents[2] / "README.md").read_text("utf-8")
    shown = checking.CHECK_MORE.partition("do:\n")[2].partition("\nExample:")[0]
    for text in (textwrap.dedent(shown), readme.partition("of inits:\n\n```python\n")[2]):
        code, out, err = place.run("check", place.write("mine.py", text.partition("```")[0]))
        assert (code, err) == (0, ""), out
        assert "init Constant" in out and out.endswith("0 laws broken\n")


@pytest.mark.parametrize("command", ["check", "relax", "cite", "selftest", "serve"])
def test_a_bad_plugin_is_refused_by_every_command_with_its_line(place, scratch, command):
    mine = place.write("mine.py", "import math\nmath.sqrt(-1)\n")
    words = {"relax": [*place.scalar(), "--out", place.out], "cite": ["plain"]}.get(command, [])
    words += [mine] if command == "check" else ["--plugin", mine]
    code, err = place.refused(command, *words)
    assert code == 2
    assert f"plugin: {mine}, line 2; math domain error" in err


def test_a_plugin_that_is_not_there_is_refused(place, scratch):
    code, err = place.refused("selftest", "--plugin", "nowhere.py")
    assert code == 2 and "plugin: nowhere.py; no file" in err
    code, err = place.refused("check")
    assert code == 2 and "PY" in err


def test_a_bad_package_is_a_fault_of_the_environment(place, scratch, monkeypatch):
    from importlib.metadata import EntryPoint

    point = EntryPoint("own", "no_such_module_here", "relaxoscope.plugins")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [point])
    code, err = place.refused("selftest", "--case", "V1")
    assert code == 3 and "plugin: own of own; No module named 'no_such_module_here'" in err


def test_a_plugins_entry_relaxes_and_the_trace_names_it(place, scratch):
    text = "[precision]\nname = 'Ramp'\nn = 2\n[dynamics]\nname = 'ClippedDescent'\nc = 1.0\n"
    words = [*place.scalar(), "--recipe", place.write("r.toml", text), "--steps", 2]
    trace = place.relax(*words, "--plugin", EXAMPLE)
    assert trace["precision"].values.tolist() == [[0.5, 0.5], [1.0, 1.0], [1.0, 1.0]]
    # h_1 = 2, dF/dh_1 = 3 / 2 at half precision, clipped to 1; at rate 0.1 h_1 = 1.9.
    assert np.allclose(trace["energy"][1], [0.1**2 / 2, (5 - 3 * 1.9) ** 2 / 2], rtol=0, atol=1e-14)
    digest = hashlib.sha256(EXAMPLE.read_bytes()).hexdigest()
    assert json.loads(trace.attrs["plugins"]) == [{"name": "example.py", "sha256": digest}]


def test_an_entry_whose_plugin_is_missing_is_refused_with_that_question(place, scratch):
    recipe = place.write("r.toml", "precision = 'Rampe'\n")
    words = ["relax", *place.scalar(), "--recipe", recipe, "--out", place.out]
    code, err = place.refused(*words)
    assert code == 2 and err.endswith("(is a plugin missing?)\n")
    code, err = place.refused(*words, "--plugin", EXAMPLE)
    assert code == 2 and err.endswith("(did you mean Ramp? is a plugin missing?)\n")


@pytest.mark.parametrize("preset", presets.presets())
def test_the_works_of_every_preset_are_printed(place, preset):
    from core.citations import read
    from core.experiment import citations

    code, out, err = place.run("cite", preset)
    experiment = Experiment.from_dict(presets.presets()[preset].choices)
    assert (code, err) == (0, "")
    assert list(read(out, "stdout")) == citations(experiment)


def test_a_preset_is_relaxed_by_its_name_and_is_no_file(place):
    words = ["--recipe", "spiking", "--dataset", "SmallDigits", "--pretraining", "random"]
    trace = place.relax(*words, "--steps", 2)
    assert json.loads(trace.attrs["files"]) == {}
    assert json.loads(trace.attrs["experiment"])["precision"]["name"] == "Spiking"


@pytest.mark.parametrize("name", ["spiking", "init-mnist-25-pc-avg"])
def test_a_preset_is_a_recipe_by_its_name_and_by_its_file(place, name):
    (file,) = (assets() / "presets").glob(f"**/*{name}.toml")
    works = [place.run("cite", said)[1] for said in (name, file)]
    assert works[0] == works[1] and "@" in works[0]


def test_a_preset_is_trained_by_its_name_with_what_is_said_beside_it(place):
    words = ["--recipe", "spiking", "--pretraining", "random", "--steps", 3, "--batches", 2]
    code, _, err = place.run("train", *words, "--out", place.folder / "run")
    assert code == 0, err
    found = json.loads(open_run(place.folder / "run").attrs["experiment"])
    wanted = Experiment.from_dict(presets.presets()["spiking"].choices)
    assert Experiment.from_dict(found) == wanted.changed(pretraining="random", steps=3)


def test_every_preset_is_listed_with_what_came_of_it(place):
    code, out, _ = place.run("presets", "--json")
    found = {one["name"]: one for one in json.loads(out)}
    assert code == 0 and set(found) == set(presets.named())
    one = found["init-mnist-bp"]
    assert (one["status"], one["second_hand"]) == ("reproduced", False)
    assert one["theirs"].startswith("98.32") and one["ours"].startswith("98.32")
    assert found["plain"]["status"] is None
    code, out, _ = place.run("presets")
    first = [line.split()[0] for line in out.splitlines()[1:]]
    assert code == 0 and [name for name in first if name != "#"] == list(presets.named())
    assert max(map(len, out.splitlines())) < 250


def test_the_works_of_a_recipe_are_printed(place, scratch):
    recipe = place.write("r.toml", "precision = 'Ramp'\n")
    code, out, _ = place.run("cite", recipe, "--plugin", EXAMPLE)
    assert code == 0 and "@misc{nobody2026," in out and "qi2026" not in out
    code, err = place.refused("cite", "spikin")
    assert code == 2 and "(did you mean spiking?)" in err
    code, err = place.refused("cite", place.folder / "nowhere.toml")
    assert code == 2 and "no such file" in err


def test_data_says_in_one_line_that_it_is_offline(place, monkeypatch):
    from core.datasets.fetch import NotFetched

    def offline(name, root, progress):
        raise NotFetched(f"{name}: did not arrive;\n go online")

    monkeypatch.setattr("core.datasets.fetch.download", offline)
    code, err = place.refused("data", "MNIST", "--root", place.folder)
    assert code == 3 and "MNIST: did not arrive" in err


def test_data_shows_its_progress_and_prints_the_folder(place, monkeypatch):
    def download(name, root, progress):
        progress("one", 0.0)
        progress("one", 0.1)
        progress("two", 0.5)
        return Path(root) / name

    monkeypatch.setattr("core.datasets.fetch.download", download)
    code, out, err = place.run("data", "MNIST", "--root", place.folder)
    assert (code, out) == (0, f"{place.folder / 'MNIST'}\n")
    assert [line.split() for line in err.splitlines()] == [["0%", "one"], ["50%", "two"]]


def test_data_knows_what_can_be_downloaded(place):
    code, err = place.refused("data", "MNITS")
    assert code == 2 and "MNIST, FashionMNIST" in err


# serve -------------------------------------------------------------------------------------------


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def served(place, monkeypatch):
    """The arguments that panel would get."""

    def serve(*words):
        given = []
        monkeypatch.setattr(sys, "argv", ["relaxoscope"])
        monkeypatch.setenv("BOKEH_SECRET_KEY", "0123456789abcdef" * 4)
        monkeypatch.delenv("PANEL_COOKIE_SECRET", raising=False)
        monkeypatch.setattr("panel.command.main", lambda: given.extend(sys.argv))
        code, _, err = place.run("serve", *words)
        assert code == 0, err
        return given

    return serve


def after(words, option):
    """All values of an option."""
    return [words[i + 1] for i, word in enumerate(words) if word == option]


def test_it_serves_the_app_at_loopback(served):
    port = free_port()
    words = served("--port", port, "--num-threads", 4)
    assert words[:2] == ["panel", "serve"] and Path(words[2], "main.py").is_file()
    assert after(words, "--address") == ["127.0.0.1"]
    assert after(words, "--port") == [str(port)]
    assert after(words, "--allow-websocket-origin") == [f"localhost:{port}", f"127.0.0.1:{port}"]
    assert after(words, "--session-ids") == ["signed"]
    assert after(words, "--websocket-max-message-size") == [str(2**20)]
    assert "--enable-xsrf-cookies" in words
    assert after(words, "--num-threads") == ["4"]
    assert "--cookie-secret" not in words


def test_with_a_password_it_serves_elsewhere_and_makes_a_cookie_secret(served):
    port = free_port()
    words = served("--port", port, "--address", "0.0.0.0", "--basic-auth", "users.json")
    assert after(words, "--address") == ["0.0.0.0"]
    assert len(after(words, "--cookie-secret")[0]) > 30
    assert "--enable-xsrf-cookies" not in words, "Panel's form for a password has no token"
    own = served("--port", port, "--basic-auth", "users.json", "--cookie-secret", "mine")
    assert after(own, "--cookie-secret") == ["mine"]


@pytest.mark.row(53)
@pytest.mark.parametrize(
    "words",
    [
        ["--address", "0.0.0.0"],
        ["--address", "::"],
        ["--address", "192.168.0.7"],
        ["--address", "example.org"],
        ["--address="],
        ["--addr", "0.0.0.0"],
        ["--address", "0.0.0.0", "--basic-auth"],
        ["--address", "0.0.0.0", "--basic-auth="],
        ["--address", "0.0.0.0", "--basic-auth", "--warm"],
    ],
)
def test_beyond_loopback_it_asks_for_a_password(place, words):
    code, err = place.refused("serve", *words)
    assert code == 2
    assert "127.0.0.1" in err and "--basic-auth PASSWORD" in err


@pytest.mark.parametrize("words", [["--"], ["--args", "x"], ["--arg=x"]])
def test_nothing_can_hide_the_address_from_panel(place, words):
    assert place.refused("serve", *words)[0] == 2


@pytest.mark.parametrize("words", [["--allow-websocket-origin", "*"], ["--allow-web=*:5006"], []])
def test_the_pages_of_any_host_are_refused_without_a_password(place, monkeypatch, words):
    if not words:
        monkeypatch.setenv("BOKEH_ALLOW_WS_ORIGIN", "localhost:5006,*")
    code, err = place.refused("serve", *words)
    assert code == 2 and "*" in err and "HOST:PORT, or give a password" in err


@pytest.mark.parametrize("port", ["0", "65536", "http", "5006.5"])
def test_a_port_that_is_none_is_refused(place, port):
    code, err = place.refused("serve", "--port", port)
    assert code == 2 and f"port: {port}" in err


@pytest.mark.row(52)
def test_a_port_in_use_is_named_with_the_next_free_one(place):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, err = place.refused("serve", "--port", port)
    assert code == 3
    assert f"port {port} is in use; try --port " in err
    assert int(err.rsplit(maxsplit=1)[1]) > port


# The command itself ------------------------------------------------------------------------------


COMMANDS = [
    checking,
    drawing,
    exporting,
    relaxing,
    running,
    selftesting,
    serving,
    supplying,
    training,
]


@pytest.mark.parametrize("module", [cli, grammar, progress, refusals, *COMMANDS])
def test_only_the_standard_library_is_loaded_before_a_command_is_known(module):
    tree = ast.parse(Path(module.__file__).read_text())
    for node in tree.body:
        names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) else []
        names = [name for name in names if module is cli or name != "workbench.refusals"]
        assert all(name.partition(".")[0] in sys.stdlib_module_names for name in names)


def test_it_knows_its_version_and_its_commands(place):
    code, out, _ = place.run("--version")
    assert code == 0 and out.startswith("relaxoscope ") and out.split()[1][0].isdigit()
    for words in ([], ["--help"]):
        code, out, _ = place.run(*words)
        assert code == 0
        names = "serve relax train runs export weights figure movie cite check selftest presets "
        names += "datasets"
        assert all(f"    {name} " in out for name in [*names.split(), "data"])


def test_the_help_of_relax_documents_every_file(place):
    code, out, _ = place.run("relax", "--help")
    assert code == 0
    for word in ("net.toml", "w.safetensors", "W1 (out, in)", "maps.1.0.weight", "d.npz", "r.toml"):
        assert word in out
    assert max(map(len, out.splitlines())) <= 100


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["relx"], ["relx", "did you mean relax?"]),
        (["--verson"], ["--verson", "did you mean --version?"]),
        (["selftest", "--jsno"], ["--jsno", "did you mean --json?"]),
    ],
)
def test_an_unknown_word_is_refused_with_the_nearest(place, words, said):
    code, err = place.refused(*words)
    assert code == 2
    assert all(word in err for word in said), err


def test_the_examples_of_the_help_are_right(place):
    """The network and recipe that --help shows are read as they stand there."""
    import textwrap

    from workbench import files

    blocks = {}
    for part in relaxing.FILES.split("\n--"):
        head, *lines = part.splitlines()
        blocks[head.split()[0].lstrip("-")] = textwrap.dedent("\n".join(lines))
    network = files.read_network(place.write("n.toml", blocks["network"]))
    assert network == MLP((2, 2), "identity", False)
    recipe = blocks["recipe"].partition("Also")[0]
    assert files.read_recipe(place.write("r.toml", recipe))["steps"] == 20


def test_an_error_of_the_program_is_one_line_and_a_traceback_if_asked_for(place, monkeypatch):
    def broken(device, names):
        raise KeyError("a\nb")

    monkeypatch.setattr("core.selftest.run", broken)
    code, err = place.refused("selftest")
    assert code == 70 and "KeyError" in err and "--debug" in err
    code, _, err = place.run("selftest", "--debug")
    assert code == 70 and "Traceback" in err and "in broken" in err


@pytest.mark.row(72)
def test_a_missing_package_is_named(place, monkeypatch):
    monkeypatch.setitem(sys.modules, "panel.command", None)
    code, err = place.refused("serve", "--port", free_port())
    assert code == 3 and "pip install panel" in err


def test_an_interrupt_ends_quietly(place, monkeypatch):
    def interrupted(device, names):
        raise KeyboardInterrupt

    monkeypatch.setattr("core.selftest.run", interrupted)
    assert place.run("selftest") == (130, "", "")


def test_a_memory_that_is_too_small_is_named(place, monkeypatch):
    def too_much(*_, **__):
        raise RuntimeError("CUDA out of memory. Tried to allocate 20 GiB")

    monkeypatch.setattr("core.recording.record", too_much)
    code, err = place.refused("relax", *place.scalar(), "--out", place.out)
    assert code == 3 and "out of memory on cpu" in err and "narrower layers" in err
    files = place.problem({"W1": [[2.0]]}, [[1.0]] * 6, [[5.0]] * 6)
    code, err = place.refused("relax", *files, "--out", place.out)
    assert code == 3 and "--batch-size 3" in err


@pytest.mark.row(70)
@pytest.mark.skipif(os.name != "posix", reason="missing: pipes of POSIX")
def test_the_console_command_writes_a_trace_and_bears_a_closed_pipe(place):
    command = [sys.executable, "-m", "workbench.cli"]
    words = ["relax", *place.scalar(), *place.rate(0.1), "--steps", "1", "--dtype", "float64"]
    ran = subprocess.run([*command, *words, "--out", place.out], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "2 rows, 2 layers, F 0.5 -> 0.05 nat" in ran.stdout
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run([*command, "--version"], stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (141, b"")
