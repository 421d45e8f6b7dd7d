"""Which equation is in force, and which of its terms act now? In colours, on one line."""

import html
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import MathTextParser

from core.catalogue import card_of
from core.energies.squared_error import SquaredError
from core.experiment import Experiment
from workbench.formula import inline, svg
from workbench.look import Palette, short
from workbench.network_now import Ends, Now

SIZE = 10.5
"""Of the letters, in points."""

GAP = 3.0
"""Points between two terms."""

SIGNS = {"+": "+", "-": "-", "+-": r"\pm"}

Term = tuple[str, str]
"""LaTeX without dollar signs, and its colour as hex."""


def terms(experiment: Experiment, now: Now, ends: Ends | None, look: Palette) -> list[Term]:
    """F of the choices in force, term by term.

    F = sum_l Pi_l E_l + beta C(h_L, y) + c / 2 sum |h|^2: see `core.free_energy.FreeEnergy`. What
    acts at some rows only is in the accent where it does, and faint where it does not.

    Args:
        experiment: the choices.
        now: the row.
        ends: what its phase nudges; None where that is not known yet.
        look: colours.
    """
    ink, scaled = look.ink, experiment.output_precision != 1.0
    under = (r"L-t \leq " if experiment.window else "") + (r"\ell < L" if scaled else r"\ell")
    if experiment.window and not scaled:
        under = r"\ell \geq L-t"
    found = [("F =", ink), (rf"\sum_{{{under}}}", _lit(now.left_out > 0, look))]
    found += [(r"\Pi_\ell", _lit(bool(now.highest.any()), look)), (r"E_\ell", ink)]
    if scaled:
        found.append((r"+\ \lambda\, \Pi_L E_L", ink))
    if ends is not None and ends.nudges:
        sign = SIGNS[ends.sign] if ends.nudge else r"\pm"
        colour = look.accent if ends.nudge else look.ghost
        found.append((rf"{sign}\ \beta\, C(h_L, y)", colour))
    if experiment.activity_decay:
        found.append((r"+\ \frac{c}{2} \sum_{\mathrm{free}} \Vert h_\ell \Vert^2", ink))
    return found


def _lit(acts: bool, look: Palette) -> str:
    return look.accent if acts else look.ink


@lru_cache(maxsize=256)
def line(parts: Sequence[Term], size: float = SIZE) -> str:
    """Terms beside each other on one line of writing, as an inline SVG element.

    Args:
        parts: the terms; a tuple.
        size: of the letters, in points.
    """
    parser: Any = MathTextParser("path")
    figure = Figure(figsize=(1, 1), dpi=72)
    FigureCanvasSVG(figure)
    x = 0.0
    for text, colour in parts:
        figure.text(x / 72, 0, f"${text}$", size=size, color=colour, va="baseline")
        width = parser.parse(f"${text}$", 72, FontProperties(size=size))[0]
        x += float(width) + GAP
    return inline(figure)


STYLE = (
    "<style>.force { display: flex; flex-wrap: wrap; gap: 2px 18px; align-items: center; "
    "padding: 2px 0; } .force svg { display: block; }</style>"
)

LIT = "<style>b { color: var(--accent); font-weight: 600; }</style>"


def equation(experiment: Experiment, now: Now, ends: Ends | None, look: Palette) -> str:
    """F, the energies and the rule of the states, with what acts now lit, as HTML.

    Args:
        experiment: the choices at the row.
        now: the row.
        ends: what its phase nudges; None where that is not known yet.
        look: colours.
    """
    formulas = [
        line(tuple(terms(experiment, now, ends, look))),
        *(svg(one, look.muted, SIZE) for one in _cards(experiment)),
    ]
    return f'{STYLE}<div class="force">{"".join(f"<div>{one}</div>" for one in formulas)}</div>'


def _cards(experiment: Experiment) -> Iterator[str]:
    """The energies and the update of the states, as their cards have them."""
    yield card_of(SquaredError).formula
    if not isinstance(experiment.energy, SquaredError):
        yield card_of(experiment.energy).formula
    yield card_of(experiment.dynamics).formula


def said(experiment: Experiment, now: Now, ends: Ends | None, names: Sequence[str]) -> str:
    """What acts at a row, in one line of HTML.

    Args:
        experiment: the choices at the row.
        now: the row.
        ends: what its phase nudges; None where that is not known yet.
        names: of the layers.
    """
    words = "; ".join(acting(experiment, now, ends, names))
    return f'{LIT}<small class="acting">{words}</small>'


def acting(
    experiment: Experiment, now: Now, ends: Ends | None, names: Sequence[str]
) -> Iterator[str]:
    """What acts at a row, in words as HTML; what is of this row alone is in bold."""
    phase = f"phase {html.escape(now.phase)}, t = {now.t}"
    if ends is not None and ends.nudges:
        sign = {"+": "", "-": "−", "+-": "±"}[ends.sign]
        pull = f"{sign}{short(ends.nudge)}" if ends.nudge else "0"
        phase += f", <b>β = {pull}</b>" if ends.nudge else f", β = {pull}"
    yield phase
    if experiment.window:
        said = f"window: {len(names) - now.left_out} of {len(names)} layers count"
        yield f"<b>{said}</b>" if now.left_out else said
    high = now.highest
    if high.any():
        which = ", ".join(html.escape(name) for name, one in zip(names, high, strict=True) if one)
        if high.sum() > 3:
            which = f"{int(high.sum())} layers"
        yield f"<b>Π = {short(now.spike)}</b> in {which}, elsewhere lower"
    constants = [("α", experiment.dynamics.rate)]
    if experiment.output_precision != 1.0:
        constants.append(("λ", experiment.output_precision))
    if experiment.activity_decay:
        constants.append(("c", experiment.activity_decay))
    yield ", ".join(f"{name} = {short(value)}" for name, value in constants)
