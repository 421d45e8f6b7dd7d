"""Where two lanes part: rows beside each other, hand-made traces, energies in closed form."""

from types import SimpleNamespace

import numpy as np
import pytest
from sessions import SMALL, do, opened

from core import make
from core.catalogue import BadInput
from workbench.lanes_parting import Side, amount_of, beside, furthest, parting
from workbench.lanes_strips import COLUMNS, ROUNDING, UNREACHED, WINDOW, strips
from workbench.lanes_tab import sentence


def side(energy, *, batch=0, t=None, phase="relax", step=None, floor=0.0, lane=0):
    """A lane with these energies, (n, L); what is one number holds for every row."""
    energy = np.asarray(energy, float)
    energy = energy[:, None] if energy.ndim == 1 else energy
    n = len(energy)

    def each(values):
        return np.broadcast_to(np.asarray(values), (n,)).copy()

    step = np.arange(n) if step is None else np.asarray(step)
    names = tuple(str(k + 1) for k in range(energy.shape[1]))
    floor = np.broadcast_to(np.asarray(floor, float), energy.shape)
    t = step if t is None else t
    return Side(lane, step, each(batch), each(phase), each(t), energy, floor, names)


def pairs(found):
    return list(zip(found.a.step[found.at_a], found.b.step[found.at_b], strict=True))


# Which rows are beside each other ----------------------------------------------------------------


def test_rows_of_a_fork_are_those_of_its_parent_number_by_number():
    session = opened()
    do(session, "set_gear", "batch")
    do(session, "step", 20)
    do(session, "seek", 8)
    do(session, "step", 5)
    found = beside(Side.of(session.lane), Side.of(session.ghost))
    assert pairs(found) == [(row, row) for row in range(14)]
    assert not found.apart.any(), "it went on as it had"
    np.testing.assert_array_equal(found.placed(), np.arange(21))


def test_a_restarted_lane_stands_beside_the_rows_of_the_same_batch():
    session = opened()  # six rows a batch
    do(session, "set_gear", "batch")
    do(session, "step", 15)
    do(session, "restart")
    do(session, "step", 2)
    found = beside(Side.of(session.lane), Side.of(session.ghost))
    assert pairs(found) == [(0, 12), (1, 13), (2, 14)]
    np.testing.assert_array_equal(found.placed(), np.arange(16) - 12)
    back = beside(found.b, found.a)
    assert pairs(back) == [(12, 0), (13, 1), (14, 2)]


def test_another_T_moves_batches_apart_and_they_stay_beside_each_other():
    session = opened()
    do(session, "set_gear", "batch")
    do(session, "step", 13)  # 0..5, 6..11, 12, 13
    do(session, "seek", 2)
    do(session, "change", steps=3)
    do(session, "step", 7)  # 0..3, 4..7, 8, 9
    found = beside(Side.of(session.lane), Side.of(session.ghost))
    expected = [(0, 0), (1, 1), (2, 2), (3, 3), (4, 6), (5, 7), (6, 8), (7, 9), (8, 12), (9, 13)]
    assert pairs(found) == expected
    placed = found.placed()
    assert np.isnan(placed[[4, 5, 10, 11]]).all(), "these t are not in the other lane"
    assert placed[[6, 12]].tolist() == [4, 8]


def test_phases_of_one_name_and_t_belong_together():
    a = side([1, 2, 3, 4], t=[0, 1, 0, 1], phase=["free", "free", "nudged", "nudged"])
    b = side([3, 4], t=[0, 1], phase="nudged", step=[7, 8])
    assert pairs(beside(a, b)) == [(2, 7), (3, 8)]


def test_lanes_of_other_batches_have_no_common_row():
    found = beside(side([1, 2]), side([1, 2], batch=5))
    assert pairs(found) == [] and np.isnan(found.placed()).all()
    assert parting(found, 0.01) is None and furthest(found) is None
    assert "no row of the same batch" in sentence(found, None, 0.01)


def test_networks_of_other_depth_and_traces_without_energies_are_refused():
    with pytest.raises(BadInput, match="lane 0 has 1 layers, lane 3 2: "):
        beside(side([1]), side([[1, 2]], lane=3))
    trace = opened().lane.trace
    rows = {k: v for k, v in trace.tail(9).items() if k != "energy"}
    for held, line in ((rows, "energies were not logged"), ({}, "no rows yet")):
        bare = type("Bare", (), {"tail": lambda self, n, h=held: h, "__len__": lambda self: 1})()
        with pytest.raises(BadInput, match=f"^lane 4.* {line}"):
            Side.of(SimpleNamespace(id=4, trace=bare))


# Where they part ---------------------------------------------------------------------------------


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("amount", [0.001, 0.01, 0.2, 0.6])
def test_two_exponentials_part_where_the_formula_says(amount):
    """E = exp(-2 k t): 1 - E_A / E_B = 1 - exp(-2 (k_A - k_B) t) > p first at t > -ln(1-p)/2dk."""
    t = np.arange(200)
    slow, fast = 0.010, 0.013
    a, b = np.exp(-2 * fast * t), np.exp(-2 * slow * t)
    other = np.ones_like(a)
    found = beside(side(np.stack([other, a], 1)), side(np.stack([other, b], 1)))
    crossing = -np.log(1 - amount) / (2 * (fast - slow))
    first = parting(found, amount)
    assert first.row == first.other == first.t == int(np.floor(crossing)) + 1
    assert first.layer == 1
    assert first.by == pytest.approx(1 - np.exp(-2 * (fast - slow) * first.row))
    most = furthest(found)
    assert most.row == 199 and parting(found, most.by) is None


def test_the_layer_that_differs_most_is_named_and_both_row_numbers():
    a = side([[1, 1, 1], [1, 0.9, 2]], lane=3)
    b = side([[1, 1, 1], [1, 1.0, 5]], step=[40, 41], t=[0, 1], lane=1)
    first = parting(beside(a, b), 0.01)
    assert (first.row, first.other, first.layer, first.t) == (1, 41, 2, 1)
    assert first.by == pytest.approx(3 / 5) and first.energies == (2, 5)
    said = sentence(beside(a, b), first, 0.01)
    assert "more than 1 % first at <b>row 1</b>: batch 0, relax, t = 1 (row 41 of B)" in said
    assert "layer 3: E is 2 in A and 5 nat in B, 60 % apart" in said


def test_an_amount_is_exceeded_not_met():
    a, b = side([1.0, 1.0]), side([1.0, 0.75])
    assert parting(beside(a, b), 0.25) is None
    assert parting(beside(a, b), 0.2499).row == 1
    assert "never part by more than 25 % in 2 common rows; furthest at row 1" in sentence(
        beside(a, b), None, 0.25
    )


@pytest.mark.oracle("closed form")
def test_what_rounding_alone_can_make_does_not_part_lanes():
    """|h - mu| of one vector, known to within r in two lanes, differs by 2 r at most."""
    chance = np.random.default_rng(0)
    r = 1e-3
    e = chance.normal(size=(500, 4)) * np.logspace(-6, 0, 500)[:, None]
    lanes = []
    for _ in range(2):
        noise = chance.normal(size=e.shape)
        noise *= r / np.linalg.norm(noise, axis=1, keepdims=True)
        energy = np.square(e + noise).sum(1) / 2
        lanes.append(side(energy, floor=r**2 / 2))
    found = beside(*lanes)
    assert furthest(found) is None
    plain = np.abs(lanes[0].energy - lanes[1].energy) / np.maximum(*(x.energy for x in lanes))
    assert (plain > 0.01).sum() > 100, "without the floor they would"
    assert "no more than rounding in 500 common rows" in sentence(found, None, 0.01)


def test_a_layer_that_only_one_has_reached_parts_them_above_the_floors():
    floor = 1e-12
    a = side([floor / 2, 1e-9], floor=floor)
    assert parting(beside(a, side([0.0, 0.0], floor=floor)), 0.5).row == 1
    assert furthest(beside(a, side([0.0, 1e-9], floor=floor))) is None
    # in float64 a layer is reached far below what float32 can tell
    assert furthest(beside(side([1e-13], floor=1e-12), side([1e-20], floor=1e-30))) is None


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_lane_that_is_not_finite_parts_from_one_that_is(broken):
    a, b = side([1, 1, broken]), side([1, 1, 1])
    first = parting(beside(a, b), 0.5)
    assert first.row == 2 and first.by == np.inf
    assert "not finite in A and 1 nat in B" in sentence(beside(a, b), first, 0.5)
    assert furthest(beside(a, a)) is None


@pytest.mark.parametrize("text", ["0", "100", "-1", "nan", "inf", "one", "", " "])
def test_an_amount_that_is_no_share_is_refused(text):
    with pytest.raises(BadInput, match=r"^lanes\.part: .*; % between 0 and 100$"):
        amount_of(text)


def test_an_amount_is_read_in_per_cent():
    assert amount_of(" 2.5 ") == 0.025


def test_a_change_of_the_rate_parts_at_the_next_row_and_not_before():
    session = opened()
    do(session, "step", 12)
    do(session, "seek", 7)
    do(session, "change", dynamics=make("dynamics", "GradientDescent", {"rate": 0.2}))
    do(session, "step", 5)
    found = beside(Side.of(session.lane), Side.of(session.ghost))
    first = parting(found, 1e-5)
    assert first.row == 8 and not found.apart[:8].any()


# What is drawn -----------------------------------------------------------------------------------


def test_strips_hold_the_logarithms_and_kinds_of_every_row():
    floor = 1e-8
    a = side([[0, 1e-2], [1e-9, 1e-3], [1e-4, 1e-4]], floor=floor)
    b = side([[0, 1e-2], [1e-3, 1e-2], [1e-3, 1e-4]], floor=floor)
    drawn = strips(a, beside(a, b), 2)
    assert (drawn.first, drawn.last) == (-0.5, 2.5)
    np.testing.assert_allclose(drawn.a.values, [[np.nan, np.nan, -4], [-2, -3, -4]], rtol=1e-6)
    np.testing.assert_array_equal(drawn.a.kinds[0], [UNREACHED, ROUNDING, np.nan])
    assert np.isnan(drawn.a.kinds[1]).all()
    np.testing.assert_allclose(
        drawn.ratio.values, [[np.nan, np.nan, -1], [0, -1, 0]], rtol=1e-6, atol=1e-7
    )
    np.testing.assert_array_equal(np.isnan(drawn.ratio.kinds), [[0, 0, 1], [1, 1, 1]])


def test_rows_of_B_behind_the_last_common_one_are_drawn_and_have_no_ratio():
    a, b = side([1, 2], step=[0, 1], t=[0, 1], batch=3), side(np.arange(1.0, 9))
    b.batch[3:] = 3
    b.t[3:] = np.arange(5)
    drawn = strips(a, beside(a, b), 0)
    assert (drawn.first, drawn.last) == (-0.5, 4.5)
    np.testing.assert_allclose(10.0 ** drawn.b.values[0], [4, 5, 6, 7, 8], rtol=1e-6)
    np.testing.assert_array_equal(np.isnan(drawn.a.values[0]), [0, 0, 1, 1, 1])
    np.testing.assert_array_equal(np.isnan(drawn.ratio.values[0]), [0, 0, 1, 1, 1])
    assert np.isnan(drawn.ratio.kinds[0, 2:]).all(), "no row is no grey cell"


def test_a_thinned_row_covers_those_that_went_and_columns_are_bounded():
    thin = side([1, 2, 3], step=[0, 4, 8])
    drawn = strips(thin, None, 8)
    np.testing.assert_allclose(10.0 ** drawn.a.values[0], [1, 1, 1, 1, 2, 2, 2, 2, 3], rtol=1e-6)
    assert drawn.b is None and drawn.ratio is None
    far = side(np.ones(WINDOW), step=100 * np.arange(WINDOW))
    assert strips(far, None, 0).a.values.shape == (1, COLUMNS)
    assert not np.isnan(strips(far, None, 0).a.values).any()


def test_the_window_holds_the_cursor():
    long = side(np.ones(3 * WINDOW))
    for cursor in (0, 500, 3 * WINDOW - 1):
        drawn = strips(long, None, cursor)
        assert drawn.first < cursor < drawn.last
        assert drawn.last - drawn.first <= WINDOW


def test_lanes_that_were_played_have_strips_of_the_trace():
    session = opened(SMALL)
    do(session, "step", 9)
    do(session, "restart")
    do(session, "step", 4)
    a, b = Side.of(session.lane), Side.of(session.ghost)
    drawn = strips(a, beside(a, b), 4)
    data = session.ghost.trace.dataset()
    reached = data["energy"].values > data["floor"].values
    with np.errstate(divide="ignore"):
        expected = np.where(reached, np.log10(data["energy"].values), np.nan).T
    np.testing.assert_allclose(drawn.b.values, expected, rtol=1e-5)
