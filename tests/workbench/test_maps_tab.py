"""The tab shows what was looked at: its menus, its pictures, the unit that is tapped."""

import tomllib
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from sessions import SMALL, do, opened, settle

from core import make
from workbench.look import palette
from workbench.maps import ERROR, FORCE, PREDICTION, STATE
from workbench.maps_field import BELOW
from workbench.maps_histogram import Histogram
from workbench.maps_tab import MapsTab
from workbench.sight import Sight

CONVOLUTIONS = SMALL.changed(network=make("network", "VGG", {"width": 1 / 64, "pools": 2}))


class Opened:
    """A tab on a session in this thread."""

    def __init__(self, experiment, steps=4):
        self.session = opened(experiment)
        do(self.session, "step", steps)
        self.sight = Sight()
        page = SimpleNamespace(session=self.session, look=palette("light"), sight=self.sight)
        self.tab = MapsTab(page, "")
        self.beat()

    def beat(self, count=3):
        for _ in range(count):
            self.tab.follow()
            settle(self.session)

    def choose(self, **values):
        for name, value in values.items():
            getattr(self.tab, f"_{name}").value = value
            self.beat()

    def tap(self, figure, x, y):
        [called] = figure._event_callbacks["tap"]
        called(SimpleNamespace(x=x, y=y))
        self.beat()

    @property
    def plots(self):
        return self.tab._plots

    @property
    def newest(self):
        return self.tab._surveyor.newest

    @property
    def sheet(self):
        """The picture of the channels, first row on top."""
        return np.flipud(self.plots._sheet.data["image"][0])


@pytest.fixture
def maps():
    return Opened(CONVOLUTIONS)


def test_the_menu_has_the_layers_of_the_network_and_follows_it(maps):
    assert list(maps.tab._layer.options)[::4] == ["1: 2 × 4 × 4", "5: 10 units"]
    assert maps.tab._sample.end == 9
    maps.choose(layer=5)
    do(maps.session, "change", network=make("network", "MLP", {"hidden": (8,)}))
    maps.beat()
    assert list(maps.tab._layer.options) == ["1: 8 units", "2: 10 units"]
    assert maps.tab._layer.value == 2


@pytest.mark.parametrize("shows", [STATE, PREDICTION, ERROR, FORCE])
def test_each_channel_is_a_tile_of_one_scale(maps, shows):
    maps.choose(layer=3, what=shows)
    values = maps.newest.values[shows]
    tiles = maps.plots._tiles
    assert values.shape == (8, 2, 2) and values.any()
    for unit in np.ndindex(values.shape):
        x, y = tiles.corner(unit)
        assert maps.sheet[y, x] == values[unit]
    low, high = maps.plots._mapper.low, maps.plots._mapper.high
    assert low == -high and high >= np.abs(values).max()


def test_a_tapped_unit_is_the_one_whose_numbers_are_said(maps):
    maps.choose(layer=3)
    values = maps.newest.values[STATE]
    tiles = maps.plots._tiles
    x, y = tiles.corner((6, 1, 0))
    maps.tap(maps.plots.channels, x + 0.5, tiles.height - y - 0.5)
    said = maps.tab._numbers.object
    assert "layer 3, channel 6, row 1, column 0" in said and f"{values[6, 1, 0]:.3g}" in said
    chosen = maps.plots._chosen.data
    assert (chosen["left"], chosen["top"]) == ([x], [tiles.height - y])


def test_a_tapped_place_is_another_place_of_the_same_channel(maps):
    maps.choose(layer=1)
    maps.tap(maps.plots.spread, 7.9, 0.1)  # the right lower corner of an image of 8 x 8
    assert maps.newest.unit == (0, 3, 3)
    frame = maps.plots._spread["frame"].data
    assert (frame["left"], frame["right"], frame["bottom"], frame["top"]) == ([6], [8], [0], [2])


def test_another_layer_begins_with_the_unit_in_its_middle(maps):
    maps.choose(layer=3)
    maps.tap(maps.plots.channels, 0.5, 0.5)
    assert maps.newest.unit != (0, 1, 1)
    maps.choose(layer=4)
    assert maps.newest.unit == (0, 1, 1)


def test_what_is_shown_leaves_as_a_figure_with_the_recipe_of_its_row(maps):
    do(maps.session, "change", dynamics=make("dynamics", "GradientDescent", {"rate": 0.05}))
    do(maps.session, "step", 2)
    do(maps.session, "seek", 2)
    maps.choose(layer=2, what=ERROR)
    with zipfile.ZipFile(maps.tab._zip()) as archive:
        recipe = tomllib.loads(archive.read("recipe.toml").decode())
        assert {"figure.pdf", "figure.svg", "figure.png", "data.nc"} <= set(archive.namelist())
    assert recipe["dynamics"]["rate"] == 0.1
    assert not maps.tab._figure.disabled
    maps.choose(layer=5, what=FORCE)
    assert maps.tab._figure.disabled


def test_a_tap_beside_the_tiles_does_nothing(maps):
    before = maps.newest.unit
    for x, y in [(-1, 1), (1e3, 1), (None, None)]:
        maps.tap(maps.plots.channels, x, y)
        maps.tap(maps.plots.spread, x, y)
    assert maps.newest.unit == before


def test_the_frame_of_what_a_unit_reads_lies_over_the_image(maps):
    maps.choose(layer=2)
    maps.tap(maps.plots.channels, 0.5, maps.plots._tiles.height - 0.5)
    # rows [0, 2) behind the pool, [-1, 3) of h1, [0, 6) before its pool, [-1, 7) of the image
    frame = maps.plots._field["frame"].data
    assert (frame["left"], frame["right"], frame["bottom"], frame["top"]) == ([0], [7], [1], [8])
    maps.choose(reads=BELOW)
    frame = maps.plots._field["frame"].data  # [0, 3) of 4 rows, twice as large over the image
    assert (frame["left"], frame["right"], frame["bottom"], frame["top"]) == ([0], [6], [2], [8])
    assert "reads state 1, 3 × 3 of 4 × 4" in maps.plots.field.title.text


def test_a_scale_is_kept_until_it_is_fitted(maps):
    maps.choose(layer=4, what=ERROR)
    do(maps.session, "step", 10)
    maps.beat()
    late = maps.plots._mapper.high
    do(maps.session, "seek", 1)
    maps.beat()
    assert maps.plots._mapper.high == late > 2.5 * np.abs(maps.newest.values[ERROR]).max()
    maps.tab._fit(None)
    maps.beat()
    assert maps.plots._mapper.high < late


def test_without_places_units_stand_in_a_line_and_there_is_no_map():
    maps = Opened(SMALL)
    assert maps.sheet.shape == (1, 8)
    assert "8 units, no places" in maps.plots.channels.title.text
    assert not maps.plots._spread["over"].data["image"]
    assert "has no places" in maps.plots.spread.title.text
    assert maps.plots._field["over"].data["image"][0].shape == (8, 8)  # over the image of 8 x 8
    maps.choose(layer=2, reads=BELOW)
    assert "8 units without places" in maps.plots.field.title.text


def test_a_clamped_layer_shows_no_force(maps):
    maps.choose(layer=5, what=FORCE)
    assert "clamped" in maps.plots.channels.title.text and "clamped" in maps.tab._numbers.object
    assert not maps.plots._sheet.data["image"]
    maps.choose(what=STATE)
    assert maps.sheet.shape == (1, 10)


def test_a_decoder_says_that_its_image_is_not_read():
    decoder = SMALL.changed(
        network=make("network", "Decoder", {"latent": 4, "hidden": (6,)}),
        task=make("task", "Reconstruct"),
        init=make("init", "Normal"),
    )
    maps = Opened(decoder)
    assert "predicted by the layers" in maps.tab._read.object
    assert maps.plots.field.title.text == "nothing to differentiate by"


def test_layers_are_called_by_their_names():
    maps = Opened(SMALL.changed(network=make("network", "ResNet", {"width": 1 / 64})))
    named = {name.partition(":")[0]: k for name, k in maps.tab._layer.options.items()}
    network = maps.session.lane.training.network
    assert list(named) == [network.nodes[i].name for i in network.layers]
    maps.choose(layer=named["4s"], reads=BELOW)
    assert "layer 4s, channel" in maps.tab._numbers.object
    assert "reads state 3," in maps.plots.field.title.text


def test_the_same_figures_are_kept(maps):
    plots = [maps.plots.channels, maps.plots.spread, maps.plots.field]
    renderers = [list(plot.renderers) for plot in plots]
    for layer in (2, 5, 1):
        maps.choose(layer=layer)
    do(maps.session, "change", network=make("network", "MLP", {"hidden": (8,)}))
    maps.beat()
    assert [maps.plots.channels, maps.plots.spread, maps.plots.field] == plots
    assert [list(plot.renderers) for plot in plots] == renderers


def test_what_goes_wrong_is_said(maps):
    maps.tab._surveyor.trouble = "no <b> of this"
    maps.tab.follow()
    assert 'class="refused">no &lt;b&gt; of this' in maps.tab._numbers.object


def test_the_histogram_counts_every_unit_of_what_is_shown(maps):
    for shown in (STATE, PREDICTION, ERROR):
        maps.choose(what=shown)
        values = maps.newest.values[shown].ravel()
        bars = maps.tab._histogram.bars.data
        assert sum(bars["top"]) == len(values)
        assert bars["left"][0] <= values.min() and bars["right"][-1] >= values.max()
        inside = (values >= bars["left"][7]) & (values < bars["right"][7])
        assert bars["top"][7] == inside.sum()
        told = maps.tab._histogram._title.text
        assert f"{len(values)} units, mean {values.mean():.3g}, sd {values.std():.3g}" in told


def test_the_range_of_the_histogram_grows_and_is_fitted_when_asked():
    shown = Histogram(palette("light"))
    x = shown._x
    shown.draw([-1.0, 2.0], "state")
    shown.draw([0.0, 3.0], "state")
    assert (x.start, x.end) == (-1.0, 3.0)
    shown.draw([0.0, 1.0], "state", anew=True)
    assert (x.start, x.end) == (0.0, 1.0)
    shown.draw([5.0, 6.0], "error")
    assert (x.start, x.end) == (5.0, 6.0), "another quantity begins anew"
    shown.draw([2.0, 2.0], "force")
    assert (x.start, x.end) == (1.5, 2.5) and sum(shown.bars.data["top"]) == 2
    shown.draw([], "nothing")
    assert sum(shown.bars.data["top"]) == 0 and shown._title.text == "nothing: 0 units"
