"""How far have the predictions moved, beside how wrong they are? Drift and error over steps."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from workbench import look, measures
from workbench.views import bands, changes, marks, screen

TITLE = "Drift of predictions"
NEEDS = ("prediction_drift", "error", "energy")

CURVES = (
    bands.Curve("prediction_drift", log=True),
    bands.Curve("error", log=True, masked="reached"),
)
"""What is drawn over several relaxations."""


def measure(trace: xr.Dataset, step: int | None = None) -> xr.Dataset:
    """RMS of each prediction's way since t = 0, RMS error, and whether reached, (step, layer).

    A drift as large as the error means that the network below has come to meet the layer.
    """
    marks.need(trace, "drift", NEEDS)
    found = trace[["prediction_drift", "error"]].transpose("step", "layer", ...)
    found["reached"] = measures.reached(trace)
    marks.need_numbers("drift", "the drift", found["prediction_drift"])
    return found


def view(trace: xr.Dataset) -> Any:
    """Drift and error for the screen, one above the other."""
    found, trace = marks.shown(measure(trace), trace)
    hv = screen.bokeh()
    panels = [
        screen.layer_curves(trace, values, name, log=True) for name, values in _shown(found).items()
    ]
    return hv.Layout(panels).cols(1)


@marks.on_paper
def figure(trace: xr.Dataset, step: int | None = None) -> Figure:
    """One line for each layer, the drift above and the error below, over the same decades."""
    found, trace = marks.shown(measure(trace), trace)
    shown = _shown(found)
    fig = marks.sheet(3.2)
    axes = list(fig.subplots(2, 1, sharey=True))
    for ax, (name, values) in zip(axes, shown.items(), strict=True):
        marks.layer_lines(ax, trace, values)
        ax.set_ylabel(look.LABELS[name].paper)
    marks.log_axis(axes[0], np.concatenate(list(shown.values())))
    marks.layer_key(fig, axes, trace)
    marks.step_axes(axes, trace)
    changes.draw_changes(axes, trace)
    changes.draw_cursor(axes, trace, step)
    fig.align_ylabels()
    return fig


def _shown(found: xr.Dataset) -> dict[str, Any]:
    """Drift where there is any, and errors of reached layers, (rows, L) each; nan elsewhere."""
    drift, error = (found[name].values.astype(float) for name in ("prediction_drift", "error"))
    return {
        "prediction_drift": np.where(drift > 0, drift, np.nan),
        "error": np.where(found["reached"].values & (error > 0), error, np.nan),
    }
