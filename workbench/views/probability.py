"""Which class does the output believe in? Softmax of its prediction for one sample, by step."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from workbench import look, measures
from workbench.views import bands, changes, marks, screen

TITLE = "Class probabilities"
NEEDS = ("probability",)

CURVES = (bands.Curve("confidence"),)
"""What is drawn over several relaxations."""

MOST_NAMED = 10
"""Classes that are named at the end of their lines."""


def measure(trace: xr.Dataset, step: int | None = None, sample: int = 0) -> xr.Dataset:
    """Probability of each class for one sample of the step's batch, (step, class)."""
    marks.need(trace, "probability", NEEDS)
    samples = trace.sizes["sample"]
    if not 0 <= sample < samples:
        raise ValueError(f"probability.sample: {sample}; an integer 0..{samples - 1}")
    one = _one_batch(trace, step)
    found = one[["probability"]].isel(sample=sample).transpose("step", "class", ...)
    marks.need_numbers("probability", "the probability", found["probability"])
    return found


def shared(trace: xr.Dataset, step: int | None = None) -> xr.Dataset:
    """Largest probability of a class, mean over the samples, (step): it needs no labels."""
    marks.need(trace, "probability", NEEDS)
    largest = trace["probability"].max("class").mean("sample")
    about = {"units": "1", "long_name": "largest probability of a class, mean over samples"}
    return xr.Dataset({"confidence": largest.assign_attrs(about)})


def view(trace: xr.Dataset) -> Any:
    """One curve for each class of the first sample of the last batch, for the screen."""
    found = measure(trace)
    trace = _one_batch(trace, None)
    hv = screen.bokeh()
    axis, label = marks.steps(trace)[1].plain, look.LABELS["probability"].plain
    x, y = marks.steps(trace)[0], found["probability"].values
    true = _label(trace, 0)
    curves = [
        hv.Curve((x, y[:, k]), axis, label).opts(
            color=look.LIGHT.accent if k == true else look.LIGHT.ghost
        )
        for k in range(y.shape[1])
    ]
    ends = [x[-1]] * y.shape[1], y[-1], [f" {k}" for k in range(y.shape[1])]
    names = hv.Labels(ends, [axis, label], "class").opts(
        text_font_size="8pt", text_align="left", text_color=look.LIGHT.muted
    )
    drawn = hv.Overlay([*curves, names, *screen.change_lines(trace)])
    return drawn.opts(responsive=True, height=300, padding=0.04)


@marks.on_paper
def figure(trace: xr.Dataset, step: int | None = None, sample: int = 0) -> Figure:
    """One line for each class, named at its end; the true class stands out."""
    y = measure(trace, step, sample)["probability"].values
    several = len(np.unique(trace["batch"].values)) > 1
    trace = _one_batch(trace, step)
    x, true = marks.steps(trace)[0], _label(trace, sample)
    fig = marks.sheet(2.1)
    ax = fig.subplots()
    for k in range(y.shape[1]):
        style = {"color": look.PAPER.ghost, "lw": 0.8}
        if k == true:
            style = {"color": look.PAPER.accent, "lw": 1.4, "zorder": 3}
        marks.line(ax, x, y[:, k], **style)
    ax.set_ylabel(look.LABELS["probability"].paper)
    batch = f"batch {int(trace['batch'].values[0])}, " if several else ""
    ax.set_title(f"{batch}sample {sample}" + ("" if true is None else f": class {true}"))
    marks.step_axes([ax], trace)
    low, high = float(np.nanmin(y)), float(np.nanmax(y))
    room = max(0.06 * (high - low), 0.005)
    ax.set_ylim(max(low - room, -0.02), min(high + room, 1.02))
    _names(ax, y[-1], true)
    changes.draw_changes([ax], trace)
    changes.draw_cursor([ax], trace, step)
    return fig


def _one_batch(trace: xr.Dataset, step: int | None) -> xr.Dataset:
    """The rows of the batch that a step is of: a slot holds another sample in the next one."""
    batch = trace["batch"].values
    return trace.isel(step=np.flatnonzero(batch == batch[measures.row_at(trace, step)]))


def _label(trace: xr.Dataset, sample: int) -> int | None:
    """The class of the sample, where the trace knows it."""
    batch = trace["batch"].values[0]
    if "label" not in trace or batch not in trace["shown_batch"].values:
        return None
    found = int(trace["label"].sel(shown_batch=batch).values[sample])
    return found if found >= 0 else None  # a smaller batch has fewer samples


def _names(ax: Axes, last: NDArray[Any], true: int | None) -> None:
    """The number of each class at the end of its line, moved apart where lines end together."""
    if not np.isfinite(last).all():
        return
    chosen = np.argsort(-last)[:MOST_NAMED]
    chosen = np.union1d(chosen, [] if true is None else [true]).astype(int)
    low, high = ax.get_ylim()
    gap = 0.062 * (high - low)
    order = chosen[np.argsort(last[chosen])]
    at = apart(last[order], gap)
    at += min(0.0, high - at[-1])
    left, right = ax.get_xlim()
    end, edge = right - 0.015 / 1.03 * (right - left), right + 0.02 * (right - left)
    for k, y in zip(order, at, strict=True):
        colour = look.PAPER.accent if k == true else look.PAPER.muted
        ax.plot([end, edge], [last[k], y], color=colour, lw=0.4, clip_on=False)
        text = ax.text(edge, y, f" {k}", fontsize=marks.TEXT, color=colour, va="center")
        text.set_fontweight("bold" if k == true else "normal")
    ax.set_xlim(left, right)


def apart(at: NDArray[Any], gap: float) -> NDArray[Any]:
    """Rising positions, moved as little as needed (least squares) to lie at least a gap apart."""
    steps = gap * np.arange(len(at))
    blocks: list[list[float]] = []
    for value in np.asarray(at, dtype=float) - steps:
        blocks.append([value])
        while len(blocks) > 1 and np.mean(blocks[-2]) > np.mean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    return np.concatenate([np.full(len(b), np.mean(b)) for b in blocks]) + steps
