"""Where are runs put side by side? The page: lanes at the left, linked plots, tables below.

A thread reads and computes (workbench/compare_worker.py). Figures are built anew only when what is
compared changes; rows that come are piped into them, so that zoom, cursor and selection stay.
"""

import threading
from collections.abc import Callable
from typing import Any

import panel as pn
from bokeh.models import CustomJS, Div, TextInput

from workbench import shell
from workbench.look import palette
from workbench.places import assets, keep_importable

PAINTED = """
const said = JSON.parse(pulse.text);
document.getElementById('readout').textContent = pulse.text;
const line = document.getElementById('said');
line.textContent = said.message; line.classList.toggle('refused', said.refused);
if (said.ready && location.search !== said.address) {
  history.replaceState(null, '', said.address);
}"""

KEYS = """
const typing = new Set(['INPUT', 'TEXTAREA', 'SELECT']);
const keys = {ArrowRight: 'right', ArrowLeft: 'left', Home: 'home', End: 'end', f: 'fit'};
addEventListener('keydown', event => {
  const at = event.composedPath()[0], name = keys[event.key];
  if (!name || typing.has(at.tagName) || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const heard = Bokeh.documents.map(d => d.get_model_by_name('heard')).find(m => m);
  if (heard) heard.value = 'key ' + name + (event.shiftKey ? ' 10 ' : ' 1 ') + Date.now();
});"""

SETTLE_MS = 250
"""After so long without a change a zoom is taken as meant."""

CELLS = ("curve", "other", "profile", "difference", "distances", "cloud")


class ComparePage:
    """One visitor's comparison."""

    def __init__(self, theme: str, asked: dict[str, list[str]]) -> None:
        """Build the frame; everything that needs the core comes when it is painted.

        Args:
            theme: "light" or "dark".
            asked: the arguments of the address: `run` (several), and how they are compared.
        """
        self.look = palette(theme)
        self.document: Any = pn.state.curdoc
        self._asked_for = asked
        self._sheet = shell.sheet() + (assets() / "look" / "words.css").read_text("utf-8")
        self.views = {name: self.html("") for name in ("lanes", "rows", "experiments")}
        self.heads = {name: self.html("") for name in (*CELLS, "maps")}
        self.bodies = {
            name: pn.Column(sizing_mode="stretch_width", margin=0) for name in (*CELLS, "maps")
        }
        self.side = pn.Column(self.html("loading"), sizing_mode="stretch_width", margin=0)
        self._pulse = Div(text="{}")
        self._heard = TextInput(name="heard", value="")
        self._pulse.js_on_change("text", CustomJS(args={"pulse": self._pulse}, code=PAINTED))
        self.bar = pn.Row(sizing_mode="stretch_width", margin=0)
        self._desk: Any = None
        self.template = self._template(theme)
        pn.state.onload(self._begin)

    def html(self, text: str) -> Any:
        """A pane of text in the page's look."""
        return pn.pane.HTML(text, stylesheets=[self._sheet], sizing_mode="stretch_width", margin=0)

    def _template(self, theme: str) -> Any:
        panels: dict[str, Any] = {"bar": self.bar, "side": self.side, **self.views}
        panels |= {
            name: pn.Column(
                self.heads[name], self.bodies[name], sizing_mode="stretch_width", margin=0
            )
            for name in self.heads
        }
        panels |= {"pulse": pn.pane.Bokeh(self._pulse), "back": pn.pane.Bokeh(self._heard)}
        return shell.template(
            "compare",
            theme,
            panels,
            contents=(assets() / "look" / "compare.html").read_text("utf-8"),
            styles=("compare.css",),
            late=KEYS,
        )

    def _begin(self) -> None:
        """The page is painted: load what draws beside it, then begin."""
        keep_importable()
        threading.Thread(target=self._load, name="compare import", daemon=True).start()

    def _load(self) -> None:
        try:
            from core import plugins
            from workbench import compare_desk

            plugins.load_installed()  # also where the server was not started by our command
        except Exception as failed:  # the page must say it, whatever it is
            line = f"could not start: {failed}"
            self.later(lambda: self.say({"ready": False, "message": line, "refused": True}))
            raise

        def ready() -> None:
            self._desk = compare_desk.Desk(self, self._asked_for, self._heard, self._sheet)
            self.document.on_session_destroyed(_Leave(self._desk.end))

        self.later(ready)

    def later(self, act: Callable[[], None]) -> None:
        """Do something on the page's own turn; called from any thread."""
        shell.later(self.document, act)

    def soon(self, act: Callable[[], None]) -> Any:
        """Do something when nothing has changed for a moment."""
        return self.document.add_timeout_callback(act, SETTLE_MS)

    def say(self, said: dict[str, Any]) -> None:
        """Tell the browser, and whoever reads the page, what is shown."""
        self._pulse.text = shell.telling(said)


class _Leave:
    """Called when the page has gone; holds what it needs, because the app's globals go first."""

    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end

    def __call__(self, context: Any) -> None:
        self._end()
