"""How does an end state depend on two dials? A small grid of relaxations of one batch.

All cells begin as the batch under the cursor began: the same samples and weights, and what the
init remembers. They are relaxed one after the other in a thread of their own, on copies.
"""

import copy
import dataclasses
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from core.batches import ImageSet
from core.catalogue import BadInput, Dial, card_of
from core.experiment import Experiment
from core.network import Network
from core.pretraining import first_weights
from core.recording import recorder_for
from core.trace import Trace
from core.training import Training
from workbench import measures
from workbench.lanes import Lane, Mark
from workbench.looking import at_row
from workbench.returning import Returning
from workbench.session import Session

MEASURES = {
    "imbalance": "imbalance (decades)",
    "total": "total energy F (nat)",
    "residual": "residual r",
    "reached": "layers reached",
    "cosine": "least cosine to backprop",
}
"""What is measured at the end of each cell."""

STEPS, DEPTH = "T", "hidden layers"
"""Axes that are no dial of an entry."""

KINDS = ("dynamics", "precision", "init", "learning", "task")
"""Whose numbers can be an axis."""

MOST = 12
"""Values of an axis."""


@dataclass(frozen=True)
class Axis:
    """One dial and the values that it takes.

    Args:
        name: as `axes` gives it, "dynamics.rate".
        values: in the order in which they are drawn.
    """

    name: str
    values: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Base:
    """Where a batch begins.

    Args:
        experiment: in force.
        images: that batches are from.
        network: a copy, with the weights with which the batch begins.
        mark: of the first row of the batch.
        aligned: whether its batches keep classes.
        lane: number of the lane.
    """

    experiment: Experiment
    images: ImageSet
    network: Network
    mark: Mark
    aligned: bool
    lane: int


@dataclass(frozen=True)
class Cell:
    """What came of one pair of values.

    Args:
        experiment: that was relaxed; None where it is refused.
        values: by the names of `MEASURES`, nan where there is no number.
        why: the sentence that refuses it, or how it failed; "" otherwise.
        word: that stands in its place then.
    """

    experiment: Experiment | None
    values: Mapping[str, float]
    why: str = ""
    word: str = "refused"


def axes(experiment: Experiment) -> dict[str, str]:
    """The dials of an experiment that are numbers, by name, with what is shown of them."""
    found = {STEPS: "T, steps"}
    for kind in KINDS:
        choice = getattr(experiment, kind)
        for dial in card_of(choice).dials:
            if dial.type in (int, float):
                found[f"{kind}.{dial.name}"] = f"{dial.symbol or dial.name} of {kind}"
    if _width(experiment):
        found[DEPTH] = "hidden layers"
    return found


def proposed(experiment: Experiment, name: str) -> tuple[Any, ...]:
    """Values around the one in force, all of them legal."""
    if name == STEPS:
        T = experiment.steps
        return tuple(sorted({max(1, T // 4), max(1, T // 2), T, 2 * T, 4 * T}))
    if name == DEPTH:
        return (2, 4, 8, 12)
    dial, value = _dial(experiment, name)
    low, high = dial.bounds or (-np.inf, np.inf)
    if dial.type is int:
        return tuple(n for n in sorted({0, value // 2, value, 2 * value, 4}) if low <= n <= high)
    around = [value * f for f in (0.1, 0.3, 1.0, 3.0, 10.0)] if value else [0.0, 0.01, 0.1, 0.5]
    return tuple(sorted({float(f"{min(max(v, low), high):.3g}") for v in around}))


def parsed(experiment: Experiment, name: str, text: str, field: str) -> Axis:
    """An axis as it was typed: numbers between commas or blanks.

    Raises:
        BadInput: naming the axis, what came and what is legal.
    """
    words = text.replace(",", " ").split()
    if not 1 <= len(words) <= MOST:
        raise BadInput(f"{field}: {len(words)} values; 1..{MOST}, between commas")
    whole = name in (STEPS, DEPTH) or _dial(experiment, name)[0].type is int
    values: list[Any] = []
    for word in words:
        try:
            value = int(word) if whole else float(word)
        except ValueError:
            raise BadInput(f"{field}: {word}; {'an integer' if whole else 'a number'}") from None
        if value in values:
            raise BadInput(f"{field}: {word} twice; each value once")
        values.append(value)
    return Axis(name, tuple(values))


def put(experiment: Experiment, name: str, value: Any) -> Experiment:
    """An experiment with another value of an axis.

    Raises:
        BadInput: if that is refused.
    """
    if name == STEPS:
        return experiment.changed(steps=value)
    if name == DEPTH:
        if not 1 <= value <= 256:
            raise BadInput(f"{DEPTH}: {value}; an integer 1..256")
        network: Any = experiment.network
        hidden = (_width(experiment),) * value
        return experiment.changed(network=dataclasses.replace(network, hidden=hidden))
    kind, _, dial = name.partition(".")
    choice = getattr(experiment, kind)
    return experiment.changed(**{kind: dataclasses.replace(choice, **{dial: value})})


def _width(experiment: Experiment) -> int:
    """Width of the hidden layers of a network whose hidden layers are all alike, else 0."""
    network: Any = experiment.network
    widths = set(getattr(network, "hidden", ()))
    return widths.pop() if len(widths) == 1 else 0


def _dial(experiment: Experiment, name: str) -> tuple[Dial, Any]:
    kind, _, wanted = name.partition(".")
    if kind not in KINDS:
        raise BadInput(f"axis: {name}; one of {', '.join(axes(experiment))}")
    choice = getattr(experiment, kind)
    for dial in card_of(choice).dials:
        if dial.name == wanted and dial.type in (int, float):
            return dial, getattr(choice, wanted)
    raise BadInput(f"axis: {name}; one of {', '.join(axes(experiment))}")


# Relaxing ----------------------------------------------------------------------------------------


def base(session: Session) -> Base | None:
    """Where the batch under the cursor begins; called by the worker, between two steps.

    None where the look gave way to what was asked of the worker.
    """
    assert session.lane is not None
    row = session.lane.begun_at(min(session.cursor, session.row))
    return at_row(session, row, _base)


def _base(at: Returning, lane: Lane) -> Base:
    training = lane.training
    network = copy.deepcopy(training.network)
    return Base(lane.experiment, training.images, network, at._here(), training.aligned, lane.id)


def relaxed(at: Base, experiment: Experiment) -> dict[str, float]:
    """What is measured at the end of the batch under other choices."""
    other = experiment.network != at.experiment.network
    images, mark = at.images, at.mark
    if other:
        network = experiment.build(images.shape, images.classes)
        first_weights(experiment, images, network, lambda line, share: None)
    else:
        network = copy.deepcopy(at.network)
    training = Training(experiment, images, network, aligned=at.aligned, watched=True)
    if not other:
        same = type(experiment.init) is type(at.experiment.init)
        training.memory = mark.memory if same else None
        training.previous = mark.previous
        training.precisions = mark.snapshot.precisions if mark.previous else None
    relaxation = training.relaxation(training.batches.batch(mark.batch), train=False)
    relaxation.run()
    recorder = recorder_for(experiment, network, pixels=images.pixels, align=True)
    recorder.take(relaxation, row=0, batch=mark.batch, recipe_id=0)
    trace = Trace(network, pixel_shape=images.shape)
    trace.recipes.append(experiment.recipe.to_dict())
    chunk = recorder.drain()
    assert chunk is not None
    trace.append(chunk)
    return _measured(trace)


def _measured(trace: Trace) -> dict[str, float]:
    data = trace.dataset()
    cosines = data["alignment"].values[-1] if "alignment" in data else np.full(1, np.nan)
    return {
        "imbalance": float(measures.imbalance(data).values[-1]),
        "total": float(measures.total_energy(data)["F"].values[-1]),
        "residual": float(measures.residual(data).values[-1]),
        "reached": float(measures.reached_count(data).values[-1]),
        "cosine": float(np.nanmin(cosines)) if np.isfinite(cosines).any() else float("nan"),
    }


def cell(at: Base, x: Axis, i: int, y: Axis, j: int) -> Cell:
    """The cell of the i-th value of x and the j-th of y."""
    try:
        experiment = put(put(at.experiment, x.name, x.values[i]), y.name, y.values[j])
        return Cell(experiment, relaxed(at, experiment))
    except BadInput as refused:
        return Cell(None, {}, str(refused))
    except Exception as failed:  # a rule of a user may break any of it
        said = " ".join(str(failed).split()) or type(failed).__name__
        return Cell(None, {}, said)


class Grid:
    """Cells that are relaxed in a thread, until all are there or another grid is wanted."""

    def __init__(
        self, session: Session, x: Axis, y: Axis, tell: Callable[[], None] = lambda: None
    ) -> None:
        """Begin with what is under the cursor.

        Args:
            session: whose batch it is.
            x: one axis.
            y: the other one.
            tell: called after each cell, from the thread.
        """
        self.x, self.y = x, y
        self.cells: dict[tuple[int, int], Cell] = {}
        self.at: Base | None = None
        self.trouble = ""
        self._session, self._tell = session, tell
        self._stopped = threading.Event()
        session.aside(self._begin)

    @property
    def size(self) -> int:
        """Cells in all."""
        return len(self.x.values) * len(self.y.values)

    @property
    def done(self) -> bool:
        """Whether nothing more will come."""
        return self._stopped.is_set() or bool(self.trouble) or len(self.cells) == self.size

    def stop(self) -> None:
        """After the cell that is relaxing, no other."""
        self._stopped.set()

    def _begin(self) -> None:
        """On the worker."""
        if self._stopped.is_set():
            return
        try:
            self.at = base(self._session)
            if self.at is None:  # behind what was asked meanwhile
                self._session.aside(self._begin)
                return
        except Exception as failed:
            self.trouble = " ".join(str(failed).split()) or type(failed).__name__
            self._tell()
            return
        threading.Thread(target=self._run, name="grid", daemon=True).start()

    def _run(self) -> None:
        torch.set_num_threads(1)
        assert self.at is not None
        for j in range(len(self.y.values)):
            for i in range(len(self.x.values)):
                if self._stopped.is_set():
                    return
                found = cell(self.at, self.x, i, self.y, j)
                self.cells = {**self.cells, (i, j): found}
                self._tell()
