"""Which pictures are in the documentation? Those of runs that are made while it is built."""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from core import Experiment, Training, accuracy, relax
from core.batches import ImageSet
from core.pretraining import first_weights
from workbench import composing, look, measures
from workbench.plate import Plate
from workbench.session import Session

TRAINED = 100
"""Batches of a training that is shown."""

EVERY = 10
"""Batches between two tests of accuracy."""


KEPT = ".txt"
"""Ending of the caption beside a picture."""


def once(path: Path, draw: Callable[[], str], *, keep: bool) -> str:
    """A picture's caption; the picture is drawn, unless one that is there is to be kept.

    Args:
        path: of the picture.
        draw: draws it and gives the caption.
        keep: whether a picture that is there is taken for the one that would be drawn.
    """
    told = path.with_suffix(KEPT)
    if keep and told.exists() and path.exists():
        return told.read_text("utf-8")
    caption = draw()
    told.write_text(caption, "utf-8")
    return caption


def relaxed(experiment: Experiment, *, steps: int | None = None, warm_up: int = 0) -> xr.Dataset:
    """A relaxation of the first batch, with cosines to backprop where the task has a loss.

    Args:
        experiment: all choices.
        steps: rows after the first; by default all of all phases.
        warm_up: batches that are relaxed first, so that an init that remembers has a past.
    """
    return _relaxed(json.dumps(experiment.to_dict(), sort_keys=True), steps, warm_up)


@functools.lru_cache(maxsize=8)
def _relaxed(told: str, steps: int | None, warm_up: int) -> xr.Dataset:
    experiment = Experiment.from_dict(json.loads(told))
    if not warm_up and steps is None:
        return relax(experiment, align=True)
    events = []
    if warm_up:
        said = {"command": "warm_up", "args": {"batches": warm_up}, "asked": 1, "applied": 1}
        events.append(said)
    rows = 1 + (experiment.steps if steps is None else steps)
    log = {"experiment": experiment.to_dict(), "events": events, "taken": len(events) + rows}
    session = Session.replay(log)
    assert session.lane is not None
    return session.lane.trace.dataset()


def svg(views: Sequence[str], trace: xr.Dataset, path: Path, columns: int = 2) -> None:
    """Views of a trace side by side, as wide as two columns of a paper, or as one."""
    plate = Plate(tuple(views), columns=columns)
    with look.paper_style():
        _save(composing.figure(trace, plate), path)


def numbers(trace: xr.Dataset) -> str:
    """The last row in a sentence."""
    count = trace.sizes["layer"]
    reached = int(measures.reached_count(trace).values[-1])
    apart = float(measures.imbalance(trace).values[-1])
    total = float(measures.total_energy(trace)["F"].values[-1])
    steps = int(trace["t"].values[-1])
    spread = f", {apart:.1f} decades apart" if np.isfinite(apart) else ""
    said = f"After {steps} steps {reached} of {count} layers are above rounding{spread}; F = "
    return f"{said}{look.short(total)} nat."


def course(experiment: Experiment) -> tuple[list[int], list[float]]:
    """Test accuracy of a classifier from random weights, every `EVERY` batches."""
    experiment = experiment.changed(pretraining="random")
    images = experiment.dataset()
    network = experiment.build(images.shape, images.classes)
    first_weights(experiment, images, network, lambda line, share: None)
    training = Training(experiment, images, network)
    batches, found = [0], [accuracy(network, images.test_x, images.test_y)]
    for number in range(TRAINED):
        relaxation = training.relaxation(training.batches.batch(number), train=True)
        relaxation.run()
        training.finish(relaxation)
        if (number + 1) % EVERY == 0:
            batches.append(number + 1)
            found.append(accuracy(network, images.test_x, images.test_y))
    return batches, found


def courses_svg(
    held: Mapping[str, tuple[list[int], list[float]]], shown: str, chance: float, path: Path
) -> None:
    """Accuracies of several trainings, one of them in front.

    Args:
        held: batches and accuracies by title.
        shown: the title of the one in front.
        chance: accuracy of guessing.
        path: where to.
    """
    with look.paper_style():
        figure = Figure(figsize=(look.COLUMN * 1.4, 1.9), layout="constrained")
        ax = figure.subplots()
        for title, (batches, found) in held.items():
            front = title == shown
            colour = look.PAPER.accent if front else look.PAPER.ghost
            width, order = (1.6, 3) if front else (0.8, 2)
            label = title if front else None
            ax.plot(batches, found, color=colour, lw=width, zorder=order, label=label)
        ax.axhline(chance, color=look.PAPER.grid, lw=0.8, zorder=1)
        ax.set(xlabel="batches", ylabel="test accuracy", ylim=(0, 1))
        ax.legend(loc="best")
        _save(figure, path)


def images_svg(images: ImageSet, path: Path, columns: int = 12) -> None:
    """The first training images of each class, class by class in rows of `columns`."""
    labels = np.asarray(images.train_y)
    first = [np.flatnonzero(labels == k)[:columns] for k in range(min(images.classes, 10))]
    rows = []
    for at in first:
        shown = images.brightness(images.train_x[at]).clamp(0, 1).permute(0, 2, 3, 1)
        rows.append(np.concatenate(list(shown.numpy()), axis=1))
    whole = np.concatenate(rows, axis=0)
    with look.paper_style():
        wide = look.COLUMN * 1.4
        figure = Figure(figsize=(wide, wide * whole.shape[0] / whole.shape[1]))
        ax = figure.add_axes((0, 0, 1, 1))
        ax.imshow(whole.squeeze(), cmap=look.PAPER.image, vmin=0, vmax=1, interpolation="none")
        ax.set_axis_off()
        _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata: dict[str, Any] = {"Date": None}
    figure.savefig(path, format="svg", metadata=metadata)
