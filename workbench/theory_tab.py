"""What does theory say, beside the simulation? A tab of the drawer and a few words in the line."""

import html
import math
from typing import TYPE_CHECKING, Any

import panel as pn

from workbench.formula import svg
from workbench.look import Palette, short
from workbench.outlook import Line, Outlook

if TYPE_CHECKING:
    from workbench.scene import Scene

ABOUT = (
    "Computed beside the relaxation, from the states of the newest row, anew when the weights or "
    "the recipe change. Point at a line for its formula, conditions and source."
)

DRAWN = (
    "Dashed over depth: the small-rate law of arrival (gradient descent, forward init, identity "
    "precision), the closed form of spiking, the equilibrium of a linear network. F* stands among "
    "the totals."
)


class TheoryTab:
    """Two switches, a button, and the lines of an outlook."""

    def __init__(self, page: Any, sheet: str) -> None:
        """Build it for a page whose session is ready."""
        self._page, self._look = page, page.look
        self._shown: Outlook | None = None
        self._drawn = pn.widgets.Checkbox(
            label="draw it into the plots", value=True, stylesheets=[sheet]
        )
        self._drawn.param.watch(self._switched, "value")
        self._again = pn.widgets.Button(
            label="ask at this row", stylesheets=[sheet], sizing_mode="stretch_width"
        )
        self._again.on_click(lambda _: page.theorist.ask())
        self._lines = pn.pane.HTML("", stylesheets=[sheet], sizing_mode="stretch_width")
        words = {"stylesheets": [sheet], "sizing_mode": "stretch_width"}
        self.view = pn.Column(
            pn.pane.HTML(f"<small>{ABOUT}</small>", **words),
            self._lines,
            self._again,
            self._drawn,
            pn.pane.HTML(f"<small>{DRAWN}</small>", **words),
            sizing_mode="stretch_width",
        )

    @property
    def draws(self) -> bool:
        """Whether curves of theory are drawn."""
        return bool(self._drawn.value)

    def show(self, newest: Outlook | None) -> None:
        """Show an outlook, if it is another one."""
        if newest is None:
            self._lines.object = "<p>asking</p>"
        elif newest is not self._shown:
            self._shown = newest
            self._lines.object = "".join(said(line, self._look) for line in newest.lines)

    def _switched(self, event: Any) -> None:
        self._page.redraw()


def said(line: Line, look: Palette) -> str:
    """A line as HTML; what is behind it opens on hover or focus."""
    shown = f'<div class="formula">{svg(line.formula, look.ink)}</div>' if line.formula else ""
    note = f"<div>{html.escape(line.note)}</div>" if line.note else ""
    alarm = " alarm" if line.alarm else ""
    return (
        f'<div class="said{alarm}" tabindex="0"><span>{html.escape(line.name)}</span> '
        f"<b>{html.escape(line.value)}</b>"
        f'<div class="behind">{shown}{note}<small>source: {html.escape(line.source)}</small>'
        "</div></div>"
    )


def brief(newest: Outlook | None, scene: "Scene | None") -> tuple[str, bool]:
    """The outlook in a few words, and whether they are a warning."""
    if newest is None:
        return "", False
    alarms = [line for line in newest.lines if line.alarm]
    parts = [f"{line.name}: {line.value}" for line in alarms[:1]]
    if not alarms and newest.largest_rate is not None:
        parts.append(f"stable below α {short(newest.largest_rate)}")
    if scene is not None and scene.rest is not None:
        gap = float(scene.curves.total[scene.at]) - scene.rest
        if math.isfinite(gap):
            parts.append(f"F − F* {short(gap)} nat")
    if newest.smm is not None:
        parts.append(f"{newest.smm} SMM a batch")
    return " · ".join(parts), bool(alarms)
