"""How is another library timed in the same rounds? One warm process in an environment of its own.

Lines of JSON go to its stdin and come from its stdout. Only one process computes at a time. A peer
whose energies are not ours is not timed.
"""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.workloads import RATE, Workload
from core.weights.adamw import AdamW

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / "runs" / "pcx"
"""Where it is made; git does not look there."""
PACKAGE = "pcx>=0.6.3,<0.7"
VARIABLE = "PCX_PYTHON"
COMPILING, RUNNING = 900.0, 120.0
"""Seconds to wait for an answer."""


class Absent(Exception):
    """The peer cannot be timed; the message says why."""


def python(asked: str | None) -> str:
    """The Python that has pcx: the one asked for, that of the variable, or one made here.

    Args:
        asked: path of a Python, "none", or None.

    Raises:
        Absent: if it is not wanted, or cannot be made.
    """
    asked = asked or os.environ.get(VARIABLE)
    if asked == "none":
        raise Absent("not asked for")
    if asked:
        return asked
    made = ENVIRONMENT / "bin" / "python"
    stamp = ENVIRONMENT / "made"
    if stamp.exists():
        return str(made)
    print(f"making {ENVIRONMENT} with {PACKAGE} (about 0.3 GB to download)", flush=True)
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)],
        [str(made), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise Absent(f"no environment: {(done.stderr.strip() or 'failed').splitlines()[-1]}")
    stamp.touch()
    return str(made)


class Peer:
    """The warm process."""

    def __init__(self, executable: str) -> None:
        """Start it.

        Raises:
            Absent: if it does not come up.
        """
        self.log = tempfile.TemporaryFile("w+")
        worker = str(Path(__file__).with_name("pcx_worker.py"))
        environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": ""}
        pipe = subprocess.PIPE
        try:
            self.process = subprocess.Popen(
                [executable, worker],
                stdin=pipe,
                stdout=pipe,
                stderr=self.log,
                text=True,
                env=environment,
                cwd=tempfile.gettempdir(),
            )
        except OSError as failed:
            raise Absent(f"{executable}; does not run: {failed.strerror}") from None
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()
        self.versions = self._answer(RUNNING)

    def load(self, workload: Workload) -> dict[str, Any]:
        """Compile a workload: energies of two batches, names of cases, seconds that it took."""
        network = workload.network()
        x, y, _ = workload.data()
        arrays = {"x": x.numpy(), "y": y.numpy()}
        parameters = [p.detach().numpy() for p in network.parameters()]
        for k in range(len(workload.layers)):
            arrays |= {f"W{k}": parameters[2 * k], f"b{k}": parameters[2 * k + 1]}
        dials = AdamW()
        plain = workload.to_dict() | {"rate": RATE, "eta": dials.rate, "decay": dials.decay}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "arrays.npz"
            np.savez(path, allow_pickle=False, **arrays)
            return self._ask(COMPILING, do="load", workload=plain, arrays=str(path))

    def time(self, case: str) -> float:
        """Seconds of one batch from the first weights."""
        return self._ask(RUNNING, do="time", case=case)["seconds"]

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        self.log.close()

    def _ask(self, patience: float, **what: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(what) + "\n")
            self.process.stdin.flush()
        except OSError:
            raise Absent(self._last_words()) from None
        return self._answer(patience)

    def _answer(self, patience: float) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=patience)
        except queue.Empty:
            self.process.kill()
            raise Absent(f"no answer within {patience:.0f} s") from None
        if not line:
            raise Absent(self._last_words())
        found = json.loads(line)
        if "error" in found:
            raise Absent(found["error"])
        return found

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _last_words(self) -> str:
        self.log.seek(0)
        said = self.log.read().strip().splitlines()
        return f"the process ended: {said[-1][:300] if said else 'without a word'}"


class Timed:
    """One case of the peer, like one of ours."""

    def __init__(self, peer: Peer, label: str) -> None:
        """Take the loaded peer."""
        self.peer, self.label = peer, label

    def time(self) -> float:
        """Seconds of one batch from the first weights."""
        return self.peer.time(self.label)


def energies(found: dict[str, Any]) -> NDArray[Any]:
    """Of two batches, (2, T + 1, L)."""
    return np.asarray(found["energies"], dtype=np.float32)
