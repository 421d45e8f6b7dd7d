"""What do all pages share? A head, a bar that begins with the doors to the pages, and the colours.

A page gives its own part as HTML that embeds its roots, and its widgets by the names of the roots.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

import panel as pn

from workbench.look import palette
from workbench.places import assets

TITLES = {"home": "Home", "relax": "Relax", "runs": "Runs", "compare": "Compare"}
"""The pages in the order of their doors; the first one's shows the curve of the icon."""

COLOURS = ("page", "background", "ink", "muted", "grid", "accent", "ghost")
"""Of the palette: those that style sheets name, each as `var(--name)`."""

ICON = (
    "%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Cpath d='M1 2C5 2 5 13 15 13' fill='none' stroke='%23c2410c' stroke-width='2.4'"
    " stroke-linecap='round'/%3E%3C/svg%3E"
)

SWITCH = """
const asked = new URLSearchParams(location.search);
if (!asked.has('theme') && matchMedia('(prefers-color-scheme: dark)').matches) {
  asked.set('theme', 'dark'); location.replace(location.pathname + '?' + asked);
}"""
"""Who has asked for no theme gets that of the system."""

DOORS = """
for (const door of document.querySelectorAll('#pages a')) door.addEventListener('click', () => {
  const mine = new URLSearchParams(location.search), there = new URL(door.href);
  if (mine.has('session')) there.searchParams.set('session', mine.get('session'));
  door.href = there;
});
document.getElementById('theme')?.addEventListener('click', () => {
  const asked = new URLSearchParams(location.search);
  const now = document.getElementById('page').dataset.theme;
  asked.set('theme', now === 'dark' ? 'light' : 'dark'); location.search = asked;
});"""
"""The way back leads to the session from which one came: its id goes along."""

COMES_BACK = """
const heard = new WeakSet(), trouble = document.getElementById('lost');
let leaves = false;
addEventListener('pagehide', () => { leaves = true; });
addEventListener('pageshow', event => { if (event.persisted) location.reload(); });
const comesBack = async () => {
  if (leaves || !trouble.hidden) return;
  trouble.hidden = false;
  const tried = JSON.parse(sessionStorage.getItem('tried') ?? '[]');
  const lately = tried.filter(at => Date.now() - at < 60000);
  sessionStorage.setItem('tried', JSON.stringify([...lately, Date.now()]));
  if (lately.length >= 5) {
    trouble.textContent = 'The connection was lost again and again; reload this page.';
    return;
  }
  for (let wait = 250; ; wait = Math.min(2 * wait, 4000)) {
    await new Promise(done => setTimeout(done, wait));
    try {
      if ((await fetch('static/js/bokeh.min.js', {method: 'HEAD', cache: 'no-store'})).ok) break;
    } catch { continue; }
  }
  if (!leaves) location.reload();
};
setInterval(() => {
  for (const one of globalThis.Bokeh?.documents ?? []) {
    if (heard.has(one)) continue;
    heard.add(one);
    one.on_event('connection_lost', comesBack);
  }
}, 500);"""
"""A page whose socket was closed says so and is loaded again as soon as its server answers.

Its address names its session, so that the same run and row come back. Where sockets cannot live,
five times in a minute are enough.
"""


@dataclass(frozen=True)
class Door:
    """A link to a page.

    Args:
        name: of the page, as in its address.
        title: that is shown.
        href: the address, relative to the app's.
        here: whether it is the page that is open.
    """

    name: str
    title: str
    href: str
    here: bool


def doors(page: str, theme: str) -> list[Door]:
    """The links to all pages, for the bar of one of them."""
    return [
        Door(name, title, "?" + urlencode({"page": name, "theme": theme}), name == page)
        for name, title in TITLES.items()
    ]


def sheet() -> str:
    """The style sheet of widgets, which see none of the page's."""
    return (assets() / "look" / "widgets.css").read_text("utf-8")


def telling(said: Mapping[str, Any]) -> str:
    """What a page says to the browser, as JSON for a `Div`, which takes its text for HTML."""
    return json.dumps(said).replace("<", "\\u003c")


def template(
    page: str,
    theme: str,
    panels: Mapping[str, Any],
    *,
    contents: str,
    styles: Sequence[str] = (),
    late: str = "",
    own_theme: bool = True,
    variables: Mapping[str, Any] = MappingProxyType({}),
) -> Any:
    """The template of a page.

    Args:
        page: its name, a key of `TITLES`; "" for none of them.
        theme: "light" or "dark".
        panels: the roots by name; "bar" is put beside the doors, the others where `contents`
            embeds them.
        contents: the page's own HTML, as a Jinja template; see `assets/look/page.html`.
        styles: style sheets of the page, names of files in `assets/look`.
        late: script that runs at the end of the page.
        own_theme: whether the bar ends with a button for light or dark.
        variables: more that `contents` names. Text that a visitor or a run has written comes this
            way, as `{{ name | e }}`: within `contents` it would be read as a template.
    """
    from workbench.transport import icon

    folder = assets() / "look"
    text = (folder / "shell.html").read_text("utf-8").replace("<!-- contents -->", contents)
    made = pn.Template(text)
    look = palette(theme)
    sheets = [(folder / name).read_text("utf-8") for name in ("shell.css", *styles)]
    shared = {
        "name": page or "plain",
        "title": f"{TITLES[page]} · Relaxoscope" if page in TITLES else "Relaxoscope",
        "theme": theme,
        "icon": ICON,
        "curve": icon("home"),
        "style": "\n".join(sheets),
        "colours": "".join(f"--{name}: {getattr(look, name)};" for name in COLOURS),
        "early": SWITCH,
        "doors": doors(page, theme),
        "doors_script": DOORS + COMES_BACK,
        "own_theme": own_theme,
        "theme_icon": icon("theme"),
        "late": late,
    }
    for name, value in {**shared, **variables}.items():
        made.add_variable(name, value)
    for name, panel in panels.items():
        made.add_panel(name, panel)
    return made


def later(document: Any, act: Callable[[], None]) -> bool:
    """Let a page do something on its own turn, asked from any thread; whether it is still there.

    Args:
        document: of the page.
        act: done soon, once.
    """
    try:
        document.add_next_tick_callback(act)
    except (RuntimeError, AttributeError):  # the page has gone, or Bokeh is taking it apart
        return False
    return True
