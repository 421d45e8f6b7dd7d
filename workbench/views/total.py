"""Has it settled? Total energy and residual over steps."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench import look, measures
from workbench.views import bands, changes, marks, screen

TITLE = "Total energy and residual"
NEEDS = ("energy", "precision")

CURVES = (bands.Curve("F", log=True), bands.Curve("residual", log=True))
"""What is drawn over several relaxations."""


def measure(trace: xr.Dataset, step: int | None = None) -> xr.Dataset:
    """F, the bare E, and the residual where forces were recorded, (step)."""
    marks.need(trace, "total", NEEDS)
    found = measures.total_energy(trace)
    marks.need_numbers("total", "energy", found["E"])
    if "force" in trace:
        residual = measures.residual(trace)
        if np.isfinite(residual).any():  # else units of states are not known
            found["residual"] = residual
    return found


def view(trace: xr.Dataset) -> Any:
    """F, E and the residual for the screen, one above the other."""
    found, trace = marks.shown(measure(trace), trace)
    hv = screen.bokeh()
    axis = marks.steps(trace)[1].plain
    panels = []
    for names in (("E", "F"), ("residual",)):
        curves = []
        for name in names:
            if name in found:
                x, y = marks.broken(trace, found[name].values)
                label = look.LABELS[name]
                colour = look.LIGHT.ghost if name == "E" else look.LIGHT.accent
                height = "residual r" if name == "residual" else "energy (nat)"
                curve = hv.Curve((x, y), axis, height, label=label.text)
                curves.append(curve.opts(color=colour))
        if curves:
            drawn = hv.Overlay([*curves, *screen.change_lines(trace)])
            panels.append(drawn.opts(logy=True, title="", responsive=True, height=200))
    return hv.Layout(panels).cols(1)


@marks.on_paper
def figure(trace: xr.Dataset, step: int | None = None) -> Figure:
    """F above (with the bare E where precision makes a difference), the residual below."""
    found, trace = marks.shown(measure(trace), trace)
    panels = 2 if "residual" in found and (found["residual"].values > 0).any() else 1
    fig = marks.sheet(1.6 + 1.1 * (panels - 1))
    axes = list(np.atleast_1d(fig.subplots(panels, 1, height_ratios=[1.4, 1][:panels])))
    weighted = not np.array_equal(found["E"], found["F"], equal_nan=True)
    styles: dict[str, Any] = {"F": {"color": look.PAPER.ink, "label": look.LABELS["F"].math}}
    if weighted:
        bare = {"color": look.PAPER.ghost, "dashes": (4, 1.5), "label": look.LABELS["E"].math}
        styles = {"E": bare, **styles}
    _draw(axes[0], trace, found, styles)
    axes[0].set_ylabel("energy (nat)" if weighted else look.LABELS["F"].paper)
    if weighted:
        axes[0].legend(loc="best")
    if panels == 2:
        _draw(axes[1], trace, found, {"residual": {"color": look.PAPER.ink}})
        axes[1].set_ylabel(look.LABELS["residual"].paper)
    marks.step_axes(axes, trace)
    changes.draw_changes(axes, trace)
    changes.draw_cursor(axes, trace, step)
    fig.align_ylabels()
    return fig


def _draw(ax: Axes, trace: xr.Dataset, found: xr.Dataset, styles: dict[str, Any]) -> None:
    """Curves over one axis; where it is logarithmic, what is not positive leaves a gap."""
    x, *curves = marks.broken(trace, *(found[name].values for name in styles))
    logarithmic = marks.log_axis(ax, np.concatenate(curves))
    for y, style in zip(curves, styles.values(), strict=True):
        marks.line(ax, x, np.where(y > 0, y, np.nan) if logarithmic else y, **style)
