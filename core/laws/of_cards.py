"""What must every card say, and what must every entry be? Laws of the catalogue."""

import json
from collections.abc import Iterator

from core import kinds
from core.catalogue import Card, from_dict, to_dict
from core.citations import OURS, references
from core.laws.law import CARD, law

PROTOCOLS: dict[str, type] = {
    "init": kinds.Init,
    "dynamics": kinds.Dynamics,
    "learning": kinds.Learning,
    "energy": kinds.Energy,
    "task": kinds.Task,
    "network": kinds.NetworkKind,
    "dataset": kinds.DatasetKind,
    "weights": kinds.WeightOptimiser,
}

LONGEST = 100
"""Letters of the first line of a docstring."""


@law(CARD, "the docstring begins with one sentence that can stand in a menu")
def sentence(card: Card) -> Iterator[str]:
    """The first line."""
    if not card.doc.strip():
        yield "there is no docstring"
        return
    if not card.line.endswith("."):
        yield f"the first line ends without a period: {card.line}"
    if len(card.line) > LONGEST:
        yield f"the first line has {len(card.line)} letters; at most {LONGEST}"


@law(CARD, "the card has a title and a formula")
def title(card: Card) -> Iterator[str]:
    """Title and formula; whether the formula can be drawn is asked above the core."""
    if not card.title.strip():
        yield "the title is empty"
    if not card.formula.strip():
        yield "the formula is empty"
    if "$" in card.formula:
        yield "the formula has dollar signs; LaTeX without them"


@law(CARD, "the source is a known work, and the docstring names it")
def source(card: Card) -> Iterator[str]:
    """A key of the references."""
    if card.source != OURS and card.source not in references():
        yield (
            f"{card.source} is no key of the references; write {OURS!r}, "
            "or put the work into a file FILE.bib beside the plugin FILE.py"
        )
    if f"Source: {card.source}" not in card.doc:
        yield f"the docstring has no line 'Source: {card.source}'"


@law(CARD, "every dial explains itself and holds its default")
def dials(card: Card) -> Iterator[str]:
    """Help, bounds and default."""
    for one in card.dials:
        if not one.help.strip():
            yield f"{one.name} has no help"
        if one.bounds is not None and not one.bounds[0] < one.bounds[1]:
            yield f"{one.name} has the empty bounds {one.bounds}"
        if one.log and one.bounds is None:
            yield f"{one.name} is logarithmic and has no bounds"
        if one.check(one.default, one.name) != one.default:
            yield f"{one.name} has the default {one.default}; {one.legal}"


@law(CARD, "the entry comes back from plain data and can be a key")
def plain(card: Card) -> Iterator[str]:
    """As recipes and traces keep it."""
    made = card.entry()
    data = json.loads(json.dumps(to_dict(made), allow_nan=False))
    again = from_dict(card.kind, data)
    if again != made:
        yield f"{made} came back as {again}"
    if hash(again) != hash(made):
        yield f"{made} came back with another hash"


@law(CARD, "the entry has everything that its kind asks for")
def complete(card: Card) -> Iterator[str]:
    """Methods, properties and class variables of the protocol."""
    made = card.entry()
    protocol = PROTOCOLS.get(card.kind)
    if card.kind == "precision":  # one of two
        protocol = kinds.Adaptive if hasattr(made, "row") else kinds.Schedule
    assert protocol is not None
    asked = [name for name in vars(protocol) if name == "__call__" or not name.startswith("_")]
    for name in dict.fromkeys([*protocol.__annotations__, *asked]):
        if not hasattr(made, name):
            yield f"{name} is missing; core/kinds.py says what a {card.kind} has"
