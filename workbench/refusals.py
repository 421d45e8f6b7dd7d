"""How does a command refuse? With one line for stderr and an exit code; words are checked here."""

import difflib
import sys
from collections.abc import Sequence
from typing import Any

UNSOUND, BAD_INPUT, ENVIRONMENT, DAMAGED, INTERNAL = 1, 2, 3, 4, 70

OURS = ("core", "workbench")


class Refused(Exception):
    """A line for stderr and an exit code."""

    def __init__(self, line: str, code: int = BAD_INPUT) -> None:
        """Say `line`, exit with `code`."""
        super().__init__(line)
        self.code = code


def near(word: str, legal: Sequence[str] | dict[str, Any]) -> str:
    """The end of a line about an unknown word."""
    found = difflib.get_close_matches(word, list(legal), n=1)
    hint = f" (did you mean {found[0]}?)" if found else ""
    return f"{word}; one of {', '.join(legal)}{hint}"


def as_number(text: str) -> Any:
    """An integer if the text is one, else what it is, for a dial to refuse."""
    for kind in (int, float):
        try:
            return kind(text) if len(text) < 20 else text
        except ValueError:
            continue
    return text


def check_device(name: str) -> None:
    """Refuse a device that is not here: the machine's fault, unless there is none of that name."""
    from core.catalogue import BadInput
    from core.experiment import available

    try:
        available(name)
    except BadInput as refused:
        known = name.partition(":")[0] in ("cuda", "mps")
        raise Refused(str(refused), ENVIRONMENT if known else BAD_INPUT) from None


def is_short_of_memory(error: Exception) -> bool:
    """Whether it failed because there is too little memory, as Python or torch say it."""
    said = ("out of memory", "allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in said)
    )


def reason(error: Exception) -> tuple[str, int]:
    """One line and the exit code for an error."""
    line = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, Refused):
        return line, error.code
    if isinstance(error, ImportError) and (error.name or "").split(".")[0] not in OURS:
        return f"{line}; pip install {(error.name or 'it').partition('.')[0]}", ENVIRONMENT
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or line}", ENVIRONMENT
    if is_short_of_memory(error):
        return f"out of memory ({line[:120]}); take a smaller --batch-size", ENVIRONMENT
    if "core.catalogue" in sys.modules:
        from core.catalogue import BadInput
        from core.datasets.fetch import NotFetched
        from core.footprint import TooLarge
        from core.plugins import BadPackage
        from core.runs.errors import Damaged as DamagedRun
        from workbench.files import Damaged

        if isinstance(error, BadInput):
            elsewhere = NotFetched, BadPackage, TooLarge
            codes = {elsewhere: ENVIRONMENT, (Damaged, DamagedRun): DAMAGED}
            return line, next((c for k, c in codes.items() if isinstance(error, k)), BAD_INPUT)
    hint = "this is an error of the program; --debug shows where"
    return f"{type(error).__name__}: {line}; {hint}", INTERNAL
