"""How does an init learn from a batch that several ranks share? From sums over its samples."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor

from core.network import States
from core.start import Start


class Summing(ABC):
    """An init that learns from sums over the samples of a batch.

    Each rank adds up its own samples, the sums are added up over all ranks together with the
    gradients, and every rank then remembers the same.
    """

    @abstractmethod
    def sums(self, start: Start, final: States, memory: Any) -> list[Tensor]:
        """What the samples here contribute, in floating-point numbers.

        Args:
            start: of the batch.
            final: its relaxed states, (B, *shape) each.
            memory: what was remembered last, or None.
        """

    @abstractmethod
    def remember(self, start: Start, final: States, sums: list[Tensor], memory: Any) -> Any:
        """The memory after one more batch.

        Args:
            start: of the batch.
            final: its relaxed states, (B, *shape) each.
            sums: what `sums` gave, added up over all ranks.
            memory: what was remembered last, or None.
        """

    def observe(self, start: Start, final: States, memory: Any) -> Any:
        """Both, of a batch that nobody shares."""
        return self.remember(start, final, self.sums(start, final, memory), memory)
