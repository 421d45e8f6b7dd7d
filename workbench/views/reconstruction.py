"""What does the network see at this step? Its images beside the input, and their error."""

import json
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from workbench import look, measures
from workbench.sheet import width
from workbench.views import bands, changes, marks, screen

TITLE = "Images"
NEEDS = ("frame",)

CURVES = tuple(
    bands.Curve(name, log=True, over="frame")
    for name in ("prediction_mse", "swept_mse", "image_mse")
)
"""What is drawn over several relaxations."""

ROWS = {
    "input": "input",
    "prediction": r"$\mu_L$",
    "swept": "sweep",
    "image": "$h$",
}
"""The images a trace may hold, in the order in which they are drawn."""

COLOURS = {"prediction": look.PAPER.ghost, "swept": look.PAPER.ink, "image": look.PAPER.accent}
"""Of their errors."""

MOST_SHOWN = 8

LARGEST = 1.5
"""Side of an image, in inches."""


def measure(trace: xr.Dataset, step: int | None = None) -> xr.Dataset:
    """Mean squared error of the images, (frame, sample); mean pixel where there is none."""
    _check(trace)
    names = [f"{name}_mse" for name in ROWS if f"{name}_mse" in trace]
    if names:
        found = trace[names].transpose("frame", "sample", ...)
        marks.need_numbers("reconstruction", "MSE", found[names[-1]])
        return found
    name = next(name for name in ("image", "swept", "prediction") if name in trace)
    pixels = trace[name].mean(("channel", "row", "column"))
    about = {"units": "pixel", "long_name": f"mean pixel: {name}"}
    return xr.Dataset({"brightness": pixels.assign_attrs(about)})


def shared(trace: xr.Dataset, step: int | None = None) -> xr.Dataset:
    """Mean squared error of the images, mean over the samples, (frame)."""
    _check(trace)
    names = [curve.name for curve in CURVES if curve.name in trace]
    if not names:
        raise ValueError("reconstruction: the trace has no error of images to draw over several")
    return trace[names].mean("sample", keep_attrs=True)


def images(trace: xr.Dataset, step: int | None = None) -> dict[str, NDArray[Any]]:
    """What is to be seen at a step (the last by default): name -> (S, C, H, W)."""
    _check(trace)
    frame = _frame(trace, step)
    found = {}
    row = measures.row_at(trace, int(trace["frame_step"].values[frame]))
    batch = trace["batch"].values[row]
    # A free image that is compared with nothing has nothing to do with the batch's own.
    alone = "image" in trace and "image_mse" not in trace
    if "input" in trace and not alone and batch in trace["shown_batch"].values:
        found["input"] = trace["input"].sel(shown_batch=batch).values[:MOST_SHOWN]
    for name in ("prediction", "swept", "image"):
        if name in trace:
            found[name] = trace[name].isel(frame=frame).values[:MOST_SHOWN]
    return found


def view(trace: xr.Dataset) -> Any:
    """The images of the last step for the screen."""
    hv = screen.bokeh()
    shown = images(trace)
    low, high = _range(trace, shown)
    rows = []
    for name, values in shown.items():
        for picture in values:
            grey = np.clip(((picture - low) / (high - low)).mean(0), 0, 1)
            drawn = hv.Image(grey, label=name)
            rows.append(
                drawn.opts(
                    cmap=look.LIGHT.image,
                    clim=(0, 1),
                    xaxis=None,
                    yaxis=None,
                    width=110,
                    height=110,
                )
            )
    return hv.Layout(rows).cols(max(len(v) for v in shown.values()))


@marks.on_paper
def figure(trace: xr.Dataset, step: int | None = None) -> Figure:
    """The images at one step, and below them the error over steps."""
    shown = images(trace, step)
    found = measure(trace, step)
    count = max(len(v) for v in shown.values())
    side = min(width() * 0.88 / count, LARGEST)
    errors = "brightness" not in found
    heights = [side * len(shown), 1.4][: 1 + errors]
    fig = marks.sheet(sum(heights) + 0.25, grows=False)
    parts = fig.add_gridspec(len(heights), 1, height_ratios=heights)
    sheet = parts[0].subgridspec(len(shown), count).subplots(squeeze=False)
    _pictures(sheet, shown, _range(trace, shown))
    row = measures.row_at(trace, int(trace["frame_step"].values[_frame(trace, step)]))
    fig.suptitle(marks.said(trace, row), x=0.01, ha="left")
    if errors:
        _errors(fig.add_subplot(parts[1]), trace, found, row)
    return fig


def _check(trace: xr.Dataset) -> None:
    names = [name for name in ("prediction", "swept", "image") if name in trace]
    if not names or not trace.sizes.get("frame", 0):
        hint = "the tasks dream, generate, recall and reconstruct have them"
        if "by" in trace.attrs:
            hint = f"not logged by {trace.attrs['by']}"
        raise ValueError(f"reconstruction: the trace has no images; {hint}")
    for name in names:
        marks.need_numbers("reconstruction", name, trace[name].values)


def _frame(trace: xr.Dataset, step: int | None) -> int:
    """The recorded frame nearest to a step."""
    at = trace["frame_step"].values
    return len(at) - 1 if step is None else int(np.abs(at - step).argmin())


def _range(trace: xr.Dataset, shown: dict[str, NDArray[Any]]) -> tuple[Any, Any]:
    """Darkest and brightest pixel: of each channel where they differ, else the input's if any."""
    if "black" in trace.attrs:
        low, high = (
            np.array(json.loads(trace.attrs[name]))[:, None, None] for name in ("black", "white")
        )
        return low, high
    values = shown.get("input")
    if values is None:
        values = np.concatenate([v.ravel() for v in shown.values()])
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return (low, high) if high > low else (low, low + 1)


def _pictures(axes: NDArray[Any], shown: dict[str, NDArray[Any]], pixels: tuple[Any, Any]) -> None:
    low, high = pixels
    for line, (name, values) in zip(axes, shown.items(), strict=True):
        for ax, picture in zip(line, values, strict=False):
            scaled = np.clip((picture - low) / (high - low), 0, 1).transpose(1, 2, 0)
            grey = scaled.shape[2] == 1
            ax.imshow(
                scaled[..., 0] if grey else scaled,
                cmap=look.PAPER.image if grey else None,
                vmin=0,
                vmax=1,
                interpolation="nearest",
            )
        for ax in line:
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        line[0].set_ylabel(ROWS[name], rotation=0, ha="right", va="center", labelpad=4)


def _errors(ax: Axes, trace: xr.Dataset, found: xr.Dataset, row: int) -> None:
    """Median over samples as a line, the middle half of them as a band."""
    at = np.searchsorted(trace["step"].values, trace["frame_step"].values)
    at = np.minimum(at, trace.sizes["step"] - 1)
    x = marks.steps(trace)[0][at]
    for name in found.data_vars:
        values = found[name].transpose("frame", "sample").values.astype(float)
        low, middle, high = np.quantile(values, (0.25, 0.5, 0.75), axis=1)
        drawn = str(name).removesuffix("_mse")
        colour = COLOURS[drawn]
        ax.fill_between(x, low, high, color=colour, alpha=0.2, lw=0)
        marks.line(ax, x, middle, color=colour, label=ROWS[drawn])
    marks.log_axis(ax, np.concatenate([found[name].values.ravel() for name in found.data_vars]))
    ax.set_ylabel("MSE (pixel$^2$)")
    ax.legend(loc="best", ncols=len(found.data_vars))
    marks.step_axes([ax], trace)
    changes.draw_changes([ax], trace)
    ax.axvline(marks.steps(trace)[0][row], color=look.PAPER.accent, lw=0.8)
