"""How is a formula shown without fetching anything? As an SVG picture, set by matplotlib."""

import io
from functools import lru_cache

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure


@lru_cache(maxsize=256)
def svg(formula: str, colour: str, size: float = 11.0) -> str:
    """A formula as an inline SVG element.

    Args:
        formula: LaTeX without dollar signs, as far as matplotlib's mathtext reads it.
        colour: of the ink, as hex.
        size: of the letters, in points.
    """
    figure = Figure(figsize=(0.01, 0.01))
    FigureCanvasSVG(figure)
    figure.text(0, 0, f"${formula}$", size=size, color=colour)
    return inline(figure)


def inline(figure: Figure) -> str:
    """What is drawn in a figure with an SVG canvas, as an inline SVG element without ground."""
    held = io.BytesIO()
    figure.savefig(
        held,
        format="svg",
        transparent=True,
        bbox_inches="tight",
        pad_inches=0.03,
        metadata={"Date": None},
    )
    text = held.getvalue().decode("utf-8")
    return text[text.index("<svg") :]
