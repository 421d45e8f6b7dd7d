"""Does the energy fall where the rule of the states promises it?"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.catalogue import cards
from core.trace import Trace

ROUNDING = 1e3
"""A rise below so many units of rounding of the largest F is none."""

_HELD = ("batch", "t", "phase", "recipe_id", "precision")


class Descent:
    """Watches F of a lane, chunk by chunk, and flags the first rise that should not be.

    A rule promises descent by its class variable `descends`, as gradient descent does: F never
    rises below a rate of 2 / lambda_max. Two rows are compared only where all else is the same: one
    batch, phase, recipe and precisions, and weights that wait for the end.
    """

    def __init__(self, trace: Trace) -> None:
        """Begin to watch the rows that come."""
        self.trace = trace
        self._last: dict[str, NDArray[Any]] = {}
        self._largest = 0.0

    def look(self, rows: dict[str, NDArray[Any]], totals: NDArray[np.float64]) -> None:
        """Flag the first rise in the attribute `rises` of the trace.

        Args:
            rows: of a chunk.
            totals: F of each row, (R,).
        """
        if self.trace.attrs.get("rises") or not self.trace.recipes:  # without one nothing promises
            return
        now = {name: rows[name] for name in _HELD} | {"F": totals}
        if self._last:
            now = {name: np.concatenate([self._last[name], now[name]]) for name in now}
        self._last = {name: values[-1:] for name, values in now.items()}
        finite = totals[np.isfinite(totals)]
        self._largest = max(self._largest, float(np.abs(finite).max(initial=0.0)))
        at = self._first(now)
        if at is not None:
            self.trace.attrs["rises"] = (
                f"F rises at step {int(now['t'][at])} of batch {int(now['batch'][at])}, "
                f"from {now['F'][at - 1]:.6g} to {now['F'][at]:.6g}: lower dynamics.rate"
            )

    def _first(self, now: dict[str, NDArray[Any]]) -> int | None:
        """The position of the first row that is above the one before and should not be."""
        alike = np.diff(now["t"]) == 1
        for name in ("batch", "phase", "recipe_id"):
            alike &= now[name][1:] == now[name][:-1]
        alike &= (now["precision"][1:] == now["precision"][:-1]).all(1)
        alike &= np.array([self._promises(int(one)) for one in now["recipe_id"][1:]], dtype=bool)
        with np.errstate(all="ignore"):
            higher = np.diff(now["F"]) > ROUNDING * self.trace.eps * self._largest
        found = np.flatnonzero(alike & higher)
        return int(found[0]) + 1 if len(found) else None

    def _promises(self, recipe_id: int) -> bool:
        """Whether the rules of a recipe of the trace promise descent."""
        recipe = self.trace.recipes[recipe_id]
        rule, learning = (cards(k).get(recipe[k]["name"]) for k in ("dynamics", "learning"))
        if rule is None or learning is None:  # of a plugin that has it no longer
            return False
        moving = getattr(learning.entry, "every_step", False)
        return bool(getattr(rule.entry, "descends", False)) and not moving
