"""What does a comparison say in words? Its legend and read-out, tables, and reasons, as HTML.

Every name in it was written by somebody else, and is escaped.
"""

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import numpy as np

from workbench import comparing as c
from workbench.compare_axes import BATCHES, STEPS, TIME
from workbench.compare_experiments import differing, live_changes
from workbench.compare_lanes import SESSION
from workbench.compare_plots import key
from workbench.compare_scene import LETTERS, row_at
from workbench.compare_work import Shown

MOST_LINES = 100
"""Rows of the table of A against B."""

NOTHING = """<div class="why"><b>Choose runs or lanes at the left.</b> The first two are A and B,
whose difference is drawn.<br>Runs are recorded on the Relax page, by
<code>relaxoscope train</code>, or by code of your own with
<code>core.Trace.open("runs/x", layers=[...])</code>.</div>"""

READ = (("F", "F (nat)"), ("E", "E (nat)"), ("imbalance", "imbalance"), ("residual", "residual"))


def title(text: str, more: str = "") -> str:
    """The head of a section."""
    small = f"<small>{html.escape(more)}</small>" if more else ""
    return f'<div class="title">{html.escape(text)}{small}</div>'


def why(reason: str) -> str:
    """Why there is nothing to see."""
    return f'<div class="why">{html.escape(reason)}</div>'


def lanes(shown: Shown, cursor: float | None, theme: str) -> str:
    """The legend of all lanes, with what is read at the cursor."""
    if not shown.lanes:
        return NOTHING
    axis = shown.choices.x
    heads = ["lane", "step", "batch", "t"]
    heads += [] if axis in (STEPS, BATCHES) else ["s" if axis == TIME else axis]
    heads += [name for _, name in READ]
    lines = []
    for k, one in enumerate(shown.lanes):
        row = None if one.why else row_at(one, cursor)
        held = shown.readings[k]
        about = [one.lane.state, f"{one.rows:,} rows", one.lane.note]
        name = f"{key(k)}<b>{LETTERS[k]}</b> {_linked(one.lane.key, one.lane.title, theme)}"
        cells = [f"{name} <small>{html.escape(' · '.join(x for x in about if x))}</small>"]
        if row is None:
            reason = one.why or "before its first row"
            cells.append(
                f'<td class="absent" colspan="{len(heads) - 1}">{html.escape(reason)}</td>'
            )
            lines.append(f"<tr><td>{cells[0]}</td>{cells[1]}</tr>")
            continue
        numbers = [_whole(one.number[row]), *(_whole(held[n][row]) for n in ("batch", "t"))]
        numbers += [] if axis in (STEPS, BATCHES) else [_number(one.x[row])]
        cells += numbers
        for name, _ in READ:
            cells.append(_number(held[name][row]) if name in held else "not logged")
        dim = [' class="absent"' if cell == "not logged" else "" for cell in cells]
        lines.append(
            "<tr>" + "".join(f"<td{d}>{x}</td>" for d, x in zip(dim, cells, strict=True)) + "</tr>"
        )
    head = "".join(f"<th>{html.escape(x)}</th>" for x in heads)
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


def _linked(lane: str, text: str, theme: str) -> str:
    """The title of a lane, which leads to where it can be watched."""
    name, _, number = lane.partition(":")
    asked = {"page": "relax", "theme": theme}
    if name.startswith(SESSION):
        asked["session"] = name.removeprefix(SESSION)
    else:
        asked |= {"run": name} | ({"lane": number} if number else {})
    return f'<a href="?{html.escape(urlencode(asked))}">{html.escape(text)}</a>'


def _number(value: float) -> str:
    return f"{value:.4g}".replace("-", "−") if np.isfinite(value) else "–"


def _whole(value: Any) -> str:
    return f"{int(value):,}"


def parting(shown: Shown) -> str:
    """Where A and B part, in a sentence; "" where there is no pair."""
    if isinstance(shown.pair, str):
        return ""
    quantity = c.QUANTITIES[shown.choices.map]
    unit = " decades" if quantity.log else f" {quantity.unit}".rstrip()
    found, amount = shown.pair.parting, f"{shown.choices.part:g}{unit}"
    rows = "rows drawn" if shown.rule.by else "rows in sight" if shown.choices.zoom else ""
    if found is None:
        return f"never more than {amount} apart{f' in the {rows}' if rows else ''}"
    thinned = f" of the {rows}" if rows else ""
    what = "batch" if shown.choices.x == BATCHES else "step"
    place = f"{quantity.over} {found.layer}"
    said = f"part by more than {amount} first at {what} {found.step:,}{thinned}, in {place}: "
    if found.there == c.BOTH:
        return f"{said}{found.by:+.3g}{unit}".replace("-", "−")
    who = "A" if found.there == c.ONLY_A else "B"
    at_least = f", at least {abs(found.by):.3g}{unit}" if np.isfinite(found.by) else ""
    return f"{said}only {who} has it{at_least}"


def tinted(shown: Shown) -> str:
    """What the colours of a difference mean that are no number; "" where there are none."""
    if isinstance(shown.pair, str):
        return ""
    there = shown.pair.found.there
    names = {
        c.ONLY_A: "tinted blue: only A has it",
        c.ONLY_B: "tinted orange: only B has it",
        c.NEITHER: "grey: reached by neither",
    }
    return ", ".join(said for kind, said in names.items() if (there == kind).any())


def table(points: Mapping[str, Any], selected: Sequence[int], of: Shown) -> str:
    """Rows and layers of A against B that are selected, those that differ most first."""
    count = len(points["x"])
    some = np.asarray(selected, int)
    quantity = c.QUANTITIES[of.choices.map]
    if not len(some):
        return why("nothing is selected: draw a box in the difference or in A against B")
    size = np.abs(points["difference"][some])
    order = some[np.argsort(-size, kind="stable")][:MOST_LINES]
    unit = " (decades)" if quantity.log else ""
    scale = (lambda v: _number(10.0**v)) if quantity.log else _number
    first = "batch" if of.choices.x == BATCHES else "step"
    last = f"A/B{unit}" if quantity.log else f"A − B{unit}"
    head = (first, quantity.over, "A", "B", last)
    lines = [
        f"<td>{_whole(points['step'][k])}</td><td>{_whole(points['layer'][k])}</td>"
        f"<td>{scale(points['A'][k])}</td><td>{scale(points['B'][k])}</td>"
        f"<td>{points['difference'][k]:+.3f}</td>".replace("-", "−")
        for k in order
    ]
    chosen = "all" if len(some) == count else f"{len(some):,} selected"
    mean, most = float(size.mean()), float(size.max())
    shown = f"{chosen}, of these the first {len(order)}" if len(order) < len(some) else chosen
    said = f"{shown}, mean |A − B| {mean:.3g}, largest {most:.3g}{unit}"
    rows = "".join(f"<tr>{one}</tr>" for one in lines)
    heads = "".join(f"<th>{html.escape(x)}</th>" for x in head)
    more = f"{count:,} rows and layers that both have; {said}"
    return title("A against B, row by row", more) + (
        f'<div class="scroll"><table><tr>{heads}</tr>{rows}</table></div>'
    )


def experiments(shown: Shown) -> str:
    """What differs between the experiments; all of it in a fold."""
    if not shown.lanes:
        return ""
    held = [one.lane.experiment for one in shown.lanes]
    rows = differing(held)
    if all(one is None for one in held):
        body = why("recorded without experiments: nothing is known of how they differ")
    elif not rows and sum(one is not None for one in held) > 1:
        body = why("these experiments do not differ")
    elif not rows:
        body = why("one experiment is known: nothing to compare it with")
    else:
        head = "".join(f"<th>{key(k)}{LETTERS[k]}</th>" for k in range(len(held)))
        lines = (
            f"<tr><td>{html.escape(name)}</td>"
            + "".join(f"<td>{html.escape(one)}</td>" for one in said)
            + "</tr>"
            for name, said in rows
        )
        body = f'<table class="choices"><tr><th></th>{head}</tr>{"".join(lines)}</table>'
    return title("experiments", "only what differs") + body + _changed(shown) + _folded(held)


def _changed(shown: Shown) -> str:
    """Changes of the recipe while a lane went on."""
    lines = [
        f"<li>{LETTERS[k]}, step {step:,}: {html.escape(said)}</li>"
        for k, one in enumerate(shown.lanes)
        for step, said in live_changes(one.trace)
    ]
    return f"<ul>{''.join(lines)}</ul>" if lines else ""


def _folded(held: Sequence[Mapping[str, Any] | None]) -> str:
    parts = [
        f"<p><b>{LETTERS[k]}</b></p><pre>{html.escape(json.dumps(one, indent=1))}</pre>"
        for k, one in enumerate(held)
        if one is not None
    ]
    fold = "<details><summary>all choices</summary>"
    return f"{fold}{''.join(parts)}</details>" if parts else ""
