"""What opens on demand? Every choice with its dials, the export, and the log of the session."""

import html
import time
from typing import Any

import panel as pn

from workbench.export_tab import ExportTab
from workbench.lanes_tab import LanesTab
from workbench.samples_tab import SamplesTab
from workbench.selftest_tab import SelfTestTab
from workbench.tabs import TABS

WIDE = ("network", "lanes", "precision", "maps", "samples", "poke", "what-if", "grid", "self-test")
"""Tabs that need more room."""

FITS = ":host { min-width: 0 !important; }"
"""Else the widest tab would be the width of all."""

LONGEST = 160
"""Letters of a line of the log."""

FOLLOWS_EVERY = 0.4
"""Seconds between two looks at what changes with every row."""


class Drawer:
    """Tabs at the side of the plots, which stay in sight."""

    def __init__(self, page: Any, sheet: str) -> None:
        """Build it for a page whose session, or run, is ready."""
        self._page = page
        self.is_open = False
        self._log_shown = -1
        self._followed = 0.0
        if page.address.watches:
            from workbench.grid_tab import NoGrid
            from workbench.maps_tab import NoMaps
            from workbench.network_tab import NoNetwork
            from workbench.poke_tab import NoPoke
            from workbench.precision_tab import NoPrecision
            from workbench.watched_tab import NoTheory, WatchedTab
            from workbench.whatif_tab import NoWhatIf

            self._choices, self.theory = WatchedTab(page, sheet), NoTheory(page, sheet)
            self._maps, self._poke = NoMaps(page, sheet), NoPoke(page, sheet)
            self._precision, self._whatif = NoPrecision(page, sheet), NoWhatIf(page, sheet)
            self._grid = NoGrid(page, sheet)
            self._network = NoNetwork(page, sheet)
        else:
            from workbench.choices_tab import ChoicesTab
            from workbench.grid_tab import GridTab
            from workbench.maps_tab import MapsTab
            from workbench.network_tab import NetworkTab
            from workbench.poke_tab import PokeTab
            from workbench.precision_tab import PrecisionTab
            from workbench.theory_tab import TheoryTab
            from workbench.whatif_tab import WhatIfTab

            self._choices, self.theory = ChoicesTab(page, sheet), TheoryTab(page, sheet)
            self._maps, self._poke = maps, poke = MapsTab(page, sheet), PokeTab(page, sheet)
            self._precision, self._whatif = PrecisionTab(page, sheet), WhatIfTab(page, sheet)
            self._grid = GridTab(page, sheet)
            self._network = NetworkTab(page, sheet, maps.choose, poke.choose)
        self._samples = SamplesTab(page, sheet, self._maps.sample)
        self._lanes = LanesTab(page, sheet)
        self._export = ExportTab(page, sheet)
        self._selftest = SelfTestTab(page, sheet)
        self._log = pn.pane.HTML(sizing_mode="stretch_width")
        parts = (
            self._choices.view,
            self.theory.view,
            self._network.view,
            self._lanes.view,
            self._precision.view,
            self._maps.view,
            self._samples.view,
            self._poke.view,
            self._whatif.view,
            self._grid.view,
            self._export.view,
            self._log,
            self._selftest.view,
        )
        self._tabs = pn.Tabs(
            *zip(TABS, parts, strict=True), sizing_mode="stretch_width", dynamic=False
        )
        self._tabs.param.watch(self._turned_to, "active")
        self.view = pn.Column(self._tabs, sizing_mode="stretch_width", margin=0)
        for one in self.view.select(lambda part: hasattr(part, "stylesheets")):
            one.stylesheets = [*one.stylesheets, sheet]
        for one in (self.view, self._tabs, *parts):
            one.stylesheets = [*one.stylesheets, FITS]

    def toggle(self, tab: str) -> None:
        """Open at a tab; close where that tab is open."""
        at = TABS.index(tab)
        if self.is_open and self._tabs.active == at:
            self.is_open = False
        else:
            self.is_open = True
            self._tabs.active = at

    @property
    def tab(self) -> str:
        """Which tab is open, "" where none is."""
        return TABS[self._tabs.active] if self.is_open else ""

    @property
    def wide(self) -> bool:
        """Whether the open tab needs more room."""
        return self.tab in WIDE

    @property
    def parted(self) -> int | None:
        """Row at which the two lanes part, while their tab is open."""
        return self._lanes.parted if self.tab == "lanes" else None

    def close(self) -> None:
        """The page has gone."""
        self._selftest.close()
        self._grid.close()

    def show(self, session: Any) -> None:
        """Set every choice to the session's newest."""
        if not self.is_open:
            return
        self._choices.show(session)
        theorist = self._page.theorist
        if theorist is not None:
            if self.tab == "theory":
                theorist.on = True
            self.theory.show(theorist.newest)
        self._selftest.show()
        self._export.show(session)
        if len(session.events) != self._log_shown:
            self._log_shown = len(session.events)
            self._log.object = _events(session)

    def follow(self, session: Any) -> None:
        """Show what changes with the rows, a few times a second."""
        now = time.monotonic()
        if now - self._followed < FOLLOWS_EVERY:
            return
        self._followed = now
        if self.tab == "export":
            self._export.show(session)
        elif self.tab == "choices" and self._page.address.watches:
            self._choices.show(session)

    def beat(self, *, draws: bool) -> None:
        """Let what is looked at by itself go on; called at every beat.

        Args:
            draws: whether the browser keeps up with what is drawn.
        """
        if self.tab == "lanes":
            self._lanes.follow(draws=draws)
        elif self.tab == "maps":
            self._maps.follow(draws=draws)
        elif self.tab == "samples":
            self._samples.follow(draws=draws)
        elif self.tab == "poke":
            self._poke.follow(draws=draws)
        elif self.tab == "what-if":
            self._whatif.follow(draws=draws)
        elif self.tab == "grid":
            self._grid.follow(draws=draws)
        elif self.tab == "network":
            self._network.follow(draws=draws)
        elif self.tab == "precision" and draws:
            self._precision.follow()

    def _turned_to(self, event: Any) -> None:
        self._page.redraw()


def _events(session: Any) -> str:
    """The event log, newest first."""
    rows = []
    for event in reversed(session.events[-200:]):
        args = ", ".join(f"{k} {_brief(v)}" for k, v in event["args"].items())
        args = args if len(args) <= LONGEST else f"{args[:LONGEST]} …"
        rows.append(
            f"<li>lane {event['lane']}, row {event['row']}: {html.escape(event['command'])} "
            f"{html.escape(args)}</li>"
        )
    return f"<ul>{''.join(rows)}</ul>" if rows else "<p>nothing has been asked yet</p>"


def _brief(value: Any) -> str:
    if isinstance(value, dict):
        dials = [f"{k} {v}" for k, v in value.items() if k != "name"]
        return " ".join([str(value.get("name")), *dials])
    return str(value)
