"""How does a message leave for a page? At once, in short, and never not at all."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from bokeh.core.serialization import Serializer
from bokeh.model import Model
from bokeh.protocol.messages.patch_doc import patch_doc
from panel.io import document as panels


def speak_at_once(document: Any) -> None:
    """Have each message leave for a page when it is written.

    Else the kernel keeps a small one until the browser has confirmed the last (Nagle's algorithm),
    and a browser that has nothing to say does that up to 50 ms later.

    Args:
        document: of a page whose socket is open.
    """
    for connection in document.session_context.session._subscribed_connections:
        connection._socket.set_nodelay(True)


def patch_in_short(document: Any) -> None:
    """Have `patch` make the messages of changes for a page.

    Args:
        document: of a page whose socket is open.
    """
    for connection in document.session_context.session._subscribed_connections:
        connection._protocol = _Protocol(connection._protocol)


class _Protocol:
    """Bokeh's own, but for changes of a document."""

    def __init__(self, bokehs: Any) -> None:
        self._bokehs = bokehs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bokehs, name)

    def create(self, kind: str, *args: Any, **kwargs: Any) -> Any:
        """A message."""
        make = patch if kind == "PATCH-DOC" else partial(self._bokehs.create, kind)
        return make(*args, **kwargs)


def patch(events: list[Any], **metadata: Any) -> patch_doc:
    """Bokeh's message of changes, made in a time that does not grow with the page.

    Args:
        events: of one document.
        metadata: of the message, as Bokeh takes it.
    """
    [document] = {event.document for event in events}
    serializer = _Serializer(document.models)
    content: Any = {"events": serializer.encode(events)}
    document.models.flush_synced(lambda model: not serializer.has_ref(model))
    message = patch_doc(patch_doc.create_header(), metadata, content)
    message.add_buffers(*serializer.buffers)
    return message


class _Serializer(Serializer):
    """Looks up what the browser holds; Bokeh's makes a list of all of it for each message."""

    def __init__(self, models: Any) -> None:
        super().__init__()
        self._models = models

    def get_ref(self, obj: Any) -> Any:
        found = super().get_ref(obj)
        if found is None and isinstance(obj, Model) and self._models.get_by_id(obj.id) is obj:
            return None if obj in self._models._new_models else obj.ref
        return found

    def has_ref(self, obj: Any) -> bool:
        return self.get_ref(obj) is not None


def lose_nothing() -> None:
    """Have Panel also send what it was given while it ended to send something else.

    While a socket is busy Panel queues messages, and a task sends them; one task at a time holds
    the queue. In Panel 1.9 what is queued between the last write of a task and its end belongs to
    no task: the next one finds the queue free, and leaves it. The message goes with the one after
    it, so a page that then stands still shows for good what it should no longer show.
    """
    if not isinstance(panels._dispatch_msgs, _Whole):
        panels._dispatch_msgs = _Whole(panels._dispatch_msgs)


class _Whole:
    """Panel's task, which begins by taking the queue over where something is in it."""

    def __init__(self, send: Callable[[Any], Awaitable[None]]) -> None:
        self._send = send

    async def __call__(self, document: Any) -> None:
        if document in panels._WRITE_MSGS:
            panels._WRITE_BLOCK[document] = True
        await self._send(document)
