"""Who relaxes which samples of a batch, and what is added up over all of them?

Samples relax apart from one another, so that each rank relaxes its share of the global batch alone.
Only sums over samples are shared: gradients, class means, moments of normalising layers, energies.
Every rank then takes the same step, so that the weights of all of them keep the same bits.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

PATIENCE = 30.0
"""Seconds after which a rank that does not answer counts as lost."""

COMING = 300.0
"""Seconds within which all ranks have to come: machines start at different times."""

LONG = timedelta(days=2)
"""How long the others wait while rank 0 prepares: it may train first weights."""

GRACE = 2.0
"""Seconds in which the ranks that are left say so, where one is lost."""


COME, PREPARED, LEFT = "come/", "prepared", "left/"
"""Words in the store: a rank has come; rank 0 is through with what it does alone; one is left."""


class RankLost(OSError):
    """A rank no longer answers."""


@dataclass(frozen=True)
class Ranks:
    """One process among those that train together; alone, nothing is ever sent.

    Args:
        rank: of this process, counted from 0; rank 0 alone writes.
        count: of processes.
        store: where they leave words for one another.
    """

    rank: int = 0
    count: int = 1
    store: Any = None

    @property
    def first(self) -> bool:
        """Whether it is the one that writes."""
        return self.rank == 0

    @property
    def rows(self) -> slice:
        """Which samples of a global batch are its own: every count-th."""
        return slice(self.rank, None, self.count)

    def add(self, tensors: Sequence[Tensor | None]) -> None:
        """Put the sum over all ranks in the place of each tensor, in one exchange.

        Args:
            tensors: of floating-point numbers, of the same shapes in every rank, on one device;
                None is left out.

        Raises:
            RankLost: if a rank does not answer.
        """
        given = [one for one in tensors if one is not None]
        if self.count == 1 or not given:
            return
        wide = max((one.dtype for one in given), key=lambda dtype: torch.finfo(dtype).bits)
        flat = torch.cat([one.detach().flatten().to(wide) for one in given])
        self._exchange(lambda: dist.all_reduce(flat))
        parts = flat.split([one.numel() for one in given])
        with torch.no_grad():
            for one, part in zip(given, parts, strict=True):
                one.copy_(part.view_as(one))

    def gathered(self, x: Tensor) -> Tensor:
        """The rows of all ranks in the order of the global batch, (B * count, ...).

        Args:
            x: of this rank's samples, (B, ...), of the same shape in every rank.
        """
        if self.count == 1:
            return x
        found = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in self._all]
        self._exchange(lambda: dist.all_gather(found, x.detach().contiguous()))
        return torch.stack(found, 1).flatten(0, 1)

    def spread(self, tensors: Sequence[Tensor]) -> None:
        """Put the values of rank 0 in the place of each tensor."""
        if self.count == 1:
            return
        for one in tensors:
            held = one.detach().contiguous()
            self._exchange(lambda held=held: dist.broadcast(held, 0))
            with torch.no_grad():
                one.copy_(held)

    def told(self, value: Any) -> Any:
        """What rank 0 gave; what the others give is not looked at."""
        if self.count == 1:
            return value
        held = [value]
        self._exchange(lambda: dist.broadcast_object_list(held, 0))
        return held[0]

    def all_told(self, value: Any) -> list[Any]:
        """What each rank gave, by rank."""
        if self.count == 1:
            return [value]
        held: list[Any] = [None] * self.count
        self._exchange(lambda: dist.all_gather_object(held, value))
        return held

    @contextmanager
    def after_first(self) -> Iterator[bool]:
        """A block that rank 0 goes through while the others wait, however long it takes.

        Gives whether this is rank 0.

        Raises:
            RankLost: in the others, if it has failed.
        """
        if self.count == 1 or self.first:
            done = "no"
            try:
                yield True
                done = "yes"
            finally:
                if self.count > 1:
                    self.store.set(PREPARED, done)
            return
        self._exchange(lambda: self.store.wait([PREPARED], LONG))
        if self.store.get(PREPARED) != b"yes":
            raise RankLost("ranks: rank 0 could not begin; it says why")
        yield False

    @property
    def _all(self) -> range:
        return range(self.count)

    def _exchange(self, act: Any) -> None:
        """Talk to the others; whoever does not answer is named."""
        try:
            act()
        except RuntimeError as failed:
            self._lost(failed)

    def _lost(self, failed: RuntimeError) -> NoReturn:
        """Ask who is left, and name the others."""
        why = " ".join(str(failed).split())[:160]
        gone: list[int] = []
        try:
            self.store.set(LEFT + str(self.rank), "here")
            time.sleep(GRACE)
            gone = [one for one in self._all if not self.store.check([LEFT + str(one)])]
        except RuntimeError:  # the store was rank 0's, or their launcher's, and has gone with it
            pass
        names = ", ".join(f"rank {one}" for one in gone) or "another rank"
        raise RankLost(
            f"ranks: {names} of {self.count} no longer answers rank {self.rank} ({why})"
        ) from failed


ALONE = Ranks()


def launched() -> bool:
    """Whether torchrun has started this process."""
    return dist.is_available() and dist.is_torchelastic_launched()


def restarts() -> int:
    """How often torchrun has started all ranks anew because one had failed."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


@contextmanager
def joined(patience: float = PATIENCE, coming: float = COMING) -> Iterator[Ranks]:
    """Join the processes that torchrun has started: by gloo, and what lies on GPUs by NCCL.

    Where there are GPUs each rank takes that of its local rank as the device "cuda".

    Args:
        patience: seconds after which a rank that does not answer counts as lost.
        coming: seconds within which all of them have to come.

    Raises:
        RankLost: if the others do not come.
    """
    wait = timedelta(seconds=patience)
    try:
        whole, rank, count = next(rendezvous("env://", timeout=timedelta(seconds=coming)))
        # The launcher's store outlives a restart: words of those that died must not be read.
        store = PrefixStore(f"relaxoscope/{restarts()}", whole)
        has_gpus = torch.cuda.is_available()
        if has_gpus:
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl" if has_gpus else "gloo"
        # One may still be reading its data; from here on nobody is waited for that long.
        store.set(COME + str(rank), "here")
        store.wait([COME + str(one) for one in range(count)], timedelta(seconds=coming))
        dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=wait)
    except RuntimeError as failed:
        why = " ".join(str(failed).split())[:160]
        raise RankLost(f"ranks: not all of them came within {coming:g} s ({why})") from failed
    try:
        yield Ranks(rank, count, store)
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
