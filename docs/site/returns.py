"""How is a docstring read that says in one line what comes back? As a section, as Sphinx has it."""

import re
from typing import Any

_BEGINS = re.compile(r"^(?P<margin> *)Returns: +(?P<said>\S.*)$")


def setup(app: Any) -> dict[str, bool]:
    """Have Sphinx read the lines before its extension for sections does."""
    app.connect("autodoc-process-docstring", _docstring, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def of_docstring(lines: list[str]) -> list[str]:
    """A docstring whose `Returns: words` are a section, up to the next empty line."""
    made: list[str] = []
    within = None  # how far the words of the section are indented
    for line in lines:
        begins = _BEGINS.match(line)
        if begins:
            within = begins["margin"] + "    "
            made += [f"{begins['margin']}Returns:", within + begins["said"]]
        else:
            within = within if line.strip() else None
            made.append(line if within is None else within + line.strip())
    return made


def _docstring(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = of_docstring(lines)
