"""How is a relaxation shown in a talk? As a GIF: energy by depth, and the total, step by step."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import NDArray
from PIL import Image

from workbench import look, many, measures
from workbench.views import marks

SIZE = (4.8, 2.7)
"""Inches, 16 to 9, in which letters of 8 points are large enough for a wall."""

DPI = 200

MOST = 300
"""Frames; of more rows they are evenly spaced, the last one among them."""

LAST = 1.5
"""Seconds for which the last frame stays."""

NEARLY_WHITE = 247
"""Of 255: what is brighter becomes white."""

FASTEST = 50
"""Frames a second: a GIF counts in hundredths of a second, and viewers slow down one of them."""


def gif(trace: xr.Dataset, fps: int = 8) -> bytes:
    """A relaxation as an animated GIF that begins again, 960 by 540 pixels.

    Args:
        trace: one lane.
        fps: frames a second, one row each.

    Raises:
        ValueError: naming what is missing from the trace, or a speed that no GIF has.
    """
    if not 1 <= fps <= FASTEST:
        raise ValueError(f"fps: {fps}; an integer 1..{FASTEST}")
    pictures = [Image.fromarray(one) for one in frames(trace)]
    colours = _palette(pictures)
    flat = [one.quantize(palette=colours, dither=Image.Dither.NONE) for one in pictures]
    each = round(100 / fps) * 10
    durations = [each] * (len(flat) - 1) + [round(1000 * LAST)]
    buffer = io.BytesIO()
    rest: dict[str, Any] = {"append_images": flat[1:], "duration": durations, "loop": 0}
    flat[0].save(buffer, format="GIF", save_all=True, optimize=False, **rest)
    return buffer.getvalue()


def rows_of(trace: xr.Dataset) -> NDArray[np.intp]:
    """Positions of the rows that are drawn."""
    count = trace.sizes["step"]
    return np.unique(np.linspace(0, count - 1, min(count, MOST)).round().astype(int))


def frames(trace: xr.Dataset) -> Iterator[NDArray[np.uint8]]:
    """The pictures, (height, width, 3), all in the same axes.

    Raises:
        ValueError: naming what is missing from the trace.
    """
    several = many.dims(trace)
    if several:
        raise ValueError(f"movie: several relaxations, by {', '.join(several)}; one of them")
    marks.need(trace, "movie", ("energy", "precision"))
    energy = trace["energy"].transpose("step", "layer").values.astype(float)
    reached = measures.reached(trace).values
    shown = np.where(reached, energy, np.nan)
    why = "no layer is above its rounding floor"
    marks.need_numbers("movie", "energy", shown, why)
    total = measures.total_energy(trace)["F"].values
    said = dict(measures.changes(trace))
    with look.paper_style():
        drawing = _Drawing(trace, shown, np.isfinite(energy) & ~reached, total)
        sentence = ""
        for k, row in enumerate(rows := rows_of(trace)):
            first = rows[k - 1] + 1 if k else 0
            for step in trace["step"].values[first : row + 1].tolist():
                sentence = said.get(step, sentence)
            yield drawing.at(int(row), sentence)


class _Drawing:
    """The figure, built once; each frame moves what moves."""

    def __init__(
        self, trace: xr.Dataset, shown: NDArray[Any], below: NDArray[Any], total: NDArray[Any]
    ) -> None:
        """Build it with the limits of all rows.

        Args:
            trace: one lane.
            shown: energies of reached layers, (rows, L); nan elsewhere.
            below: which layers are not reached, (rows, L).
            total: F of each row.
        """
        self._trace, self._shown, self._below, self._total = trace, shown, below, total
        self._x, label = marks.steps(trace)
        self._fig = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
        self._canvas = FigureCanvasAgg(self._fig)
        left, right = self._fig.subplots(1, 2)
        layers = shown.shape[1]
        colours = look.layer_colours(layers)
        there = shown[np.isfinite(shown)]
        low, high = float(there.min()), float(there.max())
        room = max((high / low) ** 0.08, 3.0)
        left.set(xlim=(-0.6, layers - 0.4), yscale="log", ylim=(low / room, high * room))
        left.yaxis.set_major_locator(LogLocator(numticks=7))
        left.yaxis.set_minor_formatter(NullFormatter())
        marks.layer_axis(left, trace, "x")
        left.set_ylabel(look.LABELS["energy"].paper)
        (self._line,) = left.plot([], [], color=look.PAPER.ghost, lw=1)
        self._dots = left.scatter([], [], s=26, zorder=3)
        self._colours = np.array(colours)
        foot = {"transform": left.get_xaxis_transform(), "marker": "v", "s": 16, "linewidth": 0.7}
        paint = {"facecolor": look.PAPER.background, "edgecolor": look.PAPER.muted}
        self._foot = left.scatter([], [], **foot, **paint, label=look.LABELS["unreached"].math)
        if below.any():
            left.legend(loc="upper left")
        marks.log_axis(right, total)
        marks.step_axes([right], trace)
        right.set_xlabel(label.paper)
        right.set_ylabel(look.LABELS["F"].paper)
        right.plot(self._x, total, color=look.PAPER.grid, lw=1)
        (self._course,) = right.plot([], [], color=look.PAPER.ink, lw=1.4)
        (self._now,) = right.plot([], [], "o", ms=4, color=look.PAPER.accent)
        self._title = left.set_title("step $t=0$")
        self._change = right.set_title(" ", fontsize=marks.TEXT, color=look.PAPER.accent)
        marks.frozen(self._fig)

    def at(self, row: int, sentence: str) -> NDArray[np.uint8]:
        """The picture of a row, with the newest change of the recipe."""
        energy = self._shown[row]
        there = np.isfinite(energy)
        k = np.arange(len(energy))
        self._line.set_data(k[there], energy[there])
        self._dots.set_offsets(np.c_[k[there], energy[there]])
        self._dots.set_facecolor(list(self._colours[there]))
        foot = k[self._below[row]]
        self._foot.set_offsets(np.c_[foot, np.full(len(foot), 0.04)])
        self._course.set_data(self._x[: row + 1], self._total[: row + 1])
        self._now.set_data(self._x[row : row + 1], self._total[row : row + 1])
        self._title.set_text(marks.said(self._trace, row))
        self._change.set_text(sentence.replace("->", "\N{RIGHTWARDS ARROW}") or " ")
        self._canvas.draw()
        return np.asarray(self._canvas.buffer_rgba())[..., :3].copy()


def _palette(pictures: list[Image.Image]) -> Image.Image:
    """256 colours for all frames, from the first, the middle and the last."""
    chosen = [pictures[at] for at in (0, len(pictures) // 2, -1)]
    width, height = chosen[0].size
    sheet = Image.new("RGB", (width, height * len(chosen)))
    for k, one in enumerate(chosen):
        sheet.paste(one, (0, k * height))
    found = sheet.quantize(256, method=Image.Quantize.MEDIANCUT)
    colours = np.array(found.getpalette()).reshape(-1, 3)
    colours[(colours > NEARLY_WHITE).all(1)] = 255  # a slide behind it is white too
    found.putpalette(colours.ravel().tolist())
    return found
