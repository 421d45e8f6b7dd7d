"""What is a residual network made of? Pre-activation blocks with a main path and a skip.

The input of a block is a sum, of the end of its main path and of the end of its skip, and no state
of its own: whatever reads it reads both.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

from torch import Tensor, nn

from core.catalogue import BadInput
from core.network import Network, Node
from core.networks.activations import ACTIVATIONS
from core.normalization import NONE, BatchNorm

RELAY, PUBLISHED, BARE = "relay", "published", "none"

SKIPS = (RELAY, PUBLISHED, BARE)
"""How a skip is made as long as its main path: by delays, by auxiliary neurons, or not at all."""


class Summed(nn.Module):
    """A module of the sum of all states that it reads."""

    def __init__(self, inner: nn.Module) -> None:
        """Take the module."""
        super().__init__()
        self.inner = inner

    def forward(self, *states: Tensor) -> Tensor:
        """The prediction, (B, *shape)."""
        first, *others = states
        return self.inner(sum(others, first))


@dataclass
class Trunk:
    """A residual network as it grows: the nodes so far, and the sum at their end.

    Args:
        shape: of an image, (C, H, W).
        activation: of the main paths.
        norm: one of `NORMS`, of the convolutions of 3 x 3 in blocks.
        skips: one of `SKIPS`.
        nodes: so far.
        reads: indices of the states whose sum the next block reads.
        depth: of the last state.
    """

    shape: tuple[int, ...]
    activation: str
    norm: str
    skips: str
    nodes: list[Node] = field(default_factory=list)
    reads: tuple[int, ...] = (0,)
    depth: int = 0

    def __post_init__(self) -> None:
        """Begin with the image."""
        self.nodes.append(Node(tuple(self.shape), name="0"))

    def stem(self, channels: int) -> None:
        """A convolution of 3 x 3 without bias, of the image as it is."""
        conv = nn.Conv2d(self.shape[0], channels, 3, padding=1, bias=False)
        self.depth = 1
        self.reads = (self._add(Node((channels, *self.shape[1:]), (0,), conv, 1, "1")),)

    def block(self, channels: int, stride: int) -> None:
        """Two convolutions of 3 x 3 on the main path, beside them the skip."""
        wide, rows, columns = self.nodes[self.reads[0]].shape
        shape = (channels, -(-rows // stride), -(-columns // stride))
        down = stride != 1 or wide != channels
        first, second = (self._conv(a, channels, s) for a, s in ((wide, stride), (channels, 1)))
        one, two = self.depth + 1, self.depth + 2
        main = self._add(Node(shape, self.reads, Summed(first), one, str(one)))
        skip = self._projected(shape, stride) if down else self._delayed(shape, self.reads, one)
        end = self._add(Node(shape, (main,), second, two, str(two)))
        self.reads = (end, *self._delayed(shape, skip, two))
        self.depth = two

    def head(self, classes: int) -> Network:
        """The network with a linear map of the mean of each channel to the classes behind it."""
        wide = self.nodes[self.reads[0]].shape[0]
        mean = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(wide, classes)]
        last = nn.Sequential(*self._phi(), *mean)
        depth = self.depth + 1
        self._add(Node((classes,), self.reads, Summed(last), depth, str(depth)))
        return Network(self.nodes, image=0)

    def _projected(self, shape: tuple[int, ...], stride: int) -> tuple[int, ...]:
        """A learned layer on the skip, where sizes change: a convolution of 1 x 1 without bias."""
        wide, depth = self.nodes[self.reads[0]].shape[0], self.depth + 1
        conv = nn.Conv2d(wide, shape[0], 1, stride=stride, bias=False)
        return (self._add(Node(shape, self.reads, Summed(conv), depth, f"{depth}s")),)

    def _delayed(
        self, shape: tuple[int, ...], reads: tuple[int, ...], depth: int
    ) -> tuple[int, ...]:
        """What a skip has one level on: the states to read."""
        if self.skips == BARE:
            return reads
        name = f"{depth}s"
        if self.skips == RELAY:
            return (self._add(Node(shape, reads, None, depth, name, relay=True)),)
        same = Summed(nn.Identity())
        return (self._add(Node(shape, reads, same, depth, name, auxiliary=True)),)

    def _conv(self, wide: int, channels: int, stride: int) -> nn.Sequential:
        """An activation, a convolution of 3 x 3 and the norm behind it."""
        conv = nn.Conv2d(wide, channels, 3, stride=stride, padding=1)
        normed = [] if self.norm == NONE else [BatchNorm(channels, self.norm)]
        return nn.Sequential(*self._phi(), conv, *normed)

    def _phi(self) -> list[nn.Module]:
        return [] if self.activation == "identity" else [ACTIVATIONS[self.activation]()]

    def _add(self, node: Node) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1


def residual(
    blocks: Sequence[int],
    shape: tuple[int, ...],
    classes: int,
    *,
    channels: Sequence[int],
    activation: str,
    norm: str,
    skips: str,
) -> Network:
    """Stages of residual blocks from the image to the classes; every later one halves the sides.

    Args:
        blocks: number of them in each stage.
        shape: of an image, (C, H, W).
        classes: number of classes.
        channels: of each stage; the stem has those of the first.
        activation: phi.
        norm: one of `NORMS`.
        skips: one of `SKIPS`.

    Raises:
        BadInput: for an image without pixels.
    """
    if not prod(shape):
        raise BadInput(f"network: images of the shape {tuple(shape)}; one pixel or more")
    trunk = Trunk(tuple(shape), activation, norm, skips)
    trunk.stem(channels[0])
    for stage, (count, wide) in enumerate(zip(blocks, channels, strict=True)):
        for k in range(count):
            trunk.block(wide, 2 if stage and not k else 1)
    return trunk.head(classes)
