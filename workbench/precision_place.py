"""Which precisions are in force where a session stands, and at which of their steps?"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from core import kinds
from core.catalogue import card_of
from core.experiment import Experiment
from core.precisions.table import Table
from core.rows import begins_anew
from workbench.lanes import Lane
from workbench.precision_table import Cells
from workbench.session import Session


@dataclass(frozen=True)
class Place:
    """What a table by hand is about.

    Args:
        precision: the entry in force at the end of the lane.
        T: steps of the longest phase.
        depth: of each layer.
        names: of each layer.
        remarks: what acts on top of the table, or is to be known about its steps.
    """

    precision: Any
    T: int
    depth: tuple[int, ...]
    names: tuple[str, ...]
    remarks: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Steps and columns of a table."""
        return self.T, len(set(self.depth))

    @property
    def columns(self) -> list[str]:
        """Names of the columns: of all layers at a depth."""
        found: dict[int, list[str]] = {}
        for depth, name in zip(self.depth, self.names, strict=True):
            found.setdefault(depth, []).append(name)
        return [" and ".join(found[depth]) for depth in sorted(found)]

    @property
    def adapts(self) -> bool:
        """Whether the precisions follow the errors, so that no table is known beforehand."""
        return isinstance(self.precision, kinds.Adaptive)


def place_of(lane: Lane) -> Place:
    """The precisions in force at the end of a lane."""
    experiment, trace = lane.experiment, lane.trace
    plan = lane.plan or (("relax", experiment.steps),)
    return Place(
        experiment.precision,
        max(1, *(T for _, T in plan)),
        tuple(int(one) for one in trace.depths),
        tuple(trace.names[i] for i in trace.layers),
        tuple(_remarks(lane, experiment, plan)),
    )


def _remarks(lane: Lane, experiment: Experiment, plan: Any) -> Any:
    """What else acts on precisions."""
    if experiment.window:
        yield "the energy window switches layers off on top of it"
    if experiment.output_precision != 1.0:
        yield f"the output's is multiplied by λ {experiment.output_precision:g} on top of it"
    if lane.training.network.auxiliary:
        yield "those of auxiliary neurons are divided by the state rate on top of it"
    if len(plan) > 1:
        steps = ", ".join(f"{name} has {T}" for name, T in plan)
        yield f"each phase begins at its step 0: {steps} steps"


def before_by_hand(lane: Lane) -> Any:
    """The newest formula that was in force in a lane before a table, or None."""
    for _, experiment, _ in reversed(lane.choices):
        if hasattr(experiment.precision, "table") and not isinstance(experiment.precision, Table):
            return experiment.precision
    return None


def step_of(lane: Lane, row: int) -> tuple[int, int] | None:
    """Where a row stands: the step of the schedule in force, and the t at which that began.

    A formula that is chosen within a batch begins there with its step 0; a table goes on.
    """
    held = lane.trace.row(row)
    if held is None:
        return None
    t = int(held["t"])
    first, begun = int(held["step"]) - t, 0
    for (_, old, _), (at, new, _) in zip(lane.choices, lane.choices[1:], strict=False):
        if first <= at <= row and begins_anew(old.precision, new.precision):
            begun = at - first
    return t - begun, begun


class Learned:
    """Has the worker tell what adaptive precisions have learnt, whenever there is a new row."""

    def __init__(self, session: Session) -> None:
        """Nothing is known so far."""
        self.newest: tuple[int, Cells] | None = None
        self._session = session
        self._asked: Any = None

    def follow(self) -> None:
        """Ask, if that was not asked for where the session stands."""
        showing = self._session.showing
        key = None if showing is None else (showing.lane.id, showing.row, self._session.changes)
        if key is not None and key != self._asked:
            self._asked = key
            self._session.aside(self._look)

    def _look(self) -> None:
        """On the worker: the precisions that the next update has, (1, layers)."""
        relaxation = self._session._relaxation
        if relaxation is None or relaxation.precisions is None:
            return
        precision = relaxation.recipe.precision
        if isinstance(precision, kinds.Adaptive) and relaxation.precisions[0] is type(precision):
            row = precision.row(relaxation.precisions[1]).detach().cpu().double().numpy()
            self.newest = self._session._row, np.array(row)[None]


def title_of(place: Place) -> str:
    """What the precisions in force are called."""
    return card_of(place.precision).title
