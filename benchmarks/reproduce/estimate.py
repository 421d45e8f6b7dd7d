"""How long would a table take on this machine? A few batches of each cell are measured.

Images are drawn at random where a set tells how many it has, of what shape: seconds of a batch do
not depend on pixels, and nothing is read. Sets that do not tell are read.
"""

import math
import re
import statistics
import time
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks import machine
from benchmarks.report import table
from benchmarks.reproduce.cells import Cell, Folder
from benchmarks.reproduce.deeper import IMAGENET
from benchmarks.reproduce.made import Table
from core.batches import Batches, ImageSet
from core.datasets import cifar, folder
from core.datasets.pixels import image_set
from core.experiment import Experiment
from core.training import Training, accuracy

PATIENCE = 5.0
"""Seconds: where the first batch takes longer, it is not taken for a rehearsal but measured."""


@dataclass(frozen=True)
class Estimate:
    """Of a cell.

    Args:
        cell: what would be trained.
        seconds: of a whole batch.
        samples: that were measured of it; where they are fewer, so were twice as many, and the
            seconds are those of a straight line through both.
        batches: of all epochs.
        tests: seconds of all tests, after each epoch and before the first.
        seeds: cells that differ by their seed only.
    """

    cell: Cell
    seconds: float
    samples: int
    batches: int
    tests: float
    seeds: int

    @property
    def hours(self) -> float:
        """Of the trainings of all seeds."""
        return self.seeds * (self.seconds * self.batches + self.tests) / 3600


def lines(
    of: Table, place: Folder, wanted: str, *, batches: int, samples: int
) -> tuple[list[str], list[Estimate]]:
    """The estimate of a table in Markdown, short and full, and its numbers.

    Args:
        of: the table.
        place: where images that have to be read lie, and what computes.
        wanted: regular expression that names of cells match.
        batches: measured of each cell.
        samples: of a batch that are measured; 0 for all.
    """
    head = ["", "row", "method", "s a batch", "samples", "batches", "seeds", "hours"]
    rows, found, every = [], [], []
    for short in (True, False):
        groups: dict[str, list[Cell]] = {}
        for cell in of.cells(short, {}):
            if re.search(wanted, cell.name):
                groups.setdefault(cell.name.rpartition("-")[0], []).append(cell)
        size = "short" if short else "full"
        found = [
            measured(cells[0], place, len(cells), batches=batches, samples=samples)
            for cells in groups.values()
        ]
        rows += [[size, *_row(one)] for one in found]
        rows.append([size, "all", "", "", "", "", "", f"{sum(one.hours for one in found):.3g}"])
        every += found
    said = machine.about()
    threads = torch.get_num_threads()
    by = place.device if place.device != "cpu" else f"{said['processor']}, {threads} thread(s)"
    count = f"{batches} batch{'es' if batches > 1 else ''}"
    ends = f"Measured: medians of {count} on {by}, torch {said['versions']['torch']}."
    return [f"### {of.title}: estimate", "", *table(head, rows).splitlines(), "", ends], every


def _row(one: Estimate) -> list[str]:
    """The columns of an estimate."""
    return [
        one.cell.row,
        one.cell.method,
        f"{one.seconds:.3g}",
        f"{one.samples} of {one.cell.choices['batch_size']}",
        f"{one.batches:,}",
        str(one.seeds),
        f"{one.hours:.3g}",
    ]


def measured(cell: Cell, place: Folder, seeds: int, *, batches: int, samples: int) -> Estimate:
    """The estimate of a cell.

    Args:
        cell: of the table.
        place: where images that have to be read lie, and what computes.
        seeds: as many cells like it.
        batches: how many are measured.
        samples: of a batch; 0 for all.
    """
    whole = cell.experiment(place.data, device=place.device)
    count, tested, images = _images(whole)
    size = whole.batch_size
    if 0 < 2 * samples < size:
        size = _few(whole, samples, images.classes)
        one, two = (
            _seconds(_training(whole.changed(batch_size=n), images), batches, place.device)
            for n in (size, 2 * size)
        )
        seconds = one + max(0.0, two - one) * (whole.batch_size - size) / size
    else:
        seconds = _seconds(_training(whole, images), batches, place.device)
    network = whole.build(images.shape, images.classes)
    x, y = images.test_x[:size], images.test_y[:size]
    begun = time.perf_counter()
    accuracy(network, x, y)
    a_test = (time.perf_counter() - begun) * tested / len(y)
    done = cell.epochs * count
    return Estimate(cell, seconds, size, done, a_test * (cell.epochs + 1), seeds)


def _few(experiment: Experiment, samples: int, classes: int) -> int:
    """Samples of a smaller batch, of every class where batches are aligned."""
    return math.ceil(samples / classes) * classes if _aligned(experiment) else samples


def _aligned(experiment: Experiment) -> bool:
    """Whether its batches have as many samples of each class."""
    return bool(getattr(experiment.init, "aligned", False))


def _training(experiment: Experiment, images: ImageSet) -> Training:
    """A training of the experiment, with random first weights."""
    return Training(experiment, images, experiment.build(images.shape, images.classes))


def _seconds(training: Training, batches: int, device: str) -> float:
    """The median over some batches, behind a first one that warms up if it is no long one."""
    found: list[float] = []
    for k in range(batches + 1):
        begun = time.perf_counter()
        relaxation = training.relaxation(training.batches.batch(k), train=True)
        for _ in relaxation:
            pass
        training.finish(relaxation)
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - begun)
        if k == 0 and found[0] > PATIENCE:
            return found[0]
    return statistics.median(found[1:])


def _images(experiment: Experiment) -> tuple[int, int, ImageSet]:
    """Batches of an epoch, images of the test, and images to measure with."""
    held: Any = experiment.dataset
    if isinstance(held, folder.Folder):
        shape, classes, counts = (3, held.short, held.short), held.classes, IMAGENET
    elif hasattr(held, "images"):
        shape, classes, counts = held.shape, held.classes, held.images
    else:
        images = held()
        per_epoch = Batches(
            images, experiment.batch_size, aligned=_aligned(experiment), seed=0
        ).per_epoch
        return per_epoch, len(images.test_y), images
    size = experiment.batch_size
    train = counts[0] * min(getattr(held, "fraction", 1.0), 1 - getattr(held, "validation", 0.0))
    return max(1, round(train) // size), counts[1], _drawn(held, shape, classes, size)


def _drawn(held: Any, shape: tuple[int, ...], classes: int, size: int) -> ImageSet:
    """Images of random pixels, enough for a batch of each split."""
    lots = torch.Generator().manual_seed(0)
    y = torch.arange(size) % classes
    x = torch.randint(0, 256, (size, *shape), dtype=torch.uint8, generator=lots)
    names = tuple(str(c) for c in range(classes))
    published = folder.PUBLISHED if held.scale == folder.IMAGENET else None
    published = cifar.PUBLISHED.get(type(held).__name__, published)
    return image_set(
        "random pixels",
        (x, y),
        (x, y),
        full=255.0,
        scale=held.scale,
        class_names=names,
        published=published,
        augment=getattr(held, "augment", "none"),
        side=getattr(held, "side", None),
    )
