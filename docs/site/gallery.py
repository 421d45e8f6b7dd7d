"""What does each view look like? All of them, drawn from relaxations made for it."""

from collections.abc import Callable
from pathlib import Path

import xarray as xr

from benchmarks.redraw import PRESET, PRESETS
from core import Experiment
from docs.site import drawing
from docs.site.pages import figure
from workbench import movie
from workbench.presets import presets
from workbench.views import views


def write(folder: Path, tell: Callable[[str], None], keep: bool) -> None:
    """Write the page and its pictures.

    Args:
        folder: of Sphinx's sources.
        tell: hears what was made, and what was left out.
        keep: whether pictures that are there are kept.
    """
    parts = [
        "# Gallery",
        "Every view as `relaxoscope figure --view NAME` draws it, one column wide, from the "
        f"presets `{PRESET}` and `reconstruct`. Its question is the first sentence of its file.",
    ]
    for name, module in views().items():
        path = f"figures/view-{name}.svg"
        try:
            caption = drawing.once(folder / path, lambda name=name: _draw(name, folder), keep=keep)
        except ValueError as refused:
            tell(f"left out: view {name}; nothing to show: {refused}")
            continue
        question = (module.__doc__ or "").strip().splitlines()[0]
        parts += [f"## {module.TITLE}", question, figure(path, module.TITLE, caption)]
        tell(f"view {name}")
    drawing.once(folder / "figures" / "movie.gif", lambda: _movie(folder), keep=keep)
    parts += [
        "## A relaxation for talks",
        "`relaxoscope movie trace.nc --out talk.gif`",
        "```{figure} figures/movie.gif\n:alt: A relaxation, step by step\n:figclass: gif\n\n"
        f"Preset `{PRESET}`, four steps a second.\n```",
    ]
    (folder / "gallery.md").write_text("\n\n".join(parts) + "\n", "utf-8")


def _draw(name: str, folder: Path) -> str:
    preset = PRESETS.get(name, PRESET)
    drawing.svg((name,), _trace(preset), folder / "figures" / f"view-{name}.svg", columns=1)
    return f"`{name}`, preset `{preset}`"


def _movie(folder: Path) -> str:
    (folder / "figures" / "movie.gif").write_bytes(movie.gif(_trace(PRESET), 4))
    return ""


def _trace(preset: str) -> xr.Dataset:
    return drawing.relaxed(Experiment.from_dict(presets()[preset].choices))
