"""What stands in the place of a block that a page asks for? Runs, tours, sections of other files.

Three kinds of fenced blocks are replaced before Sphinx reads a page:

    ```{relaxation}       a run in TOML: views, caption, and preset, choices, steps, warm_up
    ```{tour}             the name of a guided start: its stages with their sentences and pictures
    ```{section} FILE     a heading of a file of the project: that section
"""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

from core import Experiment
from docs.site import drawing
from workbench.presets import presets
from workbench.tours import Stage, tours

ROOT = Path(__file__).resolve().parents[2]

PICTURES = ("pages", "results")
"""Folders of docs/ with pictures that pages show as they are."""

BLOCK = re.compile(r"^```\{(relaxation|tour|section)\}[ ]?(\S*)\n(.*?)^```$", re.M | re.S)


def filled(
    text: str, folder: Path, name: str, tell: Callable[[str], None], keep: bool = False
) -> str:
    """A page with its blocks filled in; pictures are written beside it.

    Args:
        text: of the page.
        folder: of Sphinx's sources.
        name: of the page, for the names of its pictures.
        tell: hears what was made.
        keep: whether pictures that are there are kept.

    Raises:
        ValueError: naming the page and the block that asks for what there is not.
    """
    count = 0

    def fill(found: re.Match[str]) -> str:
        nonlocal count
        count += 1
        kind, argument, body = found.groups()
        tell(f"{name}: {kind} {argument or body.strip().splitlines()[0]}")
        if kind == "section":
            return section(argument, body.strip(), name)
        if kind == "tour":
            return _tour(body.strip(), folder, name, keep)
        return _relaxation(body, folder, f"{name}-{count}", keep)

    return BLOCK.sub(fill, text)


def linked(text: str) -> str:
    """A page whose links to files of the project that are no pages are plain text."""
    return re.sub(r"\[([^\]]+)\]\(\.\./[^)]+\)", r"\1", text)


def section(file: str, heading: str, page: str) -> str:
    """A section of a Markdown file of the project, with its heading.

    Raises:
        ValueError: if the file has no such heading.
    """
    text = (ROOT / file).read_text("utf-8")
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    if found is None:
        raise ValueError(f"{page}: section; {file} has no heading {heading!r}")
    return f"## {heading}\n{found[1].rstrip()}"


def figure(path: str, alt: str, caption: str) -> str:
    """A figure in Markdown."""
    return f"```{{figure}} {path}\n:alt: {alt}\n\n{caption}\n```"


def _relaxation(body: str, folder: Path, name: str, keep: bool) -> str:
    asked = tomllib.loads(body)
    base = presets()[asked["preset"]].choices if "preset" in asked else {}
    experiment = Experiment.from_dict({**base, **asked.get("choices", {})})
    path = f"figures/{name}.svg"

    def draw() -> str:
        trace = drawing.relaxed(
            experiment, steps=asked.get("steps"), warm_up=asked.get("warm_up", 0)
        )
        drawing.svg(asked["views"], trace, folder / path)
        return asked["caption"]

    drawing.once(folder / path, draw, keep=keep)
    return figure(path, asked["caption"], asked["caption"])


def _tour(name: str, folder: Path, page: str, keep: bool) -> str:
    if name not in tours():
        raise ValueError(f"{page}: tour; {name}, one of {', '.join(tours())}")
    tour = tours()[name]
    parts = [f"### {tour.title}", tour.about]
    for k, stage in enumerate(tour.stages, start=1):
        path = f"figures/tour-{name}-{k}.svg"

        def draw(stage: Stage = stage, path: str = path) -> str:
            trace = drawing.relaxed(stage.experiment, steps=stage.steps, warm_up=stage.warm_up)
            drawing.svg(("energy_time", "energy_depth"), trace, folder / path)
            return stage.sentence

        drawing.once(folder / path, draw, keep=keep)
        parts.append(figure(path, f"Stage {k} of {tour.title}", f"Stage {k}. {stage.sentence}"))
    return "\n\n".join(parts)
