"""What does the network see? The live pictures of one row, as one sheet, as large as it fits."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.core.properties import value
from bokeh.core.property.descriptors import UnsetValueError
from bokeh.events import Tap
from bokeh.models import ColumnDataSource, Title
from numpy.typing import NDArray

from workbench.look import FONT

if TYPE_CHECKING:
    from workbench.scene import Scene

ROWS = {"input": "input", "image": "h", "prediction": "μ", "swept": "sweep"}
"""Pictures that a scene may hold, in the order in which they are stacked."""


LETTER = 5.5
"""Pixels of a letter, about."""


class Pictures:
    """A figure without axes in which pictures lie side by side."""

    def __init__(self, figure: Any, title: Title, colour: str) -> None:
        """Give an empty figure its sources.

        Args:
            figure: of bokeh.
            title: of the figure.
            colour: of the frame around the chosen sample.
        """
        self.figure, self._title = figure, title
        self.choose: Callable[[int], None] = lambda sample: None
        self._placed = (0, 0, 0)
        figure.on_event(Tap, self._tapped)
        self._last: Scene | None = None
        figure.axis.visible = False
        figure.grid.visible = False
        self._sheet = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        self._texts = ColumnDataSource({"x": [], "y": [], "text": []})
        figure.image_rgba("image", "x", "y", "dw", "dh", source=self._sheet)
        self._frame = ColumnDataSource({"left": [], "right": [], "bottom": [], "top": []})
        figure.quad(
            **{side: side for side in self._frame.column_names},
            source=self._frame,
            fill_color=None,
            line_color=colour,
            line_width=3,
        )
        figure.text(
            "x",
            "y",
            "text",
            source=self._texts,
            text_color="#ffffff",
            text_font=value(FONT),
            text_font_size="11px",
            text_baseline="top",
            background_fill_color="#000000",
            background_fill_alpha=0.55,
        )
        for name in ("inner_width", "inner_height"):
            figure.on_change(name, self._resized)

    def draw(self, scene: "Scene") -> None:
        """Show the pictures of a scene; replace what changed."""
        self._last = scene
        pictures, texts, title = tiles(scene)
        names = list(pictures)
        count = max((len(p) for p in pictures.values()), default=0)
        if not count:
            self._sheet.data = {name: [] for name in self._sheet.column_names}
            self._frame.data = {name: [] for name in self._frame.column_names}
            self._placed = 0, 0, 0
            return
        height, width = next(iter(pictures.values())).shape[2:]
        across = self._across(count, len(names))
        rows = len(names) * -(-count // across)
        sheet = np.zeros((rows * height, across * width), np.uint32)  # transparent
        for k, name in enumerate(names):
            for i, one in enumerate(pixels(pictures[name], *scene.pixels)):
                top = (len(names) * (i // across) + k) * height
                left = (i % across) * width
                sheet[top : top + height, left : left + width] = one
        sheet = np.flipud(sheet)
        if not _holds(self._sheet, sheet):
            self._sheet.data = {"image": [sheet], "x": [0], "y": [0], "dw": [across], "dh": [rows]}
        texts = _short(texts, self._square(across, rows))
        placed = {
            "x": [i % across + 0.04 for i in range(len(texts))],
            "y": [rows - len(names) * (i // across) - 0.03 for i in range(len(texts))],
            "text": texts,
        }
        if dict(self._texts.data) != placed:
            self._texts.data = placed
        self._mark(scene, count, across, len(names))
        self._title.text = title

    def _mark(self, scene: "Scene", count: int, across: int, stacked: int) -> None:
        """Frame the chosen sample."""
        self._placed = count, across, stacked
        found: dict[str, Any] = {name: [] for name in self._frame.column_names}
        if scene.marked is not None:
            i = count - 1 if scene.brought else scene.marked
            top = stacked * (-(-count // across) - i // across)
            left = i % across
            found = {"left": [left], "right": [left + 1], "bottom": [top - stacked], "top": [top]}
        if dict(self._frame.data) != found:
            self._frame.data = found

    def _tapped(self, event: Any) -> None:
        """Hand over the number of the sample whose picture was tapped."""
        count, across, stacked = self._placed
        scene = self._last
        if scene is None or not count or event.x is None or not 0 <= event.x < across:
            return
        down = -(-count // across) - event.y / stacked
        i = across * int(np.floor(down)) + int(event.x)
        if down < 0 or not 0 <= i < count:
            return
        last = scene.brought and i == count - 1
        self.choose(scene.marked if last and scene.marked is not None else i)

    def _room(self) -> tuple[float, float]:
        """Size of the figure in the browser, (1, 1) before it has told."""
        try:
            return self.figure.inner_width or 1, self.figure.inner_height or 1
        except UnsetValueError:
            return 1, 1

    def _resized(self, attr: str, old: Any, new: Any) -> None:
        if self._last is not None:
            self.draw(self._last)

    def _across(self, count: int, stacked: int) -> int:
        """How many pictures side by side make them largest."""
        wide, high = self._room()
        return max(
            range(1, count + 1),
            key=lambda n: (min(wide / n, high / (stacked * -(-count // n))), -n),
        )

    def _square(self, across: int, rows: int) -> float:
        """Ranges in which pixels are square; how wide a picture is, 0 before the browser told."""
        wide, high = self._room()
        unit = min(wide / across, high / rows)
        spare_x, spare_y = wide / unit - across, high / unit - rows
        self.figure.x_range.update(start=-spare_x / 2, end=across + spare_x / 2)
        self.figure.y_range.update(start=-spare_y / 2, end=rows + spare_y / 2)
        return unit if wide > 1 else 0.0


def tiles(scene: "Scene") -> tuple[dict[str, Any], list[str], str]:
    """Rows of pictures, a text for each sample, and the title."""
    chosen, texts, title = _tiles(scene)
    if scene.brought and chosen:
        there = [np.isfinite(values[-1]).all() for values in chosen.values()]
        kept = "" if all(there) else "input only " if any(there) else "not kept "
        texts = texts or [""] * len(next(iter(chosen.values())))
        texts[-1] = f" {scene.marked}:{texts[-1] or ' '}{kept}"
    return chosen, texts, title


def _tiles(scene: "Scene") -> tuple[dict[str, Any], list[str], str]:
    chosen = {name: scene.images[name] for name in ROWS if name in scene.images}
    errors = scene.errors
    if "image" in chosen and "image" not in errors:
        chosen.pop("input", None)  # a free image has nothing to do with the batch's own
    texts = [f" {label} " for label in scene.labels]
    if "image" in chosen and "prediction" in chosen and "image" not in errors:
        return chosen, [], "h and μ of the free image, from a drawn latent state"
    if "image" in chosen and "image" not in errors:
        return chosen, texts, "h₀, the free image, for each clamped label"
    if errors:
        said = ", ".join(f"{ROWS[n]} {errors[n]:.2g}" for n in chosen if n in errors)
        return chosen, texts, f"{'input; ' if 'input' in chosen else ''}MSE of {said}"
    if len(scene.probability):
        guess, sure = scene.probability.argmax(1), scene.probability.max(1)
        texts = [
            f" {label} → {g}  {p:.2f} "
            for label, g, p in zip(scene.labels, guess, sure, strict=False)
        ]
        right = int((guess == scene.labels[: len(guess)]).sum())
        return chosen, texts, f"images: label → class of μ, {right} of {len(guess)} agree"
    return chosen, texts, "images"


def _short(texts: list[str], room: float) -> list[str]:
    """Texts without what stands behind two blanks, where they are wider than their pictures."""
    if not room or LETTER * max(map(len, texts), default=0) <= room:
        return texts
    return [f"{one.partition('  ')[0]} " for one in texts]


def _holds(source: ColumnDataSource, sheet: Any) -> bool:
    held = source.data["image"]
    return len(held) == 1 and np.array_equal(held[0], sheet)


def pixels(images: Any, low: Any, high: Any, *, dim: float = 1.0) -> NDArray[np.uint32]:
    """Images (..., C, H, W) as RGBA pixels (..., H, W), first row on top: colour of three channels.

    What is not finite is transparent.

    Args:
        images: any number of channels; of other numbers than three the mean is drawn as grey.
        low: black, of all channels or (C,).
        high: white, of all channels or (C,).
        dim: brightness that white is given, of 1.
    """
    low, high = (np.asarray(one, float).reshape(-1, 1, 1) for one in (low, high))
    there = np.isfinite(images)
    share = np.clip((np.where(there, images, low) - low) / (high - low), 0, 1)
    colour = share if share.shape[-3] == 3 else share.mean(-3, keepdims=True)
    made = np.full((*share.shape[:-3], *share.shape[-2:], 4), 255, np.uint8)
    made[..., :3] = np.round(255 * dim * np.moveaxis(colour, -3, -1))
    made[..., 3] = np.where(there.all(-3), 255, 0)
    return made.view(np.uint32)[..., 0]
