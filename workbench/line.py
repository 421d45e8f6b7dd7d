"""What stands between the bar and the plots? Progress, then the choices and what is to be said."""

import html
import time
from collections.abc import Callable
from typing import Any

import panel as pn

from workbench.address import link

EVERY = 0.4
"""Seconds between two looks at the state of the machine while rows come."""


class Line:
    """One line of progress, or two of choices, with a button for what is offered."""

    def __init__(self, sheet: str, theme: str, accept: Callable[[], None]) -> None:
        """Build it, empty.

        Args:
            sheet: CSS of its parts.
            theme: "light" or "dark".
            accept: called when what is offered is wanted.
        """
        self._theme = theme
        self._said, self._at = "", 0.0
        self._words = pn.pane.HTML("", stylesheets=[sheet], sizing_mode="stretch_width", margin=0)
        self._offer = pn.widgets.Button(
            label="relax 5 batches first", visible=False, stylesheets=[sheet], margin=0
        )
        self._offer.on_click(lambda _: accept())
        self.view = pn.Row(self._words, self._offer, sizing_mode="stretch_width", margin=0)

    def tell(self, line: str, share: float) -> None:
        """How far something long has come, 0 to 1."""
        width = max(2, round(100 * share))
        self.put(
            f'<div style="display:flex;gap:10px;align-items:center">'
            f'<div style="flex:0 0 220px;height:6px;background:var(--grid);border-radius:3px">'
            f'<div style="width:{width}%;height:6px;background:var(--accent);border-radius:3px">'
            f'</div></div><span id="progress">{html.escape(line)}</span></div>'
        )

    def refuse(self, line: str) -> None:
        """Why there is nothing to show, and where to go from here."""
        places = [("all runs", link("runs", self._theme)), ("relax", link("relax", self._theme))]
        doors = " · ".join(f'<a href="{html.escape(to)}">{name}</a>' for name, to in places)
        self.put(
            f'<b style="color:var(--accent)" role="status">{html.escape(line)}</b>'
            f'<div style="min-height:18px">{doors}</div>'
        )

    def due(self, playing: bool) -> bool:
        """Whether to say something new: a few times a second while rows come by themselves."""
        now = time.monotonic()
        if playing and now - self._at < EVERY:
            return False
        self._at = now
        return True

    def put(self, text: str) -> None:
        """Show HTML, if it is another."""
        if text != self._said:
            self._said = text
            self._words.object = text

    def offer(self, session: Any) -> None:
        """Show the button if the session offers something."""
        self._offer.visible = bool(session.offer)
