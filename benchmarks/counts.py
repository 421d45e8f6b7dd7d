"""How many multiply-adds does one batch need? Closed forms from the shapes alone.

All take `products`, the multiply-adds of each layer's prediction in one batch, from the bottom: for
a dense layer B x inputs x outputs. Handing an error down through a layer, and its weight gradient,
cost the same again. Nothing is handed down to the clamped bottom. Biases and elementwise work are
left out.
"""

from collections.abc import Sequence


def plain(products: Sequence[int], T: int) -> int:
    """With nothing saved: a sweep, T times all predictions and all errors down, all gradients.

    As torch.mm calls: L + T (2 L - 1) + L.
    """
    up, down = sum(products), sum(products[1:])
    return up + T * (up + down) + up


def kept(products: Sequence[int], T: int) -> int:
    """With nothing computed twice, from any first states.

    The prediction of the layer above a clamped bottom is made once; those at the states of t = T
    serve the last energies and the weight gradients.
    """
    up, inner = sum(products), sum(products[1:])
    return up + 2 * T * inner + up


def exact(products: Sequence[int], T: int) -> int:
    """The same from a forward sweep: the error begins at the output and goes down a layer a step.

    Layer l of L has no error while t < L - l, so that nothing is handed down from it, and its
    prediction stays while its parent does not move.
    """
    L = len(products)
    silent = sum(min(T, L - layer) * products[layer - 1] for layer in range(2, L + 1))
    return kept(products, T) - 2 * silent


def backprop(products: Sequence[int]) -> int:
    """One pass up, one down, one for the weights."""
    return 2 * sum(products) + sum(products[1:])
