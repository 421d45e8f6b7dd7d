"""How many faults does a test make? A part of them in every run, all in `make reliability`."""

import os
from collections.abc import Sequence
from typing import TypeVar

WHOLE = os.environ.get("RELIABILITY") == "whole"

Case = TypeVar("Case")


def few(cases: Sequence[Case], nth: int = 3) -> list[Case]:
    """The first of every `nth` like cases; all of them in `make reliability`."""
    return list(cases if WHOLE else cases[::nth])


def share(count: int, of: int = 8) -> int:
    """So many of `count` faults as this run makes: one of so many, or all; one or more."""
    return count if WHOLE else max(1, count // of)
