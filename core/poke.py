"""How is a relaxation disturbed between two steps? Noise, zeros, a shift or a hold of one state.

A poke acts on the states as they stand, never on what the rule of the states remembers of them
(momentum, means), on the statistics of the batch or on the stream of noise. A free state moves on
from where it was put. A state that is clamped, or a unit that is held, stays where it was put: the
datum has changed, an image is occluded. A clamp by hand holds units of a free state to the end of
the batch or until it is released.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.catalogue import BadInput, shown, unknown
from core.network import Network
from core.phase import Phase
from core.relaxation import Relaxation

NOISE, ZERO, SHIFT, CLAMP, RELEASE = "noise", "zero", "shift", "clamp", "release"

HOW = (NOISE, ZERO, SHIFT, CLAMP, RELEASE)
"""What can be done to a state."""

LARGEST = 1e6
"""Size of an amount, at most."""

AMOUNTS = {
    NOISE: f"a standard deviation above 0, up to {LARGEST:g}",
    SHIFT: f"a number other than 0, up to {LARGEST:g} in size",
    CLAMP: f"a value up to {LARGEST:g} in size, or none to hold it where it is",
}
"""What the amount of each is, where it has one."""

Region = tuple[int, int, int, int]
"""First and last row, first and last column of places, from 0, the last ones included."""


@dataclass(frozen=True)
class Poke:
    """A disturbance of one state.

    Args:
        layer: name of the state, as plots show it.
        how: one of `HOW`.
        amount: standard deviation of the noise, the constant of a shift, or the value of a clamp;
            None for a clamp where the state is, and for the others.
        sample: number in the batch, from 0; None for all.
        region: of the places of an image or a layer, in every channel; None for all units.
        seed: of the noise. The noise of a unit does not depend on the sample and region chosen.

    Raises:
        BadInput: in one line, when a value is illegal whatever the network.
    """

    layer: str
    how: str
    amount: float | None = None
    sample: int | None = None
    region: Region | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every value at the door."""
        if not isinstance(self.layer, str):
            raise BadInput(f"poke.layer: {shown(self.layer)}; the name of a state, as text")
        if self.how not in HOW:
            raise BadInput(f"poke.how: {unknown(self.how, HOW)}")
        self._check_amount()
        if self.sample is not None and not _is_count(self.sample):
            raise BadInput(f"poke.sample: {shown(self.sample)}; an integer from 0, or none for all")
        if self.region is not None:
            object.__setattr__(self, "region", _region(self.region))
        if not _is_count(self.seed) or self.seed >= 2**32:
            raise BadInput(f"poke.seed: {shown(self.seed)}; an integer 0..{2**32 - 1}")

    def to_dict(self) -> dict[str, Any]:
        """The poke as plain data, without what was left open."""
        found = {name: value for name, value in asdict(self).items() if value is not None}
        if self.region is not None:
            found["region"] = list(self.region)
        return found

    def sentence(self) -> str:
        """The poke in one line: "poke 3: shift 0.5, sample 2"."""
        amount = "" if self.amount is None else f" {self.amount:g}"
        said = [f"poke {self.layer}: {self.how}{amount}"]
        said += [] if self.sample is None else [f"sample {self.sample}"]
        if self.region is not None:
            first, last, left, right = self.region
            said += [f"rows {first}..{last}", f"columns {left}..{right}"]
        return ", ".join(said)

    def _check_amount(self) -> None:
        """Refuse an amount that is none, or that is given where none belongs."""
        amount = self.amount
        if self.how not in AMOUNTS:
            if amount is not None:
                raise BadInput(f"poke.amount: {shown(amount)}; none for {self.how}")
            return
        if amount is None and self.how == CLAMP:
            return
        if not _fits(self.how, amount):
            raise BadInput(f"poke.amount: {shown(amount)}; for {self.how} {AMOUNTS[self.how]}")


def targets(network: Network) -> dict[str, int]:
    """The states that can be poked, by the names that plots show: all but relays."""
    free = (i for i in range(len(network.nodes)) if not network.nodes[i].relay)
    return {network.nodes[i].name or str(i): i for i in free}


def places(network: Network, i: int, pixels: Sequence[int] = ()) -> tuple[int, ...] | None:
    """The shape (C, H, W) in which a state lies over an image; None where it has no places.

    Args:
        network: whose state it is.
        i: index of the state.
        pixels: shape of an image, for the state that is one without having its shape.
    """
    node = network.nodes[i]
    if len(node.shape) == 3:
        return node.shape
    is_image = i == network.image and len(pixels) == 3 and math.prod(pixels) == node.size
    return tuple(pixels) if is_image else None


def target(network: Network, one: Poke, samples: int, pixels: Sequence[int] = ()) -> int:
    """Index of the state that a poke means.

    Args:
        network: that relaxes.
        one: the poke.
        samples: in the batch, B.
        pixels: shape of an image, (C, H, W).

    Raises:
        BadInput: naming what is not there: the layer, the sample, the region.
    """
    known = targets(network)
    if one.layer not in known:
        raise BadInput(f"poke.layer: {unknown(one.layer, known)}")
    i = known[one.layer]
    if one.sample is not None and one.sample >= samples:
        raise BadInput(f"poke.sample: {one.sample}; 0..{samples - 1}, as the batch has")
    if one.region is not None:
        shape = places(network, i, pixels)
        if shape is None:
            raise BadInput(
                f"poke.region: {shown(list(one.region))}; none, the units of {one.layer} have no "
                "places"
            )
        _, height, width = shape
        _, last, _, right = one.region
        if last >= height or right >= width:
            raise BadInput(
                f"poke.region: {shown(list(one.region))}; rows within 0..{height - 1} and columns "
                f"within 0..{width - 1} of {one.layer}"
            )
    return i


def check(relaxation: Relaxation, one: Poke, pixels: Sequence[int] = ()) -> int:
    """Index of the state that a poke of this relaxation means, if it is legal where it stands.

    Raises:
        BadInput: in one line; nothing has happened then.
    """
    i = target(relaxation.network, one, len(relaxation.states[0]), pixels)
    phase = relaxation.phase
    if one.how == CLAMP and i in phase.clamped:
        raise BadInput(
            f"poke.how: clamp; {one.layer} is clamped already: noise, zero and shift change what "
            "it is clamped to"
        )
    if one.how == RELEASE and not _holds(relaxation, i, one, pixels):
        raise BadInput(f"poke.how: release; no poke holds any of these units of {one.layer}")
    return i


def poke(relaxation: Relaxation, one: Poke, pixels: Sequence[int] = ()) -> None:
    """Disturb a relaxation between two steps; the next update goes from there.

    Args:
        relaxation: where it stands.
        one: what is done to which units.
        pixels: shape of an image, (C, H, W), for regions of an image that is kept flat.

    Raises:
        BadInput: in one line; nothing has happened then.
    """
    i = check(relaxation, one, pixels)
    mask = _mask(relaxation, i, one, pixels)
    h, now = relaxation.states[i], relaxation.phase
    moved = torch.where(mask, _disturbed(h, one), h)
    states = [moved if k == i else other for k, other in enumerate(relaxation.states)]
    first = next(k for k, phase in enumerate(relaxation.phases) if phase is now)
    later = [_after(phase, now, i, one, mask, moved) for phase in relaxation.phases[first:]]
    relaxation.put(states, [*relaxation.phases[:first], *later])


def _after(phase: Phase, now: Phase, i: int, one: Poke, mask: Tensor, moved: Tensor) -> Phase:
    """A phase that runs or is to come, with what it clamps and holds where the poke has put it.

    A later phase follows only where it clamps or holds the very tensor that the present one does.

    Args:
        phase: before the poke.
        now: the phase that runs.
        i: index of the state.
        one: the poke.
        mask: of the units that are poked, (B, *shape).
        moved: the state after it, (B, *shape).
    """
    if i in phase.clamped:
        if i in now.clamped and phase.clamped[i] is now.clamped[i]:
            return replace(phase, clamped={**phase.clamped, i: moved})
        return phase
    if one.how == CLAMP:
        value, held = phase.held.get(i, (moved, torch.zeros_like(mask)))
        mine = _pinned(phase, i, mask) | (mask & ~held)
        return _pinning(phase, i, torch.where(mask, moved, value), held | mask, mine)
    if one.how == RELEASE:
        if i not in phase.held:
            return phase
        value, held = phase.held[i]
        gone = mask & _pinned(phase, i, mask)
        return _pinning(phase, i, value, held & ~gone, _pinned(phase, i, mask) & ~gone)
    if i in phase.held and i in now.held:
        (value, held), (present, _) = phase.held[i], now.held[i]
        shared = mask if value is present else mask & _pinned(phase, i, mask)
        return replace(phase, held={**phase.held, i: (torch.where(shared, moved, value), held)})
    return phase


def _pinning(phase: Phase, i: int, value: Tensor, held: Tensor, mine: Tensor) -> Phase:
    """A phase with other held units of a state; without any where none are left.

    Args:
        phase: before.
        i: index of the state.
        value: that is held, (B, *shape).
        held: mask of all held units, (B, *shape).
        mine: of those among them that a poke holds.
    """
    others = {k: pair for k, pair in phase.held.items() if k != i}
    pins = {k: mask for k, mask in phase.pinned.items() if k != i}
    return replace(
        phase,
        held={**others, i: (value, held)} if bool(held.any()) else others,
        pinned={**pins, i: mine} if bool(mine.any()) else pins,
    )


def _pinned(phase: Phase, i: int, like: Tensor) -> Tensor:
    """Mask of the units of a state that a poke holds, of the shape of `like`, (B, *shape)."""
    return phase.pinned[i] if i in phase.pinned else torch.zeros_like(like, dtype=torch.bool)


def _holds(relaxation: Relaxation, i: int, one: Poke, pixels: Sequence[int]) -> bool:
    """Whether a poke holds any of the units that another one means."""
    mask = _mask(relaxation, i, one, pixels)
    return bool((mask & _pinned(relaxation.phase, i, mask)).any())


def _mask(relaxation: Relaxation, i: int, one: Poke, pixels: Sequence[int]) -> Tensor:
    """True where a unit is poked, (B, *shape)."""
    h = relaxation.states[i]
    mask = torch.ones_like(h, dtype=torch.bool)
    if one.region is not None:
        shape = places(relaxation.network, i, pixels)
        assert shape is not None
        first, last, left, right = one.region
        inside = torch.zeros((len(h), *shape), dtype=torch.bool, device=h.device)
        inside[..., first : last + 1, left : right + 1] = True
        mask = inside.reshape(h.shape)
    if one.sample is not None:
        chosen = torch.zeros_like(mask)
        chosen[one.sample] = mask[one.sample]
        mask = chosen
    return mask


def _disturbed(h: Tensor, one: Poke) -> Tensor:
    """The state as it would be if all of it were poked, (B, *shape)."""
    if one.how == NOISE:
        generator = torch.Generator().manual_seed(_mixed(one.seed))
        drawn = torch.randn(h.shape, generator=generator, dtype=h.dtype)
        return h + float(one.amount or 0.0) * drawn.to(h.device)
    if one.how == SHIFT:
        return h + float(one.amount or 0.0)
    if one.how == ZERO:
        return torch.zeros_like(h)
    if one.how == CLAMP and one.amount is not None:
        return torch.full_like(h, float(one.amount))
    return h.clone()


def _mixed(seed: int) -> int:
    """A seed apart from those of batches and weights with the same number."""
    return int(np.random.SeedSequence([seed, 2]).generate_state(1)[0])


def _region(value: Any) -> Region:
    """Four numbers as a region.

    Raises:
        BadInput: if they are no region of any image.
    """
    legal = "first row, last row, first column, last column, from 0, the last ones included"
    refused = BadInput(f"poke.region: {shown(value)}; {legal}")
    if not isinstance(value, list | tuple) or len(value) != 4 or not all(map(_is_count, value)):
        raise refused
    first, last, left, right = value
    if last < first or right < left:
        raise refused
    return first, last, left, right


def _fits(how: str, amount: Any) -> bool:
    """Whether it is an amount of what is done; see `AMOUNTS`."""
    if isinstance(amount, bool) or not isinstance(amount, int | float):
        return False
    if not abs(amount) <= LARGEST:
        return False
    return amount > 0 if how == NOISE else amount != 0 or how == CLAMP


def _is_count(value: Any) -> bool:
    """Whether it is an integer from 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
