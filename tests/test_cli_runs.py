"""The command `relaxoscope` with runs: trainings, lists, exports, and how it ends."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors.torch import load_file

from core.runs import Run, Writer, shelf
from tests.commands import RECIPE, snapshot
from workbench import progress

ROOT = Path(__file__).parents[1]

WEIGHTS = ("maps.1.weight", "maps.1.bias")


@pytest.fixture
def trained(place, root):
    """A run of seven batches, and what the command said."""
    words = ["--recipe", place.write("r.toml", RECIPE), "--batches", 7, "--weights-every", 3]
    code, out, err = place.run("train", *words, "--test-every", 2, "--out", root / "a")
    assert code == 0, err
    return root / "a", out, err


def test_of_more_than_ten_classes_top_five_accuracy_is_recorded_too(place, root, trained):
    rng = np.random.default_rng(0)
    held = {f"x_{name}": rng.random((60, 3, 3)).astype(np.float32) for name in ("train", "test")}
    held |= {f"y_{name}": np.arange(60) % 12 for name in ("train", "test")}
    np.savez(place.folder / "mine.npz", **held)
    data = f"name = 'Npz'\npath = '{place.folder / 'mine.npz'}'\nclasses = 12\n"
    text = "batch_size = 12\n[network]\nname = 'MLP'\nhidden = []\nactivation = 'identity'\n"
    recipe = place.write("many.toml", f"{text}[dataset]\n{data}")
    words = ["--recipe", recipe, "--batches", 4, "--test-every", 2, "--weights-every", 2]
    code, out, err = place.run("train", *words, "--out", root / "b")
    assert code == 0, err
    run, shares = Run(root / "b"), {}
    for number in (0, 2, 4):  # by the weights of one linear layer on pixels in -1..1
        weight, bias = (run.weights(number)[k].double().numpy() for k in WEIGHTS)
        scores = (2 * held["x_test"].reshape(60, 9) - 1) @ weight.T + bias
        mine = np.take_along_axis(scores, held["y_test"][:, None], axis=1)
        shares[number] = [((scores > mine).sum(1) < k).mean() for k in (1, 5)]
        known = run.batches().sel(batch=number)
        assert [float(known["accuracy"]), float(known["top5"])] == shares[number]
    best = np.max(list(shares.values()), axis=0)
    assert f", top-5 {shares[0][1]:.1%} -> {shares[4][1]:.1%}, " in out
    lane = json.loads(place.run("runs", "show", "b", "--json")[1])["lanes"][0]
    assert [lane["accuracy"], lane["top5"]] == list(best)
    assert [lane["accuracy_at_the_end"], lane["top5_at_the_end"]] == shares[4]
    listed = {one["name"]: one for one in json.loads(place.run("runs", "list", "--json")[1])}
    assert (listed["b"]["top5"], listed["a"]["top5"]) == (best[1], None)
    for what in (["list"], ["show", "b"]):
        assert f"{best[0]:.1%}, top-5 {best[1]:.1%}" in place.run("runs", *what)[1]


def damaged(path):
    """The run without the page of its store that holds the last rows."""
    whole = (path / "rows.sqlite").read_bytes()
    (path / "rows.sqlite").write_bytes(whole[: len(whole) - 8192])
    return path


# train -------------------------------------------------------------------------------------------


def test_a_training_leaves_a_run_and_says_so_in_one_line(place, trained):
    path, out, err = trained
    run = Run(path)
    assert (run.state, run.rows(), run.kept()) == ("finished", 35, [0, 3, 6, 7])
    tested = run.batches()["accuracy"].values
    assert np.flatnonzero(np.isfinite(tested)).tolist() == [0, 2, 4, 6, 7]
    words = "7 batches", "35 rows", f"accuracy {tested[0]:.1%} -> {tested[7]:.1%}", str(path)
    assert out.count("\n") == 1 and all(word in out for word in words), out
    # No terminal: a line for each stage, none for each batch.
    lines = [re.sub("[0-9]", "0", line) for line in err.splitlines()]
    assert 1 <= len(lines) <= 4 and all("epoch 0 of 0, test accuracy" in one for one in lines)


def test_options_take_the_place_of_the_recipes_keys_in_training(place, root):
    words = ["--recipe", place.write("r.toml", RECIPE), "--steps", 2, "--seed", 5]
    words += ["--batch-size", 500, "--dtype", "float64", "--level", "full", "--align-every", 2]
    code, _, err = place.run("train", *words, "--epochs", 1, "--out", root / "a")
    assert code == 0, err
    run = Run(root / "a")
    chosen = run.manifest["experiment"]
    assert [chosen[name] for name in ("steps", "seed", "dtype", "batch_size")] == [
        2,
        5,
        "float64",
        500,
    ]
    assert run.rows() == 3 * 3 and "energy_sample" in run.dataset()
    aligned = run.batches()["update_alignment"].values[:, 0]
    assert np.flatnonzero(np.isfinite(aligned)).tolist() == [0, 2]


def test_weights_go_out_and_in_again(place, root, trained):
    out = place.folder / "w.safetensors"
    code, said, _ = place.run("weights", "a", "--batch", 3, "--out", out)
    assert code == 0 and said == f"{out}: 6 tensors of batch 3\n"
    expected = Run(trained[0]).weights(3)
    assert all(torch.equal(one, expected[name]) for name, one in load_file(out).items())
    words = ["--recipe", place.folder / "r.toml", "--weights", out]
    code, _, err = place.run("train", *words, "--batches", 1, "--out", root / "b")
    assert code == 0, err
    found = Run(root / "b").weights(0)
    assert all(torch.equal(one, expected[name]) for name, one in found.items())
    code, _, err = place.run("relax", *words, "--out", place.folder / "t.nc")
    assert code == 0, err


def test_a_diverging_training_exits_with_one_and_keeps_its_rows(place, root):
    text = RECIPE + "[dynamics]\nname = 'GradientDescent'\nrate = 10.0\n"
    words = ["--recipe", place.write("r.toml", text), "--steps", 60, "--batches", 3]
    code, out, err = place.run("train", *words, "--out", root / "a")
    assert code == 1 and out.startswith("0 batches, ")
    assert re.search(r"relaxoscope: diverged at step \d+ of batch 0, .*dynamics\.rate", err)
    run = Run(root / "a")
    assert run.state.startswith("diverged") and 0 < run.rows() < 61


REFUSED = [
    (["--batches", "0"], 2, ["batches: 0", "1..1000000000"]),
    (["--batches", "many"], 2, ["batches: many"]),
    (["--epochs", "1.5"], 2, ["epochs: 1.5"]),
    (["--batches", "1", "--epochs", "1"], 2, ["--batches and --epochs"]),
    (["--weights-every", "-1"], 2, ["weights-every: -1", "0..1000000000"]),
    (["--level", "ful"], 2, ["level: ful", "did you mean full?"]),
    (["--batch-size", "5000"], 2, ["batch_size: 5000"]),
    (["--device", "cuda:99"], 3, ["device: cuda:99"]),
    (["--recipe", "nowhere.toml"], 2, ["recipe: nowhere.toml", "no such file"]),
    (["--weights", "nowhere"], 2, ["weights: nowhere", "no such file"]),
    (["--dataset", "MNITS"], 2, ["MNITS", "did you mean MNIST?"]),
    (["--epoch", "1"], 2, ["--epoch", "did you mean --epochs?"]),
    (["--out", "runs/.hidden"], 2, ["run: .hidden", "letter"]),
    (["--out", "runs/a b"], 2, ["run: a b"]),
    (["--out", "file/a"], 3, ["run: file/a"]),
]


@pytest.mark.parametrize(("words", "code", "said"), REFUSED, ids=lambda one: str(one)[:30])
def test_a_wrong_training_is_refused_in_one_line(place, root, monkeypatch, words, code, said):
    monkeypatch.chdir(place.folder)
    monkeypatch.setattr("core.runs.course.first_weights", lambda *_: pytest.fail("it trained"))
    place.write("file", "")
    recipe = ["--recipe", place.write("r.toml", RECIPE)]
    came, err = place.refused("train", *recipe, "--out", "runs/a", *words)
    assert came == code
    assert all(word in err for word in said), err


@pytest.mark.row(41)
def test_a_run_that_exists_is_refused(place, trained):
    words = ["train", "--recipe", place.folder / "r.toml", "--out", trained[0]]
    code, err = place.refused(*words)
    assert code == 2 and f"run: {trained[0]}; exists" in err


# runs --------------------------------------------------------------------------------------------


def test_the_list_has_a_line_for_each_run_and_speaks_json(place, root, trained):
    with Writer(root / "b") as writer:
        writer.close("failed: by hand")
    damaged(trained[0])
    place.run("runs", "note", "b", "--title", "Deep")
    place.run("runs", "tag", "b", "x", "y")
    code, out, err = place.run("runs", "list")
    head, *lines = out.splitlines()
    assert (code, err) == (0, "") and head.split()[:2] == ["name", "state"]
    assert {line.split()[0] for line in lines} == {"a", "b"}
    assert any(line.endswith("Deep #x #y") for line in lines)
    found = {one["name"]: one for one in json.loads(place.run("runs", "list", "--json")[1])}
    assert found["a"]["state"] == "damaged" and found["a"]["recovered"]
    assert (found["b"]["state"], found["b"]["tags"]) == ("failed", ["x", "y"])


def test_the_list_of_a_folder_without_runs_says_how_one_is_made(place, root):
    code, out, _ = place.run("runs", "list", "--root", place.folder / "nowhere")
    assert code == 0 and "no runs in" in out and "relaxoscope train" in out
    assert place.run("runs", "list", "--json")[1] == "[]\n"


def test_show_tells_what_is_known(place, root, trained):
    code, out, err = place.run("runs", "show", "a")
    assert (code, err) == (0, "")
    for word in ("finished", "SmallDigits", "35 rows, 7 batches, 3 layers", "batches 0, 3, 6, 7"):
        assert word in out, out
    assert "network.hidden" in out
    code, out, _ = place.run("runs", "show", trained[0], "--json")
    known = json.loads(out)
    assert known["lanes"][0] | {"rows": 35, "weights": [0, 3, 6, 7]} == known["lanes"][0]
    assert known["experiment"]["steps"] == 4 and known["recovered"] == ""


def test_a_damaged_run_is_shown_with_what_is_held_and_exits_with_four(place, root, trained):
    damaged(trained[0])
    code, out, err = place.run("runs", "show", "a")
    held = Run(trained[0]).recovered
    assert code == 4 and held and f"  recovered  {held}\n" in out
    assert err == f"relaxoscope: run: a; {held}\n"
    for path in trained[0].glob("*"):
        if path.is_file() and path.name != "lock":
            path.write_bytes(b"nothing of use")
    code, err = place.refused("runs", "show", "a")
    assert code == 4


def test_a_run_is_renamed_noted_and_tagged(place, root, trained):
    assert place.run("runs", "rename", "a", "b") == (0, f"{root / 'b'}\n", "")
    assert place.run("runs", "note", "b", "seen", "--title", "T") == (0, "T\nseen\n", "")
    assert place.run("runs", "tag", "b", "x", "y", "x")[1] == "x y\n"
    assert place.run("runs", "tag", "b", "x", "--remove")[1] == "y\n"
    assert place.run("runs", "note", "b")[1] == "T\nseen\n"
    notes = Run(root / "b").notes
    assert (notes.title, notes.note, notes.tags) == ("T", "seen", ("y",))
    code, err = place.refused("runs", "tag", "b", "z", "--remove")
    assert code == 2 and "tag: z; one of y" in err


def test_a_run_is_put_away_and_brought_back(place, root, trained):
    code, out, _ = place.run("runs", "trash", "a")
    assert code == 0 and "relaxoscope runs restore a" in out and not trained[0].exists()
    code, err = place.refused("runs", "restore", "b")
    assert code == 2 and "run: b; one of a" in err
    assert place.run("runs", "restore", "a") == (0, f"{trained[0]}\n", "")
    assert Run(trained[0]).state == "finished"
    code, err = place.refused("runs", "restore", "a")
    assert code == 2 and "the trash is empty" in err


def test_nothing_is_put_away_where_one_name_is_wrong(place, root, trained):
    code, err = place.refused("runs", "trash", "a", "b")
    assert code == 2 and "run: b; one of a" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["runs"], ["runs: missing", "list, show"]),
        (["runs", "lst"], ["runs: lst", "did you mean list?"]),
        (["runs", "list", "--jsno"], ["runs list: --jsno", "did you mean --json?"]),
        (["runs", "show"], ["NAME", "relaxoscope runs show --help"]),
        (["runs", "show", "../a"], ["there is no run in"]),
        (["runs", "show", "spikin"], ["run: spikin; one of spiking", "did you mean spiking?"]),
        (["runs", "rename", "spiking", ".."], ["name: ..;", "letter"]),
        (["runs", "replay", "spiking"], ["spiking", "no recorded session"]),
        (["weights", "spiking", "--out", "w.bin"], ["out: w.bin", ".safetensors"]),
        (["weights", "spiking", "--out", "w.safetensors"], ["weights: spiking; none were kept"]),
        (["export", "spiking", "--out", "x.zip"], ["out: .zip", ".zarr, .nc, .csv"]),
        (["export", "spiking", "--out", "x.nc", "--lane", "4"], ["lane: 4"]),
        (["export", "spiking", "--out", "x.nc", "--lane", "-1"], ["lane: -1"]),
    ],
    ids=lambda one: " ".join(one)[:40],
)
def test_a_wrong_word_about_runs_is_refused_in_one_line(place, root, monkeypatch, words, said):
    from core.layout import Layout

    monkeypatch.chdir(place.folder)
    with Writer(root / "spiking") as writer:
        writer.lane(Layout((1,), ("x", "y"), (1,), (2, 2), (True,), 1e-7))
    code, err = place.refused(*words)
    assert code == 2
    assert all(word in err for word in said), err


def test_a_recorded_session_is_replayed_and_compared(place, root, monkeypatch):
    digests = [(0, "aa" * 32, "aa" * 32), (1, "bb" * 32, "cc" * 32)]
    monkeypatch.setattr("workbench.replaying.replayed", lambda run: digests[:1])
    with Writer(root / "a"):
        pass
    assert place.run("runs", "replay", "a")[:2] == (0, f"lane 0: {'aa' * 8}, again the same\n")
    monkeypatch.setattr("workbench.replaying.replayed", lambda run: digests)
    code, out, _ = place.run("runs", "replay", "a", "--json")
    assert code == 1 and [one["same"] for one in json.loads(out)] == [True, False]


# export ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["export"], ["runs", "export"]], ids=" ".join)
def test_a_run_is_exported_by_either_spelling(place, root, trained, words):
    out = place.folder / "x.nc"
    code, said, _ = place.run(*words, "a", "--out", out)
    assert (code, said) == (0, f"{out}\n")
    with xr.open_dataset(out) as data:
        assert np.array_equal(data["energy"], Run(trained[0]).dataset()["energy"])
    code, err = place.refused(*words, "a", "--out", out)
    assert code == 2 and "exists" in err
    assert place.run(*words, "a", "--out", out, "--force")[0] == 0


def test_what_is_held_of_a_damaged_run_is_exported_and_the_rest_named(place, root, trained):
    damaged(trained[0])
    code, out, err = place.run("export", "a", "--out", place.folder / "x.zarr")
    assert code == 4 and out == f"{place.folder / 'x.zarr'}\n"
    assert "the export holds the rest" in err
    with xr.open_zarr(place.folder / "x.zarr", chunks=None) as data:
        assert data.attrs["recovered"]


# datasets ----------------------------------------------------------------------------------------


def test_the_sets_are_listed_without_reading_them(place, monkeypatch):
    monkeypatch.setattr("core.datasets.mnist._found", lambda *_: pytest.fail("it read"))
    code, out, _ = place.run("datasets", "--root", place.folder, "--json")
    found = {one["name"]: one for one in json.loads(out)}
    assert code == 0 and set(found) >= {"Digits", "SmallDigits", "MNIST", "FashionMNIST"}
    assert not found["MNIST"]["here"]
    assert found["MNIST"]["get"] == f"relaxoscope data MNIST --root {place.folder}"
    assert found["SmallDigits"]["here"] and found["SmallDigits"]["get"] == ""
    _, out, _ = place.run("datasets")
    assert out.splitlines()[0].split() == "name train test shape classes here where".split()


@pytest.mark.parametrize("name", ["Digits", "SmallDigits"])
def test_the_sizes_that_are_listed_are_those_of_the_set(place, name):
    from core import make

    _, out, _ = place.run("datasets", "--json")
    said = next(one for one in json.loads(out) if one["name"] == name)
    images = make("dataset", name)()
    assert (said["train"], said["test"]) == (len(images.train_y), len(images.test_y))
    assert tuple(said["shape"]) == images.shape and said["classes"] == images.classes


def test_a_set_of_a_plugin_is_listed_as_far_as_it_is_known(place, scratch):
    text = (
        "from dataclasses import dataclass\nfrom core import entry\n"
        "@entry('dataset', 'Mine', formula='x', source='this project')\n"
        "@dataclass(frozen=True)\nclass Mine:\n"
        "    '''Mine.\n\n    Source: this project.\n    '''\n"
        "    def __call__(self):\n        raise ValueError\n"
    )
    words = ["--plugin", place.write("mine.py", text)]
    code, out, err = place.run("datasets", *words)
    assert code == 0, err
    assert re.search(r"^Mine +- +- +- +- +yes +", out, re.MULTILINE)


# Signals, terminals and pipes --------------------------------------------------------------------

COMMAND = [sys.executable, "-m", "workbench.cli"]


def started(place, root, **pipes):
    """A training that is under way in a process of its own."""
    words = ["train", "--recipe", str(place.write("r.toml", RECIPE)), "--batches", "1000000"]
    command = [*COMMAND, *words, "--out", str(root / "a")]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    process.stderr.readline()  # the first batch has been learnt from
    return process


@pytest.mark.row(69)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_run_that_is_closed_as_interrupted(place, root, number):
    process = started(place, root)
    assert Run(root / "a").state == "live"
    code, _, err = place.run("runs", "trash", "a")
    assert code == 3 and f"process {process.pid} on " in err
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "Traceback" not in err and "interrupted" in err and "batches" in out
    run = Run(root / "a")
    assert run.state == "interrupted" and run.recovered == "" and run.rows() > 0
    seconds = run.batches()["seconds"].values
    assert f"{np.isfinite(seconds).sum():,} batches" in out


def test_the_second_signal_ends_it_at_once_and_the_run_is_readable():
    code = (
        "import os, signal\n"
        "from workbench.training import stopping\n"
        "with stopping() as asked:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print(asked, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('still there', flush=True)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (143, "[2]\n", "")


def test_signals_mean_again_what_they_meant_when_the_training_has_ended():
    from workbench.training import stopping

    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(ZeroDivisionError), stopping():
        assert signal.getsignal(signal.SIGINT) is not before[0]
        raise ZeroDivisionError
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_closed_pipe_is_borne(place, root, trained):
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run(
        [*COMMAND, "runs", "show", "a", "--json"], cwd=ROOT, stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (141, b"")


@pytest.mark.parametrize("size", [(24, 90), (0, 90), (0, 0)])
def test_on_a_terminal_one_bar_moves(size):
    reading, writing = pty.openpty()
    termios.tcsetwinsize(writing, size)
    with os.fdopen(writing, "w") as terminal, progress.Progress(terminal) as tell:
        for share in (0.25, 0.5, 1.0):
            tell("epoch 1 of 1", share)
            tell._bar.refresh()  # at once, and not ten times a second
        tell("writing", 0.5)
    said = ""
    with os.fdopen(reading, "rb", buffering=0) as screen:
        while True:
            try:
                piece = screen.read(65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            said += piece.decode("utf-8", "replace")
    assert "100%|" in said and "epoch 1 of 1" in said and "writing" in said
    assert said.count("\n") == 2  # two bars, one for each stage


def test_elsewhere_each_line_is_said_once(capsys):
    with progress.Progress() as tell:
        for share in (0.0, 0.5, 1.0):
            tell("one", share)
        tell("two", 1.0)
    assert capsys.readouterr() == ("", "  0% one\n100% two\n")


def test_the_folder_stays_as_it_was_when_runs_are_only_looked_at(place, root, trained):
    before = snapshot(root)
    for words in (["list"], ["show", "a"], ["list", "--json"], ["note", "b"]):
        place.run("runs", *words)
    assert snapshot(root) == before and shelf.found(root) == [trained[0]]
