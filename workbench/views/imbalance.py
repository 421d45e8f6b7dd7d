"""How uneven is the energy across layers? Imbalance over steps, with the slope over depth."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench import look, measures
from workbench.views import bands, changes, marks, screen

TITLE = "Energy imbalance"
NEEDS = ("energy",)

CURVES = (bands.Curve("imbalance"), bands.Curve("reached_count"), bands.Curve("slope", level=0.0))
"""What is drawn over several relaxations."""


def measure(trace: xr.Dataset, step: int | None = None) -> xr.Dataset:
    """Imbalance per layer and per unit, reached layers, slope and R2, (step)."""
    marks.need(trace, "imbalance", NEEDS)
    found = measures.slope(trace)
    found["imbalance"] = measures.imbalance(trace)
    found["imbalance_per_unit"] = measures.imbalance(trace, per="unit")
    found["reached_count"] = measures.reached_count(trace)
    found["effective_depth"] = measures.effective_depth(trace)
    why = "fewer than two layers are above their rounding floors"
    marks.need_numbers("imbalance", "the imbalance", found["imbalance"], why)
    return found


def view(trace: xr.Dataset) -> Any:
    """Imbalance, reached layers and slope for the screen, one above the other."""
    found, trace = marks.shown(measure(trace), trace)
    hv = screen.bokeh()
    axis = marks.steps(trace)[1].plain
    panels = []
    for name in ("imbalance", "reached_count", "slope", "r2"):
        x, y = marks.broken(trace, found[name].values)
        curve = hv.Curve((x, y), axis, look.LABELS[name].plain).opts(color=look.LIGHT.accent)
        drawn = hv.Overlay([curve, *screen.change_lines(trace)])
        panels.append(drawn.opts(responsive=True, height=150))
    return hv.Layout(panels).cols(1)


@marks.on_paper
def figure(trace: xr.Dataset, step: int | None = None) -> Figure:
    """Imbalance and reached layers; below them slope and R2, where a line could be fitted."""
    found, trace = marks.shown(measure(trace), trace)
    fitted = bool(np.isfinite(found["slope"].values).any())
    fig = marks.sheet(3.6 if fitted else 2.2)
    heights = (1.6, 0.9, 1.2, 0.7)[: 4 if fitted else 2]
    axes = list(fig.subplots(len(heights), 1, height_ratios=heights))
    _imbalance(axes[0], trace, found)
    _count(axes[1], trace, found)
    if fitted:
        _slope(axes[2], axes[3], trace, found)
    marks.step_axes(axes, trace)
    changes.draw_changes(axes, trace)
    changes.draw_cursor(axes, trace, step)
    fig.align_ylabels()
    return fig


def _imbalance(ax: Axes, trace: xr.Dataset, found: xr.Dataset) -> None:
    """In decades from zero; per unit too, where layers differ in size."""
    x, layer, unit = marks.broken(
        trace, found["imbalance"].values, found["imbalance_per_unit"].values
    )
    widths = trace["layer_size"].values
    widths_differ = bool(np.ptp(widths) > 0 and (widths > 0).all())
    if widths_differ:
        style = {"color": look.PAPER.ghost, "dashes": (4, 1.5), "label": "of energy per unit"}
        marks.line(ax, x, unit, **style)
    marks.line(ax, x, layer, color=look.PAPER.ink, label="of energy")
    ax.set_ylim(0, 1.08 * np.nanmax([layer, unit if widths_differ else layer]) + 1e-9)
    if widths_differ:
        ax.legend(loc="best")
    ax.set_ylabel("imbalance\n(decades)")


def _count(ax: Axes, trace: xr.Dataset, found: xr.Dataset) -> None:
    """A staircase up to the number of layers."""
    layers = trace.sizes["layer"]
    x, count = marks.broken(trace, found["reached_count"].values)
    ax.fill_between(x, count, step="mid", color=look.PAPER.grid, lw=0)
    marks.line(ax, x, count, color=look.PAPER.ink, drawstyle="steps-mid")
    ax.set(ylim=(0, 1.08 * layers), yticks=(0, layers))
    ax.set_ylabel("layers\nreached")


def _slope(above: Axes, below: Axes, trace: xr.Dataset, found: xr.Dataset) -> None:
    """The slope about zero, and how straight the line is."""
    x, slope, r2 = marks.broken(trace, found["slope"].values, found["r2"].values)
    above.axhline(0, color=look.PAPER.grid, lw=0.6, zorder=0.5)
    marks.line(above, x, slope, color=look.PAPER.ink)
    above.set_ylabel("slope\n(dec./layer)")
    marks.line(below, x, r2, color=look.PAPER.ink)
    below.set(ylim=(0, 1.08), yticks=(0, 1))
    below.set_ylabel(look.LABELS["r2"].paper)
