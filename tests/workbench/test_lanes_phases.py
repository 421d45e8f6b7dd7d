"""Phases of one lane side by side: +beta and -beta on one axis of steps, divergence included."""

import numpy as np
import pytest
from sessions import SMALL, do, opened
from test_lanes_tab import Page, image

from core import make
from workbench import lanes_tab
from workbench.lanes_parting import Side, beside, parting
from workbench.lanes_tab import BEHIND, LanesTab

T = 8
NUDGED = SMALL.changed(
    task=make("task", "Nudge", {"beta": 0.2, "free_steps": 2}),
    learning=make("learning", "EquilibriumPropagation"),
    steps=T,
    dtype="float64",
)


@pytest.fixture
def session():
    """A free phase of two steps, then eight with +beta and eight with -beta."""
    made = opened(NUDGED)
    do(made, "run_to_end")
    return made


def rows_of(session, phase):
    data = session.lane.trace.dataset()
    return data.isel(step=np.flatnonzero(data["phase"].values == phase))


@pytest.mark.oracle("closed form")
def test_two_phases_stand_beside_each_other_step_by_step(session):
    side = Side.of(session.lane)
    assert side.phases == ("free", "plus", "minus")
    plus, minus = side.only("plus"), side.only("minus")
    found = beside(plus, minus)
    n = min(len(plus.t), len(minus.t))
    assert n > 1 and found.at_a.tolist() == found.at_b.tolist() == list(range(n))
    energies = [rows_of(session, name)["energy"].values[:n] for name in ("plus", "minus")]
    larger = np.maximum(*energies)
    apart = np.abs(energies[0] - energies[1]) / np.where(larger > 0, larger, 1)
    first = parting(found, 0.05)
    expected = np.flatnonzero((apart > 0.05).any(1))[0]
    assert first.t == rows_of(session, "plus")["t"].values[expected]
    assert first.row == rows_of(session, "plus")["step"].values[expected]
    assert first.other == rows_of(session, "minus")["step"].values[expected]


def test_both_begin_at_the_same_states(session):
    found = beside(*(Side.of(session.lane).only(one) for one in ("plus", "minus")))
    assert (found.apart[0] == 0).all(), "both leave the end of the free phase"
    assert (found.apart[1] == 0).all(), "one step along either sign: the same squares"
    assert (found.apart[2:].max(1) > 0).all()


@pytest.fixture
def tab(session, monkeypatch):
    monkeypatch.setattr(lanes_tab, "EVERY", 0.0)
    monkeypatch.setattr(lanes_tab, "LATEST", 0.0)
    made = LanesTab(Page(session), "")
    made.session = session
    look(made)
    return made


def look(tab):
    tab.session._show()
    tab._at = 0.0
    tab.follow()


def test_the_menu_offers_the_phases_two_by_two_and_draws_them_on_one_axis(tab):
    assert list(tab._pair.options) == [
        BEHIND,
        "phases free, plus",
        "phases free, minus",
        "phases plus, minus",
    ]
    tab._pair.value = ("plus", "minus")
    look(tab)
    plus = rows_of(tab.session, "plus")["energy"].values
    drawn = image(tab, 0)[0]
    assert drawn.shape == (4, len(plus))
    assert np.isnan(drawn[-1, 0]) and plus[0, -1] == 0, "it begins at the free equilibrium"
    np.testing.assert_allclose(drawn[-1, 1:], np.log10(plus[1:, -1]), rtol=1e-5)
    assert tab._plot.titles[0].text.startswith("A: lane 0, phase plus")
    assert tab._plot.titles[1].text.startswith("B: lane 0, phase minus, at the same batch and t")
    assert "part by more than 1 %" in tab._said.object and tab._more.object == ""
    tab._go.clicks += 1
    assert tab.parted in rows_of(tab.session, "plus")["step"].values


def test_a_phase_that_has_not_begun_is_named(monkeypatch):
    monkeypatch.setattr(lanes_tab, "EVERY", 0.0)
    session = opened(NUDGED)
    do(session, "step", 1)
    made = LanesTab(Page(session), "")
    made.session = session
    look(made)
    made._pair.value = ("plus", "minus")
    look(made)
    assert "phase plus has not begun" in made._said.object


def test_a_lane_without_phases_offers_none(tab):
    plain = opened()
    do(plain, "step", 3)
    tab._page.session = tab.session = plain
    look(tab)
    assert list(tab._pair.options) == [BEHIND] and tab._pair.value == ()
