"""Would the weights move as backprop moves them, if the relaxation stopped here?"""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from workbench import look
from workbench.views import bands, changes, marks, screen

TITLE = "Alignment with backprop"
NEEDS = ("alignment",)

CURVES = (bands.Curve("alignment", level=1.0),)
"""What is drawn over several relaxations."""


def measure(trace: xr.Dataset, step: int | None = None) -> xr.Dataset:
    """Cosine of each layer's update to backprop's, (step, layer); nan where the update is zero."""
    marks.need(trace, "alignment", NEEDS)
    found = trace[["alignment"]].transpose("step", "layer", ...)
    marks.need_numbers("alignment", "the cosine", found["alignment"], "no layer has an update")
    return found


def view(trace: xr.Dataset) -> Any:
    """One curve for each layer, for the screen."""
    found, trace = marks.shown(measure(trace), trace)
    return screen.layer_curves(trace, found["alignment"].values, "alignment", log=False)


@marks.on_paper
def figure(trace: xr.Dataset, step: int | None = None) -> Figure:
    """One line for each layer from its first update on."""
    found, trace = marks.shown(measure(trace), trace)
    shown = found["alignment"].values.astype(float)
    fig = marks.sheet(2.1)
    ax = fig.subplots()
    ax.axhline(1, color=look.PAPER.grid, lw=0.6, zorder=0.5)
    if np.nanmin(shown) < 0:
        ax.axhline(0, color=look.PAPER.grid, lw=0.6, zorder=0.5)
    marks.layer_lines(ax, trace, shown)
    low = float(np.nanmin(shown))
    ax.set_ylim(low - 0.06 * (1 - low) - 1e-3, 1 + 0.06 * (1 - low) + 1e-3)
    ax.set_ylabel(look.LABELS["alignment"].paper)
    marks.layer_key(fig, ax, trace)
    marks.step_axes([ax], trace)
    changes.draw_changes([ax], trace)
    changes.draw_cursor([ax], trace, step)
    return fig
