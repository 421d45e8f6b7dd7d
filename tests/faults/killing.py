"""What if the process dies? Writers and readers in processes of their own, killed at any moment.

Processes are forked from one server that has imported everything, so that each costs milliseconds.
A writer sends what was acknowledged through a pipe, in which it stays when the writer is dead.
"""

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from core.runs import Run, Writer
from core.runs import manifest as manifests
from core.runs import store as stores
from tests.faults.failing import Faults, python_calls
from tests.faults.known import ABOUT, Deed, read
from tests.faults.sqlite import sqlite_calls

READY, DONE = "ready", "done"

PRELOADED = [__name__, "tests.faults.ranked", "torch._dynamo", "pytest", "xarray"]
"""What processes begin with; torch's optimisers import the third one when the first is made."""

_server = multiprocessing.get_context("forkserver") if sys.platform != "win32" else None


class Elsewhere:
    """A function that runs in another process and sends messages."""

    def __init__(self, work: Callable[..., None], *args: Any) -> None:
        """Start it.

        Args:
            work: a function of a module, called with a pipe and these arguments.
            *args: plain data.
        """
        assert _server is not None
        _server.set_forkserver_preload(PRELOADED)
        mine, its = _server.Pipe(duplex=False)
        self._pipe = mine
        self.process = _server.Process(target=_run, args=(its, work, args), daemon=True)
        self.process.start()
        its.close()
        self.said: list[Any] = []

    def hear(self, wait: float | None = None) -> Any:
        """The next message; None when there is none within so many seconds, or ever more.

        Args:
            wait: None waits until the process ends.
        """
        try:
            if not self._pipe.poll(wait):
                return None
            self.said.append(self._pipe.recv())
        except (EOFError, OSError):
            return None
        return self.said[-1]

    def kill(self) -> list[Any]:
        """Kill it by signal 9; all that it ever said."""
        self.process.kill()
        return self.end()

    def end(self) -> list[Any]:
        """Wait until it ends; all that it ever said."""
        while self.hear(60) is not None:
            pass
        self.process.join(60)
        assert not self.process.is_alive()
        self._pipe.close()
        return self.said

    @property
    def failed(self) -> bool:
        """Whether it ended by an error of its own, and not by a signal."""
        return (self.process.exitcode or 0) > 0


def _run(pipe: Connection, work: Callable[..., None], args: tuple[Any, ...]) -> None:
    manifests._commit = lambda: ""  # asks git, in a process of its own
    pipe.send(READY)
    work(pipe, *args)


# What they do ------------------------------------------------------------------------------------


def write(
    pipe: Connection, path: str, deeds: list[Deed], resume: bool, fold: int, network: bool
) -> None:
    """Write a run, or go on with one; sends the number of each deed that was acknowledged.

    Args:
        pipe: to whoever started it.
        path: of the run.
        deeds: what is stored, in order; the last one may close the run.
        resume: whether the run is there.
        fold: parts after which the log is folded.
        network: whether the folder is taken for one of another machine.
    """
    _set(fold, network)
    writer = Writer(Path(path), resume=resume) if resume else Writer(Path(path), **ABOUT)
    pipe.send(-1)
    for number, deed in enumerate(deeds):
        deed.do(writer)
        pipe.send(number)
    pipe.send(DONE)


def write_and_die(
    pipe: Connection, path: str, deeds: list[Deed], at: int, mode: str, network: bool
) -> None:
    """Write a run and die at the n-th call that changes the disk, or in its midst."""
    _set(8, network)
    faults = Faults()
    with sqlite_calls(faults), python_calls(faults, Path(path).parent):
        with faults.armed(at, mode):
            writer = Writer(Path(path), **ABOUT)
            pipe.send(-1)
            for number, deed in enumerate(deeds):
                deed.do(writer)
                pipe.send(number)
    pipe.send(("calls", len(faults.calls)))


def read_for_ever(pipe: Connection, path: str) -> None:
    """Read a run again and again, until it is killed."""
    while True:
        run = Run(path)
        pipe.send(len(read(run)))
        run.close()


def hold(pipe: Connection, path: str) -> None:
    """Take the lock of a run and keep it."""
    writer = Writer(Path(path), resume=True)
    pipe.send(os.getpid())
    threading.Event().wait(60)
    writer.close()


def _set(fold: int, network: bool) -> None:
    stores.CHECKPOINT = fold
    stores.is_on_network = lambda folder: network


# Beside a writer ---------------------------------------------------------------------------------


@contextmanager
def watching(look: Callable[[], None]):
    """Call something again and again in a thread, while the block runs; its errors are raised."""
    over, failed = threading.Event(), []

    def loop() -> None:
        while not over.is_set():
            try:
                look()
            except BaseException as error:
                failed.append(error)
                return
            time.sleep(0.001)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if failed:
        raise failed[0]
