"""How does what an entry remembers become numbers and plain data, and the same again? No pickle.

Tensors lie apart, each once, as the numbers of its memory in a row; strides are kept, because
kernels add in the order in which numbers lie. Beside them may stand numbers, text, lists, tuples,
dictionaries, and dataclasses and named tuples of the entry's own module.
"""

import dataclasses
import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from core.catalogue import BadInput

HOST = "cpu"


class NotKept(BadInput):
    """Something that cannot be kept."""


class Packed:
    """Tensors under names, and what says how they lay."""

    def __init__(self) -> None:
        """Begin empty."""
        self.tensors: dict[str, Tensor] = {}
        self.views: dict[str, dict[str, Any]] = {}
        self._names: dict[int, str] = {}
        self._held: list[Tensor] = []  # so that no other tensor gets the identity of one of these

    def put(self, value: Any, where: str, owner: str = "") -> Any:
        """A value as plain data that refers to tensors; the same tensor is kept once.

        Args:
            value: what shall be kept.
            where: as a refusal names it.
            owner: the module whose dataclasses it may hold.

        Raises:
            NotKept: for anything else.
        """
        if value is None or type(value) in (bool, int, float, str):
            return value
        if isinstance(value, Tensor):
            return {"tensor": self._tensor(value, where)}
        if type(value) is list:
            return [self.put(one, where, owner) for one in value]
        if type(value) is tuple:
            return {"tuple": [self.put(one, where, owner) for one in value]}
        if isinstance(value, Mapping):
            both = [
                [self.put(k, where, owner), self.put(v, where, owner)] for k, v in value.items()
            ]
            return {"pairs": both}
        names = _fields(type(value))
        if names is None or type(value).__module__ != owner:
            raise NotKept(f"{where}: {_named(type(value))} in its memory; {LEGAL}")
        fields = {name: self.put(getattr(value, name), where, owner) for name in names}
        return {"of": type(value).__qualname__, "fields": fields}

    def _tensor(self, value: Tensor, where: str) -> str:
        """The name under which a tensor is kept."""
        if id(value) in self._names:
            return self._names[id(value)]
        if value.layout is not torch.strided or value.is_complex() or value.is_quantized:
            raise NotKept(f"{where}: a tensor of {value.dtype}, {value.layout}; dense real ones")
        name = self._names[id(value)] = str(len(self._held))
        self._held.append(value)
        shape, strides = list(value.shape), list(value.stride())
        device = HOST if value.device.type == HOST else "device"
        self.views[name] = {"shape": shape, "strides": strides, "device": device}
        span = _span(shape, strides)
        flat = value.detach().as_strided((span,), (1,), value.storage_offset())
        self.tensors[name] = flat.to(HOST, copy=True)
        return name


LEGAL = "tensors, numbers, text, lists, tuples, dictionaries and dataclasses of its own module"


class Unpacked:
    """Gives back what was put; tensors that were one are one again."""

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        views: Mapping[str, Mapping[str, Any]],
        device: torch.device,
    ) -> None:
        """Take over what was kept.

        Args:
            tensors: the numbers of each in a row, on the host.
            views: shape, strides and device of each.
            device: of those that were not on the host.
        """
        self._tensors, self._views, self._device = tensors, views, device
        self._made: dict[str, Tensor] = {}

    def get(self, said: Any, owner: str = "") -> Any:
        """The value that became this plain data.

        Args:
            said: what `Packed.put` gave.
            owner: the module of its dataclasses, which is loaded.

        Raises:
            BadInput: if it refers to what is not there.
        """
        if isinstance(said, list):
            return [self.get(one, owner) for one in said]
        if not isinstance(said, Mapping):
            return said
        if "tensor" in said:
            return self._tensor(said["tensor"])
        if "tuple" in said:
            return tuple(self.get(one, owner) for one in said["tuple"])
        if "pairs" in said:
            return {self.get(k, owner): self.get(v, owner) for k, v in said["pairs"]}
        kind: Any = getattr(sys.modules.get(owner), said["of"], None)
        known = isinstance(kind, type) and kind.__module__ == owner
        if not known or set(_fields(kind) or ()) != set(said["fields"]):
            raise BadInput(f"memory: {said['of']}; a dataclass of {owner} with the same fields")
        return kind(**{name: self.get(one, owner) for name, one in said["fields"].items()})

    def _tensor(self, name: str) -> Tensor:
        if name not in self._made:
            view, flat = self._views[name], self._tensors[name]
            shape, strides = view["shape"], view["strides"]
            if _span(shape, strides) != flat.numel():
                raise BadInput(f"memory: tensor {name}; of {flat.numel()} numbers, not {shape}")
            where = HOST if view["device"] == HOST else self._device
            # A copy, so that it lies where torch lays its own: sums may depend on it.
            self._made[name] = flat.to(where, copy=True).as_strided(shape, strides)
        return self._made[name]


def _span(shape: list[int], strides: list[int]) -> int:
    """How much memory in a row a view reaches over."""
    if 0 in shape:
        return 0
    return 1 + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))


def _fields(kind: type) -> list[str] | None:
    """Names of the fields of a dataclass or a named tuple; None for any other."""
    if dataclasses.is_dataclass(kind):
        return [one.name for one in dataclasses.fields(kind) if one.init]
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return list(kind._fields)  # pyright: ignore[reportAttributeAccessIssue]
    return None


def _named(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
