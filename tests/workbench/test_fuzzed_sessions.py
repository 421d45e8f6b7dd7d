"""Sessions under any commands in any order: their logs give the same lanes again."""

import json

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from tests.faults.fuzzing import Count, cases
from tests.workbench.sessions import assert_same_rows, do, free, opened, rows
from tests.workbench.test_lanes import CHANGES
from tests.workbench.test_session import WILD, assert_same_lanes
from workbench.links import MOST_STEPS, packed, unpacked
from workbench.session import Session

COUNT = Count()

MOST_ROWS = 250
"""Rows of all lanes, beyond which a session only ends."""


class Sessions(RuleBasedStateMachine):
    """What a person can do at the page; at the end the log is repeated."""

    def __init__(self):
        super().__init__()
        self.session = opened(align=False)
        self.before = {}

    @property
    def small(self):
        return sum(len(lane.trace) for lane in self.session.lanes) < MOST_ROWS

    def ask(self, name, **given):
        do(self.session, name, **given)
        held = [lane.id for lane in self.session.lanes]
        assert set(self.before) <= set(held), "nothing is deleted"
        assert 0 <= self.session.cursor <= self.session.row

    @precondition(lambda self: self.small)
    @rule(n=st.integers(1, 12))
    def step(self, n):
        self.ask("step", n=n)

    @rule(choices=st.sampled_from([*CHANGES, WILD]))
    def toggle(self, choices):
        self.ask("change", **choices)

    @rule(row=st.integers(0, 40))
    def rewind(self, row):
        self.ask("seek", row=row)

    @precondition(lambda self: self.small and self.session.row > 1)
    @rule(back=st.integers(1, 10), n=st.integers(1, 4))
    def fork(self, back, n):
        before = {lane.id: rows(lane) for lane in self.session.lanes}
        self.ask("seek", row=max(0, self.session.row - back))
        self.ask("step", n=n)
        for lane in self.session.lanes:
            if lane.id in before and lane is not self.session.lane:
                assert_same_rows(rows(lane), before[lane.id])
        self.before = dict.fromkeys(before)

    @precondition(lambda self: self.small)
    @rule(count=st.integers(1, 9))
    def play_and_pause(self, count):
        free(self.session, count)
        self.ask("pause")

    @precondition(lambda self: self.small)
    @rule()
    def restart(self):
        self.ask("restart")

    @precondition(lambda self: self.small)
    @rule()
    def next_batch(self):
        self.ask("next_batch")

    @rule(gear=st.sampled_from(["step", "batch"]))
    def set_gear(self, gear):
        self.ask("set_gear", gear=gear)

    @rule(name=st.sampled_from(["swap", "undo", "redo", "follow"]))
    def move(self, name):
        self.ask(name)

    @precondition(lambda self: self.small)
    @rule(
        layer=st.sampled_from(["1", "2", "3"]),
        how=st.sampled_from(["noise", "zero", "shift"]),
        amount=st.sampled_from([0.1, 1.0]),
        seed=st.integers(0, 3),
    )
    def poke(self, layer, how, amount, seed):
        given = {"amount": amount} if how != "zero" else {}
        given |= {"seed": seed} if how == "noise" else {}
        self.ask("poke", layer=layer, how=how, **given)

    @precondition(lambda self: self.small)
    @rule(batches=st.integers(1, 2))
    def warm_up(self, batches):
        self.ask("warm_up", batches=batches)

    def teardown(self):
        COUNT.cases += 1
        session = self.session
        do(session, "pause")
        log = json.loads(json.dumps(session.log()))
        again = Session.replay(log, align=False)
        assert_same_lanes(session, again)
        assert json.loads(json.dumps(again.log())) == log
        assert (again.lane.id, again.cursor) == (session.lane.id, session.cursor)
        if log["taken"] <= MOST_STEPS:
            assert list(unpacked(packed(log, {})).log.events) == log["events"]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_any_commands_in_any_order_come_out_of_the_log_again(record_property):
    run_state_machine_as_test(Sessions, settings=cases(6, 400, stateful_step_count=12))
    COUNT.told(record_property, "sessions against the replay of their logs")
