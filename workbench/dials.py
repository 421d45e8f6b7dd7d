"""How is an entry chosen and set? One menu per kind, with the dials that its card describes."""

import html
from collections.abc import Callable
from typing import Any

import panel as pn

from core.catalogue import BadInput, Card, Dial, card_of, cards, make
from core.companions import companions, refused_choices
from core.experiment import Experiment
from workbench.formula import svg
from workbench.look import Palette

KINDS = {
    "init": "Init",
    "precision": "Precision",
    "dynamics": "State dynamics",
    "learning": "Weight learning",
    "energy": "Output energy",
    "task": "Task",
    "network": "Network",
    "dataset": "Data",
    "weights": "Weight optimiser",
}
"""Kinds in the order of the menus."""

Send = Callable[[dict[str, Any]], None]
"""Takes the changed choices; raises BadInput when they are refused."""


def text_of(value: Any) -> str:
    """A dial's value as it is typed: 64 x 9 for nine times 64, rows of a table by semicolons."""
    if isinstance(value, tuple) and value and isinstance(value[0], tuple):
        return "; ".join(" ".join(_exact(cell) for cell in row) for row in value)
    if isinstance(value, tuple):
        if len(value) > 1 and len(set(value)) == 1:
            return f"{value[0]} x {len(value)}"
        return ", ".join(str(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _exact(cell: float) -> str:
    """A number from which the same one is read, so that the other cells stay what they are."""
    text = f"{cell:g}"
    return text if float(text) == cell else repr(cell)


def value_of(dial: Dial, text: str, field: str) -> Any:
    """What was typed, as the dial's type; `Dial.check` judges it afterwards.

    Raises:
        BadInput: when it cannot be read at all.
    """
    text = text.strip()
    refused = BadInput(f"{field}: {text or 'nothing'}; {dial.legal}")
    try:
        if dial.table:
            rows = [row for row in text.split(";") if row.strip()]
            return tuple(tuple(float(c) for c in row.replace(",", " ").split()) for row in rows)
        if dial.type is tuple:
            if "x" in text:
                width, times = text.split("x")
                if not 0 < int(times) <= 1000:
                    raise refused
                return (int(width),) * int(times)
            return tuple(int(part) for part in text.replace(",", " ").split())
        if dial.type is int:
            return int(text)
        if dial.type is float:
            return float(text)
    except ValueError:
        raise refused from None
    return text


class Kind:
    """The menu of one kind and the dials of the entry that is chosen."""

    def __init__(self, kind: str, send: Send, look: Palette, sheet: str) -> None:
        """Build it for no experiment yet.

        Args:
            kind: of the catalogue.
            send: takes changes.
            look: colours of the formulas.
            sheet: CSS of the dials.
        """
        self.kind, self._send, self._look, self._sheet = kind, send, look, sheet
        self._shown: Any = None
        self._experiment: Any = None
        self._asked: Any = None
        self._quiet = False
        # By title, not by name: greyed options are found in the page by what they show.
        self._names = {card.title: name for name, card in cards(kind).items()}
        self.menu = pn.widgets.Select(
            label=KINDS[kind], options=list(self._names), sizing_mode="stretch_width"
        )
        self.menu.param.watch(self._picked, "value")
        self._about = pn.pane.HTML(sizing_mode="stretch_width")
        self._fields = pn.Column(sizing_mode="stretch_width", margin=0)
        self._error = pn.pane.HTML(visible=False, sizing_mode="stretch_width")
        self._inputs: dict[str, Any] = {}
        self.view = pn.Column(
            self.menu,
            self._about,
            self._fields,
            self._error,
            sizing_mode="stretch_width",
        )

    def show(self, experiment: Experiment) -> None:
        """Set the menu and the dials to an experiment; grey what does not go with it."""
        choice = getattr(experiment, self.kind)
        card = card_of(choice)
        refused = refused_choices(experiment, self.kind)
        self._experiment = experiment
        self._offer(card)
        greyed = [title for title, name in self._names.items() if name in refused]
        if card.title in self.menu.disabled_options:
            self.menu.disabled_options = []  # the chosen option must never be a greyed one
        self._put(card, choice)
        self.menu.disabled_options = [title for title in greyed if title != card.title]
        self._about.object = self._words(card, refused)
        self._complain("")

    def _offer(self, chosen: Card) -> None:
        """Offer what the catalogue has now, and what is chosen although it has it no longer."""
        names = {card.title: name for name, card in cards(self.kind).items()}
        names.setdefault(chosen.title, chosen.name)
        if names == self._names:
            return
        self._names = names
        self._quiet = True
        try:
            self.menu.disabled_options = []
            self.menu.param.update(options=list(names), value=chosen.title)
        finally:
            self._quiet = False

    def _fill(self, card: Card, choice: Any) -> None:
        same = self._shown is not None and type(self._shown) is card.entry
        if same:
            for dial in card.dials:
                widget = self._inputs[dial.name]
                value = getattr(choice, dial.name)
                plain = isinstance(widget, pn.widgets.TextInput)
                widget.value = text_of(value) if plain else value
            return
        self._inputs = {d.name: self._input(d, getattr(choice, d.name)) for d in card.dials}
        self._fields[:] = [self._with_help(d) for d in card.dials]

    def _input(self, dial: Dial, value: Any) -> Any:
        label = f"{dial.name}  {dial.symbol}".strip()
        size: dict[str, Any] = {"sizing_mode": "stretch_width", "stylesheets": [self._sheet]}
        if dial.type is bool:
            widget: Any = pn.widgets.Checkbox(label=label, value=value, **size)
        elif dial.choices:
            widget = pn.widgets.Select(label=label, options=list(dial.choices), value=value, **size)
        else:
            widget = pn.widgets.TextInput(label=label, value=text_of(value), **size)
        widget.param.watch(lambda event, dial=dial: self._turned(dial, event.new), "value")
        return widget

    def _with_help(self, dial: Dial) -> Any:
        legal = "" if dial.type is bool or dial.choices else f" · {html.escape(dial.legal)}"
        words = f"<small>{html.escape(dial.help)}{legal}</small>"
        about = pn.pane.HTML(
            words, sizing_mode="stretch_width", stylesheets=[self._sheet], margin=(0, 10, 4, 10)
        )
        return pn.Column(self._inputs[dial.name], about, sizing_mode="stretch_width", margin=0)

    def _words(self, card: Card, refused: dict[str, str]) -> str:
        source = f"<div><small>source: {html.escape(card.source)}</small></div>"
        shown = svg(card.formula, self._look.ink)
        lines = "".join(
            f"<li>{html.escape(cards(self.kind)[name].title)}: {html.escape(why)}</li>"
            for name, why in refused.items()
        )
        greyed = f"<div><small>greyed:<ul>{lines}</ul></small></div>" if lines else ""
        return f'<p>{html.escape(card.line)}</p><div class="formula">{shown}</div>{source}{greyed}'

    def _picked(self, event: Any) -> None:
        if self._quiet:
            return
        chosen = make(self.kind, self._names[event.new])
        self._try(lambda: companions(self._experiment, chosen))

    def _turned(self, dial: Dial, value: Any) -> None:
        if self._quiet:
            return
        field = f"{self.kind}.{dial.name}"

        def change() -> dict[str, Any]:
            new = value_of(dial, value, field) if isinstance(value, str) else value
            held = {d.name: getattr(self._shown, d.name) for d in card_of(self._shown).dials}
            made = make(self.kind, type(self._shown).__name__, held | {dial.name: new})
            return (
                companions(self._experiment, made) if self.kind == "network" else {self.kind: made}
            )

        self._try(change)

    def _try(self, change: Callable[[], dict[str, Any]]) -> None:
        try:
            choices = change()
            self._asked = choices[self.kind]
            self._send(choices)
        except BadInput as refused:
            self._complain(str(refused))
        else:
            self._complain("")

    def complain(self, line: str) -> None:
        """Show a refusal that came later than the change, beside the dials that can mend it."""
        if line.partition(":")[0].partition(".")[0] != self.kind:
            return
        if self._asked is not None:
            self._put(card_of(self._asked), self._asked)
        self._complain(line)

    def warn(self, line: str) -> None:
        """Show what is wrong with the file of one of the entries, unless there is a refusal."""
        if line and not self._error.visible:
            self._complain(line)

    def _put(self, card: Card, choice: Any) -> None:
        """Set the menu and the dials to a choice."""
        self._quiet = True
        try:
            self.menu.value = card.title
            if choice != self._shown:
                self._fill(card, choice)
        finally:
            self._quiet = False
        self._shown = choice

    def _complain(self, line: str) -> None:
        self._error.object = f'<p class="refused">{html.escape(line)}</p>'
        self._error.visible = bool(line)
