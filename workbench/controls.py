"""What does a session in a notebook look like? Buttons, the recipe, a row to look at, two plots.

The Relax page is a page of its own and draws in the browser; this is the part of it that one asks
for between two cells. It looks at the session a few times a second and draws what is new.
"""

import html
from collections.abc import Callable
from typing import Any

import numpy as np
import panel as pn
from bokeh.models import BasicTicker, ColumnDataSource, Span
from bokeh.plotting import figure
from numpy.typing import NDArray

from core.catalogue import BadInput
from workbench import look, measures
from workbench.dials import Kind

BEAT = 200
"""Milliseconds between two looks at the session."""

SPEED = 20.0
"""Steps a second while it plays; `set_speed` of the session gives it another."""

RECIPE = ("init", "precision", "dynamics", "learning")
"""Kinds whose menus are shown; a session takes all others by `change`."""

WIDE, HIGH = 340, 270
"""Size of a plot in pixels."""

SHEET = ":host { font-size: 13px; } .refused { color: #b91c1c; }"


class Controls:
    """The controls of one session, and what they show."""

    def __init__(self, session: Any) -> None:
        """Build them, and begin the session if nobody has.

        Args:
            session: that is controlled.
        """
        self._session = session
        if session._thread is None and not session.ready:
            session.set_speed(SPEED)
            session.start()
        self._drawn: Any = None
        self._told: Any = None
        self._quiet = self._seen = False
        # Not a pane: those ask for their styles anew, from elsewhere, with each text.
        self._line = pn.widgets.StaticText(sizing_mode="stretch_width", stylesheets=[SHEET])
        self._row = pn.widgets.IntSlider(label="row", start=0, end=1, value=0, width=WIDE)
        self._row.param.watch(self._sought, "value")
        self.kinds = {kind: Kind(kind, self._send, look.LIGHT, SHEET) for kind in RECIPE}
        self.buttons = self._buttons()
        self._over, self._lines = self._plot("step")
        self._depth, self._points = self._plot("layer")
        self._cursor = Span(location=0, dimension="height", line_color=look.LIGHT.accent)
        self._over.add_layout(self._cursor)
        self._over.multi_line("x", "y", color="colour", source=self._lines, line_width=2)
        self._depth.line("x", "y", source=self._points, color=look.LIGHT.ghost)
        self._depth.scatter("x", "y", source=self._points, color="colour", size=8)
        # What a narrow cell has no room for stands below.
        menus = pn.Accordion(*[(name, one.view) for name, one in self.kinds.items()], width=300)
        self._plots = pn.FlexBox(pn.pane.Bokeh(self._over), pn.pane.Bokeh(self._depth), menus)
        buttons = pn.FlexBox(*self.buttons.values())
        self.view = pn.Column(buttons, self._line, self._row, self._plots)
        self.look()
        self._beat = self._begin()

    @property
    def line(self) -> str:
        """What is said above the plots."""
        return str(self._line.value)

    @property
    def points(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Numbers of the layers that are drawn at the cursor, and their energies."""
        data = self._points.data
        return np.asarray(data["x"]), np.asarray(data["y"])

    def look(self) -> None:
        """Draw what is new since the last look."""
        session = self._session
        showing = session.showing
        now = (session.changes, session.message, session.progress, showing and showing.place)
        if now == self._drawn:
            return
        self._drawn = now
        data = None if showing is None else showing.lane.trace.dataset()
        self._line.value = self._said(showing, data)
        if showing is None:
            return
        self.buttons["play"].label = "pause" if showing.playing else "play"
        self._put_row(showing)
        self._draw(showing, data)
        self._show_choices()
        pn.io.push_notebook(self._plots)

    # What is asked for ---------------------------------------------------------------------------

    def _buttons(self) -> dict[str, Any]:
        """By what they do."""
        session = self._session
        acts: dict[str, tuple[str, Callable[[], None]]] = {
            "play": ("play", self._toggle),
            "back": ("step back", lambda: session.move(-1)),
            "step": ("step", lambda: session.move(1)),
            "end": ("to the end", session.run_to_end),
            "restart": ("restart", session.restart),
            "next": ("next batch", session.next_batch),
        }
        made = {}
        for name, (label, act) in acts.items():
            made[name] = pn.widgets.Button(label=label, width=90)
            made[name].on_click(lambda _, act=act: self._ask(act))
        return made

    def _toggle(self) -> None:
        session = self._session
        session.pause() if session.playing else session.play()

    def _sought(self, event: Any) -> None:
        if not self._quiet:
            self._ask(lambda: self._session.seek(event.new))

    def _send(self, choices: dict[str, Any]) -> None:
        self._session.change(**choices)

    def _ask(self, act: Callable[[], None]) -> None:
        try:
            act()
        except BadInput as refused:
            self._line.value = f'<span class="refused">{html.escape(str(refused))}</span>'

    # What is shown -------------------------------------------------------------------------------

    def _begin(self) -> Any:
        """Look again and again while there is a loop that can call, and somebody who sees it."""
        try:
            return pn.state.add_periodic_callback(self._again, period=BEAT)
        except RuntimeError:  # a script has no loop, and looks when it wants to
            return None

    def _again(self) -> None:
        self.look()
        shown = bool(self.view._models)  # one for each place
        gone, self._seen = self._seen and not shown, shown
        if (self._session._closing or gone) and self._beat is not None:
            self._beat.stop()

    def _said(self, showing: Any, data: Any) -> str:
        """Where it stands, or what went wrong."""
        session = self._session
        if session.message:
            return f'<span class="refused">{html.escape(session.message)}</span>'
        if showing is None:
            line, share = session.progress
            return html.escape(f"{line} {share:.0%}")
        at = measures.row_at(data, showing.cursor)
        row = data.isel(step=[at])
        total = float(measures.total_energy(row)["F"].values[0])
        apart = float(measures.imbalance(row).values[0])
        words = [
            f"lane {showing.lane.id}, row {showing.cursor} of {showing.row}",
            f"F = {look.short(total)} nat",
        ]
        words += [f"imbalance {apart:.2f} decades"] if np.isfinite(apart) else []
        return html.escape(" · ".join(words))

    def _show_choices(self) -> None:
        """Set the menus, which takes longer than a beat, only when there is something to set."""
        session = self._session
        if (session.wanted, session.message) == self._told:
            return
        self._told = session.wanted, session.message
        for kind in self.kinds.values():
            kind.show(session.wanted)
            kind.complain(session.message)

    def _put_row(self, showing: Any) -> None:
        self._quiet = True
        try:
            self._row.param.update(end=max(showing.row, 1), value=showing.cursor)
        finally:
            self._quiet = False

    def _plot(self, across: str) -> tuple[Any, ColumnDataSource]:
        """An empty plot of energies, and what it draws."""
        drawn = figure(
            width=WIDE,
            height=HIGH,
            y_axis_type="log",
            x_axis_label=look.LABELS[across].plain,
            y_axis_label=look.LABELS["energy"].plain,
            toolbar_location=None,
        )
        drawn.xaxis.ticker = BasicTicker(min_interval=1, num_minor_ticks=0)  # nothing is between
        return drawn, ColumnDataSource({"x": [], "y": [], "colour": []})

    def _draw(self, showing: Any, data: Any) -> None:
        """Energies of reached layers over rows, and over depth at the cursor."""
        energy = data["energy"].transpose("step", "layer").values.astype(float)
        reached = measures.reached(data).transpose("step", "layer").values
        shown = np.where(reached, energy, np.nan)
        colours = look.layer_colours(shown.shape[1])
        x = data["step"].values.astype(float)
        self._lines.data = {
            "x": [x] * shown.shape[1],
            "y": list(shown.T),
            "colour": colours,
        }
        at = measures.row_at(data, showing.cursor)
        there = np.isfinite(shown[at])
        self._points.data = {
            "x": np.flatnonzero(there) + 1,
            "y": shown[at][there],
            "colour": [one for one, is_there in zip(colours, there, strict=True) if is_there],
        }
        self._cursor.location = float(showing.cursor)
