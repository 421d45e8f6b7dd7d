"""Which samples are hard? A tab of the drawer: all samples by layer, and the worst of them."""

import html
import time
from dataclasses import replace
from typing import Any

import numpy as np
import panel as pn

from core.catalogue import BadInput
from workbench.look import short
from workbench.samples import BATCH, ORDERS, Samples, at
from workbench.samples_plot import SamplesPlot

EVERY = 0.15
"""Seconds between two looks, at least."""

ABOUT = (
    "The energy of each sample in each layer at the cursor; grey is not above rounding. Tap a cell "
    "to choose its sample in all views, and to see how its layer's energies are spread."
)

STYLE = (
    "<style>.worst th, .worst td { width: auto !important; padding: 1px 8px 1px 0; "
    "text-align: right; } .worst th { font-weight: 400; }</style>"
)


class SamplesTab:
    """An order, two figures, and the samples with the most energy."""

    def __init__(self, page: Any, sheet: str) -> None:
        """Build it for a page whose session, or run, is ready.

        Args:
            page: that shows it.
            sheet: CSS of the widgets.
        """
        self._page = page
        self._shown: Any = None
        self._at = 0.0
        self._layer = 0
        words = {"stylesheets": [sheet], "sizing_mode": "stretch_width", "margin": (2, 4)}
        self._order = pn.widgets.Select(
            label="samples",
            options=list(ORDERS),
            value=BATCH,
            width=150,
            stylesheets=[sheet],
            margin=(4, 4),
        )
        self._order.param.watch(lambda _: self.follow(), "value")
        self._plot = SamplesPlot(page.look, self._tapped)
        self._of = pn.pane.HTML("", **words)
        self._table = pn.pane.HTML("", **words)
        self.view = pn.Column(
            pn.pane.HTML(f"<small>{ABOUT}</small>", **words),
            pn.Row(self._order, self._of, sizing_mode="stretch_width"),
            pn.pane.Bokeh(self._plot.figure, sizing_mode="stretch_width"),
            pn.pane.Bokeh(self._plot.spread, sizing_mode="stretch_width"),
            self._table,
            sizing_mode="stretch_width",
        )

    def follow(self, *, draws: bool = True) -> None:
        """Show the row under the cursor; called at every beat while it is open."""
        place, now = self._page.session.showing, time.monotonic()
        if place is None or not draws or now - self._at < EVERY:
            return
        key = (*place.place, self._order.value, self._layer, self._page.sight.key)
        if key == self._shown:
            return
        self._shown, self._at = key, now
        try:
            found = at(place.lane.trace, place.cursor)
        except BadInput as refused:
            self._of.object = f'<p class="refused">{html.escape(str(refused))}</p>'
            return
        found = replace(found, names=self._page.sight.call(found.names))
        layers = len(found.names)
        self._layer = min(self._layer or layers, layers)  # the output until one is tapped
        self._plot.draw(found, self._order.value, self._layer, self._page.sight.sample)
        for pane, text in ((self._of, said(found)), (self._table, table(found))):
            if pane.object != text:
                pane.object = text

    def _tapped(self, sample: int, layer: int) -> None:
        self._page.sight.sample, self._layer = sample, layer
        self._at = 0.0
        self.follow()


def said(found: Samples) -> str:
    """Which row it is, and how far samples are apart, as HTML."""
    apart = f"; samples lie {found.spread:.1f} decades apart" if found.spread > 0 else ""
    return f"<small>row {found.row}, batch {found.batch}, t = {found.t}{apart}</small>"


def most_in(found: Samples, sample: int) -> int:
    """Position of the layer that holds most of a sample's energy."""
    return int(np.nan_to_num(found.energy[:, sample]).argmax())


def table(found: Samples) -> str:
    """The samples with the most energy, as HTML."""
    rows = ""
    whole = found.total.sum()
    for k in found.worst:
        share = f"{100 * found.total[k] / whole:.0f} %" if whole > 0 else "–"
        layer = found.names[most_in(found, k)] if whole > 0 else "–"
        label, predicted = (
            str(n) if n >= 0 else "–" for n in (found.labels[k], found.predicted[k])
        )
        cells = (str(k), label, predicted, short(float(found.total[k])), share, layer)
        rows += "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
    heads = ("sample", "class", "class of μ", "energy, nat", "of the batch", "most in layer")
    head = "".join(f"<th>{one}</th>" for one in heads)
    return (
        f'{STYLE}<table class="worst"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    )
