"""What the Compare page computes of runs that were recorded: against what these runs hold."""

import html

import numpy as np
import pytest
from recordings import SMALL, record
from sessions import SMALL as LIVE
from sessions import do, opened

from core import make
from core.layout import Layout
from core.recorder import Chunk
from core.runs import Run, Writer
from workbench import compare_words as words
from workbench import comparing as c
from workbench.compare_axes import batch_ends
from workbench.compare_choices import Choices, read
from workbench.compare_lanes import SessionLane
from workbench.compare_lanes import opened as lane_named
from workbench.compare_rows import MOST_ROWS, Thinning, drawn, thinning
from workbench.compare_scene import SAMPLES, SEEDS, profile, raster
from workbench.compare_work import Lanes, make_again, work

SLOW = make("dynamics", "GradientDescent", {"rate": 0.03})


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder of runs: a plain training, others that differ in one thing each, and own code."""
    root = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RELAXOSCOPE_RUNS", str(root))
        record(root / "plain", states=True)
        record(root / "slow", SMALL.changed(dynamics=SLOW), states=True)
        record(root / "seed-1", SMALL.changed(seed=1))
        record(root / "seed-2", SMALL.changed(seed=2))
        hidden = {"hidden": (12,) * 7}
        record(root / "deep", SMALL.changed(network=make("network", "MLP", hidden)))
        own_code(root / "own-code", 18)
        yield root


def layout(L):
    return Layout(
        layers=tuple(range(1, L + 1)),
        names=tuple(f"h{k}" for k in range(L + 1)),
        depths=tuple(range(1, L + 1)),
        sizes=(0,) * (L + 1),
        quadratic=(True,) * L,
        eps=1e-7,
    )


def own_code(path, rows, *, T=None, L=4, close=True, seed=0):
    """A run that has logged energies and nothing else."""
    T = rows - 1 if T is None else T
    step = np.arange(rows)
    energy = np.random.default_rng(seed).uniform(0.1, 1, size=(rows, L)).astype(np.float32)
    writer = Writer(path)
    writer.lane(layout(L))
    writer.append(0, Chunk(own_rows(step, T, energy)))
    if close:
        writer.close()
    return writer


def own_rows(step, T, energy):
    return {
        "step": step,
        "batch": step // (T + 1),
        "t": step % (T + 1),
        "phase": np.full(len(step), "relax"),
        "recipe_id": np.zeros(len(step), int),
        "T": np.full(len(step), T),
        "energy": energy,
    }


def shown(*names, **choices):
    return work(Lanes(), Choices(run=names).changed(**choices))


def stored(root, name):
    return Run(root / name).dataset()


# What is drawn is what the runs hold


def test_curves_and_maps_are_the_stored_energies(runs):
    found = shown("plain", "own-code", curve="E")
    for line, name in zip(found.curve[0], ("plain", "own-code"), strict=True):
        energy = stored(runs, name)["energy"].values.astype(float)
        np.testing.assert_allclose(10**line.y, energy.sum(1))
    np.testing.assert_allclose(10 ** found.maps[1].values.T, energy, rtol=1e-6)


def test_own_code_without_precisions_has_no_total_and_says_so(runs):
    found = shown("plain", "own-code")
    assert [one.lane for one in found.curve[0]] == [0]
    assert found.curve[1] == {1: "not logged: precision"}
    text = words.lanes(found, None, "light")
    assert text.count("not logged") == 2  # F and residual of own code


def test_all_maps_share_the_limits_of_the_smallest_and_largest_energy(runs):
    found = shown("plain", "own-code")
    held = np.concatenate([one.values[np.isfinite(one.values)] for one in found.maps])
    assert found.limits == (held.min(), held.max())


def test_seeds_as_one_are_the_mean_of_their_logarithms(runs):
    found = shown("plain", "seed-1", "seed-2", "slow", several=SEEDS, curve="E")
    group, alone = found.curve[0]
    names = ("plain", "seed-1", "seed-2")
    logs = [np.log10(stored(runs, n)["energy"].values.astype(float).sum(1)) for n in names]
    np.testing.assert_allclose(group.y, np.mean(logs, axis=0))
    np.testing.assert_allclose(group.high - group.y, np.std(logs, axis=0, ddof=1), atol=1e-12)
    assert group.label == "ABC: mean ± sd of log₁₀, n = 3 seeds"
    assert alone.label == "D"


def test_samples_as_one_have_the_median_of_their_logarithms(runs):
    found = shown("plain", several=SAMPLES, band=c.MEDIAN, curve="E")
    each = stored(runs, "plain")["energy_sample"].values.astype(float).sum(1)  # (rows, samples)
    np.testing.assert_allclose(found.curve[0][0].y, np.median(np.log10(each), axis=1))
    assert found.curve[0][0].label == "A: median, quartiles of log₁₀, n = 10 samples"


# A against B


def test_states_part_by_the_difference_of_the_rates_times_the_force(runs):
    found = shown("plain", "slow", distance="RMS").apart
    assert not isinstance(found, str), found
    assert (found.found.values[0] == 0).all()  # the same first states
    force = stored(runs, "plain")["force"].values[0]  # h_1 = h_0 - rate dF/dh
    np.testing.assert_allclose(found.found.values[1], 0.07 * force, rtol=2e-5, atol=1e-9)


def test_the_parting_is_the_first_row_at_which_any_ratio_is_large(runs):
    found = shown("plain", "slow", part=0.4)
    a, b = (stored(runs, name) for name in ("plain", "slow"))
    both = ~(a["rounding"].values | b["rounding"].values)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.abs(np.log10(a["energy"].values.astype(float) / b["energy"].values))
    beyond = np.flatnonzero((both & (ratio > 0.4)).any(1))
    assert found.pair.parting.step == beyond[0]
    assert f"first at step {beyond[0]}," in words.parting(found)


def test_networks_of_other_depth_keep_their_curves_and_a_share_of_depth(runs):
    found = shown("plain", "deep")
    assert isinstance(found.pair, str) and "4 in A, 8 in B" in found.pair
    assert len(found.curve[0]) == len(found.other[0]) == 2
    shares = [profile(one, "energy", 3)[1] for one in found.lanes]
    np.testing.assert_allclose(shares[0], [0.25, 0.5, 0.75, 1.0])
    assert shares[1][-1] == 1.0 and len(shares[1]) == 8


def test_what_has_no_states_and_no_event_log_has_no_distance_and_a_reason(runs):
    found = shown("plain", "deep")
    assert isinstance(found.apart, str)
    assert found.apart.startswith("B: full states were not recorded")
    assert "no event log to replay" in found.apart


def test_a_run_that_is_not_there_is_refused_beside_those_that_are(runs):
    found = shown("plain", "plian", "plain:7")
    assert [one.lane.key for one in found.lanes] == ["plain"]
    assert "plain" in found.refused["plian"]
    assert "lane: 7" in found.refused["plain:7"]
    assert isinstance(found.pair, str)


def test_text_of_runs_is_escaped(runs):
    evil = '<img src=x onerror="alert(1)">'
    own_code(runs / "evil", 3).close()
    from core.runs import annotate

    annotate(runs / "evil", title=evil)
    text = words.lanes(shown("evil"), None, "light")
    assert html.escape(evil) in text and "<img" not in text


# Long lanes


def test_a_long_training_is_drawn_by_the_last_rows_of_batches(tmp_path, monkeypatch):
    monkeypatch.setenv("RELAXOSCOPE_RUNS", str(tmp_path))
    for seed, name in enumerate(("one", "other")):
        own_code(tmp_path / name, 40_000, T=9, seed=seed)
    found = shown("one", "other", curve="E")
    a, b = found.lanes
    assert len(a.x) <= MOST_ROWS + 1
    assert (a.number % 10 == 9).all()
    np.testing.assert_array_equal(a.number, b.number)
    assert "the last row of every 5th batch" in found.rule.sentence(40_000)
    energy = stored(tmp_path, "one")["energy"].values.astype(float)
    np.testing.assert_allclose(10 ** found.curve[0][0].y, energy[a.number].sum(1))
    near = shown("one", "other", zoom=(1000.0, 1200.0))
    assert near.rule == Thinning()
    assert near.lanes[0].number.tolist() == list(range(900, 1301))
    assert near.span == (0.0, 39_999.0)


def test_one_long_batch_is_drawn_by_every_so_many_steps(tmp_path, monkeypatch):
    monkeypatch.setenv("RELAXOSCOPE_RUNS", str(tmp_path))
    own_code(tmp_path / "one", 5000)
    lanes, rule = drawn([lane_named("one")], "steps", ["energy"])
    assert rule == Thinning("step", 5)
    assert lanes[0].number.tolist() == [*range(0, 5000, 5), 4999]


def test_a_batch_that_goes_on_is_no_end_of_a_batch(tmp_path, monkeypatch):
    monkeypatch.setenv("RELAXOSCOPE_RUNS", str(tmp_path))
    own_code(tmp_path / "one", 14, T=4)
    rows = lane_named("one").trace()
    assert np.flatnonzero(batch_ends(rows)).tolist() == [4, 9]  # rows 10..13 are t = 0..3
    assert thinning([rows]) == Thinning()


def test_every_column_of_a_map_is_the_row_that_lies_there():
    even = raster(np.array([0.0, 2.0, 4.0, 8.0]), 3)
    assert even.row.tolist() == [0, 1, 2, -1, 3]  # a row is missing at 6
    assert even.bounds == (-1.0, 0.5, 9.0, 3.5)
    x = np.array([0.0, 0.1, 7.0, 10.0])
    odd = raster(x, 3)
    ends = np.linspace(0, 10, len(odd.row) + 1)[1:]
    assert all(x[row] <= end for row, end in zip(odd.row, ends, strict=True))
    assert odd.row[-1] == 3 and odd.row[len(odd.row) // 2] == 1


# Lanes that are alive


def test_a_run_that_is_written_grows_in_sight(tmp_path, monkeypatch):
    monkeypatch.setenv("RELAXOSCOPE_RUNS", str(tmp_path))
    writer = own_code(tmp_path / "live", 5, T=99, close=False)
    lanes = Lanes()
    first = work(lanes, Choices(run=("live",), curve="E"))
    assert first.lanes[0].lane.state == "live"
    assert not lanes.refresh()
    more = np.full((3, 4), 0.5, np.float32)
    writer.append(0, Chunk(own_rows(np.arange(5, 8), 99, more)))
    assert lanes.refresh()
    again = work(lanes, Choices(run=("live",), curve="E"))
    assert again.lanes[0].rows == 8
    np.testing.assert_allclose(10 ** again.curve[0][0].y[5:], 2.0)
    writer.close()


def test_states_of_a_session_are_made_again_and_part_by_rate_times_force():
    sessions = [opened(LIVE), opened(LIVE.changed(dynamics=SLOW))]
    for session in sessions:
        do(session, "step", 3)
    lanes = Lanes()
    lanes._held = {
        f"~{k}": SessionLane(session, session.lane.id, f"~{k}")
        for k, session in enumerate(sessions)
    }
    choices = Choices(run=("~0", "~1"))
    before = work(lanes, choices)
    assert before.apart == "A: full states were not recorded"
    found = work(lanes, choices, make_again(before)).apart
    assert not isinstance(found, str), found
    force = sessions[0].lane.trace.dataset()["force"].values[0]
    assert (found.found.values[0] == 0).all()
    np.testing.assert_allclose(found.found.values[1], 0.07 * force, rtol=2e-5, atol=1e-9)


# The address


def test_choices_come_back_from_the_address():
    choices = Choices(
        run=("a", "~b_:2"), x="SMM", map="error", curve="E", other="residual", several=SEEDS,
        band=c.MEDIAN, distance="relative", part=0.05, at=12.0, zoom=(3.0, 17.5),
    )  # fmt: skip
    asked: dict[str, list[str]] = {}
    for name, value in choices.query():
        asked.setdefault(name, []).append(value)
    assert read(asked) == (choices, [])
    assert read({}) == (Choices(), [])


@pytest.mark.parametrize(
    "name, text, legal",
    [
        ("x", "stepz", "steps"),
        ("map", "enrgy", "energy"),
        ("part", "-1", "from 0 on"),
        ("part", "x", "a number"),
        ("at", "inf", "finite"),
        ("zoom", "5,2", "smaller one first"),
    ],
)
def test_what_the_address_cannot_mean_is_refused_in_one_line(name, text, legal):
    choices, refused = read({name: [text]})
    assert choices == Choices()
    assert len(refused) == 1
    assert refused[0].startswith(f"{name}: ") and text in refused[0] and legal in refused[0]
