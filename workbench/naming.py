"""What is a layer called? By our numbers, or as a paper counts them; in one place for all plots.

Our state 0 is the input's side and state L the output's. A work may count otherwise; what it counts
is renamed where it is shown and exported, never in recipes, commands or recordings. A network with
a state that has no number keeps all its names.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

OURS, FIRST_LAYER, FROM_OUTPUT = "ours", "qi2026", "whittington2017"


@dataclass(frozen=True)
class Naming:
    """One way to count layers.

    Args:
        label: in a menu.
        about: in a caption; "" for ours, which needs no word.
    """

    label: str
    about: str = ""


NAMINGS = {
    OURS: Naming("ours, Pinchetti 2026: input 0, output L"),
    FIRST_LAYER: Naming(
        "Qi 2026 (code): first layer 0",
        "Layers are counted as in the code of qi2026: from 0, the first above the input x.",
    ),
    FROM_OUTPUT: Naming(
        "Whittington 2017: output 0, input L",
        "Layers are counted as in whittington2017: from 0, the output, up to the input.",
    ),
}
"""By the key of their work in assets/references.bib."""

INPUT = "x"
"""What the code of Qi 2026 calls the state below its layer 0."""

NUMBERED = re.compile(r"(\d{1,4})([a-z]?)")
"""A name that counts: a number, and a letter where several states share it."""


def called(names: Sequence[str], naming: str) -> tuple[str, ...]:
    """What layers are called.

    Args:
        names: of all layers, or of all states, the output's among them.
        naming: one of `NAMINGS`.
    """
    found = [NUMBERED.fullmatch(name) for name in names]
    if naming == OURS or not countable(names):
        return tuple(names)
    parts = [(int(one[1]), one[2]) for one in found if one]
    last = max(number for number, _ in parts)
    return tuple(_counted(number, last, naming) + letter for number, letter in parts)


def countable(names: Sequence[str]) -> bool:
    """Whether names are numbers in a row, so that they can be counted otherwise."""
    found = [NUMBERED.fullmatch(name) for name in names]
    numbers = sorted({int(one[1]) for one in found if one})
    if not numbers or not all(found) or numbers[0] > 1:
        return False
    return numbers == list(range(numbers[0], numbers[-1] + 1))


def _counted(number: int, last: int, naming: str) -> str:
    """One of our numbers, of 0..last, as it is counted elsewhere."""
    if naming == FROM_OUTPUT:
        return str(last - number)
    return str(number - 1) if number else INPUT


def in_poke(sentence: str, told: Mapping[str, str]) -> str:
    """The sentence of a poke, "poke 3: noise 0.5", with its state as it is called.

    Args:
        sentence: that of any change.
        told: what states are called, by their names.
    """
    head, colon, rest = sentence.partition(":")
    word, _, name = head.partition(" ")
    if word != "poke" or not colon or name not in told:
        return sentence
    return f"poke {told[name]}:{rest}"
