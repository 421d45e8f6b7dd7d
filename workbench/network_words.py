"""What does a layer's module do, in a few words? "tanh, Linear 64 → 32", in its order."""

from collections.abc import Iterable, Iterator
from math import prod
from typing import Any

from torch import nn

from core.networks.activations import ACTIVATIONS
from core.networks.equilibrium import WithSkip
from core.networks.layers import ScaledLinear
from core.networks.residual import Summed
from core.normalization import BatchNorm
from core.own.parts import Reading

SILENT = (nn.Flatten, nn.Unflatten, nn.Identity)
"""They change no number and need no word."""

NAMES: dict[type[nn.Module], str] = {
    **{kind: name.replace("_", " ") for name, kind in ACTIVATIONS.items()},
    **dict.fromkeys((BatchNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), "BatchNorm"),
    **dict.fromkeys(
        (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d), "mean over places"
    ),
}
"""Of modules that need no number."""

POOLS: dict[type[nn.Module], str] = {
    **dict.fromkeys((nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d), "max pool"),
    **dict.fromkeys((nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d), "mean pool"),
}

COPY = "copy"
"""A module that does nothing."""


def words(module: nn.Module) -> str:
    """What a module does in a few words; one that nobody knows by the name of its class."""
    return ", ".join(_parts(module)) or COPY


def _parts(module: nn.Module) -> Iterator[str]:
    """The words of each module within, in order."""
    if isinstance(module, nn.Sequential):
        for one in module:
            yield from _parts(one)
    elif isinstance(module, Summed):
        yield from _parts(module.inner)
    elif isinstance(module, ScaledLinear):
        yield from _parts(module.before)
        skip = " + skip" if module.skip else ""
        scale = f" × {module.scale:.3g}" if module.scale != 1.0 else ""
        yield f"{_linear(module.linear)}{scale}{skip}"
    elif isinstance(module, WithSkip):
        yield f"{_convolution(module.below)} + {_convolution(module.further)}"
    elif isinstance(module, Reading):
        yield from _parts(module.inner)
        before = [words(one) for one in module.before]
        if any(one != COPY for one in before):
            yield f"of {' and '.join(before)}"
    elif not isinstance(module, SILENT):
        yield _word(module)


def _word(module: nn.Module) -> str:
    if isinstance(module, nn.Linear):
        return _linear(module)
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return _convolution(module)
    kind: type[nn.Module] = type(module)
    if kind in POOLS:
        size: Any = module.kernel_size
        return f"{POOLS[kind]} {_step(size)}"
    return NAMES.get(kind, kind.__name__)


def _linear(module: nn.Linear) -> str:
    return f"Linear {module.in_features} → {module.out_features}"


def _convolution(module: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> str:
    """Its kernel and channels, and what is not as usual."""
    found = f"Conv {_sizes(module.kernel_size)}, {module.in_channels} → {module.out_channels}"
    if prod(module.stride) != 1:
        found += f", stride {_step(module.stride)}"
    return found if module.groups == 1 else f"{found}, {module.groups} groups"


def _sizes(sizes: Iterable[int]) -> str:
    """Of a kernel: 3×3."""
    return "×".join(str(one) for one in sizes)


def _step(sizes: int | tuple[int, ...]) -> str:
    """Of a stride or a pool: one number where all sides have the same."""
    if isinstance(sizes, int):
        return str(sizes)
    return str(sizes[0]) if len(set(sizes)) == 1 else _sizes(sizes)
