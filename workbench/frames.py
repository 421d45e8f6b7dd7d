"""What goes to the browser in one message? The rows that it has not got, the cursor, the pictures.

A message is, in this order: the length of the head as a 4-byte integer, the head as JSON, zeros up
to a multiple of 8 bytes, the numbers of the new rows as 8-byte floats, their values as 4-byte
floats, the same of the lane behind, and the pictures as bytes; all little-endian.
`assets/look/frames.js` reads it.
"""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from workbench.curves import Curves

SINGLE = ("total", "bare", "residual", "imbalance")
"""Values of a row that are one number, in the order of their columns."""

LAYERED = ("energy", "error", "compared", "precision")
"""Values of a row that are one of each layer, behind the others; log10 except for cosines."""

NOT_KNOWN, ROUNDING = np.inf, -np.inf
"""What stands for an energy that was not recorded, and for one that is below its rounding floor."""

Floats = NDArray[np.float32]


def table(c: "Curves", compared: Any) -> Floats:
    """Rows as the browser draws them, (n, 4 + 4 L): `SINGLE`, then `LAYERED` layer by layer.

    An energy is nan where the layer is not reached.

    Args:
        c: what is drawn of a lane.
        compared: what the panel in the middle draws, (n, L), as it is drawn.
    """
    logs = c.logs
    energy = logs["energy"].copy()
    energy[c.noise] = ROUNDING
    energy[np.isnan(c.raw)] = NOT_KNOWN
    single = (logs["total"], logs["bare"], logs["residual"], c.imbalance)
    parts = (energy, logs["error"], compared, logs["precision"])
    return np.hstack([*(one[:, None] for one in single), *parts]).astype(np.float32)


@dataclass(frozen=True)
class Piece:
    """What a browser must do to have the rows that are drawn.

    Args:
        drop: rows that it holds and drops from their beginning.
        keep: rows that it keeps behind those.
        step: numbers of the rows that follow, (m,).
        values: their values, (m, K).
    """

    drop: int
    keep: int
    step: NDArray[np.float64]
    values: Floats

    @property
    def head(self) -> list[int]:
        """How the browser is told: what it drops and keeps, and the shape of what follows."""
        return [self.drop, self.keep, *self.values.shape]

    @property
    def packed(self) -> bytes:
        """The rows that follow."""
        return self.step.astype("<f8").tobytes() + self.values.astype("<f4").tobytes()


class Tape:
    """The rows of one lane that the browser holds."""

    def __init__(self) -> None:
        """None yet."""
        self._step = np.zeros(0)
        self._values = np.zeros((0, 0), np.float32)

    def piece(self, step: Any, values: Floats) -> Piece:
        """What is missing for the browser to hold these rows, and no others.

        Args:
            step: numbers of the rows, rising, (n,).
            values: (n, K).
        """
        step = np.asarray(step, float)
        drop = int(np.searchsorted(self._step, step[0])) if len(step) else len(self._step)
        n = min(len(self._step) - drop, len(step))
        same = np.zeros(0, bool)
        if self._values.shape[1] == values.shape[1]:
            old, new = self._values[drop : drop + n], values[:n]
            equal = (old == new) | (np.isnan(old) & np.isnan(new))
            same = (self._step[drop : drop + n] == step[:n]) & equal.all(1)
        keep = len(same) if same.all() else int(same.argmin())
        self._step, self._values = step, values
        return Piece(drop if keep else 0, keep, step[keep:], values[keep:])


class Frames:
    """What one browser holds, and the messages that bring it up to date."""

    def __init__(self) -> None:
        """A browser that holds nothing."""
        self.rows, self.behind = Tape(), Tape()
        self._told: dict[str, Any] = {}
        self._pictures = b""

    def packed(
        self,
        head: dict[str, Any],
        once: dict[str, Any],
        rows: tuple[Any, Floats],
        behind: tuple[Any, Floats],
        pictures: bytes,
    ) -> bytes:
        """One message.

        Args:
            head: what is told each time.
            once: what is told only when it is another than before.
            rows: numbers and values of the rows of the lane.
            behind: the same of the lane behind; of no rows without one.
            pictures: pixels, sent only when they are others than before.
        """
        pieces = self.rows.piece(*rows), self.behind.piece(*behind)
        new = {name: one for name, one in once.items() if self._told.get(name) != one}
        self._told |= new
        changed = pictures != self._pictures
        self._pictures = pictures
        told = {**head, **new, "rows": pieces[0].head, "behind": pieces[1].head}
        told["pixels"] = len(pictures) if changed else -1
        text = json.dumps(told).encode()
        start = len(text).to_bytes(4, "little") + text
        start += bytes(-len(start) % 8)
        made = [start]
        for piece in pieces:
            made.append(piece.packed)
            made.append(bytes(-len(piece.packed) % 8))
        return b"".join([*made, pictures if changed else b""])
