"""How does a view look over several relaxations? Each of its quantities as a line in a band."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from workbench import look, measures, pooled
from workbench.plate import Plate
from workbench.pooled import Pool
from workbench.views import changes, marks, screen

ALPHA = 0.22
"""Of a band; those of several layers lie over each other."""

Measure = Callable[[xr.Dataset, int | None], xr.Dataset]


@dataclass(frozen=True)
class Curve:
    """A quantity of a view, as it is drawn over several relaxations.

    Args:
        name: in the measure.
        log: whether its axis is logarithmic where the values span a decade.
        over: "step", "frame" or "layer".
        masked: a variable of the measure that says where there is a value, or "".
        level: a value that is marked with a thin line.
        label: in `look.LABELS`; its name where it is empty.
    """

    name: str
    log: bool = False
    over: str = "step"
    masked: str = ""
    level: float | None = None
    label: str = ""

    @property
    def titled(self) -> look.Label:
        """What its axis says."""
        return look.LABELS[self.label or self.name]

    def values(self, found: xr.Dataset) -> xr.DataArray:
        """Of a measure; nan where there is none, and where a logarithm would have none."""
        one = found[self.name].astype(float)
        if self.masked:
            one = one.where(found[self.masked])
        return one.where(one > 0) if self.log else one


def measured(module: ModuleType, trace: xr.Dataset, plate: Plate) -> tuple[Pool, xr.Dataset]:
    """The relaxations of a figure, and centre, band and number of what a view draws of them.

    Raises:
        ValueError: if the view has nothing to draw of them.
    """
    name = module.__name__.rpartition(".")[2]
    found = pooled.pool(trace, plate)
    measure: Measure = getattr(module, "shared", module.measure)

    def drawn(one: xr.Dataset) -> xr.Dataset:
        whole = measure(one, plate.step)
        return xr.Dataset({c.name: c.values(whole) for c in module.CURVES if c.name in whole})

    known = pooled.summary(found, drawn)
    bare = [c.name for c in module.CURVES if c.name in known and not _any(known[c.name])]
    known = known.drop_vars([f"{one}{end}" for one in bare for end in ("", "_low", "_high", "_n")])
    if not known.data_vars:
        raise ValueError(f"{name}: no value that more than half of the {found.n} have")
    return found, known


@marks.on_paper
def figure(module: ModuleType, trace: xr.Dataset, plate: Plate) -> Figure:
    """A view over several relaxations, on paper."""
    found, known = measured(module, trace, plate)
    curves = [c for c in module.CURVES if c.name in known]
    first = found.first
    fig = marks.sheet(0.7 + 1.4 * len(curves) if len(curves) < 3 else 1.05 * len(curves))
    axes = list(np.atleast_1d(fig.subplots(len(curves), 1)))
    for ax, curve in zip(axes, curves, strict=True):
        _draw(ax, first, known, curve)
        label = curve.titled.paper
        ax.set_ylabel(label.replace(" (", "\n(") if len(curves) > 2 else label)
    of_layers = any("layer" in known[c.name].dims and c.over != "layer" for c in curves)
    if of_layers:
        marks.layer_key(fig, axes, first)
    if curves[0].over == "layer":
        axes[-1].set_xlim(-0.5, first.sizes["layer"] - 0.5)
        marks.layer_axis(axes[-1], first, "x")
        axes[0].set_title(marks.said(first, measures.row_at(first, plate.step)))
    else:
        marks.step_axes(axes, first)
        changes.draw_changes(axes, first)
        changes.draw_cursor(axes, first, plate.step)
    colour = look.PAPER.muted if of_layers else look.PAPER.ink
    line, patch = Line2D([], [], color=colour), Patch(facecolor=colour, alpha=ALPHA, lw=0)
    free = curves[0].over != "layer" and not measures.changes(first)  # above the axes
    where: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1, 1)} if free else {}
    axes[0].legend([(patch, line)], [found.short], **where)
    fig.align_ylabels()
    return fig


def _draw(ax: Axes, first: xr.Dataset, known: xr.Dataset, curve: Curve) -> None:
    """Lines and bands of one quantity."""
    x, (y, low, high), colours = _lines(first, known, curve, gaps=True)
    if curve.level is not None:
        ax.axhline(curve.level, color=look.PAPER.grid, lw=0.6, zorder=0.5)
    logarithmic = curve.log and marks.log_axis(
        ax, np.concatenate([y, np.maximum(low, y / 10), high])
    )
    for k, colour in enumerate(colours):
        # What has no logarithm has no place: of such a band only the upper half is drawn.
        foot = np.where(low[:, k] <= 0, y[:, k], low[:, k]) if logarithmic else low[:, k]
        ax.fill_between(x, foot, high[:, k], color=colour, alpha=ALPHA, lw=0)
        style: dict[str, Any] = {"marker": "o", "ms": 2.5} if curve.over == "layer" else {}
        if style:
            ax.plot(x, y[:, k], color=colour, **style)
        else:
            marks.line(ax, x, y[:, k], color=colour)
    if not logarithmic:
        ax.margins(y=0.08)


def view(module: ModuleType, trace: xr.Dataset, plate: Plate) -> Any:
    """A view over several relaxations, for the screen: bands below lines."""
    found, known = measured(module, trace, plate)
    hv = screen.bokeh()
    panels = []
    for curve in (c for c in module.CURVES if c.name in known):
        x, (y, low, high), colours = _lines(found.first, known, curve, gaps=False)
        axis = look.LABELS["layer"] if curve.over == "layer" else marks.steps(found.first)[1]
        several, label = y.shape[1] > 1, curve.titled.plain
        drawn = []
        for k, colour in enumerate(colours):
            said = f"layer {marks.layer_names(found.first)[k]}" if several else found.short
            foot = np.where(low[:, k] <= 0, y[:, k], low[:, k]) if curve.log else low[:, k]
            band = hv.Area((x, foot, high[:, k]), axis.plain, [label, f"{label}, high"])
            drawn.append(band.opts(color=colour, alpha=ALPHA, line_width=0))
            drawn.append(hv.Curve((x, y[:, k]), axis.plain, label, label=said).opts(color=colour))
        over = hv.Overlay(drawn)
        panels.append(over.opts(logy=curve.log, responsive=True, height=240))
    return hv.Layout(panels).cols(1)


def _lines(
    first: xr.Dataset, known: xr.Dataset, curve: Curve, *, gaps: bool
) -> tuple[NDArray[Any], list[NDArray[Any]], Sequence[str]]:
    """Where, centre and band of each line, (points, lines), and their colours."""
    three = [known[f"{curve.name}{end}"] for end in ("", "_low", "_high")]
    if curve.over == "layer":
        x = np.arange(first.sizes["layer"])
        return x, [one.values[:, None] for one in three], [look.PAPER.ink]
    if curve.over == "frame":
        at = np.searchsorted(first["step"].values, first["frame_step"].values)
        x = marks.steps(first)[0][np.minimum(at, first.sizes["step"] - 1)].astype(float)
        return x, [one.values[:, None] for one in three], [look.PAPER.ink]
    layered = "layer" in three[0].dims
    values = [
        one.transpose("step", "layer").values if layered else one.values[:, None] for one in three
    ]
    x = marks.steps(first)[0].astype(float)
    if gaps:
        x, *values = marks.broken(first, *values)
    colours = look.layer_colours(values[0].shape[1]) if layered else [look.PAPER.ink]
    return x, values, colours


def _any(values: xr.DataArray) -> bool:
    return bool(np.isfinite(values.values).any())
