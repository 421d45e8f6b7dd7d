"""One server, one Chromium and, for most browser tests, one page."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import driving
import pytest
from driving import Server, Witness
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.missing import missing

HERE = Path(__file__).parent

expect.set_options(timeout=1000 * driving.PATIENCE)

GRACE = 2.0
"""Seconds that the sessions of earlier tests are kept."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("browser")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A running Chromium; without one the tests are skipped, but not in CI."""
    found = driving.find_chromium()
    if found is None:
        missing(driving.HOW_TO_GET)
    with sync_playwright() as playwright:
        browser = driving.launch(playwright, found)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose cache holds the trained weights after the first test."""
    with driving.serving(tmp_path_factory.mktemp("server"), grace=GRACE) as running:
        yield running


Visit = Callable[..., Page]


@pytest.fixture
def visit(chromium: Browser, server: Server) -> Iterator[Visit]:
    """Opens pages; afterwards nothing may have left the machine, and nobody may have complained."""
    contexts, witnesses = [], []
    server.complaints()

    def opened(
        query: str = "",
        *,
        ready: bool = True,
        prepare: Callable[[BrowserContext], None] | None = None,
        **options: Any,
    ) -> Page:
        given = {"viewport": {"width": 1280, "height": 800}, "accept_downloads": True} | options
        context = chromium.new_context(**given)
        contexts.append(context)
        if prepare is not None:
            prepare(context)
        page = context.new_page()
        witnesses.append(Witness(page))
        page.goto(server.url + query, wait_until="commit")
        if ready:
            driving.wait_ready(page)
        return page

    opened.witnesses = witnesses
    yield opened
    for context in contexts:
        context.close()
    assert [url for one in witnesses for url in one.left] == []
    assert [error for one in witnesses for error in one.errors] == []
    assert server.complaints() == []


class Kept:
    """The page that the tests share, and what it complains about.

    Opening one costs seconds of three processes, so a test gets the page of the one before, at row
    0 of a new lane. What it cannot be led back from, another batch or gear, gets a new page.
    """

    MANY = 30
    """Lanes after which the page is opened anew."""

    def __init__(self, chromium: Browser, server: Server) -> None:
        self.chromium, self.server = chromium, server
        self.context: BrowserContext | None = None

    def open(self) -> Page:
        """A new page."""
        self.close()
        viewport: Any = {"width": 1280, "height": 800}
        self.context = self.chromium.new_context(viewport=viewport, accept_downloads=True)
        self.page = self.context.new_page()
        self.witness = Witness(self.page)
        self.page.goto(self.server.url, wait_until="commit")
        self.first = driving.wait_ready(self.page)
        return self.page

    def again(self) -> Page:
        """The page with its first choices, its drawer shut; a new one where there is none."""
        if self.context is None or self._spoiled():
            return self.open()
        page = self.page
        page.mouse.move(5, 5)
        if driving.readout(page)["speed"] != self.first["speed"]:
            driving.set_speed(page, f"{self.first['speed']:g} /s")
        if driving.readout(page)["experiment"] != self.first["experiment"]:
            self._choose_first()
        if driving.readout(page)["drawer"]:
            driving.open_drawer(page)
            driving.settle(page)  # the server knows which tab it is: else it opens that once more
            driving.press(page, "c")
        before = driving.readout(page)["lanes"]
        driving.press(page, "r")
        driving.wait_for(
            page,
            lambda r: r["lane"] >= before and r["cursor"] == 0 and not r["drawer"],
            what="a new lane",
        )
        return page

    def _spoiled(self) -> bool:
        shown = driving.readout(self.page)
        kept = all(shown[name] == self.first[name] for name in ("batch", "gear", "playing"))
        return not kept or shown["lanes"] > self.MANY

    def _choose_first(self) -> None:
        """All choices of the preset with which a page opens."""
        page, wanted = self.page, self.first["experiment"]
        driving.open_drawer(page)
        driving.push(page, "back to this preset")
        driving.wait_for(page, lambda r: r["experiment"] == wanted, what="the first choices")

    def close(self) -> None:
        """Give the page back."""
        if self.context is not None:
            self.context.close()
        self.context = None


@pytest.fixture(scope="session")
def kept(chromium: Browser, server: Server) -> Iterator[Kept]:
    """What all tests share."""
    held = Kept(chromium, server)
    yield held
    held.close()


@contextmanager
def _watched(kept: Kept, request: pytest.FixtureRequest) -> Iterator[None]:
    """Afterwards nobody may have complained; what failed has used up its page."""
    kept.server.complaints()
    failed = request.session.testsfailed
    yield
    witness = kept.witness
    if request.session.testsfailed > failed:
        kept.close()
    assert (witness.left, witness.errors, kept.server.complaints()) == ([], [], [])


@pytest.fixture
def page(kept: Kept, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page at row 0 of a new lane, with its first choices; earlier tests have used it."""
    with _watched(kept, request):
        yield kept.again()


@pytest.fixture
def fresh(kept: Kept, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page that nobody has used; later tests will."""
    with _watched(kept, request):
        yield kept.open()
