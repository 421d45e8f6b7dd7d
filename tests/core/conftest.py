"""What tests of the core share."""

import pytest


@pytest.fixture
def scratch(monkeypatch):
    """A catalogue whose new entries, plugins and works vanish after the test."""
    from core import catalogue, citations, plugins

    held = {kind: dict(found) for kind, found in catalogue._cards.items()}
    monkeypatch.setattr(catalogue, "_cards", held)
    monkeypatch.setattr(plugins, "_loaded", {})
    monkeypatch.setattr(citations, "_own", {})
