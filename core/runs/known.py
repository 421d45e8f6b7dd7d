"""What is known of whole batches and not stored yet? Stored together, nan where a thing is not."""

from typing import Any

import torch
from torch import Tensor

from core.runs.writer import Writer

BEFORE = ("accuracy", "top5", "validation")
"""What is known of a batch before it begins: by the weights that it begins with."""


class Known:
    """Values by the number of the batch."""

    def __init__(self) -> None:
        """Know nothing."""
        self._held: dict[int, dict[str, Any]] = {}

    def of(self, number: int) -> dict[str, Any]:
        """What is known of a batch, to be added to."""
        return self._held.setdefault(number, {})

    def forget(self, last: int) -> None:
        """Let go what a batch that diverged has left, and all after it; before it all was sound."""
        kept = {number: known for number, known in self._held.items() if number <= last}
        if last in kept:
            kept[last] = {k: v for k, v in kept[last].items() if k in BEFORE}
        self._held = {number: known for number, known in kept.items() if known}

    def store(self, writer: Writer, lane: int) -> None:
        """Store it all in one part."""
        numbers, self._held, held = sorted(self._held), {}, self._held
        found: dict[str, Any] = {}
        for name in dict.fromkeys(name for one in held.values() for name in one):
            given = [held[number].get(name) for number in numbers]
            wide = next((one for one in given if isinstance(one, Tensor)), None)
            if wide is None:
                found[name] = [float("nan") if one is None else one for one in given]
            else:
                none = torch.full_like(wide, torch.nan)
                found[name] = torch.stack([none if one is None else one for one in given])
        writer.batches(lane, numbers, **found)
