"""How much memory does an experiment need at least? Asked before a network is built."""

import os
from dataclasses import dataclass

import torch

from core.catalogue import BadInput
from core.experiment import DTYPES, Experiment

COPIES = 4
"""Of every state: itself, the one before, its prediction and its force."""


class TooLarge(BadInput):
    """More memory is needed than there is: not the fault of the value alone."""


@dataclass(frozen=True)
class Footprint:
    """Bytes that an experiment needs at least, on its device.

    Args:
        weights: of the parameters.
        states: of the states of one batch and what is computed from them.
    """

    weights: int
    states: int

    @property
    def total(self) -> int:
        """Weights and states."""
        return self.weights + self.states

    def __str__(self) -> str:
        """In words."""
        return f"{gigabytes(self.weights)} of weights and {gigabytes(self.states)} of states"


def footprint(experiment: Experiment, shape: tuple[int, ...], classes: int) -> Footprint | None:
    """What an experiment needs, from its network without any memory behind it.

    Args:
        experiment: all choices.
        shape: of an image, (C, H, W).
        classes: number of classes.

    Returns: None where the network reads its own weights while it is built: they have no values.
    """
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            network = experiment.network(shape, classes)
    except RuntimeError:
        return None
    size = DTYPES[experiment.dtype].itemsize
    units = sum(node.size for node in network.nodes)
    weights = size * sum(p.numel() for p in network.parameters())
    return Footprint(weights, COPIES * size * experiment.batch_size * units)


def check(
    experiment: Experiment,
    shape: tuple[int, ...],
    classes: int,
    *,
    rows: float = 0.0,
    shared: bool = False,
) -> None:
    """Refuse an experiment that the memory of its device, or of this machine, cannot hold.

    Args:
        experiment: all choices.
        shape: of an image, (C, H, W).
        classes: number of classes.
        rows: bytes of the trace, which lies in this machine's memory.
        shared: whether others relax on the same device: what they have left of a GPU counts.

    Raises:
        TooLarge: with what is needed and what is there.
    """
    found = footprint(experiment, shape, classes)
    if found is None:
        return
    needed = {experiment.device: float(found.total)}
    needed["cpu"] = needed.get("cpu", 0.0) + rows
    for device, one in needed.items():
        there = free(device) if shared and device != "cpu" else memory(device)
        if there is not None and one > there:
            trace = f", {gigabytes(rows)} of trace" if rows else ""
            raise TooLarge(
                f"network: {found} for batch_size {experiment.batch_size}{trace}; {device} has "
                f"{gigabytes(there)}: take narrower layers, smaller batches or fewer rows"
            )


def memory(device: str) -> int | None:
    """Bytes of memory that a device has in all, where that can be asked."""
    where = torch.device(device)
    if where.type == "cuda":
        return torch.cuda.mem_get_info(where)[1]
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not every system says
        return None


def free(device: str) -> int | None:
    """Bytes of memory that are free on a device, where that can be asked."""
    where = torch.device(device)
    if where.type == "cuda":
        cached = torch.cuda.memory_reserved(where) - torch.cuda.memory_allocated(where)
        return torch.cuda.mem_get_info(where)[0] + cached
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def gigabytes(count: float) -> str:
    """A number of bytes in words."""
    return f"{count / 1e9:.3g} GB"
