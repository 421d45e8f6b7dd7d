"""A stranger's modules on the page: they relax, toggle and leave as any network of ours."""

import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from driving import (
    Witness,
    menu,
    open_drawer,
    serving,
    step,
    wait_for,
    wait_ready,
)

WRITTEN = """
from torch import nn

from core import own

layers = nn.Sequential(
    nn.Conv2d(1, 8, 3, padding=1),
    nn.BatchNorm2d(8),
    nn.ReLU(inplace=True),
    nn.AvgPool2d(2),
    nn.Conv2d(8, 12, 3, padding=1, groups=2),
    nn.GroupNorm(2, 12),
    nn.SiLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Linear(588, 32),
    nn.PReLU(),
    nn.Linear(32, 10),
)
own.network("Stranger", layers, weights=True)
own.network("Misfit", nn.Sequential(nn.Flatten(), nn.Linear(99, 10)), weights=True)
"""


@pytest.fixture(scope="module")
def strangers(server, tmp_path_factory):
    """A server that was started with a file of somebody else's."""
    folder = tmp_path_factory.mktemp("stranger")
    (folder / "stranger.py").write_text(WRITTEN)
    given = {"plugins": [folder / "stranger.py"], "cache": server.cache}
    with serving(folder, grace=2.0, runs=folder / "runs", **given) as running:
        yield running


@pytest.fixture
def page(chromium, strangers):
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    opened = context.new_page()
    witness = Witness(opened)
    opened.goto(strangers.url, wait_until="commit")
    wait_ready(opened)
    yield opened
    context.close()
    assert (witness.errors, strangers.complaints()) == ([], [])


def test_twelve_mixed_layers_relax_toggle_and_export_and_a_misfit_is_refused(page, tmp_path):
    open_drawer(page)
    menu(page, "Network").select_option(label="Misfit")
    shown = wait_for(page, lambda r: "module 1 (Linear" in r["message"], what="the refusal")
    assert "cannot read (784,) of each sample" in shown["message"]
    assert shown["experiment"]["network"]["name"] == "MLP"
    assert np.isfinite(step(page)["total"])
    menu(page, "Network").select_option(label="Stranger")
    shown = wait_for(
        page, lambda r: r["experiment"]["network"]["name"] == "Stranger", 60, "the network"
    )
    assert shown["experiment"]["pretraining"] == "random"  # it came with its weights
    wait_ready(page)
    step(page, 4)
    menu(page, "Precision").select_option(label="Spiking")
    wait_for(page, lambda r: r["experiment"]["precision"]["name"] == "Spiking")
    shown = step(page, 3)
    assert len(shown["energies"]) == 4
    assert np.isfinite(shown["total"])
    open_drawer(page, "export")
    with page.expect_download(timeout=60_000) as coming:
        page.locator("#drawer button", has_text="figure, data and recipe").click()
    bundle = zipfile.ZipFile(Path(coming.value.path()))
    recipe = tomllib.loads(bundle.read("recipe.toml").decode())
    assert recipe["network"]["name"] == "Stranger"
    (tmp_path / "data.nc").write_bytes(bundle.read("data.nc"))
    trace = xr.load_dataset(tmp_path / "data.nc", engine="netcdf4")
    assert trace.sizes["layer"] == 4
    assert trace["recipe_id"].values[-1] > trace["recipe_id"].values[0]
    assert "stranger.py" in str(trace.attrs["plugins"])
