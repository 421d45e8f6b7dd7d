"""What does a layer look like at the cursor? A tab of the drawer: channels, places, one unit."""

import html
import io
from dataclasses import replace
from typing import Any

import panel as pn

from workbench import maps_figure
from workbench.formula import svg
from workbench.look import short
from workbench.maps import (
    ERROR,
    FORCE,
    PREDICTION,
    SHOWN,
    SPREAD,
    STATE,
    STATE_WORD,
    Maps,
    Wanted,
    surveyor,
)
from workbench.maps_field import BELOW, IMAGE, Unit
from workbench.maps_histogram import Histogram
from workbench.maps_plots import SIDE, MapsPlots

ABOUT = (
    "Tap a unit to see what its prediction reads: colours are the gradient at these states, the "
    "frame is all that the wiring lets through. Maps of a layer are stretched over the image. A "
    "scale keeps the largest value that was looked at."
)

READS = {"image (sweep)": IMAGE, "state below": BELOW}


class MapsTab:
    """Choices of what is looked at, three figures, and the numbers of one unit."""

    def __init__(self, page: Any, sheet: str) -> None:
        """Build it for a page whose session is ready."""
        self._page, self._look = page, page.look
        self._surveyor = surveyor(page.session)
        self._shown: Any = None
        self._unit: Unit | None = None
        self._anew = self._setting = False
        words = {"stylesheets": [sheet], "sizing_mode": "stretch_width"}
        small = {"stylesheets": [sheet], "margin": (4, 4)}
        self._layer = pn.widgets.Select(
            label="layer", options={"1": 1}, value=1, width=128, **small
        )
        self._sample = pn.widgets.IntInput(
            label="sample", value=0, start=0, end=0, width=60, **small
        )
        self._what = pn.widgets.Select(
            label="shows",
            options={name: key for key, (name, _) in SHOWN.items()},
            value=STATE,
            width=112,
            **small,
        )
        self._reads = pn.widgets.Select(
            label="a unit reads", options=READS, value=IMAGE, width=124, **small
        )
        fit = pn.widgets.Button(label="fit scales", width=86, **small)
        self._layer.param.watch(self._other_layer, "value")
        self._sample.param.watch(self._other_sample, "value")
        for one in (self._what, self._reads):
            one.param.watch(self._chosen, "value")
        fit.on_click(self._fit)
        self._plots = plots = MapsPlots(self._look, self._tapped)
        self._histogram = Histogram(self._look)
        self._numbers = pn.pane.HTML("<p>looking</p>", **words, margin=(2, 4))
        self._of = pn.pane.HTML("", **words, margin=(8, 4))
        self._formula = pn.pane.HTML("", stylesheets=[sheet], width=190, margin=(2, 4))
        beneath = {"stylesheets": [sheet], "width": SIDE, "margin": (2, 4)}
        self._figure = pn.widgets.FileDownload(
            callback=self._zip,
            filename="relaxoscope-maps.zip",
            label="figure and numbers (zip)",
            embed=False,
            auto=True,
            sizing_mode="stretch_width",
            disabled=True,
            **small,
        )
        self._spread, self._read = (pn.pane.HTML("", **beneath) for _ in range(2))
        self.view = pn.Column(
            pn.Row(self._layer, self._sample, self._what, self._reads),
            pn.pane.Bokeh(plots.channels),
            self._numbers,
            pn.Row(self._formula, self._of, fit, sizing_mode="stretch_width"),
            pn.Row(pn.pane.Bokeh(plots.spread), pn.pane.Bokeh(plots.field)),
            pn.Row(self._spread, self._read),
            pn.pane.Bokeh(self._histogram.figure, sizing_mode="stretch_width"),
            pn.pane.HTML(f"<small>{ABOUT}</small>", **words, margin=(2, 4)),
            self._figure,
            sizing_mode="stretch_width",
        )

    def follow(self, *, draws: bool = True) -> None:
        """Draw what has arrived, and ask for what is to be seen now; called while it is open.

        Args:
            draws: whether the browser keeps up; else it is only asked for, to be drawn later.
        """
        chosen = self._page.sight.sample
        if chosen is not None and chosen != self._sample.value:
            self._look_at(chosen)
        if draws:
            self._show()
        self._surveyor.follow(
            Wanted(self._layer.value, self._sample.value or 0, self._unit, self._reads.value)
        )

    def _look_at(self, number: int) -> None:
        """Look at a sample, by its number in the batch."""
        self._setting = True
        try:
            self._sample.end = max(self._sample.end or 0, number)
            self._sample.value = number
        finally:
            self._setting = False

    def choose(self, layer: int) -> None:
        """Look into a layer, by its number from 1 on."""
        options = self._layer.options
        if layer not in options.values():  # the menu is filled when the maps are looked at
            options = {**options, str(layer): layer}
        self._unit, self._setting = None, True
        try:
            self._layer.param.update(options=options, value=layer)
        finally:
            self._setting = False

    def _show(self) -> None:
        """Draw the newest, if it is not what is drawn."""
        newest, trouble = self._surveyor.newest, self._surveyor.trouble
        now = newest, trouble, self._what.value, self._page.sight.naming, self._anew
        if now != self._shown:
            self._shown = now
            if trouble:
                self._numbers.object = f'<p class="refused">{html.escape(trouble)}</p>'
            elif newest is not None:
                self._draw(self._named(newest))

    def _named(self, maps: Maps) -> Maps:
        """Maps with layers called as they are here."""
        sight, lane = self._page.sight, self._lane(maps)
        source = maps.source
        if source.startswith(STATE_WORD):
            name = source.removeprefix(STATE_WORD)
            source = STATE_WORD + sight.told(lane.trace.names).get(name, name)
        return replace(maps, names=sight.call(maps.names), source=source)

    def _draw(self, maps: Maps) -> None:
        self._offer(maps)
        self._plots.draw(maps, self._what.value, anew=self._anew)
        held = maps.values.get(self._what.value)
        name = f"{SHOWN[self._what.value][0]}, layer {maps.name}"
        self._histogram.draw([] if held is None else held, name, anew=self._anew)
        self._anew = False
        self._shown = *self._shown[:4], False
        self._figure.disabled = self._what.value not in maps.values
        ink, read = self._look.ink, maps.read
        for pane, text in (
            (self._numbers, numbers(maps)),
            (self._formula, formula(maps.formula[self._what.value], ink)),
            (self._of, of(maps)),
            (self._spread, formula(SPREAD, ink) if maps.has_places else ""),
            (self._read, html.escape(read.why) or formula(maps_figure.GRADIENT[read.reads], ink)),
        ):
            if text != pane.object:
                pane.object = text

    def _lane(self, maps: Maps) -> Any:
        return next(one for one in self._page.session.lanes if one.id == maps.lane)

    def _offer(self, maps: Maps) -> None:
        """Offer the layers and samples that there are."""
        named = enumerate(zip(maps.names, maps.shapes, strict=True), start=1)
        options = {_named(name, shape): k for k, (name, shape) in named}
        self._setting = True
        try:
            if options != self._layer.options:
                self._layer.param.update(options=options, value=maps.wanted.layer)
            if self._sample.end != maps.samples - 1:
                self._sample.end = maps.samples - 1
                self._sample.value = maps.wanted.sample
        finally:
            self._setting = False

    def _other_layer(self, event: Any) -> None:
        if not self._setting:
            self._unit = None
            self.follow()

    def _other_sample(self, event: Any) -> None:
        if not self._setting and event.new is not None:
            self._page.sight.sample = event.new
            self.follow()

    def _chosen(self, event: Any) -> None:
        if not self._setting:
            self.follow()

    def _tapped(self, unit: Unit) -> None:
        self._unit = unit
        self.follow()

    def _zip(self) -> io.BytesIO:
        """What is shown, for a paper."""
        maps = self._surveyor.newest
        assert maps is not None
        lane = self._lane(maps)
        found = maps_figure.dataset(self._named(maps), lane.choices_at(maps.row)[0])
        found.attrs["layers_named"] = self._page.sight.about(lane.trace.names)
        return io.BytesIO(maps_figure.bytes_of(found, self._what.value))

    def _fit(self, event: Any) -> None:
        self._anew = True
        self.follow()


class NoMaps:
    """In the place of maps, which need the states."""

    def __init__(self, page: Any, sheet: str) -> None:
        """Say why."""
        self.view = pn.pane.HTML(
            "<p>Maps need the network and its states, of which a run keeps none.</p>"
            f'<p class="refused">{html.escape(page.session.why)}</p>',
            sizing_mode="stretch_width",
        )

    def follow(self, *, draws: bool = True) -> None:
        """There is never anything new."""


def numbers(maps: Maps) -> str:
    """The chosen unit in one line, with the row that it is of, as HTML."""
    channel, row, column = maps.unit
    place = f"channel {channel}, row {row}, column {column}"
    if not maps.has_places:
        place = f"unit {max(maps.unit)}"
    found = {
        "h": maps.values[STATE],
        "μ": maps.values[PREDICTION],
        "e": maps.values[ERROR],
        "∂F/∂h": maps.values.get(FORCE),
    }
    values = (
        f"{name} <b>{short(float(one[maps.unit])) if one is not None else 'clamped'}</b>"
        for name, one in found.items()
    )
    return f"<div>layer {maps.name}, {place}: {' · '.join(values)}</div>"


def of(maps: Maps) -> str:
    """Which row and sample was looked at, as HTML."""
    said = f"row {maps.row}, sample {maps.wanted.sample}"
    said += f", label {maps.label}" if maps.label >= 0 else ""
    noise = "; the layer's energy is below the rounding floor" if maps.noise else ""
    return f"<small>{said}{noise}</small>"


def formula(text: str, ink: str) -> str:
    """A formula as HTML."""
    return f'<div class="formula">{svg(text, ink, 9.5)}</div>'


def _named(name: str, shape: tuple[int, ...]) -> str:
    """A layer in the menu."""
    size = " × ".join(str(n) for n in shape)
    return f"{name}: {size}" if len(shape) > 1 else f"{name}: {size} units"
