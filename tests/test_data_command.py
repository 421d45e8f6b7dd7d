"""Data sets on the command line: the list of them, and one's own images in a recipe."""

import json

import numpy as np
import pytest
import xarray as xr

from core.catalogue import cards
from core.datasets.fetch import SETS

RECIPE = """
steps = 3
batch_size = 6
[dataset]
name = "Npz"
path = "{path}"
classes = 3
scale = "{scale}"
augment = "{augment}"
[network]
name = "MLP"
hidden = [5]
"""


@pytest.fixture
def npz(place):
    """Images of two channels' worth of noise: 24 + 12 of 3 x 6 x 5, in three classes."""
    rng, path = np.random.default_rng(0), place.folder / "mine.npz"
    held = {f"x_{split}": rng.integers(0, 256, (n, 6, 5, 3), dtype=np.uint8)
            for split, n in (("train", 24), ("test", 12))}  # fmt: skip
    labels = {f"y_{split}": np.arange(n) % 3 for split, n in (("train", 24), ("test", 12))}
    np.savez(path, **held, **labels)
    return path


def test_every_set_is_listed_with_what_is_missing_and_how_to_get_it(place):
    code, out, _ = place.run("datasets", "--root", place.folder, "--json")
    found = {one["name"]: one for one in json.loads(out)}
    assert code == 0 and set(found) == set(cards("dataset"))
    for name in SETS:
        assert found[name]["here"] is False
        assert found[name]["get"] == f"relaxoscope data {name} --root {place.folder}"
    for name in ("Npz", "Folder"):
        assert found[name]["here"] is None and found[name]["classes"] is None
        assert found[name]["where"].startswith("yours, by the dial path: a")
    _, out, _ = place.run("datasets")
    assert {line.split()[0] for line in out.splitlines()[1:]} == set(found)


def relaxed(place, npz, scale="standard", augment="none", batch=2):
    text = RECIPE.format(path=npz, scale=scale, augment=augment)
    recipe = place.write("r.toml", text)
    code, _, err = place.run("relax", "--recipe", recipe, "--batch", batch, "--out", place.out)
    assert code == 0, err
    with xr.open_dataset(place.out) as trace:
        return trace["energy"].values.copy()


def test_own_images_relax_and_the_same_varied_batch_comes_again(place, npz):
    plain = relaxed(place, npz)
    varied = relaxed(place, npz, augment="flip + crop 4")
    assert np.isfinite(plain).all() and np.isfinite(varied).all()
    assert not np.array_equal(plain, varied)
    assert np.array_equal(varied, relaxed(place, npz, augment="flip + crop 4"))
    assert not np.array_equal(varied, relaxed(place, npz, augment="flip + crop 4", batch=6))


def test_own_images_that_are_not_there_are_refused_in_one_line(place):
    text = RECIPE.format(path="no.npz", scale="0..1", augment="none")
    recipe = place.write("r.toml", text)
    code, err = place.refused("relax", "--recipe", recipe, "--out", place.out)
    assert code == 2 and "dataset.path: no.npz is not there; an .npz file with x_train" in err
