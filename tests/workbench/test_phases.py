"""Several phases in one batch: where they begin, how far a batch goes, when it has settled."""

import numpy as np
import pytest

from core import make
from tests.workbench.sessions import SMALL, assert_same_rows, do, opened, rows
from workbench.plan import left, rows_of
from workbench.scene import readout, scene
from workbench.session import Session

NUDGED = SMALL.changed(
    task=make("task", "Nudge", {"free_steps": 2, "beta": 0.1}),
    learning=make("learning", "EquilibriumPropagation"),
)
"""Free with 2 steps, plus and minus with 5: rows 0..2, 3..8, 9..14."""

PLAN = (("free", 2), ("plus", 5), ("minus", 5))


def test_what_is_left_counts_the_first_row_of_each_later_phase():
    assert rows_of(PLAN) == 3 + 6 + 6
    for row, (phase, t) in enumerate(
        [(name, t) for name, T in PLAN for t in range(T + 1)]  # every row of a batch
    ):
        assert left(PLAN, phase, t) == 14 - row
    assert left(PLAN, "minus", 7) == 0
    assert left(PLAN, "free", 4) == 12, "steps past T of a phase take nothing from the next"


def test_run_to_end_goes_through_all_phases_and_from_there_by_another_t():
    session = opened(NUDGED)
    assert session.lane.plan == PLAN
    do(session, "run_to_end")
    data = session.lane.trace.dataset()
    assert data["phase"].values.tolist() == ["free"] * 3 + ["plus"] * 6 + ["minus"] * 6
    assert data["t"].values.tolist() == [*range(3), *range(6), *range(6)]
    do(session, "run_to_end")
    assert session.row == 19 and session.lane.trace.row(19)["phase"] == "minus"


def test_run_to_end_from_within_a_phase_and_from_an_old_row():
    session = opened(NUDGED)
    do(session, "step", 4)
    do(session, "run_to_end")
    assert session.row == 14
    do(session, "seek", 5)
    do(session, "run_to_end")
    assert (session.lane.id, session.row) == (1, 14)
    assert_same_rows(rows(session.lanes[0]), rows(session.lane))


def test_a_scene_marks_phases_with_their_names_and_only_the_last_end_as_an_update():
    session = opened(NUDGED)
    do(session, "step", 4)
    drawn = scene(session)
    assert drawn.phases == [(0, "free"), (3, "plus")]
    assert drawn.updates == [14]
    said = readout(session, drawn)
    assert (said["phase"], said["step"], said["phases"]) == ("plus", 1, ["free", "plus", "minus"])
    do(session, "set_gear", "batch")
    do(session, "step", 14)
    drawn = scene(session)
    assert drawn.phases == [(0, "free"), (3, "plus"), (9, "minus"), (15, "free"), (18, "plus")]
    assert drawn.updates == [14, 29]
    do(session, "seek", 9)
    assert readout(session, scene(session))["phase"] == "minus"


def test_a_batch_of_one_phase_has_no_marks_of_phases():
    session = opened()
    do(session, "step", 3)
    assert scene(session).phases == []
    assert readout(session, scene(session))["phases"] == ["relax"]


def test_changes_rewinds_and_batches_between_phases_are_replayed():
    session = opened(NUDGED)
    do(session, "step", 7)
    do(session, "change", steps=3)
    do(session, "set_gear", "batch")
    do(session, "step", 12)
    do(session, "seek", 10)
    do(session, "step", 6)
    again = Session.replay(session.log())
    for one, other in zip(session.lanes, again.lanes, strict=True):
        assert_same_rows(rows(one), rows(other))
    assert again.lane.plan == (("free", 2), ("plus", 3), ("minus", 3))


SETTLING = SMALL.changed(steps=500, tolerance=1e-2, init=make("init", "Zero"), dtype="float64")


def test_within_the_tolerance_run_to_end_stops_and_the_next_batch_begins_there():
    session = opened(SETTLING)
    do(session, "run_to_end")
    data = session.lane.trace.dataset()
    force, free = data["force"].values[:, 1:-1], data["state_size"].values[1:-1]
    residual = np.sqrt((free * force**2).sum(1) / free.sum())
    assert 0 < session.row < 500
    assert residual[-1] <= 1e-2 < residual[:-1].min()
    end = session.row
    do(session, "set_gear", "batch")
    do(session, "step", 2)
    assert session.lane.trace.row(end + 1)["batch"] == 1
    assert scene(session).updates[0] == end, "the row that had settled is what the weights saw"


@pytest.mark.parametrize(
    "term",
    [
        {"window": True},
        {"output_precision": 4.0},
        {"activity_decay": 0.3},
        {"tolerance": 0.1, "stop": "sample"},
    ],
)
def test_terms_of_the_recipe_act_on_the_next_step_and_are_replayed(term):
    session = opened(SMALL.changed(init=make("init", "Zero")))
    do(session, "step", 2)
    do(session, "change", **term)
    do(session, "step", 3)
    assert len(session.lanes) == 1
    (name, value), *_ = term.items()
    assert session.lane.trace.recipes[-1][name] == value
    assert [row for row, _ in scene(session).changes] == [2]
    assert scene(session).changes[0][1].startswith(f"{name}: ")
    assert readout(session, scene(session))["recipe"][name] == value
    assert_same_rows(rows(session.lane), rows(Session.replay(session.log()).lane))


def test_a_restart_begins_with_the_precisions_that_its_batch_began_with():
    learning = SMALL.changed(
        init=make("init", "Zero"), precision=make("precision", "Learned", {"rate": 0.5})
    )
    session = opened(learning)
    do(session, "set_gear", "batch")
    do(session, "step", 9)
    held = rows(session.lane)
    assert held["batch"][6] == 1 and np.abs(np.log(held["precision"][6])).min() > 1e-3
    do(session, "restart")
    do(session, "step", 3)
    np.testing.assert_array_equal(rows(session.lane)["precision"], held["precision"][6:])
    do(session, "seek", 0)
    do(session, "restart")
    assert_same_rows(rows(session.lane), rows(session.lanes[1]), upto=1)
