"""Several relaxations as one: each comes back bit for bit, and bands are what statistics say."""

import statistics

import numpy as np
import pytest
import xarray as xr
from test_measures import lane
from test_views import full_lane

from core import Experiment, relax
from core.datasets.small_digits import SmallDigits
from core.networks.mlp import MLP
from workbench import figures, many, pooled
from workbench.plate import Plate
from workbench.views import bands, views


def short_lane(rows, **attrs):
    return full_lane().isel(step=slice(0, rows)).assign_attrs(**attrs)


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("n", [2, 3, 4, 7])
def test_centre_and_band_are_those_of_the_statistics_module(n):
    values = np.random.default_rng(n).lognormal(size=(n, 5, 3))
    for at in np.ndindex(5, 3):
        column = values[:, *at].tolist()
        mean, wide = statistics.mean(column), statistics.stdev(column)
        found = [one[at] for one in pooled.band(values, "mean")]
        np.testing.assert_allclose(found, [mean, mean - wide, mean + wide], rtol=1e-12)
        low, middle, high = statistics.quantiles(column, n=4, method="inclusive")
        found = [one[at] for one in pooled.band(values, "median")]
        np.testing.assert_allclose(found, [middle, low, high], rtol=1e-12)


def test_where_half_or_fewer_have_a_value_nothing_is_drawn():
    values = np.array([[1.0, 1.0, np.nan], [2.0, np.nan, np.nan], [4.5, np.inf, 1.0]])
    for spread in ("mean", "median"):
        for one in pooled.band(values, spread):
            assert np.isfinite(one).tolist() == [True, False, False]
    assert pooled.band(np.array([[1.0], [3.0], [np.nan]]), "mean")[0] == [2.0]


@pytest.mark.parametrize("rows", [[9, 9, 9, 9], [9, 5, 7, 1]])
def test_each_relaxation_comes_back_bit_for_bit(rows, tmp_path):
    traces = []
    for k, n in enumerate(rows):
        one = short_lane(n, diverged=f"at step {n}" if n < 9 else "", number=k)
        one["energy"] = one["energy"] * (1 + k)
        traces.append(one.assign_coords(batch=("step", np.full(n, k % 2))))
    whole = many.combine({"seed": [3, 5], "batch": [0, 1]}, traces)
    assert whole["energy"].dims == ("seed", "batch", "step", "layer")
    (tmp_path / "data.nc").write_bytes(figures.netcdf(whole))
    for held in (whole, figures.load(tmp_path / "data.nc")):
        for (where, one), given in zip(many.parts(held), traces, strict=True):
            xr.testing.assert_identical(one, given)
            xr.testing.assert_identical(many.part(held, **where), given)
            assert [one[v].dtype for v in one] == [given[v].dtype for v in one]
    assert many.said(whole, "diverged")[:1] == (
        [] if rows[1] == 9 else ["seed 3, batch 1: at step 5"]
    )


def test_what_is_not_of_one_kind_is_not_combined():
    one = full_lane()
    cases = {
        r"^layer: 4 and 5; the same number": one.isel(layer=slice(0, 4)),
        r"^traces: alignment; in all of them or in none": one.drop_vars("alignment"),
        r"^layer_name: differs": one.assign_coords(layer_name=("layer", list("abcde"))),
        r"^step: other rows": one.isel(step=slice(2, None)),
    }
    for said, other in cases.items():
        with pytest.raises(ValueError, match=said):
            many.combine({"run": ["a", "b"]}, [one, other])
    with pytest.raises(ValueError, match=r"^traces: 1; as many as 2"):
        many.combine({"run": ["a", "b"]}, [one])
    whole = many.combine({"run": ["a", "b"]}, [one, one])
    with pytest.raises(ValueError, match=r"^run: c; one of a, b"):
        many.part(whole, run="c")


def falls(start):
    """One layer whose energy halves at each of four steps."""
    return lane([[start / 2**t] for t in range(4)])


@pytest.mark.oracle("closed form")
def test_seeds_are_pooled_over_the_means_of_their_batches():
    # F = E. The batches of seed k begin with k and 3 k: mean 2 k, so that the seeds have 2, 4, 6.
    starts = [(k, 3 * k) for k in (1.0, 2.0, 3.0)]
    traces = [
        falls(one).assign_coords(batch=("step", [b] * 4))
        for pair in starts
        for b, one in enumerate(pair)
    ]
    whole = many.combine({"seed": [0, 1, 2], "batch": [0, 1]}, traces)
    halves = 0.5 ** np.arange(4)
    pool, found = bands.measured(views()["total"], whole, Plate(("total",), over=("seed",)))
    np.testing.assert_allclose(found["F"], 4 * halves)
    np.testing.assert_allclose(found["F_low"], 2 * halves)  # s.d. of 2, 4, 6 is 2
    np.testing.assert_allclose(found["F_high"], 6 * halves)
    assert pool.n == 3 and found["F_n"].values.tolist() == [3] * 4
    assert pool.short == "mean ± s.d., $n=3$ seeds"
    assert "n = 3 seeds (0..2), each the mean over its batches 0, 1." in pool.words
    both = Plate(("total",), over=("batch", "seed"), spread="median")
    pool, found = bands.measured(views()["total"], whole, both)
    np.testing.assert_allclose(found["F"], 3 * halves)  # of 1, 2, 3, 3, 6, 9
    np.testing.assert_allclose(found["F_low"], 2.25 * halves)
    np.testing.assert_allclose(found["F_high"], 5.25 * halves)
    assert pool.n == 6


@pytest.mark.oracle("closed form")
def test_the_mean_over_samples_is_the_energy_of_the_batch():
    network = MLP(hidden=(6, 5))
    chosen = Experiment(network=network, dataset=SmallDigits(), steps=4, batch_size=10)
    trace = relax(chosen, level="full")
    pool, found = bands.measured(
        views()["energy_time"], trace, Plate(("energy_time",), over=("sample",))
    )
    assert pool.n == 10
    output = found.sel(layer=3)
    np.testing.assert_allclose(output["energy"], trace["energy"].sel(layer=3), rtol=1e-5)
    wide = trace["energy_sample"].sel(layer=3).std("sample", ddof=1)
    np.testing.assert_allclose(output["energy_high"] - output["energy"], wide, rtol=1e-4)


def test_batches_of_a_lane_are_pooled_where_they_are_complete():
    trace = lane([[8.0], [4.0], [16.0], [8.0], [1.0]], T=1, batch=[0, 0, 1, 1, 2])
    pool, found = bands.measured(views()["total"], trace, Plate(("total",), over=("batch",)))
    assert [key["batch"] for key in pool.keys] == [0, 1]
    np.testing.assert_allclose(found["F"], [12, 6])


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ("seed", r"^over: seed; the trace has sample$"),
        ("lane", r"^over: lane; the trace has sample$"),
        ("batch", r"^over: batch; the trace has only one$"),
    ],
)
def test_what_is_not_there_is_not_pooled(over, said):
    with pytest.raises(ValueError, match=said):
        figures.bundle(Plate(("total",), over=(over,)), full_lane())


def test_several_relaxations_are_not_drawn_as_one():
    whole = many.combine({"run": ["a", "b"]}, [full_lane(), full_lane()])
    with pytest.raises(ValueError, match=r"^over: none; the trace has several relaxations, by run"):
        figures.bundle("total", whole)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"views": ()}, "views: none; one or more"),
        ({"views": ("total", "total")}, "views: total, total; one or more, each once"),
        ({"paper": "Cell"}, "paper: Cell; one of ICML"),
        ({"columns": 3}, "columns: 3; 1 or 2"),
        ({"over": ("time",)}, "over: time; one of run, lane, seed, batch, sample"),
        ({"spread": "mode"}, "spread: mode; one of mean, median"),
    ],
)
def test_a_plate_refuses_what_is_not_legal(words, said):
    with pytest.raises(ValueError, match=f"^{said}"):
        Plate(**{"views": ("total",), **words})
