"""What holds for every test: one thread, and no cache but the test's own where it asks for one."""

import re

import pytest
import torch

from tests import oracles
from tests.oracles import pytest_terminal_summary

__all__ = ["pytest_terminal_summary"]

torch.set_num_threads(1)

ADDRESS = re.compile(r" at 0x[0-9a-f]")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give the report of each test its oracle; keep those of a file, or of a browser, together.

    A name that holds an address is another one in each process, so that xdist would lose the test.
    """
    for item in items:
        if ADDRESS.search(item.nodeid):
            raise pytest.UsageError(f"{item.nodeid}: a name with an address; give it ids=")
    oracles.give_oracles(items)
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            path = item.path
            group = "browser" if path.parent.name == "browser" else path.name
            item.add_marker(pytest.mark.xdist_group(group))


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
    monkeypatch.setattr(plugins, "_loaded", {})
    monkeypatch.setattr(citations, "_own", {})
