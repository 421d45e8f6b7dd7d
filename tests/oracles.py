"""What do the tests compare with? Counts of oracles at the end of a report.

A test that judges the code by something outside it says by what:
`@pytest.mark.oracle("closed form")`, or `pytestmark` for a whole file. The nearest mark counts.
"""

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from tests import rows
from tests.mutants.mutation import fingerprint, listed

ORACLES = ("closed form", "other implementation", "paper")
"""Mathematics; code of other people; a number, table or protocol that a work has published."""

RESULT = Path(__file__).parent / "mutants" / "result.json"


def kind_of(item: pytest.Item) -> str | None:
    """The oracle of a test, or None.

    Raises:
        pytest.UsageError: for an unknown kind.
    """
    mark = item.get_closest_marker("oracle")
    if mark is None:
        return None
    if mark.kwargs or len(mark.args) != 1 or mark.args[0] not in ORACLES:
        raise pytest.UsageError(f"{item.nodeid}: oracle{mark.args}; one of {', '.join(ORACLES)}")
    return str(mark.args[0])


def give_oracles(items: list[pytest.Item]) -> None:
    """Give the report of each test its oracle."""
    for item in items:
        kind = kind_of(item)
        if kind is not None:
            item.user_properties.append(("oracle", kind))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell the oracles that were asked and agreed, the mutants, and what tests have counted."""
    oracles: Counter[str] = Counter()
    counts: dict[str, Counter[str]] = {}
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            if name == "oracle":
                oracles[value] += 1
            elif name.startswith("count: "):
                part, _, what = name.removeprefix("count: ").partition(": ")
                counts.setdefault(part, Counter())[what] += value
    bad = rows.told(terminalreporter)
    if not oracles and not counts and not bad:
        return
    terminalreporter.section("oracles")
    if oracles:
        each = ", ".join(f"{oracles[kind]} {kind}" for kind in ORACLES)
        terminalreporter.line(f"tests that agree with an oracle: {each}")
        terminalreporter.line(mutants())
    for part, found in counts.items():
        terminalreporter.line(f"{part}:")
        for what, count in found.most_common():
            terminalreporter.line(f"{count:7}  {what}")
    for line in bad:
        terminalreporter.line(line)
    if os.environ.get("RELIABILITY_COUNTS"):
        held = {what: count for found in counts.values() for what, count in found.items()}
        if "attacks" in counts:
            held["attacks refused"] = held.pop("refused")
        fuzzed = counts.get("fuzz cases without a find", {})
        for what in fuzzed:
            held[f"fuzz cases without a find: {what}"] = held.pop(what)
        held["bad inputs refused, of 72 rows"] = rows.refused(terminalreporter)
        Path(os.environ["RELIABILITY_COUNTS"]).write_text(json.dumps(held, indent=1))


def mutants() -> str:
    """What the last run over all mutants has found, and whether its list is still this one."""
    if not RESULT.exists():
        return "mutants: not run yet: make mutants"
    last = json.loads(RESULT.read_text())
    line = f"mutants killed by their tests: {last['killed']} of {last['count']}"
    if last["list"] != fingerprint(listed()):
        line += "; the list has changed since: make mutants"
    return line
