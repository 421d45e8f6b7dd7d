"""Where does something else begin? Marks of batches, phases, recipes and the chosen step."""

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from workbench import look, measures
from workbench.sheet import stretch
from workbench.views.marks import TEXT, one_per_batch, place, steps

MOST_LINES = 5
"""Lines of text above a figure."""

SHORT, LONGEST = 36, 64
"""Letters of a sentence that fit beside its mark, and letters that fit, in one column."""

SHARE_OF_LETTER = 0.018
"""Width of a letter of a mark, as a share of the axes of one column."""


def draw_changes(axes: Sequence[Axes], trace: xr.Dataset, shift: float = 0.0) -> None:
    """Thin marks where another batch or phase begins, and where the recipe changes, with words.

    Args:
        axes: panels over the same steps, the top one first; that one carries the sentences.
        trace: one lane.
        shift: of the marks along the step axis; -0.5 puts them between the cells of a map.
    """
    if not one_per_batch(trace):
        for x in place(trace, measures.batch_starts(trace)):
            for ax in axes:
                ax.axvline(x - 0.5, color=look.PAPER.grid, lw=0.5, zorder=0.5)
        _phases(axes, trace)
    found = measures.changes(trace)
    for ax in axes:
        for step, _ in found:
            _mark(ax, place(trace, step) + shift)
    at = [place(trace, step) + shift for step, _ in found]
    height = _write(axes[0], at, [text for _, text in found])
    title = axes[0].get_title(loc="left")
    if title and height:
        axes[0].set_title(title, loc="left", pad=height + 3)


def _phases(axes: Sequence[Axes], trace: xr.Dataset) -> None:
    """A line where each phase begins; those of the first batch have their names in the top panel.

    A phase that is too short for its name, as a free one without steps, has only the line.
    """
    phase, batch = trace["phase"].values, trace["batch"].values
    if (phase == phase[0]).all():
        return
    x = steps(trace)[0]
    begin = np.concatenate(
        ([0], np.searchsorted(trace["step"].values, measures.phase_starts(trace)))
    )
    for ax in axes:
        for k in begin[1:]:
            ax.axvline(float(x[k]) - 0.5, color=look.PAPER.ghost, lw=0.5, zorder=0.6)
    low, high = axes[0].get_xlim()
    for k, end in zip(begin, [*begin[1:], len(x)], strict=True):
        name = str(phase[k])
        width = (x[end - 1] - x[k] + 1) / (high - low)
        letter = SHARE_OF_LETTER / stretch()
        if batch[k] == batch[0] and width > letter * (len(name) + 1):
            axes[0].annotate(
                name,
                (x[k] - 0.5, 1),
                (2, -2),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                va="top",
                fontsize=TEXT,
                color=look.PAPER.muted,
                bbox={"facecolor": look.PAPER.background, "alpha": 0.8, "pad": 0.5, "linewidth": 0},
            )


def _mark(ax: Axes, x: float) -> None:
    # White beneath, so that the mark is seen on dark cells too.
    ax.axvline(x, color=look.PAPER.background, lw=1.6, alpha=0.7, zorder=2.4)
    ax.axvline(x, color=look.PAPER.ink, lw=0.6, dashes=(3, 1.5), zorder=2.5)


def _write(ax: Axes, at: Sequence[float], texts: Sequence[str]) -> float:
    """What changed, above the axes; gives the height of it in points.

    One short sentence stands at its mark. Otherwise each mark has a letter, and the sentences stand
    above them. Where they are too many there are only letters; the README of a bundle has them.
    """
    texts = [text.replace("->", "\N{RIGHTWARDS ARROW}") for text in texts]
    if not texts:
        return 0.0
    if len(texts) == 1 and len(texts[0]) <= SHORT * stretch():
        low, high = ax.get_xlim()
        side = "left" if at[0] <= (low + high) / 2 else "right"
        _above(ax, (at[0], 1.5), texts[0], xycoords=("data", "axes fraction"), ha=side)
        return TEXT + 2
    for k, x in enumerate(at):
        _above(ax, (x, 1), _letter(k), xycoords=("data", "axes fraction"), ha="center")
    lines = []
    for k, text in enumerate(texts):
        first, *more = textwrap.wrap(text, int(LONGEST * stretch()))
        lines += [f"{_letter(k)}   {first}", *(f"     {line}" for line in more)]
    if len(lines) > MOST_LINES:
        return TEXT + 2
    for k, line in enumerate(reversed(lines)):
        at_left = (0, (k + 1.2) * (TEXT + 1.5))
        _above(ax, at_left, line, xycoords="axes fraction", ha="left")
    return (len(lines) + 1.2) * (TEXT + 1.5)


def _above(ax: Axes, at: tuple[float, float], text: str, **where: Any) -> None:
    """Small text above the axes, `at` = (x in data, or in the axes' width; points above)."""
    # The layout makes room for its height, with a space, but not for its width.
    for shown in (" ", text):
        ax.annotate(
            shown,
            (at[0], 1),
            (0, at[1]),
            textcoords="offset points",
            fontsize=TEXT,
            color=look.PAPER.ink,
            va="bottom",
            annotation_clip=False,
            **where,
        ).set_in_layout(shown == " ")


def _letter(k: int) -> str:
    """a, b, ... z, and a dot for each further mark."""
    return chr(ord("a") + k) if k < 26 else "\N{MIDDLE DOT}"


def draw_cursor(axes: Iterable[Axes], trace: xr.Dataset, step: int | None) -> None:
    """The chosen step, if one is chosen."""
    if step is not None:
        x = steps(trace)[0][measures.row_at(trace, step)]
        for ax in axes:
            ax.axvline(x, color=look.PAPER.accent, lw=0.8, zorder=2.6)
