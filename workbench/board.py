"""How is a frame drawn? Axes and marks change in place; what moves goes to the browser as numbers.

Nothing here knows the session: a board takes a `Scene` and draws it.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.models import BasicTicker, CustomJSTickFormatter

from workbench.absent import Absent
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
from workbench.curves import logarithm
from workbench.floors import Floors
from workbench.frames import Frames, table
from workbench.look import layer_colours, short, told
from workbench.pictures import sheet
from workbench.plots import TITLES, Plots

if TYPE_CHECKING:
    from workbench.curves import Curves
    from workbench.scene import Scene


class Board(Plots):
    """All live plots of one lane and its ghost."""

    def __init__(self, theme: str) -> None:
        """Build every figure, empty.

        Args:
            theme: "light" or "dark".
        """
        super().__init__(theme)
        self.floors = Floors(self.depth, self.look)
        over_steps = [plot for plot in self.figures.values() if plot.x_range is self.x]
        self.absent = Absent(self.figures, over_steps, self.look)
        self._told = told(self.look)
        self._layers = 0
        self._names: tuple[str, ...] = ()
        self._colours: list[str] = []
        self._last: Scene | None = None
        self.marks: dict[str, Any] = {}
        self._theory_drawn: Any = None
        self._fitted = False
        self._limits = ENERGY_LIMITS
        self._axis: tuple[float, ...] = ()
        self.compared = "alignment"

    @property
    def limits(self) -> tuple[float, float]:
        """Of the colours of log10 energy."""
        return self._limits

    def draw(self, scene: "Scene") -> None:
        """Show a scene: axes and words; `message` is what moves between the axes."""
        layers, names = scene.curves.energy.shape[1], scene.curves.names
        if (layers, names) != (self._layers, self._names):
            self._give_layers(layers, names)
        self.absent.grey(scene.absent, self.compared)
        self._make_room(scene)
        self._draw_axis(scene)
        self.absent.lose(scene.curves.gaps)
        self._draw_marks(scene)
        self.sheet = sheet(scene)
        self.floors.clear()
        self._draw_theory(scene)
        self._say(scene)
        self._last = scene

    def rest(self) -> None:
        """Draw what waits until the rows stand still: the rounding floors."""
        scene = self._last
        if scene is not None:
            self.floors.draw_marks(scene.curves, scene.at, self._foot)

    def message(self, frames: Frames, said: dict[str, Any]) -> bytes:
        """What the browser draws of the last scene, as far as it has not got it.

        Args:
            frames: what that browser holds.
            said: the page's readout, with the number of the frame.
        """
        scene = self._last
        assert scene is not None, "nothing is drawn yet"
        c, behind = scene.curves, scene.ghost
        said, chosen = parted(said)
        head = {
            "frame": said["frame"],
            "lane": scene.lane,
            "cursor": scene.cursor,
            "foot": self._foot,
            "said": said,
        }
        once = {
            "look": self._told,
            "chosen": chosen,
            "colours": self._colours,
            "limits": {
                "energy": self._limits,
                "precision": (self._precisions.low, self._precisions.high),
            },
            "gaps": c.gaps,
            "powers": COMPARISONS[self.compared][2] is POWERS,
            "absent": [name for name, words in self.absent.words.items() if words.visible],
            "marks": self.marks,
            "tiles": self.sheet.told,
            "titles": dict(self.titles),
        }
        rows = c.step, table(c, self._comparison(c))
        ghost = (np.zeros(0), rows[1][:0])
        if behind is not None and len(behind.step):
            ghost = behind.step, table(behind, self._comparison(behind))
        return frames.packed(head, once, rows, ghost, self.sheet.pixels)

    @property
    def _foot(self) -> float:
        """Where marks at the foot of the profile stand, log10 nat."""
        return self.energy_axis.start + 0.3

    def compare(self, name: str) -> None:
        """Let the panel in the middle draw another of the COMPARISONS."""
        self.compared = name
        title, (low, high), ticks = COMPARISONS[name]
        plot = self.alignment
        self.titles["alignment"] = title
        plot.y_range.update(start=low, end=high)
        plot.yaxis.formatter = CustomJSTickFormatter(code=ticks)
        plot.yaxis.ticker = BasicTicker(min_interval=1 if ticks is POWERS else 0)

    def fit(self) -> None:
        """Set the energy limits to the decades that the rows in sight reach; end a zoom."""
        self._axis = ()
        if self._last is None:
            return
        c = self._last.curves
        found = c.logs["energy"]
        if not np.isfinite(found).any():
            return
        self._fitted = True
        low, high = np.floor(np.nanmin(found)), np.ceil(np.nanmax(found))
        self._limit(float(low), float(max(high, low + 1)))
        totals = np.concatenate([c.logs["total"], c.logs["residual"]])
        plots = [(self.errors, c.logs["error"]), (self.total, totals)]
        if COMPARISONS[self.compared][2] is POWERS:
            plots.append((self.alignment, self._comparison(c)))
        for plot, values in plots:
            if np.isfinite(values).any():
                bottom, top = np.floor(np.nanmin(values)), np.ceil(np.nanmax(values))
                plot.y_range.update(start=float(bottom), end=float(max(top, bottom + 1)) + 0.2)

    def _limit(self, low: float, high: float) -> None:
        if (low, high) == self._limits:
            return
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
        self._limit(low, max(high, min(_highest(c.logs["energy"]), HIGHEST)))
        top, highest = self.total.y_range, min(_highest(c.logs["total"]), HIGHEST)
        if highest > top.end:
            top.end = highest
        low, high = PRECISION_LIMITS
        found = c.logs["precision"]
        if np.isfinite(found).any():
            low, high = min(low, np.floor(np.nanmin(found))), max(high, np.ceil(np.nanmax(found)))
        if (low, high) != (self._precisions.low, self._precisions.high):
            self._precisions.update(low=float(low), high=float(high))

    def _draw_axis(self, scene: "Scene") -> None:
        """Axis of rows, moved in strides: each move costs the browser all axes."""
        step = scene.curves.step
        first, last = int(step[0]), int(step[-1])
        span = _stride(max(last - first, 10, *(row - first for row in scene.updates)))
        axis = first - 0.5, first + 0.5 + 1.02 * span
        if axis != self._axis:  # a zoom lasts until then
            self._axis = axis
            self.x.update(start=axis[0], end=axis[1])

    def _comparison(self, c: "Curves") -> Any:
        """What the panel in the middle draws, (n, L); nan where it is not recorded."""
        values = getattr(c, self.compared)
        if not values.size:
            return np.full(c.energy.shape, np.nan)
        return logarithm(values) if COMPARISONS[self.compared][2] is POWERS else values

    def _draw_marks(self, scene: "Scene") -> None:
        """Lines across all plots over rows, some with words: [place, words, side, height]."""
        middle = (self.x.start + self.x.end) / 2
        edge = self.x.start + 0.85 * (self.x.end - self.x.start)
        newest = len({name for _, name in scene.phases})
        named = dict(scene.phases[-newest:])
        self.marks = {
            "changes": [
                [row - 0.5, text.replace("->", "→"), "left" if row < middle else "right", k % 3]
                for k, (row, text) in enumerate(scene.changes)
            ],
            "updates": [row + 0.5 for row in scene.updates],
            "phases": [
                [row - 0.5, named.get(row, ""), "left" if row < edge else "right", k % 3]
                for k, (row, _) in enumerate(scene.phases)
            ],
        }
        label = ROW_AXIS.format("phase" if scene.phases else "batch")
        for plot in (self.imbalance, self.precision):
            if plot.below[0].axis_label != label:
                plot.below[0].axis_label = label

    def _draw_theory(self, scene: "Scene") -> None:
        """Dashed curves over depth, and the level at which F comes to rest."""
        c, F = scene.curves, scene.rest
        there = c.step[c.batch == c.batch[scene.at]]
        ends = [] if F is None else [int(there[0]), int(there[-1])]
        curves = {name: energy.tobytes() for name, energy in scene.predicted.items()}
        theory = (F, ends, curves)
        if theory == self._theory_drawn:
            return
        self._theory_drawn = theory
        layers = np.arange(1, self._layers + 1)
        for name, (drawn, source, named) in self._predicted.items():
            energy = scene.predicted.get(name)
            drawn.visible = named.visible = energy is not None
            if energy is not None:
                source.data = {"layer": layers, "energy": logarithm(energy)}
        self.depth.legend.visible = bool(scene.predicted)
        self._rest_named.visible = F is not None
        self._rest_total.data = {"x": ends, "y": logarithm([F or np.nan] * len(ends))}

    def _say(self, scene: "Scene") -> None:
        """The numbers under the cursor, in the titles."""
        c, at = scene.curves, scene.at
        count, layers = int(c.reached[at].sum()), c.energy.shape[1]
        t = int(c.t[at])
        where = f"step {t}, batch {int(c.batch[at])}"
        if scene.phases:
            where = f"{c.phase[at]}, {where}"
        titles = self.titles
        titles["images"] = self.sheet.title
        titles["heat"] = f"energy of each layer  ·  {where}"
        titles["total"] = _totals_in_words(scene)
        found = c.imbalance[at]
        why = "energy" not in scene.absent and not np.isfinite(c.imbalance).any()
        without = not getattr(c, self.compared).size and self.compared not in scene.absent
        for note, shown in ((self._why, why), (self._without, without)):
            if note.visible != shown or (shown and note.x != int(c.step[0])):
                note.update(visible=shown, x=int(c.step[0]))
        decades = f"{found:.2f}" if np.isfinite(found) else "undefined"
        noise = int(c.noise[at].sum())
        below = f", {noise} rounding" if noise else ""
        if "energy" in scene.absent:
            titles["imbalance"], titles["depth"] = TITLES["imbalance"], TITLES["depth"]
            return
        titles["imbalance"] = f"imbalance {decades}  ·  {count} of {layers} reached{below}"
        slope, r2 = scene.slope
        fit = f"slope {slope:+.2f}, R² {r2:.2f}" if np.isfinite(slope) else "no slope yet"
        titles["depth"] = f"energy by depth  ·  {fit}"

    def _give_layers(self, layers: int, names: tuple[str, ...]) -> None:
        """Axes and colours for other layers."""
        self._layers, self._names = layers, names
        self._colours = layer_colours(layers, self.look.name)
        for axis in (self.heat.yaxis, self.precision.yaxis, self.depth.xaxis):
            name_layers(axis, names, 10)
        for plot in (self.heat, self.precision):
            plot.y_range.update(start=0.5, end=layers + 0.5)
        self.depth.x_range.update(start=0.4, end=layers + 0.6)
        slanted = 0.7 if any(len(name) > 3 for name in names) else "horizontal"
        self.depth.xaxis.major_label_orientation = slanted


def parted(said: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A readout in two: what changes with each frame, and the choices, told when they change."""
    chosen = {name: said[name] for name in ("recipe", "experiment") if name in said}
    return {name: value for name, value in said.items() if name not in chosen}, chosen


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


def _highest(logs: Any) -> float:
    """The decade above all values; minus infinity where there are none."""
    return float(np.ceil(np.nanmax(logs))) if np.isfinite(logs).any() else -np.inf


def _stride(rows: int) -> int:
    """A number of rows not below this one that seldom changes while it grows; at most 1/8 more."""
    by = 2 ** max(0, int(np.log2(rows / 8)) if rows >= 96 else 0)
    return -(-rows // by) * by
