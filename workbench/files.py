"""What did somebody hand in? Files of a network, of weights, of data and of choices, all checked.

Every function takes a path, returns what the core works with, and refuses in one line that names
the file's field. Nothing here unpickles, and no array is read before its declared size was seen.
"""

import dataclasses
import hashlib
import re
import sys
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from core.batches import Batch
from core.catalogue import BadInput, from_dict, unknown
from core.experiment import SCALARS, SCHEMA, Experiment
from core.kinds import NetworkKind
from core.network import Network
from core.phase import Phase

STDIN = "-"
"""The path of what is piped in, for TOML."""

LARGEST_TEXT = 2**20
"""Bytes of a TOML file."""

LARGEST_ARRAYS = 4 * 2**30
"""Bytes of all arrays in one .npz file, unpacked."""

MOST_CLASSES = 65_536

FLOATS = ("F16", "BF16", "F32", "F64")
"""The tensor types of a safetensors file that are taken as weights."""


class Damaged(BadInput):
    """A file of the right kind that cannot be read whole: exit code 4 on the command line."""


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
        phases = experiment.task.phases(network, batch, self.classes, experiment.steps)
        if self.targets is not None:
            y = self.targets[batch.index].to(network.example)
            if not experiment.energy.quadratic:
                _check_distributions(y, batch.index)
            top = network.top
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


def read_network(path: str | Path) -> NetworkKind:
    """A network entry from a TOML file: its name and any of its dials.

    Raises:
        BadInput: naming the line and column, or the dial and what is legal.
    """
    return _entry("network", _toml(Path(path), "network"))


def read_recipe(path: str | Path) -> dict[str, Any]:
    """Choices from a TOML file, by the names of an `Experiment`: its keyword arguments.

    Entries are a name, or a table with a name and dials; scalars are as they stand in the file and
    are checked by the experiment.

    Raises:
        BadInput: naming the line and column, or the key (the nearest is offered).
    """
    data = _toml(Path(path), "recipe")
    schema = data.pop("schema", SCHEMA)
    if schema != SCHEMA:
        raise BadInput(f"recipe.schema: {schema}; this version reads {SCHEMA}")
    names = [one.name for one in dataclasses.fields(Experiment)]
    for key in data:
        if key not in names:
            raise BadInput(f"recipe.{key}: {unknown(key, names)}")
    return {key: v if key in SCALARS else _entry(key, v) for key, v in data.items()}


def read_weights(path: str | Path, network: Network) -> dict[str, Tensor]:
    """Weights for a network from a safetensors file, by the keys of its `state_dict()`.

    The file holds either those keys or W1, b1, W2, b2, ...; shapes must agree, any floating-point
    type is converted to the network's own.

    Raises:
        BadInput: naming the first key that is missing, superfluous, of another shape or type, or
            not finite.
        Damaged: if the file is broken.
    """
    path = _file(path, "weights")
    if _head(path) == b"PK" or _head(path)[:1] == b"\x80":
        raise BadInput(
            f"weights: {path}; a safetensors file, pickle is not accepted: "
            "save with safetensors.torch.save_file(network.state_dict(), path)"
        )
    wanted = dict(network.state_dict())
    found: dict[str, Tensor] = {}
    try:
        with safe_open(path, framework="pt") as held:
            keys = list(held.keys())
            names = _names(keys, network, wanted)
            for key in keys:
                part = held.get_slice(key)
                _check_tensor(key, part.get_dtype(), part.get_shape(), wanted[names[key]])
            for key in keys:
                value = held.get_tensor(key).to(wanted[names[key]])
                _check_finite(value, f"weights.{key}", "a finite number")
                found[names[key]] = value
    except SafetensorError as failed:
        raise Damaged(f"weights: {path}; cannot be read as safetensors ({failed})") from failed
    return found


def read_data(path: str | Path) -> Data:
    """Samples from an .npz file with `x`, mostly `y`, and perhaps `classes`.

    `x`: floating point, (n, d), (n, H, W) or (n, C, H, W). `y`: integer labels (n,), or real-valued
    targets (n, d). `classes`: number of classes, by default the largest label plus one.

    Raises:
        BadInput: naming the array, and the first sample and feature that is not finite.
        Damaged: if the file is broken.
    """
    path = _file(path, "data")
    arrays = _npz(path)
    if "x" not in arrays:
        raise BadInput(f"data.x: missing; an array x (n, ...) in {path}")
    x = _floats(arrays["x"], "data.x")
    if x.ndim not in (2, 3, 4) or 0 in x.shape:
        raise BadInput(
            f"data.x: shape {tuple(x.shape)}; (n, d), (n, H, W) or (n, C, H, W), without empty axes"
        )
    _check_finite(x, "data.x", "a finite number")
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


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file, in hex."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# TOML --------------------------------------------------------------------------------------------


def _file(path: str | Path, field: str) -> Path:
    """The path, if a file lies there."""
    path = Path(path)
    if not path.exists():
        raise BadInput(f"{field}: {path}; no such file")
    if not path.is_file():
        raise BadInput(f"{field}: {path}; must be a file")
    return path


def _head(path: Path) -> bytes:
    """The first two bytes."""
    with path.open("rb") as file:
        return file.read(2)


def _toml(path: Path, field: str) -> dict[str, Any]:
    """A TOML file as plain data, or a refusal that names line and column."""
    with _opened(path, field) as file:
        raw = file.read(LARGEST_TEXT + 1)
    if len(raw) > LARGEST_TEXT:
        raise BadInput(f"{field}: {path}; a TOML file of at most {LARGEST_TEXT} bytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as bad:
        where = _place(raw[: bad.start].decode(errors="replace"))
        byte = raw[bad.start]
        raise BadInput(f"{field}: {path}, {where}: byte 0x{byte:02x} is not UTF-8") from None
    try:
        data = tomllib.loads(text)
    except RecursionError:
        raise BadInput(f"{field}: {path}; nested too deeply") from None
    except tomllib.TOMLDecodeError as bad:
        raise BadInput(f"{field}: {path}, {_said(str(bad), text)}") from None
    except ValueError as bad:  # an integer of thousands of digits
        raise BadInput(f"{field}: {path}; {str(bad).partition(';')[0]}") from None
    for key, value in _leaves(data, field):
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise BadInput(f"{key}: an integer of {value.bit_length()} bits; at most 64 bits")
    return data


def _opened(path: Path, field: str) -> AbstractContextManager[IO[bytes]]:
    """A file's bytes, or what is piped in."""
    if str(path) == STDIN:
        return nullcontext(sys.stdin.buffer)
    return _file(path, field).open("rb")


def _said(message: str, text: str) -> str:
    """Tomllib's message with the place in front."""
    found = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", message, re.DOTALL)
    if found:
        return f"line {found[2]}, column {found[3]}: {found[1]}"
    return f"{_place(text)}: {message.removesuffix(' (at end of document)')}"


def _place(before: str) -> str:
    """Line and column of what follows a text."""
    return f"line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"


def _leaves(value: Any, field: str) -> Iterator[tuple[str, Any]]:
    """Every value in nested tables and lists, with its dotted name."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{field}.{key}")
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _leaves(inner, f"{field}[{i}]")
    else:
        yield field, value


def _entry(kind: str, value: Any) -> Any:
    """An entry from its name, or from a table with its name and dials."""
    if isinstance(value, Mapping) and not isinstance(value.get("name", ""), str):
        raise BadInput(f"{kind}.name: {value['name']}; a text")
    return from_dict(kind, value)


# Weights -----------------------------------------------------------------------------------------


def _names(keys: list[str], network: Network, wanted: Mapping[str, Tensor]) -> dict[str, str]:
    """For each key of a file the key of the state dict; every one of those must be there."""
    simple = any(re.fullmatch(r"[Wb]\d+", key) for key in keys)
    names = _simple(network, wanted) if simple else {key: key for key in wanted}
    for key in keys:
        if key not in names:
            raise BadInput(f"weights.{key}: {unknown(key, names)}")
    for key in names:
        if key not in keys:
            shape = tuple(wanted[names[key]].shape)
            raise BadInput(f"weights.{key}: missing; a tensor of shape {shape}")
    return names


def _simple(network: Network, wanted: Mapping[str, Tensor]) -> dict[str, str]:
    """W1, b1, W2, ... -> keys of the state dict."""
    names = {}
    for layer in network.layers:
        for name in wanted:
            if name.startswith(f"maps.{layer}."):
                short = {"weight": "W", "bias": "b"}.get(name.rpartition(".")[2])
                if short is None or f"{short}{layer}" in names:
                    raise BadInput(
                        f"weights.W{layer}: layer {layer} is not one linear map; "
                        f"use the keys {', '.join(wanted)}"
                    )
                names[f"{short}{layer}"] = name
    return names


def _check_tensor(key: str, dtype: str, shape: list[int], like: Tensor) -> None:
    """Refuse a tensor of another type or shape before it is read."""
    if dtype not in FLOATS:
        raise BadInput(f"weights.{key}: {dtype}; one of {', '.join(FLOATS)}")
    if tuple(shape) != tuple(like.shape):
        raise BadInput(
            f"weights.{key}: shape {tuple(shape)}; {tuple(like.shape)} in this network (out, in)"
        )


def _check_finite(values: Tensor, field: str, legal: str) -> None:
    """Refuse what is not finite, with the place of the first such number."""
    bad = ~torch.isfinite(values)
    if not bool(bad.any()):
        return
    first = int(bad.flatten().to(torch.uint8).argmax())
    shown = float(values.flatten()[first])
    if field.startswith("data."):
        sample, feature = divmod(first, values[0].numel())
        raise BadInput(f"{field}: {shown} at sample {sample}, feature {feature}; {legal}")
    at = ", ".join(str(int(i)) for i in np.unravel_index(first, values.shape))
    raise BadInput(f"{field}[{at}]: {shown}; {legal}")


# Data --------------------------------------------------------------------------------------------

ARRAYS = ("x", "y", "classes")


def _npz(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file, once their headers have been found sound."""
    if _head(path) != b"PK":
        raise BadInput(f"data: {path}; an .npz file as numpy.savez writes it")
    try:
        with zipfile.ZipFile(path) as archive:
            inside = {one.filename.removesuffix(".npy"): one for one in archive.infolist()}
            for name in inside:
                if name not in ARRAYS:
                    raise BadInput(f"data.{name}: {unknown(name, ARRAYS)}")
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
    _check_finite(targets, "data.y", "a finite number")
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
