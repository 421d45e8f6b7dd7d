"""What is asked to be compared, and how? All of it stands in the page's address."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any
from urllib.parse import urlencode

from core.catalogue import BadInput, unknown
from workbench.compare_axes import STEPS, TITLES
from workbench.compare_scene import EACH, SAMPLES, SEEDS
from workbench.compare_states import RELATIVE, RMS
from workbench.comparing import CURVES, MEAN, MEDIAN, QUANTITIES

MOST_LANES = 12
"""Lanes at once."""

LEGAL: dict[str, Sequence[str]] = {
    "x": tuple(TITLES),
    "map": tuple(QUANTITIES),
    "curve": tuple(CURVES),
    "other": tuple(CURVES),
    "several": (EACH, SEEDS, SAMPLES),
    "band": (MEAN, MEDIAN),
    "distance": (RMS, RELATIVE),
}
"""Names in the address whose values are one of a few."""


@dataclass(frozen=True)
class Choices:
    """Everything that decides what the page shows.

    Args:
        run: names of lanes, as `compare_lanes.opened` takes them; the first two are A and B.
        x: the axis.
        map: the quantity of maps, of the difference and of the profile over depth.
        curve: drawn in the first plot.
        other: drawn in the second plot.
        several: what a curve is of.
        band: how several are drawn as one.
        distance: of states.
        part: by how much two differ where they part, in decades where the quantity spans them.
        at: place of the cursor on the axis, None for the newest row.
        zoom: from where to where on the axis, None for all.
    """

    run: tuple[str, ...] = ()
    x: str = STEPS
    map: str = "energy"
    curve: str = "F"
    other: str = "imbalance"
    several: str = EACH
    band: str = MEAN
    distance: str = RMS
    part: float = 0.3
    at: float | None = None
    zoom: tuple[float, float] | None = None

    def changed(self, **choices: Any) -> "Choices":
        """The same with other choices."""
        return replace(self, **choices)

    def query(self) -> list[tuple[str, str]]:
        """As arguments of an address: what differs from the default."""
        found = [("run", one) for one in self.run]
        plain = Choices()
        for name in (*LEGAL, "part", "at"):
            value = getattr(self, name)
            if value != getattr(plain, name):
                found.append((name, f"{value:g}" if isinstance(value, float) else value))
        if self.zoom is not None:
            found.append(("zoom", ",".join(f"{one:.6g}" for one in self.zoom)))
        return found

    def address(self, theme: str) -> str:
        """The address of the page, from "?" on."""
        return "?" + urlencode([("page", "compare"), ("theme", theme), *self.query()])


def read(asked: Mapping[str, Sequence[str]]) -> tuple[Choices, list[str]]:
    """The choices of an address, and a line for each that cannot be taken as it stands."""
    found: dict[str, Any] = {}
    refused: list[str] = []
    runs = tuple(dict.fromkeys(one for one in asked.get("run", ()) if one))
    if len(runs) > MOST_LANES:
        refused.append(f"run: {len(runs)} lanes; {MOST_LANES} at most")
    found["run"] = runs[:MOST_LANES]
    for name, legal in LEGAL.items():
        value = _first(asked, name)
        if value in legal:
            found[name] = value
        elif value:
            refused.append(f"{name}: {unknown(value, legal)}")
    for name, reader in (("part", _amount), ("at", _number), ("zoom", _zoom)):
        text = _first(asked, name)
        if not text:
            continue
        try:
            found[name] = reader(text)
        except ValueError as failed:
            legal = str(failed) if isinstance(failed, BadInput) else "a number"
            refused.append(f"{name}: {text[:40]}; {legal}")
    return Choices(**found), refused


def _first(asked: Mapping[str, Sequence[str]], name: str) -> str:
    return next(iter(asked.get(name, ())), "")


def _number(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise BadInput("a finite number")
    return value


def _amount(text: str) -> float:
    value = _number(text)
    if value < 0:
        raise BadInput("a number from 0 on")
    return value


def _zoom(text: str) -> tuple[float, float]:
    parts = [_number(one) for one in text.split(",")]
    if len(parts) != 2 or parts[0] >= parts[1]:
        raise BadInput("two numbers, the smaller one first")
    return parts[0], parts[1]
