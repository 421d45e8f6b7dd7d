"""Which experiment is meant on the command line? A preset by its name, or a recipe by its file."""

import argparse
import difflib
import json
from pathlib import Path
from typing import Any

PRESETS_MORE = """\
The name goes where a recipe does: relaxoscope train --recipe NAME --epochs 16 --out runs/mine
Theirs is the number that the work prints, ours what came of it here; * is a number that another
work quotes. A preset of a work names its table; the others are to be looked at.

"""


def choices(said: str) -> dict[str, Any]:
    """Choices by the names of an `Experiment`.

    Args:
        said: the name of a preset, the path of a recipe in TOML, or "-" for one on stdin.

    Raises:
        Refused: if it is neither.
        BadInput: naming what is wrong in the file.
    """
    from workbench import files
    from workbench.presets import named, whole
    from workbench.refusals import Refused

    known = named()
    if said in known:
        return whole(said)
    if said != files.STDIN and not Path(said).exists() and Path(said).suffix != ".toml":
        found = difflib.get_close_matches(said, known, n=1)
        hint = f" (did you mean {found[0]}?)" if found else ""
        raise Refused(
            f"recipe: {said}; no such file, and no preset{hint}; relaxoscope presets lists them"
        )
    return files.read_recipe(said)


def presets(args: argparse.Namespace) -> int:
    """List the presets, with what their works print and what came of it here."""
    from workbench.presets import TO_LOOK_AT, named
    from workbench.selftesting import table

    found = []
    for name, one in named().items():
        printed = one.printed
        about: dict[str, Any] = {"name": name, "title": one.title, "about": one.about}
        told = ("work", "place", "status", "theirs", "ours", "second_hand", "differs")
        about |= {key: getattr(printed, key, None) for key in told}
        found.append(about)
    if args.json:
        print(json.dumps(found, indent=1))
        return 0
    rows: list[tuple[str, ...]] = [("name", "title", "status", "theirs", "ours")]
    work = ""
    for one in found:
        if (one["work"] or TO_LOOK_AT) != work:
            work = one["work"] or TO_LOOK_AT
            rows.append((f"# {work}", "", "", "", ""))
        quoted = " *" if one["second_hand"] else ""
        theirs = f"{one['theirs']}{quoted}" if one["theirs"] else "-"
        rows.append((one["name"], one["title"], one["status"] or "-", theirs, one["ours"] or "-"))
    for line in table(rows):
        print(line.rstrip())
    return 0
