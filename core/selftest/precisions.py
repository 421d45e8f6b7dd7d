"""What do learned precisions settle at, and how near to backprop does spiking come? (V22, V27)."""

from typing import Any

import torch
from torch import Tensor

from core.diagnostics import by_layer
from core.dynamics.gradient import GradientDescent, Nesterov
from core.free_energy import FreeEnergy
from core.learning.local import ForwardUpdate
from core.network import chain
from core.precisions.learned import Learned
from core.precisions.spiking import Spiking
from core.selftest.case import case
from core.selftest.problems import backprop, column, end, flat, gradients, linear, tanh_mlp

# V22: learned precisions -------------------------------------------------------------------------


@case("V22", "learned precisions of E = 4, .25, two units each: Pi, then Pi E", (0.25, 4, 1, 1))
def _(device: torch.device) -> Tensor:
    # Without weights e_l = h_l: |e|^2 = 8 and 1/2.
    net = chain([linear([[0.0, 0.0]] * 2) for _ in range(2)], [(2,)] * 3).to(device)
    states = [column(0, 0), column(2, 2), column(0.5, 0.5)]
    states = [h.to(device) for h in states]
    learned = Learned(rate=1.0)
    memory = learned.init(net.depth)
    for _ in range(100):
        row = learned.row(memory).to(device)
        free_energy = FreeEnergy(net, row, {0})
        memory = learned.step(free_energy, states, memory)
    row = learned.row(memory).to(device)
    return flat(row, row * FreeEnergy(net, row, {0}).energies(states)[:, 0])


# V27: spiking and the forward update against backprop --------------------------------------------


def _to_backprop(device: torch.device, **choices: Any) -> tuple[Tensor, Tensor]:
    """Cosine and ratio of norms of each layer's forward update to backprop's."""
    at = end(tanh_mlp(bias=False), device=device, **choices)
    pairs = zip(
        by_layer(at.network, gradients(ForwardUpdate(), at)),
        by_layer(at.network, backprop(at)),
        strict=True,
    )
    rows = [((a @ b) / (a.norm() * b.norm()), a.norm() / b.norm()) for a, b in pairs]
    return flat([cosine for cosine, _ in rows]), flat([ratio for _, ratio in rows])


@case("V27", "spiking, rest 0, T = L = 5, rates .5, .8: least cosine to backprop", (1, 1))
def _(device: torch.device) -> Tensor:
    found = []
    for rate in (0.5, 0.8):
        schedule, rule = Spiking(rest=0.0), GradientDescent(rate)
        cosines, _ = _to_backprop(device, dynamics=rule, precision=schedule, steps=5)
        found.append(cosines.min())
    return flat(found)


def _add_rest(rate: float, rest: float, printed: float) -> None:
    @case(
        "V27",
        f"spiking, rest {rest}, rate {rate}, T = 5: least cosine, at least the printed {printed}",
        (1,),
        1 - printed,
    )
    def _(device: torch.device) -> Tensor:
        schedule, rule = Spiking(rest=rest), GradientDescent(rate)
        return flat(_to_backprop(device, dynamics=rule, precision=schedule, steps=5)[0].min())


for _rate, _rest, _printed in (
    (0.5, 0.001, 0.999999),
    (0.5, 0.01, 0.99989),
    (0.8, 0.001, 0.99999),
    (0.8, 0.01, 0.99887),
):
    _add_rest(_rate, _rest, _printed)


_DEEPER = {"dynamics": Nesterov(0.804, 0.1), "precision": Spiking(rest=0.001), "steps": 13}


@case("V27", "the deeper networks' settings: least cosine to backprop, at least .9999", (1,), 1e-4)
def _(device: torch.device) -> Tensor:
    return flat(_to_backprop(device, **_DEEPER)[0].min())


@case(
    "V27",
    "the same: ratios of norms to backprop's, as printed for other weights",
    (0.070, 0.081, 0.091, 0.109, 1),
    5e-3,
)
def _(device: torch.device) -> Tensor:
    return _to_backprop(device, **_DEEPER)[1]
