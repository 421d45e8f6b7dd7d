"""What does recording add to a training? The same batches, without and with a run.

All train the same network on the same batches by the same engine and update. `bare` keeps nothing.
`measured` has a recorder at level lean, whose rows are read back once a second and not stored.
`recorded` is `core.runs.train.train`: rows, and of the batches what follows from them, are stored
once a second. No accuracy and no norm of an update is taken and no weights are kept, as that is no
part of recording rows. The first batch is not timed: it makes buffers and files.

They take turns, a batch each, so that what slows the machine for a while slows all of them: what is
looked for is smaller than what a second differs from the next.
"""

import random
import time
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from unittest.mock import patch

from core import LEAN, Experiment, Recorder, Training, make
from core.recorder import Chunk
from core.recording import fits_alignment
from core.runs import Run, course
from core.runs.course import BEAT
from core.runs.looks import CAPACITY
from core.runs.train import Every, Progress, train

NOTHING_ELSE = Every(weights=0, accuracy=0, updates=0, alignment=0)


def experiment(hidden: tuple[int, ...] = (512,) * 4, batch: int = 200, T: int = 8) -> Experiment:
    """W1 of the relaxation's benchmark, on digits."""
    return Experiment(
        network=make("network", "MLP", {"hidden": hidden}),
        pretraining="random",
        batch_size=batch,
        steps=T,
    )


class Bare:
    """A training that keeps nothing, or only measures."""

    def __init__(
        self, chosen: Experiment, batches: int, *, measured: bool = False, beat: float = BEAT
    ) -> None:
        """Choose.

        Args:
            chosen: all choices.
            batches: how many, the first included.
            measured: whether a recorder measures rows.
            beat: seconds between two readings of them.
        """
        self.label = "measured" if measured else "bare"
        self.chosen, self.batches, self.measured = chosen, batches, measured
        self.beat = beat
        self.chunk: Chunk | None = None

    def one_by_one(self) -> Iterator[int]:
        """Train; gives the number of each batch when it has ended."""
        chosen, images = self.chosen, self.chosen.dataset()
        network = chosen.build(images.shape, images.classes)
        training = Training(chosen, images, network, aligned=fits_alignment(chosen, images))
        recorder = Recorder(network, chosen.batch_size, level=LEAN, capacity=CAPACITY)
        chunk = None
        row, flushed = 0, time.perf_counter()
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
                if time.perf_counter() - flushed > self.beat:
                    chunk = recorder.drain()
                    flushed = time.perf_counter()
            training.finish(relaxation)
            if number == self.batches - 1:
                self.chunk = recorder.drain() or chunk
            yield number


def made(chosen: Experiment, batches: int, path: Path, progress: Progress) -> Run:
    """A training that is recorded as a run, which must not be there yet."""
    return train(chosen, path, batches=batches, every=NOTHING_ELSE, progress=progress)


class Turns:
    """The three trainings, a batch each in turn."""

    label = "in turns"

    def __init__(self, chosen: Experiment, batches: int, folder: Path) -> None:
        """Choose; the run is made in the folder, and deleted.

        Args:
            chosen: all choices.
            batches: of each training, the first included.
            folder: of the run.
        """
        self.chosen, self.batches, self.path = chosen, batches, folder / "recorded"
        self.found: list[dict[str, float]] = []

    def time(self) -> float:
        """Seconds of all; those of each training are appended to `found`, per batch."""
        lasted: dict[str, float] = {"bare": 0.0, "measured": 0.0, "recorded": 0.0}
        beat = len(lasted) * BEAT  # of the clock on the wall: a second of each training's own
        others = [Bare(self.chosen, self.batches, measured=one, beat=beat) for one in (False, True)]
        going = [(one.label, one.one_by_one()) for one in others]
        rng, begun, resumed = random.Random(0), time.perf_counter(), 0.0
        number = 0

        def turn(line: str, share: float) -> None:
            nonlocal resumed, number
            ended = time.perf_counter()
            if number:
                lasted["recorded"] += ended - resumed
            for label, one in rng.sample(going, len(going)):
                at = time.perf_counter()
                assert next(one) == number
                if number:
                    lasted[label] += time.perf_counter() - at
            number += 1
            resumed = time.perf_counter()

        with patch.object(course, "BEAT", beat):
            run = made(self.chosen, self.batches, self.path, turn)
        rows = run.rows()
        run.close()
        assert number == self.batches and rows == self.batches * (self.chosen.steps + 1)
        rmtree(self.path)
        self.found.append({label: s / (self.batches - 1) for label, s in lasted.items()})
        return time.perf_counter() - begun
