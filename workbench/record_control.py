"""Is this session being recorded? A name, a button, and how far the run has come."""

import html
from typing import Any

import panel as pn

from core.catalogue import BadInput
from workbench.address import link
from workbench.scalars import heading


class RecordControl:
    """Starts and stops the recording of a session as a run."""

    def __init__(self, page: Any, sheet: str) -> None:
        """Build it for a page."""
        self._page = page
        self._name = pn.widgets.TextInput(
            label="name of the run",
            placeholder="by the time of day",
            sizing_mode="stretch_width",
            tags=["record name"],
        )
        self._button = pn.widgets.Button(
            label="record this session", sizing_mode="stretch_width", tags=["record"]
        )
        self._button.on_click(lambda _: self._pressed())
        self._said = pn.pane.HTML("", sizing_mode="stretch_width")
        self._last = ("", 0)
        self.view = pn.Column(
            heading("Record", sheet),
            self._name,
            self._button,
            self._said,
            sizing_mode="stretch_width",
        )

    def show(self, session: Any) -> None:
        """Whether the session is being recorded, and into which run."""
        name, rows = session.recording, session.recorded_rows
        if name:
            self._last = (name, rows)
        label = "stop recording" if name else "record this session"
        if self._button.label != label:
            self._button.label = label
            self._button.button_type = "primary" if name else "default"
            self._name.disabled = bool(name)
        self._tell(self._words(name), session.message if not name else "")

    def _words(self, recording: str) -> str:
        """What is being recorded, or was, as HTML."""
        name, rows = self._last
        if not name:
            return (
                "<small>All lanes from their beginning, and every row that comes, as a run in "
                f"{self._runs()}: kept, compared and reopened there.</small>"
            )
        count = f"{rows} row{'' if rows == 1 else 's'}"
        how = f"{count} so far" if recording else f"{count}, closed"
        return f"<p><b>{html.escape(name)}</b>: {how}, in {self._runs()}</p>"

    def _runs(self) -> str:
        return f'<a href="{html.escape(link("runs", self._page.look.name))}">Runs</a>'

    def _tell(self, words: str, refused: str = "") -> None:
        about_it = refused.startswith("record:") or "no longer recorded" in refused
        trouble = f'<p class="refused">{html.escape(refused)}</p>' if about_it else ""
        if self._said.object != words + trouble:
            self._said.object = words + trouble

    def _pressed(self) -> None:
        session = self._page.session
        try:
            if session.recording:
                session.stop_recording()
            else:
                session.record(self._name.value.strip() or None)
        except (BadInput, OSError) as refused:
            self._said.object = f'<p class="refused">{html.escape(str(refused))}</p>'
