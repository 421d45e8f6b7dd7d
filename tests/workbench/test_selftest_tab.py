"""The self-test beside a session: progress, a table, a stop, and whatever goes wrong in it."""

import threading
from types import SimpleNamespace

import pytest

from core import selftest
from tests.workbench.sessions import waited
from workbench.selftest_tab import Run, SelfTestTab, table


def result(name, passed=True):
    return selftest.Result(name, f"claim of {name}", "1 < 2", "1", passed)


@pytest.fixture
def held(monkeypatch):
    """Three cases, each of which waits until it is let go."""
    gate = threading.Semaphore(0)

    def results(device):
        for name in ("V1", "V2", "V3"):
            gate.acquire()
            yield result(name, passed=name != "V2")

    monkeypatch.setattr(selftest, "cases", lambda: [1, 2, 3])
    monkeypatch.setattr(selftest, "results", results)
    yield gate
    for _ in range(10):
        gate.release()


def test_results_come_one_by_one_and_wake_the_page(held):
    woken = threading.Semaphore(0)
    run = Run("cpu", woken.release)
    assert run.going and run.results == []
    for count in (1, 2, 3):
        held.release()
        assert woken.acquire(timeout=60)
        assert len(run.results) == count
        assert run.going == (count < 3)
    run.thread.join(10)
    shown = table(run)
    assert "2 of 3 passed" in shown
    assert shown.index("claim of V2") < shown.index("claim of V1"), "failures first"
    assert "1 &lt; 2" in shown and "<b>no</b>" in shown


def test_a_stop_ends_it_after_the_case_that_runs(held):
    run = Run("cpu", lambda: None)
    held.release()
    waited(lambda: len(run.results) == 1)
    run.stop()
    held.release()
    run.thread.join(10)
    assert not run.going and len(run.results) == 1
    assert "stopped before the other 2" in table(run)


def test_what_cannot_run_says_why(monkeypatch):
    def refused(device):
        raise selftest.BadInput(f"device: {device}; one of cpu")

    monkeypatch.setattr(selftest, "results", refused)
    run = Run("cuda:7", lambda: None)
    run.thread.join(10)
    assert not run.going and "device: cuda:7; one of cpu" in table(run)


def test_the_button_starts_stops_and_starts_again(held):
    page = SimpleNamespace(
        session=SimpleNamespace(wanted=SimpleNamespace(device="cpu")), wake=lambda: None
    )
    tab = SelfTestTab(page, "")
    page.redraw = tab.show
    tab.show()
    assert tab._table.object == "" and "cpu. The session goes on" in tab._about.object
    tab._pressed()
    assert tab._button.label == "stop"
    held.release()
    waited(lambda: len(tab._run.results) == 1)
    tab.show()
    assert "1 of 1 passed, 2 to come" in tab._table.object
    first = tab._run
    tab._pressed()
    assert tab._button.label == "run it again" and first.stopped
    tab._pressed()
    assert tab._run is not first and tab._button.label == "stop"
    tab.close()
    assert tab._run.stopped


def test_a_case_of_the_real_self_test_passes_in_it(monkeypatch):
    real = selftest.results
    monkeypatch.setattr(selftest, "results", lambda device: real(device, ["V2"]))
    run = Run("cpu", lambda: None)
    run.thread.join(60)
    assert run.results and all(one.passed for one in run.results)
