"""On which networks was equilibrium propagation scaled up? VGGs that pool before they rectify."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import ClassVar

from torch import Tensor, nn

from core.catalogue import dial, entry
from core.network import Network, Node
from core.networks.activations import ACTIVATIONS
from core.networks.convolution import (
    POOLS_HELP,
    WIDTH_HELP,
    Bracket,
    Conv,
    Dense,
    check,
    joined,
    linear_map,
    shapes_behind,
    sized,
    stages,
)
from core.networks.layers import Gathered
from core.normalization import NONE

_VGG10 = (*stages([64], [128], [256] * 2, [512] * 2, [512] * 2), Dense(2048))

LAYOUTS: dict[str, tuple[Bracket, ...]] = {
    "VGG5": (Conv(128), *stages([256], [512], [512], [512])),
    "VGG10": _VGG10,
    "VGG10Skip": _VGG10,
}
"""All brackets but the last linear map."""

SKIPS: dict[str, dict[int, int]] = {"VGG10Skip": {5: 2, 8: 5}}
"""By layout: layers that read another state beside the one below, and which."""

BY_FAN_OUT = ("VGG10", "VGG10Skip")
"""Layouts whose convolutions begin with weights by their fan-out; all others go by fan-in."""


class WithSkip(nn.Module):
    """A convolution of the state below, plus a strided one of 1 x 1 of a state further down."""

    def __init__(self, below: nn.Conv2d, further: nn.Conv2d) -> None:
        """Take both."""
        super().__init__()
        self.below = below
        self.further = further

    def forward(self, h: Tensor, far: Tensor) -> Tensor:
        """The sum, (B, C, H, W); of an odd side the skip leaves out the last place, as pools do."""
        a = self.below(h)
        return a + self.further(far)[..., : a.shape[2], : a.shape[3]]


@entry(
    "network",
    "VGG for EP",
    formula=r"\mu_\ell = \phi(a_\ell),\quad a_\ell = P(W_\ell * h_{\ell-1} + "
    r"W^s_\ell * h_{\ell-3} + b_\ell),\quad \mu_L = W_L h_{L-1} + b_L,\quad "
    r"W_{ij} \sim \mathcal{U}(-c, c),\ c = g / \sqrt{\mathrm{fan}}",
    source="kerjan2026",
)
@dataclass(frozen=True)
class EquilibriumVGG:
    r"""Convolutions that are pooled first and rectified then, on which EP was scaled up.

    $\mu_\ell = \phi(a_\ell)$ with the pre-activation $a_\ell = P(W_\ell * h_{\ell-1} + b_\ell)$:
    convolutions of 3 x 3, and the maximum P of 2 x 2 places behind some. Modified projected sweeps
    read the pooled $a_\ell$. The layout published as VGG5 has L = 6 weight layers, not 5; VGG10
    and VGG10Skip have L = 10 and five pools. VGG10Skip adds $W^s_\ell * h_{\ell-3}$, a strided
    convolution of 1 x 1 without bias, in layers 5 and 8; here it stands before the pool. A skip
    over three layers joins an even one to an odd one, so even-odd sweeps stay what they are, and
    an error from the output is in layer 1 after 3 sweeps instead of 5.

    Weights begin uniform in $(-c, c)$, $c = g / \sqrt{\mathrm{fan}}$: the fan-out of VGG10's
    convolutions, elsewhere the fan-in. Biases begin as torch's own.

    Source: kerjan2026.
    """

    layout: str = dial("VGG5", choices=LAYOUTS, help="brackets; L is 6 of VGG5, 10 of the others")
    activation: str = dial("relu", choices=ACTIVATIONS, symbol="φ", help="of the hidden layers")
    width: float = dial(1 / 16, bounds=(1 / 512, 8.0), help=WIDTH_HELP, log=True)
    pools: int = dial(5, bounds=(0, 5), help=POOLS_HELP)
    gain: float = dial(
        1.0, bounds=(0.0, 100.0), symbol="g", help="of the first weights below the output"
    )
    output_gain: float = dial(
        1.0, bounds=(0.0, 100.0), symbol="g_L", help="of the output's first weights"
    )

    image_at: ClassVar[str] = "input"

    @property
    def layers(self) -> int:
        """L, weight layers."""
        return len(LAYOUTS[self.layout]) + 1

    def __call__(self, shape: tuple[int, ...], classes: int) -> Network:
        """The network for images of `shape` and so many classes."""
        layout = sized(LAYOUTS[self.layout], self.width, self.pools)
        check(layout, shape, self.layout)
        nodes = [Node(tuple(shape), name="0")]
        for k, one in enumerate((*layout, Dense(classes)), start=1):
            at = nodes[-1].shape
            parts: list[nn.Module] = linear_map(one, at, NONE)
            reads: tuple[int, ...] = (k - 1,)
            far = SKIPS.get(self.layout, {}).get(k)
            if far is not None and isinstance(one, Conv) and isinstance(parts[0], nn.Conv2d):
                skip = _skip(nodes[far].shape[0], one, layout[far : k - 1])
                parts, reads = [WithSkip(parts[0], skip)], (k - 1, far)
            self._draw(parts, last=k == self.layers)
            if k < self.layers:
                parts += self._behind(one)
            module = joined(parts) if len(reads) == 1 else Gathered(*parts)
            _, found = shapes_behind(one, at)
            nodes.append(Node(found, reads, module, depth=k, name=str(k)))
        return Network(nodes, image=0)

    def _behind(self, one: Bracket) -> list[nn.Module]:
        """The pool, if there is one, and the activation behind it."""
        pool = [nn.MaxPool2d(2)] if isinstance(one, Conv) and one.pool else []
        phi = [] if self.activation == "identity" else [ACTIVATIONS[self.activation]()]
        return [*pool, *phi]

    def _draw(self, parts: Sequence[nn.Module], *, last: bool) -> None:
        """First weights of all linear maps among the modules."""
        for one in (inner for part in parts for inner in part.modules()):
            if not isinstance(one, nn.Conv2d | nn.Linear):
                continue
            out = self.layout in BY_FAN_OUT and isinstance(one, nn.Conv2d)
            fan = one.weight[:, 0].numel() if out else one.weight[0].numel()
            c = (self.output_gain if last else self.gain) / sqrt(fan)
            nn.init.uniform_(one.weight, -c, c)


def _skip(wide: int, one: Conv, between: Sequence[Bracket]) -> nn.Conv2d:
    """A convolution of 1 x 1 whose stride is that of the brackets between, over `wide` channels."""
    stride = 1
    for other in between:
        if isinstance(other, Conv):
            stride *= other.stride * (2 if other.pool else 1)
    return nn.Conv2d(wide, one.channels, 1, stride=stride, bias=False)
