"""Does this machine compute what the papers say? Small networks whose answers are known.

Each case states numbers that were found by hand, by linear algebra or in a paper, never taken from
this program; it measures them in float64 on the machine at hand. V1, V2, ... name validation cases.
In all of them the energy is half the squared error, summed over units and samples, and there are no
biases, unless the case says otherwise. Every file of this folder adds its cases by being imported.
"""

from core.catalogue import discover
from core.experiment import available
from core.selftest.case import CASES, Case, Result, judged

__all__ = ["Case", "Result", "cases", "judged", "run"]

discover(__name__)


def cases() -> list[Case]:
    """All cases, in the order of their numbers."""
    return sorted(CASES, key=lambda case: int(case.name[1:]))


def run(device: str = "cpu") -> list[Result]:
    """Every case on one device; a case that fails with an error says so instead of raising.

    Raises:
        BadInput: if there is no such device.
    """
    where = available(device)
    return [judged(case, where) for case in cases()]
