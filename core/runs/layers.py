"""What are the layers of a program that is not ours? Names and numbers of units, as far as said."""

from collections.abc import Sequence
from typing import Any

import torch

from core.catalogue import BadInput, shown
from core.layout import Layout
from core.network import Network

Layers = Network | Layout | Sequence[str | int | tuple[str, int]]
"""Names of layers, their numbers of units, or pairs of the two; or what has layers."""

DTYPES = ("float16", "bfloat16", "float32", "float64")


def layout_of(layers: Layers, pixel_shape: tuple[int, ...], dtype: Any) -> Layout:
    """What rows are about, from what a person says of it.

    Raises:
        BadInput: naming what is not legal.
    """
    pixel_shape = _pixels(pixel_shape)
    if isinstance(layers, Network | Layout):
        if dtype is not None:
            raise BadInput(f"dtype: {dtype}; none, the layers say it")
        if isinstance(layers, Network):
            return Layout.of(layers, pixel_shape)
        return layers.shaped(pixel_shape) if pixel_shape else layers
    legal = "a list of names, of numbers of units or of pairs (name, units)"
    if not isinstance(layers, list | tuple) or not layers:
        raise BadInput(f"layers: {shown(layers)}; {legal}")
    names, sizes = [], []
    for k, one in enumerate(layers):
        pair = one if isinstance(one, tuple) else (one, 0) if isinstance(one, str) else (None, one)
        if len(pair) != 2 or not isinstance(pair[0], str | None):
            raise BadInput(f"layers[{k}]: {shown(one)}; a name, a number of units, or both")
        if isinstance(pair[1], bool) or not isinstance(pair[1], int) or pair[1] < 0:
            raise BadInput(f"layers[{k}]: {shown(one)}; an integer of 1 or more units")
        names.append(pair[0] or f"layer {k + 1}")
        sizes.append(pair[1])
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BadInput(f"layers: {shown(twice)} twice; a name of its own for each")
    name = "float32" if dtype is None else str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise BadInput(f"dtype: {shown(dtype)}; one of {', '.join(DTYPES)}")
    L = len(names)
    return Layout(
        layers=tuple(range(1, L + 1)),
        names=("input", *names),
        depths=tuple(range(1, L + 1)),
        sizes=(0, *sizes),
        quadratic=(False,) * L,  # what an energy is made of is not known: no error follows from it
        eps=float(torch.finfo(getattr(torch, name)).eps),
        pixel_shape=pixel_shape,
    )


def _pixels(shape: Any) -> tuple[int, ...]:
    found = tuple(shape)
    if found and (len(found) != 3 or not all(type(n) is int and n > 0 for n in found)):
        raise BadInput(f"pixel_shape: {shown(shape)}; (channels, rows, columns)")
    return found
