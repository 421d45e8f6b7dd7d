"""Any precisions, written down cell by cell."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from core.catalogue import BadInput, dial, entry


@entry(
    "precision", "Table", formula=r"\Pi_\ell(t) = \mathrm{table}[t][\ell]", source="this project"
)
@dataclass(frozen=True)
class Table:
    r"""A hand-written table: one row per step, one column per layer in depth order.

    $\Pi_\ell(t) = \mathrm{table}[t][\ell]$; past the last row the last row holds. A single column
    is used for every layer. Layers at the same depth, as those of a skip, share a column. Chosen
    between two steps it goes on with the row of the next one: it does not begin with its first
    row, as formulas do, so that a formula written down as a table is what it was.

    Source: this project.
    """

    goes_on: ClassVar[bool] = True

    rows: tuple[tuple[float, ...], ...] = dial(
        ((1.0,),), bounds=(0.0, 1e6), table=True, help="rows are steps, columns are layers"
    )

    def fitted(self, layers: int) -> "Table":
        """This table for so many layers, counted from the output; lower ones are like the lowest.

        Args:
            layers: L.
        """
        width = len(self.rows[0])
        if width in (1, layers):
            return self
        kept = tuple(row[-layers:] for row in self.rows)
        return Table(rows=tuple((row[0],) * (layers - width) + row for row in kept))

    def table(self, T: int, depth: Tensor) -> Tensor:
        """Precisions, (T, L)."""
        rows = torch.tensor(self.rows, dtype=torch.float64)
        levels, column = depth.unique(return_inverse=True)
        L = len(levels)
        if rows.shape[1] not in (1, L):
            raise BadInput(
                f"precision.rows: {rows.shape[1]} columns; 1, or one for each of {L} layers"
            )
        at = torch.arange(T).clamp(max=len(rows) - 1)
        return rows[at].expand(T, L)[:, column]
