"""One sample is chosen: the strip marks it, or brings it, and never shows another one's."""

from types import SimpleNamespace

import numpy as np
import pytest

from core import make
from tests.workbench.sessions import SMALL, do, opened, settle
from tests.workbench.test_recording_sessions import recorded, stopped
from workbench.board import Board
from workbench.look import palette
from workbench.maps_tab import MapsTab
from workbench.naming import FROM_OUTPUT
from workbench.pictures import sample_at, tiles
from workbench.poke_tab import PokeTab
from workbench.scene import scene
from workbench.sight import Sight
from workbench.strip import Strip
from workbench.watched import Watched

TWENTY = SMALL.changed(batch_size=20)
FREE = SMALL.changed(
    batch_size=20,
    network=make("network", "Decoder", {"latent": 6, "hidden": (8, 8)}),
    task=make("task", "Reconstruct", {}),
    init=make("init", "Zero"),
)


class Shown:
    """The strip of a session in this thread."""

    def __init__(self, experiment=TWENTY, steps=4):
        self.session = opened(experiment)
        do(self.session, "step", steps)
        self.sight = Sight()
        self.strip = Strip(self.session, self.sight)
        self.board = Board("light")

    def look(self):
        self.scene = self.strip.dress(scene(self.session))
        self.strip.follow()
        settle(self.session)
        self.scene = self.strip.dress(scene(self.session))
        self.board.draw(self.scene)
        return self.scene

    def images(self):
        batch = int(self.scene.curves.batch[self.scene.at])
        return self.session.lane.training.batches.batch(batch)

    @property
    def framed(self):
        """Place of the picture that is framed, -1 for none."""
        return self.board.sheet.told["marked"]

    def tap(self, place):
        sample = sample_at(self.scene, place)
        if sample is not None:
            self.sight.turn(sample)


@pytest.fixture
def shown():
    return Shown()


def test_nothing_is_marked_before_a_sample_is_chosen(shown):
    drawn = shown.look()
    assert drawn.marked is None and shown.framed == -1
    assert len(drawn.images["input"]) == 8


@pytest.mark.parametrize("sample", [0, 3, 7])
def test_a_tapped_picture_is_chosen_and_framed_and_let_go_by_another_tap(shown, sample):
    shown.look()
    shown.tap(sample)
    assert shown.sight.sample == sample
    drawn = shown.look()
    assert drawn.marked == sample and not drawn.brought
    assert shown.framed == sample
    shown.tap(sample)
    assert shown.sight.sample is None


def test_a_tap_beside_the_pictures_chooses_none(shown):
    shown.look()
    for place in (-1, 8, 99):
        shown.tap(place)
        assert shown.sight.sample is None


def test_a_sample_behind_the_first_ones_is_brought_from_the_batch(shown):
    shown.sight.sample = 13
    drawn = shown.look()
    batch = shown.images()
    assert len(drawn.images["input"]) == 9 and drawn.brought
    np.testing.assert_array_equal(drawn.images["input"][8], batch.x[13].numpy())
    np.testing.assert_array_equal(drawn.images["input"][:8], batch.x[:8].numpy())
    assert drawn.labels[8] == batch.y[13]
    row = shown.session.lane.trace.row(drawn.cursor)
    np.testing.assert_array_equal(drawn.probability[8], row["probability"][13])
    _, texts, _ = tiles(drawn)
    assert texts[8].startswith(f" 13: {int(batch.y[13])} → ")
    do(shown.session, "next_batch")
    drawn = shown.look()
    np.testing.assert_array_equal(drawn.images["input"][8], shown.images().x[13].numpy())


def test_the_brought_picture_is_let_go_by_a_tap_too(shown):
    shown.sight.sample = 13
    shown.look()
    assert shown.framed == 8
    shown.tap(8)
    assert shown.sight.sample is None


def test_recorded_frames_of_a_later_sample_are_empty_and_said_to_be_missing():
    shown = Shown(FREE)
    shown.sight.sample = 11
    drawn = shown.look()
    np.testing.assert_array_equal(drawn.images["input"][8], shown.images().x[11].numpy())
    for name in ("prediction", "swept"):
        assert np.isnan(drawn.images[name][8]).all() and np.isfinite(drawn.images[name][:8]).all()
    _, texts, _ = tiles(drawn)
    assert texts[8].endswith("input only ")


def test_a_later_sample_of_a_poked_image_is_not_shown_as_it_was_before(shown):
    do(shown.session, "poke", layer="0", how="zero", region=(0, 3, 0, 7))
    shown.sight.sample = 13
    drawn = shown.look()
    assert np.isnan(drawn.images["input"][8]).all()
    assert tiles(drawn)[1][8].endswith("not kept ")


def test_a_sample_that_a_smaller_batch_has_not_is_let_go(shown):
    shown.sight.sample = 13
    do(shown.session, "change", batch_size=10)
    do(shown.session, "next_batch")
    drawn = shown.look()
    assert shown.sight.sample is None and drawn.marked is None


def test_of_a_run_there_are_the_recorded_pictures_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("RELAXOSCOPE_RUNS", str(tmp_path))
    session = opened(TWENTY)
    recorded(session, "kept")
    do(session, "step", 3)
    stopped(session)
    watched = Watched("kept")
    watched.look()
    strip = Strip(watched, Sight(2))
    assert strip.dress(scene(watched)).marked == 2
    strip = Strip(watched, Sight(12))
    drawn = strip.dress(scene(watched))
    assert np.isnan(drawn.images["input"][8]).all() and drawn.brought
    strip.follow()


def test_a_scene_is_counted_as_the_page_counts(shown):
    do(shown.session, "poke", layer="1", how="noise", amount=0.1)
    shown.sight.naming = FROM_OUTPUT
    drawn = shown.look()
    assert drawn.curves.names == ("3", "2", "1", "0")
    assert [text.split(":")[0] for _, text in drawn.changes] == ["poke 3"]
    ticks = shown.board.heat.yaxis.major_label_overrides
    assert [ticks[k] for k in (1, 2, 3, 4)] == ["3", "2", "1", "0"]
    shown.sight.naming = "ours"
    assert shown.look().curves.names == ("1", "2", "3", "4")


def test_maps_and_pokes_follow_the_chosen_sample_and_maps_choose_one(shown):
    page = SimpleNamespace(session=shown.session, look=palette("light"), sight=shown.sight)
    maps, poke = MapsTab(page, ""), PokeTab(page, "")

    def look():
        shown.session._show()
        for _ in range(3):
            poke._at = 0.0
            for one in (maps, poke):
                one.follow()
            settle(shown.session)

    look()
    assert maps._surveyor.newest.wanted.sample == 0 and poke._sample.value == ""
    shown.sight.turn(13)
    look()
    assert maps._surveyor.newest.wanted.sample == 13
    assert maps._sample.value == 13 and poke._sample.value == "13"
    maps._sample.value = 4
    assert shown.sight.sample == 4
    look()
    assert poke._sample.value == "4"
    poke._sample.value = ""
    look()
    assert poke._sample.value == "", "what is typed holds until another sample is chosen"
