"""Does what is read where it is looked at equal what was stored?"""

import weakref

import numpy as np
import pytest
import xarray as xr

from core.runs import lazy
from core.runs.rows import Rows, Stretch
from core.runs.source import Part

STORED = np.random.default_rng(0).standard_normal((57, 5, 3)).astype(np.float32)

KEYS = [
    {},
    {"step": 3},
    {"step": -1, "layer": 2},
    {"step": slice(10, 40, 7)},
    {"step": slice(None, None, -1), "layer": slice(1, 4)},
    {"step": slice(20, 20)},
    {"step": slice(20, 20), "layer": 1},
    {"layer": 4},
    {"layer": slice(None, None, 2), "sample": 1},
    {"step": [5, 4, 50, 5], "layer": [3, 0]},
    {"sample": [2, 0]},
]


def variable(read):
    held = lazy.as_variable(read, STORED.shape, STORED.dtype)
    return xr.DataArray(xr.Variable(("step", "layer", "sample"), held))


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("slab", [1, 8, 100])
@pytest.mark.parametrize("key", KEYS, ids=str)
def test_a_key_gives_what_numpy_gives_of_the_whole(key, slab, monkeypatch):
    monkeypatch.setattr(lazy, "SLAB", slab)
    found = variable(lambda at: STORED[at]).isel(key)
    whole = xr.DataArray(STORED, dims=("step", "layer", "sample")).isel(key)
    xr.testing.assert_identical(found.load(), whole)


def test_one_layer_of_all_rows_holds_the_other_layers_of_few_rows_at_a_time(monkeypatch):
    monkeypatch.setattr(lazy, "SLAB", 8)
    slabs = []

    def read(at):
        assert len(at) <= 8
        assert sum(one() is not None for one in slabs) <= 1, "a view keeps what was read"
        found = STORED[at]
        slabs.append(weakref.ref(found))
        return found

    assert variable(read).isel(layer=1, sample=0).shape == (57,)
    assert variable(read).isel(layer=1, sample=0).values.shape == (57,)
    assert len(slabs) == 8


def rows(*lengths, cut=1):
    """Rows of parts of these lengths, of which the first and last do not count."""
    held, first = [], 0
    for number, length in enumerate(lengths):
        specs = {"x": {"dtype": "<f4", "shape": [length, *STORED.shape[1:]], "crc": 0}}
        index = {"step": np.arange(first, first + length)}
        part = Part(number, "rows", 0, first, first + length - 1, index, specs, {})
        held.append(Stretch(part, cut, length - cut))
        first += length
    return Rows(held, lambda part, name: STORED[part.first : part.last + 1])


@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled", "repeated", "none"])
def test_positions_in_any_order_give_their_rows(order):
    made = rows(9, 3, 20, 25)
    kept = np.concatenate([one.numbers("step") for one in made.held])
    at = np.arange(made.count)
    at = {
        "ascending": at,
        "descending": at[::-1],
        "shuffled": np.random.default_rng(1).permutation(at),
        "repeated": np.repeat(at, 3)[::2],
        "none": at[:0],
    }[order]
    np.testing.assert_array_equal(made.take("x", at), STORED[kept[at]])
