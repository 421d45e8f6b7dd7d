"""What do two dials do together? A tab of the drawer: a grid of relaxations of this batch."""

import html
from typing import Any

import panel as pn

from core.catalogue import BadInput
from workbench.grid import MEASURES, STEPS, Axis, Cell, Grid, axes, parsed, proposed
from workbench.grid_plot import GridPlot
from workbench.grid_sweep import SweepMap
from workbench.look import short
from workbench.restarting import restart

ABOUT = (
    "Relaxes this batch once for each pair of values, in the background, from where it began: the "
    "same samples and weights. What is shown is measured at the end, after all steps. Tap a cell "
    "to open it in a lane."
)


class GridTab:
    """Two axes with their values, a measure, and the cells."""

    def __init__(self, page: Any, sheet: str) -> None:
        """Build it for a page whose session is ready."""
        self._page = page
        self._grid: Grid | None = None
        self._drawn: Any = None
        self._setting = False
        small = {"stylesheets": [sheet], "margin": (4, 4)}
        words = {"stylesheets": [sheet], "sizing_mode": "stretch_width", "margin": (2, 4)}
        experiment = page.session.wanted
        names = list(axes(experiment))
        first = "dynamics.rate" if "dynamics.rate" in names else names[-1]
        self._names = {
            "x": pn.widgets.Select(label="across", options=names, value=first, width=170, **small),
            "y": pn.widgets.Select(label="up", options=names, value=STEPS, width=170, **small),
        }
        self._values = {
            key: pn.widgets.TextInput(label="values", width=230, **small) for key in self._names
        }
        for key, menu in self._names.items():
            menu.param.watch(lambda event, key=key: self._propose(key), "value")
            self._propose(key)
        self._measure = pn.widgets.Select(
            label="at the end",
            options={title: name for name, title in MEASURES.items()},
            value="imbalance",
            width=190,
            **small,
        )
        self._measure.param.watch(lambda _: self.follow(), "value")
        self._go = pn.widgets.Button(
            label="relax the grid", width=120, stylesheets=[sheet], margin=(22, 4, 4, 4)
        )
        self._stop = pn.widgets.Button(
            label="stop", width=60, disabled=True, stylesheets=[sheet], margin=(22, 4, 4, 4)
        )
        self._go.on_click(self._begin)
        self._stop.on_click(self._end)
        self._refused = pn.pane.HTML("", **words)
        self._said = pn.pane.HTML("", **words)
        self._plot = GridPlot(page.look, self._open)
        self._sweep = SweepMap(self._plot, page.look.name, sheet, self._turned)
        self._here = pn.Column(
            pn.pane.HTML(f"<small>{ABOUT}</small>", **words),
            pn.Row(self._names["x"], self._values["x"], sizing_mode="stretch_width"),
            pn.Row(self._names["y"], self._values["y"], sizing_mode="stretch_width"),
            pn.Row(self._measure, self._go, self._stop, sizing_mode="stretch_width"),
            self._refused,
            sizing_mode="stretch_width",
        )
        self.view = pn.Column(
            self._sweep.menu,
            self._here,
            self._sweep.view,
            pn.pane.Bokeh(self._plot.figure, sizing_mode="stretch_width"),
            self._said,
            sizing_mode="stretch_width",
        )

    def follow(self, *, draws: bool = True) -> None:
        """Draw what has come; called at every beat while it is open."""
        self._offer()
        self._sweep.offer()
        grid = self._grid
        if grid is None or not draws or self._sweep.chosen:
            return
        now = grid, len(grid.cells), grid.done, self._measure.value
        if now == self._drawn:
            return
        self._drawn = now
        self._stop.disabled = grid.done
        self._refuse(grid.trouble)
        self._plot.draw(grid, self._measure.value)
        self._said.object = told(grid)

    def close(self) -> None:
        """No more cells."""
        if self._grid is not None:
            self._grid.stop()

    def _turned(self) -> None:
        """A sweep takes the place of the grid that is relaxed here, or gives it back."""
        self._here.visible = self._said.visible = not self._sweep.chosen
        self._plot.frame(None)
        self._drawn = None
        self._plot.clear()
        self.follow()

    def _end(self, event: Any) -> None:
        self.close()
        self.follow()

    def _offer(self) -> None:
        """Offer the dials of the choices in force."""
        names = list(axes(self._page.session.wanted))
        for key, menu in self._names.items():
            if names != menu.options:
                kept = menu.value if menu.value in names else STEPS
                self._setting = True
                try:
                    menu.param.update(options=names, value=kept)
                finally:
                    self._setting = False
                if kept == STEPS:
                    self._propose(key)

    def _propose(self, key: str) -> None:
        if not self._setting:
            values = proposed(self._page.session.wanted, self._names[key].value)
            self._values[key].value = ", ".join(f"{value:g}" for value in values)

    def _axis(self, key: str) -> Axis:
        name = self._names[key].value
        return parsed(self._page.session.wanted, name, self._values[key].value, name)

    def _begin(self, event: Any) -> None:
        try:
            x, y = self._axis("x"), self._axis("y")
            if x.name == y.name:
                raise BadInput(f"up: {y.name}; another than across")
        except BadInput as refused:
            self._refuse(str(refused))
            return
        self.close()
        self._refuse("")
        self._plot.frame(None)
        self._grid = Grid(self._page.session, x, y)
        self.follow()

    def _refuse(self, line: str) -> None:
        self._refused.object = f'<p class="refused">{html.escape(line)}</p>' if line else ""

    def _open(self, i: int, j: int) -> None:
        """Open a cell in a lane, from the batch's beginning to its end; tell that of a sweep."""
        if self._sweep.chosen:
            self._sweep.tapped(i, j)
            return
        grid = self._grid
        found = None if grid is None else grid.cells.get((i, j))
        if grid is None or found is None:
            return
        self._plot.frame((i, j))
        self._said.object = f"{told(grid)}{of(grid, i, j, found)}"
        if found.experiment is not None:
            experiment = found.experiment
            self._page.do(lambda s: (restart(s, experiment), s.run_to_end()))


class NoGrid:
    """In the place of a grid, which needs a network that can relax."""

    def __init__(self, page: Any, sheet: str) -> None:
        """Say why."""
        self.view = pn.pane.HTML(
            "<p>A grid relaxes the batch anew: a recorded run keeps no network.</p>"
            f'<p class="refused">{html.escape(page.session.why)}</p>',
            sizing_mode="stretch_width",
        )

    def follow(self, *, draws: bool = True) -> None:
        """There is never anything new."""

    def close(self) -> None:
        """Nothing is under way."""


def told(grid: Grid) -> str:
    """Where the cells begin, and what is refused, as HTML."""
    if grid.at is None:
        return "<small>waiting for the worker</small>"
    whys = dict.fromkeys(one.why for _, one in sorted(grid.cells.items()) if one.why)
    lines = "".join(f"<p><small>refused: {html.escape(why)}</small></p>" for why in whys)
    begins = f"lane {grid.at.lane}, batch {grid.at.mark.batch}"
    return f"<small>from the beginning of {begins}</small>{lines}"


def of(grid: Grid, i: int, j: int, found: Cell) -> str:
    """One cell in words, as HTML."""
    place = f"{grid.x.name} {grid.x.values[i]:g}, {grid.y.name} {grid.y.values[j]:g}"
    numbers = " · ".join(f"{MEASURES[name]} {short(v)}" for name, v in found.values.items())
    return f"<p><b>{html.escape(place)}</b>: {html.escape(found.why or numbers)}</p>"
