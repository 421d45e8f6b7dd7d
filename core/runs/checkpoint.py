"""Where is what a training needs to go on? In two files that are there whole or not at all.

Numbers lie in a safetensors file, all else in a JSON that names its SHA-256, its own and its
format. The JSON is written last, so that without it there is no checkpoint. The last two stay:
where the newest is damaged the one before is taken, and that is said. Numbers of files only grow,
so that none is ever written over.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from core import cache
from core.catalogue import BadInput
from core.runs import manifest as manifests
from core.runs.errors import Damaged, told
from core.runs.memories import Packed, Unpacked

FOLDER = "checkpoints"

FORMAT, READ = 2, (1, 2)
"""Number of the format of a checkpoint, and those that are read: 1 is without recipes."""

KEPT = 2
"""Checkpoints that stay."""

LARGEST = 2**28
"""Bytes of a JSON that are read."""

_NAME = re.compile(r"\.?(\d{8})[-.].*")


@dataclass(frozen=True)
class Checkpoint:
    """One that was read whole.

    Args:
        number: of its files.
        said: plain data.
        tensors: the numbers that it refers to.
        views: how they lay.
    """

    number: int
    said: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    views: Mapping[str, Mapping[str, Any]]

    def unpacked(self, device: torch.device) -> Unpacked:
        """What gives its values back, on a device."""
        return Unpacked(self.tensors, self.views, device)


class Checkpoints:
    """The checkpoints of a run whose lock is held."""

    def __init__(self, run: Path, sound: int | None = None) -> None:
        """Begin to write.

        Args:
            run: its folder.
            sound: number of the one that is gone on from; None where there is none.
        """
        self.folder = run / FOLDER
        self._run = run
        self._sound = [] if sound is None else [sound]
        names = [path.name for path in self.folder.glob("*")]
        there = [int(match[1]) for name in names if (match := _NAME.fullmatch(name))]
        self._next = max(there, default=-1) + 1

    def write(self, said: Mapping[str, Any], packed: Packed) -> None:
        """Write one; older ones than the last two go.

        Raises:
            NotWritten: if the disk refuses; those that are there stay.
        """
        number, self._next = self._next, self._next + 1
        with told(self._run):
            _save(self.folder / f"{number:08d}.safetensors", packed.tensors)
            about = {
                "format": FORMAT,
                "made": machine(),
                "numbers": _sha(self.folder / f"{number:08d}.safetensors"),
                "views": packed.views,
                "said": dict(said),
            }
            text = json.dumps({**about, "sha256": manifests.sha(about)})
            path = self.folder / f"{number:08d}.json"
            cache.keep(path, lambda beside: _write(beside, text))
            _settle(self.folder)
        self._sound = [*self._sound, number][-KEPT:]
        for path in self.folder.iterdir():
            match = _NAME.fullmatch(path.name)
            if match and int(match[1]) not in self._sound:
                with suppress(OSError):  # it goes with the next one
                    path.unlink()


def newest(run: Path, fault: Callable[[Mapping[str, Any]], str]) -> tuple[Checkpoint, list[str]]:
    """The newest checkpoint that is sound, and a sentence about each that is not and is newer.

    Args:
        run: its folder.
        fault: says of the plain data of one why it does not fit the run, or "".

    Raises:
        BadInput: if there is none, or a later version wrote it.
        Damaged: if none of them is sound.
    """
    folder = run / FOLDER
    whole = [path.stem for path in folder.glob("*.json") if _NAME.fullmatch(path.name)]
    numbers = sorted((int(one) for one in whole if one.isdecimal()), reverse=True)
    if not numbers:
        raise BadInput(f"run: {run}; no checkpoint lies in it, nothing to go on from")
    wrong = []
    for number in numbers:
        try:
            found = read(run, number)
            if not (line := fault(found.said)):
                return found, wrong
            wrong.append(f"checkpoint {number}: {line}")
        except Damaged as failed:
            wrong.append(str(failed))
    raise Damaged(f"run: {run}; none of its checkpoints is sound ({'; '.join(wrong)})")


def read(run: Path, number: int) -> Checkpoint:
    """One checkpoint.

    Raises:
        BadInput: if a later version wrote it.
        Damaged: if it is not as it was written.
    """
    path = run / FOLDER / f"{number:08d}.json"
    name = f"checkpoint {number}"
    try:
        with path.open("rb") as file:
            about = json.loads(file.read(LARGEST).decode("utf-8"))
    except (OSError, ValueError) as failed:
        raise Damaged(f"{name}: {path.name} cannot be read ({failed})") from None
    if not isinstance(about, dict) or about.pop("sha256", None) != manifests.sha(about):
        raise Damaged(f"{name}: {path.name} is not as it was written")
    if about["format"] not in READ:
        raise BadInput(
            f"{name}: {path}; format {about['format']}, this version reads up to {FORMAT}"
        )
    numbers = path.with_suffix(".safetensors")
    try:
        if _sha(numbers) != about["numbers"]:
            raise Damaged(f"{name}: {numbers.name} is not as it was written")
        with safe_open(numbers, framework="pt") as held:
            tensors = {key: held.get_tensor(key) for key in held.keys()}
    except (OSError, SafetensorError) as failed:
        raise Damaged(f"{name}: {numbers.name} cannot be read ({failed})") from None
    return Checkpoint(number, about["said"] | {"made": about["made"]}, tensors, about["views"])


def machine() -> dict[str, Any]:
    """What the bits of a training depend on beside its choices."""
    from core import __version__

    said = manifests.environment()
    versions = {"relaxoscope": __version__, "torch": torch.__version__}
    return versions | {name: said.get(name, "") for name in ("system", "threads", "gpu")}


def _save(path: Path, tensors: Mapping[str, Tensor]) -> None:
    def write(beside: Path) -> None:
        try:
            save_file(dict(tensors), beside)
            beside.chmod(0o644)  # as the other files of a run: others may read it
        except SafetensorError as failed:
            raise OSError(f"{beside.name}: {failed}") from failed

    cache.keep(path, write)


def _write(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")


def _sha(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _settle(folder: Path) -> None:
    """Wait until the disk has the names of the files, too."""
    held = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(held)
    finally:
        os.close(held)
