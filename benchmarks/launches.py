"""How much does torch have to do? Kernels and multiply-adds of a stretch of code, counted.

A dispatch mode sees every operator that reaches a backend, those of a backward pass too. Views,
metadata and bare allocations start no kernel and are left out. An operator counts once, although a
backend may split it: on a CPU, and without a compiler, one operator is one kernel or one library
call. Operators that hide whole programs (a captured graph, a compiled function) are not looked
into.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

FREE = frozenset(
    (
        *("empty", "empty_like", "empty_strided", "empty_permuted", "new_empty"),
        *("new_empty_strided", "resize_", "set_", "_unsafe_view", "is_same_size", "lift_fresh"),
        *("sym_size", "sym_stride", "sym_numel", "sym_storage_offset", "is_pinned", "device"),
    )
)
"""Operators that start no kernel although they are no views: allocations and metadata."""

READS = frozenset(("_local_scalar_dense", "item", "is_nonzero"))
"""Operators that wait for a number on the host."""


class Count(TorchDispatchMode):
    """Counts while it is entered.

    Attributes:
        kernels: operator -> how often it ran.
        reads: how often the host waited for a number.
        multiply_adds: of matrix products and convolutions; nothing else is counted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kernels: Counter[str] = Counter()
        self.reads = 0
        self.multiply_adds = 0

    @property
    def launches(self) -> int:
        """Kernels in all."""
        return sum(self.kernels.values())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        with self:  # a composite operator (as inference mode lets through) is looked into
            parts = func.decompose(*args, **kwargs)
        if parts is not NotImplemented:
            return parts
        out = func(*args, **kwargs)
        name = func._schema.name.removeprefix("aten::")
        if name in READS:
            self.reads += 1
        elif name not in FREE and not is_view(func):
            self.kernels[name] += 1
            self.multiply_adds += products(name, args, kwargs, out)
        return out


def is_view(func: Any) -> bool:
    """Whether the operator only gives another look at memory that is there."""
    aliases = [one.alias_info for one in func._schema.returns]
    return any(one is not None and not one.is_write for one in aliases)


def products(name: str, args: Any, kwargs: Any, out: Any) -> int:
    """Multiply-adds of one operator; its in-place and out= forms count like the plain one."""
    packet = getattr(torch.ops.aten, name.removesuffix("_"), None)
    if packet not in flop_registry:
        return 0
    plain = {key: value for key, value in kwargs.items() if key not in ("out", "alpha", "beta")}
    return flop_registry[packet](*args, **plain, out_val=out) // 2


def count(act: Callable[[], Any]) -> Count:
    """What one call does."""
    with Count() as found:
        act()
    return found


def launches_per_step(make: Callable[[int], Callable[[], Any]], early: int, late: int) -> float:
    """Kernels of one more step.

    Args:
        make: from a number of steps T to a call that relaxes so far.
        early: T from which on all steps are alike.
        late: a larger T.
    """
    return (count(make(late)).launches - count(make(early)).launches) / (late - early)
