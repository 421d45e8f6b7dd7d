"""How do arrays become bytes? As they lie in memory, behind a short header; nothing is pickled."""

import json
import math
import numbers
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST = 2**28
"""Bytes that a packed head may have when it is unpacked."""

KINDS = "biuf"
"""numpy's kinds of numbers that are stored; texts are stored as codes."""


def pack(arrays: Mapping[str, NDArray[Any]], more: Mapping[str, Any] | None = None) -> bytes:
    """Arrays, and plain data beside them, as compressed bytes.

    Args:
        arrays: of numbers or of texts.
        more: what else is to come back, as JSON writes it.
    """
    specs, parts = [], []
    for name, values in arrays.items():
        spec: dict[str, Any] = {"name": name}
        if values.dtype.kind == "U":
            words, codes = np.unique(values, return_inverse=True)
            spec["words"] = words.tolist()
            values = codes.reshape(values.shape).astype(np.int32)
        values = plain(values)
        specs.append(spec | {"dtype": values.dtype.str, "shape": values.shape})
        parts.append(values.tobytes())
    header = json.dumps({"arrays": specs, "more": more or {}}).encode()
    return zlib.compress(b"".join([struct.pack("<I", len(header)), header, *parts]), 1)


def unpack(data: bytes) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """What `pack` was given.

    Raises:
        ValueError: if the bytes are no such pack.
    """
    engine = zlib.decompressobj()
    try:
        raw = engine.decompress(data, LARGEST)
    except zlib.error as failed:
        raise ValueError(f"head: {failed}") from None
    if engine.unconsumed_tail or not engine.eof:
        raise ValueError(f"head: longer than {LARGEST} bytes, or cut off")
    try:
        return _arrays(raw)
    except (struct.error, LookupError, TypeError, AttributeError, OverflowError) as failed:
        raise ValueError(f"head: {failed}") from None


def _arrays(raw: bytes) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    (length,) = struct.unpack_from("<I", raw)
    header = json.loads(raw[4 : 4 + length])
    at = 4 + length
    found: dict[str, NDArray[Any]] = {}
    for spec in header["arrays"]:
        values, at = from_bytes(raw, spec["dtype"], spec["shape"], at)
        if "words" in spec:
            words = np.array(spec["words"], dtype=str)
            # One word, as the phase of nearly all parts, is held once and not for every row.
            one = words[0] if len(words) else ""
            many = len(words) > 1
            values = words[values] if many else np.broadcast_to(np.array(one), values.shape)
        found[spec["name"]] = values
    return found, header["more"]


def plain(values: NDArray[Any]) -> NDArray[Any]:
    """The same numbers, contiguous and in this order of bytes: little endian.

    Raises:
        ValueError: for anything but numbers.
    """
    if values.dtype.kind not in KINDS:
        raise ValueError(f"{values.dtype}: not numbers")
    return np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False))


def from_bytes(
    data: bytes, dtype: str, shape: list[int] | tuple[int, ...], at: int = 0
) -> tuple[NDArray[Any], int]:
    """An array that lies in bytes, and where it ends.

    Raises:
        ValueError: if the bytes are too few, or are no numbers.
    """
    kind = np.dtype(dtype)
    count = math.prod(shape)
    if kind.kind not in KINDS or count < 0 or at + count * kind.itemsize > len(data):
        raise ValueError(f"an array of {dtype} {tuple(shape)} does not lie in {len(data)} bytes")
    values = np.frombuffer(data, kind, count, at).reshape(shape)
    return values, at + count * kind.itemsize


def plain_data(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Data that JSON can write; numpy's numbers as Python's."""

    def one(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(k): one(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [one(v) for v in value]
        if isinstance(value, bool | str | type(None)):
            return value
        if isinstance(value, numbers.Integral):
            return int(value)
        if isinstance(value, numbers.Real):
            return float(value) if math.isfinite(value) else str(value)
        return str(value)

    return {str(k): one(v) for k, v in attrs.items()}
