"""Build the documentation: python -m docs.site [--keep] [FOLDER], by default build/docs.

Its sources are made in FOLDER/source: the pages of docs/ with their blocks filled in, and pages of
the catalogue, of views and of modules with pictures of runs that are made now. Sphinx makes
FOLDER/html of them. A warning is an error, and so is a page that would fetch something from another
machine. `--keep` draws no picture again that is there, to see changed words at once.
"""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import ziamath

from docs.site import api, checks, entries, gallery, pages

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

MATH_FONT = Path(ziamath.__file__).parent / "fonts" / "STIXTwoMath-Regular.ttf"
"""Under the SIL Open Font License, as the package ziamath brings it."""


def tell(line: str) -> None:
    """A line about what was made."""
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def copy(source: Path) -> None:
    """What is used as it is: pictures, styles and a font."""
    for name in ("figures", "_static"):
        (source / name).mkdir(parents=True, exist_ok=True)
    for name in pages.PICTURES:
        shutil.copytree(DOCS / name, source / name, dirs_exist_ok=True)
    shutil.copy(DOCS / "site" / "site.css", source / "_static")
    shutil.copy(MATH_FONT, source / "_static")
    shutil.copy(DOCS / "site" / "conf.py", source)


def write_sources(source: Path, keep: bool) -> None:
    """All that Sphinx reads.

    Args:
        source: the folder, which is emptied first.
        keep: whether pictures that are there are kept.
    """
    if not keep:
        shutil.rmtree(source, ignore_errors=True)
    copy(source)
    entries.write(source, tell, keep)
    gallery.write(source, tell, keep)
    api.write(source)
    there = sorted(DOCS.glob("*.md"))
    for path in there:
        text = pages.filled(path.read_text("utf-8"), source, path.stem, tell, keep)
        if path.stem == "index" and DOCS / "results.md" not in there:
            text = "".join(one for one in text.splitlines(True) if "results" not in one)
        (source / path.name).write_text(pages.linked(text), "utf-8")


def main(argv: list[str]) -> int:
    """Write the sources, run Sphinx, look for what is fetched."""
    keep, named = "--keep" in argv, [one for one in argv if one != "--keep"]
    folder = (Path(named[0]) if named else ROOT / "build" / "docs").resolve()
    source, html = folder / "source", folder / "html"
    write_sources(source, keep)
    shutil.rmtree(html, ignore_errors=True)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    made = subprocess.run([*command, "-d", folder / "doctrees", source, html], cwd=ROOT)
    if made.returncode:
        return made.returncode
    found = list(checks.fetched_below(html))
    for path, address in found:
        print(f"{path.relative_to(html)}: fetches {address}", file=sys.stderr)
    count = len(list(html.rglob("*.html")))
    tell(f"{count} pages in {html}; {len(found)} addresses fetched from elsewhere")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
