"""What does recording add to a training? The same batches, without and with a run.

Both sides train the same network on the same batches by the same engine and update. `bare` keeps
nothing. `measured` has a recorder at level lean, whose rows are read back once a second and not
stored. `recorded` is `core.runs.train.train`: rows, and of the batches what follows from them, are
stored once a second. No accuracy and no norm of an update is taken and no weights are kept, as that
is no part of recording rows. The first batch is not timed: it makes buffers and files.
"""

import time
from pathlib import Path
from shutil import rmtree

from core import LEAN, Experiment, Recorder, Training, make
from core.recorder import Chunk
from core.recording import fits_alignment
from core.runs import Run
from core.runs.course import BEAT
from core.runs.looks import CAPACITY
from core.runs.train import Every, train

NOTHING_ELSE = Every(weights=0, accuracy=0, updates=0, alignment=0)


def experiment(hidden: tuple[int, ...] = (512,) * 4, batch: int = 200, T: int = 8) -> Experiment:
    """W1 of the relaxation's benchmark, on digits."""
    return Experiment(
        network=make("network", "MLP", {"hidden": hidden}),
        pretraining="random",
        batch_size=batch,
        steps=T,
    )


class Clock:
    """Notes when the first batch had ended, and the last one."""

    def __init__(self) -> None:
        self.begun = self.ended = 0.0

    def __call__(self, line: str, share: float) -> None:
        self.ended = time.perf_counter()
        self.begun = self.begun or self.ended

    @property
    def seconds(self) -> float:
        return self.ended - self.begun


class Bare:
    """A training that keeps nothing, or only measures."""

    def __init__(self, chosen: Experiment, batches: int, *, measured: bool = False) -> None:
        """Choose.

        Args:
            chosen: all choices.
            batches: how many, the first included.
            measured: whether a recorder measures rows.
        """
        self.label = "measured" if measured else "bare"
        self.chosen, self.batches, self.measured = chosen, batches, measured
        self.chunk: Chunk | None = None

    def time(self) -> float:
        """Seconds of all batches but the first."""
        chosen, images = self.chosen, self.chosen.dataset()
        network = chosen.build(images.shape, images.classes)
        training = Training(chosen, images, network, aligned=fits_alignment(chosen, images))
        recorder = Recorder(network, chosen.batch_size, level=LEAN, capacity=CAPACITY)
        chunk = None
        clock, row, flushed = Clock(), 0, time.perf_counter()
        for number in range(self.batches):
            batch = training.batches.batch(number)
            relaxation = training.relaxation(batch, train=True)
            if not self.measured:
                relaxation.run()
            else:
                while True:
                    recorder.take(relaxation, row=row, batch=number, recipe_id=0, seconds=0.0)
                    row += 1
                    if relaxation.done:
                        break
                    relaxation.advance()
                if time.perf_counter() - flushed > BEAT:
                    chunk = recorder.drain()
                    flushed = time.perf_counter()
            training.finish(relaxation)
            clock("", (number + 1) / self.batches)
        self.chunk = recorder.drain() or chunk
        return clock.seconds


class Recorded:
    """A training that is recorded as a run."""

    def __init__(self, chosen: Experiment, batches: int, folder: Path) -> None:
        """Choose; the run is made in the folder, and deleted."""
        self.label = "recorded"
        self.chosen, self.batches, self.path = chosen, batches, folder / "recorded"

    def time(self) -> float:
        """Seconds of all batches but the first."""
        clock = Clock()
        run = self.made(clock)
        rows = run.rows()
        run.close()
        assert rows == self.batches * (self.chosen.steps + 1), f"{rows} rows were stored"
        rmtree(self.path)
        return clock.seconds

    def made(self, clock: Clock) -> Run:
        """The run, its batches noted by a clock."""
        rmtree(self.path, ignore_errors=True)
        return train(
            self.chosen, self.path, batches=self.batches, every=NOTHING_ELSE, progress=clock
        )
