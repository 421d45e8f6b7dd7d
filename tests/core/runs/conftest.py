"""What tests of runs share: a folder in memory, because they wait for many writes."""

import os
import tempfile
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")


@pytest.fixture
def memory():
    """An empty folder, in memory where the system has one to write to."""
    there = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="relaxoscope-", dir=there) as folder:
        yield Path(folder).resolve()
