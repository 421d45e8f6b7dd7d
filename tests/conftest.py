"""What holds for every test: one thread, and no cache but the test's own where it asks for one."""

import re
from typing import Any

import pytest
import torch

from tests import oracles, rows
from tests.oracles import pytest_terminal_summary

__all__ = ["pytest_terminal_summary"]

torch.set_num_threads(1)

ADDRESS = re.compile(r" at 0x[0-9a-f]")

BROWSER = "tests/browser/"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the report of each test its oracle.

    A name that holds an address is another one in each process, so that xdist would lose the test.
    """
    for item in items:
        if ADDRESS.search(item.nodeid):
            raise pytest.UsageError(f"{item.nodeid}: a name with an address; give it ids=")
    oracles.give_oracles(items)
    rows.give_rows(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of a file in one process, and all those in a browser, which share a server."""
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return BROWSER if file.startswith(BROWSER) else file

    return Together(config, log)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder of this test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("RELAXOSCOPE_CACHE", str(folder))
    return folder


@pytest.fixture
def place(tmp_path, capfd):
    """The command in an empty folder."""
    from tests.commands import Place

    folder = tmp_path / "here"
    folder.mkdir()
    return Place(folder, capfd)


@pytest.fixture
def scratch(monkeypatch):
    """A catalogue whose new entries, plugins and works vanish after the test."""
    from core import catalogue, citations, plugins

    held = {kind: dict(found) for kind, found in catalogue._cards.items()}
    monkeypatch.setattr(catalogue, "_cards", held)
    monkeypatch.setattr(catalogue, "_withdrawn", {})
    monkeypatch.setattr(plugins, "_loaded", {})
    monkeypatch.setattr(plugins, "_earlier", [])
    monkeypatch.setattr(citations, "_own", {})


@pytest.fixture
def root(place, monkeypatch):
    """The folder of runs of this test."""
    folder = place.folder / "runs"
    monkeypatch.setenv("RELAXOSCOPE_RUNS", str(folder))
    monkeypatch.chdir(place.folder)
    return folder
