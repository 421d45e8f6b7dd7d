"""How fast is the page? A server, a headless Chromium on this machine, and a stopwatch.

    python benchmarks/page.py [--out runs/bench-page.json] [--seconds 10] [--clicks 30]

Every number is taken where a person would notice it: times are those of the browser, and a frame
counts when the browser has painted it. Loopback only; ends by itself in about two minutes.
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

STOPWATCH = """
window.painted = []; window.clicked = [];
addEventListener('pointerdown', () => window.clicked.push(performance.now()), true);
addEventListener('DOMContentLoaded', () => {
  const readout = document.getElementById('readout');
  if (!readout) return;
  new MutationObserver(() => {
    const said = JSON.parse(readout.textContent);
    const note = () => window.painted.push([performance.now(), said.cursor, said.taken]);
    requestAnimationFrame(() => setTimeout(note, 0));
  }).observe(readout, {childList: true, characterData: true, subtree: true});
});"""
"""Notes when a click began and when a frame was painted, in milliseconds since the request."""


def visit(browser: Browser, server: driving.Server) -> tuple[Page, driving.Witness]:
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.add_init_script(STOPWATCH)
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
    moving = next(t for t, cursor, _ in frames if cursor >= 1)
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
    seen = {row: t for t, row, _ in reversed(painted)}
    took = sorted(seen[row] - begun[row - 1] for row in range(1, count + 1))
    return {
        "median_ms": round(statistics.median(took)),
        "p95_ms": round(took[min(len(took) - 1, int(0.95 * len(took)))]),
        "clicks": count,
    }


def measure(browser: Browser, seconds: float, count: int) -> dict:
    """All numbers, from a cold cache, a warm one, and a second visit."""
    found: dict = {"cpus": os.cpu_count(), "load_before": round(os.getloadavg()[0], 2)}
    errors, left = [], []
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        for name in ("cold cache", "warm cache"):
            server = driving.Server(cache, Path(folder) / f"{name}.txt")
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
                    errors += server.complaints()
                page.context.close()
                errors, left = errors + witness.errors, left + witness.left
            finally:
                server.stop()
    found |= {"requests leaving the machine": left, "errors": errors}
    found["load_after"] = round(os.getloadavg()[0], 2)
    return found


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--out", type=Path, default=ROOT / "runs" / "bench-page.json")
    asked.add_argument("--seconds", type=float, default=10, help="of playing at free speed")
    asked.add_argument("--clicks", type=int, default=30, help="on the step button")
    given = asked.parse_args()
    executable = driving.find_chromium()
    if executable is None:
        print(f"missing: {driving.HOW_TO_GET}", file=sys.stderr)
        return 1
    with sync_playwright() as playwright:
        browser = driving.launch(playwright, executable)
        seconds, count = min(given.seconds, 60), max(1, min(given.clicks, 200))
        found = {"chromium": browser.version} | measure(browser, max(2, seconds), count)
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
