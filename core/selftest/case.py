"""What is a case of the self-test, and how is it judged?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Find = Callable[[torch.device], Tensor]

EXACT = 0.0
ROUNDING = 1e-12
DIGITS_8 = 6e-9
DIGITS_10 = 6e-11
"""Tolerances: equal, equal up to rounding, equal in so many printed decimals."""


@dataclass(frozen=True)
class Case:
    """One claim about numbers.

    Args:
        name: of the validation case it belongs to.
        what: the claim, in one line.
        expected: the numbers, from the calculation.
        tolerance: largest absolute difference.
        find: measures them on a device.
    """

    name: str
    what: str
    expected: tuple[float, ...]
    tolerance: float
    find: Find


@dataclass(frozen=True)
class Result:
    """What a case gave on this machine; `expected` and `found` are written for a table."""

    name: str
    what: str
    expected: str
    found: str
    passed: bool


CASES: list[Case] = []
"""All that were added."""


def judged(case: Case, device: torch.device) -> Result:
    """The result of one case."""
    count = len(case.expected)
    try:
        found = case.find(device).detach().double().cpu().flatten()
    except Exception as error:  # the table goes on, and this row says why it has no numbers
        line = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return Result(case.name, case.what, _numbers(case.expected, 0), line, False)
    if len(found) != count:
        return Result(case.name, case.what, f"{count} numbers", f"{len(found)} numbers", False)
    off = (found - torch.tensor(case.expected, dtype=torch.float64)).abs()
    off = off.nan_to_num(nan=torch.inf)
    passed = bool((off <= case.tolerance).all())
    first = 0 if passed else int(off.argmax())
    expected, came = _numbers(case.expected, first), _numbers(found.tolist(), first)
    return Result(case.name, case.what, expected, came, passed)


def _numbers(values: Sequence[float], first: int) -> str:
    """Up to four numbers from one on, and how many there are in all."""
    shown = " ".join(f"{value + 0.0:.10g}" for value in values[first : first + 4])
    return shown if len(values) <= 4 else f"{shown} ... ({len(values)} numbers)"


def case(
    name: str, what: str, expected: Sequence[float], tolerance: float = ROUNDING
) -> Callable[[Find], Find]:
    """Add the function below as a case."""

    def add(find: Find) -> Find:
        CASES.append(Case(name, what, tuple(map(float, expected)), tolerance, find))
        return find

    return add


# Networks and their relaxations ------------------------------------------------------------------
