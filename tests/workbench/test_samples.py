"""Samples at a row: their energies, orders and the worst; a tap goes to the maps."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sessions import SMALL, do, opened, settle

from core import BadInput
from workbench.look import palette
from workbench.maps_tab import MapsTab
from workbench.samples import BATCH, CLASS, ENERGY, WORST, at, borders
from workbench.samples_tab import SamplesTab, table
from workbench.sight import Sight

STEPS = 6


@pytest.fixture
def session():
    made = opened(SMALL.changed(batch_size=20, dtype="float64"))
    do(made, "step", STEPS)
    return made


@pytest.mark.oracle("closed form")
def test_energies_are_half_the_squared_errors_of_each_sample(session):
    found = at(session.lane.trace, STEPS)
    network, h = session.lane.training.network, session._relaxation.states
    with torch.no_grad():
        for k in range(1, 5):
            e = h[k] - network.maps[str(k)](h[k - 1])
            expected = 0.5 * e.square().sum(1).numpy()
            there = np.isfinite(found.energy[k - 1])
            assert there.all()
            np.testing.assert_allclose(found.energy[k - 1], expected, rtol=1e-5)
    np.testing.assert_allclose(found.total, found.energy.sum(0), rtol=1e-6)
    labels = session.lane.training.batches.batch(0).y.numpy()
    np.testing.assert_array_equal(found.labels, labels)
    scores = network.maps["4"](h[3]).detach().numpy()
    np.testing.assert_array_equal(found.predicted, scores.argmax(1))


def test_what_the_error_has_not_reached_is_no_number(session):
    found = at(session.lane.trace, 1)
    assert np.isnan(found.energy[:2]).all() and np.isfinite(found.energy[3]).all()
    assert found.t == 1


def test_orders_keep_every_sample_once(session):
    found = at(session.lane.trace, STEPS)
    for order in (BATCH, CLASS, ENERGY):
        assert sorted(found.order(order)) == list(range(20))
    by_class = found.labels[found.order(CLASS)]
    assert (np.diff(by_class) >= 0).all()
    for label in set(by_class.tolist()):
        own = found.order(CLASS)[by_class == label]
        assert (np.diff(own) > 0).all(), "within a class as in the batch"
    assert (np.diff(found.total[found.order(ENERGY)]) <= 0).all()
    assert found.worst.tolist() == found.order(ENERGY)[:WORST].tolist()
    expected = np.log10(found.total.max() / found.total.min())
    assert found.spread == pytest.approx(float(expected))


@pytest.mark.oracle("closed form")
def test_borders_of_classes():
    assert borders(np.array([0, 0, 2, 2, 2, 5])) == [(0, 0, 2), (2, 2, 5), (5, 5, 6)]
    assert borders(np.array([3])) == [(3, 0, 1)]


def test_a_trace_without_samples_is_refused():
    trace = SimpleNamespace(row=lambda row: {"energy": np.ones(3)})
    with pytest.raises(BadInput, match=r"^energy_sample: not recorded; record at level full"):
        at(trace, 0)


class Shown:
    """The tab beside the maps of a session in this thread."""

    def __init__(self, session):
        self.session = session
        self.sight = Sight()
        page = SimpleNamespace(session=session, look=palette("light"), sight=self.sight)
        self.maps = MapsTab(page, "")
        self.tab = SamplesTab(page, "")
        self.look()

    def look(self):
        session = self.session
        session._show()
        self.tab._at = 0.0
        self.tab.follow()

    @property
    def image(self):
        return self.tab._plot.cells.data["image"][0]


@pytest.fixture
def shown(session):
    return Shown(session)


@pytest.mark.parametrize("order", [BATCH, CLASS, ENERGY])
def test_the_picture_has_the_logarithms_in_the_order(shown, order):
    shown.tab._order.value = order
    shown.look()
    found = at(shown.session.lane.trace, STEPS)
    expected = np.log10(found.energy[:, found.order(order)]).astype(np.float32)
    np.testing.assert_array_equal(shown.image, expected)
    counted = shown.tab._plot.bars.data["top"].sum()
    assert counted == 20, "every sample of the layer is in the histogram"


def test_a_tap_goes_to_the_maps_and_sets_the_layer(shown):
    shown.tab._order.value = ENERGY
    shown.look()
    found = at(shown.session.lane.trace, STEPS)
    shown.tab._plot._tapped(SimpleNamespace(x=0.4, y=3.2))
    worst = int(found.worst[0])
    assert shown.sight.sample == worst
    assert "layer 3: 20 of 20" in shown.tab._plot._spread_title.text
    for _ in range(3):
        shown.maps.follow()
        settle(shown.session)
    assert shown.maps._surveyor.newest.wanted.sample == worst
    assert shown.maps._sample.value == worst
    shown.tab._plot._tapped(SimpleNamespace(x=99.0, y=3.2))
    assert shown.sight.sample == worst, "there is no such sample"


def test_it_follows_the_cursor_and_lists_the_worst(shown):
    assert f"row {STEPS}, batch 0, t = {STEPS}" in shown.tab._of.object
    found = at(shown.session.lane.trace, STEPS)
    assert table(found).count("<tr>") == WORST + 1
    do(shown.session, "seek", 2)
    shown.look()
    assert "row 2," in shown.tab._of.object
