"""Is the log of a run folded into its file while it is written?"""

import numpy as np
import pytest

from core.layout import Layout
from core.recorder import Chunk
from core.runs import Run, Writer, store

LAYOUT = Layout((1,), ("h_0", "h_1"), (1,), (4, 4), (True,), 1e-7)

PAGES = 40_000
"""Bytes of the log of one flush, at most, that are no rows: heads, tables and the index."""


def chunk(first, count):
    step = np.arange(first, first + count)
    zeros = np.zeros(count, int)
    index = {"batch": zeros, "t": step, "recipe_id": zeros, "T": zeros - 1}
    energy = np.random.default_rng(first).random((count, 1))
    return Chunk({"step": step, "phase": np.full(count, "relax"), **index, "energy": energy})


@pytest.mark.parametrize("fold", ["by parts", "by bytes"])
def test_the_log_stays_small_however_much_is_stored(fold, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "CHECKPOINT", 4 if fold == "by parts" else 10**9)
    monkeypatch.setattr(store, "LOGGED", 4 * 8 * 512 if fold == "by bytes" else 10**12)
    path = tmp_path / "run"
    with Writer(path) as writer:
        lane = writer.lane(LAYOUT)
        for first in range(0, 512 * 60, 512):
            writer.append(lane, chunk(first, 512))
            assert (path / "rows.sqlite-wal").stat().st_size <= 5 * (8 * 512 + PAGES)
        stored = (path / "rows.sqlite").stat().st_size
        assert stored > 50 * 8 * 512, "rows lie in the file before the run is closed"
    assert Run(path).rows() == 512 * 60


def test_without_folding_the_log_would_grow(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "CHECKPOINT", 10**9)
    with Writer(tmp_path / "run") as writer:
        lane = writer.lane(LAYOUT)
        for first in range(0, 512 * 60, 512):
            writer.append(lane, chunk(first, 512))
        log = (tmp_path / "run" / "rows.sqlite-wal").stat().st_size
    assert log > 5 * (8 * 512 + PAGES)
