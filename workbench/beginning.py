"""Where does a session begin, if not at its experiment's first weights? At a batch of a run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.catalogue import BadInput, shown
from core.experiment import Experiment
from core.network import Network
from core.runs import Run


@dataclass(frozen=True)
class Begin:
    """A batch of a run, with the weights with which it began there.

    The memory of the optimiser, and what an init remembered, are not kept in runs: both begin anew.

    Args:
        run: path of the run.
        lane: number of its lane.
        batch: number of the batch.
    """

    run: str
    lane: int
    batch: int

    @classmethod
    def at(cls, run: str | Path, lane: int | None, batch: int) -> "Begin":
        """A batch of a run, by default of its last lane.

        Raises:
            BadInput: if it cannot be begun from there; says what can.
            Damaged: if the run cannot be read.
        """
        begin = cls(str(Path(run).resolve()), Run(run).lane(lane).number, batch)
        begin.experiment()
        begin._holder(Run(begin.run))
        return begin

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Begin":
        """What `to_dict` wrote."""
        return cls(str(data["run"]), int(data["lane"]), int(data["batch"]))

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    def __str__(self) -> str:
        """In a few words."""
        return f"run {Path(self.run).name}, batch {self.batch}"

    def experiment(self) -> Experiment:
        """The choices that were in force when the batch began.

        Raises:
            BadInput: if the run names none, or has no such batch.
        """
        run = Run(self.run)
        info = run.lane(self.lane)
        base = info.attrs.get("experiment") or run.manifest["experiment"]
        if not isinstance(base, Mapping):
            raise BadInput(
                f"run: {run.name}; recorded without an experiment: "
                "it can be watched, not relaxed on"
            )
        rows = run.dataset(self.lane).coords
        there = rows["batch"].values if "batch" in rows else np.zeros(0, int)
        at = np.flatnonzero(there == self.batch)
        if not len(at):
            legal = f"a batch {there.min()}..{there.max()}" if len(there) else "it has no rows"
            raise BadInput(f"batch: {shown(self.batch)}; {legal} of run {run.name}")
        recipes = run.recipes(self.lane)
        number = int(rows["recipe_id"].values[at[0]])
        recipe = recipes[number] if 0 <= number < len(recipes) else {}
        return Experiment.from_dict({**base, **recipe})

    def load(self, network: Network) -> None:
        """Put the weights into a network.

        Raises:
            BadInput: if they were not kept, or do not fit.
            Damaged: if they are not as they were written.
        """
        run = Run(self.run)
        held = run.weights(self.batch, self._holder(run))
        try:
            network.load_state_dict(held)
        except RuntimeError as failed:
            why = " ".join(str(failed).split())[:200]
            raise BadInput(
                f"run: {run.name}; its weights do not fit its experiment ({why})"
            ) from None
        network.touch()

    def _holder(self, run: Run) -> int:
        """The lane that holds the weights: the run's, or the one that it was forked from."""
        number, offered = self.lane, set[int]()
        lanes = run.lanes
        until = np.inf
        while True:
            rows = run.dataset(number).coords
            begun = set(rows["batch"].values[rows["step"].values <= until].tolist())
            kept = begun & set(run.kept(number))
            if self.batch in kept:
                return number
            offered |= kept
            info = lanes[number]
            if info.parent is None or info.forked_at is None:
                break
            number, until = info.parent, info.forked_at
        if not offered:
            raise BadInput(f"run: {run.name}; no weights of lane {self.lane} were kept")
        near = min(offered, key=lambda one: (abs(one - self.batch), one))
        raise BadInput(
            f"batch: {self.batch}; its first weights were not kept in run {run.name}, "
            f"the nearest that were: {near}"
        )
