"""How does a session go through a tour? A stage is a lane of its own; its numbers are measured."""

import numpy as np

from core.theory.accounts import accounts
from workbench.restarting import restart
from workbench.scene import Scene
from workbench.session import Session
from workbench.tours import Stage


def begin(session: Session, stage: Stage) -> None:
    """Have a session go through a stage: this batch under its choices, in a lane of its own."""
    untouched = len(session.lanes) == 1 and session.row == 0
    if not (untouched and session.wanted == stage.experiment):
        restart(session, stage.experiment)
    if stage.warm_up:
        session.warm_up(stage.warm_up)
    if stage.steps:
        session.step(stage.steps)


def measured(session: Session, drawn: Scene) -> dict[str, float]:
    """The numbers of `MEASURED` at the row under the cursor; nan where there is none."""
    lane, at = drawn.of.lane, drawn.at
    row = lane.trace.row(drawn.cursor) or {}
    cosines = np.asarray(row.get("alignment", [np.nan]), dtype=float)
    counted = accounts(lane.experiment, lane.training.network, lane.plan)
    return {
        "imbalance": float(drawn.curves.imbalance[at]),
        "reached": float(drawn.curves.reached[at].sum()),
        "total": float(drawn.curves.total[at]),
        "cosine": float(np.nanmin(cosines)) if np.isfinite(cosines).any() else np.nan,
        "smm": np.nan if isinstance(counted, str) else float(counted[0].total),
    }
