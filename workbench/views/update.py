"""How long is each update beside backprop's, and how many weights go its way?"""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from workbench import look
from workbench.views import bands, changes, marks, screen

TITLE = "Updates beside backprop's"
NEEDS = ("update_ratio", "agreement")

CURVES = (bands.Curve("update_ratio", log=True, level=1.0), bands.Curve("agreement", level=0.5))
"""What is drawn over several relaxations."""


def measure(trace: xr.Dataset, step: int | None = None) -> xr.Dataset:
    """Ratio of norms and share of equal signs, (step, layer); nan where there is no update.

    Both are of the update that the weights would get if the relaxation stopped at that step.
    """
    marks.need(trace, "update", NEEDS)
    found = trace[list(NEEDS)].transpose("step", "layer", ...)
    marks.need_numbers("update", "the ratio", found["update_ratio"], "no layer has an update")
    return found


def view(trace: xr.Dataset) -> Any:
    """Ratio and share for the screen, one above the other."""
    found, trace = marks.shown(measure(trace), trace)
    hv = screen.bokeh()
    panels = [
        screen.layer_curves(trace, _ratio(found), "update_ratio", log=True),
        screen.layer_curves(trace, found["agreement"].values, "agreement", log=False),
    ]
    return hv.Layout(panels).cols(1)


@marks.on_paper
def figure(trace: xr.Dataset, step: int | None = None) -> Figure:
    """One line for each layer: the ratio above, the share of signs below."""
    found, trace = marks.shown(measure(trace), trace)
    fig = marks.sheet(3.2)
    axes = list(fig.subplots(2, 1, height_ratios=[1.4, 1]))
    ratio = _ratio(found)
    axes[0].axhline(1, color=look.PAPER.grid, lw=0.6, zorder=0.5)
    marks.layer_lines(axes[0], trace, ratio)
    marks.log_axis(axes[0], ratio)
    axes[0].set_ylabel(look.LABELS["update_ratio"].paper)
    axes[1].axhline(0.5, color=look.PAPER.grid, lw=0.6, zorder=0.5)  # what chance would give
    marks.layer_lines(axes[1], trace, found["agreement"].values.astype(float))
    axes[1].set(ylim=(-0.04, 1.04), yticks=(0, 0.5, 1))
    axes[1].set_ylabel(look.LABELS["agreement"].paper)
    marks.layer_key(fig, axes, trace)
    marks.step_axes(axes, trace)
    changes.draw_changes(axes, trace)
    changes.draw_cursor(axes, trace, step)
    fig.align_ylabels()
    return fig


def _ratio(found: xr.Dataset) -> Any:
    """(rows, L); nan where the update is zero, which has no logarithm."""
    values = found["update_ratio"].values.astype(float)
    return np.where(values > 0, values, np.nan)
