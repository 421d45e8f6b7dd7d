"""Which guided starts are there? Tours of stages that set all choices and say numbers.

A file in assets/tours is a tour. Its numbers were measured at the end of each stage, on the data
that are here at once; a test measures them again.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.places import assets
from workbench.presets import presets

if TYPE_CHECKING:
    from core.experiment import Experiment

MEASURED = {
    "imbalance": "imbalance {:.2f} decades",
    "reached": "{:.0f} layers reached",
    "total": "F {:.4g} nat",
    "cosine": "least cosine to backprop {:.2f}",
    "smm": "{:.0f} SMM a batch",
}
"""What the numbers of a stage may be, and how they are told."""


@dataclass(frozen=True)
class Stage:
    """One stop of a tour.

    Args:
        says: the sentence, its numbers in braces.
        preset: whose choices it takes.
        choices: what differs from them, as plain data.
        warm_up: batches that are relaxed first.
        steps: that are taken.
        numbers: at its end, by the names of `MEASURED`.
    """

    says: str
    preset: str
    steps: int
    choices: Mapping[str, Any] = field(default_factory=dict)
    warm_up: int = 0
    numbers: Mapping[str, float] = field(default_factory=dict)

    @property
    def experiment(self) -> "Experiment":
        """All choices."""
        from core.experiment import Experiment

        return Experiment.from_dict({**presets()[self.preset].choices, **self.choices})

    @property
    def sentence(self) -> str:
        """What it says, with its numbers."""
        return self.says.format(**self.numbers)


@dataclass(frozen=True)
class Tour:
    """A guided start.

    Args:
        name: of its file.
        title: in a few words.
        about: what it shows, one sentence.
        source: BibTeX key of the work.
        stages: in order.
    """

    name: str
    title: str
    about: str
    source: str
    stages: tuple[Stage, ...]


@cache
def tours() -> dict[str, Tour]:
    """All tours by name, in the order of their files."""
    found = (_read(path) for path in sorted((assets() / "tours").glob("*.toml")))
    return {one.name: one for one in found}


def _read(path: Path) -> Tour:
    data = tomllib.loads(path.read_text("utf-8"))
    stages = tuple(Stage(**one) for one in data.pop("stage"))
    return Tour(path.stem.partition("-")[2], stages=stages, **data)
