"""Ranks in processes of their own, and what they train: choices whose update is known otherwise."""

import os
import signal
from pathlib import Path

import torch
from safetensors.torch import save_file

from core import Experiment, make
from core.ranks import RankLost, joined
from core.runs import together
from core.runs.joint import Joint
from core.runs.looks import Every

BATCHES = 3

LOOKS = Every(weights=0, accuracy=2, updates=2)
FEW = Every(weights=0, accuracy=0, updates=2)
"""Of convolutions, whose many test images take longer than all else."""

NARROW = {"hidden": [12, 10], "activation": "tanh"}


ENTRIES = ("init", "network", "dataset", "weights", "dynamics", "learning", "precision", "task")
PLAIN = {"batch_size": 20, "steps": 4, "pretraining": "random", "seed": 3}


MORTAL = "null"
"""The case in which a rank dies: one whose every sample has a past."""


def looks(name):
    """What is looked at in a case."""
    return FEW if "BatchNorm" in name else LOOKS


def experiment(**choices):
    """A training of milliseconds; an entry is its name, or its name and dials."""
    given = {"init": "Forward", "network": ("MLP", NARROW), "dataset": "SmallDigits"}
    given |= {"weights": "SGD"} | PLAIN | choices
    for kind in (*ENTRIES, "energy"):
        if kind in given:
            name, dials = given[kind] if isinstance(given[kind], tuple) else (given[kind], {})
            given[kind] = make(kind, name, dials)
    return Experiment(**given)


def cases():
    """Name -> experiment."""
    found = {}
    memory = {"patterns": 24, "sharpness": 1.0, "cutoff": 0.1}
    for name, dials in (("Forward", {}), ("Average", {"m": 1}), ("Memory", memory)):
        for dtype in ("float32", "float64"):
            init = name, dials
            found[f"{name} {dtype}"] = experiment(init=init, dtype=dtype)
            narrow = {"width": 1 / 16, "activation": "tanh", "batch_norm": "frozen"}
            more = {"network": ("VGG", narrow), "dataset": "Digits", "steps": 6, "batch_size": 40}
            if (name, dtype) == ("Memory", "float32"):
                # Its first recollections are far off, and errors of hundreds magnify rounding.
                more["weights"] = "SGD", {"rate": 1e-5}
            found[f"{name} BatchNorm {dtype}"] = experiment(init=init, dtype=dtype, **more)
    nudged = {
        "learning": "EquilibriumPropagation",
        "task": ("Nudge", {"scheme": "random", "beta": 0.5}),
    }
    others = {
        "zero": {"init": "Zero"},
        "normal": {"init": "Normal"},
        "null": {"init": "Null"},
        "momentum": {"dynamics": ("HeavyBall", {"momentum": 0.5})},
        "incremental": {"learning": "Incremental"},
        "forward update": {"learning": "ForwardUpdate", "precision": "Spiking"},
        "backprop": {"learning": "Backprop"},
        "cross-entropy": {"energy": "CrossEntropy"},
        "random sign": nudged,
        "clamped nudge": {"task": ("ClampedNudge", {"beta": 0.3})},
        "AdamW": {"weights": "AdamW"},
        "plain": {"engine": "plain"},
    }
    double = {"dtype": "float64"}
    return found | {name: experiment(**one, **double) for name, one in others.items()}


def train_all(pipe, rank, count, port, folder, names, checkpoint=60.0):
    """One of several ranks: train the named cases with the others.

    Args:
        pipe: told the name of each that is done; "lost: …" where a rank no longer answers.
        rank: of this process.
        count: of ranks.
        port: at which rank 0 listens.
        folder: takes the runs, and the weights that each rank ends with.
        names: of the cases.
        checkpoint: seconds between two of them, whatever they cost.
    """
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "LOCAL_RANK": str(rank)}
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(count)}
    courses = []

    class Kept(together.Joint):
        """One that can be looked at when it has ended."""

        def __init__(self, *args):
            super().__init__(*args)
            self.share = 1e9
            courses.append(self)

    together.Joint = Kept
    known = cases()
    try:
        with joined() as ranks:
            for name in names:
                run = Path(folder) / name.replace(" ", "-")
                more = {"every": looks(name), "checkpoint": checkpoint}
                how = together.train(known[name], run, ranks, batches=BATCHES, **more)
                assert how == "finished", how
                held = courses.pop().network.state_dict()
                save_file(held, run.with_name(f"{run.name}.{rank}.safetensors"))
                pipe.send(name)
    except RankLost as lost:
        pipe.send(f"lost: {lost}")


def die_at(pipe, rank, count, port, folder, batch):
    """As `train_all` of one case, but the last rank dies when it would begin a batch.

    Where its run is there, the ranks go on with it, and nobody dies.
    """
    if (Path(folder) / MORTAL.replace(" ", "-")).exists():
        together.train = lambda one, run, ranks, **more: together.resume(run, ranks)
    elif rank == count - 1:
        begin = Joint._batch

        def until(self, number):
            if number == batch:
                os.kill(os.getpid(), signal.SIGKILL)
            begin(self, number)

        Joint._batch = until
    train_all(pipe, rank, count, port, folder, [MORTAL], 1e-9)
