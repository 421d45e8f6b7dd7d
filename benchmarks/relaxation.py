"""How fast does the library relax? Engines, peers, the floor of this machine, and what grows how.

    make bench ARGS="--quick"
    python -m benchmarks.relaxation [--parts W1,W2,...] [--rounds 30] [--threads 2] [--out FILE]

Writes one JSON file with every sample, and beside it a table and a figure (benchmarks/report.py).
"""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks import counts, machine, report, sessions, stats
from benchmarks.cases import (
    LEVELS,
    OFF,
    Autograd,
    Backprop,
    Case,
    Engine,
    Floor,
    disagreement,
    two_batches,
)
from benchmarks.launches import count, launches_per_step
from benchmarks.peer import Absent, Peer, Timed, energies, python
from benchmarks.rounds import measure
from benchmarks.workloads import SWEEPS, TINY, WORKLOADS, Workload
from core import BadInput, Experiment, keep_memory
from core.engines import AUTO, ENGINES, PLAIN
from core.inits.average import Average
from core.inits.forward import Forward
from core.inits.zero import Zero

ROOT = Path(__file__).resolve().parent.parent
KNOWN = ("auto", "chain", "local", PLAIN)
"""Engines that are expected; one that is not here is named as not measured."""
LONG = 10
"""Rounds, at most, of what takes many seconds each."""
INITS = (Forward(), Average(m=0), Zero())
PARTS = (*WORKLOADS, "inits", "session", *SWEEPS)


class Bench:
    """All that the parts of one run share."""

    def __init__(self, asked: argparse.Namespace) -> None:
        """Keep this process on its processors and start the peer."""
        self.asked = asked
        cpus = machine.pin(asked.threads)
        kept = keep_memory()  # as the command line and the page do; for all cases alike
        torch.set_num_threads(asked.threads)
        self.engines = [name for name in asked.engines if name in ENGINES]
        self.watch = machine.Watch()
        self.groups: list[dict[str, Any]] = []
        self.skipped: list[dict[str, str]] = []
        for name in sorted({*asked.engines} - {*ENGINES}):
            self.skip("all", f"engine {name}", "this version has no such engine")
        self.peer: Peer | None = None
        try:
            self.peer = Peer(python(asked.pcx))
        except Absent as why:
            self.skip("all", "pcx", str(why))
        if not self.watch.works:
            print(f"  {machine.NO_PROC}", flush=True)
        self.found = {
            "schema": 1,
            "begun": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "command": sys.argv[1:],
            "subject": asked.subject,
            "threads": asked.threads,
            "processors": cpus,
            "limit": asked.limit,
            "disturbance": "seen" if self.watch.works else machine.NO_PROC,
            "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY", "not set"),
            "keeps_memory": kept,
            "machine": machine.about(),
            "peer": None if self.peer is None else self.peer.versions,
            "skipped": self.skipped,
            "groups": self.groups,
        }

    def skip(self, group: str, case: str, why: str) -> None:
        """Say what is not measured."""
        print(f"  not measured: {group}, {case}: {why}", flush=True)
        self.skipped.append({"group": group, "case": case, "why": why})

    def workload(self, workload: Workload) -> None:
        """All cases of one workload."""
        name = workload.name
        expected = two_batches(Engine(workload, PLAIN))
        cases: list[Any] = [Floor(workload)] if workload.dense else []
        if not workload.dense:
            self.skip(name, "floor", "convolutions are no torch.mm")
        for engine in self.engines:
            for level in (OFF,) if engine == PLAIN else LEVELS:
                self._take(cases, name, expected, Engine, workload, engine, level)
        self._take(cases, name, expected, Autograd, workload)
        cases += [Backprop(workload, fused=fused) for fused in (True, False)]
        about = [self._counted(case) for case in cases]
        for label in self._peers(workload, expected) if self.peer else ():
            assert self.peer is not None
            cases.append(Timed(self.peer, label))
            about.append({"name": label})
        self.run(name, workload.title, cases, about, workload=workload)

    def sweep(self, name: str, workloads: list[Workload]) -> None:
        """How the time grows with one number."""
        for workload in workloads:
            cases: list[Any] = [Floor(workload), Autograd(workload)]
            for engine in self._named():
                self._take(cases, workload.name, None, Engine, workload, engine)
            about = [self._counted(case) for case in cases]
            self.run(workload.name, workload.title, cases, about, workload=workload, sweep=name)

    def inits(self, workload: Workload) -> None:
        """What is saved depends on where the states begin."""
        name, cases = f"{workload.name} inits", []
        for engine in self._named():
            for init in INITS:
                self._take(cases, name, None, Engine, workload, engine, OFF, init)
        about = [self._counted(case) for case in cases]
        self.run(name, workload.title, cases, about, workload=workload)

    def session(self, **sizes: Any) -> None:
        """What a session adds to a bare relaxation."""
        for name, levels in sessions.GROUPS.items():
            cases = sessions.cases(levels, self.asked.subject, **sizes)
            chosen = cases[0].chosen
            hidden = getattr(chosen.network, "hidden", ())
            title = f"{sessions.STEPS} steps, hidden layers {hidden}, batch {chosen.batch_size}"
            about = [{"name": case.label} for case in cases]
            wanted = self.asked.rounds if name == "session" else min(self.asked.rounds, LONG)
            self.run(name, title, cases, about, wanted=wanted)

    def run(
        self, name: str, title: str, cases: Any, about: Any, *, wanted: int = 0, **more: Any
    ) -> None:
        """Time a group and keep all of it, in the file too."""
        begun = time.monotonic()
        wanted = wanted or (self.asked.sweep_rounds if "sweep" in more else self.asked.rounds)
        rounds = measure(cases, wanted, limit=self.asked.limit, watch=self.watch)
        workload = more.pop("workload", None)
        group = {"name": name, "title": title, **more, "cases": about, "rounds": rounds}
        if workload is not None:
            group |= {"workload": workload.to_dict(), "closed": _closed(workload)}
        group |= stats.summary(rounds, [one["name"] for one in about])
        self.groups.append(group)
        kept = sum(one["kept"] for one in rounds)
        lasted = time.monotonic() - begun
        print(f"{name}: {kept} of {len(rounds)} rounds kept, {lasted:.0f} s", flush=True)
        for label, spread in group["milliseconds"].items():
            print(f"  {label:24} {spread['median']:10.2f} ms", flush=True)
        if kept < wanted:
            self.skip(name, "rounds", f"only {kept} of {wanted} undisturbed ones")
        report.save(self.found, self.asked.out)

    def _named(self) -> list[str]:
        """Engines by their own names, without the slow reference."""
        return [name for name in self.engines if name not in (AUTO, PLAIN)]

    def _take(self, cases: list[Any], group: str, expected: Any, kind: Any, *what: Any) -> None:
        """Add a case, if it can do this and gives the energies that are expected."""
        try:
            case = kind(*what)
            case.time()
        except BadInput as refused:
            self.skip(group, " ".join(map(str, what[1:])), str(refused))
            return
        if expected is not None and (why := disagreement(two_batches(case), expected)):
            self.skip(group, case.label, why)
            return
        cases.append(case)

    def _peers(self, workload: Workload, expected: Any) -> list[str]:
        """Labels of the peer's cases, compiled and agreeing."""
        assert self.peer is not None
        try:
            found = self.peer.load(workload)
        except Absent as why:
            self.skip(workload.name, "pcx", str(why))
            return []
        print(f"{workload.name}: pcx compiled in {found['seconds']:.0f} s", flush=True)
        if why := disagreement(energies(found), expected):
            self.skip(workload.name, "pcx", why)
            return []
        return found["cases"]

    def _counted(self, case: Case) -> dict[str, Any]:
        """Name, kernels a step and multiply-adds a batch of a case."""
        case.time()  # the first batch of a process may round, and so save, in another way
        found = count(case.batch)
        about = {"name": case.label, "multiply_adds": found.multiply_adds}
        about |= {"launches": found.launches, "host_reads": found.reads}
        if isinstance(case, Engine | Autograd):
            early = case.workload.wave + 3
            about["launches_per_step"] = launches_per_step(_shorter(case), early, early + 8)
        return about


def _shorter(case: Engine | Autograd) -> Any:
    """The same case with so many steps."""

    def make(T: int) -> Any:
        workload = case.workload.changed(steps=T)
        if isinstance(case, Autograd):
            return Autograd(workload).batch
        return Engine(workload, case.asked, case.level, case.recipe.init).batch

    return make


def _closed(workload: Workload) -> dict[str, int]:
    """Multiply-adds of one batch, by formula."""
    products, T = workload.products, workload.steps
    return {
        "plain": counts.plain(products, T),
        "kept": counts.kept(products, T),
        "exact": counts.exact(products, T),
        "backprop": counts.backprop(products),
    }


def _list(legal: tuple[str, ...]) -> Any:
    def parse(text: str) -> list[str]:
        names = [one for one in text.split(",") if one]
        for one in names:
            if one not in legal:
                raise argparse.ArgumentTypeError(f"{one}; one of {', '.join(legal)}")
        return names

    return parse


def parsed(given: list[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    asked = argparse.ArgumentParser(
        prog="python -m benchmarks.relaxation", description=(__doc__ or "").splitlines()[0]
    )
    engines = tuple(dict.fromkeys((*KNOWN, *ENGINES)))
    asked.add_argument("--parts", type=_list(PARTS), default=list(PARTS), help=", ".join(PARTS))
    asked.add_argument("--engines", type=_list(engines), default=engines, help=", ".join(engines))
    asked.add_argument(
        "--subject", default=Experiment().engine, help="engine that requirements are about"
    )
    asked.add_argument("--rounds", type=int, default=30, help="undisturbed ones that are wanted")
    asked.add_argument("--sweep-rounds", type=int, help="the same for the sweeps")
    asked.add_argument("--threads", type=int, default=2)
    asked.add_argument(
        "--limit", type=float, default=0.05, help="share of processor time that disturbs a round"
    )
    asked.add_argument("--pcx", help="Python of an environment with pcx, or none; made if missing")
    asked.add_argument(
        "--quick", action="store_true", help="3 rounds, never dropped, of tiny networks"
    )
    asked.add_argument("--out", type=Path, default=ROOT / "runs" / "bench-relaxation.json")
    found = asked.parse_args(given)
    if found.quick:
        found.rounds, found.pcx, found.limit = min(found.rounds, 3), found.pcx or "none", 1.0
    found.sweep_rounds = found.sweep_rounds or found.rounds
    return found


def main() -> int:
    asked = parsed()
    bench = Bench(asked)
    workloads = WORKLOADS if not asked.quick else {one.name: one for one in TINY.values()}
    ran = list(workloads) if asked.quick else [name for name in WORKLOADS if name in asked.parts]
    for name in ran:
        bench.workload(workloads[name])
    if "inits" in asked.parts:
        for workload in [one for one in workloads.values() if one.dense]:
            bench.inits(workload)
    if "session" in asked.parts:
        bench.session(**({"hidden": (16,) * 4, "batch": 20} if asked.quick else {}))
    for name, sweep in () if asked.quick else SWEEPS.items():
        if name in asked.parts:
            bench.sweep(name, sweep)
    if bench.peer is not None:
        bench.peer.close()
    report.write(bench.found, asked.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
