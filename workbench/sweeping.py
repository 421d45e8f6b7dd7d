"""How is a sweep run from a shell? It is planned, checked, and given to workers, point by point."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.refusals import UNSOUND, Refused, as_number, near

if TYPE_CHECKING:
    from distributed import Client

    from workbench.sweep_plan import Plan
    from workbench.sweep_store import Journal

WHAT = """\
Train, or relax one batch of, every point of a grid over choices, each as a run of its own, and put
what came of them into one Dataset. What has ended is kept: the same command again goes on, after
Ctrl-C, a kill or a loss of power.
"""

MORE = """\
--over NAME=VALUE,VALUE    a choice as a recipe names it: an entry (init=Forward,Zero), one of its
    dials (dynamics.rate=0.01,0.1), a scalar (steps=10,20). Lists stand in brackets:
    network.hidden=[8,8],[16]. May be given again: the points are all combinations.

--points FILE    a list in place of a grid, TOML or JSON: [[point]] tables of choices, by the same
    names; --over and --seeds are combined with each of them

--scheduler tcp://machine:8786    workers of a dask scheduler in place of processes here. They need
    this program, the data, and DIR under the same path. What dask sends between machines can run
    code: only on a network that you trust, or with dask's TLS.

Without --batches or --epochs one batch is relaxed of each point. Workers compute with one thread
each, so that bits do not depend on who computed what. A worker that dies is replaced, and its point
goes on from its checkpoint; a point that takes three workers or more with it is given up and
named, and the exit code is 1 when all others are done. --errored tries those again.

DIR holds sweep.json, which is the plan, a run for each point, a journal, and results.nc:
    >>> workbench.sweeps.results("DIR")        # an xarray.Dataset, while it runs too

Example:
  relaxoscope sweep --recipe r.toml --over dynamics.rate=0.01,0.05,0.1 --over init=Forward,Zero \\
      --seeds 0..3 --epochs 2 --out runs/rates

"""

NAMED = 10
"""Errored points that are named in the last line; the journal has them all."""


def sweep(args: argparse.Namespace) -> int:
    """Run all points that are not done, and write the results."""
    from core.runs.lock import Lock
    from workbench import sweep_engine, sweeps
    from workbench.sweep_store import CALLED, Journal, calls, lines
    from workbench.training import stopping

    begun = time.perf_counter()
    sweep_engine.available()
    workers = _count("workers", args.workers, 1, 4096) or sweep_engine.cores()
    out = Path(args.out).expanduser()
    plan = _plan(args)
    _claim(out, plan)
    if args.scheduler is None:
        from workbench.sweep_check import check

        check(plan, workers, sweep_engine.memory_of(workers))
    fresh = _keep(out, plan)
    lock = Lock(out)
    try:
        before = lines(out)
        journal = Journal(out, calls(before) + 1)
        journal.note(CALLED, words=sys.argv[1:][:100])
        tasks, done = _left(out, plan, journal, before, args)
        workers = max(1, min(workers, len(tasks)))
        with stopping() as asked:
            if tasks:
                try:
                    with sweep_engine.connected(args.scheduler, workers) as client:
                        if args.scheduler is not None:
                            _ask_workers(client, out, plan)
                        _run(client, out, journal, tasks, done, lambda: bool(asked))
                except BaseException:
                    if _begun(out):
                        sweeps.write(out)
                    elif fresh:
                        _forget(out)
                    raise
            sweeps.write(out)
        return _ended(out, plan, journal, asked, time.perf_counter() - begun)
    finally:
        lock.free()


# Before it runs ----------------------------------------------------------------------------------


def _plan(args: argparse.Namespace) -> "Plan":
    """What the command asks for; refused where it cannot be."""
    from core import FULL, LEAN, plugins
    from workbench import sweep_plan as plans
    from workbench.relaxing import batch_number, experiment_of

    over = _over(args)
    listed = None if args.points is None else _listed(args.points)
    cells = plans.count(over, listed)
    if cells > plans.MOST and not args.yes:
        raise Refused(f"over: {cells:,} points; up to {plans.MOST:,}, or more with --yes")
    base, _ = experiment_of(args)
    trains = args.batches is not None or args.epochs is not None
    if args.batches is not None and args.epochs is not None:
        raise Refused("--batches and --epochs: give one of them")
    level = args.level or (LEAN if trains else FULL)
    if level not in (LEAN, FULL):
        raise Refused(f"level: {near(level, (LEAN, FULL))}")
    for name in ("weights", "test", "align", "checkpoint"):
        if not trains and getattr(args, f"{name}_every") is not None:
            raise Refused(f"--{name}-every: of a training; give --batches or --epochs")
    if trains and args.batch is not None:
        raise Refused("--batch: of relaxations; a training begins with the first")
    checkpoint = _count("checkpoint-every", args.checkpoint_every, 0, 10**9)
    amount = plans.Amount(
        batches=_count("batches", args.batches, 1, 10**9),
        epochs=_count("epochs", args.epochs, 1, 10**9),
        batch=batch_number(args.batch or "0"),
        level=level,
        weights=_count("weights-every", args.weights_every, 0, 10**9),
        accuracy=_count("test-every", args.test_every, 0, 10**9),
        alignment=_count("align-every", args.align_every, 0, 10**9) or 0,
        checkpoint=60.0 if checkpoint is None else float(checkpoint),
    )
    brought = [
        {
            "name": one.name,
            "sha256": one.sha256,
            "path": str(one.path.resolve()) if one.path else "",
        }
        for one in plugins.loaded()
    ]
    said = {
        "base": base.to_dict(),
        "over": over,
        "listed": listed,
        "amount": asdict(amount),
        "plugins": brought,
    }
    plan = plans.made(said)
    if plan.twice:
        points = "point is" if plan.twice == 1 else "points are"
        print(f"note: {plan.twice:,} {points} there twice; each runs once", file=sys.stderr)
    return plan


def _over(args: argparse.Namespace) -> dict[str, list[Any]]:
    """The axes of the grid in the order in which they were given, the seeds last."""
    from workbench.relaxing_many import seeds_of
    from workbench.sweep_plan import SEED, axis

    over: dict[str, list[Any]] = {}
    for text in args.over:
        name, values = axis(text)
        if name in over:
            raise Refused(f"over: {name} twice; each name once, with all its values")
        over[name] = values
    if args.seeds is not None:
        if args.seed is not None:
            raise Refused("--seed and --seeds: give one of them")
        if SEED in over:
            raise Refused("--seeds and --over seed: give one of them")
        over[SEED] = seeds_of(args.seeds)
    if not over and args.points is None:
        raise Refused("over: missing; --over NAME=VALUE,VALUE, --seeds or --points")
    return over


def _listed(name: str) -> list[dict[str, Any]]:
    """The points of a file."""
    from workbench import files
    from workbench.sweep_plan import dotted

    rows = files.read_points(name)
    return [dotted(one) for one in rows]


def _claim(out: Path, plan: "Plan") -> None:
    """Refuse a folder that is not this sweep's."""
    from core.runs.shelf import check_name
    from workbench.sweep_store import is_sweep, read_plan

    check_name(out.name, "out")
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise Refused(f"out: {out}; a folder of its own")
    if not is_sweep(out):
        if out.is_dir() and any(not one.name.startswith(".") for one in out.iterdir()):
            raise Refused(f"out: {out}; a folder with other things in it")
        return
    before, identity = read_plan(out)
    if identity != plan.identity:
        from workbench.sweep_plan import made

        raise Refused(f"out: {out}; another sweep lies there: {_differs(made(before), plan)}")


def _differs(old: "Plan", new: "Plan") -> str:
    """In what two sweeps differ first, in words."""
    a, b = ({one.name: one.values for one in plan.axes} for plan in (old, new))
    if list(a) != list(b):
        return f"over {', '.join(a)}, not {', '.join(b)}"
    for name in a:
        if a[name] != b[name]:
            return f"{len(a[name])} values of {name}, here {len(b[name])}, not all the same"
    if old.amount != new.amount:
        differs = [k for k, v in asdict(old.amount).items() if asdict(new.amount)[k] != v]
        return f"with other {', '.join(differs)}"
    from core.experiment import sentence

    said = sentence(old.said["base"], new.said["base"])
    return said or "with other plugins"


def _keep(out: Path, plan: "Plan") -> bool:
    """Write the plan, if it is not there; whether it was not."""
    from core.runs.errors import told
    from workbench.sweep_store import is_sweep, write_plan

    if is_sweep(out):
        return False
    with told(out):
        out.mkdir(parents=True, exist_ok=True)
    write_plan(out, plan.said, plan.identity)
    return True


def _left(
    out: Path, plan: "Plan", journal: "Journal", before: list[dict[str, Any]], args: Any
) -> tuple[list[dict[str, Any]], int]:
    """What is to be done, for the workers, and how many points are done or given up."""
    from core.runs.shelf import is_run
    from workbench import sweep_task
    from workbench.sweep_store import ANEW, DONE, ends

    held = ends(before)
    tasks: list[dict[str, Any]] = []
    for point in plan.points:
        how = held.get(point.name, {}).get("how")
        if how in DONE and is_run(out / point.name):
            continue
        if how is not None and how not in DONE:
            if not args.errored:
                continue
            journal.note(ANEW, point.name)
            if (out / point.name).exists():
                sweep_task.clear(out / point.name)
        tasks.append(
            {
                "out": str(out.resolve()),
                "call": journal.call,
                "name": point.name,
                "experiment": point.experiment.to_dict(),
                "amount": plan.said["amount"],
                "plugins": plan.said["plugins"],
            }
        )
    return tasks, len(plan.points) - len(tasks)


def _ask_workers(client: "Client", out: Path, plan: "Plan") -> None:
    """Refuse where a worker cannot run a point, before anything starts."""
    from workbench.sweep_task import fits

    if not client.nthreads():
        print("note: the scheduler has no workers yet", file=sys.stderr)
    said: Any = client.run(fits, str(out.resolve()), plan.identity)
    for worker, (line, code) in said.items():
        if line:
            raise Refused(f"worker {worker}: {line}", code)


def _begun(out: Path) -> bool:
    """Whether an attempt was made of any point."""
    from workbench.sweep_store import BEGAN, lines

    return any(one["event"] == BEGAN for one in lines(out))


def _forget(out: Path) -> None:
    """Take a plan away that nothing was begun of."""
    from workbench.sweep_store import JOURNAL, PLAN

    for path in [*(out / JOURNAL).glob("*"), out / PLAN, out / "lock"]:
        path.unlink(missing_ok=True)
    for folder in (out / JOURNAL, out):
        with suppress(OSError):  # somebody else's file lies there
            folder.rmdir()


# While it runs, and at its end -------------------------------------------------------------------


def _run(
    client: "Client",
    out: Path,
    journal: "Journal",
    tasks: list[dict[str, Any]],
    done: int,
    asked: Callable[[], bool],
) -> None:
    """All that is left, with a line or a bar for how far it is."""
    from workbench.progress import Progress
    from workbench.sweep_engine import Engine

    total, ended = done + len(tasks), 0
    with Progress() as progress:

        def tell(name: str, how: str) -> None:
            nonlocal ended
            ended += 1
            now = done + ended
            if sys.stderr.isatty() or now * 10 // total > (now - 1) * 10 // total:
                progress(f"{now:,} of {total:,} points", now / total)

        Engine(client, out, journal).run(tasks, asked, tell)


def _ended(out: Path, plan: "Plan", journal: "Journal", asked: list[int], seconds: float) -> int:
    """Say what there is; refuse where points are missing."""
    from workbench.sweep_store import BEGAN, ERRORED, RESULTS, ends, lines, lost

    said = lines(out)
    held = ends(said)
    counts = Counter(held[p.name]["how"] if p.name in held else "left" for p in plan.points)
    words = [f"{counts[how]:,} {how}" for how in ("finished", "diverged", "errored", "left")]
    shown = ", ".join(one for one in words if not one.startswith("0 "))
    died = {k: n for k, n in lost(said, journal.call).items() if k in held}
    again = sum(n for k, n in died.items() if held[k]["how"] != ERRORED)
    tried = {one["point"] for one in said if one["event"] == BEGAN and one["call"] == journal.call}
    kept = sum(p.name in held and p.name not in tried for p in plan.points)
    more = f"; {again} attempts died with their workers and were made again" if again else ""
    if again == 1:
        more = "; 1 attempt died with its worker and was made again"
    more += f"; {kept:,} were done before" if kept else ""
    print(f"{len(plan.points):,} points: {shown}{more}; {seconds:.1f} s, {out / RESULTS}")
    sys.stdout.flush()
    if asked:
        line = f"sweep: {out.name}; interrupted, {len(held):,} of {len(plan.points):,} points are"
        raise Refused(f"{line} done; the same command goes on with the rest", 128 + asked[0])
    errored = [p.name for p in plan.points if held.get(p.name, {}).get("how") == ERRORED]
    if errored:
        named = "; ".join(f"{one} ({held[one]['why']})" for one in errored[:NAMED])
        rest = f"; and {len(errored) - NAMED} more" if len(errored) > NAMED else ""
        line = f"sweep: {len(errored)} of {len(plan.points):,} points are errored: {named}{rest}"
        raise Refused(f"{line}; --errored tries them again", UNSOUND)
    if counts["left"]:
        raise Refused(f"sweep: points left: {counts['left']:,}; the same command goes on", UNSOUND)
    return 0


def _count(name: str, given: str | None, least: int, most: int) -> int | None:
    """A number that was typed, if it was."""
    if given is None:
        return None
    value = as_number(given)
    if not isinstance(value, int) or not least <= value <= most:
        raise Refused(f"{name}: {given}; an integer {least}..{most}")
    return value
