"""The figure is drawn from numbers that come back from a file, and always the same."""

import io
import json
import tomllib
import zipfile

import numpy as np
import pytest
import xarray as xr
from matplotlib.image import AxesImage
from sessions import SMALL, do, opened

from core import BadInput, make
from core.training import Training
from workbench import figures, maps_figure
from workbench.maps import ERROR, FORCE, PREDICTION, SHOWN, STATE, Wanted, looked, maps_of
from workbench.maps_field import BELOW

CONVOLUTIONS = SMALL.changed(network=make("network", "VGG", {"width": 1 / 64, "pools": 2}))


@pytest.fixture(scope="module")
def session():
    made = opened(CONVOLUTIONS)
    do(made, "step", 6)
    return made


def data(session, **wanted):
    return maps_figure.dataset(looked(session, Wanted(**wanted)), CONVOLUTIONS)


def pictures(figure):
    return [one for ax in figure.axes for one in ax.get_children() if isinstance(one, AxesImage)]


def test_the_picture_holds_the_numbers(session):
    found = data(session, layer=1, unit=(1, 2, 3))
    drawn = maps_figure.figure(found, STATE)
    sheet, _, spread, _, gradient = pictures(drawn)[:5]
    both = np.concatenate(list(found[STATE].values), axis=1)  # two channels, side by side
    np.testing.assert_array_equal(sheet.get_array(), both)
    np.testing.assert_array_equal(spread.get_array(), found["spread"])
    np.testing.assert_array_equal(gradient.get_array(), found["gradient"])
    assert sheet.norm.vmin == -sheet.norm.vmax
    bars = [ax.get_xticks().tolist() for ax in drawn.axes if len(ax.get_xticks())]
    assert [sheet.norm.vmin, 0, sheet.norm.vmax] in bars


def test_the_numbers_come_back_and_draw_the_same_bytes(session, tmp_path):
    found = data(session, layer=2)
    files = maps_figure.bundle(found, ERROR)
    (tmp_path / "data.nc").write_bytes(files["data.nc"])
    again = figures.load(tmp_path / "data.nc")
    xr.testing.assert_identical(again, found)
    assert maps_figure.bundle(again, ERROR) == files
    with zipfile.ZipFile(io.BytesIO(maps_figure.bytes_of(found, ERROR))) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == files
    assert tomllib.loads(files["recipe.toml"].decode())["network"]["name"] == "VGG"
    for name in (ERROR, "spread", "gradient"):
        assert found[name].attrs["formula"] in files["README.txt"].decode()
    assert files["figure.pdf"].startswith(b"%PDF") and b"/Type3" not in files["figure.pdf"]


@pytest.mark.parametrize(("layer", "reads"), [(5, BELOW), (4, BELOW), (3, "image")])
def test_every_layer_can_be_drawn(session, layer, reads):
    found = data(session, layer=layer, reads=reads)
    for shows in SHOWN:
        if shows in found:
            assert pictures(maps_figure.figure(found, shows))
    assert ("spread" in found) == (layer < 5)


def test_a_dense_network_has_units_and_no_map_of_places():
    session = opened()
    found = data(session, layer=3, reads=BELOW)
    assert len(pictures(maps_figure.figure(found, PREDICTION))) >= 3
    assert "spread" not in found and found.sizes["channel"] == 8


def test_what_cannot_be_drawn_is_refused_in_one_line(session):
    found = data(session, layer=5)
    with pytest.raises(BadInput, match=r"^shows: force; layer 5 is clamped"):
        maps_figure.figure(found, FORCE)
    with pytest.raises(BadInput, match=r"^shows: eror; .*error"):
        maps_figure.figure(found, "eror")


def test_a_step_of_any_relaxation_can_be_looked_at():
    images = CONVOLUTIONS.dataset()
    network = CONVOLUTIONS.build(images.shape, images.classes)
    training = Training(CONVOLUTIONS, images, network)
    relaxation = training.relaxation(training.batches.batch(0), train=False)
    for step in relaxation:
        maps = maps_of(step, network, Wanted(layer=2, sample=3), pixels=images.shape)
        np.testing.assert_array_equal(maps.values[STATE], step.states[2][3].detach())
    found = maps_figure.dataset(maps)
    assert (found.attrs["t"], json.loads(found.attrs["unit"])) == (5, [0, 1, 1])
    assert pictures(maps_figure.figure(found, ERROR))
