"""AlexNet as it is used on images of 32 x 32: five convolutions and three dense layers."""

from dataclasses import dataclass
from typing import ClassVar

from core.catalogue import dial, entry
from core.network import Network
from core.networks.activations import ACTIVATIONS
from core.networks.convolution import (
    POOLS_HELP,
    WIDTH_HELP,
    Bracket,
    Conv,
    Dense,
    classifier,
    sized,
)
from core.networks.layers import POST, SITE_HELP, SITES
from core.normalization import NONE, NORM_HELP, NORMS

LAYOUT: tuple[Bracket, ...] = (
    Conv(64, pool=True, stride=2),
    Conv(192, pool=True),
    Conv(384),
    Conv(256),
    Conv(256, pool=True),
    Dense(4096),
    Dense(4096),
)
"""All brackets but the last linear map."""


@entry(
    "network",
    "AlexNet classifier",
    formula=r"\mu_\ell = P(\phi(N(W_\ell * h_{\ell-1} + b_\ell))),\quad "
    r"\mu_7 = \phi(W_7 h_6 + b_7),\quad \mu_8 = W_8 h_7 + b_8",
    source="pinchetti2025",
)
@dataclass(frozen=True)
class AlexNet:
    r"""Five convolutions and three dense layers for images of 32 x 32, L = 8.

    $\mu_\ell = P(\phi(N(W_\ell * h_{\ell-1} + b_\ell)))$ for $\ell \le 5$, with convolutions of
    3 x 3, the first of stride 2, and the maximum P of 2 x 2 places behind layers 1, 2 and 5; then
    two dense layers of 4096 units with $\phi$, and a linear one. Sites, BatchNorm and pools are as
    in VGG.

    Source: pinchetti2025 (tutorial 4 of its library; the network that pinchetti2026 relaxes).
    """

    activation: str = dial("gelu", choices=ACTIVATIONS, symbol="φ", help="of the hidden layers")
    width: float = dial(1 / 8, bounds=(1 / 512, 8.0), help=WIDTH_HELP, log=True)
    pools: int = dial(3, bounds=(0, 3), help=POOLS_HELP)
    batch_norm: str = dial(NONE, choices=NORMS, symbol="N", help=NORM_HELP)
    site: str = dial(POST, choices=SITES, help=SITE_HELP)

    image_at: ClassVar[str] = "input"

    @property
    def layers(self) -> int:
        """L, weight layers."""
        return len(LAYOUT) + 1

    def __call__(self, shape: tuple[int, ...], classes: int) -> Network:
        """The network for images of `shape` and so many classes."""
        return classifier(
            sized(LAYOUT, self.width, self.pools),
            shape,
            classes,
            activation=self.activation,
            norm=self.batch_norm,
            site=self.site,
            name="AlexNet",
        )
