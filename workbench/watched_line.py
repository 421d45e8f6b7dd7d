"""What is said of a watched run? Its choices, how it stands, and why it is not relaxed on."""

import html
from typing import Any

from workbench.address import link
from workbench.summary import CALM, chosen, grey, status, two_lines


def watched_line(session: Any, message: str, fps: float, theme: str) -> str:
    """The two lines as HTML.

    Args:
        session: the run that is watched.
        message: said in the accent's colour.
        fps: frames painted per second.
        theme: "light" or "dark".
    """
    experiment = session.wanted
    if experiment is not None:
        choices = chosen(experiment)
    else:
        layout = session.layout
        names = [layout.names[i] for i in layout.layers]
        shown = ", ".join(names if len(names) <= 8 else [*names[:4], "…", *names[-2:]])[:90]
        choices = f"own code · {len(names)} layers: {html.escape(shown)}"
    ghost = session.ghost
    behind = grey(f"lane {ghost.id} {ghost.title}".strip()) if ghost is not None else ""
    said = status(". ".join(one for one in (message, session.recovered) if one))
    return two_lines(
        choices,
        f'<div id="state" style="flex:0 0 auto;white-space:nowrap;{CALM}">'
        f"{_state(session, fps)}</div>",
        f"{said}{behind}",
        f'<div id="why" style="flex:0 0 auto;{CALM}">{_why(session, theme)}</div>',
    )


def _state(session: Any, fps: float) -> str:
    """How the run stands."""
    colour = "var(--accent)" if session.live else "var(--muted)"
    parts = [f'<b style="color:{colour}">●</b> {html.escape(session.state)}']
    title = session.title or session.name
    lane = session.lane
    parts.append(html.escape(title[:60]))
    if len(session.lanes) > 1:
        parts.append(f"lane {lane.id} of {len(session.lanes)}")
    parts.append(f"row {session.cursor} of {session.row}")
    if session.accuracy is not None:
        parts.append(f"test accuracy {100 * session.accuracy:.1f} %")
    if session.playing or session.live:
        parts.append(f"{fps:.0f} fps")
    return " · ".join(parts)


def _why(session: Any, theme: str) -> str:
    """A link that leads to relaxing on, or why there is none."""
    batch = session.begins
    if batch is None:
        return html.escape(session.why)
    to = link("relax", theme, run=session.name, lane=session.lane.id, batch=batch)
    return f'<a id="begin" href="{html.escape(to)}">relax on from batch {batch}</a>'
