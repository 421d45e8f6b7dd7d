"""How many cases does a fuzzer draw? A few in every run, always the same; many, new ones by hand.

What it finds becomes a test of its own, with the input that was found.
"""

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, settings

from tests.faults.share import WHOLE


def cases(short: int, whole: int, **more: Any) -> settings:
    """Settings of a fuzzer.

    Args:
        short: cases in every run.
        whole: cases in `make reliability`.
        **more: of hypothesis.
    """
    held: dict[str, Any] = {
        "max_examples": whole if WHOLE else short,
        "derandomize": not WHOLE,
        "database": None,
        "deadline": None,
        "suppress_health_check": list(HealthCheck),
        "phases": (Phase.explicit, Phase.generate, Phase.shrink),
    }
    return settings(**(held | more))


class Count:
    """Counts the cases that ran."""

    def __init__(self) -> None:
        """None so far."""
        self.cases = 0

    def told(self, record_property: Callable[[str, Any], None], what: str) -> None:
        """Tell them to the report."""
        record_property(f"count: fuzz cases without a find: {what}", self.cases)
