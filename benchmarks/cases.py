"""What is timed? One batch each: first states, T steps, one AdamW update, by different means.

Each case has a network of its own with the same first weights, and goes back to them before every
batch, outside the time, so that all rounds time the same numbers.
"""

import gc
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.workloads import CLASSES, RATE, Workload
from core import FULL, LEAN, Phase, Recipe, Recorder, Relaxation
from core.dynamics.gradient import GradientDescent
from core.engines import engine_name
from core.inits.forward import Forward
from core.kinds import Init
from core.learning.local import PredictiveCoding
from core.precisions.identity import Identity
from core.weights.adamw import AdamW

OFF = "off"
LEVELS = (OFF, LEAN, FULL)
"""What is recorded at each step."""


def seconds(act: Callable[[], object]) -> float:
    """Wall time of one call, without pauses for garbage."""
    gc.disable()
    try:
        begun = time.perf_counter()
        act()
        return time.perf_counter() - begun
    finally:
        gc.enable()


class Case:
    """One way to do one batch."""

    label: str

    def __init__(self, workload: Workload) -> None:
        """Build the network and its data."""
        self.workload = workload
        self.network = workload.network()
        self.optimiser = AdamW()(self.network)
        self.x, self.y, self.labels = workload.data()
        self._weights = [p.detach().clone() for p in self.network.parameters()]

    def again(self) -> None:
        """Go back to the first weights; the optimiser's memory stays."""
        with torch.no_grad():
            for p, old in zip(self.network.parameters(), self._weights, strict=True):
                p.copy_(old)
        self.network.touch()

    def batch(self) -> None:
        """All that is timed."""
        raise NotImplementedError

    def energies(self) -> NDArray[Any]:
        """Do one batch; energy of each layer per step, mean over samples, (T + 1, L)."""
        raise NotImplementedError

    def time(self) -> float:
        """Seconds of one batch from the first weights."""
        self.again()
        return seconds(self.batch)


class Engine(Case):
    """The library, by one of its engines."""

    def __init__(
        self, workload: Workload, engine: str, level: str = OFF, init: Init | None = None
    ) -> None:
        """Choose.

        Args:
            workload: what one batch is.
            engine: name of the engine; "auto" is resolved as the library does, which goes layer by
                layer where each step is watched in full.
            level: what is recorded.
            init: forward by default. One that remembers is given the batch before, untimed.
        """
        super().__init__(workload)
        self.label = f"{engine} {level}" if init is None else f"{engine} {type(init).__name__}"
        self.level = level
        self.asked, self.engine = engine, engine_name(self.network, engine, watched=level == FULL)
        self.recipe = Recipe(
            init or Forward(),
            Identity(),
            GradientDescent(RATE),
            PredictiveCoding(),
            workload.steps,
        )
        clamped = {0: self.x, self.network.top: self.y}
        self.phases = [Phase("relax", clamped=clamped)]
        self.recorder: Recorder | None = None
        if level != OFF:
            self.recorder = Recorder(self.network, workload.batch, level=level)
        self.memory: Any = None
        observe = getattr(self.recipe.init, "observe", None)
        if observe is not None:
            before = self.relaxation()
            before.run()
            self.memory = observe(before.start, before.states, None)

    def relaxation(self) -> Relaxation:
        """At its first states."""
        return Relaxation(
            self.network,
            self.phases,
            self.recipe,
            labels=self.labels,
            classes=CLASSES,
            memory=self.memory,
            optimiser=self.optimiser,
            engine=self.engine,
        )

    def batch(self) -> None:
        relaxation = self.relaxation()
        if self.recorder is None:
            relaxation.run()
            relaxation.learn()
        else:
            self._recorded(relaxation, self.recorder)
            self.recorder.drain()

    def energies(self) -> NDArray[Any]:
        recorder = self.recorder or Recorder(self.network, self.workload.batch, level=LEAN)
        self._recorded(self.relaxation(), recorder)
        chunk = recorder.drain()
        assert chunk is not None
        return chunk.rows["energy"]

    def _recorded(self, relaxation: Relaxation, recorder: Recorder) -> None:
        row = 0
        while True:
            recorder.take(relaxation, row=row, batch=0, recipe_id=0)
            if relaxation.done:
                break
            relaxation.advance()
            row += 1
        relaxation.learn()


class Floor(Case):
    """Nothing but matrix products at the shapes of the workload, into memory that is there.

    L for the init, 2 L - 1 a step, L weight gradients, one torch.mm each.
    """

    label = "floor"

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        B = workload.batch
        self.h = [torch.randn(B, one.wide) for one in workload.layers]
        self.mu = [torch.empty(B, one.out) for one in workload.layers]
        self.e = [torch.randn(B, one.out) for one in workload.layers]
        self.down = [torch.empty(B, one.wide) for one in workload.layers]
        self.W = [p.detach() for p in self.network.parameters() if p.dim() == 2]
        self.gradient = [torch.empty_like(W) for W in self.W]

    def batch(self) -> None:
        with torch.inference_mode():
            self._up()
            for _ in range(self.workload.steps):
                self._up()
                for e, W, out in zip(self.e[1:], self.W[1:], self.down[1:], strict=True):
                    torch.mm(e, W, out=out)
            for e, h, out in zip(self.e, self.h, self.gradient, strict=True):
                torch.mm(e.t(), h, out=out)

    def _up(self) -> None:
        for h, W, out in zip(self.h, self.W, self.mu, strict=True):
            torch.mm(h, W.t(), out=out)


class Autograd(Case):
    """As a researcher writes it: states are leaves, one graph holds the total energy of a step."""

    label = "autograd"

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        self.modules = [self.network.maps[str(i)] for i in self.network.layers]

    def batch(self) -> None:
        self._relax(None)

    def energies(self) -> NDArray[Any]:
        rows: list[Tensor] = []
        self._relax(rows)
        return torch.stack(rows).numpy()

    def _relax(self, rows: list[Tensor] | None) -> None:
        states = [self.x]
        with torch.no_grad():
            for f in self.modules[:-1]:
                states.append(f(states[-1]))
        states.append(self.y)
        hidden = states[1:-1]
        for h in hidden:
            h.requires_grad_()
        for _ in range(self.workload.steps):
            each = self._each(states)
            forces = torch.autograd.grad(torch.stack(each).sum(), hidden)
            with torch.no_grad():
                for h, force in zip(hidden, forces, strict=True):
                    h.sub_(force, alpha=RATE)
            if rows is not None:
                rows.append(torch.stack(each).detach() / len(self.x))
        each = self._each([h.detach() for h in states])
        if rows is not None:
            rows.append(torch.stack(each).detach() / len(self.x))
        self.optimiser.zero_grad()
        (torch.stack(each).sum() / len(self.x)).backward()
        self.optimiser.step()
        self.network.touch()

    def _each(self, states: list[Tensor]) -> list[Tensor]:
        """Energy of each layer, summed over the batch."""
        pairs = zip(self.modules, states[:-1], states[1:], strict=True)
        return [0.5 * (h - f(below)).square().sum() for f, below, h in pairs]


class Backprop(Case):
    """The same network trained by backprop: one pass up, one down, one update of torch's AdamW."""

    def __init__(self, workload: Workload, *, fused: bool) -> None:
        super().__init__(workload)
        self.label = "backprop fused" if fused else "backprop"
        self.model = torch.nn.Sequential(*(self.network.maps[str(i)] for i in self.network.layers))
        dials = AdamW()
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=dials.rate, weight_decay=dials.decay, fused=fused
        )

    def batch(self) -> None:
        self.optimiser.zero_grad()
        loss = 0.5 * (self.y - self.model(self.x)).square().sum() / len(self.x)
        loss.backward()
        self.optimiser.step()


TOLERANCE = 1e-4, 1e-6
"""Of energies: relative, and absolute as a share of the largest."""

AFTER_UPDATE = 0.05
"""The same share for the second batch.

Adam divides by the gradient's own size, so that a gradient which is rounding noise still moves its
weight by a whole step, in either direction; the second batch says that an update happened, and
about the right one.
"""


def two_batches(case: Case) -> NDArray[Any]:
    """Energies of two batches in succession from the first weights, (2, T + 1, L)."""
    case.again()
    found = [case.energies() for _ in range(2)]
    case.again()
    return np.stack(found)


def disagreement(found: NDArray[Any], expected: NDArray[Any]) -> str:
    """Why energies of two batches are not those expected, or ""."""
    if found.shape != expected.shape:
        return f"energies of shape {found.shape}; {expected.shape}"
    if not np.isfinite(found).all():
        return "energies that are not finite"
    relative, absolute = TOLERANCE
    top = float(expected.max())
    off = np.abs(found - expected)
    bad = off[0] > relative * np.abs(expected[0]) + absolute * top
    if bad.any():
        t, layer = np.argwhere(bad)[0]
        return (
            f"energy {found[0, t, layer]:.6g} at step {t}, layer {layer + 1}; "
            f"{expected[0, t, layer]:.6g}"
        )
    if off[1].max() > AFTER_UPDATE * top:
        return f"energies after one update off by {off[1].max() / top:.2g} of the largest"
    return ""
