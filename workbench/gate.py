"""Who may open a page? Visitors of this machine; others only where Panel asks for a password."""

import ipaddress
from typing import Any

import panel as pn

REFUSED = """<h1>This Relaxoscope serves its own machine only</h1>
<p>A session runs code for whoever opens it, so a visitor from another machine needs a password.
On the machine that serves, either forward a port to yours:</p>
<pre>ssh -L 5006:localhost:5006 USER@HOST</pre>
<p>and open http://localhost:5006 here, or serve with a password and the name that visitors use:</p>
<pre>panel serve apps/ --basic-auth PASSWORD --cookie-secret SECRET \\
    --allow-websocket-origin HOST:5006</pre>"""


def refused() -> bool:
    """Whether the visitor of the page being built must not get a session."""
    request = _request()
    if request is None or _has_password():
        return False
    addresses = [request.remote_ip]
    headers = request.headers
    for name in ("X-Forwarded-For", "X-Real-Ip"):
        addresses += [part.strip() for part in headers.get(name, "").split(",") if part.strip()]
    return not all(is_loopback(address) for address in addresses)


def is_loopback(address: str) -> bool:
    """Whether an address is of this machine; anything that is no address is not."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback


def _request() -> Any:
    """The HTTP request behind the page, or None outside a server."""
    document = pn.state.curdoc
    context = document.session_context if document is not None else None
    return getattr(context, "request", None)


def _has_password() -> bool:
    """Whether Panel lets in only those who have logged in."""
    return bool(pn.config.oauth_provider or pn.config.basic_auth)
