"""A dropped socket or a reload: the page comes back by its address, to the same run and row."""

import re

import pytest
from driving import click, readout, step, until, wait_for, wait_ready
from playwright.sync_api import expect

FIELDS = ("row", "cursor", "lane", "lanes", "ghost", "energies", "taken", "run")


class Wire:
    """The sockets of a page, which can be cut."""

    def __init__(self):
        self.sockets = []

    def lay(self, context):
        context.route_web_socket(re.compile("/ws"), self._open)

    def _open(self, socket):
        socket.connect_to_server()
        self.sockets.append(socket)

    def cut(self):
        self.sockets[-1].close(code=3000, reason="cut")


@pytest.fixture
def wire(visit):
    """Of the pages that are visited; what they could not send while it was cut is no complaint."""
    yield Wire()
    for witness in visit.witnesses:
        witness.errors[:] = [one for one in witness.errors if "not connected" not in one]


def test_a_page_whose_socket_is_dropped_says_so_and_comes_back_to_its_row(visit, wire):
    page = visit(prepare=wire.lay)
    step(page, 3)
    click(page, "restart")
    wait_for(page, lambda r: r["lane"] == 1)
    before = step(page, 4)
    opened, address = len(wire.sockets), page.url
    page.evaluate("() => { globalThis.before = true; }")
    wire.cut()
    expect(page.locator("#lost")).to_be_visible()
    until(lambda: page.evaluate("() => globalThis.before") is None, "it is loaded again")
    after = wait_ready(page)
    assert len(wire.sockets) == opened + 1 and page.url == address
    for field in FIELDS:
        assert after.get(field) == before.get(field), field
    assert step(page)["row"] == before["row"] + 1, "it goes on"


def test_where_sockets_cannot_live_a_page_gives_up_and_says_so(visit, wire):
    page = visit(prepare=wire.lay)
    tried = "() => sessionStorage.setItem('tried', JSON.stringify(Array(5).fill(Date.now())))"
    page.evaluate(tried)
    wire.cut()
    expect(page.locator("#lost")).to_contain_text("again and again; reload this page")
    page.wait_for_timeout(1000)
    assert len(wire.sockets) == 1 and readout(page)["row"] == 0
    page.close()
