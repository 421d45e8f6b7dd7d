"""How are formulas set? As MathML by docutils: a browser draws it and fetches nothing."""

import re
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

_DOLLARS = re.compile(r"(?<![\\$])\$([^$]+?)\$(?!\$)", re.DOTALL)
_TICKS = re.compile(r"(?<![:`\w])`([^`\n]+)`(?![`_])")


def setup(app: Any) -> dict[str, bool]:
    """Give Sphinx the renderer, and docstrings the role that it belongs to."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    app.connect("autodoc-process-docstring", _docstring)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def of_docstring(lines: list[str]) -> list[str]:
    """A docstring, in which formulas stand between dollars and code between ticks, for Sphinx."""
    text = "\n".join(lines)
    held: list[str] = []

    def keep(found: re.Match[str]) -> str:
        held.append(" ".join(found[1].split()))
        return f"\0{len(held) - 1}\0"

    text = _DOLLARS.sub(keep, text)
    text = _TICKS.sub(r"``\1``", text)
    text = re.sub(r"\0(\d+)\0", lambda at: f":math:`{held[int(at[1])]}`", text)
    return text.split("\n")


def _docstring(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = of_docstring(lines)


def _inline(translator: Any, node: Any) -> None:
    translator.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def _block(translator: Any, node: Any) -> None:
    math = tex2mathml(node.astext(), as_block=True)
    translator.body.append(f'<div class="formula">{math}</div>\n')
    raise nodes.SkipNode
