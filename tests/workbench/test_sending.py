"""No message for a page is left behind, however the writes before it end."""

import asyncio

import pytest
from bokeh.document import Document
from panel.io import document as panels

from workbench.sending import lose_nothing


class Socket:
    """Takes messages, each of them one turn of the loop after it was given."""


class Connection:
    """The end of a page."""

    _socket = Socket()

    class protocol:
        @staticmethod
        def create(kind, events):
            return events


@pytest.mark.parametrize("turns", range(12))
def test_what_is_queued_while_a_write_ends_is_sent_too(monkeypatch, turns):
    lose_nothing()
    taken = []

    async def take(message):
        await asyncio.sleep(0)
        taken.append(message)

    def write(connection, events=None, msg=None):
        return [asyncio.ensure_future(take(msg))]

    monkeypatch.setitem(panels.extra_socket_handlers, Socket, write)

    async def page():
        document, connection = Document(), Connection()
        panels.schedule_write_events(document, [connection], ["first"])
        for _ in range(turns):
            await asyncio.sleep(0)
        panels.schedule_write_events(document, [connection], ["second"])
        for _ in range(30):
            await asyncio.sleep(0)

    asyncio.run(page())
    assert taken == [["first"], ["second"]]
