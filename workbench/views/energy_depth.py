"""Which layers hold the energy at one step? Energy by depth."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from numpy.typing import NDArray

from workbench import look, measures, predictions
from workbench.views import bands, marks, screen

TITLE = "Energy by depth"
NEEDS = ("energy",)

CURVES = (bands.Curve("energy", log=True, over="layer", masked="reached"),)
"""What is drawn over several relaxations."""

BAND = (0.1, 0.9)
"""Quantiles of the samples that are drawn beside the mean."""


def measure(trace: xr.Dataset, step: int | None = None) -> xr.Dataset:
    """Energy of each layer at one step, its floor, and on which side it is, (layer)."""
    marks.need(trace, "energy_depth", NEEDS)
    row = measures.row_at(trace, step)
    one = trace.isel(step=slice(row, row + 1))
    found = xr.Dataset(
        {
            "energy": one["energy"].transpose("step", "layer"),
            "floor": measures.floor(one),
            "reached": measures.reached(one),
            "rounding": measures.rounding(one),
        }
    ).isel(step=0)
    shown = found["energy"].where(found["reached"])
    marks.need_numbers("energy_depth", "energy", shown, "no layer is above its rounding floor")
    samples = _samples_of(one)
    if samples.size:
        for name, share in zip(("low", "high"), BAND, strict=True):
            about = {"units": "nat", "long_name": f"quantile {share:g} of the samples"}
            found[name] = ("layer", np.quantile(samples, share, axis=1), about)
    for name, energy in predictions.of_trace(trace, row).items():
        about = {"units": "nat", "long_name": f"energy by theory: {name}"}
        found[f"theory_{name}"] = ("layer", energy, about)
    line = measures.slope(one)
    found.attrs = {"slope": float(line["slope"].item()), "r2": float(line["r2"].item())}
    return found


def shared(trace: xr.Dataset, step: int | None = None) -> xr.Dataset:
    """Energy of each layer at one step, and whether it is reached, (layer)."""
    marks.need(trace, "energy_depth", NEEDS)
    row = measures.row_at(trace, step)
    one = trace.isel(step=slice(row, row + 1))
    energy = one["energy"].transpose("step", "layer")
    return xr.Dataset({"energy": energy, "reached": measures.reached(one)}).isel(step=0, drop=True)


def _samples_of(one: xr.Dataset) -> NDArray[Any]:
    """Energies of the samples of a row, (L, B); a batch that is filled with nan has fewer."""
    if "energy_sample" not in one:
        return np.zeros((one.sizes["layer"], 0))
    values = one["energy_sample"].isel(step=0).transpose("layer", "sample").values
    return values[:, ~np.isnan(values).all(0)]


def view(trace: xr.Dataset) -> Any:
    """The last step for the screen; layers that are not reached are left out.

    Hollow points and a thin line are drawn where an energy is below the rounding floor.
    """
    found = measure(trace)
    hv = screen.bokeh()
    label = look.LABELS["energy"].plain
    shown = found["energy"].where(found["reached"]).values
    points = (found["layer"].values, shown)
    line = hv.Curve(points, look.LABELS["layer"].plain, label)
    dots = hv.Scatter(points, look.LABELS["layer"].plain, label)
    drawn = line.opts(color=look.LIGHT.ghost) * dots.opts(color=look.LIGHT.accent, size=7)
    noise = measures.noise_of(found["energy"], found["reached"])
    if noise.any():
        said = f"below the rounding floor of {look.dtype_of(trace.attrs['eps'])}"
        below = (found["layer"].values[noise], found["energy"].values[noise])
        floor = (found["layer"].values, found["floor"].values)
        style = {"color": look.LIGHT.ghost}
        axes = look.LABELS["layer"].plain, label
        hollow = hv.Scatter(below, *axes, label=said)
        drawn *= hv.Curve(floor, *axes).opts(**style, line_dash="dotted", line_width=1)
        drawn *= hollow.opts(**style, fill_alpha=0, size=7, tools=["hover"])
    return drawn.opts(logy=True, padding=0.05, responsive=True, height=300)


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
    colours = np.array(look.layer_colours(len(k)))
    ax.scatter(k[there], energy[there], c=list(colours[there]), s=14, zorder=3)
    _limits(ax, found)
    _samples(ax, found)
    _line(ax, trace, found)
    _theory(ax, found)
    finite = np.isfinite(energy)
    noise = measures.noise_of(energy, there)
    _floor(ax, trace, found, noise)
    below = {"marker": "v", "facecolor": look.PAPER.background, "edgecolor": look.PAPER.muted}
    _foot(ax, k[finite & ~there & ~noise], label=look.LABELS["unreached"].math, **below)
    _foot(ax, k[~finite], label="not finite", marker="x", color=look.PAPER.accent)
    ax.set_xlim(-0.5, len(k) - 0.5)
    marks.layer_axis(ax, trace, "x")
    ax.set_ylabel(look.LABELS["energy"].paper)
    ax.set_title(marks.said(trace, measures.row_at(trace, step)))
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="best")
    return fig


def _foot(ax: Axes, k: Any, **style: Any) -> None:
    """Marks at the foot of the axes for layers that have no place on it."""
    if len(k):
        at = np.full(len(k), 0.04)
        ax.scatter(
            k, at, transform=ax.get_xaxis_transform(), s=12, linewidth=0.6, zorder=3, **style
        )


def _floor(ax: Axes, trace: xr.Dataset, found: xr.Dataset, noise: Any) -> None:
    """Faded marks at the foot for what rounding made, and its floor as far as the axes show it."""
    if not noise.any():
        return
    said = f"below the rounding floor of {look.dtype_of(trace.attrs['eps'])}"
    faded = {"facecolor": look.PAPER.ghost, "edgecolor": look.PAPER.ghost}
    _foot(ax, np.flatnonzero(noise), label=said, marker="v", **faded)
    limits = ax.get_ylim()
    dotted = {"color": look.PAPER.ghost, "lw": 0.8, "dashes": (1, 1.5), "zorder": 1.2}
    ax.plot(np.arange(len(noise)), found["floor"].values, **dotted)
    ax.set_ylim(*limits)


def _samples(ax: Axes, found: xr.Dataset) -> None:
    """A bar from quantile to quantile over the samples, unless all are shorter than a dot."""
    if "low" not in found:
        return
    there = found["reached"].values & (found["low"].values > 0)
    k, low, high = np.flatnonzero(there), found["low"].values[there], found["high"].values[there]
    bottom, top = ax.get_ylim()
    if np.log10(high / low).max(initial=0) < 0.04 * np.log10(top / bottom):
        return
    label = f"{BAND[0]:.0%} to {BAND[1]:.0%} of samples"
    ax.vlines(k, low, high, color=look.PAPER.ghost, lw=5, alpha=0.35, zorder=1.5, label=label)


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


DASHES = {"arrival": (4, 1.5), "spiking": (1.2, 1.2), "rest": (5, 1.5, 1.2, 1.5)}


def _theory(ax: Axes, found: xr.Dataset) -> None:
    """What theory predicts for the step, as far as the trace knows; the axes stay as they are."""
    low, high = ax.get_ylim()
    for name, dashes in DASHES.items():
        energy = found[f"theory_{name}"].values if f"theory_{name}" in found else np.zeros(1)
        if ((energy > low) & (energy < high)).sum() > 1:
            style = {"color": look.PAPER.accent, "lw": 0.9, "dashes": dashes, "zorder": 2.2}
            ax.plot(np.arange(len(energy)), energy, label=predictions.LABELS[name], **style)
    ax.set_ylim(low, high)


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
