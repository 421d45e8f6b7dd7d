"""When does a message leave for a page? At once, and each one."""

from collections.abc import Awaitable, Callable
from typing import Any

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
