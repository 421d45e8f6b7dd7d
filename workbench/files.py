"""What did somebody hand in? Files of a network, of weights and of choices, all checked.

Every reader takes a path, returns what the core works with, and refuses in one line that names
the file's field. Nothing here unpickles, and no array is read before its declared size was seen.
"""

import dataclasses
import hashlib
import json
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from core.catalogue import BadInput, from_dict, unknown
from core.experiment import SCALARS, SCHEMA, Experiment
from core.kinds import NetworkKind
from core.nesting import is_deep
from core.network import Network

STDIN = "-"
"""The path of what is piped in, for TOML."""

OF_PRESETS = ("title", "about", "printed")
"""What a preset's file has beside choices; see `workbench.presets`."""

LARGEST_TEXT = 2**20
"""Bytes of a TOML file."""

FLOATS = ("F16", "BF16", "F32", "F64")
"""The tensor types of a safetensors file that are taken as weights."""


class Damaged(BadInput):
    """A file of the right kind that cannot be read whole: exit code 4 on the command line."""


def read_network(path: str | Path) -> NetworkKind:
    """A network entry from a TOML file: its name and any of its dials.

    Raises:
        BadInput: naming the line and column, or the dial and what is legal.
    """
    return _entry("network", _toml(Path(path), "network"))


def read_recipe(path: str | Path) -> dict[str, Any]:
    """Choices from a TOML file, by the names of an `Experiment`: its keyword arguments.

    Entries are a name, or a table with a name and dials; scalars are as they stand in the file and
    are checked by the experiment. What a preset's file says of itself is passed over.

    Raises:
        BadInput: naming the line and column, or the key (the nearest is offered).
    """
    data = _toml(Path(path), "recipe")
    schema = data.pop("schema", SCHEMA)
    for told in OF_PRESETS:
        data.pop(told, None)
    if schema != SCHEMA:
        raise BadInput(f"recipe.schema: {schema}; this version reads {SCHEMA}")
    names = [one.name for one in dataclasses.fields(Experiment)]
    for key in data:
        if key not in names:
            raise BadInput(f"recipe.{key}: {unknown(key, names)}")
    return {key: v if key in SCALARS else _entry(key, v) for key, v in data.items()}


def read_points(path: str | Path) -> list[dict[str, Any]]:
    """The points of a sweep: tables [[point]] in TOML, or in JSON a list of objects under "point".

    Raises:
        BadInput: naming the line and column, or what is no table.
    """
    path = Path(path)
    data = _json(path, "points") if path.suffix == ".json" else _toml(path, "points")
    rows = data.get("point") if isinstance(data, dict) else data
    if not isinstance(rows, list) or not rows or not all(isinstance(one, dict) for one in rows):
        raise BadInput(f"points: {path}; tables [[point]] with choices, one at least")
    return rows


def read_weights(path: str | Path, network: Network) -> dict[str, Tensor]:
    """Weights for a network from a safetensors file, by the keys of its `state_dict()`.

    The file holds either those keys or W1, b1, W2, b2, ...; shapes must agree, any floating-point
    type is converted to the network's own.

    Raises:
        BadInput: naming the first key that is missing, superfluous, of another shape or type, or
            not finite.
        Damaged: if the file is broken.
    """
    path = existing(path, "weights")
    if head(path) == b"PK" or head(path)[:1] == b"\x80":
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
                check_finite(value, f"weights.{key}", "a finite number")
                found[names[key]] = value
    except SafetensorError as failed:
        raise Damaged(f"weights: {path}; cannot be read as safetensors ({failed})") from failed
    return found


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file, in hex."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def existing(path: str | Path, field: str) -> Path:
    """The path, if a file lies there."""
    path = Path(path)
    if not path.exists():
        raise BadInput(f"{field}: {path}; no such file")
    if not path.is_file():
        raise BadInput(f"{field}: {path}; must be a file")
    return path


def head(path: Path) -> bytes:
    """The first two bytes."""
    with path.open("rb") as file:
        return file.read(2)


def check_finite(values: Tensor, field: str, legal: str) -> None:
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


# TOML --------------------------------------------------------------------------------------------


def _json(path: Path, field: str) -> Any:
    """A JSON file as plain data, or a refusal that names line and column."""
    with existing(path, field).open("rb") as file:
        raw = file.read(LARGEST_TEXT + 1)
    if len(raw) > LARGEST_TEXT:
        raise BadInput(f"{field}: {path}; a JSON file of at most {LARGEST_TEXT} bytes")
    try:
        return json.loads(raw.decode("utf-8-sig"))
    except RecursionError:
        raise BadInput(f"{field}: {path}; nested too deeply") from None
    except UnicodeDecodeError:
        raise BadInput(f"{field}: {path}; no UTF-8") from None
    except json.JSONDecodeError as bad:
        where = f"line {bad.lineno}, column {bad.colno}"
        raise BadInput(f"{field}: {path}, {where}: {bad.msg}") from None
    except ValueError as bad:  # an integer of thousands of digits
        raise BadInput(f"{field}: {path}; {str(bad).partition(';')[0]}") from None


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
        if is_deep(text):
            raise RecursionError
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
    return existing(path, field).open("rb")


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
