"""Does a built page fetch anything from elsewhere? Every address that a browser loads by itself."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

LOADS = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "iframe": ("src",),
    "source": ("src", "srcset"),
    "video": ("src", "poster"),
    "audio": ("src",),
    "embed": ("src",),
    "object": ("data",),
    "use": ("href", "xlink:href"),
    "image": ("href", "xlink:href"),
}
"""Attributes whose address is loaded when the page is; `link` depends on its `rel`."""

HARMLESS = {"canonical", "alternate", "next", "prev", "author", "license", "search", "index"}
"""Relations of a `link` that only name another page."""

_IN_STYLE = re.compile(
    r"""(?:url\(\s*|@import\s+)["']?\s*((?:https?:)?//[^"')\s;]+)""", re.IGNORECASE
)
_IN_SCRIPT = re.compile(
    r"""(?:fetch|import|importScripts|Worker|\.open|\.src\s*=)\s*\(?[^;\n]{0,40}?["'`]"""
    r"""((?:https?:)?//[^"'`\s]+)""",
    re.IGNORECASE,
)


class _Loads(HTMLParser):
    """What a page loads from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self._inside = tag if tag in ("style", "script") else ""
        names = LOADS.get(tag, ())
        if tag == "link" and not set(values.get("rel", "").lower().split()) <= HARMLESS:
            names = ("href",)
        for name in names:
            for one in re.split(r"[\s,]+", values.get(name, "")):
                if _is_elsewhere(one):
                    self.found.append(one)
        self.found += _IN_STYLE.findall(values.get("style", ""))

    def handle_data(self, data: str) -> None:
        if self._inside == "style":
            self.found += _IN_STYLE.findall(data)
        elif self._inside == "script":
            self.found += _IN_SCRIPT.findall(data)

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


def fetched(text: str, kind: str) -> list[str]:
    """Addresses of other machines that a browser loads by itself.

    Args:
        text: of a file.
        kind: its ending: "html", "svg", "css" or "js".
    """
    if kind == "css":
        return _IN_STYLE.findall(text)
    if kind == "js":
        return _IN_SCRIPT.findall(text)
    page = _Loads()
    page.feed(text)
    return page.found


def fetched_below(folder: Path) -> Iterator[tuple[Path, str]]:
    """Files of a built site, each with an address that it fetches."""
    for path in sorted(folder.rglob("*")):
        kind = path.suffix.lower().lstrip(".")
        if kind in ("html", "svg", "css", "js"):
            for one in fetched(path.read_text("utf-8", errors="replace"), kind):
                yield path, one


def _is_elsewhere(address: str) -> bool:
    return bool(re.match(r"(?:https?:)?//", address, re.IGNORECASE))
