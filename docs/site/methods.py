"""What is said of an entry beside its card? When it fails, when not to use it, and what is shown.

The files of docs/methods, one for each kind, have a table for each entry of the catalogue.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from core import Experiment
from core.catalogue import KINDS, Card
from core.compatibility import refusal
from workbench.presets import presets

FOLDER = Path(__file__).resolve().parent.parent / "methods"

TITLES = {
    "init": "Inits",
    "precision": "Precisions",
    "dynamics": "Rules of the states",
    "learning": "Learning rules",
    "energy": "Energies",
    "task": "Tasks and nudging",
    "network": "Networks",
    "dataset": "Data sets",
    "weights": "Weight optimisers",
}
"""Heading of each kind, in the order of the site."""


@dataclass(frozen=True)
class Method:
    """What a page says that no card does.

    Args:
        fails: how it fails.
        avoid: when not to use it.
        shows: what is seen in the figure; empty where all of a kind are drawn alike.
        views: of a relaxation, drawn side by side.
        preset: whose choices the relaxation takes; empty for the plain ones.
        choices: what differs from them, as plain data.
        warm_up: batches that are relaxed first.
    """

    fails: str
    avoid: str
    shows: str = ""
    views: tuple[str, ...] = ()
    preset: str = ""
    choices: Mapping[str, Any] = field(default_factory=dict)
    warm_up: int = 0

    @property
    def experiment(self) -> Experiment:
        """All choices of what is shown."""
        base = presets()[self.preset].choices if self.preset else {}
        return Experiment.from_dict({**base, **self.choices})


@cache
def methods() -> dict[str, dict[str, Method]]:
    """What is said of each entry, by kind and name."""
    return {kind: _read(kind) for kind in KINDS}


def missing(cards: Mapping[str, Mapping[str, Card]]) -> list[str]:
    """Entries of a catalogue of which nothing is said, and of which too little is.

    Args:
        cards: of each kind by name.
    """
    found = []
    for kind, known in cards.items():
        for name in known:
            one = methods()[kind].get(name)
            if one is None or len(one.fails) < 40 or len(one.avoid) < 20:
                found.append(f"{kind} {name}: docs/methods/{kind}.toml; fails and avoid, in words")
    return found


def shows(method: Method, card: Card) -> str:
    """What is wrong with an entry's example, or "": it must be legal and have the entry in it."""
    experiment = method.experiment
    if type(getattr(experiment, card.kind)) is not card.entry:
        return f"{card.kind} {card.name}: the experiment that is shown has another {card.kind}"
    return refusal(experiment) or ""


def _read(kind: str) -> dict[str, Method]:
    data = tomllib.loads((FOLDER / f"{kind}.toml").read_text("utf-8"))
    return {
        name: Method(**{**one, "views": tuple(one.get("views", ()))}) for name, one in data.items()
    }
