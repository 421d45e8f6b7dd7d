"""What a person at the page does and sees: a server, a Chromium, clicks, the readout, pixels.

Used by the browser tests and by benchmarks/page.py.
"""

import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, ElementHandle, Error, Locator, Page, Playwright

ROOT = Path(__file__).resolve().parents[2]

NAMES = (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HOW_TO_GET = "Chromium: apt-get install chromium, or CHROMIUM=/path/to/it"

PANEL = (
    "{before}from core import plugins; [plugins.load(one) for one in {plugins}]; "
    "from workbench import registry; registry.GRACE = {grace}; "
    "from panel.command import main; main()"
)
"""`relaxoscope serve`, with another grace time for sessions without a page: there may be 16."""

NAGLE = """
import gc, signal, socket
from bokeh.server.views.ws import WSHandler
def tell(*_):
    open = [one.ws_connection for one in gc.get_objects() if isinstance(one, WSHandler)]
    sockets = [one.stream.socket for one in open if one is not None and one.stream.socket]
    nagle = [one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0 for one in sockets]
    print('SOCKETS', len(nagle), sum(nagle), flush=True)
signal.signal(signal.SIGUSR2, tell)
"""
"""Run by the server first: a signal makes it say how many sockets it has, and how many keep small
messages back.
"""

UNUSED = 5
"""Seconds until the server discards what was built for a page that does not come or has gone."""

PLOTS = ("heat", "errors", "depth", "total", "alignment", "images", "imbalance", "precision")

VIEW = """name => Bokeh.index.query_one(v => v.model.tags?.includes(name))?.el ?? null"""
INSIDE = """([name, what]) => {
  const el = Bokeh.index.query_one(v => v.model.tags?.includes(name))?.el;
  return el?.shadowRoot?.querySelector(what) ?? null; }"""

DEEP_TEXT = """what => {
  const texts = node => node.shadowRoot ? texts(node.shadowRoot)
    : node.nodeType === Node.TEXT_NODE ? node.data
    : ['STYLE', 'SCRIPT'].includes(node.tagName) ? ''
    : [...node.childNodes].map(texts).join(' ');
  return texts(document.querySelector(what)).replace(/\\s+/g, ' ').trim(); }"""

PATIENCE = 30.0
"""Seconds in which a machine that has much else to do still shows what was asked for."""

ANSWERS = """async () => {
  const begun = performance.now();
  await fetch('/static/js/bokeh.min.js', {method: 'HEAD', cache: 'no-store'});
  return (performance.now() - begun) / 1000; }"""
"""Seconds until the server, which has one thread for pages, has time for another request."""

PAINTED = """() => new Promise(done => requestAnimationFrame(() => setTimeout(
  () => requestAnimationFrame(() => setTimeout(done, 0)), 20)))"""
"""Waits for two pictures of the browser: the plots draw at most one in 17 ms."""

LIES_STILL = """async (element, patience) => {
  const end = performance.now() + patience;
  let last = '', same = 0;
  while (same < 4 && performance.now() < end) {
    await new Promise(requestAnimationFrame);
    const box = element.getBoundingClientRect();
    const now = [box.x, box.y, box.width, box.height].join();
    same = now === last && box.width ? same + 1 : 0;
    last = now;
  }
  return same === 4; }"""
"""Waits until a box is the same in five pictures in a row; whether it was."""

FAULTS = (Path(__file__).parent / "faults.js").read_text("utf-8")

WINDOWS = ((1280, 800), (1440, 900))
"""Sizes in which pages are looked at."""

GONE = ("WebSocketClosedError", "StreamClosedError")
"""What is raised where a message is for a page that has gone."""

SOCKETS = ("tornado/websocket.py", "bokeh/server/connection.py")
"""Where the libraries assert that a page is still there: one may go while its message waits."""

Json = dict[str, Any]
Found = TypeVar("Found")


# Server and browser ------------------------------------------------------------------------------


def find_chromium() -> str | None:
    """The first Chromium that is here."""
    return next((found for n in NAMES if n and (found := shutil.which(n))), None)


def launch(playwright: Playwright, executable: str) -> Browser:
    return playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)


class Server:
    """`panel serve apps/` on a free port, with its own cache and runs, and what it writes."""

    def __init__(
        self,
        cache: Path,
        log: Path,
        grace: float = 60,
        runs: Path | None = None,
        plugins: Sequence[Path] = (),
        before: str = "",
    ) -> None:
        """Start it; `before` is Python that it runs first."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/apps"
        self.cache = cache
        self._log = log
        self._read = 0
        names = [str(one) for one in plugins]
        program = PANEL.format(grace=grace, plugins=names, before=NAGLE + before)
        command = [sys.executable, "-c", program, "serve", "apps/"]
        command += ["--address", "127.0.0.1", "--port", str(self.port)]
        # A page that has gone is noticed at once, so that its session does not count for long.
        command += [
            "--unused-session-lifetime",
            str(1000 * UNUSED),
            "--check-unused-sessions",
            "500",
        ]
        given = {"RELAXOSCOPE_CACHE": str(cache), "RELAXOSCOPE_DATA": str(cache / "no-data")}
        self.runs = runs or cache / "runs"
        given["RELAXOSCOPE_RUNS"] = str(self.runs)
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | given,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self, timeout: float = 60) -> float:
        """Seconds until it answered."""
        begun = time.monotonic()
        while time.monotonic() - begun < timeout:
            if self.process.poll() is not None:
                break
            try:
                # Not the page itself: that would open a session.
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/static/js/bokeh.min.js"):
                    return time.monotonic() - begun
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"the server does not answer:\n{self._log.read_text()[-3000:]}")

    def sockets(self) -> tuple[int, int]:
        """How many pages are connected, and how many of their sockets keep messages back."""

        def said() -> list[str]:
            return [one for one in self._log.read_text().splitlines() if one.startswith("SOCKETS ")]

        held, end = len(said()), time.monotonic() + PATIENCE
        self.process.send_signal(signal.SIGUSR2)
        while len(said()) == held and time.monotonic() < end:
            time.sleep(0.05)
        count, kept = said()[held].split()[1:]
        return int(count), int(kept)

    def complaints(self) -> list[str]:
        """Errors in its log since the last call, with their place, but not about pages gone."""
        lines = self._log.read_text("utf-8", "replace").splitlines()
        new, self._read = lines[self._read :], len(lines)
        found, place = [], ""
        for one in new:
            if one.startswith('  File "'):
                place = one.strip()
            elif one[:1].isalpha() and "Error" in (name := one.partition(":")[0]):
                if not name.endswith(GONE) and not (
                    name == "AssertionError" and any(file in place for file in SOCKETS)
                ):
                    found.append(f"{one} ({place})")
                place = ""
        return found

    def memory(self) -> int:
        """Resident bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(one for one in status.splitlines() if one.startswith("VmRSS"))
        return int(line.split()[1]) * 1024

    def busy(self) -> float:
        """Seconds of CPU time that its main thread has used, which serves the pages."""
        task = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/stat").read_text()
        user, system = task.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def threads(self) -> int:
        """How many threads it has."""
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir()))

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def serving(
    folder: Path,
    *,
    grace: float = 60,
    runs: Path | None = None,
    plugins: Sequence[Path] = (),
    cache: Path | None = None,
) -> Iterator[Server]:
    """A server that answers, and is stopped at the end; with a cache of its own if none is given.

    Another server's cache holds weights that need not be trained again.
    """
    running = Server(cache or folder / "cache", folder / "log.txt", grace, runs, plugins)
    try:
        running.wait()
        yield running
    finally:
        running.stop()


class Witness:
    """What a page asked for and complained about."""

    def __init__(self, page: Page) -> None:
        self.requests: list[str] = []
        self.errors: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("websocket", lambda socket: self.requests.append(socket.url))
        page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))
        page.on("console", self._said)

    def _said(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    @property
    def left(self) -> list[str]:
        """Requests to anywhere but this machine."""
        here = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:http://127.0.0.1:")
        return [url for url in self.requests if not url.startswith(here)]


# What is shown -----------------------------------------------------------------------------------


def pause(begun: float) -> None:
    """Sleep until the next look: what takes long is looked for less often, a look is dear."""
    time.sleep(0.02 if time.monotonic() - begun < 1 else 0.1)


def until(look: Callable[[], Found], what: str = "", timeout: float = PATIENCE) -> Found:
    """What a look finds, once it finds something that is true; else an AssertionError."""
    begun = time.monotonic()
    end = begun + timeout
    while True:
        late = time.monotonic() >= end
        try:
            if found := look():
                return found
        except Error:  # a part of the page is just being replaced
            found = None
        assert not late, f"not within {timeout:g} s: {what or look}; it is {found!r}"
        pause(begun)


def readout(page: Page) -> Json:
    """What the page shows, as plain data; empty before it shows anything."""
    text = page.evaluate("() => document.getElementById('readout')?.textContent")
    return json.loads(text or "{}")


def wait_for(
    page: Page, predicate: Callable[[Json], Any], timeout: float = PATIENCE, what: str = ""
) -> Json:
    """The first readout of which the predicate is true; AssertionError after `timeout` seconds."""
    begun = time.monotonic()
    end = begun + timeout
    shown: Json = {}
    while time.monotonic() < end:
        try:
            shown = readout(page)
        except Error:  # the page is just being replaced
            shown = {}
        if shown and predicate(shown):
            return shown
        pause(begun)
    brief = {k: v for k, v in shown.items() if k not in ("experiment", "recipe")}
    raise AssertionError(f"not within {timeout:g} s: {what or 'the readout'}; it shows {brief}")


def progress(page: Page) -> str:
    """The progress line, empty where there is none."""
    return " ".join(page.locator("#progress").all_inner_texts())


def wait_ready(page: Page, timeout: float = 120) -> Json:
    """The first readout with a row; reloads while too many sessions of other tests are open."""
    begun = time.monotonic()
    end = begun + timeout
    while time.monotonic() < end:
        try:
            shown = readout(page)
            if shown.get("ready") and "row" in shown:
                return shown
            if "sessions are open" in progress(page):
                time.sleep(2)
                page.reload(wait_until="commit")
        except Error:
            pass
        pause(begun)
    raise AssertionError(f"not ready within {timeout:g} s: {progress(page) or 'no progress line'}")


def settle(page: Page, quiet: float = 0.35, timeout: float = PATIENCE) -> Json:
    """Wait until nothing has come for a while from a server that answers, and all is painted."""
    end = time.monotonic() + timeout
    frame, since = -1, time.monotonic()
    while time.monotonic() - since < quiet:
        assert time.monotonic() < end, f"frames still come after {timeout:g} s"
        took = page.evaluate(ANSWERS)
        now = readout(page).get("frame", 0)
        if now != frame or took > quiet / 2:
            frame, since = now, time.monotonic()
        time.sleep(0.03)
    page.evaluate(PAINTED)
    return readout(page)


def steady(page: Page, take: Callable[[], np.ndarray]) -> np.ndarray:
    """Pixels of a page that has come to rest: two pictures in a row are the same."""
    end = time.monotonic() + PATIENCE
    page.evaluate(PAINTED)
    last = take()
    while True:
        page.evaluate(PAINTED)
        if np.array_equal(now := take(), last):
            return now
        assert time.monotonic() < end, f"two pictures still differ after {PATIENCE:g} s"
        last = now


def shot(element: Locator) -> np.ndarray:
    """The pixels of an element as (H, W, 3), once it has come to rest."""
    return steady(element.page, lambda: decoded(element.screenshot()))


def changed(element: Locator, before: np.ndarray, timeout: float = PATIENCE) -> np.ndarray:
    """The pixels of an element, once they are others."""
    end = time.monotonic() + timeout
    while np.array_equal(now := shot(element), before):
        assert time.monotonic() < end, f"{element} looks as it did {timeout:g} s ago"
    return now


def still(element: Locator) -> Json:
    """The box of an element, once it does not move: a person clicks on nothing that does.

    It is looked for again: a table may draw its cells anew.
    """
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if element.evaluate(LIES_STILL, 1000) and (box := element.bounding_box()):
            return dict(box)
    raise AssertionError(f"{element} keeps moving")


def canvas_pixels(page: Page, section: str) -> np.ndarray:
    """A section of the board, once it has come to rest."""
    return shot(page.locator(f"#{section}"))


def all_pixels(page: Page) -> dict[str, np.ndarray]:
    """Every section of the board, from one screenshot of a page that has come to rest."""
    sheet = steady(page, lambda: decoded(page.screenshot()))
    found = {}
    for name in PLOTS:
        box = page.locator(f"#{name}").bounding_box()
        assert box is not None, f"#{name} is not shown"
        x, y, w, h = (round(box[k]) for k in ("x", "y", "width", "height"))
        found[name] = sheet[y : y + h, x : x + w]
    return found


def decoded(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def colours(pixels: np.ndarray) -> int:
    """How many different colours there are."""
    return len(np.unique(pixels.astype(np.uint32) @ [1, 256, 65536]))


def line(page: Page) -> str:
    """The line of choices and what is said in it."""
    return page.evaluate(DEEP_TEXT, "#line")


def wait_in_line(page: Page, *texts: str) -> str:
    """Wait until the line has all these texts; the line."""

    def there() -> str:
        found = line(page)
        return found if all(one in found for one in texts) else ""

    try:
        return until(there)
    except AssertionError:
        raise AssertionError(f"{texts} is not in the line: {line(page)}") from None


def said(page: Page) -> str:
    """What the line says besides the choices: a refusal, a divergence, an offer."""
    return " ".join(page.locator("#line [role=status]").all_inner_texts()).strip()


def wait_said(page: Page, *texts: str) -> str:
    """Wait until all these texts are said; nothing, if there is none."""

    def there() -> bool:
        found = said(page)
        return all(one in found for one in texts) if texts else not found

    try:
        until(there)
    except AssertionError:
        raise AssertionError(f"{texts or 'nothing'} is not said: {said(page)!r}") from None
    return said(page)


def assert_whole(page: Page, sizes: Sequence[tuple[int, int]] = WINDOWS) -> None:
    """Nothing is cut off, overlaps or is wider than its place, in windows of these sizes."""
    for width, height in sizes:
        page.set_viewport_size({"width": width, "height": height})
        end = time.monotonic() + PATIENCE
        page.evaluate(PAINTED)
        while faults := page.evaluate(FAULTS):
            assert time.monotonic() < end, (width, height, faults)
            page.wait_for_timeout(100)


def in_drawer(page: Page) -> str:
    """All that is written in the drawer."""
    return page.evaluate(DEEP_TEXT, "#drawer")


def wait_in_drawer(page: Page, pattern: str, timeout: float = PATIENCE) -> re.Match[str]:
    """Wait until something is written in the drawer; the match."""
    try:
        found = until(lambda: re.search(pattern, in_drawer(page)), timeout=timeout)
    except AssertionError:
        raise AssertionError(f"{pattern} is not said: {in_drawer(page)}") from None
    assert found is not None
    return found


# What a person does ------------------------------------------------------------------------------


def control(page: Page, name: str, what: str = "") -> ElementHandle:
    """The element of a control of the bar; `what` is a CSS selector inside it."""
    found = page.evaluate_handle(INSIDE, [name, what]) if what else page.evaluate_handle(VIEW, name)
    element = found.as_element()
    assert element is not None, f"no control {name} {what}"
    return element


def click(page: Page, name: str) -> None:
    """Click a button of the bar; one that is drawn anew meanwhile is clicked where it is then."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return control(page, name, "button").click()
        except Error as gone:
            if "not attached" not in str(gone) or time.monotonic() > end:
                raise


def choose_preset(page: Page, title: str) -> None:
    control(page, "preset", "select").select_option(label=title)


def set_speed(page: Page, label: str) -> None:
    control(page, "speed: steps per second", "select").select_option(label=label)
    wanted = None if label == "free" else float(label.split()[0])
    wait_for(page, lambda r: r["speed"] == wanted, what=f"speed {label}")


def set_steps(page: Page, text: str) -> None:
    """Type T."""
    field = control(page, "T", "input")
    field.fill(text)
    field.press("Enter")


def leave_field(page: Page) -> None:
    """Take the focus from fields, so that keys go to the page."""
    page.evaluate(
        """() => { let at = document.activeElement;
        while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement; at?.blur(); }"""
    )


def press(page: Page, key: str) -> None:
    """A key for the page."""
    leave_field(page)
    page.keyboard.press(key)


def step(page: Page, n: int = 1) -> Json:
    """n steps from the newest row, by tens and ones, each waited for."""
    shown = readout(page)
    for _ in range(n // 10):
        new = shown["row"] + 10
        press(page, "Shift+ArrowRight")
        shown = wait_for(page, lambda r, n=new: r["row"] == r["cursor"] == n, what=f"row {new}")
    for _ in range(n % 10):
        row = shown["row"]
        press(page, "ArrowRight")
        shown = wait_for(
            page, lambda r, n=row + 1: r["row"] == r["cursor"] == n, what=f"row {row + 1}"
        )
    return shown


# The drawer --------------------------------------------------------------------------------------


def open_drawer(page: Page, tab: str = "choices") -> None:
    """Open the drawer at a tab."""
    if not readout(page).get("drawer"):
        press(page, "c")
        wait_for(page, lambda r: r["drawer"], what="the drawer is open")
    head = page.locator("#drawer .bk-tab", has_text=tab)
    head.wait_for()
    still(head)
    head.click()
    until(lambda: "bk-active" in (head.get_attribute("class") or ""), f"the tab {tab} is open")


def push(page: Page, label: str, *, exact: bool = False) -> None:
    """Click a button of the drawer, once it lies still."""
    button = page.locator("#drawer").get_by_role("button", name=label, exact=exact)
    button = button.filter(visible=True).first
    button.wait_for()
    still(button)
    button.click()


def copied(page: Page, button: str) -> str:
    """What a button of the drawer copies; what was copied before is not taken for it."""
    page.evaluate("() => navigator.clipboard.writeText('')")
    push(page, button)
    return until(
        lambda: page.evaluate("() => navigator.clipboard.readText()"), f"{button}: it was copied"
    )


def menu(page: Page, title: str) -> Locator:
    """The select of the drawer with this label."""
    group = page.locator("#drawer .bk-input-group", has=page.locator(f'label:text-is("{title}")'))
    return group.locator("select")


def dial(page: Page, label: str, nth: int = 0) -> Locator:
    """The text field of the drawer with this label; nth among equals."""
    group = page.locator("#drawer .bk-input-group", has=page.locator(f'label:text-is("{label}")'))
    return group.locator("input").nth(nth)


def turn(page: Page, label: str, text: str, nth: int = 0) -> None:
    """Type a dial's value."""
    field = dial(page, label, nth)
    field.fill(text)
    field.press("Enter")


def refusals(page: Page) -> list[str]:
    """The lines in the drawer that refuse something."""
    return [
        one.strip() for one in page.locator("#drawer .refused").all_inner_texts() if one.strip()
    ]


def wait_refused(page: Page, *patterns: str) -> list[str]:
    """Wait until the drawer refuses as many things, and in these words; the lines."""

    def there() -> bool:
        found = refusals(page)
        fits = all(re.search(one, text) for one, text in zip(patterns, found, strict=False))
        return len(found) == len(patterns) and fits

    try:
        until(there)
    except AssertionError:
        raise AssertionError(f"{patterns} is not refused: {refusals(page)}") from None
    return refusals(page)
