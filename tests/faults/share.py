"""How many faults does a test make? An eighth in every run, all of them in `make reliability`."""

import os

WHOLE = os.environ.get("RELIABILITY") == "whole"


def share(count: int) -> int:
    """So many of `count` faults as this run makes, one or more."""
    return count if WHOLE else max(1, count // 8)
