"""How fast may the states move, and how slowly do they settle? Eigenvalues of the state Hessian.

Plain descent at a fixed rate is stable below 2 / lambda_max and settles fastest at
2 / (lambda_min + lambda_max); where the energy is quadratic this is exact, elsewhere it holds near
the states at which the Hessian is taken. The same can be asked of the errors as variables
(eps_l = h_l - mu_l): a linear network with both ends clamped then has the Hessian I + J^T J, with J
the map from all hidden errors to the output.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from core.catalogue import BadInput
from core.free_energy import FreeEnergy
from core.network import States

EXACT_BELOW = 2000
"""Units of one sample from which the spectrum is found by Lanczos' method."""

VARIABLES = ("states", "errors")


@dataclass(frozen=True)
class Spectrum:
    """The two ends of the spectrum of a Hessian.

    Args:
        smallest: eigenvalue; negative where the energy is not convex.
        largest: eigenvalue.
        exact: whether all eigenvalues were computed; else both ends are Lanczos' estimates.
        margin: each end is that close to an eigenvalue, beside rounding; zero where exact.
    """

    smallest: float
    largest: float
    exact: bool
    margin: float

    @property
    def condition(self) -> float:
        """lambda_max / lambda_min; infinite where the smallest eigenvalue is not positive."""
        return self.largest / self.smallest if self.smallest > 0 else float("inf")

    @property
    def largest_rate(self) -> float:
        """2 / lambda_max, from which on plain descent diverges; infinite without curvature."""
        return 2 / self.largest if self.largest > 0 else float("inf")

    @property
    def best_rate(self) -> float:
        """2 / (lambda_min + lambda_max), or nan where the energy is not convex."""
        return 2 / (self.smallest + self.largest) if self.smallest > 0 else float("nan")


def spectrum(
    free_energy: FreeEnergy,
    states: States,
    sample: int | None = None,
    *,
    variables: str = "states",
    tolerance: float = 1e-3,
    steps: int = 300,
) -> Spectrum:
    """Smallest and largest eigenvalue of the Hessian of F at given states.

    Samples must not read each other.

    Args:
        free_energy: in force: precisions, clamped states, nudge.
        states: h_0 ... h_N, (B, *shape).
        sample: whose Hessian; by default the ends over all samples, which rule a common rate.
        variables: "states", or "errors" in an acyclic network.
        tolerance: of Lanczos' method: it stops when the margin is below this share of the smaller
            end.
        steps: of Lanczos' method, at most.

    Raises:
        BadInput: for unknown variables, an unknown sample, no steps, when nothing is free, or when
            samples read each other.
    """
    batch = len(states[0])
    if sample is not None and not 0 <= sample < batch:
        raise BadInput(f"sample: {sample}; 0..{batch - 1}")
    if steps < 1:
        raise BadInput(f"steps: {steps}; at least 1")
    hessian = Hessian(free_energy, states, sample, variables=variables)
    if hessian.units < EXACT_BELOW:
        found = [torch.linalg.eigvalsh(one) for one in hessian.matrices()]
        low, high = min(float(e[0]) for e in found), max(float(e[-1]) for e in found)
        return Spectrum(low, high, True, 0.0)
    return _lanczos(hessian, tolerance, steps)


class Hessian:
    """Second derivatives of F by the free units, sample by sample.

    Args:
        units: number of free units of one sample, n.
        batch: number of samples, B.
    """

    def __init__(
        self,
        free_energy: FreeEnergy,
        states: States,
        sample: int | None = None,
        *,
        variables: str = "states",
    ) -> None:
        """Take the first derivatives at `states`, ready to be derived again."""
        if variables not in VARIABLES:
            raise BadInput(f"variables: {variables}; one of {', '.join(VARIABLES)}")
        if variables == "errors" and free_energy.held:
            held = sorted(free_energy.held)
            raise BadInput(f"held: units of state {held[0]}; errors as variables need whole states")
        if free_energy.network.mixes:
            raise BadInput(
                "network.batch_norm: batch; frozen or none: a Hessian is of one sample, "
                "and with batch statistics samples read each other"
            )
        if sample is not None:
            free_energy, states = _of_one(free_energy, states, sample)
        free = [i for i in range(len(states)) if i not in free_energy.clamped]
        if not free:
            raise BadInput("clamped: every state; a Hessian needs a free one")
        self.batch = len(states[0])
        with torch.enable_grad():
            self._leaves = [states[i].detach().requires_grad_() for i in free]
            given = dict(zip(free, self._leaves, strict=True))
            if variables == "errors":
                errors = _errors(free_energy, states)
                self._leaves = [errors[i].requires_grad_() for i in free]
                given = dict(zip(free, self._leaves, strict=True))
                at = _states_of(free_energy, states, given)
            else:
                at = [given.get(i, h.detach()) for i, h in enumerate(states)]
            total = energy(free_energy, at).sum()
            self._slope = torch.autograd.grad(total, self._leaves, create_graph=True)
        moving = [~free_energy.held.get(i, torch.zeros_like(states[i]).bool()) for i in free]
        self._moving = torch.cat([one.flatten(1) for one in moving], dim=1)
        self.units = self._moving.shape[1]

    def times(self, vectors: Tensor) -> Tensor:
        """H v of each sample, (..., B, n) from (..., B, n)."""
        sizes = [leaf[0].numel() for leaf in self._leaves]
        masked = vectors * self._moving
        lead = vectors.shape[:-2]
        pieces = [
            one.reshape(*lead, *leaf.shape)
            for one, leaf in zip(masked.split(sizes, dim=-1), self._leaves, strict=True)
        ]
        found = torch.autograd.grad(
            self._slope,
            self._leaves,
            pieces,
            retain_graph=True,
            is_grads_batched=bool(lead),
            allow_unused=True,
            materialize_grads=True,
        )
        flat = [g.reshape(*lead, self.batch, -1) for g in found]
        return torch.cat(flat, dim=-1) * self._moving

    def matrices(self) -> list[Tensor]:
        """The Hessian of each sample over its moving units, in float64, (n, n)."""
        like = self._leaves[0]
        unit = torch.eye(self.units, dtype=like.dtype, device=like.device)
        rows = [self.times(part[:, None].expand(-1, self.batch, -1)) for part in unit.split(_CHUNK)]
        full = torch.cat(rows).double().cpu()  # (n, B, n)
        found = []
        for b in range(self.batch):
            moves = self._moving[b].cpu()
            H = full[:, b][moves][:, moves]
            found.append(0.5 * (H + H.T))
        return found

    def random(self) -> Tensor:
        """A unit vector of each sample among its moving units, the same at every call, (B, n)."""
        like = self._leaves[0]
        generator = torch.Generator().manual_seed(0)
        drawn = torch.randn(self.batch, self.units, generator=generator).to(like) * self._moving
        return drawn / drawn.norm(dim=1, keepdim=True)


_CHUNK = 512
"""Columns of a Hessian that are computed at once."""


def energy(free_energy: FreeEnergy, states: States) -> Tensor:
    """F of each sample, (B,), differentiable by the states."""
    network = free_energy.network
    mu = network.predictions(states)
    terms = [network.nodes[i].energy(states[i], m) for i, m in zip(network.layers, mu, strict=True)]
    total = free_energy.precision @ torch.stack(terms)
    if free_energy.cost is not None and free_energy.target is not None:
        total = total + free_energy.nudge * free_energy.cost(states[-1], free_energy.target)
    for i, h in enumerate(states):
        if i not in free_energy.clamped:
            total = total + 0.5 * free_energy.decay * h.flatten(1).square().sum(1)
    return total


def _errors(free_energy: FreeEnergy, states: States) -> dict[int, Tensor]:
    """h_l - mu_l of each layer, and the state itself of each root, by index, detached."""
    network = free_energy.network
    with torch.no_grad():
        mu = dict(zip(network.layers, network.predictions(states), strict=True))
    return {i: (h - mu[i] if i in mu else h).detach().clone() for i, h in enumerate(states)}


def _states_of(free_energy: FreeEnergy, states: States, errors: dict[int, Tensor]) -> States:
    """The states whose errors are given, clamped ones as they are."""
    network = free_energy.network
    found = [errors.get(i, h.detach()) for i, h in enumerate(states)]
    for i in network.order():
        if i in errors:
            found[i] = network.prediction(i, found) + errors[i]
    return found


def _of_one(free_energy: FreeEnergy, states: States, sample: int) -> tuple[FreeEnergy, States]:
    """The same problem with one sample."""
    one = slice(sample, sample + 1)
    alone = copy.copy(free_energy)
    if isinstance(alone.nudge, Tensor) and alone.nudge.dim():
        alone.nudge = alone.nudge[one]
    if alone.target is not None:
        alone.target = alone.target[one]
    alone.held = {i: mask[one] for i, mask in alone.held.items()}
    return alone, [h[one] for h in states]


def _lanczos(hessian: Hessian, tolerance: float, steps: int) -> Spectrum:
    """Both ends over all samples, each sample with its own Krylov space, fully orthogonal."""
    q = hessian.random()
    steps = min(steps, hessian.units)
    basis = q.new_empty(hessian.batch, steps, hessian.units)
    going = torch.ones(hessian.batch, dtype=torch.bool, device=q.device)
    alphas: list[Tensor] = []
    betas: list[Tensor] = []
    for step in range(1, steps + 1):
        basis[:, step - 1] = q
        known = basis[:, :step]
        w = hessian.times(q)
        alpha = (q * w).sum(1)
        # A space that is exhausted is padded with a number from inside its spectrum.
        alphas.append(torch.where(going, alpha, alphas[0] if alphas else alpha))
        for _ in range(2):  # once is not enough in finite precision
            w = w - ((known @ w[..., None]).mT @ known)[:, 0]
        beta = w.norm(dim=1)
        going = going & (beta > 10 * torch.finfo(w.dtype).eps * torch.stack(alphas).abs().amax(0))
        betas.append(beta.where(going, torch.zeros_like(beta)))
        if step % 10 == 0 or not bool(going.any()):
            found = _ends(alphas, betas)
            if found.margin <= tolerance * min(abs(found.smallest), abs(found.largest)):
                return found
        q = torch.where(going[:, None], w / beta[:, None], 0.0)
    return _ends(alphas, betas)


def _ends(alphas: list[Tensor], betas: list[Tensor]) -> Spectrum:
    """Ends over all samples of the tridiagonal matrices, with their residuals."""
    diagonal = torch.stack(alphas, dim=1).double().cpu()
    beside = torch.stack(betas, dim=1).double().cpu()
    T = torch.diag_embed(diagonal)
    T = T + torch.diag_embed(beside[:, :-1], 1) + torch.diag_embed(beside[:, :-1], -1)
    values, vectors = torch.linalg.eigh(T)
    residuals = (beside[:, -1:] * vectors[:, -1]).abs()
    low, high = int(values[:, 0].argmin()), int(values[:, -1].argmax())
    margin = max(float(residuals[low, 0]), float(residuals[high, -1]))
    return Spectrum(float(values[low, 0]), float(values[high, -1]), False, margin)
