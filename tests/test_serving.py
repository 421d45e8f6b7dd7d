"""The server as `relaxoscope serve` starts it: who gets a page, who gets a socket, and how many."""

import asyncio
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from tests.loops import run
from workbench.gate import is_local_name, is_loopback
from workbench.serving import MESSAGE

MOST = 4

PLUGIN = f"""
from dataclasses import dataclass
from core import entry
from workbench import gate  # and with it Bokeh, which reads its secret then

gate.MOST = {MOST}

@entry("init", "Nothing", formula="0", source="this project")
@dataclass(frozen=True)
class Nothing:
    def __call__(self, start):
        return [start.zeros(i) for i in range(start.count)]
"""

UNUSED = ("--unused-session-lifetime", "2000", "--check-unused-sessions", "500")
"""What no socket joins is let go after two seconds."""


class Server:
    """In a process of its own."""

    def __init__(self, folder, *words):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = folder / "log"
        given = {
            "RELAXOSCOPE_CACHE": str(folder / "cache"),
            "RELAXOSCOPE_RUNS": str(folder / "runs"),
        }
        plugin = folder / "few.py"
        plugin.write_text(PLUGIN)
        command = [sys.executable, "-m", "workbench.cli", "serve", "--plugin", str(plugin)]
        with self.log.open("w") as file:
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port), *UNUSED, *words],
                stdout=file,
                stderr=file,
                env=os.environ | given,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )

    def get(self, path="/?page=home", **headers):
        """Status, headers and text of a page."""
        asked = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        asked.request("GET", path, headers=headers)
        answer = asked.getresponse()
        text = answer.read().decode()
        asked.close()
        return answer.status, answer.headers, text

    def wait(self):
        """Wait until it answers; not by a page, which would count."""
        for _ in range(240):
            assert self.process.poll() is None, self.log.read_text()
            try:
                return self.get("/static/js/bokeh.min.js")
            except OSError:
                time.sleep(0.25)
        raise AssertionError("the server did not answer")

    def token(self, path="/?page=home"):
        """That of a new page."""
        return re.search(r'"token":"([^"]+)"', self.get(path)[2])[1]

    def socket(self, token, origin=None):
        """What connects to a page."""
        origin = origin or f"http://localhost:{self.port}"
        url = f"http://127.0.0.1:{self.port}/ws"
        headers = {"Origin": origin}
        return websocket_connect(
            HTTPRequest(url.replace("http", "ws", 1), headers=headers),
            subprotocols=["bokeh", token],
        )

    def status(self, token, origin=None):
        """The status with which a page gets, or does not get, a socket."""

        async def ask():
            try:
                (await self.socket(token, origin)).close()
            except HTTPClientError as refused:
                return refused.code
            return 101

        return run(ask())


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("server"))
    try:
        running.wait()
        yield running
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(60) == 0
        log = running.log.read_text()
        assert log.count("Traceback") == log.count("Uncaught exception GET /ws"), log
    finally:
        running.process.kill()


def emptied(server):
    """Wait until what nobody has joined was let go."""
    for _ in range(100):
        if "pages are open" not in told(server, "/?page=none-of-them"):
            return
        time.sleep(0.2)
    raise AssertionError("the pages are never let go")


def told(server, path="/?page=home", **headers):
    """All words of a page: those of its document come over the socket."""
    status, _, text = server.get(path, **headers)
    assert status == 200
    token = re.search(r'"token":"([^"]+)"', text)[1]

    async def pulled():
        connection = await server.socket(token)
        await connection.read_message()  # ACK: header, metadata, content
        for _ in range(2):
            await connection.read_message()
        header = {"msgid": "1", "msgtype": "PULL-DOC-REQ"}
        for part in (header, {}, {}):
            await connection.write_message(json.dumps(part))
        parts = [await connection.read_message() for _ in range(3)]
        connection.close()
        return parts[-1]

    return text + run(pulled())


pytestmark = pytest.mark.slow


def test_a_socket_is_for_its_own_pages_with_a_signed_session_only(server, record_property):
    record_property("count: attacks: refused", 1)
    token = server.token()
    assert server.status(token, "http://evil.example") == 403
    assert server.status(token, f"http://localhost.evil.example:{server.port}") == 403
    assert server.status(token, f"http://localhost:{server.port + 1}") == 403
    assert server.status(token) == 101


def test_a_socket_with_a_session_that_was_not_signed_here_is_closed_before_it_speaks(
    server, record_property
):
    record_property("count: attacks: refused", 1)

    async def first(token):
        connection = await server.socket(token)
        said = await connection.read_message()
        connection.close()
        return said

    token = server.token()
    payload, _, signature = token.partition(".")
    other = ("A" if payload[9] != "A" else "B").join((payload[:9], payload[10:]))
    for forged in (f"{other}.{signature}", payload, "x", f"{payload}.{signature[:-2]}AA"):
        assert run(first(forged)) is None
    assert "ACK" in run(first(token))


def test_a_name_that_anybody_may_own_gets_no_page(server, record_property):
    record_property("count: attacks: refused", 1)
    port = server.port
    assert "answers to localhost only" in told(server, Host=f"evil.example:{port}")
    for host in (f"localhost:{port}", f"127.0.0.1:{port}"):
        assert "answers to localhost only" not in told(server, Host=host)


@pytest.mark.row(58)
def test_a_message_that_is_too_large_ends_its_socket_and_no_other(server, record_property):
    record_property("count: attacks: refused", 1)

    async def sent(size):
        one, other = [await server.socket(server.token()) for _ in range(2)]
        for connection in (one, other):
            for _ in range(3):
                await connection.read_message()
        await one.write_message("x" * size)
        ended = await one.read_message() is None
        header = {"msgid": "1", "msgtype": "SERVER-INFO-REQ"}
        for part in (header, {}, {}):
            await other.write_message(json.dumps(part))
        said = json.loads(await other.read_message())
        other.close()
        return ended, said["msgtype"]

    assert run(sent(MESSAGE + 1)) == (True, "SERVER-INFO-REPLY")


def test_one_page_too_many_is_told_so_and_has_a_place_when_another_has_gone(
    server, record_property
):
    record_property("count: attacks: refused", 1)
    emptied(server)

    async def crowd():
        held = [await server.socket(token) for token in tokens]
        last = await asyncio.to_thread(told, server)
        for connection in held:
            connection.close()
        return last

    time.sleep(3)  # what `emptied` opened has gone
    tokens = [server.token() for _ in range(MOST)]
    assert f"{MOST} pages are open, which is the most" in run(crowd())
    emptied(server)


def test_it_listens_at_loopback_only(server):
    found = socket.gethostbyname_ex(socket.gethostname())[2]
    for address in [one for one in found if not is_loopback(one)]:
        with pytest.raises(OSError):
            socket.create_connection((address, server.port), timeout=2).close()


def test_names_that_nobody_else_can_own_are_numbers_and_localhost():
    ours = [
        "localhost",
        "localhost:5006",
        "LOCALHOST:1",
        "a.localhost",
        "127.0.0.1:5006",
        "[::1]:5",
    ]
    others = ["", "evil.example", "localhost.evil.example:5006", "127.0.0.1.evil.example", "a]b"]
    assert [one for one in ours if not is_local_name(one)] == []
    assert [one for one in others if is_local_name(one)] == []
