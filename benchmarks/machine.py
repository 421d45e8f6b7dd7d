"""Which machine is this, and does anyone else use it? From /proc where there is one."""

import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

NO_PROC = "no /proc/stat here: rounds that others disturb are not seen, and none is dropped"


class Watch:
    """What share of the processors' time others used, since the last question.

    Others are all processes but this one and its descendants, and whoever shares the processors
    with a virtual machine ("steal").
    """

    def __init__(self, proc: Path = Path("/proc"), own: int | None = None) -> None:
        """Begin to watch.

        Args:
            proc: the process file system.
            own: process at the root of the tree that is not "others"; this one by default.
        """
        self.proc = proc
        self.own = os.getpid() if own is None else own
        self.works = (proc / "stat").exists()
        self._before = self._now() if self.works else (0, 0, 0)

    def share(self) -> float | None:
        """Share of all processors' time since the last call, 0..1; None where nobody knows."""
        if not self.works:
            return None
        before, self._before = self._before, self._now()
        whole, busy, ours = (now - then for now, then in zip(self._before, before, strict=True))
        return max(0.0, (busy - ours) / whole) if whole else 0.0

    def _now(self) -> tuple[int, int, int]:
        """Ticks since the machine began: of all processors, of their work, of our part in it."""
        fields = (self.proc / "stat").read_text().splitlines()[0].split()[1:9]
        user, nice, system, idle, waiting, *interrupts = (int(one) for one in fields)
        busy = user + nice + system + sum(interrupts)
        return busy + idle + waiting, busy, self._ours()

    def _ours(self) -> int:
        """Ticks of the tree, with those of children that have ended."""
        found = {}
        for one in self.proc.iterdir():
            if one.name.isdigit():
                try:
                    # The name, in brackets, may hold anything.
                    after = (one / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue  # it has ended
                found[int(one.name)] = int(after[1]), sum(int(ticks) for ticks in after[11:15])
        tree, grown = {self.own}, True
        while grown:
            more = {pid for pid, (parent, _) in found.items() if parent in tree} - tree
            grown = bool(more)
            tree |= more
        return sum(found[pid][1] for pid in tree if pid in found)


def pin(threads: int) -> list[int] | None:
    """Keep this process and its children on so many processors, different cores where possible.

    Returns: the processors, or None where a process cannot be kept.
    """
    if not hasattr(os, "sched_setaffinity"):
        return None
    legal = sorted(os.sched_getaffinity(0))
    first = list({_core(cpu): cpu for cpu in reversed(legal)}.values())
    chosen = sorted((sorted(first) + [cpu for cpu in legal if cpu not in first])[:threads])
    os.sched_setaffinity(0, chosen)
    return chosen


def _core(cpu: int) -> tuple[str, ...]:
    """Package and core of a processor."""
    folder = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
    try:
        return tuple((folder / n).read_text() for n in ("physical_package_id", "core_id"))
    except OSError:
        return (str(cpu),)


def peak() -> int:
    """Most bytes of memory that this process has held so far.

    Of this program: what `getrusage` tells is that of the process which started it, where that had
    more.
    """
    for line in _lines("/proc/self/status"):
        if line.startswith("VmHWM"):
            return 1024 * int(line.split()[1])
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def about() -> dict[str, Any]:
    """The machine and the versions of what is measured."""
    import numpy
    import torch

    import core

    return {
        "processor": _processor(),
        "processors": os.cpu_count(),
        "memory_gib": _memory(),
        "system": platform.platform(),
        "load_before": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "versions": {
            "relaxoscope": core.__version__,
            "commit": _commit(),
            "python": sys.version.split()[0],
            "torch": torch.__version__,
            "mkl": torch.backends.mkl.is_available(),
            "onednn": torch.backends.mkldnn.is_available(),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "numpy": numpy.__version__,
        },
    }


def _processor() -> str:
    for line in _lines("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> float | None:
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemTotal"):
            return round(int(line.split()[1]) / 2**20, 1)
    return None


def _lines(path: str) -> Iterable[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return ()


def _commit() -> str | None:
    """The commit that is measured, with a plus where files differ from it."""
    root = Path(__file__).resolve().parent.parent
    try:
        said = [
            subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
            for command in (
                ["git", "rev-parse", "--short=12", "HEAD"],
                ["git", "status", "--porcelain", "--untracked-files=no"],
            )
        ]
    except (OSError, subprocess.CalledProcessError):
        return None
    return said[0].strip() + ("+" if said[1].strip() else "")
