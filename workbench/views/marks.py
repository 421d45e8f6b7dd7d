"""What do all figures draw alike? Step axes, lines, maps and keys of layers."""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import (
    LogFormatterSciNotation,
    LogLocator,
    MaxNLocator,
    NullFormatter,
)
from numpy.typing import NDArray

from workbench import look, measures
from workbench.sheet import is_part
from workbench.sheet import sheet as sheet

HINTS = {
    "alignment": "record it with align=True",
    "update_ratio": "record it with align=True",
    "agreement": "record it with align=True",
    "prediction_drift": "record at level full",
    "force": "record at level full",
    "energy_sample": "record at level full",
    "probability": "only tasks with a label to predict have it",
    "prediction": "only tasks with an image at the output have it",
    "swept": "only the tasks reconstruct and recall have it",
    "image": "only tasks whose image is free have it",
}

MOST_BATCHES = 30
"""Beyond this number of batches each is drawn by its last row."""

TEXT = 6.5
"""Size of the text at marks, in points."""

MOST_POINTS = 30_000
"""Lines with more points are drawn as pixels, so that a PDF stays small."""


def on_paper(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in the paper's style, and lay out before the style is gone.

    The layout's solver differs in the last digit from one run to the next; rounded and frozen, the
    same trace gives the same bytes. A panel of a larger figure is left to that one.
    """

    @functools.wraps(draw)
    def drawn(*args: Any, **kwargs: Any) -> Figure:
        if is_part():
            return draw(*args, **kwargs)
        with look.paper_style():
            return frozen(draw(*args, **kwargs))

    return drawn


def frozen(figure: Figure) -> Figure:
    """The figure with its axes where the layout has put them."""
    figure.draw_without_rendering()  # ticks are made late, with the style of that moment
    figure.set_layout_engine("none")
    for part in figure.subfigs:
        part.bbox_relative.set_points(np.round(part.bbox_relative.get_points(), 6))
    for ax in figure.axes:
        ax.set_position(np.round(ax.get_position(original=True).bounds, 6).tolist())
    return figure


def need(trace: xr.Dataset, view: str, names: Iterable[str]) -> None:
    """Refuse a trace that has not recorded what a view draws.

    Raises:
        ValueError: naming the view and what is missing.
    """
    missing = [name for name in names if name not in trace]
    if missing:
        hint = next((f"; {HINTS[name]}" for name in missing if name in HINTS), "")
        if "by" in trace.attrs:
            hint = f"; not logged by {trace.attrs['by']}"
        raise ValueError(f"{view}: the trace has no {', '.join(missing)}{hint}")
    if not trace.sizes.get("step", 0):
        raise ValueError(f"{view}: the trace has no rows")


def need_numbers(view: str, name: str, values: Any, why: str = "") -> None:
    """Refuse values of which none is finite.

    Raises:
        ValueError: naming the view and the quantity.
    """
    if not np.isfinite(np.asarray(values, dtype=float)).any():
        raise ValueError(f"{view}: no finite value of {name}{'; ' + why if why else ''}")


def shown(found: xr.Dataset, trace: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """The rows of a measure and its trace that are drawn over steps.

    Of many batches it is the last row of each complete one: the row that the weights see. The
    relaxations themselves would be a wall of lines.
    """
    batch = trace["batch"].values
    if len(np.unique(batch)) <= MOST_BATCHES:
        return found, trace
    last = np.flatnonzero(np.diff(batch, append=batch[-1] + 1))
    complete = last[trace["t"].values[last] >= trace["T"].values[last]]
    rows = complete if len(complete) else last
    return found.isel(step=rows), trace.isel(step=rows)


def one_per_batch(trace: xr.Dataset) -> bool:
    """Whether each of several batches has one row."""
    batch = trace["batch"].values
    return len(batch) > 1 and bool((np.diff(batch) != 0).all())


def steps(trace: xr.Dataset) -> tuple[NDArray[Any], look.Label]:
    """The step axis: t within one phase of one batch, batches where each has one row, else rows."""
    batch, phase = trace["batch"].values, trace["phase"].values
    if (batch == batch[0]).all() and (phase == phase[0]).all():
        return trace["t"].values, look.LABELS["step"]
    if one_per_batch(trace):
        return batch, look.LABELS["batch"]
    several = not (phase == phase[0]).all()
    return trace["step"].values, look.LABELS["phase_row" if several else "row"]


def place(trace: xr.Dataset, step: Any) -> Any:
    """Where on the step axis a row (by its `step`) lies."""
    return steps(trace)[0][np.searchsorted(trace["step"].values, step)]


def said(trace: xr.Dataset, row: int) -> str:
    """A row in words: its step, and its phase and its batch where there are several."""
    t, batch, phase = int(trace["t"].values[row]), trace["batch"].values, trace["phase"].values
    found = f"step $t={t}$"
    if not (phase == phase[0]).all():
        found = f"{phase[row]}, {found}"
    if not (batch == batch[0]).all():
        found = f"batch {int(batch[row])}, {found}"
    return found


def broken(trace: xr.Dataset, *values: NDArray[Any]) -> list[NDArray[Any]]:
    """The step axis and values over it, (rows, ...), with a gap where a batch or a phase begins."""
    x = steps(trace)[0].astype(float)
    at = np.searchsorted(trace["step"].values, measures.phase_starts(trace))
    if one_per_batch(trace):
        at = at[:0]
    return [np.insert(np.asarray(v, dtype=float), at, np.nan, axis=0) for v in (x, *values)]


def line(ax: Axes, x: NDArray[Any], y: NDArray[Any], **style: Any) -> None:
    """A curve with gaps; a value that stands alone between gaps is a dot."""
    style.setdefault("rasterized", y.size > MOST_POINTS)
    ax.plot(x, y, **style)
    alone = _lonely(y)
    if alone.any():
        ax.plot(x[alone], y[alone], "o", ms=2, color=style.get("color"))


def layer_lines(ax: Axes, trace: xr.Dataset, values: NDArray[Any]) -> None:
    """One line for each layer, (rows, L), in the colours of their depth."""
    x, y = broken(trace, values)
    for k, colour in enumerate(look.layer_colours(y.shape[1])):
        line(ax, x, y[:, k], color=colour, rasterized=y.size > MOST_POINTS)


def _lonely(y: NDArray[Any]) -> NDArray[np.bool_]:
    """Values without a neighbour, which a line cannot show."""
    there = np.concatenate(([False], np.isfinite(y), [False]))
    return there[1:-1] & ~there[:-2] & ~there[2:]


def layer_key(fig: Figure, axes: Any, trace: xr.Dataset) -> None:
    """A small strip that says which colour is which layer."""
    layers = trace["layer"].values
    n = len(layers)
    edges = np.arange(n + 1) - 0.5
    cmap = ListedColormap(look.layer_colours(n))
    mappable = ScalarMappable(BoundaryNorm(edges, n), cmap)
    bar = fig.colorbar(mappable, ax=axes, aspect=32, pad=0.015, spacing="proportional")
    bar.outline.set_visible(False)
    shown = layer_ticks(layers)
    bar.set_ticks(shown, labels=[layer_names(trace)[k] for k in shown])
    bar.ax.tick_params(length=0, pad=1.5, labelsize=TEXT)
    bar.ax.minorticks_off()
    bar.ax.set_xlabel(look.LABELS["layer"].math, fontsize=7, labelpad=14, loc="right")


def layer_names(trace: xr.Dataset) -> list[str]:
    """What axes call each layer: its name where it has one, else its number."""
    numbers = [str(layer) for layer in trace["layer"].values]
    if "layer_name" not in trace.coords:
        return numbers
    names = [str(name) for name in trace["layer_name"].values]
    return [name or number for name, number in zip(names, numbers, strict=True)]


def layer_ticks(layers: NDArray[Any]) -> list[int]:
    """Which of the layers are named: all of them, or those of round numbers."""
    every = next((n for n in (1, 2, 5, 10, 20, 50) if len(layers) <= 12 * n), 100)
    return [k for k, layer in enumerate(layers) if every == 1 or layer % every == 0]


def layer_axis(ax: Axes, trace: xr.Dataset, which: str) -> None:
    """Names of layers on the "x" or "y" axis, on which layer k of L is at k = 0 to L - 1."""
    shown, names = layer_ticks(trace["layer"].values), layer_names(trace)
    axis = getattr(ax, f"{which}axis")
    axis.set_ticks(shown, labels=[names[k] for k in shown])
    if which == "x" and any(len(names[k]) > 3 for k in shown):
        axis.set_tick_params(rotation=40)
    axis.set_label_text(look.LABELS["layer"].math)


def layer_map(
    ax: Axes, trace: xr.Dataset, values: NDArray[Any], cmap: str, norm: Normalize
) -> ScalarMappable:
    """Cells, step by layer, from values (rows, L); cells that are nan show the ground below."""
    x = edges_of(steps(trace)[0])
    y = np.arange(values.shape[1] + 1) - 0.5
    drawn = ax.pcolormesh(
        x, y, np.ma.masked_invalid(values.T), cmap=cmap, norm=norm, rasterized=True
    )
    ax.set_xlabel(steps(trace)[1].paper)
    layer_axis(ax, trace, "y")
    whole_steps(ax)
    ax.spines[["top", "right"]].set_visible(True)
    return drawn


def ground(ax: Axes, fig: Figure, names: dict[str, NDArray[Any]], trace: xr.Dataset) -> None:
    """Colour the cells that have no value, with a legend entry for each reason that occurs.

    Args:
        ax: of the map.
        fig: gets the legend, in its lower corners.
        names: which cells, (rows, L), under each reason; the first has the hatched ground, the
            last the colour that calls for attention, one between them a plain grey.
        trace: one lane.
    """
    hatched = {"facecolor": look.PAPER.unreached, "hatch": "//////", "edgecolor": look.PAPER.ghost}
    grey, bad = ({"facecolor": c, "edgecolor": c} for c in (look.PAPER.ghost, look.PAPER.accent))
    look_of: list[dict[str, Any]] = [hatched, grey, bad] if len(names) > 2 else [hatched, bad]
    x, handles = edges_of(steps(trace)[0]), []
    for k, (name, where) in enumerate(names.items()):
        if not where.any():
            continue
        handles.append(Patch(label=name, linewidth=0.4, **look_of[k]))
        if k == 0:
            ax.patch.set(**look_of[k], linewidth=0)
            continue
        cells = np.ma.masked_where(~where.T, np.ones(where.T.shape))
        y = np.arange(where.shape[1] + 1) - 0.5
        colour = ListedColormap([look_of[k]["facecolor"]])
        ax.pcolormesh(x, y, cells, cmap=colour, rasterized=True)
    for some, corner in ((handles[:1], "lower right"), (handles[1:], "lower left")):
        # Beside the label of the step axis, where no room has to be made.
        if some:
            style: dict[str, Any] = {"loc": corner, "ncols": 2, "borderaxespad": 0.1}
            fig.legend(handles=some, **style).set_in_layout(False)


def edges_of(x: NDArray[Any]) -> NDArray[Any]:
    """Borders of cells around the points x."""
    x = np.asarray(x, dtype=float)
    if len(x) == 1:
        return np.array([x[0] - 0.5, x[0] + 0.5])
    middle = (x[1:] + x[:-1]) / 2
    return np.concatenate(([2 * x[0] - middle[0]], middle, [2 * x[-1] - middle[-1]]))


def log_norm(values: NDArray[Any]) -> LogNorm:
    """A logarithmic scale over the positive values, at least a decade wide."""
    there = values[np.isfinite(values) & (values > 0)]
    low, high = (float(there.min()), float(there.max())) if len(there) else (1.0, 1.0)
    return LogNorm(min(low, high / 10), high)


def colour_bar(fig: Figure, ax: Axes, drawn: ScalarMappable, name: str) -> None:
    """The scale of a map, labelled in whole decades."""
    bar = fig.colorbar(drawn, ax=ax, pad=0.02, aspect=24)
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    bar.set_label(look.LABELS[name].paper)


def log_axis(ax: Axes, values: NDArray[Any]) -> bool:
    """A logarithmic y axis, or a linear one where the values span less than a decade.

    Returns:
        Whether it is logarithmic.
    """
    values = values[np.isfinite(values) & (values > 0)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (1.0, 1.0)
    if high < 10 * low:
        ax.margins(y=0.08)
        ax.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
        return False
    room = (high / low) ** 0.06
    ax.set_yscale("log")
    ax.set_ylim(low / room, high * room)
    few = high < 100 * low
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 3) if few else (1,), numticks=6))
    ax.yaxis.set_major_formatter(LogFormatterSciNotation(minor_thresholds=(np.inf, np.inf)))
    ax.yaxis.set_minor_formatter(NullFormatter())
    return True


def whole_steps(ax: Axes) -> None:
    """Ticks at whole steps."""
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))


def step_axes(axes: Sequence[Axes], trace: xr.Dataset) -> None:
    """One step axis for all panels, labelled at the lowest one."""
    x, label = steps(trace)
    wide = max(float(x[-1] - x[0]), 1.0)
    for ax in axes:
        ax.set_xlim(x[0] - 0.015 * wide, x[-1] + 0.015 * wide)
        whole_steps(ax)
    for ax in axes[:-1]:
        ax.tick_params(labelbottom=False)
    axes[-1].set_xlabel(label.paper)
