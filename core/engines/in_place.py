"""How does a chain descend while nobody looks? In place, and equal layers in one product.

Consecutive states of one width under one activation are one *run*: a stacked tensor (R, B, width)
on which one batched product does the work of R layers. The hidden states move at once by

    E = Z - MU,  G = E * phi'(A),  E[below] <- G W - E[below],  Z <- Z + rate * E

and predictions follow, A = Z[below] W^T + b, MU = phi(A). Nine kernels a step for one run between
clamped ends, whatever its depth; where layers have different precisions E is multiplied by them
first. The product is added to the errors, not to the states: a sum that began with a state would be
rounded to the state's digits at every term. Every buffer is made once; nothing is read back.

What is left out, exactly: the prediction of the first layer, whose input is clamped (*hoisted*);
after a forward sweep the states that the error has not reached (*wavefront*): below `front` Z = MU,
so that E, G and the move are zeros and the predictions stay. The last predictions serve the next
errors, the record and the weight gradients.

Source: this project.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor, nn

from core.engines.bits import batched_is_single
from core.engines.maps import Activation, FormulaMap
from core.network import Network, States
from core.rows import Rows

STACK_FROM = 6
"""Layers in a row from which they are stacked at any width."""

STACK_WIDTH = 256
"""Width up to which any two layers are stacked; beyond it one product fills the machine."""


class Part(NamedTuple):
    """What a run does from its k-th state up: views, made once for each k.

    Args:
        Z, E, MU, A, G: from k up, (R - k, B, width).
        inner: how many layers within the run predict states from k up.
        below: Z of the states that those layers read, (inner, B, width).
        under: E of the same states.
        arguments, errors: A and G of the states that they predict.
        W: their matrices, (inner, width, width).
        up: W^T.
        bias: of those layers, (inner, 1, width), or None.
        layers: indices of the layers, from 0, that predict the states from k up.
    """

    Z: Tensor
    E: Tensor
    MU: Tensor
    A: Tensor
    G: Tensor
    inner: int
    below: Tensor
    under: Tensor
    arguments: Tensor
    errors: Tensor
    W: Tensor
    up: Tensor
    bias: Tensor | None
    layers: slice


class Run:
    """Consecutive states under one activation, with the layers that predict them.

    Args:
        first: index of its first state.
        maps: the layers that predict its states; the first of them reads the run below.
        batch: number of samples, B.
    """

    def __init__(self, first: int, maps: Sequence[FormulaMap], batch: int) -> None:
        """Allocate (R, B, width) for states Z, predictions MU, arguments A, errors E and G."""
        self.first, self.maps = first, list(maps)
        self.act: Activation | None = maps[0].after
        weight = self.linear.weight
        new = (len(maps), batch, len(weight))
        self.Z, self.E, self.MU = (weight.new_empty(new) for _ in range(3))
        self.A = self.MU if self.act is None or self.act.by_value else torch.empty_like(self.MU)
        self.G = self.E if self.act is None else torch.empty_like(self.E)
        inner = [one.linear for one in maps[1:]]
        self.W = weight.new_empty(len(inner), *weight.shape[:1] * 2)  # (R - 1, width, width)
        self.b = None if self.linear.bias is None else weight.new_empty(len(inner), 1, len(weight))
        if inner:
            torch.stack([one.weight.detach() for one in inner], out=self.W)
            if self.b is not None:
                torch.stack([one.bias.detach()[None] for one in inner], out=self.b)
        self._parts: dict[int, Part] = {}

    def keep_errors(self, E: Tensor) -> None:
        """Have them in this memory, (R, B, width)."""
        self.E, self.G = E, E if self.G is self.E else self.G

    @property
    def linear(self) -> nn.Linear:
        """The layer from the run below."""
        return self.maps[0].linear

    @property
    def last(self) -> int:
        """Index of its last state."""
        return self.first + len(self.maps) - 1

    def part(self, k: int) -> Part:
        """Views from the k-th state up, k < R."""
        found = self._parts.get(k)
        if found is None:
            j = max(k, 1)
            W = self.W[j - 1 :]
            found = self._parts[k] = Part(
                self.Z[k:],
                self.E[k:],
                self.MU[k:],
                self.A[k:],
                self.G[k:],
                len(W),
                self.Z[j - 1 : -1],
                self.E[j - 1 : -1],
                self.A[j:],
                self.G[j:],
                W,
                W.transpose(1, 2),
                None if self.b is None else self.b[j - 1 :],
                slice(self.first - 1 + k, self.last),
            )
        return found

    def enter(self, below: Tensor) -> None:
        """A[0] = below W^T + b, from the last state of the run below."""
        linear = self.linear
        if linear.bias is None:
            torch.mm(below, linear.weight.t(), out=self.A[0])
        else:
            torch.addmm(linear.bias, below, linear.weight.t(), out=self.A[0])

    def predict(self, k: int) -> None:
        """MU from the k-th state up; the first state's argument is taken as it stands."""
        part = self.part(k)
        if part.inner:
            if part.bias is None:
                torch.bmm(part.below, part.up, out=part.arguments)
            else:
                torch.baddbmm(part.bias, part.below, part.up, out=part.arguments)
        if self.act is not None:
            self.act.forward(part.A, out=part.MU)


class InPlace:
    """Gradient descent of a chain of linear layers between clamped ends, one batch, one phase."""

    def __init__(
        self,
        network: Network,
        maps: Sequence[FormulaMap],
        states: States,
        *,
        swept: bool,
        savings: bool = True,
    ) -> None:
        """Copy the states and predict.

        Args:
            network: a chain of linear layers.
            maps: its layers f_1 ... f_L.
            states: h_0 ... h_L; the ends are clamped.
            swept: whether the hidden states are the predictions of a forward sweep.
            savings: whether what is known may be left out.
        """
        self.x, self.y = states[0], states[-1]
        self.savings = savings
        self._weights = network.weights
        self._given: States | None = states
        self.runs = _runs(maps, len(self.x))
        self._shared = _shared(self.runs)
        for run in self.runs:
            torch.stack(states[run.first : run.last + 1], out=run.Z)
        self.top = self.runs[-1]
        self.layers = len(maps)
        self.front = 1
        by_value = all(run.A is run.MU for run in self.runs)
        swept = swept and all(_exact(run.maps, len(self.x)) for run in self.runs)
        if swept and savings and by_value:
            for run in self.runs[:-1]:
                run.MU.copy_(run.Z)
            self.front = self.layers
        self._predict(self.front)
        if swept and savings and not by_value:  # with the arguments that derivatives need
            self.front = self.layers
        self._known = False
        self._normed: tuple[int, list[tuple[Tensor, slice]]] | None = None
        self._steered: tuple[float, Rows | None] = (0.0, None)

    def of(self, network: Network) -> bool:
        """Whether the network still has the weights that these predictions are of."""
        return self._weights == network.weights

    def stands_at(self, states: States) -> bool:
        """Whether these are the very states that this descent began with or gave last."""
        return self._given is states

    def steer(self, rate: float, rows: Rows) -> None:
        """Take the rate, and the precisions of all steps."""
        if self._steered[0] == rate and self._steered[1] is rows:
            return
        self._steered = rate, rows
        self._gains = (rate * rows.on_device)[:, :, None, None]  # (T', L, 1, 1)
        self._even = (rows.on_host == rows.on_host[:, :1]).all(1).tolist()

    def step(self, t: int) -> None:
        """One update of all states, with row t of the rate times precisions."""
        self._errors()
        gains, even = self._gains[t], self._even[t]  # (L, 1, 1)
        moving = list(self._reached(self._lowest))
        if not even:
            for run, k, _ in moving:
                part = run.part(k)
                part.E.mul_(gains[part.layers])
        for run, k, below in self._reached(self.front):
            self._hand_down(run, run.part(k), below)
        for run, k, _ in moving:
            if run is not self.top:
                part = run.part(k)
                if even:
                    part.Z.addcmul_(part.E, gains[0])
                else:
                    part.Z.add_(part.E)
        self.front = max(self.front - 1, 1) if self.savings else 1
        self._predict(self.front + 1 if self.savings else 1)
        self._known, self._given = False, None

    @property
    def _lowest(self) -> int:
        """The lowest state that the next step moves."""
        return max(self.front - 1, 1)

    def _hand_down(self, run: Run, part: Part, below: Run | None) -> None:
        """What is handed down less the error that is there, for the states below a part of a run.

        A state gets it once, from the layer above; the one below the front has the error zero.
        """
        if run.act is not None and (below is not None or part.inner):
            run.act.pull(part.E, part.A, out=part.G)
        if part.inner:
            part.under.baddbmm_(part.errors, part.W, beta=-1)
        if below is not None and len(part.Z) == len(run.Z):
            below.E[-1].addmm_(run.G[0], run.linear.weight, beta=-1)

    def _reached(self, s: int) -> Iterator[tuple[Run, int, Run | None]]:
        """Runs with states from s up: from which of its states, and the run below."""
        below = None
        for run in self.runs:
            if run.last >= s:
                yield run, max(s - run.first, 0), below
            below = run

    def norms(self, out: Tensor) -> None:
        """|e_l| over units and samples into `out`, (L,), which holds zeros."""
        self._errors()
        if self._normed is None or self._normed[0] != self.front:
            self._normed = (
                self.front,
                [
                    (E[k:].flatten(1), slice(first - 1 + k, first - 1 + len(E)))
                    for first, E in self._shared
                    if (k := max(self.front - first, 0)) < len(E)
                ],
            )
        for E, layers in self._normed[1]:
            torch.linalg.vector_norm(E, dim=1, out=out[layers])

    def states(self) -> States:
        """A copy of the states, h_0 ... h_L."""
        hidden = [h for run in self.runs[:-1] for h in run.Z.clone().unbind()]
        self._given = [self.x, *hidden, self.y]
        return self._given

    def weight_gradients(self, scale: Tensor | float, row: Tensor | None) -> list[Tensor]:
        """dE/dtheta of every weight and bias, summed over the batch.

        Args:
            scale: of each sample, a number or (B,).
            row: factor of each layer's energy, (L,); None for one.
        """
        self._errors()
        found: list[Tensor] = []
        reached = {id(run): k for run, k, _ in self._reached(self.front)}
        below = self.x
        for run in self.runs:
            k = reached.get(id(run))
            if k is None:
                found += [torch.zeros_like(p) for one in run.maps for p in one.linear.parameters()]
            else:
                part = run.part(k)
                G = part.G if run.act is None else run.act.pull(part.E, part.A, out=part.G)
                if row is not None:
                    G = G * row[part.layers, None, None]
                if isinstance(scale, Tensor):
                    G = G * scale[:, None]
                found += self._of_run(run, k, G, below, scale)
            below = run.Z[-1]
        return found

    def _of_run(
        self, run: Run, k: int, G: Tensor, below: Tensor, scale: Tensor | float
    ) -> list[Tensor]:
        """Weight and bias of each layer of a run in turn; zero below k."""
        factor = -1.0 if isinstance(scale, Tensor) else -scale
        weights = [torch.zeros_like(one.linear.weight) for one in run.maps[:k]]
        if k == 0:
            W = run.linear.weight
            weights.append(torch.addmm(W, G[0].t(), below, beta=0, alpha=factor))
        if (part := run.part(k)).inner:
            up = G[len(G) - part.inner :].transpose(1, 2)
            weights += torch.bmm(up, part.below).mul_(factor).unbind()
        if run.linear.bias is None:
            return weights
        sums = G.sum(1).mul_(factor)
        biases = [torch.zeros_like(one.linear.bias) for one in run.maps[:k]] + list(sums.unbind())
        return [p for pair in zip(weights, biases, strict=True) for p in pair]

    def _errors(self) -> None:
        """E of all states that the next step moves, and of the top."""
        if not self._known:
            for run, k, _ in self._reached(self._lowest):
                part = run.part(k)
                torch.sub(part.Z, part.MU, out=part.E)
            self._known = True

    def _predict(self, s: int) -> None:
        """Predictions of the states from s up."""
        for run, k, below in self._reached(s):
            if k == 0:
                run.enter(self.x if below is None else below.Z[-1])
            run.predict(k)


def _runs(maps: Sequence[FormulaMap], batch: int) -> list[Run]:
    """The chain cut into runs; the clamped top is one of its own."""
    cut: list[list[FormulaMap]] = []
    for one in maps[:-1]:
        if cut and _alike(cut[-1][-1], one):
            cut[-1].append(one)
        else:
            cut.append([one])
    parts = [
        part
        for group in cut
        for part in ([group] if _stacks(group, batch) else [[m] for m in group])
    ]
    runs: list[Run] = []
    for part in [*parts, maps[-1:]]:
        runs.append(Run(runs[-1].last + 1 if runs else 1, part, batch))
    return runs


def _shared(runs: Sequence[Run]) -> list[tuple[int, Tensor]]:
    """One memory for the errors of runs of one width in a row, so that one call measures them all.

    Returns: the index of the first state of each memory, and the memory, (n, B, width).
    """
    found = []
    for _, grouped in groupby(runs, key=lambda run: run.E.shape[-1]):
        group = list(grouped)
        sizes = [len(run.E) for run in group]
        E = group[0].E.new_empty(sum(sizes), *group[0].E.shape[1:])
        for run, own in zip(group, E.split(sizes), strict=True):
            run.keep_errors(own)
        found.append((group[0].first, E))
    return found


def _stacks(group: Sequence[FormulaMap], batch: int) -> bool:
    """Whether one product for all is the better one; on a CPU it must also give the same bits."""
    weight = group[0].linear.weight
    if len(group) <= STACK_FROM and len(weight) > STACK_WIDTH:
        return False
    return weight.device.type != "cpu" or _exact(group, batch)


def _exact(group: Sequence[FormulaMap], batch: int) -> bool:
    """Whether the group's batched product gives the bits of a sweep."""
    weight, inner = group[0].linear.weight, len(group) - 1
    return not inner or batched_is_single(
        inner, batch, len(weight), weight.dtype, weight.device, torch.get_num_threads()
    )


def _alike(below: FormulaMap, above: FormulaMap) -> bool:
    """Whether two layers in a row predict states of one width under one activation, with a bias."""
    a, b = below.linear, above.linear
    same = a.out_features == b.in_features == b.out_features
    return same and below.kind == above.kind and (a.bias is None) == (b.bias is None)
