"""A chain of linear maps from the image to the classes."""

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from core.catalogue import dial, entry
from core.network import Network, chain
from core.networks.activations import ACTIVATIONS
from core.networks.layers import POST, SITE_HELP, SITES, chain_maps


@entry(
    "network",
    "MLP classifier",
    formula=r"\mu_\ell = \phi(W_\ell h_{\ell-1} + b_\ell),\quad \mu_L = W_L h_{L-1} + b_L;"
    r"\quad \text{pre: } \mu_1 = W_1 h_0 + b_1,\ \mu_\ell = W_\ell \phi(h_{\ell-1}) + b_\ell",
    source="pinchetti2026",
)
@dataclass(frozen=True)
class MLP:
    r"""Image at the bottom, classes at the top; the output is linear.

    $\mu_\ell = \phi(W_\ell h_{\ell-1} + b_\ell)$ for hidden layers and $\mu_L = W_L h_{L-1} + b_L$.
    The number of weight layers L is one more than the number of hidden widths. At the site "pre"
    hidden states are pre-activations: $\mu_1 = W_1 h_0 + b_1$, then
    $\mu_\ell = W_\ell \phi(h_{\ell-1}) + b_\ell$. The forward pass is the same function; energy,
    equilibrium and weight updates differ, so results of the two sites are not comparable.

    Source: pinchetti2026 (MLP-5: hidden 512, 512, 512, 512).
    """

    hidden: tuple[int, ...] = dial((64,) * 9, bounds=(1, 65536), help="widths of the hidden layers")
    activation: str = dial("tanh", choices=ACTIVATIONS, symbol="φ", help="of the hidden layers")
    bias: bool = dial(True, help="whether the linear maps have a bias")
    site: str = dial(POST, choices=SITES, help=SITE_HELP)

    image_at: ClassVar[str] = "input"

    @property
    def layers(self) -> int:
        """L, weight layers."""
        return len(self.hidden) + 1

    def __call__(self, shape: tuple[int, ...], classes: int) -> Network:
        """The network for images of `shape` and so many classes."""
        sizes = [prod(shape), *self.hidden, classes]
        maps = chain_maps(sizes, self.activation, bias=self.bias, site=self.site)
        return chain(maps, [(n,) for n in sizes], image=0)
