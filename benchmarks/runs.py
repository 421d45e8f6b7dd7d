"""What do runs cost, and how soon is one there? Opened, appended to, and recorded by a training.

    make bench-runs ARGS="--quick"
    python -m benchmarks.runs [--parts opened,appended,recorded] [--rounds 15] [--out FILE]

Cases are timed in interleaved rounds; what is given are medians over the rounds that nobody else
disturbed, with the 95 % bootstrap interval of the median. Writes one JSON file, and a table beside
it.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage
from typing import Any

import numpy as np
import torch

from benchmarks import appended, machine, opened, recorded, report, stats
from benchmarks.rounds import measure
from core import keep_memory

PARTS = ("opened", "appended", "recorded")

MIB = 2**20

WIDE, NARROW = 64, 5
"""Layers of the rows that are appended."""


@dataclass(frozen=True)
class Figure:
    """One number of a part, and what it has to be.

    Args:
        part: in which it was measured.
        case: of the part.
        title: in words.
        unit: of the number.
        bound: what is required; None where nothing is.
        most: whether it may be at most the bound, or has to be at least it.
    """

    part: str
    case: str
    title: str
    unit: str
    bound: float | None = None
    most: bool = True

    def row(self, values: Sequence[float]) -> list[str]:
        """Its line of the table."""
        found = stats.median_of(values)
        if self.bound is None:
            return [self.title, self.case, f"{found} {self.unit}", "", ""]
        good = [
            value <= self.bound if self.most else value >= self.bound
            for value in (found.median, found.low, found.high)
        ]
        said = "met" if all(good) else "met by the median, not by all of the interval"
        said = said if good[0] else "**not met**"
        wanted = f"{'≤' if self.most else '≥'} {self.bound:g} {self.unit}"
        return [self.title, self.case, f"{found} {self.unit}", wanted, said]


LOOKS = {
    "open": ("opened: `Run(path)` and `.dataset()`", 2.0),
    "overview and heat map": ("`.overview(width=1000)` and a heat map by Agg", 1.0),
    "page, first": ("first courses of the Runs page", 1.0),
    "page, rest": ("the rest of them, every row read", None),
    "slice": ("1000 rows in the middle, every variable", None),
    "chosen steps": ("energies at the last step of every batch", None),
    "one layer": ("energies of one layer at all steps", None),
}
"""Titles and bounds, in seconds, of what is done with an opened run."""


class Bench:
    """All that the parts of one run share."""

    def __init__(self, asked: argparse.Namespace, folder: Path) -> None:
        """Keep this process on its processors.

        Args:
            asked: on the command line.
            folder: in which runs are made.
        """
        self.asked, self.folder = asked, folder
        cpus = machine.pin(asked.threads)
        kept = keep_memory()  # as the command line does; for all cases alike
        torch.set_num_threads(asked.threads)
        self.watch = machine.Watch()
        self.figures: dict[Figure, list[float]] = {}
        self.found: dict[str, Any] = {
            "schema": 1,
            "begun": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "command": sys.argv[1:],
            "threads": asked.threads,
            "processors": cpus,
            "limit": asked.limit,
            "disturbance": "seen" if self.watch.works else machine.NO_PROC,
            "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY", "not set"),
            "keeps_memory": kept,
            "machine": machine.about(),
            "groups": [],
            "notes": [],
        }

    def opened(self) -> None:
        """A large run, looked at by one fresh process after the other."""
        path = self.folder / "large"
        begun = time.monotonic()
        size = opened.make(path, self.asked.rows, self.asked.layers)
        stored = sum(one.stat().st_size for one in path.iterdir())
        self.note(
            f"{self.asked.rows} rows of {self.asked.layers} layers: {size / MIB:.0f} MiB of "
            f"numbers, {stored / MIB:.0f} MiB stored in {time.monotonic() - begun:.1f} s"
        )
        cases = [opened.Opened(path, cached=True)]
        if opened.CAN_FORGET:
            cases.append(opened.Opened(path, cached=False))
        else:
            self.note("not measured: files that are not in memory; this system cannot forget them")
        rounds = self.rounds("opened", cases)
        for case in cases:
            looks = _kept(case.found, rounds)
            for one in looks:
                own = one["seconds"]
                own["overview and heat map"] = own["overview"] + own["heat map"]
            for name, (title, bound) in LOOKS.items():
                figure = Figure("opened", case.label, title, "s", bound if self.large else None)
                self.figures[figure] = [one["seconds"][name] for one in looks]
            for name, title in (
                ("heat map", "memory until the overview is drawn, without the program"),
                ("one layer", "and until rows were read"),
                ("page, rest", "and until the page has read all"),
            ):
                bound = round(size / MIB) if self.large else None
                figure = Figure("opened", case.label, title, "MiB", bound)
                self.figures[figure] = [
                    (one["peaks"][name] - one["peaks"]["before"]) / MIB for one in looks
                ]
            before = np.median([one["peaks"]["before"] for one in looks]) / MIB
            self.note(f"{case.label}: the program itself holds {before:.0f} MiB")

    def appended(self) -> None:
        """Flushes of 128 rows: wide and narrow ones, and with a reader."""
        flushes = self.asked.flushes
        cases = [
            appended.Appended(self.folder, WIDE, flushes),
            appended.Appended(self.folder, WIDE, flushes, read=True),
            appended.Appended(self.folder, NARROW, flushes),
        ]
        rounds = self.rounds("appended", cases)
        for case in cases:
            found = _kept(case.found, rounds)
            records = [one["rows_per_second"] * case.layers / 1e6 for one in found]
            bound = 1.0 if case.layers == WIDE and self.large else None
            title = "rows x layers stored"
            figure = Figure("appended", case.label, title, "million/s", bound, most=False)
            self.figures[figure] = records
            for name, bound in (("p50", None), ("p99", 1.0 if self.large else None), ("max", None)):
                title = f"flush of {case.rows} rows, {'longest' if name == 'max' else name}"
                figure = Figure("appended", case.label, title, "ms", bound)
                self.figures[figure] = [1e3 * one[name] for one in found]

    def recorded(self) -> None:
        """A training without and with a run."""
        sizes = {} if self.large else {"hidden": (16,) * 4, "batch": 20}
        chosen, batches = recorded.experiment(**sizes), self.asked.batches
        turns = recorded.Turns(chosen, batches, self.folder)
        found = _kept(turns.found, self.rounds("recorded", [turns]))
        for case in ("bare", "measured", "recorded"):
            self.figures[Figure("recorded", case, "a batch", "ms")] = [
                1e3 * one[case] for one in found
            ]
        for case in ("measured", "recorded"):
            bound = 3.0 if case == "recorded" and self.large else None
            self.figures[Figure("recorded", f"{case} by bare", "what it adds", "%", bound)] = [
                100 * (one[case] / one["bare"] - 1) for one in found
            ]

    @property
    def large(self) -> bool:
        """Whether sizes are those of the requirements."""
        return not self.asked.quick

    def rounds(self, name: str, cases: Sequence[Any]) -> list[dict[str, Any]]:
        """Time a group; returns the undisturbed rounds, or all where there is none."""
        begun = time.monotonic()
        rounds = measure(cases, self.asked.rounds, limit=self.asked.limit, watch=self.watch)
        kept = [one for one in rounds if one["kept"]]
        load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
        lasted = time.monotonic() - begun
        self.note(
            f"{name}: {len(kept)} of {len(rounds)} rounds undisturbed, {lasted:.0f} s, load {load}"
        )
        if not kept:
            self.note(f"{name}: **no round was undisturbed**; all are taken")
            for one in rounds:
                one["kept"] = True
        details = {
            case.label: _kept(case.found, rounds) for case in cases if hasattr(case, "found")
        }
        self.found["groups"].append({"name": name, "rounds": rounds, "details": details})
        return [one for one in rounds if one["kept"]]

    def note(self, line: str) -> None:
        """Say something, and write it with the numbers."""
        print(f"  {line}", flush=True)
        self.found["notes"].append(line)

    def tables(self) -> str:
        """All figures, part by part."""
        text = report.heading(self.found, "Benchmark of runs,")
        for part in PARTS:
            rows = [f.row(values) for f, values in self.figures.items() if f.part == part]
            if rows:
                heads = ["", "case", "measured", "required", ""]
                text += f"\n\n## {part.capitalize()}\n\n{report.table(heads, rows)}"
        return text + "\n\n" + "\n".join(f"- {line}" for line in self.found["notes"]) + "\n"


def _kept(found: list[dict[str, Any]], rounds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a case found in the rounds that count; the first calls were to warm up."""
    own = found[len(found) - len(rounds) :]
    return [one for one, held in zip(own, rounds, strict=True) if held["kept"]]


def _parts(text: str) -> list[str]:
    names = [one for one in text.split(",") if one]
    for one in names:
        if one not in PARTS:
            raise argparse.ArgumentTypeError(f"{one}; one of {', '.join(PARTS)}")
    return names


def parsed(given: list[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    asked = argparse.ArgumentParser(
        prog="python -m benchmarks.runs", description=(__doc__ or "").splitlines()[0]
    )
    asked.add_argument("--parts", type=_parts, default=list(PARTS), help=", ".join(PARTS))
    asked.add_argument("--rounds", type=int, default=15, help="undisturbed ones that are wanted")
    asked.add_argument("--rows", type=int, default=1_000_000, help="of the run that is opened")
    asked.add_argument("--layers", type=int, default=64, help="of the run that is opened")
    asked.add_argument("--flushes", type=int, default=2000, help="that are timed in a round")
    asked.add_argument("--batches", type=int, default=81, help="that are trained in a round")
    asked.add_argument("--threads", type=int, default=2)
    asked.add_argument(
        "--limit", type=float, default=0.05, help="share of processor time that disturbs a round"
    )
    asked.add_argument("--folder", type=Path, help="in which runs are made, and deleted")
    asked.add_argument(
        "--quick", action="store_true", help="2 rounds, never dropped, of small runs"
    )
    asked.add_argument("--out", type=Path, default=opened.ROOT / "runs" / "bench-runs.json")
    found = asked.parse_args(given)
    if found.quick:
        found.rounds, found.limit = min(found.rounds, 2), 1.0
        found.rows, found.layers, found.flushes, found.batches = 20_000, 8, 50, 5
    return found


def main(given: list[str] | None = None) -> int:
    asked = parsed(given)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    place = asked.folder or asked.out.parent
    wanted = 3 * asked.rows * asked.layers * 8  # the largest run, and what else lies beside it
    if disk_usage(place).free < wanted:
        print(f"folder: {place}; {wanted / MIB:.0f} MiB are needed", file=sys.stderr)
        return 3
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=place) as folder:
        bench = Bench(asked, Path(folder))
        for part in PARTS:
            if part in asked.parts:
                getattr(bench, part)()
                report.save(bench.found, asked.out)
    text = bench.tables()
    asked.out.with_suffix(".md").write_text(text, "utf-8")
    print(f"\n{text}\nwritten to {asked.out}, and .md beside it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
