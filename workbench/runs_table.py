"""How are runs listed? A table that can be sorted and searched; a click opens a run.

Whatever a run's text holds is shown as text: only the small curves, made of numbers, are markup.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import panel as pn
from bokeh.models.widgets.tables import NumberFormatter, StringFormatter

from workbench.look import Palette
from workbench.places import assets
from workbench.runs_shelf import DAMAGED, Entry, spark

TITLES = {
    "run": "run",
    "title": "title",
    "state": "state",
    "experiment": "differs from the default experiment in",
    "data": "data",
    "batches": "batches",
    "rows": "rows",
    "accuracy": "best acc.",
    "top5": "top-5",
    "imbalance": "imbalance",
    "course": "course",
    "started": "started (UTC)",
    "tags": "tags",
}

WIDTHS = {
    "run": 150,
    "title": 104,
    "state": 88,
    "data": 76,
    "batches": 62,
    "rows": 70,
    "accuracy": 74,
    "top5": 62,
    "imbalance": 78,
    "course": 112,
    "started": 126,
    "tags": 76,
}

NUMBERS = {
    "batches": "0,0",
    "rows": "0,0",
    "accuracy": "0.0 %",
    "top5": "0.0 %",
    "imbalance": "0.00",
}


class Table:
    """The entries that hold the words that are searched for."""

    def __init__(self, look: Palette, sheet: str, open_run: Callable[[str], None]) -> None:
        """Build it, empty.

        Args:
            look: colours.
            sheet: style sheet of widgets.
            open_run: called with the name of a run that was clicked.
        """
        self._look, self._open = look, open_run
        self._entries: Sequence[Entry] = ()
        self._words = ""
        self.opened = ""
        formatters: dict[str, Any] = {
            name: NumberFormatter(format=format, nan_format="–") for name, format in NUMBERS.items()
        }
        formatters["course"] = {"type": "html"}
        texts = ("run", "title", "state", "experiment", "data", "started", "tags")
        formatters |= {name: StringFormatter() for name in texts}
        own = (assets() / "look" / "table.css").read_text("utf-8")
        self.view: Any = pn.widgets.Tabulator(
            self._frame([]),
            show_index=False,
            hidden_columns=["top5"],
            disabled=True,
            selectable="checkbox",
            titles=TITLES,
            widths=WIDTHS,
            formatters=formatters,
            header_align=dict.fromkeys(NUMBERS, "right"),
            text_align=dict.fromkeys(NUMBERS, "right"),
            layout="fit_columns",
            theme="simple",
            stylesheets=[sheet, own],
            sizing_mode="stretch_both",
            margin=0,
            configuration={"placeholder": ""},
        )
        self.view.on_click(self._clicked)

    @property
    def names(self) -> list[str]:
        """The runs that are shown, newest first."""
        return list(self.view.value["run"])

    @property
    def chosen(self) -> list[str]:
        """The runs that are ticked."""
        names = self.names
        return [names[k] for k in self.view.selection if k < len(names)]

    def show(self, entries: Sequence[Entry]) -> None:
        """Show other entries; ticks, sorting and place are kept as far as the runs are the same."""
        self._entries = entries
        hidden = [] if any(one.top5 == one.top5 for one in entries) else ["top5"]
        if self.view.hidden_columns != hidden:
            self.view.hidden_columns = hidden
        self._fill()

    def search(self, words: str) -> None:
        """Show the entries that hold some words."""
        self._words = words
        self._fill()

    def mark(self, name: str) -> None:
        """Set a run apart: it is open."""
        if name != self.opened:
            self.opened = name
            self._style()

    def _fill(self) -> None:
        frame = self._frame([one for one in self._entries if one.holds(self._words)])
        old = self.view.value
        if list(old["run"]) == list(frame["run"]):
            changed = {}
            for name in frame.columns:
                a, b = old[name], frame[name]
                differs = ~((a == b) | (a.isna() & b.isna()))
                if differs.any():
                    rows = differs.to_numpy().nonzero()[0]
                    changed[name] = [(int(k), b.iloc[k]) for k in rows]
            if changed:
                self.view.patch(changed)
            return
        ticked = self.chosen
        self.view.value = frame
        names = list(frame["run"])
        self.view.selection = [names.index(name) for name in ticked if name in names]
        self._style()

    def _style(self) -> None:
        names = self.names

        def row(held: Any) -> list[str]:
            open_ = held.name < len(names) and names[held.name] == self.opened
            style = "background-color: var(--grid)" if open_ else ""
            return [style] * len(held)

        self.view.style.clear()
        self.view.style.apply(row, axis=1)
        self.view.param.trigger("value")

    def _clicked(self, event: Any) -> None:
        if event.column in TITLES:
            self._open(self.names[event.row])

    def _frame(self, entries: Sequence[Entry]) -> pd.DataFrame:
        rows = [
            {
                "run": one.name,
                "title": one.title,
                "state": one.standing,
                "experiment": one.trouble if one.state == DAMAGED else one.experiment,
                "data": one.data,
                "batches": one.batches,
                "rows": one.rows,
                "accuracy": one.accuracy,
                "top5": one.top5,
                "imbalance": one.imbalance,
                "course": spark(one, self._look.accent),
                "started": one.started,
                "tags": ", ".join(one.tags),
            }
            for one in entries
        ]
        frame = pd.DataFrame(rows, columns=list(TITLES))
        for name in NUMBERS:
            frame[name] = frame[name].astype(float)
        return frame
