"""What predicts what? A network of states with any directed graph of parents.

State 0 is the input side, state N the output side. A node with a module is a *layer*: its module
maps its parents' states to a prediction of its own state. A node without one is a *root*, or a
*relay*: it takes the sum of its parents over one step later, and hands what its readers pull with
down to them one step later. It has no energy and no weights.
"""

import itertools
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from core.energies.squared_error import SquaredError
from core.normalization import BATCH, BatchNorm, Moments, Statistics
from core.ranks import ALONE

if TYPE_CHECKING:
    from core.kinds import Energy

_versions = itertools.count(1)

States = list[Tensor]
"""h_0 ... h_N, each (B, *shape), in depth order."""


@dataclass(frozen=True)
class Node:
    """One state of the network.

    Args:
        shape: the state's shape without the batch.
        parents: indices of the states that its module reads or a relay sums; empty for a root.
        module: maps the parents' states to the prediction; None for a root and for a relay.
        depth: distance from the input side, read by precision schedules.
        name: as plots label it.
        energy: of this layer; takes (h, mu) and gives nats per sample.
        relay: whether it is a step of delay, of its parents' sum and of its readers' pull.
        auxiliary: whether its energy counts 1 / rate times, so that a step of plain descent takes
            its state to its prediction.
    """

    shape: tuple[int, ...]
    parents: tuple[int, ...] = ()
    module: nn.Module | None = None
    depth: int = 0
    name: str = ""
    energy: "Energy" = field(default_factory=SquaredError)
    relay: bool = False
    auxiliary: bool = False

    @property
    def size(self) -> int:
        """Number of units."""
        return int(torch.Size(self.shape).numel())


class Network(nn.Module):
    """Nodes in depth order, with any directed graph of parents.

    Raises:
        ValueError: when a layer has no parent, a root has one, a parent does not exist, or a relay
            has none, has a module, or differs from a parent in shape.
    """

    def __init__(self, nodes: Sequence[Node], image: int | None = None) -> None:
        """Take the nodes; `image` is the index of the state that can be looked at."""
        super().__init__()
        self.nodes = list(nodes)
        self.image = image
        self.version = 0
        self.ranks = ALONE  # whoever trains it together with others says so
        self._swept: list[weakref.ref[Tensor]] = []
        self._swept_by: tuple[int, ...] = ()
        for i, node in enumerate(self.nodes):
            self._check(i, node)
        maps = {i: node.module for i, node in enumerate(self.nodes) if node.module is not None}
        self.layers = list(maps)
        self.relays = [i for i, node in enumerate(self.nodes) if node.relay]
        self.roots = [i for i, node in enumerate(self.nodes) if not node.parents]
        self.auxiliary = any(node.auxiliary for node in self.nodes)
        self.maps = nn.ModuleDict({str(i): module for i, module in maps.items()})
        self._held = list(self.parameters())
        self.norms = [one for one in self.modules() if isinstance(one, BatchNorm)]
        self.statistics: Statistics | None = None
        self._order: list[int] = []
        self._ask: Callable[[int, Sequence[Tensor]], Tensor] = self.prediction

    def _check(self, i: int, node: Node) -> None:
        """Refuse a node that is neither layer nor relay nor root."""
        if node.relay and (node.module is not None or not node.parents):
            raise ValueError(f"node {i}: a relay has parents and no module")
        if not node.relay and (node.module is None) != (not node.parents):
            raise ValueError(f"node {i}: a layer has a module and parents, a root has neither")
        for p in node.parents:
            if not 0 <= p < len(self.nodes):
                raise ValueError(f"node {i}: parent {p}; nodes are 0..{len(self.nodes) - 1}")
            if node.relay and self.nodes[p].shape != node.shape:
                came = self.nodes[p].shape
                raise ValueError(f"node {i}: a relay of {node.shape} reads {came}; equal shapes")

    @property
    def top(self) -> int:
        """Index of the output state, N."""
        return len(self.nodes) - 1

    @property
    def deepest(self) -> int:
        """L, the largest depth index: products in sequence from the input to the output."""
        return max(self.nodes[i].depth for i in self.layers)

    @property
    def depth(self) -> Tensor:
        """Depth index of each layer, (L,)."""
        return torch.tensor([self.nodes[i].depth for i in self.layers])

    @property
    def example(self) -> Tensor:
        """A parameter, for its dtype and device."""
        return next(self.parameters())

    def prediction(self, layer: int, states: Sequence[Tensor]) -> Tensor:
        """The prediction mu of one node from its parents' states, (B, *shape)."""
        return self.maps[str(layer)](*[states[p] for p in self.nodes[layer].parents])

    def relayed(self, relay: int, states: Sequence[Tensor]) -> Tensor:
        """What a relay takes over from its parents, (B, *shape)."""
        first, *others = (states[p] for p in self.nodes[relay].parents)
        return sum(others, first)

    def at_rest(self, states: Sequence[Tensor]) -> States:
        """The states with every relay at what its parents have, as if they had long been there."""
        found = list(states)
        for i in self.relays:
            found[i] = self.relayed(i, found)
        return found

    def predictions(self, states: Sequence[Tensor]) -> list[Tensor]:
        """The prediction mu of every layer, each (B, *shape), from the states as they stand."""
        return [self.prediction(i, states) for i in self.layers]

    @property
    def weights(self) -> tuple[int, ...]:
        """Changes whenever a weight does, also where nobody calls `touch`, and with statistics."""
        normed = 0 if self.statistics is None else self.statistics.number
        return (self.version, normed, *[p._version for p in self._held])

    def touch(self) -> None:
        """Say that the weights have changed: they get a version that no others ever had."""
        self.version = next(_versions)
        self._held = list(self.parameters())

    def give_output_energy(self, energy: "Energy") -> None:
        """Let the output layer be judged by another energy."""
        self.nodes[-1] = replace(self.nodes[-1], energy=energy)

    @property
    def acyclic(self) -> bool:
        """Whether the graph has no cycle, so that it can be swept."""
        try:
            self.order()
        except ValueError:
            return False
        return True

    @property
    def classifies(self) -> bool:
        """Whether a plain forward pass of an image gives its class."""
        return self.image == 0 and self.acyclic

    def order(self) -> list[int]:
        """The layers and relays so that parents come first.

        Raises:
            ValueError: when the graph has a cycle; the cycle is named.
        """
        if self._order:
            return self._order
        done, open_, order = set(self.roots), sorted([*self.layers, *self.relays]), []
        while open_:
            ready = [i for i in open_ if all(p in done for p in self.nodes[i].parents)]
            if not ready:
                raise ValueError(
                    f"network: the states {self._cycle(open_)} predict each other in a cycle; "
                    "a feed-forward sweep needs an acyclic graph"
                )
            done.update(ready)
            order += ready
            open_ = [i for i in open_ if i not in done]
        self._order = order
        return order

    def sweep(self, roots: Mapping[int, Tensor]) -> States:
        """The feed-forward pass: every layer takes the value of its prediction.

        Args:
            roots: the value of each root, (B, *shape), by index.

        Raises:
            ValueError: when a root has no value, or the graph has a cycle; either is named.
        """
        for i in self.roots:
            if i not in roots:
                raise ValueError(
                    f"network: state {i} is a root and free; a feed-forward sweep needs it clamped"
                )
        states = cast(States, [roots.get(i) for i in range(len(self.nodes))])  # layers follow
        for i in self.order():
            states[i] = self._value(i, states, self._ask)
        self._swept = [weakref.ref(h) for h in states]
        self._swept_by = self.weights
        return states

    def _value(
        self,
        i: int,
        states: Sequence[Tensor],
        predict: Callable[[int, Sequence[Tensor]], Tensor],
    ) -> Tensor:
        """What a layer or a relay has in a feed-forward pass."""
        return self.relayed(i, states) if self.nodes[i].relay else predict(i, states)

    @contextmanager
    def asking(self, predict: Callable[[int, Sequence[Tensor]], Tensor]) -> Iterator[None]:
        """Sweep by another way to the same predictions, (layer, states) -> mu."""
        self._ask = predict
        try:
            yield
        finally:
            self._ask = self.prediction

    @property
    def mixes(self) -> bool:
        """Whether the prediction for a sample reads the others of its batch."""
        return any(one.how == BATCH for one in self.norms)

    def measured(self, roots: Mapping[int, Tensor]) -> Statistics | None:
        """Statistics for a relaxation: those of a forward pass of its batch.

        Args:
            roots: the value of each clamped root, (B, *shape), by index.

        Returns: none of any layer where a free root or a cycle rules the pass out; None where
            nothing normalises.
        """
        if not self.norms:
            return None
        if any(i not in roots for i in self.roots) or not self.acyclic:
            return Statistics()
        before = self.statistics
        self.normalise_by(Statistics())
        states = cast(States, [roots.get(i) for i in range(len(self.nodes))])
        with torch.no_grad():
            for one in self.norms:
                one.measures = self.ranks
            try:
                for i in self.order():
                    states[i] = self._value(i, states, self.prediction)
            finally:
                for one in self.norms:
                    one.measures = None
        found = Statistics(tuple(cast(Moments, one.given) for one in self.norms))
        self.normalise_by(before)
        return found

    def normalise_by(self, statistics: Statistics | None) -> None:
        """Put statistics in force; None for the running ones, as outside relaxations."""
        if statistics is self.statistics:
            return
        self.statistics = statistics
        moments = statistics.moments if statistics is not None else ()
        for k, one in enumerate(self.norms):
            one.given = moments[k] if moments else None
            one.relaxes = statistics is not None

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Predict by the running statistics for a while."""
        before = self.statistics
        self.normalise_by(None)
        try:
            yield
        finally:
            self.normalise_by(before)

    def follow(self, statistics: Statistics | None) -> None:
        """Let the running statistics follow a batch, once, as the weights did."""
        if statistics is None or not statistics.moments:
            return
        for one, moments in zip(self.norms, statistics.moments, strict=True):
            one.take(moments)
        self.touch()

    def has_swept(self, i: int, states: Sequence[Tensor]) -> bool:
        """Whether state i is the very tensor that the last sweep predicted from these parents."""
        if not self._swept or self._swept_by != self.weights:
            return False
        return all(self._swept[k]() is states[k] for k in (i, *self.nodes[i].parents))

    def _cycle(self, among: Sequence[int]) -> str:
        """A cycle among nodes that all have an unfinished parent, written as 1 -> 2 -> 1."""
        path = [among[0]]
        while True:
            path.append(next(p for p in self.nodes[path[-1]].parents if p in among))
            if path[-1] in path[:-1]:
                loop = path[path.index(path[-1]) :]
                return " -> ".join(str(i) for i in reversed(loop))


def chain(
    maps: Sequence[nn.Module],
    shapes: Sequence[tuple[int, ...]],
    *,
    names: Sequence[str] | None = None,
    image: int | None = None,
) -> Network:
    """A chain h_0 -> h_1 -> ... -> h_L: state l is predicted from state l - 1.

    Args:
        maps: f_1 ... f_L.
        shapes: of h_0 ... h_L, without the batch.
        names: of h_0 ... h_L; by default the layer's number.
        image: index of the state that can be looked at.
    """
    if len(shapes) != len(maps) + 1:
        raise ValueError(f"shapes: {len(shapes)} for {len(maps)} maps; one more than maps")
    names = names or [str(i) for i in range(len(shapes))]
    nodes = [Node(shapes[0], name=names[0])]
    for i, module in enumerate(maps, start=1):
        nodes.append(Node(shapes[i], (i - 1,), module, depth=i, name=names[i]))
    return Network(nodes, image)
