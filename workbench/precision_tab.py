"""Which precision has each layer at each step? A tab of the drawer: a table that is made by hand.

What is changed is a draft until it is applied: then it is the session's choice, as any other.
"""

import html
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import panel as pn
from bokeh.models import LinearColorMapper

from core.catalogue import BadInput
from workbench.look import short
from workbench.precision_draft import Block, Draft
from workbench.precision_formula import FormulaControl
from workbench.precision_place import Place, title_of
from workbench.precision_plot import PRECISION, RATIO, PrecisionPlot
from workbench.precision_table import FACTOR, SHIFT, VALUE, Sheet, difference, number_of

ABOUT = (
    "Click a cell or drag over a block. What is set is a draft until it is applied; then the "
    "choice is precision = Table. It acts from the next update on and goes on at the step that is "
    "marked. A formula that is chosen later begins with its step 0."
)

ENTERS = "shifts the table; what enters is each layer's smallest precision in the formula"


class PrecisionTab:
    """A picture of the table, and what can be done with its cells."""

    def __init__(self, page: Any, sheet: str) -> None:
        """Build it for a page whose session is ready."""
        self._page, self._sheet = page, sheet
        self.draft = Draft(page.session)
        self._block: Block = (0, 0, 0, 0)
        self._trouble = ""
        self.plot = PrecisionPlot(page.look, self._picked)
        self.formula = FormulaControl(self._start_from, self._complain, sheet)
        words = {"stylesheets": [sheet], "sizing_mode": "stretch_width", "margin": (1, 6)}
        self.shows = pn.widgets.Select(
            label="colours",
            options={"precision": PRECISION, "ratio to formula": RATIO},
            width=122,
            margin=(2, 4),
            stylesheets=[sheet],
        )
        self._differs, self._chosen, self._state = (pn.pane.HTML("", **words) for _ in range(3))
        self.value = self._field("value", "", self._set)
        self.factor = self._field("factor", "10", self._multiply)
        self.steps = self._field("steps", "1", lambda: self._shift(1), width=52)
        self.undo = self._button("undo", lambda: self._try(self.draft.take_back))
        self.apply = self._button("apply", lambda: self._try(self.draft.apply))
        self.apply.button_type = "primary"
        self.undo.disabled = self.apply.disabled = True
        row = {"sizing_mode": "stretch_width", "margin": 0}
        enters = words | {"margin": (18, 6, 2, 6)}
        self.view = pn.Column(
            pn.Row(*self.formula.parts, self.shows, margin=0),
            pn.pane.Bokeh(self.plot.figure, margin=(0, 2)),
            self._differs,
            pn.Row(
                self._chosen,
                self._button("its layers", lambda: self._widen(steps=True)),
                self._button("its steps", lambda: self._widen(layers=True)),
                self._button("all", lambda: self._widen(steps=True, layers=True)),
                **row,
            ),
            pn.Row(
                self.value,
                self._button("set", self._set, low=True),
                self.factor,
                self._button("multiply", self._multiply, low=True),
                self._button("to formula", self._reset, low=True),
                **row,
            ),
            pn.Row(
                self.steps,
                self._button("earlier", lambda: self._shift(-1), low=True),
                self._button("later", lambda: self._shift(1), low=True),
                pn.pane.HTML(f"<small>{ENTERS}</small>", **enters),
                **row,
            ),
            pn.Row(self.undo, self.apply, self._state, **row),
            pn.pane.HTML(f"<small>{ABOUT}</small>", **words),
            sizing_mode="stretch_width",
        )

    def _field(self, label: str, text: str, act: Callable[[], None], width: int = 74) -> Any:
        """A field whose Enter acts; leaving it does nothing."""
        look: dict[str, Any] = {"width": width, "margin": (2, 4), "stylesheets": [self._sheet]}
        field = pn.widgets.TextInput(label=label, value=text, **look)
        field.param.watch(lambda _: act(), "enter_pressed")
        return field

    def _button(self, label: str, act: Callable[[], None], *, low: bool = False) -> Any:
        """A button; a low one stands beside a field, below its label."""
        margin = (20, 3, 2, 3) if low else (2, 3)
        button = pn.widgets.Button(label=label, stylesheets=[self._sheet], margin=margin)
        button.on_click(lambda _: act())
        return button

    def follow(self) -> None:
        """Take over what is in force where that has changed, and draw; called while it is open.

        Nothing is drawn elsewhere: what is pressed comes without Bokeh's lock.
        """
        before = self.draft.place
        try:
            self.draft.follow()
        except BadInput as refused:
            self._trouble = str(refused)
        else:
            if self.draft.place is not before:
                self._trouble = ""
                self._read()
        self._draw()

    # What a person does --------------------------------------------------------------------------

    def _picked(self, block: Block) -> None:
        self._block = block
        self._read()

    def _read(self) -> None:
        """Let the field hold the first of the chosen cells."""
        if self.draft.sheet is not None:
            self.value.value = f"{self.draft.sheet.values[self._cells()].flat[0]:g}"

    def _widen(self, *, steps: bool = False, layers: bool = False) -> None:
        """Choose all steps of the chosen layers, all layers of the chosen steps, or both."""
        place = self.draft.place
        if place is None:
            return
        t0, t1, l0, l1 = self._block
        if steps:
            t0, t1 = 0, place.T - 1
        if layers:
            l0, l1 = 0, len(place.depth) - 1
        self._picked((t0, t1, l0, l1))

    def _set(self) -> None:
        self._try(lambda: self.draft.put(self._clipped(), number_of(VALUE, self.value.value)))

    def _multiply(self) -> None:
        self._try(
            lambda: self.draft.multiply(self._clipped(), number_of(FACTOR, self.factor.value))
        )

    def _reset(self) -> None:
        self._try(lambda: self.draft.reset(self._clipped()))

    def _shift(self, way: int) -> None:
        self._try(lambda: self.draft.shift(way * number_of(SHIFT, self.steps.value)))

    def _start_from(self, base: Any) -> None:
        self._try(lambda: self.draft.start_from(base))

    def _try(self, act: Callable[[], None]) -> None:
        """Do something with the draft, or say why not."""
        try:
            if self.draft.place is None:
                self.draft.follow()  # a person may be quicker than the first look
            act()
        except BadInput as refused:
            self._trouble = str(refused)
        else:
            self._trouble = ""
            self._read()

    def _complain(self, line: str) -> None:
        self._trouble = line

    def _clipped(self) -> Block:
        """The chosen block, within the table."""
        place = self.draft.place
        assert place is not None
        T, layers = place.T - 1, len(place.depth) - 1
        t0, t1, l0, l1 = self._block
        return min(t0, T), min(t1, T), min(l0, layers), min(l1, layers)

    def _cells(self) -> Any:
        return self.draft.cells(self._clipped())

    # What is shown -------------------------------------------------------------------------------

    def _draw(self) -> None:
        """Show the draft; nothing is sent that is shown already."""
        draft = self.draft
        sheet, place, at = draft.sheet, self._named(draft.place), draft.at
        self.undo.disabled = not draft.undoes
        self.apply.disabled = not draft.pending
        if sheet is not None and place is not None:
            self.plot.draw(sheet, place, self.shows.value, self._limits())
            self.plot.frame(self._clipped())
            self.formula.show(sheet)
            _write(self._differs, difference(sheet, place.columns))
            _write(self._chosen, self._of(sheet, place))
        self.plot.stand(None if at is None or sheet is None else at[0])
        lines = self._standing(sheet, place, at)
        said = "".join(f"<div{style}>{html.escape(one)}</div>" for style, one in lines)
        if self._state.object != said:
            self._state.object = said

    def _named(self, place: Place | None) -> Place | None:
        """A place with layers called as they are here."""
        call = self._page.sight.call
        return None if place is None else replace(place, names=call(place.names))

    def _limits(self) -> tuple[float, float]:
        """Those of the plot of precisions, so that both have the same colours."""
        mapper = self._page.board.precision.select_one(LinearColorMapper)
        return float(mapper.low), float(mapper.high)

    def _standing(
        self, sheet: Sheet | None, place: Place | None, at: tuple[int, int] | None
    ) -> list[tuple[str, str]]:
        """Whether the draft acts, and what is to be known about it: style and words."""
        draft, calm = self.draft, ' style="color:var(--muted)"'
        trouble = self._trouble or draft.refused
        found = [(' class="refused"', trouble)] if trouble else []
        found += [("", draft.note)] if draft.note else []
        if place is None:
            return found
        if sheet is None:
            return found if trouble else [*found, ("", "nothing was applied yet")]
        if draft.pending:
            found.append((' style="font-weight:600"', "a draft, not applied yet"))
        else:
            found.append(("", f"this acts: {title_of(place)}"))
        if place.adapts:
            found.append((calm, "it follows the errors: shown is what was applied last"))
        if at is not None and at[1]:
            found.append((calm, f"step 0 was step {at[1]} of this batch"))
        return [*found, *((calm, one) for one in place.remarks)]

    def _of(self, sheet: Sheet, place: Place) -> str:
        """Which cells are chosen, and what they hold."""
        t0, t1, l0, l1 = self._clipped()
        names = place.names
        layers = f"layer {names[l0]}" if l0 == l1 else f"layers {names[l0]}–{names[l1]}"
        steps = f"step {t0}" if t0 == t1 else f"steps {t0}–{t1}"
        cells = sheet.values[self._cells()]
        low, high = short(float(cells.min())), short(float(cells.max()))
        return f"{layers}, {steps}: {low if low == high else f'{low} to {high}'}"


class NoPrecision:
    """In the place of the table, where nothing can be changed."""

    def __init__(self, page: Any, sheet: str) -> None:
        """Say why."""
        self.view = pn.pane.HTML(
            "<p>Precisions are set by hand in a session; a recorded run cannot be changed.</p>"
            f'<p class="refused">{html.escape(page.session.why)}</p>',
            sizing_mode="stretch_width",
        )

    def follow(self) -> None:
        """There is never anything new."""


def _write(pane: Any, text: str) -> None:
    """Show a line, if it is another."""
    shown = f"<div>{html.escape(text)}</div>"
    if pane.object != shown:
        pane.object = shown
