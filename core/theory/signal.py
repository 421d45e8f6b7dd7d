"""How does the output's error travel down, and when is it too small to move anything?

All of it is for a relaxation from a forward sweep by plain descent at one rate, so that the only
error at first is the output's. delta_l is what backprop would send to layer l: delta_L = y - mu_L
for squared errors.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from core.network import Network
from core.phase import Cost


@dataclass(frozen=True)
class Reach:
    """How far down a relaxation can move the states.

    Args:
        relative: predicted displacement of each layer over its norm, (L,); zero for the output.
        moves: whether any unit of the layer can move, (L,); never the output, which is clamped.
    """

    relative: Tensor
    moves: Tensor


def backprop_errors(
    network: Network, roots: Mapping[int, Tensor], target: Tensor, cost: Cost | None = None
) -> list[Tensor]:
    """delta_l = -dLoss/dh_l of every layer at the forward pass, each (B, *shape).

    Args:
        network: acyclic.
        roots: value of each root, (B, *shape), by index.
        target: of the output, (B, *shape).
        cost: C(output, target), (B,); by default the energy of the output layer.

    Source: rumelhart1986.
    """
    with torch.enable_grad():
        given = {i: value.detach().clone().requires_grad_() for i, value in roots.items()}
        states = network.sweep(given)
        if cost is None:
            loss = network.nodes[network.top].energy(target, states[-1])
        else:
            loss = cost(states[-1], target)
        inner = [states[i] for i in network.layers]
        found = torch.autograd.grad(loss.sum(), inner, allow_unused=True, materialize_grads=True)
    return [-g for g in found]


def arrival(t: int | Tensor, L: int, rate: float, delta_norms: Tensor) -> Tensor:
    r"""The error of each layer after t steps at a small rate.

    $\lVert e_\ell(t)\rVert \approx \binom{t}{L-\ell}\,\alpha^{L-\ell}\,\lVert\delta_\ell\rVert$:
    a path of L - l steps out of t. It is the leading term as $\alpha \to 0$ at unit precision, and
    that of the displacement $\lVert h_\ell^{(t)} - h_\ell^{(0)}\rVert$ too.

    Args:
        t: steps taken, a number or a tensor of them, (...,).
        L: number of layers of the chain.
        rate: alpha.
        delta_norms: |delta_l|, (L, *rest), in depth order.

    Returns:
        (..., L, *rest), in float64.

    Source: this project.
    """
    k = L - torch.arange(1, L + 1, dtype=torch.float64)
    steps = torch.as_tensor(t, dtype=torch.float64)[..., None]
    ways = (
        torch.lgamma(steps + 1) - torch.lgamma(k + 1) - torch.lgamma((steps - k).clamp(min=0) + 1)
    )
    log_rate = torch.tensor(rate, dtype=torch.float64).log()
    size = torch.where(steps >= k, torch.exp(ways + k * log_rate), 0.0)
    return size.reshape(*size.shape, *[1] * (delta_norms.dim() - 1)) * delta_norms.double().cpu()


def spiking_displacement(rate: float, L: int, T: int) -> Tensor:
    r"""c_l in $h_\ell^{(T)} - h_\ell^{(0)} = c_\ell\,\delta_\ell$ of the hidden layers, (L - 1,).

    $c_\ell = (1-\alpha)\,\alpha^{L-\ell}$ for $T > L-\ell$, since the spike that sends the error on
    pulls its layer back; $\alpha^{L-\ell}$ for $T = L-\ell$, when the layer has just been reached;
    zero before. Exact, for any activation, under these conditions: a chain, a forward sweep, the
    output clamped, squared errors below the output, plain descent without momentum, and a resting
    precision that tends to zero. Then the forward update is c_l times the backprop gradient.

    Args:
        rate: alpha.
        L: number of layers.
        T: state updates.

    Source: this project, for the schedule of qi2026.
    """
    k = L - torch.arange(1, L, dtype=torch.float64)
    reached = rate**k
    return torch.where(k < T, (1 - rate) * reached, torch.where(k == T, reached, 0.0))


def reach(
    network: Network,
    roots: Mapping[int, Tensor],
    target: Tensor,
    *,
    rate: float,
    steps: int,
    dtype: torch.dtype = torch.float32,
) -> Reach:
    r"""Which layers a relaxation from a forward sweep can change at all in a dtype.

    An update that is smaller than half the spacing of the numbers around a state is lost when it is
    added. The largest one of layer l is the last,
    $\alpha^{L-\ell}\binom{T-1}{L-\ell-1}\lvert\delta_\ell\rvert$ by the arrival law; it is compared
    with the spacing unit by unit, and a layer under one that does not move does not move either.
    An estimate for small rates and unit precision without momentum, a layer off at times: rounding
    in the layers above is not followed.

    Args:
        network: a chain.
        roots: value of the input, (B, *shape), by index.
        target: of the output, (B, *shape).
        rate: alpha.
        steps: T.
        dtype: of the states.

    Source: this project.
    """
    deltas = backprop_errors(network, roots, target)
    with torch.no_grad():
        states = [h.to(dtype).cpu() for h in network.sweep(roots)]
    L = len(network.layers)
    moves = torch.zeros(L, dtype=torch.bool)
    relative = torch.zeros(L, dtype=torch.float64)
    ones = torch.ones(L)
    far = arrival(steps, L, rate, ones)
    # One step of the law: C(T, k) - C(T - 1, k) = C(T - 1, k - 1).
    last = arrival(steps - 1, L, rate, ones).roll(-1) * rate
    for i in reversed(range(L - 1)):
        h, delta = states[network.layers[i]], deltas[i].double().cpu()
        relative[i] = far[i] * delta.norm() / h.double().norm()
        spacing = torch.nextafter(h.abs(), torch.full_like(h, torch.inf)) - h.abs()
        enough = last[i] * delta.abs() > 0.5 * spacing.double()
        moves[i] = bool(enough.any()) and (i == L - 2 or bool(moves[i + 1]))
    return Reach(relative, moves)
