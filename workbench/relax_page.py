"""Where is a relaxation watched? The page: a slim bar, one line of choices, live plots, a drawer.

The page paints before torch is imported: figures and bar are built at once, the session is attached
by a thread, and frames are pulled by a beat that drops what the browser has no credit for.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import panel as pn
from panel.io import hold

from workbench import shell
from workbench.address import Address
from workbench.axes import COMPARISONS, PER
from workbench.board import Board
from workbench.channel import Channel
from workbench.line import Line
from workbench.look import palette
from workbench.pictures import sample_at
from workbench.places import assets, keep_importable
from workbench.scripts import KEEPS_SESSION, KEYS, drawing
from workbench.sight import Sight
from workbench.tabs import TABS
from workbench.transport import Bar

FRAME_MS = 33
"""The beat: how often new rows are looked for."""

REST = 0.15
"""Seconds without a new row after which what waits for rest is drawn."""


class RelaxPage:
    """One visitor's view of one session."""

    def __init__(self, theme: str, asked: dict[str, list[str]]) -> None:
        """Build everything that does not need the core.

        Args:
            theme: "light" or "dark".
            asked: the arguments of the page's address; see `Address`.
        """
        self.look = palette(theme)
        self.session: Any = None
        self.theorist: Any = None
        self.document: Any = pn.state.curdoc
        self.address = Address.of(asked, self.document.session_context.id)
        self._sheet = shell.sheet()
        self.board = Board(theme)
        self.bar = Bar(self, self._sheet, self.address.run if self.address.watches else "")
        self._line = Line(self._sheet, theme, lambda: self.do(lambda s: s.warm_up(5)))
        self._tour_view = pn.Column(sizing_mode="stretch_width", margin=0)
        self._drawer_view = pn.Column(sizing_mode="stretch_width", margin=0)
        self._tour: Any = None
        self._drawer: Any = None
        self._channel = Channel(self.board.figures, self._heard)
        self._shown: Any = None
        self._rests, self._woken = True, False
        self._scene: Any = None
        self._refused, self.per = "", "layer"
        self.sight = Sight()
        self._strip: Any = None
        self._layout: Mapping[str, str] = {}
        self._files: Any = None
        self._renewal: Any = None
        self._troubles: dict[str, str] = {}
        self.template = self._template(theme)
        pn.state.onload(self._begin)

    # Building ------------------------------------------------------------------------------------

    def _template(self, theme: str) -> Any:
        panels = {
            name: pn.pane.Bokeh(figure, sizing_mode="stretch_both", margin=0)
            for name, figure in self.board.figures.items()
        }
        panels |= {"bar": self.bar.view, "line": self._line.view, "drawer": self._drawer_view}
        panels |= {"tour": self._tour_view, "back": pn.pane.Bokeh(self._channel.back)}
        keeping = KEEPS_SESSION.replace("SESSION", self.address.session)
        return shell.template(
            "relax",
            theme,
            panels,
            contents=(assets() / "look" / "page.html").read_text("utf-8"),
            styles=("page.css",),
            late=drawing() + KEYS + ("" if self.address.watches else keeping),
            own_theme=False,  # it is one of the bar's controls
        )

    # Coming and going ----------------------------------------------------------------------------

    def _begin(self) -> None:
        """The page is painted: import the core behind a progress line, then attach the session."""
        self._line.tell("loading torch", 0.02)
        self.document.add_periodic_callback(self._beat, FRAME_MS)
        threading.Thread(target=self._attach, name="attach", daemon=True).start()

    def _attach(self) -> None:
        try:
            keep_importable()
            from core import plugins

            plugins.load_installed()  # also where the server was not started by our command
            session, leave, self._layout = self.address.opened(id(self), self.wake)
            self.document.on_session_destroyed(_Leave(leave, self._ended))
        except Exception as error:  # the page must say it, whatever it is
            from core.catalogue import BadInput

            line = str(error) if isinstance(error, BadInput) else f"could not start: {error}"
            shell.later(self.document, lambda: self._line.refuse(line))
            return
        if not self.address.watches:
            from workbench.own_files import FILES, Renewal
            from workbench.theorist import Theorist

            self.theorist = Theorist(session)
            self._files, self._renewal = FILES, Renewal(session)
        from workbench.strip import Strip

        self._strip = Strip(session, self.sight)
        self.session = session
        self.wake()

    def wake(self) -> None:
        """A command has had its effect: look once, soon; called from any thread."""
        if not self._woken:
            self._woken = True
            if not shell.later(self.document, self._look_now):
                self._woken = False

    def _ended(self) -> None:
        """The page has gone: nothing of it goes on."""
        if self.theorist is not None:
            self.theorist.on = False
        if self._drawer is not None:
            self._drawer.close()

    def _look_now(self) -> None:
        """Show everything; the browser gets it as one message.

        Else Panel would send its changes at once or, while the socket is busy, later, and Bokeh its
        own at the end of the turn: a tab would be in sight before its buttons act, and its data
        could come before its figures.
        """
        self._woken = False
        with hold(self.document):
            if self._layout and self.ready:
                self._lay_out(self._layout)
            self._show_choices()
            self._draw(force=True)

    # What the browser says -----------------------------------------------------------------------

    def _heard(self, word: str, rest: list[str]) -> None:
        if word == "again":
            self.redraw()
        elif word == "seek":
            self._seek(int(rest[0]))
        elif word == "pick":
            self._pick(int(rest[0]))
        elif word == "key":
            self._key(rest[0], int(rest[1]))
        elif word == "ask" and rest[0] in ("open_lane", "compare_with"):
            self.do(lambda s: getattr(s, rest[0])(int(rest[1])))

    def _key(self, name: str, by: int) -> None:
        session = self.session
        if session is None or not session.ready:
            return
        act: dict[str, Callable[[], None]] = {
            "play": lambda: session.pause() if session.playing else session.play(),
            "right": lambda: session.move(by),
            "left": lambda: session.move(-by),
            "home": lambda: session.seek(0),
            "end": session.follow,
            "swap": session.swap,
            "next": session.next_batch,
            "restart": session.restart,
            "fit": self.fit,
            "choices": lambda: self.toggle_drawer("choices"),
            "before": lambda: session.next_lane(-1),
            "after": session.next_lane,
            "undo": session.undo,
            "redo": session.redo,
        }
        self.do(lambda _: act[name]())

    def _seek(self, row: int) -> None:
        self.do(lambda s: s.seek(min(row, s.row)))

    def _pick(self, place: int) -> None:
        """Choose the sample whose picture stands at a place of the strip."""
        sample = None if self._scene is None else sample_at(self._scene, place)
        if sample is not None:
            self.sight.turn(sample)
            self._draw(force=True)

    @property
    def ready(self) -> bool:
        """Whether there is a session that can be asked for something."""
        return self.session is not None and self.session.ready

    def do(self, act: Callable[[Any], None]) -> None:
        """Ask the session for something; a refusal stays in the line until something is done."""
        if not self.ready:
            return
        self._refused = ""
        try:
            act(self.session)
        except ValueError as refused:
            self._refused = str(refused)
        self._say()

    def fit(self) -> None:
        """Fit the energy limits to what is in sight."""
        self.board.fit()
        self._draw(force=True)

    def toggle_drawer(self, tab: str) -> None:
        """Open the drawer at a tab, or close it."""
        if self.session is None or not self.session.ready:
            return
        from workbench.drawer import Drawer

        if self._drawer is None:
            self._drawer = Drawer(self, self._sheet)
            self._drawer_view[:] = [self._drawer.view]
        self._drawer.toggle(tab)
        self._look_now()

    def measure(self, per: str, compared: str) -> None:
        """Let the imbalance compare "layer" or "unit", and the panel in the middle draw another."""
        self.per = per
        if compared != self.board.compared:
            self.board.compare(compared)
        self._draw(force=True)

    @property
    def layout(self) -> dict[str, str]:
        """What is in sight beside the session: see `_lay_out`."""
        tab = self._drawer.tab if self._drawer is not None else ""
        told = {"preset": self.bar.preset, "tab": tab, "per": self.per}
        tour = self._tour.place if self._tour is not None else ""
        return told | {"compared": self.board.compared, "tour": tour} | self.sight.layout

    def _lay_out(self, layout: Mapping[str, str]) -> None:
        """Put in sight what an address asks for; what this version does not know is left out."""
        self._layout = {}
        self.bar.compare_with(layout.get("preset", ""))
        per, compared = layout.get("per", ""), layout.get("compared", "")
        self.per = per if per in PER.values() else self.per
        self.sight.lay_out(layout)
        if compared in COMPARISONS:
            self.board.compare(compared)
        if layout.get("tab") in TABS:
            self.toggle_drawer(layout["tab"])
        if layout.get("tour"):
            from workbench.tour_banner import TourBanner

            self._tour = TourBanner(self, self._sheet)
            self._tour_view[:] = [self._tour.view]
            self._tour.open(layout["tour"])

    def redraw(self) -> None:
        """Show everything anew, on the page's own turn: a tab may turn without Bokeh's lock."""
        shell.later(self.document, self._look_now)

    # Drawing -------------------------------------------------------------------------------------

    def _beat(self) -> None:
        """Pull a frame if there is something new and the browser has credit."""
        with hold(self.document):
            self._pull()

    def _pull(self) -> None:
        session = self.session
        if session is None:
            return
        if not session.ready or session.progress[1] < 1.0:
            self._line.tell(*session.progress)
            if not session.ready:
                return
        if self.theorist is None:
            session.tick(time.monotonic())
        else:
            self.theorist.follow()
            self._look_at_files()
        if self._drawer is not None:
            self._drawer.beat(draws=not self._channel.behind)
        self._draw()

    def _look_at_files(self) -> None:
        """Take over files of one's own that were saved again; say what is wrong with them."""
        self._files.look()
        self._renewal.follow()
        if self._files.troubles != self._troubles:
            self._troubles = self._files.troubles
            self._look_now()

    def _draw(self, *, force: bool = False) -> None:
        session = self.session
        if session is None or not session.ready or session.showing is None:
            return
        now = (*session.showing.place, session.changes, self.per, self._strip.follow())
        if not force:
            if now == self._shown:
                self._rest()
                return
            if self._channel.behind:
                return
        from workbench.scene import scene

        asked = self.theorist is not None and self.theorist.on
        theory = asked and self._drawer is not None and self._drawer.draws_theory
        drawn = scene(session, self.per, theory=theory)
        if drawn is None:
            return
        drawn = self._strip.dress(drawn)
        self._shown, self._scene, self._rests = now, drawn, False
        self.board.draw(drawn)
        self.bar.follow(session)
        if self._tour is not None:
            self._tour.follow(session, drawn)
        if self._drawer is not None:
            self._drawer.follow(session)
        if self._line.due(session.playing):
            self._say()
        self._send()

    def _rest(self) -> None:
        """Rows have stood still for a moment: draw what waits for that."""
        channel = self._channel
        if self._rests or channel.behind or time.monotonic() - channel.sent_at < REST:
            return
        self._rests = True
        self.board.rest()
        self._send()

    def _send(self) -> None:
        """The frame of what was drawn last."""
        from workbench.scene import readout

        session, drawn = self.session, self._scene
        said = readout(session, drawn)
        said |= {"fps": self._channel.fps, "rests": self._rests, "at": round(1000 * time.time())}
        opened = self._drawer.tab if self._drawer is not None else ""
        wide = self._drawer is not None and self._drawer.wide
        parted = None if self._drawer is None else self._drawer.parted
        said |= {"drawer": bool(opened), "wide": wide, "theory": self._brief()[0], "parted": parted}
        said |= {"sample": self.sight.sample, "names": drawn.curves.names}
        self._channel.send(lambda frames, n: self.board.message(frames, said | {"frame": n}))

    def _show_choices(self) -> None:
        """Set everything that shows choices to the session's."""
        session = self.session
        if session is None or not session.ready or session.lane is None:
            return
        self.bar.show(session)
        if self._drawer is not None:
            self._drawer.show(session)
        self._line.offer(session)

    def _say(self) -> None:
        """The line of choices, with what differs from the preset, and the state of the machine."""
        session, lane = self.session, self.session.lane
        if self.address.watches:
            from workbench.watched_line import watched_line

            said = self._refused or session.message
            self._line.put(watched_line(session, said, self._channel.fps, self.look.name))
            return
        from workbench.summary import summary

        note = lane.trace.attrs.get("rises", "") if lane is not None else ""
        trouble = self._files.trouble_of(session.wanted)
        message = self._refused or trouble or session.message or session.offer or note
        self._line.put(summary(session, self.bar.preset, message, self._channel.fps, self._brief()))

    def _brief(self) -> tuple[str, bool]:
        """What theory says in a few words, once it was asked."""
        if self.theorist is None or not self.theorist.on:
            return "", False
        from workbench.theory_tab import brief

        return brief(self.theorist.newest, self._scene)


class _Leave:
    """Called when the page has gone; holds what it needs, because the app's globals go first."""

    def __init__(self, leave: Callable[[], None], ended: Callable[[], None]) -> None:
        self._leave, self._ended = leave, ended

    def __call__(self, context: Any) -> None:
        self._leave()
        self._ended()
