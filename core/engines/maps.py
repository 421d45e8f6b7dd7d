"""How does one layer predict, and how does it hand an error down? By formula where it is known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

aten = torch.ops.aten

Pull = Callable[[Tensor, Tensor], Tensor]
"""(v, a) -> v * phi'(a), elementwise."""


@dataclass(frozen=True)
class Activation:
    """An elementwise function and its derivative.

    Args:
        forward: phi.
        pull: (v, kept) -> v * phi'; `kept` is phi's value where `by_value`, else its argument.
        by_value: whether the derivative follows from the value.
    """

    forward: Callable[[Tensor], Tensor]
    pull: Pull
    by_value: bool = False


def activation_of(module: nn.Module) -> Activation | None:
    """The formula of one of torch's activation modules, or None where it is not known here."""
    if type(module) is nn.Tanh:
        return Activation(torch.tanh, aten.tanh_backward, by_value=True)
    if type(module) is nn.ReLU:
        return Activation(torch.relu, lambda v, mu: aten.threshold_backward(v, mu, 0), True)
    if type(module) is nn.GELU:
        how = module.approximate
        return Activation(module.forward, lambda v, a: aten.gelu_backward(v, a, approximate=how))
    if type(module) is nn.LeakyReLU:
        slope = module.negative_slope
        return Activation(module.forward, lambda v, a: aten.leaky_relu_backward(v, a, slope, False))
    if type(module) is nn.ELU:
        alpha = module.alpha
        return Activation(module.forward, lambda v, a: aten.elu_backward(v, alpha, 1, 1, False, a))
    if type(module) is nn.Hardtanh:
        low, high = module.min_val, module.max_val
        return Activation(module.forward, lambda v, a: aten.hardtanh_backward(v, a, low, high))
    return None


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
        self, linear: nn.Linear, after: Activation | None, before: Activation | None
    ) -> None:
        """Take the parts of mu = after(W before(h) + b)."""
        self.linear, self.after, self.before = linear, after, before

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


Map = FormulaMap | ModuleMap


def map_of(module: nn.Module) -> Map:
    """The quickest way to compute a layer."""
    parts = list(module) if type(module) is nn.Sequential else [module]
    if len(parts) == 1 and type(parts[0]) is nn.Linear:
        return FormulaMap(parts[0], None, None)
    if len(parts) == 2:
        one, other = parts
        if type(one) is nn.Linear and (after := activation_of(other)) is not None:
            return FormulaMap(one, after, None)
        if type(other) is nn.Linear and (before := activation_of(one)) is not None:
            return FormulaMap(other, None, before)
    return ModuleMap(module)
