"""Does this machine compute what the papers say? Small networks whose answers are known.

Each case states numbers that were found by hand, by linear algebra or in a paper, never taken from
this program; it measures them in float64 on the machine at hand. V1, V2, ... name validation cases.
In all of them the energy is half the squared error, summed over units and samples, and there are no
biases, unless the case says otherwise. Every file of this folder adds its cases by being imported.
"""

import re
from collections.abc import Collection, Iterator

from core.catalogue import BadInput, discover, unknown
from core.experiment import available
from core.selftest.case import CASES, Case, Result, judged

__all__ = ["Case", "Result", "cases", "judged", "results", "run"]

discover(__name__)


def cases(names: Collection[str] = ()) -> list[Case]:
    """All cases, or those of some names, in the order of their numbers.

    Raises:
        BadInput: if a name is that of no case.
    """
    known = list(dict.fromkeys(one.name for one in sorted(CASES, key=_order)))
    for name in names:
        if name not in known:
            raise BadInput(f"case: {unknown(name, known)}")
    return sorted((one for one in CASES if not names or one.name in names), key=_order)


def results(device: str = "cpu", names: Collection[str] = ()) -> Iterator[Result]:
    """Case after case on one device, as `cases(names)` lists them, each judged when it is its turn.

    Raises:
        BadInput: if there is no such device, or no case of such a name; at once.
    """
    where, chosen = available(device), cases(names)
    return (judged(case, where) for case in chosen)


def run(device: str = "cpu", names: Collection[str] = ()) -> list[Result]:
    """The results of all cases; one that fails with an error says so instead of raising.

    Raises:
        BadInput: if there is no such device, or no case of such a name.
    """
    return list(results(device, names))


def _order(case: Case) -> tuple[int, int, str]:
    """V2 before V10, and names of another form, as a plugin may give them, at the end."""
    found = re.fullmatch(r"V(\d+)", case.name)
    return (0, int(found[1]), "") if found else (1, 0, case.name)
