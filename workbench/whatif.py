"""What would each learning rule do at the row under the cursor? Asked of the worker, as numbers."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from core.whatif import Update, WhatIf, what_if
from workbench.axes import COMPARISONS, POWERS
from workbench.lanes import Lane
from workbench.looking import at_cursor
from workbench.returning import Returning
from workbench.session import Session


@dataclass(frozen=True)
class Measure:
    """What can be compared of the updates.

    Args:
        name: in a menu.
        of: takes it from an update; None where there is nothing to compare with.
        formula: LaTeX without dollar signs.
        limits: of its axis, of the logarithm where it has one.
        ticks: JavaScript that says a number of the axis.
    """

    name: str
    of: Callable[[Update], Tensor | None]
    formula: str
    limits: tuple[float, float]
    ticks: str

    @property
    def logarithmic(self) -> bool:
        """Whether decades are drawn."""
        return self.ticks is POWERS


def _likeness(name: str) -> Callable[[Update], Tensor | None]:
    return lambda one: None if one.likeness is None else getattr(one.likeness, name)


MEASURES = {
    "cosine": Measure(
        "cosine to backprop",
        _likeness("cosine"),
        r"\cos_\ell = \langle G_\ell, G_\ell^{BP} \rangle \, / \, "
        r"(\| G_\ell \| \, \| G_\ell^{BP} \|)",
        *COMPARISONS["alignment"][1:],
    ),
    "ratio": Measure(
        "norm by backprop's",
        _likeness("ratio"),
        r"\| G_\ell \| \, / \, \| G_\ell^{BP} \|",
        *COMPARISONS["update_ratio"][1:],
    ),
    "agreement": Measure(
        "signs as backprop's",
        _likeness("agreement"),
        r"\mathrm{share\ of\ } G_{\ell i}^{BP} \neq 0 \mathrm{\ with\ } "
        r"\mathrm{sgn}\, G_{\ell i} = \mathrm{sgn}\, G_{\ell i}^{BP}",
        *COMPARISONS["agreement"][1:],
    ),
    "norm": Measure(
        "norm of the gradient",
        lambda one: one.norm,
        r"\| G_\ell \| = (\sum_i G_{\ell i}^2)^{1/2}",
        (-8.0, 2.0),
        POWERS,
    ),
}
"""By name, in the order of the menu."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What each rule would do at one row.

    Args:
        found: the updates, and the drift of predictions.
        names: of the layers.
        row: of the lane.
        t: steps taken in the phase.
        phase: its name.
        lane: its number.
        batch: its number.
    """

    found: WhatIf
    names: tuple[str, ...]
    row: int
    t: int
    phase: str
    lane: int
    batch: int

    @property
    def legal(self) -> list[Update]:
        """The updates of the rules that go with the other choices."""
        return [one for one in self.found.updates if not one.why]

    def of(self, update: Update, measure: str) -> NDArray[np.float64] | None:
        """A measure of an update for each layer, (L,)."""
        values = MEASURES[measure].of(update)
        return None if values is None else values.double().cpu().numpy()


def asked(session: Session, wanted: None = None) -> Answer | None:
    """The answer at the cursor; called by the worker. None where the look gave way."""
    return at_cursor(session, _answer)


def _answer(at: Returning, lane: Lane) -> Answer:
    assert at._relaxation is not None
    network, step = lane.training.network, at._relaxation.step()
    experiment = lane.choices_at(at.row)[0]
    found = what_if(step, experiment)
    return Answer(
        found,
        tuple(network.nodes[i].name or str(i) for i in network.layers),
        at.row,
        step.moment.t,
        step.moment.phase,
        lane.id,
        at._batch,
    )
