"""How is time driven? The bar: preset, transport, speed, gear, T, the cursor, and three doors."""

import time
from typing import Any, Literal

import panel as pn
from bokeh.models import Tooltip

from workbench.plan import rows_of
from workbench.presets import menu, named, presets, whole
from workbench.scripts import NAMES_PRESET

PATHS = {
    "home": "M2 4C8 4 7 19 22 19",
    "restart": "M4 4v5h5M4.6 9A8 8 0 1 1 4 14",
    "play": "M7 4v16l13-8z",
    "pause": "M7 4v16M17 4v16",
    "step": "M5 4v16l10-8zM19 5v14",
    "end": "M4 4v16l8-8zM12 4v16l8-8zM21 5v14",
    "next": "M4 7h9M4 12h9M4 17h9M16 8l4 4-4 4",
    "live": "M12 12m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0M5 5a10 10 0 0 0 0 14M19 5a10 10 0 0 1 0 14",
    "fit": "M12 3v18M8 7l4-4 4 4M8 17l4 4 4-4",
    "choices": "M4 6h10M18 6h2M4 12h2M10 12h10M4 18h12M20 18h0M14 4v4M6 10v4M16 16v4",
    "export": "M12 3v12M7 10l5 5 5-5M4 20h16",
    "theme": "M12 3a9 9 0 1 0 9 9a7 7 0 0 1-9-9z",
}


def icon(name: str) -> str:
    """An outline icon as inline SVG."""
    filled = "currentColor" if name in ("play",) else "none"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="15" height="15" viewBox="0 0 24 24" '
        f'fill="{filled}" stroke="currentColor" stroke-width="2" stroke-linecap="round" '
        f'stroke-linejoin="round"><path d="{PATHS[name]}"/></svg>'
    )


def tip(text: str, position: Literal["bottom", "left"] = "bottom") -> Tooltip:
    """A tooltip below its button, where it stays inside the window."""
    return Tooltip(content=text, position=position)


SPEEDS = {f"{n} /s": float(n) for n in (1, 3, 6, 15, 40)} | {"free": 0.0}


WATCHED = {
    "restart": "to the first row of this batch  [r]",
    "step": "one row on  [→]",
    "end": "to the last row of this batch",
    "next": "to the first row of the next batch  [n]",
    "choices": "the run, its lanes, what was logged  [c]",
    "export": "figure and data of the run",
}
"""What controls do while a run is watched, where that is something else."""


NARROW = "@media (max-width: 1199px) { :host { flex-wrap: wrap; row-gap: 3px; } }"
"""In a narrow window the controls take two lines."""


class Bar:
    """At most fifteen controls, in one line."""

    def __init__(self, page: Any, sheet: str, run: str = "") -> None:
        """Build the controls of a page.

        Args:
            page: whose session they act on.
            sheet: CSS of the controls.
            run: name of the run that is watched: what needs its network is greyed.
        """
        self._page = page
        self._sheet = sheet
        self._run = run
        self._quiet = False
        self._slid = 0.0
        self.preset = next(iter(presets()))
        listed: dict[str, Any] = {"options": {run: self.preset}} if run else {"groups": menu()}
        self._preset = pn.widgets.Select(
            value=self.preset, disabled=bool(run), width=178, **listed, **self._style("preset")
        )
        self._preset.param.watch(self._chosen, "value")
        if not run:
            self._preset.jscallback(value=NAMES_PRESET)
        self._play = self._button("play", "play or pause  [space]", self._toggle)
        self._speed = pn.widgets.Select(
            options=SPEEDS, value=6.0, width=84, **self._style("speed: steps per second")
        )
        self._speed.param.watch(self._sped, "value")
        self._train = pn.widgets.Toggle(
            label="train", width=54, disabled=bool(run), **self._style("gear")
        )
        self._train.param.watch(self._geared, "value")
        self._steps = pn.widgets.TextInput(
            value="" if run else "20", width=62, disabled=bool(run), **self._style("T")
        )
        self._steps.param.watch(self._stepped, "value")
        self._cursor = pn.widgets.IntSlider(
            start=0,
            end=20,
            value=0,
            show_value=False,
            sizing_mode="stretch_width",
            min_width=110,
            **self._style("cursor") | {"margin": (6, 10, 0, 12)},
        )
        self._cursor.param.watch(self._moved, "value")
        self._cursor.jscallback(value="globalThis.frameBoard?.slides(cb_obj.value)")
        self._live = self._button("live", "follow the newest row  [end]", self._follow)
        letter = pn.pane.HTML("T", stylesheets=[sheet], margin=(6, 0, 0, 4), width=9)
        do = page.do
        self.view = pn.Row(
            self._preset,
            self._button("restart", "this batch from t = 0, in a new lane  [r]", self._again),
            self._play,
            self._button("step", "one step  [→]", lambda: do(lambda s: s.step(1))),
            self._button(
                "end", "relax to step T of the last phase", lambda: do(lambda s: s.run_to_end())
            ),
            letter,
            self._steps,
            self._speed,
            self._train,
            self._button("next", "next batch  [n]", lambda: do(lambda s: s.next_batch())),
            self._cursor,
            self._live,
            self._button("fit", "fit the limits to what is in sight  [f]", page.fit),
            self._door("choices", "choices", "every choice, with bounds, formula and source  [c]"),
            self._door("export", "export", "figure, data, recipe, command"),
            self._theme(),
            sizing_mode="stretch_width",
            margin=0,
            stylesheets=[NARROW],
        )

    def show(self, session: Any) -> None:
        """Set the controls to the session's state."""
        self._quiet = True
        try:
            self._play.icon = icon("pause" if session.playing else "play")
            self._steps.value = self._T(session)
            self._speed.value = session.speed or 0.0
            self._train.value = session.gear == "batch"
        finally:
            self._quiet = False

    def _T(self, session: Any) -> str:
        """T as it is chosen, or as it was recorded, if it was."""
        if not self._run:
            return str(session.wanted.steps)
        return str(session.lane.plan[-1][1]) if session.lane.plan else ""

    def follow(self, session: Any) -> None:
        """Move the slider with the cursor, a few times a second, its end in strides."""
        planned = rows_of(session.lane.plan) - 1 if session.lane else session.wanted.steps
        end = max(planned, -(-session.row // 20) * 20, 1)
        if self._run:
            end = max(session.row, 1)
        now = time.monotonic()
        if session.playing and now - self._slid < 0.2:
            return
        self._slid = now
        self._quiet = True
        try:
            if self._cursor.end != end:
                self._cursor.end = end
            self._cursor.value = min(session.cursor, end)
            self._live.button_type = "primary" if session.following else "default"
        finally:
            self._quiet = False

    def _style(self, name: str) -> dict[str, Any]:
        return {"stylesheets": [self._sheet], "margin": (0, 3), "tags": [name]}

    def _button(self, name: str, about: str, act: Any) -> Any:
        about = WATCHED.get(name, about) if self._run else about
        button = pn.widgets.Button(
            icon=icon(name), description=tip(about), width=34, **self._style(name)
        )
        button.on_click(lambda _: act())
        return button

    def _door(self, name: str, label: str, about: str) -> Any:
        about = WATCHED.get(name, about) if self._run else about
        button = pn.widgets.Button(
            label=label, icon=icon(name), description=tip(about, "left"), **self._style(name)
        )
        button.on_click(lambda _: self._page.toggle_drawer(name))
        return button

    def _theme(self) -> Any:
        button = pn.widgets.Button(
            icon=icon("theme"),
            description=tip("light or dark", "left"),
            width=34,
            **self._style("theme"),
        )
        button.js_on_click(
            code="""
const asked = new URLSearchParams(location.search);
asked.set('theme', document.getElementById('page').dataset.theme == 'dark' ? 'light' : 'dark');
location.search = asked;"""
        )
        return button

    def _toggle(self) -> None:
        self._page.do(lambda s: s.pause() if s.playing else s.play())

    def _again(self) -> None:
        self._page.do(lambda s: s.restart())

    def _follow(self) -> None:
        self._page.do(lambda s: s.follow())

    def _chosen(self, event: Any) -> None:
        if self._quiet:
            return
        if not self._page.ready:
            self._quiet = True
            self._preset.value = event.old
            self._quiet = False
            return
        self.preset = event.new
        self.reset()

    def compare_with(self, preset: str) -> None:
        """Set choices apart from another preset's, and change none of them."""
        if preset in named():
            self._quiet = True
            self._preset.value = self.preset = preset
            self._quiet = False

    def reset(self) -> None:
        """Every choice as the preset has it."""
        self._page.do(lambda s: s.change(**whole(self.preset)))

    def _sped(self, event: Any) -> None:
        if not self._quiet:
            self._page.do(lambda s: s.set_speed(event.new or None))

    def _geared(self, event: Any) -> None:
        if not self._quiet:
            self._page.do(lambda s: s.set_gear("batch" if event.new else "step"))

    def _stepped(self, event: Any) -> None:
        if self._quiet:
            return
        text = event.new.strip()

        def change(session: Any) -> None:
            session.change(steps=int(text) if text.lstrip("+-").isdecimal() else text)

        self._page.do(change)

    def _moved(self, event: Any) -> None:
        if not self._quiet:
            self._page.do(lambda s: s.seek(min(event.new, s.row)))
