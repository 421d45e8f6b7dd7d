"""The what-if tab says what was recorded of the rule in force, and looking leaves no trace."""

from types import SimpleNamespace

import numpy as np
import pytest
from sessions import SMALL, assert_same_rows, do, opened, rows, settle

from core import make
from workbench.look import palette
from workbench.sight import Sight
from workbench.whatif import asked
from workbench.whatif_tab import WhatIfTab

RECORDED = {"cosine": "alignment", "ratio": "update_ratio", "agreement": "agreement"}


@pytest.mark.parametrize("row", [0, 3, 9])
@pytest.mark.parametrize("rule", ["PredictiveCoding", "ForwardUpdate", "Incremental"])
def test_the_rule_in_force_is_what_the_trace_holds_at_every_row(rule, row):
    session = opened(SMALL.changed(learning=make("learning", rule)))
    do(session, "step", 9)
    do(session, "seek", row)
    found = asked(session)
    assert (found.row, found.t, found.lane, found.batch) == (row, row, 0, 0)
    [own] = [one for one in found.found.updates if one.chosen]
    assert own.rule == rule
    data = session.lane.trace.dataset().isel(step=row)
    for measure, name in RECORDED.items():
        np.testing.assert_allclose(found.of(own, measure), data[name].values, rtol=1e-6)
    np.testing.assert_allclose(
        found.found.drift.numpy(), data["prediction_drift"].values, rtol=1e-6
    )


def test_looking_changes_nothing_of_what_comes():
    one, other = (opened(SMALL.changed(learning=make("learning", "Incremental"))) for _ in "ab")
    for session in (one, other):
        do(session, "step", 7)
        do(session, "seek", 4)
    assert asked(one).row == 4
    for session in (one, other):
        do(session, "follow")
        assert asked(one) is not None
        do(session, "step", 6)
    assert_same_rows(rows(one.lane), rows(other.lane))


@pytest.fixture
def tab():
    session = opened()
    do(session, "step", 5)
    page = SimpleNamespace(session=session, look=palette("light"), sight=Sight())
    made = WhatIfTab(page, "")

    def beat():
        for _ in range(3):
            made.follow()
            settle(session)

    made.beat, made.session = beat, session
    beat()
    return made


def test_the_table_has_a_column_for_each_legal_rule_and_a_line_for_each_layer(tab):
    shown = tab._table.object
    for title in ("Predictive coding", "Forward update", "Incremental", "Backprop", "drift"):
        assert title in shown
    assert "Equilibrium propagation</th>" not in shown
    assert "Equilibrium propagation: " in tab._why.object, "a refused rule says why"
    assert shown.count("<tr>") == 5
    assert 'class="chosen"' in shown and shown.count('class="chosen"') == 1
    assert "row 5, batch 0: phase" in tab._of.object


@pytest.mark.parametrize("measure", ["cosine", "ratio", "agreement", "norm"])
def test_the_lines_are_the_numbers(tab, measure):
    tab._measure.value = measure
    tab.beat()
    [newest] = [tab._surveyor.newest]
    for one in newest.legal:
        drawn = np.array(tab._plot._lines[one.rule].data["value"], dtype=float)
        values = newest.of(one, measure)
        if measure in ("ratio", "norm"):
            values = np.array([np.log10(v) if v > 0 else np.nan for v in values])
        np.testing.assert_array_equal(drawn, values)
    assert len(tab._plot._lines["EquilibriumPropagation"].data["value"]) == 0


def test_it_follows_the_cursor(tab):
    before = tab._table.object
    do(tab.session, "seek", 1)
    tab.beat()
    assert "row 1," in tab._of.object and tab._table.object != before


def test_a_task_without_a_loss_still_tells_norms(tab):
    made = SMALL.changed(
        network=make("network", "Decoder", {"hidden": (8, 8)}), task=make("task", "Generate")
    )
    session = opened(made)
    do(session, "step", 2)
    tab._page.session = session
    tab._surveyor._session = session
    for measure in ("cosine", "norm"):
        tab._measure.value = measure
        for _ in range(3):
            tab.follow()
            settle(session)
        assert ("Predictive coding" in tab._table.object) == (measure == "norm")
        assert "this task has no loss" in tab._why.object
