"""What do the pages look like? Opens each in a headless Chromium and keeps pictures of it.

    python -m docs.screenshots          # writes docs/pages/*.png, light and dark

The runs that are shown are trained for it: the digits that are here at once, a short while.
"""

import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "browser")]

import driving  # noqa: E402
from PIL import Image  # noqa: E402
from playwright.sync_api import Page, sync_playwright  # noqa: E402

PAGES = Path(__file__).parent / "pages"

SIZE = {"width": 1440, "height": 900}

RUNS = {"plain": "plain", "spiking": "spiking"}
"""Names of runs, and of the presets that they train."""


def relaxed(page: Page) -> None:
    """A plain network beside one with spiking precision, in the middle of a relaxation."""
    driving.wait_ready(page)
    driving.step(page, 14)
    driving.choose_preset(page, "Spiking + forward update")
    driving.wait_for(page, lambda r: r["lane"] == 1, 60)
    driving.step(page, 12)
    driving.settle(page)


def drawer(tab: str) -> Callable[[Page], None]:
    """The same with a tab of the drawer open."""

    def act(page: Page) -> None:
        relaxed(page)
        driving.open_drawer(page, tab)
        page.wait_for_timeout(3000)

    return act


def filled(page: Page) -> None:
    """The page with all that it shows by itself."""
    page.wait_for_timeout(9000)


SHOWN: dict[str, tuple[str, Callable[[Page], None]]] = {
    "home": ("?page=home", filled),
    "relax": ("", relaxed),
    "relax-network": ("", drawer("network")),
    "relax-lanes": ("", drawer("lanes")),
    "relax-what-if": ("", drawer("what-if")),
    "runs": ("?page=runs&run=spiking", filled),
    "compare": ("?page=compare&run=plain&run=spiking", filled),
}
"""Name of a picture: address, and what is done before it is taken."""


def train(runs: Path) -> None:
    """The runs that are shown."""
    command = shutil.which("relaxoscope", path=Path(sys.executable).parent) or "relaxoscope"
    for name, preset in RUNS.items():
        asked = [
            "train",
            "--recipe",
            preset,
            "--batches",
            "150",
            "--test-every",
            "25",
            "--align-every",
            "5",
        ]
        subprocess.run([command, *asked, "--out", str(runs / name)], check=True, cwd=ROOT)


def keep(page: Page, path: Path) -> None:
    """A picture of the page in 256 colours."""
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def main() -> int:
    """All pictures, or those that are named."""
    executable = driving.find_chromium()
    if executable is None:
        print(f"missing: {driving.HOW_TO_GET}", file=sys.stderr)
        return 1
    wanted = sys.argv[1:] or list(SHOWN)
    PAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        train(Path(folder) / "runs")
        browser = driving.launch(playwright, executable)
        with driving.serving(Path(folder), runs=Path(folder) / "runs") as server:
            for name in wanted:
                address, act = SHOWN[name]
                for theme in ("light", "dark"):
                    context = browser.new_context(viewport=SIZE, color_scheme=theme)
                    page = context.new_page()
                    page.goto(server.url + address, wait_until="commit")
                    act(page)
                    keep(page, PAGES / f"{name}-{theme}.png")
                    context.close()
                    print(name, theme)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
