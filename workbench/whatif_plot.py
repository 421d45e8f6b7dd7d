"""How are the updates of all rules drawn? One line a rule over depth, backprop where it must be."""

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, CustomJSTickFormatter, Range1d

from workbench.blank import blank, name_layers, title_line
from workbench.look import OKABE_ITO, Palette
from workbench.whatif import MEASURES, Answer

DASHES = ("solid", "6 3", "2 3", "8 3 2 3")
"""Of lines that share a colour."""

MARKS = ("circle", "square", "triangle", "diamond", "inverted_triangle", "hex")
"""Rules whose updates are the same lie on each other: their marks differ in size and shape."""


def colour(k: int) -> str:
    """Of the k-th rule of the catalogue."""
    return OKABE_ITO[k % len(OKABE_ITO)]


class WhatIfPlot:
    """A measure of each rule's update over the layers."""

    def __init__(self, look: Palette) -> None:
        """Build it, empty."""
        self._title = title_line(look)
        self._x, self._y = Range1d(start=0.5, end=10.5), Range1d(start=-1.05, end=1.05)
        self._lines: dict[str, ColumnDataSource] = {}
        self._names: tuple[str, ...] = ()
        self.figure = plot = blank("what-if", look, self._title, x_range=self._x, y_range=self._y)
        plot.update(sizing_mode="stretch_width", height=190, min_border_left=46)
        plot.xaxis.axis_label = "layer ℓ"

    def draw(self, answer: Answer, measure: str, order: list[str]) -> None:
        """Show an answer.

        Args:
            answer: to be drawn.
            measure: name of what is drawn.
            order: names of all rules, from which their colours follow.
        """
        shown = MEASURES[measure]
        self._name(answer.names)
        self._title.text = shown.name
        axis: Any = self.figure.yaxis
        axis.formatter = CustomJSTickFormatter(code=shown.ticks)
        self._y.update(start=shown.limits[0], end=shown.limits[1])
        drawn = {}
        for one in answer.legal:
            values = answer.of(one, measure)
            if values is not None:
                drawn[one.rule] = _logs(values) if shown.logarithmic else values
        for rule in order:
            source = self._line(rule, order.index(rule))
            values = drawn.get(rule)
            there = [] if values is None else values
            source.data = {"layer": list(range(1, len(there) + 1)), "value": there}

    def _line(self, rule: str, k: int) -> ColumnDataSource:
        """The line of a rule, made when it is drawn first."""
        if rule not in self._lines:
            source = self._lines[rule] = ColumnDataSource({"layer": [], "value": []})
            dash = DASHES[k // len(OKABE_ITO) % len(DASHES)]
            ink, mark = colour(k), MARKS[k % len(MARKS)]
            self.figure.line(
                "layer", "value", source=source, color=ink, line_width=1.6, line_dash=dash
            )
            self.figure.scatter(
                "layer",
                "value",
                source=source,
                marker=mark,
                size=11 - k % len(MARKS),
                line_color=ink,
                fill_color=None,
                line_width=1.6,
            )
        return self._lines[rule]

    def _name(self, names: tuple[str, ...]) -> None:
        """Give the axis other layers."""
        if names == self._names:
            return
        self._names = names
        self._x.end = len(names) + 0.5
        name_layers(self.figure.xaxis, names, 10)


def _logs(values: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.where(values > 0, np.log10(values), np.nan)
