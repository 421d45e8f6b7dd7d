"""Sessions without a clock: commands are asked for as a page does, and then had their effect."""

import queue
import time

import numpy as np

from core import Experiment, make
from core.schema import CLOCK
from workbench.session import Session

SMALL = Experiment(
    network=make("network", "MLP", {"hidden": (8, 8, 8)}),
    dataset=make("dataset", "SmallDigits"),
    pretraining="random",
    batch_size=10,
    steps=5,
)
"""Four layers, six rows a batch."""


def opened(experiment=SMALL, **options):
    """A session whose first lane is open, in this thread."""
    session = Session(experiment, **options)
    session._prepare()
    return session


def settle(session):
    """Let the worker's loop run until nothing is asked for and nothing is owed."""
    while True:
        try:
            session._attempt(session._queue.get_nowait())
        except queue.Empty:
            if not session._owed:
                return
            session._turn()


def do(session, name, *args, **choices):
    """One command with all its effect."""
    getattr(session, name)(*args, **choices)
    settle(session)


def free(session, rows):
    """Play as fast as it goes for some rows, without handing them over in between."""
    session.set_speed(None)
    session.play()
    while not session._queue.empty():
        session._attempt(session._queue.get_nowait())
    session._drained = time.monotonic() + 1e6
    for _ in range(rows):
        session._turn()
    session._drained = 0.0


def rows(lane):
    """All rows of a lane as plain arrays, copied; without the clock, which differs every time."""
    data = lane.trace.dataset().drop_vars(CLOCK)
    held = {name: data[name].values.copy() for name in data.variables}
    held["recipes"] = [dict(one) for one in lane.trace.recipes]
    held["labels"] = {k: one.labels.copy() for k, one in lane.trace.batches.items()}
    return held


def assert_same_rows(one, other, upto=None):
    """Bit for bit: what `rows` gave of two lanes, or of one lane at two times.

    Args:
        one: the rows.
        other: of the other lane.
        upto: the first so many rows only, and no recipes.
    """
    for name, values in one.items():
        if name in ("recipes", "labels"):
            if upto is None:
                assert str(values) == str(other[name]), name
        elif upto is None:
            np.testing.assert_array_equal(values, other[name], err_msg=name)
        elif len(values) == len(one["step"]) and name not in ("layer", "state", "frame"):
            np.testing.assert_array_equal(values[:upto], other[name][:upto], err_msg=name)


def energies(lane):
    """Energy of each layer and sample in every row."""
    return lane.trace.dataset()["energy_sample"].values


def weights(session):
    """All weights of the live network, one vector."""
    parameters = session.lane.training.network.parameters()
    return np.concatenate([p.detach().cpu().numpy().ravel() for p in parameters])


def waited(done, seconds=60.0):
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)
