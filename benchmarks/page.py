"""How fast is the page? A server, a headless Chromium on this machine, and a stopwatch.

    python benchmarks/page.py [--out runs/bench-page.json] [--seconds 5] [--clicks 30] [--rounds 5]

Every number is taken where a person would notice it: times are those of the browser, and a frame
counts when the browser has painted it. What a frame costs is measured beside the same page with its
plots drawn by Bokeh alone, in turns. Loopback only; ends by itself in about eight minutes.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
import zipfile
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "browser")]

import driving  # noqa: E402
from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402

PATIENCE = 180
"""Seconds after which a page that is not ready counts as broken."""

GRACE = 2.0
"""Seconds for which the session of a page that has gone is kept."""

STOPWATCH = """
window.painted = []; window.clicked = [];
addEventListener('pointerdown', () => window.clicked.push(performance.now()), true);
addEventListener('DOMContentLoaded', () => {
  const readout = document.getElementById('readout');
  if (!readout) return;
  new MutationObserver(() => {
    const said = JSON.parse(readout.textContent);
    const note = () => window.painted.push(
      [performance.now(), said.cursor, said.taken, said.frame, Date.now() - said.at]);
    if (BOKEH) requestAnimationFrame(() => setTimeout(note, 0)); else note();
  }).observe(readout, {childList: true, characterData: true, subtree: true});
});"""
"""Notes when a click began, and of each painted frame when, which, and how old it was, in ms.

The page's worker says what has left it for the screen. What Bokeh draws is asked for: its plots
are painted at the next frame of the page.
"""


def visit(
    browser: Browser, server: driving.Server, bokeh: bool = False
) -> tuple[Page, driving.Witness]:
    """A page that is opened under the stopwatch, and its witness; `bokeh` if that draws it."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.add_init_script(STOPWATCH.replace("BOKEH", "true" if bokeh else "false"))
    witness = driving.Witness(page)
    page.goto(server.url, wait_until="commit")
    return page, witness


def opening(page: Page) -> dict[str, float]:
    """Seconds from the request to what is seen; play is pressed as soon as it can be."""
    driving.wait_ready(page, PATIENCE)
    driving.press(page, "Space")
    driving.wait_for(page, lambda r: r["cursor"] >= 1, what="the first step")
    driving.press(page, "Space")
    driving.wait_for(page, lambda r: not r["playing"])
    driving.settle(page)
    paint = page.evaluate(
        "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
    )
    frames = page.evaluate("() => window.painted")
    moving = next(t for t, cursor, *_ in frames if cursor >= 1)
    return {
        "first_paint": round(paint / 1000, 2),
        "first_row_drawn": round(frames[0][0] / 1000, 2),
        "first_moving_plot": round(moving / 1000, 2),
    }


def free_speed(page: Page, seconds: float) -> dict[str, float]:
    """Painted frames and steps per second in the gear of steps, as fast as it goes."""
    driving.set_speed(page, "free")
    driving.press(page, "Space")
    driving.wait_for(page, lambda r: r["playing"] and r["row"] > 20)
    time.sleep(1)
    begun = page.evaluate("() => (window.painted = [], performance.now())")
    end = time.monotonic() + seconds
    said = []
    while time.monotonic() < end:
        time.sleep(1)
        said.append(driving.readout(page)["fps"])
    frames = [one for one in page.evaluate("() => window.painted") if one[0] >= begun]
    lasted = (frames[-1][0] - frames[0][0]) / 1000
    gaps = sorted(b[0] - a[0] for a, b in pairwise(frames))
    return {
        "painted_frames_per_second": round((len(frames) - 1) / lasted, 1),
        "frames_per_second_said": statistics.median(said),
        "longest_gap_ms": round(gaps[-1]),
        "steps_per_second_watched": round((frames[-1][2] - frames[0][2]) / lasted),
    }


def late_commands(page: Page, count: int = 10) -> int:
    """The most steps between a command's arrival and its effect; the page plays freely."""
    for _ in range(count):
        held = driving.readout(page)["commands"]
        driving.click(page, "live")
        driving.wait_for(page, lambda r, n=held: r["commands"] > n)
    driving.press(page, "Space")
    driving.wait_for(page, lambda r: not r["playing"])
    driving.open_drawer(page, "export")
    with page.expect_download(timeout=60_000) as coming:
        page.locator("#drawer button", has_text="figure, data and recipe").click()
    events = json.loads(zipfile.ZipFile(coming.value.path()).read("events.json"))["events"]
    driving.click(page, "export")
    driving.wait_for(page, lambda r: not r["drawer"])
    return max(one["applied"] - one["asked"] for one in events)


def clicks(page: Page, count: int) -> dict[str, float]:
    """Milliseconds from a press on the step button to the painted row."""
    driving.click(page, "restart")
    driving.wait_for(page, lambda r: r["row"] == 0)
    box = driving.control(page, "step", "button").bounding_box()
    assert box is not None
    page.evaluate("() => { window.painted = []; window.clicked = []; }")
    for row in range(1, count + 1):
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        driving.wait_for(page, lambda r, n=row: r["cursor"] == n)
        time.sleep(0.1)
    begun, painted = page.evaluate("() => [window.clicked, window.painted]")
    seen = {row: t for t, row, *_ in reversed(painted)}
    took = sorted(seen[row] - begun[row - 1] for row in range(1, count + 1))
    return {
        "median_ms": round(statistics.median(took)),
        "p95_ms": round(took[min(len(took) - 1, int(0.95 * len(took)))]),
        "clicks": count,
    }


PLAIN = "from benchmarks import plain_board; plain_board.install(); "

WIDE, DEEP = 10, 64


def windowful(page: Page, hidden: int = WIDE - 1) -> None:
    """A network of so many hidden layers, and 400 rows and more in the window."""
    if hidden != WIDE - 1:
        driving.open_drawer(page)
        driving.turn(page, "hidden", f"32 x {hidden}")
        driving.wait_for(page, lambda r: r["layers"] == hidden + 1, 400, "the deep network")
        driving.click(page, "choices")
    driving.set_steps(page, "4000")
    driving.set_speed(page, "free")
    driving.press(page, "Space")
    driving.wait_for(page, lambda r: r["row"] > 420, 120, "a full window")
    driving.press(page, "Space")
    driving.wait_for(page, lambda r: not r["playing"])
    driving.set_speed(page, "40 /s")
    driving.settle(page)


class Costs:
    """What frames cost the server's main thread and the browser's, while the page plays."""

    def __init__(self, server: driving.Server, page: Page) -> None:
        self.server, self.page = server, page
        self.devtools = page.context.new_cdp_session(page)
        self.devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
        browser = page.context.browser
        assert browser is not None
        self.system = browser.new_browser_cdp_session()
        self.rounds: list[dict[str, float]] = []

    def _spent(self) -> float:
        told = self.devtools.send("Performance.getMetrics")["metrics"]
        return next(one["value"] for one in told if one["name"] == "TaskDuration")

    def _spent_by_all(self) -> float:
        told = self.system.send("SystemInfo.getProcessInfo")["processInfo"]
        return sum(one["cpuTime"] for one in told)

    def play(self, seconds: float) -> None:
        """One round."""
        page = self.page
        driving.press(page, "Space")
        driving.wait_for(page, lambda r: r["playing"])
        time.sleep(0.5)
        page.evaluate("() => { window.painted = []; }")
        begun, server, browser, others = time.monotonic(), self.server.busy(), self._spent(), idle()
        everything = self._spent_by_all()
        time.sleep(seconds)
        lasted = time.monotonic() - begun
        server, browser = self.server.busy() - server, self._spent() - browser
        everything = self._spent_by_all() - everything
        painted = page.evaluate("() => window.painted")
        frames = len({one[3] for one in painted})
        driving.press(page, "Space")
        driving.wait_for(page, lambda r: not r["playing"])
        self.rounds.append(
            {
                "server_ms": 1000 * server / frames,
                "browser_ms": 1000 * browser / frames,
                "all_ms": 1000 * everything / frames,
                "fps": frames / lasted,
                "age_ms": statistics.median(one[4] for one in painted),
                "idle": (idle() - others) / lasted / os.cpu_count(),
            }
        )

    def told(self) -> dict[str, float]:
        """Medians over the rounds."""
        return {
            name: round(statistics.median(one[name] for one in self.rounds), 2)
            for name in self.rounds[0]
        }


def idle() -> float:
    """Seconds that all cores together have been idle."""
    return int(Path("/proc/stat").read_text().split()[4]) / os.sysconf("SC_CLK_TCK")


def beside_plain(browser: Browser, cache: Path, folder: Path, rounds: int, seconds: float) -> dict:
    """What a frame costs, ours and plain Bokeh in turns."""
    servers = {
        "ours": driving.Server(cache, folder / "ours.txt"),
        "plain Bokeh": driving.Server(cache, folder / "plain.txt", before=PLAIN),
    }
    try:
        costs = {}
        for name, server in servers.items():
            server.wait()
            page, _ = visit(browser, server, bokeh=name == "plain Bokeh")
            driving.wait_ready(page, PATIENCE)
            windowful(page)
            costs[name] = Costs(server, page)
        for _ in range(rounds):
            for one in costs.values():
                one.play(seconds)
        found = {name: one.told() for name, one in costs.items()}
        pairs = list(zip(*(one.rounds for one in costs.values()), strict=True))
        found["ours by plain Bokeh"] = {
            name: round(statistics.median(a[name] / b[name] for a, b in pairs), 2)
            for name in ("server_ms", "browser_ms", "all_ms", "fps")
        }
        page = costs["ours"].page
        throttle = costs["ours"].devtools
        throttle.send("Emulation.setCPUThrottlingRate", {"rate": 6})
        found["browser slowed six times"] = slowed(page, seconds)
        throttle.send("Emulation.setCPUThrottlingRate", {"rate": 1})
        windowful(page, DEEP - 1)
        deep = Costs(servers["ours"], page)
        for _ in range(rounds):
            deep.play(seconds)
        found[f"{DEEP} layers"] = deep.told()
        for one in costs.values():
            one.page.context.close()
        return found
    finally:
        for server in servers.values():
            server.stop()


def slowed(page: Page, seconds: float) -> dict:
    """Age of frames when they are painted, and whether their numbers only rise."""
    driving.press(page, "Space")
    driving.wait_for(page, lambda r: r["playing"], 60)
    time.sleep(1)
    page.evaluate("() => { window.painted = []; }")
    time.sleep(2 * seconds)
    painted = page.evaluate("() => window.painted")
    driving.press(page, "Space")
    driving.wait_for(page, lambda r: not r["playing"], 60)
    ages, numbers = sorted(one[4] for one in painted), [one[3] for one in painted]
    half = len(painted) // 2
    return {
        "age_median_ms": round(statistics.median(ages)),
        "age_p95_ms": round(ages[int(0.95 * len(ages))]),
        "later_half_by_first": round(
            statistics.median(one[4] for one in painted[half:])
            / statistics.median(one[4] for one in painted[:half]),
            2,
        ),
        "goes_back": sum(b < a for a, b in pairwise(numbers)),
    }


def four_tabs(browser: Browser, server: driving.Server, seconds: float) -> dict:
    """Frames painted a second in four tabs that play at once."""
    pages = [visit(browser, server)[0] for _ in range(4)]
    for page in pages:
        driving.wait_ready(page, PATIENCE)
        driving.set_speed(page, "40 /s")
        driving.press(page, "Space")
    for page in pages:
        page.evaluate("() => { window.painted = []; }")
    begun = time.monotonic()
    time.sleep(seconds)
    frames = [len(page.evaluate("() => window.painted")) for page in pages]
    lasted = time.monotonic() - begun
    for page in pages:
        page.context.close()
    return {"fps": [round(one / lasted, 1) for one in frames]}


def after_closing(browser: Browser, server: driving.Server, count: int = 12) -> dict:
    """Threads and memory that sessions leave behind."""

    def visited() -> None:
        page = visit(browser, server)[0]
        driving.wait_ready(page, PATIENCE)
        driving.step(page, 3)
        page.context.close()

    def rested() -> tuple[int, int]:
        time.sleep(GRACE + driving.UNUSED + 3)
        return server.threads(), server.memory()

    for _ in range(3):
        visited()
    threads, memory = rested()
    for _ in range(count):
        visited()
    after = rested()
    return {
        "sessions": count,
        "threads": after[0] - threads,
        "kib_a_session": round((after[1] - memory) / 1024 / count),
    }


def measure(browser: Browser, seconds: float, count: int, rounds: int) -> dict:
    """All numbers, from a cold cache, a warm one, and a second visit."""
    found: dict = {"cpus": os.cpu_count(), "load_before": round(os.getloadavg()[0], 2)}
    errors, left = [], []
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        for name in ("cold cache", "warm cache"):
            server = driving.Server(cache, Path(folder) / f"{name}.txt", GRACE)
            try:
                up = {"server_up": round(server.wait(), 2)}
                page, witness = visit(browser, server)
                found[name] = up | opening(page)
                if name == "warm cache":
                    again, other = visit(browser, server)
                    found["second visit"] = opening(again)
                    again.context.close()
                    errors, left = errors + other.errors, left + other.left
                    found["free speed"] = free_speed(page, seconds)
                    found["steps between command and effect"] = late_commands(page)
                    found["click to painted"] = clicks(page, count)
                    found["server_rss_mib"] = round(server.memory() / 2**20)
                    found["four tabs at once"] = four_tabs(browser, server, seconds)
                    page.context.close()
                    found["after closing"] = after_closing(browser, server)
                    errors += server.complaints()
                else:
                    page.context.close()
                errors, left = errors + witness.errors, left + witness.left
            finally:
                server.stop()
        found |= beside_plain(browser, cache, Path(folder), rounds, seconds)
    found |= {"requests leaving the machine": left, "errors": errors}
    found["load_after"] = round(os.getloadavg()[0], 2)
    return found


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--out", type=Path, default=ROOT / "runs" / "bench-page.json")
    asked.add_argument("--seconds", type=float, default=5, help="of playing, each time")
    asked.add_argument("--clicks", type=int, default=30, help="on the step button")
    asked.add_argument("--rounds", type=int, default=5, help="ours and plain Bokeh in turns")
    given = asked.parse_args()
    executable = driving.find_chromium()
    if executable is None:
        print(f"missing: {driving.HOW_TO_GET}", file=sys.stderr)
        return 1
    with sync_playwright() as playwright:
        browser = driving.launch(playwright, executable)
        seconds, count = min(given.seconds, 60), max(1, min(given.clicks, 200))
        found = {"chromium": browser.version} | measure(
            browser, max(2, seconds), count, max(1, given.rounds)
        )
        browser.close()
    for name, value in found.items():
        parts = value.items() if isinstance(value, dict) else [("", value)]
        print(f"{name:34}", ", ".join(f"{k} {v}".strip() for k, v in parts))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    print("written to", given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
