"""How uneven is the energy across layers? Imbalance over steps, with the slope over depth."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from workbench import look, measures
from workbench.views import marks

TITLE = "Energy imbalance"
NEEDS = ("energy",)


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
    hv = marks.bokeh()
    axis = marks.steps(trace)[1].plain
    panels = []
    for name in ("imbalance", "reached_count", "slope", "r2"):
        x, y = marks.broken(trace, found[name].values)
        curve = hv.Curve((x, y), axis, look.LABELS[name].plain).opts(color=look.LIGHT.accent)
        drawn = hv.Overlay([curve, *marks.change_lines(trace)])
        panels.append(drawn.opts(responsive=True, min_height=150))
    return hv.Layout(panels).cols(1)


@marks.on_paper
def figure(trace: xr.Dataset, step: int | None = None) -> Figure:
    """Four panels over the same steps: imbalance, reached layers, slope and R2."""
    found, trace = marks.shown(measure(trace), trace)
    fig = marks.sheet(3.6)
    axes = list(fig.subplots(4, 1, height_ratios=[1.6, 0.9, 1.2, 0.7]))
    x, layer, unit, count, slope, r2 = marks.broken(
        trace,
        *(
            found[name].values
            for name in ("imbalance", "imbalance_per_unit", "reached_count", "slope", "r2")
        ),
    )
    if np.ptp(trace["layer_size"].values) > 0:
        marks.line(
            axes[0], x, unit, color=look.PAPER.ghost, dashes=(4, 1.5), label="of energy per unit"
        )
    marks.line(axes[0], x, layer, color=look.PAPER.ink, label="of energy")
    axes[0].set_ylim(0, 1.08 * max(np.nanmax(layer), np.nanmax(unit)) + 1e-9)
    if len(axes[0].lines) > 1:
        axes[0].legend(loc="best")
    axes[0].set_ylabel("imbalance\n(decades)")
    axes[1].fill_between(x, count, step="mid", color=look.PAPER.grid, lw=0)
    axes[1].step(x, count, where="mid", color=look.PAPER.ink)
    axes[1].set(ylim=(0, 1.08 * trace.sizes["layer"]), yticks=(0, trace.sizes["layer"]))
    axes[1].set_ylabel("layers\nreached")
    axes[2].axhline(0, color=look.PAPER.grid, lw=0.6, zorder=0.5)
    marks.line(axes[2], x, slope, color=look.PAPER.ink)
    axes[2].set_ylabel("slope\n(dec./layer)")
    marks.line(axes[3], x, r2, color=look.PAPER.ink)
    axes[3].set(ylim=(0, 1.08), yticks=(0, 1))
    axes[3].set_ylabel(look.LABELS["r2"].paper)
    marks.step_axes(axes, trace)
    marks.draw_changes(axes, trace)
    marks.draw_cursor(axes, trace, step)
    fig.align_ylabels()
    return fig
