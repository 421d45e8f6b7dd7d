"""How do views come onto one page? Each at its width; several as panels (a), (b), ..."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import xarray as xr
from matplotlib.figure import Figure

from workbench import look, many, sheet
from workbench.plate import INCH, Plate
from workbench.views import bands, marks, view_named

STRIP = 0.17
"""Height of the line above a panel that holds its letter, in inches."""

NARROWEST = 2.6
"""Panels stand side by side where each is at least so wide, in inches."""


@dataclass(frozen=True)
class _Panel:
    """A view and its place: the row, the columns that it takes, its width and height in inches."""

    module: ModuleType
    row: int
    columns: slice
    width: float
    height: float


def figure(trace: xr.Dataset, wanted: Plate) -> Figure:
    """The figure of a plate.

    Args:
        trace: one lane, or several relaxations as from `many.combine`.
        wanted: which views, on which paper, over what.

    Raises:
        ValueError: if a view has nothing to draw, or the trace no such step or dimension.
    """
    held = many.dims(trace)
    if held and not wanted.over:
        raise ValueError(f"over: none; the trace has several relaxations, by {', '.join(held)}")
    modules = [view_named(name) for name in wanted.views]
    with sheet.wide(wanted.width / INCH):
        if len(modules) == 1:
            return _draw(modules[0], trace, wanted)
        with look.paper_style():
            return marks.frozen(_page(modules, trace, wanted))


def _draw(module: ModuleType, trace: xr.Dataset, wanted: Plate) -> Figure:
    if wanted.over:
        return bands.figure(module, trace, wanted)
    return module.figure(trace, wanted.step)


def _page(modules: Sequence[ModuleType], trace: xr.Dataset, wanted: Plate) -> Figure:
    """All panels, row by row, each below its letter."""
    width = sheet.width()
    across = 2 if width >= 2 * NARROWEST else 1
    panels = []
    for k, module in enumerate(modules):
        alone = across == 2 and k == len(modules) - 1 and k % 2 == 0
        columns = slice(0, 2) if alone else slice(k % across, k % across + 1)
        share = width * (columns.stop - columns.start) / across
        with sheet.wide(share):
            height = float(_draw(module, trace, wanted).get_figheight())
        panels.append(_Panel(module, k // across, columns, share, height))
    rows = [
        max(one.height for one in panels if one.row == row) for row in range(panels[-1].row + 1)
    ]
    ratios = [tall for row in rows for tall in (STRIP, row)]
    whole = Figure(figsize=(width, sum(ratios)), layout="constrained")
    grid = whole.add_gridspec(len(ratios), across, height_ratios=ratios)
    for k, one in enumerate(panels):
        part = whole.add_subfigure(grid[2 * one.row + 1, one.columns])
        with sheet.wide(one.width, part):
            _draw(one.module, trace, wanted)
        top = 1 - sum(ratios[: 2 * one.row]) / whole.get_figheight()
        at = one.columns.start / across + 0.03 / width
        letter = f"({chr(ord('a') + k)})"
        whole.text(at, top - 0.02 / whole.get_figheight(), letter, va="top", weight="bold")
    return whole
