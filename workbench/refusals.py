"""How does a command refuse? With one line for stderr and an exit code; words are checked here."""

import difflib
import sys
from collections.abc import Callable, Sequence
from typing import Any

UNSOUND, BAD_INPUT, ENVIRONMENT, DAMAGED, INTERNAL = 1, 2, 3, 4, 70


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


def tell(seen: set[str]) -> Callable[[str, float], None]:
    """A progress that says each line once, on stderr."""

    def progress(line: str, share: float) -> None:
        if line not in seen:
            seen.add(line)
            print(f"{share:4.0%} {line}", file=sys.stderr, flush=True)

    return progress
