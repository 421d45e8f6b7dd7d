"""Which whole sets of choices are named? Experiments to look at, and those that works have printed.

A file in assets/presets is an experiment to look at. A folder there has the BibTeX key of a work,
and its files are experiments of that work's tables, each with what came of it here.
"""

import dataclasses
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from workbench.places import assets

REPRODUCED, TREND, MISSED, NOT_RUN = "reproduced", "trend only", "not reached", "not run"

STATUSES = (REPRODUCED, TREND, MISSED, NOT_RUN)
"""Whether our number is near theirs, only its direction is, neither is, or nobody has run it."""

TO_LOOK_AT = "to look at"
"""Heading in the menu of the presets that no table prints."""


@dataclass(frozen=True)
class Printed:
    """Where an experiment was printed, and what came of it here.

    Args:
        source: BibTeX key of the work.
        work: its first author and year, as the menu has it.
        place: table of the work, or file of its released code.
        status: one of `STATUSES`.
        theirs: their number in words, "" where none is known.
        ours: our number in words, "" where it was not run.
        second_hand: whether their number is from another work that quotes it.
        differs: what is not as in the work, one sentence each.
    """

    source: str
    work: str
    place: str
    status: str
    theirs: str = ""
    ours: str = ""
    second_hand: bool = False
    differs: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        """All of it in sentences."""
        quoted = ", second-hand" if self.second_hand else ""
        theirs = f"theirs{quoted}: {self.theirs}" if self.theirs else "theirs: no number known here"
        found = [f"{self.work}, {self.place}", f"{self.status}; {theirs}"]
        found += [f"ours: {self.ours}"] if self.ours else []
        return found + [f"not as printed: {one}" for one in self.differs]


@dataclass(frozen=True)
class Preset:
    """A named experiment.

    Args:
        name: of its file.
        title: in the menu.
        about: what to look at, one sentence.
        choices: plain data for `Experiment.from_dict`.
        printed: where, if a work has printed it.
    """

    name: str
    title: str
    about: str
    choices: dict[str, Any]
    printed: Printed | None = None


@cache
def presets() -> dict[str, Preset]:
    """The presets to look at by name, in the order of their files."""
    found = {}
    for path in sorted((assets() / "presets").glob("*.toml")):
        name = path.stem.partition("-")[2]
        found[name] = _read(path, name)
    return found


@cache
def published() -> dict[str, Preset]:
    """The presets of works by name, in the order of their folders and files."""
    paths = sorted((assets() / "presets").glob("*/*.toml"))
    return {path.stem: _read(path, path.stem) for path in paths}


def named() -> dict[str, Preset]:
    """All presets by name."""
    return presets() | published()


def menu() -> dict[str, dict[str, str]]:
    """Names of all presets by heading and line of the menu."""
    found = {TO_LOOK_AT: {one.title: name for name, one in presets().items()}}
    for name, one in published().items():
        assert one.printed is not None  # `_read` gives each of them one
        heading = found.setdefault(one.printed.work, {})
        heading[f"{one.title} · {one.printed.status}"] = name
    return found


def _read(path: Path, name: str) -> Preset:
    """The preset of a file; one in a folder has a table `printed`."""
    data = tomllib.loads(path.read_text("utf-8"))
    printed = None
    if (told := data.pop("printed", None)) is not None:
        told["differs"] = tuple(told.get("differs", ()))
        printed = Printed(source=path.parent.name, **told)
    return Preset(name, data.pop("title"), data.pop("about"), data, printed)


OF_THE_RUN = ("seed", "dtype", "device", "engine")
"""What a preset leaves as it is."""


def whole(name: str) -> dict[str, Any]:
    """Every choice that a preset makes, those that it does not name at their defaults."""
    from core.experiment import Experiment

    made = Experiment.from_dict(named()[name].choices)
    return {
        one.name: getattr(made, one.name)
        for one in dataclasses.fields(made)
        if one.name not in OF_THE_RUN
    }
