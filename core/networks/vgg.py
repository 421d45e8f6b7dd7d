"""Chains of 3 x 3 convolutions, the VGGs on which claims about depth are made."""

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
    stages,
)
from core.networks.layers import POST, SITE_HELP, SITES
from core.normalization import FROZEN, NORM_HELP, NORMS

LAYOUTS: dict[str, tuple[Bracket, ...]] = {
    "VGG5": stages([128], [256], [512], [512]),
    "VGG7": (
        *stages([128], [128, 256]),
        Conv(256, padding=0),
        Conv(512, pool=True),
        Conv(512, padding=0),
    ),
    "VGG9": stages([64], [128, 128], [256, 256], [512, 512], last=[512]),
    "VGG10": stages([64, 128, 128], [128, 256], [256, 256], [256, 512]),
    "VGG11": stages([64, 128, 128], [128, 256], [256, 256], [256, 512], last=[512]),
    "VGG13": stages([128] * 3, [128, 256], [256, 256], [256, 512], [512, 512], last=[512]),
    "VGG15": (*stages([64] * 2, [128] * 2, [256] * 3, [512] * 3, [512] * 3), Dense(4096)),
    "VGG19": stages([64] * 2, [128] * 2, [256] * 4, [512] * 4, [512] * 4),
}
"""All brackets but the last linear map."""


@entry(
    "network",
    "VGG classifier",
    formula=r"\mu_\ell = P(\phi(N(W_\ell * h_{\ell-1} + b_\ell))),\quad "
    r"\mu_L = W_L h_{L-1} + b_L",
    source="pinchetti2025",
)
@dataclass(frozen=True)
class VGG:
    r"""Convolutions from the image to the classes, one state behind each with its pool.

    $\mu_\ell = P(\phi(N(W_\ell * h_{\ell-1} + b_\ell)))$ with convolutions of 3 x 3, BatchNorm N if
    there is one, and the maximum P of 2 x 2 places behind some layers; $\mu_L$ is linear. The
    number in a layout's name is L, its weight layers: VGG5 has L = 5, VGG7 7, VGG9 9, VGG10 10,
    VGG11 11, VGG13 13, VGG15 15; but the layout that is published as VGG19 has L = 17, not 19, and
    that is what it has here. VGG5, 9, 10 and 11 have 4 pools, VGG7 has 3, the others 5. At the site
    "pre" states are pre-activations, $\mu_\ell = N(W_\ell * P(\phi(h_{\ell-1})) + b_\ell)$.

    With BatchNorm *frozen*, mean and variance are those of a forward pass of the batch, made as
    the relaxation begins, whatever the init: samples are independent and gradients local. With
    *batch* they are those of the states as they stand, and the force on a sample reads the others.
    Where the image is free there is no forward pass, and frozen ones are the running statistics.
    These follow the forward pass once a batch, when the weights are updated; accuracy reads them.
    qi2026 freezes, and so does the default; pinchetti2025 has no BatchNorm.

    Source: pinchetti2025 (VGG5, VGG7: benchmark code); qi2026 (the others and BatchNorm: released
    code).
    """

    layout: str = dial("VGG5", choices=LAYOUTS, help="brackets; L is the number, but VGG19 has 17")
    activation: str = dial("gelu", choices=ACTIVATIONS, symbol="φ", help="of the hidden layers")
    width: float = dial(1 / 16, bounds=(1 / 512, 8.0), help=WIDTH_HELP, log=True)
    pools: int = dial(5, bounds=(0, 5), help=POOLS_HELP)
    batch_norm: str = dial(FROZEN, choices=NORMS, symbol="N", help=NORM_HELP)
    site: str = dial(POST, choices=SITES, help=SITE_HELP)

    image_at: ClassVar[str] = "input"

    @property
    def layers(self) -> int:
        """L, weight layers."""
        return len(LAYOUTS[self.layout]) + 1

    def __call__(self, shape: tuple[int, ...], classes: int) -> Network:
        """The network for images of `shape` and so many classes."""
        return classifier(
            sized(LAYOUTS[self.layout], self.width, self.pools),
            shape,
            classes,
            activation=self.activation,
            norm=self.batch_norm,
            site=self.site,
            name=self.layout,
        )
