"""Which runs are there, and how did they go? A table, and beside it the run that is open.

Figures are built once; a thread reads (workbench/runs_reader.py), and what it has found is shown
when it says so, also of a run that another process is writing.
"""

import html
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import panel as pn
from bokeh.models import CustomJS, Div

from workbench import shell
from workbench.look import palette
from workbench.places import assets, keep_importable
from workbench.runs_desk import Desk, beginning
from workbench.runs_plots import SHOWN, Plots
from workbench.runs_reader import Detail, Found, Reader, Wanted
from workbench.runs_relaxation import QUANTITIES
from workbench.runs_table import Table

LAST = "last row"

START = "mean"
"""What the map of all rows shows at first."""

ANY = -1
"""In the menu of steps: the last row of each batch, whatever its step is."""

MAPS = {f"map: {text} of the rows": name for name, text in SHOWN.items()}

OF_A_BATCH = {f"map: {name} in one batch": name for name in QUANTITIES}
"""Where relaxations were kept whole."""

MOST_SWEEPS = 4
"""Newest sweeps whose points are offered to be compared."""

MOST_STEPS = 12
"""Steps of a batch among which one is chosen; of a longer batch, evenly spread ones."""

PAINTED = """
const said = JSON.parse(pulse.text);
document.getElementById('readout').textContent = pulse.text;
document.getElementById('said').textContent = said.message;
document.getElementById('none').hidden = !said.none;
const page = document.getElementById('page'), open = said.open !== '';
if (page.classList.contains('opened') !== open) {
  page.classList.toggle('opened', open); dispatchEvent(new Event('resize'));
}
const asked = new URLSearchParams(location.search), before = asked.toString();
const put = (name, text) => text === '' ? asked.delete(name) : asked.set(name, text);
if (said.ready) { put('run', said.asked); put('lane', said.lane); put('t', said.t); }
if (asked.toString() !== before) history.replaceState(null, '', '?' + asked);"""


class RunsPage:
    """One visitor's view of the folder of runs."""

    def __init__(self, theme: str, asked: dict[str, list[str]]) -> None:
        """Build everything that does not need the core.

        Args:
            theme: "light" or "dark".
            asked: the arguments of the page's address: `run`, `lane` and `t` say what is open.
        """
        self.look = palette(theme)
        self.document: Any = pn.state.curdoc
        self._sheet = sheet = shell.sheet()
        self.plots = Plots(theme)
        self.table = Table(self.look, sheet, self.open)
        self.desk = Desk(self.look, sheet, self._act, self._moved)
        self._asked = Wanted(
            name=asked.get("run", [""])[0],
            lane=_number(asked.get("lane", [""])[0]),
            t=_number(asked.get("t", [""])[0]),
        )
        self.reader: Reader | None = None
        self._frame = 0
        self._due = self._fit = False
        self._now: Found | None = None
        self._refused = ""
        self._quiet = False
        self._drawn: Any = None
        self._build_bar()
        self._build_tools()
        self._none = pn.pane.HTML("", stylesheets=[sheet], sizing_mode="stretch_width")
        self._pulse = Div(text="{}")
        self._pulse.js_on_change("text", CustomJS(args={"pulse": self._pulse}, code=PAINTED))
        self.template = self._template(theme)
        pn.state.onload(self._begin)

    # Building ------------------------------------------------------------------------------------

    def _build_bar(self) -> None:
        style: dict[str, Any] = {"stylesheets": [self._sheet], "margin": (0, 3)}
        self._search = pn.widgets.TextInput(
            placeholder="search: words of name, title, tags, experiment, state", width=340, **style
        )
        self._search.param.watch(lambda event: self._searched(event.new), "value_input")
        self._away = pn.widgets.Toggle(label="trash", width=60, **style)
        self._away.param.watch(self._switched, "value")
        self._restore = pn.widgets.Button(
            label="restore the ticked ones", visible=False, width=170, **style
        )
        self._restore.on_click(lambda _: self._bring_back())
        self._compare = pn.pane.HTML("", stylesheets=[self._sheet], margin=(5, 8))
        self.table.view.param.watch(lambda _: self._offer(), "selection")
        self._bar = pn.Row(
            self._search,
            self._away,
            self._restore,
            self._compare,
            sizing_mode="stretch_width",
            margin=0,
        )

    def _build_tools(self) -> None:
        style: dict[str, Any] = {"stylesheets": [self._sheet], "margin": (0, 3)}
        self._lane = pn.widgets.Select(options={}, width=260, visible=False, **style)
        self._lane.param.watch(self._chose, "value")
        self._t = pn.widgets.Select(options={f"energies at the {LAST}": ANY}, width=190, **style)
        self._t.param.watch(self._chose, "value")
        self._shown = pn.widgets.Select(
            options=MAPS,
            width=178,
            **style,
        )
        self._shown.param.watch(self._mapped, "value")
        self._batch = pn.widgets.Select(options={}, width=130, visible=False, **style)
        self._batch.param.watch(self._mapped, "value")
        close = pn.widgets.Button(label="close", width=60, **style)
        close.on_click(lambda _: self.open(""))
        fit = pn.widgets.Button(label="whole run", width=80, **style)
        fit.on_click(lambda _: self._whole())
        tools = (self._lane, self._t, self._shown, self._batch, fit, close)
        self._tools = pn.Row(*tools, sizing_mode="stretch_width", margin=0)

    def _template(self, theme: str) -> Any:
        panels: dict[str, Any] = {
            name: pn.pane.Bokeh(figure, sizing_mode="stretch_both", margin=0)
            for name, figure in self.plots.figures.items()
        }
        panels |= {"bar": self._bar, "table": self.table.view, "none": self._none}
        panels |= {"tools": self._tools, "desk": self.desk.view}
        panels |= {"pulse": pn.pane.Bokeh(self._pulse)}
        return shell.template(
            "runs",
            theme,
            panels,
            contents=(assets() / "look" / "runs.html").read_text("utf-8"),
            styles=("runs.css",),
        )

    # Coming and going ----------------------------------------------------------------------------

    def _begin(self) -> None:
        """The page is painted: read beside it, from now on until it goes."""
        keep_importable()
        self.reader = reader = Reader(self._asked, self._soon)
        self.document.on_session_destroyed(_Leave(reader.end))
        reader.start()

    def _soon(self) -> None:
        """Show what there is, once, soon; called from any thread.

        Figures and the readout are plain models of Bokeh, which may be changed only then.
        """
        if not self._due:
            self._due = True
            if not shell.later(self.document, self._show):
                self._due = False

    # What a person does --------------------------------------------------------------------------

    def open(self, name: str) -> None:
        """Open a run, or none."""
        self._refused = ""
        if self._away.value and name:
            self._refuse(f"run: {name}; it lies in the trash: tick and restore it to see it")
            return
        self._fit = True
        self._quiet, self._shown.value = True, START
        self._quiet = False
        self._want(name=name, lane=None, t=None, batch=None)
        self._soon()

    def _want(self, **choices: Any) -> None:
        if self.reader is not None:
            self.reader.want(**choices)

    def _chose(self, event: Any) -> None:
        if not self._quiet:
            t = self._t.value
            self._want(lane=self._lane.value, t=None if t == ANY else t)

    def _mapped(self, event: Any) -> None:
        """Another map is chosen: of all rows, or of one batch."""
        if not self._quiet:
            what = self._shown.value
            one = what in QUANTITIES
            self._want(batch=self._batch.value, what=what) if one else self._want(batch=None)
            self._soon()

    def _searched(self, words: str) -> None:
        self.table.search(words)
        self._soon()

    def _whole(self) -> None:
        """All batches again, after a person has moved the axis."""
        self._fit = True
        self._soon()

    def _switched(self, event: Any) -> None:
        self._restore.visible = event.new
        self.table.view.selection = []
        self._want(put_away=event.new, name="")

    def _act(self, act: Callable[[Path], Any]) -> bool:
        """Do something with the run that is open; a refusal is shown in the line."""
        found = self._now
        if found is None or found.detail is None:
            return False
        return self._try(lambda path=found.detail.path: act(path))

    def _try(self, act: Callable[[], Any]) -> bool:
        try:
            act()
        except (ValueError, OSError) as failed:
            self._refuse(" ".join(str(failed).split()))
            return False
        self._refused = ""
        if self.reader is not None:
            self.reader.look()
        return True

    def _moved(self, name: str) -> None:
        self._want(name=name)

    def _bring_back(self) -> None:
        from core.runs import restore

        found = self._now
        ticked = set(self.table.chosen)
        for entry in found.entries if found is not None else ():
            if entry.name in ticked:
                self._try(lambda path=entry.path: restore(path))
        self.table.view.selection = []

    def _refuse(self, line: str) -> None:
        self._refused = line
        self._soon()

    # Showing -------------------------------------------------------------------------------------

    def _show(self) -> None:
        self._due = False
        found = self._now = self.reader.newest if self.reader is not None else None
        if found is None:
            return
        if self._fit:
            self._fit = False
            self.plots.free()
        self.table.show(found.entries)
        self.table.mark(found.wanted.name)
        detail = found.detail
        if detail is not None:
            entry = next((one for one in found.entries if one.path == detail.path), None)
            self.desk.show(detail, entry)
            self._offer_choices(detail, found.wanted)
            self._draw(detail, found.wanted)
        self._offer()
        self._say(found)

    def _draw(self, detail: Detail, wanted: Wanted) -> None:
        now = (detail.course, wanted.t, self._shown.value, detail.relaxed)
        if self._drawn is None or any(a is not b for a, b in zip(now, self._drawn, strict=True)):
            self._drawn = now
            row = LAST if wanted.t is None else f"t = {wanted.t}"
            shown = self._shown.value if self._shown.value in SHOWN else START
            self.plots.draw(detail.course, row, shown, detail.relaxed)

    def _offer_choices(self, detail: Detail, wanted: Wanted) -> None:
        """Set the menus to the lanes and steps that there are."""
        lanes = {f"lane {k}{': ' if title else ''}{title}": k for k, title in detail.lanes}
        steps = detail.course.steps
        at = sorted({round(k * steps / MOST_STEPS) for k in range(MOST_STEPS + 1)})
        if wanted.t is not None and wanted.t not in at:
            at = sorted([*at, wanted.t])
        rows = {f"energies at the {LAST}": ANY}
        rows |= {f"energies at t = {t}": t for t in at}
        chosen = ANY if wanted.t is None else wanted.t
        self._quiet = True
        try:
            if self._lane.options != lanes:
                self._lane.param.update(options=lanes, value=detail.lane)
            self._lane.value = detail.lane
            self._lane.visible = len(lanes) > 1
            if self._t.options != rows:
                self._t.param.update(options=rows, value=chosen)
            self._t.value = chosen
            self._offer_maps(detail, wanted)
        finally:
            self._quiet = False

    def _offer_maps(self, detail: Detail, wanted: Wanted) -> None:
        """The maps that there are, and the batches that were kept whole."""
        maps = MAPS | OF_A_BATCH if detail.whole else MAPS
        if self._shown.options != maps:
            held = self._shown.value
            self._shown.param.update(options=maps, value=held if held in maps.values() else START)
        batches = {f"batch {k:,}": k for k in detail.whole}
        if self._batch.options != batches:
            held = self._batch.value if self._batch.visible else None
            newest = detail.whole[-1] if detail.whole else None
            self._batch.param.update(
                options=batches, value=held if held in detail.whole else newest
            )
        self._batch.visible = self._shown.value in QUANTITIES

    def _offer(self) -> None:
        """The link that compares what is ticked."""
        ticked = self.table.chosen
        names = self._now.sweeps[:MOST_SWEEPS] if self._now is not None else ()
        links = [self._comparing([name], f"sweep {name}") for name in names]
        text = " · ".join(["<small>tick runs to compare them</small>", *links])
        if ticked and not self._away.value:
            text = self._comparing(ticked, f"compare {len(ticked)}")
        if self._away.value:
            text = ""
        if self._compare.object != text:
            self._compare.object = text

    def _comparing(self, names: Sequence[str], words: str) -> str:
        """The link that compares runs, or the points of a sweep."""
        asked = [("page", "compare"), *(("run", name) for name in names)]
        asked.append(("theme", self.look.name))
        return f'<a href="?{html.escape(urlencode(asked))}">{html.escape(words)}</a>'

    def _say(self, found: Found) -> None:
        """Tell the page, and whoever reads it, what is shown."""
        wanted, detail = found.wanted, found.detail
        none = not found.entries and not wanted.put_away
        if none and not self._none.object:
            from core.runs import folder

            self._none.object = beginning(folder(), self.look.name)
        self._frame += 1
        said: dict[str, Any] = {
            "page": "runs",
            "ready": True,
            "frame": self._frame,
            "runs": self.table.names,
            "count": len(found.entries),
            "sweeps": list(found.sweeps),
            "none": none,
            "asked": wanted.name,
            "open": detail.name if detail is not None else "",
            "lane": "" if wanted.lane is None else str(wanted.lane),
            "t": "" if wanted.t is None else str(wanted.t),
            "message": self._refused or found.message,
        }
        if detail is not None:
            course, lines = detail.course, self.plots.lines
            said |= {
                "state": detail.state,
                "waiting": len(detail.helm.waiting) if detail.helm else 0,
                "recovered": detail.recovered,
                "rows": course.rows,
                "read": course.read,
                "lanes": [k for k, _ in detail.lanes],
                "kept": list(detail.kept),
                "blocks": self.plots.heat.blocks,
                "map": self.plots.heat.figure.title.text,
                "points": {name: one.points for name, one in lines.items()},
                "why": {name: one.why for name, one in lines.items() if one.why},
            }
        self._pulse.text = shell.telling(said)


class _Leave:
    """Called when the page has gone; holds what it needs, because the app's globals go first."""

    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end

    def __call__(self, context: Any) -> None:
        self._end()


def _number(text: str) -> int | None:
    """A number from an address; None where there is none."""
    return int(text) if text.isdecimal() and len(text) < 10 else None
