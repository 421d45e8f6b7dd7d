"""How does one layer predict, and how does it hand an error down? By formula where it is known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

aten = torch.ops.aten


@dataclass(frozen=True)
class Activation:
    """An elementwise function and its derivative.

    Args:
        forward: (a, out) -> phi(a), into `out` where that is given.
        pull: (v, kept, out) -> v * phi'; `kept` is phi's value where `by_value`, else its argument.
        by_value: whether the derivative follows from the value.
    """

    forward: Callable[..., Tensor]
    pull: Callable[..., Tensor]
    by_value: bool = False


def activation_of(module: nn.Module) -> Activation | None:
    """The formula of one of torch's activation modules, or None where it is not known here."""
    if type(module) is nn.Tanh:
        return Activation(_by(aten.tanh), _back(aten.tanh_backward), by_value=True)
    if type(module) is nn.ReLU:
        return Activation(_by(aten.relu), _back(aten.threshold_backward, 0), by_value=True)
    if type(module) is nn.GELU:
        how = {"approximate": module.approximate}
        return Activation(_by(aten.gelu, **how), _back(aten.gelu_backward, **how))
    if type(module) is nn.LeakyReLU:
        slope = module.negative_slope
        back = _back(aten.leaky_relu_backward, slope, False)
        return Activation(_by(aten.leaky_relu, slope), back)
    if type(module) is nn.ELU:
        alpha = module.alpha

        def elu_back(v: Tensor, a: Tensor, out: Tensor | None = None) -> Tensor:
            into = {} if out is None else {"grad_input": out}
            return aten.elu_backward(v, alpha, 1, 1, False, a, **into)

        return Activation(_by(aten.elu, alpha), elu_back)
    if type(module) is nn.Hardtanh:
        ends = module.min_val, module.max_val
        return Activation(_by(aten.hardtanh, *ends), _back(aten.hardtanh_backward, *ends))
    return None


def _by(op: Any, *settings: Any, **named: Any) -> Callable[..., Tensor]:
    def forward(a: Tensor, out: Tensor | None = None) -> Tensor:
        return op(a, *settings, **named, **({} if out is None else {"out": out}))

    return forward


def _back(op: Any, *settings: Any, **named: Any) -> Callable[..., Tensor]:
    def pull(v: Tensor, kept: Tensor, out: Tensor | None = None) -> Tensor:
        into = {} if out is None else {"grad_input": out}
        return op(v, kept, *settings, **named, **into)

    return pull


@dataclass
class Prediction:
    """What one layer predicted from these very tensors.

    Args:
        parents: the states that it read.
        mu: the prediction, (B, *shape).
        kept: what handing an error down needs; None where it is not there yet.
    """

    parents: tuple[Tensor, ...]
    mu: Tensor
    kept: Any = None


class FormulaMap:
    """A linear map with an activation after it, before it, or none: by hand, without a graph."""

    def __init__(
        self,
        linear: nn.Linear,
        after: Activation | None = None,
        before: Activation | None = None,
        *,
        kind: str = "",
    ) -> None:
        """Take the parts of mu = after(W before(h) + b); `kind` tells activations apart."""
        self.linear, self.after, self.before, self.kind = linear, after, before, kind

    def predict(self, parents: tuple[Tensor, ...], wanted: Sequence[bool]) -> Prediction:
        """The prediction; `wanted` is not read: nothing is kept that would cost anything."""
        (h,) = parents
        x = h if self.before is None else self.before.forward(h)
        a = nn.functional.linear(x, self.linear.weight, self.linear.bias)
        if self.after is None:
            return Prediction(parents, a, h)
        mu = self.after.forward(a)
        return Prediction(parents, mu, mu if self.after.by_value else a)

    def pull(self, known: Prediction, v: Tensor, wanted: Sequence[bool]) -> list[Tensor | None]:
        """v^T dmu/dh, (B, *shape) of the parent."""
        if self.after is not None:
            v = self.after.pull(v, known.kept)
        v = v @ self.linear.weight
        if self.before is not None:
            (h,) = known.parents
            v = self.before.pull(v, self.before.forward(h) if self.before.by_value else h)
        return [v]

    def weights(self, known: Prediction, v: Tensor) -> list[Tensor]:
        """v^T dmu/dtheta, summed over the batch: of the matrix, and of the bias if there is one."""
        (h,) = known.parents
        x = h if self.before is None else self.before.forward(h)
        if self.after is not None:
            kept = known.kept
            if kept is None:
                kept = known.mu if self.after.by_value else self.linear(x)
            v = self.after.pull(v, kept)
        found = [v.t() @ x]
        return found if self.linear.bias is None else [*found, v.sum(0)]


class ModuleMap:
    """Any module: one forward with a graph of this layer alone, one product with its Jacobian."""

    def __init__(self, module: nn.Module) -> None:
        """Take the module."""
        self.module = module

    def predict(self, parents: tuple[Tensor, ...], wanted: Sequence[bool]) -> Prediction:
        """The prediction, with a graph to those parents that are wanted."""
        with torch.enable_grad():
            leaves = [
                h.detach().requires_grad_(want) for h, want in zip(parents, wanted, strict=True)
            ]
            mu = self.module(*leaves)
        return Prediction(parents, mu.detach(), (leaves, mu))

    def pull(self, known: Prediction, v: Tensor, wanted: Sequence[bool]) -> list[Tensor | None]:
        """v^T dmu/dh for each wanted parent, None for the others."""
        leaves, mu = known.kept
        asked = [leaf for leaf, want in zip(leaves, wanted, strict=True) if want]
        found = iter(torch.autograd.grad(mu, asked, v, retain_graph=True, allow_unused=True))
        return [next(found) if want else None for want in wanted]

    def weights(self, known: Prediction, v: Tensor) -> list[Tensor]:
        """v^T dmu/dtheta of each parameter, summed over the batch, by the graph that is there."""
        own = list(self.module.parameters())
        learns = [p for p in own if p.requires_grad]
        if not learns:
            return [torch.zeros_like(p) for p in own]
        if known.kept is None:
            with torch.enable_grad():
                mu = self.module(*known.parents)
        else:
            _, mu = known.kept
        grads = torch.autograd.grad(mu, learns, v, retain_graph=True, allow_unused=True)
        found = {id(p): g for p, g in zip(learns, grads, strict=True) if g is not None}
        return [found.get(id(p), torch.zeros_like(p)) for p in own]


Map = FormulaMap | ModuleMap


def map_of(module: nn.Module) -> Map:
    """The quickest way to compute a layer."""
    parts = list(module) if type(module) is nn.Sequential else [module]
    if len(parts) == 1 and type(parts[0]) is nn.Linear:
        return FormulaMap(parts[0])
    if len(parts) == 2:
        one, other = parts
        if type(one) is nn.Linear and (after := activation_of(other)) is not None:
            return FormulaMap(one, after=after, kind=repr(other))
        if type(other) is nn.Linear and (before := activation_of(one)) is not None:
            return FormulaMap(other, before=before, kind=repr(one))
    return ModuleMap(module)
