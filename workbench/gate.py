"""Who may open a page? Visitors of this machine; others only where Panel asks for a password.

Of those who may, so many at once as this machine bears.
"""

import ipaddress
import threading
from typing import Any

import panel as pn

REFUSED = """<h1>This Relaxoscope serves its own machine only</h1>
<p>A session runs code for whoever opens it, so a visitor from another machine needs a password.
On the machine that serves, either forward a port to yours:</p>
<pre>ssh -L 5006:localhost:5006 USER@HOST</pre>
<p>and open http://localhost:5006 here, or serve with a password and the name that visitors use:</p>
<pre>relaxoscope serve --address 0.0.0.0 --basic-auth PASSWORD \\
    --allow-websocket-origin HOST:5006</pre>"""


OTHER_NAME = """<h1>This Relaxoscope answers to localhost only</h1>
<p>The address of this page names another host, and whoever owns a name can make it lead here. Open
<b>http://localhost</b> with the same port, or serve with a password.</p>"""

MOST = 48
"""Pages at once; each keeps its plots."""

FULL = """<h1>{most} pages are open, which is the most</h1>
<p>Close one of them and reload this page some seconds later.</p>"""

_open: set[int] = set()
_lock = threading.Lock()


def refusal() -> str:
    """What the visitor of the page being built is told in its place, as HTML; "" lets them in.

    Who is let in counts until the page has gone.
    """
    request = _request()
    if request is None:
        return ""
    if not _has_password():
        if not all(is_loopback(address) for address in _addresses(request)):
            return REFUSED
        if not is_local_name(request.headers.get("Host", "")):
            return OTHER_NAME
    return "" if _enters() else FULL.format(most=MOST)


def is_loopback(address: str) -> bool:
    """Whether an address is of this machine; anything that is no address is not."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback


def is_local_name(host: str) -> bool:
    """Whether nobody else can own the name that a browser asked for: a number, or localhost.

    Args:
        host: as the header has it, with or without a port.
    """
    name = host.rpartition("]")[0].lstrip("[") or host.partition(":")[0]
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name.lower() == "localhost" or name.lower().endswith(".localhost")
    return True


def _enters() -> bool:
    """Count the page being built until it has gone; False where there are too many."""
    document: Any = pn.state.curdoc
    key = id(document)

    def leave(context: Any) -> None:
        with _lock:
            _open.discard(key)

    with _lock:
        if len(_open) >= MOST:
            return False
        _open.add(key)
    document.on_session_destroyed(leave)
    return True


def _addresses(request: Any) -> list[str]:
    """Of the visitor, and of all for whom a proxy says that it asks."""
    addresses = [request.remote_ip]
    for name in ("X-Forwarded-For", "X-Real-Ip"):
        named = request.headers.get(name, "").split(",")
        addresses += [part.strip() for part in named if part.strip()]
    return addresses


def _request() -> Any:
    """The HTTP request behind the page, or None outside a server."""
    document = pn.state.curdoc
    context = document.session_context if document is not None else None
    return getattr(context, "request", None)


def _has_password() -> bool:
    """Whether Panel lets in only those who have logged in."""
    return bool(pn.config.oauth_provider or pn.config.basic_auth)
