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
"""

AUTHENTICATION = ("--basic-auth", "--oauth-provider")
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
    os.environ.setdefault("BOKEH_SECRET_KEY", secrets.token_urlsafe(48))  # signs session ids
    from panel.command import main as panel

    sys.argv = ["panel", "serve", str(apps), "--index", apps.name, *words]
    print(f"Relaxoscope is at {_url(args.address, port)} (Ctrl-C ends it)", flush=True)
    panel()
    return 0


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
    words = [*rest, "--session-ids", "signed"]
    if guarded and not any(word.startswith("--cookie-secret") for word in rest):
        if "PANEL_COOKIE_SECRET" not in os.environ:
            words += ["--cookie-secret", secrets.token_urlsafe(32)]
    for host in dict.fromkeys(("localhost", "127.0.0.1", _host(address))):
        words += ["--allow-websocket-origin", f"{host}:{port}"]
    return [*words, "--address", address, "--port", str(port)]


def _names_a_guard(rest: list[str], option: str) -> bool:
    """Whether an option of panel is there and has a value."""
    for i, word in enumerate(rest):
        name, equals, value = word.partition("=")
        if name == option:
            value = value if equals else "".join(rest[i + 1 : i + 2])
            return bool(value) and not value.startswith("--")
    return False


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
