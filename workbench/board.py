"""How is a frame drawn? The sources of the live plots are replaced in place, and only what changed.

Nothing here knows the session: a board takes a `Scene` and draws it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.models import BasicTicker, CustomJSTickFormatter

from workbench.absent import Absent, broken
from workbench.axes import (
    COMPARISONS,
    ENERGY_LIMITS,
    HIGHEST,
    POWERS,
    PRECISION_LIMITS,
    ROW_AXIS,
    TOTAL_LIMITS,
)
from workbench.blank import name_layers
from workbench.floors import Floors
from workbench.look import layer_colours, short
from workbench.plots import Plots

if TYPE_CHECKING:
    from workbench.curves import Curves
    from workbench.scene import Scene


class Board(Plots):
    """All live plots of one lane and its ghost."""

    def __init__(self, theme: str, seek: Callable[[int], None]) -> None:
        """Build every figure, empty.

        Args:
            theme: "light" or "dark".
            seek: called with a row number when a step axis is tapped.
        """
        super().__init__(theme, seek)
        self.floors = Floors(self.heat, self.depth, self.look)
        over_steps = [plot for plot in self.figures.values() if plot.x_range is self.x]
        self.absent = Absent(self.figures, over_steps, self.look)
        self._layers = 0
        self._names: tuple[str, ...] = ()
        self._colours: list[str] = []
        self._last: Scene | None = None
        self._marks_drawn: Any = None
        self._theory_drawn: Any = None
        self._fitted = False
        self._limits = ENERGY_LIMITS
        self.compared = "alignment"

    @property
    def limits(self) -> tuple[float, float]:
        """Of the colours of log10 energy."""
        return self._limits

    def draw(self, scene: "Scene") -> None:
        """Show a scene: replace what changed and move the cursor."""
        layers, names = scene.curves.energy.shape[1], scene.curves.names
        if (layers, names) != (self._layers, self._names):
            self._give_layers(layers, names)
        last = self._last
        moved = last is None or not _same_rows(last, scene)
        self.absent.grey(scene.absent, self.compared)
        if moved:
            self._draw_rows(scene)
        self._draw_cursor(scene)
        self._last = scene

    def compare(self, name: str) -> None:
        """Let the panel in the middle draw another of the COMPARISONS."""
        self.compared = name
        title, (low, high), ticks = COMPARISONS[name]
        plot = self.alignment
        plot.title.text = title
        plot.y_range.update(start=low, end=high)
        plot.yaxis.formatter = CustomJSTickFormatter(code=ticks)
        plot.yaxis.ticker = BasicTicker(min_interval=1 if ticks is POWERS else 0)
        self._last = None

    def fit(self) -> None:
        """Set the energy limits to the decades that the rows in sight reach."""
        if self._last is None:
            return
        found = _log(self._last.curves.energy)
        if not np.isfinite(found).any():
            return
        self._fitted = True
        low, high = np.floor(np.nanmin(found)), np.ceil(np.nanmax(found))
        self._limit(float(low), float(max(high, low + 1)))
        c = self._last.curves
        totals = np.concatenate([_log(c.total), _log(c.residual)])
        plots = [(self.errors, _log(c.error)), (self.total, totals)]
        if COMPARISONS[self.compared][2] is POWERS:
            plots.append((self.alignment, self._comparison(c)))
        for plot, values in plots:
            if np.isfinite(values).any():
                bottom, top = np.floor(np.nanmin(values)), np.ceil(np.nanmax(values))
                plot.y_range.update(start=float(bottom), end=float(max(top, bottom + 1)) + 0.2)

    def _limit(self, low: float, high: float) -> None:
        self._limits = low, high
        self._mapper.update(low=low, high=high)
        self.energy_axis.update(start=low, end=high + 0.03 * (high - low))

    def _make_room(self, scene: "Scene") -> None:
        """Raise the limits for what stands above them, by decades; a new lane begins anew."""
        c = scene.curves
        if self._last is not None and self._last.lane != scene.lane and not self._fitted:
            self._limit(*ENERGY_LIMITS)
            self.total.y_range.update(start=TOTAL_LIMITS[0], end=TOTAL_LIMITS[1])
        low, high = self._limits
        self._limit(low, max(high, min(_highest(_log(c.energy)), HIGHEST)))
        top = self.total.y_range
        top.end = max(top.end, min(_highest(_log(c.total)), HIGHEST))
        low, high = PRECISION_LIMITS
        found = _log(c.precision)
        if np.isfinite(found).any():
            low, high = min(low, np.floor(np.nanmin(found))), max(high, np.ceil(np.nanmax(found)))
        self._precisions.update(low=float(low), high=float(high))

    def _draw_rows(self, scene: "Scene") -> None:
        c = scene.curves
        self._make_room(scene)
        first, last = int(c.step[0]), int(c.step[-1])
        end = max(last, first + 10, *scene.updates)
        self.x.update(start=first - 0.5, end=end + 0.5 + 0.02 * (end - first))
        layers = c.energy.shape[1]
        place = {"x": [first - 0.5], "y": [0.5], "dw": [last - first + 1], "dh": [layers]}
        for name, source, values in (
            ("energy", self._heat, c.energy),
            ("precision", self._precision, c.precision),
        ):
            held = {"image": [_grid(_log(values), c.step)], **place}
            source.data = {k: [] for k in held} if name in scene.absent else held
        self.floors.draw_cells(_grid(np.where(c.noise, np.float32(1), np.nan), c.step), place)
        self.absent.lose(c.gaps)
        self._totals.data = _columns(
            c, total=_log(c.total), bare=_log(c.raw.sum(1)), residual=_log(c.residual)
        )
        self._imbalance.data = _columns(c, imbalance=c.imbalance)
        self._error_lines.data = self._lines(c, _log(c.error))
        self._alignment_lines.data = self._lines(c, self._comparison(c))
        self._draw_ghost(scene.ghost)
        self._draw_marks(scene)

    def _comparison(self, c: "Curves") -> Any:
        """What the panel in the middle draws, (n, L); nan where it is not recorded."""
        values = getattr(c, self.compared)
        if not values.size:
            return np.full(c.energy.shape, np.nan)
        return _log(values) if COMPARISONS[self.compared][2] is POWERS else values

    def _draw_ghost(self, ghost: "Curves | None") -> None:
        if ghost is None:
            for source in (self._ghost_totals, self._ghost_imbalance):
                source.data = {name: [] for name in source.column_names}
            for source in (self._error_ghosts, self._alignment_ghosts):
                source.data = {"xs": [], "ys": []}
            return
        self._ghost_totals.data = _columns(
            ghost, total=_log(ghost.total), residual=_log(ghost.residual)
        )
        self._ghost_imbalance.data = _columns(ghost, imbalance=ghost.imbalance)
        for source, values in (
            (self._error_ghosts, _log(ghost.error)),
            (self._alignment_ghosts, self._comparison(ghost)),
        ):
            held = self._lines(ghost, values)
            source.data = {name: held[name] for name in ("xs", "ys")}

    def _draw_marks(self, scene: "Scene") -> None:
        drawn = (scene.changes, scene.updates, scene.phases)
        if drawn == self._marks_drawn:
            return
        self._marks_drawn = drawn
        middle = (self.x.start + self.x.end) / 2
        left = [row < middle for row, _ in scene.changes]
        self._marks.data = {
            "x": [row - 0.5 for row, _ in scene.changes],
            "text": [f" {text.replace('->', '→')} " for _, text in scene.changes],
            "align": ["left" if one else "right" for one in left],
            "level": [self._layers + 0.42 - 0.9 * (k % 3) for k in range(len(left))],
        }
        self._updates.data = {"x": [row + 0.5 for row in scene.updates]}
        newest = len({name for _, name in scene.phases})
        named = dict(scene.phases[-newest:])
        begins = [row for row, _ in scene.phases]
        edge = self.x.start + 0.85 * (self.x.end - self.x.start)
        self._phases.data = {
            "x": [row - 0.5 for row in begins],
            "text": [f" {named[row]} " if row in named else "" for row in begins],
            "align": ["left" if row < edge else "right" for row in begins],
            "up": [-2 - 15 * (k % 3) for k in range(len(begins))],
        }
        axis = ROW_AXIS.format("phase" if scene.phases else "batch")
        for plot in (self.imbalance, self.precision):
            plot.xaxis.axis_label = axis

    def _draw_cursor(self, scene: "Scene") -> None:
        c, at = scene.curves, scene.at
        for span in self._cursors:
            span.location = scene.cursor
        here = [c.step[at]]
        self._total_dots.data = {
            "x": here * 2,
            "y": [_log(c.total[at]), _log(c.residual[at])],
            "colour": [self.look.ink, self.look.accent],
        }
        self._imbalance_dots.data = {
            "x": here,
            "y": [c.imbalance[at]],
            "colour": [self.look.ink],
        }
        layers_here = here * c.energy.shape[1]
        self._error_dots.data = {"x": layers_here, "y": _log(c.error[at]), "colour": self._colours}
        compared = self._comparison(c)[at]
        self._alignment_dots.data = {"x": layers_here, "y": compared, "colour": self._colours}
        layers = np.arange(1, c.energy.shape[1] + 1)
        reached = c.reached[at]
        energy = _log(c.energy[at])
        self._profile.data = {
            "layer": layers[reached],
            "energy": energy[reached],
            "colour": np.array(self._colours)[reached],
        }
        missing = layers[~reached & ~c.noise[at] & ~np.isnan(c.raw[at])]
        foot = self.energy_axis.start + 0.3
        self._missing.data = {"layer": missing, "energy": [foot] * len(missing)}
        self.floors.draw_marks(c, at, foot)
        ghost = scene.ghost
        if ghost is not None and len(ghost.step):
            near = int(np.abs(ghost.step - scene.cursor).argmin())
            seen = ghost.reached[near]
            behind: dict[str, Any] = {
                "layer": layers[seen],
                "energy": _log(ghost.energy[near])[seen],
            }
        else:
            behind = {"layer": [], "energy": []}
        self._ghost_profile.data = behind
        self._draw_theory(scene)
        self._say(scene)
        self.pictures.draw(scene)

    def _draw_theory(self, scene: "Scene") -> None:
        """Dashed curves over depth, and the level at which F comes to rest."""
        curves = {name: energy.tobytes() for name, energy in scene.predicted.items()}
        theory = (scene.lane, scene.cursor, scene.rest, curves)
        if theory == self._theory_drawn:
            return
        self._theory_drawn = theory
        layers = np.arange(1, self._layers + 1)
        for name, (drawn, source, named) in self._predicted.items():
            energy = scene.predicted.get(name)
            drawn.visible = named.visible = energy is not None
            if energy is not None:
                source.data = {"layer": layers, "energy": _log(energy)}
        self.depth.legend.visible = bool(scene.predicted)
        c, at = scene.curves, scene.at
        there = c.step[c.batch == c.batch[at]]
        F = scene.rest
        self._rest_named.visible = F is not None
        ends = there[[0, -1]] if F is not None else []
        self._rest_total.data = {"x": ends, "y": _log([F or np.nan] * len(ends))}

    def _say(self, scene: "Scene") -> None:
        """The numbers under the cursor, in the titles."""
        c, at = scene.curves, scene.at
        count, layers = int(c.reached[at].sum()), c.energy.shape[1]
        t = int(c.t[at])
        where = f"step {t}, batch {int(c.batch[at])}"
        if scene.phases:
            where = f"{c.phase[at]}, {where}"
        self._heat_title.text = f"energy of each layer  ·  {where}"
        self._total_title.text = _totals_in_words(scene)
        found = c.imbalance[at]
        self._why.visible = "energy" not in scene.absent and not np.isfinite(c.imbalance).any()
        self._why.x = self._without.x = int(c.step[0])
        recorded = getattr(c, self.compared).size
        self._without.visible = not recorded and self.compared not in scene.absent
        decades = f"{found:.2f}" if np.isfinite(found) else "undefined"
        noise = int(c.noise[at].sum())
        below = f", {noise} rounding" if noise else ""
        if "energy" in scene.absent:
            self._imbalance_title.text, self._depth_title.text = "imbalance", "energy by depth"
            return
        self._imbalance_title.text = f"imbalance {decades}  ·  {count} of {layers} reached{below}"
        slope, r2 = scene.slope
        fit = f"slope {slope:+.2f}, R² {r2:.2f}" if np.isfinite(slope) else "no slope yet"
        self._depth_title.text = f"energy by depth  ·  {fit}"

    def _lines(self, c: "Curves", values: Any) -> dict[str, Any]:
        columns = list(broken(c.step, values, c.gaps).T)
        return {
            "xs": [broken(c.step, c.step, c.gaps)] * len(columns),
            "ys": columns,
            "colour": self._colours,
            "layer": list(c.names),
        }

    def _give_layers(self, layers: int, names: tuple[str, ...]) -> None:
        """Axes and colours for other layers."""
        self._layers, self._names = layers, names
        self._colours = layer_colours(layers, self.look.name)
        self._last = None
        for axis in (self.heat.yaxis, self.precision.yaxis, self.depth.xaxis):
            name_layers(axis, names, 10)
        for plot in (self.heat, self.precision):
            plot.y_range.update(start=0.5, end=layers + 0.5)
        self.depth.x_range.update(start=0.4, end=layers + 0.6)
        slanted = 0.7 if any(len(name) > 3 for name in names) else "horizontal"
        self.depth.xaxis.major_label_orientation = slanted


def _columns(c: "Curves", **values: Any) -> dict[str, Any]:
    """Curves over the rows, with a break where rows were lost."""
    return {name: broken(c.step, one, c.gaps) for name, one in {"step": c.step, **values}.items()}


def _totals_in_words(scene: "Scene") -> str:
    """F and the residual at the cursor, or what they would need."""
    c, at, absent = scene.curves, scene.at, scene.absent
    residual = "" if "force" in absent else f"  ·  residual {short(c.residual[at])}"
    if "energy" in absent:
        return f"F needs the energies{residual}"
    if "precision" in absent:
        return f"E {short(c.raw[at].sum())} nat; F needs the precisions, not logged{residual}"
    without = ", without cost" if "cost" in absent else ""
    return f"total F {short(c.total[at])} nat{without}{residual}"


def _log(values: Any) -> Any:
    """log10, nan where there is nothing to take it of."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log10(np.asarray(values, dtype=float))
    return np.where(np.isfinite(found), found, np.nan).astype(np.float32)


def _highest(logs: Any) -> float:
    """The decade above all values; minus infinity where there are none."""
    return float(np.ceil(np.nanmax(logs))) if np.isfinite(logs).any() else -np.inf


def _grid(values: Any, step: Any) -> Any:
    """(n, L) as an image of one column per row number, also where rows were thinned.

    What was lost lies under a band of its own; see absent.py.
    """
    first, last = int(step[0]), int(step[-1])
    if last - first + 1 == len(step):
        return np.ascontiguousarray(values.T)
    at = np.searchsorted(step, np.arange(first, last + 1), side="right") - 1
    return np.ascontiguousarray(values[at].T)


def _newest(ghost: "Curves | None") -> int:
    """Number of the last row that is drawn of a ghost; -1 for none."""
    return -1 if ghost is None else int(ghost.step[-1])


def _same_rows(a: "Scene", b: "Scene") -> bool:
    """Whether two scenes draw the same rows."""
    return (
        a.lane == b.lane
        and len(a.curves.step) == len(b.curves.step)
        and int(a.curves.step[-1]) == int(b.curves.step[-1])
        and int(a.curves.step[0]) == int(b.curves.step[0])
        and _newest(a.ghost) == _newest(b.ghost)
        and a.changes == b.changes
        and a.phases == b.phases
        and np.array_equal(a.curves.imbalance, b.curves.imbalance, equal_nan=True)
        and np.array_equal(a.curves.total, b.curves.total, equal_nan=True)
    )
