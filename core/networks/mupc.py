"""A deep residual chain whose scale factors keep its states of size one at every depth."""

from dataclasses import dataclass
from math import prod, sqrt
from typing import ClassVar

from torch import nn

from core.catalogue import dial, entry
from core.network import Network, chain
from core.networks.activations import ACTIVATIONS
from core.networks.layers import ScaledLinear

SCALINGS = ("mupc", "ntp", "sp")


@entry(
    "network",
    "muPC residual classifier",
    formula=r"\mu_1 = a_1 W_1 h_0,\quad \mu_\ell = a W_\ell \phi(h_{\ell-1}) + h_{\ell-1},\quad "
    r"\mu_L = (a_L / \gamma) W_L \phi(h_{L-1}),\quad W_{ij} \sim \mathcal{N}(0, 1)",
    source="innocenti2025",
)
@dataclass(frozen=True)
class MuPC:
    r"""Image at the bottom, classes at the top; states are pre-activations, without biases.

    $\mu_1 = a_1 W_1 h_0$, $\mu_\ell = a W_\ell \phi(h_{\ell-1})$ for the hidden layers above, plus
    $h_{\ell-1}$ where there are skips, and $\mu_L = (a_L / \gamma) W_L \phi(h_{L-1})$. With width
    N, L weight layers and $d_0$ inputs: $a_1 = 1/\sqrt{d_0}$, $a = 1/\sqrt{N}$ without skips and
    $1/\sqrt{N L}$ with them, $a_L = 1/N$ (mupc) or $1/\sqrt{N}$ (ntp), and
    $W_{ij} \sim \mathcal{N}(0, 1)$. "sp" has factors of one and torch's own weights. Skips join
    hidden layers only. The weights are of size one and their gradients small: the weight learning
    rate is much larger than elsewhere (published with Adam: 0.1). The published state rate, 0.5,
    acts on the mean over a batch of 64; per sample, as here, that is 0.0078.

    Source: innocenti2025 (depth-muP of predictive coding networks, and its released library).
    """

    width: int = dial(64, bounds=(1, 65536), symbol="N", help="units of each hidden layer")
    depth: int = dial(10, bounds=(2, 1024), symbol="L", help="weight layers")
    activation: str = dial("relu", choices=ACTIVATIONS, symbol="φ", help="of the hidden states")
    skips: bool = dial(True, help="whether each hidden layer adds the one below it")
    scaling: str = dial("mupc", choices=SCALINGS, help="the factors a and the first weights")
    gamma: float = dial(
        1.0, bounds=(1e-4, 1e4), symbol="γ", help="divides the output's factor", log=True
    )

    image_at: ClassVar[str] = "input"

    @property
    def layers(self) -> int:
        """L, weight layers."""
        return self.depth

    def scales(self, inputs: int) -> list[float]:
        """The factor of each layer, a_1 ... a_L, for so many inputs; the last with its 1/gamma."""
        N, L = self.width, self.depth
        first, inner, last = 1.0, 1.0, 1.0
        if self.scaling != "sp":
            first = 1 / sqrt(inputs)
            inner = 1 / sqrt(N * L) if self.skips else 1 / sqrt(N)
            last = 1 / N if self.scaling == "mupc" else 1 / sqrt(N)
        return [first, *[inner] * (L - 2), last / self.gamma]

    def __call__(self, shape: tuple[int, ...], classes: int) -> Network:
        """The network for images of `shape` and so many classes."""
        sizes = [prod(shape), *[self.width] * (self.depth - 1), classes]
        maps = []
        for i, scale in enumerate(self.scales(sizes[0])):
            inner = 0 < i < self.depth - 1
            one = ScaledLinear(
                sizes[i],
                sizes[i + 1],
                scale=scale,
                bias=False,
                before=ACTIVATIONS[self.activation]() if i else None,
                skip=self.skips and inner,
            )
            if self.scaling != "sp":
                nn.init.normal_(one.linear.weight)
            maps.append(one)
        return chain(maps, [(n,) for n in sizes], image=0)
