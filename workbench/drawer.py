"""What opens on demand? Every choice with its dials, the export, and the log of the session."""

import html
import time
from collections.abc import Callable
from typing import Any

import panel as pn

from workbench.export_tab import ExportTab
from workbench.lanes_tab import LanesTab
from workbench.samples_tab import SamplesTab
from workbench.selftest_tab import SelfTestTab
from workbench.tabs import TABS

WIDE = ("network", "lanes", "precision", "maps", "samples", "poke", "what-if", "grid", "self-test")
"""Tabs that need more room."""

FOLLOW = ("lanes", "maps", "samples", "poke", "what-if", "grid", "network")
"""Tabs that look by themselves."""

FITS = ":host { min-width: 0 !important; }"
"""Else the widest tab would be the width of all."""

LONGEST = 160
"""Letters of a line of the log."""

FOLLOWS_EVERY = 0.4
"""Seconds between two looks at what changes with every row."""


class Drawer:
    """Tabs at the side of the plots, which stay in sight; each is built when it is opened first."""

    def __init__(self, page: Any, sheet: str) -> None:
        """Build the heads of the tabs, for a page whose session, or run, is ready."""
        self._page, self._sheet = page, sheet
        self.is_open = False
        self._log_shown = -1
        self._followed, self._late = 0.0, False
        self._makers = self._of_a_run() if page.address.watches else self._of_a_session()
        self._made: dict[str, Any] = {}
        self._places = {
            name: pn.Column(sizing_mode="stretch_width", margin=0, stylesheets=[sheet, FITS])
            for name in TABS
        }
        self._tabs = pn.Tabs(
            *self._places.items(),
            sizing_mode="stretch_width",
            dynamic=False,
            stylesheets=[sheet, FITS],
        )
        self._tabs.param.watch(self._turned_to, "active")
        self.view = pn.Column(
            self._tabs, sizing_mode="stretch_width", margin=0, stylesheets=[sheet, FITS]
        )

    # Building ------------------------------------------------------------------------------------

    def _of_a_session(self) -> dict[str, Callable[[], Any]]:
        """What makes each tab."""
        from workbench.choices_tab import ChoicesTab
        from workbench.grid_tab import GridTab
        from workbench.maps_tab import MapsTab
        from workbench.network_tab import NetworkTab
        from workbench.poke_tab import PokeTab
        from workbench.precision_tab import PrecisionTab
        from workbench.theory_tab import TheoryTab
        from workbench.whatif_tab import WhatIfTab

        given = self._page, self._sheet
        return self._of_both() | {
            "choices": lambda: ChoicesTab(*given),
            "theory": lambda: TheoryTab(*given),
            "network": lambda: NetworkTab(
                *given,
                lambda layer: self._part("maps").choose(layer),
                lambda layer: self._part("poke").choose(layer),
            ),
            "precision": lambda: PrecisionTab(*given),
            "maps": lambda: MapsTab(*given),
            "poke": lambda: PokeTab(*given),
            "what-if": lambda: WhatIfTab(*given),
            "grid": lambda: GridTab(*given),
        }

    def _of_a_run(self) -> dict[str, Callable[[], Any]]:
        """What makes each tab where a run is watched."""
        from workbench.grid_tab import NoGrid
        from workbench.maps_tab import NoMaps
        from workbench.network_tab import NoNetwork
        from workbench.poke_tab import NoPoke
        from workbench.precision_tab import NoPrecision
        from workbench.watched_tab import NoTheory, WatchedTab
        from workbench.whatif_tab import NoWhatIf

        given = self._page, self._sheet
        return self._of_both() | {
            "choices": lambda: WatchedTab(*given),
            "theory": lambda: NoTheory(*given),
            "network": lambda: NoNetwork(*given),
            "precision": lambda: NoPrecision(*given),
            "maps": lambda: NoMaps(*given),
            "poke": lambda: NoPoke(*given),
            "what-if": lambda: NoWhatIf(*given),
            "grid": lambda: NoGrid(*given),
        }

    def _of_both(self) -> dict[str, Callable[[], Any]]:
        """What makes the tabs that sessions and runs share."""
        given = self._page, self._sheet
        return {
            "lanes": lambda: LanesTab(*given),
            "samples": lambda: SamplesTab(*given),
            "export": lambda: ExportTab(*given),
            "log": Log,
            "self-test": lambda: SelfTestTab(*given),
        }

    def _part(self, name: str) -> Any:
        """A tab, built and put in its place if it was not there."""
        if name not in self._made:
            made = self._made[name] = self._makers[name]()
            for one in made.view.select(lambda part: hasattr(part, "stylesheets")):
                one.stylesheets = [*one.stylesheets, self._sheet]
            made.view.stylesheets = [*made.view.stylesheets, FITS]
            self._places[name][:] = [made.view]
        return self._made[name]

    # What is open --------------------------------------------------------------------------------

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
        return self._part("lanes").parted if self.tab == "lanes" else None

    @property
    def draws_theory(self) -> bool:
        """Whether curves of theory are drawn; never before its tab was opened."""
        return "theory" in self._made and self._made["theory"].draws

    def close(self) -> None:
        """The page has gone."""
        for name in ("self-test", "grid"):
            if name in self._made:
                self._made[name].close()

    # What is shown -------------------------------------------------------------------------------

    def show(self, session: Any) -> None:
        """Set every choice to the session's newest."""
        if not self.is_open:
            return
        self._part(self.tab)
        theorist = self._page.theorist
        if theorist is not None and self.tab == "theory":
            theorist.on = True
        for name, part in self._made.items():
            if name == "theory":
                if theorist is not None:
                    part.show(theorist.newest)
            elif name in ("choices", "export"):
                part.show(session)
        if "self-test" in self._made:
            self._made["self-test"].show()
        if "log" in self._made and len(session.events) != self._log_shown:
            self._log_shown = len(session.events)
            self._made["log"].view.object = _events(session)

    def follow(self, session: Any) -> None:
        """Show what changes with the rows, a few times a second."""
        now = time.monotonic()
        self._late = now - self._followed < FOLLOWS_EVERY  # the next beats make up for it
        if self._late:
            return
        self._followed = now
        if self.tab == "export" or (self.tab == "choices" and self._page.address.watches):
            self._part(self.tab).show(session)

    def beat(self, *, draws: bool) -> None:
        """Let what is looked at by itself go on; called at every beat.

        Args:
            draws: whether the browser keeps up with what is drawn.
        """
        if self._late:
            self.follow(self._page.session)
        if self.tab == "precision":
            if draws:
                self._part("precision").follow()
        elif self.tab in FOLLOW:
            self._part(self.tab).follow(draws=draws)

    def _turned_to(self, event: Any) -> None:
        self._page.redraw()


class Log:
    """The log of the session."""

    def __init__(self) -> None:
        """Build it, empty."""
        self.view = pn.pane.HTML(sizing_mode="stretch_width")


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
