"""Begin from what a memory of earlier relaxations recalls at the sight of the clamped states."""

import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from core.catalogue import dial, entry
from core.network import States
from core.start import Start
from core.summing import Summing


@dataclass(frozen=True)
class Patterns:
    """What the memory of one state has learnt.

    Args:
        Q: maps observations to queries, (d_o, e).
        b: added to the queries, (e,).
        K: the key of each pattern, (p, e).
        V: the pattern that each key stands for, (p, d).
    """

    Q: Tensor
    b: Tensor
    K: Tensor
    V: Tensor

    @property
    def parts(self) -> list[Tensor]:
        """All four."""
        return [self.Q, self.b, self.K, self.V]


@dataclass(frozen=True)
class Learnt:
    """All that a memory is; nothing in it is ever changed in place, so that old ones stay valid.

    Args:
        form: what it was made for: patterns, heads, embedding, and the shapes of what is clamped.
        patterns: of each state that is recalled, by index.
        optimiser: the moments of AdamW, as its state_dict has them.
    """

    form: tuple[Any, ...]
    patterns: dict[int, Patterns]
    optimiser: dict[Any, Any]

    @property
    def bytes(self) -> int:
        """Its size: each tensor, and two moments of it."""
        parts = [part for one in self.patterns.values() for part in one.parts]
        return 3 * sum(part.element_size() * part.nelement() for part in parts)


@entry(
    "init",
    "Memory",
    formula=r"h_\ell^{(0)}[i] = \mathrm{softmax}(\delta\,(o_i Q_\ell + b_\ell) K_\ell^\top) V_\ell",
    source="pinchetti2026",
)
@dataclass(frozen=True)
class Memory(Summing):
    r"""A small Hopfield memory that learns where relaxations end.

    $h_\ell^{(0)}[i] = \mathrm{softmax}(\delta\,(o_i Q_\ell + b_\ell) K_\ell^\top)\,V_\ell$ with
    $o_i$ all clamped states in one vector. Where every root is clamped each free state has a memory
    of its own; where the bottom is free only the free roots have one, and a sweep from them gives
    the rest, unless a cycle rules the sweep out. Each of k heads has its slice of the embedding and
    of the state's units, and its own attention to the p patterns.

    The first batch starts from a forward sweep, or from zero where it cannot. Then
    $V_\ell = A_\ell^+ H_\ell$ with the attention $A_\ell$ of that batch and $H_\ell$ its forward
    states, or the relaxed ones where there is no sweep; each later batch takes one step of AdamW on
    $\sum_\ell \lVert A_\ell V_\ell - h_\ell^{(T)} \rVert^2$, mean over the batch, for Q, b, K and
    V. The fit of the first batch is exact only if A has full row rank: at most p samples and a
    softmax that is not saturated; else it is the least-squares one. A saturated softmax is nearly
    singular and its pseudo-inverse huge, so singular values below a cutoff count as zero.

    It observes whatever the task clamps, so in classification the label too: what was learnt with
    the label says nothing about a test image alone. Where another set of states is clamped, or
    patterns, heads or embedding are others, it begins anew. The paper does not print the first
    values of Q, b and K: here Q and K are standard normal over the square root of their fan-in, and
    b centres the queries of the first batch. On images that share a bright or dark background all
    queries soon meet the same pattern, and what is recalled is close to the mean over the batch.

    Source: pinchetti2026, section 4 (its image reconstruction: 24 patterns, 16 heads, embedding
    128, δ = 200 out of 1, 10, 50, 200, 500 with little difference).
    """

    patterns: int = dial(24, bounds=(1, 1024), symbol="p", help="patterns that a head can recall")
    heads: int = dial(1, bounds=(1, 16), symbol="k", help="each recalls its own slice of the units")
    embedding: int = dial(128, bounds=(16, 1024), symbol="e", help="width of all queries together")
    sharpness: float = dial(
        200.0, bounds=(0.0, 1e4), symbol="δ", help="inverse temperature of the attention"
    )
    cutoff: float = dial(
        0.01,
        bounds=(0.0, 1.0),
        help="share of the largest singular value below which one counts as zero; 0: rounding only",
    )
    rate: float = dial(
        5e-3, bounds=(0.0, 10.0), symbol="η", log=True, help="learning rate of the memory's AdamW"
    )

    remembers: ClassVar[str] = "what its memory has learnt from batches before"

    def __call__(self, start: Start) -> States:
        """What is recalled, and the sweep above it where the bottom is free."""
        known = start.memory
        if known is None or known.form != self._form(start):
            return start.first_guess()
        o = _observation(start)
        states = {}
        for i, one in known.patterns.items():
            found = self._recalled(o, one)
            states[i] = found.reshape(-1, *start.network.nodes[i].shape)
        states |= start.clamped
        if len(states) == start.count:
            return [states[i] for i in range(start.count)]
        return start.network.sweep(states)

    def sums(self, start: Start, final: States, memory: Learnt | None) -> list[Tensor]:
        """Gradients of the loss by Q, b, K and V of every state; none where it begins anew."""
        if memory is None or memory.form != self._form(start):
            return []
        o, everyone = _observation(start), start.batch * start.network.ranks.count
        now = _leaves(memory)
        with torch.enable_grad():
            loss = o.new_zeros(())
            for i, one in now.items():
                off = self._recalled(o, one) - final[i].detach().flatten(1)
                loss = loss + off.square().sum(1).sum() / everyone
        return list(torch.autograd.grad(loss, [p for one in now.values() for p in one.parts]))

    def remember(
        self, start: Start, final: States, sums: list[Tensor], memory: Learnt | None
    ) -> Learnt:
        """The memory after one more batch, the first one or one step of AdamW from the last."""
        if memory is None or not sums:
            return self._fitted(start, final, self._form(start))
        return self._stepped(sums, memory)

    def _form(self, start: Start) -> tuple[Any, ...]:
        clamped = tuple((i, tuple(h.shape[1:])) for i, h in sorted(start.clamped.items()))
        return self.patterns, self.heads, self.embedding, clamped

    def _attention(self, o: Tensor, one: Patterns) -> list[Tensor]:
        """The weights that each head gives to its patterns, (B, p)."""
        queries = (o @ one.Q + one.b).tensor_split(self.heads, dim=1)
        keys = one.K.tensor_split(self.heads, dim=1)
        return [
            torch.softmax(self.sharpness * (q @ k.T), dim=1)
            for q, k in zip(queries, keys, strict=True)
        ]

    def _recalled(self, o: Tensor, one: Patterns) -> Tensor:
        """A V, (B, d)."""
        values = one.V.tensor_split(self.heads, dim=1)
        pairs = zip(self._attention(o, one), values, strict=True)
        return torch.cat([A @ v for A, v in pairs], dim=1)

    def _fitted(self, start: Start, final: States, form: tuple[Any, ...]) -> Learnt:
        """First values: random queries and keys, and the values that fit this batch best."""
        network, like = start.network, start.network.example
        free = [i for i in range(start.count) if i not in start.clamped]
        roots = [i for i in free if i in network.roots]
        recalled = roots if roots and start.acyclic else free
        target = final if roots or not start.acyclic else network.sweep(start.clamped)
        o = network.ranks.gathered(_observation(start))
        generator = start.generator or torch.Generator().manual_seed(0)

        def normal(rows: int, fan_in: int) -> Tensor:
            drawn = torch.randn(rows, self.embedding, generator=generator, dtype=like.dtype)
            return drawn.to(like.device) / max(fan_in, 1) ** 0.5

        found = {}
        for i in recalled:
            Q = normal(o.shape[1], o.shape[1])
            one = Patterns(
                Q,
                -o.mean(0) @ Q,
                normal(self.patterns, self.embedding),
                like.new_zeros(self.patterns, network.nodes[i].size),
            )
            wanted = network.ranks.gathered(target[i]).flatten(1).tensor_split(self.heads, dim=1)
            heads = zip(self._attention(o, one), wanted, strict=True)
            V = torch.cat([self._least_squares(A, h) for A, h in heads], dim=1)
            found[i] = Patterns(one.Q, one.b, one.K, V)
        return Learnt(form, found, {})

    def _least_squares(self, A: Tensor, H: Tensor) -> Tensor:
        """A^+ H, in float64 on the host, where every device's may be computed."""
        A, wanted = A.detach().cpu().double(), H.detach().cpu().double()
        floor = max(A.shape) * torch.finfo(A.dtype).eps
        return (torch.linalg.pinv(A, rtol=max(self.cutoff, floor)) @ wanted).to(H)

    def _stepped(self, gradients: list[Tensor], memory: Learnt) -> Learnt:
        """All four tensors of every state, one step of AdamW later."""
        now = _leaves(memory)
        parts = [p for one in now.values() for p in one.parts]
        optimiser = torch.optim.AdamW(parts, lr=self.rate)
        group = optimiser.state_dict()["param_groups"]
        held = copy.deepcopy(memory.optimiser)
        optimiser.load_state_dict({"state": held, "param_groups": group})
        for part, gradient in zip(parts, gradients, strict=True):
            part.grad = gradient
        optimiser.step()
        found = {i: Patterns(*[p.detach() for p in one.parts]) for i, one in now.items()}
        return Learnt(memory.form, found, optimiser.state_dict()["state"])


def _leaves(memory: Learnt) -> dict[int, Patterns]:
    """Copies of all that was learnt, to be differentiated by."""
    return {
        i: Patterns(*[part.clone().requires_grad_() for part in one.parts])
        for i, one in memory.patterns.items()
    }


def _observation(start: Start) -> Tensor:
    """All clamped states of a sample in one vector, (B, d_o)."""
    clamped = [h.flatten(1) for _, h in sorted(start.clamped.items())]
    return torch.cat([start.network.example.new_zeros(start.batch, 0), *clamped], dim=1)
