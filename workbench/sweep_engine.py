"""Who computes the points of a sweep? Workers of dask.distributed, here or at any address.

Nothing but plain data goes to a worker and back. The scheduler gives a point whose worker died to
another one; which of the points that were with a dead worker killed it says the journal, so that
one which was only waiting there is never blamed.
"""

import contextlib
import logging
import multiprocessing.forkserver
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.refusals import ENVIRONMENT, Refused
from workbench.sweep_store import ERRORED, GIVEN_UP, INTERRUPTED, Journal, Stop, lines, lost

if TYPE_CHECKING:
    from distributed import Client, Future

DEATHS = 3
"""Workers that a point may take with it; dask gives it up at one more, or one that waited there."""

MERCIES = 10
"""Times that a point is tried again which was with workers that another one took with it."""

LOOK = 0.02
"""Seconds between two looks at what has ended."""

GONE = 10.0
"""Seconds after which a scheduler that does not answer is given up."""

LEAVE = 60.0
"""Seconds that attempts have to end where they stand."""

SHARE = 0.8
"""Of the memory, what all workers together may use."""

LOCAL = {
    "distributed.scheduler.allowed-failures": DEATHS,
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.worker.multiprocessing-method": "forkserver",
    "distributed.comm.timeouts.connect": f"{GONE:g}s",
}
"""Of dask: as many deaths; no point waits at a worker; workers are forked from one process."""

HEAVY = ("torch._dynamo",)
"""What takes seconds to import, and torch's optimisers do as the first of them is made."""

AT_TIMES = ("sklearn.datasets", "scipy.stats")
"""The same, where this process needed it to check the points."""

Said = Mapping[str, Any]


class Gone(Refused):
    """The scheduler does not answer any more."""


def available() -> None:
    """Refuse where the package of the engine is not installed."""
    try:
        import distributed  # noqa: F401
    except ImportError:
        line = "sweep: dask.distributed is not installed; pip install 'relaxoscope[sweeps]'"
        raise Refused(line, ENVIRONMENT) from None


def cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not every system says
        return os.cpu_count() or 1


def memory_of(workers: int) -> int | None:
    """Bytes that each of so many workers on this machine may use."""
    from core import footprint

    there = footprint.memory("cpu")
    return None if there is None else int(SHARE * there / workers)


@contextmanager
def connected(scheduler: str | None, workers: int) -> "Iterator[Client]":
    """A client of a scheduler, or of workers of its own in processes of this machine.

    Args:
        scheduler: its address; None for workers here.
        workers: how many here.

    Raises:
        Gone: if nobody answers there.
    """
    from dask import config
    from distributed import Client, LocalCluster

    for name in ("distributed", *(f"distributed.{one}" for one in ("client", "nanny", "worker"))):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what went wrong is said in our words
    with contextlib.ExitStack() as held:
        held.enter_context(config.set(LOCAL))
        if scheduler is None:
            _fork_from_one()
            here: dict[str, Any] = {
                "n_workers": workers,
                "threads_per_worker": 1,
                "processes": True,
                "host": "127.0.0.1",
                "dashboard_address": None,
                "memory_limit": memory_of(workers) or 0,
                "silence_logs": logging.CRITICAL,
            }
            to: Any = held.enter_context(LocalCluster(**here))
        else:
            to = scheduler
        try:
            client = held.enter_context(Client(to, set_as_default=False, timeout=GONE))
        except (OSError, ValueError) as failed:
            line = " ".join(str(failed).split())
            raise Gone(f"scheduler: {scheduler}; nobody answers ({line})", ENVIRONMENT) from None
        yield client


def _fork_from_one() -> None:
    """Begin the process from which workers are forked: it has imported what they need.

    It and they do not hear Ctrl-C, which a terminal sends to all of them: they are told to stop.
    """
    from distributed.utils import get_mp_context

    context: Any = get_mp_context()
    heavy = [*HEAVY, *(name for name in AT_TIMES if name in sys.modules)]
    context.set_forkserver_preload(["distributed", "workbench.sweep_task", *heavy])
    if threading.current_thread() is not threading.main_thread():
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        multiprocessing.forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, before)


class Engine:
    """The points of one call of the command, on their way through the workers."""

    def __init__(self, client: "Client", folder: Path, journal: Journal) -> None:
        """Begin with none.

        Args:
            client: as from `connected`.
            folder: of the sweep.
            journal: of this process.
        """
        self._client, self._folder, self._journal = client, folder, journal
        self._stop = Stop(folder, journal.call)
        self._pending: dict[Future, Said] = {}
        self._tries = 0
        self._spared: Counter[str] = Counter()
        self._silent: float | None = None

    def run(
        self, tasks: Iterable[Said], asked: Callable[[], bool], tell: Callable[[str, str], None]
    ) -> None:
        """All points; returns when none is left, or when it was asked to stop.

        Args:
            tasks: for `sweep_task.attempt`, each with a name.
            asked: whether to stop; what is under way ends where it stands, and is kept.
            tell: told of each point that has ended: its name, and how.

        Raises:
            Gone: if the scheduler does not answer any more.
        """
        waiting, leave = iter(tasks), 0.0
        try:
            more = not asked() and self._fill(waiting)
            while self._pending:
                if asked() and not leave:
                    self._stop.ask()
                    leave, more = time.monotonic() + LEAVE, False
                if leave and time.monotonic() > leave:
                    return
                for future in [one for one in self._pending if one.done()]:
                    self._take(future, tell, ends=bool(leave))
                self._check()
                more = more and self._fill(waiting)
                time.sleep(LOOK)
        finally:
            self._stop.clear()

    def _fill(self, waiting: Iterator[Said]) -> bool:
        """Hand over as many as two for each worker; whether there may be more."""
        there: Any = self._client.nthreads() if self._answers else {}
        threads = sum(there.values())
        while len(self._pending) < max(4, 2 * threads):
            task = next(waiting, None)
            if task is None:
                return False
            self._submit(task)
        return True

    def _submit(self, task: Said) -> None:
        from workbench.sweep_task import attempt

        self._tries += 1
        key = f"sweep-{task['name']}-{self._journal.call}-{self._tries}"
        future = self._client.submit(attempt, dict(task), key=key, pure=False, retries=0)
        self._pending[future] = task

    def _take(self, future: "Future", tell: Callable[[str, str], None], *, ends: bool) -> None:
        """What came of one attempt, or of all that were made of one point."""
        from distributed import KilledWorker

        task = self._pending[future]
        name: str = task["name"]
        try:
            how = future.result(timeout=GONE)["how"]
        except TimeoutError:  # its worker died with the answer: it is asked again
            return
        except KilledWorker:
            del self._pending[future]
            deaths = lost(lines(self._folder), self._journal.call).get(name, 0)
            if deaths < DEATHS and self._spared[name] < MERCIES and not ends:
                self._spared[name] += 1  # it was with another one's workers
                self._submit(task)
                return
            self._give_up(name, f"killed its worker {deaths} times")
            how = ERRORED
        except Exception as failed:
            if future.cancelled() or not self._answers:
                self._lose(failed)
            del self._pending[future]
            self._give_up(name, f"{type(failed).__name__}: {' '.join(str(failed).split())[:200]}")
            how = ERRORED
        else:
            del self._pending[future]
        if how != INTERRUPTED or not ends:
            tell(name, how)

    def _give_up(self, name: str, why: str) -> None:
        self._journal.note(GIVEN_UP, name, how=ERRORED, why=why)

    @property
    def _answers(self) -> bool:
        return self._client.status == "running"

    def _check(self) -> None:
        """Give a scheduler up that has not answered for a while."""
        now = time.monotonic()
        if self._answers:
            self._silent = None
        elif self._silent is None:
            self._silent = now
        if self._silent is not None and now - self._silent > GONE:
            self._lose(None)

    def _lose(self, failed: Exception | None) -> None:
        why = "" if failed is None else f" ({type(failed).__name__})"
        line = f"scheduler: it is gone{why}; what is done is kept, the same command goes on"
        raise Gone(line, ENVIRONMENT)
