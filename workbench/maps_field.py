"""What does the prediction of one unit read? Its gradient by the image, or by a state below it.

The gradient says how much each place matters at these states; which places can matter at all is
asked of the network itself: a place belongs to the receptive field if "not a number" put there
comes out at the unit.
"""

import copy
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.network import Network, States
from core.normalization import BatchNorm

IMAGE, BELOW = "image", "below"

READS = (IMAGE, BELOW)
"""What a prediction is differentiated by: the image, through the sweep, or the state below."""

Unit = tuple[int, int, int]
"""Channel, row and column of a unit."""

Box = tuple[int, int, int, int]
"""First row, row behind the last, first column, column behind the last."""

Places = tuple[int, ...]

Outline = Callable[[Network, int, int, Unit, Places, bool], Box | None]
"""As `outline_of`."""


@dataclass(frozen=True, eq=False)
class Field:
    """What one unit's prediction reads.

    Args:
        unit: channel, row, column.
        reads: one of `READS`.
        source: index of the state that is read; -1 where there is none.
        heat: norm of the gradient over the channels of each place, (H, W); (units, 1) of a source
            that has no places; None where there is no gradient.
        prediction: mu of the unit where it was differentiated.
        box: the smallest rectangle of the source that holds the receptive field; None where the
            source has no places, or nothing of it is read.
        places: whether the source has places.
        why: why there is no gradient, or "".
    """

    unit: Unit
    reads: str
    source: int = -1
    heat: NDArray[Any] | None = None
    prediction: float = float("nan")
    box: Box | None = None
    places: bool = False
    why: str = ""


def as_maps(h: Tensor) -> Tensor:
    """A state of one sample as channels over places, (C, H, W).

    Units without places are channels of one place each; a state of two axes is one channel.
    """
    if h.dim() == 3:
        return h
    return h[None] if h.dim() == 2 else h.reshape(-1, 1, 1)


def shape_of(network: Network, i: int, pixels: Places) -> Places:
    """The shape of state i, that of its pixels where it is the image laid flat."""
    shape = network.nodes[i].shape
    flat = i == network.image and len(shape) == 1 and prod(pixels) == prod(shape)
    return pixels if flat else shape


def has_places(shape: Places) -> bool:
    """Whether the units of a state of this shape lie over an image: more than one place of it."""
    return len(shape) == 3 and shape[1] * shape[2] > 1


def field(
    network: Network,
    states: States,
    layer: int,
    sample: int,
    unit: Unit,
    reads: str,
    pixels: Places,
    outline: Outline | None = None,
) -> Field:
    r"""What the prediction of a unit reads, at these states.

    By the state below it is $\partial \mu_u / \partial h_p$ at the states as they stand, p the
    first state that the layer reads. By the image it is the gradient of the sweep: all states
    between are their predictions, and the other roots have the values that they have in `states`.

    Args:
        network: of the layer.
        states: h_0 ... h_N, (B, *shape).
        layer: index of the state whose prediction is looked at.
        sample: number in the batch.
        unit: channel, row, column.
        reads: `IMAGE` or `BELOW`.
        pixels: shape of an image, (C, H, W).
        outline: finds the box; by default `outline_of`.
    """
    source = network.nodes[layer].parents[0] if reads == BELOW else _image_below(network, layer)
    if isinstance(source, str):
        return Field(unit, reads, why=source)
    own = slice(None) if network.mixes else slice(sample, sample + 1)
    held = [h[own].detach() for h in states]
    leaf = held[source] = held[source].clone().requires_grad_()
    swept = ancestors(network, layer) - {source} if reads == IMAGE else ()
    with torch.enable_grad():
        mu = _predicted(network, layer, held, swept, network.prediction)
        at = as_maps(mu[sample if network.mixes else 0])[unit]
        (found,) = torch.autograd.grad(at, leaf, allow_unused=True)
    slope = torch.zeros_like(leaf) if found is None else found
    shape = shape_of(network, source, pixels)
    slope = slope[sample if network.mixes else 0].reshape(shape)
    places = has_places(shape)
    heat = torch.linalg.vector_norm(slope, dim=0) if places else slope.abs().reshape(-1, 1)
    ask = outline or outline_of
    box = ask(network, layer, source, unit, shape, reads == IMAGE) if places else None
    value = float(at.detach())
    return Field(unit, reads, source, heat.cpu().float().numpy(), value, box, places)


def outline_of(
    network: Network, layer: int, source: int, unit: Unit, shape: Places, sweeps: bool
) -> Box | None:
    """The smallest rectangle of the source that holds all places from which a unit is reached.

    Each row of the source, and then each column, is made "not a number" in turn, and whatever the
    maps do with numbers, they hand that on to all that reads it. It depends on the wiring alone:
    neither on the states, nor on weights, as long as they are finite. A copy in double precision on
    the CPU is asked, where a convolution touches nothing but its own window.

    Args:
        network: of the layer.
        layer: index of the state whose prediction is looked at.
        source: index of the state that is read.
        unit: channel, row, column.
        shape: of the source with its places, (C, H, W).
        sweeps: whether the states between are swept, or only what the layer itself reads counts.

    Returns: None where nothing is reached, or the weights are not finite.
    """
    swept = _between(network, layer, source) if sweeps else set()
    asked = {layer, *(i for i in swept if not network.nodes[i].relay)}
    maps = {i: _plain(network.maps[str(i)]) for i in asked}

    def ask(i: int, states: Sequence[Tensor]) -> Tensor:
        return maps[i](*[states[p] for p in network.nodes[i].parents])

    _, rows, columns = shape
    probes = torch.zeros(1 + rows + columns, *shape, dtype=torch.float64)
    for r in range(rows):
        probes[1 + r, :, r] = torch.nan
    for c in range(columns):
        probes[1 + rows + c, :, :, c] = torch.nan
    count = len(probes)
    values = [torch.zeros(count, *node.shape, dtype=torch.float64) for node in network.nodes]
    values[source] = probes.reshape(count, *network.nodes[source].shape)
    with torch.no_grad():
        mu = _predicted(network, layer, values, swept, ask)
    reached = torch.stack([as_maps(one)[unit] for one in mu]).isnan().numpy()
    over, across = np.flatnonzero(reached[1 : 1 + rows]), np.flatnonzero(reached[1 + rows :])
    if reached[0] or not len(over) or not len(across):
        return None
    return int(over[0]), int(over[-1]) + 1, int(across[0]), int(across[-1]) + 1


def ancestors(network: Network, i: int) -> set[int]:
    """All states from which the prediction of state i can be reached, without i itself."""
    found: set[int] = set()
    open_ = list(network.nodes[i].parents)
    while open_:
        k = open_.pop()
        if k not in found:
            found.add(k)
            open_ += network.nodes[k].parents
    return found


def _image_below(network: Network, layer: int) -> int | str:
    """Index of the image where the layer reads it in a sweep, else why it does not."""
    if network.image is None:
        return "this network has no image"
    if not network.acyclic:
        return "a network with a cycle has no sweep"
    if network.image not in ancestors(network, layer):
        return "the image is not read by this layer: it is predicted by the layers"
    return network.image


def _between(network: Network, layer: int, source: int) -> set[int]:
    """The states on the ways from the source to a layer, without both."""
    return {i for i in ancestors(network, layer) if source in ancestors(network, i)}


def _predicted(
    network: Network,
    layer: int,
    held: Sequence[Tensor],
    swept: Collection[int],
    ask: Callable[[int, Sequence[Tensor]], Tensor],
) -> Tensor:
    """The prediction of a layer, (B, *shape), where some states are held and others swept."""
    values = list(held)
    for i in network.order() if swept else ():
        if i in swept and i not in network.roots:
            values[i] = network.relayed(i, values) if network.nodes[i].relay else ask(i, values)
    return ask(layer, values)


def _plain(module: nn.Module) -> nn.Module:
    """A copy in double precision on the CPU whose norms go by numbers of their own."""
    made = copy.deepcopy(module)
    for one in made.modules():
        if isinstance(one, BatchNorm):
            one.given, one.relaxes, one.measures = None, False, None
    return cast(nn.Module, made.to("cpu", torch.float64))
