"""What does a session add to a bare relaxation? 200 steps of W1, driven as its worker drives it.

Both sides take the same steps of the same experiment by the same engine, that of relaxations which
are watched, with the same recorder. The session's side has
in addition the queue of commands, the marks to rewind to, the hand-over of rows to the trace, and
the watch for divergence. There is no page, and no thread: the worker's loop runs here, with as many
threads of torch as the bare side has.
"""

import queue
from typing import Any

from benchmarks.cases import OFF, seconds
from core import FULL, Experiment, Training, make
from core.recording import recorder_for
from workbench.session import Session

STEPS = 200

WATCHED = "full, alignment"
"""What the page records: besides `FULL`, each layer's update against that of backprop."""


def experiment(engine: str, hidden: tuple[int, ...] = (512,) * 4, batch: int = 200) -> Experiment:
    """W1 on digits with random weights, but so many steps."""
    return Experiment(
        network=make("network", "MLP", {"hidden": hidden}),
        pretraining="random",
        batch_size=batch,
        steps=STEPS,
        engine=engine,
    )


class Bare:
    """A relaxation and a recorder."""

    def __init__(self, chosen: Experiment, level: str) -> None:
        """Record as `level` says: `OFF`, `FULL` or `WATCHED`."""
        self.label = f"bare {level}"
        self.chosen, self.level = chosen, level
        self.images = chosen.dataset()

    def time(self) -> float:
        """Seconds of all steps, the first row made before."""
        network = self.chosen.build(self.images.shape, self.images.classes)
        training = Training(self.chosen, self.images, network, aligned=True, watched=True)
        relaxation = training.relaxation(training.batches.batch(0), train=False)
        relaxation.step()
        if self.level == OFF:
            return seconds(relaxation.run)
        recorder = recorder_for(
            self.chosen,
            network,
            pixels=(self.images.low, self.images.high),
            align=self.level == WATCHED,
        )
        recorder.take(relaxation, row=0, batch=0, recipe_id=0)

        def steps() -> None:
            for row in range(1, STEPS + 1):
                relaxation.advance()
                recorder.take(relaxation, row=row, batch=0, recipe_id=0)
            recorder.drain()

        return seconds(steps)


class Driven:
    """A session to which "200 steps" is said."""

    def __init__(self, chosen: Experiment, level: str) -> None:
        """Record as `level` says: `FULL`, `WATCHED`, or `OFF`: rows are made but not measured."""
        self.label = f"session {level}"
        self.chosen, self.level = chosen, level

    def time(self) -> float:
        """Seconds from the command to the last row in the trace."""
        session = Session(self.chosen, align=self.level == WATCHED)
        session._prepare()
        if self.level == OFF:
            session._recorder = Nothing()  # pyright: ignore[reportAttributeAccessIssue]
        session.step(STEPS)
        found = seconds(lambda: worked(session))
        assert session.row == STEPS, session.message
        return found


class Nothing:
    """A recorder that measures nothing."""

    take = drain = staticmethod(lambda *_, **__: None)


def worked(session: Session) -> None:
    """The worker's loop until nothing is asked for and nothing is owed."""
    while True:
        try:
            command = session._queue.get_nowait()
        except queue.Empty:
            if not session._owed:
                return
            session._turn()
        else:
            assert command is not None
            session._attempt(command)


GROUPS = {"session": (FULL, OFF), "session of the page": (WATCHED,)}
"""Levels that are timed in the same rounds."""


def cases(levels: tuple[str, ...], engine: str, **sizes: Any) -> list[Bare | Driven]:
    """Both sides at each level of recording."""
    chosen = experiment(engine, **sizes)
    return [side(chosen, level) for level in levels for side in (Bare, Driven)]
