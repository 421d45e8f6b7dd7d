"""What is in one layer for one sample at a row? State, prediction, error and force of each unit."""

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.energies.cross_entropy import CrossEntropy
from core.network import Network
from core.rounding import floor_of
from core.step import Step
from workbench.lanes import Lane
from workbench.looking import Surveyor, at_cursor
from workbench.maps_field import (
    IMAGE,
    Box,
    Field,
    Outline,
    Places,
    Unit,
    as_maps,
    field,
    has_places,
    outline_of,
)
from workbench.returning import Returning
from workbench.session import Session

STATE, PREDICTION, ERROR, FORCE = "state", "prediction", "error", "force"

SHOWN = {
    STATE: ("state h", r"h_\ell"),
    PREDICTION: ("prediction μ", r"\mu_\ell = f_\ell(h_{\mathrm{below}})"),
    ERROR: ("error e", r"e_\ell = h_\ell - \mu_\ell"),
    FORCE: ("force ∂F/∂h", r"\partial F / \partial h_\ell"),
}
"""What can be looked at: its name, and its formula."""

SOFTMAX = r"e_\ell = h_\ell - \mathrm{softmax}(\mu_\ell)"
"""The error of a layer whose energy is the cross-entropy."""

SPREAD = r"\sqrt{\frac{1}{C} \sum_c e_{cij}^2}"
"""What a map of the error over places shows."""


STATE_WORD = "state "
"""Stands before the name of the state that a prediction reads."""


@dataclass(frozen=True)
class Wanted:
    """What is to be looked at; what a network does not have is brought to the nearest that it has.

    Args:
        layer: its number, from 1 in depth order.
        sample: number in the batch.
        unit: channel, row and column; None for the one in the middle of the first channel.
        reads: by what the unit's prediction is differentiated, "image" or "below".
    """

    layer: int = 1
    sample: int = 0
    unit: Unit | None = None
    reads: str = IMAGE


@dataclass(frozen=True, eq=False)
class Maps:
    """One layer for one sample at one row; arrays are (C, H, W), a dense layer's (units, 1, 1).

    Args:
        wanted: what was looked at.
        t: steps taken in the phase.
        phase: its name.
        values: of each of `SHOWN`, by name; the force is missing where the state is clamped.
        formula: of each.
        image: what the image's state holds, (C, H, W); None where there is no image.
        image_state: index of that state.
        pixels: the values that are black and white.
        read: what the prediction of the chosen unit reads.
        shapes: of all layers in depth order.
        names: of all layers.
        source: name of the state that the prediction reads, "the image" where it is that.
        samples: in the batch.
        noise: whether the layer's mean energy is not zero and yet not above its rounding floor.
        row: number of the row in its lane.
        lane: number of the lane.
        batch: number of the batch.
        label: class of the sample; -1 where it is not known.
    """

    wanted: Wanted
    t: int
    phase: str
    values: dict[str, NDArray[Any]]
    formula: dict[str, str]
    image: NDArray[Any] | None
    image_state: int
    pixels: tuple[float, float]
    read: Field
    shapes: tuple[Places, ...]
    names: tuple[str, ...]
    source: str
    samples: int
    noise: bool
    row: int = 0
    lane: int = 0
    batch: int = 0
    label: int = -1

    @property
    def unit(self) -> Unit:
        """The chosen unit."""
        return self.read.unit

    @property
    def name(self) -> str:
        """Of the layer."""
        return self.names[self.wanted.layer - 1]

    @property
    def has_places(self) -> bool:
        """Whether the units of the layer lie over an image."""
        return has_places(self.shapes[self.wanted.layer - 1])

    @property
    def spread(self) -> NDArray[Any] | None:
        """RMS of the error over the channels of each place, (H, W); None without places."""
        return np.sqrt(np.square(self.values[ERROR]).mean(0)) if self.has_places else None


class Outlines:
    """Receptive fields that were asked for before; they depend on the wiring of a network alone."""

    def __init__(self) -> None:
        """Know none."""
        self._network: Network | None = None
        self._found: dict[tuple[int, int, Unit, bool], Box | None] = {}

    def __call__(
        self, network: Network, layer: int, source: int, unit: Unit, shape: Places, sweeps: bool
    ) -> Box | None:
        """As `outline_of`."""
        if network is not self._network:
            self._network, self._found = network, {}
        key = layer, source, unit, sweeps
        if key not in self._found:
            self._found[key] = outline_of(network, layer, source, unit, shape, sweeps)
        return self._found[key]


def looked(session: Session, wanted: Wanted, outline: Outline = outline_of) -> Maps | None:
    """What is in a layer at the row under the cursor; called by the worker, between two steps.

    Args:
        session: whose worker calls.
        wanted: what is to be looked at.
        outline: finds the receptive field of a unit.

    Returns: None where the replay was given up because more was asked of the worker.
    """
    return at_cursor(session, lambda at, lane: _maps(at, lane, wanted, outline))


def maps_of(
    step: Step,
    network: Network,
    wanted: Wanted,
    *,
    pixels: Places,
    tones: tuple[float, float] = (0.0, 1.0),
    outline: Outline = outline_of,
) -> Maps:
    """What is in a layer at a step of a relaxation, copied to the host.

    Args:
        step: of the relaxation.
        network: that relaxes.
        wanted: what is looked at; what there is not is brought to the nearest that there is.
        pixels: shape of an image, (C, H, W).
        tones: the values that are black and white.
        outline: finds the receptive field of a unit.
    """
    layer = min(max(wanted.layer, 1), len(network.layers))
    sample = min(max(wanted.sample, 0), len(step.states[0]) - 1)
    i = network.layers[layer - 1]
    free_energy, h = step.free_energy, step.states[i]
    with torch.no_grad():
        balance = free_energy.balance(step.states)
        mu = balance.predictions[layer - 1]
        held = {STATE: h, PREDICTION: mu, ERROR: network.nodes[i].energy.error(h, mu)}
        if i not in free_energy.clamped:
            held[FORCE] = balance.forces[i]
        values = {name: _host(as_maps(one[sample])) for name, one in held.items()}
    unit = _legal(wanted.unit, values[STATE].shape)
    read = field(network, step.states, i, sample, unit, wanted.reads, pixels, outline=outline)
    formula = {name: text for name, (_, text) in SHOWN.items()}
    if isinstance(network.nodes[i].energy, CrossEntropy):
        formula[ERROR] = SOFTMAX
    return Maps(
        wanted=replace(wanted, layer=layer, sample=sample, unit=unit),
        t=step.moment.t,
        phase=step.moment.phase,
        values=values,
        formula=formula,
        image=_image(network, step, sample, pixels),
        image_state=-1 if network.image is None else network.image,
        pixels=tones,
        read=read,
        shapes=tuple(network.nodes[k].shape for k in network.layers),
        names=tuple(_name(network, k) for k in network.layers),
        source="the image" if read.source == network.image else _named(network, read),
        samples=len(step.states[0]),
        noise=_is_noise(h, float(balance.energies[layer - 1].mean()), step.moment.t),
    )


def _maps(at: Returning, lane: Lane, wanted: Wanted, outline: Outline) -> Maps:
    """The maps of the row at which someone stands."""
    assert at._relaxation is not None
    network, images = lane.training.network, lane.training.images
    tones = images.low, images.high
    step = at._relaxation.step()
    found = maps_of(step, network, wanted, pixels=images.shape, tones=tones, outline=outline)
    known = lane.trace.batches.get(at._batch)
    label = -1 if known is None else int(known.labels[found.wanted.sample])
    return replace(found, row=at.row, lane=lane.id, batch=at._batch, label=label)


def _is_noise(h: torch.Tensor, energy: float, t: int) -> bool:
    """Whether rounding alone can make this energy, the mean over a batch, of a layer's states."""
    activity = float(torch.linalg.vector_norm(h)) / h.numel() ** 0.5
    floor = floor_of([h[0].numel()], torch.finfo(h.dtype).eps, activity, t)
    return 0 < energy <= float(np.asarray(floor).ravel()[0])


def _name(network: Network, i: int) -> str:
    """What plots call a state."""
    return network.nodes[i].name or str(i)


def _named(network: Network, read: Field) -> str:
    return "" if read.source < 0 else f"{STATE_WORD}{_name(network, read.source)}"


def _legal(unit: Unit | None, shape: tuple[int, ...]) -> Unit:
    """The nearest unit that there is; the middle of the first channel where none is named."""
    if unit is None:
        return 0, shape[1] // 2, shape[2] // 2
    c, r, k = (min(max(at, 0), size - 1) for at, size in zip(unit, shape, strict=True))
    return c, r, k


def _image(network: Network, step: Step, sample: int, shape: Places) -> NDArray[Any] | None:
    """What the image's state holds, (C, H, W)."""
    if network.image is None:
        return None
    h = step.states[network.image][sample]
    return _host(h.reshape(shape)) if h.numel() == prod(shape) else None


def _host(h: torch.Tensor) -> NDArray[Any]:
    return h.detach().cpu().float().numpy().copy()


def surveyor(session: Session) -> Surveyor:
    """Has the worker of a session look at maps; receptive fields are kept."""
    known = Outlines()
    return Surveyor(session, lambda session, wanted: looked(session, wanted, known))
