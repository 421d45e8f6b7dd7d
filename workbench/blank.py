"""What does a live figure look like before anything is drawn in it? In the colours of its page."""

from collections.abc import Sequence
from typing import Any

from bokeh.models import ColumnDataSource, FixedTicker, Title
from bokeh.plotting import figure

from workbench.look import FONT, Palette

SMALL = "10.9px"
"""Letters at axes. The default of Bokeh, 11px, counts as not chosen: a theme would replace it."""


def title_line(look: Palette, text: str = " ") -> Title:
    """The line of text above a figure.

    Args:
        look: colours.
        text: that it begins with; a blank keeps its room.
    """
    return Title(
        text=text,
        text_color=look.ink,
        text_font=FONT,
        text_font_size="12px",
        text_font_style="normal",
        standoff=4,
    )


def name_layers(axis: Any, names: Sequence[str], most: float = 8) -> None:
    """Let an axis name the layers at 1, 2, ...; about `most` of them where there are many.

    Args:
        axis: of a figure.
        names: what all layers are called, in depth order; see `workbench.naming`.
        most: of the names that there is room for.
    """
    every = max(1, round(len(names) / most))
    ticks = list(range(1, len(names) + 1, every))
    if isinstance(axis.ticker, FixedTicker):  # another ticker has Bokeh walk through the page
        axis.ticker.ticks = ticks
    else:
        axis.ticker = FixedTicker(ticks=ticks)
    axis.major_label_overrides = dict(enumerate(names, start=1))


def blank(name: str, look: Palette, title: Title | None, **options: Any) -> Any:
    """An empty figure of Bokeh that fills its place.

    Args:
        name: by which tests and scripts find it.
        look: colours.
        title: its line of text, None where the page says it.
        **options: ranges, tools and whatever else is its own.
    """
    given: dict[str, Any] = {"tools": "", "min_width": 150, "min_height": 90, **options}
    plot = figure(
        name=name,
        title=title,
        toolbar_location=None,
        sizing_mode="stretch_both",
        background_fill_color=look.background,
        border_fill_color=look.background,
        outline_line_color=None,
        output_backend="canvas",
        lod_threshold=None,
        **given,
    )
    plot.min_border_top = 2
    plot.grid.grid_line_color = look.grid
    plot.grid.grid_line_alpha = 0.6
    axes = plot.axis
    axes.axis_line_color = look.grid
    axes.major_tick_line_color = look.grid
    axes.minor_tick_line_color = None
    axes.major_label_text_color = look.muted
    axes.axis_label_text_color = look.muted
    axes.major_label_text_font = axes.axis_label_text_font = FONT
    axes.major_label_text_font_size = axes.axis_label_text_font_size = SMALL
    axes.axis_label_text_font_style = "normal"
    axes.axis_label_standoff = 2
    return plot


def histogram(plot: Any, **colours: Any) -> ColumnDataSource:
    """Bars from 0, none yet: the source of their `left`, `right` and `top`.

    Args:
        plot: a figure of Bokeh.
        **colours: of the bars' fill and line.
    """
    bars = ColumnDataSource({"left": [], "right": [], "top": []})
    plot.quad(left="left", right="right", top="top", bottom=0, source=bars, **colours)
    return bars
