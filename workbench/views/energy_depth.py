"""Which layers hold the energy at one step? Energy by depth."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from workbench import look, measures
from workbench.views import marks

TITLE = "Energy by depth"
NEEDS = ("energy",)

BAND = (0.1, 0.9)
"""Quantiles of the samples that are drawn beside the mean."""


def measure(trace: xr.Dataset, step: int | None = None) -> xr.Dataset:
    """Energy of each layer at one step, its floor and whether it is reached, (layer)."""
    marks.need(trace, "energy_depth", NEEDS)
    row = measures.row_at(trace, step)
    one = trace.isel(step=slice(row, row + 1))
    found = xr.Dataset(
        {
            "energy": one["energy"].transpose("step", "layer"),
            "floor": measures.floor(one),
            "reached": measures.reached(one),
        }
    ).isel(step=0)
    shown = found["energy"].where(found["reached"])
    marks.need_numbers("energy_depth", "energy", shown, "no layer is above its rounding floor")
    if "energy_sample" in one:
        samples = one["energy_sample"].isel(step=0).transpose("layer", "sample").values
        for name, share in zip(("low", "high"), BAND, strict=True):
            about = {"units": "nat", "long_name": f"quantile {share:g} of the samples"}
            found[name] = ("layer", np.quantile(samples, share, axis=1), about)
    line = measures.slope(one)
    found.attrs = {"slope": float(line["slope"].item()), "r2": float(line["r2"].item())}
    return found


def view(trace: xr.Dataset) -> Any:
    """The last step for the screen; layers that are not reached are left out."""
    found = measure(trace)
    hv = marks.bokeh()
    label = look.LABELS["energy"].plain
    shown = found["energy"].where(found["reached"]).values
    points = (found["layer"].values, shown)
    line = hv.Curve(points, look.LABELS["layer"].plain, label)
    dots = hv.Scatter(points, look.LABELS["layer"].plain, label)
    return (line.opts(color=look.LIGHT.ghost) * dots.opts(color=look.LIGHT.accent, size=7)).opts(
        logy=True, padding=0.05, responsive=True, min_height=300
    )


@marks.on_paper
def figure(trace: xr.Dataset, step: int | None = None) -> Figure:
    """Energy against depth at one step (None: the last), with the line that gives the slope."""
    found = measure(trace, step)
    there = found["reached"].values
    fig = marks.sheet(2.3)
    ax = fig.subplots()
    ax.set_yscale("log")
    k = np.arange(len(there))
    energy = found["energy"].values.astype(float)
    ax.plot(k[there], energy[there], color=look.PAPER.ghost, lw=0.8, zorder=1)
    _samples(ax, found)
    colours = np.array(look.layer_colours(len(k)))
    ax.scatter(k[there], energy[there], c=list(colours[there]), s=14, zorder=3)
    _limits(ax, found)
    _line(ax, trace, found)
    if not there.all():
        ax.scatter(
            k[~there],
            np.full((~there).sum(), 0.04),
            transform=ax.get_xaxis_transform(),
            marker="v",
            s=12,
            facecolor=look.PAPER.background,
            edgecolor=look.PAPER.muted,
            linewidth=0.6,
            zorder=3,
            label=look.LABELS["unreached"].math,
        )
    ax.set_xlim(-0.5, len(k) - 0.5)
    marks.layer_axis(ax, trace, "x")
    ax.set_ylabel(look.LABELS["energy"].paper)
    ax.set_title(marks.said(trace, measures.row_at(trace, step)))
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="best")
    return fig


def _samples(ax: Axes, found: xr.Dataset) -> None:
    """A thin bar from quantile to quantile over the samples."""
    if "low" not in found:
        return
    there = found["reached"].values
    k, low, high = np.flatnonzero(there), found["low"].values[there], found["high"].values[there]
    positive = low > 0
    axis = np.log10(found["energy"].values[there])
    if np.log10(high[positive] / low[positive]).max(initial=0) < 0.05 * np.ptp(axis):
        return  # shorter than a dot
    ax.vlines(
        k[positive],
        low[positive],
        high[positive],
        color=look.PAPER.ghost,
        lw=5,
        alpha=0.35,
        zorder=1.5,
        label=f"{BAND[0]:.0%} to {BAND[1]:.0%} of samples",
    )


def _limits(ax: Axes, found: xr.Dataset) -> None:
    """Room of at least two decades around the reached energies; no room for what rounding made."""
    there = found["reached"].values
    shown = found["energy"].values[there].astype(float)
    if "low" in found:
        low = found["low"].values[there].astype(float)
        shown = np.concatenate([shown, low[low > 0], found["high"].values[there]])
    logs = np.log10(shown)
    low, high = float(logs.min()), float(logs.max())
    room = max(0.08 * (high - low), (2 - high + low) / 2, 0.1)
    ax.set_ylim(10 ** (low - room), 10 ** (high + room))
    ax.yaxis.set_major_locator(LogLocator(numticks=7))


def _line(ax: Axes, trace: xr.Dataset, found: xr.Dataset) -> None:
    """The fitted line over the reached layers, with its slope and R2."""
    slope, r2 = found.attrs["slope"], found.attrs["r2"]
    if not np.isfinite(slope):
        return
    there = found["reached"].values
    depth = trace["depth"].values[there].astype(float)
    logs = np.log10(found["energy"].values[there].astype(float))
    fitted = logs.mean() + slope * (depth - depth.mean())
    label = f"{slope:+.2f} decades/layer".replace("-", "\N{MINUS SIGN}")
    if np.isfinite(r2):
        label += f", $R^2={r2:.2f}$"
    ax.plot(
        np.flatnonzero(there),
        10**fitted,
        color=look.PAPER.ink,
        lw=0.7,
        dashes=(3, 2),
        zorder=2,
        label=label,
    )
