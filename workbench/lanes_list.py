"""Which lanes are there, and how did each come about? A list as HTML; a press on a lane opens it.

What a press asks for stands in `data-ask`; see `scripts`.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.lanes import Lane

MOST = 60
"""Lanes that are listed, the newest; and those that are drawn."""

LONGEST = 150
"""Letters of what a lane differs in."""

BAR = 74
"""Pixels of the bar of the longest lane."""

STYLE = """<style>
.lane { display: flex; align-items: center; gap: 6px; border-bottom: 1px solid var(--grid); }
.lane button { font: inherit; color: var(--ink); background: transparent; border: 0;
  padding: 3px 4px; border-radius: 4px; text-align: left; cursor: pointer; }
.lane button:hover { background: var(--page); }
.lane button:focus-visible { outline: 2px solid var(--accent); }
.lane .go { flex: 1 1 auto; display: flex; gap: 8px; overflow-wrap: anywhere; }
.lane .go > span { flex: 1 1 auto; } .lane .go > b { flex: 0 0 20px; text-align: right; }
.lane .go small { display: block; } .lane .bad { color: var(--accent); }
.lane .as { flex: 0 0 26px; text-align: center; border: 1px solid var(--grid); padding: 2px 0;
  border-radius: 4px; color: var(--muted); }
.lane .as.A { background: var(--accent); border-color: var(--accent); color: var(--background); }
.lane .as.B { background: var(--ghost); border-color: var(--ghost); color: var(--background); }
.lane.live .go > b { color: var(--accent); }
.lane svg { flex: 0 0 auto; } .lane rect { fill: var(--muted); }
.lane.live rect { fill: var(--accent); } .lane line { stroke: var(--ghost); }
</style>"""


@dataclass(frozen=True)
class Entry:
    """One lane in the list.

    Args:
        number: of the lane.
        words: what it differs in from the lane that it came from, or how it began.
        came: from where, in words.
        first: number of its first own row.
        last: number of its newest row.
        stopped: why it cannot go on, or "".
    """

    number: int
    words: str
    came: str
    first: int
    last: int
    stopped: str = ""


def entry(lane: Lane, lanes: Sequence[Lane]) -> Entry:
    """What the list says of a lane.

    Args:
        lane: one of a session.
        lanes: all of them, by their numbers.
    """
    rows = lane.trace.tail(1)
    last = int(rows["step"][-1]) if rows else 0
    stopped = "" if lane.diverged is None else lane.diverged
    if lane.parent is None:
        return Entry(lane.id, _with_pokes("", lane) or lane.title, "", 0, last, stopped)
    old, forked = lanes[lane.parent], lane.forked_at
    words = lane.difference(old.experiment, lane.experiment)
    if forked is None:
        came = f"batch {lane.starts[0][1]} again, from row {lane.left} of lane {old.id}"
        words = words or lane.title
    else:
        came = f"from row {forked} of lane {old.id}"
    words = _with_pokes(words, lane) or "the same choices"
    return Entry(lane.id, words, came, forked or 0, last, stopped)


def _with_pokes(words: str, lane: Lane) -> str:
    """With what was poked since it began."""
    own = [one for one in lane.pokes if lane.forked_at is None or one.row >= lane.forked_at]
    pokes = [f"row {one.row}: {one.poke.sentence()}" for one in own]
    return "; ".join([*([words] if words else []), *pokes])


def listed(entries: Sequence[Entry], a: int, b: int | None, left: int = 0) -> str:
    """The lanes as HTML, the newest first.

    Args:
        entries: of the lanes, in any order.
        a: number of the live lane.
        b: number of the lane behind it, or None.
        left: how many others there are.
    """
    most = max(1, *(one.last for one in entries))
    drawn = sorted(entries, key=lambda one: -one.number)
    more = f"<p><small>and {left} older, by the key [ and by undo</small></p>" if left else ""
    return STYLE + "".join(_card(one, a, b, most) for one in drawn) + more


def _card(one: Entry, a: int, b: int | None, most: int) -> str:
    live = one.number == a
    words = one.words if len(one.words) <= LONGEST else f"{one.words[:LONGEST]} …"
    rows = f"{one.last + 1:,} row{'s' if one.last else ''}"
    came = html.escape(f"{one.came} · {rows}" if one.came else rows)
    bad = f'<small class="bad">{html.escape(one.stopped)}</small>' if one.stopped else ""
    name = f"go on in lane {one.number}"
    mark = '<span class="as A" title="the live lane, A">A</span>'
    if not live:
        kind = "as B" if one.number == b else "as"
        about = f"compare with lane {one.number}: let it be B"
        mark = (
            f'<button class="{kind}" data-ask="compare_with {one.number}" title="{about}" '
            f'aria-label="{about}">B</button>'
        )
    return (
        f'<div class="lane{" live" if live else ""}">'
        f'<button class="go" data-ask="open_lane {one.number}" title="{name}">'
        f"<b>{one.number}</b><span>{html.escape(words.replace('->', '→'))}"
        f"<small>{came}</small>{bad}</span></button>{_bar(one, most)}{mark}</div>"
    )


def _bar(one: Entry, most: int) -> str:
    """The rows of a lane, those that it shares with its parent as a thin line."""
    first, last = (BAR * row / most for row in (one.first, one.last))
    return (
        f'<svg width="{BAR + 2}" height="10" aria-hidden="true">'
        f'<line x1="0" x2="{first:.1f}" y1="5" y2="5"/>'
        f'<rect x="{first:.1f}" y="2" width="{max(last - first, 2):.1f}" height="6" rx="1"/></svg>'
    )


def of_session(session: Any) -> str:
    """The lanes of a session as they stand, or "" before the first: the newest, and A and B."""
    place, lanes = session.showing, session.lanes
    if place is None:
        return ""
    a, b = place.lane.id, None if place.ghost is None else place.ghost.id
    old = [one for one in lanes[:-MOST] if one.id in (a, b)]
    entries = [entry(one, lanes) for one in [*old, *lanes[-MOST:]]]
    return listed(entries, a, b, len(lanes) - len(entries))
