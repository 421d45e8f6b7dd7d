"""How much did each layer's energy weigh, step by step? The precisions as they were applied."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from workbench import look
from workbench.views import bands, changes, marks, screen

TITLE = "Precision over steps"
NEEDS = ("precision",)

CURVES = (bands.Curve("precision", log=True),)
"""What is drawn over several relaxations."""


def measure(trace: xr.Dataset, step: int | None = None) -> xr.Dataset:
    """Precision of each layer as applied, (step, layer)."""
    marks.need(trace, "precision", NEEDS)
    found = trace[["precision"]].transpose("step", "layer", ...)
    marks.need_numbers("precision", "the precision", found["precision"])
    return found


def view(trace: xr.Dataset) -> Any:
    """A map for the screen; a precision of zero has its own colour."""
    found, trace = marks.shown(measure(trace), trace)
    values = found["precision"].where(found["precision"] > 0).values
    return screen.layer_mesh(trace, values, "precision", look.LIGHT.precision)


@marks.on_paper
def figure(trace: xr.Dataset, step: int | None = None) -> Figure:
    """A map of step by layer with logarithmic colours; a precision of zero has its own."""
    found, trace = marks.shown(measure(trace), trace)
    values = found["precision"].values.astype(float)
    fig = marks.sheet(2.3)
    ax = fig.subplots()
    shown = np.where(values > 0, values, np.nan)
    drawn = marks.layer_map(ax, trace, shown, look.PAPER.precision, marks.log_norm(shown))
    marks.colour_bar(fig, ax, drawn, "precision")
    changes.draw_changes([ax], trace, shift=-0.5)
    changes.draw_cursor([ax], trace, step)
    marks.ground(ax, fig, {"zero": values == 0, "not finite": ~np.isfinite(values)}, trace)
    return fig
