"""What is computed for the Compare page? Everything that it draws, away from the server's loop."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from core.catalogue import BadInput
from workbench import comparing as c
from workbench.compare_choices import Choices
from workbench.compare_experiments import other_images
from workbench.compare_lanes import Lane, opened
from workbench.compare_rows import Drawn, Thinning, drawn
from workbench.compare_scene import (
    Line,
    Map,
    Pair,
    lines,
    maps,
    pair,
    readings,
    variables,
)
from workbench.compare_states import Distances, distances, recorded_states, replayed

NOT_RECORDED = "full states were not recorded"

MOST_MAPS = 4
"""Maps side by side."""

MOST_AGAIN = 200
"""Rows whose states are made again by replay."""

MOST_STATES = 512 * 2**20
"""Bytes of states that are read for distances."""

Rows = NDArray[np.float64]

T = TypeVar("T")


@dataclass(frozen=True)
class Apart:
    """Distances of the states of A and B.

    Args:
        x: places of the rows on A's axis, (n,).
        logs: log10 of each state's distance, (n, K); nan where the states are equal.
        found: the distances themselves.
        note: what must be known to read them.
    """

    x: Rows
    logs: Rows
    found: Distances
    note: str = ""


@dataclass(frozen=True, eq=False)
class Shown:
    """All that one state of the page shows.

    Args:
        choices: it was made for.
        lanes: what is drawn of each lane.
        refused: names of lanes that could not be opened, with the reason.
        rule: which rows are drawn.
        curve: lines of the first plot, and reasons by position.
        other: of the second plot.
        maps: of the first lanes.
        limits: of colour, shared by all maps.
        pair: A against B, or the reason why there is none.
        apart: distances of states, or the reason why there are none.
        readings: what is read out, by lane.
    """

    choices: Choices
    lanes: Sequence[Drawn]
    refused: Mapping[str, str]
    rule: Thinning
    curve: tuple[list[Line], dict[int, str]]
    other: tuple[list[Line], dict[int, str]]
    maps: Sequence[Map]
    limits: tuple[float, float]
    pair: Pair | str
    apart: Apart | str
    readings: Sequence[Mapping[str, Rows]] = field(default_factory=list)

    @property
    def span(self) -> tuple[float, float] | None:
        """From the first to the last place of any row; None without rows."""
        held = [one.extent for one in self.lanes if one.extent is not None and not one.why]
        return (min(a for a, _ in held), max(b for _, b in held)) if held else None


class Lanes:
    """The lanes that are open, kept while they are compared."""

    def __init__(self) -> None:
        """None is open."""
        self._held: dict[str, Lane] = {}

    def open(self, keys: Sequence[str]) -> tuple[list[Lane], dict[str, str]]:
        """The lanes of these names, and why some cannot be opened."""
        from core.runs.errors import Damaged

        refused: dict[str, str] = {}
        found = {}
        for key in keys:
            try:
                found[key] = self._held[key] if key in self._held else opened(key)
            except (BadInput, Damaged, OSError) as failed:
                refused[key] = str(failed)
        self._held = found
        return list(found.values()), refused

    def refresh(self) -> bool:
        """Whether any lane has more rows than before."""
        grown = [one.refresh() for one in self._held.values()]  # each is asked
        return any(grown)


def work(lanes: Lanes, choices: Choices, again: Mapping[str, xr.Dataset] | None = None) -> Shown:
    """Everything that the page shows for these choices.

    Args:
        lanes: those that are open.
        choices: of the page.
        again: states that were made again, by name of the lane.
    """
    held, refused = lanes.open(choices.run)
    found, rule = _drawn(held, choices, refused)
    made, limits = maps(found[:MOST_MAPS], choices.map)
    two: Pair | str = "two lanes have a difference: choose another one"
    apart: Apart | str = two
    if len(found) > 1:
        two = _or_why(lambda: _pair(found[0], found[1], choices))
        apart = _or_why(lambda: _apart(found[0], found[1], choices.distance, again or {}))
    return Shown(
        choices=choices,
        lanes=found,
        refused=refused,
        rule=rule,
        curve=lines(found, choices.curve, choices.several, choices.band),
        other=lines(found, choices.other, choices.several, choices.band),
        maps=made,
        limits=limits,
        pair=two,
        apart=apart,
        readings=[readings(one) for one in found],
    )


def _drawn(
    lanes: list[Lane], choices: Choices, refused: dict[str, str]
) -> tuple[list[Drawn], Thinning]:
    """The rows that are drawn; a lane that is damaged there goes to those that are refused."""
    from core.runs.errors import Damaged

    names = variables(choices.curve, choices.other, choices.map, choices.several)
    if not lanes:
        return [], Thinning()
    try:
        return drawn(lanes, choices.x, names, choices.zoom)
    except Damaged:
        before = len(lanes)
        for one in list(lanes):
            try:
                drawn([one], choices.x, names, choices.zoom)
            except Damaged as failed:
                refused[one.key] = str(failed)
                lanes.remove(one)
        if len(lanes) == before:  # each can be drawn alone, at other rows
            raise
        return _drawn(lanes, choices, refused)


def _or_why(make: Callable[[], T]) -> T | str:
    """What is made, or the reason why it cannot be."""
    from core.runs.errors import Damaged

    try:
        return make()
    except (BadInput, Damaged) as refused:
        return str(refused)


def _pair(a: Drawn, b: Drawn, choices: Choices) -> Pair:
    note = other_images(a.lane.experiment, b.lane.experiment)
    return pair(a, b, choices.map, choices.part, [note] if note else [])


def _apart(a: Drawn, b: Drawn, how: str, again: Mapping[str, xr.Dataset]) -> Apart:
    """Exact distances, from states that were recorded or made again."""
    states = []
    for letter, one in (("A", a), ("B", b)):
        if one.why:
            raise BadInput(f"{letter}: {one.why}")
        if one.lane.key in again:
            states.append(_placed(one, again[one.lane.key]))
        elif one.states:
            states.append(one.lazy.assign_coords(x=("step", one.x)))
        else:
            raise BadInput(f"{letter}: {NOT_RECORDED}{once_more(one)}")
    size = sum(8 * rows[f"state_{k}"].size for rows in states for k in recorded_states(rows))
    every = max(1, -(-size // MOST_STATES))
    one, other = (rows.isel(step=slice(None, None, every)) for rows in c.aligned(states))
    found = distances(one, other, how)
    there = np.asarray(found.values > 0)
    if not there.any():
        raise BadInput("the states of A and B are equal in all rows that are drawn")
    logs = np.log10(found.values, out=np.full(found.values.shape, np.nan), where=there)
    said = [f"every {every}th of the rows drawn is read"] if every > 1 else []
    equal = [f"h{k}" for k in found.state[np.nanmax(found.values, axis=0, initial=0) == 0]]
    said += [f"{', '.join(equal)} equal throughout"] if equal else []
    if any(one.lane.key in again for one in (a, b)):
        said.append("by replay, as far as the rows had come")
    if note := other_images(a.lane.experiment, b.lane.experiment):
        said.append(note)
    return Apart(one["x"].values, logs, found, "; ".join(said))


def once_more(one: Drawn) -> str:
    """Why states cannot be made again either, as the end of a sentence; "" where they can."""
    return f", nor can they be made again: {why}" if (why := one.lane.once) else ""


def _placed(one: Drawn, states: xr.Dataset) -> xr.Dataset:
    """States that were made again, at the rows that are drawn."""
    kept = np.isin(one.number, states["step"].values)
    rows = states.sel(step=one.number[kept])
    return rows.assign_coords(step=one.trace["step"].values[kept], x=("step", one.x[kept]))


def make_again(shown: Shown) -> dict[str, xr.Dataset]:
    """States of A and B, made again from their event logs where they were not recorded.

    Raises:
        BadInput: with the reason why that cannot be.
    """
    found = {}
    for letter, one in zip("AB", shown.lanes, strict=False):
        if one.states:
            continue
        number = one.number
        every = max(1, -(-len(number) // MOST_AGAIN))
        try:
            found[one.lane.key] = replayed(one.lane, number[::every])
        except BadInput as refused:
            raise BadInput(f"{letter}: {refused}") from None
    return found
