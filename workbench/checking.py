"""Are one's own entries sound, and which works are they from? The commands check and cite."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.catalogue import Card

CHECK_MORE = """\
A plugin is a Python file that decorates frozen dataclasses, as the files in core/inits/,
core/precisions/, ... do:

    from dataclasses import dataclass
    from core import dial, entry

    @entry("init", "Constant", formula=r"h_\\ell^{(0)} = c", source="this project")
    @dataclass(frozen=True)
    class Constant:
        \"\"\"Every free state is the same number.

        Source: this project.
        \"\"\"

        c: float = dial(0.1, bounds=(-10.0, 10.0), symbol="c", help="the number")

        def __call__(self, start):
            return [start.zeros(i) + self.c for i in range(start.count)]

Example: relaxoscope check mine.py && relaxoscope relax --plugin mine.py --recipe r.toml ...
Works that it cites stand in mine.bib beside it. A package offers its module to every command by an
entry point of the group relaxoscope.plugins.

"""

CITE_MORE = """\
Example: relaxoscope cite r.toml > methods.bib
The note of each work says what of it was read while this software was written.

"""


def check(args: argparse.Namespace) -> int:
    """Load plugins and print what the laws of its kind say of each entry."""
    from core import plugins
    from core.laws import examined
    from workbench.refusals import UNSOUND
    from workbench.selftesting import table

    found = [plugins.load(path) for path in args.file]
    rows = [("entry", "law", "result", "sentence")]
    wrong = 0
    for card in dict.fromkeys(card for one in found for card in one.cards):
        name = f"{card.kind} {card.name}"
        for one in examined(card):
            result = "no" if not one.holds else "skipped" if one.skipped else "holds"
            sentences = one.violations or (one.skipped,)
            rows += [(name, one.law.claim, result, sentence) for sentence in sentences]
            wrong += not one.holds
        drawn = drawing_fault(card)
        rows.append((name, "the formula can be drawn", "no" if drawn else "holds", drawn))
        wrong += bool(drawn)
    for line in table(rows):
        print(line)
    print(f"{wrong} laws broken" if wrong != 1 else "1 law broken")
    return UNSOUND if wrong else 0


def drawing_fault(card: "Card") -> str:
    """Why a card's formula cannot be drawn, or ""."""
    from matplotlib.mathtext import MathTextParser

    try:
        MathTextParser("path").parse(f"${card.formula}$")
    except ValueError as refused:
        return " ".join(str(refused).split())
    return ""


def cite(args: argparse.Namespace) -> int:
    """Print the works that an experiment uses, as BibTeX."""
    from core import bibtex
    from core.experiment import Experiment
    from workbench.recipes import choices

    print(bibtex(Experiment(**choices(args.experiment))), end="")
    return 0
