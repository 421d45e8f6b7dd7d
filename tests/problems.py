"""Networks with exact answers, in float64, and what to compare a relaxation of them with.

A problem is a pair: a network, and the values of its clamped states by index.
"""

from itertools import pairwise

import torch
from torch import nn

from core import Network, chain
from core.selftest.problems import (
    column,
    hessian,
    linear,
    linear_net,
    relaxation,
    scalar_net,
    tanh_chain,
)
from core.selftest.problems import tanh_mlp as tanh_mlp

__all__ = [
    "PROBLEMS",
    "column",
    "equilibrium",
    "hessian",
    "labelled",
    "linear",
    "linear_chain",
    "linear_net",
    "relaxation",
    "relaxed",
    "scalar_net",
    "tanh_chain",
    "tanh_mlp",
]

PROBLEMS = {
    "scalar": scalar_net,
    "tanh chain": tanh_chain,
    "linear": linear_net,
    "tanh mlp": tanh_mlp,
}
"""Problems with both ends clamped."""


def relaxed(network, clamped, dynamics=None, precision=None, steps=100, init=None, **options):
    """The states after the last step."""
    made = relaxation(
        (network, clamped),
        dynamics=dynamics,
        precision=precision,
        steps=steps,
        init=init,
        **options,
    )
    made.run()
    return made.states


def linear_chain(sizes=(3, 4, 2, 3), batch=5, seed=0):
    """A linear network with biases, random weights and random ends."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        maps = [nn.Linear(wide, out, dtype=torch.float64) for wide, out in pairwise(sizes)]
        x = torch.randn(batch, sizes[0], dtype=torch.float64)
        y = torch.randn(batch, sizes[-1], dtype=torch.float64)
    return chain(maps, [(n,) for n in sizes]), {0: x, len(sizes) - 1: y}


def equilibrium(network, clamped, precision=None):
    """The states at which dF/dh = 0 in a chain of linear maps: one linear solve for each sample.

    F = sum_l Pi_l |h_l - W_l h_{l-1} - b_l|^2 / 2: H_ll = Pi_l + W_{l+1}^T Pi_{l+1} W_{l+1} and
    H_{l,l+1} = -W_{l+1}^T Pi_{l+1}; the right side gathers biases and clamped neighbours.
    """
    maps = [network.maps[str(i)] for i in network.layers]
    pi = [1.0] * len(maps) if precision is None else [float(p) for p in precision]
    free = [i for i in range(len(network.nodes)) if i not in clamped]
    sizes = [network.nodes[i].size for i in free]
    start = {i: sum(sizes[:k]) for k, i in enumerate(free)}
    like = next(iter(clamped.values()))
    H = like.new_zeros(sum(sizes), sum(sizes))
    right = like.new_zeros(len(like), sum(sizes))

    def at(i):
        return slice(start[i], start[i] + network.nodes[i].size)

    for layer, (one, p) in enumerate(zip(maps, pi, strict=True), start=1):
        W = one.weight.detach()
        b = W.new_zeros(len(W)) if one.bias is None else one.bias.detach()
        below, above = layer - 1, layer
        if above in start:
            H[at(above), at(above)] += p * torch.eye(len(W), dtype=W.dtype)
            right[:, at(above)] += p * b
        if below in start:
            H[at(below), at(below)] += p * W.T @ W
            right[:, at(below)] -= p * b @ W
        if above in start and below in start:
            H[at(above), at(below)] -= p * W
            H[at(below), at(above)] -= p * W.T
        elif above in start:
            right[:, at(above)] += p * clamped[below] @ W.T
        elif below in start:
            right[:, at(below)] += p * clamped[above] @ W
    solved = torch.linalg.solve(H, right.T).T
    return [clamped[i] if i in clamped else solved[:, at(i)] for i in range(len(network.nodes))]


def labelled(sizes=(4, 5, 5, 3), batch=6, seed=0):
    """A tanh network with one-hot targets of alternating classes: (problem, labels)."""
    network, clamped = tanh_mlp(sizes, batch=batch, seed=seed)
    labels = torch.arange(batch) % sizes[-1]
    target = torch.nn.functional.one_hot(labels, sizes[-1]).double()
    return (network, {**clamped, len(sizes) - 1: target}), labels


def network_of(*shapes, activation=nn.Tanh) -> Network:
    """A chain of maps between states of any shape, in float64."""
    maps = []
    for wide, out in pairwise(shapes):
        size, new = torch.Size(wide).numel(), torch.Size(out).numel()
        maps.append(
            nn.Sequential(
                nn.Flatten(),
                nn.Linear(size, new, dtype=torch.float64),
                activation(),
                nn.Unflatten(1, out),
            )
        )
    return chain(maps, shapes)
