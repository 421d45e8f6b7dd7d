"""No message for a page is left behind, and each holds what Bokeh's own would."""

import asyncio
import json
from types import SimpleNamespace

import numpy as np
import pytest
from bokeh.document import Document
from bokeh.models import ColumnDataSource, Div, Row
from bokeh.protocol import Protocol
from bokeh.protocol.messages.patch_doc import patch_doc
from panel.io import document as panels

from tests.loops import run
from workbench.sending import lose_nothing, patch, patch_in_short


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

    run(page())
    assert taken == [["first"], ["second"]]


def named(name, model):
    model._id = name
    return model


def changed():
    """The events of a page whose models have names of their own; two documents give the same."""
    source = named("source", ColumnDataSource(data={"frame": np.zeros(0, np.uint8)}))
    pane = named("pane", Div(text="before"))
    row = named("row", Row(children=[pane]))
    document = Document()
    document.add_root(source)
    document.add_root(row)
    document.models.flush_synced()  # a browser has seen all of it
    found = []
    document.on_change(found.append)
    source.data = {"frame": np.arange(7, dtype=np.uint8)}
    pane.text = "after"
    late = named("late", Div(text="new", tags=[pane]))
    row.children = [late, pane, named("inner", Row(children=[late]))]
    row.tags = [float("nan"), pane, {"one": (1, 2)}]
    return document, found


def test_a_patch_is_the_one_that_bokeh_makes():
    ours, theirs = (make(changed()[1]) for make in (patch, patch_doc.create))
    [mine], [other] = ours.buffers, theirs.buffers
    assert ours.content_json == theirs.content_json.replace(other.id, mine.id)
    assert mine.to_bytes() == other.to_bytes()
    assert ours.header["msgtype"] == theirs.header["msgtype"]


def test_a_page_is_sent_these_patches_and_bokehs_other_messages():
    bokehs = Protocol()
    end = SimpleNamespace(_protocol=bokehs)
    session = SimpleNamespace(_subscribed_connections=[end])
    patch_in_short(SimpleNamespace(session_context=SimpleNamespace(session=session)))
    model = named("row", Row())
    document, events = Document(), []
    document.add_root(model)
    document.on_change(events.append)
    model.tags = ["new"]
    document.models.flush_synced()
    told = end._protocol.create("PATCH-DOC", events, count=2)
    theirs = bokehs.create("PATCH-DOC", events, count=2)
    assert told.content_json == theirs.content_json
    assert told.metadata == theirs.metadata == {"count": 2}
    assert end._protocol.create("OK", "request").header["reqid"] == "request"


def test_a_model_is_told_once():
    document, events = changed()
    assert '"name":"Div","id":"late"' in patch(events).content_json.replace(" ", "")
    assert not document.models._new_models
    again = []
    document.on_change(again.append)
    document.get_model_by_id("row").tags = [document.get_model_by_id("late")]
    told = json.loads(patch(again).content_json)["events"][0]["new"]
    assert told == [{"id": "late"}]
