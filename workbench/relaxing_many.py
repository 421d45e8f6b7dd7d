"""How are several seeds and batches relaxed into one trace? One after the other, then side by side.

Each is relaxed as it would be alone, from its own network and noise, so that its part of the trace
has the bits of a command with that --seed and --batch.
"""

import argparse
import itertools
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.refusals import Refused, as_number

if TYPE_CHECKING:
    import xarray as xr

    from core.experiment import Experiment
    from workbench.archives import Data

MOST = 10_000
"""Relaxations in one trace."""

Places = list[tuple[int, int]]
"""Seeds and batches, the batches of the first seed first."""


def places_of(args: argparse.Namespace, experiment: "Experiment") -> Places:
    """Which seeds and batches are relaxed; empty for one batch alone.

    Raises:
        Refused: naming the option.
    """
    if args.seeds is None and args.batches is None:
        return []
    from workbench.relaxing import batch_number

    if args.seeds is not None and args.seed is not None:
        raise Refused("--seed and --seeds: give one of them")
    seeds = [experiment.seed] if args.seeds is None else seeds_of(args.seeds)
    count = 1 if args.batches is None else as_number(args.batches)
    if not isinstance(count, int) or not 1 <= count * len(seeds) <= MOST:
        legal = f"an integer from 1, with the seeds up to {MOST:,} relaxations"
        raise Refused(f"batches: {args.batches or 1}; {legal}")
    first = batch_number(args.batch)
    return list(itertools.product(seeds, range(first, first + count)))


def relaxed(
    args: argparse.Namespace,
    experiment: "Experiment",
    own: "Data | None",
    outputs: list[Path],
    places: Places,
) -> "xr.Dataset":
    """All of them as one Dataset with the dimensions seed and batch."""
    from workbench import many, relaxing

    found = []
    for seed, number in places:
        one = argparse.Namespace(**{**vars(args), "batch": str(number)})
        chosen = replace(experiment, seed=seed)
        found.append(relaxing.relaxed(one, chosen, own, outputs, len(places)))
    seeds, batches = (list(dict.fromkeys(one)) for one in zip(*places, strict=True))
    return many.combine({"seed": seeds, "batch": batches}, found)


def seeds_of(text: str) -> list[int]:
    """The seeds of "0..4", both ends included, or of "0,3,7"."""
    legal = "0..4 for 0 to 4, or 0,3,7, each once"
    ends = re.fullmatch(r"(\d{1,9})\.\.(\d{1,9})", text)
    if ends:
        first, last = int(ends[1]), int(ends[2])
        if not first <= last < first + MOST:
            raise Refused(f"seeds: {text}; {legal}, up to {MOST:,} of them")
        return list(range(first, last + 1))
    if not re.fullmatch(r"\d{1,9}(,\d{1,9})*", text):
        raise Refused(f"seeds: {text}; {legal}")
    seeds = [int(one) for one in text.split(",")]
    if len(set(seeds)) != len(seeds):
        raise Refused(f"seeds: {text}; {legal}")
    return seeds
