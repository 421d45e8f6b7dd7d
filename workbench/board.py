"""How is a frame drawn? The sources of the live plots are replaced in place, and only what changed.

Nothing here knows the session: a board takes a `Scene` and draws it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.core.property.descriptors import UnsetValueError
from bokeh.models import ColumnDataSource, FixedTicker

from workbench.look import layer_colours
from workbench.plots import Plots

if TYPE_CHECKING:
    from workbench.scene import Curves, Scene


class Board(Plots):
    """All live plots of one lane and its ghost."""

    def __init__(self, theme: str, seek: Callable[[int], None]) -> None:
        """Build every figure, empty.

        Args:
            theme: "light" or "dark".
            seek: called with a row number when a step axis is tapped.
        """
        super().__init__(theme, seek)
        self._layers = 0
        self._colours: list[str] = []
        self._last: Scene | None = None
        self._marks_drawn: Any = None
        for name in ("inner_width", "inner_height"):
            self.images.on_change(name, self._resized)

    def draw(self, scene: "Scene") -> None:
        """Show a scene: replace what changed and move the cursor."""
        layers = scene.curves.energy.shape[1]
        if layers != self._layers:
            self._give_layers(layers)
        last = self._last
        moved = last is None or not _same_rows(last, scene)
        if moved:
            self._draw_rows(scene)
        self._draw_cursor(scene)
        self._last = scene

    def fit(self) -> None:
        """Set the energy limits to the decades that the rows in sight reach."""
        if self._last is None:
            return
        found = _log(self._last.curves.energy)
        if not np.isfinite(found).any():
            return
        low, high = np.floor(np.nanmin(found)), np.ceil(np.nanmax(found))
        self._limit(float(low), float(max(high, low + 1)))
        c = self._last.curves
        totals = np.concatenate([_log(c.total), _log(c.residual)])
        for plot, values in ((self.errors, _log(c.error)), (self.total, totals)):
            if np.isfinite(values).any():
                bottom, top = np.floor(np.nanmin(values)), np.ceil(np.nanmax(values))
                plot.y_range.update(start=float(bottom), end=float(max(top, bottom + 1)) + 0.2)

    def _limit(self, low: float, high: float) -> None:
        self._mapper.update(low=low, high=high)
        self.energy_axis.update(start=low, end=high)

    def _draw_rows(self, scene: "Scene") -> None:
        c = scene.curves
        first, last = int(c.step[0]), int(c.step[-1])
        end = max(last, first + 10, *scene.updates)
        self.x.update(start=first - 0.5, end=end + 0.5 + 0.02 * (end - first))
        layers = c.energy.shape[1]
        place = {"x": [first - 0.5], "y": [0.5], "dw": [last - first + 1], "dh": [layers]}
        self._heat.data = {"image": [_grid(_log(c.energy), c.step)], **place}
        self._precision.data = {"image": [_grid(_log(c.precision), c.step)], **place}
        self._totals.data = {
            "step": c.step,
            "total": _log(c.total),
            "bare": _log(c.raw.sum(1)),
            "residual": _log(c.residual),
        }
        self._imbalance.data = {"step": c.step, "imbalance": c.imbalance}
        self._error_lines.data = self._lines(c, _log(c.error))
        aligned = c.alignment if c.alignment.size else np.full(c.energy.shape, np.nan)
        self._alignment_lines.data = self._lines(c, aligned)
        self._draw_ghost(scene.ghost)
        self._draw_marks(scene)

    def _draw_ghost(self, ghost: "Curves | None") -> None:
        if ghost is None:
            for source in (self._ghost_totals, self._ghost_imbalance):
                source.data = {name: [] for name in source.column_names}
            for source in (self._error_ghosts, self._alignment_ghosts):
                source.data = {"xs": [], "ys": []}
            return
        self._ghost_totals.data = {
            "step": ghost.step,
            "total": _log(ghost.total),
            "residual": _log(ghost.residual),
        }
        self._ghost_imbalance.data = {"step": ghost.step, "imbalance": ghost.imbalance}
        for source, values in (
            (self._error_ghosts, _log(ghost.error)),
            (self._alignment_ghosts, ghost.alignment),
        ):
            columns = list(values.T)
            source.data = {"xs": [ghost.step] * len(columns), "ys": columns}

    def _draw_marks(self, scene: "Scene") -> None:
        drawn = (scene.changes, scene.updates)
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
        cosines = c.alignment[at] if c.alignment.size else np.full(len(layers_here), np.nan)
        self._alignment_dots.data = {"x": layers_here, "y": cosines, "colour": self._colours}
        layers = np.arange(1, c.energy.shape[1] + 1)
        reached = c.reached[at]
        energy = _log(c.energy[at])
        self._profile.data = {
            "layer": layers[reached],
            "energy": energy[reached],
            "colour": np.array(self._colours)[reached],
        }
        missing = layers[~reached]
        self._missing.data = {
            "layer": missing,
            "energy": [self.energy_axis.start + 0.3] * len(missing),
        }
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
        self._say(scene)
        self._draw_images(scene)

    def _say(self, scene: "Scene") -> None:
        """The numbers under the cursor, in the titles."""
        c, at = scene.curves, scene.at
        count, layers = int(c.reached[at].sum()), c.energy.shape[1]
        t = int(c.t[at])
        self._heat_title.text = f"energy of each layer  ·  step {t}, batch {int(c.batch[at])}"
        self._total_title.text = (
            f"total F {_short(c.total[at])} nat  ·  residual {_short(c.residual[at])}"
        )
        found = c.imbalance[at]
        self._why.visible = not np.isfinite(c.imbalance).any()
        self._why.x = int(c.step[0])
        decades = f"{found:.2f} decades" if np.isfinite(found) else "undefined"
        self._imbalance_title.text = f"imbalance {decades}  ·  {count} of {layers} reached"
        slope, r2 = scene.slope
        fit = f"slope {slope:+.2f}, R² {r2:.2f}" if np.isfinite(slope) else "no slope yet"
        self._depth_title.text = f"energy by depth  ·  {fit}"

    def _draw_images(self, scene: "Scene") -> None:
        pictures, texts, title = _tiles(scene)
        names = list(pictures)
        count = max((len(p) for p in pictures.values()), default=0)
        if not count:
            self._pictures.data = {name: [] for name in self._pictures.column_names}
            return
        height, width = next(iter(pictures.values())).shape[1:]
        across = self._across(count, len(names))
        rows = len(names) * -(-count // across)
        sheet = np.full((rows * height, across * width), np.nan)
        for k, name in enumerate(names):
            for i, one in enumerate(pictures[name]):
                top = (len(names) * (i // across) + k) * height
                left = (i % across) * width
                sheet[top : top + height, left : left + width] = one
        sheet = np.flipud(sheet).astype(np.float32)
        if not _same_picture(self._pictures, sheet):
            self._pictures.data = {
                "image": [sheet],
                "x": [0],
                "y": [0],
                "dw": [across],
                "dh": [rows],
            }
        self._square(across, rows)
        placed = {
            "x": [i % across + 0.04 for i in range(len(texts))],
            "y": [rows - len(names) * (i // across) - 0.03 for i in range(len(texts))],
            "text": texts,
        }
        if dict(self._texts.data) != placed:
            self._texts.data = placed
        self._images_title.text = title

    def _room(self) -> tuple[float, float]:
        """Size of the plot of images in the browser, (1, 1) before it has told."""
        try:
            return self.images.inner_width or 1, self.images.inner_height or 1
        except UnsetValueError:
            return 1, 1

    def _resized(self, attr: str, old: Any, new: Any) -> None:
        if self._last is not None:
            self._draw_images(self._last)

    def _across(self, count: int, stacked: int) -> int:
        """How many pictures side by side make them largest."""
        wide, high = self._room()
        return max(
            range(1, count + 1),
            key=lambda n: (min(wide / n, high / (stacked * -(-count // n))), -n),
        )

    def _square(self, across: int, rows: int) -> None:
        """Ranges in which a picture's pixels are square, as far as the browser told its size."""
        wide, high = self._room()
        unit = min(wide / across, high / rows)
        spare_x, spare_y = wide / unit - across, high / unit - rows
        self.images.x_range.update(start=-spare_x / 2, end=across + spare_x / 2)
        self.images.y_range.update(start=-spare_y / 2, end=rows + spare_y / 2)

    def _lines(self, c: "Curves", values: Any) -> dict[str, Any]:
        columns = list(values.T)
        return {
            "xs": [c.step] * len(columns),
            "ys": columns,
            "colour": self._colours,
            "layer": list(range(1, len(columns) + 1)),
        }

    def _give_layers(self, layers: int) -> None:
        """Axes and colours for another number of layers."""
        self._layers = layers
        self._colours = layer_colours(layers, self.look.name)
        self._last = None
        every = max(1, round(layers / 10))
        ticks = list(range(1, layers + 1, every))
        for plot in (self.heat, self.precision):
            plot.y_range.update(start=0.5, end=layers + 0.5)
            plot.yaxis.ticker = FixedTicker(ticks=ticks)
        self.depth.x_range.update(start=0.4, end=layers + 0.6)
        self.depth.xaxis.ticker = FixedTicker(ticks=ticks)


def _log(values: Any) -> Any:
    """log10, nan where there is nothing to take it of."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log10(np.asarray(values, dtype=float))
    return np.where(np.isfinite(found), found, np.nan).astype(np.float32)


def _grid(values: Any, step: Any) -> Any:
    """(n, L) as an image of one column per row number, also where rows were thinned."""
    first, last = int(step[0]), int(step[-1])
    if last - first + 1 == len(step):
        return np.ascontiguousarray(values.T)
    at = np.searchsorted(step, np.arange(first, last + 1), side="right") - 1
    return np.ascontiguousarray(values[at].T)


def _same_rows(a: "Scene", b: "Scene") -> bool:
    """Whether two scenes draw the same rows."""
    return (
        a.lane == b.lane
        and len(a.curves.step) == len(b.curves.step)
        and int(a.curves.step[-1]) == int(b.curves.step[-1])
        and int(a.curves.step[0]) == int(b.curves.step[0])
        and (a.ghost is None) == (b.ghost is None)
        and a.changes == b.changes
        and np.array_equal(a.curves.imbalance, b.curves.imbalance, equal_nan=True)
        and np.array_equal(a.curves.total, b.curves.total, equal_nan=True)
    )


def _same_picture(source: ColumnDataSource, sheet: Any) -> bool:
    held = source.data["image"]
    return len(held) == 1 and np.array_equal(held[0], sheet, equal_nan=True)


def _tiles(scene: "Scene") -> tuple[dict[str, Any], list[str], str]:
    """Rows of pictures, a text for each sample, and the title."""
    pictures = scene.images
    names = [n for n in ("input", "prediction", "swept", "image") if n in pictures]
    if "image" in pictures:
        names = ["image"]
    chosen = {name: pictures[name] for name in names}
    texts = [f" {label} " for label in scene.labels]
    if len(scene.probability):
        guess = scene.probability.argmax(1)
        sure = scene.probability.max(1)
        texts = [
            f" {label} → {g}  {p:.2f} "
            for label, g, p in zip(scene.labels, guess, sure, strict=False)
        ]
        right = int((guess == scene.labels[: len(guess)]).sum())
        return chosen, texts, f"images: label → class of μ, {right} of {len(guess)} agree"
    if "swept" in chosen:
        mse = scene.errors
        return (
            chosen,
            texts,
            f"input, μ (MSE {_short(mse['prediction'])}), sweep (MSE {_short(mse['swept'])})",
        )
    if "image" in chosen:
        return chosen, texts, "h₀, the free image, for each clamped label"
    return chosen, texts, "images"


def _short(value: float) -> str:
    return f"{value:.3g}" if np.isfinite(value) else "not finite"
