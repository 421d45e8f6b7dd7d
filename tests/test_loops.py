"""Tests that run coroutines pass beside those that drive a browser, in any order."""

import re
from pathlib import Path

from tests.loops import run

TESTS = Path(__file__).parent


def test_a_coroutine_runs_where_a_loop_runs_in_the_thread():
    async def inner():
        return "done"

    async def outer():
        return run(inner())

    assert run(outer()) == "done"


def test_no_test_runs_a_loop_in_the_thread_of_a_browser():
    own = re.compile(r"asyncio\.run\(|run_until_complete\(|run_forever\(")
    found = [p.name for p in TESTS.rglob("*.py") if own.search(p.read_text("utf-8"))]
    assert found == [], "tests/loops.py runs coroutines in a thread of their own"
