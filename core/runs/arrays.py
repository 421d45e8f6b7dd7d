"""How are numbers of any framework taken now and read later? Without waiting for a device."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.catalogue import BadInput, shown

LEGAL = "numbers, an array of them, or a list of these"


class Several:
    """Arrays of one shape, each where it was computed, that are one array when they are read."""

    def __init__(self, parts: list[Any]) -> None:
        """Take over what `taken` gave."""
        self.parts = parts
        self.shape = (len(parts), *parts[0].shape)

    @property
    def nbytes(self) -> int:
        """Of all of them."""
        return sum(int(one.nbytes) for one in self.parts)


Taken = Any
"""A copy of what was given, where it was computed; it has a shape and a number of bytes."""


def taken(field: str, value: Any) -> Taken:
    """A copy of what was given, which no later change of it reaches.

    Tensors of torch are taken without their graph and stay on their device, arrays of jax too;
    nothing is waited for.

    Raises:
        BadInput: for anything but numbers, or a list of different shapes.
    """
    if isinstance(value, Tensor):
        if value.is_complex():
            raise BadInput(f"{field}: a tensor of {value.dtype}; real numbers")
        return value.detach().clone()
    if isinstance(value, np.ndarray | np.generic | int | float):
        return _real(field, np.array(value))
    if isinstance(value, list | tuple):
        return _from_list(field, value)
    if hasattr(value, "__array__") and hasattr(value, "shape"):
        return value.copy() if hasattr(value, "copy") else value
    raise BadInput(f"{field}: {shown(value)}; {LEGAL}")


def _from_list(field: str, values: Sequence[Any]) -> Taken:
    if not values:
        raise BadInput(f"{field}: an empty list; {LEGAL}")
    if all(isinstance(one, Tensor) for one in values):
        same = {(one.shape, one.device) for one in values}
        if len(same) == 1:
            return taken(field, torch.stack([one.detach() for one in values]))
    if all(isinstance(one, int | float) for one in values):
        return np.array(values, dtype=np.float64)
    parts = [taken(f"{field}[{k}]", one) for k, one in enumerate(values)]
    shapes = list(dict.fromkeys(tuple(one.shape) for one in parts))
    if len(shapes) > 1:
        raise BadInput(f"{field}: a list of shapes {shapes[0]} and {shapes[1]}; one shape")
    if all(isinstance(one, np.ndarray) for one in parts):
        return np.stack(parts)
    return Several(parts)


def landed(field: str, values: Sequence[Taken]) -> NDArray[Any]:
    """Copies of one shape as one array on the host, (len(values), *shape), of floating point.

    Tensors on one device come in one copy.

    Raises:
        BadInput: for anything but real numbers.
    """
    first = values[0]
    if isinstance(first, Tensor) and all(
        isinstance(one, Tensor) and one.device == first.device for one in values
    ):
        return _of_torch(torch.stack(list(values)))
    return np.stack([_on_host(field, one) for one in values])


def _on_host(field: str, value: Taken) -> NDArray[Any]:
    if isinstance(value, Several):
        return np.stack([_on_host(field, one) for one in value.parts])
    if isinstance(value, Tensor):
        return _of_torch(value)
    return _real(field, np.asarray(value))


def _of_torch(value: Tensor) -> NDArray[Any]:
    known = value.dtype in (torch.float16, torch.float32, torch.float64)
    if not known:  # numpy has neither bfloat16 nor the smaller ones
        value = value.to(torch.float32 if value.is_floating_point() else torch.float64)
    return value.cpu().numpy()


def _real(field: str, held: NDArray[Any]) -> NDArray[Any]:
    """Floating-point numbers as they are, others as float64."""
    if held.dtype.kind == "f":
        return held
    if held.dtype.kind in "biu":
        return held.astype(np.float64)
    if "float" in held.dtype.name:  # of a type that numpy has from elsewhere, as bfloat16 of jax
        return held.astype(np.float32)
    raise BadInput(f"{field}: an array of {held.dtype}; real numbers")
