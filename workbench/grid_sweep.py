"""What does a sweep say of two of its choices? Its results as the cells of a parameter map."""

import html
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import panel as pn
import xarray as xr

from core.catalogue import BadInput
from workbench import sweeps
from workbench.grid import MEASURES, Axis, Cell
from workbench.grid_plot import GridPlot
from workbench.look import short

HERE = "relax this batch"
"""In the menu of grids: the one that this page relaxes."""

SWEPT = {
    "accuracy": "test accuracy",
    **MEASURES,
    "seconds": "seconds",
    "smm": "matrix multiplications in sequence",
}
"""What can be shown of a sweep: the measures of a grid, and what a training has beside them."""

SEED = "seed"

LOOK = 5.0
"""Seconds between two looks at which sweeps there are."""


@dataclass(frozen=True)
class SweptGrid:
    """Cells that are read from the results of a sweep, in the place of `workbench.grid.Grid`.

    Args:
        x: one axis.
        y: the other one; one cell high where the sweep has a single axis.
        cells: by positions on both; none where no point has numbers or a reason.
        runs: names of the runs behind each cell.
    """

    x: Axis
    y: Axis
    cells: dict[tuple[int, int], Cell]
    runs: dict[tuple[int, int], list[str]]

    @property
    def size(self) -> int:
        """Cells in all."""
        return len(self.x.values) * len(self.y.values)


def axes(found: xr.Dataset) -> list[str]:
    """The swept choices."""
    return [str(name) for name in found["state"].dims]


def swept(found: xr.Dataset, x: str, y: str, at: dict[str, Any]) -> SweptGrid:
    """A map over two choices of a sweep.

    Over seeds that are no axis the mean of those that are finite is taken.

    Args:
        found: results as `workbench.sweeps.results` gives them.
        x: the axis across.
        y: the axis up; "" where there is only one.
        at: values of all other choices but the seed.

    Raises:
        BadInput: for axes that are not two of those that were swept.
    """
    known = axes(found)
    if x not in known or (y and y not in known) or x == y:
        raise BadInput(f"axes: {x}, {y}; two of {', '.join(known)}")
    here = found.sel({name: value for name, value in at.items() if name not in (x, y, SEED)})
    across = Axis(x, tuple(here[x].values.tolist()))
    up = Axis(y, tuple(here[y].values.tolist())) if y else Axis("", ("",))
    cells, runs = {}, {}
    for i in range(len(across.values)):
        for j in range(len(up.values)):
            one = here.isel({x: i} | ({y: j} if y else {}))
            cells[i, j] = _cell(one)
            runs[i, j] = [name for name in one["run"].values.ravel().tolist() if name]
    return SweptGrid(across, up, cells, runs)


def _cell(one: xr.Dataset) -> Cell:
    """What is measured at one place, the mean over seeds."""
    values = {name: _mean(one[name]) for name in ("accuracy", "seconds", "smm")}
    values |= {name: _mean(one[name]) for name in ("imbalance", "residual", "reached")}
    values |= {"total": _mean(one["F"]), "cosine": _mean(_least(one["alignment"]))}
    state = one["state"].values.ravel().tolist()
    if not any(map(math.isfinite, values.values())):
        whys = [why for why in one["why"].values.ravel().tolist() if why]
        word = next(filter(None, state), "not begun")
        return Cell(None, {}, (whys or [word])[0], word)
    return Cell(None, values)


def _least(cosines: xr.DataArray) -> xr.DataArray:
    """The least of all layers; nothing before any point has layers."""
    return cosines.min("layer", skipna=True) if cosines.sizes["layer"] else cosines


def _mean(values: xr.DataArray) -> float:
    finite = values.values[np.isfinite(values.values)]
    return float(finite.mean()) if finite.size else math.nan


# On the page -------------------------------------------------------------------------------------


class SweepMap:
    """The widgets that choose a sweep and two of its choices, and its map in the grid's plot."""

    def __init__(self, plot: GridPlot, theme: str, sheet: str, turned: Callable[[], None]) -> None:
        """Build them, without a sweep.

        Args:
            plot: in which the grid is drawn.
            theme: of the page.
            sheet: style sheet of widgets.
            turned: called when another sweep, or none, is chosen.
        """
        self._plot, self._theme, self._turned = plot, theme, turned
        self._found: xr.Dataset | None = None
        self._grid: SweptGrid | None = None
        self._quiet, self._next = False, 0.0
        small: dict[str, Any] = {"stylesheets": [sheet], "margin": (4, 4)}
        words = {"stylesheets": [sheet], "sizing_mode": "stretch_width", "margin": (2, 4)}
        self._small = small
        self.menu = pn.widgets.Select(label="grid", options=_offered(), width=190, **small)
        self._x = pn.widgets.Select(label="across", width=170, **small)
        self._y = pn.widgets.Select(label="up", width=170, **small)
        self._measure = pn.widgets.Select(
            label="at the end",
            options={title: name for name, title in SWEPT.items()},
            value="accuracy",
            width=190,
            **small,
        )
        self._rest: dict[str, Any] = {}
        self._row = pn.Row(sizing_mode="stretch_width")
        self.said = pn.pane.HTML("", **words)
        self.menu.param.watch(lambda _: self._choose(), "value")
        for one in (self._x, self._y, self._measure):
            one.param.watch(lambda _: self._draw(), "value")
        self.view = pn.Column(
            pn.Row(self._x, self._y, sizing_mode="stretch_width"),
            pn.Row(self._measure, sizing_mode="stretch_width"),
            self._row,
            self.said,
            sizing_mode="stretch_width",
            visible=False,
        )

    @property
    def chosen(self) -> bool:
        """Whether a sweep is shown."""
        return self.menu.value != HERE

    def offer(self) -> None:
        """Look anew which sweeps there are, if that was a while ago."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + LOOK
        options = _offered()
        if options != self.menu.options:
            self.menu.options = options

    def tapped(self, i: int, j: int) -> None:
        """Tell a cell, with a way to its runs."""
        grid = self._grid
        if grid is None or (i, j) not in grid.cells:
            return
        self._plot.frame((i, j))
        found = grid.cells[i, j]
        place = ", ".join(
            f"{axis.name} {axis.values[k]}" for axis, k in ((grid.x, i), (grid.y, j)) if axis.name
        )
        numbers = " · ".join(f"{SWEPT[n]} {short(v)}" for n, v in found.values.items() if v == v)
        keys = [f"{self.menu.value}/{name}" for name in dict.fromkeys(grid.runs[i, j])]
        asked = urlencode(
            [("page", "compare"), ("theme", self._theme)] + [("run", k) for k in keys]
        )
        link = f' <a href="?{html.escape(asked)}">compare its runs</a>' if keys else ""
        said = html.escape(found.why or numbers)
        self.said.object = f"{self._about()}<p><b>{html.escape(place)}</b>: {said}{link}</p>"

    def _choose(self) -> None:
        """Another sweep: its axes, and what of it is measured."""
        self._grid = self._found = None
        self.view.visible = self.chosen
        if self.chosen:
            try:
                self._found = sweeps.kept(_folder(self.menu.value))
            except BadInput as refused:
                self.said.object = f'<p class="refused">{html.escape(str(refused))}</p>'
            else:
                self._set_axes(self._found)
        self._turned()
        self._draw()

    def _set_axes(self, found: xr.Dataset) -> None:
        names = axes(found)
        first = [one for one in names if one != SEED] or names
        second = next((one for one in (*first[1:], *names) if one != first[0]), "")
        known = [name for name in SWEPT if np.isfinite(_values(found, name)).any()]
        self._quiet = True
        self._x.param.update(options=names, value=first[0])
        self._y.param.update(options=names if second else [""], value=second)
        options = {SWEPT[name]: name for name in known or SWEPT}
        self._measure.param.update(options=options, value=next(iter(options.values())))
        self._quiet = False

    def _set_rest(self, found: xr.Dataset) -> None:
        """A menu for each choice that is neither an axis nor the seed."""
        names = [n for n in axes(found) if n not in (self._x.value, self._y.value, SEED)]
        if names == list(self._rest):
            return
        self._rest = {}
        for name in names:
            options = {str(value): value for value in found[name].values.tolist()}
            menu = pn.widgets.Select(label=name, options=options, width=150, **self._small)
            menu.param.watch(lambda _: self._draw(), "value")
            self._rest[name] = menu
        self._row[:] = list(self._rest.values())

    def _draw(self) -> None:
        if self._quiet or self._found is None:
            return
        self._set_rest(self._found)
        at = {name: menu.value for name, menu in self._rest.items()}
        try:
            self._grid = swept(self._found, self._x.value, self._y.value, at)
        except BadInput as refused:
            self.said.object = f'<p class="refused">{html.escape(str(refused))}</p>'
            return
        self._plot.frame(None)
        self._plot.draw(self._grid, self._measure.value, SWEPT)
        self.said.object = self._about()

    def _about(self) -> str:
        """How many points there are, and over what the mean is taken."""
        assert self._found is not None
        states = self._found["state"].values.ravel().tolist()
        counts = ", ".join(
            f"{states.count(one)} {one or 'not begun'}" for one in dict.fromkeys(states)
        )
        seeds = ""
        if SEED in axes(self._found) and SEED not in (self._x.value, self._y.value):
            seeds = f"; mean over {self._found.sizes[SEED]} seeds"
        return f"<small>{html.escape(f'{len(states)} points: {counts}{seeds}')}</small>"


def _values(found: xr.Dataset, name: str) -> Any:
    return found[{"total": "F", "cosine": "alignment"}.get(name, name)].values


def _offered() -> list[str]:
    return [HERE, *(one.name for one in sweeps.found())]


def _folder(name: str) -> Path:
    return next(one for one in sweeps.found() if one.name == name)
