"""How are formulas set? As MathML by docutils: a browser draws it and fetches nothing."""

import re
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

_KEPT = re.compile(
    r"(?<![\\$])\$(?P<math>[^$]+?)\$(?!\$)"  # formulas
    r"|(?<![:`\w])`(?P<code>[^`]+)`(?![`_])"  # code, which may go on in the next line
    r"|(?P<role>``[^`]+``|:\w+:`[^`]+`)"  # what Sphinx has made already
    r"|(?P<stress>\*\*[^*\n]+\*\*|(?<![\w*\\])\*[^*\s](?:[^*\n]*[^*\s])?\*(?![\w*]))",
    re.DOTALL,
)

_MARKS = re.compile(r"(?<!\\)([*|])")
"""What Sphinx would take for markup, and is a number of dimensions or an absolute value here."""


def setup(app: Any) -> dict[str, bool]:
    """Give Sphinx the renderer, and docstrings the role that it belongs to."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    app.connect("autodoc-process-docstring", _docstring)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def of_docstring(lines: list[str]) -> list[str]:
    """A docstring, in which formulas stand between dollars and code between ticks, for Sphinx."""
    held: list[str] = []

    def keep(found: re.Match[str]) -> str:
        math, code = found["math"], found["code"]
        if math is not None:
            held.append(f":math:`{' '.join(math.split())}`")
        elif code is not None:
            held.append(f"``{' '.join(code.split())}``")
        else:
            held.append(found[0])
        return f"\0{len(held) - 1}\0"

    text = _MARKS.sub(r"\\\1", _KEPT.sub(keep, "\n".join(lines)))
    return re.sub(r"\0(\d+)\0", lambda at: held[int(at[1])], text).split("\n")


def _docstring(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = of_docstring(lines)


def of_formula(formula: str, *, block: bool = False) -> str:
    """A formula in LaTeX as MathML.

    Bars and angles keep their size: of a pair one may be inside of an exponent, where it would not
    grow with the other.
    """
    math = tex2mathml(formula, as_block=block).replace(
        "&ApplyFunction;", "\N{FUNCTION APPLICATION}"
    )
    return re.sub(r"<mo(?: class=\"\w+\")?>([‖|⟨⟩])</mo>", r'<mo stretchy="false">\1</mo>', math)


def _inline(translator: Any, node: Any) -> None:
    translator.body.append(of_formula(node.astext()))
    raise nodes.SkipNode


def _block(translator: Any, node: Any) -> None:
    math = of_formula(node.astext(), block=True)
    translator.body.append(f'<div class="formula">{math}</div>\n')
    raise nodes.SkipNode
