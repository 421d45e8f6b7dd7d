"""Which works does an experiment rest on? The entries of assets/references.bib that it uses."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from core.catalogue import BadInput, card_of
from core.experiment import Experiment
from core.experiment import citations as keys

OURS = "this project"
"""The source of an entry that is from no other work."""

FIELDS = ("author", "title", "year", "note")
"""What every reference must have; `note` says what of the work was read."""

_ROOT = Path(__file__).resolve().parent.parent
_PLACES = (_ROOT / "assets", _ROOT / "workbench" / "_data" / "assets")  # in a checkout, in a wheel


@dataclass(frozen=True)
class Reference:
    """One work.

    Args:
        key: as entries of the catalogue name it.
        kind: article, inproceedings, ...
        fields: by name, without the braces around them.
        text: as it stands in its file.
    """

    key: str
    kind: str
    fields: dict[str, str]
    text: str


_own: dict[str, Reference] = {}


@cache
def _shipped() -> dict[str, Reference]:
    for folder in _PLACES:
        path = folder / "references.bib"
        if path.is_file():
            return read(path.read_text("utf-8"), path.name)
    raise FileNotFoundError(f"references.bib is neither in {_PLACES[0]} nor in {_PLACES[1]}")


def references() -> dict[str, Reference]:
    """Every work that is known, by key: those of this project, then those of plugins."""
    return _shipped() | _own


def add(found: dict[str, Reference]) -> None:
    """Take over the works of a plugin; a key that this project has stays as it is."""
    _own.update({key: one for key, one in found.items() if key not in _shipped()})


def bibtex(experiment: Experiment) -> str:
    """The works that an experiment uses, as BibTeX, each once.

    Raises:
        BadInput: if an entry names a work that is not known.
    """
    known = references()
    for key in keys(experiment):
        if key not in known:
            raise BadInput(f"source: {key}; a key of references.bib, or {OURS!r}")
    return "\n".join(known[key].text for key in keys(experiment))


def is_known(choice: object) -> bool:
    """Whether the source of an entry is a known work, or this project."""
    source = card_of(choice).source
    return source == OURS or source in references()


# The reader --------------------------------------------------------------------------------------


def read(text: str, name: str) -> dict[str, Reference]:
    """The references of a BibTeX file.

    It takes what this project writes: `@kind{key, field = {value}, ...}`, one field after the
    other, values in braces that balance, and comments outside of entries that begin with %.

    Args:
        text: of the file.
        name: of the file, for refusals.

    Raises:
        BadInput: naming the line that is something else.
    """
    found: dict[str, Reference] = {}
    at = 0
    while (begin := _next(text, at, name)) is not None:
        head = re.compile(r"@(\w+)\{([\w:+.-]+),\s*").match(text, begin)
        if head is None:
            raise _bad(text, begin, name, "@kind{key, ...}")
        fields, at = _fields(text, head.end(), name)
        kind, key = head[1].lower(), head[2]
        if key in found:
            raise _bad(text, begin, name, f"{key} is there already")
        for field in FIELDS:
            if not fields.get(field):
                raise _bad(text, begin, name, f"{key} needs the fields {', '.join(FIELDS)}")
        found[key] = Reference(key, kind, fields, text[begin:at] + "\n")
    return found


def _next(text: str, at: int, name: str) -> int | None:
    """Where the next entry begins; only blanks and comments may come before it."""
    blank = re.compile(r"(?:\s|%[^\n]*(?:\n|$))*").match(text, at)
    assert blank is not None  # it matches the empty text
    if blank.end() == len(text):
        return None
    if text[blank.end()] != "@":
        raise _bad(text, blank.end(), name, "an entry, or a comment after %")
    return blank.end()


def _fields(text: str, at: int, name: str) -> tuple[dict[str, str], int]:
    """The fields of an entry, and where it ends."""
    fields: dict[str, str] = {}
    while not text.startswith("}", at):
        head = re.compile(r"(\w+)\s*=\s*\{").match(text, at)
        if head is None:
            raise _bad(text, at, name, "field = {value}")
        field = head[1].lower()
        if field in fields:
            raise _bad(text, at, name, f"{field} is there already")
        end = _closing(text, head.end(), name)
        fields[field] = " ".join(text[head.end() : end].split())
        after = re.compile(r"\}\s*(,\s*|(?=\}))").match(text, end)
        if after is None:
            raise _bad(text, end, name, "a comma after a value")
        at = after.end()
    return fields, at + 1


def _closing(text: str, at: int, name: str) -> int:
    """Where the brace closes that was opened before `at`."""
    depth = 1
    for i in range(at, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return i
    raise _bad(text, at, name, "braces that balance")


def _bad(text: str, at: int, name: str, wanted: str) -> BadInput:
    line = text.count("\n", 0, at) + 1
    return BadInput(f"references: {name}, line {line}; {wanted}")
