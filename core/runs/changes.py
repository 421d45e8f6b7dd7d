"""Which choices may change while a network trains, and what are all choices then?

Those that act on the next step without another network: the recipe but for its init, and the
optimiser of the weights. They are named as a recipe names them: `steps`, `dynamics`,
`dynamics.rate`.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from core.catalogue import BadInput, card_of, from_dict, shown, to_dict, unknown
from core.experiment import LIVE, SCALARS, Experiment, sentence

FIELD = "change"


def in_force(experiment: Experiment) -> dict[str, Any]:
    """What a row is made with, as plain data: the recipe and the optimiser of the weights."""
    return experiment.recipe.to_dict() | {"weights": to_dict(experiment.weights)}


def of_recipe(base: Mapping[str, Any], recipe: Mapping[str, Any]) -> Experiment:
    """All choices, where a recipe as `in_force` gives it has taken the place of those of a run."""
    return Experiment.from_dict({**base, **recipe})


def changed(experiment: Experiment, choices: Mapping[str, Any]) -> Experiment:
    """An experiment with other choices.

    Args:
        experiment: all choices so far.
        choices: values by "steps", "dynamics" (a name, or a table with a name and dials) or
            "dynamics.rate"; an entry is set before its dials.

    Raises:
        BadInput: for what may not change, what is no choice, a value that is not legal, or values
            that are all in force already.
    """
    if not choices:
        raise BadInput(f"{FIELD}: nothing; NAME=VALUE with one of {', '.join(LIVE)}")
    for key in choices:
        _check(key)
    new = chosen(experiment, choices, FIELD)
    if new == experiment:
        raise BadInput(f"{FIELD}: {', '.join(sorted(choices))}; in force already")
    return new


def chosen(experiment: Experiment, choices: Mapping[str, Any], field: str) -> Experiment:
    """An experiment with other choices of any kind, those that want another network too.

    Args:
        experiment: all choices so far.
        choices: as `changed` takes them; an entry is set before its dials.
        field: that a refused name is told under.

    Raises:
        BadInput: for what is no choice, a value that is not legal, or choices that do not go
            together.
    """
    held: dict[str, Any] = {}
    for key in sorted(choices, key=lambda one: "." in one):
        name, dial = named(key, field)
        if dial:
            before = held.get(name, getattr(experiment, name))
            entry = before if isinstance(before, dict) else _plain(name, before)
            held[name] = {**entry, dial: choices[key]}
        else:
            held[name] = choices[key]
    made = {k: v if k in SCALARS else from_dict(k, v) for k, v in held.items()}
    return experiment.changed(**made)


def named(key: str, field: str) -> tuple[str, str]:
    """The choice that a name means, and its dial, "" where none is meant.

    Raises:
        BadInput: for what is no choice, or the dial of a number.
    """
    names = [one.name for one in dataclasses.fields(Experiment)]
    name, _, dial = key.partition(".")
    if name not in names:
        raise BadInput(f"{field}: {unknown(name, names)}")
    if name in SCALARS and "." in key:
        raise BadInput(f"{field}: {shown(key)}; {name}, which has no dials")
    return name, dial


def told(old: Experiment, new: Experiment) -> str:
    """What differs, in one line."""
    return sentence(old.to_dict(), new.to_dict())


def plain(old: Experiment, new: Experiment) -> dict[str, Any]:
    """The choices that differ, whole, as plain data: `changed` makes the one of the other."""
    a, b = old.to_dict(), new.to_dict()
    return {name: b[name] for name in LIVE if a[name] != b[name]}


def offered(experiment: Experiment) -> dict[str, str]:
    """What may change, by its name, with its value as text; tables are left out."""
    found: dict[str, str] = {}
    for name in LIVE:
        value = getattr(experiment, name)
        if name in SCALARS:
            found[name] = _text(value)
            continue
        card = card_of(value)
        found[name] = card.name
        for one in card.dials:
            if one.type is not tuple:
                found[f"{name}.{one.name}"] = _text(getattr(value, one.name))
    return found


def value_of(text: str) -> Any:
    """A value as it was typed: a number, true, false or a list; else text."""
    text = text.strip()
    for read in (json.loads, float):
        try:
            return read(text)
        except (ValueError, RecursionError):
            continue
    return text


def _check(key: str) -> None:
    """Refuse the name of what may not change."""
    name = key.partition(".")[0]
    if name not in LIVE:
        if name not in [one.name for one in dataclasses.fields(Experiment)]:
            raise BadInput(f"{FIELD}: {unknown(name, LIVE)}")
        raise BadInput(f"{FIELD}: {name}; fixed when it began, what may change: {', '.join(LIVE)}")


def _plain(kind: str, given: Any) -> dict[str, Any]:
    """An entry, or what was given for one, as a table with its dials."""
    made = from_dict(kind, given) if isinstance(given, str | Mapping) else given
    return to_dict(made)


def _text(value: Any) -> str:
    """A value as it is typed."""
    return str(value).lower() if isinstance(value, bool) else str(value)
