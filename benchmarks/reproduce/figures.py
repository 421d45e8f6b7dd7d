"""How does accuracy grow with the products that are spent, and where is the energy? As SVG."""

import io
import math
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from workbench import look

Found = dict[str, Any]
Rows = dict[str, dict[str, list[Found]]]

MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def drawn(rows: Rows) -> str:
    """The figure of a table of classifiers as SVG; the same results give the same bytes."""
    with look.paper_style():
        buffer = io.StringIO()
        figure(rows).savefig(buffer, format="svg", metadata={"Date": None})
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def figure(rows: Rows) -> Figure:
    """Two panels for each row of the table: accuracy by products, energy by layer."""
    made = Figure(figsize=(2 * look.COLUMN, 2.0 * len(rows) + 0.3), layout="constrained")
    axes = made.subplots(len(rows), 2, squeeze=False)
    names = list(dict.fromkeys(method for methods in rows.values() for method in methods))
    for (row, methods), (left, right) in zip(rows.items(), axes, strict=True):
        for method, found in methods.items():
            k = names.index(method)
            style = {
                "color": look.OKABE_ITO[k % len(look.OKABE_ITO)],
                "marker": MARKERS[k % len(MARKERS)],
            }
            _accuracy(left, found, {**style, "label": method})
            if found[0]["experiment"]["learning"]["name"] != "Backprop":
                _energy(right, found, {**style, "label": method})
        left.set(title=row, ylabel="test accuracy (%)", xscale="log")
        left.xaxis.set_minor_formatter(NullFormatter())  # over a decade and a half they overlap
        right.set(title=row, ylabel=r"energy $E_\ell$ at the update", yscale="log")
    axes[-1][0].set_xlabel("sequential matrix products")
    axes[-1][1].set_xlabel(r"layer $\ell$")
    handles, labels = axes[0][0].get_legend_handles_labels()
    made.legend(handles, labels, loc="outside upper center", ncols=min(len(labels), 4))
    return made


def _accuracy(ax: Axes, found: list[Found], style: dict[str, Any]) -> None:
    """Mean over seeds after each epoch; where products are not counted, nothing."""
    if any(one["smm"] is None for one in found):
        return
    count = min(len(one["epochs"]) for one in found)
    an_epoch = fmean(one["smm"] / len(one["epochs"]) for one in found)
    accuracy = [100 * fmean(one["epochs"][k]["test"] for one in found) for k in range(count)]
    ax.plot([an_epoch * (k + 1) for k in range(count)], accuracy, markersize=2.5, **style)


def _energy(ax: Axes, found: list[Found], style: dict[str, Any]) -> None:
    """Mean over seeds; a layer that is below rounding in most batches has no point."""
    layers = range(len(found[0]["energy"]))
    energy = [fmean(one["energy"][k] for one in found) for k in layers]
    silent = [fmean(one["below_rounding"][k] for one in found) > 0.5 for k in layers]
    shown = [math.nan if off else e for e, off in zip(energy, silent, strict=True)]
    ax.plot([k + 1 for k in layers], shown, markersize=3, **style)
    ax.set_xticks([k + 1 for k in layers])
