"""Which page is asked for? `?page=home`, `relax` (also without a name), `runs` or `compare`.

The code of each is imported on its first visit.
"""

import difflib
from collections.abc import Callable
from typing import Any

import panel as pn
from panel.io.resources import get_dist_path

from workbench import gate, sending, shell

UNKNOWN = """<main class="words"><h1>There is no such page</h1>
<p>page: {{ asked | e }}; one of {{ known }}. The nearest is
<a href="{{ near.href | e }}">{{ near.title }}</a>.</p></main>"""

Asked = dict[str, list[str]]
"""The arguments of an address: all values of each name."""


def open_page() -> None:
    """Serve the page to the visitor of the document being built, or say why not."""
    if told := gate.refusal():
        words = pn.pane.HTML(told, styles={"font": "15px/1.5 system-ui", "padding": "2em"})
        words.servable(title="Relaxoscope")
        return
    # A document that is built anew for its socket never passes where Panel sets this address, and
    # would ask a foreign host for style sheets that are here.
    document: Any = pn.state.curdoc
    document.template_variables.setdefault("dist_url", get_dist_path(cdn=False))
    sending.lose_nothing()
    pn.state.onload(lambda: sending.speak_at_once(document))
    pn.state.onload(lambda: sending.patch_in_short(document))
    asked = arguments(pn.state.session_args)
    theme = "dark" if first(asked, "theme") == "dark" else "light"
    name = first(asked, "page") or "relax"
    made = BUILDERS[name](theme, asked) if name in BUILDERS else _unknown(name, theme)
    title = f"{shell.TITLES[name]} · Relaxoscope" if name in shell.TITLES else "Relaxoscope"
    with document.models.freeze():  # else what belongs to it is looked for again after each root
        made.servable(title=title)


def arguments(given: dict[str, list[bytes]]) -> Asked:
    """The arguments of an address as text."""
    return {
        name: [value.decode("utf-8", "replace") for value in values]
        for name, values in given.items()
    }


def first(asked: Asked, name: str) -> str:
    """The first value of an argument, "" where there is none."""
    return asked.get(name, [""])[0]


def _home(theme: str, asked: Asked) -> Any:
    from workbench.home_page import home_page

    return home_page(theme)


def _relax(theme: str, asked: Asked) -> Any:
    from workbench.relax_page import RelaxPage

    return RelaxPage(theme, asked).template


def _runs(theme: str, asked: Asked) -> Any:
    from workbench.runs_page import RunsPage

    return RunsPage(theme, asked).template


def _compare(theme: str, asked: Asked) -> Any:
    from workbench.compare_page import ComparePage

    return ComparePage(theme, asked).template


BUILDERS: dict[str, Callable[[str, Asked], Any]] = {
    "home": _home,
    "relax": _relax,
    "runs": _runs,
    "compare": _compare,
}


def _unknown(name: str, theme: str) -> Any:
    """A page that says which pages there are, and offers the nearest."""
    near = difflib.get_close_matches(name.lower(), BUILDERS, n=1, cutoff=0.3)
    offered = near[0] if near else "relax"
    door = next(door for door in shell.doors("", theme) if door.name == offered)
    return shell.template(
        "",
        theme,
        {"bar": pn.Row(margin=0)},
        contents=UNKNOWN,
        variables={"asked": name[:80], "known": ", ".join(BUILDERS), "near": door},
    )
