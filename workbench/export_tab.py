"""How does a relaxation leave the page? As a figure with its data, as a command, or as a run."""

import html
import io
from typing import Any

import panel as pn

from workbench.address import link
from workbench.command import command, script
from workbench.plate_dials import PlateDials
from workbench.record_control import RecordControl

LINKED = (
    "<small>Link and Python repeat this session from its first row: every choice, every command, "
    "the cursor. The command relaxes this batch under the newest choices.</small>"
)

COPY = """
const parsed = text => new DOMParser().parseFromString(text, 'text/html');
const found = parsed(pane.text), what = 'pre, code';
const inner = found.querySelector(what) || parsed(found.body.textContent).querySelector(what);
const said = inner.textContent;
navigator.clipboard.writeText(said.startsWith('?') ? new URL(said, location.href).href : said);"""


class ExportTab:
    """A view with its bundle, the command that does the same, and the recording of a session."""

    def __init__(self, page: Any, sheet: str) -> None:
        """Build it for a page whose session is ready."""
        from workbench.views import views

        self._page = page
        self._greyed: list[str] | None = None
        self._watches = page.address.watches
        self._needs = {name: module.NEEDS for name, module in views().items()}
        names = {module.TITLE: name for name, module in views().items()}
        self._view = pn.widgets.Select(label="view", options=names, sizing_mode="stretch_width")
        self._dials = PlateDials(names, page.look, lanes=not self._watches)
        self._bundle = pn.widgets.FileDownload(
            callback=self._zip,
            filename=self._filename("energy_time"),
            label="figure, data and recipe (zip)",
            button_type="primary",
            embed=False,
            auto=True,
            sizing_mode="stretch_width",
        )
        self._view.param.watch(self._named, "value")
        self._refused = pn.pane.HTML(sizing_mode="stretch_width")
        about = pn.pane.HTML(
            "<small>PDF, SVG and PNG at the cursor, the data as NetCDF and CSV, the complete "
            "recipe, the event log, a script that draws it again, BibTeX of the methods, a caption."
            "</small>",
            sizing_mode="stretch_width",
        )
        self._command = pn.pane.HTML(sizing_mode="stretch_width")
        self._python, self._link = pn.pane.HTML(visible=False), pn.pane.HTML(visible=False)
        self._linked = pn.pane.HTML(LINKED, sizing_mode="stretch_width")
        self._repeated: Any = None
        self._copying = _button("copy link", self._link)
        copied = [
            pn.Row(self._copying, _button("copy as Python", self._python), margin=0),
            self._linked,
            _button("copy as command", self._command),
            self._command,
            self._python,
            self._link,
        ]
        self._record = None if self._watches else RecordControl(page, sheet)
        self.view = pn.Column(
            self._view,
            self._dials.view,
            self._bundle,
            about,
            self._refused,
            *([] if self._record is None else [self._record.view]),
            *([] if self._watches else copied),
            sizing_mode="stretch_width",
        )

    def show(self, session: Any) -> None:
        """What can be exported now."""
        if self._watches:
            self._grey(session)
            return
        if self._record is not None:
            self._record.show(session)
        experiment = session.lane.experiment if session.lane else session.wanted
        row = session.lane.trace.row(session.cursor) if session.lane else None
        batch = 0 if row is None else int(row["batch"])  # a new lane has none yet
        shown = f"<pre>{html.escape(command(experiment, batch))}</pre>"
        if shown != self._command.object:
            self._command.object = shown
        self._repeat(session)

    def _repeat(self, session: Any) -> None:
        """The link and the Python that repeat the session."""
        from workbench.links import packed

        now = session.taken, len(session.events), self._page.layout
        if now == self._repeated:
            return
        self._repeated, log, refused = now, session.log(), ""
        self._python.object = f"<code>{html.escape(script(log))}</code>"
        try:
            to = link("relax", state=packed(log, self._page.layout))
            self._link.object = f"<code>{html.escape(to)}</code>"
        except ValueError as long:
            refused = str(long)
        self._copying.disabled = bool(refused)
        said = f'<p class="refused">{html.escape(refused)}</p>' if refused else LINKED
        if said != self._linked.object:
            self._linked.object = said

    def _grey(self, session: Any) -> None:
        """Grey the views of what was not logged."""
        logged = session.lane.known
        greyed = [name for name, needs in self._needs.items() if not logged.issuperset(needs)]
        if greyed == self._greyed:
            return
        self._greyed = greyed
        free = [name for name in self._needs if name not in greyed]
        self._bundle.disabled = self._view.disabled = not free
        self._view.disabled_options = []  # the chosen option must never be a greyed one
        if free:
            self._view.value = self._view.value if self._view.value in free else free[0]
            self._view.disabled_options = greyed
            self._dials.free(greyed)
        missing = sorted({n for name in greyed for n in self._needs[name] if n not in logged})
        missing = ["images" if name == "frame" else name for name in missing]
        said = f"greyed, because not logged: {', '.join(missing)}" if missing else ""
        self._refused.object = f"<p><small>{html.escape(said)}</small></p>"

    def _named(self, event: Any) -> None:
        self._bundle.filename = self._filename(event.new)

    def _filename(self, view: str) -> str:
        run = f"{self._page.address.run}-" if self._watches else ""
        return f"relaxoscope-{run}{view}.zip"

    def _zip(self) -> io.BytesIO:
        """The bundle of the chosen view at the cursor."""
        from workbench import figures

        session = self._page.session
        try:
            trace = self._page.sight.named(self._trace(session))
            newest = int(trace["step"].values[-1])  # the cursor may run ahead of the trace
            plate = self._dials.plate(self._view.value, min(session.cursor, newest))
            made = figures.bytes_of(plate, trace)
        except ValueError as refused:
            self._refused.object = f'<p class="refused">{html.escape(str(refused))}</p>'
            raise
        self._refused.object = ""
        return io.BytesIO(made)

    def _trace(self, session: Any) -> Any:
        """What is drawn: the lane that is shown, or all of them."""
        from workbench import many
        from workbench.measures import with_samples

        if self._watches:
            return session.dataset()
        if "lane" in self._dials.over:
            lanes = [lane for lane in session.lanes if len(lane.trace)]
            traces = [lane.trace.dataset() for lane in lanes]
            return many.combine({"lane": [lane.id for lane in lanes]}, traces)
        held = session.lane.trace
        return with_samples(held.dataset(), held.batches)


def _button(label: str, pane: Any) -> Any:
    """A button that copies what a pane holds; an address becomes a whole one."""
    button = pn.widgets.Button(label=label, sizing_mode="stretch_width")
    button.js_on_click(args={"pane": pane}, code=COPY)
    return button
