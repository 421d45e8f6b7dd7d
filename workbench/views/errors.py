"""How wrong is each layer about the one above it? RMS error over steps."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from workbench import look, measures
from workbench.views import bands, changes, marks, screen

TITLE = "Errors of layers"
NEEDS = ("error",)

CURVES = (bands.Curve("error", log=True, masked="reached"),)
"""What is drawn over several relaxations."""


def measure(trace: xr.Dataset, step: int | None = None) -> xr.Dataset:
    """RMS error of each layer, and whether it is reached, (step, layer).

    Where no energy was recorded, nothing tells rounding from errors, and all that is not zero
    counts as reached.
    """
    marks.need(trace, "errors", NEEDS)
    found = xr.Dataset({"error": trace["error"].transpose("step", "layer")})
    found["reached"] = found["error"] > 0
    why = "no layer has one above zero"
    if "energy" in trace:
        unknown = np.isnan(trace["energy"]) & np.isfinite(found["error"])
        found["reached"] = measures.reached(trace) | (unknown & found["reached"])
        why = "no layer is above its rounding floor"
    marks.need_numbers("errors", "the error", found["error"].where(found["reached"]), why)
    return found


def view(trace: xr.Dataset) -> Any:
    """One curve for each layer, for the screen."""
    found, trace = marks.shown(measure(trace), trace)
    return screen.layer_curves(trace, _shown(found), "error", log=True)


@marks.on_paper
def figure(trace: xr.Dataset, step: int | None = None) -> Figure:
    """One line for each layer from the step on which it is reached."""
    found, trace = marks.shown(measure(trace), trace)
    shown = _shown(found)
    fig = marks.sheet(2.1)
    ax = fig.subplots()
    marks.layer_lines(ax, trace, shown)
    marks.log_axis(ax, shown)
    ax.set_ylabel(look.LABELS["error"].paper)
    marks.layer_key(fig, ax, trace)
    marks.step_axes([ax], trace)
    changes.draw_changes([ax], trace)
    changes.draw_cursor([ax], trace, step)
    return fig


def _shown(found: xr.Dataset) -> Any:
    """Errors of reached layers, (rows, L); nan elsewhere."""
    error = found["error"].values.astype(float)
    return np.where(found["reached"].values & (error > 0), error, np.nan)
