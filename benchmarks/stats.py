"""What do interleaved rounds say? Medians of per-round ratios, with an interval.

Every round times each case once, so that a slow minute slows all of them: a ratio within a round is
steadier than the times themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

RESAMPLES = 4000


@dataclass(frozen=True)
class Ratio:
    """Median of per-round ratios.

    Args:
        median: over rounds.
        low: lower end of the 95 % bootstrap interval of the median.
        high: its upper end.
        n: rounds.
    """

    median: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.median:.2f} [{self.low:.2f}, {self.high:.2f}]"


def median_of(values: Sequence[float], *, seed: int = 0) -> Ratio:
    """Median with its bootstrap interval.

    Raises:
        ValueError: for no values.
    """
    if not len(values):
        raise ValueError("values: none; a median needs one")
    x = np.asarray(values, dtype=float)
    drawn = np.random.default_rng(seed).integers(0, len(x), size=(RESAMPLES, len(x)))
    low, high = np.percentile(np.median(x[drawn], axis=1), [2.5, 97.5])
    return Ratio(float(np.median(x)), float(low), float(high), len(x))


def ratio(rounds: Sequence[Mapping[str, Any]], above: str, below: str) -> Ratio | None:
    """Time of one case over that of another, by undisturbed rounds; None where there are none.

    Args:
        rounds: each with `kept` and `seconds` by case.
        above: case of the numerator.
        below: case of the denominator.
    """
    times = [one["seconds"] for one in rounds if one["kept"]]
    found = [one[above] / one[below] for one in times if above in one and below in one]
    return median_of(found) if found else None


def summary(rounds: Sequence[Mapping[str, Any]], cases: Sequence[str]) -> dict[str, Any]:
    """Median time of each case in milliseconds, and all ratios of two cases."""
    times = {name: [r["seconds"][name] for r in rounds if r["kept"]] for name in cases}
    pairs = {
        f"{a} / {b}": asdict(found)
        for a in cases
        for b in cases
        if a != b and (found := ratio(rounds, a, b)) is not None
    }
    spread = {
        name: {
            "median": 1e3 * float(np.median(values)),
            "min": 1e3 * min(values),
            "quartiles": (1e3 * np.percentile(values, [25, 75])).tolist(),
        }
        for name, values in times.items()
        if values
    }
    return {"milliseconds": spread, "ratios": pairs}
