"""How is a training steered from the page? Buttons and a value, asked of the process that trains.

What was asked for is shown until the training has answered; the answer is one of its events.
"""

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import panel as pn

BY = "page"
"""Who asks, as the events of the run tell."""


@dataclass(frozen=True)
class Helm:
    """What can be asked of the training that writes a run.

    Args:
        paused: whether it waits, or will soon.
        offered: name and value of what may change.
        waiting: what was asked for and has no answer yet, each in one line.
        answer: the newest answer, in one line.
    """

    paused: bool
    offered: tuple[tuple[str, str], ...]
    waiting: tuple[str, ...] = ()
    answer: str = ""


class Wheel:
    """The controls of the open run; not shown where nobody trains it."""

    def __init__(self, sheet: str, act: Callable[[Callable[[Path], Any]], bool]) -> None:
        """Build it.

        Args:
            sheet: style sheet of widgets.
            act: does something with the run that is open; whether it was not refused.
        """
        self._act = act
        self._helm: Helm | None = None
        stretch: dict[str, Any] = {"sizing_mode": "stretch_width", "stylesheets": [sheet]}
        self._pause = pn.widgets.Button(label="pause", **stretch)
        self._stop = pn.widgets.Button(label="stop", **stretch)
        self._name = pn.widgets.Select(label="change from the next batch on", options={}, **stretch)
        self._value = pn.widgets.TextInput(label="to", **stretch)
        self._send = pn.widgets.Button(label="change", width=70, align="end", stylesheets=[sheet])
        self._said = pn.pane.HTML("", margin=(2, 4), **stretch)
        self._pause.on_click(lambda _: self._ask("go" if self._paused else "pause"))
        self._stop.on_click(lambda _: self._ask("stop"))
        self._send.on_click(lambda _: self._change())
        self._value.param.watch(lambda _: self._change(), "enter_pressed")
        self._name.param.watch(lambda _: self._offer(), "value")
        row: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": 0}
        self.view = pn.Column(
            pn.Row(self._pause, self._stop, **row),
            self._name,
            pn.Row(self._value, self._send, **row),
            self._said,
            visible=False,
            **row,
        )

    @property
    def _paused(self) -> bool:
        return self._helm is not None and self._helm.paused

    def show(self, helm: Helm | None) -> None:
        """Show what can be asked; a value that is being typed stays as long as its choice does."""
        if helm == self._helm:
            return
        before, self._helm = self._helm, helm
        self.view.visible = helm is not None
        if helm is None:
            return
        label = "go on" if helm.paused else "pause"
        if self._pause.label != label:
            self._pause.label = label
        names = {f"{name} = {value}": name for name, value in helm.offered}
        if before is None or before.offered != helm.offered:
            chosen = self._name.value if self._name.value in names.values() else START
            chosen = chosen if chosen in names.values() else next(iter(names.values()))
            self._name.param.update(options=names, value=chosen)
            self._offer()
        text = said(helm)
        if self._said.object != text:
            self._said.object = text

    def _offer(self) -> None:
        """Begin with the value that is in force."""
        if self._helm is not None:
            text = dict(self._helm.offered).get(self._name.value, "")
            self._value.param.update(value=text, value_input=text)

    def _change(self) -> None:
        from core.runs.changes import value_of

        text = self._value.value_input or self._value.value
        self._ask("change", {self._name.value: value_of(text)})

    def _ask(self, act: str, choices: Mapping[str, Any] | None = None) -> None:
        from core.runs.asking import ask

        self._act(lambda path: ask(path, act, choices, by=BY))


START = "dynamics.rate"
"""What is offered first, where it is a choice."""


def helm_of(run: Any) -> Helm | None:
    """What can be asked of the training that writes a run; None where none does that listens."""
    from core.catalogue import BadInput
    from core.runs import changes
    from core.runs.asking import standing

    try:
        now = standing(run)
    except BadInput:
        return None
    answers = [event for event in run.events() if "id" in event]
    return Helm(
        paused=now.paused,
        offered=tuple(changes.offered(now.experiment).items()),
        waiting=tuple(_asked(one.act, one.choices) for one in now.waiting),
        answer=_answered(answers[-1]) if answers else "",
    )


def said(helm: Helm) -> str:
    """What was asked for last, as HTML."""
    waits = [
        f"<b>{html.escape(one)}</b>: asked for, acts between two batches" for one in helm.waiting
    ]
    lines = waits or [html.escape(helm.answer.replace(" -> ", " → "))]
    return "".join(f"<p><small>{line}</small></p>" for line in lines if line)


def _asked(act: str, choices: Mapping[str, Any]) -> str:
    return " ".join([act, *(f"{name}={value}" for name, value in choices.items())])[:200]


def _answered(event: Mapping[str, Any]) -> str:
    """An answer in one line."""
    if event["command"] == "refused":
        return f"refused before batch {event['batch']:,}: {event['args'].get('why', '')}"
    told = f" {event['told']}" if "told" in event else ""
    return f"{event['command']}{told}, before batch {event['batch']:,}"
