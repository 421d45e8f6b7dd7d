"""What can be chosen on the Compare page? Its dials, and why some of their choices are grey."""

import html
from collections.abc import Callable, Sequence
from typing import Any

import panel as pn

from workbench import comparing as c
from workbench.compare_axes import TITLES
from workbench.compare_choices import LEGAL, MOST_LANES, Choices
from workbench.compare_experiments import seed_groups
from workbench.compare_lanes import Offer
from workbench.compare_picker import Picker
from workbench.compare_scene import SAMPLES, SEEDS
from workbench.compare_work import Shown

NAMES = {
    "x": "axis",
    "curve": "first plot",
    "other": "second plot",
    "map": "maps and difference",
    "several": "a curve is",
    "band": "several as one",
    "distance": "distance of states",
}

NO_GROUP = "–"

Changed = Callable[..., None]


class Dials:
    """The left column of the page."""

    def __init__(self, sheet: str, changed: Changed) -> None:
        """Build the dials.

        Args:
            sheet: style sheet of widgets.
            changed: called with new choices by name.
        """
        self._changed = changed
        self._quiet = False
        self._run: tuple[str, ...] = ()
        self.groups: dict[str, tuple[str, ...]] = {}
        style: dict[str, Any] = {
            "stylesheets": [sheet],
            "sizing_mode": "stretch_width",
            "margin": (2, 4),
        }
        self.picker = Picker(sheet, lambda run: self._tell(run=run))
        self.group = pn.widgets.Select(
            label="add runs that differ in their seed alone", options=[NO_GROUP], **style
        )
        self.group.param.watch(self._grouped, "value")
        self.swap = pn.widgets.Button(label="swap A and B", **style)
        self.swap.on_click(lambda _: self._swapped())
        self.menus = {
            name: pn.widgets.Select(label=NAMES[name], options=_options(name), **style)
            for name in NAMES
        }
        for name, menu in self.menus.items():
            menu.param.watch(lambda event, name=name: self._tell(**{name: event.new}), "value")
        self.part = pn.widgets.FloatInput(
            label="apart by more than", value=0.3, start=0.0, step=0.1, **style
        )
        self.part.param.watch(lambda event: self._tell(part=event.new), "value")
        self.reasons = pn.pane.HTML("", **style)
        menus = self.menus
        self.view = pn.Column(
            self.picker.view, self.swap, self.group, menus["x"], menus["curve"], menus["other"],
            menus["several"], menus["band"], menus["map"], self.part, menus["distance"],
            self.reasons, sizing_mode="stretch_width", margin=0,
        )  # fmt: skip

    # What a person does --------------------------------------------------------------------------

    def _tell(self, **choices: Any) -> None:
        if not self._quiet and None not in choices.values():
            self._changed(**choices)

    def _grouped(self, event: Any) -> None:
        added = self.groups.get(event.new, ())
        if added and not self._quiet:
            self._quiet = True
            self.group.value = NO_GROUP
            self._quiet = False
            kept = [one for one in self._run if one not in added]
            self._tell(run=(*kept, *added)[:MOST_LANES], several=SEEDS)

    def _swapped(self) -> None:
        held = self._run
        if len(held) > 1:
            self._tell(run=(held[1], held[0], *held[2:]))

    # Showing -------------------------------------------------------------------------------------

    def show(self, choices: Choices, offers: Sequence[Offer], shown: Shown | None) -> None:
        """Set all dials to the choices, and what cannot be chosen to grey."""
        self._quiet = True
        self._run = choices.run
        try:
            self.picker.show(choices.run, offers)
            self._show_groups(offers)
            self.swap.disabled = len(choices.run) < 2
            for name, menu in self.menus.items():
                refused = _refused(name, shown)
                grey = [value for value in refused if value != getattr(choices, name)]
                menu.param.update(value=getattr(choices, name), disabled_options=grey)
            self.part.value = choices.part
            quantity = c.QUANTITIES[choices.map]
            unit = "decades" if quantity.log else quantity.unit or "1"
            self.part.label = f"A and B part by more than ({unit})"
            self.reasons.object = _told(shown)
        finally:
            self._quiet = False

    def _show_groups(self, offers: Sequence[Offer]) -> None:
        groups = seed_groups([one.experiment for one in offers])
        found = {}
        for group in groups:
            ordered = sorted(group, key=lambda k: _seed(offers[k]))
            seeds = ", ".join(str(_seed(offers[k])) for k in ordered)
            found[f"{offers[ordered[0]].title}: seeds {seeds}"[:80]] = tuple(
                offers[k].key for k in ordered
            )
        if found != self.groups:
            self.groups = found
            self.group.param.update(options=[NO_GROUP, *found], value=NO_GROUP)
        self.group.visible = bool(found)


def _options(name: str) -> dict[str, str]:
    """Labels of a menu with their values."""
    titles = {
        "x": TITLES,
        "map": {one.name: one.label for one in c.QUANTITIES.values()},
        "curve": {one: label for one, (label, _, _) in c.CURVES.items()},
    }
    told = titles.get("curve" if name == "other" else name, {})
    return {told.get(one, one): one for one in LEGAL[name]}


def _seed(one: Offer) -> int:
    return int((one.experiment or {}).get("seed", 0))


def _refused(name: str, shown: Shown | None) -> dict[str, str]:
    """Values of a dial that no lane can show, with the reason."""
    if shown is None or not shown.lanes:
        return {}
    found: dict[str, str] = {}
    for value in LEGAL[name]:
        if name == "x":
            reasons = [one.reasons.get(value, "") for one in shown.lanes]
        elif name in ("curve", "other"):
            needs = c.NEEDS[value]
            reasons = [_missing(one.lazy, needs) for one in shown.lanes]
        elif name == "map":
            reasons = [_missing(one.lazy, (value,)) for one in shown.lanes]
        elif name == "several" and value == SAMPLES:
            reasons = [_missing(one.lazy, ("energy_sample",)) for one in shown.lanes]
        elif name == "several" and value == SEEDS:
            groups = seed_groups([one.lane.experiment for one in shown.lanes])
            reasons = ["" if groups else "no two of these lanes differ in their seed alone"]
        else:
            continue
        if all(reasons):
            found[value] = reasons[0]
    return found


def _missing(rows: Any, names: Sequence[str]) -> str:
    gone = [name for name in names if name not in rows]
    return f"not logged: {', '.join(gone)}" if gone else ""


def _told(shown: Shown | None) -> str:
    """Why choices are grey, in one list."""
    lines = []
    for name in NAMES:
        titles = {value: label for label, value in _options(name).items()}
        for value, reason in _refused(name, shown).items():
            said = f"{titles[value]}: {reason.removeprefix(f'{value}: ')}"
            if said not in lines:
                lines.append(said)
    items = "".join(f"<li>{html.escape(one)}</li>" for one in lines)
    return f"<small>grey because<ul>{items}</ul></small>" if items else ""
