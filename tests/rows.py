"""Which bad input is provoked? The catalogue by number; a test says `@pytest.mark.row(29)`.

A row is refused when every test that bears its number has passed.
"""

import pytest

ROWS = {
    1: "a rate of the weights that is no number",
    2: "a rate of the states of zero or less",
    3: "no steps",
    4: "steps that are no integer",
    5: "a network without layers",
    6: "another width than the data's",
    7: "another number of classes than the data's",
    8: "a layer of no or of far too many units",
    9: "a label that is no class",
    10: "labels that are no integers",
    11: "a batch that its classes do not divide",
    12: "a batch larger than its set",
    13: "an empty set or class",
    14: "means of other classes",
    15: "states of another set",
    16: "data that are not finite",
    17: "an unknown name",
    18: "a relaxation that diverges",
    19: "an energy that rises",
    20: "a dtype that the device has not",
    21: "a seed out of range",
    22: "momentum of one, noise below zero",
    23: "an expression in the place of numbers",
    24: "a schedule below zero or not finite",
    25: "a device that is not here",
    26: "too little memory on the device",
    27: "a misspelt key",
    28: "options that contradict each other",
    29: "a part of a store that was changed",
    30: "a store that was cut off or never written to its end",
    31: "a flipped bit in an export",
    32: "a missing chunk of an export",
    33: "a newer schema",
    34: "an older schema",
    35: "a full disk while rows are stored",
    36: "a full disk while a run is exported",
    37: "a folder that may not be written",
    38: "rights that are lost on the way",
    39: "two writers of one run",
    40: "a name that no run may have",
    41: "a run that exists",
    42: "a run behind a link",
    43: "a pickle",
    44: "weights of another shape, type or name",
    45: "a damaged checkpoint",
    46: "no sound checkpoint",
    47: "a file that is empty, of another kind, a bomb, or leaves its folder",
    48: "a file that declares terabytes",
    49: "a run that vanishes while it is open",
    50: "a file system without locks",
    51: "a clock that goes back",
    52: "a port in use",
    53: "a public address without a password",
    54: "a browser that goes away",
    55: "a second click",
    56: "an address that leads nowhere",
    57: "one session too many",
    58: "a message or an address that is too long",
    59: "a figure without numbers or without a place",
    60: "more rows than can be drawn",
    61: "no seeds",
    62: "too many seeds or points",
    63: "a seed or a point twice",
    64: "a worker of a sweep that dies",
    65: "a point of a sweep that kills its workers",
    66: "a sweep without its scheduler",
    67: "a batch that ranks do not divide",
    68: "a rank that dies",
    69: "a signal",
    70: "a closed pipe",
    71: "a file of settings that is none",
    72: "a package that is not installed",
}


def give_rows(items: list[pytest.Item]) -> None:
    """Give the report of each test its rows."""
    for item in items:
        for mark in item.iter_markers("row"):
            for number in mark.args:
                if number not in ROWS:
                    raise pytest.UsageError(f"{item.nodeid}: row({number}); see tests/rows.py")
                item.user_properties.append(("row", number))


def told(terminalreporter: pytest.TerminalReporter) -> list[str]:
    """Lines for the end of a report: how many rows were refused, and which were not provoked."""
    passed, failed = (
        {value for one in terminalreporter.stats.get(how, []) for value in _rows(one)}
        for how in ("passed", "failed")
    )
    if not passed | failed:
        return []
    refused = passed - failed
    lines = [f"bad inputs refused: {len(refused)} of {len(ROWS)} rows of the catalogue"]
    for name, numbers in (
        ("not refused", failed),
        ("not provoked in this run", set(ROWS) - passed - failed),
    ):
        if numbers:
            lines.append(f"  {name}: {', '.join(map(str, sorted(numbers)))}")
    return lines


def refused(terminalreporter: pytest.TerminalReporter) -> int:
    """How many rows were refused by all of their tests."""
    passed, failed = (
        {value for one in terminalreporter.stats.get(how, []) for value in _rows(one)}
        for how in ("passed", "failed")
    )
    return len(passed - failed)


def _rows(report: object) -> list[int]:
    held = getattr(report, "user_properties", ())
    return [value for name, value in held if name == "row"]
