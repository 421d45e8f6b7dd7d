"""The command line of the reproductions; `python -m benchmarks.reproduce --help`."""

import argparse
import re
import sys
from pathlib import Path

import torch

from benchmarks.reproduce import __doc__ as about
from benchmarks.reproduce.cells import Cell, Folder, train_cell
from benchmarks.reproduce.check import NOT_COMPUTED, check
from benchmarks.reproduce.estimate import lines
from benchmarks.reproduce.figures import drawn
from benchmarks.reproduce.report import groups, is_of_decoders, report
from benchmarks.reproduce.search import points, search
from benchmarks.reproduce.tables import TABLES, Table, replaced
from core import keep_memory
from core.catalogue import BadInput, unknown
from core.datasets.fetch import SETS, missing, root_folder


def main(argv: list[str] | None = None) -> int:
    """Do what is asked for; returns the exit code."""
    args = _parsed(argv)
    torch.set_num_threads(args.threads)
    folder = Folder(Path(args.out).expanduser(), args.data, args.images, args.device)
    try:
        return _act(args, folder)
    except BadInput as refused:
        print(refused, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130


def _act(args: argparse.Namespace, folder: Folder) -> int:
    """One of the five things that can be done."""
    if args.what == "check":
        again = check(folder.out, root_folder(args.data))
        print("\n".join(again))
        wrong = sum(one.startswith("WRONG") for one in again)
        again = [one for one in again if not one.startswith(NOT_COMPUTED)]
        print(f"{len(again)} accuracies computed again, {wrong} wrong")
        return 1 if wrong or not again else 0
    if args.what == "report":
        for name, table in TABLES.items():
            _print(table, args, folder)
            if args.figures:
                _draw(name, table, args, folder)
        return 0
    keep_memory()
    if args.what == "estimate":
        asked = {"batches": args.batches, "samples": args.samples}
        told, _ = lines(_table(args.table), folder, args.only, **asked)
        _tell("\n".join(told))
        return 0
    if args.what == "search":
        table = _table(args.table)
        if not table.grids(args.short):
            raise BadInput(f"table: {args.table}; one with a grid: init-1")
        kept = {k: v for k, v in table.grids(args.short).items() if re.search(args.only, k)}
        kept = {k: v for k, v in kept.items() if _here(_set_of(k), folder)}
        narrowed = Table(table.title, table.cells, table.note, lambda short: kept)
        search(narrowed, folder, _tell, short=args.short, count=args.trainings, epochs=args.epochs)
        return 0
    table = _table(args.what)
    for cell in _cells(table, args, folder):
        if not re.search(args.only, cell.name):
            continue
        if not _here(cell.choices["dataset"]["name"], folder):
            _tell(f"{cell.name}: not run, the images are not under {root_folder(args.data)}")
            continue
        train_cell(cell, folder, _tell)
    _print(table, args, folder)
    return 0


def _cells(table: Table, args: argparse.Namespace, folder: Folder) -> list[Cell]:
    """Those that are asked for; of a report all, and of the short table those that are done."""
    found = table.cells(args.short, points(folder))
    if args.what != "report":
        return found
    names = {one.name for one in found}
    short = [one for one in table.cells(True, points(folder)) if one.name not in names]
    done = [one for one in short if folder.result(one).exists()]
    return [*(replaced(one, row=f"{one.row}, short") for one in done), *found]


def _print(table: Table, args: argparse.Namespace, folder: Folder) -> None:
    print("\n".join(report(table, _cells(table, args, folder), folder)) + "\n")


def _draw(name: str, table: Table, args: argparse.Namespace, folder: Folder) -> None:
    """The figure of a table, where any of its cells that classify is there."""
    rows = groups(_cells(table, args, folder), folder)
    if rows and not is_of_decoders(rows):
        to = Path(args.figures) / f"{name}.svg"
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(drawn(rows), "utf-8")


def _here(name: str, folder: Folder) -> bool:
    """Whether a set lies under the root; a path of its own is asked for where it is read."""
    if name not in SETS or (name == "CIFAR10" and folder.file):
        return True
    return not missing(name, root_folder(folder.data))


def _set_of(preset: str) -> str:
    """The set of a preset of table 1."""
    return {"mnist": "MNIST", "fashionmnist": "FashionMNIST", "kmnist": "KMNIST"}[
        preset.split("-")[1]
    ]


def _table(name: str | None) -> Table:
    if name not in TABLES:
        raise BadInput(f"table: {unknown(str(name), tuple(TABLES))}")
    return TABLES[name]


def _tell(line: str) -> None:
    print(line, flush=True)


def _parsed(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "benchmarks.reproduce", description=about, formatter_class=form
    )
    names = ", ".join(TABLES)
    parser.add_argument("what", help=f"a table ({names}), estimate, search, report or check")
    parser.add_argument(
        "table", nargs="?", help="of estimate and search, or the folder of report and check"
    )
    parser.add_argument(
        "--data", default="", help="root of the image sets, as `relaxoscope data` has it"
    )
    parser.add_argument("--out", help="folder of runs, results, weights and splits")
    parser.add_argument(
        "--images", default="", help="an .npz file that takes the place of CIFAR-10, whole or not"
    )
    parser.add_argument("--device", default="cpu", help="any that torch finds, as cuda")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--short", action="store_true", help="few cells, few epochs where it says so")
    size.add_argument("--full", dest="short", action="store_false", help="all of it (the default)")
    parser.add_argument("--figures", default="", help="folder for those of a report, as SVG")
    parser.add_argument("--only", default="", help="regular expression that names of cells match")
    parser.add_argument("--trainings", type=int, default=12, help="of the search, for each method")
    parser.add_argument("--epochs", type=int, default=4, help="of each training of the search")
    parser.add_argument("--batches", type=int, default=3, help="measured for an estimate")
    parser.add_argument(
        "--samples", type=int, default=0, help="of a batch, measured for an estimate; 0: all"
    )
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    args = parser.parse_args(argv)
    if args.what in ("check", "report") and args.table:
        args.out = args.table
    if args.what == "estimate":
        args.out = args.out or "."
    if not args.out:
        parser.error("--out: a folder is needed")
    for name in ("trainings", "epochs", "threads", "batches"):
        if getattr(args, name) < 1:
            parser.error(f"--{name}: {getattr(args, name)}; an integer of 1 or more")
    return args


if __name__ == "__main__":
    sys.exit(main())
