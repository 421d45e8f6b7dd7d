"""What can be said of a run, and done with it? Facts, notes, experiment, events and ways out."""

import html
import io
import json
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import panel as pn

from workbench.look import Palette
from workbench.runs_reader import Detail
from workbench.runs_shelf import OWN_CODE, WRITTEN, Entry
from workbench.runs_steering import Wheel

LARGEST = 64 * 2**20
"""Bytes of a run that the page exports; the command line has no limit."""

FORMATS = {"NetCDF": ".nc", "Zarr, as .zip": ".zarr", "CSV": ".csv"}

BEGINNING = """\
<h3>No runs in {folder} yet</h3>
<ol><li>From your own loop, three lines:
<pre>log = core.Trace.open("runs/mine", layers=["h1", "h2"])
log.append(energy=[0.5, 0.2], error=[1.0, 0.6])  # in your loop, once a step
log.close()</pre></li>
<li>From a shell: <pre>relaxoscope train --recipe r.toml --batches 500 --out runs/mine</pre></li>
<li>On the <a href="{relax}">Relax page</a>: record what you do there.</li></ol>"""


class Desk:
    """The side of the open run."""

    def __init__(
        self,
        look: Palette,
        sheet: str,
        act: Callable[[Callable[[Path], Any]], bool],
        moved: Callable[[str], None],
    ) -> None:
        """Build it, empty.

        Args:
            look: colours.
            sheet: style sheet of widgets.
            act: does something with the run that is open; whether it was not refused.
            moved: called with the name under which the run lies now, "" where it was put away.
        """
        self._theme, self._act, self._moved = look.name, act, moved
        self._detail: Detail | None = None
        self._entry: Entry | None = None
        self._written: Any = None
        self._head = _text(sheet)
        self._wheel = Wheel(sheet, act)
        self._doors = _text(sheet)
        self._kept = pn.widgets.Select(
            label="relax on, with the weights of batch", options=[], sizing_mode="stretch_width"
        )
        self._kept.param.watch(lambda _: self._link(), "value")
        self._title = pn.widgets.TextInput(label="title", sizing_mode="stretch_width")
        self._tags = pn.widgets.TextInput(
            label="tags, with commas between", sizing_mode="stretch_width"
        )
        self._note = pn.widgets.TextAreaInput(
            label="note", rows=5, max_length=100_000, sizing_mode="stretch_width"
        )
        self._name = pn.widgets.TextInput(label="name", sizing_mode="stretch_width")
        self._trash = pn.widgets.Button(label="move to the trash", sizing_mode="stretch_width")
        self._trash.on_click(lambda _: self._put_away())
        for one in (self._title, self._tags, self._note):
            one.param.watch(self._annotated, "value")
        self._name.param.watch(self._renamed, "value")
        self._experiment, self._events = _text(sheet), _text(sheet)
        self._format = pn.widgets.Select(
            label="format", options=FORMATS, sizing_mode="stretch_width"
        )
        self._out = pn.widgets.FileDownload(
            callback=self._export,
            filename="run.nc",
            label="export",
            sizing_mode="stretch_width",
        )
        self._format.param.watch(lambda _: self._out_of(), "value")
        self._out_said = _text(sheet)
        notes = pn.Column(self._title, self._tags, self._note, self._name, self._trash, margin=0)
        out = pn.Column(self._format, self._out, self._out_said, margin=0)
        self._tabs = pn.Tabs(
            ("notes", notes),
            ("experiment", self._experiment),
            ("events", self._events),
            ("export", out),
            sizing_mode="stretch_width",
        )
        self.view = pn.Column(
            self._head,
            self._wheel.view,
            self._kept,
            self._doors,
            self._tabs,
            sizing_mode="stretch_width",
            margin=0,
        )
        for part in (notes, out):
            part.sizing_mode = "stretch_width"
        for one in self.view.select(lambda part: hasattr(part, "stylesheets")):
            one.stylesheets = [*one.stylesheets, sheet]

    def show(self, detail: Detail, entry: Entry | None) -> None:
        """Show a run; what a person is typing stays as it is until it is sent."""
        new = self._detail is None or self._detail.path != detail.path
        self._detail, self._entry = detail, entry
        _put(self._head, head(detail, entry))
        self._wheel.show(detail.helm)
        kept = list(detail.kept)
        if self._kept.options != kept:
            self._kept.param.update(options=kept, value=kept[-1] if kept else None)
        self._kept.visible = bool(kept)
        self._link()
        self._show_notes(detail, entry, new)
        _put(self._experiment, experiment(detail.manifest))
        _put(self._events, events(detail))
        self._out_of()

    # Notes ---------------------------------------------------------------------------------------

    def _show_notes(self, detail: Detail, entry: Entry | None, new: bool) -> None:
        held = (entry.title, ", ".join(entry.tags), entry.note) if entry else ("", "", "")
        if new or held != self._written:
            self._written = held
            widgets = (self._title, self._tags, self._note)
            for widget, text in zip(widgets, held, strict=True):
                widget.value = text
            self._name.value = detail.name
        live = detail.state in WRITTEN
        self._name.disabled = self._trash.disabled = live
        self._name.label = "name (while it is written, it stays)" if live else "name"

    def _annotated(self, event: Any) -> None:
        said = (self._title.value, self._tags.value, self._note.value)
        if self._detail is None or said == self._written:
            return
        from core.runs import annotate

        tags = [tag.strip() for tag in said[1].split(",") if tag.strip()]
        before, self._written = self._written, said
        if not self._act(lambda path: annotate(path, said[0], said[2], tags)):
            self._written = before

    def _renamed(self, event: Any) -> None:
        detail = self._detail
        if detail is None or event.new == detail.name:
            return
        from core.runs import rename

        if self._act(lambda path: rename(path, event.new)):
            self._moved(event.new)
        else:
            self._name.value = detail.name

    def _put_away(self) -> None:
        from core.runs import trash

        if self._act(trash):
            self._moved("")

    # Ways out ------------------------------------------------------------------------------------

    def _link(self) -> None:
        detail = self._detail
        if detail is None:
            return
        _put(self._doors, doors(detail, self._theme, self._kept.value))

    def _out_of(self) -> None:
        """What an export would be called, or why there is none."""
        detail = self._detail
        if detail is None:
            return
        ending = self._format.value
        name = f"{detail.name}{'.zarr.zip' if ending == '.zarr' else ending}"
        large = detail.bytes > LARGEST
        empty = not detail.course.rows
        size = f"{detail.bytes / 2**20:.1f} MB"
        command = f"relaxoscope export {detail.name} --out {detail.name}{ending}"
        if large:
            said = f"It has {size}; the page exports up to {LARGEST // 2**20} MB. In a shell:"
        elif empty:
            said = "There is no row yet. Later, also in a shell:"
        else:
            lane = f"Lane {detail.lane} of {size}" if len(detail.lanes) > 1 else size
            said = f"{lane}; the page exports up to {LARGEST // 2**20} MB. Also in a shell:"
        if detail.lane and len(detail.lanes) > 1:
            command += f" --lane {detail.lane}"
        _put(self._out_said, f"<p>{html.escape(said)}</p><pre>{html.escape(command)}</pre>")
        self._out.param.update(filename=name, label=f"export {name}", disabled=large or empty)

    async def _export(self) -> io.BytesIO:
        """The file, written by a thread of its own, so that all pages go on meanwhile."""
        import asyncio

        detail = self._detail
        assert detail is not None
        return io.BytesIO(
            await asyncio.get_running_loop().run_in_executor(
                None, exported, detail.path, detail.lane, self._format.value
            )
        )


def exported(path: Path, lane: int | None, ending: str) -> bytes:
    """A lane of a run as the bytes of one file.

    Args:
        path: of the run.
        lane: its number.
        ending: one of `FORMATS`.
    """
    from core.runs import Run
    from core.runs.exports import export

    run = Run(path)
    try:
        with tempfile.TemporaryDirectory() as folder:
            to = export(run, Path(folder) / f"{path.name}{ending}", lane)
            return _zipped(to) if to.is_dir() else to.read_bytes()
    finally:
        run.close()


def head(detail: Detail, entry: Entry | None) -> str:
    """Name, state and numbers of a run, as HTML."""
    title = entry.title if entry is not None else ""
    parts = [f"<h3>{html.escape(title or detail.name)}</h3>"]
    if title:
        parts.append(f"<p>{html.escape(detail.name)}</p>")
    loud = detail.state not in ("finished", *WRITTEN)
    style = ' class="refused"' if loud else ""
    course = detail.course
    numbers = f"{course.rows:,} rows · {detail.bytes / 2**20:.1f} MB"
    if course.read < 1.0:
        numbers += f" · {100 * course.read:.0f} % read"
    parts.append(f"<p><b{style}>{html.escape(detail.state)}</b> · {numbers}</p>")
    if detail.recovered:
        parts.append(f'<p class="refused">{html.escape(detail.recovered)}</p>')
    if course.stride > 1:
        parts.append(f"<p><small>Of its batches every {course.stride}th is drawn.</small></p>")
    return "".join(parts)


def doors(detail: Detail, theme: str, batch: int | None) -> str:
    """Links to the other pages, as HTML."""
    held: dict[str, Any] = {"page": "relax", "run": detail.name, "theme": theme}
    if detail.lane is not None and len(detail.lanes) > 1:
        held["lane"] = detail.lane
    label = "watch it on the Relax page" if detail.state in WRITTEN else "open on the Relax page"
    links = [(held, label)]
    if batch is not None:
        links.insert(0, ({**held, "batch": batch}, f"relax on from batch {batch}"))
    links.append(({"page": "compare", "run": detail.name, "theme": theme}, "compare"))
    shown = [f'<a href="?{html.escape(urlencode(a))}">{html.escape(b)}</a>' for a, b in links]
    note = ""
    if not detail.kept:
        why = (
            "it comes from a loop of its own"
            if detail.manifest.get("experiment") is None
            else "no weights were kept"
        )
        note = f"<br><small>It can be watched, not relaxed on: {why}.</small>"
    return f"<p>{' · '.join(shown)}{note}</p>"


def experiment(manifest: Mapping[str, Any]) -> str:
    """What was chosen, what differs from the default, and where it ran, as HTML."""
    chosen = manifest.get("experiment")
    parts = []
    if chosen is None:
        parts.append(f"<p>{OWN_CODE}: which experiment it was is not known here.</p>")
    else:
        from core.experiment import Experiment, difference
        from workbench.figures import toml

        differs = difference(Experiment().to_dict(), chosen)
        lines = [f"<li>{html.escape(k)}: {html.escape(b)}</li>" for k, _, b in differs]
        parts.append(f"<ul>{''.join(lines)}</ul>" if lines else "<p>All defaults.</p>")
        parts.append(f"<pre>{html.escape(toml(chosen).decode())}</pre>")
    rest = {
        k: manifest[k] for k in ("created", "about", "versions", "environment") if k in manifest
    }
    parts.append(f"<pre>{html.escape(json.dumps(rest, indent=1))}</pre>")
    return "".join(parts)


def events(detail: Detail) -> str:
    """The log of a session that was recorded, or of a training that was steered, as HTML."""
    if not detail.event_count:
        return "<p>No events: it was not recorded from a session, nor steered.</p>"
    left = detail.event_count - len(detail.events)
    more = f"<p><small>{left} older ones are left out.</small></p>" if left else ""
    return f"{more}<ul>{''.join(f'<li>{one}</li>' for one in detail.events)}</ul>"


def beginning(folder: Path, theme: str) -> str:
    """How one comes by a run, as HTML."""
    relax = html.escape("?" + urlencode({"page": "relax", "theme": theme}))
    return BEGINNING.format(folder=html.escape(str(folder)), relax=relax)


def _zipped(folder: Path) -> bytes:
    """A folder as one archive; its chunks are compressed already."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_STORED) as out:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                out.write(path, path.relative_to(folder.parent))
    return held.getvalue()


def _text(sheet: str) -> Any:
    return pn.pane.HTML("", stylesheets=[sheet], sizing_mode="stretch_width", margin=(2, 4))


def _put(pane: Any, text: str) -> None:
    if pane.object != text:
        pane.object = text
