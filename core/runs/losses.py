"""What of a run is missing? Parts that were acknowledged and cannot be read, and their rows."""

from core.runs.kept import kept
from core.runs.manifest import damage_of_notes
from core.runs.parts import Parts
from core.runs.rows import Stretch
from core.runs.store import WEIGHTS_STREAM

MOST = 8
"""Ranges of rows that are named; the rest is counted."""


def sentence(parts: Parts) -> str:
    """What is missing or damaged, in words; "" where nothing is."""
    with parts.guard:
        count = parts.counted
        lost = _lost(parts, count.parts)
        said = [*parts.trouble, parts.uncounted]
        if lost:
            most = max(count.parts, parts.newest, *lost)
            places = _places(parts, dict(count.last))
            line = f"{len(lost)} of {most} stored parts cannot be read"
            said.append(f"{line}: {places}" if places else line)
        said += [_kept(parts), damage_of_notes(parts.path)]
        return "; ".join(one for one in said if one)


def _kept(parts: Parts) -> str:
    """Which weights are missing that were kept, in words."""
    there = {lane: set(kept(parts.path, lane)) for lane in parts.lanes}
    stored = {(part.lane, part.first): None for part in parts.of(WEIGHTS_STREAM)}
    gone = [f"{n} of lane {k}" for k, n in stored if n not in there.get(k, {n})]
    if not gone:
        return ""
    more = f" and {len(gone) - MOST} more" if len(gone) > MOST else ""
    return f"weights of batches are missing: {', '.join(gone[:MOST])}{more}"


def _lost(parts: Parts, acknowledged: int) -> set[int]:
    """Numbers of the parts that were stored and are not there, or not as they were written."""
    there = {part.id for part in parts.held}
    most = max([acknowledged, *there, *parts.bad])
    return (set(range(1, most + 1)) - there) | parts.bad


def _places(parts: Parts, last: dict[int, int]) -> str:
    """Which rows of which lanes are missing, in words."""
    said = []
    for number, info in sorted(parts.lanes.items()):
        held = parts.stretches(number, "rows")
        every = int(info.attrs.get("step_stride", 1)) * int(info.attrs.get("batch_stride", 1))
        ranges = _between(held) if every == 1 else []
        end = int(held[-1].numbers("step")[-1]) if held else -1
        # A fork may have no rows but those of its parent.
        theirs = info.forked_at if every == 1 and info.forked_at is not None else end
        newest = max(last.get(number, end), theirs)
        if newest > end:
            ranges.append((end + 1, newest))
        said += [f"rows {a}..{b} of lane {number} are missing" for a, b in ranges]
    more = f" and {len(said) - MOST} ranges more" if len(said) > MOST else ""
    return ", ".join(said[:MOST]) + more


def _between(held: list[Stretch]) -> list[tuple[int, int]]:
    """Numbers between stretches that no row has."""
    found, expected = [], 0
    for one in held:
        step = one.numbers("step")
        if int(step[0]) > expected:
            found.append((expected, int(step[0]) - 1))
        expected = int(step[-1]) + 1
    return found
