"""What does each view look like? All of them, drawn from relaxations made for it."""

from collections.abc import Callable
from pathlib import Path

from docs.site import drawing
from docs.site.pages import figure
from workbench import movie
from workbench.presets import presets
from workbench.views import views

FROM = {"reconstruction": "reconstruct"}
"""Presets of views that need another one than the first."""

PRESET = "spiking"


def write(folder: Path, tell: Callable[[str], None]) -> None:
    """Write the page and its pictures.

    Args:
        folder: of Sphinx's sources.
        tell: hears what was made, and what was left out.
    """
    from core import Experiment

    parts = [
        "# Gallery",
        "Every view as `relaxoscope figure --view NAME` draws it, one column wide, from the presets "
        f"`{PRESET}` and `reconstruct`. Its question is the first sentence of its file.",
    ]
    for name, module in views().items():
        preset = FROM.get(name, PRESET)
        trace = drawing.relaxed(Experiment.from_dict(presets()[preset].choices))
        path = f"figures/view-{name}.svg"
        try:
            drawing.svg((name,), trace, folder / path, columns=1)
        except ValueError as refused:
            tell(f"left out: view {name}; nothing to show: {refused}")
            continue
        question = (module.__doc__ or "").strip().splitlines()[0]
        shown = figure(path, module.TITLE, f"`{name}`, preset `{preset}`")
        parts += [f"## {module.TITLE}", question, shown]
        tell(f"view {name}")
    trace = drawing.relaxed(Experiment.from_dict(presets()[PRESET].choices))
    (folder / "figures" / "movie.gif").write_bytes(movie.gif(trace, 4))
    parts += [
        "## A relaxation for talks",
        "`relaxoscope movie trace.nc --out talk.gif`",
        "```{figure} figures/movie.gif\n:alt: A relaxation, step by step\n:figclass: gif\n\n"
        f"Preset `{PRESET}`, four steps a second.\n```",
    ]
    (folder / "gallery.md").write_text("\n\n".join(parts) + "\n", "utf-8")
