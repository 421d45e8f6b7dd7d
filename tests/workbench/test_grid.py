"""A cell of a grid is what a lane with its choices comes to, and looking leaves no trace behind."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
from sessions import SMALL, assert_same_rows, do, opened, rows, settle

from core import BadInput, make
from workbench import grid as grids
from workbench.grid import DEPTH, STEPS, Axis, Grid, axes, cell, parsed, proposed, put
from workbench.grid_tab import GridTab
from workbench.look import palette
from workbench.restarting import restart
from workbench.scene import scene
from workbench.touring import measured

RATE = "dynamics.rate"


def relaxed(session, experiment):
    """The numbers at the end of a lane with these choices, at its batch."""
    restart(session, experiment)
    settle(session)
    do(session, "run_to_end")
    return measured(session, scene(session, "layer"))


def base(session):
    """Where the batch under the cursor begins."""
    return grids.base(session)


@pytest.mark.parametrize(
    "experiment",
    [
        SMALL,
        SMALL.changed(learning=make("learning", "Incremental")),
        SMALL.changed(init=make("init", "Normal")),
        SMALL.changed(
            task=make("task", "Nudge"), learning=make("learning", "EquilibriumPropagation")
        ),
    ],
    ids=["plain", "incremental", "normal", "nudged"],
)
def test_a_cell_is_what_a_lane_with_its_choices_comes_to(experiment):
    session = opened(experiment)
    do(session, "step", 3)
    x, y = Axis(RATE, (0.05, 0.2)), Axis(STEPS, (4, 9))
    at = base(session)
    for i, j in ((0, 1), (1, 0)):
        found = cell(at, x, i, y, j)
        assert found.why == ""
        assert (found.experiment.dynamics.rate, found.experiment.steps) == (
            x.values[i],
            y.values[j],
        )
        wanted = relaxed(session, found.experiment)
        for name in ("imbalance", "total", "reached", "cosine"):
            np.testing.assert_allclose(found.values[name], wanted[name], rtol=1e-6, atol=1e-9)


def test_a_later_batch_begins_with_its_own_weights_and_memory():
    session = opened(SMALL.changed(init=make("init", "Average", {"m": 1})))
    do(session, "set_gear", "batch")
    do(session, "step", 14)  # into the third batch
    do(session, "set_gear", "step")
    assert scene(session, "layer").curves.batch[-1] == 2
    at = base(session)
    assert at.mark.batch == 2 and at.mark.memory is not None
    found = cell(at, Axis(RATE, (0.1,)), 0, Axis(STEPS, (5,)), 0)
    wanted = relaxed(session, found.experiment)
    np.testing.assert_allclose(found.values["total"], wanted["total"], rtol=1e-6)


def test_a_grid_leaves_the_session_as_it_was():
    one, other = opened(), opened()
    for session in (one, other):
        do(session, "step", 4)
        do(session, "seek", 2)
    at = base(one)
    cell(at, Axis(RATE, (0.5,)), 0, Axis(STEPS, (3,)), 0)
    assert (one.row, one.cursor, len(one.lanes)) == (4, 2, 1)
    for session in (one, other):
        do(session, "follow")
        do(session, "step", 3)
    assert_same_rows(rows(one.lane), rows(other.lane))


def test_depth_builds_other_networks():
    session = opened()
    found = cell(base(session), Axis(DEPTH, (2, 6)), 1, Axis(STEPS, (8,)), 0)
    assert found.experiment.network.hidden == (8,) * 6
    assert found.values["reached"] <= 7
    wanted = relaxed(session, found.experiment)
    np.testing.assert_allclose(found.values["total"], wanted["total"], rtol=1e-6)


def test_what_is_refused_says_why_and_the_others_come():
    session = opened(SMALL.changed(precision=make("precision", "Decaying"), steps=6))
    at = base(session)
    short = cell(at, Axis(STEPS, (2, 6)), 0, Axis(RATE, (0.1,)), 0)
    assert short.experiment is None and "at least as many steps T as layers" in short.why
    assert cell(at, Axis(STEPS, (2, 6)), 1, Axis(RATE, (0.1,)), 0).why == ""


def test_a_relaxation_that_diverges_has_no_number():
    session = opened()
    found = cell(base(session), Axis(RATE, (10.0,)), 0, Axis(STEPS, (400,)), 0)
    assert not np.isfinite(found.values["total"]) or found.values["total"] > 1e6


def test_the_axes_are_the_numbers_of_the_choices():
    plain = axes(SMALL)
    assert {STEPS, RATE, DEPTH} <= set(plain)
    assert "precision.rest" in axes(SMALL.changed(precision=make("precision", "Spiking")))
    uneven = SMALL.changed(network=make("network", "MLP", {"hidden": (8, 4)}))
    assert DEPTH not in axes(uneven)
    for experiment in (SMALL, SMALL.changed(init=make("init", "Average"))):
        for name in axes(experiment):
            for value in proposed(experiment, name):
                put(experiment, name, value)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        (RATE, "", r"rate: 0 values; 1\.\.12"),
        (RATE, "0.1, fast", r"rate: fast; a number"),
        (STEPS, "4, 4.5", r"T: 4\.5; an integer"),
        (RATE, "0.1 0.1", r"rate: 0\.1 twice"),
        (STEPS, " ".join(map(str, range(1, 14))), r"13 values; 1\.\.12"),
    ],
)
def test_values_that_cannot_be_read_are_refused(name, text, sentence):
    with pytest.raises(BadInput, match=sentence):
        parsed(SMALL, name, text, name)
    assert parsed(SMALL, RATE, "0.1, 1e-2 3", RATE).values == (0.1, 0.01, 3.0)


def wait(grid, session):
    end = time.monotonic() + 60
    while not grid.done:
        settle(session)
        assert time.monotonic() < end
        time.sleep(0.01)


def test_all_cells_come_one_after_the_other_and_can_be_stopped():
    session = opened()
    told = []
    grid = Grid(session, Axis(RATE, (0.1, 0.2)), Axis(STEPS, (2, 3)), lambda: told.append(1))
    wait(grid, session)
    assert set(grid.cells) == {(0, 0), (1, 0), (0, 1), (1, 1)} and len(told) == 4
    stopped = Grid(session, Axis(RATE, (0.1, 0.2)), Axis(STEPS, (2, 3)))
    stopped.stop()
    settle(session)
    assert stopped.done and stopped.cells == {}


@pytest.fixture
def tab():
    session = opened()

    def act(do):
        do(session)
        settle(session)

    made = GridTab(SimpleNamespace(session=session, look=palette("light"), do=act), "")
    made.session = session
    return made


def test_a_tap_opens_the_cell_in_a_lane(tab):
    tab._values["x"].value, tab._values["y"].value = "0.05, 0.2", "3, 7"
    tab._names["x"].value = RATE
    tab._values["x"].value = "0.05, 0.2"
    tab._go.clicks += 1
    wait(tab._grid, tab.session)
    tab.follow()
    drawn = tab._plot.cells.data
    assert len(drawn["x"]) == 4 and tab._stop.disabled
    assert "lane 0, batch 0" in tab._said.object
    tab._plot._tapped(SimpleNamespace(x=1.2, y=0.9))
    session = tab.session
    assert (session.lane.id, session.row) == (1, 7)
    assert session.lane.experiment.dynamics.rate == 0.2
    assert "dynamics.rate 0.2, T 7" in tab._said.object
    tab._plot._tapped(SimpleNamespace(x=7, y=7))
    assert session.lane.id == 1, "there is no such cell"


def test_what_is_wrong_is_said_beside_the_button(tab):
    tab._values["y"].value = "many"
    tab._go.clicks += 1
    assert "T: many; an integer" in tab._refused.object and tab._grid is None
    tab._names["x"].value = STEPS
    tab._values["x"].value = tab._values["y"].value = "3"
    tab._go.clicks += 1
    assert "up: T; another than across" in tab._refused.object
