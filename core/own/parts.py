"""Which modules may a network be made of, and where may a state stand between them?

A network here is asked for its predictions at every step, layer by layer, for each sample by
itself. So its modules must do the same at every call and change nothing: normalising layers go by
the statistics that the relaxation says, activations do not write into their input, and what draws
at random is refused.
"""

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from core.catalogue import BadInput, unknown
from core.normalization import BatchNorm

NORMS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.LocalResponseNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    BatchNorm,
)
"""They belong to the linear map before them although most have weights."""

RESHAPING = (nn.Flatten, nn.Unflatten)
"""They change no number."""

LEARNED = (nn.PReLU,)
"""Activations with weights."""

SAMPLES = 3
"""In the batch that a module is shown at the door."""


def told(name: str, module: nn.Module) -> str:
    """A module in an error line."""
    text = repr(module).splitlines()[0].rstrip("(")
    return f"{name} ({text if len(text) <= 70 else text[:67] + '...'})"


def own_copy(module: nn.Module, norm: str) -> nn.Module:
    """A copy of a module that a relaxation may call as often as it likes.

    Args:
        module: anything, which stays as it is.
        norm: what torch's BatchNorm becomes, "frozen" or "batch".
    """
    made = _normed(copy.deepcopy(module), norm)
    for one in made.modules():
        if getattr(one, "inplace", False) is True:
            vars(one)["inplace"] = False
    return made


def _normed(module: nn.Module, norm: str) -> nn.Module:
    """The module with every BatchNorm of torch in it replaced."""
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
        made = BatchNorm(module.num_features, norm, eps=module.eps)
        made.momentum = 0.1 if module.momentum is None else module.momentum
        with torch.no_grad():
            if module.affine:
                made.weight.copy_(module.weight)
                made.bias.copy_(module.bias)
            if module.running_mean is not None and module.running_var is not None:
                made.running_mean.copy_(module.running_mean)
                made.running_var.copy_(module.running_var)
        return made
    for name, child in module.named_children():
        setattr(module, name, _normed(child, norm))
    return module


def draw(module: nn.Module) -> None:
    """Draw all weights anew, as each module does it itself, from torch's global generator."""
    for one in module.modules():
        again = getattr(one, "reset_parameters", None)
        if callable(again):
            again()


def weighted(module: nn.Module) -> bool:
    """Whether a layer begins with it: it has weights, and is no norm and no activation."""
    if isinstance(module, (*NORMS, *LEARNED)):
        return False
    return any(True for _ in module.parameters())


def brackets(modules: Sequence[tuple[str, nn.Module]]) -> list[list[tuple[str, nn.Module]]]:
    """The modules of a chain in groups, one for each state, each with weights.

    What has none belongs to the weights before it, what comes first to those that follow, and so
    does a reshaping, so that a state keeps its places.
    """
    found: list[list[tuple[str, nn.Module]]] = [[]]
    for name, one in modules:
        if weighted(one) and any(weighted(other) for _, other in found[-1]):
            kept = len(found[-1])
            while isinstance(found[-1][kept - 1][1], RESHAPING):
                kept -= 1
            found.append(found[-1][kept:])
            del found[-2][kept:]
        found[-1].append((name, one))
    return found


def split(parts: Sequence[tuple[str, nn.Module]]) -> int:
    """How many modules of a layer stand before its activation: up to the last weights or norm."""
    last = 0
    for k, (_, one) in enumerate(parts):
        if weighted(one) or isinstance(one, NORMS):
            last = k + 1
    return last or len(parts)


def joined(parts: Sequence[nn.Module]) -> nn.Module:
    """Modules one after the other."""
    return parts[0] if len(parts) == 1 else nn.Sequential(*parts)


class Reading(nn.Module):
    """A module behind functions of its parents, one each."""

    def __init__(self, before: Sequence[nn.Module | None], inner: nn.Module) -> None:
        """Take what is done to each parent, None for nothing, and the module that reads them."""
        super().__init__()
        self.before = nn.ModuleList([nn.Identity() if one is None else one for one in before])
        self.inner = inner

    def forward(self, *states: Tensor) -> Tensor:
        """The prediction, (B, *shape)."""
        return self.inner(*(one(h) for one, h in zip(self.before, states, strict=True)))


def reading(before: Sequence[nn.Module | None], inner: nn.Module) -> nn.Module:
    """A module that reads its parents through functions, as plain as it can be."""
    if all(one is None for one in before):
        return inner
    if len(before) == 1:
        (one,) = before
        assert one is not None
        parts = [*one] if isinstance(one, nn.Sequential) else [one]
        rest = [*inner] if type(inner) is nn.Sequential else [inner]
        return nn.Sequential(*parts, *rest)
    return Reading(before, inner)


def asked(name: str, module: nn.Module, given: Sequence[Tensor], title: str) -> Tensor:
    """What a module makes of a small batch, if a relaxation can live with it.

    Raises:
        BadInput: naming the module: it fails, draws at random, changes something, mixes samples
            without being a norm, or gives no tensor of floats for each sample.
    """
    who = f"network: {title}, module {told(name, module)}"
    shapes = ", ".join(str(tuple(h.shape[1:])) for h in given)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    inputs = [h.clone() for h in given]
    with torch.no_grad():
        try:
            found, again = module(*inputs), module(*inputs)
        except Exception as failed:
            said = " ".join(str(failed).split()) or type(failed).__name__
            raise BadInput(f"{who} cannot read {shapes} of each sample; {said}") from failed
    if not isinstance(found, Tensor) or not found.is_floating_point():
        came = f"{found.dtype} numbers" if isinstance(found, Tensor) else type(found).__name__
        raise BadInput(f"{who} gives {came}; a tensor of floats")
    if found.dim() < 2 or len(found) != len(given[0]):
        raise BadInput(f"{who} gives the shape {tuple(found.shape)}; (B, ...) with B = {SAMPLES}")
    if found.is_meta:
        return found
    if any(not torch.equal(a, b) for a, b in zip(inputs, given, strict=True)):
        raise BadInput(f"{who} writes into what it reads; modules that leave their input as it is")
    if not torch.equal(found.nan_to_num(), again.nan_to_num()):
        raise BadInput(f"{who} draws at random; modules that do the same at every call")
    if any(not torch.equal(v, module.state_dict()[k]) for k, v in before.items()):
        raise BadInput(f"{who} changes its own state; modules that only learn by gradients")
    with torch.no_grad():
        alone = module(*(h[:1].clone() for h in given))
    if not torch.allclose(alone, found[:1], rtol=1e-3, atol=1e-4, equal_nan=True):
        raise BadInput(f"{who} mixes the samples of a batch; modules that take each by itself")
    return found


def load(module: nn.Module, weights: Mapping[str, Tensor], title: str) -> None:
    """Put a state dict into a module.

    Raises:
        BadInput: for a name that is missing or not known, or another shape.
    """
    own = module.state_dict()
    for name in own:
        if name not in weights:
            raise BadInput(f"network: {title}, weights: {name} is missing")
    for name, value in weights.items():
        if name not in own:
            raise BadInput(f"network: {title}, weights: {unknown(name, own)}")
        if tuple(value.shape) != tuple(own[name].shape):
            came, wanted = tuple(value.shape), tuple(own[name].shape)
            raise BadInput(f"network: {title}, weights: {name} has the shape {came}; {wanted}")
    module.load_state_dict(dict(weights))
