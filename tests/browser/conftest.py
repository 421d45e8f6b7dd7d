"""One server and one Chromium for all browser tests; a new page with a new session for each."""

from collections.abc import Callable, Iterator
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
    """A page that the tests of a file share, and what it complains about."""

    def __init__(self, chromium: Browser, server: Server) -> None:
        self.chromium, self.server = chromium, server
        self.context: BrowserContext | None = None

    def open(self) -> Page:
        self.close()
        self.context = self.chromium.new_context(viewport={"width": 1280, "height": 800})
        self.page = self.context.new_page()
        self.witness = Witness(self.page)
        self.page.goto(self.server.url, wait_until="commit")
        driving.wait_ready(self.page)
        return self.page

    def again(self) -> Page:
        """The page in a new lane at row 0, its drawer shut; a new one where there is none."""
        if self.context is None:
            return self.open()
        page = self.page
        page.mouse.move(5, 5)
        before = driving.readout(page)
        if before["drawer"]:
            driving.press(page, "c")
        driving.press(page, "r")
        driving.wait_for(
            page,
            lambda r: r["lane"] >= before["lanes"] and r["cursor"] == 0 and not r["drawer"],
            what="a new lane",
        )
        return page

    def close(self) -> None:
        if self.context is not None:
            self.context.close()
        self.context = None


@pytest.fixture(scope="module")
def kept(chromium: Browser, server: Server) -> Iterator[Kept]:
    """What the tests of this file share."""
    held = Kept(chromium, server)
    yield held
    held.close()


@pytest.fixture
def used(kept: Kept, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page at row 0 of a new lane, which earlier tests of the file have used.

    Opening one costs seconds of three processes. For tests that leave the choices as they were, or
    set them all alike. After a test that failed comes another page.
    """
    kept.server.complaints()
    failed = request.session.testsfailed
    page = kept.again()
    yield page
    witness = kept.witness
    if request.session.testsfailed > failed:
        kept.close()
    assert (witness.left, witness.errors, kept.server.complaints()) == ([], [], [])


@pytest.fixture
def page(visit: Visit) -> Page:
    """A page that shows its first row."""
    return visit()
