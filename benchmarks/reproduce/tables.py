"""Which cells make a table? A function of short or full, and of the points that were found."""

import itertools
import re
from collections.abc import Mapping
from typing import Any

from benchmarks.reproduce import deeper
from benchmarks.reproduce.cells import Cell
from benchmarks.reproduce.made import (
    FRACTIONS,
    METHODS,
    NO_SEARCH,
    SEEDS,
    Points,
    Table,
    from_preset,
    replaced,
)
from workbench.presets import published

# Pinchetti et al. 2026 -------------------------------------------------------------------------

SETS = {"mnist": "MNIST", "fashionmnist": "FashionMNIST", "kmnist": "KMNIST"}


def init_rows(short: bool) -> dict[str, tuple[str, str]]:
    """Presets of table 1, each with its row and column."""
    found = {}
    for part, fraction in FRACTIONS.items():
        for key, title in SETS.items():
            for method, column in METHODS.items():
                name = "-".join(one for one in ("init", key, part, method) if one)
                found[name] = f"{title}, {100 * fraction:g} %", column
    small = ("init-mnist-25", "init-fashionmnist-25")
    return {k: v for k, v in found.items() if not short or k.startswith(small)}


def init_1(short: bool, points: Points) -> list[Cell]:
    """Accuracies by data and initialization."""
    seeds, rows = SEEDS[:1] if short else SEEDS, init_rows(short)
    points = {name: found for name in rows if (found := nearest(name, points))}
    return [
        from_preset(name, seed=seed, epochs=16, points=points, row=row, method=method)
        for seed in seeds
        for name, (row, method) in rows.items()
    ]


def nearest(name: str, points: Points) -> dict[str, Any] | None:
    """The point of a preset's own search, else that of its method on FashionMNIST at 25 %."""
    if name in points:
        return points[name]
    other = next(f"init-fashionmnist-25-{one}" for one in METHODS if name.endswith(f"-{one}"))
    if other not in points:
        return None
    found = points[other]
    return {**found, "budget": f"as {other}, on whose images it was searched: {found['budget']}"}


GRID: dict[str, list[Any]] = {
    "weights.rate": [1e-4, 3e-4, 5e-4, 1e-3, 3e-3, 5e-3],
    "network.activation": ["gelu", "elu", "tanh", "leaky_relu", "relu"],
}
STATE_GRID: dict[str, list[Any]] = {
    "dynamics.rate": [0.003, 0.005, 0.01, 0.03, 0.05, 0.1, 0.3, 0.5],
    "steps": [2, 3, 4, 5, 6, 7],
}
BEGIN: dict[str, Any] = {
    "weights.rate": 5e-4,
    "network.activation": "gelu",
    "dynamics.rate": 0.03,
    "steps": 5,
    "init.m": 3,
}
"""Where the search of every method begins."""


def init_grids(short: bool) -> dict[str, dict[str, list[Any]]]:
    """The grids that the work prints for its MLPs."""
    found = {}
    for name in init_rows(short):
        grid = dict(GRID) if name.endswith("-bp") else GRID | STATE_GRID
        found[name] = grid | ({"init.m": [1, 2, 3]} if name.endswith("-avg") else {})
    return found


def init_2(short: bool, points: Points) -> list[Cell]:
    """Accuracy by T, of each initialization."""
    inits = {"Normal": "normal", "Zero": "zero", "Null": "null", "Forward": "forward"}
    inits["Average"] = "average, m = 2"
    cells = []
    for T in (3, 5, 10) if short else (2, 3, 5, 10, 25, 50, 100):
        for init, method in inits.items():
            point: dict[str, Any] = {"steps": T, "init": init}
            if init == "Average":
                point = {"steps": T, "init": {"name": init, "m": 2}}
            held = {"init-fashionmnist-25-pc-fw": {"budget": NO_SEARCH, "point": point}}
            cells.append(
                from_preset(
                    "init-fashionmnist-25-pc-fw",
                    seed=0,
                    epochs=4 if short else 16,
                    points=held,
                    row=f"T = {T}",
                    method=method,
                    of=f"-{init.lower()}-{T}{'-short' if short else ''}",
                )
            )
    return [replaced(one, published="") for one in cells]


DECODER: dict[str, Any] = {
    "network.hidden": [256, 256, 256],
    "network.activation": "tanh",
    "weights.rate": 5e-4,
    "weights.decay": 0.01,
}


def init_7(short: bool, points: Points) -> list[Cell]:
    """Reconstruction by T of training and initialization of the latent state."""
    inits: dict[str, Any] = {"zero": "Zero", "normal": "Normal"}
    inits["memory"] = {"name": "Memory", "patterns": 24, "heads": 16, "sharpness": 200.0}
    name, cells = "pcx-decoder-fashionmnist-pc", []
    rates = (0.1, 0.5) if short else (0.05, 0.1, 0.5)
    for T, init, rate in itertools.product((3, 20) if short else (3, 5, 10, 20), inits, rates):
        if short and (init, T) not in (("memory", 3), ("zero", 3), ("zero", 20)):
            continue
        dynamics = {"name": "GradientDescent", "rate": rate}
        point = {**DECODER, "steps": T, "init": inits[init], "dynamics": dynamics}
        point |= {"dataset.fraction": 0.25} if short else {}
        held = {name: {"budget": NO_SEARCH, "point": point}}
        for seed in SEEDS[:1] if short else SEEDS:
            method = {"row": f"T = {T}", "method": f"{init}, rate {rate:g}"}
            cell = from_preset(name, seed=seed, epochs=8 if short else 16, points=held, **method)
            at_rate = "" if rate == 0.1 else f"-{rate:g}"
            of = f"{init}-{T}{at_rate}{'-short' if short else ''}-{seed}"
            cells.append(replaced(cell, name=f"init-7-{of}", published=""))
    return cells


# Qi et al. 2026 --------------------------------------------------------------------------------

DEPTHS = (3, 5, 7, 9, 12, 15)

DEEP: dict[str, dict[str, Any]] = {
    "BP": {"learning": "Backprop"},
    "PC": {},
    "PC + spiking": {"precision": {"name": "Spiking", "rest": 1e-3}},
    "PC + decaying": {"precision": "Decaying"},
    "PC + forward update": {"learning": "ForwardUpdate"},
    "PC + spiking + forward update": {
        "precision": {"name": "Spiking", "rest": 1e-3},
        "learning": "ForwardUpdate",
    },
    "iPC": {"learning": {"name": "Incremental"}},
}


def deep(short: bool, points: Points) -> list[Cell]:
    """Accuracy and imbalance by depth, MLPs of width 128."""
    cells = []
    for L in (3, 7, 15) if short else DEPTHS:
        for method, choices in DEEP.items():
            if short and method in ("PC + decaying", "iPC"):
                continue
            name = re.sub(r"[^a-z]+", "-", method.lower()).strip("-")
            for seed in SEEDS[:1] if short else SEEDS:
                held = {"budget": NO_SEARCH, "point": _deep_point(L, method, choices)}
                held = points.get(f"deep-{name}-{L}", held)
                cell = from_preset(
                    "init-fashionmnist-25-pc-fw",
                    seed=seed,
                    epochs=4 if short else 16,
                    points={"init-fashionmnist-25-pc-fw": held},
                    row=f"L = {L}",
                    method=method,
                )
                of = "-short" if short else ""
                cells.append(replaced(cell, name=f"deep-{name}-{L}{of}-{seed}", published=""))
    return cells


def _deep_point(L: int, method: str, choices: Mapping[str, Any]) -> dict[str, Any]:
    """Choices at a depth: T = L + 3, and for spiking the rate at which it arrives undiminished."""
    rate = 0.5 if "spiking" in method or "decaying" in method or method == "iPC" else 0.1
    return {
        "network.hidden": [128] * (L - 1),
        "steps": 1 if method == "BP" else L + 3,
        "dynamics.rate": rate,
        **choices,
    }


# Pinchetti et al. 2025 and Kerjan et al. 2026 ---------------------------------------------------

PCX_METHODS = ("pc-se", "pc-ce", "ipc", "pc-pn", "pc-nn", "pc-cn", "bp-se", "bp-ce")


def pcx_mlp(short: bool, points: Points) -> list[Cell]:
    """The released settings of the MLPs."""
    seeds, cells = SEEDS[:1] if short else SEEDS, []
    for key, title in (("mnist", "MNIST"), ("fashionmnist", "FashionMNIST")):
        for method in PCX_METHODS[:3] if short else PCX_METHODS:
            name = f"pcx-mlp-{key}-{method}"
            if name not in published():
                continue
            point = {"budget": "the work's own: the released settings", "point": {}}
            held = {name: point}
            for seed in seeds:
                cells.append(
                    from_preset(
                        name, seed=seed, epochs=25, points=held, row=title, method=method.upper()
                    )
                )
    return cells


def ep_mnist(short: bool, points: Points) -> list[Cell]:
    """Centered equilibrium propagation on MNIST beside backprop."""
    return [
        from_preset(
            f"ep-vgg5-mnist-{loss}-{method}",
            seed=seed,
            epochs=1 if short else 100,
            points=points,
            row=loss.upper(),
            method=method.upper(),
            of="-short" if short else "",
        )
        for loss in ("mse", "ce")
        for method in ("ep", "bp")
        for seed in (SEEDS[:1] if short else SEEDS)
    ]


OF_INIT = (
    "The work does not print widths, pixel range and weight decay, nor which images make up a "
    "part: here 784-512-512-512-512-10, -1..1, 0.01, the first images of each class."
)

TABLES = {
    "init-1": Table("Pinchetti et al. 2026, table 1", init_1, OF_INIT, init_grids),
    "init-2": Table(
        "Pinchetti et al. 2026, figure 2: accuracy by T",
        init_2,
        f"{OF_INIT} The figure prints no numbers.",
    ),
    "init-7": Table(
        "Pinchetti et al. 2026, figure 7: reconstruction of FashionMNIST",
        init_7,
        "The figure prints no numbers. A decoder 64-256-256-256-784, weights at 5e-4, no "
        "search; T and the rate of the states are those of training and of the test alike, but "
        "for T_eval; short: 25 % of the images, 8 epochs.",
    ),
    "deep": Table(
        "After Qi et al. 2026: accuracy and imbalance by depth",
        deep,
        "The work's networks are convolutional; here MLPs of width 128 on 25 % of FashionMNIST.",
    ),
    "pcx-mlp": Table(
        "Pinchetti et al. 2025: MLPs",
        pcx_mlp,
        "Training goes without the images of validation: nine tenths of those of the work.",
    ),
    "ep-mnist": Table(
        "Kerjan et al. 2026: MNIST",
        ep_mnist,
        "Training goes without the images of validation: nine tenths of those of the work.",
    ),
    **deeper.TABLES,
}
