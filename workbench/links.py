"""How does what is on the screen become an address? The log of its session and its layout, packed.

Whoever opens it gets a session of their own that repeats the log: the same lanes, the same rows. An
address may come from anyone: its size is bounded before it is unpacked, and each of its commands is
checked like one that is asked for at the page.
"""

import base64
import binascii
import dataclasses
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.catalogue import BadInput, from_dict, shown, unknown
from core.experiment import SCALARS, Experiment
from core.poke import Poke
from core.runs.shelf import name_of
from workbench.beginning import Begin
from workbench.lanes_moves import Moves
from workbench.session import Session

VERSION = "1"

LONGEST = 16_000
"""Letters of a packed state: what every browser and our server take in an address."""

LARGEST = 2**20
"""Bytes that it may unpack to."""

MOST_STEPS = 20_000
"""Steps that are repeated for an address."""

CHOICES = frozenset(one.name for one in dataclasses.fields(Experiment))

RELOAD = "reload"

COMMANDS = frozenset(
    name.removeprefix("_do_") for name in dir(Moves) if name.startswith("_do_")
) - {RELOAD}
"""What an address may ask for."""


@dataclass(frozen=True)
class Log:
    """What a session repeats when it comes back.

    Args:
        experiment: the first choices.
        events: as `Session.log` has them.
        taken: steps in all.
        begin: the batch of a run from which it began.
    """

    experiment: Experiment
    events: tuple[dict[str, Any], ...] = ()
    taken: int = 0
    begin: Begin | None = None


@dataclass(frozen=True)
class State:
    """A session and what of it is in sight.

    Args:
        log: of the session.
        layout: preset that choices are compared with, tab that is open, and what plots compare.
    """

    log: Log
    layout: Mapping[str, str] = field(default_factory=dict)


def packed(log: Mapping[str, Any], layout: Mapping[str, str]) -> str:
    """A session as letters for an address.

    Args:
        log: as `Session.log` gives it.
        layout: as in `State`.

    Raises:
        BadInput: if it is too long for an address.
    """
    log = dict(log)
    again = [event for event in log["events"] if event["command"] == RELOAD]
    if again:
        names = ", ".join(str(one["name"]) for one in again[-1]["args"]["files"])
        raise BadInput(
            f"link: {names} was saved again while this session ran, and what ran before is not "
            "kept; a recording keeps the rows"
        )
    if log.get("begin"):  # runs are found by their names: paths say nothing elsewhere
        log["begin"] = {**log["begin"], "run": name_of(Path(log["begin"]["run"]))}
    text = json.dumps({"log": log, "layout": dict(layout)}, separators=(",", ":"))
    body = base64.urlsafe_b64encode(zlib.compress(text.encode(), 9)).rstrip(b"=").decode()
    made = f"{VERSION}.{body}"
    if len(made) > LONGEST:
        raise BadInput(
            f"link: {len(made):,} letters; up to {LONGEST:,}, beyond by Python or a recording"
        )
    if log["taken"] > MOST_STEPS:
        raise BadInput(f"link: {log['taken']:,} steps; up to {MOST_STEPS:,}, beyond by a recording")
    return made


def unpacked(text: str) -> State:
    """What `packed` packed, checked.

    Raises:
        BadInput: if it is no state of this version, too large, or asks for what no session does.
    """
    version, _, body = text.partition(".")
    if version != VERSION:
        raise BadInput(f"state: version {shown(version[:12])}; this one reads {VERSION}")
    if len(text) > LONGEST:
        raise BadInput(f"state: {len(text):,} letters; up to {LONGEST:,}")
    try:
        unpacking = zlib.decompressobj()
        raw = unpacking.decompress(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)), LARGEST)
        if unpacking.unconsumed_tail:
            raise BadInput(f"state: unpacks to more than {LARGEST:,} bytes; no address does")
        if not unpacking.eof:
            raise ValueError("cut off")
        data = json.loads(raw)
        log, layout = data["log"], data["layout"]
        first, events, taken = log["experiment"], log["events"], log["taken"]
    except (zlib.error, binascii.Error, ValueError, KeyError, TypeError, RecursionError) as failed:
        if isinstance(failed, BadInput):
            raise
        raise BadInput("state: damaged; an address that is copied whole") from None
    if type(taken) is not int or not 0 <= taken <= MOST_STEPS:
        raise BadInput(f"state.taken: {shown(taken)}; an integer 0..{MOST_STEPS}")
    if not isinstance(first, dict) or not isinstance(events, list) or not isinstance(layout, dict):
        raise BadInput("state: damaged; an address that is copied whole")
    experiment = Experiment.from_dict(first)
    probe = Session(experiment)  # never begun: it only says what a page may ask for
    before = 0
    for k, event in enumerate(events):
        before = _check(f"state.events[{k}]", event, probe, before, taken)
    told = {str(name)[:20]: str(value)[:80] for name, value in layout.items()}
    return State(Log(experiment, tuple(events), taken, _begin(log.get("begin"))), told)


def _check_beside(rows: Any, start: Any = None, beside: Any = None) -> None:
    """Refuse what no lane beside a poke is: so many rows, from a row or in a lane that is there."""
    for name, value, least in (("rows", rows, 0), ("start", start, -1), ("beside", beside, 0)):
        if value is not None and (type(value) is not int or not least <= value <= MOST_STEPS):
            raise BadInput(f"without_poke.{name}: {shown(value)}; an integer {least}..{MOST_STEPS}")
    if rows is None or (start is None) == (beside is None):
        raise BadInput("without_poke: rows, with a start or a lane beside")


def _begin(data: Any) -> Begin | None:
    """The batch of a run in the folder of runs."""
    from core.runs.shelf import run_named

    if data is None:
        return None
    try:
        name, lane, batch = str(data["run"]), int(data["lane"]), int(data["batch"])
    except (KeyError, TypeError, ValueError):
        raise BadInput("state.begin: damaged; a run, a lane and a batch") from None
    return Begin.at(run_named(name), lane, batch)


def _check(where: str, event: Any, probe: Session, before: int, taken: int) -> int:
    """Refuse what is no command of a session; returns after how many steps it acts."""
    if not isinstance(event, dict) or not isinstance(event.get("args"), dict):
        raise BadInput(f"{where}: {shown(event)}; a command with arguments")
    name, args = event.get("command"), event["args"]
    if not isinstance(name, str) or name not in COMMANDS:
        raise BadInput(f"{where}.command: {unknown(str(name), sorted(COMMANDS))}")
    for key in ("asked", "applied"):
        if type(event.get(key)) is not int or not 0 <= event[key] <= taken:
            raise BadInput(f"{where}.{key}: {shown(event.get(key))}; an integer 0..{taken}")
    applied: int = event["applied"]
    if applied < before:
        raise BadInput(f"{where}.applied: {applied}; {before} or more, in the order of steps")
    try:
        if name in ("change", "restart"):
            for key, value in args.items():
                if key not in CHOICES:
                    raise BadInput(unknown(key, sorted(CHOICES)))
                if key not in SCALARS and isinstance(value, str | dict):
                    from_dict(key, value)
        elif name == "poke":
            Poke(**args)
        elif name == "without_poke":  # logged with what it came to
            _check_beside(**args)
        else:
            getattr(probe, name)(**args)
    except BadInput as refused:
        raise BadInput(f"{where}: {refused}") from None
    except TypeError:
        raise BadInput(f"{where}.args: {shown(args)}; the arguments of {name}") from None
    return applied
