"""How is set what belongs to no entry? The dials of the recipe's terms and those of the run."""

import html
from typing import Any

import panel as pn

from core.catalogue import BadInput, Dial
from core.experiment import SCALARS, TERMS, Experiment, devices
from core.pretraining import Course
from workbench.dials import Send, text_of, value_of

LABELS = {
    "output_precision": "output precision",
    "activity_decay": "activity decay",
    "stop": "the tolerance is for each",
    "pretraining": "first weights",
    "batch_size": "batch size",
}
"""What is not called as its field is."""

TERMS_OF_F = tuple(name for name in TERMS if name != "steps")
"""Terms of the recipe beside T, which stands in the bar."""

OF_THE_RUN = ("pretraining", "batch_size", "seed", "dtype", "device", "engine")


def heading(title: str, sheet: str) -> Any:
    """The title of a group of dials."""
    shown = f"<h4>{html.escape(title)}</h4>"
    return pn.pane.HTML(shown, sizing_mode="stretch_width", stylesheets=[sheet])


class Scalars:
    """A group of dials that belong to no entry."""

    def __init__(self, names: tuple[str, ...], send: Send, sheet: str, title: str = "") -> None:
        """Build them.

        Args:
            names: of scalars of an experiment.
            send: takes changes.
            sheet: CSS of the dials.
            title: of the group.
        """
        self._send = send
        self._quiet = False
        self._inputs: dict[str, Any] = {}
        self._error = pn.pane.HTML(visible=False, sizing_mode="stretch_width")
        rows: list[Any] = [heading(title, sheet)] if title else []
        for name in names:
            dial = SCALARS[name]
            self._inputs[name] = self._input(name, dial, sheet)
            bounded = not (dial.type is bool or dial.choices or name in ("device", "pretraining"))
            legal = f" · {html.escape(dial.legal)}" if bounded else ""
            words = pn.pane.HTML(
                f"<small>{html.escape(dial.help)}{legal}</small>",
                sizing_mode="stretch_width",
                stylesheets=[sheet],
                margin=(0, 10, 4, 10),
            )
            rows.append(pn.Column(self._inputs[name], words, sizing_mode="stretch_width", margin=0))
        self.view = pn.Column(*rows, self._error, sizing_mode="stretch_width")

    def show(self, experiment: Experiment, course: Course | None = None) -> None:
        """Set every dial to an experiment; the epochs of a training stand with their scores."""
        self._quiet = True
        try:
            if "pretraining" in self._inputs:
                self._inputs["pretraining"].options = _weights(experiment, course)
            for name, widget in self._inputs.items():
                value = getattr(experiment, name)
                widget.value = text_of(value) if isinstance(widget, pn.widgets.TextInput) else value
        finally:
            self._quiet = False
        self._complain("")

    def complain(self, line: str) -> None:
        """Show a refusal that came later than the change, beside the dials that can mend it."""
        if line.partition(":")[0] in self._inputs:
            self._complain(line)

    def _input(self, name: str, dial: Dial, sheet: str) -> Any:
        size: dict[str, Any] = {"sizing_mode": "stretch_width", "stylesheets": [sheet]}
        label = f"{LABELS.get(name, name)}  {dial.symbol}".strip()
        options = {"device": devices(), "pretraining": ["random", "trained"]}.get(name)
        if dial.type is bool:
            widget: Any = pn.widgets.Checkbox(label=label, **size)
        elif dial.choices or options:
            widget = pn.widgets.Select(label=label, options=options or list(dial.choices), **size)
        else:
            widget = pn.widgets.TextInput(label=label, **size)
        widget.param.watch(lambda event: self._turned(name, event.new), "value")
        return widget

    def _turned(self, name: str, value: Any) -> None:
        if self._quiet:
            return
        try:
            dial = SCALARS[name]
            typed = isinstance(value, str) and dial.type in (int, float)
            self._send({name: value_of(dial, value, name) if typed else value})
        except BadInput as refused:
            self._complain(str(refused))
        else:
            self._complain("")

    def _complain(self, line: str) -> None:
        self._error.object = f'<p class="refused">{html.escape(line)}</p>'
        self._error.visible = bool(line)


def _weights(experiment: Experiment, course: Course | None) -> dict[str, str]:
    """What the first weights may be, by how it is shown."""
    choices = {"random": "random", "trained": "trained"}
    if course is not None:
        scores = [_score(course, k) for k in range(course.epochs)]
        epochs = {f"epoch {k + 1} ({s})": f"epoch {k + 1}" for k, s in enumerate(scores)}
        choices = {"random": "random", **epochs, f"trained ({scores[-1]})": "trained"}
    if experiment.pretraining not in choices.values():
        choices[experiment.pretraining] = experiment.pretraining
    return choices


def _score(course: Course, epoch: int) -> str:
    """The score after an epoch, in the unit that it has."""
    score = course.scores[epoch]
    return f"{100 * score:.1f} %" if course.score == "test accuracy" else f"MSE {score:.4f}"
