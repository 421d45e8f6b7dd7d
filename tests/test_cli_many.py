"""Several seeds and batches from the command line, and the figures over them."""

import json
import zipfile

import numpy as np
import pytest
import xarray as xr

from workbench import figures, many


@pytest.fixture
def sweep(place):
    """Options of a small random network on digits."""
    net = place.write("net.toml", "name = 'MLP'\nhidden = [6]\n")
    return ["--network", net, "--dataset", "SmallDigits", "--steps", 3, *place.rate(0.1)]


def test_each_part_is_the_single_run_bit_for_bit(place, sweep):
    table = place.folder / "t.csv"
    whole = place.relax(*sweep, "--seeds", "0..1", "--batches", 2, "--batch", 1, "--csv", table)
    assert whole["energy"].dims == ("seed", "batch", "step", "layer")
    assert whole["seed"].values.tolist() == [0, 1] and whole["batch"].values.tolist() == [1, 2]
    for seed, batch in ((0, 1), (1, 2)):
        alone = place.relax(*sweep, "--seed", seed, "--batch", batch)
        part = many.part(whole, seed=seed, batch=batch)
        xr.testing.assert_identical(part, alone)
        for name in alone.variables:
            assert part[name].values.tobytes() == alone[name].values.tobytes(), name
    lines = table.read_text().splitlines()
    assert lines[0].startswith("seed,batch,step,t,phase,F,E_1") and len(lines) == 1 + 2 * 2 * 4
    assert len(np.unique(whole["energy"].isel(step=0, layer=-1))) == 4


def test_seeds_can_be_named_one_by_one(place, sweep):
    assert place.relax(*sweep, "--seeds", "7,3")["seed"].values.tolist() == [7, 3]


def test_one_of_several_that_diverges_is_named(place):
    words = [*place.scalar(), *place.rate(10.0), "--steps", 50, "--out", place.out]
    code, out, err = place.run("relax", *words, "--seeds", "0..1")
    assert code == 1 and out.startswith("2 relaxations, ")
    assert err.startswith("relaxoscope: seed 0, batch 0: diverged at step ")


@pytest.mark.row(61, 62, 63)
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seeds", "4..0"], "seeds: 4..0; 0..4 for 0 to 4"),
        (["--seeds", "1,1"], "seeds: 1,1"),
        (["--seeds", "0..1000000"], "seeds: 0..1000000"),
        (["--seeds", "a"], "seeds: a"),
        (["--seeds", "0..1", "--seed", "3"], "--seed and --seeds: give one of them"),
        (["--batches", "0"], "batches: 0; an integer from 1"),
        (["--batches", "9.5"], "batches: 9.5"),
        (["--batches", "2"], "batch: 1; an integer 0..0"),
    ],
)
def test_what_cannot_be_swept_is_refused(place, words, said):
    code, err = place.refused("relax", *place.scalar(), *words, "--out", place.out)
    assert code == 2 and said in err, err


def test_a_figure_over_seeds_and_one_over_files(place, sweep):
    place.relax(*sweep, "--seeds", "0..1", "--batches", 2)
    target = place.folder / "f.zip"
    words = ["--view", "errors", "--paper", "Nature", "--columns", 2]
    code, _, err = place.run("figure", place.out, *words, "--over", "seed", "--out", target)
    assert (code, err) == (0, "")
    with zipfile.ZipFile(target) as held:
        said = held.read("README.txt").decode()
        logs = json.loads(held.read("events.json"))
    assert "n = 2 seeds" in said and "batches 0, 1" in said and "183 mm" in said
    assert [one["seed"] for one in logs["relaxations"]] == [0, 0, 1, 1]
    both = ["--view", "total", "--over", "seed", "--over", "batch", "--out", place.folder / "both"]
    assert place.run("figure", place.out, *both)[0] == 0
    said = (place.folder / "both" / "README.txt").read_text()
    assert "n = 4 seeds × batches (seeds 0, 1; batches 0, 1)" in said
    names = []
    for rate in (0.05, 0.2):
        names.append(place.folder / f"rate{rate}.nc")
        place.run("relax", *sweep, *place.rate(rate), "--out", names[-1])
    code, _, err = place.run("figure", *names, "--view", "total", "--out", place.folder / "runs")
    assert (code, err) == (0, "")
    said = (place.folder / "runs" / "README.txt").read_text()
    assert "run rate0.2: dynamics.rate: 0.05 -> 0.2" in said
    assert many.dims(figures.load(place.folder / "runs" / "data.nc")) == ("run",)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--paper", "Nature2"], "paper: Nature2; one of ICML"),
        (["--columns", "3"], "columns: 3; 1 or 2"),
        (["--over", "time"], "over: time; one of run"),
        (["--over", "seed"], "over: seed; the trace has"),
        (["--spread", "mode"], "spread: mode; one of mean, median"),
    ],
)
def test_a_figure_that_cannot_be_pooled_is_refused(place, words, said):
    place.relax(*place.scalar())
    target = place.folder / "o.zip"
    code, err = place.refused("figure", place.out, "--view", "total", *words, "--out", target)
    assert code == 2 and said in err, err
