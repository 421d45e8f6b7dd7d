"""What if Bokeh drew it all? The Relax page with its live plots as plain glyphs, to compare with.

Everything else is the page's own: session, bar, titles, credits. Each frame replaces the data of
the sources that changed, as the documentation of Bokeh teaches it.
"""

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, Span
from bokeh.protocol.messages.patch_doc import patch_doc

import workbench.relax_page
import workbench.sending
from workbench.board import Board, parted
from workbench.curves import logarithm
from workbench.pictures import pixels, tiles

NOTHING = np.zeros(0), np.zeros((0, 1), np.float32)


class PlainBoard(Board):
    """A board whose messages bring no rows: Bokeh gets them."""

    def __init__(self, theme: str) -> None:
        super().__init__(theme)
        look, over = self.look, [self.heat, self.precision, self.total, self.imbalance]
        over += [self.errors, self.alignment]
        self._cursors = [Span(dimension="height", location=0, line_color=look.ink) for _ in over]
        for plot, cursor in zip(over, self._cursors, strict=True):
            plot.add_layout(cursor)
        self._images = {}
        for name, mapper in (("heat", self._mapper), ("precision", self._precisions)):
            source = self._images[name] = _source("image", "x", "y", "dw", "dh")
            plot = self.figures[name]
            plot.image("image", "x", "y", "dw", "dh", source=source, color_mapper=mapper)
        self._lines = {}
        for name in ("errors", "alignment"):
            source = self._lines[name] = _source("xs", "ys", "colour")
            self.figures[name].multi_line("xs", "ys", line_color="colour", source=source)
        self._curves = _source("step", "total", "bare", "residual", "imbalance")
        for name, colour in (("bare", look.muted), ("total", look.ink), ("residual", look.accent)):
            self.total.line("step", name, source=self._curves, color=colour, line_width=1.5)
        self.imbalance.line("step", "imbalance", source=self._curves, color=look.ink)
        self._dots = {name: _source("x", "y", "colour") for name in ("errors", "alignment")}
        for name, source in self._dots.items():
            self.figures[name].scatter("x", "y", source=source, color="colour", size=6)
        self._profile = _source("layer", "energy", "colour")
        self.depth.line("layer", "energy", source=self._profile, color=look.muted)
        self.depth.scatter("layer", "energy", source=self._profile, color="colour", size=10)
        self._sheet = _source("image", "x", "y", "dw", "dh")
        self.images.image_rgba("image", "x", "y", "dw", "dh", source=self._sheet)

    def message(self, frames: Any, said: dict[str, Any]) -> bytes:
        self._plot(self._last)
        said, chosen = parted(said)
        once = {"look": self._told, "chosen": chosen, "titles": dict(self.titles)}
        return frames.packed({"frame": said["frame"], "said": said}, once, NOTHING, NOTHING, b"")

    def _plot(self, scene: Any) -> None:
        c, at = scene.curves, scene.at
        first, last, layers = int(c.step[0]), int(c.step[-1]), c.energy.shape[1]
        place = {"x": [first - 0.5], "y": [0.5], "dw": [last - first + 1], "dh": [layers]}
        for name, values in (("heat", c.energy), ("precision", c.precision)):
            image = np.ascontiguousarray(logarithm(values).T)
            self._images[name].data = {"image": [image], **place}
        compared = {"errors": logarithm(c.error), "alignment": self._comparison(c)}
        for name, values in compared.items():
            xs = [c.step] * layers
            self._lines[name].data = {"xs": xs, "ys": list(values.T), "colour": self._colours}
            here = {"x": [c.step[at]] * layers, "y": values[at], "colour": self._colours}
            self._dots[name].data = here
        self._curves.data = {
            "step": c.step,
            "total": logarithm(c.total),
            "bare": logarithm(c.raw.sum(1)),
            "residual": logarithm(c.residual),
            "imbalance": c.imbalance,
        }
        for cursor in self._cursors:
            cursor.location = scene.cursor
        energy = logarithm(c.energy[at])
        layer = np.arange(1, layers + 1)
        self._profile.data = {"layer": layer, "energy": energy, "colour": self._colours}
        shown = list(tiles(scene)[0].values())
        rows = [np.hstack(list(pixels(one, *scene.pixels))) for one in shown]
        sheet = np.flipud(np.vstack(rows))
        self._sheet.data = {"image": [sheet], "x": [0], "y": [0], "dw": [1], "dh": [1]}


def _source(*columns: str) -> ColumnDataSource:
    return ColumnDataSource({name: [] for name in columns})


def install() -> None:
    """Let the Relax page draw this way, and Bokeh make its messages."""
    workbench.relax_page.Board = PlainBoard
    workbench.sending.patch = patch_doc.create
