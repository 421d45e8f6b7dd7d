"""How does a scale of colours look beside a live plot?"""

from typing import Any

from bokeh.models import ColorBar, CustomJSTickFormatter, LinearColorMapper, Ticker

from workbench.look import FONT, Palette


def colour_bar(
    mapper: LinearColorMapper, look: Palette, ticker: Ticker, code: str, **layout: Any
) -> ColorBar:
    """A scale without lines and ground, its numbers small and muted.

    Args:
        mapper: of the colours.
        look: colours of the page.
        ticker: where its numbers stand.
        code: JavaScript that says a number.
        **layout: of the bar: its orientation, width or height, and margins.
    """
    return ColorBar(
        color_mapper=mapper,
        padding=4,
        background_fill_alpha=0,
        major_label_text_color=look.muted,
        major_label_text_font=FONT,
        major_label_text_font_size="10px",
        bar_line_color=None,
        major_tick_line_color=None,
        ticker=ticker,
        formatter=CustomJSTickFormatter(code=code),
        **layout,
    )
