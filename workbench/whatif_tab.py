"""What if it stopped here? A tab of the drawer: the update that each learning rule would make."""

import html
from dataclasses import replace
from typing import Any

import numpy as np
import panel as pn

from core.catalogue import cards
from workbench.formula import svg
from workbench.look import Palette, short
from workbench.looking import Surveyor
from workbench.whatif import MEASURES, Answer, asked
from workbench.whatif_plot import WhatIfPlot, colour

ABOUT = (
    "What each rule would hand to the optimiser if the relaxation stopped at the row under the "
    "cursor; nothing is moved. The rule in force has its dials, the others their first ones. "
    "Incremental and Z-IL move weights at every step: theirs is the gradient of this one. "
    "Drift is how far a layer's prediction has moved since t = 0."
)

DRIFT = r"\mathrm{drift}_\ell = \mathrm{rms}(\mu_\ell^{(t)} - \mu_\ell^{(0)})"

STYLE = (
    "<style>.rules th, .rules td { width: auto !important; padding: 1px 5px 1px 0; "
    "text-align: right; } .rules th { font-weight: 400; vertical-align: bottom; } "
    ".rules th.chosen { font-weight: 700; } .rules i { display: inline-block; width: 9px; "
    "height: 9px; border-radius: 2px; margin-right: 3px; }</style>"
)


class WhatIfTab:
    """A menu of measures, lines over depth, and the numbers."""

    def __init__(self, page: Any, sheet: str) -> None:
        """Build it for a page whose session is ready."""
        self._page, self._look = page, page.look
        self._surveyor = Surveyor(page.session, asked)
        self._shown: Any = None
        words = {"stylesheets": [sheet], "sizing_mode": "stretch_width", "margin": (2, 4)}
        self._measure = pn.widgets.Select(
            label="compares",
            options={one.name: name for name, one in MEASURES.items()},
            value="cosine",
            width=190,
            stylesheets=[sheet],
            margin=(4, 4),
        )
        self._measure.param.watch(lambda _: self.follow(), "value")
        self._plot = WhatIfPlot(page.look)
        self._of = pn.pane.HTML("<p>looking</p>", **words)
        self._table = pn.pane.HTML("", **words)
        self._why = pn.pane.HTML("", **words)
        self.view = pn.Column(
            pn.pane.HTML(f"<small>{ABOUT}</small>", **words),
            pn.Row(self._measure, self._of, sizing_mode="stretch_width"),
            pn.pane.Bokeh(self._plot.figure, sizing_mode="stretch_width"),
            self._table,
            self._why,
            sizing_mode="stretch_width",
        )

    def follow(self, *, draws: bool = True) -> None:
        """Draw what has arrived, and ask at the cursor; called while it is open.

        Args:
            draws: whether the browser keeps up; else it is only asked for, to be drawn later.
        """
        newest, trouble = self._surveyor.newest, self._surveyor.trouble
        now = newest, trouble, self._measure.value, self._page.sight.naming
        if draws and now != self._shown:
            self._shown = now
            if trouble:
                self._say(f'<p class="refused">{html.escape(trouble)}</p>')
            elif newest is not None:
                self._draw(replace(newest, names=self._page.sight.call(newest.names)))
        self._surveyor.follow()

    def _draw(self, answer: Answer) -> None:
        measure, order = self._measure.value, list(cards("learning"))
        self._plot.draw(answer, measure, order)
        self._say(said(answer), table(answer, measure, order), why(answer, measure, self._look))

    def _say(self, of: str, table: str = "", why: str = "") -> None:
        for pane, text in ((self._of, of), (self._table, table), (self._why, why)):
            if pane.object != text:
                pane.object = text


class NoWhatIf:
    """In the place of updates, which need the states."""

    def __init__(self, page: Any, sheet: str) -> None:
        """Say why."""
        self.view = pn.pane.HTML(
            "<p>Other updates need the network and its states, of which a run keeps none.</p>"
            f'<p class="refused">{html.escape(page.session.why)}</p>',
            sizing_mode="stretch_width",
        )

    def follow(self, *, draws: bool = True) -> None:
        """There is never anything new."""


def said(answer: Answer) -> str:
    """Which row was looked at, as HTML."""
    return (
        f"<small>row {answer.row}, batch {answer.batch}: phase {html.escape(answer.phase)}, "
        f"t = {answer.t}</small>"
    )


def table(answer: Answer, measure: str, order: list[str]) -> str:
    """One line a layer, the output on top as in the plots; one column a rule, and the drift."""
    legal = [one for one in answer.legal if answer.of(one, measure) is not None]
    head = "<th>layer</th>"
    for one in legal:
        chosen = ' class="chosen" title="in force"' if one.chosen else ""
        dot = f'<i style="background: {colour(order.index(one.rule))}"></i>'
        head += f"<th{chosen}>{dot}{html.escape(one.title)}</th>"
    head += "<th>drift</th>"
    columns = [answer.of(one, measure) for one in legal]
    drift = answer.found.drift.double().cpu().numpy()
    rows = ""
    for k in reversed(range(len(answer.names))):
        cells = [answer.names[k], *(_cell(one[k]) for one in columns if one is not None)]
        cells.append(_cell(drift[k]))
        rows += "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
    return (
        f'{STYLE}<table class="rules"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    )


def why(answer: Answer, measure: str, look: Palette) -> str:
    """What the numbers mean, and which rules are refused, as HTML."""
    formulas = "".join(
        f'<div class="formula">{svg(one, look.ink, 9.5)}</div>'
        for one in (MEASURES[measure].formula, DRIFT)
    )
    lines = [answer.found.why] if answer.found.why else []
    lines += [f"{one.title}: {one.why}" for one in answer.found.updates if one.why]
    refused = "".join(f"<p><small>{html.escape(line)}</small></p>" for line in lines)
    return f"{formulas}{refused}"


def _cell(value: float) -> str:
    """Three digits; a dash where there is no number."""
    return "–" if np.isnan(value) else short(value).replace("-", "−")
