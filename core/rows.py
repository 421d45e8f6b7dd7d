"""Which precisions are in force at a step? A schedule laid out once, under window and output."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from core.catalogue import BadInput
from core.kinds import Schedule
from core.network import Network
from core.soundness import fault

if TYPE_CHECKING:
    from core.experiment import Recipe


@dataclass(frozen=True)
class Rows:
    """The precisions of all steps; past the last row that one holds.

    Args:
        on_device: (T', L), where the network is.
        on_host: the same numbers.
    """

    on_device: Tensor
    on_host: NDArray[Any]

    def at(self, t: int) -> int:
        """The row of step t."""
        return min(t, len(self.on_host) - 1)


def choices(recipe: "Recipe", network: Network) -> tuple[Any, ...]:
    """What rows follow from."""
    rate = recipe.dynamics.rate if network.auxiliary else None
    return recipe.precision, recipe.steps, recipe.window, recipe.output_precision, rate


def begins_anew(old: Any, new: Any) -> bool:
    """Whether precisions begin with their step 0 where they come in the place of others."""
    return type(old) is not type(new) and not getattr(new, "goes_on", False)


def laid_out(schedule: Schedule, recipe: "Recipe", T: int, network: Network) -> Rows:
    """A schedule for T steps as it is in force under a recipe.

    Raises:
        BadInput: if its table has another shape than (T, L), or numbers that no precision can be.
    """
    depth, like = network.depth, network.example
    table = schedule.table(T, depth)
    if wrong := fault(table, (T, len(depth))):
        raise BadInput(f"precision: {type(schedule).__name__} gives {wrong}")
    table = table.to(like.dtype)
    opened = int(depth.max()) + 1
    if recipe.window and T < opened:
        table = torch.cat([table, table[-1:].expand(opened - T, -1)])
    rows = in_force(recipe, network, table, torch.arange(len(table))[:, None])
    return Rows(rows.to(like.device), rows.numpy())


def in_force(recipe: "Recipe", network: Network, rows: Tensor, t: Tensor | int) -> Tensor:
    """Precisions (..., L) of step t under window and output precision, 1 / rate for auxiliaries.

    Args:
        recipe: whose window, output precision and state rate act.
        network: whose layers they are of.
        rows: precisions without them, (..., L).
        t: the step, or the steps, (..., 1).
    """
    if recipe.window:
        depth = network.depth.to(rows.device)
        rows = torch.where(depth >= depth.max() - t, rows, 0.0)
    if recipe.output_precision != 1.0:
        rows = torch.cat([rows[..., :-1], recipe.output_precision * rows[..., -1:]], dim=-1)
    if network.auxiliary:
        weighted = [network.nodes[i].auxiliary for i in network.layers]
        by = torch.tensor(weighted, device=rows.device)
        rows = torch.where(by, rows / recipe.dynamics.rate, rows)
    return rows
