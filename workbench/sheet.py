"""What does a view draw on? A figure of some width, or a part of a larger one."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure, SubFigure

from workbench import look

GROWTH = 0.35
"""A figure of k times the width is k^0.35 times as high: wide ones are flat."""


@dataclass(frozen=True)
class _Place:
    """What a view draws on: a figure of this width (inches), or a part of one."""

    width: float
    part: SubFigure | None = None


_place: ContextVar[_Place] = ContextVar("place")
_PLAIN = _Place(look.COLUMN)


def width() -> float:
    """Of what is drawn on now, in inches."""
    return _place.get(_PLAIN).width


def is_part() -> bool:
    """Whether what is drawn now is a panel of a larger figure."""
    return _place.get(_PLAIN).part is not None


def stretch() -> float:
    """By how much more letters fit than in one column."""
    return width() / _PLAIN.width


@contextmanager
def wide(inches: float, part: SubFigure | None = None) -> Iterator[None]:
    """Draw at that width, and on a part of a figure where one is given."""
    token = _place.set(_Place(inches, part))
    try:
        yield
    finally:
        _place.reset(token)


def sheet(height: float, *, grows: bool = True) -> Any:
    """What a view draws on: an empty figure, or its part of a larger one.

    Args:
        height: at the width of one column, in inches.
        grows: whether a wider figure is higher.
    """
    place = _place.get(_PLAIN)
    if place.part is not None:
        return place.part
    tall = height * stretch() ** GROWTH if grows else height
    return Figure(figsize=(place.width, tall), layout="constrained")
