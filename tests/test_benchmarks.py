"""Do the benchmarks count what they say, see who disturbs them, and time equal things?"""

import gc
import json
import os

import numpy as np
import pytest
import torch

from benchmarks import report, sessions
from benchmarks.cases import (
    LEVELS,
    Autograd,
    Engine,
    disagreement,
    two_batches,
)
from benchmarks.launches import count
from benchmarks.machine import Watch
from benchmarks.relaxation import KNOWN, parsed
from benchmarks.rounds import PATIENCE, WARM, measure
from benchmarks.stats import median_of, ratio, summary
from benchmarks.workloads import TINY, WORKLOADS, mlp
from core.engines import ENGINES, PLAIN

DENSE, CONV = TINY["dense"], TINY["conv"]
CHAIN_ONLY = ("chain",)
"""Engines that take dense chains and nothing else."""


# Statistics


@pytest.mark.oracle("closed form")
def test_a_constant_has_no_interval():
    found = median_of([3.0] * 7)
    assert (found.median, found.low, found.high, found.n) == (3.0, 3.0, 3.0, 7)


@pytest.mark.oracle("closed form")
def test_the_interval_of_a_median_is_that_of_order_statistics():
    # For n = 99 the exact distribution-free 95 % interval of a median runs from the 40th to the
    # 60th value (binomial, n = 99, p = 1/2: coverage 0.956).
    found = median_of(range(1, 100))
    assert found.median == 50
    assert abs(found.low - 40) <= 1 and abs(found.high - 60) <= 1


def test_the_interval_does_not_change_between_two_calls():
    assert median_of([1.0, 2.0, 5.0, 9.0]) == median_of([1.0, 2.0, 5.0, 9.0])


def test_a_median_of_nothing_is_refused():
    with pytest.raises(ValueError, match="values: none"):
        median_of([])


def test_ratios_are_within_rounds_and_leave_out_disturbed_ones():
    # All cases of a round are slow together: the ratio of medians would be 20 / 4.
    seconds = [{"a": 2.0, "b": 1.0}, {"a": 20.0, "b": 10.0}, {"a": 40.0, "b": 4.0}]
    rounds = [{"seconds": s, "kept": k} for s, k in zip(seconds, (True, True, False), strict=True)]
    found = ratio(rounds, "a", "b")
    assert found is not None and (found.median, found.n) == (2.0, 2)
    held = summary(rounds, ["a", "b"])
    assert held["ratios"]["b / a"]["median"] == 0.5
    assert held["milliseconds"]["a"]["median"] == 11_000
    assert ratio(rounds[2:], "a", "b") is None


# Rounds


class Fake:
    def __init__(self, label, log):
        self.label, self.log = label, log

    def time(self):
        self.log.append(self.label)
        return 0.5


@pytest.fixture
def light(monkeypatch):
    """Without the collection of garbage before each round: here it takes the time of a test."""
    monkeypatch.setattr(gc, "collect", lambda: 0)


class Loads:
    """A watch that says these shares, asked at the beginning and the end of each round."""

    def __init__(self, shares):
        self.shares = iter([one for share in shares for one in (0.9, share)])

    def share(self) -> float | None:
        return next(self.shares)


def test_every_round_times_each_case_once_in_an_order_of_its_own(light):
    log: list[str] = []
    cases = [Fake(name, log) for name in "abcde"]
    rounds = measure(cases, 6, limit=0.05, watch=Loads([0.0] * 6))
    assert len(rounds) == 6 and all(one["kept"] for one in rounds)
    timed = log[WARM * 5 :]
    orders = [tuple(timed[5 * k : 5 * k + 5]) for k in range(6)]
    assert all(sorted(one) == list("abcde") for one in orders)
    assert len(set(orders)) > 1
    assert [tuple(one["seconds"]) for one in rounds] == orders


def test_disturbed_rounds_are_kept_in_the_file_and_made_up_for(light):
    shares = [0.0, 0.2, 0.04, 0.06, 0.05]
    rounds = measure([Fake("a", [])], 3, limit=0.05, watch=Loads(shares))
    assert [one["kept"] for one in rounds] == [True, False, True, False, True]
    assert [one["others"] for one in rounds] == shares


def test_a_machine_that_is_never_quiet_ends_the_run(light):
    rounds = measure([Fake("a", [])], 2, limit=0.05, watch=Loads([0.5] * 100))
    assert len(rounds) == 2 * PATIENCE and not any(one["kept"] for one in rounds)


def test_nothing_is_dropped_where_nobody_can_tell(light):
    rounds = measure([Fake("a", [])], 2, limit=0.05, watch=Loads([None] * 100))
    assert [one["kept"] for one in rounds] == [True, True]


# The machine


def processes(folder, whole, ticks):
    """A process file system: `whole` are the fields of all processors, `ticks` by (pid, parent)."""
    folder.mkdir(exist_ok=True)
    (folder / "stat").write_text("cpu  " + " ".join(map(str, whole)) + "\ncpu0 0\n")
    for (pid, parent), used in ticks.items():
        (folder / str(pid)).mkdir(exist_ok=True)
        before = f"{pid} (a name) of (brackets) S {parent}"
        text = f"{before} 1 1 0 -1 0 0 0 0 0 {used} 0 0 0 20 0 1"
        (folder / str(pid) / "stat").write_text(text)


@pytest.mark.oracle("closed form")
def test_others_are_all_but_this_tree_and_steal_counts(tmp_path):
    tree = {(1, 0): 50, (7, 1): 0, (8, 7): 0, (9, 8): 0}
    processes(tmp_path, [0] * 8, tree)
    watch = Watch(tmp_path, own=7)
    # 1000 ticks: 500 idle, 60 waiting for a disk, 440 busy, 30 of them stolen; ours are 400.
    processes(tmp_path, [300, 20, 80, 500, 60, 4, 6, 30], tree | {(7, 1): 150, (9, 8): 250})
    assert watch.share() == pytest.approx(0.04)
    assert watch.share() == 0.0  # no time has passed since


def test_without_proc_nothing_can_be_said(tmp_path):
    watch = Watch(tmp_path)
    assert not watch.works and watch.share() is None


@pytest.mark.skipif(
    not os.path.exists("/proc/stat"),
    reason="missing: /proc/stat (Linux), where the processors' busy time is read",
)
def test_the_real_machine_gives_a_share():
    watch = Watch()
    sum(range(3_000_000))
    found = watch.share()
    assert found is not None and 0 <= found <= 1


# Cases


def agreeing(workload, engines):
    """Cases that must give the same energies."""
    made = [Engine(workload, engine, level) for engine in engines for level in LEVELS]
    return [*made, Autograd(workload)]


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("workload", [DENSE, CONV], ids=["dense", "conv"])
def test_all_cases_compute_the_same_energies(workload):
    expected = two_batches(Engine(workload, PLAIN))
    assert expected.shape == (2, workload.steps + 1, len(workload.layers))
    assert expected[1, 0].sum() < expected[0, 0].sum(), "the update did something"
    engines = [one for one in ENGINES if workload.dense or one not in CHAIN_ONLY]
    for case in agreeing(workload, engines):
        assert disagreement(two_batches(case), expected) == "", case.label


def test_each_batch_begins_from_the_first_weights():
    case = Engine(DENSE, PLAIN)
    one = two_batches(case)
    case.time()
    case.again()
    np.testing.assert_array_equal(case.energies(), one[0])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda e: e[:, :-1], "energies of shape"),
        (lambda e: np.where(e > 0, np.nan, e), "not finite"),
        (lambda e: e * (1 + 3e-4), "at step 0, layer 5"),
        (lambda e: np.stack([e[0], e[0]]), "after one update"),
    ],
)
def test_a_peer_that_does_not_agree_is_found_out(wrong, said):
    expected = two_batches(Engine(DENSE, PLAIN))
    expected[1] *= 0.5  # as after a large update
    assert disagreement(expected, expected) == ""
    assert said in disagreement(wrong(expected), expected)


@pytest.mark.oracle("paper")
def test_workloads_have_the_shapes_that_they_name():
    W1, W2, W3 = WORKLOADS.values()
    assert [one.out for one in W1.layers] == [512] * 4 + [10]
    assert [one.out for one in W2.layers] == [128] * 30 + [10]
    shapes = [tuple(h.shape[1:]) for h in W3.network().sweep({0: W3.data()[0]})]
    assert shapes == [(3, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 2, 2), (10,)]
    for workload in (W1, W2, W3):
        assert [n.shape for n in workload.network().nodes[1:]] == [o.shape for o in workload.layers]
        with torch.no_grad():
            made, x = workload.network(), workload.data()[0]
            found = count(lambda made=made, x=x: made.sweep({0: x})).multiply_adds
        assert found == sum(workload.products)


def test_a_session_and_the_bare_relaxation_record_the_same_energies(cache):
    chosen = sessions.experiment("local", hidden=(8, 8), batch=10)
    session = sessions.Session(chosen, align=False)
    session._prepare()
    session.step(sessions.STEPS)
    sessions.worked(session)
    assert session.lane is not None
    found = session.lane.trace.dataset()["energy_sample"].values
    images = chosen.dataset()
    network = chosen.build(images.shape, images.classes)
    training = sessions.Training(chosen, images, network, aligned=True)
    made = training.relaxation(training.batches.batch(0), train=False)
    expected = [step.free_energy.energies(step.states).numpy() for step in made]
    np.testing.assert_array_equal(found, np.stack(expected))


# The command


def run(ratios, subject="chain"):
    """A run that measured these ratios of W2."""
    held = {k: {"median": m, "low": lo, "high": hi, "n": 30} for k, (m, lo, hi) in ratios.items()}
    return {"subject": subject, "groups": [{"name": "W2", "ratios": held}]}


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        ((0.50, 0.49, 0.52), "met"),
        ((0.52, 0.50, 0.55), "met by the median, not by all of the interval"),
        ((0.55, 0.50, 0.58), "**not met**"),
    ],
)
def test_a_requirement_is_judged_by_its_median_and_interval(measured, said):
    one = next(r for r in report.REQUIREMENTS if r.group == "W2" and r.below == "floor")
    found, verdict = one.judged(run({"chain lean / floor": measured}))
    assert (str(found), verdict) == ("{:.2f} [{:.2f}, {:.2f}]".format(*measured), said)
    assert one.judged(run({}))[1] == "not measured"
    assert one.judged(run({"chain lean / floor": measured}, "local"))[1] == "not measured"


def test_a_ratio_that_has_to_be_large_is_judged_the_other_way():
    one = next(r for r in report.REQUIREMENTS if r.group == "W2" and r.above == "autograd")
    assert one.judged(run({"autograd / chain off": (9.0, 8.1, 10.0)}))[1] == "met"
    assert one.judged(run({"autograd / chain off": (7.0, 6.1, 8.0)}))[1] == "**not met**"


def test_unknown_parts_are_refused(capsys):
    with pytest.raises(SystemExit):
        parsed(["--parts", "W9"])
    assert "W9; one of W1, W2, W3" in capsys.readouterr().err


def test_engines_that_are_not_here_are_asked_for_all_the_same():
    assert {*KNOWN, *ENGINES} <= {*parsed([]).engines}
    assert parsed(["--quick"]).pcx == "none"


def test_a_run_becomes_tables_and_one_figure(tmp_path):
    groups = []
    for workload, sweep in ((mlp("W1", 4, 1, 2, 1), None), (mlp("depth 4", 4, 1, 2, 1), "depth")):
        names = ["floor", "autograd", "local off", "local lean"]
        seconds = [dict(zip(names, row, strict=True)) for row in ((1, 4, 2, 2), (1, 6, 2, 3))]
        rounds = [{"seconds": one, "others": 0.0, "kept": True} for one in seconds]
        closed = {"plain": 100, "kept": 80, "exact": 60, "backprop": 30}
        about = [{"name": one, "multiply_adds": 60, "launches_per_step": 9.0} for one in names]
        group = {"name": workload.name, "title": workload.title, "cases": about}
        group |= {"rounds": rounds, "closed": closed, **summary(rounds, names)}
        groups.append(group | ({"sweep": sweep} if sweep else {}))
    machine = {"processor": "P", "processors": 2, "memory_gib": 8.0, "system": "S", "versions": {}}
    made = {
        "subject": "local",
        "begun": "2026-01-02T03:04:05",
        "threads": 2,
        "limit": 0.05,
        "disturbance": "seen",
        "omp_wait_policy": "PASSIVE",
        "machine": machine,
        "peer": None,
        "skipped": [{"group": "W1", "case": "pcx", "why": "not asked for"}],
        "groups": groups,
    }
    path = tmp_path / "bench.json"
    report.write(made, path)
    assert json.loads(path.read_text())["groups"][0]["rounds"] == groups[0]["rounds"]
    text = path.with_suffix(".md").read_text()
    assert "| W1, recording, by the floor | ≤ 1.00 | 2.50 [2.00, 3.00] | **not met** |" in text
    row = "| local lean | 2500.0 | 2000.0 | 2.50 [2.00, 3.00] | 1 | 0.0 | 0.60 | 9 |"
    assert row in text
    assert "- W1, pcx: not asked for" in text
    assert path.with_suffix(".svg").read_text().startswith("<?xml")
    assert path.with_suffix(".png").read_bytes()[:4] == b"\x89PNG"
