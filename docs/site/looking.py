"""How do the built pages look? Each in a headless Chromium, wide and narrow, light and dark.

    python -m docs.site.looking [HTML [PICTURES]]

For each page it says what is wider than the window, which picture is not there, what the browser
complains of, and what it asks of another machine. PICTURES keeps what it saw.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "browser")]

import driving  # noqa: E402
from playwright.sync_api import Page, sync_playwright  # noqa: E402

WIDTHS = (1440, 390)

FAULTS = """() => {
  const faults = [];
  const over = document.documentElement.scrollWidth - innerWidth;
  if (over > 0) faults.push(`${over} px wider than the window`);
  for (const one of document.images)
    if (one.complete && !one.naturalWidth) faults.push(`no picture: ${one.src}`);
  for (const one of document.querySelectorAll('math'))
    if (!one.getBoundingClientRect().height) faults.push('a formula without height');
  if (/\\$[^$]*\\\\[a-z]+|\\{figure\\}|\\{tour\\}/.test(document.body.innerText))
    faults.push('markup is seen');
  return faults; }"""


def look(page: Page, address: str) -> list[str]:
    """What is wrong with a page."""
    heard: list[str] = []
    page.on("console", lambda said: heard.append(said.text) if said.type == "error" else None)
    page.on(
        "request",
        lambda one: (
            None if one.url.startswith(("file:", "data:", "blob:")) else heard.append(one.url)
        ),
    )
    page.goto(address, wait_until="load")
    page.evaluate("document.querySelectorAll('img').forEach(one => one.loading = 'eager')")
    page.wait_for_function("[...document.images].every(one => one.complete)", timeout=10_000)
    return [*page.evaluate(FAULTS), *heard]


def main(argv: list[str]) -> int:
    """Look at every page and count."""
    html = Path(argv[0] if argv else ROOT / "build" / "docs" / "html").resolve()
    pictures = Path(argv[1]) if len(argv) > 1 else None
    executable = driving.find_chromium()
    if executable is None:
        print(f"missing: {driving.HOW_TO_GET}", file=sys.stderr)
        return 1
    seen = bad = 0
    with sync_playwright() as playwright:
        browser = driving.launch(playwright, executable)
        for theme in ("light", "dark"):
            for width in WIDTHS:
                size = {"width": width, "height": 900}
                context = browser.new_context(viewport=size, color_scheme=theme)
                for path in sorted(html.rglob("*.html")):
                    page = context.new_page()
                    faults = look(page, path.as_uri())
                    name = str(path.relative_to(html).with_suffix("")).replace("/", "-")
                    if pictures is not None:
                        kept = pictures / f"{name}-{width}-{theme}.png"
                        page.screenshot(path=kept, full_page=True)
                    page.close()
                    seen, bad = seen + 1, bad + bool(faults)
                    for one in dict.fromkeys(faults):
                        print(f"{name}, {width} px, {theme}: {one}", flush=True)
                context.close()
        browser.close()
    print(f"{seen - bad} of {seen} views of {seen // 4} pages are as they should be")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
