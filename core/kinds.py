"""What must an entry of each kind be able to do? The protocols that strategies follow.

Two shapes, no third: without memory a strategy is called; with memory it has `init` and `step`, and
memory is handed in and out. Entries are frozen dataclasses whose fields are their dials.
"""

from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from core.batches import Batch, ImageSet
from core.free_energy import FreeEnergy
from core.network import Network, States
from core.phase import Phase
from core.start import Start
from core.step import Step


class Energy(Protocol):
    """The energy of one layer."""

    quadratic: ClassVar[bool]

    def __call__(self, h: Tensor, mu: Tensor) -> Tensor:
        """Nats per sample, (B,)."""
        ...

    def error(self, h: Tensor, mu: Tensor) -> Tensor:
        """Minus the derivative by the prediction, (B, *shape)."""
        ...


class Init(Protocol):
    """First states; may have `observe(start, final, memory) -> memory` to learn from a batch.

    One that shall learn from the share of each of several ranks is a `core.summing.Summing`.
    """

    def __call__(self, start: Start) -> States:
        """h^(0) of every state; clamped ones are overwritten afterwards."""
        ...


class Schedule(Protocol):
    """Precisions that are known beforehand.

    May have a class variable `goes_on`, true where it takes over the steps of the precisions that
    it is chosen in the place of; else its step 0 is the step at which it is chosen.
    """

    def table(self, T: int, depth: Tensor) -> Tensor:
        """(T, L), finite and not negative; past the last row the last row holds."""
        ...


@runtime_checkable
class Adaptive(Protocol):
    """Precisions that follow the errors."""

    def init(self, depth: Tensor) -> Any:
        """A memory to begin with, from each layer's depth, (L,)."""
        ...

    def row(self, memory: Any) -> Tensor:
        """The precisions in force, (L,)."""
        ...

    def step(self, free_energy: FreeEnergy, states: States, memory: Any) -> Any:
        """The memory one state update later; `states` are those before the update."""
        ...


Precision = Schedule | Adaptive


class Dynamics(Protocol):
    """One step of the states.

    May have two class variables: `descends`, true where F never rises at a small enough rate, and
    `settles`, false where the resting points are not the equilibria of F or there are none.
    """

    @property
    def rate(self) -> float:
        """The state learning rate."""
        ...

    def init(
        self, free_energy: FreeEnergy, states: States, generator: torch.Generator | None
    ) -> Any:
        """A memory derived from the states as they stand."""
        ...

    def step(self, free_energy: FreeEnergy, states: States, memory: Any) -> tuple[States, Any]:
        """New states, clamped ones unmoved, and the new memory."""
        ...


class Learning(Protocol):
    """Gradients of the weights."""

    every_step: ClassVar[bool]

    def gradients(self, step: Step) -> list[Tensor | None]:
        """One gradient per parameter, summed over the batch, if the relaxation stopped here.

        Each in a tensor that nobody else holds: it is divided by the size of the batch in place.
        None stands for a parameter that the optimiser shall leave out.
        """
        ...


class Task(Protocol):
    """What is clamped to what.

    `image_at` is the end of the network, "input" or "output", that it needs the image at, `clamps`
    the ends that it clamps whole, `shows` the variables of the trace that not every task has, and
    `has_loss` says whether there is an update of backprop to compare with.
    """

    image_at: ClassVar[str]
    clamps: ClassVar[tuple[str, ...]]
    shows: ClassVar[tuple[str, ...]]
    has_loss: ClassVar[bool]

    def phases(
        self, network: Network, batch: Batch, classes: int, generator: torch.Generator
    ) -> tuple[Phase, ...]:
        """The phases that relax one batch; a task that draws lots takes them from `generator`."""
        ...


class NetworkKind(Protocol):
    """A family of networks that fits any data set; its image is at the "input" or the "output"."""

    image_at: ClassVar[str]

    @property
    def layers(self) -> int:
        """L, weight layers."""
        ...

    def __call__(self, shape: tuple[int, ...], classes: int) -> Network:
        """Build for images of `shape` (C, H, W); draws weights from torch's global generator."""
        ...


class DatasetKind(Protocol):
    """A source of images, with so many classes."""

    classes: ClassVar[int]

    def __call__(self) -> ImageSet:
        """Load it."""
        ...


class WeightOptimiser(Protocol):
    """One of torch's optimisers with its dials."""

    @property
    def rate(self) -> float:
        """The weight learning rate, at the first update."""
        ...

    @property
    def schedule(self) -> str:
        """How the rate changes over the updates."""
        ...

    @property
    def span(self) -> int:
        """Updates until the schedule has ended."""
        ...

    def __call__(self, network: Network) -> torch.optim.Optimizer:
        """The optimiser of the network's parameters."""
        ...
