"""Which weights of a run were kept? One safetensors file for each batch, with its own digest."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from core import cache
from core.runs.errors import Damaged

FOLDER = "weights"

_NAME = re.compile(r"(\d+)-(\d+)\.safetensors")


def keep(run: Path, lane: int, number: int, tensors: Mapping[str, Tensor]) -> None:
    """Write the weights with which a batch of a lane begins.

    Raises:
        OSError: if they cannot be written.
    """
    held = {name: one.detach().cpu().contiguous().clone() for name, one in tensors.items()}
    about = {"digest": digest(held), "place": _place(lane, number)}
    path = _path(run, lane, number)

    def write(beside: Path) -> None:
        try:
            save_file(held, beside, about)
            beside.chmod(0o644)  # as the other files of a run: others may read it
        except SafetensorError as failed:
            raise OSError(f"{beside.name}: {failed}") from failed

    cache.keep(path, write)


def kept(run: Path, lane: int) -> list[int]:
    """Numbers of the batches whose first weights lie there, in order."""
    names = [path.name for path in (run / FOLDER).glob("*.safetensors")]
    found = [match for name in names if (match := _NAME.fullmatch(name))]
    return sorted(int(one[2]) for one in found if int(one[1]) == lane)


def load(run: Path, lane: int, number: int) -> dict[str, Tensor]:
    """The weights with which a batch of a lane begins.

    Raises:
        Damaged: if they are not as they were written.
    """
    path = _path(run, lane, number)
    try:
        with safe_open(path, framework="pt") as held:
            about = held.metadata() or {}
            tensors = {name: held.get_tensor(name) for name in held.keys()}
    except (OSError, SafetensorError) as failed:
        raise Damaged(f"weights: {path}; cannot be read ({failed})") from None
    if (about.get("digest"), about.get("place")) != (digest(tensors), _place(lane, number)):
        raise Damaged(f"weights: {path}; not as they were written")
    return tensors


def _place(lane: int, number: int) -> str:
    return f"{lane}-{number:08d}"


def _path(run: Path, lane: int, number: int) -> Path:
    return run / FOLDER / f"{_place(lane, number)}.safetensors"


def digest(tensors: Mapping[str, Tensor]) -> str:
    """A SHA-256 over names, types, shapes and numbers: safetensors has no checksum of its own."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        one = tensors[name].detach().cpu().contiguous()
        found.update(f"{name} {one.dtype} {tuple(one.shape)}\n".encode())
        found.update(one.flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
