"""What is chosen, in one line? Every choice, with what differs from the preset set apart."""

import html
from collections.abc import Collection
from functools import lru_cache
from typing import Any

from core.catalogue import card_of
from core.experiment import Experiment, difference
from workbench.dials import text_of
from workbench.presets import named

CALM = "color:var(--muted)"

LONGEST = 40
"""Letters of a table."""

SHOWN = ("init", "precision", "dynamics", "learning", "energy", "task", "network", "dataset")


@lru_cache(maxsize=32)
def of_preset(name: str) -> Experiment:
    """The experiment of a preset."""
    return Experiment.from_dict(named()[name].choices)


def words(experiment: Experiment, kind: str) -> str:
    """One choice in a few words: its title and its first numbers."""
    choice = getattr(experiment, kind)
    card = card_of(choice)
    numbers = [
        f"{dial.symbol or dial.name} {_brief(getattr(choice, dial.name))}"
        for dial in card.dials
        if dial.type in (int, float, tuple) and getattr(choice, dial.name) != 0.0
    ]
    return " ".join([card.title, *numbers[:2]])


def _brief(value: Any) -> str:
    """A dial's value; of a table that is too long to read, its size."""
    text = text_of(value)
    is_table = isinstance(value, tuple) and value and isinstance(value[0], tuple)
    return f"{len(value)} x {len(value[0])}" if is_table and len(text) > LONGEST else text


def terms(experiment: Experiment) -> dict[str, str]:
    """The terms of the recipe that act, beside T, each in a few words."""
    found = {}
    if experiment.window:
        found["window"] = "energy window"
    if experiment.output_precision != 1.0:
        found["output_precision"] = f"output λ {text_of(experiment.output_precision)}"
    if experiment.activity_decay:
        found["activity_decay"] = f"decay c {text_of(experiment.activity_decay)}"
    if experiment.tolerance:
        whose = " of each sample" if experiment.stop == "sample" else ""
        found["tolerance"] = f"stops at residual {text_of(experiment.tolerance)}{whose}"
    return found


def summary(
    session: Any, preset: str, message: str, fps: float, theory: tuple[str, bool] = ("", False)
) -> str:
    """The line as HTML.

    Args:
        session: whose newest choices are shown.
        preset: name of the preset that they are compared with.
        message: said after the choices, in the accent's colour.
        fps: frames painted per second.
        theory: what it says in a few words, and whether that is a warning.
    """
    ghost = ""
    if session.ghost is not None and session.lane is not None:
        lane, old = session.lane, session.ghost
        title = lane.difference(old.experiment, lane.experiment) or lane.title
        ghost = grey(f"lane {old.id} before {title}")
    told, alarm = theory
    loud = "color:var(--accent);font-weight:600" if alarm else CALM
    return two_lines(
        _beside(session.wanted, preset),
        f'<div style="flex:0 0 auto;white-space:nowrap;{CALM}">{machine(session, fps)}</div>',
        f"{status(message)}{taped(session)}{ghost}",
        f'<div id="theory" style="flex:0 0 auto;{loud}">{html.escape(told)}</div>',
    )


def two_lines(choices: str, machine: str, said: str, theory: str) -> str:
    """Four parts as HTML, in two lines: what is said may be cut off at its end."""
    return (
        f'<div style="display:flex;gap:14px"><div style="flex:1 1 auto">{choices}</div>'
        f"{machine}</div>"
        '<div style="display:flex;gap:14px;white-space:nowrap;min-height:18px">'
        f'<div style="flex:1 1 auto;overflow:hidden;text-overflow:ellipsis">{said}</div>'
        f"{theory}</div>"
    )


def chosen(experiment: Experiment, changed: Collection[str] = ()) -> str:
    """Every choice as HTML; those that are among the changed ones in the accent's colour."""
    parts = []
    for kind, text in ({k: words(experiment, k) for k in SHOWN} | terms(experiment)).items():
        style = "white-space:nowrap"
        if kind in changed or (kind == "tolerance" and "stop" in changed):
            style += ";color:var(--accent);font-weight:600"
        parts.append(f'<span title="{kind}" style="{style}">{html.escape(text)}</span>')
    return " · ".join(parts)


def status(message: str) -> str:
    """What is said besides the choices, as HTML; "" for nothing."""
    if not message:
        return ""
    return f' <b style="color:var(--accent)" role="status">{html.escape(message)}</b>'


def grey(what: str) -> str:
    """What is drawn in grey, as HTML."""
    return (
        '<span style="color:var(--muted)"> <b style="color:var(--ghost)">▬▬</b> '
        f"grey: {html.escape(what.replace('->', '→'))}  [x swaps]</span>"
    )


def taped(session: Any) -> str:
    """Into which run the session is being recorded, as HTML; "" where it is not."""
    if not session.recording:
        return ""
    return (
        f' <span id="recording" style="{CALM}"><b style="color:var(--accent)">●</b> recording '
        f"{html.escape(session.recording)}, {session.recorded_rows} rows</span>"
    )


def machine(session: Any, fps: float) -> str:
    """Weights, device, dtype and speeds."""
    experiment, origin = session.wanted, session.origin
    weights = f"weights of {origin}" if origin else f"{experiment.pretraining} weights"
    if session.accuracy is not None:
        parts = [f"{weights}, test accuracy {100 * session.accuracy:.1f} %"]
    elif session.course is not None:
        parts = [f"{weights}, test MSE {session.course.scores[-1]:.4f}"]
    else:
        parts = [weights]
    parts += [experiment.device, experiment.dtype]
    if session.playing:
        parts.append(f"{session.measured_speed:.0f} steps/s · {fps:.0f} fps")
    return " · ".join(html.escape(part) for part in parts)


@lru_cache(maxsize=64)
def _beside(experiment: Experiment, preset: str) -> str:
    """Every choice as HTML, with what differs from a preset set apart."""
    differences = difference(of_preset(preset).to_dict(), experiment.to_dict())
    return chosen(experiment, {field.partition(".")[0] for field, _, _ in differences})
