"""What are rows about? Names, depths and sizes of layers and states, without the network itself."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from core.network import Network


@dataclass(frozen=True)
class Layout:
    """All that a row needs to be read, in depth order.

    Args:
        layers: for each layer the number of the state that it predicts, (L,).
        names: of all states, (N,).
        depths: of the layers, (L,).
        sizes: units of all states, (N,); 0 where they are not known.
        quadratic: for each layer whether its energy is half a squared error, (L,).
        eps: of the dtype that rounds.
        pixel_shape: (C, H, W) of its images, empty where there are none.
    """

    layers: tuple[int, ...]
    names: tuple[str, ...]
    depths: tuple[int, ...]
    sizes: tuple[int, ...]
    quadratic: tuple[bool, ...]
    eps: float
    pixel_shape: tuple[int, ...] = ()

    @classmethod
    def of(cls, network: Network, pixel_shape: tuple[int, ...] = ()) -> "Layout":
        """That of a network, with the shape of the images that it is shown."""
        nodes, layers = network.nodes, tuple(network.layers)
        dtype = np.dtype(str(network.example.dtype).removeprefix("torch."))
        return cls(
            layers=layers,
            names=tuple(node.name for node in nodes),
            depths=tuple(nodes[i].depth for i in layers),
            sizes=tuple(node.size for node in nodes),
            quadratic=tuple(bool(nodes[i].energy.quadratic) for i in layers),
            eps=float(np.finfo(dtype).eps),
            pixel_shape=tuple(pixel_shape),
        )

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Units of the layers, (L,); 0 where they are not known."""
        return tuple(self.sizes[i] for i in self.layers)

    def shaped(self, pixel_shape: tuple[int, ...]) -> "Layout":
        """The same with images of this shape."""
        return replace(self, pixel_shape=tuple(pixel_shape))

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Layout":
        """The layout that `to_dict` wrote.

        Raises:
            KeyError, TypeError: for anything else.
        """
        held: dict[str, Any] = {}
        for one in fields(cls):
            value = data[one.name]
            held[one.name] = tuple(value) if isinstance(value, list) else value
        return cls(**held)
