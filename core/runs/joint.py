"""What is one rank's part in a recorded training? Of each batch its share, and all decisions.

All ranks go through the same course. What depends on the clock, or on a signal that one of them
got, is decided by flags that are summed together with a batch's gradients, so that no rank goes on
where another one stops. Rank 0 alone writes; the others have a writer that keeps nothing.
"""

import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core import kinds
from core.batches import ImageSet
from core.catalogue import BadInput
from core.experiment import Experiment
from core.network import Network
from core.ranks import Ranks
from core.recorder import LEAN, Chunk
from core.runs.checkpoint import Checkpoint
from core.runs.course import Course
from core.runs.errors import Damaged
from core.runs.looks import Every
from core.runs.standing import Running
from core.runs.steering import Log, Stopped
from core.summing import Summing

SHARED = ("energy", "error", "cost")
"""Rows that are means over the samples; the others are the same in every rank."""


class Silent:
    """The writer of the ranks that do not write."""

    path, origin = Path(os.devnull), ""

    def lane(self, *args: Any, **more: Any) -> int:
        """The number that rank 0's lane has."""
        return 0

    def nothing(self, *args: Any, **more: Any) -> None:
        """Keep nothing."""

    append = batch = batches = go_back = sample = recipes = events = nothing
    say = weights = settle = leave = close = nothing


class Joint(Course):
    """One rank's part in a training that several of them share."""

    def __init__(
        self,
        experiment: Experiment,
        images: ImageSet,
        network: Network,
        every: Every,
        period: float,
    ) -> None:
        """Stand before the first batch, without first weights.

        Args:
            experiment: all choices; its batch is the global one.
            images: its data, the same in every rank.
            network: made for them, with its ranks.
            every: how often what is looked at beside the rows.
            period: seconds between two checkpoints.

        Raises:
            BadInput: for choices that several ranks cannot share, or that are not those of rank 0.
        """
        self.ranks = network.ranks
        check(experiment, network, every)
        _compare(self.ranks, experiment, images)
        super().__init__(experiment, images, network, LEAN, every, period)
        self.recorder.batch //= self.ranks.count
        self._ready: Chunk | None = None
        self._due = self._stops = False

    def about(self) -> dict[str, Any]:
        """What the run says about where it comes from, beside the experiment."""
        return super().about() | {"ranks": self.ranks.count}

    def go_on(self, found: Checkpoint, *, again: bool, log: Log) -> None:
        """Stand where a training stood when it wrote a checkpoint, however many shared it then.

        Raises:
            BadInput: if it stood in the midst of a batch.
        """
        if found.said["running"] is not None:
            raise BadInput(
                f"run: checkpoint {found.number} is from the midst of a batch, which ranks cannot "
                "share; go on with one process"
            )
        super().go_on(found, again=again, log=log)
        if (whole := self.training.previous) is not None:
            self.training.previous = [h[self.ranks.rows] for h in whole]

    def keep(self) -> None:
        """Store what has happened, and then a checkpoint of where all ranks stand now.

        Raises:
            Damaged: if their weights have parted; the checkpoint before is sound.
        """
        self._check_weights()
        share = self.training.previous
        if share is not None:
            self.training.previous = [self.ranks.gathered(h) for h in share]
        try:
            if self.ranks.first:
                super().keep()
        finally:
            self.training.previous, self._due = share, False

    def _take_weights(self, first: Mapping[str, Tensor] | None) -> None:
        with self.ranks.after_first() as is_first:
            if is_first:
                super()._take_weights(first)
        self.ranks.spread(list(self.network.state_dict().values()))
        self.network.touch()

    def _listen(self, log: Log | None = None) -> None:
        """Let nobody steer it; what was changed is changed again, before the same batches."""
        self.writer.say(listens=False)
        later = list(log.later) if log else []

        def before(number: int) -> None:
            while later and later[0][0] <= number:
                self.adopt(later.pop(0)[1])
            if self._stops:
                self.keep()
                raise Stopped

        self._before = before

    def _is_time(self, period: float) -> bool:
        """Whether the ranks have agreed on a checkpoint."""
        return self._due

    def _between(self) -> None:
        """Between two steps nothing is decided: the ranks agree at the end of a batch."""

    def _batch(self, number: int) -> None:
        """Relax and learn from a batch; all ranks then look at the same rows whether F diverges."""
        super()._batch(number)
        self._flush()

    def _finish(self, now: Running) -> None:
        """Learn from the shares of all ranks, and agree on what comes next."""
        self._ready = chunk = self.recorder.drain()
        assert chunk is not None
        like, rows = self.network.example, chunk.rows
        names = [name for name in SHARED if name in rows]
        sums = [torch.from_numpy(rows[name]).to(like, copy=True) for name in names]
        for name, one in zip(names, sums, strict=True):
            if name == "error":  # the root of a mean over samples
                one.square_()
        due = self.ranks.first and super()._is_time(self.period)
        flags = like.new_tensor([float(self.asked()), float(due)])
        self.training.finish(now.relaxation, [*sums, flags])
        for name, one in zip(names, sums, strict=True):
            mean = one / self.ranks.count
            rows[name] = (mean.sqrt() if name == "error" else mean).cpu().numpy()
        self._stops, self._due = (flag > 0 for flag in flags.tolist())

    def _drained(self) -> Chunk | None:
        """The rows of the batch that all ranks have finished, once."""
        chunk, self._ready = self._ready, None
        return chunk

    def _check_weights(self) -> None:
        """Refuse to keep weights that are not the same in all ranks, bit for bit."""
        digest = 0
        for one in self.network.state_dict().values():
            digest = zlib.crc32(one.detach().cpu().contiguous().numpy().data, digest)
        found = self.ranks.all_told(digest)
        parted = [f"rank {k}" for k, one in enumerate(found) if one != found[0]]
        if parted:
            raise Damaged(
                f"ranks: the weights of {', '.join(parted)} are no longer those of rank 0, before "
                f"batch {self.number}; processors of another kind, or another torch?"
            )


def check(experiment: Experiment, network: Network, every: Every) -> None:
    """Refuse what several ranks cannot share.

    Raises:
        BadInput: naming the choice, and what is legal.
    """
    count, size = network.ranks.count, experiment.batch_size
    if size % count:
        near = [str(one) for one in (size - size % count, size - size % count + count) if one]
        raise BadInput(
            f"batch_size: {size}; a multiple of {count} ranks ({' or '.join(near)}): "
            "each relaxes an equal share"
        )
    refused = {
        "device": (
            ":" in experiment.device,
            "over ranks cuda: each takes the GPU of its local rank",
        ),
        "network.batch_norm": (
            network.mixes,
            "over ranks frozen or none: statistics of present states would be exchanged "
            "at every step",
        ),
        "tolerance": (experiment.tolerance > 0, "over ranks 0: all of them take the same steps"),
        "precision": (
            isinstance(experiment.precision, kinds.Adaptive),
            "over ranks a schedule: adaptive precisions follow the errors of the whole batch",
        ),
        "dynamics": (
            getattr(experiment.dynamics, "temperature", 0.0) > 0,
            "over ranks without noise, or temperature 0: each would draw its own",
        ),
        "learning.freeze": (
            getattr(experiment.learning, "freeze", False),
            "over ranks off: an error may have reached a layer in one of them only",
        ),
        "init": (
            hasattr(experiment.init, "observe") and not isinstance(experiment.init, Summing),
            "over ranks one that learns from sums over samples (core.summing.Summing)",
        ),
        "every.alignment": (every.alignment != 0, "over ranks 0"),
        "every.relaxations": (every.relaxations != 0, "over ranks 0"),
    }
    for field, (is_refused, legal) in refused.items():
        if is_refused:
            raise BadInput(f"{field}: {_came(experiment, every, field)}; {legal}")


def _came(experiment: Experiment, every: Every, field: str) -> Any:
    """The value that is refused."""
    head, _, rest = field.partition(".")
    if head == "every":
        return getattr(every, rest)
    value = getattr(experiment, head)
    value = getattr(value, rest) if rest else value
    return value if isinstance(value, int | float | str) else type(value).__name__


def _compare(ranks: Ranks, experiment: Experiment, images: ImageSet) -> None:
    """Refuse where a rank was started with other choices, data or versions.

    Raises:
        BadInput: naming the rank and what differs.
    """
    mine = {
        "experiment": experiment.to_dict(),
        "data": images.fingerprint,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    for rank, other in enumerate(found := ranks.all_told(mine)):
        for name, value in other.items():
            if value != found[0][name]:
                shown = "" if name == "experiment" else f" ({value}; {found[0][name]})"
                raise BadInput(f"ranks: {name} of rank {rank} is not that of rank 0{shown}")
