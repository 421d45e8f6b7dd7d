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


@pytest.fixture
def page(visit: Visit) -> Page:
    """A page that shows its first row."""
    return visit()
