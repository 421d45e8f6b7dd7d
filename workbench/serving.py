"""How is the page served safely from a shell? At loopback, or elsewhere behind a password."""

import argparse
import errno
import ipaddress
import os
import secrets
import socket
import sys

from workbench.refusals import ENVIRONMENT, Refused, as_number

MORE = """\
Everything else goes to `panel serve`: --show, --warm, --num-threads 4, --basic-auth FILE, ...
Whoever reaches the port can use this machine's processor and memory, so that an address beyond
loopback needs a password:  relaxoscope serve --address 0.0.0.0 --basic-auth PASSWORD_OR_FILE
--allow-websocket-origin HOST:PORT
Without one, from another machine:  ssh -L 5006:localhost:5006 USER@HOST  there, and then
http://localhost:5006 in its browser. Another port at that end is named by --allow-websocket-origin
localhost:PORT.
"""

AUTHENTICATION = ("--basic-auth", "--oauth-provider")

ORIGIN, ORIGINS = "--allow-websocket-origin", "BOKEH_ALLOW_WS_ORIGIN"
"""Whose pages get a websocket: the option, and the variable that would overrule it."""

MESSAGE = 2**20
"""Bytes of the largest message of a browser: a page sends names, numbers and small tables."""
TRIED = 50
"""Ports that are tried for an offer."""


def serve(args: argparse.Namespace, rest: list[str]) -> int:
    """Serve the app at loopback, or elsewhere behind a password."""
    port = as_number(args.port)
    if not isinstance(port, int) or not 1 <= port <= 65535:
        raise Refused(f"port: {args.port}; an integer 1..65535")
    words = _panel_words(args.address, port, rest)
    _check_port(args.address, port)
    from workbench import places

    apps = places.apps()
    from panel.command import main as panel

    sys.argv = ["panel", "serve", str(apps), "--index", apps.name, *words]
    print(f"Relaxoscope is at {_url(args.address, port)} (Ctrl-C ends it)", flush=True)
    panel()
    return 0


def keep_secret() -> None:
    """Have a secret that signs session ids; Bokeh reads it once, when somebody imports it."""
    os.environ.setdefault("BOKEH_SECRET_KEY", secrets.token_urlsafe(48))


def _panel_words(address: str, port: int, rest: list[str]) -> list[str]:
    """The arguments for panel; ours come last, so that they hold."""
    for word in rest:
        bare = word.partition("=")[0]
        if bare == "--" or (len(bare) > 3 and "--args".startswith(bare)):
            raise Refused(f"{word}: not passed on; the app takes no arguments of its own")
    guarded = any(_names_a_guard(rest, option) for option in AUTHENTICATION)
    if not _is_loopback(address) and not guarded:
        raise Refused(
            f"address: {address or repr(address)}; 127.0.0.1, or give a password: --address "
            f"{address or '0.0.0.0'} --basic-auth PASSWORD_OR_FILE "
            f"--allow-websocket-origin HOST:{port}"
        )
    _check_origins(rest, guarded)
    words = [*rest, "--session-ids", "signed", "--websocket-max-message-size", str(MESSAGE)]
    if not guarded:  # Panel's form for a password has no token
        words.append("--enable-xsrf-cookies")
    if guarded and not any(word.startswith("--cookie-secret") for word in rest):
        if "PANEL_COOKIE_SECRET" not in os.environ:
            words += ["--cookie-secret", secrets.token_urlsafe(32)]
    for host in dict.fromkeys(("localhost", "127.0.0.1", _host(address))):
        words += [ORIGIN, f"{host}:{port}"]
    return [*words, "--address", address, "--port", str(port)]


def _names_a_guard(rest: list[str], option: str) -> bool:
    """Whether an option of panel is there and has a value."""
    for i, word in enumerate(rest):
        name, equals, value = word.partition("=")
        if name == option:
            value = value if equals else "".join(rest[i + 1 : i + 2])
            return bool(value) and not value.startswith("--")
    return False


def _check_origins(rest: list[str], guarded: bool) -> None:
    """Refuse that the pages of any host may speak to a server without a password."""
    named = [(ORIGINS, one) for one in os.environ.get(ORIGINS, "").split(",")]
    for word, after in zip(rest, [*rest, ""][1:], strict=True):
        name, equals, value = word.partition("=")
        if len(name) > 3 and ORIGIN.startswith(name):  # panel takes abbreviations
            named.append((ORIGIN, value if equals else after))
    for name, origin in named:
        if "*" in origin and not guarded:
            raise Refused(f"{name}: {origin}; HOST:PORT, or give a password: --basic-auth FILE")


def _is_loopback(address: str) -> bool:
    """Whether only this machine can reach an address."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _host(address: str) -> str:
    """The address as a URL writes it."""
    return f"[{address}]" if ":" in address else address


def _url(address: str, port: int) -> str:
    """Where a browser on this machine finds the page."""
    everywhere = address in ("0.0.0.0", "::")
    return f"http://{'localhost' if everywhere else _host(address)}:{port}/"


def _check_port(address: str, port: int) -> None:
    """Refuse a port that is in use, and offer the next that is not."""
    failed = _bind(address, port)
    if failed is None:
        return
    if failed.errno == errno.EADDRINUSE:
        ports = range(port + 1, min(port + TRIED, 65536))
        free = next((one for one in ports if _bind(address, one) is None), None)
        offer = f"; try --port {free}" if free else ""
        raise Refused(f"port {port} is in use{offer}", ENVIRONMENT)
    if isinstance(failed, PermissionError):
        raise Refused(f"port {port} is reserved; try --port 5006", ENVIRONMENT)
    raise Refused(f"address: {address}; {failed.strerror}", ENVIRONMENT)


def _bind(address: str, port: int) -> OSError | None:
    """What keeps a server from listening there, or None."""
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)
        for family, kind, protocol, _, place in found:
            with socket.socket(family, kind, protocol) as probe:
                if os.name == "posix":
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(place)
    except OSError as failed:
        return failed
    return None
