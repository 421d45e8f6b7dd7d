"""Which samples did somebody hand in? The arrays of an .npz file, all checked.

No array is read before its declared size was seen, and nothing here unpickles.
"""

import dataclasses
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.batches import Batch
from core.catalogue import BadInput, shown, unknown
from core.experiment import Experiment
from core.network import Network
from core.phase import Phase
from core.training import noise
from workbench.files import Damaged, check_finite, existing, head, sha256

ARRAYS = ("x", "y", "classes")

LARGEST_ARRAYS = 4 * 2**30
"""Bytes of all arrays in one .npz file, unpacked."""

MOST_CLASSES = 65_536


@dataclass(frozen=True, eq=False)
class Data:
    """Samples of a file, in the order in which they lie there.

    Args:
        name: of the file, without its folder.
        sha256: of the file.
        x: (n, C, H, W), floating point.
        labels: class of each sample, (n,), int64; None where there are targets or nothing.
        targets: real-valued outputs, (n, d), floating point, or None.
        classes: number of classes, or d.
    """

    name: str
    sha256: str
    x: Tensor
    labels: Tensor | None
    targets: Tensor | None
    classes: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample, (C, H, W)."""
        return tuple(self.x.shape[1:])

    def batch(self, number: int, size: int) -> Batch:
        """Samples number * size onwards; there are only full batches.

        Raises:
            BadInput: if the file holds no such batch.
        """
        count = len(self.x)
        if size > count:
            raise BadInput(f"batch_size: {size}; an integer 1..{count} (samples in {self.name})")
        full = count // size
        if not 0 <= number < full:
            raise BadInput(
                f"batch: {number}; an integer 0..{full - 1} "
                f"(samples in {self.name}: {count}, in a batch: {size})"
            )
        index = torch.arange(number * size, (number + 1) * size)
        y = self.labels[index] if self.labels is not None else torch.zeros_like(index)
        return Batch(self.x[index], y, index, number)

    def phases(
        self, experiment: Experiment, network: Network, batch: Batch
    ) -> tuple[tuple[Phase, ...], Tensor | None]:
        """The phases that relax a batch, and its labels where it has any.

        The task makes the phases; real-valued targets then take the place of one-hot labels at the
        output.

        Raises:
            BadInput: if the file's `y` does not go with the task or the energy, or if a number
                becomes infinite in the experiment's dtype.
        """
        name = type(experiment.task).__name__
        needs_y = experiment.task.image_at == "input"
        if needs_y and self.labels is None and self.targets is None:
            raise BadInput(f"data.y: missing; labels (n,) or targets (n, d) for task {name}")
        if not needs_y and self.targets is not None:
            raise BadInput(f"data.y: real-valued targets; task {name} clamps x, leave y out")
        generator = noise(experiment.seed, batch.number)
        phases = experiment.task.phases(network, batch, self.classes, generator)
        if self.targets is not None:
            y = self.targets[batch.index].to(network.example)
            if not experiment.energy.quadratic:
                _check_distributions(y, batch.index)
            top = network.top
            if any(top not in one.clamped or one.target is not None for one in phases):
                raise BadInput(f"data.y: real-valued targets; task {name} needs labels")
            phases = tuple(
                dataclasses.replace(one, clamped={**one.clamped, top: y}) for one in phases
            )
        for phase in phases:
            for h in phase.clamped.values():
                if not bool(torch.isfinite(h).all()):
                    raise BadInput(f"dtype: {experiment.dtype}; {self.name} overflows it")
        if self.labels is None:
            return phases, None
        return phases, batch.y.to(network.example.device)


def read_data(path: str | Path) -> Data:
    """Samples from an .npz file with `x`, mostly `y`, and perhaps `classes`.

    `x`: floating point, (n, d), (n, H, W) or (n, C, H, W). `y`: integer labels (n,), or real-valued
    targets (n, d). `classes`: number of classes, by default the largest label plus one.

    Raises:
        BadInput: naming the array, and the first sample and feature that is not finite.
        Damaged: if the file is broken.
    """
    path = existing(path, "data")
    arrays = _npz(path)
    if "x" not in arrays:
        raise BadInput(f"data.x: missing; an array x (n, ...) in {path}")
    x = _floats(arrays["x"], "data.x")
    if x.ndim not in (2, 3, 4) or 0 in x.shape:
        raise BadInput(
            f"data.x: shape {tuple(x.shape)}; (n, d), (n, H, W) or (n, C, H, W), without empty axes"
        )
    check_finite(x, "data.x", "a finite number")
    shaped = {2: x[:, None, None], 3: x[:, None], 4: x}[x.dim()]
    labels = targets = None
    classes = _classes(arrays)
    y = arrays.get("y")
    if y is not None and y.ndim == 1 and y.dtype.kind in "iu":
        labels, classes = _labels(y, len(x), classes)
    elif y is not None:
        targets = _targets(y, len(x))
        if classes not in (None, targets.shape[1]):
            raise BadInput(f"data.classes: {classes}; {targets.shape[1]}, the width of y")
        classes = targets.shape[1]
    return Data(path.name, sha256(path), shaped, labels, targets, classes or 1)


def _npz(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file, once their headers have been found sound."""
    if head(path) != b"PK":
        raise BadInput(f"data: {path}; an .npz file as numpy.savez writes it")
    try:
        with zipfile.ZipFile(path) as archive:
            inside = {one.filename.removesuffix(".npy"): one for one in archive.infolist()}
            for name in inside:
                if name not in ARRAYS:
                    raise BadInput(f"data.{shown(name)}: {unknown(name, ARRAYS)}")
            size = sum(one.file_size for one in inside.values())
            if size > LARGEST_ARRAYS:
                raise BadInput(f"data: {path}; {size} bytes of arrays, at most {LARGEST_ARRAYS}")
            return {name: _array(archive, one, name) for name, one in inside.items()}
    except BadInput:
        raise
    except Exception as failed:  # a damaged zip archive fails in many ways
        why = " ".join(str(failed).split()) or type(failed).__name__
        raise Damaged(f"data: {path}; cannot be read as .npz ({why})") from failed


def _array(archive: zipfile.ZipFile, one: zipfile.ZipInfo, name: str) -> NDArray[Any]:
    """One array, whose header must declare as many bytes as there are."""
    with archive.open(one) as file:
        shape, dtype = _header(file)
        if dtype.hasobject:
            raise BadInput(f"data.{name}: python objects; numbers, pickle is not accepted")
        declared = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if file.tell() + declared != one.file_size:
            raise ValueError(f"{name} declares {declared} bytes, {one.file_size} are there")
    with archive.open(one) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type that a .npy file declares."""
    version = np.lib.format.read_magic(file)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"version {version} of the .npy format")
    shape, _, dtype = readers[version](file)
    return shape, dtype


def _floats(values: NDArray[Any], field: str) -> Tensor:
    """A floating-point array as a tensor in its own precision."""
    if values.dtype.kind != "f" or values.dtype.itemsize > 8:
        raise BadInput(
            f"{field}: {values.dtype} of shape {values.shape}; float32 or float64 "
            f"({field.removeprefix('data.')}.astype('float64'))"
        )
    native = values.dtype.newbyteorder("=")
    return torch.from_numpy(np.ascontiguousarray(values, dtype=native))


def _classes(arrays: Mapping[str, NDArray[Any]]) -> int | None:
    """The number of classes, if the file says it."""
    given = arrays.get("classes")
    if given is None:
        return None
    legal = f"an integer 1..{MOST_CLASSES}"
    if given.ndim or given.dtype.kind not in "iu":
        raise BadInput(f"data.classes: {given.dtype} of shape {given.shape}; {legal}")
    if not 1 <= int(given) <= MOST_CLASSES:
        raise BadInput(f"data.classes: {int(given)}; {legal}")
    return int(given)


def _labels(y: NDArray[Any], count: int, classes: int | None) -> tuple[Tensor, int]:
    """Class indices, (n,), and the number of classes."""
    if len(y) != count:
        raise BadInput(f"data.y: {len(y)} labels; {count}, one for each sample of x")
    if classes is None:
        classes = max(int(y.max()) + 1, 1)
        if classes > MOST_CLASSES:
            at = int(y.argmax())
            raise BadInput(f"data.y: {int(y[at])} at sample {at}; a class below {MOST_CLASSES}")
    bad = np.flatnonzero((y < 0) | (y >= classes))
    if len(bad):
        legal = f"a class 0..{classes - 1}"
        raise BadInput(f"data.y: {int(y[bad[0]])} at sample {bad[0]}; {legal}")
    return torch.from_numpy(y.astype(np.int64)), classes


def _targets(y: NDArray[Any], count: int) -> Tensor:
    """Real-valued outputs, (n, d)."""
    if y.dtype.kind != "f" or y.ndim != 2 or 0 in y.shape:
        raise BadInput(
            f"data.y: {y.dtype} of shape {y.shape}; labels are integers of shape (n,), "
            "targets floating point of shape (n, d)"
        )
    if len(y) != count:
        raise BadInput(f"data.y: {len(y)} targets; {count}, one for each sample of x")
    targets = _floats(y, "data.y")
    check_finite(targets, "data.y", "a finite number")
    return targets


def _check_distributions(y: Tensor, index: Tensor) -> None:
    """Refuse targets that a cross-entropy is not defined for."""
    sums = y.sum(1)
    bad = ((sums - 1).abs() > 1e-4) | (y < 0).any(1)
    if bool(bad.any()):
        first = int(bad.to(torch.uint8).argmax())
        raise BadInput(
            f"data.y: sum {float(sums[first]):g} at sample {int(index[first])}; "
            "cross-entropy needs probabilities that sum to 1"
        )
