"""Which whole sets of choices are named? The experiments in assets/presets, one file each."""

import dataclasses
import tomllib
from dataclasses import dataclass
from functools import cache
from typing import Any

from workbench.places import assets


@dataclass(frozen=True)
class Preset:
    """A named experiment.

    Args:
        name: of its file.
        title: in the menu.
        about: what to look at, one sentence.
        choices: plain data for `Experiment.from_dict`.
    """

    name: str
    title: str
    about: str
    choices: dict[str, Any]


@cache
def presets() -> dict[str, Preset]:
    """All presets by name, in the order of their files."""
    found = {}
    for path in sorted((assets() / "presets").glob("*.toml")):
        data = tomllib.loads(path.read_text("utf-8"))
        name = path.stem.partition("-")[2]
        found[name] = Preset(name, data.pop("title"), data.pop("about"), data)
    return found


OF_THE_RUN = ("seed", "dtype", "device", "engine")
"""What a preset leaves as it is."""


def whole(name: str) -> dict[str, Any]:
    """Every choice that a preset makes, those that it does not name at their defaults."""
    from core.experiment import Experiment

    made = Experiment.from_dict(presets()[name].choices)
    return {
        one.name: getattr(made, one.name)
        for one in dataclasses.fields(made)
        if one.name not in OF_THE_RUN
    }
