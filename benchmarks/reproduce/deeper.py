"""Which cells make the tables on convolutional networks? All choices at values that are printed.

Where a work prints no choices for a network, those of its nearest preset are taken. A *short* cell
has narrow layers, a tenth of the images and few epochs: it shows a trend, no printed number.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.reproduce.cells import Cell
from benchmarks.reproduce.made import (
    FRACTIONS,
    METHODS,
    NO_SEARCH,
    SEEDS,
    Points,
    Table,
    at,
    from_preset,
    replaced,
)
from core.augment import FLIP
from core.experiment import Experiment
from workbench.presets import published

SHORT: dict[str, Any] = {"network.width": 0.125, "dataset.fraction": 0.1}
SHORT_EPOCHS = 3


def _cell(
    preset: str, point: Mapping[str, Any], *, short: bool, epochs: int, seed: int, **of: str
) -> Cell:
    """A preset at a point; if it is short, its schedule shrinks with the training.

    Backprop relaxes one step, which its gradients do not read.
    """
    dials = dict(point)
    learning = at(published()[preset].choices, dials)["learning"]
    if learning == "Backprop":
        dials["steps"] = 1
    if short:
        dials = _shortened(published()[preset].choices, dials, epochs)
    budget = NO_SEARCH
    held = {preset: {"budget": budget, "point": dials}}
    name = of.pop("name", preset)
    taken = SHORT_EPOCHS if short else epochs
    cell = from_preset(preset, seed=seed, epochs=taken, points=held, **of)  # type: ignore[arg-type]
    return replaced(cell, name=f"{name}{'-short' if short else ''}-{seed}")


def _shortened(choices: dict[str, Any], point: dict[str, Any], epochs: int) -> dict[str, Any]:
    """The point of a short cell of a training of so many epochs."""
    whole = at(choices, point)
    found = {**point, **{k: v for k, v in SHORT.items() if _is_whole(whole, k)}}
    count = per_epoch(Experiment.from_dict(at(choices, found)))
    share = SHORT_EPOCHS * count / (epochs * per_epoch(Experiment.from_dict(whole)))
    return {**found, "weights.span": max(1, round(whole["weights"]["span"] * share))}


def _is_whole(choices: dict[str, Any], dotted: str) -> bool:
    """Whether the entry that is chosen has a dial, and nothing is taken from it yet."""
    kind, _, dial = dotted.partition(".")
    return getattr(getattr(Experiment.from_dict(choices), kind), dial, None) == 1.0


def per_epoch(experiment: Experiment) -> int:
    """Batches of an epoch, of a set that tells how many images it has."""
    held: Any = experiment.dataset
    count = getattr(held, "images", (IMAGENET[0],))[0] * getattr(held, "fraction", 1.0)
    return max(1, round(count) // experiment.batch_size)


# Pinchetti et al. 2026: AlexNet ------------------------------------------------------------------


def init_cifar(short: bool, points: Points) -> list[Cell]:
    """The rows of CIFAR-10 in table 1."""
    cells = []
    for part, fraction in FRACTIONS.items():
        if short and part != "25":
            continue
        for method, column in METHODS.items():
            preset = "-".join(one for one in ("init-cifar10-alexnet", part, method) if one)
            row = f"CIFAR10, {100 * fraction:g} %"
            for seed in SEEDS[:1] if short else SEEDS:
                more = {"row": row, "method": column}
                cells.append(_cell(preset, {}, short=short, epochs=24, seed=seed, **more))
    return cells


# Qi et al. 2026: VGGs and ResNets ---------------------------------------------------------------

EXAMPLE = "deep-resnet10-cifar10"
"""The only configuration of the work that is released."""

FROZEN = "PC + spiking + forward update"


def _tuned(preset: str) -> dict[str, Any]:
    """The states of a method without a spike move as that method was tuned on VGG5."""
    return {"dynamics": published()[preset].choices["dynamics"]}


def _methods() -> dict[str, dict[str, Any]]:
    """What the methods change in the work's example, which is spiking with the forward update."""
    pc, ipc = _tuned("pcx-vgg5-cifar10-pc-se"), _tuned("pcx-vgg5-cifar10-ipc")
    plain = {"precision": "Identity"}
    local = {"learning": "PredictiveCoding"}
    return {
        "BP": {**plain, **pc, "learning": "Backprop"},
        "PC": {**plain, **pc, **local},
        "PC + spiking": local,
        "PC + decaying": {"precision": "Decaying", **local},
        "PC + forward update": {**plain, **pc},
        FROZEN: {},
        "PC + decaying + forward update": {"precision": "Decaying"},
        "iPC": {**plain, **ipc, "learning": "Incremental"},
        "iPC + spiking": {"learning": {"name": "Incremental", "weighted": True, "freeze": True}},
    }


NORMS = {"BatchNorm of the states": "batch", "no BatchNorm": "none"}
"""Beside the frozen one, which all other rows have; by the words that are put behind the method."""

QUOTED = {("VGG10", FROZEN): "93.27 % best test accuracy"}
"""What others quote; the work's own tables are not known here."""


def deep_vgg(short: bool, points: Points) -> list[Cell]:
    """Methods by depth, and BatchNorm frozen or not."""
    cells = []
    for layout in ("VGG5", "VGG7", "VGG10"):
        more = {f"{FROZEN}, {said}": {"network.batch_norm": k} for said, k in NORMS.items()}
        for method, choices in (_methods() | more).items():
            network = {"name": "VGG", "layout": layout, "activation": "gelu", "width": 1.0}
            network["batch_norm"] = choices.get("network.batch_norm", "frozen")
            cells += _deep("deep-vgg", layout, method, {**choices, "network": network}, short)
    return cells


def deep_resnet(short: bool, points: Points) -> list[Cell]:
    """Methods on residual networks, by what makes a skip as long as its main path."""
    gentle = {"dynamics": {"name": "GradientDescent", "rate": _example()["dynamics"]["rate"]}}
    more: dict[str, dict[str, Any]] = {
        f"{FROZEN}, no auxiliary neurons": {"network.skips": "none"},
        f"{FROZEN}, auxiliary neurons as published": {"network.skips": "published", **gentle},
    }
    cells = []
    for layout in ("ResNet10", "ResNet18"):
        for method, choices in (_methods() | more).items():
            network = {**_example()["network"], "layout": layout}
            network["skips"] = choices.get("network.skips", network["skips"])
            cells += _deep("deep-resnet", layout, method, {**choices, "network": network}, short)
    return cells


def _example() -> dict[str, Any]:
    return published()[EXAMPLE].choices


def _deep(table: str, layout: str, method: str, choices: dict[str, Any], short: bool) -> list[Cell]:
    """A method on a network, with T = L + 3 as in the example."""
    kept = {k: v for k, v in choices.items() if not k.startswith("network.")}
    deep = at(_example(), {**kept, "steps": 100})  # enough for any precision
    depth = Experiment.from_dict(deep).network.layers
    point = {"steps": depth + 3, **kept}
    if method.startswith("iPC"):
        point["weights.span"] = _example()["weights"]["span"] * point["steps"]
    words = re.sub(r"[^a-z0-9]+", "-", f"{layout} {method}".lower()).strip("-")
    more = {"name": f"{table}-{words}", "row": layout, "method": method}
    theirs = QUOTED.get((layout, method), "")
    seeds = SEEDS[:1] if short else SEEDS
    cells = [_cell(EXAMPLE, point, short=short, epochs=30, seed=seed, **more) for seed in seeds]
    return [replaced(one, published=theirs) for one in cells]


# Pinchetti et al. 2025: VGG5 --------------------------------------------------------------------

PCX_METHODS = ("bp-se", "bp-ce", "pc-se", "pc-ce", "ipc", "pc-pn", "pc-nn", "pc-cn")


def pcx_vgg5(short: bool, points: Points) -> list[Cell]:
    """The released settings of VGG5."""
    cells = []
    for key, title in {"cifar10": "CIFAR10", "cifar100": "CIFAR100"}.items():
        if short and key != "cifar10":
            continue
        for method in PCX_METHODS:
            for seed in SEEDS[:1] if short else SEEDS:
                more = {"row": title, "method": method.upper()}
                name = f"pcx-vgg5-{key}-{method}"
                cells.append(_cell(name, {}, short=short, epochs=50, seed=seed, **more))
    released = "the work's own: the released settings"
    return [replaced(one, budget=released) for one in cells]


# Kerjan et al. 2026: CIFAR-10 and ImageNet ------------------------------------------------------


def ep_cifar(short: bool, points: Points) -> list[Cell]:
    """Centered equilibrium propagation on CIFAR-10 beside backprop."""
    return [
        _cell(
            f"ep-vgg5-cifar10-{loss}-{method}",
            {},
            short=short,
            epochs=100,
            seed=seed,
            row=loss.upper(),
            method=method.upper(),
        )
        for loss in ("mse", "ce")
        for method in ("ep", "bp")
        for seed in (SEEDS[:1] if short else SEEDS)
    ]


IMAGENET = (1_281_167, 50_000)
"""Images of training and test."""

PHOTOGRAPHS: dict[str, Any] = {
    "name": "Folder",
    "classes": 1000,
    "side": 224,
    "short": 256,
    "scale": "ImageNet",
    "augment": FLIP,
    "limit": 64.0,
}

EP_IMAGENET = {
    ("VGG10", "ep"): "33.81 % test error, 13.23 of the first five",
    ("VGG10", "bp"): "32.35 % test error, 12.20 of the first five",
    ("VGG10Skip", "ep"): "33.92 % test error, 13.32 of the first five",
    ("VGG10Skip", "bp"): "32.40 % test error, 12.1 of the first five",
}


def ep_imagenet(short: bool, points: Points) -> list[Cell]:
    """Ten layers on a folder of photographs."""
    cells = []
    for (layout, method), theirs in EP_IMAGENET.items():
        preset, epochs = f"ep-vgg5-imagenet32-ce-{method}", 50
        point = {
            "network.layout": layout,
            "dataset": dict(PHOTOGRAPHS),
            "steps": 10,
            "task": {**published()[preset].choices["task"], "beta": 0.05},
            "weights.rate": 0.02,
            "weights.decay": 2e-4,
            "weights.span": epochs * (IMAGENET[0] // 256),
        }
        more = {"name": f"ep-imagenet-{layout.lower()}-{method}", "row": layout}
        more["method"] = method.upper()
        cell = _cell(preset, point, short=short, epochs=epochs, seed=0, **more)
        cells.append(replaced(cell, published=theirs))
    return cells


NARROW = (
    "Short: layers of an eighth of their widths, a tenth of the images, 3 epochs, the schedule of "
    "the weight rate shortened with them. No images are held out: the sets have no such dial here, "
    "and the epoch is chosen on the test images, as the works do."
)

ONE_EXAMPLE = (
    "The work's tables are not known here; 93.27 is what others quote. Its only released "
    "configuration, that of ResNet10 on CIFAR-10, is taken for every depth, with T = L + 3; plain "
    "predictive coding and the forward update alone move the states as Pinchetti et al. 2025 tuned "
    f"them on VGG5, iPC as they tuned it there; weights as in the example. {NARROW}"
)


def _table(title: str, cells: Callable[[bool, Points], list[Cell]], *notes: str) -> Table:
    return Table(title, cells, " ".join(notes))


TABLES = {
    "init-cifar": _table(
        "Pinchetti et al. 2026, table 1: CIFAR10 on AlexNet",
        init_cifar,
        "The layout is that of its author's tutorial; short: an eighth of the widths, 3 "
        "epochs. No images are held out.",
    ),
    "deep-vgg": _table("Qi et al. 2026: VGGs on CIFAR10", deep_vgg, ONE_EXAMPLE),
    "deep-resnet": _table(
        "Qi et al. 2026: ResNets on CIFAR10",
        deep_resnet,
        "Skips are delayed by relays but where it says otherwise; auxiliary neurons as published "
        f"go without momentum, which they are refused with. {ONE_EXAMPLE}",
    ),
    "pcx-vgg5": _table("Pinchetti et al. 2025: VGG5", pcx_vgg5, "Numbers are second-hand.", NARROW),
    "ep-cifar": _table("Kerjan et al. 2026: CIFAR10 on VGG5", ep_cifar, NARROW),
    "ep-imagenet": _table(
        "Kerjan et al. 2026: a folder of photographs on VGG10",
        ep_imagenet,
        "Classes are those of the folder. All images lie in memory at once, so that of ImageNet "
        "only a part fits most machines; training images are mirrored and cropped to 224 from 256. "
        "Short: layers of an eighth of their widths, 3 epochs.",
    ),
}
