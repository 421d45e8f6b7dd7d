"""What is a law, and how is an entry judged by it?"""

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.catalogue import KINDS, Card

Judge = Callable[[Any], Iterator[str]]
"""Gives a sentence for each violation."""

CARD = "card"
"""The kind of the laws that hold for every card; their judges get the card, all others the entry
with its default dials."""


@dataclass(frozen=True)
class Law:
    """One claim about every entry of a kind.

    Args:
        kind: whose entries it is about, or `CARD`.
        claim: in one line.
        judge: finds the violations.
    """

    kind: str
    claim: str
    judge: Judge


@dataclass(frozen=True)
class Finding:
    """What one law says of one entry.

    Args:
        card: of the entry.
        law: that was asked.
        violations: a sentence each.
        skipped: why it could not be judged here, or "".
    """

    card: Card
    law: Law
    violations: tuple[str, ...] = ()
    skipped: str = ""

    @property
    def holds(self) -> bool:
        """Whether nothing is violated."""
        return not self.violations


class Skipped(Exception):
    """Raised by a judge that cannot judge here, with the reason."""


_laws: list[Law] = []


def law(kind: str, claim: str) -> Callable[[Judge], Judge]:
    """Add the function below as a law."""
    assert kind in (*KINDS, CARD)

    def add(judge: Judge) -> Judge:
        _laws.append(Law(kind, claim, judge))
        return judge

    return add


def laws(kind: str) -> list[Law]:
    """The laws that hold for the entries of a kind, those of every card first."""
    return [one for one in _laws if one.kind == CARD] + [one for one in _laws if one.kind == kind]


def examined(card: Card) -> Iterator[Finding]:
    """What each law says of an entry, law after law; an error that is raised is a violation."""
    for one in laws(card.kind):
        yield _judged(card, one)


def _judged(card: Card, one: Law) -> Finding:
    try:
        subject = card if one.kind == CARD else card.entry()
        return Finding(card, one, tuple(one.judge(subject)))
    except Skipped as reason:
        return Finding(card, one, skipped=str(reason))
    except Exception as failed:  # an entry of somebody else's may raise anything
        said = " ".join(str(failed).split())
        line = f"raises {type(failed).__name__}: {said}".removesuffix(": ")
        return Finding(card, one, (line + _where(failed, card),))


def _where(failed: Exception, card: Card) -> str:
    """The line of the entry's own file at which it failed, where it was there."""
    module = card.entry.__module__
    for frame, number in reversed(list(traceback.walk_tb(failed.__traceback__))):
        if frame.f_globals.get("__name__") == module:
            return f" ({Path(frame.f_code.co_filename).name}, line {number})"
    return ""
