"""What happened in a step? Measured on the device, handed to the host in chunks.

Nothing is read back per step: measures go into preallocated rings, and `drain` copies each once.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.diagnostics import Reference, backprop_by_layer, likeness
from core.network import Network, States
from core.relaxation import Relaxation
from core.schema import CLOCK
from core.step import Step

LEAN, FULL = "lean", "full"
"""Levels: energy per layer as batch mean; or also per sample, and force, speed, activity, drift."""

IMAGES = ("prediction", "swept", "image")
"""What can be looked at: mu_L, the sweep from the roots, and the image's own state."""

Pixels = tuple[float | Tensor, float | Tensor]
"""Lowest and highest legal pixel: one number for all, or one for each, (C, H, W)."""


@dataclass
class Chunk:
    """Rows that were measured together, on the host.

    Args:
        rows: variable -> (R, ...), one entry per row.
        frames: variable -> (F, ...), one entry per frame, with `frame_row` the row of each.
    """

    rows: dict[str, NDArray[Any]] = field(default_factory=dict)
    frames: dict[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(self.rows["t"])


class Recorder:
    """A ring on the device that takes steps and gives chunks."""

    def __init__(
        self,
        network: Network,
        batch: int,
        *,
        level: str = FULL,
        shows: Collection[str] = (),
        pixels: Pixels = (0.0, 1.0),
        samples: int = 8,
        every: int = 1,
        align: bool = False,
        capacity: int = 256,
    ) -> None:
        """Allocate the rings.

        Args:
            network: whose layers are measured.
            batch: number of samples, B.
            level: `LEAN` or `FULL`.
            shows: further variables: "probability" of the classes, the `IMAGES`, and those with
                "_mse", their error against what the output should be.
            pixels: lowest and highest legal pixel, of all or of each, (C, H, W), to which images
                are clipped before their error.
            samples: images that are kept per frame.
            every: a frame every so many steps.
            align: whether to compare each layer's update with backprop's.
            capacity: rows before the ring is emptied by itself.
        """
        self.network, self.level = network, level
        like = {"dtype": network.example.dtype, "device": network.example.device}
        self.pixels = [torch.as_tensor(one, **like).flatten() for one in pixels]
        self.shows = frozenset(shows)
        self.samples, self.every = min(samples, batch), every
        self.align, self.capacity = align, capacity
        L, N = len(network.layers), len(network.nodes)
        new = network.example.new_empty
        self._rings: dict[str, Tensor] = {"energy": new(capacity, L), "precision": new(capacity, L)}
        self._rings["energy"].zero_()
        self._slots = self._rings["energy"].unbind()
        self.batch = batch
        self._rings["cost"] = new(capacity)
        self._curved = [
            k for k, i in enumerate(network.layers) if not network.nodes[i].energy.quadratic
        ]
        if self._curved:
            self._rings["error"] = new(capacity, L)
        if level == FULL:
            self._rings["energy_sample"] = new(capacity, L, batch)
            for name in ("force", "speed", "activity"):
                self._rings[name] = new(capacity, N)
            self._rings["prediction_drift"] = new(capacity, L)
        if "probability" in self.shows:
            self._rings["probability"] = new(capacity, batch, network.nodes[-1].size)
        if align:
            for name in ("alignment", "update_ratio", "agreement"):
                self._rings[name] = new(capacity, L)
        self._first: tuple[States, int, list[Tensor]] | None = None
        self._backprop: tuple[Any, list[int], list[Tensor], Reference] | None = None
        self._host: dict[str, list[Any]] = {}
        self._frames: dict[str, list[Any]] = {}
        self._normed: dict[int, NDArray[Any]] = {}
        self._n = 0
        self._full: list[Chunk] = []

    def take(
        self,
        relaxation: Relaxation,
        *,
        row: int,
        batch: int,
        recipe_id: int,
        seconds: float | None = None,
    ) -> None:
        """Measure the step at which the relaxation stands.

        Args:
            relaxation: at the step to measure.
            row: its number in the lane.
            batch: number of the batch.
            recipe_id: number of the recipe in force.
            seconds: spent relaxing so far; given for all rows of a lane or for none.
        """
        if self._n == self.capacity:
            self._full.append(self._copy())
        moment = relaxation.moment
        precisions = None
        if self.level == LEAN and not (self.shows or self.align or self._curved):
            precisions = relaxation.norms(self._slots[self._n])
        if precisions is not None:
            self._normed[self._n] = precisions
        else:
            self._look(relaxation.step(), row)
        about: dict[str, Any] = {
            "step": row,
            "batch": batch,
            "t": moment.t,
            "phase": moment.phase,
            "recipe_id": recipe_id,
            "T": relaxation.steps,
        }
        if seconds is not None:
            about[CLOCK] = seconds
        for name, value in about.items():
            self._host.setdefault(name, []).append(value)
        self._n += 1

    def drain(self) -> Chunk | None:
        """All rows since the last call in one chunk, or None where there are none."""
        chunks, self._full = self._full, []
        if self._n:
            chunks.append(self._copy())
        if not chunks:
            return None
        joined = Chunk()
        for part in ("rows", "frames"):
            names = {name for chunk in chunks for name in getattr(chunk, part)}
            for name in names:
                pieces = [getattr(c, part)[name] for c in chunks if name in getattr(c, part)]
                getattr(joined, part)[name] = np.concatenate(pieces)
        return joined

    def _look(self, step: Step, row: int) -> None:
        """Measure all that the level asks for."""
        moment = step.moment
        with torch.no_grad():
            self._measure(step)
            if self.shows.intersection(IMAGES) and (moment.t % self.every == 0 or moment.phase_end):
                self._frame(step, row)
        if self.align:
            found = likeness(step, self._reference(step))
            self._rings["alignment"][self._n] = found.cosine
            self._rings["update_ratio"][self._n] = found.ratio
            self._rings["agreement"][self._n] = found.agreement

    def _measure(self, step: Step) -> None:
        n, rings, free_energy = self._n, self._rings, step.free_energy
        balance = free_energy.balance(step.states)
        rings["energy"][n] = balance.energies.mean(1)
        rings["precision"][n] = free_energy.precision
        rings["cost"][n] = (free_energy.nudge * balance.cost + balance.decay).mean()
        if self._curved:
            rings["error"][n] = torch.stack([_rms(e) for e in free_energy.errors(step.states)])
        if self.level == FULL:
            rings["energy_sample"][n] = balance.energies
            rings["force"][n] = torch.stack([_rms(g) for g in balance.forces])
            rings["activity"][n] = torch.stack([_rms(h) for h in step.states])
            if step.before is None:  # at the beginning, or because nobody looked at them
                rings["speed"][n] = torch.nan if step.moment.t else 0.0
            else:
                pairs = zip(step.states, step.before, strict=True)
                rings["speed"][n] = torch.stack([_rms(h - old) for h, old in pairs])
            pairs = zip(balance.predictions, self._first_predictions(step), strict=True)
            rings["prediction_drift"][n] = torch.stack([_rms(mu - old) for mu, old in pairs])
        if "probability" in self.shows:
            rings["probability"][n] = balance.predictions[-1].softmax(1)

    def _first_predictions(self, step: Step) -> list[Tensor]:
        """Predictions at the states of t = 0 by the present weights, made once for both."""
        held, version = self._first, self.network.version
        if held is None or held[0] is not step.first or held[1] != version:
            held = self._first = step.first, version, self.network.predictions(step.first)
        return held[2]

    def _reference(self, step: Step) -> Reference:
        """Backprop's update, made once for all rows that have the same data and weights."""
        roots = [step.states[i] for i in self.network.roots]
        made_of = [*roots, step.target]
        versions = [*self.network.weights, *(one._version for one in made_of)]
        held = self._backprop
        if (
            held is None
            or held[0] is not step.phase.cost
            or held[1] != versions
            or any(one is not other for one, other in zip(held[2], made_of, strict=True))
        ):
            reference = Reference(backprop_by_layer(step))
            held = self._backprop = step.phase.cost, versions, made_of, reference
        return held[3]

    def _frame(self, step: Step, row: int) -> None:
        found: dict[str, Tensor] = {}
        for name in IMAGES:
            if name not in self.shows:
                continue
            value = self._image(name, step)
            found[name] = value[: self.samples].flatten(1)
            if f"{name}_mse" in self.shows:
                low, high = self.pixels
                off = value.flatten(1).clamp(low, high) - step.target.flatten(1)
                found[f"{name}_mse"] = off.square().mean(1)
        for name, value in found.items():
            self._frames.setdefault(name, []).append(value)
        self._frames.setdefault("frame_row", []).append(row)

    def _image(self, name: str, step: Step) -> Tensor:
        """One image of every sample, (B, *shape)."""
        network = self.network
        if name == "prediction":
            return step.free_energy.balance(step.states).predictions[-1]
        if name == "swept":
            return network.sweep({i: step.states[i] for i in network.roots})[network.top]
        if network.image is None:
            raise ValueError("image: this network has no state that can be looked at")
        return step.states[network.image]

    def _copy(self) -> Chunk:
        """Empty the rings: one copy to the host for each."""
        rows: dict[str, NDArray[Any]] = {
            name: ring[: self._n].cpu().numpy().copy() for name, ring in self._rings.items()
        }
        for n, precisions in self._normed.items():
            rows["energy"][n] = 0.5 * rows["energy"][n] ** 2 / self.batch
            rows["precision"][n], rows["cost"][n] = precisions, 0.0
        if self._normed:
            self._rings["energy"].zero_()
            self._normed = {}
        rows |= {name: np.array(values) for name, values in self._host.items()}
        frames = {
            name: torch.stack(values).cpu().numpy()
            if isinstance(values[0], Tensor)
            else np.array(values)
            for name, values in self._frames.items()
        }
        self._host, self._frames, self._n = {}, {}, 0
        return Chunk(rows, frames)


def _rms(x: Tensor) -> Tensor:
    """Root mean square over units and samples."""
    return torch.linalg.vector_norm(x) / x.nelement() ** 0.5
