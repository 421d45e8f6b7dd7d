"""Can every point of a sweep run here? Asked before it starts; the first that cannot is named."""

import json
from typing import Any

from core import footprint
from core.batches import Batches, ImageSet
from core.catalogue import BadInput
from core.experiment import Experiment
from core.footprint import TooLarge, gigabytes
from core.recording import fits_alignment
from workbench.refusals import Refused, check_device, reason
from workbench.relaxing import bytes_of_rows
from workbench.sweep_plan import Amount, Plan

BARE = 400_000_000
"""Bytes of a worker that has imported all and computes nothing."""

KINDS = ("network", "energy", "dataset", "dtype", "device", "batch_size", "init", "steps")
"""Choices that decide whether an experiment fits; of equal ones the first is looked at."""


def check(plan: Plan, workers: int, limit: int | None) -> None:
    """Refuse the first point that cannot run on this machine.

    Args:
        plan: of the sweep.
        workers: that compute at once.
        limit: bytes that each of them may use, None where that is not known.

    Raises:
        BadInput, Refused: naming the point, and what is wrong with it.
    """
    seen: set[str] = set()
    sets: dict[str, ImageSet] = {}
    for point in plan.points:
        plain = point.experiment.to_dict()
        key = json.dumps([plain[name] for name in KINDS])
        if key in seen:
            continue
        seen.add(key)
        try:
            _fits(point.experiment, plan.amount, _images(point.experiment, sets, plain), limit)
            _share(point.experiment, sets[_key(plain)], min(workers, len(plan.points)))
        except (BadInput, Refused, OSError) as refused:
            line, code = reason(refused)
            raise Refused(f"point {point.words}: {line}", code) from None


def _key(plain: dict[str, Any]) -> str:
    return json.dumps(plain["dataset"])


def _images(experiment: Experiment, sets: dict[str, ImageSet], plain: dict[str, Any]) -> ImageSet:
    """The data set of an experiment, each read once."""
    check_device(experiment.device)
    return sets.setdefault(_key(plain), sets.get(_key(plain)) or experiment.dataset())


def _fits(experiment: Experiment, amount: Amount, images: ImageSet, limit: int | None) -> None:
    """Refuse what one worker cannot hold, or what the data cannot give."""
    aligned = bool(getattr(experiment.init, "aligned", False))
    aligned = aligned or fits_alignment(experiment, images)
    Batches(images, experiment.batch_size, aligned=aligned, seed=experiment.seed)
    rows = 0.0
    if not amount.trains:
        rows = bytes_of_rows(experiment, experiment.network.layers, amount.level)
    footprint.check(experiment, images.shape, images.classes, rows=rows)
    found = footprint.footprint(experiment, images.shape, images.classes)
    if found is None or limit is None:
        return
    needed = BARE + rows + (found.total if experiment.device == "cpu" else 0)
    if needed > limit:
        raise TooLarge(
            f"network: {found}, {gigabytes(needed)} with all that a worker holds; a worker may use "
            f"{gigabytes(limit)}: take fewer --workers"
        )


def _share(experiment: Experiment, images: ImageSet, workers: int) -> None:
    """Refuse where workers that compute on the same accelerator cannot do so at once."""
    found = footprint.footprint(experiment, images.shape, images.classes)
    if experiment.device == "cpu" or found is None:
        return
    there = footprint.memory(experiment.device)
    if there is not None and workers * found.total > there:
        raise TooLarge(
            f"network: {found} in each of {workers} workers; {experiment.device} has "
            f"{gigabytes(there)}: take fewer --workers"
        )
