"""How is a batch begun again under quite other choices? In a lane of its own, all choices named."""

from typing import Any

from core.experiment import Experiment
from workbench.session import Session


def restart(session: Session, experiment: Experiment) -> None:
    """Have this batch begun again in a new lane, under these choices."""
    with session._asking:
        session.wanted = experiment
        session._ask("restart", **plain(experiment))


def plain(experiment: Experiment) -> dict[str, Any]:
    """All choices as a command has them."""
    return {name: value for name, value in experiment.to_dict().items() if name != "schema"}
