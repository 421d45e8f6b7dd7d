"""What holds for every test: one thread, and no cache but the test's own where it asks for one."""

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder of this test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("RELAXOSCOPE_CACHE", str(folder))
    return folder
