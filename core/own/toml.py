"""How is a network of torch modules written down without code? Layers as tables of a TOML file.

    title = "Mixed"
    [[layer]]
    modules = [
      { type = "Conv2d", in_channels = 1, out_channels = 8, kernel_size = 3, padding = 1 },
      { type = "Tanh" },
    ]
    [[layer]]
    modules = [{ type = "Flatten" }, { type = "Linear", in_features = 512, out_features = 10 }]

A layer may have a name, `reads` (the layer before it, if nothing is said; "input" is the image),
and site = "pre". With relay = true in the place of modules it is a step of delay. One that a layer
listed before it reads has a `shape`, such as [16].
"""

import inspect
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.catalogue import BadInput, shown, unknown
from core.footprint import TooLarge, gigabytes, memory
from core.nesting import is_deep
from core.own.graph import INPUT, Graph
from core.own.register import network

TOP = ("title", "name", "weights", "source", "doc", "formula", "image_at", "latent", "layer")
LAYER = ("name", "reads", "site", "modules", "relay", "shape")
SITES = ("post", "pre")


def read(path: Path, source: bytes | None = None) -> Any:
    """Add the network that a file describes to the catalogue.

    Args:
        path: of the file; weights are looked for beside it.
        source: its bytes, where they have been read.

    Returns: the entry.

    Raises:
        BadInput: naming the key, what came and what is legal.
    """
    try:
        text = (path.read_bytes() if source is None else source).decode("utf-8")
        if is_deep(text):
            raise ValueError("nested too deeply")
        data = tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as failed:
        raise BadInput(f"network: {path.name}; cannot be read ({failed})") from failed
    _known(data, TOP, "network")
    layers = data.pop("layer", None)
    if not isinstance(layers, list) or not layers:
        raise BadInput(f"network.layer: {shown(layers)}; tables [[layer]], one at least")
    title = _text(data, "title")
    given = {key: _text(data, key) for key in data if key not in ("weights", "latent")}
    given.pop("title")
    if "weights" in data:
        given["weights"] = str(path.parent / _text(data, "weights"))
    if "latent" in data:
        given["latent"] = tuple(data["latent"])
    return network(title, graph(layers), **given)


def graph(layers: list[Any]) -> Graph:
    """The graph that the tables of a file describe."""
    nodes: dict[str, tuple[Any, nn.Module | None]] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    pre: list[str] = []
    last = INPUT
    for k, one in enumerate(layers):
        field = f"network.layer[{k}]"
        if not isinstance(one, Mapping):
            raise BadInput(f"{field}: {shown(one)}; a table")
        _known(one, LAYER, field)
        name, reads = one.get("name", f"layer{k + 1}"), one.get("reads", last)
        if not isinstance(name, str) or name in nodes:
            raise BadInput(f"{field}.name: {shown(name)}; a name that no other layer has")
        texts = reads if isinstance(reads, list) else [reads]
        if not texts or not all(isinstance(text, str) for text in texts):
            raise BadInput(f"{field}.reads: {shown(reads)}; a name, or a list of names")
        site = one.get("site", "post")
        if site not in SITES:
            raise BadInput(f"{field}.site: {unknown(site, SITES)}")
        if site == "pre":
            pre.append(name)
        if "shape" in one:
            if not isinstance(one["shape"], list):
                raise BadInput(f"{field}.shape: {shown(one['shape'])}; a list of sizes, as [16]")
            shapes[name] = tuple(one["shape"])
        nodes[name] = tuple(texts), _layer(one, field)
        last = name
    return Graph(nodes, pre, shapes)


def _layer(table: Mapping[str, Any], field: str) -> nn.Module | None:
    """The modules of a layer; None for a relay."""
    relay, modules = table.get("relay", False), table.get("modules")
    if not isinstance(relay, bool):
        raise BadInput(f"{field}.relay: {shown(relay)}; true or false")
    if relay:
        if modules is not None:
            raise BadInput(f"{field}.modules: given beside relay; a relay has none")
        return None
    if not isinstance(modules, list) or not modules:
        raise BadInput(f"{field}.modules: {shown(modules)}; a list of tables with a type")
    made = [_module(one, f"{field}.modules[{k}]") for k, one in enumerate(modules)]
    return nn.Sequential(*made) if len(made) > 1 else made[0]


def _module(table: Any, field: str) -> nn.Module:
    """One of torch's modules."""
    if not isinstance(table, Mapping) or "type" not in table:
        raise BadInput(f"{field}: {shown(table)}; a table with a type")
    known = types()
    kind = table["type"]
    if kind not in known:
        raise BadInput(f"{field}.type: {_nearest(kind, known)}")
    arguments = {key: value for key, value in table.items() if key != "type"}
    legal = [one for one in inspect.signature(known[kind].__init__).parameters if one != "self"]
    for key, value in arguments.items():
        if key not in legal:
            raise BadInput(f"{field}.{key}: {unknown(key, legal)}")
        items = value if isinstance(value, list) else [value]
        if not all(isinstance(item, bool | int | float | str) for item in items):
            raise BadInput(f"{field}.{key}: {shown(value)}; numbers, texts, true, false, or a list")
        arguments[key] = tuple(value) if isinstance(value, list) else value
    try:
        with torch.device("meta"):
            _check_size(known[kind](**arguments), field)
        with torch.random.fork_rng(devices=[]):
            return known[kind](**arguments)
    except TooLarge:
        raise
    except Exception as failed:  # whatever a module of torch thinks of its arguments
        said = " ".join(str(failed).split()) or type(failed).__name__
        raise BadInput(f"{field}: {kind} cannot be made; {said}") from failed


def _check_size(module: nn.Module, field: str) -> None:
    """Refuse a module, made without memory behind it, that this machine cannot hold."""
    size = sum(one.numel() * one.element_size() for one in module.state_dict().values())
    there = memory("cpu")
    if there is not None and size > there:
        raise TooLarge(f"{field}: {gigabytes(size)}; cpu has {gigabytes(there)}")


def types() -> dict[str, type[nn.Module]]:
    """The modules of torch.nn by name."""
    found = {name: getattr(nn, name) for name in dir(nn) if name[0].isupper()}
    return {
        name: one
        for name, one in found.items()
        if isinstance(one, type) and issubclass(one, nn.Module) and one is not nn.Module
    }


def _nearest(kind: Any, known: Mapping[str, Any]) -> str:
    """An unknown type with the nearest one; there are too many to list them all."""
    hint = unknown(kind, known).rpartition("(did you mean ")[2]
    near = f" (did you mean {hint}" if hint.endswith("?)") else ""
    return f"{shown(kind)}; a module of torch.nn{near}"


def _known(table: Mapping[str, Any], legal: tuple[str, ...], field: str) -> None:
    for key in table:
        if key not in legal:
            raise BadInput(f"{field}.{key}: {unknown(key, legal)}")


def _text(data: Mapping[str, Any], key: str) -> Any:
    value = data.get(key)
    if not isinstance(value, str) or not value:
        raise BadInput(f"network.{key}: {shown(value)}; a text")
    return value
