"""What does one batch cost? Sequential matrix multiplications, and multiply-adds, by parts.

Sequential matrix multiplications (SMM) count everything that could run in parallel over the layers
once; elementwise work and the outer products of weight gradients are free. No GPU has that
parallelism in full: the count is a bound on what depth costs in sequence, not a time. Multiply-adds
count every product, in sequence or not.

Source: pinchetti2026 (backprop, forward sweep, inits without products); the others by us.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from core.catalogue import BadInput, unknown

INITS = ("none", "plain", "forward", "hybrid", "memory", "memory, forward")
"""plain: zero, normal, null, average; hybrid: the lowest m layers swept, the others recalled."""

RELAXATIONS = ("none", "states", "errors", "sweeps", "wavefront", "lean wavefront")
"""states: all layers at once; errors: ePC; sweeps: even then odd layers; wavefront: Z-IL, one layer
a step, all predictions made anew, or (lean) only the one product that is needed."""

LEARNING = ("none", "local", "forward update", "incremental", "errors", "backprop")

PUBLISHED, DERIVED = "published", "derived"


@dataclass(frozen=True)
class Account:
    """What one batch costs, by parts.

    Args:
        init: before the first step.
        relaxation: all steps.
        weights: what the weight updates add.
        updates: weight updates per batch.
        how: it was counted.
        status: "published" where a paper prints the count of the whole, else "derived".
    """

    init: int
    relaxation: int
    weights: int
    updates: int
    how: str
    status: str

    @property
    def total(self) -> int:
        """Per batch."""
        return self.init + self.relaxation + self.weights

    @property
    def per_update(self) -> float:
        """Per weight update; nan where there is none."""
        return self.total / self.updates if self.updates else float("nan")


def smm(
    L: int,
    T: int = 0,
    *,
    init: str = "plain",
    relaxation: str = "states",
    learning: str = "local",
    m: int = 0,
    K: int = 0,
    phases: int = 1,
    parallel: bool = False,
) -> Account:
    """Sequential matrix multiplications of one batch.

    Backprop is init "none", relaxation "none", learning "backprop"; the centered nudge of
    equilibrium propagation is init "forward", relaxation "sweeps", two phases.

    Args:
        L: number of layers.
        T: state updates.
        init: one of INITS.
        relaxation: one of RELAXATIONS.
        learning: one of LEARNING.
        m: layers that a hybrid init sweeps, 0..L - 1.
        K: sweeps of each phase, for "sweeps".
        phases: phases that relax, for "sweeps".
        parallel: whether those phases run side by side.

    Raises:
        BadInput: for an unknown name or a number out of range.
    """
    _check(L, T, init, relaxation, learning, m, K, phases)
    first, said = {
        "none": (0, "no init"),
        "plain": (0, "init 0: no product"),
        "forward": (L, f"init L = {L}: one sweep"),
        "hybrid": (m, f"init m = {m}: the swept layers"),
        "memory": (3, "init 3: query, key and value, all layers at once"),
        "memory, forward": (3 + L, f"init 3 + L = {3 + L}: query, key, value, then one sweep"),
    }[init]
    in_turn = 1 if parallel else phases
    middle, told = {
        "none": (0, "no relaxation"),
        "states": (2 * T, f"relaxation 2T = {2 * T}: predictions and pulled errors of all layers"),
        "errors": (
            T * (2 * L - 1),
            f"relaxation T(2L - 1) = {T * (2 * L - 1)}: a pass up and one down at each step",
        ),
        "sweeps": (
            4 * K * in_turn,
            f"relaxation 4K x {in_turn} = {4 * K * in_turn}: two half-sweeps of two products",
        ),
        "wavefront": (2 * L, f"relaxation 2L = {2 * L}: two products at each of L steps"),
        "lean wavefront": (L - 1, f"relaxation L - 1 = {L - 1}: one product for each hidden layer"),
    }[relaxation]
    last, added = {
        "none": (0, "no weight update"),
        "local": (0, "weights 0: outer products"),
        "forward update": (0, "weights 0: the first predictions are kept"),
        "incremental": (0, "weights 0: outer products at every step"),
        "errors": (L, f"weights L = {L}: the local pass over the states"),
        "backprop": (2 * L - 1, f"weights 2L - 1 = {2 * L - 1}: L up and L - 1 down"),
    }[learning]
    printed = (init, relaxation, learning) in (
        ("none", "none", "backprop"),
        ("plain", "states", "local"),
        ("forward", "states", "local"),
    )
    return Account(
        first,
        middle,
        last,
        _updates(learning, T),
        "; ".join((said, told, added)),
        PUBLISHED if printed else DERIVED,
    )


def multiply_adds(
    sizes: Sequence[int],
    batch: int,
    T: int = 0,
    *,
    init: str = "plain",
    relaxation: str = "states",
    learning: str = "local",
    m: int = 0,
    K: int = 0,
    phases: int = 1,
) -> Account:
    """Multiply-adds of one batch in a chain of dense layers, biases and activations left out.

    A product of all layers costs P = B sum_l d_l d_{l-1}; errors are pulled down to hidden layers
    only, P minus the first layer's share; weight gradients cost another P.

    Args:
        sizes: d_0 ... d_L.
        batch: B.
        T: state updates.
        init: one of INITS, but no memory: its products depend on the size of the memory.
        relaxation: one of RELAXATIONS.
        learning: one of LEARNING.
        m: layers that a hybrid init sweeps.
        K: sweeps of each phase, for "sweeps".
        phases: phases that relax, for "sweeps".

    Raises:
        BadInput: for an unknown name or a number out of range.
    """
    L = len(sizes) - 1
    _check(L, T, init, relaxation, learning, m, K, phases)
    if init.startswith("memory"):
        raise BadInput(f"init: {init}; its multiply-adds depend on the size of the memory")
    each = [batch * a * b for a, b in pairwise(sizes)]
    up, down = sum(each), sum(each[1:])
    first = {"forward": up, "hybrid": sum(each[:m])}.get(init, 0)
    middle = {
        "none": 0,
        "states": T * (up + down),
        "errors": T * (up + down),
        "sweeps": phases * K * (2 * up + down),  # both halves need every prediction
        "wavefront": L * up + down,
        "lean wavefront": down,
    }[relaxation]
    updates = _updates(learning, T)
    gradients = updates * up * (phases if relaxation == "sweeps" else 1)
    last = {"errors": 2 * up, "backprop": 2 * up + down}.get(learning, gradients)
    how = f"P = {up} for a product of all layers, {down} without the first, in a batch of {batch}"
    return Account(first, middle, last, updates, how, DERIVED)


def _updates(learning: str, T: int) -> int:
    """Weight updates per batch."""
    return {"none": 0, "incremental": T}.get(learning, 1)


def _check(
    L: int, T: int, init: str, relaxation: str, learning: str, m: int, K: int, phases: int
) -> None:
    """Refuse what has no meaning."""
    for name, value, legal in (
        ("init", init, INITS),
        ("relaxation", relaxation, RELAXATIONS),
        ("learning", learning, LEARNING),
    ):
        if value not in legal:
            raise BadInput(f"{name}: {unknown(value, legal)}")
    for name, value, low, high in (
        ("L", L, 1, None),
        ("T", T, 0, None),
        ("m", m, 0, L - 1),
        ("K", K, 0, None),
        ("phases", phases, 1, None),
    ):
        if value < low or (high is not None and value > high):
            raise BadInput(f"{name}: {value}; {low}..{'' if high is None else high}")
