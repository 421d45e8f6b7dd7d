"""Where do the states of a network stand in a drawing? One row each, wires in lanes beside them.

Rows go up in the order of the states, as in the map of energies: the input at the bottom. The
longest way down from the output stands in lane 0, other states in lanes to its right. A wire to a
state further up keeps clear of the states between: it changes lanes where it can, else it has a
lane of its own. Wires that go back, of networks with cycles, have lanes to the left.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from core.network import Network
from workbench.network_words import words

Point = tuple[float, float]
"""Lane and row."""

NODE = 0.3
"""Radius of a state, in rows, that wires of others stay out of."""

BEND = 9
"""Points of a wire that changes lanes."""

TURN = 0.15
"""Rows above and below its middle where a state that reads itself is left and entered."""

IMAGE, OUTPUT, RELAY, AUXILIARY = "image", "output", "relay", "auxiliary"


@dataclass(frozen=True)
class State:
    """One state of a network.

    Args:
        index: in the network, and its row.
        name: as plots call it.
        shape: without the batch.
        layer: its number among the layers from 1 on; 0 for a root and a relay.
        lane: in which it stands.
        roles: what is to be known of it, of the names above.
        words: what predicts it.
        parameters: of its module.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    layer: int
    lane: int
    roles: tuple[str, ...]
    words: str
    parameters: int

    @property
    def size(self) -> str:
        """Its shape in words."""
        text = " × ".join(f"{n}" for n in self.shape)
        return text if len(self.shape) > 1 else f"{text} units"


@dataclass(frozen=True)
class Wire:
    """What a state's prediction reads, or a relay hands on.

    Args:
        parent: index of the state that is read.
        child: index of the one that reads.
        path: points from the one to the other.
    """

    parent: int
    child: int
    path: tuple[Point, ...]

    @property
    def back(self) -> bool:
        """Whether it closes a cycle: it goes down, or back to the same state."""
        return self.parent >= self.child


@dataclass(frozen=True)
class Drawing:
    """All states and wires.

    Args:
        states: from the bottom up.
        wires: one for each parent of each state.
        parameters: of the whole network, each counted once.
    """

    states: tuple[State, ...]
    wires: tuple[Wire, ...]
    parameters: int

    @property
    def lanes(self) -> tuple[int, int]:
        """The first and the last lane."""
        across = [round(x) for wire in self.wires for x, _ in wire.path]
        across += [one.lane for one in self.states]
        return min(across), max(across)

    @property
    def sentence(self) -> str:
        """How large it is, in one line."""
        layers = sum(one.layer > 0 for one in self.states)
        relays = sum(RELAY in one.roles for one in self.states)
        back = sum(wire.back for wire in self.wires)
        further = [f"{relays} relays"] if relays else []
        further += [f"{back} read back"] if back else []
        found = [f"{len(self.states)} states", f"{layers} layers", *further]
        return f"{', '.join(found)}, {self.parameters:,} parameters"


def drawing(network: Network) -> Drawing:
    """Where everything stands."""
    main = _main(network)
    lanes = _lanes(network, main)
    numbers = {i: k for k, i in enumerate(network.layers, start=1)}
    states = []
    for i, node in enumerate(network.nodes):
        module = node.module
        told = "hands on what it reads a step later" if node.relay else ""
        states.append(
            State(
                i,
                node.name or str(i),
                tuple(node.shape),
                numbers.get(i, 0),
                lanes[i],
                tuple(_roles(network, i)),
                told if module is None else words(module),
                0 if module is None else sum(p.numel() for p in module.parameters()),
            )
        )
    total = sum(p.numel() for p in network.parameters())
    return Drawing(tuple(states), tuple(_Wiring(network, lanes).wires()), total)


def _roles(network: Network, i: int) -> Iterator[str]:
    node = network.nodes[i]
    if i == network.image:
        yield IMAGE
    if i == network.top and i != network.image:
        yield OUTPUT
    if node.relay:
        yield RELAY
    if node.auxiliary:
        yield AUXILIARY


def _main(network: Network) -> set[int]:
    """The states on the longest way down from the output, through layers wherever there are any."""
    at, found = network.top, {network.top}
    while below := [p for p in network.nodes[at].parents if p < at]:
        nodes = network.nodes
        at = max(below, key=lambda p: (not (nodes[p].relay or nodes[p].auxiliary), nodes[p].depth))
        found.add(at)
    return found


def _lanes(network: Network, main: set[int]) -> list[int]:
    """The lane of each state: 0 on the main way, else the first that nobody needs meanwhile."""
    last = list(range(len(network.nodes)))  # the last row at which somebody reads it
    for i, node in enumerate(network.nodes):
        for p in node.parents:
            last[p] = max(last[p], i)
    found: list[int] = []
    free_from = [len(network.nodes)]  # by lane, the row from which on it is free
    for i in range(len(network.nodes)):
        if i in main:
            found.append(0)
            continue
        lane = next((k for k, row in enumerate(free_from) if k and row <= i), len(free_from))
        if lane == len(free_from):
            free_from.append(0)
        free_from[lane] = max(last[i], i + 1)
        found.append(lane)
    return found


@dataclass
class _Wiring:
    """Wires as they are put one after the other.

    Args:
        network: whose.
        lanes: of its states.
        taken: stretches of lanes that wires go along: lane, first and last row, parent, child.
    """

    network: Network
    lanes: list[int]
    taken: list[tuple[int, int, int, int, int]] = field(default_factory=list)

    def wires(self) -> Iterator[Wire]:
        """All of them, by the state that reads."""
        for c, node in enumerate(self.network.nodes):
            for p in node.parents:
                path = self._up(p, c) if p < c else self._back(p, c)
                yield Wire(p, c, tuple(path))

    def _up(self, p: int, c: int) -> list[Point]:
        """A wire to a state further up: in the lanes of its ends if it can, else in its own."""
        start, end = self.lanes[p], self.lanes[c]
        for k in range(p, c):
            if self._free(start, p + 1, k, p, c) and self._free(end, k + 1, c - 1, p, c):
                self._take(start, p + 1, k, p, c)
                self._take(end, k + 1, c - 1, p, c)
                return [(start, p), *_bend((start, k), (end, k + 1)), (end, c)]
        v = self._own(p + 1, c - 1, p, c, 1)
        return [*_bend((start, p), (v, p + 1)), *_bend((v, c - 1), (end, c))]

    def _back(self, p: int, c: int) -> list[Point]:
        """A wire to a state further down, or to the same: around the left."""
        v = self._own(c, p, p, c, -1)
        high, low = (p + TURN, c - TURN) if p == c else (p, c)
        middle = min(0.5, (high - low) / 2)
        return [
            *_corner((self.lanes[p], high), (v, high - middle)),
            *reversed(_corner((self.lanes[c], low), (v, low + middle))),
        ]

    def _own(self, low: int, high: int, p: int, c: int, side: int) -> int:
        """A lane on one side that is free in these rows; it is taken."""
        lane = side
        while not self._free(lane, low, high, p, c):
            lane += side
        self._take(lane, low, high, p, c)
        return lane

    def _free(self, lane: int, low: int, high: int, p: int, c: int) -> bool:
        """Whether no state is in these rows of a lane, and no wire but from or to the same one."""
        if low > high:
            return True
        if lane >= 0 and any(self.lanes[row] == lane for row in range(low, high + 1)):
            return False
        return not any(
            lane == held and low <= last and first <= high and p != parent and c != child
            for held, first, last, parent, child in self.taken
        )

    def _take(self, lane: int, low: int, high: int, p: int, c: int) -> None:
        if low <= high:
            self.taken.append((lane, low, high, p, c))


def _bend(start: Point, end: Point) -> list[Point]:
    """From lane to lane with upright ends: a cubic of Bézier, sampled."""
    (x0, y0), (x1, y1) = start, end
    if x0 == x1:
        return [start, end]
    found = []
    for k in range(BEND + 1):
        s = k / BEND
        ease = s * s * (3 - 2 * s)
        rise = 1.5 * s * (1 - s) ** 2 + 1.5 * s * s * (1 - s) + s**3
        found.append((x0 + (x1 - x0) * ease, y0 + (y1 - y0) * rise))
    return found


def _corner(start: Point, end: Point) -> list[Point]:
    """A quarter of a turn: it leaves level and arrives upright; a quadratic of Bézier, sampled."""
    (x0, y0), (x1, y1) = start, end
    steps = [k / BEND for k in range(BEND + 1)]
    return [
        (x0 + (x1 - x0) * s * (2 - s), y0 + (y1 - y0) * s * s)  # its middle point is (x1, y0)
        for s in steps
    ]
