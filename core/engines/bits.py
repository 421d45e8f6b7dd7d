"""Does one batched product give the very numbers of single ones? The machine is asked.

Libraries are free to add in another order when they multiply many matrices at once. What may be
left out exactly after a forward sweep hangs on it: the sweep multiplies one by one.
"""

from functools import cache

import torch
from torch import nn


@cache
def batched_is_single(
    count: int, batch: int, width: int, dtype: torch.dtype, device: torch.device, threads: int
) -> bool:
    """Whether products of so many matrices have the bits of single products, for any part of them.

    Args:
        count: number of layers in the stack.
        batch: number of samples, B.
        width: units of each layer.
        dtype: of states and weights.
        device: that multiplies.
        threads: of the host.
    """
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=dtype).to(device)

    Z, W, b = drawn(count, batch, width), drawn(count, width, width), drawn(count, 1, width)
    up, down = torch.baddbmm(b, Z, W.mT), torch.baddbmm(Z, Z, W)
    single = [nn.functional.linear(Z[i], W[i], b[i, 0]) for i in range(count)]
    return torch.equal(up, torch.stack(single)) and all(
        torch.equal(torch.baddbmm(b[k:], Z[k:], W[k:].mT), up[k:])
        and torch.equal(torch.baddbmm(Z[k:], Z[k:], W[k:]), down[k:])
        for k in range(1, count)
    )
