"""What can be chosen? Every entry with its dials, the terms of the recipe, and the plots."""

import html
from typing import Any

import panel as pn

from workbench.dials import KINDS, Kind
from workbench.own_files import FILES
from workbench.plots_control import PlotsControl
from workbench.presets import named
from workbench.scalars import OF_THE_RUN, TERMS_OF_F, Scalars

RECIPE = ("init", "precision", "dynamics", "learning")
"""Kinds above the terms of the recipe; the others stand below."""


class ChoicesTab:
    """All choices of a session."""

    def __init__(self, page: Any, sheet: str) -> None:
        """Build it for a page whose session is ready."""
        self._page = page
        self._kinds = {kind: Kind(kind, self._send, page.look, sheet) for kind in KINDS}
        self._scalars = [
            Scalars(TERMS_OF_F, self._send, sheet, "Free energy and stopping"),
            Scalars(OF_THE_RUN, self._send, sheet, "The run"),
        ]
        self._about = pn.pane.HTML("", sizing_mode="stretch_width")
        back = pn.widgets.Button(label="back to this preset", sizing_mode="stretch_width")
        back.on_click(lambda _: page.bar.reset())
        self.view = pn.Column(
            self._about,
            back,
            *[self._kinds[kind].view for kind in RECIPE],
            self._scalars[0].view,
            *[one.view for kind, one in self._kinds.items() if kind not in RECIPE],
            self._scalars[1].view,
            *PlotsControl(page, sheet).parts,
            sizing_mode="stretch_width",
        )
        for kind in self._kinds.values():
            kind.show(page.session.wanted)

    def show(self, session: Any) -> None:
        """Set every choice to the session's newest."""
        preset = named()[self._page.bar.preset]
        told = [preset.about, *(preset.printed.lines if preset.printed else [])]
        self._about.object = f"<small>{'<br>'.join(map(html.escape, told))}</small>"
        troubles = FILES.trouble_by_kind()
        for name, kind in self._kinds.items():
            kind.show(session.wanted)
            kind.complain(session.message)
            kind.warn(troubles.get(name, ""))
        for group in self._scalars:
            group.show(session.wanted, session.course)
            group.complain(session.message)

    def _send(self, choices: dict[str, Any]) -> None:
        self._page.session.change(**choices)
