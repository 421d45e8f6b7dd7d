"""What is looked at is what the states are, at any row, and looking leaves no trace behind."""

import numpy as np
import pytest
from sessions import SMALL, assert_same_rows, do, opened, rows, settle, weights
from torch import nn

from core import make
from workbench import looking, maps, measures
from workbench.maps import ERROR, FORCE, PREDICTION, STATE, Outlines, Wanted, looked, surveyor
from workbench.maps_field import BELOW, IMAGE, outline_of
from workbench.replaying import states_of

CONVOLUTIONS = SMALL.changed(network=make("network", "VGG", {"width": 1 / 64, "pools": 2}))
LINEAR = SMALL.changed(
    network=make("network", "MLP", {"hidden": (6, 5), "activation": "identity"}), dtype="float64"
)


@pytest.fixture
def session():
    """At row 12 of convolutions."""
    made = opened(CONVOLUTIONS)
    do(made, "step", 12)
    return made


@pytest.mark.parametrize("row", [0, 3, 12])
def test_at_every_row_the_state_is_that_of_the_relaxation(session, row):
    do(session, "seek", row)
    found = looked(session, Wanted(layer=2, sample=4))
    assert (found.row, found.t, found.wanted.sample) == (row, row, 4)
    expected = states_of(session, 0, steps=[row])["state_2"][0, 4]
    np.testing.assert_array_equal(found.values[STATE].ravel(), expected)
    assert found.values[STATE].shape == found.shapes[1] == (4, 2, 2)


@pytest.mark.parametrize("gear", ["step", "batch"])
def test_looking_back_changes_nothing_of_what_comes(gear):
    one, other = (opened(CONVOLUTIONS, align=False) for _ in range(2))
    for session in (one, other):
        do(session, "set_gear", gear)
        do(session, "step", 9)
        do(session, "change", dynamics=make("dynamics", "HeavyBall"))
        do(session, "step", 9)
        do(session, "seek", 7)
    seen = one.row, one.cursor, one.accuracy
    assert looked(one, Wanted(layer=3, reads=BELOW)).row == 7
    assert (one.row, one.cursor, one.accuracy) == seen
    for session in (one, other):
        do(session, "follow")
        do(session, "step", 14)
    assert_same_rows(rows(one.lane), rows(other.lane))
    np.testing.assert_array_equal(weights(one), weights(other))


def test_the_error_is_state_minus_prediction_and_its_energy_is_recorded(session):
    for sample in (0, 7):
        found = looked(session, Wanted(layer=3, sample=sample))
        e = found.values[STATE].astype(float) - found.values[PREDICTION]
        np.testing.assert_allclose(found.values[ERROR], e, atol=1e-7)
        energy = session.lane.trace.dataset()["energy_sample"].values[12, 2, sample]
        assert np.square(e).sum() / 2 == pytest.approx(energy, rel=1e-4)


@pytest.mark.oracle("closed form")
def test_the_force_in_a_linear_chain_is_its_error_less_what_the_next_one_sends_down():
    session = opened(LINEAR)
    do(session, "step", 4)
    W = session.lane.training.network.maps["3"].weight.detach().numpy()
    h2, h3 = (looked(session, Wanted(layer=k, sample=2)) for k in (2, 3))
    e2, e3 = (one.values[ERROR].ravel().astype(float) for one in (h2, h3))
    np.testing.assert_allclose(h2.values[FORCE].ravel(), e2 - W.T @ e3, rtol=1e-5, atol=1e-7)
    assert FORCE not in h3.values  # the label is clamped there


def test_the_error_under_cross_entropy_is_that_of_its_softmax():
    session = opened(SMALL.changed(energy=make("energy", "CrossEntropy")))
    do(session, "step", 3)
    found = looked(session, Wanted(layer=4))
    mu = found.values[PREDICTION].ravel().astype(float)
    softmax = np.exp(mu - mu.max()) / np.exp(mu - mu.max()).sum()
    np.testing.assert_allclose(
        found.values[ERROR].ravel(), found.values[STATE].ravel() - softmax, rtol=1e-6
    )
    assert "softmax" in found.formula[ERROR]
    assert "softmax" not in looked(session, Wanted(layer=3)).formula[ERROR]


def test_the_error_over_places_is_its_rms_over_channels(session):
    found = looked(session, Wanted(layer=1))
    e = found.values[ERROR].astype(float)
    expected = [[np.sqrt((e[:, r, c] ** 2).mean()) for c in range(4)] for r in range(4)]
    np.testing.assert_allclose(found.spread, expected, rtol=1e-5)
    assert looked(session, Wanted(layer=5)).spread is None


def test_the_image_and_its_label_are_those_of_the_sample(session):
    found = looked(session, Wanted(sample=6))
    batch = session.lane.training.batches.batch(0)
    np.testing.assert_array_equal(found.image, batch.x[6])
    assert (found.label, found.pixels) == (int(batch.y[6]), (-1.0, 1.0))


def test_what_a_network_does_not_have_is_brought_to_what_it_has(session):
    found = looked(session, Wanted(layer=99, sample=99, unit=(99, 99, 99)))
    assert found.wanted == Wanted(layer=5, sample=9, unit=(9, 0, 0))
    assert looked(session, Wanted(layer=1)).unit == (0, 2, 2)


def test_a_dense_network_has_units_without_places():
    session = opened()
    found = looked(session, Wanted(layer=2, unit=(5, 0, 0)))
    assert found.values[STATE].shape == (8, 1, 1) and found.spread is None
    assert found.read.heat.shape == (8, 8) and found.image.shape == (1, 8, 8)


def test_an_outline_is_found_once(session, monkeypatch):
    asked = []

    def counted(*args):
        asked.append(args)
        return outline_of(*args)

    monkeypatch.setattr(maps, "outline_of", counted)
    known = Outlines()
    boxes = [
        looked(session, Wanted(layer=2, reads=reads), known).read.box for reads in (IMAGE, BELOW)
    ]
    again = [
        looked(session, Wanted(layer=2, reads=reads), known).read.box for reads in (IMAGE, BELOW)
    ]
    assert len(asked) == 2 and boxes == again and boxes[0] != boxes[1]


def test_a_replay_gives_way_to_what_is_asked_and_is_taken_up_again(session):
    do(session, "seek", 3)
    eye = surveyor(session)
    eye.follow(Wanted())
    session.step(1)  # comes while the worker looks
    session._attempt(session._queue.get_nowait())
    assert eye.newest is None and session.row == 12
    settle(session)
    eye.follow(Wanted())
    settle(session)
    assert eye.newest.row == session.cursor == 4
    assert eye.newest.lane == session.lane.id == 1


def test_a_replay_that_gave_way_is_taken_up_again_by_itself(session):
    do(session, "seek", 3)
    eye = surveyor(session)
    eye.follow(Wanted())
    session.aside(lambda: None)  # changes nothing, and yet comes first
    settle(session)
    assert eye.newest is None
    eye.follow(Wanted())
    settle(session)
    assert eye.newest.row == 3


def test_the_same_is_asked_once(session):
    eye = surveyor(session)
    for _ in range(3):
        eye.follow(Wanted())
        settle(session)
    first = eye.newest
    eye.follow(Wanted(sample=1))
    settle(session)
    assert first is not None and eye.newest is not first
    seen = eye.newest
    eye.follow(Wanted(sample=1))
    assert session._queue.empty() and eye.newest is seen


def test_while_the_session_plays_looks_are_rare(session, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(looking.time, "monotonic", lambda: now[0])
    eye = surveyor(session)
    session.playing = True
    count = 0
    for _ in range(60):  # three seconds, with a new row at each beat
        now[0] += 0.05
        session.cursor += 1
        eye.follow(Wanted())
        count += not session._queue.empty()
        while not session._queue.empty():
            session._attempt(session._queue.get_nowait())
    assert 6 <= count <= 12


def test_a_network_that_cannot_be_looked_at_is_told_and_the_session_goes_on(session):
    class Broken(nn.Module):
        def forward(self, h):
            raise RuntimeError("no prediction\nof this")

    eye = surveyor(session)
    network = session.lane.training.network
    working = network.maps["1"]
    network.maps["1"] = Broken()
    eye.follow(Wanted(reads=BELOW))
    settle(session)
    assert eye.trouble == "no prediction of this" and eye.newest is None
    network.maps["1"] = working
    eye.follow(Wanted(sample=1))
    settle(session)
    assert eye.trouble == "" and eye.newest is not None
    before = session.row
    do(session, "step", 1)
    assert session.row == before + 1


def test_the_numbers_are_copies(session):
    found = looked(session, Wanted(layer=2))
    held = {name: values.copy() for name, values in found.values.items()}
    for h in session._relaxation.states:
        h.zero_()
    for name, values in found.values.items():
        np.testing.assert_array_equal(values, held[name])


def test_what_rounding_alone_can_make_is_said_to_be_noise():
    slow = make("dynamics", "GradientDescent", {"rate": 1e-3})
    session = opened(SMALL.changed(dynamics=slow))
    do(session, "step", 8)
    trace = session.lane.trace.dataset()
    noise = (measures.rounding(trace) & (trace["energy"] > 0)).values
    for row in range(9):
        do(session, "seek", row)
        for layer in range(1, 5):
            assert looked(session, Wanted(layer=layer)).noise == noise[row, layer - 1]
    assert noise.any() and not noise.all()
