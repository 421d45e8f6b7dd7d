"""How does the time compare, and how does it grow? One figure of a run, in the style of papers."""

import io
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from workbench import look

SWEEPS = {"depth": "hidden layers", "width": "width", "batch": "batch $B$", "steps": "steps $T$"}
MARKERS = {"floor": "_", "autograd": "s", "local": "^", "chain": "o", "auto": "D"}
ANCHORS = ("floor", "backprop fused")


def drawn(run: Mapping[str, Any]) -> dict[str, bytes]:
    """The figure as SVG and PNG; without a date, so that the same run gives the same bytes."""
    with look.paper_style():
        made = figure(run)
        files = {}
        for ending, metadata in (("svg", {"Date": None}), ("png", {})):
            buffer = io.BytesIO()
            made.savefig(buffer, format=ending, metadata=metadata)
            files[ending] = buffer.getvalue()
    return files


def figure(run: Mapping[str, Any]) -> Figure:
    """Above: each case by the floor, or by backprop. Below: milliseconds as one number grows."""
    groups = run["groups"]
    compared = [one for one in groups if any(f"{a} / {b}" in one["ratios"] for a, b in _pairs(one))]
    swept = [name for name in SWEEPS if any(one.get("sweep") == name for one in groups)]
    compared = [one for one in compared if "sweep" not in one]
    made = Figure(figsize=(2 * look.COLUMN, 2.6 * (bool(compared) + 0.75 * bool(swept)) or 1.0))
    made.set_layout_engine("constrained")
    halves: list[Any] = [made, made]
    if compared and swept:
        found: Any = made.subfigures(2, 1, height_ratios=[1, 0.75])
        halves = list(found)
    if compared:
        axes = halves[0].subplots(1, len(compared), squeeze=False)[0]
        for ax, one in zip(axes, compared, strict=True):
            _bars(ax, one, run["subject"])
    if swept:
        axes = halves[1].subplots(1, len(swept), squeeze=False)[0]
        for ax, name in zip(axes, swept, strict=True):
            _growth(ax, name, [one for one in groups if one.get("sweep") == name])
        axes[0].set_ylabel("ms a batch")
        handles, labels = axes[0].get_legend_handles_labels()
        halves[1].legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return made


def _pairs(group: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(one["name"], b) for one in group["cases"] for b in ANCHORS]


def _bars(ax: Axes, group: Mapping[str, Any], subject: str) -> None:
    """Medians of ratios with their intervals, the slowest below."""
    anchor = next(b for b in ANCHORS if b in group["milliseconds"])
    held = [
        (one["name"], group["ratios"].get(f"{one['name']} / {anchor}")) for one in group["cases"]
    ]
    rows = sorted((one for one in held if one[1]), key=lambda one: -one[1]["median"])
    palette = look.PAPER
    for k, (name, found) in enumerate(rows):
        ours = name.partition(" ")[0] == subject
        colour = palette.accent if ours else palette.ink
        ax.plot([found["low"], found["high"]], [k, k], color=colour, lw=1.5)
        ax.plot(found["median"], k, "o", color=colour, ms=3)
    ax.axvline(1.0, color=palette.muted, lw=0.6, ls="--")
    ax.set_xscale("log")
    _plain(ax.xaxis)
    ax.set_yticks(range(len(rows)), [name for name, _ in rows])
    ax.set_xlabel(f"time / {anchor}")
    ax.set_title(f"{group['name']}")


def _plain(axis: Axis) -> None:
    """Numbers of a logarithmic axis without powers of ten, at 1, 2 and 5 of each decade."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def _growth(ax: Axes, name: str, groups: list[Mapping[str, Any]]) -> None:
    """Milliseconds by the number that grows, both on logarithmic axes."""
    cases = list(dict.fromkeys(case["name"] for one in groups for case in one["cases"]))
    colours = look.layer_colours(len(cases))
    for case, colour in zip(cases, colours, strict=True):
        held = [one for one in groups if case in one["milliseconds"]]
        x = [int(one["name"].split()[1]) for one in held]
        y = [one["milliseconds"][case]["median"] for one in held]
        label = case.removesuffix(" off")
        ax.plot(x, y, color=colour, marker=MARKERS.get(label, "x"), label=label)
    ax.set_xscale("log")
    ax.set_yscale("log")
    _plain(ax.yaxis)
    ticks = [int(one["name"].split()[1]) for one in groups]
    ax.set_xticks(ticks, [str(one) for one in ticks])
    ax.set_xticks([], minor=True)
    ax.set_xlabel(SWEEPS[name])
