"""How does a network of one's own come into the menu? One call with its modules."""

import inspect
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from core.catalogue import BadInput, dial, entry
from core.network import Network
from core.networks.layers import POST, PRE
from core.normalization import BATCH, FROZEN
from core.own.graph import INPUT, Graph, Modules, built, places, whole

AS_GIVEN = "as given"

Builder = Callable[..., Modules]
"""Without arguments, or with the shape of an image (C, H, W) and the number of classes."""


@dataclass(frozen=True)
class Brought:
    """What was handed to `network`.

    Args:
        title: in the menu.
        modules: or what builds them.
        pre: states before their activation, by module.
        weights: a state dict, a file, or True for those that the modules have.
        latent: shape of a free state 0; None where the image is there.
        shape: of an image that a builder is asked for when nothing else is known, and classes.
    """

    title: str
    modules: Modules | Builder
    pre: tuple[str | int, ...]
    weights: Mapping[str, Tensor] | Path | bool
    latent: tuple[int, ...] | None
    shape: tuple[tuple[int, ...], int]

    def asked(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """The modules for images of a shape and so many classes."""
        if isinstance(self.modules, nn.Module) or not callable(self.modules):
            return whole(self.modules)
        wanted = len(inspect.signature(self.modules).parameters)
        return whole(self.modules(shape, classes) if wanted else self.modules())

    @cached_property
    def outline(self) -> tuple[int, bool]:
        """L, states on the longest way from the input to the output; whether there is a cycle."""
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            module = self.asked(*self.shape)
        depths = {INPUT: 0}
        for one in places(module, self.pre):
            depths[one.name] = 1 + max(depths[name] for name in one.reads if name in depths)
        return max(depths.values()), isinstance(module, Graph) and bool(module.back)

    def loaded(self) -> Mapping[str, Tensor] | None:
        """The state dict to begin with, if there is one."""
        if isinstance(self.weights, bool):
            return None
        return weights_of(self.weights) if isinstance(self.weights, Path) else self.weights


def weights_of(path: Path) -> dict[str, Tensor]:
    """The state dict in a safetensors file.

    Raises:
        BadInput: if there is none that can be read; pickled files are never opened.
    """
    try:
        return load_file(path)
    except FileNotFoundError:
        raise BadInput(f"weights: {path}; no file") from None
    except (SafetensorError, OSError) as failed:
        hint = "; a .safetensors file, pickles are not opened"
        raise BadInput(f"weights: {path}; cannot be read ({failed}){hint}") from failed


def network(
    title: str,
    modules: Modules | Builder | None = None,
    *,
    name: str | None = None,
    pre: Collection[str | int] = (),
    weights: Mapping[str, Tensor] | str | Path | bool = False,
    image_at: str = INPUT,
    latent: tuple[int, ...] | None = None,
    shape: tuple[int, ...] = (1, 28, 28),
    classes: int = 10,
    formula: str = r"\mu_\ell = f_\ell(h_{\mathrm{pa}(\ell)})",
    source: str = "this project",
    doc: str = "",
) -> Any:
    """Add a network of torch modules to the catalogue, as any other of its kind.

    An nn.Sequential gets a state behind every linear map with what follows it up to the next, but
    for a reshaping (norms go with the map before them); a list gets one behind each item; a `Graph`
    has the states that it names. Everything that a relaxation asks of a module is tried on a small
    batch when the network is built, and what does not do is refused by its name.

    Weights are drawn anew by each module's own reset_parameters with the experiment's seed.

    Args:
        title: in menus; without `name` its letters and digits are the name, too.
        modules: an nn.Sequential, a list, a Graph, or a function that gives one: of no arguments,
            or of the shape of an image (C, H, W) and the number of classes. Without it a decorator.
        name: of the entry in files and links.
        pre: states that stand before their activation: modules of a chain by name or number.
        weights: True to begin with those that the modules have, a state dict of them, or a
            safetensors file.
        image_at: "input" or "output".
        latent: shape of state 0 where the image is at the output.
        shape: of an image with which a function is asked how many layers it gives.
        classes: their number, with which it is asked then.
        formula: LaTeX without dollar signs.
        source: BibTeX key of the work that it is from, or "this project".
        doc: what a reader should know.

    Returns: the entry, or a decorator of a function.

    Raises:
        BadInput: for a name that is taken, or modules that are none.
    """
    if modules is None:

        def decorate(function: Builder) -> Builder:
            network(
                title,
                function,
                name=name,
                pre=pre,
                weights=weights,
                image_at=image_at,
                latent=latent,
                shape=shape,
                classes=classes,
                formula=formula,
                source=source,
                doc=doc or inspect.getdoc(function) or "",
            )
            return function

        return decorate
    _check(title, modules, image_at, latent)
    brought = Brought(
        title,
        modules,
        tuple(pre),
        Path(weights) if isinstance(weights, str) else weights,
        latent,
        (tuple(shape), classes),
    )
    made = _entry(brought, image_at)
    made.__name__ = made.__qualname__ = name or _name_of(title)
    made.__module__ = _caller()
    made.__doc__ = _doc(brought, doc, source)
    try:
        return entry("network", title, formula=formula, source=source)(made)
    except ValueError as refused:
        raise BadInput(str(refused)) from refused


def _entry(brought: Brought, at: str) -> type:
    """The class of the entry: its dials, and how it is built."""

    @dataclass(frozen=True)
    class Own:
        site: str = dial(
            AS_GIVEN,
            choices=(AS_GIVEN, POST, PRE),
            help="whether hidden states stand after their activation or before it",
        )
        batch_norm: str = dial(
            FROZEN,
            choices=(FROZEN, BATCH),
            symbol="N",
            help="BatchNorm, if any, by the batch's forward pass or by its present states",
        )

        image_at: ClassVar[str] = at
        has_weights: ClassVar[bool] = brought.weights is not False

        @property
        def layers(self) -> int:
            """L, layers on the longest way."""
            return brought.outline[0]

        @property
        def has_cycle(self) -> bool:
            """Whether states predict each other in a cycle."""
            return brought.outline[1]

        def __call__(self, shape: tuple[int, ...], classes: int) -> Network:
            """The network for images of `shape` and so many classes."""
            image, output = tuple(shape), (classes,)
            bottom, top = (image, output) if at == INPUT else (brought.latent or (), image)
            return built(
                brought.asked(shape, classes),
                brought.title,
                bottom,
                top,
                pre=brought.pre,
                site=self.site,
                norm=self.batch_norm,
                weights=brought.loaded(),
                keeps=brought.weights is True,
                image=at,
            )

    return Own


def _check(title: str, modules: Any, image_at: str, latent: tuple[int, ...] | None) -> None:
    """Refuse what cannot become an entry."""
    if not _name_of(title):
        raise BadInput(f"network.title: {title!r}; a text with letters in it")
    if image_at not in (INPUT, "output"):
        raise BadInput(f"network.image_at: {image_at!r}; input or output")
    if (image_at == "output") != (latent is not None):
        raise BadInput(
            "network.latent: the shape of state 0 where the image is at the output, "
            "and nothing else"
        )
    items = modules if isinstance(modules, list | tuple) else [modules]
    for one in items:
        if not isinstance(one, nn.Module) and not (callable(one) and one is modules):
            raise BadInput(
                f"network.modules: {type(one).__name__}; torch modules, a Graph, or a "
                "function that gives them"
            )
    if not items:
        raise BadInput("network.modules: an empty list; one module at least")


def _name_of(title: str) -> str:
    words = "".join(c if c.isascii() and c.isalnum() else " " for c in title).split()
    found = "".join(word[0].upper() + word[1:] for word in words)
    return found if not found[:1].isdigit() else f"Net{found}"


def _doc(brought: Brought, doc: str, source: str) -> str:
    first = doc.strip() or f"{brought.title}, a network of one's own."
    kept = {
        True: "Begins with the weights that it came with.",
        False: "Weights are drawn by torch's own initialization of each module.",
    }
    return f"{first}\n\n{kept[brought.weights is not False]}\n\nSource: {source}.\n"


def _caller() -> str:
    """The module that called `network`, so that it may be loaded again."""
    own = __name__
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__") == own:
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", "__main__"))
