"""What is a convolutional classifier made of? Brackets of a linear map, a norm, phi and a pool.

A layout is a list of brackets; behind each stands one state.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from torch import nn

from core.catalogue import BadInput
from core.network import Network, chain
from core.networks.activations import ACTIVATIONS
from core.networks.layers import PRE
from core.normalization import NONE, BatchNorm

WIDTH_HELP = "factor of all channels and dense widths; 1: as published"

POOLS_HELP = "how many of the layout's pools there are, from the input on; fewer for small images"

LARGEST = 4096
"""Largest side of an image that is tried before a layout is said to need a larger one."""


@dataclass(frozen=True)
class Conv:
    """A convolution of 3 x 3, and perhaps a pool of 2 x 2 behind its activation.

    Args:
        channels: C.
        pool: whether the maximum of 2 x 2 places is taken.
        stride: of the convolution.
        padding: of the convolution.
    """

    channels: int
    pool: bool = False
    stride: int = 1
    padding: int = 1

    def side(self, side: int) -> tuple[int, int]:
        """Length of a side behind the convolution, and behind the pool; below 1: there is none."""
        found = (side + 2 * self.padding - 3) // self.stride + 1
        return found, found // 2 if self.pool else found


@dataclass(frozen=True)
class Dense:
    """A linear map of all units.

    Args:
        units: that it gives.
    """

    units: int


Bracket = Conv | Dense


def stages(*groups: Sequence[int], last: Sequence[int] = ()) -> tuple[Bracket, ...]:
    """Convolutions by their channels: a pool behind each group, none behind the last ones."""
    found = []
    for group in groups:
        found += [Conv(c) for c in group[:-1]] + [Conv(group[-1], pool=True)]
    return (*found, *(Conv(c) for c in last))


def sized(layout: Sequence[Bracket], width: float, pools: int) -> tuple[Bracket, ...]:
    """A layout with another width, and with its first pools only."""
    found: list[Bracket] = []
    for one in layout:
        if isinstance(one, Dense):
            found.append(Dense(max(1, round(one.units * width))))
            continue
        pool = one.pool and sum(isinstance(b, Conv) and b.pool for b in found) < pools
        found.append(replace(one, channels=max(1, round(one.channels * width)), pool=pool))
    return tuple(found)


def classifier(
    layout: Sequence[Bracket],
    shape: tuple[int, ...],
    classes: int,
    *,
    activation: str,
    norm: str,
    site: str,
    name: str,
) -> Network:
    """A chain of brackets from the image to the classes; the last map, to the classes, is linear.

    At the site "post" a state stands behind its bracket. At "pre" it stands before the activation,
    and activation and pool belong to the bracket above it: the same function of the image.

    Args:
        layout: all brackets but the last one.
        shape: of an image, (C, H, W).
        classes: number of classes.
        activation: of all brackets of the layout.
        norm: one of `NORMS`, of the convolutions.
        site: "post" or "pre".
        name: of the layout, for a refusal.

    Raises:
        BadInput: if nothing of an image is left behind some bracket.
    """
    check(layout, shape, name)
    at: tuple[int, ...] = tuple(shape)
    shapes, maps = [at], []
    waiting: list[nn.Module] = []  # what stands between a state and the next linear map
    for one in layout:
        linear, between = linear_map(one, at, norm), _between(one, activation)
        bare, at = shapes_behind(one, at)
        if site == PRE:
            maps.append(joined([*waiting, *linear]))
            shapes.append(bare)
            waiting = between
        else:
            maps.append(joined([*linear, *between]))
            shapes.append(at)
    maps.append(joined([*waiting, *linear_map(Dense(classes), at, NONE)]))
    return chain(maps, [*shapes, (classes,)], image=0)


def linear_map(one: Bracket, at: tuple[int, ...], norm: str) -> list[nn.Module]:
    """The linear map over a state of a shape, and the norm behind a convolution."""
    if isinstance(one, Dense):
        flat = [nn.Flatten()] if len(at) > 1 else []
        return [*flat, nn.Linear(prod(at), one.units)]
    conv = nn.Conv2d(at[0], one.channels, 3, stride=one.stride, padding=one.padding)
    return [conv] if norm == NONE else [conv, BatchNorm(one.channels, norm)]


def _between(one: Bracket, activation: str) -> list[nn.Module]:
    """Activation and pool."""
    found = [] if activation == "identity" else [ACTIVATIONS[activation]()]
    return [*found, nn.MaxPool2d(2)] if isinstance(one, Conv) and one.pool else found


def shapes_behind(one: Bracket, at: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes behind the linear map, and behind the bracket."""
    if isinstance(one, Dense):
        return (one.units,), (one.units,)
    (rows, low), (columns, narrow) = one.side(at[1]), one.side(at[2])
    return (one.channels, rows, columns), (one.channels, low, narrow)


def joined(parts: list[nn.Module]) -> nn.Module:
    """Modules one after the other."""
    return parts[0] if len(parts) == 1 else nn.Sequential(*parts)


def check(layout: Sequence[Bracket], shape: tuple[int, ...], name: str) -> None:
    """Refuse images of which some bracket leaves nothing."""
    least = next(side for side in range(1, LARGEST) if _fits(layout, side))
    if min(shape[1:]) >= least:
        return
    pools = sum(isinstance(one, Conv) and one.pool for one in layout)
    raise BadInput(
        f"network.pools: {pools} in {name} with images of {shape[1]} x {shape[2]}; "
        f"fewer pools, or images of {least} x {least} and more"
    )


def _fits(layout: Sequence[Bracket], side: int) -> bool:
    """Whether something of a side is left behind every bracket."""
    for one in layout:
        if isinstance(one, Conv):
            bare, side = one.side(side)
            if bare < 1 or side < 1:
                return False
    return True
