"""What is one layer made of? Linear maps, activations, scale factors and skips, and how to ask.

The linear map of a layer stays findable: `linear_part` gives a layer's matrix where it is linear in
its input, `pre_activation` gives the layer without its last activation.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from core.networks.activations import ACTIVATIONS

POST, PRE = "post", "pre"

SITES = (POST, PRE)
"""Whether a hidden state stands after the activation, phi(W h + b), or before it, W phi(h) + b."""

SITE_HELP = "whether a hidden state is after the activation, φ(Wh + b), or before it, Wφ(h) + b"

_MONOTONE = (
    *(nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Hardtanh, nn.ELU, nn.CELU, nn.SELU),
    *(nn.Sigmoid, nn.LogSigmoid, nn.Softplus, nn.Hardsigmoid, nn.Softsign),
)
_ELEMENTWISE = (*_MONOTONE, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish)
_RESHAPING = (nn.Identity, nn.Flatten, nn.Unflatten)
_MAXIMUM = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)


class LinearPart(NamedTuple):
    """mu = scale * (W h + b) + h, the last term where there is a skip.

    Args:
        weight: W, (out, in), the parameter itself.
        bias: b, (out,), the parameter itself, or None.
        scale: factor of the map.
        skip: whether the input is added.
    """

    weight: Tensor
    bias: Tensor | None
    scale: float
    skip: bool

    @property
    def matrix(self) -> Tensor:
        """All that multiplies h, (out, in), detached."""
        found = self.scale * self.weight.detach()
        return found + torch.eye(len(found)).to(found) if self.skip else found

    @property
    def offset(self) -> Tensor:
        """All that is added, (out,), detached."""
        if self.bias is None:
            return self.weight.new_zeros(len(self.weight))
        return self.scale * self.bias.detach()


class ScaledLinear(nn.Module):
    """mu = scale * (W phi(h) + b) + h, the last term where there is a skip.

    An activation after it is a further module of a Sequential.
    """

    def __init__(
        self,
        wide: int,
        out: int,
        *,
        scale: float = 1.0,
        bias: bool = True,
        before: nn.Module | None = None,
        skip: bool = False,
    ) -> None:
        """Draw the weights as torch does.

        Args:
            wide: number of inputs.
            out: number of outputs.
            scale: factor of the map.
            bias: whether it has one.
            before: phi, applied to the input; None for none.
            skip: whether the input is added to the output.

        Raises:
            ValueError: when a skip joins states of different sizes.
        """
        super().__init__()
        if skip and wide != out:
            raise ValueError(f"skip: from {wide} to {out} units; an identity skip needs equal ones")
        self.before = before or nn.Identity()
        self.linear = nn.Linear(wide, out, bias=bias)
        self.scale = scale
        self.skip = skip

    def forward(self, h: Tensor) -> Tensor:
        """The prediction, (B, out)."""
        mu = self.scale * self.linear(self.before(h))
        return mu + h if self.skip else mu

    def extra_repr(self) -> str:
        """The scale and the skip, beside the modules."""
        return f"scale={self.scale:g}, skip={self.skip}"


class Gathered(nn.Sequential):
    """Modules one after the other, of which the first takes several states."""

    def forward(self, input: Tensor, *further: Tensor) -> Tensor:
        """The prediction, (B, *shape)."""
        first, *rest = self
        found = first(input, *further)
        for one in rest:
            found = one(found)
        return found


def layer(
    wide: int, out: int, activation: str = "identity", *, bias: bool = True, site: str = POST
) -> nn.Module:
    """A linear map with an activation after it (site "post") or before it ("pre")."""
    linear = nn.Linear(wide, out, bias=bias)
    if activation == "identity":
        return linear
    phi = ACTIVATIONS[activation]()
    return nn.Sequential(phi, linear) if site == PRE else nn.Sequential(linear, phi)


def chain_maps(sizes: list[int], activation: str, *, bias: bool, site: str) -> list[nn.Module]:
    """The maps of a chain; the input is read as it is and the output is linear, at either site.

    The two sites compute the same function of the input: the activations lie between the same
    linear maps. They differ in which numbers are states, and so in energy and equilibrium.

    Args:
        sizes: widths of h_0 ... h_L.
        activation: of the hidden layers.
        bias: whether the linear maps have one.
        site: "post" or "pre".
    """
    bare, phi = ["identity"], [activation] * (len(sizes) - 2)
    kinds = bare + phi if site == PRE else phi + bare
    return [
        layer(sizes[i], sizes[i + 1], kind, bias=bias, site=site) for i, kind in enumerate(kinds)
    ]


def linear_part(module: nn.Module) -> LinearPart | None:
    """The matrix and offset of a module that is affine in its input, or None where it is not.

    Reshapings count as linear: the matrix maps the flattened input to the flattened output. A
    convolution has no matrix of its own here: None.
    """
    if isinstance(module, nn.Linear):
        return LinearPart(module.weight, module.bias, 1.0, False)
    if isinstance(module, ScaledLinear) and isinstance(module.before, nn.Identity):
        return LinearPart(module.linear.weight, module.linear.bias, module.scale, module.skip)
    if isinstance(module, nn.Sequential):
        inner = [one for one in module if not isinstance(one, _RESHAPING)]
        return linear_part(inner[0]) if len(inner) == 1 else None
    return None


def pre_activation(module: nn.Module) -> nn.Module | None:
    """The module without its last activation, sharing its weights, or None if it ends in none.

    It gives a with phi(a) = f, phi being that activation. Behind the activation there may be
    reshapings, and max pooling if the activation is monotone: those commute with it.
    """
    if not isinstance(module, nn.Sequential):
        return None
    parts = list(module)
    pooled = False
    for i in reversed(range(len(parts))):
        if isinstance(parts[i], _ELEMENTWISE):
            if pooled and not isinstance(parts[i], _MONOTONE):
                return None
            kind = Gathered if isinstance(module, Gathered) else nn.Sequential
            return kind(*parts[:i], *parts[i + 1 :])
        pooled = pooled or isinstance(parts[i], _MAXIMUM)
        if not isinstance(parts[i], (*_RESHAPING, *_MAXIMUM)):
            return None
    return None
