"""A browser that follows the messages holds what is drawn, whatever was drawn before."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.workbench.held import Held
from tests.workbench.sessions import do, opened
from workbench.board import Board
from workbench.frames import Frames
from workbench.scene import STRIDE, WINDOW, scene

VALUES = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
VALUES[5, 1], VALUES[9, 2] = np.nan, -np.inf

windows = st.lists(
    st.tuples(st.integers(0, 39), st.integers(0, 40), st.integers(0, 2), st.integers(1, 3)),
    min_size=1,
    max_size=8,
)


@given(windows, st.lists(st.binary(max_size=9), min_size=8, max_size=8))
def test_whatever_is_drawn_next_the_browser_holds_it(drawn, pictures):
    """Windows that grow, move on, go back, are empty, change their width or their values."""
    frames, held = Frames(), Held()
    for k, (first, last, other, columns) in enumerate(drawn):
        step = np.arange(first, max(first, last))[:: 1 + other % 2]
        values = VALUES[step][:, :columns] + np.float32(other)
        told = {"titles": {"heat": str(other)}}
        message = frames.packed(
            {"frame": k}, told, (step, values), (step[:2], values[:2]), pictures[k]
        )
        held.take(message)
        for name, count in (("rows", len(step)), ("behind", 2)):
            np.testing.assert_array_equal(held.rows[name][0], step[:count])
            if len(step):
                np.testing.assert_array_equal(held.rows[name][1], values[:count])
        assert (held.head["titles"], held.pixels) == (told["titles"], pictures[k])


def test_a_frame_brings_the_new_rows_only_also_when_the_window_moves_on():
    session, board, frames, held = opened(), Board("light"), Frames(), Held()

    def brought():
        board.draw(scene(session))
        held.take(board.message(frames, {"frame": 1}))
        return held.brought

    do(session, "step", 5)
    assert brought() == 6
    assert brought() == 0
    do(session, "step", WINDOW)
    brought()
    for _ in range(STRIDE):
        do(session, "step", 1)
        assert brought() == 1
    assert held.step[0] % STRIDE == 0 or held.step[0] == WINDOW + 6 + STRIDE - len(held.step)
    assert held.step[-1] == WINDOW + 5 + STRIDE
    assert WINDOW - STRIDE <= len(held.step) <= WINDOW


def test_what_was_told_is_not_told_again():
    session, board, frames = opened(), Board("light"), Frames()
    board.draw(scene(session))
    first, again = (len(board.message(frames, {"frame": k})) for k in (1, 2))
    assert again < 0.05 * first, "colours, scales, names and pictures are there already"
