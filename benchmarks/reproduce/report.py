"""What came out, beside what was printed? Tables in Markdown from the results of a folder."""

import re
import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.report import table
from benchmarks.reproduce import decoders
from benchmarks.reproduce.cells import Cell, Folder
from benchmarks.reproduce.tables import NO_SEARCH, Table

SHARE = 0.98
"""Of the best shared accuracy, to which the products are counted."""

COLUMNS = (
    "*Ours* is the best test accuracy of any epoch, as the work has it; *by validation* the test "
    "accuracy of the epoch that is best on images held out of training. *Imbalance* is "
    "log10 of the largest over the smallest energy at the weight update, mean over the last epoch, "
    "of layers above the floor of rounding; the others are *silent*. "
    "*Products* are sequential matrix products until the test accuracy is 98 % of the best one "
    "that all methods of the row reach, straight between epochs, 2 L - 1 a batch of backprop; *s* "
    "are seconds of training."
)

ERRORS = (
    "Mean squared errors per pixel (0..1) of all test images, reconstructed from the latent state "
    "that T_eval steps relaxed; T is that of the training. *s* are seconds of training."
)

Found = dict[str, Any]


def mean(values: Sequence[float], *, percent: bool = True) -> str:
    """Mean and standard deviation over seeds in words, "-" of none."""
    if not values:
        return "-"
    times, digits = (100, 2) if percent else (1, 2)
    text = f"{times * statistics.fmean(values):.{digits}f}"
    if len(values) > 1:
        text += f" ± {times * statistics.stdev(values):.{digits}f}"
    return text


def groups(cells: Sequence[Cell], folder: Folder) -> dict[str, dict[str, list[Found]]]:
    """Results that are there by row and method, in the order of the cells."""
    every = {one["name"]: one for one in folder.read()}
    found: dict[str, dict[str, list[Found]]] = {}
    for cell in cells:
        if cell.name in every:
            of_row = found.setdefault(cell.row, {})
            of_row.setdefault(cell.method, []).append(every[cell.name])
    return found


def report(of: Table, cells: Sequence[Cell], folder: Folder) -> list[str]:
    """The table in Markdown, with what it was made of below."""
    rows = groups(cells, folder)
    lines = [f"### {of.title}", ""]
    if not rows:
        return [*lines, "Not run."]
    is_decoder = is_of_decoders(rows)
    lines += (decoders.errors(rows) if is_decoder else accuracies(rows)).splitlines()
    done = sum(len(_flat(methods)) for methods in rows.values())
    columns = ERRORS if is_decoder else COLUMNS
    begin = f"{done} of {len(cells)} cells were run. {columns} {of.note}"
    return [*lines, "", *_below(rows, begin)]


def accuracies(rows: dict[str, dict[str, list[Found]]]) -> str:
    """The table of trainings that classify, in Markdown."""
    head = ["", "method", "printed, %", "ours, %", "ours by validation, %", "last epoch, %"]
    head += ["n", "imbalance", "products to 98 %", "s"]
    lines = []
    for row, methods in rows.items():
        shared = best_shared(methods)
        for method, found in methods.items():
            lines.append([row, method, *_numbers(found, shared)])
            row = ""
    return table(head, lines)


def is_of_decoders(rows: dict[str, dict[str, list[Found]]]) -> bool:
    """Whether the results are reconstruction errors."""
    return all("reconstruction" in one for methods in rows.values() for one in _flat(methods))


def _flat(methods: dict[str, list[Found]]) -> list[Found]:
    """All results of a row."""
    return [one for found in methods.values() for one in found]


def best_shared(methods: dict[str, list[Found]]) -> float:
    """The best accuracy that every method of a row has reached, each by its mean over seeds."""
    return min(statistics.fmean(one["best"]["test"] for one in found) for found in methods.values())


def products(found: Found, wanted: float) -> float | None:
    """Sequential matrix products of training until the test accuracy was reached.

    Accuracy is known after each epoch; within one it is taken to grow in a straight line. None
    where it was never reached, or without any training.
    """
    before = found["before"]["test"]
    if found["smm"] is None or before >= wanted:
        return None
    an_epoch = found["smm"] / len(found["epochs"])
    for one in found["epochs"]:
        if one["test"] >= wanted:
            part = (wanted - before) / max(one["test"] - before, 1e-12)
            return an_epoch * (one["epoch"] - 1 + min(max(part, 0.0), 1.0))
        before = one["test"]
    return None


def _numbers(found: list[Found], shared: float) -> list[str]:
    """All columns behind the method."""
    reached = [products(one, SHARE * shared) for one in found]
    counted = [one for one in reached if one is not None]
    return [
        _theirs(found[0]["cell"]["published"]),
        mean([one["best"]["test"] for one in found]),
        mean([one["chosen"]["test"] for one in found if one["chosen"]]),
        mean([one["last"]["test"] for one in found]),
        str(len(found)),
        _imbalance(found),
        f"{statistics.fmean(counted):,.0f}" if len(counted) == len(found) else "-",
        f"{statistics.fmean(one['seconds'] for one in found):.0f}",
    ]


def _imbalance(found: list[Found]) -> str:
    """Of relaxations that the learning reads; with how many layers are silent all the time."""
    held = [one["imbalance"] for one in found if one["imbalance"] is not None]
    if found[0]["experiment"]["learning"]["name"] == "Backprop" or len(held) < len(found):
        return "-"
    silent = sum(one == 1 for one in found[0]["below_rounding"])
    return mean(held, percent=False) + (f", {silent} silent" if silent else "")


def _theirs(published: str) -> str:
    """The number of the work alone: test errors as accuracies."""
    match = re.match(r"([\d.]+)( ± ([\d.]+))? % (.*)", published)
    if match is None:
        return published or "-"
    value, spread = float(match[1]), f" ± {match[3]}" if match[3] else ""
    return f"{100 - value:.2f}{spread}" if "error" in match[4] else f"{match[1]}{spread}"


def _below(rows: dict[str, dict[str, list[Found]]], begin: str) -> list[str]:
    """What was chosen how, on which machine, and what is not as printed."""
    every = [one for methods in rows.values() for one in _flat(methods)]
    machines = sorted({_machine(one["machine"]) for one in every})
    lines = [
        begin,
        "",
        f"Machine: {'; '.join(machines)}.",
        "",
    ]
    for name, one in {_without_seed(one["name"]): one for one in every}.items():
        said = ", ".join(f"{k} = {_short(v)}" for k, v in one["cell"]["point"].items())
        if said or one["cell"]["budget"] != NO_SEARCH:
            lines.append(f"- {name}: {one['cell']['budget']}{': ' + said if said else ''}.")
    return lines


def _short(value: Any) -> str:
    """A value of a dial in few letters."""
    if isinstance(value, dict):
        return " ".join(str(one) for one in value.values())
    if isinstance(value, list) and len(value) > 1 and len(set(value)) == 1:
        return f"{len(value)} x {value[0]}"
    return str(value)


def _without_seed(name: str) -> str:
    return name.rpartition("-")[0]


def _machine(said: dict[str, Any]) -> str:
    return (
        f"{said['processor']}, {said['processors']} processors, {said['threads']} "
        f"thread{'' if said['threads'] == 1 else 's'}, torch {said['versions']['torch']}"
    )
