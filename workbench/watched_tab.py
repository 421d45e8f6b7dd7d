"""What is known of a run that is watched? Its lanes, what was logged, and why it stands still."""

import html
import json
from typing import Any

import panel as pn

from core import schema
from workbench.address import link
from workbench.plots_control import PlotsControl


class WatchedTab:
    """In the place of the choices, which cannot be made."""

    def __init__(self, page: Any, sheet: str) -> None:
        """Build it for a page that watches a run."""
        self._page = page
        self._about = pn.pane.HTML("", sizing_mode="stretch_width")
        self.view = pn.Column(
            self._about, *PlotsControl(page, sheet).parts, sizing_mode="stretch_width"
        )

    def show(self, session: Any) -> None:
        """Say how the run stands."""
        said = "".join(
            (
                f"<p><b>{html.escape(session.title or session.name)}</b></p>",
                f'<p class="refused">{html.escape(session.why)}</p>',
                _begins(session, self._page.look.name),
                _facts(session),
                _titled_lanes(session, self._page.look.name),
                _logged(session),
                _choices(session),
            )
        )
        if said != self._about.object:
            self._about.object = said


class NoTheory:
    """In the place of theory, which needs the network."""

    draws = False

    def __init__(self, page: Any, sheet: str) -> None:
        """Say why."""
        self.view = pn.pane.HTML(
            f"<p>Theory needs the network and its weights.</p>"
            f'<p class="refused">{html.escape(page.session.why)}</p>',
            sizing_mode="stretch_width",
        )

    def show(self, newest: Any) -> None:
        """There is never anything new."""


def _begins(session: Any, theme: str) -> str:
    """Links to the batches from which can be relaxed on."""
    lane = session.lane
    if not lane.choices or not lane.kept:
        return ""
    shown = lane.kept if len(lane.kept) <= 12 else [*lane.kept[:6], *lane.kept[-6:]]
    links = [
        f'<a href="{html.escape(link("relax", theme, run=session.name, lane=lane.id, batch=k))}">'
        f"{k}</a>"
        for k in shown
    ]
    if len(shown) < len(lane.kept):
        links.insert(6, "…")
    return f"<p>relax on from batch {' '.join(links)}</p>"


def _facts(session: Any) -> str:
    rows = {"name": session.name, "state": session.state, "newest row": session.row}
    strides = session.lane.trace.step_stride * session.lane.trace.batch_stride
    if strides > 1:
        rows["shown"] = "not every row: the run is longer than what is held for the plots"
    thinned = session.lane.trace.attrs.get("thinned")
    if thinned:
        rows["before"] = thinned
    if session.recovered:
        rows["recovered"] = session.recovered
    lost = [f"{a}" if a == b else f"{a}–{b}" for a, b in session.lane.gaps]
    if lost:
        more = f" and {len(lost) - 8} more" if len(lost) > 8 else ""
        rows["rows that are not there"] = ", ".join(lost[:8]) + more
    items = (f"<li>{k}: {html.escape(str(v))}</li>" for k, v in rows.items())
    return f"<ul>{''.join(items)}</ul>"


def _titled_lanes(session: Any, theme: str) -> str:
    """Every lane under a heading, where there are several."""
    return f"<h4>Lanes</h4>{linked_lanes(session, theme)}" if len(session.lanes) > 1 else ""


def linked_lanes(session: Any, theme: str) -> str:
    """Every lane of a run as HTML, with a link to it.

    Args:
        session: the run that is watched.
        theme: "light" or "dark".
    """
    items = []
    for info in session.lanes[:60]:
        title = html.escape(f"lane {info.number} {info.title}".strip()[:120])
        to = html.escape(link("relax", theme, run=session.name, lane=info.number))
        here = info.number == session.lane.id
        items.append(f"<li><b>{title}</b></li>" if here else f'<li><a href="{to}">{title}</a></li>')
    return f"<ul>{''.join(items)}</ul>"


def _logged(session: Any) -> str:
    """What was logged, and what the plots miss."""
    logged = sorted(session.lane.logged)
    meant = {name: about for name, (_, about) in schema.ABOUT.items()}
    items = "".join(f"<li>{n}: {html.escape(meant.get(n, ''))}</li>" for n in logged)
    known = session.lane.known
    missing = [n for n in ("energy", "error", "precision", "cost", "force") if n not in known]
    without = f"<p><small>not logged: {', '.join(missing)}</small></p>" if missing else ""
    return f"<h4>Logged</h4><ul>{items}</ul>{without}"


def _choices(session: Any) -> str:
    """The experiment as it was recorded."""
    if not session.lane.choices:
        return ""
    lines = (f"{name} = {json.dumps(one)}" for name, one in session.lane.choices.items())
    return f"<h4>Experiment</h4><pre>{html.escape(chr(10).join(lines))}</pre>"
