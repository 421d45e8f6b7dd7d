"""Where is the energy, step by step? A map of step by layer."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from workbench import look, measures
from workbench.views import bands, changes, marks, screen

TITLE = "Energy over steps"
NEEDS = ("energy",)

CURVES = (bands.Curve("energy", log=True, masked="reached"),)
"""What is drawn over several relaxations."""


def measure(trace: xr.Dataset, step: int | None = None) -> xr.Dataset:
    """Energy of each layer, its rounding floor, and on which side it is, (step, layer)."""
    marks.need(trace, "energy_time", NEEDS)
    found = xr.Dataset(
        {
            "energy": trace["energy"].transpose("step", "layer"),
            "floor": measures.floor(trace),
            "reached": measures.reached(trace),
            "rounding": measures.rounding(trace),
        }
    )
    shown = found["energy"].where(found["reached"])
    marks.need_numbers("energy_time", "energy", shown, "no layer is above its rounding floor")
    return found


def view(trace: xr.Dataset) -> Any:
    """A map for the screen; what is not reached and what is rounding have their own colours."""
    found, trace = marks.shown(measure(trace), trace)
    values = found["energy"].where(found["reached"]).values
    drawn = screen.layer_mesh(trace, values, "energy", look.LIGHT.energy)
    noise = measures.noise_of(found["energy"], found["reached"])
    return drawn * screen.noise_cells(trace, noise) if noise.any() else drawn


@marks.on_paper
def figure(trace: xr.Dataset, step: int | None = None) -> Figure:
    """The same map, one column wide, with logarithmic colours."""
    found, trace = marks.shown(measure(trace), trace)
    energy = found["energy"].values.astype(float)
    fig = marks.sheet(2.3)
    ax = fig.subplots()
    shown = np.where(found["reached"], energy, np.nan)
    drawn = marks.layer_map(ax, trace, shown, look.PAPER.energy, marks.log_norm(shown))
    marks.colour_bar(fig, ax, drawn, "energy")
    changes.draw_changes([ax], trace, shift=-0.5)
    changes.draw_cursor([ax], trace, step)
    noise = measures.noise_of(energy, found["reached"])
    names = {
        look.LABELS["unreached"].math: found["rounding"].values & ~noise,
        f"rounding of {look.dtype_of(trace.attrs['eps'])}": noise,
        "not finite": ~np.isfinite(energy),
    }
    marks.ground(ax, fig, names, trace)
    return fig
