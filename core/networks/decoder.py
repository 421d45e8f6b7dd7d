"""A chain of linear maps from a latent state to the image."""

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from core.catalogue import dial, entry
from core.network import Network, chain
from core.networks.activations import ACTIVATIONS
from core.networks.layers import POST, SITE_HELP, SITES, chain_maps


@entry(
    "network",
    "MLP decoder",
    formula=r"\mu_\ell = \phi(W_\ell h_{\ell-1} + b_\ell),\quad \mu_L = W_L h_{L-1} + b_L;"
    r"\quad \text{pre: } \mu_1 = W_1 h_0 + b_1,\ \mu_\ell = W_\ell \phi(h_{\ell-1}) + b_\ell",
    source="pinchetti2026",
)
@dataclass(frozen=True)
class Decoder:
    r"""A latent state at the bottom, the image at the top; the output is linear.

    $\mu_\ell = \phi(W_\ell h_{\ell-1} + b_\ell)$ for hidden layers and $\mu_L = W_L h_{L-1} + b_L$.
    At the site "pre" hidden states are pre-activations: $\mu_1 = W_1 h_0 + b_1$, then
    $\mu_\ell = W_\ell \phi(h_{\ell-1}) + b_\ell$; the same function of $h_0$, another energy.

    Source: pinchetti2026 (64-256-256-256-784).
    """

    latent: int = dial(64, bounds=(1, 65536), help="width of the latent state h_0")
    hidden: tuple[int, ...] = dial(
        (256,) * 3, bounds=(1, 65536), help="widths of the hidden layers"
    )
    activation: str = dial("tanh", choices=ACTIVATIONS, symbol="φ", help="of the hidden layers")
    bias: bool = dial(True, help="whether the linear maps have a bias")
    site: str = dial(POST, choices=SITES, help=SITE_HELP)

    image_at: ClassVar[str] = "output"

    @property
    def layers(self) -> int:
        """L, weight layers."""
        return len(self.hidden) + 1

    def __call__(self, shape: tuple[int, ...], classes: int) -> Network:
        """The network for images of `shape`."""
        sizes = [self.latent, *self.hidden, prod(shape)]
        maps = chain_maps(sizes, self.activation, bias=self.bias, site=self.site)
        return chain(maps, [(n,) for n in sizes], image=len(sizes) - 1)
