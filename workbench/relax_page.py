"""Where is a relaxation watched? The page: a slim bar, one line of choices, live plots, a drawer.

The page paints before torch is imported: figures and bar are built at once, the session is attached
by a thread, and frames are pulled by a beat that drops what the browser has no credit for.
"""

import hashlib
import html
import json
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import panel as pn
from bokeh.models import CustomJS, Div, TextInput

from workbench import shell
from workbench.board import Board
from workbench.look import palette
from workbench.places import assets, keep_importable
from workbench.transport import Bar

FRAME_MS = 33
"""The beat: how often new rows are looked for."""

CREDIT = 3
"""Frames that may be on their way before the browser has painted one."""

EXPIRES = 1.0
"""Seconds after which a lost answer no longer holds frames back."""

PAINTED = """
const said = JSON.parse(pulse.text);
document.getElementById('readout').textContent = pulse.text;
const page = document.getElementById('page');
if (page.classList.contains('open') !== said.drawer) {
  page.classList.toggle('open', said.drawer); dispatchEvent(new Event('resize'));
}
if (page.classList.contains('wide') !== said.wide) {
  page.classList.toggle('wide', said.wide); dispatchEvent(new Event('resize'));
}
requestAnimationFrame(() => setTimeout(() => { back.value = 'seen ' + said.frame; }, 0));"""

KEYS = """
const line = document.getElementById('line');
new MutationObserver((_, watch) => {
  if (!line.querySelector('[class*="bk-"]')) return;
  document.getElementById('boot').remove(); watch.disconnect();
}).observe(line, {childList: true, subtree: true});
const typing = new Set(['INPUT', 'TEXTAREA', 'SELECT']);
const keys = {' ': 'play', ArrowRight: 'right', ArrowLeft: 'left', Home: 'home', End: 'end',
  x: 'swap', n: 'next', r: 'restart', f: 'fit', c: 'choices'};
let pressed = 0;
addEventListener('keydown', event => {
  const at = event.composedPath()[0];
  const name = keys[event.key];
  if (!name || typing.has(at.tagName) || event.ctrlKey || event.metaKey || event.altKey) return;
  if (at.tagName === 'BUTTON' && event.key === ' ') return;
  event.preventDefault();
  const model = Bokeh.documents.map(d => d.get_model_by_name('heard')).find(m => m);
  if (model) model.value = 'key ' + name + (event.shiftKey ? ' 10 ' : ' 1 ') + (++pressed);
});
if (location.hash === '' && !new URLSearchParams(location.search).has('session')) {
  const mine = new URLSearchParams(location.search);
  mine.set('session', 'SESSION'); history.replaceState(null, '', '?' + mine);
}"""


class RelaxPage:
    """One visitor's view of one session."""

    def __init__(self, theme: str, asked: dict[str, list[str]]) -> None:
        """Build everything that does not need the core.

        Args:
            theme: "light" or "dark".
            asked: the arguments of the page's address. `session` is an id; a new one is made
                unless it is legal.
        """
        self.look = palette(theme)
        self.session: Any = None
        self.theorist: Any = None
        self.document: Any = pn.state.curdoc
        self._id = asked.get("session", [""])[0]
        self._sheet = shell.sheet()
        self.board = Board(theme, self._seek)
        self.bar = Bar(self, self._sheet)
        self._words = self._html("")
        self._offer = pn.widgets.Button(
            label="relax 5 batches first", visible=False, stylesheets=[self._sheet], margin=0
        )
        self._offer.on_click(lambda _: self._do(lambda s: s.warm_up(5)))
        self._line = pn.Row(self._words, self._offer, sizing_mode="stretch_width", margin=0)
        self._drawer_view = pn.Column(sizing_mode="stretch_width", margin=0)
        self._drawer: Any = None
        self._pulse = Div(text="{}")
        self._back = TextInput(name="heard", value="")
        self._pulse.js_on_change(
            "text", CustomJS(args={"pulse": self._pulse, "back": self._back}, code=PAINTED)
        )
        self._back.on_change("value", self._heard)
        self._sent = self._seen = 0
        self._sent_at = 0.0
        self._shown: Any = None
        self._said = ""
        self._woken = False
        self._scene: Any = None
        self.per = "layer"
        self.frames: list[float] = []
        self.template = self._template(theme)
        pn.state.onload(self._begin)

    # Building ------------------------------------------------------------------------------------

    def _template(self, theme: str) -> Any:
        self._make_id()
        panels = {
            name: pn.pane.Bokeh(figure, sizing_mode="stretch_both", margin=0)
            for name, figure in self.board.figures.items()
        }
        panels |= {"bar": self.bar.view, "line": self._line, "drawer": self._drawer_view}
        panels |= {"pulse": pn.pane.Bokeh(self._pulse), "back": pn.pane.Bokeh(self._back)}
        return shell.template(
            "relax",
            theme,
            panels,
            contents=(assets() / "look" / "page.html").read_text("utf-8"),
            styles=("page.css",),
            late=KEYS.replace("SESSION", self._id),
            own_theme=False,  # it is one of the bar's controls
        )

    def _make_id(self) -> None:
        """Keep a legal id; otherwise take one that a document built anew for its socket shares."""
        if not re.fullmatch(r"[A-Za-z0-9_-]{8,32}", self._id):
            secret = self.document.session_context.id
            self._id = hashlib.sha256(secret.encode()).hexdigest()[:16]

    def _html(self, text: str, **options: Any) -> Any:
        return pn.pane.HTML(
            text, stylesheets=[self._sheet], sizing_mode="stretch_width", margin=0, **options
        )

    # Coming and going ----------------------------------------------------------------------------

    def _begin(self) -> None:
        """The page is painted: import the core behind a progress line, then attach the session."""
        self._tell("loading torch", 0.02)
        pn.state.add_periodic_callback(self._beat, period=FRAME_MS)
        threading.Thread(target=self._attach, name="attach", daemon=True).start()

    def _attach(self) -> None:
        try:
            keep_importable()
            from core import plugins
            from workbench import registry

            plugins.load_installed()  # also where the server was not started by our command
            key = id(self)
            session = registry.attach(self._id, key, self.wake)
            self.document.on_session_destroyed(_Leave(self._id, key, self._ended))
        except Exception as error:  # the page must say it, whatever it is
            line = f"could not start: {error}"
            self.document.add_next_tick_callback(lambda: self._tell(line, 0.0))
            return
        from workbench.theorist import Theorist

        self.theorist = Theorist(session)
        self.session = session
        self.wake()

    def wake(self) -> None:
        """A command has had its effect: look once, soon; called from any thread."""
        if not self._woken:
            self._woken = True
            try:
                self.document.add_next_tick_callback(self._look_now)
            except RuntimeError:  # the page has gone
                self._woken = False

    def _ended(self) -> None:
        """The page has gone: nothing of it goes on."""
        self.theorist.on = False
        if self._drawer is not None:
            self._drawer.close()

    def _look_now(self) -> None:
        self._woken = False
        self._show_choices()
        self._draw(force=True)

    # What the browser says -----------------------------------------------------------------------

    def _heard(self, attr: str, old: str, new: str) -> None:
        word, *rest = new.split()
        if word == "seen":
            self._seen = max(self._seen, int(rest[0]))
            self.frames = [*self.frames[-99:], time.monotonic()]
        elif word == "key":
            self._key(rest[0], int(rest[1]))

    def _key(self, name: str, by: int) -> None:
        session = self.session
        if session is None or not session.ready:
            return
        act: dict[str, Callable[[], None]] = {
            "play": lambda: session.pause() if session.playing else session.play(),
            "right": lambda: (
                session.step(by)
                if session.at_end
                else session.seek(min(session.cursor + by, session.row))
            ),
            "left": lambda: session.seek(max(0, session.cursor - by)),
            "home": lambda: session.seek(0),
            "end": session.follow,
            "swap": session.swap,
            "next": session.next_batch,
            "restart": session.restart,
            "fit": self.fit,
            "choices": lambda: self.toggle_drawer("choices"),
        }
        act[name]()

    def _seek(self, row: int) -> None:
        self._do(lambda s: s.seek(min(row, s.row)))

    @property
    def ready(self) -> bool:
        """Whether there is a session that can be asked for something."""
        return self.session is not None and self.session.ready

    def _do(self, act: Callable[[Any], None]) -> None:
        """Ask the session for something; a refusal is shown in the line."""
        if not self.ready:
            return
        try:
            act(self.session)
        except ValueError as refused:
            self._say(str(refused))

    do = _do

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

    def redraw(self) -> None:
        """Show everything anew."""
        self._look_now()

    # Drawing -------------------------------------------------------------------------------------

    def _beat(self) -> None:
        """Pull a frame if there is something new and the browser has credit."""
        session = self.session
        if session is None:
            return
        if not session.ready or session.progress[1] < 1.0:
            self._tell(*session.progress)
            if not session.ready:
                return
        self.theorist.follow()
        self._draw()

    def _draw(self, *, force: bool = False) -> None:
        session = self.session
        if session is None or not session.ready or session.lane is None:
            return
        now = (session.lane.id, session.row, session.cursor, session.changes, self.per)
        if not force:
            if now == self._shown:
                return
            waiting = self._sent - self._seen
            if waiting >= CREDIT and time.monotonic() - self._sent_at < EXPIRES:
                return
        from workbench.scene import readout, scene

        opened = self._drawer.tab if self._drawer is not None else ""
        theory = self.theorist.on and self._drawer is not None and self._drawer.theory.draws
        drawn = scene(session, self.per, theory=theory)
        if drawn is None:
            return
        self._shown, self._scene = now, drawn
        self.board.draw(drawn)
        self.bar.follow(session)
        self._say()
        self._sent += 1
        self._sent_at = time.monotonic()
        said = readout(session, drawn)
        said |= {"frame": self._sent, "fps": self.fps}
        said |= {"drawer": bool(opened), "wide": opened == "self-test", "theory": self._brief()[0]}
        self._pulse.text = json.dumps(said)

    @property
    def fps(self) -> float:
        """Frames that the browser has painted per second, over the last two seconds."""
        return sum(t > time.monotonic() - 2 for t in self.frames) / 2

    def _show_choices(self) -> None:
        """Set everything that shows choices to the session's."""
        session = self.session
        if session is None or not session.ready or session.lane is None:
            return
        self.bar.show(session)
        if self._drawer is not None:
            self._drawer.show(session)
        self._offer.visible = bool(session.offer)

    def _tell(self, line: str, share: float) -> None:
        """The progress line, in place of the choices."""
        width = max(2, round(100 * share))
        self._put(
            f'<div style="display:flex;gap:10px;align-items:center">'
            f'<div style="flex:0 0 220px;height:6px;background:var(--grid);border-radius:3px">'
            f'<div style="width:{width}%;height:6px;background:var(--accent);border-radius:3px">'
            f'</div></div><span id="progress">{html.escape(line)}</span></div>'
        )

    def _say(self, refused: str = "") -> None:
        """The line of choices, with what differs from the preset, and the state of the machine."""
        from workbench.summary import summary

        lane = self.session.lane
        note = lane.trace.attrs.get("rises", "") if lane is not None else ""
        message = refused or self.session.message or self.session.offer or note
        self._put(summary(self.session, self.bar.preset, message, self.fps, self._brief()))

    def _brief(self) -> tuple[str, bool]:
        """What theory says in a few words, once it was asked."""
        if self.theorist is None or not self.theorist.on:
            return "", False
        from workbench.theory_tab import brief

        return brief(self.theorist.newest, self._scene)

    def _put(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self._words.object = text


class _Leave:
    """Called when the page has gone; holds what it needs, because the app's globals go first."""

    def __init__(self, session_id: str, key: int, ended: Callable[[], None]) -> None:
        self._id, self._key, self._ended = session_id, key, ended

    def __call__(self, context: Any) -> None:
        from workbench import registry

        registry.release(self._id, self._key)
        self._ended()
