"""How are cases timed? In interleaved rounds, of which the disturbed ones are dropped."""

import gc
import random
from collections.abc import Sequence
from typing import Any, Protocol

WARM = 2
"""Untimed batches of each case before the first round."""

PATIENCE = 4
"""At most so many rounds are tried for each one that is wanted."""


class Timed(Protocol):
    """What can be timed."""

    label: str

    def time(self) -> float:
        """Seconds of one batch."""
        ...


class Watching(Protocol):
    """Who says how much others use."""

    def share(self) -> float | None:
        """Share of the processors' time since the last call; None where nobody knows."""
        ...


def measure(
    cases: Sequence[Timed], wanted: int, *, limit: float, watch: Watching, seed: int = 0
) -> list[dict[str, Any]]:
    """Time each case once a round, in an order of its own, until enough rounds were undisturbed.

    Args:
        cases: with different labels.
        wanted: undisturbed rounds.
        limit: share of the processors' time up to which others do not disturb.
        watch: says what others used.
        seed: of the orders.

    Returns: per round `seconds` by case in the order of timing, `others` (None where it cannot be
        known) and `kept`.
    """
    rng = random.Random(seed)
    for case in cases:
        for _ in range(WARM):
            case.time()
    rounds: list[dict[str, Any]] = []
    while sum(one["kept"] for one in rounds) < wanted and len(rounds) < PATIENCE * wanted:
        order = rng.sample(list(cases), len(cases))
        gc.collect()
        watch.share()
        seconds = {case.label: case.time() for case in order}
        others = watch.share()
        kept = others is None or others <= limit
        rounds.append({"seconds": seconds, "others": others, "kept": kept})
    return rounds
