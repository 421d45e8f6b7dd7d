"""How do channels become one picture? Tiles in a grid, a scale about zero, fading colours."""

import math
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_hex
from numpy.typing import NDArray

from workbench.maps_field import Unit

MOST_CELLS = 2**18
"""Cells of a sheet: as many channels as fit are drawn, and at least one."""

A_LINE = 32
"""Units of a dense layer in one line."""


OPAQUE = 0.85
"""Alpha of the upper half of a scale that lies over an image."""


@dataclass(frozen=True)
class Tiles:
    """Where each channel lies in a sheet, line by line from the top left.

    Args:
        channels: that are drawn.
        rows: of a tile.
        columns: of a tile.
        across: tiles in a line.
    """

    channels: int
    rows: int
    columns: int
    across: int

    @classmethod
    def of(
        cls, shape: tuple[int, ...], room: tuple[float, float], *, line: int = A_LINE
    ) -> "Tiles":
        """The grid that makes tiles largest; units without places stand in lines.

        Args:
            shape: (C, H, W).
            room: width and height that there are, in any unit.
            line: units without places in one line, at most.
        """
        channels, rows, columns = shape
        if rows == columns == 1:
            return cls(channels, 1, 1, min(channels, line))
        drawn = max(1, min(channels, MOST_CELLS // (rows * columns)))
        wide, high = room
        across = max(
            range(1, drawn + 1),
            key=lambda n: (min(wide / (n * columns), high / (-(-drawn // n) * rows)), -n),
        )
        return cls(drawn, rows, columns, across)

    @property
    def down(self) -> int:
        """Lines of tiles."""
        return -(-self.channels // self.across)

    @property
    def width(self) -> int:
        """Cells from left to right."""
        return self.across * self.columns

    @property
    def height(self) -> int:
        """Cells from top to bottom."""
        return self.down * self.rows

    def sheet(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """The channels as one picture, first row on top; nan where there is no channel."""
        found = np.full((self.down * self.across, self.rows, self.columns), np.nan, np.float32)
        found[: self.channels] = values[: self.channels]
        grid = found.reshape(self.down, self.across, self.rows, self.columns)
        return grid.transpose(0, 2, 1, 3).reshape(self.height, self.width)

    def unit_at(self, x: float, y: float) -> Unit | None:
        """The unit under a point.

        Args:
            x: cells from the left edge.
            y: cells from the top edge.
        """
        column, row = math.floor(x), math.floor(y)
        if not (0 <= column < self.width and 0 <= row < self.height):
            return None
        channel = (row // self.rows) * self.across + column // self.columns
        if channel >= self.channels:
            return None
        return channel, row % self.rows, column % self.columns

    def corner(self, unit: Unit) -> tuple[int, int] | None:
        """Cells to the left of a unit and above it; None where its channel is not drawn."""
        channel, row, column = unit
        if channel >= self.channels:
            return None
        line, place = divmod(channel, self.across)
        return place * self.columns + column, line * self.rows + row


def largest(values: NDArray[Any]) -> float:
    """The largest finite magnitude; zero where there is none."""
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max()) if finite.size else 0.0


def round_up(value: float) -> float:
    """The next of 1, 2 and 5 times a power of ten that is not below a positive value."""
    power = math.floor(math.log10(value))
    for digit in (1, 2, 5, 10):
        found = float(f"{digit}e{power}")
        if found >= value:
            return found
    return float(f"1e{power + 1}")


class Scale:
    """The limit of a colour scale: it holds what was seen, so that fading can be seen."""

    def __init__(self) -> None:
        """Nothing was seen."""
        self._of: Any = None
        self._seen = 0.0

    def limit(self, of: Any, values: NDArray[Any], *, anew: bool = False) -> float:
        """The limit for these values: a round number above all that were drawn of the same thing.

        Args:
            of: what the values are; another thing begins anew.
            values: to be drawn.
            anew: whether only these count.
        """
        if anew or of != self._of:
            self._of, self._seen = of, 0.0
        self._seen = max(self._seen, largest(values))
        return round_up(self._seen) if self._seen else 1.0


def fading(name: str, n: int = 256) -> list[str]:
    """A colour map for what lies over an image, from transparent to `OPAQUE`, as hex with alpha."""
    at = np.linspace(0, 1, n)
    colours = mpl.colormaps[name](at)
    colours[:, 3] = OPAQUE * np.minimum(1, 2 * at)
    return [to_hex(one, keep_alpha=True) for one in colours]
