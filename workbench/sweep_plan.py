"""Which points does a sweep have? A grid over choices, or a list of them; each is one experiment.

Everything that can be refused is refused here, before anything starts. A point is named by its
values and by a hash of its experiment and of what is done with it, so that the same point always
lies in the same folder.
"""

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from core.catalogue import BadInput, shown
from core.experiment import Experiment
from core.runs.changes import chosen, named, value_of
from core.runs.manifest import sha

FIELD = "over"

MOST = 100_000
"""Points beyond which it has to be asked for with --yes."""

POINT, SEED = "point", "seed"

LONGEST = 60
"""Letters of a point's name before its hash."""


@dataclass(frozen=True)
class Amount:
    """What is done with each point.

    Args:
        batches: of a training; None where that is not said.
        epochs: of a training instead; without either, one batch is relaxed.
        batch: number of the batch that is relaxed.
        level: of the rows, lean or full.
        weights: before every so many batches they are kept; None for once an epoch.
        accuracy: on test images, before every so many batches; None for once an epoch.
        alignment: of every so manieth update to backprop's; 0 for never.
        checkpoint: seconds between two checkpoints.
    """

    batches: int | None = None
    epochs: int | None = None
    batch: int = 0
    level: str = "full"
    weights: int | None = None
    accuracy: int | None = None
    alignment: int | None = 0
    checkpoint: float = 60.0

    @property
    def trains(self) -> bool:
        """Whether weights are learned."""
        return self.batches is not None or self.epochs is not None


@dataclass(frozen=True)
class Axis:
    """A choice and the values that it takes, as the results have them for coordinates."""

    name: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Point:
    """One experiment of a sweep.

    Args:
        name: of its run.
        words: its values, for a person.
        experiment: all choices.
        places: where it stands on the axes; several where it is there twice.
    """

    name: str
    words: str
    experiment: Experiment
    places: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Plan:
    """A sweep before it runs.

    Args:
        said: all that `made` was given, as plain data.
        axes: of the results.
        beside: values along the axis `point` where points were listed, by the name of the choice.
        points: each once.
        amount: what is done with each.
    """

    said: dict[str, Any]
    axes: tuple[Axis, ...]
    beside: Mapping[str, tuple[Any, ...]]
    points: tuple[Point, ...]
    amount: Amount

    @property
    def twice(self) -> int:
        """How many points were given that are one of the others."""
        return count(self.said["over"], self.said.get("listed")) - len(self.points)

    @property
    def identity(self) -> str:
        """Equal for equal sweeps: the same points on the same axes, by the same plugins."""
        axes = [[one.name, *one.values] for one in self.axes]
        names = sorted(one.name for one in self.points)
        return sha({"axes": axes, "names": names, "plugins": _digests(self.said)})


def made(said: Mapping[str, Any]) -> Plan:
    """The plan of a sweep.

    Args:
        said: `base`, an experiment as plain data; `over`, values by the names of choices, as
            `core.runs.changes.chosen` takes them; `listed`, choices of each point, in place of a
            grid, or None; `amount`, as `Amount` has it; `plugins`, with `name` and `sha256`.

    Raises:
        BadInput: for what is no choice, or naming the first point that is refused.
    """
    base, amount = Experiment.from_dict(said["base"]), Amount(**said["amount"])
    over, listed = said["over"], said.get("listed")
    for name in over:
        named(name, FIELD)
    along = ([] if listed is None else [POINT]) + list(over)
    held: list[dict[Any, int]] = [{} for _ in along]
    found: dict[str, Point] = {}
    beside: dict[str, list[Any]] = {}
    for number, own, choices in _cells(over, listed):
        words = _words(own)
        try:
            experiment = chosen(base, choices, FIELD)
        except BadInput as refused:
            raise BadInput(f"point {words}: {refused}") from None
        plain = experiment.to_dict()
        labels = [number if k == POINT else read(plain, k, choices[k]) for k in along]
        place = tuple(one.setdefault(v, len(one)) for one, v in zip(held, labels, strict=True))
        if listed is not None and all(p == 0 for p in place[1:]):
            for key in dict.fromkeys(key for one in listed for key in one):
                beside.setdefault(key, []).append(read(plain, key, choices.get(key)))
        name = _name(dict(zip(along, labels, strict=True)), plain, amount)
        _put(found, plain, name, words, experiment, place)
    axes = tuple(Axis(name, tuple(one)) for name, one in zip(along, held, strict=True))
    columns = {name: tuple(values) for name, values in beside.items()}
    return Plan(dict(said), axes, columns, tuple(found.values()), amount)


def count(over: Mapping[str, Sequence[Any]], listed: Sequence[Any] | None) -> int:
    """Cells of a sweep, those that are there twice too; nothing is made for it."""
    cells = 1 if listed is None else len(listed)
    for values in over.values():
        cells *= len(values)
    return cells


def axis(text: str) -> tuple[str, list[Any]]:
    """A name and values as they are typed: "dynamics.rate=0.01,0.1", "network.hidden=[8,8],[16]".

    Raises:
        BadInput: if there is no name, or no value.
    """
    name, equals, rest = text.partition("=")
    if not equals or not name.strip():
        raise BadInput(f"{FIELD}: {shown(text)}; NAME=VALUE,VALUE,...")
    values = [value_of(one) for one in _apart(rest)]
    if not values or any(one == "" for one in values):
        raise BadInput(f"{FIELD}: {shown(text)}; a value between any two commas, one at least")
    return name.strip(), values


def dotted(table: Mapping[str, Any]) -> dict[str, Any]:
    """Choices of a point under dotted names; a table without a name holds dials of an entry."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping) and "name" not in value:
            found |= {f"{key}.{dial}": one for dial, one in value.items()}
        else:
            found[key] = value
    return found


def read(plain: Mapping[str, Any], key: str, given: Any = None) -> Any:
    """A choice of an experiment as a coordinate: a number or a text, None where it has none.

    Args:
        plain: the experiment as plain data.
        key: "steps", "init" or "dynamics.rate".
        given: what it was set to: an entry with dials is more than its name.
    """
    kind, _, dial = key.partition(".")
    value = plain[kind].get(dial) if dial else plain[kind]
    if not dial and isinstance(value, Mapping) and not isinstance(given, Mapping):
        value = value["name"]
    return json.dumps(value) if isinstance(value, list | dict) else value


def _cells(
    over: Mapping[str, Sequence[Any]], listed: Sequence[Mapping[str, Any]] | None
) -> Iterator[tuple[int, dict[str, Any], dict[str, Any]]]:
    """Number in the list, choices that tell the cell from others, and all that are set."""
    rows: Sequence[Mapping[str, Any]] = [{}] if listed is None else listed
    for number, row in enumerate(rows):
        for values in itertools.product(*over.values()):
            grid = dict(zip(over, values, strict=True))
            yield number, {**row, **grid}, {**row, **grid}


def _put(
    found: dict[str, Point],
    plain: Mapping[str, Any],
    name: str,
    words: str,
    experiment: Experiment,
    place: tuple[int, ...],
) -> None:
    """Add a cell; one whose experiment is there already becomes another place of it."""
    key = json.dumps(plain, sort_keys=True)
    before = found.get(key)
    if before is None:
        found[key] = Point(name, words, experiment, (place,))
    elif place not in before.places:
        places = (*before.places, place)
        found[key] = Point(before.name, before.words, experiment, places)


def _name(labels: Mapping[str, Any], plain: Mapping[str, Any], amount: Amount) -> str:
    """The folder of a point."""
    text = json.dumps([plain, asdict(amount)], sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    words = []
    for key, value in labels.items():
        short = key.rpartition(".")[2]
        told = f"{value:g}" if isinstance(value, float) else str(value)
        words.append(told if isinstance(value, str) else f"{short}{told}")
    slug = re.sub(r"[^A-Za-z0-9.]+", "-", "_".join(words).replace("_", "-")).strip("-.")
    return f"{slug[:LONGEST]}-{digest}" if slug else digest


def _words(choices: Mapping[str, Any]) -> str:
    """A point as a person reads it."""
    return ", ".join(f"{key} {shown(value)}" for key, value in choices.items()) or "of the recipe"


def _apart(text: str) -> list[str]:
    """What stands between commas that are in no bracket and no quotes."""
    found, depth, quoted = [""], 0, False
    for letter in text:
        quoted ^= letter == '"'
        depth += 0 if quoted else (letter in "[{") - (letter in "]}")
        if letter == "," and not depth and not quoted:
            found.append("")
        else:
            found[-1] += letter
    return found


def _digests(said: Mapping[str, Any]) -> list[list[str]]:
    return sorted([one["name"], one["sha256"]] for one in said["plugins"])
