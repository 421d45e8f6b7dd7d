"""The same seed gives the same bits, and nobody draws from a generator that all share."""

import ast
import random
from pathlib import Path

import numpy as np
import pytest
import torch

import core
from core import Experiment, make
from core.engines import ENGINES
from core.schema import CLOCK

ROOT = Path(__file__).parents[2]

SMALL = {
    "network": make("network", "MLP", {"hidden": (8, 8), "activation": "identity"}),
    "dataset": make("dataset", "SmallDigits"),
    "pretraining": "random",
    "batch_size": 10,
    "steps": 6,
    "seed": 5,
}

KINDS = {
    "noise in the init": {"init": make("init", "Forward", {"noise": 0.1})},
    "drawn states": {"init": make("init", "Normal", {"sd": 0.1})},
    "a memory of patterns": {"init": make("init", "Memory", {"patterns": 4, "embedding": 16})},
    "drawn steps": {"dynamics": make("dynamics", "Langevin", {})},
    "weights that move": {"learning": make("learning", "Incremental", {})},
}


def states():
    """Of the generators that a whole process shares."""
    of_numpy = str(np.random.get_state())  # noqa: NPY002
    return torch.get_rng_state().numpy().tobytes(), of_numpy, random.getstate()


def traced(experiment):
    """Every number and text of a trace, but the clock's."""
    trace = core.relax(experiment).drop_vars(CLOCK, errors="ignore")
    return {str(name): trace[name].values.tobytes() for name in trace.variables}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("engine", ENGINES)
def test_the_same_seed_gives_the_same_bits_and_draws_from_no_generator_of_everybody(kind, engine):
    try:
        experiment = Experiment(**(SMALL | KINDS[kind]), engine=engine)
    except core.BadInput:  # this engine has no such rule
        return
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        before = states()
        found.append(traced(experiment))
        assert states() == before
    assert found[0] == found[1]
    assert traced(experiment.changed(seed=6)) != found[0]


SHARED = {"seed", "manual_seed", "set_state", "setstate", "set_rng_state"}

GENERATORS = {"default_rng", "Generator", "PCG64", "SeedSequence", "Random", "fork_rng"}
"""What makes a generator of one's own, or puts the shared one back."""


@pytest.mark.parametrize("folder", ["core", "workbench", "apps"])
def test_no_file_draws_from_a_generator_of_everybody(folder):
    for path in sorted((ROOT / folder).rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        put_back = {
            inner
            for node in ast.walk(tree)
            if isinstance(node, ast.With) and "fork_rng" in ast.unparse(node.items[0])
            for inner in ast.walk(node)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            owner, name = ast.unparse(node.func.value), node.func.attr
            where = f"{path.relative_to(ROOT)}:{node.lineno}: {owner}.{name}"
            if owner in ("random", "np.random", "numpy.random", "torch.random"):
                assert name in GENERATORS, where
            if node in put_back:
                continue
            assert not (owner == "torch" and name in SHARED), where
            if owner == "torch" and name in ("rand", "randn", "randint", "randperm", "normal"):
                assert any(one.arg == "generator" for one in node.keywords), where
