"""Where does a linear network come to rest, and at what energy? Closed forms, in float64.

For a chain of linear layers with h_0 = x and h_L = y clamped, P_l is the matrix from layer l to the
output, r = y minus the output of the forward pass, and

    S = I / Pi_L + sum_{l=1}^{L-1} P_l P_l^T / Pi_l,
    F* = r^T S^-1 r / 2 per sample,   Pi_l e_l* = P_l^T S^-1 r.

The output layer judged by beta |h_L - y|^2 / 2 while h_L is free is the same problem with
Pi_L = beta / (1 + beta).

Source: innocenti2025 (S and F* with unit precision); precisions, biases and a free input by us.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from core.catalogue import BadInput
from core.energies.squared_error import SquaredError
from core.network import Network, States
from core.networks.layers import LinearPart, linear_part


@dataclass(frozen=True)
class Rest:
    """The equilibrium of a chain of linear layers by its output alone.

    Args:
        S: (d_L, d_L), the factor between the energy of the forward pass and that at rest.
        residual: r, (B, d_L); where the input is free, at the input that is best.
        energy: F*, (B,), in nats.
        errors: e_l* of each layer, (B, d_l).
    """

    S: Tensor
    residual: Tensor
    energy: Tensor
    errors: list[Tensor]


def equilibrium(
    network: Network, clamped: Mapping[int, Tensor], precision: Tensor | None = None
) -> States:
    """The states at which F is least: one linear solve for all samples.

    Every layer reads one state linearly: a chain, a tree, or a graph with cycles. Where more than
    one set of states is least (a free root, a precision of zero) it is the one of least norm, where
    descent from zero ends.

    Args:
        network: with linear layers and squared errors.
        clamped: value of each clamped state, (B, *shape), by index.
        precision: Pi_l, (L,); one by default.

    Returns:
        h_0 ... h_N, (B, *shape), clamped ones as given, in the dtype and on the device of the
        network.

    Raises:
        BadInput: naming the layer that is not linear, or the precision that is not legal.
    """
    parts, pi = _parts(network), _precisions(network, precision)
    held = {i: value.detach().double().cpu().flatten(1) for i, value in clamped.items()}
    _check_clamped(network, held)
    nodes = network.nodes
    free = [i for i in range(len(nodes)) if i not in held]
    ends = torch.tensor([nodes[i].size for i in free]).cumsum(0).tolist()
    at = {i: slice(end - nodes[i].size, end) for i, end in zip(free, ends, strict=True)}
    units = ends[-1] if ends else 0
    batch = len(next(iter(held.values())))
    # Errors are affine in the free states, e = M h + c, so that M^T Pi M h = -M^T Pi c.
    H, right = torch.zeros(units, units).double(), torch.zeros(batch, units).double()
    for k, layer in enumerate(network.layers):
        (parent,) = nodes[layer].parents
        A, offset = parts[k].matrix, parts[k].offset
        c = -offset.expand(batch, -1).clone()
        M = torch.zeros(len(offset), units).double()
        for i, factor in ((layer, torch.eye(len(offset)).double()), (parent, -A)):
            if i in held:
                c += held[i] @ factor.T
            else:
                M[:, at[i]] += factor
        H += pi[k] * M.T @ M
        right -= pi[k] * c @ M
    definite = bool((pi > 0).all()) and all(i in held for i in network.roots)
    solved = (_solved if definite and _acyclic(network) else _least)(H, right)
    like = network.example
    return [
        clamped[i] if i in held else solved[:, at[i]].reshape(batch, *nodes[i].shape).to(like)
        for i in range(len(nodes))
    ]


def rest(network: Network, clamped: Mapping[int, Tensor], precision: Tensor | None = None) -> Rest:
    """S, F* and the errors at rest of a chain of linear layers, without solving for the states.

    Args:
        network: a chain of linear layers with squared errors.
        clamped: of the input and the output, or of one of them, (B, *shape), by index.
        precision: Pi_l, (L,), positive; one by default.

    Raises:
        BadInput: naming the layer that is not linear or not part of a chain, the precision, or the
            inner state that is clamped.
    """
    parts, pi = _parts(network), _precisions(network, precision)
    if not bool((pi > 0).all()):
        raise BadInput(f"precision: {pi.tolist()}; positive numbers, S divides by them")
    for i, node in enumerate(network.nodes):
        if node.parents != ((i - 1,) if i else ()):
            raise BadInput(f"network: state {i} reads {node.parents}; a chain 0 -> 1 -> ... -> L")
    held = {i: value.detach().double().cpu().flatten(1) for i, value in clamped.items()}
    _check_clamped(network, held)
    inner = [i for i in held if i not in (0, network.top)]
    if inner:
        raise BadInput(f"clamped: state {inner[0]}; the input 0 and the output {network.top} only")
    to_output = [torch.eye(network.nodes[-1].size).double()]
    for part in reversed(parts):
        to_output.insert(0, to_output[0] @ part.matrix)
    P0, P = to_output[0], to_output[1:]
    S = sum((one @ one.T / p for one, p in zip(P, pi, strict=True)), torch.zeros_like(P[-1]))
    offset = sum((p @ part.offset for p, part in zip(P, parts, strict=True)), P[-1].new_zeros(1))
    L = torch.linalg.cholesky(S)
    if network.top not in held:
        r = torch.zeros(len(held[0]), len(S)).double()
    elif 0 in held:
        r = held[network.top] - offset - held[0] @ P0.T
    else:  # the input that is best, by generalised least squares
        white = torch.linalg.solve_triangular(L, P0, upper=False)
        aim = torch.linalg.solve_triangular(L, (held[network.top] - offset).T, upper=False)
        r = ((aim - white @ (torch.linalg.pinv(white) @ aim)).T) @ L.T
    pulled = torch.cholesky_solve(r.T, L).T
    errors = [pulled @ one / p for one, p in zip(P, pi, strict=True)]
    return Rest(S, r, 0.5 * (r * pulled).sum(1), errors)


def least_energy(
    network: Network, clamped: Mapping[int, Tensor], precision: Tensor | None = None
) -> Tensor:
    """F* of each sample, (B,), in nats: `rest(...).energy`."""
    return rest(network, clamped, precision).energy


def mupc_factor(last: Tensor, depth: int, gamma: float = 1.0) -> float:
    r"""S in F* = r^2 / (2 s) of the muPC network with one hidden layer and one output.

    $s = (1 + L \lVert w \rVert^2 / N) / (\gamma^2 N L)$ with w the last weights. It holds for
    linear layers, one hidden layer, one output of factor $1 / (\gamma N)$, unit hidden precision
    and output precision $\gamma^2 N L$; with more hidden layers, or another precision, use `rest`.

    Args:
        last: w, (1, N) or (N,).
        depth: L as it stands in the output precision; two weight layers make it 2.
        gamma: divides the output's factor.

    Source: innocenti2025, with the L that its released library leaves out.
    """
    N = last.numel()
    square = float(last.detach().double().square().sum())
    return (1 + depth * square / N) / (gamma**2 * N * depth)


def _parts(network: Network) -> list[LinearPart]:
    """The linear part of every layer in float64 on the CPU."""
    found = []
    for layer in network.layers:
        node = network.nodes[layer]
        module = network.maps[str(layer)]
        part = linear_part(module) if len(node.parents) == 1 else None
        if part is None:
            what = " ".join(str(module).split())
            raise BadInput(f"layer {layer}: {what}; one linear map of one state")
        if not isinstance(node.energy, SquaredError):
            raise BadInput(f"layer {layer}: {type(node.energy).__name__}; the squared error")
        weight, bias, scale, skip = part
        bias = None if bias is None else bias.detach().double().cpu()
        found.append(LinearPart(weight.detach().double().cpu(), bias, scale, skip))
    return found


def _precisions(network: Network, precision: Tensor | None) -> Tensor:
    """(L,) in float64 on the CPU."""
    count = len(network.layers)
    if precision is None:
        return torch.ones(count).double()
    pi = precision.detach().double().cpu()
    if pi.shape != (count,) or not bool((torch.isfinite(pi) & (pi >= 0)).all()):
        raise BadInput(f"precision: {pi.tolist()}; {count} finite numbers that are not negative")
    return pi


def _check_clamped(network: Network, held: Mapping[int, Tensor]) -> None:
    """Refuse an empty set of clamped states, unknown ones and values of a wrong size."""
    if not held:
        raise BadInput("clamped: nothing; at least one state, which tells the batch")
    for i, value in held.items():
        if not 0 <= i <= network.top:
            raise BadInput(f"clamped: state {i}; 0..{network.top}")
        if value.shape[1] != network.nodes[i].size:
            size = network.nodes[i].size
            raise BadInput(f"clamped: {value.shape[1]} units for state {i}; {size}")


def _acyclic(network: Network) -> bool:
    try:
        network.order()
    except ValueError:
        return False
    return True


def _solved(H: Tensor, right: Tensor) -> Tensor:
    """H is positive definite: states and errors are a bijection of the free states."""
    return torch.cholesky_solve(right.T, torch.linalg.cholesky(H)).T


def _least(H: Tensor, right: Tensor) -> Tensor:
    """The solution of least norm; H may be singular."""
    return right @ torch.linalg.pinv(H, hermitian=True)
