"""Residual networks, in which the error has two ways down of different length."""

from dataclasses import dataclass
from typing import ClassVar

from core.catalogue import dial, entry
from core.network import Network
from core.networks.activations import ACTIVATIONS
from core.networks.convolution import WIDTH_HELP
from core.networks.residual import RELAY, SKIPS, residual
from core.normalization import FROZEN, NORM_HELP, NORMS

BLOCKS = {"ResNet10": (1, 1, 1, 1), "ResNet18": (2, 2, 2, 2)}
"""Blocks of each stage."""

CHANNELS = (64, 128, 256, 512)


@entry(
    "network",
    "ResNet classifier",
    formula=r"\mu_{a_1} = W_1 * \phi(s),\ \mu_{a_2} = W_2 * \phi(h_{a_1}),\ "
    r"s' = h_{a_2} + \mathrm{skip}(s)",
    source="qi2026",
)
@dataclass(frozen=True)
class ResNet:
    r"""Blocks of two convolutions beside a skip; states are pre-activations.

    A block reads s, which is a sum and no state: $\mu_{a_1} = N(W_1 * \phi(s))$ and
    $\mu_{a_2} = N(W_2 * \phi(h_{a_1}))$ on the main path, and $s' = h_{a_2} + \mathrm{skip}(s)$.
    Where a stage begins with half the side and twice the channels, the skip has a layer of its own,
    a 1 x 1 convolution, called 4s, 6s and so on by its level. The stem is a convolution of the
    image, the last layer linear in the mean of each channel; L = 10 and 18. BatchNorm N, if there
    is one, as in the VGGs.

    What pulls at s' reaches s through the skip at once, through the main path two steps later.
    Auxiliary neurons make the skip as long as the main path. *relay*: a delay of one step up and
    down on each level, without energy or weights; the equilibria are those without it. *published*:
    states b with $\mu_b = s$ and an energy weighted by $1/\alpha$; under a resting precision much
    above one half they diverge at every rate, since $\alpha$ times the Hessian of two of them has
    the eigenvalue 3 > 2, so they are refused there. *none*: neither. Either kind hands an error on
    whole, where a state hands on its displacement, the rate times what pulls: under a spiking
    precision a path counts by the states on it, and a skip outweighs its main path by $1/\alpha^2$.

    Source: qi2026 (released code); relays: this project.
    """

    layout: str = dial("ResNet10", choices=BLOCKS, help="blocks in each of the four stages")
    activation: str = dial("gelu", choices=ACTIVATIONS, symbol="φ", help="of the main paths")
    width: float = dial(1 / 16, bounds=(1 / 512, 8.0), help=WIDTH_HELP, log=True)
    batch_norm: str = dial(FROZEN, choices=NORMS, symbol="N", help=NORM_HELP)
    skips: str = dial(RELAY, choices=SKIPS, help="what makes a skip as long as the main path")

    image_at: ClassVar[str] = "input"

    @property
    def layers(self) -> int:
        """L, weight layers of the main path."""
        return 2 * sum(BLOCKS[self.layout]) + 2

    def __call__(self, shape: tuple[int, ...], classes: int) -> Network:
        """The network for images of `shape` and so many classes."""
        return residual(
            BLOCKS[self.layout],
            shape,
            classes,
            channels=[max(1, round(c * self.width)) for c in CHANNELS],
            activation=self.activation,
            norm=self.batch_norm,
            skips=self.skips,
        )
