"""Every unit has one cell, scales are round and hold what was seen, images keep their colours."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.maps_draw import A_LINE, MOST_CELLS, Scale, Tiles, fading, round_up
from workbench.pictures import pixels

ROOM = (380.0, 272.0)


@given(st.tuples(*[st.integers(1, 9)] * 3))
def test_every_unit_lies_in_one_cell_and_is_found_there(shape):
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    tiles = Tiles.of(shape, ROOM)
    sheet = tiles.sheet(values)
    assert sheet.shape == (tiles.height, tiles.width)
    assert sorted(sheet[~np.isnan(sheet)]) == sorted(values.ravel())
    for unit in np.ndindex(shape):
        x, y = tiles.corner(unit)
        assert sheet[y, x] == values[unit]
        assert tiles.unit_at(x + 0.5, y + 0.5) == unit


@given(st.integers(1, 200), st.integers(2, 40), st.integers(2, 40))
def test_no_other_grid_makes_larger_tiles(channels, rows, columns):
    def side(across):
        down = -(-channels // across)
        return min(ROOM[0] / (across * columns), ROOM[1] / (down * rows))

    tiles = Tiles.of((channels, rows, columns), ROOM)
    if tiles.channels == channels:
        assert side(tiles.across) == max(map(side, range(1, channels + 1)))


def test_outside_the_tiles_there_is_no_unit():
    tiles = Tiles(channels=3, rows=2, columns=2, across=2)
    beside = [(-0.1, 1), (4.1, 1), (1, 4.1), (3, 3)]  # the last is in the empty fourth tile
    assert [tiles.unit_at(x, y) for x, y in beside] == [None] * 4
    assert tiles.unit_at(1, 3) == (2, 1, 1)


def test_units_without_places_stand_in_lines():
    tiles = Tiles.of((100, 1, 1), ROOM)
    assert (tiles.across, tiles.down) == (A_LINE, 4)
    assert Tiles.of((10, 1, 1), ROOM).down == 1


def test_of_large_maps_as_many_channels_are_drawn_as_are_carried_lightly():
    tiles = Tiles.of((64, 200, 200), ROOM)
    assert tiles.channels == MOST_CELLS // 40_000
    assert Tiles.of((3, 2000, 2000), ROOM).channels == 1
    assert tiles.corner((63, 0, 0)) is None


@given(st.floats(1e-30, 1e30))
def test_limits_are_round_and_near(value):
    limit = round_up(value)
    assert value <= limit <= 2.5000001 * value
    assert f"{limit:e}"[0] in "125" and float(f"{limit:.0e}") == limit


def test_a_scale_holds_what_was_seen_until_something_else_is_drawn():
    scale = Scale()
    assert scale.limit("h", np.array([0.3, -0.7])) == 1.0
    assert scale.limit("h", np.array([0.01])) == 1.0
    assert scale.limit("h", np.array([-30.0])) == 50.0
    assert scale.limit("h", np.array([0.01]), anew=True) == 0.01
    assert scale.limit("e", np.array([0.3, np.nan])) == 0.5
    assert scale.limit("f", np.zeros(3)) == 1.0


def test_what_lies_over_an_image_begins_transparent():
    colours = fading("viridis", 5)
    assert [len(one) for one in colours] == [9] * 5
    alphas = [int(one[7:], 16) for one in colours]
    assert alphas[0] == 0 and alphas == sorted(alphas) and alphas[-1] < 255


def rgba(packed):
    return packed.view(np.uint8).reshape(*packed.shape, 4)


def test_an_image_of_three_channels_has_colours_and_others_are_grey():
    image = np.zeros((3, 1, 2))
    image[0, 0, 0], image[2, 0, 1] = 1.0, 2.0
    found = rgba(pixels(image, 0.0, 2.0))
    assert found[0, 0].tolist() == [128, 0, 0, 255] and found[0, 1].tolist() == [0, 0, 255, 255]
    grey = rgba(pixels(np.array([[[-1.0, 0.0, 3.0]]]), -1.0, 1.0))
    assert grey[0, :, 0].tolist() == [0, 128, 255]
    assert (grey[..., 0] == grey[..., 2]).all()
    apart = rgba(pixels(np.ones((3, 1, 1)), np.array([0, 1, -1]), np.array([2, 2, 1])))
    assert apart[0, 0].tolist() == [128, 0, 255, 255], "each channel by its own black and white"
    lost = rgba(pixels(np.array([[[np.nan, 1.0]]]), 0.0, 1.0))
    assert lost[0, :, 3].tolist() == [0, 255], "what is no number is not drawn"


@pytest.mark.parametrize("missing", [np.nan, np.inf])
def test_values_that_are_no_numbers_do_not_stretch_a_scale(missing):
    assert Scale().limit("h", np.array([missing, 0.2])) == 0.2
