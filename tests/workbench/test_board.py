"""What the live plots hold for a scene: lines, marks, names, curves of theory, pictures."""

import numpy as np
import pytest

from core import make
from tests.workbench.held import Held
from tests.workbench.sessions import SMALL, do, opened
from tests.workbench.test_outlook import EXACT, LINEAR, asked
from tests.workbench.test_phases import NUDGED
from tests.workbench.test_watched import chunk, recorded, values
from workbench.axes import COMPARISONS, ENERGY_LIMITS, PREDICTED, ROW_AXIS
from workbench.board import Board
from workbench.curves import COMPARED
from workbench.frames import NOT_KNOWN, ROUNDING, Frames
from workbench.pictures import ROWS, tiles
from workbench.predictions import LABELS
from workbench.presets import presets, whole
from workbench.scene import scene
from workbench.watched import Watched

IMAGE_TASKS = ("Reconstruct", "Recall", "Generate", "Dream")


@pytest.fixture
def board():
    return Board("light")


def drawn(board, session, **options):
    board.draw(scene(session, **options))
    board.rest()
    return board


def moving(board, part):
    """What the browser draws of a part, (n, L), or (n,) of one that is a single number."""
    held = Held()
    held.take(board.message(Frames(), {"frame": 1}))
    return held.part(part)


def decoder(task, **dials):
    return SMALL.changed(
        network=make("network", "Decoder", {"latent": 6, "hidden": (8, 8)}),
        task=make("task", task, dials),
        init=make("init", "Zero"),
    )


DEEP = SMALL.changed(
    network=make("network", "MLP", {"hidden": (8,) * 9}),
    dynamics=make("dynamics", "GradientDescent", {"rate": 0.01}),
    steps=40,
)


def test_what_is_only_rounding_is_grey_in_the_map_and_marked_over_depth(board):
    session = opened(DEEP)
    do(session, "step", 40)
    drawn(board, session)
    data = session.lane.trace.dataset()
    noise = data["rounding"].values & (data["energy"].values != 0)
    assert noise[-1].any() and noise[:20].any() and (data["energy"].values[-1] == 0).any()
    energies = moving(board, "energy")
    np.testing.assert_array_equal(energies == ROUNDING, noise)
    marks = board.floors.marks.data
    layers = data["layer"].values
    assert marks["layer"] == layers[noise[-1]].tolist()
    assert all(one.endswith("below the rounding floor of float32") for one in marks["said"])
    np.testing.assert_array_equal(np.isnan(energies), data["energy"].values == 0)
    floor = np.log10(data["floor"].values[-1])
    np.testing.assert_allclose(board.floors.line.data["energy"], floor)
    assert f", {noise[-1].sum()} rounding" in board.titles["imbalance"]
    do(session, "seek", 1)
    drawn(board, session)
    assert not len(board.floors.marks.data["layer"]) and not len(board.floors.line.data["layer"])
    assert "rounding" not in board.titles["imbalance"]


@pytest.mark.parametrize("name", COMPARED)
def test_the_panel_in_the_middle_draws_what_was_chosen(board, name):
    session = opened()
    do(session, "step", 5)
    board.compare(name)
    drawn(board, session)
    values = session.lane.trace.dataset()[name].values.astype(float)
    logarithmic = COMPARISONS[name][1][0] < -2
    with np.errstate(divide="ignore"):
        expected = np.log10(values) if logarithmic else values
    expected = np.where(np.isfinite(expected), expected, np.nan)
    np.testing.assert_allclose(moving(board, "compared"), expected, rtol=1e-5, atol=1e-7)
    assert board.titles["alignment"] == COMPARISONS[name][0]
    assert set(COMPARED) == set(COMPARISONS)
    assert not board._without.visible


def test_a_task_without_a_loss_says_so_in_the_place_of_the_cosines(board):
    session = opened(decoder("Recall"))
    do(session, "step", 2)
    drawn(board, session)
    assert board._without.visible
    assert np.isnan(moving(board, "compared")).all()


def test_phases_have_lines_in_all_plots_over_steps_and_names_in_the_map(board):
    session = opened(NUDGED)
    do(session, "set_gear", "batch")
    do(session, "step", 19)
    drawn(board, session)
    rows, texts, _, _ = zip(*board.marks["phases"], strict=True)
    assert rows == (-0.5, 2.5, 8.5, 14.5, 17.5)
    assert texts == ("", "", "minus", "free", "plus"), "the newest of each name"
    assert board.imbalance.xaxis.axis_label == ROW_AXIS.format("phase")
    assert board.titles["heat"].endswith("plus, step 1, batch 1")


def test_one_phase_is_not_named(board):
    session = opened()
    do(session, "step", 2)
    drawn(board, session)
    assert board.marks["phases"] == []
    assert board.titles["heat"].endswith("·  step 2, batch 0")
    assert board.imbalance.xaxis.axis_label == ROW_AXIS.format("batch")


def test_curves_of_theory_come_and_go_with_their_names_in_the_legend(board):
    session = opened(LINEAR)
    asked(session)
    do(session, "step", 3)
    drawn(board, session, theory=True)
    shown = {name for name, (line, _, item) in board._predicted.items() if line.visible}
    assert shown == {"arrival", "rest"} and set(PREDICTED) == set(LABELS)
    for name, (line, source, item) in board._predicted.items():
        assert line.visible == item.visible == (name in shown)
        if name in shown:
            np.testing.assert_array_equal(source.data["layer"], [1, 2, 3, 4])
    assert board.depth.legend.visible and board._rest_named.visible
    F = session.lane.trace.attrs["theory"]["0"]["F"]
    np.testing.assert_allclose(board._rest_total.data["y"], np.log10([F, F]), rtol=1e-6)
    assert list(board._rest_total.data["x"]) == [0, 3]
    drawn(board, session)
    assert not board.depth.legend.visible and not board._rest_named.visible
    assert not any(line.visible for line, _, _ in board._predicted.values())


def test_theory_follows_the_cursor(board):
    session = opened(EXACT)
    asked(session)
    do(session, "step", 5)
    drawn(board, session, theory=True)
    newest = board._predicted["arrival"][1].data["energy"].copy()
    do(session, "seek", 3)
    drawn(board, session, theory=True)
    older = board._predicted["arrival"][1].data["energy"]
    # C(t, k) paths of k steps down: 10, 10, 5, 1 of them at t = 5; 1, 3, 3, 1 at t = 3, for k = 3
    # to 0. At t = 3 layer 1 has just been reached.
    ratio = 10.0 ** (newest - older)
    np.testing.assert_allclose(ratio, [100, (10 / 3) ** 2, (5 / 3) ** 2, 1], rtol=1e-4)


def test_limits_make_room_upwards_and_a_new_lane_begins_with_the_first_ones(board):
    loud = SMALL.changed(
        dynamics=make("dynamics", "Langevin", {"rate": 0.05, "temperature": 100.0})
    )
    session = opened(loud)
    do(session, "step", 5)
    highest = np.log10(session.lane.trace.dataset()["energy"].values.max())
    assert highest > ENERGY_LIMITS[1]
    drawn(board, session)
    assert board._mapper.high == np.ceil(highest) < board.energy_axis.end
    do(session, "change", dynamics={"name": "GradientDescent", "rate": 0.1}, seed=1)
    drawn(board, session)
    assert board._mapper.high == ENERGY_LIMITS[1]


def test_a_zoom_over_the_rows_lasts_while_rows_come_and_ends_with_a_fit(board):
    session = opened(DEEP)
    do(session, "step", 8)
    whole = [(one.start, one.end) for one in [drawn(board, session).x]]
    board.x.update(start=2.5, end=6.5)  # as the browser does
    do(session, "step", 4)
    drawn(board, session)
    assert (board.x.start, board.x.end) == (2.5, 6.5)
    board.fit()
    drawn(board, session)
    assert [(board.x.start, board.x.end)] == whole


def test_precisions_above_one_and_far_below_are_within_the_colours(board):
    session = opened(SMALL.changed(precision=make("precision", "Table", {"rows": ((50.0,),)})))
    drawn(board, session)
    assert (board._precisions.low, board._precisions.high) == (-4, 2)
    do(session, "change", precision={"name": "Spiking", "rest": 1e-6})
    do(session, "step", 2)
    do(session, "restart")
    drawn(board, session)
    assert (board._precisions.low, board._precisions.high) == (-6, 0)


@pytest.mark.parametrize("task", IMAGE_TASKS)
def test_every_task_of_images_shows_its_own(task):
    session = opened(decoder(task) if task != "Dream" else SMALL.changed(
        task=make("task", "Dream"), init=make("init", "Zero")
    ))  # fmt: skip
    do(session, "step", 2)
    pictures, texts, title = tiles(scene(session))
    expected = {
        "Reconstruct": ["input", "prediction", "swept"],
        "Recall": ["input", "image", "prediction", "swept"],
        "Generate": ["image", "prediction"],
        "Dream": ["image"],
    }[task]
    assert list(pictures) == expected == [n for n in ROWS if n in expected]
    assert ("MSE of" in title) == (task in ("Reconstruct", "Recall"))
    assert bool(texts) == (task != "Generate"), "a drawn latent state has no class"
    data = session.lane.trace.dataset()
    for name in set(expected) - {"input"}:
        np.testing.assert_array_equal(pictures[name], data[name].values[-1])


@pytest.mark.parametrize("scale", ["-1..1", "standard"])
def test_images_of_three_channels_are_drawn_in_their_own_colours(board, scale, tmp_path):
    noise = np.random.default_rng(0)
    raw, y = noise.integers(0, 256, (40, 6, 5, 3), dtype=np.uint8), np.arange(40) % 10
    raw[..., 2] //= 3  # channels of other moments
    np.savez(tmp_path / "own.npz", x_train=raw, y_train=y, x_test=raw[:10], y_test=y[:10])
    dials = {"path": str(tmp_path / "own.npz"), "scale": scale}
    session = opened(SMALL.changed(dataset=make("dataset", "Npz", dials)))
    drawn(board, session)
    pictures = Held().take(board.message(Frames(), {"frame": 1})).pictures()
    assert pictures.shape == (1, 8, 6, 5, 3)
    shown = session.lane.training.batches.batch(0).x[:8].movedim(1, -1).numpy()
    sources = session.lane.training.images.train_x.movedim(1, -1).numpy()
    for i, one in enumerate(shown):
        (k,) = np.flatnonzero((sources == one).all((1, 2, 3)))
        assert np.abs(pictures[0, i].astype(int) - raw[k]).max() <= 1


def test_a_preset_of_every_family_is_drawn(board):
    """A frame of each, so that no combination of shapes breaks the plots."""
    session = opened(SMALL)
    for name in presets():
        do(session, "change", **whole(name) | {"pretraining": "random", "batch_size": 10})
        do(session, "step", 3)
        drawn(board, session, theory=True)
        held = Held().take(board.message(Frames(), {"frame": 1}))
        assert held.part("energy").shape == (4, len(session.lane.trace.layers)), name
        assert held.pictures().size, name


# Runs --------------------------------------------------------------------------------------------


def watched(path, monkeypatch, *chunks):
    """A recorded run of these chunks, as it stands."""
    monkeypatch.setenv("RELAXOSCOPE_RUNS", str(path))
    recorded(path / "own", *chunks)
    run = Watched("own")
    run.look()
    return run


def test_what_was_not_logged_is_grey_with_words_and_what_was_is_not(board, tmp_path, monkeypatch):
    drawn(board, watched(tmp_path, monkeypatch, chunk(0, 30, energy=values)))
    grey = {name for name, words in board.absent.words.items() if words.visible}
    assert grey == {"errors", "alignment", "precision", "images"}
    for name, plot in board.figures.items():
        look = board.look
        colour = look.page if name in grey else look.background
        assert plot.background_fill_color == colour, name
        assert board.absent.words[name].text == "not logged"
    named = {item.label.value: item.visible for item in board.total.legend[0].items}
    assert named == {"ΣE": True, "F": False, "residual": False, "F*": False}
    assert "F needs the precisions, not logged" in board.titles["total"]
    told = Held().take(board.message(Frames(), {"frame": 1})).head["absent"]
    assert set(told) == grey
    assert not board._without.visible
    drawn(board, opened())
    assert not any(words.visible for words in board.absent.words.values())
    assert board.errors.background_fill_color == board.look.background


def test_without_energies_no_layer_is_marked_as_not_reached(board, tmp_path, monkeypatch):
    drawn(board, watched(tmp_path, monkeypatch, chunk(0, 30, error=values)))
    grey = {name for name, words in board.absent.words.items() if words.visible}
    assert grey == set(board.figures) - {"errors"}
    assert (moving(board, "energy") == NOT_KNOWN).all() and not board._why.visible
    np.testing.assert_allclose(
        moving(board, "error"), np.log10(values(np.arange(30))), rtol=1e-5, atol=1e-6
    )


def test_lines_break_and_a_band_lies_where_rows_were_lost(board, tmp_path, monkeypatch):
    pieces = (
        chunk(0, 10, energy=values),
        chunk(14, 20, energy=values),
        chunk(30, 33, energy=values),
    )
    drawn(board, watched(tmp_path, monkeypatch, *pieces))
    assert dict(board.absent.lost.data) == {"x0": [9.5, 19.5], "x1": [13.5, 29.5]}
    held, rows = Held().take(board.message(Frames(), {"frame": 1})), np.r_[0:10, 14:20, 30:33]
    assert held.head["gaps"] == [[10, 13], [20, 29]]
    np.testing.assert_array_equal(held.step, rows)
    np.testing.assert_allclose(10.0 ** held.part("bare"), values(rows).sum(1), rtol=1e-5)
