"""Is a table of precisions sound? Asked wherever one comes from an entry."""

from typing import Any

import torch
from torch import Tensor


def fault(table: Any, shape: tuple[int, int]) -> str:
    """What is wrong with a table of precisions, or "".

    Args:
        table: (T, L), steps by layers.
        shape: that it must have.
    """
    if not isinstance(table, Tensor) or tuple(table.shape) != shape:
        came = tuple(table.shape) if isinstance(table, Tensor) else type(table).__name__
        return f"a table of shape {came}; {shape}, (steps, layers)"
    if table.is_complex():
        return "complex numbers; finite and 0 or more"
    bad = ~(torch.isfinite(table) & (table >= 0))
    if not bool(bad.any()):
        return ""
    t, layer = (int(one) for one in bad.nonzero()[0])
    return f"{float(table[t, layer]):g} at step {t}, layer {layer + 1}; finite and 0 or more"
