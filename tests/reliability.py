"""How reliable is it, in one table? What the fault tests have counted, and a soak of the server.

    python -m tests.reliability counts.json --minutes 10

The counts are those of a test run with `RELIABILITY_COUNTS=counts.json`. In the soak a browser
opens pages with sessions of their own, relaxes in them and closes them; then the server's memory,
threads, sessions and pages are looked at.
"""

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent / "browser"))

SLOPE = 50_000
"""Bytes that a session may leave behind, once the server is warm."""

AT_ONCE = 4
"""Pages that are open together; 20 or more come and go in ten minutes."""

GRACE = 2.0
"""Seconds that a session without a page is kept."""

PATIENCE = 600.0
"""Seconds until a page shows its first row, of which the first one waits for a training."""

TELLS = """
import gc, signal
from core.allocator import give_back
from workbench import gate, registry
signal.signal(signal.SIGUSR1, lambda *_: (gc.collect(), give_back(), print(
    'ALIVE', registry.alive(), len(gate._open), flush=True)))
"""
"""Run by the server first: a signal makes it say how many sessions and pages it holds.

What it no longer uses is collected and given back before: what is then resident, it holds.
"""

GOALS = {
    "kills of a writer, no acknowledged row lost": 120,
    "deaths of a writer within a call": 60,
    "failed calls, each named and nothing stored lost": 1,
    "mutilated files of runs, 0 silently wrong": 500,
    "resumes bit for bit": 100,
    "sessions replayed to the same digests": 100,
    "points of sweeps whose workers were killed, as without": 24,
    "attacks refused": 30,
}
"""What a whole run makes at least."""


def soak(minutes: float) -> dict[str, Any]:
    """Open and close pages for so long; what was left of them."""
    import driving
    from playwright.sync_api import sync_playwright

    found = driving.find_chromium()
    if found is None:
        raise SystemExit(driving.HOW_TO_GET)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = driving.Server(
            Path(folder) / "cache", Path(folder) / "log", grace=GRACE, before=TELLS
        )
        try:
            server.wait()
            browser = driving.launch(playwright, found)
            _round(browser, server, 1)  # trains the first weights
            _rested(server, Path(folder) / "log")
            threads = server.threads()
            held, opened, end = [], 0, time.monotonic() + 60 * minutes
            while time.monotonic() < end or len(held) < 3:
                opened += _round(browser, server)
                alive = _rested(server, Path(folder) / "log")
                held.append((opened, server.memory()))
            browser.close()
            return {
                "sessions": opened,
                "slope": _slope(held),
                "threads": server.threads() - threads,
                "alive": alive,
                "complaints": server.complaints(),
            }
        finally:
            server.stop()


def _round(browser: Any, server: Any, count: int = AT_ONCE) -> int:
    """Open some pages, relax in each, close them; how many."""
    import driving

    contexts = [browser.new_context() for _ in range(count)]
    pages = [context.new_page() for context in contexts]
    for page in pages:
        page.goto(server.url, wait_until="commit")
    for page in pages:
        driving.wait_ready(page, PATIENCE)
        driving.step(page, 5)
    for context in contexts:
        context.close()
    return len(pages)


def _rested(server: Any, log: Path) -> tuple[int, int]:
    """Sessions and pages that the server still holds when their grace time is over."""
    import driving

    alive = (-1, -1)
    for _ in range(60):
        time.sleep(max(1.0, (GRACE + driving.UNUSED) / 6))
        server.process.send_signal(signal.SIGUSR1)
        time.sleep(0.2)
        said = [one.split() for one in log.read_text().splitlines() if one.startswith("ALIVE ")]
        alive = tuple(map(int, said[-1][1:])) if said else alive
        if alive == (0, 0):
            break
    return alive


def _slope(held: list[tuple[int, int]]) -> float:
    """Bytes a session, of the rounds in the second half: before, caches fill."""
    later = np.array(held[len(held) // 2 :] if len(held) > 5 else held, dtype=float)
    return float(np.polyfit(later[:, 0], later[:, 1], 1)[0])


def table(counts: Mapping[str, Any], soaked: Mapping[str, Any] | None) -> tuple[list[str], bool]:
    """The lines, and whether all goals were reached.

    Args:
        counts: what tests have counted, by name.
        soaked: what `soak` found; None where it was left out.
    """
    lines, well = [], True
    for what, count in counts.items():
        goal = GOALS.get(what)
        good = goal is None or count >= goal
        well &= good
        lines.append(f"{count:9,}  {what}{'' if good else f'; {goal} are wanted'}")
    for what in GOALS.keys() - counts.keys():
        well = False
        lines.append(f"{0:9,}  {what}; not counted")
    if soaked is not None:
        good = (
            soaked["slope"] < SLOPE
            and soaked["threads"] <= 1
            and soaked["alive"] == (0, 0)
            and not soaked["complaints"]
        )
        well &= good
        lines.append(
            f"{soaked['sessions']:9,}  browser sessions opened and closed: "
            f"{soaked['slope'] / 1000:.0f} KB a session, {soaked['threads']:+d} threads, "
            f"{soaked['alive'][0]} sessions and {soaked['alive'][1]} pages left, "
            f"{len(soaked['complaints'])} complaints"
        )
    return lines, well


def main(argv: list[str] | None = None) -> int:
    """Soak, print the table; 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("counts", type=Path, help="what the tests have counted, JSON")
    parser.add_argument("--minutes", type=float, default=10.0, help="of the soak; 0 for none")
    args = parser.parse_args(argv)
    counts = json.loads(args.counts.read_text("utf-8")) if args.counts.exists() else {}
    soaked = soak(args.minutes) if args.minutes > 0 else None
    lines, well = table(counts, soaked)
    print("\nreliability")
    for line in lines:
        print(line)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
