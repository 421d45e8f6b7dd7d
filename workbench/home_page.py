"""Where does one begin? The home page: tours, experiments to look at, published ones, runs."""

import math
from dataclasses import dataclass
from typing import Any

import panel as pn

from workbench import shell
from workbench.address import link
from workbench.places import assets
from workbench.presets import Preset, presets, published
from workbench.tours import tours

NEWEST = 8
"""Runs that are shown."""


@dataclass(frozen=True)
class Card:
    """A preset as the page shows it.

    Args:
        name: of the preset.
        title: of the preset.
        about: what to look at.
        href: opens it in a session of its own.
        status: what came of it here, "" where no work prints it.
        theirs: the number that was printed, with a star where another work quotes it.
        ours: the number here.
        place: where it was printed.
        differs: what is not as printed.
    """

    name: str
    title: str
    about: str
    href: str
    status: str = ""
    theirs: str = ""
    ours: str = ""
    place: str = ""
    differs: str = ""


@dataclass(frozen=True)
class Line:
    """A run as the page shows it.

    Args:
        name: of the run.
        href: watches it.
        state: how it stands.
        experiment: how it differs from the default one, with its data.
        told: batches, rows and best accuracy, as far as they are known.
    """

    name: str
    href: str
    state: str
    experiment: str
    told: str


def home_page(theme: str) -> Any:
    """The template of the page.

    Args:
        theme: "light" or "dark".
    """
    works: dict[str, list[Card]] = {}
    for one in published().values():
        assert one.printed is not None  # whatever lies in the folder of a work has it
        works.setdefault(one.printed.work, []).append(_card(one, theme))
    return shell.template(
        "home",
        theme,
        {"bar": pn.Row(margin=0)},
        contents=(assets() / "look" / "home.html").read_text("utf-8"),
        styles=("home.css",),
        variables={
            "tours": [
                Card(one.name, one.title, one.about, link("relax", theme, tour=one.name))
                for one in tours().values()
            ],
            "cards": [_card(one, theme) for one in presets().values()],
            "works": works,
            "runs": _runs(theme),
            "all_runs": link("runs", theme),
        },
    )


def _card(preset: Preset, theme: str) -> Card:
    href = link("relax", theme, preset=preset.name)
    printed = preset.printed
    if printed is None:
        return Card(preset.name, preset.title, preset.about, href)
    star = " *" if printed.second_hand and printed.theirs else ""
    return Card(
        preset.name,
        preset.title,
        preset.about,
        href,
        printed.status,
        printed.theirs + star,
        printed.ours,
        printed.place,
        " ".join(printed.differs),
    )


def _runs(theme: str) -> list[Line]:
    """The newest runs; one that cannot be read says so."""
    from core.runs import shelf
    from workbench.runs_shelf import read

    found = []
    for path in shelf.found()[:NEWEST]:
        entry = read(path)
        numbers = (
            ("batches", entry.batches, "{:,.0f} batches"),
            ("rows", entry.rows, "{:,.0f} rows"),
            ("accuracy", entry.accuracy, "best accuracy {:.1%}"),
            ("top5", entry.top5, "top-5 {:.1%}"),
        )
        told = [form.format(value) for _, value, form in numbers if not math.isnan(value)]
        words = " · ".join(part for part in (entry.data, entry.experiment) if part)
        href = link("relax", theme, run=entry.name)
        found.append(Line(entry.name, href, entry.standing, words, ", ".join(told)))
    return found
