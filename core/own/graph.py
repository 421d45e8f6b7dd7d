"""Which state reads which? A graph of modules, each tried as it becomes part of a network."""

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from torch import Tensor, nn

from core.catalogue import BadInput
from core.network import Network, Node
from core.networks.layers import Gathered
from core.own.parts import (
    SAMPLES,
    asked,
    brackets,
    draw,
    joined,
    load,
    own_copy,
    reading,
    split,
    told,
    weighted,
)

INPUT = "input"
"""Name of state 0."""


@dataclass(frozen=True)
class Place:
    """One state: what it reads and what predicts it.

    Args:
        reads: names of the states before it.
        parts: modules one after the other, with the names that errors tell; none in a relay.
        name: of the state.
        pre: whether it stands before the activation, which then belongs to its readers.
        shape: of the state, where a state before it reads it; else None.
    """

    name: str
    reads: tuple[str, ...]
    parts: tuple[tuple[str, nn.Module], ...]
    pre: bool = False
    shape: tuple[int, ...] | None = None


class Graph(nn.ModuleDict):
    """Modules that read each other's states; the last one is the output.

    Graph({"a": ("input", nn.Conv2d(1, 8, 3)), "b": ("a", ...), "c": (("a", "b"), Add())}) has the
    states input, a, b and c. A module that reads several states takes as many arguments. None in
    the place of a module is a relay: the sum of what it reads, a step later up and down.

    A state may be read by itself or by a state listed before it, so that states predict each other
    in a cycle: `shapes` tells the shape that it has, {"b": (16,)}. Such a network has no
    feed-forward pass: what needs one is refused.
    """

    def __init__(
        self,
        nodes: Mapping[str, tuple[str | Sequence[str], nn.Module | None]],
        pre: Collection[str] = (),
        shapes: Mapping[str, Sequence[int]] = MappingProxyType({}),
    ) -> None:
        """Take the modules.

        Args:
            nodes: by name, in an order in which nobody reads what comes later, but for `shapes`.
            pre: names of the states that stand before their activation.
            shapes: of each state that one listed before it, or it itself, reads.

        Raises:
            BadInput: for a name that is not legal, not known, or comes later.
        """
        super().__init__()
        self.reads: dict[str, tuple[str, ...]] = {}
        self.pre = tuple(pre)
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        before = [INPUT]
        for name, (reads, module) in nodes.items():
            if not name.isidentifier() or name == INPUT:
                raise BadInput(
                    f"network: node {name!r}; a name of letters, digits and _, not input"
                )
            if hasattr(self, name):
                raise BadInput(f"network: node {name}; a name that torch's modules do not use")
            self.reads[name] = (reads,) if isinstance(reads, str) else tuple(reads)
            for one in self.reads[name]:
                if one not in before and not (one in nodes and one in self.shapes):
                    later = "is listed later" if one in nodes else "is not there"
                    raise BadInput(
                        f"network: node {name} reads {one}, which {later}; "
                        f"one of {', '.join(before)}"
                    )
            if not set(self.reads[name]) & set(before):
                came = "only what is listed later" if self.reads[name] else "nothing"
                raise BadInput(f"network: node {name} reads {came}; one of {', '.join(before)}")
            if module is not None:
                self[name] = module
            before.append(name)
        self._check_shapes()
        for name in self.pre:
            if name not in self:
                raise BadInput(f"network.pre: {name}; one of {', '.join(self)}")

    @property
    def back(self) -> list[str]:
        """The states that are read by themselves or before they are listed, in order."""
        names = list(self.reads)
        return [
            one
            for k, one in enumerate(names)
            if any(one in self.reads[reader] for reader in names[: k + 1])
        ]

    def _check_shapes(self) -> None:
        """Refuse shapes of states that nobody reads back, and states before their activation."""
        for name, shape in self.shapes.items():
            if name not in self.back:
                known = ", ".join(self.back) or "none"
                raise BadInput(f"network.shapes: {name}; a state that is read back: {known}")
            if not shape or not all(type(size) is int and size > 0 for size in shape):
                raise BadInput(f"network.shapes: {name} {shape}; sizes of 1 or more, as (16,)")
            if name in self.pre:
                raise BadInput(
                    f"network.pre: {name}; it is read before it is listed, so that its activation "
                    "belongs to it"
                )

    def places(self) -> list[Place]:
        """The states in order."""
        found = []
        for name, reads in self.reads.items():
            parts: tuple[tuple[str, nn.Module], ...] = ()
            if name in self:
                parts = flattened(name, self[name])
            found.append(Place(name, reads, parts, name in self.pre, self.shapes.get(name)))
        return found


Modules = nn.Module | Sequence[nn.Module]
"""An nn.Sequential, a list of modules with a state behind each, or a `Graph`."""


def flattened(name: str, module: nn.Module) -> tuple[tuple[str, nn.Module], ...]:
    """The modules of a Sequential, whose names come behind that of the whole; or the one module."""
    if type(module) is not nn.Sequential:
        return ((name, module),)
    found: list[tuple[str, nn.Module]] = []
    for key, one in module.named_children():
        found += flattened(f"{name}.{key}" if name else key, one)
    return tuple(found)


def whole(modules: Modules) -> nn.Module:
    """One module that holds them all, whose state dict has the names that users know."""
    if isinstance(modules, nn.Module):
        return modules
    return nn.ModuleList(modules)


def places(module: nn.Module, pre: Collection[str | int]) -> list[Place]:
    """The states of a chain or a graph in order.

    Args:
        module: what `whole` gave.
        pre: modules of a chain behind whose weights a state stands before the activation, by name
            or number.

    Raises:
        BadInput: for a chain without weights, or a name in `pre` that is none of its layers.
    """
    if isinstance(module, Graph):
        if pre:
            raise BadInput("network.pre: given beside a Graph; Graph(..., pre=...)")
        return module.places()
    if isinstance(module, nn.ModuleList):
        groups = [flattened(key, one) for key, one in module.named_children()]
    elif type(module) is nn.Sequential:
        groups = [
            tuple(part for name, one in group for part in flattened(name, one))
            for group in brackets(list(module.named_children()))
        ]
    else:
        groups = [(("0", module),)]
    if not any(weighted(one) for group in groups for _, one in group):
        raise BadInput("network: no module with weights; one at least")
    wanted, found, last = {str(one) for one in pre}, [], INPUT
    for k, group in enumerate(groups, start=1):
        names = {name for name, _ in group} | {group[0][0].partition(".")[0]}
        found.append(Place(str(k), (last,), tuple(group), bool(wanted & names)))
        wanted -= names
        last = str(k)
    if wanted:
        raise BadInput(f"network.pre: {sorted(wanted)[0]}; a module of the chain")
    return found


@dataclass
class _Growing:
    """A network as its places are put together.

    Args:
        title: of the network, for errors.
        nodes: so far.
        index: of each state, by name.
        tails: what a reader does first to a state that stands before its activation, by name.
        values: of a small batch as readers get them, by name.
    """

    title: str
    nodes: list[Node] = field(default_factory=list)
    index: dict[str, int] = field(default_factory=dict)
    tails: dict[str, nn.Module] = field(default_factory=dict)
    values: dict[str, Tensor] = field(default_factory=dict)

    def root(self, shape: tuple[int, ...], ordered: Sequence[Place]) -> None:
        """State 0, and the numbers of all others, with values of those that are read back."""
        self.values[INPUT] = _noise(shape)
        self.index = {INPUT: 0} | {one.name: k for k, one in enumerate(ordered, start=1)}
        self.values |= {one.name: _noise(one.shape) for one in ordered if one.shape is not None}
        self.nodes.append(Node(tuple(shape), name="0"))

    def put(self, place: Place, site: str) -> None:
        """One more state.

        Raises:
            BadInput: naming the module at which it fails.
        """
        parents = tuple(self.index[one] for one in place.reads)
        depth = 1 + max(self.nodes[p].depth for p in parents if p < len(self.nodes))
        given = [self.values[one] for one in place.reads]
        if not place.parts:
            self._relay(place, parents, given, depth)
            return
        pre = place.pre if site == "as given" else site == "pre" and place.shape is None
        cut = split(place.parts) if pre else len(place.parts)
        values = [asked(*place.parts[0], given, self.title)]
        for name, part in place.parts[1:]:
            values.append(asked(name, part, values[-1:], self.title))
        shape = tuple(values[cut - 1].shape[1:])
        if place.shape is not None and shape != place.shape:
            name, part = place.parts[-1]
            raise BadInput(
                f"network: {self.title}, module {told(name, part)} gives {place.name} the shape "
                f"{shape}; {place.shape}, as shapes tells"
            )
        modules = [part for _, part in place.parts]
        before = [self._tail(one) for one in place.reads]
        inner = joined(modules[:cut])
        if len(parents) > 1 and type(inner) is nn.Sequential:
            inner = Gathered(*inner)
        self.nodes.append(Node(shape, parents, reading(before, inner), depth, place.name))
        self.values[place.name] = values[-1]
        if cut < len(modules):
            self.tails[place.name] = joined(modules[cut:])

    def _relay(
        self, place: Place, parents: tuple[int, ...], given: Sequence[Tensor], depth: int
    ) -> None:
        """A step of delay."""
        shapes = {tuple(h.shape[1:]) for h in given}
        if len(shapes) > 1:
            raise BadInput(
                f"network: {self.title}, relay {place.name} reads {sorted(shapes)}; "
                "states of one shape"
            )
        tailed = [one for one in place.reads if one in self.tails]
        if tailed:
            raise BadInput(
                f"network: {self.title}, relay {place.name} reads {tailed[0]}, which "
                "stands before its activation; a state behind it"
            )
        if place.shape is not None or any(p >= len(self.nodes) for p in parents):
            raise BadInput(
                f"network: {self.title}, relay {place.name} is part of a cycle; states with "
                "modules of their own"
            )
        self.nodes.append(Node(shapes.pop(), parents, None, depth, place.name, relay=True))
        self.values[place.name] = sum(given[1:], given[0])

    def _tail(self, name: str) -> nn.Module | None:
        """What a reader does first; weights of an activation belong to all who read it."""
        tail = self.tails.get(name)
        learns = tail is not None and any(True for _ in tail.parameters())
        return tail if learns else copy.deepcopy(tail)


def _noise(shape: Sequence[int]) -> Tensor:
    """Values of a small batch of a state on which modules are tried."""
    like = torch.get_default_device()
    noise = None if like.type == "meta" else torch.Generator(like).manual_seed(0)
    return torch.randn(SAMPLES, *shape, generator=noise)


def built(
    module: nn.Module,
    title: str,
    bottom: tuple[int, ...],
    top: tuple[int, ...],
    *,
    pre: Collection[str | int],
    site: str,
    norm: str,
    weights: Mapping[str, Tensor] | None,
    keeps: bool,
    image: str,
) -> Network:
    """The network of a module.

    Args:
        module: what `whole` gave; it stays as it is.
        title: for errors.
        bottom: shape of state 0.
        top: shape that the output must have.
        pre: as `places` takes it.
        site: "as given", or "post" or "pre" for every hidden state.
        norm: what torch's BatchNorm becomes, "frozen" or "batch".
        weights: a state dict of the module; None for those that it draws or has.
        keeps: whether it keeps those that it has.
        image: "input" or "output".

    Raises:
        BadInput: naming the module at which it fails.
    """
    module = copy.deepcopy(module)
    if torch.get_default_device().type == "meta":
        module = module.to("meta")
    elif weights is not None:
        load(module, weights, title)
    elif not keeps:
        draw(module)
    module = own_copy(module, norm)
    growing = _Growing(title)
    ordered = places(module, pre)
    growing.root(bottom, ordered)
    for k, place in enumerate(ordered):
        growing.put(place, "post" if k == len(ordered) - 1 else site)
    last = ordered[-1]
    if growing.nodes[-1].shape != tuple(top):
        came = growing.nodes[-1].shape
        name, part = last.parts[-1] if last.parts else (last.name, nn.Identity())
        wants = "one for each class" if image == INPUT else "the shape of an image"
        raise BadInput(
            f"network: {title}, module {told(name, part)} gives the output {came}; {tuple(top)}, "
            f"{wants}"
        )
    if last.pre and site == "as given":
        raise BadInput(f"network: {title}, pre: {last.name} is the output; hidden states only")
    read = {one for place in ordered for one in place.reads}
    loose = [one.name for one in ordered[:-1] if one.name not in read]
    if loose:
        raise BadInput(f"network: {title}, node {loose[0]} is read by nobody; only the output is")
    return Network(growing.nodes, image=0 if image == INPUT else len(growing.nodes) - 1)
