"""Lanes: what is replayed is what was there, for any commands in any order."""

import random
from types import SimpleNamespace

import numpy as np
import pytest

from core.catalogue import from_dict
from core.experiment import SCALARS
from tests.workbench.sessions import SMALL, do, energies, opened, weights
from tests.workbench.twin import Twin
from workbench import driver
from workbench.lanes import Lane, Mark

CHANGES = [
    {"precision": {"name": "Spiking", "rest": 0.01}},
    {"precision": {"name": "Identity"}},
    {"dynamics": {"name": "GradientDescent", "rate": 0.2}},
    {"dynamics": {"name": "HeavyBall", "rate": 0.05, "momentum": 0.5}},
    {"dynamics": {"name": "Adam", "rate": 0.01}},
    {"learning": {"name": "PredictiveCoding"}},
    {"learning": {"name": "Incremental"}},
    {"learning": {"name": "Incremental"}},
    {"learning": {"name": "ForwardUpdate"}},
    {"steps": 3},
    {"steps": 9},
    {"weights": {"name": "SGD", "rate": 0.05, "momentum": 0.9}},
    {"weights": {"name": "SGD", "rate": 0.01, "momentum": 0.9}},
    {"weights": {"name": "AdamW", "rate": 1e-3}},
    {"weights": {"name": "AdamW", "rate": 1e-2}},
    {"init": {"name": "Average", "m": 1}},
    {"init": {"name": "Forward", "noise": 0.1}},
    {"init": {"name": "Normal", "sd": 0.1}},
    {"init": {"name": "Null"}},
    {"init": {"name": "Memory", "patterns": 4, "embedding": 16}},
    {"precision": {"name": "Learned", "rate": 0.5}},
    {"window": True},
    {"batch_size": 20},
    {"batch_size": 10},
    {"seed": 3},
    {"energy": {"name": "CrossEntropy"}},
]
NAMES = (
    "step step step step change change change seek seek follow restart next_batch set_gear "
    "set_gear swap swap warm_up run_to_end"
).split()


def any_command(chance, row):
    """One command with legal arguments."""
    name = chance.choice(NAMES)
    given = {
        "step": lambda: {"n": chance.choice((1, 2, 4, 7, 19))},
        "change": lambda: chance.choice(CHANGES),
        "seek": lambda: {"row": chance.randint(0, row + 2)},
        "set_gear": lambda: {"gear": chance.choice(("step", "batch"))},
        "warm_up": lambda: {"batches": chance.randint(1, 3)},
    }
    return name, given.get(name, dict)()


def entries(choices):
    """Plain data as entries."""
    return {k: v if k in SCALARS else from_dict(k, v) for k, v in choices.items()}


@pytest.mark.parametrize("seed", range(16))
def test_whatever_is_asked_the_lanes_are_those_of_a_session_that_copies_everything(
    seed, monkeypatch
):
    """Marks at every row, at few, and at as few as may be left give the same rows and weights."""
    chance = random.Random(seed)
    monkeypatch.setattr(driver, "MARK_EVERY", chance.choice((1, 5, 16)))
    session = opened(align=False, budget=chance.choice((0, 0, 200_000, 2**30)))
    twin = Twin(SMALL)
    said = []
    for _ in range(14):
        name, given = any_command(chance, session.row)
        if sum(len(line.states) for line in twin.lanes) > 150:
            break
        said.append((name, given))
        do(session, name, **given)
        getattr(twin, name)(**(entries(given) if name == "change" else given))
        assert not session.message or name == "swap", (session.message, said)
        assert (session.row, session.cursor) == (twin.row, twin.cursor), said
        np.testing.assert_array_equal(weights(session), flat(twin), err_msg=str(said))
    assert len(session.lanes) == len(twin.lanes)
    for lane, line in zip(session.lanes, twin.lanes, strict=True):
        expected = np.stack([state.energies() for state in line.states])
        np.testing.assert_array_equal(energies(lane), expected, err_msg=f"{lane.id} of {said}")
        assert lane.trace.dataset()["batch"].values.tolist() == [s.batch for s in line.states]


def flat(twin):
    network = twin.line.states[-1].training.network
    return np.concatenate([p.detach().numpy().ravel() for p in network.parameters()])


def test_weights_and_what_an_init_has_learnt_count_once_in_the_size_of_the_marks():
    snapshot = SimpleNamespace(bytes=3, weights=SimpleNamespace(bytes=100))
    one, two = SimpleNamespace(bytes=10_000), SimpleNamespace(bytes=20_000)
    for learnt, expected in (([None] * 3, 0), ([one] * 3, 10_000), ([one, two, one], 30_000)):
        marks = [Mark(row, 0, snapshot, memory, None) for row, memory in enumerate(learnt)]
        lane = Lane(0, None, None, "", marks=marks)
        assert lane.bytes == 3 * 3 + 100 + expected
