"""Do the tests see mistakes? Mutate one line of a copy, run the tests that should fail, tell.

    python -m tests.mutants [part of a file name or of a mistake]

The table goes to the standard output; the exit status is 1 if a mutant survives or its text is not
found exactly once. A run of the whole list writes result.json beside this file.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from tests.mutants.mutation import ROOT, Mutant, fingerprint, listed

RESULT = Path(__file__).with_name("result.json")
WORKERS = 2
SECONDS = 300
"""Longest run of a mutant's tests; one that hangs is killed, too."""
LEFT_OUT = (".git", ".venv", "__pycache__", ".*_cache", ".hypothesis")
BUILT = ("build", "dist", "runs")
"""Left out where they lie beside the packages: `core/runs` is one of them."""

FAILED, TIMED_OUT = 1, 124


def pytest_in(tree: Path, arguments: Iterable[str]) -> tuple[int, str]:
    """Exit status and output of pytest in a copy of the checkout."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *arguments]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(tree)}
    try:
        ended = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        return TIMED_OUT, f"longer than {SECONDS} s"
    return ended.returncode, ended.stdout + ended.stderr


def copied(folder: str) -> Path:
    """A copy of the checkout, whose tests import the copy."""

    def left_out(where: str, names: list[str]) -> set[str]:
        found = shutil.ignore_patterns(*LEFT_OUT)(where, names)
        return found | set(BUILT) if Path(where) == ROOT else found

    tree = Path(folder) / "tree"
    shutil.copytree(ROOT, tree, ignore=left_out)
    return tree


def judged(mutant: Mutant, tree: Path) -> tuple[str, str]:
    """ "killed", "survived" or "error", and what says so."""
    path = tree / mutant.file
    text = path.read_text()
    path.write_text(mutant.of(text))
    try:
        status, output = pytest_in(tree, mutant.arguments)
    finally:
        path.write_text(text)
    if status == TIMED_OUT:
        return "killed", output
    if status == FAILED:
        failed = [line for line in output.splitlines() if line.startswith("FAILED ")]
        return "killed", failed[0].removeprefix("FAILED ").partition(" - ")[0] if failed else ""
    return ("survived" if status == 0 else "error"), output[-3000:]


def misplaced(mutants: list[Mutant]) -> list[str]:
    """A line for each mutant whose old text is not in its file exactly once."""
    lines = []
    for mutant in mutants:
        try:
            mutant.of((ROOT / mutant.file).read_text())
        except (ValueError, OSError) as error:
            lines.append(str(error))
    return lines


def run(chosen: list[Mutant]) -> dict[Mutant, tuple[str, str]]:
    """Judge mutants in copies of the checkout, one for each worker, and print the table."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        trees: SimpleQueue[Path] = SimpleQueue()
        copies = [copied(folder) for folder in (one, two)[:WORKERS]]
        tests = sorted({name for mutant in chosen for name in mutant.arguments})
        status, output = pytest_in(copies[0], tests)
        if status != 0:
            raise SystemExit(f"The tests do not pass without a mutant:\n{output[-3000:]}")
        for tree in copies:
            trees.put(tree)

        def judge(mutant: Mutant) -> tuple[str, str]:
            tree = trees.get()
            try:
                found = judged(mutant, tree)
            finally:
                trees.put(tree)
            print(f"{found[0]:9} {mutant.file}: {mutant.what}", flush=True)
            return found

        with ThreadPoolExecutor(WORKERS) as pool:
            return dict(zip(chosen, pool.map(judge, chosen), strict=True))


def main() -> int:
    """Run the list, or the part of it that the argument names."""
    mutants = listed()
    lines = misplaced(mutants)
    if lines:
        print("\n".join(lines))
        return 1
    wanted = " ".join(sys.argv[1:])
    chosen = [one for one in mutants if wanted in f"{one.file} {one.what}"]
    began = time.monotonic()
    found = run(chosen)
    for mutant, (verdict, why) in found.items():
        if verdict != "killed":
            print(f"\n{verdict}: {mutant.file}: {mutant.what}\n{mutant.old}\n{mutant.new}\n{why}")
    killed = sum(verdict == "killed" for verdict, _ in found.values())
    print(f"{killed} of {len(chosen)} mutants killed in {time.monotonic() - began:.0f} s")
    if chosen == mutants:
        told = {"count": len(mutants), "killed": killed, "list": fingerprint(mutants)}
        RESULT.write_text(json.dumps(told, indent=2) + "\n")
    return 0 if chosen and killed == len(chosen) else 1


if __name__ == "__main__":
    raise SystemExit(main())
