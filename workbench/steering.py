"""How is a training steered from a shell? It is asked, and its answer is waited for."""

import argparse
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from workbench.refusals import Refused, as_number

MORE = """\
The training looks between two batches; its answer is waited for. What it did stands among the
events of the run, and a training that is gone on with does it again before the same batch.

"""

CHANGE_MORE = """\
What may change: precision, dynamics, learning, weights (an entry by its name, or one of its dials),
steps, window, output_precision, activity_decay, tolerance, stop. The change acts from the next
batch on. What the network, the data or the init would have to be made anew for is refused.

Examples:
  relaxoscope runs change spiking dynamics.rate=0.05 steps=12
  relaxoscope runs change spiking precision=Spiking precision.rest=0.01

"""

ACTS = {
    "pause": ("let a training wait between two batches", MORE),
    "go": ("let a training that is paused go on", MORE),
    "stop": ("end a training; train --resume goes on with it", MORE),
    "change": ("change choices of a training while it goes on", CHANGE_MORE + MORE),
}
"""What can be asked for: a line for the list of actions, and what stands below its options."""

WAIT = 10
"""Seconds for the answer."""

LOOK = 0.05


def steer(args: argparse.Namespace) -> int:
    """Ask the training of a run for something, and say what it answered."""
    from core.runs import asking
    from workbench.running import place

    wait = _seconds(args.wait)
    choices = _choices(args.choice) if args.action == "change" else None
    path = place(args.name, args.root)
    one = asking.ask(path, args.action, choices, by="shell")
    end = time.monotonic() + wait
    event = _answer(path, one)
    while event is None and time.monotonic() < end:
        time.sleep(LOOK)
        event = _answer(path, one)
    if event is None:
        print(f"{path.name}: {args.action} is asked for; no answer in {wait:g} s")
        return 0
    if event["command"] == "refused":
        raise Refused(f"{args.action}: {path.name}; {event['args']['why']}")
    told = f" ({event['told']})" if "told" in event else ""
    print(f"{path.name}: {args.action}{told}, before batch {event['batch']:,}")
    return 0


def _answer(path: Any, one: Any) -> Mapping[str, Any] | None:
    """The event that answers an ask, as soon as there is one.

    Raises:
        Refused: if the training has ended without one.
    """
    from core.runs import Run, asking
    from core.runs.run import WRITTEN

    with closing(Run(path)) as run:
        state = run.state
        run.refresh()  # an answer may have come with the end
        event = asking.answer(run, one)
        if event is None and state not in WRITTEN:
            raise Refused(f"{one.act}: {run.name}; {state} before it was seen")
        return event


def _choices(given: list[str]) -> dict[str, Any]:
    """Choices by their names, from words NAME=VALUE."""
    from core.runs.changes import value_of

    found: dict[str, Any] = {}
    for word in given:
        name, sign, text = word.partition("=")
        if not sign or not name:
            raise Refused(f"change: {word}; NAME=VALUE, as dynamics.rate=0.05")
        if name in found:
            raise Refused(f"change: {name} twice; one value")
        found[name] = value_of(text)
    return found


def _seconds(given: str | None) -> float:
    """How long the answer is waited for."""
    if given is None:
        return WAIT
    value = as_number(given)
    if not isinstance(value, int | float) or not 0 <= value <= 86_400:
        raise Refused(f"wait: {given}; seconds, 0..86400")
    return value
