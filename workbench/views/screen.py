"""What do all views draw alike on a screen? Curves and maps of layers, marks of changes."""

import builtins
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from workbench import look, measures
from workbench.views.marks import (
    broken,
    edges_of,
    layer_names,
    layer_ticks,
    log_norm,
    place,
    steps,
)


def bokeh() -> Any:
    """Holoviews with a backend: imported only when a notebook asks, because it is slow."""
    import holoviews

    if hasattr(builtins, "__IPYTHON__"):
        # A backend may be there without this: Panel brings it, but leaves elements as text.
        if not holoviews.extension._loaded:
            _bring_all(holoviews)
    elif not holoviews.Store.renderers:
        holoviews.extension("bokeh")
    return holoviews


def _bring_all(holoviews: Any) -> None:
    """Put scripts and styles into the notebook, which would fetch them from elsewhere."""
    import panel
    from bokeh.models import UIElement
    from panel.io.notebook import patch_inline_stylesheets

    def styles(_: Any, root: Any) -> None:
        for model in root.select({"type": UIElement}):
            patch_inline_stylesheets(model)

    # Of widgets; elements are drawn past it. A property to type checkers, a parameter to Panel.
    panel.config.inline = True  # type: ignore
    panel.viewable.Viewable._preprocessing_hooks.append(styles)
    holoviews.extension("bokeh", inline=True, logo=False)


def layer_curves(trace: xr.Dataset, values: NDArray[Any], name: str, *, log: bool) -> Any:
    """For the screen: one curve for each layer, with marks at changes of the recipe."""
    hv = bokeh()
    label = look.LABELS[name]
    x, y = broken(trace, values)
    axis = steps(trace)[1].plain
    curves = [
        hv.Curve((x, y[:, k]), axis, label.plain, label=f"layer {layer}").opts(color=colour)
        for k, (layer, colour) in enumerate(
            zip(layer_names(trace), look.layer_colours(y.shape[1]), strict=True)
        )
    ]
    drawn = hv.Overlay([*curves, *change_lines(trace)])
    return drawn.opts(logy=log, responsive=True, height=300, legend_position="right")


def layer_mesh(trace: xr.Dataset, values: NDArray[Any], name: str, cmap: str) -> Any:
    """For the screen: a map of step by layer, (rows, L), with a colour of its own for nan."""
    hv = bokeh()
    x, label = steps(trace)
    layers = trace["layer"].values
    edges = edges_of(x), np.append(layers, layers[-1] + 1) - 0.5
    axes = [label.plain, look.LABELS["layer"].plain]
    norm = log_norm(values)
    drawn = hv.QuadMesh((*edges, values.T), axes, look.LABELS[name].plain).opts(
        cmap=cmap,
        clim=(norm.vmin, norm.vmax),
        logz=True,
        colorbar=True,
        bgcolor=look.LIGHT.unreached,
        clipping_colors={"NaN": look.LIGHT.unreached},
        responsive=True,
        height=300,
        tools=["hover"],
        yticks=[(int(layers[k]), layer_names(trace)[k]) for k in layer_ticks(layers)],
    )
    return hv.Overlay([drawn, *change_lines(trace, shift=-0.5)])


def noise_cells(trace: xr.Dataset, noise: NDArray[np.bool_]) -> Any:
    """For the screen: cells of a map, (rows, L), whose energy is below the rounding floor."""
    hv = bokeh()
    said = f"below the rounding floor of {look.dtype_of(trace.attrs['eps'])}"
    x, label = steps(trace)
    layers = trace["layer"].values
    left, bottom = edges_of(x), np.append(layers, layers[-1] + 1) - 0.5
    axes = [label.plain, look.LABELS["layer"].plain, "right", "top"]
    row, k = np.nonzero(noise)
    cells = (left[row], bottom[k], left[row + 1], bottom[k + 1])
    return hv.Rectangles(cells, axes, label=said).opts(
        color=look.LIGHT.ghost, line_width=0, tools=["hover"], show_legend=True
    )


def change_lines(trace: xr.Dataset, shift: float = 0.0) -> list[Any]:
    """For the screen: a mark for each change of the recipe."""
    hv = bokeh()
    return [
        hv.VLine(place(trace, step) + shift, label=text).opts(
            color=look.PAPER.ink, line_dash="dashed", line_width=1
        )
        for step, text in measures.changes(trace)
    ]
