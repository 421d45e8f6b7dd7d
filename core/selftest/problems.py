"""Networks whose answers are known, and their relaxations, in float64.

A problem is a pair: a network, and the values of its clamped states by index.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from core.dynamics.gradient import GradientDescent
from core.experiment import Recipe
from core.free_energy import backprop_gradients
from core.inits.forward import Forward
from core.learning.local import PredictiveCoding
from core.network import Network, Node, States, chain
from core.networks.residual import BARE, RELAY, Summed
from core.phase import Phase
from core.precisions.identity import Identity
from core.relaxation import Relaxation


def linear(weight: Sequence[Sequence[float]]) -> nn.Linear:
    """A linear map with these weights and no bias, in float64."""
    values = torch.tensor(weight, dtype=torch.float64)
    made = nn.Linear(values.shape[1], values.shape[0], bias=False, dtype=torch.float64)
    made.weight = nn.Parameter(values)
    return made


def column(*values: float) -> Tensor:
    """One sample, (1, n), in float64."""
    return torch.tensor([values], dtype=torch.float64)


def scalar_net() -> tuple[Network, dict[int, Tensor]]:
    """V2: linear, one unit a layer, W = 2, 3; x = 1, y = 5."""
    net = chain([linear([[2.0]]), linear([[3.0]])], [(1,)] * 3)
    return net, {0: column(1), 2: column(5)}


def tanh_chain() -> tuple[Network, dict[int, Tensor]]:
    """V3: tanh(1.0 x), tanh(-1.5 h_1), 2.0 h_2; x = 0.5, y = 1."""
    maps = [
        nn.Sequential(linear([[1.0]]), nn.Tanh()),
        nn.Sequential(linear([[-1.5]]), nn.Tanh()),
        linear([[2.0]]),
    ]
    return chain(maps, [(1,)] * 4), {0: column(0.5), 3: column(1)}


def linear_net() -> tuple[Network, dict[int, Tensor]]:
    """V4: linear 2-2-2-2."""
    weights = (
        [[1.0, 0.5], [-0.5, 1.0]],
        [[0.5, -1.0], [1.0, 0.5]],
        [[1.0, -1.0], [0.5, 1.0]],
    )
    return chain([linear(w) for w in weights], [(2,)] * 4), {0: column(1, -2), 3: column(0.5, -1)}


def skipping(skips: str) -> tuple[Network, dict[int, Tensor]]:
    """V25: s -> a1 -> a2 beside s -> b1 -> b2, output a2 + b2, all weights 1; x = 0, y = 1.

    Args:
        skips: what the b are: "relay", "published" auxiliary neurons; "none": the output reads s.
    """

    def layer(depth: int, *parents: int) -> Node:
        return Node((1,), parents, Summed(linear([[1.0]])), depth)

    def beside(depth: int, parent: int) -> Node:
        if skips == RELAY:
            return Node((1,), (parent,), None, depth, relay=True)
        return Node((1,), (parent,), nn.Identity(), depth, auxiliary=True)

    nodes = [Node((1,)), layer(1, 0), layer(2, 1)]
    if skips == BARE:
        nodes += [layer(3, 2), layer(4, 3, 1)]
    else:
        nodes += [beside(2, 1), layer(3, 2), beside(3, 3), layer(4, 4, 5)]
    return Network(nodes), {0: column(0), len(nodes) - 1: column(1)}


def tanh_mlp(
    sizes: Sequence[int] = (6, 8, 8, 8, 8, 3), batch: int = 4, seed: int = 0, bias: bool = True
) -> tuple[Network, dict[int, Tensor]]:
    """A tanh network with linear output, random weights and random ends."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        maps: list[nn.Module] = []
        for i, (wide, out) in enumerate(pairwise(sizes)):
            one = nn.Linear(wide, out, bias=bias, dtype=torch.float64)
            maps.append(one if i == len(sizes) - 2 else nn.Sequential(one, nn.Tanh()))
        x = torch.randn(batch, sizes[0], dtype=torch.float64)
        y = torch.randn(batch, sizes[-1], dtype=torch.float64)
    return chain(maps, [(n,) for n in sizes]), {0: x, len(sizes) - 1: y}


def relaxation(
    problem: tuple[Network, Mapping[int, Tensor]],
    *,
    steps: int = 1,
    dynamics: Any = None,
    precision: Any = None,
    init: Any = None,
    learning: Any = None,
    device: torch.device | str = "cpu",
    **options: Any,
) -> Relaxation:
    """A relaxation of one phase; by default plain descent of rate 0.1 from a forward sweep.

    Args:
        problem: a network, and the value of each clamped state.
        steps: T.
        dynamics: of the states.
        precision: its schedule.
        init: first states.
        learning: of the weights.
        device: where it runs.
        **options: as Relaxation takes them.
    """
    network, clamped = problem
    held = {i: value.to(device) for i, value in clamped.items()}
    recipe = Recipe(
        init=init or Forward(),
        precision=precision or Identity(),
        dynamics=dynamics or GradientDescent(0.1),
        learning=learning or PredictiveCoding(),
        steps=steps,
    )
    return Relaxation(network.to(device), [Phase("relax", clamped=held)], recipe, **options)


def end(problem: tuple[Network, Mapping[int, Tensor]], **choices: Any) -> Relaxation:
    """The same after its last step."""
    made = relaxation(problem, **choices)
    made.run()
    return made


def flat(*parts: Tensor | Sequence[Tensor] | float) -> Tensor:
    """Everything in one vector, in float64."""
    found = []
    for part in parts:
        pieces = part if isinstance(part, list | tuple) else [part]
        found += [torch.as_tensor(one, dtype=torch.float64).cpu().flatten() for one in pieces]
    return torch.cat(found)


def gradients(rule: Any, at: Relaxation) -> list[Tensor]:
    """The weight gradients of a rule where a relaxation stands."""
    return rule.gradients(at.step())


def backprop(at: Relaxation) -> list[Tensor]:
    """The weight gradients of backprop."""
    net = at.network
    return backprop_gradients(net, {0: at.states[0]}, at.states[net.top])


def totals(problem: tuple[Network, Mapping[int, Tensor]], **choices: Any) -> Tensor:
    """F of every row."""
    rows = relaxation(problem, **choices)
    return torch.stack([step.free_energy.total(step.states) for step in rows])


def hessian(at: Relaxation) -> Tensor:
    """The state Hessian of one sample of a linear network: forces are linear in the free states."""
    free_energy = at.step().free_energy
    free = [i for i in range(len(at.states)) if i not in free_energy.clamped]

    def forces(states: States) -> Tensor:
        found = free_energy.forces(states)
        return torch.cat([found[i][0].flatten() for i in free])

    here = forces(at.states)
    columns = []
    for i in free:
        for unit in range(at.states[i].shape[1]):
            moved = [h.clone() for h in at.states]
            moved[i][0, unit] += 1.0
            columns.append(forces(moved) - here)
    return torch.stack(columns, dim=1)
